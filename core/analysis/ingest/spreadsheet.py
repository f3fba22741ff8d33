"""Excel workbooks (.xlsx) to the raw table: the first sheet that holds a table."""

import warnings
import zipfile
from collections.abc import Iterator
from contextlib import closing
from datetime import date, datetime, time, timedelta
from itertools import chain
from pathlib import Path
from typing import Any, Final
from xml.etree.ElementTree import ParseError

from core.analysis.ingest.layout import Layout, Record, find_layout, is_heading, is_remark
from core.analysis.ingest.rawtable import Chosen, Dialect, Fault, FaultAction, FaultKind, Flag, RawTable
from core.analysis.ingest.sink import Sink, Work
from core.errors import TooLarge, UnreadableFile

_SAMPLE: Final = 1000
_MOST_ROWS: Final = 2**20
_BROKEN: Final = (zipfile.BadZipFile, ParseError, KeyError, ValueError, TypeError, IndexError, AttributeError, OSError)


def read_xlsx(path: Path, work: Work, *, name: str, chosen: Chosen) -> RawTable:
    """Read the first sheet with records; the other sheets are named in the notes. Blank rows are no records.

    Raises UnreadableFile for a broken workbook, TooLarge past the limits.
    """
    _check_sizes(path, work, name)
    import openpyxl

    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            with path.open('rb') as file:
                book = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
                with closing(book):
                    return _first_table(book, work)
    except _BROKEN as error:
        raise UnreadableFile(f'{name} is a broken Excel workbook. Open it and save it again, or export CSV.') from error


def _check_sizes(path: Path, work: Work, name: str) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {member.filename: member.file_size for member in archive.infolist()}
    except zipfile.BadZipFile as error:
        raise UnreadableFile(f'{name} is a broken Excel workbook. Open it and save it again.') from error
    strings = sizes.get('xl/sharedStrings.xml', 0)
    packed = max(path.stat().st_size, 1)
    most = min(work.limits.bytes, max(work.limits.ratio_free_bytes, packed * work.limits.ratio))
    if sum(sizes.values()) > most or strings > work.memory // 2:
        raise TooLarge(f'{name} unpacks to more than is allowed. Export the sheet as CSV.')


def _first_table(book: Any, work: Work) -> RawTable:
    sheets = [sheet for sheet in book.worksheets if sheet.sheet_state == 'visible'] or book.worksheets
    for sheet in sheets:
        sheet.reset_dimensions()
        if any(any(value is not None for value in row) for row in sheet.iter_rows(values_only=True, max_row=10_000)):
            others = [other.title for other in book.worksheets if other is not sheet]
            notes = (f'Other sheets were not read: {", ".join(others[:20])}.',) if others else ()
            return _Sheet(sheet, work).read((f'Sheet {sheet.title!r} was read.', *notes) if others else ())
    return _table(
        work, Layout(width=0, names=(), header=(), header_line=None, body=0, profile=()), Sink(work, 0), {}, ()
    )


