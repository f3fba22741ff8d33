"""Profiles of stored rows: every series' step, gaps and duplicates; every column's figures, sparkline and histogram."""

import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from core.analysis import duck
from core.analysis.ingest.manifest import ColumnProfile, Histogram, SeriesProfile, TimeProfile
from core.analysis.ingest.numbers import unit_in
from core.analysis.ingest.roles import NUMBERS
from core.analysis.ingest.types import Column

if TYPE_CHECKING:
    import duckdb

EXACT_ROWS: Final = 200_000
SLICES: Final = 60
BINS: Final = 30
AT_ONCE: Final = 20
DRAWN: Final = 200
LABELS: Final = 200
NEARLY: Final = 0.99
"""Series with so much of the most rows have as many: clock changes and faults take some of one or another."""
TOLD: Final = 256  # bytes: of longer texts the writer of Parquet tells the first ones only
DAY: Final = 86_400_000_000


def write_series(
    connection: 'duckdb.DuckDBPyConnection', parts: Sequence[Path], time: Column, *, zone: str, out: Path
) -> None:
    """Write one row a series to `out`, sorted by name: `series, rows, start, end, step_seconds, freq, gaps,
    longest_gap_seconds, duplicates`. The connection then has a table `steps` (see `write_steps`).

    `parts` are sorted by `_series, _time`. Whole days are measured on the wall clock of `zone`, so that a day is a day
    when clocks change. `freq` is the pandas alias of the commonest step when nine tenths of the steps are
    multiples of it; else there is none, and `step_seconds` is the median.
    """
    local = '_time'
    if zone != 'UTC' and time.type == 'timestamp':
        local = duck.identifier(time.name)
    elif zone != 'UTC' and time.type == 'timestamptz':
        local = f"timezone({duck.text(zone)}, timezone('UTC', _time))"
    connection.execute(_STEPS.format(local=local, files=duck.files(parts)))
    # What tells weekdays and months apart need not be asked of series without steps of whole days, or of four weeks:
    # to plan that takes longer than the rows of a small file.
    days, months, even = duck.single(connection, _SORTS)
    kinds = [*([_MONTHLY] if days and months else []), *([_WORKDAYS] if days else []), _REGULAR]
    asked = ''.join(kind.asked for kind in kinds)
    connection.execute(_SERIES.format(local=local, files=duck.files(parts), asked=asked))
    named = _even(kinds) if even and _MONTHLY not in kinds else _named(kinds)
    connection.execute(f'COPY ({named}) TO {duck.text(str(out))} (FORMAT parquet, COMPRESSION zstd)')


def write_steps(connection: 'duckdb.DuckDBPyConnection', series: Path, time: Column, *, zone: str, out: Path) -> bool:
    """Write to `out` the steps that `write_series` found, as the pyramid counts them: `s, bin, n, step, mean`.

    False, and no file, where it measured them on a wall clock.
    """
    if zone != 'UTC' and time.type in ('timestamp', 'timestamptz'):
        return False
    connection.execute(
        f'COPY ({_BINNED.format(series=duck.files([series]))}) TO {duck.text(str(out))} (FORMAT parquet)'
    )
    return True


def time_profile(connection: 'duckdb.DuckDBPyConnection', series: Path, column: Column, *, zone: str) -> TimeProfile:
    """Return the profile of the time column from the file that `write_series` wrote."""
    source = duck.files([series])
    start, end, gaps, longest, duplicates, freq, step, alike = duck.single(
        connection,
        'SELECT min(start), max("end"), sum(gaps), max(longest_gap_seconds), sum(duplicates), min(freq), '
        'min(step_seconds), count(freq) IN (0, count(*)) AND min(freq) IS NOT DISTINCT FROM max(freq) '
        f'AND min(step_seconds) IS NOT DISTINCT FROM max(step_seconds) FROM {source}',
    )
    if not alike:
        freq, step = duck.single(
            connection,
            # Hardly two irregular series have one step.
            f'SELECT freq, median(step_seconds) AS step FROM {source} '
            'GROUP BY freq, CASE WHEN freq IS NOT NULL THEN step_seconds END '
            'ORDER BY sum(rows) DESC, freq NULLS LAST, step NULLS LAST LIMIT 1',
        )
    return TimeProfile(
        column=column.name,
        zone=zone,
        naive=column.type != 'timestamptz',
        start=_iso(start),
        end=_iso(end),
        freq=freq,
        step_seconds=step,
        gaps=int(gaps or 0),
        longest_gap_seconds=longest,
        duplicates=int(duplicates or 0),
        written_zone=column.zone,
    )


