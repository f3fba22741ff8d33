"""The pyramid: a summary of every series at falling resolutions, so that a chart of any range reads few rows.

One row is one bucket of one series and measure: `measure, series, level, start, width, gap, n, total, low, low_after,
high, high_after, first_after, last_after`. Times are microseconds UTC. A bucket covers `start <= t < start + width`, is
aligned to the epoch, and never empty. The times of its extremes and of its first and last value are counted from
`start`: of a regular line those are few numbers, which take six bits each. Level 0 holds about 60 values a bucket, by
each line's own sampling, and each level above is four times as wide. `gap` is the step beyond which the line counts as
interrupted. Rows are sorted by measure, series, level, start.

The footer tells under the key `lines` where they lie, so that no rows are read to find others: JSON compressed by zlib,
`{"measures": […], "series": […], "runs": [[measure], [series], [level], [width], [gap], [rows]]}`. A run is a level of
a line; its measure and series are places in those lists, `rows` how many rows it has, and runs are in the order of the
rows. The key is left out when there are more than `MOST_RUNS`.

NULLs and values that are not finite are left out. A line of fewer than `SMALL` values has no rows: reading the data
itself is as cheap.
"""

import base64
import json
import zlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from core.analysis import duck

if TYPE_CHECKING:
    import duckdb

SMALL: Final = 4096
PER_BUCKET: Final = 60  # so that buckets of regular lines begin where minutes, hours and most days do
FACTOR: Final = 4
TOP: Final = 512  # buckets: a screen is seldom narrower, and reading as many costs no more than reading fewer
LEVELS: Final = 20
AT_ONCE: Final = 8
ROW_GROUP: Final = 16_384
MOST_RUNS: Final = 100_000  # a few bytes each, which whoever opens the file reads

GAP_REGULAR: Final = 1.75
GAP_IRREGULAR: Final = 4.0


def build_pyramid(
    connection: 'duckdb.DuckDBPyConnection',
    parts: Sequence[Path],
    *,
    measures: Sequence[str],
    out: Path,
    whole: Collection[str] | None = None,
    steps: Path | None = None,
) -> None:
    """Write the pyramid of a stored version to the Parquet file `out`.

    `parts` are the version's files in order, together sorted by `_series, _time, _line`. The connection has one
    thread: so the same parts give the same rows again. `whole` names the measures that have a finite value in every
    row, `steps` a file of the steps between rows (see `profile.write_steps`): what is not known is found out.
    """
    import pyarrow.parquet as pq

    connection.execute(_TABLE)
    if sum(pq.read_metadata(part).num_rows for part in parts) < SMALL:
        measures = ()  # no line has so many values
    if whole is None:
        whole = _whole(connection, parts, measures)
    alike = [measure for measure in measures if measure in whole]
    for first in range(0, len(alike), AT_ONCE):
        _add_measures(connection, parts, alike[first : first + AT_ONCE], steps=steps)
    for measure in measures:
        if measure not in whole:
            _add_measures(connection, parts, [measure])
    rows = f'SELECT * FROM pyramid{" ORDER BY measure, series, level, start" if measures else ""}'
    target = duck.text(str(out))
    # Without the temporary file that DuckDB writes beside a file to be replaced: its path is closed to it.
    options = (
        f'FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP}, USE_TMP_FILE false, PARQUET_VERSION v2'
        f'{_lines(connection.execute(_RUNS).fetchmany(MOST_RUNS + 1) if measures else [])}'
    )
    connection.execute(f'COPY ({rows}) TO {target} ({options})')


def values(source: str, measure: str) -> str:
    """Return the SQL of one measure's finite values as `s` (series), `t` (µs), `v` (double), in the order stored."""
    value = _value(measure)
    return f'SELECT _series AS s, epoch_us(_time) AS t, {value} AS v FROM {source} WHERE isfinite({value})'


