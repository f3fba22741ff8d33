"""Steps of a recipe: each turns a table into another, as SQL that DuckDB runs within its memory.

A table has `_series`, `_time` (TIMESTAMP, UTC), `_line` and its own columns, sorted by `_series, _time, _line`. Steps
keep that order. What names the series or the time cannot be derived, cast or emptied here: that is what roles are for.
But names of series that are spelled in several ways can be made one (`merge`), before anything else is done.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from core.analysis import alike, duck
from core.analysis.recipes.expressions import Expression, Kind, compiled
from core.errors import UsageError

KINDS: Final[Mapping[str, Kind]] = {
    'integer': 'number', 'decimal': 'number', 'double': 'number', 'boolean': 'boolean',
    'date': 'time', 'timestamp': 'time', 'timestamptz': 'time', 'text': 'text',
}  # fmt: skip
NUMBERS: Final = ('integer', 'decimal', 'double')
OWN: Final = ('_series', '_time', '_line', '_source', '_row', '_status')
WAS: Final = '__was'
"""What a row's series was called before names were merged; of `own` while a recipe merges some."""
INNER: Final = re.compile(
    r'__(kept|new|bucket|at|place|phase|was|name|label|here|many|twice|(own|sum|count|sums|counts)_\d+)'
)
"""Names that steps use within their SQL."""
CASTS: Final = {'number': 'double', 'integer': 'integer', 'text': 'text', 'boolean': 'boolean'}
AGGREGATES: Final[Mapping[str, str]] = {
    'mean': 'avg({x}::DOUBLE)',
    'sum': 'sum({x}::DOUBLE)',
    'min': 'min({x}::DOUBLE)',
    'max': 'max({x}::DOUBLE)',
    'median': 'median({x}::DOUBLE)',
    'count': 'count({x})::DOUBLE',
    'first': 'arg_min({x}::DOUBLE, __at)',
    'last': 'arg_max({x}::DOUBLE, __at)',
}
FILLS: Final = ('none', 'forward', 'linear', 'seasonal')
CLIPS: Final = ('fixed', 'quantile', 'iqr', 'mad')
FIXED: Final[Mapping[str, int]] = {'s': 1, 'min': 60, 'h': 3600}
CALENDAR: Final[Mapping[str, str]] = {
    'D': 'day', 'W': 'week', 'MS': 'month', 'QS': 'quarter', 'YS': 'year',
}  # fmt: skip
LENGTHS: Final[Mapping[str, str]] = {
    'D': '1 day', 'W': '1 week', 'MS': '1 month', 'QS': '3 months', 'YS': '1 year',
}  # fmt: skip
A_DAY: Final = 86_400
EVERY: Final = re.compile(r'(\d{0,4})(s|min|h)|(D|W|MS|QS|YS)')
GROWTH: Final = 20
"""Resampling may make this many rows of one, and ALLOWED more."""
ALLOWED: Final = 1_000_000
LARGEST: Final = 2.0**62
"""A whole number that fits where whole numbers are stored."""
NORMAL: Final = 1.4826
"""Times this, the median absolute deviation of a normal distribution is its standard deviation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A column: its name, its type as stored, its role (time, series, measure, attribute) and its name in the file."""

    name: str
    type: str
    role: str
    source: str = ''

    @property
    def sql(self) -> str:
        """The column's name for SQL."""
        return duck.identifier(self.name)

    @property
    def numeric(self) -> bool:
        """Whether it holds numbers."""
        return self.type in NUMBERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What a step makes: `sql` over the relation `source`, and the columns afterwards.

    `changed` is SQL over `source` that counts the cells changed, and those with a value that it looks at; `empty` is an
    aggregate of a table that counts empty cells, where their difference before and after tells that. `guard` counts the
    rows that the step would make, where that may be far more than there are. `lost` is SQL over `source` of the rows
    that the step leaves out as duplicates, and of those that hold the mean of some (see `_merge`).
    """

    sql: str
    fields: tuple[Field, ...]
    changed: str | None = None
    empty: str | None = None
    guard: str | None = None
    lost: str | None = None


def expressions(fields: Sequence[Field], zone: str) -> dict[str, Expression]:
    """Return the columns as an expression sees them; times are wall-clock times of `zone`."""
    found = {}
    for field in fields:
        sql, kind = field.sql, KINDS[field.type]
        if kind == 'number':
            sql = f'CAST({sql} AS DOUBLE)'
        elif field.type == 'timestamptz':
            sql = f'timezone({duck.text(zone)}, {sql})'
        elif kind == 'time':
            sql = f'CAST({sql} AS TIMESTAMP)'
        found[field.name] = Expression(sql, kind)
    return found


def make(step: Mapping[str, Any], fields: Sequence[Field], *, zone: str, own: Sequence[str] = OWN[:3]) -> Made:
    """Return what one step does to a table of these columns and our `own`. Raise UsageError when it cannot be done."""
    name = step.get('do')
    known = STEPS.get(name) if isinstance(name, str) else None
    if known is None:
        raise UsageError(f'There is no step "{name}". Steps are {", ".join(STEPS)}.')
    takes, builder = known
    if name not in ('rename', 'drop') and (
        own_name := next((f.name for f in fields if INNER.fullmatch(f.name.lower())), None)
    ):
        raise UsageError(f'The column "{own_name}" has a name that steps use themselves. Rename it by a step before.')
    if unknown := sorted(set(step) - {'do', *takes}):
        raise UsageError(f'The step {name} takes {", ".join(takes)}, not "{unknown[0]}".')
    return builder(_Asked(step, tuple(fields), zone, tuple(own)))


@dataclass(frozen=True, slots=True)
class _Asked:
    """A step with the table that it is asked of."""

    step: Mapping[str, Any]
    fields: tuple[Field, ...]
    zone: str
    own: tuple[str, ...]

    def listed(self, columns: Sequence[str]) -> str:
        """SQL: our own columns and these."""
        return ', '.join([*self.own, *columns])

    def text(self, key: str, default: str | None = None) -> str:
        value = self.step.get(key, default)
        if not isinstance(value, str) or not value.strip():
            raise UsageError(f'The step {self.step["do"]} needs "{key}".')
        return value

    def one_of(self, key: str, allowed: Sequence[str], default: str | None = None) -> str:
        value = self.text(key, default)
        if value not in allowed:
            raise UsageError(f'"{value}" is no {key} of the step {self.step["do"]}. Choose {", ".join(allowed)}.')
        return value

    def number(self, key: str, default: float | None = None, *, least: float = -math.inf) -> float | None:
        value = self.step.get(key, default)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < least:
            above = '' if least == -math.inf else f' of at least {least:g}'
            raise UsageError(f'"{key}" of the step {self.step["do"]} is a number{above}, not {value!r}.')
        return float(value)

    def field(self, key: str) -> Field:
        return self.find(self.text(key))

    def find(self, name: str) -> Field:
        found = next((field for field in self.fields if field.name == name), None)
        if found is None:
            listed = ', '.join(field.name for field in self.fields[:20])
            raise UsageError(f'There is no column "{name}". Columns are {listed}.')
        return found

    def numbers(self, *, own: bool = True) -> list[Field]:
        """The columns named under `columns`, all measures without it; keys and the time cannot be among them."""
        names = self.step.get('columns')
        if names is None:
            return [field for field in self.fields if field.role == 'measure' and field.numeric]
        if not isinstance(names, Sequence) or isinstance(names, str) or not names:
            raise UsageError(f'"columns" of the step {self.step["do"]} is a list of names.')
        found = [self.free(self.find(str(name))) for name in dict.fromkeys(names)]
        if wordy := next((field for field in found if own and not field.numeric), None):
            raise UsageError(f'The column "{wordy.name}" holds no numbers, so {self.step["do"]} cannot be used on it.')
        return found

    def names(self, key: str) -> list[str]:
        """Texts, each of them once."""
        given = self.step.get(key)
        if not isinstance(given, Sequence) or isinstance(given, str) or not given:
            raise UsageError(f'"{key}" of the step {self.step["do"]} is a list of texts.')
        if any(not isinstance(one, str) or '\0' in one for one in given):
            raise UsageError(f'"{key}" of the step {self.step["do"]} holds what is no text.')
        return list(dict.fromkeys(given))

    def free(self, field: Field) -> Field:
        if field.role in ('time', 'series'):
            what = 'the time' if field.role == 'time' else 'the series'
            raise UsageError(f'The column "{field.name}" names {what}. Change its role before you change its values.')
        return field

    def new(self, key: str) -> str:
        name = self.text(key).strip()
        if len(name) > 200 or '\0' in name:
            raise UsageError("A column's name has at most 200 characters.")
        if name.lower() in OWN or name.startswith('__'):
            raise UsageError(f'"{name}" is a name of ours. Choose another one.')
        return name

    def swapped(self, values: Mapping[str, str], fields: Mapping[str, Field]) -> Made:
        """The table with other values, types or names for some columns."""
        listed = [
            f'{values[field.name]} AS {fields[field.name].sql}' if field.name in values else field.sql
            for field in self.fields
        ]
        after = tuple(fields.get(field.name, field) for field in self.fields)
        changed = [
            f'count(*) FILTER ({field.sql} IS DISTINCT FROM {values[field.name]})'
            for field in self.fields
            if field.name in values and KINDS[fields[field.name].type] == KINDS[field.type]
        ]
        lost = [
            f'count(*) FILTER ({field.sql} IS NOT NULL AND ({values[field.name]}) IS NULL)'
            for field in self.fields
            if field.name in values and KINDS[fields[field.name].type] != KINDS[field.type]
        ]
        counted = ' + '.join([*changed, *lost])
        held = ' + '.join(f'count({field.sql})' for field in self.fields if field.name in values)
        return Made(
            sql=f'SELECT {self.listed(listed)} FROM source',
            fields=after,
            changed=f'SELECT {counted}, {held} FROM source',
        )


def _finite(sql: str) -> str:
    return f'CASE WHEN isfinite({sql}) THEN {sql} END'


def _rename(asked: _Asked) -> Made:
    field, name = asked.field('column'), asked.new('to')
    if any(other.name.lower() == name.lower() and other != field for other in asked.fields):
        raise UsageError(f'There is a column "{name}" already. Choose another name.')
    listed = [f'{other.sql} AS {duck.identifier(name)}' if other == field else other.sql for other in asked.fields]
    return Made(
        sql=f'SELECT {asked.listed(listed)} FROM source',
        fields=tuple(replace(f, name=name) if f == field else f for f in asked.fields),
    )


def merged(steps: Sequence[Mapping[str, Any]], fields: Sequence[Field]) -> str:
    """SQL: what a row's series is called after the steps that merge names."""
    keys = {field.name: field.sql for field in fields if field.role == 'series'}
    for step in steps:
        if step['do'] == 'merge':
            column = step['column']
            keys[column] = _renamed(keys[column], step['values'], step['to'])
    return alike.label(list(keys.values()))