class _Sheet:
    """One sheet on its way into a sink."""

    def __init__(self, sheet: Any, work: Work) -> None:
        self._sheet, self._work = sheet, work
        self._left = 0
        self._kinds: list[set[str]] = []
        self._held: list[tuple[int, list[Any]]] = []

    def read(self, notes: tuple[str, ...]) -> RawTable:
        """Read all rows; cells become text, whole columns of one type a hint."""
        rows = self._rows()
        sample = _sample(rows)
        filled = [values for _, values in sample if values]
        self._left = min((_first_filled(values) for values in filled), default=0)
        widest = max((len(values) for values in filled), default=0) - self._left
        layout = find_layout([Record(line=line, cells=self._cells(values, widest)) for line, values in sample])
        sink = Sink(self._work, layout.width)
        self._kinds = [set() for _ in range(layout.width)]
        own = self._body(chain(sample, rows), layout, sink)
        return _table(self._work, layout, sink, self._hints(layout), notes + layout.notes + own)

    def _rows(self) -> Iterator[tuple[int, list[Any]]]:
        """(row number, values without empty ones at the end)."""
        count = 0
        for number, row in enumerate(self._sheet.iter_rows(values_only=True), start=1):
            values = list(row)
            while values and (values[-1] is None or values[-1] == ''):
                values.pop()
            count += len(values)
            if number > _MOST_ROWS:
                raise UnreadableFile(
                    f'The sheet names rows beyond {_MOST_ROWS:,}, the last one that Excel knows. Export it as CSV.'
                )
            if count > self._work.limits.cells or len(values) > self._work.limits.columns:
                raise TooLarge('The sheet has more cells than is allowed. Export it as CSV and split it.')
            yield number, values

    def _cells(self, values: list[Any], width: int) -> list[str]:
        if not values:
            return []
        cells = [as_text(value) or '' for value in values[self._left :]]
        return cells + [''] * (width - len(cells))

    def _body(self, rows: Iterator[tuple[int, list[Any]]], layout: Layout, sink: Sink) -> tuple[str, ...]:
        after_blank = False
        for number, values in rows:
            if not layout.body or number < layout.body:
                continue
            if not values:
                after_blank = True
                continue
            cells = self._cells(values, layout.width)
            if after_blank and is_heading(cells, layout.profile):
                left = 1 + sum(bool(others) for _, others in rows)
                return (f'A second table from row {number} on was cut off: {left:,} filled rows were left out.',)
            after_blank = False
            if is_remark(cells, layout.width, layout.profile) and len(self._held) < _SAMPLE:
                self._held.append((number, values))
                continue
            for line, earlier in self._held:
                self._store(line, earlier, layout, sink)
            self._held = []
            self._store(number, values, layout, sink)
        if self._held:
            return (f'Footnotes from row {self._held[0][0]} on were left out.',)
        return ()

    def _store(self, number: int, values: list[Any], layout: Layout, sink: Sink) -> None:
        values = values[self._left :]
        cells = [as_text(value) for value in values]
        surplus = [cell for cell in cells[layout.width :] if cell]
        for kinds, value in zip(self._kinds, values, strict=False):
            kinds.add(_kind(value))
        empty: list[str | None] = ['' if cell is None else cell for cell in cells[: layout.width]]
        padded = empty + [''] * (layout.width - len(empty))
        sink.add(number, Flag.REPAIRED if surplus else Flag.AS_READ, padded)
        if surplus:
            sink.fault(
                Fault(
                    line=number, byte=None, column=None, kind=FaultKind.LONG_ROW, value=' '.join(surplus)[:500],
                    action=FaultAction.TRUNCATED, reason='Cells right of the table; they were cut off.',
                )
            )  # fmt: skip

    def _hints(self, layout: Layout) -> dict[str, str]:
        hints = {}
        for name, kinds in zip(layout.names, self._kinds, strict=True):
            kinds.discard('')
            hint = _HINTS.get(frozenset(kinds))
            if hint:
                hints[name] = hint
        return hints


def _sample(rows: Iterator[tuple[int, list[Any]]]) -> list[tuple[int, list[Any]]]:
    """The first thousand filled rows; of blank ones between them, the first of each run."""
    sample: list[tuple[int, list[Any]]] = []
    filled = 0
    for number, values in rows:
        if values or not sample or sample[-1][1]:
            sample.append((number, values))
        filled += bool(values)
        if filled == _SAMPLE:
            break
    return sample


_HINTS: Final = {
    frozenset({'boolean'}): 'boolean',
    frozenset({'integer'}): 'integer',
    frozenset({'double'}): 'double',
    frozenset({'integer', 'double'}): 'double',
    frozenset({'date'}): 'date',
    frozenset({'timestamp'}): 'timestamp',
    frozenset({'date', 'timestamp'}): 'timestamp',
}


def _kind(value: Any) -> str:
    if value is None or value == '':
        return ''
    if isinstance(value, bool):
        return 'boolean'
    if isinstance(value, int):
        return 'integer'
    if isinstance(value, float):
        return 'double'
    if isinstance(value, datetime):
        return 'date' if value.time() == time() else 'timestamp'
    return 'date' if isinstance(value, date) else 'text'


def as_text(value: Any) -> str | None:
    """A cell's value as text; a moment at midnight is a date, as Excel has no other dates."""
    if value is None:
        return None
    if isinstance(value, bool):
        return 'true' if value else 'false'
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat(sep=' ')
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(value)
    return repr(value) if isinstance(value, float) else str(value)


def _first_filled(values: list[Any]) -> int:
    return next(index for index, value in enumerate(values) if value is not None and value != '')


def _table(work: Work, layout: Layout, sink: Sink, hints: dict[str, str], notes: tuple[str, ...]) -> RawTable:
    rows = sink.rows
    return RawTable(
        path=work.table,
        names=layout.names,
        named=bool(layout.header),
        header_line=layout.header_line,
        encoding=None,
        compression=None,
        format='xlsx',
        dialect=Dialect(),
        rows_read=rows,
        rejected=0,
        faults_path=sink.finish(),
        hints=hints,
        notes=notes,
        header=layout.header,
    )