def _lines(runs: Sequence[tuple[Any, ...]]) -> str:
    """Return the option that writes into the footer where lines lie."""
    if len(runs) > MOST_RUNS:
        return ''
    measure, series, *numbers = zip(*runs, strict=True) if runs else [()] * 6
    told = {'measures': sorted(set(measure)), 'series': sorted(set(series))}
    places = [{name: at for at, name in enumerate(names)} for names in told.values()]
    words = [[place[name] for name in names] for place, names in zip(places, (measure, series), strict=True)]
    text = json.dumps(told | {'runs': [*words, *numbers]}, separators=(',', ':')).encode()
    return f", KV_METADATA {{lines: from_base64('{base64.b64encode(zlib.compress(text)).decode()}')}}"


def _whole(connection: 'duckdb.DuckDBPyConnection', parts: Sequence[Path], measures: Sequence[str]) -> list[str]:
    """Return the measures that have a finite value in every row: these share times."""
    if not measures:
        return []
    counts = ', '.join(f'count(*) FILTER (isfinite({_value(measure)}))' for measure in measures)
    rows, *finite = duck.single(connection, f'SELECT count(*), {counts} FROM {duck.files(parts)}')
    return [measure for measure, count in zip(measures, finite, strict=True) if count == rows]


def _value(measure: str) -> str:
    return f'CAST({duck.identifier(measure)} AS DOUBLE)'


def _add_measures(
    connection: 'duckdb.DuckDBPyConnection',
    parts: Sequence[Path],
    measures: Sequence[str],
    *,
    steps: Path | None = None,
) -> None:
    """Add measures of the same times; `steps` are those between the times where they are known."""
    files = duck.files(parts)
    source = values(files, measures[0])
    connection.execute(
        f'CREATE OR REPLACE TEMP TABLE steps AS FROM {duck.files([steps])}' if steps else _STEPS.format(values=source)
    )
    connection.execute(_LINES)
    if connection.execute('SELECT count(*) FROM lines').fetchall() == [(0,)]:
        return
    if len(measures) > 1:
        listed = ', '.join(f'{_value(measure)} AS v{k}' for k, measure in enumerate(measures))
        source = f'SELECT _series AS s, epoch_us(_time) AS t, {listed} FROM {files}'
    else:
        source = f'SELECT s, t, v AS v0 FROM ({source})'
    figures = ', '.join(_FIGURES.format(k=k) for k in range(len(measures)))
    connection.execute(_BUCKETS.format(values=source, start=_bucket('t'), figures=figures))
    for k, measure in enumerate(measures):
        connection.execute(_LEVEL_0.format(k=k), [measure])
        for level in range(1, LEVELS):
            connection.execute(_LEVEL_UP.format(start=_bucket('start', FACTOR)), [measure, level])
            grown = connection.execute(
                'SELECT 1 FROM pyramid WHERE measure = ? AND level = ? LIMIT 1', [measure, level]
            )
            if not grown.fetchall():
                break


def _bucket(time: str, factor: int = 1) -> str:
    """Return the SQL of the start of the bucket that holds `time`; SQL's own `%` has the sign of its left side."""
    width = f'({factor} * width)'
    return f'{time} - (({time} % {width}) + {width}) % {width}'


_TABLE: Final = """
CREATE TEMP TABLE pyramid (
    measure VARCHAR, series VARCHAR, level UTINYINT, start BIGINT, width BIGINT, gap BIGINT,
    n BIGINT, total DOUBLE, low DOUBLE, low_after BIGINT, high DOUBLE, high_after BIGINT,
    first_after BIGINT, last_after BIGINT
)"""

_RUNS: Final = """
SELECT measure, series, level, any_value(width), any_value(gap), count(*)
FROM pyramid GROUP BY measure, series, level ORDER BY measure, series, level"""