def hidden(steps: Sequence[Mapping[str, Any]], fields: Sequence[Field]) -> dict[str, str]:
    """What steps that merge keep beside a row, as SQL over it as it was stored: what its series was called, and where
    there are several of them and some store means, what each measure said, and the sum and the number of its values.

    A mean of means would depend on how the steps are cut, so means are always those of the sums.
    """
    merges = [step for step in steps if step['do'] == 'merge']
    found = {WAS: '_series'} if merges else {}
    if len(merges) > 1 and any(step.get('how') == 'mean' for step in merges):
        for at, field in enumerate(_measures(fields)):
            found |= {f'__own_{at}': field.sql, f'__sum_{at}': _summed(field), f'__count_{at}': _counted(field)}
    return found


def _measures(fields: Sequence[Field]) -> list[Field]:
    return [field for field in fields if field.role == 'measure' and field.numeric]


def _summed(field: Field) -> str:
    return f'{field.sql}::DOUBLE'


def _counted(field: Field) -> str:
    return f'({field.sql} IS NOT NULL)::BIGINT'


def _renamed(sql: str, values: Sequence[str], to: str) -> str:
    return f'CASE WHEN {sql} IN ({", ".join(map(duck.text, values))}) THEN {duck.text(to)} ELSE {sql} END'


