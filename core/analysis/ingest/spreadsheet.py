"""Excel workbooks (.xlsx) to the raw table: the sheet that holds the table."""

import re
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import chain
from pathlib import Path
from typing import Any, Final
from xml.etree.ElementTree import ParseError

from core.analysis.ingest.cells import kind_of
from core.analysis.ingest.layout import (
    NOTHING,
    Layout,
    Record,
    find_layout,
    is_heading,
    is_remark,
    is_title,
    layout_decisions,
)
from core.analysis.ingest.rawtable import Chosen, Dialect, Fault, FaultAction, FaultKind, Flag, RawTable, decision
from core.analysis.ingest.sink import Sink, Work
from core.analysis.ingest.types import ID_NAME, TIME_NAME
from core.errors import TooLarge, UnreadableFile, UsageError

_SAMPLE: Final = 1000
_WEIGHED: Final = 200
_SCANNED: Final = 20_000
_MOST_ROWS: Final = 2**20
_HEAD_ROWS: Final = 100
_BOOK_BYTES: Final = 2**20
_MOST_SHEETS: Final = 200
_MOST_MERGES: Final = 10_000
_MOST_TALL: Final = 100_000
_MOST_OPEN: Final = 100  # columns whose merged cells hold further down; a table names its groups in a few
_MERGE: Final = re.compile(rb'mergeCell\s+ref\s*=\s*["\']([A-Z]{1,3}\d{1,7}:[A-Z]{1,3}\d{1,7})["\']')
_WORDS: Final = re.compile(r'[^\W\d_]+')
_DATED: Final = frozenset({'date', 'datum', 'fecha', 'datetime'})
_DAYS: Final = frozenset({'day', 'tag', 'jour', 'giorno', 'ds', 'dia'})  # beside others, as in `steps per day`, no date
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
    ranked, bare, headers = _ranked(book, work, chosen)
    if chosen.sheet is not None:
        found = next((sheet for sheet in book.worksheets if sheet.title == chosen.sheet), None)
        if found is None:
            raise UsageError(f'The workbook has no sheet "{chosen.sheet}". It has: {", ".join(titles[:20])}.')
        ranked = [(0.0, found), *(pair for pair in ranked if pair[1] is not found)]
    if not ranked:
        return _table(work, NOTHING, Sink(work, 0), {}, (), {})
    share, sheet = ranked[0]
    others = [title for title in titles if title != sheet.title]
    notes = (
        (f'Other sheets were not read: {", ".join(others[:20])}.{_alike(sheet.title, others, headers)}',)
        if others
        else ()
    )
    reading = {
        'sheet': decision(
            sheet.title,
            confidence=1.0 if chosen.sheet is not None else share,
            runner_up=ranked[1][1].title if len(ranked) > 1 else None,
            asked=chosen.sheet is not None,
            options=[title for title in titles if title == sheet.title or title not in bare][:1000],
        )
    }
    return _Sheet(sheet, work, chosen).read((f'Sheet {sheet.title!r} was read.', *notes) if others else (), reading)


def _alike(title: str, others: Sequence[str], headers: Mapping[str, tuple[str, ...]]) -> str:
    """Tell which other sheets go on with the table of the one that is read, and how they are joined."""
    alike = [other for other in others if headers.get(title) and headers.get(other) == headers[title]]
    if not alike:
        return ''
    have = 'has the same columns: to join it, save it as a file of its own and add its rows'
    if len(alike) > 1:
        have = 'have the same columns: to join them, save each as a file of its own and add its rows'
    return f' {", ".join(alike[:20])} {have}.'


def _ranked(
    book: Any, work: Work, chosen: Chosen
) -> tuple[list[tuple[float, Any]], set[str], dict[str, tuple[str, ...]]]:
    """Sheets with records, the likeliest first, each with its share of what speaks for them all; the titles of those
    that hold a cell at most; and the names of columns by title.

    A sheet speaks by the cells of its table in the sample, twice where columns hold numbers or times. The first of
    several large ones goes before.
    """
    sheets = [sheet for sheet in book.worksheets if sheet.sheet_state == 'visible'] or book.worksheets
    for sheet in sheets[:_MOST_SHEETS]:
        sheet.reset_dimensions()
    if len(sheets) == 1:
        return [(1.0, sheets[0])], set(), {}
    weighed, bare, headers = [], set(), {}
    for sheet in sheets[:_MOST_SHEETS]:
        weight, headers[sheet.title] = _Sheet(sheet, work, chosen).weight()
        if weight <= 1:
            bare.add(sheet.title)
        if weight:
            weighed.append((weight, sheet))
    total = sum(weight for weight, _ in weighed)
    largest = max((weight for weight, _ in weighed), default=0)
    first = [pair for pair in weighed if pair[0] >= 0.5 * largest][:1]
    rest = sorted((pair for pair in weighed if pair not in first), key=lambda pair: -pair[0])
    return [(weight / total, sheet) for weight, sheet in first + rest], bare, headers