def series_profile(
    connection: 'duckdb.DuckDBPyConnection', series: Path, columns: Sequence[Column], parts: Sequence[Path]
) -> SeriesProfile:
    """Return how many series there are, the first labels, and the first of those with the most rows, or nearly so; with
    the most values of the first measure where that has empty cells."""
    source = duck.files([series])
    first = connection.execute(f'SELECT series, rows FROM {source} ORDER BY series LIMIT {LABELS}').fetchall()
    count = len(first)
    if count == LABELS:
        (count,) = duck.single(connection, f'SELECT count(*) FROM {source}')
    measure = next((duck.identifier(column.name) for column in columns if column.role == 'measure'), '_series')
    rows = duck.files(parts)
    (empty,) = duck.single(connection, f'SELECT count(*) - count({measure}) FROM {rows}') if count > 1 else (0,)
    counted = f'(SELECT _series AS series, count({measure}) AS rows FROM {rows} GROUP BY _series)' if empty else source
    opens = first[0][0] if first else ''
    if count == len(first) > 1 and not empty:
        most = max(rows for _, rows in first)
        opens = next(name for name, rows in first if rows >= NEARLY * most)
    elif count > 1:
        (opens,) = duck.single(
            connection,
            f'SELECT min(series) FROM (SELECT series, rows, max(rows) OVER () AS most FROM {counted}) '
            f'WHERE rows >= {NEARLY} * most',
        )
    keys = tuple(column.name for column in columns if column.role == 'series')
    return SeriesProfile(columns=keys, count=int(count), first=tuple(row[0] for row in first), opens=opens or '')


def column_profiles(
    connection: 'duckdb.DuckDBPyConnection',
    parts: Sequence[Path],
    columns: Sequence[Column],
    *,
    distinct: Mapping[str, int] | None = None,
) -> list[ColumnProfile]:
    """Return the figures of every column over the stored rows; `distinct` holds estimates that are known already."""
    source = duck.files(parts)
    (rows, start, end) = connection.execute(
        f'SELECT count(*), epoch_us(min(_time)), epoch_us(max(_time)) FROM {source}'
    ).fetchone() or (0, None, None)
    profiles: list[ColumnProfile] = []
    for first in range(0, len(columns), AT_ONCE):
        part = columns[first : first + AT_ONCE]
        drawn = [c for c in part if c.role == 'measure' and c.index < DRAWN]
        lines = _sparklines(connection, source, drawn, start=start, end=end)
        for column, figures in zip(
            part, _figures(connection, parts, part, rows=rows, distinct=distinct or {}), strict=True
        ):
            bars = _histogram(connection, source, column, figures) if column in drawn else None
            profiles.append(
                ColumnProfile(
                    name=column.name,
                    source=column.source,
                    type=column.type,
                    role=column.role,
                    reason=column.reason,
                    sparkline=lines.get(column.index, ()),
                    histogram=bars,
                    unit=unit_of(column),
                    **figures,
                )
            )
    return profiles


def unit_of(column: Column) -> str:
    """Return the sign or the unit that a column's numbers bear, or that its name ends with, '' for none."""
    if column.reading.family != 'number' or column.type not in NUMBERS:
        return ''
    affix = '' if column.reading.affix in ('()', 'KMB') else column.reading.affix
    return affix or (unit_in(column.source) if column.role == 'measure' else '')