def _merge(asked: _Asked) -> Made:
    """Give series that are spelled in several ways one name; of rows that then share series and time one stays.

    Which one is said by `how`, as for duplicates of a file: the last by its file and its line, the first, or the last
    with the mean of every measure. Where rows of one spelling share a time already, nothing told them apart when they
    were stored: all of them stay.
    """
    field = asked.field('column')
    keys = [other for other in asked.fields if other.role == 'series']
    if field not in keys:
        named = ' or '.join(f'"{key.name}"' for key in keys)
        hint = f'Merge values of {named}.' if keys else 'Give it the role series first, on the tab Columns.'
        raise UsageError(f'The column "{field.name}" does not name series. {hint}')
    if field.type != 'text':
        raise UsageError(f'The column "{field.name}" holds no text, so nothing in it is spelled in several ways.')
    values, to, how = asked.names('values'), asked.text('to').strip(), asked.one_of('how', alike.RULES, 'last')
    if len(to) > 1000 or '\0' in to:
        raise UsageError("A series' name has at most 1,000 characters.")
    name = _renamed(field.sql, values, to)
    label = alike.label([name if key == field else key.sql for key in keys])
    place = [column for column in ('_source', '_line') if column in asked.own]
    among = f'{field.sql} IN ({", ".join(map(duck.text, [*values, to]))})'
    way = alike.order(how)
    same = f'PARTITION BY __label, _time ORDER BY {", ".join(f"{column} {way}" for column in place)}, _series {way}'
    meant = _measures(asked.fields) if how == 'mean' else []
    held = '__sum_0' in asked.own
    sums = ''.join(
        f', sum({f"__sum_{at}" if held else _summed(other)}) OVER (PARTITION BY __label, _time) AS __sums_{at}'
        f', sum({f"__count_{at}" if held else _counted(other)}) OVER (PARTITION BY __label, _time) AS __counts_{at}'
        for at, other in enumerate(meant)
    )
    named = f'SELECT *, {name} AS __name, {label} AS __label FROM source'
    here = f'(SELECT * FROM ({named}) WHERE {among})'
    rows = f"""(SELECT *, true AS __here, row_number() OVER ({same}) AS __place,
            count(*) OVER (PARTITION BY __label, _time) AS __many{sums} FROM {here}
        UNION ALL SELECT *, false, 1, 1{', NULL, NULL' * len(meant)} FROM ({named}) WHERE NOT ({among}))"""
    twice = f'SELECT count(*) > 0 AS __twice FROM (SELECT 1 FROM {here} GROUP BY _series, _time HAVING count(*) > 1)'
    several = '__many > 1 AND NOT __twice'
    values_of = {other.name: f'CASE WHEN {several} THEN __sums_{at} / __counts_{at} ELSE {other.sql}::DOUBLE END'
                 for at, other in enumerate(meant)}  # fmt: skip
    own_of = {'_series': '__label'}
    for at in range(len(meant) if held else 0):
        own_of[f'__sum_{at}'] = f'CASE WHEN {several} THEN __sums_{at} ELSE __sum_{at} END'
        own_of[f'__count_{at}'] = f'CASE WHEN {several} THEN __counts_{at} ELSE __count_{at} END'
    own = [f'{own_of.get(column, column)} AS {column}' for column in asked.own]
    listed = []
    for other in asked.fields:
        value = '__name' if other == field else values_of.get(other.name, other.sql)
        listed.append(f'{value} AS {other.sql}')
    return Made(
        sql=f'SELECT {", ".join([*own, *listed])} FROM {rows}, ({twice}) WHERE __twice OR __place = 1 '
        'ORDER BY _series, _time, _line',
        fields=tuple(replace(f, type='double') if f in meant else f for f in asked.fields),
        changed=f'SELECT count(*) FILTER ({field.sql} <> {name}), count({field.sql}) FROM source',
        lost=_left_out(asked, rows, twice, to=to, how=how),
    )


