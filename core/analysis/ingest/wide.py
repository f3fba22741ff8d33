"""Wide tables: which columns are periods or series, by their names and a few of their cells.

A table is wide by period where the names of columns are times (years, months, quarters, days) and the rows are series;
it is wide by series where one column is the time and many others, named alike, hold numbers of one kind. A table of a
few measures, such as open, high, low and close, is not.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from core.analysis.alike import visible
from core.analysis.ingest import readings
from core.analysis.ingest.looked import MONTH_NAMES, Looked, are_whole_years, is_time, month_of, share_of
from core.analysis.ingest.rawtable import RawTable
from core.analysis.ingest.readings import Reading
from core.analysis.ingest.stepped import AFFIXED, stepped
from core.analysis.ingest.types import ID_NAME
from core.errors import UsageError

ABSENT: Final = -1
FEWEST_PERIODS: Final = 2
FEWEST_ALIKE: Final = 8
FEWEST_CODES: Final = 12
FEWEST_ANY: Final = 50
_MEASURE_WORD: Final = re.compile(
    r'(?i)(open|high|low|close|volume|price|vwap|temp|humid|pressure|wind|speed|rain|precip|snow|cloud|count|total|sum|'
    r'mean|avg|average|median|min|max|std|var|rate|ratio|share|percent|pct|%|\(|\[|index|load|demand|power|energy|cost|'
    r'sales|revenue|profit|value|amount|quantity|qty|number|num|age|weight|height|width|length|lat|lon|flow|level|depth|'
    r'promo|holiday|discount|stock|tax|income|score|lag|diff|change|return|target|feature|feat|var)'
)
_NUMBER: Final = '\0'  # which no name has
UNNAMED: Final = re.compile(r'column_\d+')
_PERIOD_NAME: Final[Mapping[str, str]] = {
    'YYYY': 'year', 'YYYY-Qn': 'quarter', 'Qn YYYY': 'quarter', 'nQ YYYY': 'quarter', 'Qn YY': 'quarter',
    'nQYY': 'quarter', 'YYYY-Www': 'week', 'YYYY-MM': 'month', 'YYYYMM': 'month', 'YYYYMmm': 'month',
    'Mon YYYY': 'month', 'YYYY Mon': 'month', 'Mon YY': 'month', 'MM/YYYY': 'month',
}  # fmt: skip
_CODE: Final = re.compile(r'[A-Z][A-Z0-9.^=/&-]{0,11}')
_PLACE: Final = re.compile(r"[A-ZÀ-Þ][\w .,'&()/-]*")


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


def may_be_series(names: Sequence[str]) -> bool:
    """Whether columns of these names may be series of one measure: many, numbered alike, codes or places."""
    if len(names) > FEWEST_ANY:
        return True
    numbered = _numbered_as(names)
    bare = [name for name in names if _CODE.fullmatch(name.strip()) or _PLACE.fullmatch(name.strip())]
    # One in ten may be written otherwise, such as a place in small letters.
    most = len(names) > FEWEST_CODES and len(bare) >= 0.9 * (len(names) - 1)
    return most or len(bare) >= FEWEST_CODES or (bool(numbered) and max(numbered.values()) >= FEWEST_ALIKE - 1)


def plan_for(raw: RawTable, columns: Sequence[Looked], *, forced: bool, known: Sequence[str] = ()) -> Plan | None:
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


def _as_before(columns: Sequence[Looked], known: Sequence[str]) -> Plan | None:
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


def periods_of(names: Sequence[str], *, fewest: int = FEWEST_PERIODS) -> tuple[Reading, dict[int, str]] | None:
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
    match = None if UNNAMED.fullmatch(name) else re.fullmatch(r'[^\W\d]+?[ _.-]?(\d.*)', name.strip())
    # R writes X2020.01.31 for 2020-01-31.
    return match[1] if match else ''


def _in_brackets(name: str) -> str:
    """The World Bank writes 1990 [YR1990]."""
    match = re.fullmatch(r'(\d{4}[\w-]*) \[YR\w+\]', name.strip())
    return match[1] if match else ''


def _stem(name: str) -> str:
    return re.split(r'\d', name.strip(), maxsplit=1)[0]


def _by_period(columns: Sequence[Looked], *, forced: bool, fewest: int = FEWEST_PERIODS) -> Plan | None:
    found = periods_of([column.name for column in columns], fewest=fewest)
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
    if any(is_time(column) for column in rest) and not forced:
        return None
    written = f'{texts[places[0]]} to {texts[places[-1]]}'
    reason = f'{len(places)} columns are named by times, {written}'
    if len(places) == 1:
        reason = f'one column is named by a time, {texts[places[0]]}'
    return _plan_of(labels, name=_PERIOD_NAME.get(reading.name, 'date'), into='period', reason=reason)


def _by_measure(columns: Sequence[Looked], *, forced: bool, fewest: int = FEWEST_PERIODS) -> Plan | None:
    """Several measures, each in a column for every period."""
    found = measures_by_period([column.name for column in columns], fewest=fewest)
    if found is None:
        return None
    reading, grid = found
    periods = list(dict.fromkeys(period for places in grid.values() for period in places))
    places = {place for of_measure in grid.values() for place in of_measure.values()}
    rest = [column for column in columns if column.place not in places]
    others = [column for column in rest if column.numeric and column.cells and not _is_code(column)]
    if sum(columns[place].numeric for place in places) < 0.8 * len(places):
        return None
    if (len(others) > len(places) or any(is_time(column) for column in rest)) and not forced:
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


def measures_by_period(
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


def _is_code(column: Looked) -> bool:
    return bool(ID_NAME.match(column.name.strip()))


def _are_months(column: Looked) -> bool:
    """Whether the cells of a column are months without a year: their names, or numbers under such a name."""
    named = all(month_of(cell) is not None and not cell.isdigit() for cell in column.cells)
    numbered = bool(MONTH_NAMES.fullmatch(column.name.strip())) and all(month_of(cell) for cell in column.cells)
    return bool(column.cells) and (named or numbered) and len(set(column.cells)) >= min(6, len(column.cells))


def _year_month(beside: str, label: str) -> str:
    month = month_of(beside)
    return f'{label[:4]}-{month:02}' if month else f'{label} {beside}'


def _by_part(columns: Sequence[Looked], *, fewest: int | None = None) -> Plan | None:
    """Columns of months, quarters or clock times beside a column of years or days."""
    for mark, labels in parts_of_names([column.name for column in columns], fewest=fewest).items():
        if not all(columns[place].numeric for place in labels):
            continue
        rest = [column for column in columns if column.place not in labels]
        wanted = is_time if mark == ' ' else _are_years if fewest is None else are_whole_years
        beside = next((column for column in rest if wanted(column)), None)
        if beside is not None:
            what = {'-': 'months', '-Q': 'quarters', ' ': 'times of day'}[mark]
            reason = f'{len(labels)} columns are {what} of column "{beside.name}"'
            name = {'-': 'month', '-Q': 'quarter', ' ': 'time'}[mark]
            return _plan_of(labels, name=name, into='period', reason=reason, beside=beside.place, complete=_after(mark))
    return None


def parts_of_names(names: Sequence[str], *, fewest: int | None = None) -> dict[str, dict[int, str]]:
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


def _are_years(column: Looked) -> bool:
    return bool(column.cells) and share_of(readings.YEAR, column.cells) >= 0.95 and len(set(column.cells)) > 1


def _after(mark: str) -> Callable[[str, str], str]:
    def complete(beside: str, label: str) -> str:
        return f'{beside.removesuffix(".0")}{mark}{label}'

    return complete


def _by_series(columns: Sequence[Looked], *, forced: bool) -> Plan | None:
    """Many columns of numbers of one kind beside one time."""
    times = [column for column in columns if is_time(column)]
    if len(times) != 1 and not (forced and times):
        return None
    time = max(times, key=lambda column: len(set(column.cells)))
    rest = [column for column in columns if column.place != time.place]
    if any(not column.numeric for column in rest) and not forced:
        return None
    numbers = [column for column in rest if column.numeric]
    are_alike, why = _alike(numbers)
    if not are_alike and not (forced and numbers):
        return None
    labels = {column.place: column.name.strip() for column in numbers}
    reason = f'{len(numbers)} columns of numbers beside "{time.name}" {why if are_alike else "are one series each"}'
    return _plan_of(labels, name='series', into='series', reason=reason)


def stays(columns: Sequence[Looked]) -> str:
    """Why a table whose columns may be series by their names is not made long; '' where they hardly are."""
    times = [column for column in columns if is_time(column)]
    numbers = [column for column in columns if column.numeric and column not in times]
    if not times or len(numbers) < FEWEST_ALIKE or not may_be_series([column.name for column in numbers]):
        return ''
    if len(times) > 1:
        return f'columns {_short(times[0].name)} and {_short(times[1].name)} both hold times'
    wordy = next((column.name for column in columns if not column.numeric and column not in times), None)
    return f'column {_short(wordy)} beside them holds no numbers' if wordy is not None else _alike(numbers)[1]


def _short(name: str) -> str:
    return f'"{visible(name)[:60]}"'


def _alike(columns: Sequence[Looked]) -> tuple[bool, str]:
    """Whether columns of numbers are the same quantity of several series rather than different measures, and why."""
    names = [column.name.strip() for column in columns]
    sizes = sorted(column.size for column in columns if column.cells)
    spread = sizes[-max(1, len(sizes) // 10)] - sizes[len(sizes) // 10] if sizes else 0
    numbered = _numbered_as(names)
    if len(columns) >= FEWEST_ALIKE and numbered and max(numbered.values()) >= 0.9 * len(columns):
        stem = numbered.most_common(1)[0][0].split(_NUMBER)[0]
        # Lags and features of one model are numbered too, and are no series.
        if re.fullmatch(r'(?i)(lag|feat|feature|pc|dim|v|f|col|column|unnamed: )[ _]?', stem):
            return False, f'names such as {_short(names[0])} are those of features'
        return True, 'are numbered alike'
    if named := next((name for name in names if _MEASURE_WORD.search(name)), None):
        return False, f'a name such as {_short(named)} is that of a measure'
    if spread > 3:
        return False, 'the numbers of some are a thousand times those of others'
    coded = sum(bool(_CODE.fullmatch(name)) for name in names)
    if len(columns) >= FEWEST_CODES and coded >= 0.9 * len(columns):
        return True, 'are named by codes'
    placed = sum(bool(_PLACE.fullmatch(name)) for name in names)
    if len(columns) >= FEWEST_CODES and placed >= 0.9 * len(columns):
        return True, 'are named like places'
    if len(columns) >= FEWEST_ANY:
        return True, 'are many and none is named as a measure'
    return False, 'they are few, and not named alike'


def _numbered_as(names: Sequence[str]) -> Counter[str]:
    """Count the forms of names with numbers in them, such as `Sensor # Hall # (°C)` of `Sensor 001 Hall 7 (°C)`."""
    forms = (re.sub(r'\d+', _NUMBER, name.strip()) for name in names)
    return Counter(form for form in forms if _NUMBER in form)


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


def asked_plan(raw: RawTable, columns: Sequence[Looked], melt: Mapping[str, Any]) -> Plan:
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
        periods = periods_of(list(wanted)) if into != 'series' else None
        if periods is not None and len(periods[1]) == len(wanted):
            labels = {places[wanted[at]]: text for at, text in periods[1].items()}
        into = into or ('period' if periods else 'series')
        plan = _plan_of(labels, name='date' if into == 'period' else 'series', into=into, reason='as asked')
    if 'start' in melt:
        plan = replace(plan, into='period', labels=stepped(plan.labels, melt), name='date')
    plan = replace(plan, name=melt.get('name') or plan.name, value=melt.get('value') or plan.value)
    return replace(plan, reason=plan.reason if wanted is None else f'{len(plan.places)} columns were chosen')


def _numbered(columns: Sequence[Looked]) -> Plan | None:
    """Columns such as d_1 to d_1913, which need a start to be times."""
    columns = [column for column in columns if column.numeric]
    stems = Counter(match['stem'] for column in columns if (match := AFFIXED.match(column.name.strip())))
    if not stems or stems.most_common(1)[0][1] < FEWEST_PERIODS:
        return None
    stem = stems.most_common(1)[0][0]
    labels = {c.place: c.name.strip() for c in columns if re.fullmatch(re.escape(stem) + r'\d+', c.name.strip())}
    return _plan_of(labels, name='step', into='period', reason=f'{len(labels)} columns are numbered steps')
