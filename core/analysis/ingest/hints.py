"""Hints: what looks wrong in stored rows, though each of them may be right. Nothing is changed by a hint.

Values that lie far out are found in the histogram that every measure has: few values beyond a gap that is several times
as wide as all that lies on the other side of it. Only columns that may have such a gap are read again, a few together,
until there are hints enough. An end such as -9999 that is there again and again may stand for a missing value. Times
that lie far out are sought where all of them last long, by the years that have some. Series whose names differ in
nothing but case, blanks, punctuation and accents are found in the list of series.
"""

import hashlib
import math
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate, islice, pairwise, product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from core.analysis import alike, duck
from core.analysis.ingest.manifest import ColumnProfile, Histogram
from core.analysis.ingest.profile import BINS

if TYPE_CHECKING:
    import duckdb

MOST: Final = 5
"""Hints of a kind."""
MOST_SPELLED: Final = 20
"""Groups of names that may be one: a file whose names were all typed anew has one for each series."""
LOOKED: Final = 4 * MOST
"""Columns with a gap that are read again at most, the first ones."""
GAP: Final = 3
"""A gap is this many times as wide as what lies on this side of it, and at least a third of the range."""
FEW: Final = 3
SHARE: Final = 0.005
"""So few values, or this share of them, may lie beyond a gap."""
OWN_SHARE: Final = 0.25
"""Of a series, at most this share: a series that lies elsewhere as a whole is none of outliers."""
MARK: Final = re.compile(r'-?9{3,9}(?:\.9+)?|-32768|32767|-2147483648|2147483647')
"""Numbers that stand for a missing value where they lie outside of all others, by as much as these lie apart."""
MARKS: Final = 0.25
"""At most this share of the values."""
VARIED: Final = 5
"""So many different values lie on this side: of two states, the rarer one is no outlier."""
SIDES: Final = 4
"""How often what is left is looked at again."""
PAUSE: Final = timedelta(days=3650)
"""Times far out have nothing for so long between them and the others, at least."""
BODY: Final = 20
"""Rows of the others, at least."""
TOLD: Final = 3
MERGED: Final = 2000
"""Characters of the spellings that a step merges: it stands in an address."""
LONGEST: Final = 60  # characters of a name that a text tells
BLANK: Final = r'\s\x{a0}\x{2000}-\x{200a}\x{202f}\x{3000}'
PUNCTUATION: Final = r"\-_.,;:/\\\\'\"()\[\]{}\x{b7}\x{2010}-\x{2015}\x{2018}-\x{201f}\x{2212}"
"""What parts words or stands around them, for RE2. Signs that mean something, such as %, +, # and &, are not in it."""


def hints(
    connection: 'duckdb.DuckDBPyConnection',
    parts: Sequence[Path],
    columns: Sequence[ColumnProfile],
    series: Path,
    *,
    lined: bool = True,
    before: Sequence[ColumnProfile] = (),
    numbered: Mapping[str, str] | None = None,
    names: Sequence[str | None] | None = None,
) -> tuple[dict[str, Any], ...]:
    """Return hints, each with its `kind`, a `text` that tells it, and the `step` of a recipe that would help.

    Its `key` is the same in each version that tells the same of it, so that it can be dismissed.

    `far_out` names the `column`, how many values there are (`count`), the `lines` of some, the `series` of the
    farthest, and between what the others lie (`low`, `high`); `far_times` does so of rows whose time is no date, such
    as 2999-12-31. `alike` names the `column`, the `values` in it that may be one, and a `series` of each. Lines are
    told where they are `lined`: of one file. `before` are the columns before a recipe, whose names a step that merges
    speaks. `numbered` are series that were columns, see `spelled_alike`. `names` are those of all series, if known.
    """
    source = duck.files(parts)
    far = islice(_far_out(connection, source, columns, lined=lined), MOST)
    times = _far_times(connection, source, columns, series, lined=lined)
    if not numbered and names is not None and _are_apart(names):
        return (*times, *far)
    return (*times, *far, *_alike(connection, source, columns, series, before=before, numbered=numbered or {}))