def _left_out(asked: _Asked, rows: str, twice: str, *, to: str, how: str) -> str:
    """SQL: `was, moment, line, source` of each row that is left out, and in `here` what it says where the one that is
    stored in its place (`other_was`, `other_line`, `other_source`) says what is in `there`; ''s where both say the
    same.

    `name` is that of the series, `how` the rule, `action` what became of the row: rejected, or repaired for one that is
    stored with the mean of several.
    """
    names = [field.name for field in asked.fields if field.role not in ('time', 'series')]
    was = WAS if WAS in asked.own else '_series'
    source = '{}._source' if '_source' in asked.own else '0'
    pairs = f"""SELECT d.{was} AS was, d._time AS moment, d._line AS line, {source.format('d')} AS source,
            k.{was} AS other_was, k._line AS other_line, {source.format('k')} AS other_source,
            {alike.said(names, 'd', 'k')} AS own, {alike.said(names, 'k', 'd')} AS others
        FROM found d JOIN found k ON d.__label = k.__label AND d._time = k._time
        WHERE d.__place > 1 AND k.__place = 1"""
    tail = f'{duck.text(to)} AS name, {duck.text(how)} AS how'
    means = (
        f"""UNION ALL SELECT {was}, _time, _line, {source.format('found')}, NULL, NULL, NULL, '', '', {tail}, 'repaired'
        FROM found WHERE __place = 1"""
        if how == 'mean'
        else ''
    )
    # A row that holds a mean says what its own line said.
    said = [f'__own_{at} AS {field.sql}' for at, field in enumerate(_measures(asked.fields))]
    shown = f'* REPLACE ({", ".join(said)})' if '__own_0' in asked.own else '*'
    return f"""WITH found AS (SELECT {shown} FROM {rows}, ({twice}) WHERE __here AND __many > 1 AND NOT __twice),
        pairs AS ({pairs})
        SELECT was, moment, line, source, other_was, other_line, other_source, {alike.told('own')} AS here,
            {alike.told('others')} AS there, {tail}, 'rejected' AS action FROM pairs {means}"""


def _drop(asked: _Asked) -> Made:
    field = asked.free(asked.field('column'))
    left = tuple(other for other in asked.fields if other != field)
    if field.role == 'measure' and not any(other.role == 'measure' for other in left):
        raise UsageError(f'"{field.name}" is the last measure. A dataset needs one.')
    return Made(sql=f'SELECT {asked.listed([other.sql for other in left])} FROM source', fields=left)


def _cast(asked: _Asked) -> Made:
    field = asked.free(asked.field('column'))
    kind = CASTS[asked.one_of('type', tuple(CASTS))]
    x = field.sql
    if kind == 'double':
        value = _finite(f'TRY_CAST({x} AS DOUBLE)')
    elif kind == 'integer':
        # Rounding 2.5 to a whole number would be a silent change.
        value = f'CASE WHEN TRY_CAST({x} AS DOUBLE) = floor(TRY_CAST({x} AS DOUBLE)) THEN TRY_CAST({x} AS BIGINT) END'
    elif kind == 'text':
        value = f'CAST({x} AS VARCHAR)'
    else:
        value = f'TRY_CAST({x} AS BOOLEAN)'
    if KINDS[field.type] == 'time' and kind != 'text':
        raise UsageError(
            f'The times of "{field.name}" can become text only. Derive a number by year(), hour() and such.'
        )
    role = 'measure' if kind in NUMBERS else 'attribute'
    if field.role == 'measure' and role != 'measure' and not _others(asked, field):
        raise UsageError(f'"{field.name}" is the last measure. A dataset needs one.')
    return asked.swapped({field.name: value}, {field.name: replace(field, type=kind, role=role)})


def _others(asked: _Asked, field: Field) -> bool:
    return any(other.role == 'measure' and other != field for other in asked.fields)


