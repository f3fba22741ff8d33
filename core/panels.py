"""What a dashboard consists of: panels on a grid of twelve columns, and variables that all of them share.

A specification is JSON:

    {"panels": [{"id", "x", "y", "w", "h", "title", "kind", "dataset", "query", "show"}, …],
     "variables": {"range": {"last": "P7D"} | {"from": …, "to": …} | {}, "series": {key: [label, …]}, "every": "auto",
                   "compare": ""}}

`query` is what `core.analysis.query` answers, `show` how its answer is drawn. `parsed` checks a specification that
comes from outside and gives it its whole form; whoever draws may then rely on it.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any, Final
from uuid import UUID

from core.analysis.query import Query
from core.analysis.query.request import lasts
from core.errors import UsageError

COLUMNS: Final = 12
MOST_PANELS: Final = 60
MOST_ROWS: Final = 1000
MOST_MODELS: Final = 20  # of a forecast
KINDS: Final = (
    'line',
    'area',
    'bar',
    'scatter',
    'heat',
    'calendar',
    'histogram',
    'box',
    'candles',
    'table',
    'figure',
    'note',
)
AXES: Final = ('linear', 'log', 'index')
LISTS: Final = ('measures', 'series', 'filters', 'overlays')
ASKED: Final = {*LISTS, 'every', 'aggregation', 'group', 'across', 'top', 'by', 'bins', 'volume', 'compare'}
IDENTIFIER: Final = re.compile(r'[A-Za-z0-9_-]{1,40}')
COLOUR: Final = re.compile(r'(ink|accent|green|amber|red|series-[1-8])')
TEXT: Final = 200
NAME: Final = 1000  # of a column or a series
MOST_BYTES: Final = 100_000  # of a specification as JSON
MOST_NUMBER: Final = 2**53  # above it browsers skip whole numbers
NOUGHT: Final = 1e-30  # nearer to 0 is 0: databases write all digits out
MOST_MOMENT: Final = 8_640_000_000_000_000  # ms around 1970 that browsers have dates for
NOTE: Final = 5000

Json = dict[str, Any]


def parsed(spec: Any) -> Json:
    """Return a specification in its whole form; UsageError with `place` names what is wrong first."""
    given = _members(spec, 'spec', {'panels', 'variables'})
    panels = [
        _panel(panel, f'spec.panels[{at}]') for at, panel in enumerate(_list(given, 'panels', 'spec', MOST_PANELS))
    ]
    if len({panel['id'] for panel in panels}) < len(panels):
        raise UsageError('Two panels have the same id.', place='spec.panels')
    whole = {'panels': panels, 'variables': _variables(given.get('variables', {}), 'spec.variables')}
    if len(json.dumps(whole, ensure_ascii=False).encode()) > MOST_BYTES:
        raise UsageError(
            f'The panels take more than {MOST_BYTES // 1000} kB. Use fewer panels, or shorter notes and lists.',
            place='spec',
        )
    return whole


def datasets(spec: Mapping[str, Any]) -> set[UUID]:
    """The datasets that the panels of a parsed specification draw."""
    return {UUID(panel['dataset']) for panel in spec['panels'] if panel['dataset']}


def placed(sizes: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Where panels of these sizes (columns, rows) stand when each goes to the first free place, row by row."""
    tops = [0] * COLUMNS
    for width, height in sizes:
        found = min((max(tops[at : at + width]), at) for at in range(COLUMNS - width + 1))
        top, left = found
        tops[left : left + width] = [top + height] * width
        yield left, top


def _panel(value: Any, place: str) -> Json:
    given = _members(
        value, place, {'id', 'x', 'y', 'w', 'h', 'title', 'kind', 'dataset', 'query', 'show'}, needed={'id', 'kind'}
    )
    kind = _choice(given['kind'], KINDS, f'{place}.kind')
    width = _number(given.get('w', 4), 2, COLUMNS, f'{place}.w')
    dataset = given.get('dataset', '')
    if kind != 'note':
        dataset = str(_uuid(dataset, f'{place}.dataset'))
    elif dataset:
        raise UsageError('A note has no dataset.', place=f'{place}.dataset')
    return {
        'id': _matching(given['id'], IDENTIFIER, f'{place}.id', 'up to 40 letters, digits, - and _'),
        'x': _number(given.get('x', 0), 0, COLUMNS - width, f'{place}.x'),
        'y': _number(given.get('y', 0), 0, MOST_ROWS, f'{place}.y'),
        'w': width,
        'h': _number(given.get('h', 4), 1, 24, f'{place}.h'),
        'title': _text(given.get('title', ''), f'{place}.title'),
        'kind': kind,
        'dataset': dataset,
        'query': _query(given.get('query', {}), f'{place}.query'),
        'show': _show(given.get('show', {}), f'{place}.show'),
    }


