"""Excel workbooks (.xlsx) to the raw table: the sheet that holds the table."""

import re
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import closing
from datetime import date, datetime, time, timedelta
from itertools import chain
from pathlib import Path
from typing import Any, Final
from xml.etree.ElementTree import ParseError

from core.analysis.ingest.layout import NOTHING, Layout, Record, find_layout, is_heading, is_remark, layout_decisions
from core.analysis.ingest.rawtable import Chosen, Dialect, Fault, FaultAction, FaultKind, Flag, RawTable, decision
from core.analysis.ingest.sink import Sink, Work
from core.errors import TooLarge, UnreadableFile, UsageError

_SAMPLE: Final = 1000
_WEIGHED: Final = 200
_SCANNED: Final = 20_000
_MOST_ROWS: Final = 2**20
_MERGED_ROWS: Final = 100
_BOOK_BYTES: Final = 2**20
_MOST_SHEETS: Final = 200
_MOST_MERGES: Final = 10_000
_MERGE: Final = re.compile(rb'mergeCell\s+ref\s*=\s*["\']([A-Z]{1,3}\d{1,7}:[A-Z]{1,3}\d{1,7})["\']')
_WORDS: Final = re.compile(r'[^\W\d_]+')
_DATED: Final = frozenset({'date', 'datum', 'day', 'tag', 'fecha', 'jour', 'giorno', 'ds', 'dia', 'datetime'})
_BROKEN: Final = (zipfile.BadZipFile, ParseError, KeyError, ValueError, TypeError, IndexError, AttributeError, OSError)


def read_xlsx(path: Path, work: Work, *, name: str, chosen: Chosen) -> RawTable:
    """Read the sheet that is chosen, else the first large table; the others are named. Blank rows are no records.

    Headers merged over several columns name each of them. Raises UnreadableFile for a broken workbook, TooLarge past
    the limits, UsageError when there is no such sheet.
    """
    _check_sizes(path, work, name)
    import openpyxl

    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            with path.open('rb') as file:
                book = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
                with closing(book):
                    return _chosen_table(book, work, chosen)
    except _BROKEN as error:
        raise UnreadableFile(f'{name} is a broken Excel workbook. Open it and save it again, or export CSV.') from error


def _check_sizes(path: Path, work: Work, name: str) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {member.filename: member.file_size for member in archive.infolist()}
    except zipfile.BadZipFile as error:
        raise UnreadableFile(f'{name} is a broken Excel workbook. Open it and save it again.') from error
    strings = sizes.get('xl/sharedStrings.xml', 0)
    if sizes.get('xl/workbook.xml', 0) > _BOOK_BYTES:
        raise TooLarge(f'{name} has too many sheets. Export the sheet as CSV.')
    packed = max(path.stat().st_size, 1)
    most = min(work.limits.bytes, max(work.limits.ratio_free_bytes, packed * work.limits.ratio))
    if sum(sizes.values()) > most or strings > work.memory // 2:
        raise TooLarge(f'{name} unpacks to more than is allowed. Export the sheet as CSV.')


def _chosen_table(book: Any, work: Work, chosen: Chosen) -> RawTable:
    titles = [sheet.title for sheet in book.worksheets]
    ranked = _ranked(book, work, chosen)
    if chosen.sheet is not None:
        found = next((sheet for sheet in book.worksheets if sheet.title == chosen.sheet), None)
        if found is None:
            raise UsageError(f'The workbook has no sheet "{chosen.sheet}". It has: {", ".join(titles[:20])}.')
        ranked = [(0.0, found), *(pair for pair in ranked if pair[1] is not found)]
    if not ranked:
        return _table(work, NOTHING, Sink(work, 0), {}, (), {})
    share, sheet = ranked[0]
    others = [title for title in titles if title != sheet.title]
    notes = (f'Other sheets were not read: {", ".join(others[:20])}.',) if others else ()
    reading = {
        'sheet': decision(
            sheet.title,
            confidence=1.0 if chosen.sheet is not None else share,
            runner_up=ranked[1][1].title if len(ranked) > 1 else None,
            asked=chosen.sheet is not None,
            options=titles[:1000],
        )
    }
    return _Sheet(sheet, work, chosen).read((f'Sheet {sheet.title!r} was read.', *notes) if others else (), reading)


def _ranked(book: Any, work: Work, chosen: Chosen) -> list[tuple[float, Any]]:
    """Sheets with records, the likeliest first, each with its share of what speaks for them all.

    A sheet speaks by the cells of its table in the sample, twice where columns hold numbers or times. The first of
    several large ones goes before.
    """
    sheets = [sheet for sheet in book.worksheets if sheet.sheet_state == 'visible'] or book.worksheets
    for sheet in sheets[:_MOST_SHEETS]:
        sheet.reset_dimensions()
    if len(sheets) == 1:
        return [(1.0, sheets[0])]
    weighed = []
    for sheet in sheets[:_MOST_SHEETS]:
        weight = _Sheet(sheet, work, chosen).weight()
        if weight:
            weighed.append((weight, sheet))
    total = sum(weight for weight, _ in weighed)
    largest = max((weight for weight, _ in weighed), default=0)
    first = [pair for pair in weighed if pair[0] >= 0.5 * largest][:1]
    rest = sorted((pair for pair in weighed if pair not in first), key=lambda pair: -pair[0])
    return [(weight / total, sheet) for weight, sheet in first + rest]