def _filter(asked: _Asked) -> Made:
    found = compiled(asked.text('where'), expressions(asked.fields, asked.zone))
    if found.kind != 'boolean':
        raise UsageError(f'"{asked.text("where")}" is a {found.kind}, no condition. Write one such as price > 0.')
    columns = asked.listed([field.sql for field in asked.fields])
    return Made(
        sql=f'SELECT {columns} FROM (SELECT *, {found.sql} AS __kept FROM source) WHERE __kept', fields=asked.fields
    )


def _derive(asked: _Asked) -> Made:
    name = asked.new('column')
    found = compiled(asked.text('as'), expressions(asked.fields, asked.zone))
    kinds = {'number': 'double', 'text': 'text', 'boolean': 'boolean', 'time': 'timestamp'}
    if found.kind not in kinds:
        raise UsageError(f'"{asked.text("as")}" holds nothing in every row.')
    value = _finite(found.sql) if found.kind == 'number' else found.sql
    role = 'measure' if found.kind == 'number' else 'attribute'
    field = Field(name=name, type=kinds[found.kind], role=role)
    old = next((other for other in asked.fields if other.name.lower() == name.lower()), None)
    if old is None:
        listed = asked.listed([*(other.sql for other in asked.fields), f'{value} AS {field.sql}'])
        return Made(sql=f'SELECT {listed} FROM source', fields=(*asked.fields, field))
    asked.free(old)
    if old.role == 'measure' and role != 'measure' and not _others(asked, old):
        raise UsageError(f'"{old.name}" is the last measure. A dataset needs one.')
    return _derived_anew(asked, old, replace(field, name=old.name), value)


def _derived_anew(asked: _Asked, old: Field, field: Field, value: str) -> Made:
    listed = asked.listed([f'__new AS {field.sql}' if other == old else other.sql for other in asked.fields])
    fields = tuple(field if other == old else other for other in asked.fields)
    source = f'(SELECT *, {value} AS __new FROM source)'
    alike = KINDS[old.type] == KINDS[field.type]
    changed = f'count(*) FILTER ({old.sql} IS DISTINCT FROM __new)' if alike else f'count({old.sql})'
    held = f'count(*) FILTER ({old.sql} IS NOT NULL OR __new IS NOT NULL)' if alike else f'count({old.sql})'
    return Made(
        sql=f'SELECT {listed} FROM {source}',
        fields=fields,
        changed=f'SELECT {changed}, {held} FROM {source}',
    )


def _clip(asked: _Asked) -> Made:
    """Bring outliers to a bound, or empty them: fixed bounds, or bounds of each series by its own values.

    Whole numbers stay whole: their bounds are rounded inward, or outward where no whole number lies between them. A
    cell whose bound is past every whole number that can be stored stays as it is.
    """
    how = asked.one_of('how', CLIPS, 'fixed')
    empty = asked.one_of('action', ('clip', 'empty'), 'clip') == 'empty'
    fields = asked.numbers()
    if not fields:
        raise UsageError('There is no measure to clip.')
    bounds, joined = _bounds(asked, how, fields)
    given = [asked.number(key) for key in ('low', 'high')] if how == 'fixed' else []
    fit = all(bound is None or abs(bound) <= LARGEST for bound in given)
    whole = {field.name for field in fields if field.type == 'integer' and fit}
    values, listed, counted = {}, [], []
    for place, field in enumerate(fields):
        low, high = bounds[place]
        x = f'CAST({field.sql} AS DOUBLE)'
        beyond = ' OR '.join([*([f'{x} < {low}'] if low else []), *([f'{x} > {high}'] if high else [])])
        if field.name in whole:
            low, high = _whole(low, high)
            bound = f'coalesce(TRY_CAST({_bounded(x, low, high)} AS BIGINT), {field.sql})'
            values[field.name] = f'CASE WHEN {beyond} THEN {"NULL" if empty else bound} ELSE {field.sql} END'
        else:
            bound = _bounded(x, low, high)
            values[field.name] = f'CASE WHEN {beyond} THEN {"NULL" if empty else bound} ELSE {x} END'
        counted.append(f'count(*) FILTER ({beyond})')
    for field in asked.fields:
        listed.append(f'{values[field.name]} AS {field.sql}' if field.name in values else field.sql)
    fields_after = tuple(
        replace(f, type='double') if f.name in values and f.name not in whole else f for f in asked.fields
    )
    held = ' + '.join(f'count({field.sql})' for field in fields)
    return Made(
        sql=f'SELECT {asked.listed(listed)} FROM source{joined} ORDER BY _series, _time, _line',
        fields=fields_after,
        changed=f'SELECT {" + ".join(counted)}, {held} FROM source{joined}',
    )


def _bounded(x: str, low: str | None, high: str | None) -> str:
    """SQL: a value brought to the bounds that there are."""
    above = f'greatest({x}, {low})' if low else x
    return f'least({above}, {high})' if high else above