class _Sheet:
    """One sheet on its way into a sink."""

    def __init__(self, sheet: Any, work: Work, chosen: Chosen) -> None:
        self._sheet, self._work, self._chosen = sheet, work, chosen
        self._left = 0
        self._kinds: list[set[str]] = []
        self._serials: frozenset[int] = frozenset()
        self._merges: tuple[Area, ...] = ()
        self._held: list[tuple[int, list[Any]]] = []

    def weight(self) -> tuple[int, tuple[str, ...]]:
        """How much speaks for this sheet, the cells of its table in the first rows, and the header of that table."""
        sample = _sample(self._rows(), most=_WEIGHED)
        layout = self._layout(sample)
        rows = sum(bool(values) and layout.body <= line for line, values in sample) if layout.body else 0
        typed = any(kind in ('number', 'time') for kind in layout.profile)
        cells = layout.width * rows * (2 if typed and layout.width > 1 else 1) or sum(len(row) for _, row in sample)
        return cells, tuple(layout.header)

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
        self._merges = _merges(self._sheet)
        heads = [area for area in self._merges if area.top <= _HEAD_ROWS]
        records = [
            Record(line=line, cells=self._cells(_unmerged(line, values, heads), widest)) for line, values in sample
        ]
        merged = {area.top for area in heads if area.right > area.left}
        return find_layout(records, skip=self._chosen.skip, header_lines=self._chosen.header_lines, merged=merged)

    def _dated(self, sample: list[tuple[int, list[Any]]], layout: Layout) -> frozenset[int]:
        """The columns whose plain numbers are days since 1900: beside dates, or below a name that says so."""
        found = set()
        for index, name in enumerate(layout.names):
            place = index + self._left
            values = [values[place] for line, values in sample if line >= layout.body and len(values) > place]
            values = [value for value in values if value is not None and value != '']
            serials = sum(_is_serial(value) for value in values)
            dates = sum(isinstance(value, date) for value in values)
            words = set(_WORDS.findall(name.casefold()))
            named = serials > 2 and serials == len(values) and bool(words & _DATED or (words and words <= _DAYS))
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
        tall = _Tall(
            (area for area in self._merges if area.top >= layout.body),
            frozenset(1 + self._left + place for place in range(layout.width) if self._names_rows(layout, place)),
        )
        for number, values, below in _with_next(rows):
            if not layout.body or number < layout.body:
                continue
            if not values:
                after_blank = True
                continue
            values = self._with_dates(tall.filled(number, values))
            cells = self._cells(values, layout.width)
            titled = is_title(cells) and is_heading(self._cells(below, layout.width), layout.profile, titled=True)
            if after_blank and (titled or is_heading(cells, layout.profile)):
                left = 1 + bool(below) + sum(bool(others) for _, others in rows)
                return (f'A second table from row {number} on was cut off: {left:,} filled rows were left out.',)
            after_blank = False
            if is_remark(cells, layout.width, layout.profile) and len(self._held) < _SAMPLE:
                self._held.append((number, values))
                continue
            for line, earlier in self._held:
                self._store(line, earlier, layout, sink)
            self._held = []
            self._store(number, values, layout, sink)
        notes = [f'Footnotes from row {self._held[0][0]} on were left out.'] if self._held else []
        named = [f'"{layout.names[place]}"' for place in tall.places(self._left) if place < layout.width]
        if named:
            notes.append(f'Cells merged over several rows hold in each of them: {", ".join(named)}.')
        emptied = [
            f'"{layout.names[place]}" ({count:,})'
            for place, count in tall.left(self._left)
            if 0 <= place < layout.width
        ]
        if emptied:
            notes.append(
                'Numbers merged over several rows stand in the first of them alone, not to be added up several times. '
                f'Cells left empty: {", ".join(emptied)}.'
            )
        return tuple(notes)

    def _names_rows(self, layout: Layout, place: int) -> bool:
        """Whether the numbers of a column are times or keys: by its name, by its dates, or as it is the first one."""
        name = layout.names[place].strip()
        return place == 0 or place in self._serials or bool(TIME_NAME.search(name) or ID_NAME.match(name))

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