def _figures(
    connection: 'duckdb.DuckDBPyConnection',
    parts: Sequence[Path],
    columns: Sequence[Column],
    *,
    rows: int,
    distinct: Mapping[str, int],
) -> list[dict[str, Any]]:
    source = duck.files(parts)
    exact = rows <= EXACT_ROWS
    known = {} if exact else _extremes(connection, parts, [column for column in columns if column.type == 'text'])
    asked = [
        _asked(column, exact=exact, distinct=distinct.get(column.name), extremes=column.name not in known)
        for column in columns
    ]
    row = connection.execute(
        f'SELECT {", ".join(sql for one in asked for sql in one.values())} FROM {source}'
    ).fetchone()
    values = iter(row or ())
    figures = [{name: _json(next(values)) for name in one} for one in asked]
    for place, column in enumerate(columns):
        if column.name in known:
            figures[place] |= dict(zip(('min', 'max'), known[column.name], strict=True))
    numbers = [place for place, column in enumerate(columns) if column.type in NUMBERS]
    if numbers and not exact:
        shares = _quantiles(connection, source, [columns[place] for place in numbers], rows=rows)
        for place, own in zip(numbers, shares, strict=True):
            figures[place] |= {'median': _json(own[0]), 'p99': _json(own[1])}
    return figures


def _quantiles(
    connection: 'duckdb.DuckDBPyConnection', source: str, columns: Sequence[Column], *, rows: int
) -> list[list[float | None]]:
    """Return median and 99th percentile of each column over some 200,000 of the rows, the same ones each time."""
    every = rows // EXACT_ROWS + 1
    asked = ', '.join(
        f'quantile_cont(CAST({duck.identifier(column.name)} AS DOUBLE), [0.5, 0.99])' for column in columns
    )
    chosen = f'{source[:-1]}, file_row_number = true) WHERE hash(file_row_number) % {every} = 0'
    return [own or [None, None] for own in duck.single(connection, f'SELECT {asked} FROM {chosen}')]


def _extremes(
    connection: 'duckdb.DuckDBPyConnection', parts: Sequence[Path], columns: Sequence[Column]
) -> dict[str, tuple[str | None, str | None]]:
    """Return the least and the greatest text of each column of which all row groups tell theirs.

    To compare all texts takes longer than all else that is asked of a column.
    """
    listed = duck.texts([str(part) for part in parts])
    rows = connection.execute(
        f"""SELECT path_in_schema, min(left(stats_min_value, 100)), max(left(stats_max_value, 100))
        FROM parquet_metadata({listed}) WHERE path_in_schema IN (SELECT unnest(?)) GROUP BY path_in_schema
        HAVING bool_and(coalesce(stats_null_count = num_values
            OR greatest(strlen(stats_min_value), strlen(stats_max_value)) < {TOLD}, false))""",
        [[column.name for column in columns]],
    ).fetchall()
    return {name: (least, greatest) for name, least, greatest in rows}


def _asked(column: Column, *, exact: bool, distinct: int | None, extremes: bool) -> dict[str, str]:
    name = duck.identifier(column.name)
    counted = f'count(DISTINCT {name})' if exact else f'approx_count_distinct({name})'
    asked = {
        'missing': f'count(*) - count({name})',
        'distinct': counted if exact or distinct is None else str(distinct),
    }
    if column.type in NUMBERS:
        value = f'CAST({name} AS DOUBLE)'
        asked |= {'min': f'min({value})', 'max': f'max({value})', 'mean': _mean(value)}
        quantiles = {'median': f'quantile_cont({value}, 0.5)', 'p99': f'quantile_cont({value}, 0.99)'}
        return asked | quantiles if exact else asked
    if not extremes:
        return asked
    return asked | {
        'min': f'left(CAST(min({name}) AS VARCHAR), 100)',
        'max': f'left(CAST(max({name}) AS VARCHAR), 100)',
    }


def _mean(value: str) -> str:
    """SQL: the mean of a double, as avg gives it in twice the time."""
    return f'sum({value}) / count({value})'


def _sparklines(
    connection: 'duckdb.DuckDBPyConnection',
    source: str,
    columns: Sequence[Column],
    *,
    start: int | None,
    end: int | None,
) -> dict[int, tuple[float | None, ...]]:
    if not columns or start is None or end is None:
        return {}
    span = max(1, end - start)
    means = ', '.join(_mean(f'CAST({duck.identifier(column.name)} AS DOUBLE)') for column in columns)
    # The years 1000 to 2999 in microseconds, 60 times, still fit 63 bits.
    place = f'least({SLICES - 1}, ((epoch_us(_time) - {start}) * {SLICES}) // {span})::UTINYINT'
    rows = connection.execute(f'SELECT {place}, {means} FROM {source} GROUP BY 1 ORDER BY 1').fetchall()
    found = {row[0]: row[1:] for row in rows}
    taken = range(SLICES) if len(found) > SLICES // 2 else sorted(found)
    # Few points would leave most slices empty: then they alone make the line.
    return {
        column.index: tuple(_json(found[slice_][i]) if slice_ in found else None for slice_ in taken)
        for i, column in enumerate(columns)
    }