def _whole(low: str | None, high: str | None) -> tuple[str | None, str | None]:
    """SQL: whole bounds within these, or around them where there is none within."""
    if low is None or high is None:
        return low and f'ceil({low})', high and f'floor({high})'
    within = f'ceil({low}) <= floor({high})'
    return (
        f'CASE WHEN {within} THEN ceil({low}) ELSE floor({low}) END',
        f'CASE WHEN {within} THEN floor({high}) ELSE ceil({high}) END',
    )


def _bounds(asked: _Asked, how: str, fields: Sequence[Field]) -> tuple[list[tuple[str | None, str | None]], str]:
    if how == 'fixed':
        low, high = asked.number('low'), asked.number('high')
        if low is None and high is None:
            raise UsageError('Clipping at fixed bounds needs "low", "high" or both.')
        if low is not None and high is not None and low > high:
            raise UsageError(f'The lower bound {low:g} is above the upper bound {high:g}.')
        pair = tuple(None if bound is None else f'({bound!r}::DOUBLE)' for bound in (low, high))
        return [(pair[0], pair[1])] * len(fields), ''
    low, high = asked.number('low', 0.01, least=0.0), asked.number('high', 0.99, least=0.0)
    if how == 'quantile' and not (low is not None and high is not None and low < high <= 1):
        raise UsageError('Quantiles "low" and "high" lie between 0 and 1, the lower one first.')
    k = asked.number('k', 3.0, least=0.0)
    asked_for: list[str] = []
    bounds: list[tuple[str | None, str | None]] = []
    for place, field in enumerate(fields):
        x = f'CAST({field.sql} AS DOUBLE)'
        if how == 'quantile':
            asked_for += [
                f'quantile_cont({x}, {low}) AS __low_{place}',
                f'quantile_cont({x}, {high}) AS __high_{place}',
            ]
        elif how == 'iqr':
            first, third = f'quantile_cont({x}, 0.25)', f'quantile_cont({x}, 0.75)'
            asked_for += [
                f'{first} - {k} * ({third} - {first}) AS __low_{place}',
                f'{third} + {k} * ({third} - {first}) AS __high_{place}',
            ]
        else:
            spread = f'{k} * {NORMAL} * mad({x})'
            asked_for += [f'median({x}) - {spread} AS __low_{place}', f'median({x}) + {spread} AS __high_{place}']
        bounds.append((f'__low_{place}', f'__high_{place}'))
    return bounds, f' JOIN (SELECT _series, {", ".join(asked_for)} FROM source GROUP BY _series) USING (_series)'


def _resample(asked: _Asked) -> Made:
    """Bring each series to one row a step: from its first step to its last, empty where nothing was measured."""
    every = asked.text('every')
    match = EVERY.fullmatch(every)
    if match is None or (match[1] and not int(match[1])):
        raise UsageError(f'"{every}" is no step. Write one such as 15min, 2h, D, W, MS, QS or YS.')
    default = asked.one_of('how', tuple(AGGREGATES), 'mean')
    own = asked.step.get('columns') or {}
    if not isinstance(own, Mapping):
        raise UsageError('"columns" of the step resample maps columns to aggregates.')
    for name, aggregate in own.items():
        if not asked.free(asked.find(name)).numeric or aggregate not in AGGREGATES:
            raise UsageError(f'"{aggregate}" cannot be taken of "{name}". Choose {", ".join(AGGREGATES)} of numbers.')
    if match[3]:
        return _calendar(asked, f"date_trunc('{CALENDAR[match[3]]}', {{}})", LENGTHS[match[3]], default, own)
    seconds = int(match[1] or 1) * FIXED[match[2]]
    days, rest = divmod(seconds, A_DAY)
    if days and rest:  # charts have none such: they go on as they were stored
        length = f'{seconds} second'
        bucket = f"time_bucket(INTERVAL '{length}', _time, TIMESTAMP '2000-01-01')"
        return _regular(
            asked, bucket=bucket, length=length, grid=_spans(length), back='__bucket', aggregate=default, own=own
        )
    if days:
        # Counted as charts do: from 1970, weeks from a Monday.
        begun = '1970-01-01' if days % 7 else '1970-01-05'
        bucket = f"time_bucket(INTERVAL {days} DAY, {{}}, TIMESTAMP '{begun}')"
        return _calendar(asked, bucket, f'{days} day', default, own)
    return _by_clock(asked, f'{seconds} second', default, own)


def _calendar(asked: _Asked, bucket: str, length: str, aggregate: str, own: Mapping[str, str]) -> Made:
    """Steps of days and longer: `bucket` is the first day of the one that a wall-clock time lies in."""
    # Of noon there is one each day, of midnight none or two where clocks change then.
    noon = f"timezone('UTC', timezone({duck.text(asked.zone)}, __bucket + INTERVAL 12 HOUR))"
    grid = _spans(length)
    if length == '1 day':  # where the date line was moved, one did not take place
        grid = f'SELECT * FROM ({grid}) WHERE {_wall(noon, asked.zone)} = __bucket + INTERVAL 12 HOUR'
    return _regular(
        asked,
        bucket=bucket.format(_wall('_time', asked.zone)),
        length=length,
        grid=grid,
        back=_midnight(noon, asked.zone),
        aggregate=aggregate,
        own=own,
    )


