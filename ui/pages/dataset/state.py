"""What a dataset's page shows: one of its versions, and which of its tabs."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import urlencode
from weakref import WeakKeyDictionary

from nicegui import Client, context
from nicegui.element import Element

from core.analysis.tables import Page
from core.services import Services
from core.values import Balance, Dataset, Job, Quote, Session, Version, VersionSummary
from ui.components.paging import pager
from ui.components.parts import Tag, card
from ui.components.states import out_of_reach
from ui.components.table import last_or
from ui.components.toast import toast

ROWS = 100
KEPT = 'Every version of the dataset.'
NUMBERS = ('integer', 'decimal', 'double')
TYPE_NAMES = {'double': 'decimal', 'timestamp': 'date and time', 'timestamptz': 'time with zone'}
"""What types are called on pages, where their name in files is none that people use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the address asks for; `at`, `of` and `line` name a row (its time, its series, its line) to be told of.

    `older` is the number that the listed versions come before; `how` is how the next file joins.
    """

    tab: str
    version: int | None = None
    page: int = 1
    series: Sequence[str] = ()
    recipe: str = ''
    kind: str = ''
    column: str | None = None
    action: str = ''
    before: int | None = None
    after: int | None = None
    at: datetime | None = None
    of: str = ''
    line: int | None = None
    older: int | None = None
    how: str = ''


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One version of a dataset as its page shows it; `versions` are the newest, `job` is the last conversion.

    `links` are those to its tabs.
    """

    services: Services
    session: Session
    data: Dataset
    version: Version
    versions: Sequence[VersionSummary]
    job: Job | None
    asked: Asked
    links: dict[str, Tag] = field(default_factory=dict)

    @property
    def manifest(self) -> Mapping[str, Any]:
        """What the version says of itself."""
        return self.version.manifest

    @property
    def left_out(self) -> str:
        """What of the source this version does not hold: tables beside the one that was read."""
        return left_out(self.tables)

    @property
    def earlier_files(self) -> int:
        """How many files, beside its own, the version holds rows of."""
        return sum(source['rows'] > 0 for source in (self.manifest.get('sources') or ())[:-1])

    @property
    def faults_of_all(self) -> int:
        """How many faults all files had whose rows it holds."""
        own: int = self.manifest['faults_total']
        return max(own, self.manifest.get('faults_of_all') or 0)

    @property
    def cells_emptied(self) -> int:
        """How many cells were emptied in records that are stored, which count as repaired."""
        groups = self.manifest.get('faults_summary') or ()
        return sum(group['count'] for group in groups if group['action'] == 'emptied')

    @property
    def tables(self) -> int | None:
        """How many files or sheets the source has to choose from; None where it is one table."""
        reading = self.manifest['source'].get('reading') or {}
        found = [len(reading[part].get('options') or ()) for part in ('member', 'sheet') if part in reading]
        return found[0] if found else None

    @property
    def api(self) -> str:
        """Where REST has the version."""
        return f'/api/v1/datasets/{self.data.id}/versions/{self.version.number}'

    def address(self, tab: str, **more: Any) -> str:
        """The address of a tab of this version."""
        query = {} if tab == 'overview' else {'tab': tab}
        if self.version.number != self.data.version:
            query['v'] = str(self.version.number)
        query |= {key: str(value) for key, value in more.items()}
        return f'/datasets/{self.data.id}' + (f'?{urlencode(query)}' if query else '')

    def carry(self, draft: str) -> None:
        """Let the tabs lead on with a draft of the recipe, so that whoever comes back finds it."""
        for tab, link in self.links.items():
            link.props['href'] = self.address(tab, **({'recipe': draft} if draft else {}))


def type_name(kind: str) -> str:
    """What a type is called on pages."""
    return TYPE_NAMES.get(kind, kind)


def left_out(tables: int | None) -> str:
    """How a source is called of whose tables one was read; nothing where it has no other."""
    return f'1 of {tables} tables' if (tables or 0) > 1 else ''


async def cost(
    services: Services, session: Session, data: Dataset, *, version: int | None = None
) -> tuple[Quote, Balance]:
    """Return what reading the file of a version (that in use, if none is named) again may cost, and what there is."""
    quote = await services.uploads.quote(session.user.id, data.id, version=version)
    return quote, await services.hours.balance(session.user.id)


class View:
    """A tab: it loads what it shows, then draws it.

    `away` says why what is stored cannot be read now: what `load` had not read yet is missing then.
    """

    def __init__(self, shown: Shown) -> None:
        self.shown = shown
        self.away = ''

    async def load(self) -> None:
        """Read what the tab shows. Raise Unavailable while what is stored is out of reach."""

    def draw(self) -> None:
        """Draw the tab."""

    def out_of_reach(self) -> None:
        """Say that what would stand here cannot be read now."""
        with card():
            out_of_reach(self.away, kept=KEPT)


class Paged(View, ABC):
    """A tab of rows, a hundred a page."""

    name = ''

    def __init__(self, shown: Shown) -> None:
        super().__init__(shown)
        self.page: Page | None = None
        self.number = max(1, shown.asked.page)

    @abstractmethod
    async def read(self, *, offset: int, limit: int) -> Page:
        """Read some rows. Raise Unavailable while they are out of reach."""

    async def load(self) -> None:
        """Read the page asked for, or the last one."""
        self.page = await self.read(offset=(self.number - 1) * ROWS, limit=ROWS)
        last = last_or(self.number, count=ROWS, total=self.page.total)
        if last != self.number:
            self.number = last
            self.page = await self.read(offset=(last - 1) * ROWS, limit=ROWS)

    def pager(self, **more: str) -> None:
        """Draw the way to the pages before and behind; `more` stays in their addresses."""
        if self.page is not None:
            at = partial(self.shown.address, self.name, **more)
            pager(page=self.number, count=ROWS, total=self.page.total, address=lambda page: at(page=page))


_making: WeakKeyDictionary[Client, Element] = WeakKeyDictionary()


def say_making(text: str) -> None:
    """Say for a few seconds that a new version is being made; it goes as soon as that has ended (`end_making`)."""
    note = toast('A new version is being made', text, level='info')
    if note is not None:
        _making[context.client] = note


def end_making() -> None:
    """Take away what `say_making` says: the version is there, and another note tells of it."""
    note = _making.pop(context.client, None)
    if note is not None and not note.is_deleted:
        note.delete()
