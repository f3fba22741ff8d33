"""The rows of a version as they are stored, what was repaired in them, and where each came from."""

from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any

from markupsafe import Markup

from core.analysis.tables import Page
from ui.components.formats import counted
from ui.components.parts import badge, button, tag
from ui.components.table import Column, table
from ui.pages.dataset.faults_tab import kind_name, reconciliation
from ui.pages.dataset.origin import Origins
from ui.pages.dataset.state import Paged

HIDDEN = ('_series', '_time', '_source')
LONGEST = 120
MENDED = Markup('<a class="mend" href="{href}" title="{said}" data-raw="{said}" aria-label="{label}">{text}</a>')
MENDED_LINE = Markup('<span class="mend" title="{said}" data-raw="{said}">{text}</span>')


class RowsTab(Paged):
    """The tab `Rows`."""

    name = 'rows'
    faults: Mapping[tuple[int, str], Sequence[Mapping[str, Any]]] = {}

    async def read(self, *, offset: int, limit: int) -> Page:
        """Read some rows."""
        user = self.shown.session.user.id
        return await self.shown.services.datasets.preview(user, self.shown.version, offset=offset, limit=limit)

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
        own = max(0, len(self.shown.manifest.get('sources') or ()) - 1)
        source = (row[names.index('_source')] or 0) if '_source' in names else 0
        line = row[names.index('_line')] if '_line' in names and source == own else None
        return None if line is None else int(line)

    def draw(self) -> None:
        """Draw the page of rows."""
        if self.page is None:
            self.out_of_reach()
            return
        shown = [(place, name) for place, name in enumerate(self.page.columns) if name not in HIDDEN]
        kinds = {column['name']: column['type'] for column in self.shown.manifest['columns']}
        columns = [
            Column[Any](
                label='Line' if name == '_line' else name,
                cell=lambda row, place=place, name=name: self._cell(row, place, name),
                num=name == '_line' or kinds.get(name) in ('integer', 'decimal', 'double'),
                classes='mono ln' if name == '_line' else '',
            )
            for place, name in shown
        ]
        traced = {'_series', '_time', '_line'} <= set(self.page.columns)
        if traced:
            Origins(self.shown).draw()
        with tag('section', classes='card', aria_label='Rows'):
            self._head()
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
        self.pager()

    def _head(self) -> None:
        """How many rows there are, what was found in them, and what is not among them."""
        total, rejected = self.shown.manifest['faults_total'], self.shown.manifest['rows_rejected']
        with tag('header', classes='rule account'):
            tag('h2', 'Rows')
            reconciliation(self.shown)
            with tag('div', classes='acts'):
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

    def _cell(self, row: Sequence[Any], place: int, name: str) -> str:
        text = '' if row[place] is None else str(row[place])
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


def _said(fault: Mapping[str, Any]) -> str:
    """What was done to a cell, and what the file has there."""
    value = fault['value'] or ''
    raw = f' from "{value[:LONGEST]}"' if value else ''
    return f'{fault["action"]}{raw} ({kind_name(fault["kind"]).lower()})'
