"""Long lists, a page at a time: a search that follows what is typed, and the ways on."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar
from urllib.parse import urlencode

from nicegui import ui

from ui.components.formats import counted
from ui.components.parts import button, tag
from ui.components.table import Ordered, last_or
from ui.preferences import written

R = TypeVar('R')
NO_KEYS: Mapping[str, Callable[[Any], Any]] = MappingProxyType({})
PAUSE = 250  # ms without a key until what was typed is searched
FEW = 10  # lines that need no search


class Paging:
    """Where one is in a list, and what is searched in it: as the address says, and as is typed since."""

    def __init__(
        self,
        path: str,
        noun: str,
        *,
        query: str,
        page: str,
        count: int,
        sort: str = '',
        keys: Mapping[str, Callable[[Any], Any]] = NO_KEYS,
        usual: str = '',
    ) -> None:
        """`sort` is what the address asks for: one of the `keys`, after "-" from the greatest on. The `usual` order is
        that of the list as it is read.
        """
        self.by = sort if sort.removeprefix('-') in keys else usual
        self._keys, self._usual = keys, usual
        self.query = query.strip()
        self.page = page_of(page)
        self.count = count
        self._path = path
        self._noun = noun

    def place(self, refresh: Callable[[], Awaitable[None]]) -> None:
        """Where the search will stand; `refresh` draws what it finds."""
        self._refresh = refresh
        self._slot = tag('div', classes='hs slot')

    def tell(self, *, found: int, total: int) -> None:
        """Offer the search where there are lines enough, and say how many it found."""
        if (total > FEW or self.query) and not list(self._slot):
            with self._slot:
                search(self.query, f'Find a {self._noun}', self._find)
                self._told = tag('span', classes='t12 t3', role='status')
        if list(self._slot):
            self._told.text = f'{counted(found, self._noun)} found' if self.query else ''

    def bounds(self, found: int) -> tuple[int, int]:
        """The page as there is one among `found` lines, and how many lines are before it."""
        page = last_or(self.page, count=self.count, total=found)
        return page, (page - 1) * self.count

    async def read(self, read: Callable[..., Awaitable[Sequence[R]]], before: int) -> Sequence[R]:
        """Those of the page, of which `before` come first: `read` has an offset and a limit, and the usual order."""
        if self.by == self._usual:
            return await read(offset=before, limit=self.count)
        every = sorted(await read(), key=self._keys[self.by.removeprefix('-')], reverse=self.by.startswith('-'))
        return every[before : before + self.count]

    @property
    def ordered(self) -> Ordered:
        """How the list is sorted; another order begins at its first page."""
        return Ordered(by=self.by, address=lambda by: self._address(1, by))

    def ways(self, found: int) -> None:
        """Links to the pages before and behind."""
        pager(page=self.page, count=self.count, total=found, address=self._address)

    def _address(self, page: int, by: str = '') -> str:
        by = by or self.by
        return address(self._path, q=self.query, page=page, sort='' if by == self._usual else by)

    async def _find(self, text: str) -> None:
        if text == self.query:
            return
        self.query, self.page = text, 1
        ui.navigate.history.replace(self._address(1))
        await self._refresh()


def page_of(text: str) -> int:
    """The number of a page as an address gives it, 1 for what is none."""
    return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 10 else 1


def address(path: str, *, q: str = '', page: int = 1, sort: str = '') -> str:
    """Where a page of a list is, of what a search leaves, sorted so."""
    given = (('q', q), ('sort', sort), ('page', '' if page == 1 else str(page)))
    asked = {name: value for name, value in given if value}
    return f'{path}{"&" if "?" in path else "?"}{urlencode(asked)}' if asked else path


def search(value: str, label: str, on_change: Callable[[str], Awaitable[None]]) -> None:
    """A field to search a list by; `on_change` gets what is typed, without blanks around it."""

    async def changed(text: str | None) -> None:
        await on_change((text or '').strip())

    found = ui.input(value=value, placeholder=label, on_change=lambda event: changed(event.value))
    found.props('clearable type=search').classes('series-search')
    found.props['aria-label'] = label
    found.props['debounce'] = str(PAUSE)


def pager(*, page: int, count: int, total: int, address: Callable[[int], str]) -> None:
    """Where one is in a list of `total` lines, `count` a page, and links to the pages before and behind."""
    if total <= count:
        return
    start = (page - 1) * count
    with tag('nav', classes='hs', aria_label='Pages'):
        tag('span', written(f'{start + 1:,} to {min(start + count, total):,} of {total:,}'), 't12 t3')
        if start > 0:
            button('Back', kind='small', icon_name='chevron-left', href=address(page - 1))
        if start + count < total:
            button('Next', kind='small', icon_name='chevron-right', href=address(page + 1))