def _with_next(rows: Iterator[tuple[int, list[Any]]]) -> Iterator[tuple[int, list[Any], list[Any]]]:
    """Rows, each with the values of the one below it."""
    before = next(rows, None)
    for row in rows:
        if before is not None:
            yield (*before, row[1])
        before = row
    if before is not None:
        yield (*before, [])


def _is_serial(value: Any) -> bool:
    """Whether a number may be a day of the years 1954 to 2064 as Excel counts them."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 20_000 <= value < 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """Merged cells; columns and rows are counted from 1, and the last ones belong to it."""

    left: int
    top: int
    right: int
    bottom: int


class _Tall:
    """Merged cells below the header: what the first row of an area holds, each of its rows shows in that column.

    A number holds in the first row alone, as what was delivered in a week, unless its column is one of `keys`.
    """

    def __init__(self, areas: Iterable[Area], keys: frozenset[int]) -> None:
        self._keys = keys
        self._measured: list[Area] = []
        self._last = 0
        self._starts: dict[int, list[Area]] = {}
        for area in areas:
            if area.bottom > area.top:
                self._starts.setdefault(area.top, []).append(area)
        self._open: dict[int, tuple[int, Any]] = {}  # column → last row and value
        self._used: set[int] = set()

    def filled(self, number: int, values: list[Any]) -> list[Any]:
        """The values of a row, which come in order, with those of the areas that it lies in."""
        self._last = number
        if not self._starts and not self._open:
            return values
        shown = list(values)
        for column, (bottom, value) in list(self._open.items()):
            if bottom < number:
                del self._open[column]
            elif column > len(shown) or shown[column - 1] in (None, ''):
                shown += [None] * (column - len(shown))
                shown[column - 1] = value
                self._used.add(column)
        for area in self._starts.pop(number, ()):
            value = values[area.left - 1] if area.left <= len(values) else None
            if area.left not in self._keys and _is_number(value):
                self._measured.append(area)
            elif value not in (None, '') and len(self._open) < _MOST_OPEN:
                self._open[area.left] = (area.bottom, value)
        return shown

    def places(self, left: int) -> list[int]:
        """The columns that were filled, counted from 0 behind the first `left` ones of the sheet."""
        return [column - 1 - left for column in sorted(self._used)]

    def left(self, left: int) -> list[tuple[int, int]]:
        """The columns in which cells below a number were left empty, counted likewise, each with their number."""
        counts: Counter[int] = Counter()
        for area in self._measured:
            counts[area.left - 1 - left] += min(area.bottom, self._last) - area.top
        return sorted((place, count) for place, count in counts.items() if count)


def _is_number(value: Any) -> bool:
    """Whether a cell holds a number, be it one that was typed as text."""
    if isinstance(value, str):
        return kind_of(value) == 'number'
    return isinstance(value, int | float) and not isinstance(value, bool)


def _merges(sheet: Any) -> tuple[Area, ...]:
    """Merged areas: those near the top, where headers are, and those over several rows wherever they stand.

    openpyxl gives none when it streams; they stand behind the cells.
    """
    from openpyxl.utils import range_boundaries

    heads: list[Area] = []
    tall: list[Area] = []
    rest = b''
    with closing(sheet._get_source()) as source:
        while block := source.read(2**20):
            window = rest + block
            end = 0
            for match in _MERGE.finditer(window):
                end = match.end()
                left, top, right, bottom = range_boundaries(match[1].decode('ascii', 'replace'))
                if left is None or top is None or right is None or bottom is None:
                    continue
                kept, most = (tall, _MOST_TALL) if bottom > top else (heads, _MOST_MERGES)
                if len(kept) < most and (bottom > top or top <= _HEAD_ROWS):
                    kept.append(Area(left=left, top=top, right=right, bottom=bottom))
            rest = window[max(end, len(window) - 64) :]
    return (*heads, *tall)


def _unmerged(line: int, values: list[Any], merges: Sequence[Area]) -> list[Any]:
    """A row whose merged cells all show what the first of them holds, unless it is one title over all."""
    areas = [area for area in merges if area.top == line and area.right > area.left]
    if not areas or sum(value is not None and value != '' for value in values) < 2:
        return values
    shown = list(values)
    for area in areas:
        if area.left > len(values):
            continue
        shown += [None] * (area.right - len(shown))
        shown[area.left - 1 : area.right] = [values[area.left - 1]] * (area.right - area.left + 1)
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
