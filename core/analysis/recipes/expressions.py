"""Expressions over the columns of a table, such as `price * 1.19` or `temp > 30 and site == 'Oslo'`, as SQL.

The grammar is that of Python's expressions, cut down to what is listed here: nothing a user writes reaches the database
but names of known columns (quoted), numbers, texts (quoted), and the operators and functions below. Names that are no
plain word are written between backticks.
"""

import ast
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from core.analysis import duck
from core.errors import UsageError

Kind = Literal['number', 'text', 'boolean', 'time', 'nothing']
LONGEST: Final = 1000
DEEPEST: Final = 40
MOST_PLACES: Final = 15
MOST_ROWS_BACK: Final = 100_000
IN_SERIES: Final = '(PARTITION BY _series ORDER BY _time, _line{frame})'
LARGEST: Final = 20_000
"""Characters of SQL: an operand that is written twice would double them at each level."""
_BACKTICKS: Final = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`([^`]+)`""")
"""Names between backticks, and texts, in which backticks are none."""


@dataclass(frozen=True, slots=True)
class Expression:
    """SQL over a table's rows and the kind of its value. Numbers are DOUBLE, or NULL where there is no finite one."""

    sql: str
    kind: Kind


def compiled(text: str, columns: Mapping[str, Expression]) -> Expression:
    """Return what `text` means over `columns`. Raise UsageError that says what is wrong with it."""
    if not text.strip():
        raise UsageError('The expression is empty. Write one such as price * quantity.')
    if len(text) > LONGEST:
        raise UsageError(f'The expression is longer than {LONGEST:,} characters. Derive a column in several steps.')
    names: list[str] = []
    prefix = '_named_'
    while prefix in text:
        prefix += '_'

    def kept(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0]
        names.append(match[1])
        return f'{prefix}{len(names) - 1}'

    source = _BACKTICKS.sub(kept, text.strip())
    try:
        tree = ast.parse(source, mode='eval')
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise UsageError(_not_understood(text, error)) from error
    known = {f'{prefix}{place}': name for place, name in enumerate(names)}
    return _Reader(columns, known).read(tree.body, 0)


def _not_understood(text: str, error: Exception) -> str:
    hint = ''
    if re.search(r'(?<![=<>!])=(?!=)', text):
        hint = ' To compare, write == in place of =.'
    elif '<>' in text:
        hint = ' Write != in place of <>.'
    elif re.search(r'\b(AND|OR|NOT)\b', text):
        hint = ' Write and, or, not in small letters.'
    elif '&&' in text or '||' in text:
        hint = ' Write and, or in place of && and ||.'
    place = getattr(error, 'offset', None)
    where = f' near character {place}' if place else ''
    return f'The expression "{text}" is not understood{where}.{hint or " Write one such as price * quantity."}'


@dataclass(frozen=True, slots=True)
class _Function:
    """What a function takes (the kinds of its arguments, the last one repeated up to `most`) and how it is written."""

    takes: tuple[Kind, ...]
    gives: Kind
    write: Callable[..., str]
    most: int = 0
    least: int | None = None


def _call(name: str) -> Callable[..., str]:
    return lambda *args: f'{name}({", ".join(args)})'


def _part(name: str) -> _Function:
    return _Function(('time',), 'number', lambda x: f'{name}({x})::DOUBLE')


def _back(x: str, rows: str = '1') -> str:
    return f'lag({x}, {rows}) OVER {IN_SERIES.format(frame="")}'


def _rolled(name: str) -> Callable[..., str]:
    return lambda x, rows: (
        f'{name}({x}) OVER {IN_SERIES.format(frame=f" ROWS BETWEEN {rows} - 1 PRECEDING AND CURRENT ROW")}'
    )


IN_ROWS: Final = ('lag', 'diff', 'pct_change', 'cumsum', 'rolling_mean', 'rolling_sum', 'rolling_min', 'rolling_max')
"""Functions that read other rows of the series."""
ONE: Final[tuple[Kind, ...]] = ('number',)
TWO: Final[tuple[Kind, ...]] = ('number', 'number')

FUNCTIONS: Final[Mapping[str, _Function]] = {
    **{name: _Function(ONE, 'number', _call(name)) for name in ('abs', 'floor', 'ceil', 'sqrt', 'exp', 'ln', 'log10')},
    'sign': _Function(ONE, 'number', lambda x: f'sign({x})::DOUBLE'),
    'round': _Function(TWO, 'number', lambda x, places='0': f'round({x}, {places})', least=1),
    'min': _Function(ONE, 'number', _call('least'), most=20, least=2),
    'max': _Function(ONE, 'number', _call('greatest'), most=20, least=2),
    'coalesce': _Function(ONE, 'number', _call('coalesce'), most=20, least=2),
    'lower': _Function(('text',), 'text', _call('lower')),
    'upper': _Function(('text',), 'text', _call('upper')),
    'trim': _Function(('text',), 'text', _call('trim')),
    'length': _Function(('text',), 'number', lambda x: f'length({x})::DOUBLE'),
    'contains': _Function(('text', 'text'), 'boolean', _call('contains')),
    'startswith': _Function(('text', 'text'), 'boolean', _call('starts_with')),
    'endswith': _Function(('text', 'text'), 'boolean', _call('ends_with')),
    'replace': _Function(('text', 'text', 'text'), 'text', _call('replace')),
    **{name: _part(name) for name in ('year', 'quarter', 'month', 'week', 'day', 'hour', 'minute')},
    'weekday': _part('isodow'),
    'lag': _Function(TWO, 'number', _back, least=1),
    'diff': _Function(TWO, 'number', lambda x, n='1': f'({x} - {_back(x, n)})', least=1),
    'pct_change': _Function(TWO, 'number', lambda x, n='1': f'(100 * ({x} / {_back(x, n)} - 1))', least=1),
    'cumsum': _Function(ONE, 'number', lambda x: f'sum({x}) OVER {IN_SERIES.format(frame="")}'),
    'rolling_mean': _Function(TWO, 'number', _rolled('avg')),
    'rolling_sum': _Function(TWO, 'number', _rolled('sum')),
    'rolling_min': _Function(TWO, 'number', _rolled('min')),
    'rolling_max': _Function(TWO, 'number', _rolled('max')),
}

_ARITHMETIC: Final[Mapping[type[ast.operator], str]] = {
    ast.Add: '+', ast.Sub: '-', ast.Mult: '*', ast.Div: '/', ast.Mod: '%', ast.Pow: '**', ast.FloorDiv: '//',
}  # fmt: skip
_COMPARISONS: Final[Mapping[type[ast.cmpop], str]] = {
    ast.Eq: '=', ast.NotEq: '<>', ast.Lt: '<', ast.LtE: '<=', ast.Gt: '>', ast.GtE: '>=',
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Reader:
    columns: Mapping[str, Expression]
    backticked: Mapping[str, str]

    def read(self, node: ast.expr, depth: int) -> Expression:
        if depth > DEEPEST:
            raise UsageError('The expression is nested too deeply. Derive a column in several steps.')
        found = self._read(node, depth)
        if len(found.sql) > LARGEST:
            raise UsageError('The expression is too involved. Derive a column in several steps.')
        return found

    def _read(self, node: ast.expr, depth: int) -> Expression:
        match node:
            case ast.Constant():
                return _constant(node.value)
            case ast.Name():
                return self._column(node.id)
            case ast.BinOp():
                return self._arithmetic(node, depth)
            case ast.UnaryOp():
                return self._unary(node, depth)
            case ast.BoolOp():
                parts = [self._of('boolean', value, depth) for value in node.values]
                word = ' AND ' if isinstance(node.op, ast.And) else ' OR '
                return Expression(f'({word.join(parts)})', 'boolean')
            case ast.Compare():
                return self._comparison(node, depth)
            case ast.IfExp():
                return self._choice(node, depth)
            case ast.Call():
                return self._function(node, depth)
            case _:
                raise UsageError(f'"{self._shown(node)}" cannot stand in an expression. {_allowed()}')

    def _column(self, name: str) -> Expression:
        name = self.backticked.get(name, name)
        found = self.columns.get(name)
        if found is None:
            listed = ', '.join(list(self.columns)[:20])
            raise UsageError(f'There is no column "{name}". Columns are {listed}.')
        return found

    def _arithmetic(self, node: ast.BinOp, depth: int) -> Expression:
        sign = _ARITHMETIC.get(type(node.op))
        if sign is None:
            raise UsageError(f'"{self._shown(node)}" uses an operator that is not known here. {_allowed()}')
        left, right = self.read(node.left, depth + 1), self.read(node.right, depth + 1)
        if sign == '+' and left.kind == right.kind == 'text':
            return Expression(f'({left.sql} || {right.sql})', 'text')
        for side, part in ((node.left, left), (node.right, right)):
            self._must('number', part, side)
        if sign == '**':
            return Expression(f'pow({left.sql}, {right.sql})', 'number')
        if sign == '//':
            return Expression(f'floor({left.sql} / {right.sql})', 'number')
        if sign == '%':
            # The sign follows the divisor, as on the clock and as in Python.
            pair = f'{{a: {left.sql}, b: {right.sql}}}'
            rest = f'p{depth}.a - p{depth}.b * floor(p{depth}.a / p{depth}.b)'
            return Expression(f'list_transform([{pair}], lambda p{depth}: {rest})[1]', 'number')
        return Expression(f'({left.sql} {sign} {right.sql})', 'number')

    def _unary(self, node: ast.UnaryOp, depth: int) -> Expression:
        if isinstance(node.op, ast.Not):
            return Expression(f'(NOT {self._of("boolean", node.operand, depth)})', 'boolean')
        if isinstance(node.op, ast.USub | ast.UAdd):
            inner = self._of('number', node.operand, depth)
            return Expression(f'(-{inner})' if isinstance(node.op, ast.USub) else inner, 'number')
        raise UsageError(f'"{self._shown(node)}" uses an operator that is not known here. {_allowed()}')

    def _comparison(self, node: ast.Compare, depth: int) -> Expression:
        sides = [node.left, *node.comparators]
        parts = []
        for left, operator, right in zip(sides, node.ops, sides[1:], strict=False):
            parts.append(self._compared(left, operator, right, depth))
        return Expression(f'({" AND ".join(parts)})', 'boolean')

    def _compared(self, left: ast.expr, operator: ast.cmpop, right: ast.expr, depth: int) -> str:
        if isinstance(operator, ast.Is | ast.IsNot | ast.Eq | ast.NotEq) and _is_nothing(right):
            found = self.read(left, depth + 1)
            negated = isinstance(operator, ast.IsNot | ast.NotEq)
            return f'{found.sql} IS {"NOT " if negated else ""}NULL'
        if isinstance(operator, ast.In | ast.NotIn):
            return self._member(left, right, depth, negated=isinstance(operator, ast.NotIn))
        sign = _COMPARISONS.get(type(operator))
        if sign is None:
            raise UsageError('"is" compares with None only. Write == in its place.')
        first, second = self.read(left, depth + 1), self.read(right, depth + 1)
        first, second = _as_times(first, second, left, right)
        if first.kind != second.kind:
            raise UsageError(
                f'"{self._shown(left)}" is {_a(first.kind)} and "{self._shown(right)}" {_a(second.kind)}: '
                'they cannot be compared.'
            )
        return f'{_compared_number(first, left, depth)} {sign} {_compared_number(second, right, depth)}'

    def _member(self, left: ast.expr, right: ast.expr, depth: int, *, negated: bool) -> str:
        if not isinstance(right, ast.List | ast.Tuple | ast.Set) or not right.elts:
            raise UsageError('After "in" stands a list, such as [1, 2] or ["Oslo", "Bergen"].')
        value = self.read(left, depth + 1)
        members = [_as_times(value, self.read(one, depth + 1), left, one)[1] for one in right.elts]
        for one, member in zip(right.elts, members, strict=True):
            self._must(value.kind, member, one)
        listed = ', '.join(member.sql for member in members)
        return f'{_compared_number(value, left, depth)} {"NOT " if negated else ""}IN ({listed})'

    def _choice(self, node: ast.IfExp, depth: int) -> Expression:
        condition = self._of('boolean', node.test, depth)
        first, second = self.read(node.body, depth + 1), self.read(node.orelse, depth + 1)
        kind = second.kind if first.kind == 'nothing' else first.kind
        if second.kind not in (kind, 'nothing'):
            raise UsageError(f'"{self._shown(node)}" would be {_a(kind)} in some rows and {_a(second.kind)} in others.')
        return Expression(f'(CASE WHEN {condition} THEN {first.sql} ELSE {second.sql} END)', kind)

    def _function(self, node: ast.Call, depth: int) -> Expression:
        name = node.func.id if isinstance(node.func, ast.Name) else self._shown(node.func)
        function = FUNCTIONS.get(name)
        if function is None or node.keywords:
            hint = 'Use ln or log10. ' if name == 'log' else ''
            raise UsageError(f'There is no function "{name}" of this form. {hint}Functions are {", ".join(FUNCTIONS)}.')
        least = len(function.takes) if function.least is None else function.least
        most = max(function.most, len(function.takes))
        if not least <= len(node.args) <= most:
            wanted = str(least) if least == most else f'{least} to {most}'
            raise UsageError(f'{name}() takes {wanted} arguments, not {len(node.args)}.')
        if name in IN_ROWS and (inner := next((one for arg in node.args for one in _in_rows(arg)), None)):
            raise UsageError(f'{inner}() cannot stand inside {name}(). Derive a column by {inner}() first.')
        if name == 'coalesce':
            return self._first_known(node, depth)
        takes = (*function.takes, *[function.takes[-1]] * most)
        sql = [self._of(kind, one, depth) for kind, one in zip(takes, node.args, strict=False)]
        if name in IN_ROWS and len(node.args) > 1:
            sql[1] = self._rows(name, node.args[1])
        if name == 'round' and len(node.args) > 1:
            sql[1] = _places(node.args[1])
        return Expression(function.write(*sql), function.gives)

    def _first_known(self, node: ast.Call, depth: int) -> Expression:
        parts = [self.read(one, depth + 1) for one in node.args]
        kind: Kind = next((part.kind for part in parts if part.kind != 'nothing'), 'nothing')
        for one, part in zip(node.args, parts, strict=True):
            self._must(kind, part, one)
        return Expression(f'coalesce({", ".join(part.sql for part in parts)})', kind)

    def _rows(self, name: str, node: ast.expr) -> str:
        value = node.value if isinstance(node, ast.Constant) else None
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MOST_ROWS_BACK:
            raise UsageError(f'{name}() needs a whole number of rows from 1 to {MOST_ROWS_BACK:,}.')
        return str(value)

    def _of(self, kind: Kind, node: ast.expr, depth: int) -> str:
        found = self.read(node, depth + 1)
        self._must(kind, found, node)
        return found.sql

    def _must(self, kind: Kind, found: Expression, node: ast.expr) -> None:
        if found.kind not in (kind, 'nothing'):
            raise UsageError(f'"{self._shown(node)}" is {_a(found.kind)} where {_a(kind)} is needed.')

    def _shown(self, node: ast.expr) -> str:
        try:
            text = ast.unparse(node)
        except RecursionError:
            return 'what is nested so deeply'
        for placeholder, name in self.backticked.items():
            text = re.sub(rf'\b{placeholder}\b', lambda _, name=name: f'`{name}`', text)  # type: ignore[misc]
        return text if len(text) <= 80 else f'{text[:77]}...'


def _in_rows(node: ast.expr) -> Iterator[str]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Call) and isinstance(inner.func, ast.Name) and inner.func.id in IN_ROWS:
            yield inner.func.id


def _places(node: ast.expr) -> str:
    """SQL: to how many places a number is rounded, which cannot differ from row to row: MOST_PLACES at most."""
    sign, number = (-1, node.operand) if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) else (1, node)
    if not isinstance(number, ast.Constant) or type(number.value) is not int:
        raise UsageError('round() takes a whole number of places, such as round(price, 2).')
    return str(sign * min(number.value, MOST_PLACES))


def _constant(value: object) -> Expression:
    if value is None:
        return Expression('NULL', 'nothing')
    if isinstance(value, bool):
        return Expression('TRUE' if value else 'FALSE', 'boolean')
    if isinstance(value, int | float):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise UsageError('A number in the expression is too large.')
        return Expression(f'{number!r}::DOUBLE', 'number')
    if isinstance(value, str):
        if '\0' in value or value != value.encode('utf-8', 'ignore').decode('utf-8'):
            raise UsageError('A text in the expression holds a character that no text can have.')
        return Expression(duck.text(value), 'text')
    raise UsageError(f'{value!r} cannot stand in an expression. {_allowed()}')


def _as_times(first: Expression, second: Expression, left: ast.expr, right: ast.expr) -> tuple[Expression, Expression]:
    """Read a text that is compared with a time as a time."""
    if first.kind == 'time' and isinstance(right, ast.Constant) and second.kind == 'text':
        return first, _time(str(right.value))
    if second.kind == 'time' and isinstance(left, ast.Constant) and first.kind == 'text':
        return _time(str(left.value)), second
    return first, second


def _time(text: str) -> Expression:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is not None:
        raise UsageError(f'"{text}" is no time without an offset. Write one such as 2024-01-31 or 2024-01-31 13:00.')
    return Expression(f"TIMESTAMP '{moment:%Y-%m-%d %H:%M:%S.%f}'", 'time')


def _compared_number(found: Expression, node: ast.expr, depth: int) -> str:
    """SQL: a value to compare; what is computed and not finite is empty there too, and meets no condition."""
    if found.kind != 'number' or isinstance(node, ast.Name | ast.Constant):
        return found.sql
    return f'list_filter([{found.sql}], lambda n{depth}: isfinite(n{depth}))[1]'


def _is_nothing(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _a(kind: Kind) -> str:
    names: Mapping[str, str] = {'boolean': 'a truth value', 'nothing': 'nothing'}
    return names.get(kind, f'a {kind}')


def _allowed() -> str:
    return 'Use columns, numbers, texts, + - * / % **, comparisons, and, or, not, if … else, and functions.'