# Steps between neighbours, counted in bins 2^(1/16) wide: an exact median of 100 million would not fit in memory.
# The window has no ORDER BY because the parts are sorted: so it streams.
_STEPS: Final = """
CREATE OR REPLACE TEMP TABLE steps AS
WITH neighbours AS (
    SELECT s, t - lag(t) OVER () AS step, lag(s) OVER () AS before FROM ({values})
), binned AS (
    SELECT s, CASE WHEN before = s AND step > 0 THEN step END AS step FROM neighbours
)
SELECT s, CAST(floor(16 * log2(step)) AS INTEGER) AS bin, count(*) AS n, min(step) AS step, avg(step) AS mean
FROM binned GROUP BY s, bin
"""

# The width follows the median step, and grows where most buckets would stay nearly empty (bursts).
_LINES: Final = f"""
CREATE OR REPLACE TEMP TABLE lines AS
WITH sizes AS (
    SELECT s, sum(n) AS n FROM steps GROUP BY s HAVING sum(n) >= {SMALL}
), ranked AS (
    SELECT s, step, mean, steps.n, sum(steps.n) OVER (PARTITION BY s ORDER BY bin) AS upto,
        sum(steps.n) OVER (PARTITION BY s) AS of
    FROM steps WHERE bin IS NOT NULL
), typical AS (
    SELECT s, min(step) FILTER (upto >= .5 * of) AS median, min(step) FILTER (upto >= .9 * of) AS upper
    FROM ranked GROUP BY s
), candidates AS (
    SELECT sizes.s, sizes.n, coalesce(median, 1000000) AS median, coalesce(upper, 1000000) AS upper,
        CAST({PER_BUCKET} * coalesce(median, 1000000) * pow({FACTOR}, k) AS BIGINT) AS width
    FROM sizes LEFT JOIN typical USING (s) CROSS JOIN (SELECT unnest(range(30)) AS k)
    WHERE {PER_BUCKET} * coalesce(median, 1000000) * pow({FACTOR}, k) < {2**60}
), sized AS (
    SELECT c.s, c.n, c.median, c.upper, c.width, coalesce(sum(r.n * least(r.mean / c.width, 1)), 0) AS buckets
    FROM candidates c LEFT JOIN ranked r USING (s) GROUP BY ALL
)
SELECT s, (row_number() OVER (ORDER BY s))::UINTEGER AS id,
    coalesce(min(width) FILTER (buckets <= n / {PER_BUCKET / 4}), max(width)) AS width,
    CAST(ceil(CASE WHEN any_value(upper) > {GAP_REGULAR} * any_value(median)
        THEN {GAP_IRREGULAR} ELSE {GAP_REGULAR} END * any_value(upper)) AS BIGINT) AS gap
FROM sized GROUP BY s
"""

_FIGURES: Final = """sum(v{k}) AS total{k}, min(v{k}) AS low{k}, arg_min(t, v{k}) AS low_at{k},
    max(v{k}) AS high{k}, arg_max(t, v{k}) AS high_at{k}"""

_BUCKETS: Final = """
CREATE OR REPLACE TEMP TABLE buckets AS
SELECT id, {start} AS start, count(*) AS n, min(t) AS first, max(t) AS last, {figures}
FROM ({values}) JOIN lines USING (s)
GROUP BY id, start
"""

_LEVEL_0: Final = """
INSERT INTO pyramid
SELECT ?, s, 0, start, width, gap, n, total{k}, low{k}, low_at{k} - start, high{k}, high_at{k} - start,
    first - start, last - start
FROM buckets JOIN lines USING (id)
"""

_LEVEL_UP: Final = f"""
INSERT INTO pyramid
WITH below AS (
    SELECT *, {{start}} AS up, start - up + low_after AS low_at, start - up + high_after AS high_at,
        start - up + first_after AS first, start - up + last_after AS last
    FROM pyramid WHERE measure = $1 AND level = $2 - 1
), more AS (SELECT series FROM below GROUP BY series HAVING count(*) > {TOP})
SELECT measure, series, $2, up, {FACTOR} * any_value(width), any_value(gap), sum(n), sum(total),
    min(low), arg_min(low_at, row(low, low_at)), max(high), arg_max(high_at, row(high, -high_at)), min(first), max(last)
FROM below SEMI JOIN more USING (series)
GROUP BY measure, series, up
"""