def _query(value: Any, place: str) -> Json:
    """What is asked of the dataset: parameters of `core.analysis.query.Query`, those that can repeat as lists."""
    given = _members(value, place, ASKED)
    for name in LISTS:
        for one in _list(given, name, place, 50):
            _text(one, f'{place}.{name}', NAME)
    told = [
        (name, str(one))
        for name, whole in given.items()
        for one in (whole if name in LISTS else [_plain(whole, f'{place}.{name}')])
    ]
    try:
        Query.parsed(told)
    except UsageError as error:
        raise UsageError(
            error.message, place=f'{place}.{str(error.details.get("place", "query")).removeprefix("query.")}'
        ) from error
    for name, also in (('every', ('', 'auto')), ('compare', ('',))):
        _duration(given.get(name, ''), f'{place}.{name}', also=also)
    return dict(given)


def _plain(value: Any, place: str) -> str | int:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise UsageError('A text or a whole number is needed here.', place=place)
    if isinstance(value, int):
        return _number(value, -MOST_NUMBER, MOST_NUMBER, place)
    return _text(value, place, NAME)


def _show(value: Any, place: str) -> Json:
    given = _members(
        value,
        place,
        {
            *('axis', 'right', 'stacked', 'points', 'marks', 'forecast', 'models', 'banded'),
            *('thresholds', 'annotations', 'text', 'own'),
        },
    )
    thresholds = [
        _threshold(one, f'{place}.thresholds[{at}]') for at, one in enumerate(_list(given, 'thresholds', place, 20))
    ]
    notes = [
        _annotation(one, f'{place}.annotations[{at}]') for at, one in enumerate(_list(given, 'annotations', place, 200))
    ]
    forecast = given.get('forecast', '')
    return {
        'axis': _choice(given.get('axis', 'linear'), AXES, f'{place}.axis'),
        'right': [_text(name, f'{place}.right', NAME) for name in _list(given, 'right', place, 20)],
        'stacked': _flag(given.get('stacked', False), f'{place}.stacked'),
        'points': _flag(given.get('points', False), f'{place}.points'),
        'marks': _flag(given.get('marks', False), f'{place}.marks'),
        'forecast': str(_uuid(forecast, f'{place}.forecast')) if forecast else '',
        'models': [_text(name, f'{place}.models') for name in _list(given, 'models', place, MOST_MODELS)],
        'banded': _text(given.get('banded', ''), f'{place}.banded'),
        'thresholds': thresholds,
        'annotations': notes,
        'text': _text(given.get('text', ''), f'{place}.text', NOTE),
        'own': _range(given.get('own', {}), f'{place}.own'),
    }


def _threshold(value: Any, place: str) -> Json:
    given = _members(value, place, {'value', 'label', 'colour'}, needed={'value'})
    colour = _matching(
        given.get('colour', 'amber'), COLOUR, f'{place}.colour', "the name of one of the theme's colours"
    )
    return {
        'value': _real(given['value'], f'{place}.value'),
        'label': _text(given.get('label', ''), f'{place}.label'),
        'colour': colour,
    }


def _annotation(value: Any, place: str) -> Json:
    given = _members(value, place, {'at', 'until', 'text'}, needed={'at', 'text'})
    at = _moment(given['at'], f'{place}.at')
    until = given.get('until')
    until = None if until is None else _moment(until, f'{place}.until')
    if until is not None and until < at:
        raise UsageError('It ends before it begins.', place=f'{place}.until')
    return {'at': at, 'until': until, 'text': _text(given['text'], f'{place}.text')}