def spelled_alike(names: Sequence[str], header: Sequence[str]) -> dict[str, str]:
    """Return the columns that were given a number as another one's name differs in case or blanks around it alone, with
    what their header says: `oslo_2` beside `Oslo` is `oslo`, `Oslo_2` is `Oslo `. Names that are there twice as they
    are say nothing."""
    written = dict(zip(names, header, strict=False))
    known = {name.lower(): written.get(name, name) for name in names}
    own = {name: cell for name, cell in written.items() if name != cell.strip()}
    return {name: cell for name, cell in own.items() if known.get(cell.strip().lower(), cell) != cell}


@dataclass(frozen=True, slots=True)
class _Range:
    """Between what values of a column lie, as far as they are looked at."""

    low: float
    high: float

    def holds(self, x: str) -> str:
        """SQL: whether a value lies there."""
        return f'{x} BETWEEN {self.low!r}::DOUBLE AND {self.high!r}::DOUBLE'


@dataclass(slots=True, kw_only=True)
class _Looked:
    """A column, its values `x` in SQL, and what is `left` of its `whole` range without the values far out."""

    column: ColumnProfile
    x: str
    bars: Histogram
    total: int
    whole: _Range
    marks: tuple[float, ...] = ()
    left: _Range | None = None

    @property
    def is_mark(self) -> str:
        """SQL: whether a value `v` is one that stands for a missing value."""
        return f'coalesce(v IN ({", ".join(f"{mark!r}::DOUBLE" for mark in self.marks)}), false)'


def _far_out(
    connection: 'duckdb.DuckDBPyConnection', source: str, columns: Sequence[ColumnProfile], *, lined: bool
) -> Iterator[dict[str, Any]]:
    looked = list(islice(_with_gaps(columns), LOOKED))
    for first in range(0, len(looked), MOST):
        group = looked[first : first + MOST]
        _narrow(connection, source, group)
        for one in group:
            if one.left is not None and (hint := _told(connection, source, one, one.left, lined=lined)) is not None:
                yield hint


def _with_gaps(columns: Sequence[ColumnProfile]) -> Iterator[_Looked]:
    for column in columns:
        bars = column.histogram
        if bars is None or column.distinct < VARIED:
            continue
        total = sum(bars.counts)
        ends = ((bars.edges[0], bars.counts[0]), (bars.edges[-1], bars.counts[-1]))
        marks = tuple(end for end, count in ends if 1 < count <= MARKS * total and MARK.fullmatch(f'{end:.12g}'))
        if marks or _without_ends(bars, total) is not None or _core(bars, total) is not None:
            x = f'CAST({duck.identifier(column.name)} AS DOUBLE)'
            whole = _Range(bars.edges[0], bars.edges[-1])
            yield _Looked(column=column, x=x, bars=bars, total=total, whole=whole, marks=marks)


def _narrow(connection: 'duckdb.DuckDBPyConnection', source: str, group: Sequence[_Looked]) -> None:
    """Find what is left of each column, in two scans a round for all of them."""
    for turn in range(SIDES):
        # Without the marks first: they may be many, and what lies between them and the others is looked at by itself.
        inner = [(one, *found) for one in group if (found := _inner(one, first=not turn)) is not None]
        if not inner:
            return
        asked = [sql for one, within, _ in inner for sql in _ends(one.x, within)]
        ends = iter(duck.single(connection, f'SELECT {", ".join(asked)} FROM {source}'))
        remaining = []
        for one, _, sure in inner:
            low, high, under, over = (next(ends) for _ in range(4))
            if low is None:
                one.left = None
            elif sure or _is_apart(low, high, under, over):
                one.left = _Range(low, high)
                remaining.append((one, one.left))
        group = [one for one, _ in remaining]
        for one, bars in zip(group, _histograms(connection, source, remaining), strict=True):
            one.bars = bars


def _inner(one: _Looked, *, first: bool) -> tuple[_Range, bool] | None:
    """Where to look next, and whether what lies beyond is known to lie far out."""
    if first and one.marks:
        low, high = one.whole.low, one.whole.high
        low = math.nextafter(low, math.inf) if low in one.marks else low
        return _Range(low, math.nextafter(high, -math.inf) if high in one.marks else high), True
    if (within := _without_ends(one.bars, one.total)) is not None:
        return within, True
    core = _core(one.bars, one.total)
    return None if core is None else (core, False)