class _Sheet:
    """One sheet on its way into a sink."""

    def __init__(self, sheet: Any, work: Work, chosen: Chosen) -> None:
        self._sheet, self._work, self._chosen = sheet, work, chosen
        self._left = 0
        self._kinds: list[set[str]] = []
        self._serials: frozenset[int] = frozenset()
        self._held: list[tuple[int, list[Any]]] = []

    def weight(self) -> int:
        """How much speaks for this sheet: the cells of its table in the first rows."""
        sample = _sample(self._rows(), most=_WEIGHED)
        layout = self._layout(sample)
        rows = sum(bool(values) and layout.body <= line for line, values in sample) if layout.body else 0
        typed = any(kind in ('number', 'time') for kind in layout.profile)
        return layout.width * rows * (2 if typed and layout.width > 1 else 1) or sum(len(row) for _, row in sample)

    def read(self, notes: tuple[str, ...], reading: dict[str, Any]) -> RawTable:
        """Read all rows; cells become text, whole columns of one type a hint."""
        rows = self._rows()
        sample = _sample(rows, most=_SAMPLE)
        layout = self._layout(sample)
        self._serials = self._dated(sample, layout)
        sink = Sink(self._work, layout.width)
        self._kinds = [set() for _ in range(layout.width)]
        own = self._body(chain(sample, rows), layout, sink)
        serials = tuple(
            f'Column "{layout.names[i]}" holds serial dates of Excel; they were read as dates.'
            for i in sorted(self._serials)
        )
        told = reading | layout_decisions(layout, self._chosen)
        return _table(self._work, layout, sink, self._hints(layout), notes + layout.notes + own + serials, told)

    def _layout(self, sample: list[tuple[int, list[Any]]]) -> Layout:
        filled = [values for _, values in sample if values]
        self._left = min((_first_filled(values) for values in filled), default=0)
        widest = max((len(values) for values in filled), default=0) - self._left
        merges = _merges(self._sheet)
        records = [
            Record(line=line, cells=self._cells(_unmerged(line, values, merges), widest)) for line, values in sample
        ]
        return find_layout(records, skip=self._chosen.skip, header_lines=self._chosen.header_lines)

    def _dated(self, sample: list[tuple[int, list[Any]]], layout: Layout) -> frozenset[int]:
        """The columns whose plain numbers are days since 1900: beside dates, or below a name that says so."""
        found = set()
        for index, name in enumerate(layout.names):
            place = index + self._left
            values = [values[place] for line, values in sample if line >= layout.body and len(values) > place]
            values = [value for value in values if value is not None and value != '']
            serials = sum(_is_serial(value) for value in values)
            dates = sum(isinstance(value, date) for value in values)
            named = serials > 2 and serials == len(values) and not _DATED.isdisjoint(_WORDS.findall(name.casefold()))
            if layout.body and (named or (dates > serials > 0 and dates + serials >= 0.9 * len(values))):
                found.add(index)
        return frozenset(found)

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
            values = self._with_dates(values)
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

    def _with_dates(self, values: list[Any]) -> list[Any]:
        if not self._serials:
            return values
        from openpyxl.utils.datetime import from_excel

        changed = list(values)
        for index in self._serials:
            place = index + self._left
            if place < len(values) and _is_serial(values[place]):
                changed[place] = from_excel(values[place], self._sheet.parent.epoch)
        return changed

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


def _is_serial(value: Any) -> bool:
    """Whether a number may be a day of the years 1954 to 2064 as Excel counts them."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 20_000 <= value < 60_000


def _merges(sheet: Any) -> list[tuple[int, int, int, int]]:
    """Merged areas near the top as (first column, first row, last column, last row), all counted from 1.

    openpyxl gives none when it streams; they stand behind the cells.
    """
    from openpyxl.utils import range_boundaries

    found: list[tuple[int, int, int, int]] = []
    rest = b''
    with closing(sheet._get_source()) as source:
        while block := source.read(2**20):
            window = rest + block
            for match in _MERGE.finditer(window):
                left, top, right, bottom = range_boundaries(match[1].decode('ascii', 'replace'))
                if left is None or top is None or right is None or bottom is None:
                    continue
                if top <= _MERGED_ROWS and len(found) < _MOST_MERGES:
                    found.append((left, top, right, bottom))
            rest = window[-64:] if b'mergeCell' in window[-64:] else window[-16:]
    return found


def _unmerged(line: int, values: list[Any], merges: list[tuple[int, int, int, int]]) -> list[Any]:
    """A row whose merged cells all show what the first of them holds, unless it is one title over all."""
    areas = [area for area in merges if area[1] == line and area[2] > area[0]]
    if not areas or sum(value is not None and value != '' for value in values) < 2:
        return values
    shown = list(values)
    for first, _, last, _ in areas:
        if first > len(values):
            continue
        shown += [None] * (last - len(shown))
        shown[first - 1 : last] = [values[first - 1]] * (last - first + 1)
    return shown


def _sample(rows: Iterator[tuple[int, list[Any]]], *, most: int) -> list[tuple[int, list[Any]]]:
    """The first filled rows, two at least; of blank ones between them, the first of each run."""
    sample: list[tuple[int, list[Any]]] = []
    filled = 0
    for number, values in rows:
        if values or not sample or sample[-1][1]:
            sample.append((number, values))
        filled += bool(values)
        if filled == most or (number > _SCANNED and filled > 2):
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


def _table(
    work: Work, layout: Layout, sink: Sink, hints: dict[str, str], notes: tuple[str, ...], reading: dict[str, Any]
) -> RawTable:
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
        reading=reading,
    )