def _variables(value: Any, place: str) -> Json:
    given = _members(value, place, {'range', 'series', 'every', 'compare', 'zone'})
    chosen = _object(given.get('series', {}), f'{place}.series')
    if len(chosen) > 20:
        raise UsageError('At most 20 keys can be chosen by.', place=f'{place}.series')
    return {
        'range': _range(given.get('range', {}), f'{place}.range'),
        'series': {
            _text(key, f'{place}.series', NAME): [
                _text(label, f'{place}.series', NAME) for label in _list(chosen, key, f'{place}.series', 100)
            ]
            for key in chosen
        },
        'every': _duration(given.get('every', 'auto'), f'{place}.every', also=('auto',)),
        'compare': _duration(given.get('compare', ''), f'{place}.compare', also=('',)),
        'zone': _text(given.get('zone', ''), f'{place}.zone', 64),
    }


def _range(value: Any, place: str) -> Json:
    given = _members(value, place, {'last', 'from', 'to'})
    if 'last' in given:
        if len(given) > 1:
            raise UsageError('A range has either `last`, or `from` and `to`.', place=place)
        return {'last': _duration(given['last'], f'{place}.last')}
    ends = {name: _moment(given[name], f'{place}.{name}') for name in ('from', 'to') if given.get(name) is not None}
    if len(ends) == 2 and ends['from'] >= ends['to']:
        raise UsageError('The range ends before it begins.', place=f'{place}.to')
    return ends


# Values that come from outside


def _members(value: Any, place: str, known: Set[str], *, needed: Set[str] = frozenset()) -> Mapping[str, Any]:
    given = _object(value, place)
    if unknown := sorted(set(given) - known):
        raise UsageError(f'"{unknown[0][:40]}" is not known here.', place=place)
    if missing := sorted(needed - set(given)):
        raise UsageError(f'"{missing[0]}" is missing.', place=place)
    return given


def _object(value: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise UsageError('An object is needed here.', place=place)
    return value


def _list(given: Mapping[str, Any], name: str, place: str, most: int) -> Sequence[Any]:
    value = given.get(name, [])
    if not isinstance(value, list) or len(value) > most:
        raise UsageError(f'A list of at most {most} is needed here.', place=f'{place}.{name}')
    return value


def _text(value: Any, place: str, most: int = TEXT) -> str:
    if not isinstance(value, str) or len(value) > most or '\x00' in value:
        raise UsageError(f'A text of at most {most} characters is needed here.', place=place)
    if any('\ud800' <= sign <= '\udfff' for sign in value):
        raise UsageError('The text has half a character (a lone surrogate), which nothing can show.', place=place)
    return value


def _matching(value: Any, pattern: re.Pattern[str], place: str, words: str) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise UsageError(f'This is not {words}.', place=place)
    return value


def _duration(value: Any, place: str, *, also: tuple[str, ...] = ()) -> str:
    if value in also:
        return str(value)
    if not isinstance(value, str) or not lasts(value):
        raise UsageError('This is not a duration such as PT15M, P1D or P1Y.', place=place)
    return value


def _choice(value: Any, known: Sequence[str], place: str) -> str:
    if value not in known:
        raise UsageError(f'It is one of {", ".join(known)}.', place=place)
    return str(value)


def _flag(value: Any, place: str) -> bool:
    if not isinstance(value, bool):
        raise UsageError('It is true or false.', place=place)
    return value


def _number(value: Any, low: int, high: int, place: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise UsageError(f'A whole number from {low} to {high} is needed here.', place=place)
    return value


def _real(value: Any, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= MOST_NUMBER:
        raise UsageError(f'A number from {-MOST_NUMBER} to {MOST_NUMBER} is needed here.', place=place)
    return value if abs(value) >= NOUGHT else 0


def _moment(value: Any, place: str) -> float:
    """Milliseconds since 1970, thousandths of them kept."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= MOST_MOMENT:
        raise UsageError('A moment in ms since 1970, at most 8.64e15, is needed here.', place=place)
    return round(value, 3)


def _uuid(value: Any, place: str) -> UUID:
    try:
        return UUID(value)
    except (ValueError, TypeError, AttributeError) as error:
        raise UsageError('This is no id.', place=place) from error