def _ends(x: str, within: _Range) -> tuple[str, ...]:
    """SQL: the ends of the values within, and what lies nearest on both sides."""
    holds, low, high = within.holds(x), f'{within.low!r}::DOUBLE', f'{within.high!r}::DOUBLE'
    return (
        f'min({x}) FILTER ({holds})',
        f'max({x}) FILTER ({holds})',
        f'max({x}) FILTER ({x} < {low})',
        f'min({x}) FILTER ({x} > {high})',
    )


def _is_apart(low: float, high: float, under: float | None, over: float | None) -> bool:
    """Whether the nearest values on both sides of a range lie beyond a gap."""
    gap = GAP * (high - low)
    return (under is None or low - under >= gap) and (over is None or over - high >= gap)


def _core(bars: Histogram, total: int) -> _Range | None:
    """Return the fewest bars in a row beyond which few values lie; None where they leave no room for a gap.

    The values beyond may be scattered over all other bars, so that only what lies nearest tells of a gap. Where they
    crowd beside the others, as in a long tail, there is none.
    """
    counts = bars.counts
    needed = total - max(FEW, total * SHARE)
    if len(counts) < BINS:
        return None
    for size in range(1, BINS // (GAP + 1) + 1):
        first = max(range(BINS - size + 1), key=lambda place: sum(counts[place : place + size]))
        if (held := sum(counts[first : first + size])) >= needed:
            beside = max(counts[max(0, first - 1)] if first else 0, *counts[first + size : first + size + 1], 0)
            crowded = beside > max(1, (total - held) / 3)
            return None if crowded or held == total else _Range(bars.edges[first], bars.edges[first + size])
    return None


def _without_ends(bars: Histogram, total: int) -> _Range | None:
    """Return the range without the few values beyond a gap, None where there is no such gap."""
    counts = bars.counts
    few = max(FEW, total * SHARE)
    filled = [place for place, count in enumerate(counts) if count]
    if len(counts) < BINS or len(filled) < 2:
        return None
    for before, behind in pairwise(filled):
        gap = behind - before - 1
        if gap * 3 < len(counts):
            continue
        if sum(counts[behind:]) <= few and gap >= GAP * (before + 1):
            return _Range(bars.edges[0], bars.edges[before + 1])
        if sum(counts[: before + 1]) <= few and gap >= GAP * (len(counts) - behind):
            return _Range(bars.edges[behind], bars.edges[-1])
    return None


def _histograms(
    connection: 'duckdb.DuckDBPyConnection', source: str, ranges: Sequence[tuple[_Looked, _Range]]
) -> list[Histogram]:
    """Return the bars of columns within ranges, all from one scan."""
    wide = [(one, within, (within.high - within.low) / BINS) for one, within in ranges if _is_wide(within)]
    counts: list[dict[int, int]] = [{} for _ in wide]
    if wide:
        names = [f'p{number}' for number in range(len(wide))]
        places = [
            f'CASE WHEN {within.holds(one.x)} THEN least({BINS - 1}, '
            f'floor(({one.x} - {within.low!r}::DOUBLE) / {width!r}::DOUBLE))::INTEGER END AS {name}'
            for name, (one, within, width) in zip(names, wide, strict=True)
        ]
        whose = ' '.join(f'WHEN grouping({name}) = 0 THEN {number}' for number, name in enumerate(names))
        rows = connection.execute(
            f'SELECT CASE {whose} END, coalesce({", ".join(names)}) AS place, count(*) '
            f'FROM (SELECT {", ".join(places)} FROM {source}) '
            f'GROUP BY GROUPING SETS ({", ".join(f"({name})" for name in names)}) HAVING place IS NOT NULL'
        ).fetchall()
        for at, place, count in rows:
            counts[at][place] = count
    drawn = iter(zip(wide, counts, strict=True))
    return [_bars(*next(drawn)) if _is_wide(within) else _one_bar(within) for _, within in ranges]


def _is_wide(within: _Range) -> bool:
    width = (within.high - within.low) / BINS
    return width > 0 and within.low + width != within.low


def _one_bar(within: _Range) -> Histogram:
    return Histogram(edges=(within.low, within.high), counts=(1,))


def _bars(drawn: tuple[_Looked, _Range, float], counts: Mapping[int, int]) -> Histogram:
    _, within, width = drawn
    edges = (*(within.low + width * place for place in range(BINS)), within.high)
    return Histogram(edges=edges, counts=tuple(counts.get(place, 0) for place in range(BINS)))


def _told(
    connection: 'duckdb.DuckDBPyConnection',
    source: str,
    looked: _Looked,
    left: _Range,
    *,
    lined: bool,
) -> dict[str, Any] | None:
    """The hint of values beyond `left`; None where they are most of a series, too many, or the rest are few values."""
    column, whole, total = looked.column, looked.whole, looked.total
    beyond, marked = f'NOT ({left.holds("v")})', looked.is_mark if looked.marks else 'false'
    width = left.high - left.low
    cells = f'(SELECT _series, {"_line" if lined else "NULL::BIGINT AS _line"}, {looked.x} AS v FROM {source})'
    far, marks, own, own_marks, varied, under, over = duck.single(
        connection,
        f"""WITH own AS (SELECT count(*) FILTER ({beyond} AND NOT {marked}) AS far, count(v) AS many,
            count(*) FILTER ({marked}) AS marked,
            max(v) FILTER (v < {left.low!r}::DOUBLE AND isfinite(v)) AS under,
            min(v) FILTER (v > {left.high!r}::DOUBLE AND isfinite(v)) AS over FROM {cells} GROUP BY _series)
        SELECT (SELECT sum(far)::BIGINT FROM own), (SELECT sum(marked)::BIGINT FROM own),
            (SELECT max(far / nullif(many, 0)) FROM own), (SELECT max(marked / nullif(many, 0)) FROM own),
            (SELECT approx_count_distinct(v) FROM {cells} WHERE {left.holds('v')}),
            (SELECT max(under) FROM own), (SELECT min(over) FROM own)""",
    )
    if far > SIDES * max(FEW, total * SHARE) or own > OWN_SHARE or varied < VARIED:
        return None
    if looked.marks and (
        not 2 <= marks <= MARKS * total
        or own_marks > 1 - OWN_SHARE
        or any(left.low - width < mark < left.high + width for mark in looked.marks)
    ):
        return None
    counted = far + marks
    rows = connection.execute(
        f'SELECT v, _line, _series FROM {cells} WHERE {beyond} '
        f'ORDER BY abs(v - {(left.low + left.high) / 2!r}::DOUBLE) DESC, _line LIMIT {TOLD}'
    ).fetchall()
    named = [f'{_figure(value)}' + ('' if line is None else f' (line {line:,})') for value, line, _ in rows]
    more = f' and {counted - len(rows):,} more' if counted > len(rows) else ''
    values = '1 value lies' if counted == 1 else f'{counted:,} values lie'
    others = 'all others lie' if counted == 1 else 'the others lie'
    sides = (('low', left.low, left.high, under), ('high', left.high, left.low, over))
    ends = {
        name: _bound(end, other, getattr(whole, name) if nearest is None else nearest)
        for name, end, other, nearest in sides
        if end != getattr(whole, name)
    }
    words = {'low': 'below', 'high': 'above'}
    emptied = ' or '.join(f'{words[name]} {_figure(end)}' for name, end in ends.items())
    return {
        'kind': 'far_out',
        'key': _key('far_out', column.name, str(counted), _figure(rows[0][0])),
        'text': (
            f'{values} far out in {_short(column.name)}: {", ".join(named)}{more}; '
            f'{others} between {_figure(left.low)} and {_figure(left.high)}. {_meant(looked.marks, marks)}'
            f'A step of the recipe would empty those {emptied}, in later files too.'
        ),
        'column': column.name,
        'count': counted,
        'lines': [line for _, line, _ in rows if line is not None],
        'series': [rows[0][2]],
        'low': left.low,
        'high': left.high,
        'step': {'do': 'clip', 'how': 'fixed', 'columns': [column.name], 'action': 'empty', **ends},
    }


def _meant(marks: Sequence[float], count: int) -> str:
    if not marks:
        return ''
    return f'{" and ".join(map(_figure, marks))} ({count:,} times) may stand for a missing value. '


def _bound(end: float, other: float, far: float) -> float:
    """Return a bound beyond the `end` of the values that are not far out: as far from it as their `other` end, so that
    a little more than was seen so far is kept, but before the nearest value `far` out. Whole numbers stay whole."""
    reach, middle = end - other, end / 2 + far / 2
    bound = min(end + reach, middle) if reach > 0 else max(end + reach, middle)
    if all(value == int(value) for value in (end, other)):
        return float(math.floor(bound) if reach > 0 else math.ceil(bound))
    return round(bound, 2 - math.floor(math.log10(abs(reach))))


def _far_times(
    connection: 'duckdb.DuckDBPyConnection',
    source: str,
    columns: Sequence[ColumnProfile],
    series: Path,
    *,
    lined: bool,
) -> list[dict[str, Any]]:
    """The hint of rows whose time lies far before or after all others, as 1900-01-01 and 2999-12-31 do that stand for
    none: few, or all of one time, beyond a pause that is longer than all others last."""
    time = next((column for column in columns if column.role == 'time'), None)
    (lasts,) = duck.single(connection, f'SELECT max("end") - min(start) FROM {duck.files([series])}')
    if time is None or lasts is None or lasts < PAUSE:
        return []
    own = duck.identifier(time.name)  # as the file tells it, by the clock of its zone
    years = connection.execute(
        f'SELECT min(_time), max(_time), count(*) FROM {source} GROUP BY year(_time) ORDER BY 1'
    ).fetchall()
    if (found := _body(years)) is None:
        return []
    first, last = found
    low, high = years[first][0], years[last - 1][1]
    bounds = {}
    if first:
        bounds['>='] = _between(years[first - 1][1], low)
    if last < len(years):
        bounds['<'] = _between(high, years[last][0])
    beyond = f"_time NOT BETWEEN '{low}'::TIMESTAMP AND '{high}'::TIMESTAMP"
    middle = (low + (high - low) / 2).replace(tzinfo=UTC).timestamp()
    rows = connection.execute(
        f'SELECT left({own}::VARCHAR, 10), {"_line" if lined else "NULL"}, _series, count(*) OVER () '
        f'FROM {source} WHERE {beyond} ORDER BY abs(epoch(_time) - {middle}) DESC, _series, _line LIMIT {TOLD}'
    ).fetchall()
    many = rows[0][3]
    begin, end = duck.single(
        connection,
        f'SELECT left(min({own})::VARCHAR, 10), left(max({own})::VARCHAR, 10) FROM {source} WHERE NOT ({beyond})',
    )
    shown = [moment + ('' if line is None else f' (line {line:,})') for moment, line, *_ in rows]
    more = f' and {many - len(rows):,} more' if many > len(rows) else ''
    where = {'>=': 'before', '<': 'from'}
    words = ' or '.join(f'{where[sign]} {year}{" on" if sign == "<" else ""}' for sign, year in bounds.items())
    lie, stand = ('lies', 'It may stand') if many == 1 else ('lie', 'They may stand')
    return [
        {
            'kind': 'far_times',
            'key': _key('far_times', time.name, str(many), str(rows[0][0])),
            'text': (
                f'{_rows(many)} {lie} far from all other times in {_short(time.name)}: {", ".join(shown)}{more}; the '
                f'others lie between {begin} and {end}. {stand} for no date. A step of the recipe '
                f'would take out rows {words}, in later files too.'
            ),
            'column': time.name,
            'count': many,
            'lines': [line for _, line, *_ in rows if line is not None],
            'series': [rows[0][2]],
            'low': begin,
            'high': end,
            'step': _within_years(time, bounds),
        }
    ]


def _body(years: Sequence[tuple[datetime, datetime, int]]) -> tuple[int, int] | None:
    """Return which years (first and last time, rows) hold all but times far out, None where there are none of those."""
    total = sum(rows for *_, rows in years)

    def are_few(part: Sequence[tuple[datetime, datetime, int]]) -> bool:
        rows = sum(rows for *_, rows in part)
        one = not part or part[0][0] == part[-1][1]
        return rows <= max(FEW, SHARE * total, MARKS * total * one) and total - rows >= BODY

    pauses = [place for place in range(1, len(years)) if years[place][0] - years[place - 1][1] >= PAUSE]
    firsts = [0, *(place for place in pauses if are_few(years[:place]))]
    lasts = [len(years), *(place for place in pauses if are_few(years[place:]))]
    for first, last in sorted(product(firsts, lasts), key=lambda ends: ends[1] - ends[0]):
        if first >= last or not (first or last < len(years)) or sum(rows for *_, rows in years[first:last]) < BODY:
            continue
        least = years[last - 1][1] - years[first][0]
        before = not first or years[first][0] - years[first - 1][1] >= least
        if before and (last == len(years) or years[last][0] - years[last - 1][1] >= least):
            return first, last
    return None


def _between(before: datetime, behind: datetime) -> int:
    """Return a year that begins about in the middle between two times that are years apart."""
    return (before + (behind - before) / 2).year + 1


def _within_years(time: ColumnProfile, bounds: Mapping[str, int]) -> dict[str, Any] | None:
    """The step that keeps rows of these years; None where an expression cannot name the column."""
    if '`' in time.name:
        return None
    limits = {sign: str(year) if time.type == 'integer' else f'"{year}-01-01"' for sign, year in bounds.items()}
    return {'do': 'filter', 'where': ' and '.join(f'`{time.name}` {sign} {limit}' for sign, limit in limits.items())}


def _alike(
    connection: 'duckdb.DuckDBPyConnection',
    source: str,
    columns: Sequence[ColumnProfile],
    series: Path,
    *,
    before: Sequence[ColumnProfile],
    numbered: Mapping[str, str],
) -> list[dict[str, Any]]:
    keys = [column for column in columns if column.role == 'series']
    words = [column for column in keys if column.type == 'text']
    every = f'SELECT series, rows, series AS label FROM {duck.files([series])}'
    of_series = _spellings(connection, 'series', every, numbered) if words else []
    if not (of_series or numbered) or not words:
        return []
    names = {column.source: column.name for column in before}
    if len(keys) == 1:
        return [_spelled(keys[0], names, *found, numbered=numbered, several=False) for found in of_series]
    hints = []
    for key in words:
        word = duck.identifier(key.name)
        counted = f'SELECT {word} AS word, count(*) AS rows, min(_series) AS label FROM {source} GROUP BY 1'
        found = _spellings(connection, 'word', counted, numbered)
        hints += [_spelled(key, names, *one, numbered=numbered, several=True) for one in found]
    return hints[:MOST_SPELLED]


def _spellings(
    connection: 'duckdb.DuckDBPyConnection', word: str, counted: str, numbered: Mapping[str, str]
) -> list[tuple[list[str], list[int], list[str]]]:
    """Words that are one when they are `_plain`, each group with the `rows` of each and a `label`, most rows first."""
    whens = ' '.join(f'WHEN {duck.text(name)} THEN {duck.text(cell)}' for name, cell in numbered.items())
    written = f'CASE {word} {whens} ELSE {word} END' if numbered else word
    plain = _plain(written)
    lists = ', '.join(f'list({name} ORDER BY rows DESC, {word})' for name in (word, 'rows', 'label'))
    found = connection.execute(
        f'SELECT {lists} FROM ({counted}) GROUP BY {plain} HAVING count(*) > 1 '
        f'ORDER BY sum(rows) DESC, 1 LIMIT {MOST_SPELLED}'
    ).fetchall()
    return [tuple(row) for row in found]


def _are_apart(names: Sequence[str | None]) -> bool:
    """Whether it is plain that no two names are one: to ask that of a few takes longer in SQL.

    Rows of a later file may have None: their key is empty.
    """
    known = [name for name in names if name is not None]
    letters = {_SIGNS.sub('', name.lower()) for name in known}
    return len(letters) == len(known) and all(map(str.isascii, known))


_SIGNS: Final = re.compile(r'[\s\-_.,;:/\\\'"()\[\]{}]+')  # what of BLANK and PUNCTUATION is ASCII


def _plain(word: str) -> str:
    """SQL: a word without what spellings of one name differ in: case, blanks, punctuation, accents of Latin letters.

    Between two digits, and before the first sign of a number, a mark stays: "1.1" is not "11", nor "-1" "1".
    """
    composed = f'lower(trim(nfc_normalize({word})))'
    latin = rf"regexp_full_match({composed}, '[\p{{Latin}}\p{{Common}}]*')"  # elsewhere marks are letters
    plain = f'CASE WHEN {latin} THEN strip_accents({composed}) ELSE {composed} END'
    parted = f"rtrim(regexp_replace({plain}, {duck.text(f'[{BLANK}{PUNCTUATION}]+')}, ' ', 'g'))"
    joined = rf"regexp_replace(regexp_replace({parted}, ' ([^\d ])', '\1', 'g'), '([^\d ]) ', '\1', 'g')"
    return f"coalesce(nullif({joined}, ''), {word})"


def _spelled(
    key: ColumnProfile,
    before: Mapping[str, str],
    words: Sequence[str],
    counts: Sequence[int],
    labels: Sequence[str],
    *,
    numbered: Mapping[str, str],
    several: bool,
) -> dict[str, Any]:
    pairs = list(zip(words, counts, strict=True))[:TOLD]
    told = ' and '.join(f'"{_short(word)}" ({_rows(count)}{_written(numbered.get(word))})' for word, count in pairs)
    more = f', and {len(words) - len(pairs)} more,' if len(words) > len(pairs) else ''
    column = f' in {_short(key.name)}' if several else ''
    to = numbered.get(words[0], words[0]).strip()
    differ = _differ([numbered.get(word, word) for word in words])
    one = 'name' if several else 'series'
    return {
        'kind': 'alike',
        'key': _key('alike', key.name, *sorted(words)),
        'text': (
            f'{told}{more}{column} may be one {one}: their names differ in {differ} alone. '
            f'A step of the recipe would merge them into "{_short(to)}", in later files too; '
            'of rows with the same time the last is kept.'
        ),
        'column': key.name,
        'values': _few(words),
        'series': list(labels[:TOLD]),
        'step': {
            'do': 'merge',
            'column': before.get(key.source, key.name),
            'values': _few([word for word in words if word != to]),
            'to': to,
        },
    }


def _differ(words: Sequence[str]) -> str:
    """Say what some names differ in: each of it that is left when all the rest is taken out."""
    ways: Mapping[str, Callable[[str], str]] = {
        'case': str.lower,
        'blanks': lambda word: re.sub(r'\s+', '', word),
        'punctuation': lambda word: ''.join(sign for sign in word if not unicodedata.category(sign).startswith('P')),
        'accents': lambda word: ''.join(
            sign for sign in unicodedata.normalize('NFD', word) if not unicodedata.combining(sign)
        ),
    }

    def folded(word: str, but: str) -> str:
        for name, fold in ways.items():
            word = word if name == but else fold(word)
        return unicodedata.normalize('NFC', word)

    found = [name for name in ways if len({folded(word, name) for word in words}) > 1] or list(ways)
    return found[0] if len(found) == 1 else f'{", ".join(found[:-1])} or {found[-1]}'


def _written(cell: str | None) -> str:
    return '' if cell is None else f', written "{_short(cell)}"'


def _few(words: Sequence[str]) -> list[str]:
    """The first words, of MERGED characters together, and one at least."""
    sizes = accumulate(map(len, words))
    return [word for place, (word, size) in enumerate(zip(words, sizes, strict=True)) if not place or size <= MERGED]


def _key(kind: str, *told: str) -> str:
    return f'{kind}-{hashlib.sha256(chr(0).join(told).encode()).hexdigest()[:16]}'


def _rows(count: int) -> str:
    return '1 row' if count == 1 else f'{count:,} rows'


def _short(name: str) -> str:
    shown = alike.visible(name)
    return shown if len(shown) <= LONGEST else f'{shown[: LONGEST - 1]}…'


def _figure(value: float) -> str:
    return f'{value:,.0f}' if value == int(value) and abs(value) < 1e15 else f'{value:,.6g}'