def _histogram(
    connection: 'duckdb.DuckDBPyConnection', source: str, column: Column, figures: dict[str, Any]
) -> Histogram | None:
    low, high = figures['min'], figures['max']
    if low is None or high is None or not math.isfinite(high - low):
        return None
    width = (high - low) / BINS
    value = f'CAST({duck.identifier(column.name)} AS DOUBLE)'
    if width <= 0 or low + width == low:
        (count,) = duck.single(connection, f'SELECT count({value}) FROM {source}')
        return Histogram(edges=(low, high), counts=(int(count),)) if low == high else None
    place = f'least({BINS - 1}, greatest(0, floor(({value} - ?) / ?)))::UTINYINT'
    rows = connection.execute(
        f'SELECT {place}, count(*) FROM {source} WHERE {value} IS NOT NULL GROUP BY 1', [low, width]
    ).fetchall()
    counts = dict(rows)
    edges = (*(low + width * i for i in range(BINS)), high)
    return Histogram(edges=edges, counts=tuple(int(counts.get(i, 0)) for i in range(BINS)))


def _json(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _iso(value: datetime | date | None) -> str | None:
    return f'{value.isoformat()}Z' if value is not None else None


# The window has no ORDER BY because the parts are sorted: so it streams.
_STEPS: Final = f"""
CREATE OR REPLACE TEMP TABLE steps AS
WITH neighbours AS (
    SELECT _series AS s, {{local}} AS t, lag({{local}}) OVER () AS p, lag(_series) OVER () AS before,
        epoch_us(_time) - epoch_us(lag(_time) OVER ()) AS u FROM {{files}}
), measured AS (
    SELECT s, t, p, u, epoch_us(t) - epoch_us(p) AS l FROM neighbours WHERE before = s
), pairs AS (
    SELECT s, t, p, CASE WHEN l % {DAY} = 0 AND l > 0 THEN l ELSE u END AS d FROM measured
)
SELECT s, d, CASE WHEN d >= 28 * {DAY} THEN datediff('month', p, t) END AS m,
    CASE WHEN d % {DAY} = 0
        THEN d // {DAY} - 2 * (datediff('day', date_trunc('week', p), date_trunc('week', t)) // 7) END AS b,
    count(*) AS n
FROM pairs GROUP BY ALL"""

# Rows that no step leads to count as well: the first of a series, and those at the time of another.
_BINNED: Final = """
WITH counted AS (
    SELECT s, CASE WHEN d > 0 THEN d END AS step, n FROM steps
    UNION ALL SELECT series, NULL, 1 FROM {series}
)
SELECT s, CAST(floor(16 * log2(step)) AS INTEGER) AS bin, sum(n)::BIGINT AS n, min(step) AS step,
    sum(step::HUGEINT * n)::DOUBLE / sum(n) FILTER (step IS NOT NULL) AS mean
FROM counted GROUP BY s, bin ORDER BY s, bin"""

# Whether there are steps of whole days and of four weeks, and whether all steps of each series are equal.
_SORTS: Final = f"""
SELECT coalesce(bool_or(days), false), coalesce(bool_or(months), false), coalesce(bool_and(low = high), true) FROM (
    SELECT min(d) FILTER (d > 0) AS low, max(d) AS high, bool_or(d > 0 AND d % {DAY} = 0) AS days,
        count(m) > 0 AS months FROM steps GROUP BY s
)"""

_SERIES: Final = """
CREATE OR REPLACE TEMP TABLE profiled AS
SELECT _series AS s, count(*) AS rows, min(_time) AS start, max(_time) AS "end"{asked}
FROM (SELECT _series, _time, {local} AS t FROM {files}) GROUP BY _series"""


class _Kind(NamedTuple):
    """SQL: a way in which steps are regular: what to ask of a series' times and of its steps, whether it is so, which
    steps are gaps, and the alias of its step."""

    asked: str
    shares: str
    test: str
    gaps: str
    freq: str


_WEEKDAYS: Final = "['MON','TUE','WED','THU','FRI','SAT','SUN']"
_MONTHS: Final = "['JAN','FEB','MAR','APR','MAY','JUN','JUL','AUG','SEP','OCT','NOV','DEC']"
_UNITS: Final = {
    7 * DAY: f"'W-' || {_WEEKDAYS}[weekday]",
    DAY: "'D'",
    3_600_000_000: "'h'",
    60_000_000: "'min'",
    1_000_000: "'s'",
    1000: "'ms'",
    1: "'us'",
}

_MONTHLY: Final = _Kind(
    asked=""", min(day(t)) = max(day(t)) AS same_day, max(t::TIME) = TIME '00:00:00' AS midnight, min(day(t)) AS day,
    bool_and(t::DATE = last_day(t::DATE)) AS month_end, min(month(t)) AS first_month,
    bool_and((month(t) - 1) % 3 = 0) AS quarter_starts, bool_and(month(t) % 3 = 0) AS quarter_ends,
    min((month(t) - 1) % 3) AS quarter_month""",
    shares=""", any_value(months) AS months,
        coalesce(sum(n) FILTER (m % nullif(months, 0) = 0), 0) / sum(n) FILTER (d > 0) AS month_multiples""",
    test=f"""shortest >= 28 * {DAY} AND midnight AND (same_day AND day = 1 OR month_end) AND month_multiples >= 0.9
        AND months IN (1, 2, 3, 4, 6, 12, 24, 36, 48, 60, 120)""",
    gaps='m > months',
    freq=f"""CASE WHEN months % 12 = 0 THEN
            CASE months WHEN 12 THEN '' ELSE (months // 12)::VARCHAR END || CASE WHEN month_end
                THEN 'YE' || CASE first_month WHEN 12 THEN '' ELSE '-' || {_MONTHS}[first_month] END
                ELSE 'YS' || CASE first_month WHEN 1 THEN '' ELSE '-' || {_MONTHS}[first_month] END END
        WHEN months = 3 THEN CASE WHEN month_end
                THEN 'QE' || CASE WHEN quarter_ends THEN '' ELSE '-' || {_MONTHS}[quarter_month + 1] END
                ELSE 'QS' || CASE WHEN quarter_starts THEN '' ELSE '-' || {_MONTHS}[quarter_month + 1] END END
        ELSE CASE months WHEN 1 THEN '' ELSE months::VARCHAR END || CASE WHEN month_end THEN 'ME' ELSE 'MS' END END""",
)

_COMMON_MONTHS: Final = """, common_months AS (
    SELECT s, min(m) FILTER (n = top) AS months
    FROM (
        SELECT *, max(n) OVER (PARTITION BY s) AS top
        FROM (SELECT s, m, sum(n) AS n FROM steps WHERE d > 0 AND m IS NOT NULL GROUP BY s, m)
    ) GROUP BY s
)"""

_WORKDAYS: Final = _Kind(
    asked=""", bool_and(isodow(t) < 6) AS workdays, max(isodow(t)) - min(isodow(t)) AS weekdays,
    min(isodow(t)) AS weekday""",
    shares=f', coalesce(sum(n) FILTER (d // {DAY} > b), 0) AS weekends',
    test=f'step = {DAY} AND workdays AND weekends >= 0.1 * steps AND multiples >= 0.9',
    gaps='b > 1',
    freq="'B'",
)

_REGULAR: Final = _Kind(
    asked='',
    shares='',
    test=f'multiples >= 0.9 AND (common >= 0.5 OR step % {DAY} > 0)',
    gaps='d > 1.5 * step',
    freq="CASE WHEN step = size THEN '' ELSE (step // size)::VARCHAR END || CASE size {units} END",
)


def _sizes(kinds: Sequence[_Kind]) -> tuple[str, str]:
    """SQL: the largest unit of which a step is a multiple, and the alias of that unit."""
    units = {size: unit for size, unit in _UNITS.items() if _WORKDAYS in kinds or size < DAY}
    sizes = ' '.join(f'WHEN step % {size} = 0{" AND weekdays = 0" if size > DAY else ""} THEN {size}' for size in units)
    return f'CASE {sizes} END', ' '.join(f'WHEN {size} THEN {unit}' for size, unit in units.items())


def _even(kinds: Sequence[_Kind]) -> str:
    """SQL: what `_named` tells where all steps of each series are equal: then there are no gaps, and no workdays."""
    size, units = _sizes(kinds)
    # A number of gaps that is written as 0 would make a column that cannot be empty, unlike that of other versions.
    return f"""
SELECT s AS series, rows, start, "end", step / 1e6 AS step_seconds, {_REGULAR.freq.format(units=units)} AS freq,
    (0 * coalesce(duplicates, 0))::BIGINT AS gaps, NULL::DOUBLE AS longest_gap_seconds,
    coalesce(duplicates, 0)::BIGINT AS duplicates
FROM (
    SELECT f.*, step, duplicates, {size} AS size
    FROM profiled f LEFT JOIN (
        SELECT s, max(d) FILTER (d > 0) AS step, sum(n) FILTER (d = 0) AS duplicates FROM steps GROUP BY s
    ) USING (s)
) ORDER BY s"""


def _named(kinds: Sequence[_Kind]) -> str:
    """SQL: what `write_series` writes of the tables `steps` and `profiled`, where the steps may be of these kinds."""
    size, units = _sizes(kinds)
    tests = ' '.join(f'WHEN {kind.test} THEN {k}' for k, kind in enumerate(kinds))
    freqs = ' '.join(f'WHEN {k} THEN {kind.freq}' for k, kind in enumerate(kinds)).format(units=units)
    gaps = ''.join(
        f', coalesce(sum(n) FILTER ({kind.gaps}), 0) AS gaps{k}, max(d) FILTER ({kind.gaps}) AS longest{k}'
        for k, kind in enumerate(kinds)
    )
    own = {name: ' '.join(f'WHEN {k} THEN {name}{k}' for k in range(len(kinds))) for name in ('gaps', 'longest')}
    shares = ''.join(kind.shares for kind in kinds)
    months = _MONTHLY in kinds
    return f"""
WITH by_length AS (
    SELECT s, d, sum(n) AS n FROM steps WHERE d > 0 GROUP BY s, d
), common AS (
    SELECT s, min(d) FILTER (n = top) AS step, min(d) FILTER (2 * upto >= steps) AS median
    FROM (
        SELECT *, max(n) OVER (PARTITION BY s) AS top, sum(n) OVER (PARTITION BY s ORDER BY d) AS upto,
            sum(n) OVER (PARTITION BY s) AS steps
        FROM by_length
    ) GROUP BY s
){_COMMON_MONTHS if months else ''}, shares AS (
    SELECT p.s, any_value(step) AS step, any_value(median) AS median, min(d) FILTER (d > 0) AS shortest,
        sum(n) FILTER (d = 0) AS duplicates, sum(n) FILTER (d > 0) AS steps,
        coalesce(sum(n) FILTER (d > 0 AND d % step = 0), 0) / sum(n) FILTER (d > 0) AS multiples,
        sum(n) FILTER (d = step) / sum(n) FILTER (d > 0) AS common{shares}{gaps}
    FROM steps p LEFT JOIN common USING (s){' LEFT JOIN common_months USING (s)' if months else ''} GROUP BY p.s
), kinds AS (
    SELECT f.*, h.* EXCLUDE (s), CASE {tests} END AS kind, {size} AS size
    FROM profiled f LEFT JOIN shares h USING (s)
)
SELECT s AS series, rows, start, "end", CASE WHEN kind IS NULL THEN median ELSE step END / 1e6 AS step_seconds,
    CASE kind {freqs} END AS freq, CASE kind {own['gaps']} ELSE 0 END::BIGINT AS gaps,
    CASE kind {own['longest']} END / 1e6 AS longest_gap_seconds, coalesce(duplicates, 0)::BIGINT AS duplicates
FROM kinds ORDER BY s"""