def _spans(length: str) -> str:
    """SQL: the steps of each series, all of one length, from its first to its last."""
    return f"""
        SELECT _series, unnest(generate_series(min(__bucket), max(__bucket), INTERVAL '{length}')) AS __bucket
        FROM folded GROUP BY _series"""


def _by_clock(asked: _Asked, length: str, aggregate: str, own: Mapping[str, str]) -> Made:
    """Steps within a day: they count from midnight in the zone, as in charts, and the last one ends with its day."""
    grid = f"""
        SELECT _series, __bucket FROM (
            SELECT _series, a, b, unnest(generate_series(day, until - INTERVAL 1 MICROSECOND, INTERVAL '{length}'))
                AS __bucket
            FROM (SELECT *, lead(day) OVER (PARTITION BY _series ORDER BY day) AS until FROM (
                SELECT DISTINCT _series, a, b, {_midnight('moment', asked.zone)} AS day FROM (
                    SELECT *, unnest(generate_series(a, b + INTERVAL 2 DAY, INTERVAL 12 HOUR)) AS moment FROM (
                        SELECT _series, min(__bucket) AS a, max(__bucket) AS b FROM folded GROUP BY _series))))
            WHERE until IS NOT NULL)
        WHERE __bucket BETWEEN a AND b"""
    bucket = f"time_bucket(INTERVAL '{length}', _time, {_midnight('_time', asked.zone)})"
    return _regular(asked, bucket=bucket, length=length, grid=grid, back='__bucket', aggregate=aggregate, own=own)


def _wall(instant: str, zone: str) -> str:
    """SQL: what clocks in the zone show at an instant (TIMESTAMP, UTC)."""
    return f"timezone({duck.text(zone)}, timezone('UTC', {instant}))"


def _midnight(instant: str, zone: str) -> str:
    """SQL: when the day of an instant (TIMESTAMP, UTC) begins by the clocks of the zone."""
    if zone == 'UTC':
        return f"date_trunc('day', {instant})"
    day = f"date_trunc('day', {_wall(instant, zone)})"
    # Clocks may have changed between: what they showed then tells how far they were ahead of UTC.
    near = f'({day} - ({_wall(instant, zone)} - {instant}))'
    before = f'({near} - INTERVAL 1 MICROSECOND)'
    far = f'({day} - ({_wall(before, zone)} - {before}))'
    of_day = [f"CASE WHEN date_trunc('day', {_wall(one, zone)}) = {day} THEN {one} END" for one in (near, far)]
    return f'least({", ".join(of_day)})'


def _regular(
    asked: _Asked, *, bucket: str, length: str, grid: str, back: str, aggregate: str, own: Mapping[str, str]
) -> Made:
    """Rows of each series at the steps of `grid`; `bucket` is the one that a row lies in, `back` its time in UTC."""
    folded, listed, fields = [], [], []
    for field in asked.fields:
        if field.role == 'time':
            listed.append(f'{_time_value(field, asked.zone)} AS {field.sql}')
        elif field.role == 'series':
            folded.append(f'any_value({field.sql}) AS {field.sql}')
            listed.append(f'any_value({field.sql}) OVER (PARTITION BY _series) AS {field.sql}')
        elif field.numeric and field.role == 'measure':
            chosen = AGGREGATES[own.get(field.name, aggregate)].format(x=field.sql)
            folded.append(f'{_finite(f"({chosen})")} AS {field.sql}')
            listed.append(field.sql)
            field = replace(field, type='double')
        else:
            folded.append(f'arg_max({field.sql}, __at) AS {field.sql}')
            listed.append(field.sql)
        fields.append(field)
    first = [f'arg_min({name}, __at) AS {name}' for name in asked.own[2:]]
    sql = f"""
        WITH placed AS (SELECT *, {bucket} AS __bucket, (epoch_us(_time), _line) AS __at FROM source),
        folded AS (SELECT _series, __bucket, {', '.join(first + folded)} FROM placed GROUP BY 1, 2),
        grid AS ({grid}),
        filled AS (SELECT * FROM grid LEFT JOIN folded USING (_series, __bucket)),
        timed AS (SELECT *, {back} AS _time FROM filled)
        SELECT {asked.listed(listed)} FROM timed ORDER BY _series, _time, _line"""
    guard = f"""
        WITH ends AS (SELECT min({bucket}) AS a, max({bucket}) AS b FROM source GROUP BY _series)
        SELECT coalesce(sum(1 + (epoch_us(b) - epoch_us(a)) / epoch_us(TIMESTAMP 'epoch' + INTERVAL '{length}')), 0)
        FROM ends"""
    return Made(sql=sql, fields=tuple(fields), guard=guard)


def _time_value(field: Field, zone: str) -> str:
    """SQL: the time column's own value of `_time`."""
    if field.type == 'integer':
        return 'year(_time)'
    if field.type == 'date':
        return 'CAST(_time AS DATE)'
    return "timezone('UTC', _time)" if field.type == 'timestamptz' else _wall('_time', zone)


