"""Shape: wide tables become long ones, and a time that is split over columns becomes one column.

A table is wide by period where the names of columns are times (years, months, quarters, days) and the rows are series;
it is wide by series where one column is the time and many others, named alike, hold numbers of one kind. Either becomes
a raw table with one row for each point: the columns that stay, the name of the column it came from, and its value.
Cells that are empty make no point. A table of a few measures, such as open, high, low and close, stays as it is.

Rows of a melted table have two columns more: `_record`, the number of the source's record, and `_column`, the name of
the source's column (of each measure), so that counts are of source records and faults name their cell.
"""

import re
from calendar import monthrange
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from core.analysis import duck
from core.analysis.ingest import readings
from core.analysis.ingest.rawtable import RawTable
from core.analysis.ingest.readings import Reading
from core.errors import UsageError

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

LOOKED_AT: Final = 60
ABSENT: Final = -1
BETWEEN: Final = '\x1f'
"""Stands in `_column` between the names of the columns of several measures."""
FEWEST_PERIODS: Final = 2
FEWEST_ALIKE: Final = 8
FEWEST_CODES: Final = 12
FEWEST_ANY: Final = 50
BATCH_CELLS: Final = 2**18
JOINED_AT_MOST: Final = 1500
STEPS: Final = ('minute', 'hour', 'day', 'week', 'month', 'quarter', 'year')
_SECONDS: Final = {'minute': 60, 'hour': 3600, 'day': 86_400, 'week': 604_800}
_MONTHS: Final = {'month': 1, 'quarter': 3, 'year': 12}
_MELT_KEYS: Final = ('columns', 'into', 'name', 'value', 'start', 'step')

