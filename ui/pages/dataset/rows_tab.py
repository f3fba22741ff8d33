"""The rows of a version as they are stored, what was repaired in them, and where each came from."""

from collections.abc import Mapping, Sequence
from datetime import UTC
from decimal import Decimal
from typing import Any

from markupsafe import Markup

from core.analysis.tables import Page
from ui.components.formats import counted
from ui.components.parts import badge, button, tag
from ui.components.table import Column, table
from ui.components.times import count
from ui.pages.dataset.faults_tab import kind_name, reconciliation
from ui.pages.dataset.origin import Origins
from ui.pages.dataset.state import NUMBERS, Paged
from ui.preferences import written

HIDDEN = ('_series', '_time', '_source')
LONGEST = 120
MENDED = Markup('<a class="mend" href="{href}" title="{said}" data-raw="{said}" aria-label="{label}">{text}</a>')
MENDED_LINE = Markup('<span class="mend" title="{said}" data-raw="{said}">{text}</span>')


class RowsTab(Paged):
    """The tab `Rows`."""

    name = 'rows'
    faults: Mapping[tuple[int, str], Sequence[Mapping[str, Any]]] = {}

    async def read(self, *, offset: int, limit: int) -> Page:
        """Read some rows: all, or those of the line that the address names without a time."""
        datasets, user = self.shown.services.datasets, self.shown.session.user.id
        where = None
        if self._of_line is not None:
            where = {'_line': self._of_line} | ({'_source': self._own_source} if self._own_source else {})
        return await datasets.preview(user, self.shown.version, offset=offset, limit=limit, where=where)

    @property
    def _of_line(self) -> int | None:
        """The line whose rows alone are asked for; with a time, a line tells which row of all is meant."""
        return self.shown.asked.line if self.shown.asked.at is None else None

    @property
    def _own_source(self) -> int:
        """The place of the version's own file among those that its rows came from."""
        return max(0, len(self.shown.manifest.get('sources') or ()) - 1)

    async def load(self) -> None:
        """Read the page asked for, and what was found on the lines of its rows."""
        await super().load()
        lines = [line for row in self.page.rows if (line := self._line(row)) is not None] if self.page else []
        if not lines or not self.shown.manifest['faults_total']:
            return
        user, datasets = self.shown.session.user.id, self.shown.services.datasets
        found = await datasets.faults_at(user, self.shown.version, lines)
        faults: dict[tuple[int, str], list[Mapping[str, Any]]] = {}
        for row in found.rows:
            fault = dict(zip(found.columns, row, strict=True))
            faults.setdefault((fault['line'], self._stored_name(fault['column'])), []).append(fault)
        self.faults = faults

    def _stored_name(self, column: str | None) -> str:
        """The stored column of a fault; nothing for a whole record, or where the column was made into rows."""
        for one in self.shown.manifest['columns']:
            if column in (one['name'], one.get('source')):
                return str(one['name'])
        return ''

    def _line(self, row: Sequence[Any]) -> int | None:
        """The line of a row in the version's own file; None for a row of an earlier one."""
        assert self.page is not None
        names = self.page.columns
        source = (row[names.index('_source')] or 0) if '_source' in names else 0
        line = row[names.index('_line')] if '_line' in names and source == self._own_source else None
        return None if line is None else int(line)

    def _file(self, row: Sequence[Any]) -> str:
        """The file that a row's line is of; '' of a row that a recipe made."""
        assert self.page is not None
        line, place = (row[self.page.columns.index(name)] for name in ('_line', '_source'))
        return '' if line is None else str(self.shown.manifest['sources'][place or 0]['name'])

    def draw(self) -> None:
        """Draw the page of rows."""
        if self.page is None:
            self.out_of_reach()
            return
        shown = [(place, name) for place, name in enumerate(self.page.columns) if name not in HIDDEN]
        numbers = {column['name'] for column in self.shown.manifest['columns'] if column['type'] in NUMBERS}
        columns = [
            Column[Any](
                label='Line' if name == '_line' else name,
                cell=lambda row, place=place, name=name: self._cell(row, place, name),
                num=name == '_line' or name in numbers,
                width='72px' if name == '_line' else '',
                classes='mono ln' if name == '_line' else '',
            )
            for place, name in shown
        ]
        if {'_line', '_source'} <= set(self.page.columns) and self._own_source:
            own = Column[Any](label='File', cell=self._file, classes='t2 cut', width='15%', phone=False)
            columns.insert(1, own)
        traced = {'_series', '_time', '_line'} <= set(self.page.columns)
        if traced:
            Origins(self.shown).draw()
        with tag('section', classes='card', aria_label='Rows'):
            self._head()
            if not self.page.rows and self._of_line is not None:
                said = f'No row of line {count(self._of_line)} is stored: it was not, or a step of the recipe took it.'
                tag('p', said, 'body t2')
                return
            table(
                columns,
                self.page.rows,
                href=self._address if traced else None,
                on=self._is_asked if traced else None,
                classes='tight',
                label='Rows',
                height=640,
                plain=True,
            )
        self.pager(**({} if self._of_line is None else {'line': str(self._of_line)}))

    def _head(self) -> None:
        """How many rows there are, what was found in them, and what is not among them."""
        total, rejected = self.shown.manifest['faults_total'], self.shown.manifest['rows_rejected']
        with tag('header', classes='rule account'):
            tag('h2', 'Rows')
            reconciliation(self.shown)
            with tag('div', classes='acts'):
                if self._of_line is not None:
                    tag('span', f'Line {count(self._of_line)}', 't12 t2')
                    button('Show all', kind='ghost small', icon_name='x', href=self.shown.address(self.name))
                if rejected:
                    address = self.shown.address('faults', action='rejected')
                    button(f'{counted(rejected, "record")} not stored', kind='ghost small', href=address)
                if total:
                    with tag('a', classes='quiet-link', href=self.shown.address('faults')):
                        badge(counted(total, 'fault'), 'warn')
                else:
                    badge('No faults', 'ok')

    def _address(self, row: Sequence[Any]) -> str:
        """The address of a row, which opens what tells of it."""
        series, time, line = self._named(row)
        where = {'at': time.replace(tzinfo=UTC).isoformat(), 'of': series} | ({} if line is None else {'line': line})
        page = {'page': self.number} if self.number > 1 else {}
        return self.shown.address(self.name, **page, **where)

    def _is_asked(self, row: Sequence[Any]) -> bool:
        series, time, line = self._named(row)
        asked = self.shown.asked
        return (asked.of, asked.at, asked.line) == (series, time.replace(tzinfo=UTC), line)

    def _named(self, row: Sequence[Any]) -> tuple[str, Any, int | None]:
        assert self.page is not None
        series, time, line = (row[self.page.columns.index(name)] for name in ('_series', '_time', '_line'))
        return series, time, line

    def _text(self, value: Any, name: str) -> str:
        """What is stored, all of it; thousands are parted in measures and lines, where no digit is a name's."""
        if value is None:
            return ''
        is_number = name == '_line' or name in self.shown.manifest['measures']
        return grouped(value) if is_number and isinstance(value, int | float | Decimal) else str(value)

    def _cell(self, row: Sequence[Any], place: int, name: str) -> str:
        text = self._text(row[place], name)
        line = self._line(row)
        if line is None:
            return text or ('made' if name == '_line' else '')
        found = self.faults.get((line, '' if name == '_line' else name))
        if not found:
            return text
        said = '; '.join(_said(fault) for fault in found)
        if name == '_line':  # the line is a link already
            return MENDED_LINE.format(text=text, said=said)
        return MENDED.format(text=text or '–', said=said, href=self._address(row), label=f'{text or "empty"}, {said}')


def grouped(value: Any) -> str:
    """A number with every digit that is stored, and marks between its thousands."""
    if isinstance(value, bool):
        return str(value)
    return written(f'{value:,}').replace('-', '\u2212')


def _said(fault: Mapping[str, Any]) -> str:
    """What was done to a cell, and what the file has there."""
    value = fault['value'] or ''
    raw = f' from "{value[:LONGEST]}"' if value else ''
    return f'{fault["action"]}{raw} ({kind_name(fault["kind"]).lower()})'
