"""The versions of a dataset: what made each, how two of them differ, and how the next file joins."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from nicegui import ui

from core.analysis.versions import Difference, Row, SeriesChange
from core.orders import Order
from core.values import VersionSummary
from ui.components import formats
from ui.components.parts import badge, button, card, field, segment, tag
from ui.components.table import Column, table
from ui.components.times import count, when
from ui.components.upload import Upload
from ui.pages.dataset.reading import DATES
from ui.pages.dataset.recipe_steps import done
from ui.pages.dataset.state import Shown, View
from ui.pages.dataset.use import UseVersion

JOINS = {'append': 'Add to the rows', 'replace': 'Replace the rows'}
JOINED = {
    'append': 'Rows of the file win where series and time are the same; all other rows stay.',
    'replace': 'The rows of the file alone make the next version. Choose a file that holds all that is to stay.',
}
KINDS = {'added': ('added', 'green'), 'changed': ('changed', 'amber'), 'gone': ('gone', 'red')}
CELLS = 6
FIRST = 10


class VersionsTab(View):
    """The tab `Versions`."""

    def __init__(self, shown: Shown) -> None:
        super().__init__(shown)
        self.orders: Mapping[int, Order] = {}
        self.found: Difference | None = None
        self.listed: Sequence[VersionSummary] = shown.versions
        self.how = shown.asked.how if shown.asked.how in JOINS else 'append'

    @property
    def pair(self) -> tuple[int, int] | None:
        """The versions that the address compares."""
        before, after, newest = self.shown.asked.before, self.shown.asked.after, self.shown.versions[0].number
        if before is None or after is None or before == after or not (0 < before <= newest and 0 < after <= newest):
            return None
        return before, after

    async def load(self) -> None:
        """Read the versions, what made them, and how the two that are compared differ."""
        datasets, user, data = self.shown.services.datasets, self.shown.session.user.id, self.shown.data.id
        if self.shown.asked.older is not None:
            self.listed = await datasets.versions(user, data, before=self.shown.asked.older)
        numbers = {number for one in self.listed for number in (one.number, one.reads) if number is not None}
        self.orders = await datasets.orders(user, data, numbers)
        if self.pair:
            before, after = [await datasets.version(user, data, number) for number in self.pair]
            self.found = await datasets.diff(user, before, after, limit=FIRST)

    def draw(self) -> None:
        """Draw how the next file joins, the versions, and the comparison."""
        self._next()
        self._list()
        if self.pair:
            self._comparison(*self.pair)
        elif self.shown.versions[0].previous is None:
            tag('p', 'Once there are two versions, they can be compared row by row.', 't12 t3')

    def _next(self) -> None:
        with tag('div', classes='next-place') as place:
            zone = Upload(
                dataset=str(self.shown.data.id),
                direct=bool(self.shown.services.uploads.origins),
                quote=self.shown.services.hours.quote_convert,
            )
        options: dict[str, Any] = {}
        zone.joins(self.how, options)

        def join(how: str) -> None:
            self.how = how
            said.text = JOINED[how]
            why.set_visibility(bool(why.text) and how == 'replace')
            zone.joins(how, options)
            asked = self.shown.asked
            kept = {'before': asked.before, 'after': asked.after, 'older': asked.older, 'how': how}
            more = {name: value for name, value in kept.items() if value is not None}
            ui.navigate.history.replace(self.shown.address('versions', **more))

        def dates(value: str | None) -> None:
            options.clear()
            options.update({'day_first': value == 'day'} if value else {})
            zone.joins(self.how, options)

        with place, card('Next file') as box, tag('div', classes='body hs wrap next-file'):
            with tag('div', classes='vs gap-s grow'):
                segment(JOINS, self.how, label='How the next file joins', on_change=join)
                said = tag('p', JOINED[self.how], 't12 t2', aria_live='polite')
                alike = self._alike()
                why = tag(
                    'p', f'{alike} may be one series: write them alike in the file first.' if alike else '', 't12 t2'
                )
                why.set_visibility(bool(alike) and self.how == 'replace')
            with field('Dates such as 03/04/2025'):
                select = ui.select(DATES | {'': 'as before'}, value='')
                select.props['aria-label'] = 'Dates such as 03/04/2025'
            select.on_value_change(lambda event: dates(event.value))
            button('Upload the next one', icon_name='upload', on_click=zone.choose)
        box.move(target_index=0)

    def _alike(self) -> str:
        """Series that may be one by their names, which no step is known to mend; '' where there are none."""
        hints = self.shown.manifest.get('hints') or ()
        told = [hint for hint in hints if hint['kind'] == 'alike' and not hint['step']]
        return next((' and '.join(f'"{name}"' for name in hint['series']) for hint in told), '')

    def _list(self) -> None:
        use = UseVersion(self.shown)

        def act(version: VersionSummary) -> None:
            with tag('div', classes='hs row-acts'):
                if (before := version.previous) is not None:
                    address = self.shown.address('versions', before=before, after=version.number)
                    button('Compare', kind='ghost small', href=address, aria_label=f'Compare with version {before}')
                if version.number == self.shown.data.version:
                    badge('in use', 'ok')
                else:
                    name = f'Use version {version.number}'
                    button(name, kind='small', icon_name='undo-2', on_click=lambda: use.ask(version.number))

        about = 'Each upload or correction makes one; none is ever changed. Faults are those of its own file'
        with card('Versions', about):
            table(
                [
                    Column[VersionSummary](label='Version', cell=lambda v: f'v{v.number}', width='7%'),
                    Column[VersionSummary](label='Made by', cell=self._made_by, classes='t2', width='20%'),
                    Column[VersionSummary](label='From', cell=_source, classes='t2 cut', phone=False),
                    Column[VersionSummary](label='Rows', cell=lambda v: count(v.rows), num=True, width='9%'),
                    Column[VersionSummary](
                        label='Own faults', cell=lambda v: count(v.faults), num=True, phone=False,
                        width='9%',
                    ),
                    Column[VersionSummary](
                        label='Made', cell=lambda v: when(v.created_at), num=True, width='11%'
                    ),
                    Column[VersionSummary](label='', cell=act, num=True, width='20%', classes='full'),
                ],
                self.listed,
                classes='tall cards labelled',
                label='Versions',
            )  # fmt: skip
            self._more()

    def _more(self) -> None:
        """Lead to older versions, and back to the newest."""
        last = self.listed[-1] if self.listed else None
        if self.shown.asked.older is None and (last is None or last.previous is None):
            return
        with tag('div', classes='body hs'):
            if self.shown.asked.older is not None:
                button('Newest', kind='small ghost', href=self.shown.address('versions'))
            if last is not None and last.previous is not None:
                address = self.shown.address('versions', older=last.number)
                button('Older versions', kind='small ghost', icon_name='chevron-down', href=address)

    def _made_by(self, version: VersionSummary) -> None:
        """Draw what made a version, and what each step of its recipe did."""
        tag('div', self._maker(version))
        for step in version.recipe:
            tag('div', said := done(step), 't12 t3 cut', title=said)

    def _maker(self, version: VersionSummary) -> str:
        order = self.orders.get(version.number)
        if version.reads is not None:
            return 'a recipe' if _only_recipe(order, self.orders.get(version.reads)) else 'a correction'
        if order is not None and order.onto is not None:
            return f'an upload, added to v{order.onto}'
        return 'an upload' if version.previous is None else 'an upload, in place of all rows'

    # comparison

    def _comparison(self, before: int, after: int) -> None:
        def look_at(**other: int) -> None:
            chosen = {'before': before, 'after': after} | other
            ui.navigate.to(self.shown.address('versions', **chosen))

        def choose() -> None:
            numbers = {one.number for one in self.listed} | {before, after}
            versions = {number: f'v{number}' for number in sorted(numbers, reverse=True)}
            for label, name, value in (('From version', 'before', before), ('To version', 'after', after)):
                select = ui.select(versions, value=value, on_change=lambda e, name=name: look_at(**{name: e.value}))
                select.props['aria-label'] = label
            button('Close', kind='ghost small', icon_name='x', href=self.shown.address('versions'))

        with card(f'From v{before} to v{after}', 'rows meet by series and time', actions=choose):
            found = self.found
            if found is None:
                self.out_of_reach()
                return
            with tag('div', classes='stats diff-stats'):
                for name, (word, colour) in KINDS.items():
                    _stat(getattr(found, name), word, colour if getattr(found, name) else '')
                _stat(found.same, 'the same', '')
            for words, names in (('New columns', found.columns_added), ('Columns gone', found.columns_gone)):
                if names:
                    tag('p', f'{words}: {", ".join(names)}', 'body t2')
            if not (found.added or found.changed or found.gone):
                tag('p', 'Every row is the same in both.', 'body t2')
                return
            if found.n_series > 1 or (found.series and found.series[0].series):
                self._by_series(found)
        for name, rows in found.rows.items():
            if rows:
                _rows(name, rows, getattr(found, name), known=self._known, zone=self.shown.version.zone)

    @property
    def _known(self) -> set[str]:
        """The columns that tell the time and the series of a row, which are shown beside its cells anyway."""
        return {self.shown.manifest['time']['column'], *self.shown.manifest['series']['columns']}

    def _by_series(self, found: Difference) -> None:
        table(
            [
                Column[SeriesChange](label='Series', cell=lambda s: s.series or 'all rows'),
                *(
                    Column[SeriesChange](
                        label=name.capitalize(),
                        cell=lambda s, name=name: count(getattr(s, name)),
                        num=True,
                        width='18%',
                    )
                    for name in KINDS
                ),
            ],
            found.series,
            classes='tight cards labelled',
            label='Changes by series',
            height=260 if len(found.series) > 7 else None,
        )
        if found.n_series > len(found.series):
            tag('p', f'{count(found.n_series)} series differ; those that differ most are listed.', 'body t12 t3')


def _stat(number: int, word: str, colour: str) -> None:
    with tag('div', classes='s'):
        tag('span', count(number), f'metric small {colour}'.strip())
        tag('span', word, 't12 t3')


def _rows(kind: str, rows: Sequence[Row], total: int, *, known: Collection[str], zone: str) -> None:
    first = f'the first {len(rows)} of {count(total)}' if total > len(rows) else 'all of them'
    with card(f'Rows {KINDS[kind][0]}', first):
        table(
            [
                Column[Row](label='Time', cell=lambda r: formats.moment(r.time, zone), width='18%', classes='tn'),
                Column[Row](label='Series', cell=lambda r: r.series or 'all rows', width='18%'),
                Column[Row](label='Cells', cell=lambda r: _cells(r, known), classes='mono full'),
            ],
            rows,
            classes='tight cards',
            label=f'Rows {KINDS[kind][0]}',
        )


def _cells(row: Row, known: Collection[str]) -> str:
    """The cells of a row, with both values where they changed."""
    cells = row.after if row.after is not None else row.before or {}
    told = [name for name in cells if name not in known]
    names = told[:CELLS]
    more = f', and {len(told) - CELLS} more' if len(told) > CELLS else ''
    if row.before is not None and row.after is not None:
        said = [f'{name} {cell(row.before.get(name))} → {cell(row.after[name])}' for name in names]
    else:
        said = [f'{name} {cell(cells[name])}' for name in names]
    return ', '.join(said) + more


def cell(value: Any) -> str:
    """A stored cell as text; an empty one is a dash."""
    return '–' if value is None else str(value)


def _source(version: VersionSummary) -> str:
    earlier = version.earlier_files
    return f'{version.source} and {formats.counted(earlier, "earlier file")}' if earlier else version.source


def _only_recipe(order: Order | None, before: Order | None) -> bool:
    """Whether two orders differ in their recipe alone."""
    if order is None or before is None:
        return False
    others = [{name: value for name, value in one.options.items() if name != 'recipe'} for one in (order, before)]
    return others[0] == others[1] and order.options.get('recipe') != before.options.get('recipe')