_YEAR_NAMES: Final = re.compile(r'(?i)(year|yr|yyyy|jahr|ann[ée]e|an|a[ñn]o|anno|ano)')
_MONTH_NAMES: Final = re.compile(r'(?i)(month|mon|mm|monat|mois|mes|mese|m[êe]s|month_?(nr|no|num|number|name))')
_DAY_NAMES: Final = re.compile(r'(?i)(day|dy|dd|dom|mday|day_?of_?month|tag|jour|d[ií]a|giorno)')
_WEEK_NAMES: Final = re.compile(r'(?i)(week|wk|epi_?week|iso_?week|week_?(nr|no|num|number)|woche|kw|semaine|semana)')
_QUARTER_NAMES: Final = re.compile(r'(?i)(quarter|qtr|quartal|trimestre|q)')
_HOUR_NAMES: Final = re.compile(r'(?i)(hour|hr|hh|stunde|heure|hora|hour_?of_?day|hour_?ending|he)')
_CLOCK_NAMES: Final = re.compile(
    r'(?i)(time|clock|uhrzeit|zeit|heure|hora|ora|tijd|time ?of ?day|hour|local ?time|utc|'
    r'time ?\(?(utc|gmt|local|lst|utc time)\)?)'
)
_TIME_OF_DAY_NAMES: Final = re.compile(r'(?i)(clock|uhrzeit|time ?of ?day|local ?time)')
_MEASURE_WORD: Final = re.compile(
    r'(?i)(open|high|low|close|volume|price|vwap|temp|humid|pressure|wind|speed|rain|precip|snow|cloud|count|total|sum|'
    r'mean|avg|average|median|min|max|std|var|rate|ratio|share|percent|pct|%|\(|\[|index|load|demand|power|energy|cost|'
    r'sales|revenue|profit|value|amount|quantity|qty|number|num|age|weight|height|width|length|lat|lon|flow|level|depth|'
    r'promo|holiday|discount|stock|tax|income|score|lag|diff|change|return|target|feature|feat|var)'
)
_UNNAMED: Final = re.compile(r'column_\d+')
_PERIOD_NAME: Final[Mapping[str, str]] = {
    'YYYY': 'year', 'YYYY-Qn': 'quarter', 'Qn YYYY': 'quarter', 'nQ YYYY': 'quarter', 'Qn YY': 'quarter',
    'nQYY': 'quarter', 'YYYY-Www': 'week', 'YYYY-MM': 'month', 'YYYYMM': 'month', 'YYYYMmm': 'month',
    'Mon YYYY': 'month', 'YYYY Mon': 'month', 'Mon YY': 'month', 'MM/YYYY': 'month',
}  # fmt: skip
_PERIOD_CODE: Final = re.compile(r'M(?:0[1-9]|1[0-3])|Q0[1-5]')
_CODE: Final = re.compile(r'[A-Z][A-Z0-9.^=/&-]{0,11}')
_PLACE: Final = re.compile(r"[A-ZÀ-Þ][\w .,'&()/-]*")
_AFFIXED: Final = re.compile(r'^(?P<stem>.*?)(?P<digits>\d+)$')


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a table becomes long: places of the columns to melt, what each is called in the long table, and why."""

    places: tuple[int, ...]
    labels: tuple[str, ...]
    name: str
    value: str
    into: str
    reason: str
    measures: tuple[str, ...] = ()  # several: `places` holds those of the first, then of the next; ABSENT has no column
    beside: int | None = None  # a column that stays and completes the labels, such as the year of columns of months
    complete: Callable[[str, str], str] = field(default=lambda beside, label: label, compare=False, repr=False)


def check_melt(shape: str, melt: Mapping[str, Any]) -> None:
    """Raise UsageError for a way to melt that means nothing."""
    unknown = [key for key in melt if key not in _MELT_KEYS]
    if unknown:
        raise UsageError(f'"{unknown[0]}" says nothing about melting. Choose from: {", ".join(_MELT_KEYS)}.')
    if melt and shape == 'long':
        raise UsageError('A long table is not melted. Leave out melt, or choose the shape wide.')
    if melt.get('into', 'series') not in ('period', 'series', 'rows'):
        raise UsageError(f'Columns are melted into "period" or "series", or "rows" counted, not "{melt["into"]}".')
    if melt.get('into') == 'rows' and 'start' not in melt:
        raise UsageError('Rows that are steps of time need the start of the first, such as 2024-01-31, and the step.')
    if not isinstance(melt.get('columns', []), list | tuple):
        raise UsageError('The columns to melt are a list of names.')
    if melt.get('step', 'day') not in STEPS:
        raise UsageError(f'"{melt["step"]}" is no step. Choose from: {", ".join(STEPS)}.')
    for key in ('name', 'value', 'start'):
        if not isinstance(melt.get(key, ''), str):
            raise UsageError(f'"{key}" of melt must be a text.')
    if melt.get('into') == 'rows' and len(melt.get('columns', [])) > 1:
        raise UsageError('Rows are counted by one column at most. Name one, or none for their order in the file.')
    if 'start' in melt:
        _start(melt['start'])


def may_change(names: Sequence[str], *, shape: str, melt: Mapping[str, Any]) -> bool:
    """Whether a table with columns of these names may be reshaped, told by the names alone."""
    if melt or shape == 'wide':
        return True
    if _may_join(names) or all(_UNNAMED.fullmatch(name) for name in names) or _repeat(names):
        return True
    if shape != 'auto':
        return False
    return (
        _may_be_series(names)
        or bool(_parts_of_names(names))
        or _periods(names) is not None
        or _measures_by_period(names) is not None
    )


def _repeat(names: Sequence[str]) -> bool:
    """Whether names repeat as they do above a second row of names, or are left out there: `sales, sales_2`."""
    known = set(names)
    repeated = sum(bool((match := re.fullmatch(r'(.+)_\d+', name)) and match[1] in known) for name in names)
    return repeated >= FEWEST_PERIODS or sum(bool(_UNNAMED.fullmatch(name)) for name in names) >= FEWEST_PERIODS


def _may_be_series(names: Sequence[str]) -> bool:
    if len(names) > FEWEST_ANY:
        return True
    stems = Counter(match['stem'] for name in names if (match := _AFFIXED.match(name.strip())))
    bare = [name for name in names if _CODE.fullmatch(name.strip()) or _PLACE.fullmatch(name.strip())]
    return len(bare) >= FEWEST_CODES or (bool(stems) and stems.most_common(1)[0][1] >= FEWEST_ALIKE - 1)


def melted(
    connection: 'duckdb.DuckDBPyConnection',
    raw: RawTable,
    *,
    workdir: Path,
    shape: str = 'auto',
    melt: Mapping[str, Any] | None = None,
    roles: Mapping[str, str] | None = None,
    known: Sequence[str] = (),
) -> RawTable:
    """Return the raw table as a long one with one time column; it is returned as it is where there is nothing to do.

    `shape` is auto, long or wide, `melt` what the user says about it: `columns` to melt, `into` period or series,
    the `name` of the column that takes their names and that of their `value`; where names are numbers of steps,
    `start` is the time of the first and `step` one of `STEPS`. Into `rows`, a table without a time is given one:
    its rows are steps from `start`, in their order or numbered by the one of `columns`. `roles` are the user's:
    with a time among them no columns are joined. `known` are the columns of the dataset that the table joins: where
    they were made by melting, one column of a period or a series is enough. `rows_read` stays the number of source
    records, `shape` of the result tells what was done.
    Raises UsageError when there is nothing to melt though it was asked for.
    """
    check_melt(shape, melt or {})
    if not raw.names or not raw.rows_read:
        return raw
    raw = _with_header(raw, workdir=workdir)
    if melt and melt.get('into') == 'rows':
        raw, melt = _counted(connection, raw, melt, workdir=workdir), {}
    columns = _looked_at(raw)
    if 'time' not in (roles or {}).values() and 'time' not in raw.shape:
        joined = _joined(connection, raw, columns, workdir=workdir)
        if joined is not raw:
            raw, columns = joined, _looked_at(joined)
    if shape == 'long':
        return raw
    plan = _asked_plan(raw, columns, melt) if melt else _plan(raw, columns, forced=shape == 'wide', known=known)
    if plan is None:
        if shape == 'wide':
            raise UsageError('No columns of this table look like periods or series. Say which ones to melt.')
        return raw
    return _melt(raw, plan, workdir=workdir)


def _with_header(raw: RawTable, *, workdir: Path) -> RawTable:
    """A table without a header whose first record names times in columns of numbers: that record is its header."""
    import pyarrow.parquet as pq

    if raw.named:
        return _with_second_header(raw, workdir=workdir)
    if raw.rows_read < 2 or len(raw.names) <= FEWEST_PERIODS:
        return raw
    with pq.ParquetFile(raw.path) as file:
        head = next(file.iter_batches(batch_size=8))
    if head.column('_flag')[0].as_py() or head.num_rows < 2:
        return raw
    columns = [head.column(f'c{place}').to_pylist() for place in range(len(raw.names))]
    first = [(column[0] or '').strip(readings.BLANK) for column in columns]
    places = _places_of_names(first, columns)
    if not places:
        return raw
    below = [cell for place in places for cell in columns[place][1:] if not readings.is_missing((cell or '').strip())]
    if not below or sum(bool(_NUMBER.fullmatch(cell.strip())) for cell in below) < 0.8 * len(below):
        return raw
    names: list[str] = []
    for place, cell in enumerate(first):
        names.append(_free(cell or f'column_{place + 1}', names))
    note = 'Line {line} names times or counts on, so it is the header of the table.'
    return _without_first(raw, names, header=[column[0] or '' for column in columns], note=note, workdir=workdir)


def _with_second_header(raw: RawTable, *, workdir: Path) -> RawTable:
    """A table whose names repeat (or are left out after the first) above a record of times: both are its header."""
    import pyarrow.parquet as pq

    if raw.rows_read < 2 or not _repeat(raw.names) or len(raw.header) != len(raw.names):
        return raw
    with pq.ParquetFile(raw.path) as file:
        head = next(file.iter_batches(batch_size=8))
    columns = [head.column(f'c{place}').to_pylist() for place in range(len(raw.names))]
    first = [(column[0] or '').strip(readings.BLANK) for column in columns]
    written: list[str] = []
    for cell in raw.header:
        written.append(cell.strip(readings.BLANK) or (written[-1] if written else ''))
    filled = [place for place, cell in enumerate(first) if cell]
    pairs = {(written[place], first[place]) for place in filled}
    periods = _periods(list(dict.fromkeys(first[place] for place in filled)))
    is_header = periods is not None and {first[place] for place in filled} == set(periods[1].values())
    repeats = {name for name, times in Counter(written[place] for place in filled).items() if times >= FEWEST_PERIODS}
    if not is_header or len(pairs) < len(filled) or {written[place] for place in filled} != repeats:
        return raw
    names = [f'{written[p]} {first[p]}' if p in filled else raw.names[p] for p in range(len(first))]
    note = 'Line {line} holds the times of the names above it, so it belongs to the header.'
    return _without_first(raw, names, header=names, note=note, workdir=workdir)


def _counted(
    connection: 'duckdb.DuckDBPyConnection', raw: RawTable, melt: Mapping[str, Any], *, workdir: Path
) -> RawTable:
    """A table without a time, whose records are equal steps from a start, with that time in front of its columns.

    Raises UsageError when the column that numbers them is not there or holds no whole number, or time runs out.
    """
    start, step, order = _start(melt['start']), melt.get('step', 'day'), next(iter(melt.get('columns', ())), None)
    if order is not None and order not in raw.names:
        raise UsageError(f'There is no column "{order}" to count by. Columns are {", ".join(raw.names[:20])}.')
    number = 'file_row_number' if order is None else _last_number(raw.names.index(order))
    source = f'read_parquet({duck.text(str(raw.path))}, file_row_number = true)'
    least, most = duck.single(connection, f'SELECT min({number}), max({number}) FROM {source} WHERE _flag < 2')
    if least is None:
        raise UsageError(f'Column "{order}" holds no whole numbers to count by. Name another one.')
    try:
        _moved(start, int(most) - int(least), step)
    except (OverflowError, ValueError):
        raise UsageError(f'{most - least:,} times one {step} after {melt["start"]} is later than any date.') from None
    length = f'to_seconds({_SECONDS[step]}' if step in _SECONDS else f'to_months({_MONTHS[step]}'
    time = f"TIMESTAMP '{start:%Y-%m-%d %H:%M:%S}' + {length} * ({number} - {least})::INTEGER)"
    whole = step not in ('minute', 'hour') and start.time() == datetime.min.time()
    shown = f'strftime({time}, {duck.text("%Y-%m-%d" if whole else "%Y-%m-%d %H:%M:%S")})'
    cells = ''.join(f', c{place} AS c{place + 1}' for place in range(len(raw.names)))
    path, name = workdir / f'counted-{raw.path.name}', _free(melt.get('name') or 'time', raw.names)
    connection.execute(
        f'COPY (SELECT _line, _flag, {shown} AS c0{cells} FROM {source} ORDER BY file_row_number) '
        f'TO {duck.text(str(path))} (FORMAT parquet, COMPRESSION lz4)'
    )
    told = 'in their order' if order is None else f'numbered by "{order}"'
    note = f'Rows are steps of one {step} from {melt["start"]}, {told}, as asked: they became the column "{name}".'
    return replace(
        raw,
        path=path,
        names=(name, *raw.names),
        header=(name, *raw.header) if raw.header else (),
        notes=(*raw.notes, note),
        shape={**raw.shape, 'time': name},
    )


def _last_number(place: int) -> str:
    """SQL: the whole number at the end of a cell, such as 7 or t7, NULL when there is none."""
    return f"TRY_CAST(regexp_extract(c{place}, '^[^0-9-]*(-?[0-9]{{1,9}})(?:\\.0*)?\\s*$', 1) AS BIGINT)"


def _without_first(raw: RawTable, names: Sequence[str], *, header: Sequence[str], note: str, workdir: Path) -> RawTable:
    """The table without its first record, which is its header."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(raw.path) as file:
        line = next(file.iter_batches(batch_size=1)).column('_line')[0].as_py()
    path = workdir / f'named-{raw.path.name}'
    with pq.ParquetFile(raw.path) as file, pq.ParquetWriter(path, file.schema_arrow, compression='lz4') as writer:
        skipped = 0
        for batch in file.iter_batches(batch_size=max(2, BATCH_CELLS // len(names))):
            writer.write_batch(batch if skipped else batch.slice(1))
            skipped = 1
    return replace(
        raw,
        path=path,
        names=tuple(names),
        named=True,
        header=tuple(header),
        header_line=raw.header_line or line,
        rows_read=raw.rows_read - 1,
        notes=(*raw.notes, note.format(line=line)),
    )


def _places_of_names(first: Sequence[str], columns: Sequence[Sequence[str | None]]) -> list[int]:
    """Return the places of a first record in which names of columns stand that look like values: times, or numbers that
    count on above columns of numbers beside one of times."""
    periods = _periods(first)
    if periods is not None and len(periods[1]) * 2 >= len(first):
        return list(periods[1])
    counts = {place: int(cell) for place, cell in enumerate(first) if re.fullmatch(r'\d{1,5}', cell)}
    follows = list(counts.values()) == list(
        range(min(counts.values(), default=0), min(counts.values(), default=0) + len(counts))
    )
    if len(counts) < max(FEWEST_ALIKE, len(first) // 2) or not follows:
        return []
    rest = [place for place in range(len(first)) if place not in counts]
    below = {place: [(cell or '').strip() for cell in columns[place][1:]] for place in rest}
    timed = any(
        _share(reading, below[place]) == 1.0 and not reading.matches(first[place])
        for place in rest
        for reading in readings.TIMES
        if not reading.coded
    )
    return list(counts) if timed else []


# what the columns hold, by a few of their cells


@dataclass(frozen=True, slots=True, kw_only=True)
class _Looked:
    """A column by some of its cells: `numbers` is the share of numbers, `size` the middle of their magnitudes."""

    place: int
    name: str
    cells: tuple[str, ...]
    numbers: float
    size: float

    @property
    def numeric(self) -> bool:
        """Whether it holds numbers, or nothing."""
        return not self.cells or self.numbers >= 0.8


def _looked_at(raw: RawTable) -> list[_Looked]:
    import pyarrow.parquet as pq

    found: list[list[str]] = [[] for _ in raw.names]
    places = range(len(raw.names))
    with pq.ParquetFile(raw.path) as file:
        groups = file.metadata.num_row_groups
        for group in sorted({0, groups // 2, groups - 1}) if groups else ():
            size = max(1, LOOKED_AT // min(3, groups))
            batches = file.iter_batches(batch_size=size, row_groups=[group], columns=[f'c{i}' for i in places])
            for column, cells in zip(next(batches, _NO_BATCH).columns if groups else (), found, strict=False):
                texts = ((cell or '').strip(readings.BLANK) for cell in column.to_pylist())
                cells += [text for text in texts if not readings.is_missing(text)]
    return [_look(place, raw.names[place], tuple(found[place])) for place in places]


class _Nothing:
    columns: tuple[Any, ...] = ()


_NO_BATCH: Final = _Nothing()
_NUMBER: Final = re.compile(
    r"[+\-−$€£]?\(?(?:\d[\d.,' \u00a0\u202f]*|[.,]\d+)(?:[eE][+-]?\d+)?\)?(?: ?[%€$])?(?: [a-z]{1,2})?"
)


_DECIMAL: Final = re.compile(r'-?\d{1,11}(?:\.\d+)?')


def _look(place: int, name: str, cells: tuple[str, ...]) -> _Looked:
    numbers = [cell for cell in cells if _NUMBER.fullmatch(cell)]
    sizes = sorted(len(re.sub(r'[.,]\d*$', '', re.sub(r'[^\d.,]', '', cell))) for cell in numbers)
    return _Looked(
        place=place,
        name=name,
        cells=cells,
        numbers=len(numbers) / len(cells) if cells else 0.0,
        size=float(sizes[len(sizes) // 2]) if sizes else 0.0,
    )


def _is_time(column: _Looked) -> bool:
    """Whether the cells of a column are times that are more than numbers, or numbers under the name of a time."""
    from core.analysis.ingest.types import TIME_NAME

    if not column.cells:
        return False
    named = bool(TIME_NAME.search(column.name))
    # Numbers of less than twelve digits are times by their name only: this tells most columns by three of their cells.
    plain = not named and all(_DECIMAL.fullmatch(cell) for cell in column.cells[:3])
    return not plain and any(
        (named or not reading.coded) and _share(reading, column.cells) >= 0.9 for reading in readings.TIMES
    )


def _share(reading: Reading, cells: Sequence[str]) -> float:
    if not any(reading.matches(cell) for cell in cells[:3]):
        return 0.0
    return sum(reading.matches(cell) for cell in cells) / len(cells)


# wide tables


def _plan(raw: RawTable, columns: Sequence[_Looked], *, forced: bool, known: Sequence[str] = ()) -> Plan | None:
    """Return how the table is to be melted, None when it is long."""
    if not raw.named:
        return None
    return (
        _as_before(columns, known)
        or _by_period(columns, forced=forced)
        or _by_measure(columns, forced=forced)
        or _by_part(columns)
        or _by_series(columns, forced=forced)
    )


def _as_before(columns: Sequence[_Looked], known: Sequence[str]) -> Plan | None:
    """Return the plan that makes the columns which a dataset has and the table lacks, however few it melts."""
    lacking = {*known} - {column.name.strip() for column in columns}
    if len(lacking) < 2:
        return None
    plans = (
        _by_measure(columns, forced=True, fewest=1),
        _by_period(columns, forced=True, fewest=1),
        _by_part(columns, fewest=1),
        _by_series(columns, forced=True),
    )
    return next((plan for plan in plans if plan and {plan.name, *(plan.measures or (plan.value,))} <= lacking), None)


def _periods(names: Sequence[str], *, fewest: int = FEWEST_PERIODS) -> tuple[Reading, dict[int, str]] | None:
    """Return the reading of the names that are times, and how these are written, without what they share in front."""
    best: tuple[Reading, dict[int, str]] | None = None
    for strip in (_as_written, _without_stem, _in_brackets):
        texts = {place: text for place, name in enumerate(names) if (text := strip(name))}
        if strip is not _as_written and len({_stem(names[place]) for place in texts}) > 1:
            continue
        some = [*texts.values()][:: max(1, len(texts) // 50)]
        for reading in readings.TIMES:
            if reading in readings.EPOCHS or reading.name == 'YYYY-DDD' or not any(map(reading.matches, some)):
                continue
            fitting = {place: text for place, text in texts.items() if reading.matches(text)}
            if len(set(fitting.values())) == len(fitting) and len(fitting) > len(best[1] if best else ()):
                best = reading, fitting
        if best and len(best[1]) >= fewest:
            return best
    return best if best and len(best[1]) >= fewest else None


def _as_written(name: str) -> str:
    return name.strip()


def _without_stem(name: str) -> str:
    """A name such as X1990, y_1990, sales_2020-01 or value2020Q1 without what stands before the digits; a name that
    a nameless column was given has none."""
    match = None if _UNNAMED.fullmatch(name) else re.fullmatch(r'[^\W\d]+?[ _.-]?(\d.*)', name.strip())
    # R writes X2020.01.31 for 2020-01-31.
    return match[1] if match else ''


def _in_brackets(name: str) -> str:
    """The World Bank writes 1990 [YR1990]."""
    match = re.fullmatch(r'(\d{4}[\w-]*) \[YR\w+\]', name.strip())
    return match[1] if match else ''


def _stem(name: str) -> str:
    return re.split(r'\d', name.strip(), maxsplit=1)[0]


def _by_period(columns: Sequence[_Looked], *, forced: bool, fewest: int = FEWEST_PERIODS) -> Plan | None:
    found = _periods([column.name for column in columns], fewest=fewest)
    if found is None:
        return None
    reading, texts = found
    places = [place for place in texts if columns[place].numeric]
    rest = [column for column in columns if column.place not in texts]
    if len(places) < max(fewest, 0.8 * len(texts)):
        return None
    # A year beside seven other numbers is no layout: periods are most of the columns that hold numbers.
    others = [column for column in rest if column.numeric and column.cells and not _is_code(column)]
    if len(others) > (len(places) if len(places) > 2 else 0) and not forced:
        return None
    labels = {place: texts[place] for place in places}
    months = next((column for column in rest if reading == readings.YEAR and _are_months(column)), None)
    if months is not None:
        reason = f'{len(places)} columns are years, and column "{months.name}" holds their months'
        return _plan_of(labels, name='month', into='period', reason=reason, beside=months.place, complete=_year_month)
    if any(_is_time(column) for column in rest) and not forced:
        return None
    written = f'{texts[places[0]]} to {texts[places[-1]]}'
    reason = f'{len(places)} columns are named by times, {written}'
    if len(places) == 1:
        reason = f'one column is named by a time, {texts[places[0]]}'
    return _plan_of(labels, name=_PERIOD_NAME.get(reading.name, 'date'), into='period', reason=reason)


def _by_measure(columns: Sequence[_Looked], *, forced: bool, fewest: int = FEWEST_PERIODS) -> Plan | None:
    """Several measures, each in a column for every period."""
    found = _measures_by_period([column.name for column in columns], fewest=fewest)
    if found is None:
        return None
    reading, grid = found
    periods = list(dict.fromkeys(period for places in grid.values() for period in places))
    places = {place for of_measure in grid.values() for place in of_measure.values()}
    rest = [column for column in columns if column.place not in places]
    others = [column for column in rest if column.numeric and column.cells and not _is_code(column)]
    if sum(columns[place].numeric for place in places) < 0.8 * len(places):
        return None
    if (len(others) > len(places) or any(_is_time(column) for column in rest)) and not forced:
        return None
    return Plan(
        places=tuple(of_measure.get(period, ABSENT) for of_measure in grid.values() for period in periods),
        labels=tuple(periods),
        name=_PERIOD_NAME.get(reading.name, 'date'),
        value=next(iter(grid)),
        measures=tuple(grid),
        into='period',
        reason=f'{len(places)} columns are {len(grid)} measures ({", ".join([*grid][:5])}) by times, '
        f'{periods[0]} to {periods[-1]}',
    )


def _measures_by_period(
    names: Sequence[str], *, fewest: int = FEWEST_PERIODS
) -> tuple[Reading, dict[str, dict[str, int]]] | None:
    """Return the reading of the periods in names such as `sales_2020` or `2020 Q1 cost`, and by measure the place of
    each period; None unless at least two measures have the `fewest`, and most of all periods each."""
    if sum(any(mark.isdigit() for mark in name) for name in names) < 2 * fewest:
        return None
    cut = [(place, stem, period) for place, name in enumerate(names) for stem, period in _cuts(name.strip())]
    best: tuple[Reading, dict[str, dict[str, int]]] | None = None
    for reading in readings.TIMES:
        if reading in readings.EPOCHS or reading.name in ('YYYY-DDD', 'DMonYYYY'):
            continue
        if not any(reading.matches(period) for _, _, period in cut[:: max(1, len(cut) // 200)]):
            continue
        grid: dict[str, dict[str, int]] = {}
        taken: set[int] = set()
        for place, stem, period in cut:
            if place not in taken and reading.matches(period) and period not in grid.get(stem, {}):
                grid.setdefault(stem, {})[period] = place
                taken.add(place)
        periods = {period for places in grid.values() for period in places}
        grid = {stem: places for stem, places in grid.items() if len(places) * 2 > len(periods)}
        size = sum(map(len, grid.values()))
        if len(grid) > 1 and len(periods) >= fewest and size > (sum(map(len, best[1].values())) if best else 0):
            best = reading, grid
    return best


def _cuts(name: str) -> Iterator[tuple[str, str]]:
    """Yield a name as what is measured and a period, cut at each mark between the two; the longest periods first."""
    for match in re.finditer(r'[ _.:/-]+|(?<=[^\W\d_])(?=\d)', name):
        before, behind = name[: match.start()], name[match.end() :]
        if before and behind and not before[0].isdigit():
            yield before, behind
    for match in reversed([*re.finditer(r'[ _.:/-]+', name)]):
        before, behind = name[: match.start()], name[match.end() :]
        if before and behind and not behind[0].isdigit():
            yield behind, before


def _is_code(column: _Looked) -> bool:
    from core.analysis.ingest.types import ID_NAME

    return bool(ID_NAME.match(column.name.strip()))


def _are_months(column: _Looked) -> bool:
    """Whether the cells of a column are months without a year: their names, or numbers under such a name."""
    named = all(_month_of(cell) is not None and not cell.isdigit() for cell in column.cells)
    numbered = bool(_MONTH_NAMES.fullmatch(column.name.strip())) and all(_month_of(cell) for cell in column.cells)
    return bool(column.cells) and (named or numbered) and len(set(column.cells)) >= min(6, len(column.cells))


def _month_of(text: str) -> int | None:
    """The number of a month by its name or its number, None for anything else."""
    bare = text.strip().lower().rstrip('.')
    if bare.isdigit():
        return int(bare) if 1 <= int(bare) <= 12 else None
    return readings.month_of(bare)


def _year_month(beside: str, label: str) -> str:
    month = _month_of(beside)
    return f'{label[:4]}-{month:02}' if month else f'{label} {beside}'


def _by_part(columns: Sequence[_Looked], *, fewest: int | None = None) -> Plan | None:
    """Columns of months, quarters or clock times beside a column of years or days."""
    for mark, labels in _parts_of_names([column.name for column in columns], fewest=fewest).items():
        if not all(columns[place].numeric for place in labels):
            continue
        rest = [column for column in columns if column.place not in labels]
        wanted = _is_time if mark == ' ' else _are_years if fewest is None else _are_whole_years
        beside = next((column for column in rest if wanted(column)), None)
        if beside is not None:
            what = {'-': 'months', '-Q': 'quarters', ' ': 'times of day'}[mark]
            reason = f'{len(labels)} columns are {what} of column "{beside.name}"'
            name = {'-': 'month', '-Q': 'quarter', ' ': 'time'}[mark]
            return _plan_of(labels, name=name, into='period', reason=reason, beside=beside.place, complete=_after(mark))
    return None


def _parts_of_names(names: Sequence[str], *, fewest: int | None = None) -> dict[str, dict[int, str]]:
    """Return the names that are months, quarters or times of day, by what stands before them in a whole time; by
    default, of each at least half of what there is."""
    months: dict[int, str] = {}
    quarters: dict[int, str] = {}
    clocks: dict[int, str] = {}
    for place, written in enumerate(names):
        name = written.strip()
        if (month := readings.month_of(name.lower().rstrip('.'))) is not None:
            months[place] = f'{month:02}'
        elif quarter := re.fullmatch(r'(?i)(?:q|quarter ?|qtr ?)([1-4])', name):
            quarters[place] = quarter[1]
        elif re.fullmatch(r'\d{1,2}:\d{2}(?::\d{2})?', name):
            clocks[place] = name
    found = {'-': (months, 6), '-Q': (quarters, 4), ' ': (clocks, 8)}
    return {
        mark: labels
        for mark, (labels, usual) in found.items()
        if len(labels) >= (fewest or usual) and len(set(labels.values())) == len(labels)
    }


def _are_years(column: _Looked) -> bool:
    return bool(column.cells) and _share(readings.YEAR, column.cells) >= 0.95 and len(set(column.cells)) > 1


def _after(mark: str) -> Callable[[str, str], str]:
    def complete(beside: str, label: str) -> str:
        return f'{beside.removesuffix(".0")}{mark}{label}'

    return complete


def _by_series(columns: Sequence[_Looked], *, forced: bool) -> Plan | None:
    """Many columns of numbers of one kind beside one time."""
    times = [column for column in columns if _is_time(column)]
    if len(times) != 1 and not (forced and times):
        return None
    time = max(times, key=lambda column: len(set(column.cells)))
    rest = [column for column in columns if column.place != time.place]
    if any(not column.numeric for column in rest) and not forced:
        return None
    numbers = [column for column in rest if column.numeric]
    why = _alike(numbers)
    if not why and not (forced and numbers):
        return None
    labels = {column.place: column.name.strip() for column in numbers}
    reason = f'{len(numbers)} columns of numbers beside "{time.name}" {why or "are melted, as asked"}'
    return _plan_of(labels, name='series', into='series', reason=reason)


def _alike(columns: Sequence[_Looked]) -> str:
    """Why columns of numbers are the same quantity of several series, '' when they are different measures."""
    names = [column.name.strip() for column in columns]
    sizes = sorted(column.size for column in columns if column.cells)
    spread = sizes[-max(1, len(sizes) // 10)] - sizes[len(sizes) // 10] if sizes else 0
    numbered = [match for name in names if (match := _AFFIXED.match(name))]
    stems = Counter(match['stem'] for match in numbered)
    if len(columns) >= FEWEST_ALIKE and stems and stems.most_common(1)[0][1] >= 0.9 * len(columns):
        stem = stems.most_common(1)[0][0]
        # Lags and features of one model are numbered too, and are no series.
        return (
            ''
            if re.fullmatch(r'(?i)(lag|feat|feature|pc|dim|v|f|col|column|unnamed: )[ _]?', stem)
            else 'are numbered alike'
        )
    if any(_MEASURE_WORD.search(name) for name in names) or spread > 3:
        return ''
    coded = sum(bool(_CODE.fullmatch(name)) for name in names)
    if len(columns) >= FEWEST_CODES and coded >= 0.9 * len(columns):
        return 'are named by codes'
    if len(columns) >= FEWEST_CODES and all(_PLACE.fullmatch(name) for name in names):
        return 'are named like places'
    return 'are many and none is named as a measure' if len(columns) >= FEWEST_ANY else ''


def _plan_of(
    labels: Mapping[int, str],
    *,
    name: str,
    into: str,
    reason: str,
    value: str = 'value',
    beside: int | None = None,
    complete: Callable[[str, str], str] | None = None,
) -> Plan:
    return Plan(
        places=tuple(labels),
        labels=tuple(labels.values()),
        name=name,
        value=value,
        into=into,
        reason=reason,
        beside=beside,
        complete=complete or (lambda beside, label: label),
    )


def _asked_plan(raw: RawTable, columns: Sequence[_Looked], melt: Mapping[str, Any]) -> Plan:
    """Return the plan that a user asks for."""
    into = melt.get('into')
    wanted = melt.get('columns')
    if wanted is None:
        found = None
        if into != 'series':
            found = _by_period(columns, forced=True) or _by_part(columns)
        if found is None and (into != 'period' or 'start' in melt):
            found = _by_series(columns, forced=True) or _numbered(columns)
        if found is None:
            raise UsageError('No columns of this table look like periods or series. Say which ones to melt.')
        labels = dict(zip(found.places, found.labels, strict=True))
        plan = replace(found, into=into or found.into)
    else:
        places = {name: place for place, name in enumerate(raw.names)}
        unknown = [name for name in wanted if name not in places]
        if unknown or not wanted:
            shown = ', '.join(raw.names[:20])
            raise UsageError(f'There is no column "{unknown[0] if unknown else ""}" to melt. Columns are {shown}.')
        labels = {places[name]: name.strip() for name in wanted}
        periods = _periods(list(wanted)) if into != 'series' else None
        if periods is not None and len(periods[1]) == len(wanted):
            labels = {places[wanted[at]]: text for at, text in periods[1].items()}
        into = into or ('period' if periods else 'series')
        plan = _plan_of(labels, name='date' if into == 'period' else 'series', into=into, reason='as asked')
    if 'start' in melt:
        plan = replace(plan, into='period', labels=_stepped(plan.labels, melt), name='date')
    plan = replace(plan, name=melt.get('name') or plan.name, value=melt.get('value') or plan.value)
    return replace(plan, reason=plan.reason if wanted is None else f'{len(plan.places)} columns are melted, as asked')


def _numbered(columns: Sequence[_Looked]) -> Plan | None:
    """Columns such as d_1 to d_1913, which need a start to be times."""
    columns = [column for column in columns if column.numeric]
    stems = Counter(match['stem'] for column in columns if (match := _AFFIXED.match(column.name.strip())))
    if not stems or stems.most_common(1)[0][1] < FEWEST_PERIODS:
        return None
    stem = stems.most_common(1)[0][0]
    labels = {c.place: c.name.strip() for c in columns if re.fullmatch(re.escape(stem) + r'\d+', c.name.strip())}
    return _plan_of(labels, name='step', into='period', reason=f'{len(labels)} columns are numbered steps')


def _start(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f'The start "{text}" is no time. Write it as 2024-01-31 or 2024-01-31 13:00.') from None


def _stepped(labels: Sequence[str], melt: Mapping[str, Any]) -> tuple[str, ...]:
    """Return times in the place of the numbers at the end of labels, the least of which is the start."""
    numbers = []
    for label in labels:
        match = _AFFIXED.match(label)
        if match is None:
            raise UsageError(f'Column "{label}" has no number at its end, so its step from the start is not known.')
        numbers.append(int(match['digits']))
    start, step, first = _start(melt['start']), melt.get('step', 'day'), min(numbers)
    return tuple(_shown(_moved(start, number - first, step), step) for number in numbers)


def _moved(start: datetime, steps: int, step: str) -> datetime:
    if step in _SECONDS:
        return start + timedelta(seconds=steps * _SECONDS[step])
    place = start.year * 12 + start.month - 1 + steps * _MONTHS[step]
    year, month = divmod(place, 12)
    return start.replace(year=year, month=month + 1, day=min(start.day, monthrange(year, month + 1)[1]))


def _shown(time: datetime, step: str) -> str:
    return (
        str(time)
        if step in ('minute', 'hour') or time.time() != datetime.min.time()
        else str(date(time.year, time.month, time.day))
    )


# melting


def _melt(raw: RawTable, plan: Plan, *, workdir: Path) -> RawTable:
    """Write the long table of a plan: in file order, a few records at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    taken = {*plan.places, plan.beside}
    kept = [place for place in range(len(raw.names)) if place not in taken]
    names = [_key_name(raw.names[place]) for place in kept]
    name = _free(plan.name, names)
    values: list[str] = []
    for value in plan.measures or (plan.value,):
        values.append(_free(value, [*names, name, *values]))
    width = len(kept)
    schema = pa.schema(
        [('_line', pa.int64()), ('_flag', pa.uint8())]
        + [(f'c{i}', pa.string()) for i in range(width + 1 + len(values))]
        + [('_record', pa.int64()), ('_column', pa.string())]
    )
    path = workdir / f'long-{raw.path.name}'
    points = missing = spelled = 0
    with pq.ParquetWriter(path, schema, compression='lz4', store_schema=False, write_statistics=False) as writer:
        for chunk in _chunks(raw, plan, kept):
            table = pa.table(chunk.columns, schema=schema)
            points, missing, spelled = points + chunk.points, missing + chunk.missing, spelled + chunk.spelled
            writer.write_table(table, row_group_size=122_880)
    called = '", "'.join([name, *values[:-1]]) + f'" and "{values[-1]}'
    they = 'They' if len(plan.places) > 1 else 'It'
    note = f'A wide table: {plan.reason}. {they} became the columns "{called}", {points:,} points'
    note += f'; {missing:,} empty cells are none.' if missing else '.'
    told = {
        'shape': 'wide',
        'into': plan.into,
        'columns': sum(place != ABSENT for place in plan.places),
        'name': name,
        'value': values[0],
        'reason': plan.reason,
        'rows': points,
        'empty': missing,
        'spelled': spelled,
        'value_place': width + 1,
    }
    return replace(
        raw,
        path=path,
        names=(*names, name, *values),
        header=(*names, name, *values),
        hints=_hints(raw, plan, names, kept, values) | ({name: 'text'} if plan.into == 'series' else {}),
        notes=(*raw.notes, note),
        shape={**raw.shape, **told},
    )


def _hints(
    raw: RawTable, plan: Plan, names: Sequence[str], kept: Sequence[int], values: Sequence[str]
) -> dict[str, str]:
    """Return the types of typed sources: those of the columns that stay, and for each measure the one that its melted
    columns share."""
    hints = {
        name: raw.hints[raw.names[place]]
        for name, place in zip(names, kept, strict=True)
        if raw.names[place] in raw.hints
    }
    for value, places in zip(values, _by_value(plan), strict=True):
        kinds = {raw.hints.get(raw.names[place]) for place in places if place != ABSENT}
        wide = next((kind for kind in ('double', 'decimal', 'integer') if kind in kinds), None)
        if wide and kinds <= {'double', 'decimal', 'integer'}:
            hints[value] = wide
    return hints


def _by_value(plan: Plan) -> list[tuple[int, ...]]:
    """The places of each measure, one for every label."""
    wide = len(plan.labels)
    return [plan.places[start : start + wide] for start in range(0, len(plan.places), wide)]


def _key_name(name: str) -> str:
    """Eurostat writes the name of what the columns are behind that of the rows: geo\\TIME_PERIOD."""
    return name.split('\\')[0].strip() or name


def _free(name: str, taken: Sequence[str]) -> str:
    lower = {other.lower() for other in taken}
    free, count = name, 1
    while free.lower() in lower:
        count += 1
        free = f'{name}_{count}'
    return free


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chunk:
    columns: list[Any]
    points: int
    missing: int
    spelled: int


def _chunks(raw: RawTable, plan: Plan, kept: Sequence[int]) -> Iterator[_Chunk]:
    """Yield the points of some records at a time: record by record, and in the order of the columns within one."""
    import pyarrow.parquet as pq

    read = ['_line', '_flag', *(f'c{place}' for place in range(len(raw.names)))]
    size = max(1, BATCH_CELLS // len(plan.places))
    first = 0
    with pq.ParquetFile(raw.path) as file:
        for batch in file.iter_batches(batch_size=size, columns=read):
            yield _chunk(raw, plan, kept, batch, first)
            first += batch.num_rows


def _chunk(raw: RawTable, plan: Plan, kept: Sequence[int], batch: 'pa.RecordBatch', first: int) -> _Chunk:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    rows, wide = batch.num_rows, len(plan.labels)
    # Column after column to row after row: the cell of row r and column k stands at k * rows + r.
    order = pa.array(np.arange(rows * wide).reshape(wide, rows).T.ravel())
    values = []
    spelled, lost = 0, np.ones(rows * wide, dtype=bool)
    for places in _by_value(plan):
        cells = [pa.nulls(rows, pa.string()) if k == ABSENT else batch.column(f'c{k}') for k in places]
        values.append(pa.concat_arrays(cells).take(order))
        bare = pc.utf8_trim(values[-1], readings.BLANK)
        empty = np.asarray(pc.fill_null(pc.equal(bare, ''), True).to_numpy(zero_copy_only=False))
        words = pc.is_in(bare, value_set=_spellings())
        spelled += int(pc.sum(words).as_py() or 0)
        lost &= np.asarray(words.to_numpy(zero_copy_only=False)) | empty
    # A record without any point is kept by an empty one, so that it is accounted for.
    whole = lost.reshape(rows, wide).all(axis=1)
    keep = ~lost
    keep[np.flatnonzero(whole) * wide] = True
    at = np.flatnonzero(keep)
    row, column = at // wide, at % wide
    rows_taken, columns_taken = pa.array(row), pa.array(column)
    labels = _labels(plan, batch, row, column)
    sources = [[raw.names[place] if place != ABSENT else '' for place in places] for places in _by_value(plan)]
    named = pa.array([BETWEEN.join(of_label) for of_label in zip(*sources, strict=True)], pa.string())
    named = named.take(columns_taken)
    out = [batch.column('_line').take(rows_taken), batch.column('_flag').take(rows_taken)]
    out += [batch.column(f'c{place}').take(rows_taken) for place in kept]
    out += [labels, *(column.take(pa.array(at)) for column in values), pa.array(row + first, pa.int64()), named]
    return _Chunk(columns=out, points=len(at), missing=max(0, int(lost.sum()) - spelled), spelled=spelled)


def _labels(plan: Plan, batch: 'pa.RecordBatch', row: Any, column: Any) -> 'pa.Array':
    import pyarrow as pa

    if plan.beside is None:
        return pa.array(plan.labels, pa.string()).take(pa.array(column))
    beside = [(cell or '').strip(readings.BLANK) for cell in batch.column(f'c{plan.beside}').to_pylist()]
    texts = [
        None if readings.is_missing(beside[r]) else plan.complete(beside[r], plan.labels[k])
        for r, k in zip(row.tolist(), column.tolist(), strict=True)
    ]
    return pa.array(texts, pa.string())


def _spellings() -> 'pa.Array':
    import pyarrow as pa

    words = {form for word in readings.MISSING for form in (word, word.upper(), word.title(), word.capitalize())}
    return pa.array(sorted(words | {'NaN', 'NaT', '#Value!', '#Div/0!'}), pa.string())


# a time in several columns


@dataclass(frozen=True, slots=True, kw_only=True)
class _Join:
    """Columns that make one time together: their places, the SQL of the text that they make, and why."""

    places: tuple[int, ...]
    text: str
    reason: str


def _may_join(names: Sequence[str]) -> bool:
    from core.analysis.ingest.types import TIME_NAME

    bare = [name.strip() for name in names]
    if sum(bool(TIME_NAME.search(name) or _CLOCK_NAMES.fullmatch(name)) for name in bare) < 2:
        return False
    years = any(_YEAR_NAMES.fullmatch(name) for name in bare)
    parts = (_MONTH_NAMES, _WEEK_NAMES, _QUARTER_NAMES)
    if years and any(part.fullmatch(name) for part in parts for name in bare):
        return True
    if years and any(re.fullmatch(r'(?i)period', name) for name in bare):
        return True
    return any(_CLOCK_NAMES.fullmatch(name) or _HOUR_NAMES.fullmatch(name) for name in bare)


def _joined(
    connection: 'duckdb.DuckDBPyConnection', raw: RawTable, columns: Sequence[_Looked], *, workdir: Path
) -> RawTable:
    """Return the table with its split time in one column, at the place of the first of its parts."""
    join = _join(columns) if len(raw.names) <= JOINED_AT_MOST else None
    if join is None:
        return raw
    taken = [raw.names[place] for place in join.places]
    first = min(join.places)
    kept = [place for place in range(len(raw.names)) if place == first or place not in join.places]
    name = _free(' '.join(part.strip() for part in taken), [raw.names[place] for place in kept if place != first])
    cells = ', '.join(
        f'{join.text if place == first else f"c{place}"} AS c{number}' for number, place in enumerate(kept)
    )
    path = workdir / f'joined-{raw.path.name}'
    connection.execute(
        f'COPY (SELECT _line, _flag, {cells} FROM read_parquet({duck.text(str(raw.path))})) '
        f'TO {duck.text(str(path))} (FORMAT parquet, COMPRESSION lz4)'
    )
    names = tuple(name if place == first else raw.names[place] for place in kept)
    hints = {known: kind for known, kind in raw.hints.items() if known in names and known != name}
    return replace(
        raw,
        path=path,
        names=names,
        header=names if raw.header else (),
        hints=hints,
        notes=(*raw.notes, f'{join.reason}: they became the column "{name}".'),
        shape={**raw.shape, 'joined': taken, 'time': name},
    )


def _join(columns: Sequence[_Looked]) -> _Join | None:
    whole = [column for column in columns if _is_date(column) and not _is_dotted_clock(column)]
    if any(_has_clock(column) for column in whole):
        return None
    clock = next((column for column in columns if _is_clock(column)), None)
    if whole:
        day = whole[0]
        if clock is not None:
            reason = f'Columns "{day.name}" and "{clock.name}" are the day and the time of day'
            return _Join(places=(day.place, clock.place), text=_both(day.place, clock.place, ' '), reason=reason)
        hours = next((column for column in columns if _named_number(column, _HOUR_NAMES, 0, 24)), None)
        if hours is None or (len(set(hours.cells)) < 2 and len(day.cells) > 1):
            return None
        numbers = {int(float(cell)) for cell in hours.cells}
        ending = 0 not in numbers and 24 in numbers
        if not ending and 24 in numbers:
            return None
        reason = f'Columns "{day.name}" and "{hours.name}" are the day and the hour'
        reason += ' (1 to 24 are read as the hours that end then)' if ending else ''
        hour = f"lpad(({_whole(hours.place)} - {int(ending)})::VARCHAR, 2, '0')"
        text = f"trim(c{day.place}) || ' ' || {hour} || ':00'"
        return _Join(places=(day.place, hours.place), text=text, reason=reason)
    return _calendar(columns, clock)


def _calendar(columns: Sequence[_Looked], clock: _Looked | None) -> _Join | None:
    """Year and month, day, quarter or week in columns of their own."""
    year = next((c for c in columns if _YEAR_NAMES.fullmatch(c.name.strip()) and _are_whole_years(c)), None)
    if year is None:
        return None
    month = next(
        (c for c in columns if _MONTH_NAMES.fullmatch(c.name.strip()) and c.cells and all(map(_month_of, c.cells))),
        None,
    )
    y = f'({_whole(year.place)})::VARCHAR'
    if month is not None:
        day = next((c for c in columns if _named_number(c, _DAY_NAMES, 1, 31)), None)
        text, parts = f"{y} || '-' || {_month_text(month)}", [year, month]
        if day is not None:
            text, parts = f"{text} || '-' || lpad(({_whole(day.place)})::VARCHAR, 2, '0')", [year, month, day]
            hours = next((c for c in columns if _named_number(c, _HOUR_NAMES, 0, 23)), None)
            if clock is not None:
                text, parts = f"{text} || ' ' || trim(c{clock.place})", [*parts, clock]
            elif hours is not None and len(set(hours.cells)) > 1:
                text = f"{text} || ' ' || lpad(({_whole(hours.place)})::VARCHAR, 2, '0') || ':00'"
                parts = [*parts, hours]
        return _parts_of(text, parts)
    coded = next((c for c in columns if c.cells and all(map(_PERIOD_CODE.fullmatch, c.cells))), None)
    if coded is not None:
        # The Bureau of Labor Statistics writes M01 or Q01; what is no month, such as M13, is found to be no time.
        return _parts_of(f"{y} || regexp_replace(trim(c{coded.place}), '^Q0', 'Q')", [year, coded])
    quarter = next((c for c in columns if _named_number(c, _QUARTER_NAMES, 1, 4)), None)
    if quarter is not None:
        return _parts_of(f"{y} || '-Q' || ({_whole(quarter.place)})", [year, quarter])
    week = next((c for c in columns if _named_number(c, _WEEK_NAMES, 1, 53)), None)
    if week is not None:
        return _parts_of(f"{y} || '-W' || lpad(({_whole(week.place)})::VARCHAR, 2, '0')", [year, week])
    return None


def _parts_of(text: str, parts: Sequence[_Looked]) -> _Join:
    named = [f'"{part.name}"' for part in parts]
    reason = f'Columns {", ".join(named[:-1])} and {named[-1]} are the parts of one time'
    # What is no part of a time is shown as it is written, and found to be none.
    written = " || ' ' || ".join(f'trim(c{part.place})' for part in parts)
    missing = ' OR '.join(f'{readings.present(readings.trimmed(f"c{part.place}"))} IS NULL' for part in parts)
    whole = f'CASE WHEN {missing} THEN NULL ELSE coalesce({text}, {written}) END'
    return _Join(places=tuple(part.place for part in parts), text=whole, reason=reason)


def _both(first: int, second: int, mark: str) -> str:
    """SQL: two cells in one, NULL when one is missing."""
    cells = [readings.present(readings.trimmed(f'c{place}')) for place in (first, second)]
    # Spreadsheets write midnight behind a day that has no time of day.
    midnight = duck.text(r'[T ]0{1,2}:00(:00([.]0+)?)?$')
    dotted = duck.text(r'^(\d{1,2})\.(\d\d)(?:\.(\d\d))?$')
    clock = f"rtrim(regexp_replace({cells[1]}, {dotted}, '\\1:\\2:\\3'), ':')"
    return f"regexp_replace(({cells[0]}), {midnight}, '') || {duck.text(mark)} || ({clock})"


def _whole(place: int) -> str:
    """SQL: a whole number, also where it is written as 3.0 or Q3."""
    return f"TRY_CAST(regexp_extract(c{place}, '^ *[A-Za-z]*([0-9]{{1,4}})(?:\\.0)? *$', 1) AS INTEGER)"


def _month_text(month: _Looked) -> str:
    if all(cell.replace('.0', '').isdigit() for cell in month.cells):
        return f"lpad(({_whole(month.place)})::VARCHAR, 2, '0')"
    return f"lpad(({readings.month_number(f'lower(trim(c{month.place}))')})::VARCHAR, 2, '0')"


def _are_whole_years(column: _Looked) -> bool:
    return bool(column.cells) and _share(readings.YEAR, column.cells) >= 0.9


def _named_number(column: _Looked, names: re.Pattern[str], least: int, most: int) -> bool:
    """Whether a column is called so and holds whole numbers in these bounds."""
    if not names.fullmatch(column.name.strip()) or not column.cells:
        return False
    found = [re.fullmatch(r'[A-Za-z]*(\d{1,2})(?:\.0)?', cell) for cell in column.cells]
    return all(match is not None and least <= int(match[1]) <= most for match in found)


_CLOCK: Final = re.compile(
    r'\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?(?: ?[AaPp]\.?[Mm]\.?)?(?: ?(?:Z|UTC|GMT|[+-]\d{2}:?\d{2}))?'
)


_DOTTED: Final = re.compile(r'(?:[01]?\d|2[0-3])\.[0-5]\d(?P<seconds>\.[0-5]\d)?')


def _is_clock(column: _Looked) -> bool:
    clocks = sum(bool(_CLOCK.fullmatch(cell)) for cell in column.cells)
    return (bool(column.cells) and clocks >= 0.9 * len(column.cells)) or _is_dotted_clock(column)


def _is_dotted_clock(column: _Looked) -> bool:
    """Whether a column holds times such as 18.00.00, or 18.30 under a name that means no duration. Dates with points
    look so too: it has the name of a clock, or an hour or a minute that is no day and no month."""
    found = [_DOTTED.fullmatch(cell) for cell in column.cells]
    if not found or sum(match is not None for match in found) < 0.9 * len(found):
        return False
    if not all(match['seconds'] for match in found if match):
        return bool(_TIME_OF_DAY_NAMES.fullmatch(column.name.strip()))
    parts = [match[0].split('.') for match in found if match]
    no_date = any('00' in (f'{part[0]:0>2}', part[1]) or int(part[1]) > 31 for part in parts)
    return no_date or bool(_CLOCK_NAMES.fullmatch(column.name.strip()))


def _is_date(column: _Looked) -> bool:
    """Whether a column holds days, with or without a time of day."""
    from core.analysis.ingest.types import TIME_NAME

    days = [r for r in readings.TIMES if not r.coarse and (not r.coded or r in (readings.COMPACT, *readings.EPOCHS))]
    return bool(column.cells) and any(
        (not reading.coded or TIME_NAME.search(column.name)) and _share(reading, column.cells) >= 0.9
        for reading in days
    )


def _has_clock(column: _Looked) -> bool:
    """Whether times of day are told by a column of days: not where all are midnight."""
    clocks = [
        cell
        for cell in column.cells
        if ':' in cell or re.fullmatch(r'\d{9,}(?:\.\d+)?', cell) or re.search(r'\d[Tt]\d', cell)
    ]
    midnight = [cell for cell in clocks if re.search(r'[T ]0{1,2}:00(:00(\.0+)?)?', cell)]
    return len(clocks) > len(column.cells) / 2 and len(midnight) < len(clocks)