def _fill(asked: _Asked) -> Made:
    """Fill empty cells from the same series' other values; what has none on the side needed stays empty."""
    how = asked.one_of('how', FILLS)
    fields = asked.numbers(own=how in ('linear', 'seasonal'))
    limit = asked.number('limit', least=1)
    if how == 'none' or not fields:
        return Made(sql='SELECT * FROM source', fields=asked.fields)
    if how == 'seasonal':
        return _fill_seasonal(asked, fields)
    values, after = {}, {}
    window = '(PARTITION BY _series ORDER BY _time, _line ROWS BETWEEN {} AND {})'
    most = 'UNBOUNDED' if limit is None else str(int(limit))
    for field in fields:
        x = field.sql
        if how == 'forward':
            last = f'last_value({x} IGNORE NULLS) OVER {window.format(f"{most} PRECEDING", "CURRENT ROW")}'
            values[field.name], after[field.name] = f'coalesce({x}, {last})', field
        else:
            values[field.name] = _linear(x, window, limit)
            after[field.name] = replace(field, type='double')
    listed = [f'{values[field.name]} AS {field.sql}' if field.name in values else field.sql for field in asked.fields]
    ordered = 'ORDER BY _series, _time, _line'
    placed = 'SELECT *, row_number() OVER (PARTITION BY _series ORDER BY _time, _line) AS __place FROM source'
    return Made(
        sql=f'SELECT {asked.listed(listed)} FROM ({placed}) {ordered}',
        fields=tuple(after.get(field.name, field) for field in asked.fields),
        empty=_empty(fields),
    )


def _linear(x: str, window: str, limit: float | None) -> str:
    """SQL: the value on the line between the neighbours that are there, in time."""
    before = window.format('UNBOUNDED PRECEDING', '1 PRECEDING')
    behind = window.format('1 FOLLOWING', 'UNBOUNDED FOLLOWING')
    y = f'CAST({x} AS DOUBLE)'
    place, moment = (f'CASE WHEN {x} IS NOT NULL THEN {of} END' for of in ('__place', 'epoch_us(_time)'))
    first, t1, n1 = (f'last_value({one} IGNORE NULLS) OVER {before}' for one in (y, moment, place))
    second, t2, n2 = (f'first_value({one} IGNORE NULLS) OVER {behind}' for one in (y, moment, place))
    value = f'{first} + ({second} - {first}) * (epoch_us(_time) - {t1}) / greatest({t2} - {t1}, 1)'
    near = '' if limit is None else f' AND {n2} - {n1} <= {int(limit) + 1}'
    return (
        f'CASE WHEN {x} IS NOT NULL THEN {y} WHEN {first} IS NOT NULL AND {second} IS NOT NULL{near} THEN {value} END'
    )


def _fill_seasonal(asked: _Asked, fields: Sequence[Field]) -> Made:
    """Fill by the mean of the nearest values at the same place of the season before and after."""
    season = asked.number('season', least=2)
    if season is None or season != int(season):
        raise UsageError('Filling by season needs "season": the number of rows in one, such as 24 for hours of a day.')
    window = '(PARTITION BY _series, __phase ORDER BY _time, _line ROWS BETWEEN {} AND {})'
    before, behind = (
        window.format('UNBOUNDED PRECEDING', '1 PRECEDING'),
        window.format('1 FOLLOWING', 'UNBOUNDED FOLLOWING'),
    )
    names, listed = {field.name for field in fields}, []
    for field in asked.fields:
        y = f'CAST({field.sql} AS DOUBLE)'
        first, second = (
            f'last_value({y} IGNORE NULLS) OVER {before}',
            f'first_value({y} IGNORE NULLS) OVER {behind}',
        )
        value = f'coalesce({y}, ({first} + {second}) / 2, {first}, {second})'
        listed.append(f'{value} AS {field.sql}' if field.name in names else field.sql)
    placed = (
        f'SELECT *, (row_number() OVER (PARTITION BY _series ORDER BY _time, _line) - 1) % {int(season)} AS __phase '
        'FROM source'
    )
    return Made(
        sql=f'SELECT {asked.listed(listed)} FROM ({placed}) ORDER BY _series, _time, _line',
        fields=tuple(replace(f, type='double') if f.name in names else f for f in asked.fields),
        empty=_empty(fields),
    )


def _empty(fields: Sequence[Field]) -> str:
    return ' + '.join(f'count(*) FILTER ({field.sql} IS NULL)' for field in fields)


STEPS: Final[Mapping[str, tuple[tuple[str, ...], Callable[[_Asked], Made]]]] = {
    'merge': (('column', 'values', 'to', 'how'), _merge),
    'rename': (('column', 'to'), _rename),
    'drop': (('column',), _drop),
    'cast': (('column', 'type'), _cast),
    'filter': (('where',), _filter),
    'derive': (('column', 'as'), _derive),
    'clip': (('columns', 'how', 'low', 'high', 'k', 'action'), _clip),
    'resample': (('every', 'how', 'columns'), _resample),
    'fill': (('how', 'columns', 'limit', 'season'), _fill),
}
