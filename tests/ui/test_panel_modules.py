"""The modules of panels that touch no page, run by the Node that comes with Playwright."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from core.panels import parsed
from tests.ui.node import running
from ui.pages.forecast_words import MODEL_NAMES

MODULES = Path(__file__).parent.parent.parent / 'ui' / 'static' / 'panels'
Told = Callable[..., Any]
NAMES = [
    'axes',
    'look',
    'scene',
    'request',
    'words',
    'variables',
    'partial',
    'places',
    'gaps',
    'durations',
    'wire',
    'foretold',
    'earlier',
    'labels',
]
DAY = 86_400_000
HOUR = 3_600_000


@pytest.fixture(scope='module')
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """Run a body of JavaScript that has the modules and `given`; return what it returns."""
    with running(tmp_path_factory.mktemp('modules'), NAMES) as run:
        yield run


def ms(*parts: int) -> float:
    return datetime(*parts, tzinfo=UTC).timestamp() * 1000


def line(name: str, t: list[float], y: list[float | None], **more: Any) -> dict[str, Any]:
    columns = {'t': t, 'y': y, **more.pop('columns', {})}
    return (
        {'name': name, 'series': name, 'measure': 'load', 'role': 'value', 'of': '', 'n': len(t)}
        | more
        | {'columns': columns}
    )


def answer(*lines: dict[str, Any]) -> dict[str, Any]:
    return {'kind': 'line', 'start': 0, 'end': 10 * DAY, 'width': 100, 'exact': True, 'lines': list(lines)}


def panel(kind: str, *, show: dict[str, Any] | None = None, **query: Any) -> dict[str, Any]:
    dataset = '00000000-0000-4000-8000-000000000001'
    spec = {'panels': [{'id': 'p', 'kind': kind, 'dataset': dataset, 'query': query, 'show': show or {}}]}
    return parsed(spec)['panels'][0]


def context(**more: Any) -> dict[str, Any]:
    dataset = {'series': 3, 'keys': ['site'], 'units': {'load': 'MW'}, 'measures': ['load']}
    known = {'00000000-0000-4000-8000-000000000001': dataset | more.pop('dataset', {})}
    return {'datasets': known, 'range': None, 'series': {}, 'every': 'auto', 'compare': '', 'zone': 'UTC'} | more


# Answers come as typed arrays in which NaN is no value; JSON knows neither.
SCENE = """
const numbers = (values) => Float64Array.from(values, (value) => value ?? NaN);
for (const one of given.answer.lines) for (const [name,
        values] of Object.entries(one.columns)) one.columns[name] = numbers(values);
const made = scene.scene(given.panel, given.answer, given.context, { hidden: new Set(given.hidden ?? []),
        forecast: given.forecast ?? null });
"""


def test_ticks_of_a_day_that_lacks_an_hour_stand_on_the_clock(told):
    given = [ms(2026, 3, 28, 23), ms(2026, 3, 29, 22)]  # 29 March in Berlin, which has 23 hours
    body = """const offset = axes.offsetOf('Europe/Berlin');
    return [3, 6, 1].map((hours) => axes.ticksBetween(...given, hours * 36e5,
        offset)[0].map((at) => look.tick(at, 'Europe/Berlin', hours * 36e5)));"""
    three, six, each = told(body, given)
    assert three == ['29 Mar', '03:00', '06:00', '09:00', '12:00', '15:00', '18:00', '21:00', '30 Mar']
    assert six == ['29 Mar', '06:00', '12:00', '18:00', '30 Mar']
    assert each[:4] == ['29 Mar', '01:00', '03:00', '04:00']


def test_ticks_of_a_day_with_an_hour_twice_count_it_twice(told):
    given = [ms(2026, 10, 24, 22), ms(2026, 10, 25, 23)]
    body = """const offset = axes.offsetOf('Europe/Berlin');
    return [axes.ticksBetween(...given, 36e5, offset)[0].map((at) => look.tick(at, 'Europe/Berlin', 36e5)),
        axes.ticksBetween(...given, 6 * 36e5, offset)[0].map((at) => look.tick(at, 'Europe/Berlin', 216e5))];"""
    each, six = told(body, given)
    assert each[:5] == ['25 Oct', '01:00', '02:00', '02:00', '03:00']
    assert six == ['25 Oct', '06:00', '12:00', '18:00', '26 Oct']


def test_months_begin_in_the_zone_and_odd_offsets_are_kept(told):
    body = """const of = (zone, least, from, to) => axes.ticksBetween(from, to, least,
        axes.offsetOf(zone))[0].map((at) => new Date(at).toISOString());
    return [of('America/New_York', 28 * 864e5, given[0], given[1]), of('Asia/Kathmandu', 36e5, given[0],
        given[0] + 2 * 36e5), of('nowhere', 864e5, given[0], given[0] + 864e5)];"""
    months, hours, nowhere = told(body, [ms(2026, 2, 15), ms(2026, 4, 15)])
    assert months == ['2026-03-01T05:00:00.000Z', '2026-04-01T04:00:00.000Z']
    assert hours == ['2026-02-15T00:15:00.000Z', '2026-02-15T01:15:00.000Z']
    assert nowhere == ['2026-02-15T00:00:00.000Z', '2026-02-16T00:00:00.000Z']


def test_years_before_the_common_era_and_far_ahead_have_ticks(told):
    body = """return given.map(([from, to]) => axes.ticksBetween(from, to, (to - from) / 5,
        axes.offsetOf('Europe/Berlin'))[0].length);"""
    assert all(2 <= n <= 12 for n in told(body, [[-7e13, -6.9e13], [1e14, 1.01e14], [0, 5], [0, 9e12]]))


def test_round_numbers_and_powers(told):
    body = """return [axes.ticks(0, 507, 5), axes.ticks(-0.3, 0.1, 4)[0], axes.ticks(5, 5, 4)[0],
        axes.logTicks(3, 80000, 5), axes.logTicks(2, 60, 9), axes.logTicks(1e-3, 1e9, 4)];"""
    plain, small, flat, powers, between, far = told(body)
    assert plain == [[0, 200, 400], 200]
    assert small == [-0.3, -0.2, -0.1, 0, 0.1]
    assert flat == [5]
    assert powers == [10, 100, 1000, 10000]
    assert between == [2, 5, 10, 20, 50]
    assert len(far) <= 5


def test_numbers_are_written_as_the_user_writes_them(told):
    body = """const said = () => [look.number(1234567.5), look.number(-4.25), look.number(0.00012),
        look.number(NaN), look.short(461700), look.short(402000), look.short(1.274e6), look.signed(4.7, 0.1),
        look.written([0, 50000, 100000], 50000)];
    const english = said();
    look.writeNumbersWith('.', ',');
    const german = said();
    look.writeNumbersWith('\\u202f', ',');
    return [english, german, look.count(1234567)];"""
    english, german, french = told(body)
    assert english[:8] == ['1,234,568', '−4.25', '0.00012', '–', '461.7k', '402k', '1.27M', '+4.7']
    assert english[8] == ['0', '50k', '100k']
    assert german[:8] == ['1.234.568', '−4,25', '0,00012', '–', '461,7k', '402k', '1,27M', '+4,7']
    assert french == '1\u202f234\u202f567'


def test_moments_have_as_much_of_the_clock_as_their_step_needs(told):
    body = """const of = ([step, at]) => look.instant(at, 'UTC', step);
        const berlin = (step, at) => look.instant(at, 'Europe/Berlin', step);
        return [...[[864e5, 0], [36e5, 36e5], [1000, 1500], [31 * 864e5, 0], [366 * 864e5, 0]].map(of),
        berlin(864e5, -36e5), berlin(36e5, given)];"""
    assert told(body, ms(2026, 7, 1, 12)) == [
        *('1 Jan 1970', '1 Jan 1970, 01:00', '1 Jan 1970, 00:00:01', 'Jan 1970', '1970'),
        *('1 Jan 1970', '1 Jul 2026, 14:00'),
    ]


def test_lengths_of_buckets_in_words(told):
    body = 'return given.map((size) => look.per(size));'
    day = DAY
    sizes = [300_000, HOUR, 3 * HOUR, day, 23 * HOUR, 7 * day, 28 * day, 31 * day, 91 * day, 365 * day, 366 * day]
    words = ['5 min', 'hour', '3 h', 'day', 'day', 'week', 'month', 'month', '3 months', 'year', 'year']
    assert told(body, sizes) == words


def test_what_a_panel_asks(told):
    body = 'return given.map(([panel, context]) => request.requestOf(panel, context, 500));'
    cases = [
        [panel('line', measures=['load']), context(range=[10.4, 20.6])],
        [panel('area', measures=['load'], show={'stacked': True}), context(zone='Europe/Berlin')],
        [panel('calendar', measures=['load']), context(zone='Europe/Berlin', every='PT1H')],
        [panel('line', measures=['load']), context(series={'site': ['a~b', 'c'], 'other': ['x']})],
        [panel('line', measures=['load']), context(dataset={'series': 370})],
        [panel('line', measures=['load'], show={'own': {'from': 1, 'to': 9}}), context(range=[10, 20], compare='P1W')],
        [panel('line', measures=['load'], group='site'), context(dataset={'series': 370, 'distinct': {'site': 12}})],
    ]
    line_, stacked, calendar, chosen, many, own, grouped = told(body, cases)
    assert line_ == [*(['kind', 'line'], ['width', '500'], ['measures', 'load']), ['from', '10'], ['to', '21']]
    assert ['every', 'auto'] in stacked
    assert ['zone', 'Europe/Berlin'] in stacked
    assert ['every', 'P1D'] in calendar
    assert ['filters', 'site~in~a\\~b~c'] in chosen
    assert not [pair for pair in chosen if 'other' in pair[1]]
    assert ['top', '8'] in many
    assert [pair[1] for pair in own if pair[0] in ('from', 'to', 'compare')] == ['1', '9', 'P1W']
    assert 'top' not in dict(grouped)


def test_as_many_lines_are_asked_for_as_are_reckoned_with(told: Told) -> None:
    """What variables of a dashboard leave is counted: 10 of 200 series are all drawn, 60 groups are cut to eight."""
    body = """return given.map(([panel, context]) => [request.linesOf(panel, context),
        Object.fromEntries(request.requestOf(panel, context, 500)).top ?? '']);"""
    many = context(dataset={'series': 200, 'distinct': {'site': 200}})
    some = [f'site {at}' for at in range(60)]
    load, both = {'measures': ['load']}, {'measures': ['load', 'wind']}
    cases = [
        [panel('line', **load), many],
        [panel('line', **load), many | {'series': {'site': some[:10]}}],
        [panel('line', **both), many | {'series': {'site': some[:30]}}],
        [panel('line', **both, series=some[:40]), many],
        [panel('line', **load, group='site'), many],
        [panel('line', **load, group='site'), many | {'series': {'site': some[:10]}}],
        [panel('line', **load, group='*'), many],
        [panel('line', **load, top=20), many],
    ]
    assert told(body, cases) == [[8, '8'], [10, ''], [16, '8'], [80, ''], [8, '8'], [10, ''], [1, ''], [20, '20']]


def test_bars_stand_on_one_another_and_hang_below_zero(told):
    t = [0, DAY, 2 * DAY]
    columns = {'until': [DAY, 2 * DAY, 3 * DAY]}
    lines = [
        line('a', t, [1, -1, None], columns=columns),
        line('b', t, [2, 3, 4], columns=columns),
        line('c', t, [1, -2, 1], columns=columns),
    ]
    given = {'panel': panel('bar', show={'stacked': True}), 'answer': answer(*lines), 'context': context()}
    found = told(SCENE + 'return made.lines.map((line) => [line.base, line.y, [...line.own]]);', given)
    assert found[0][:2] == [[0, 0, None], [1, -1, None]]
    assert found[1][:2] == [[1, 0, 0], [3, 3, 4]]
    assert found[2][:2] == [[3, -1, 4], [4, -3, 5]]
    assert found[2][2] == [1, -2, 1]


def test_grouped_bars_never_overlap_and_a_hidden_one_leaves_its_place(told):
    t, columns = [0, DAY], {'until': [DAY, 2 * DAY]}
    lines = [line(name, t, [1, 2], columns=columns) for name in 'abc']
    given = {'panel': panel('bar'), 'answer': answer(*lines), 'context': context()}
    slots = SCENE + 'return made.lines.map((line) => [line.name, line.colour, line.slot, line.slots]);'
    assert told(slots, given) == [[n, f'series-{i + 1}', i, 3] for i, n in enumerate('abc')]
    assert told(slots, given | {'hidden': ['b']}) == [['a', 'series-1', 0, 2], ['c', 'series-3', 1, 2]]


def test_bars_too_thin_to_tell_apart_are_drawn_as_steps_and_those_below_a_pixel_are_counted(told: Told) -> None:
    """Weekly bars of four series over two years are 7 px together on 800 px."""
    t = [at * 7 * DAY for at in range(104)]
    until = [at + 7 * DAY for at in t]
    weekly = [line(name, t, [1] * 104, columns={'until': until}) for name in 'abcd']
    given = {'panel': panel('bar'), 'answer': answer(*weekly) | {'end': t[-1]}, 'context': context()}
    narrow, wide = '{ wide: 800 }', '{ wide: 4000 }'
    body = """return [%s, {}].map((how) => scene.scene(given.panel, given.answer, given.context, how)).map((one) =>
        [one.lines.map((line) => [line.steps ?? false, line.slots]), Math.round(one.crowded ?? 0)]);"""
    made = SCENE.rpartition('const made')[0]
    steps, unknown = told(made + body % narrow, given)
    assert steps == [[[True, 1]] * 4, 0]
    assert unknown == [[[False, 4]] * 4, 0]
    assert told(made + body % wide, given)[0][0] == [[False, 4]] * 4
    assert told(made + body % '{ wide: 20 }', given)[0][1] == 5
    assert told(made + body % narrow, given | {'panel': panel('bar', show={'stacked': True})})[0][0] == [[False, 1]] * 4
    runs = told("const { stairs } = await import('./fast.js'); return stairs(given);",
                {'t': [0, 1, 2, 4], 'until': [1, 2, 3, 5], 'y': [5, 6, 7, 8], 'partial': {'2': 'half'}})  # fmt: skip
    assert runs == [[[0, 5], [1, 5], [1, 6], [2, 6]], [[4, 8], [5, 8]]]


def test_several_bars_ask_for_fewer_buckets_and_dense_lines_for_a_mean_and_its_range(told: Told) -> None:
    """As many buckets as leave each bar some pixels; lines that would hide one another are drawn with their bands."""
    hours = context(dataset={'step': HOUR, 'span': [0, 730 * DAY]})
    body = 'const [panel, known, px] = given; return [scene.besides(panel, known), scene.dense(panel, known, px)];'
    load = {'measures': ['load']}
    assert told(body, [panel('bar', **load), hours, 800]) == [3, False]
    assert told(body, [panel('bar', measures=['load', 'wind'], top=2), hours, 800]) == [4, False]
    assert told(body, [panel('bar', **load, group='*'), hours, 800])[0] == 1
    assert told(body, [panel('bar', **load, show={'stacked': True}), hours, 800])[0] == 1
    assert told(body, [panel('bar', **load), hours | {'series': {'site': ['Oslo']}}, 800])[0] == 1
    assert told(body, [panel('bar', **load), context(dataset={'series': 200}), 800])[0] == 8
    assert told(body, [panel('line', **load), hours, 800])[1]
    assert not told(body, [panel('line', **load, series=['Oslo']), hours, 800])[1]
    assert told(body, [panel('line', **load, series=['Oslo'], overlays=['mean~20']), hours, 800])[1]
    assert not told(body, [panel('line', **load), hours | {'range': [0, 30 * DAY]}, 800])[1]
    assert not told(body, [panel('area', **load, show={'stacked': True}), hours, 800])[1]
    known = line('a', [0, DAY], [2, 3], columns={'low': [1, 2], 'high': [4, 5]})
    given = {'panel': panel('line', **load), 'answer': answer(known) | {'exact': False}, 'context': context()}
    bands = 'return made.bands.map(({ name, lo, hi, told }) => [name, lo, hi, told ?? false, made.lines[0].averaged]);'
    assert told(SCENE + bands, given) == [['a', [1, 2], [4, 5], False, True]]
    assert told(SCENE + bands, given | {'answer': answer(known)}) == []


def test_another_kind_of_chart_takes_the_measures_that_it_can_draw(told: Told) -> None:
    body = """
        globalThis.CSSStyleSheet = class { replaceSync() {} };
        globalThis.document = { adoptedStyleSheets: [] };
        const { fitted } = await import('./explore.js');
        return given.map(([next, before, query, dataset]) => fitted(next, before, query, dataset));"""
    prices = {'measures': ['Volume', 'Open', 'High', 'Low', 'Adj_Close'], 'series': 2, 'first': ['A', 'B']}
    loads = {'measures': ['load', 'wind'], 'series': 1, 'first': ['']}
    four = ['Open', 'High', 'Low', 'Adj_Close']
    assert told(body, [
        ['candles', 'line', {'measures': ['High'], 'top': 8}, prices],
        ['candles', 'line', {'measures': ['wind', 'load']}, loads],
        ['line', 'candles', {'measures': four, 'volume': 'Volume', 'series': ['A']}, prices],
        ['scatter', 'line', {'measures': ['load']}, loads],
        ['bar', 'line', {'measures': ['load', 'wind']}, loads],
    ]) == [
        {'measures': four, 'volume': 'Volume', 'series': ['A']},
        {'measures': ['wind']},
        {'measures': ['Adj_Close'], 'series': ['A']},
        {'measures': ['wind', 'load']},
        {'measures': ['load', 'wind']},
    ]  # fmt: skip


def test_what_was_drawn_before_candles_comes_back_after_them(told: Told) -> None:
    found = told(
        """
        globalThis.CSSStyleSheet = class { replaceSync() {} };
        globalThis.document = { adoptedStyleSheets: [] };
        const { default: explore } = await import('./explore.js');
        const page = { panelSpec: { kind: 'line', query: { measures: ['close'], top: 8 } }, turned: null };
        return ['candles', 'scatter', 'line', 'candles', 'changed', 'line'].map((next) => {
            if (next === 'changed') page.panelSpec.query.series = ['B'];
            else explore.methods.turn.call(page, next, given);
            return JSON.stringify(page.panelSpec.query);
        });
        """,
        {'measures': ['open', 'high', 'low', 'close'], 'series': 3, 'first': ['A', 'B', 'C']},
    )
    four = ['open', 'high', 'low', 'close']
    assert [json.loads(one) for one in found] == [
        {'measures': four, 'series': ['A']},
        {'measures': ['open', 'close'], 'top': 8},
        {'measures': ['close'], 'top': 8},
        {'measures': four, 'series': ['A']},
        {'measures': four, 'series': ['B']},
        {'measures': ['close'], 'series': ['B']},
    ]


def test_the_head_says_how_buckets_are_made(told: Told) -> None:
    stepped = line('a', [0, DAY, 2 * DAY], [1, 2, 3], columns={'until': [DAY, 2 * DAY, 3 * DAY]})
    body = 'return given.map(([panel, answer, context]) => scene.subtitle(panel, answer, context));'
    asked = ['p90', 'p1', 'p12', 'count', 'min', 'last']
    cases = [[panel('bar', measures=['load'], aggregation=how), answer(stepped), context()] for how in asked]
    assert [one.removeprefix('a, MW, ') for one in told(body, cases)] == [
        '90th percentile per day', '1st percentile per day', '12th percentile per day', 'count of values per day',
        'minimum per day', 'last value per day',
    ]  # fmt: skip


def test_a_filter_is_read_by_its_sign(told: Told) -> None:
    body = """
        globalThis.CSSStyleSheet = class { replaceSync() {} };
        globalThis.document = { adoptedStyleSheets: [] };
        const { filterSaid } = await import('./explore.js');
        return given.map(([column, relation, ...values]) => filterSaid(request.filter(column, relation, ...values)));"""
    assert told(body, [['load', 'gt', '100'], ['a~b', 'ne', 'x'], ['site', 'in', 'Oslo', 'Bergen']]) == [
        'load > 100', 'a~b ≠ x', 'site in Oslo, Bergen',
    ]  # fmt: skip


def test_indicators_have_panes_and_bands(told):
    t = [0, DAY, 2 * DAY]
    over = [
        line(f'a {text}', t, y, role=role, of='a')
        for text, role, y in (
            ('bollinger~20~2', 'bollinger.middle', [2, 2, 2]),
            ('bollinger~20~2', 'bollinger.upper', [3, 3, 3]),
            ('bollinger~20~2', 'bollinger.lower', [1, 1, 1]),
            ('rsi~14', 'rsi', [40, 60, 50]),
            ('macd~12~26~9', 'macd.macd', [0.1, 0.2, 0.1]),
            ('macd~12~26~9', 'macd.signal', [0.1, 0.1, 0.1]),
            ('macd~12~26~9', 'macd.histogram', [0, 0.1, 0]),
        )
    ]
    given = {'panel': panel('line'), 'answer': answer(line('a', t, [1, 2, 3]), *over), 'context': context()}
    body = SCENE + 'return [made.lines.map((line) => [line.name, line.axis]), made.bands.length, axes.scalesOf(made)];'
    lines, bands, scales = told(body, given)
    assert ['RSI 14', 'rsi'] in lines
    assert ['MACD 12, 26, 9', 'macd'] in lines
    assert bands == 1
    assert scales['rsi']['limits'] == [0, 100]
    parts = sorted(scale['part'] for scale in scales.values())
    assert all(one[1] < other[0] for one, other in pairwise(parts))  # each has a place of its own
    assert parts[-1][1] == 1
    low, high = scales['y']['whole']
    share = (scales['y']['limits'][0] - low) / (high - low)
    assert share == pytest.approx(scales['y']['part'][0])


def test_a_logarithmic_axis_counts_what_it_leaves_out(told):
    lines = line('a', [0, DAY, 2 * DAY, 3 * DAY], [10, 0, -3, 1000])
    given = {'panel': panel('line', show={'axis': 'log'}), 'answer': answer(lines), 'context': context()}
    left, y, scale = told(SCENE + 'return [made.left, made.lines[0].y, axes.scalesOf(made).y];', given)
    assert left == 2
    assert y == [10, None, None, 1000]
    assert 0 < scale['whole'][0] < 10 < 1000 < scale['whole'][1]


def test_gaps_a_forecast_and_its_cutoff(told):
    lines = line('a', [0, DAY, 2 * DAY, 5 * DAY, 9 * DAY], [1, 2, None, 4, None])
    model = {'model': 'auto', 't': [6 * DAY, 7 * DAY], 'mean': [4, None]}
    model['q'] = {q: [v, v] for q, v in (('0.025', 1), ('0.1', 2), ('0.9', 6), ('0.975', 8))}
    given = {'panel': panel('line'), 'answer': answer(lines), 'context': context()}
    given['forecast'] = {'cutoff': 5 * DAY, 'models': [model]}
    body = """return [made.gaps, made.bands.map((one) => one.name),
        made.lines.map((one) => [one.name, one.colour]), made.notes, made.x];"""
    gaps, bands, names, notes, x = told(SCENE + body, given)
    assert gaps == [[DAY, 5 * DAY]]
    assert bands == ['95%', '80%']
    assert names == [['a', 'ink'], ['forecast', 'series-1']]
    assert notes == [{'at': 5 * DAY, 'text': 'cutoff 6 Jan 1970', 'colour': 'text-3'}]
    assert x == [0, 10 * DAY]


def model(name: str, t: list[float], mean: list[float | None], *quantiles: str) -> dict[str, Any]:
    return {'name': name, 't': t, 'mean': mean, 'q': dict.fromkeys(quantiles, mean)}


def foretold(**more: Any) -> dict[str, Any]:
    """A forecast of three models, of which one gave nothing and one has other levels than the usual."""
    t = [6 * DAY, 7 * DAY]
    models = [
        model('auto', t, [4, 5], '0.025', '0.1', '0.5', '0.9', '0.975'),
        model('tft', t, [None, None]),
        model('theta', t, [6, 7], '0.17', '0.83'),
    ]
    return {'series': 'a', 'cutoff': 5 * DAY, 'models': models} | more


FORETOLD = """return [made.lines.map((one) => [one.name, one.colour, one.dash.length, one.width]),
    made.bands.map((one) => [one.name, one.colour, one.alpha ?? 0]), made.x[1]];"""


def test_several_models_of_a_forecast_and_the_bands_of_one(told: Callable[[str, Any], Any]) -> None:
    one = answer(line('a', [0, DAY, 5 * DAY], [1, 2, 3]))
    two = answer(line('a', [0, DAY], [1, 2]), line('b', [0, DAY], [3, 4]))

    def of(found: dict[str, Any], **show: Any) -> Any:
        given = {'panel': panel('line', show=show), 'answer': found, 'context': context(), 'forecast': foretold()}
        return told(SCENE + FORETOLD, given)

    lines, bands, end = of(one, models=['theta', 'tft', 'auto'], banded='theta')
    assert lines == [['a', 'ink', 0, 1.5], ['Auto', 'series-1', 2, 1.25], ['Theta', 'series-3', 0, 2]]
    assert bands == [['66%', 'series-3', 0.26]]
    assert end == 10 * DAY
    # Whose bands are asked for is not drawn: they are those of the first that is. Nothing asked for: the first one.
    lines, bands, _ = of(one, models=['auto'], banded='theta')
    assert [name for name, *_ in lines] == ['a', 'forecast']
    assert bands == [['95%', 'band-95', 0], ['80%', 'band-80', 0]]
    assert of(one) == of(one, models=['nobody'], banded='nobody')
    # Beside several series it tells which one it is of, in colours that none of them has.
    lines, _, _ = of(two, models=['auto', 'theta'])
    assert [one[:2] for one in lines[1:]] == [['b', 'series-2'], ['a, Theta', 'series-5'], ['a, Auto', 'series-3']]


def test_the_range_reaches_to_the_end_of_a_forecast_unless_it_was_chosen(told: Callable[[str, Any], Any]) -> None:
    values = answer(line('a', [0, DAY, 5 * DAY], [1, 2, 3])) | {'end': 5 * DAY}
    known = {'span': [0, 5 * DAY], 'step': DAY}
    ranges = [None, [3 * DAY, 6 * DAY - 1], [0, 4 * DAY], [0, 6.5 * DAY]]

    def of(range_: list[float] | None) -> float:
        given = {'answer': values, 'context': context(range=range_, dataset=known), 'forecast': foretold()}
        return float(told(SCENE + 'return made.x[1];', {'panel': panel('line'), **given}))

    assert [of(one) for one in ranges] == [7 * DAY, 7 * DAY, 4 * DAY, 6.5 * DAY]


def test_a_page_of_a_forecast_draws_what_came_what_was_before_and_what_stands_out(
    told: Callable[[str, Any], Any],
) -> None:
    odd = {'kind': 'anomaly', 't': DAY, 'y': 2, 'low': 0.5, 'high': 1.5}
    turns = [{'kind': 'changepoint', 't': at * DAY, 'y': None} for at in (2, 20)]
    found = foretold(
        base=[model('theta', [6 * DAY], [1]), model('auto', [6 * DAY], [3])],
        came={'t': [6 * DAY, 7 * DAY], 'y': [4.5, None]},
        notes=[odd, *turns],
    )
    given = {'panel': panel('line', show={'models': ['auto']}), 'answer': answer(line('actual', [0, DAY], [1, 2]))}
    given |= {'context': context(range=[0, 8 * DAY]) | {'foretold': True}, 'forecast': found}
    body = """return [made.lines.map((one) => one.name), made.notes.map((one) => [one.at / 864e5, one.text]),
        made.lines.at(-1), made.x];"""
    names, notes, rings, x = told(SCENE + body, given)
    assert names == ['actual', 'Auto before the change', 'Auto', 'came since', 'anomaly']
    assert notes == [[2, 'changepoint'], [5, 'cutoff 6 Jan 1970']]
    assert (rings['ring'], rings['y'], rings['low'], rings['high']) == (True, [2], [0.5], [1.5])
    assert x == [0, 8 * DAY]
    given['context'] = context()
    assert told(SCENE + body, given)[0] == ['actual', 'forecast']


def test_names_of_files_fit_file_systems_and_keep_their_endings(told: Callable[[str, Any], Any]) -> None:
    given = [f'{letter * 300}.png' for letter in ('a', 'ä', '語', '🙂')] + ['語' * 300, 'a/b, v1.2, y.svg', '.png']
    names = told('return given.map((name) => look.fileName(name));', given)
    assert names[-2:] == ['a-b, v1.2, y.svg', '.png']
    for name, whole in zip(names[:-2], given[:-2], strict=True):
        assert 200 - 4 < len(name.encode()) <= 200
        assert whole.startswith(name.removesuffix('.png'))
        assert name.endswith('.png') == whole.endswith('.png')


def test_models_are_called_as_on_other_pages(told: Callable[[str, Any], Any]) -> None:
    names = [*MODEL_NAMES, 'my_model', 'constructor']
    assert told('return given.map(foretold.called);', names) == [*MODEL_NAMES.values(), 'my_model', 'constructor']


def marked(told: Callable[[str, Any], Any], values: list[float], axis: str, *marks: dict[str, Any]) -> list[Any]:
    """Marks of two measures, the other one on the right axis: their heights, and what is said to be stored."""
    lines = [
        line('Oslo', [0, DAY, 2 * DAY], values, measure='load'),
        line('Oslo', [0, DAY, 2 * DAY], [-4, 8, 2], measure='heat'),
    ]
    show = {'axis': axis, 'marks': True, 'right': ['heat']}
    given = {'panel': panel('line', show=show), 'answer': answer(*lines) | {'marks': list(marks)}}
    body = 'return made.marks.map((one) => [one.measure, Number.isNaN(one.y) ? null : one.y, one.stored]);'
    return list(told(SCENE + body, given | {'context': context()}))


def mark(measure: str, at: float, y: float | None, action: str = 'repaired') -> dict[str, Any]:
    return {'t': at * DAY, 'y': y, 'series': 'Oslo', 'of': 'Oslo', 'measure': measure, 'action': action}


def test_a_forecast_takes_its_own_steps_and_keeps_a_series_beyond_the_known_ones(told: Told) -> None:
    body = 'return given.map(([query, found, several]) => foretold.over(query, found, several));'
    known = {'asked': {'measures': ['sales']}, 'series': ['S1', 'S2'], 'n_series': 2}
    weekly = {**known, 'asked': {'measures': ['sales'], 'every': 'P1W', 'aggregation': 'sum'}}
    rough = {'measures': ['load'], 'every': 'P1W', 'aggregation': 'sum', 'filters': ['a~eq~1']}
    cases: list[tuple[Any, ...]] = [
        (rough, known, False),
        ({'measures': ['load'], 'every': 'P1D'}, weekly, False),
        ({**rough, 'series': ['S2', 'S9']}, known, True),
        ({**rough, 'series': ['S250']}, known, True),
        ({**rough, 'series': ['S250']}, {**known, 'n_series': 300}, True),
        ({**rough, 'top': 3, 'by': 'sum', 'group': '*', 'across': 'sum'}, {**known, 'n_series': 300}, True),
    ]
    own = {'measures': ['sales'], 'filters': ['a~eq~1']}
    assert told(body, cases) == [
        own,
        {'measures': ['sales'], 'every': 'P1W', 'aggregation': 'sum'},
        {**own, 'series': ['S2', 'S9']},
        {**own, 'series': ['S1']},
        {**own, 'series': ['S250']},
        {**own, 'series': ['S1']},
    ]


def test_values_in_other_steps_than_a_forecast_are_told(told: Told) -> None:
    body = 'return given.map(([found, lines, step]) => foretold.otherSteps(found, lines, step));'

    def found(*t: float, cutoff: float = 0) -> dict[str, Any]:
        return {'cutoff': cutoff, 'models': [{'name': 'theta', 't': t, 'mean': [1.0] * len(t)}]}

    def buckets(length: float) -> list[dict[str, Any]]:
        t = [place * length for place in range(3)]
        return [line('load', t, [1.0] * 3, columns={'until': [at + length for at in t]})]

    days, months = found(DAY, 2 * DAY, 3 * DAY), found(31 * DAY, 59 * DAY, 90 * DAY)
    raw = [line('load', [0, DAY], [1.0, 2.0])]
    cases = [
        (days, buckets(7 * DAY), DAY),
        (days, buckets(HOUR), HOUR),
        (days, buckets(DAY), HOUR),
        (months, buckets(30 * DAY), DAY),
        (months, raw, DAY),
        (days, raw, DAY),
        (days, raw, 0),
        (found(DAY), buckets(7 * DAY), DAY),
        ({'cutoff': None, 'models': []}, buckets(DAY), DAY),
    ]
    apart = [[7 * DAY, DAY], [HOUR, DAY], None, None, [DAY, 31 * DAY], None, None, [7 * DAY, DAY], None]
    assert told(body, cases) == apart


def test_marks_stand_on_indexed_lines_and_say_what_is_stored(told: Callable[[str, Any], Any]) -> None:
    marks = [mark('load', 1, 25), mark('heat', 1, 8), mark('load', 2, None, 'emptied')]
    assert marked(told, [50, 25, 100], 'index', *marks) == [['load', 50, 25], ['heat', 8, 8], ['load', None, None]]
    # A line that begins at or below zero is not drawn, nor is what was repaired on it: it is no lost value.
    assert marked(told, [-1, 25, 100], 'index', *marks) == [['heat', 8, 8]]


def test_marks_at_or_below_zero_have_no_place_on_a_logarithmic_axis(told: Callable[[str, Any], Any]) -> None:
    marks = [mark('load', 0, -5), mark('load', 1, 25), mark('heat', 0, -4), mark('load', 2, None, 'emptied')]
    found = marked(told, [-5, 25, 100], 'log', *marks)
    assert found == [['load', 25, 25], ['heat', -4, -4], ['load', None, None]]


def test_what_is_left_out_is_said(told):
    lines = [line(str(at), [0], [1]) for at in range(8)]
    body = """return given.map(([panel, answer, context]) => scene.leftOut(panel, answer, context,
        request.requestOf(panel, context, 500)));"""
    many, few = context(dataset={'series': 370}), context(dataset={'series': 8})
    shown = panel('line', measures=['load'], top=8)
    cases = [
        [shown, answer(*lines), many],
        [shown, answer(*lines), few],
        [shown, answer(*lines[:3]), many],
        [panel('line', measures=['load'], top=8, group='site'), answer(*lines), many],
        [panel('line', measures=['load']), answer(*lines), many],
        [panel('line', measures=['load'], top=1), answer(lines[0]), many],
    ]
    assert told(body, cases) == [
        'top 8 of 370 series',
        '',
        '',
        'top 8',
        'top 8 of 370 series',
        'greatest of 370 series',
    ]


def test_the_head_says_units_and_buckets(told):
    t = [0, HOUR, 2 * HOUR]
    stepped = [line(name, t, [1, 2, 3], columns={'until': [HOUR, 2 * HOUR, 3 * HOUR]}) for name in 'ab']
    body = 'return given.map(([panel, answer, context]) => scene.subtitle(panel, answer, context));'
    cases = [
        [panel('line'), answer(*stepped), context()],
        [panel('bar', aggregation='sum'), answer(stepped[0]), context()],
        [panel('line'), answer(line('a', t, [1, 2, 3])), context(dataset={'series': 1})],
    ]
    assert told(body, cases) == ['MW, mean per hour', 'a, MW, sum per hour', 'MW']


def test_a_figure_is_of_the_last_whole_bucket_and_tells_what_there_is_of_the_next(told):
    t, whole = [0, DAY, 2 * DAY], [DAY, 2 * DAY, 3 * DAY]
    cases = [
        line('a', t, [1, 2, 3], columns={'until': whole}),
        line('a', t, [1, 2, 3], columns={'until': whole}) | {'partial': {2: '12 of 24 hours'}},
        line('a', t[:1], [3], columns={'until': whole[:1]}) | {'partial': {0: '12 of 24 hours'}},
        line('a', t, [1, None, 3], columns={'until': whole}),
        line('a', t, [None, None, None], columns={'until': whole}),
    ]
    body = """const numbers = (values) => Float64Array.from(values, (value) => value ?? NaN);
    return given.map((one) => words.figureOf({ ...one,
        columns: Object.fromEntries(Object.entries(one.columns).map(([name, values]) => [name,
        numbers(values)])) }));"""
    rise, going, only, over, none = told(body, cases)
    assert rise == {'t': 2 * DAY, 'value': 3, 'open': '', 'change': 50, 'now': None}
    begun = {'t': 2 * DAY, 'value': 3, 'part': '12 of 24 hours'}
    assert going == {'t': DAY, 'value': 2, 'open': '', 'change': 100, 'now': begun}
    assert only == {'t': 0, 'value': 3, 'open': '12 of 24 hours', 'change': None, 'now': None}
    assert over['change'] == 200
    assert none is None


def test_rows_without_a_value_come_last_either_way(told):
    body = """return [true, false].map((down) => words.ordered([[1, 5], [2, null], [3, 7]], { at: 1,
        down }).map(([at]) => at));"""
    assert told(body) == [[3, 1, 2], [1, 3, 2]]


def test_an_earlier_period_runs_through_the_middles_of_bars_and_is_named_by_how_far_back_it_lies(told):
    t, columns = [0, DAY], {'until': [DAY, 2 * DAY]}
    before = line('a P1W before', t, [3, 4], role='before', of='a', columns=columns)
    given = {'panel': panel('bar'), 'answer': answer(line('a', t, [1, 2], columns=columns), before)}
    name, at = told(SCENE + 'return [made.lines[1].name, made.lines[1].t];', given | {'context': context()})
    assert name == 'a, 1 week before'
    assert at == [DAY / 2, 1.5 * DAY]


@pytest.mark.parametrize('name', ['constructor', 'toString', 'valueOf', '__proto__'])
def test_columns_may_be_called_as_what_objects_have(told, name):
    named = json.loads(json.dumps({name: 'x'}))
    variables = parsed({})['variables']
    known = context(
        dataset={'keys': [name, 'site'], 'measures': [name], 'units': {}, 'distinct': {'site': 2}, 'first': []}
    )
    made = told(
        """const dataset = Object.values(given.known.datasets)[0], chosen = variables.addressed(given.variables,
            `?by.${given.name}=a&by.${given.name}=b`);
        const rest = new URLSearchParams();
        variables.written.address(rest, chosen, given.variables);
        const found = variables.resolved(chosen, { datasets: given.known.datasets, zone: 'UTC',
            panels: [{ dataset: Object.keys(given.known.datasets)[0] }] });
        const labels = variables.resolved(chosen, { zone: 'UTC', panels: [{ dataset: 'd' }],
            datasets: { d: { ...dataset, labels: JSON.parse(given.labels) } } });
        return { labels: variables.labelsOf(dataset, given.name), known: variables.labelsKnown(dataset, given.name),
            chosen: Object.entries(chosen.series), plain: Object.getPrototypeOf(chosen.series) === Object.prototype,
            untouched: Object.keys(given.variables.series), address: rest.getAll(`by.${given.name}`),
            keys: found.keys, all: labels.keys, held: labels.labels[given.name],
            unit: variables.valueUnder({}, given.name) ?? '', own: variables.valueUnder(JSON.parse(given.named),
            given.name) };""",
        {
            'name': name,
            'variables': variables,
            'known': known,
            'named': json.dumps(named),
            'labels': json.dumps({name: ['a', 'b', 'c']}),
        },
    )
    assert made == {
        'labels': [],
        'known': False,
        'chosen': [[name, ['a', 'b']]],
        'plain': True,
        'untouched': [],
        'address': ['a', 'b'],
        'keys': ['site'],
        'all': [name, 'site'],
        'held': ['a', 'b', 'c'],
        'unit': '',
        'own': 'x',
    }
    values = line('all', [0, DAY], [1, 2]) | {'measure': name}
    given = {'panel': panel('line', measures=[name]), 'answer': answer(values), 'context': known}
    assert told(SCENE + 'return made.lines.map((one) => one.unit);', given) == ['']


@pytest.mark.parametrize(
    'address', ['?from=1&to=1e300', '?from=-9e15&to=1', '?from=a&to=1', '?from=&to=1', '?from=2&to=1']
)
def test_a_range_that_no_date_can_be_is_left_out(told, address):
    made = told(
        'return variables.addressed(given.variables, given.address);',
        {'variables': parsed({})['variables'], 'address': address},
    )
    assert made['range'] == {}
    assert told('return variables.addressed(given, "?from=1&to=2").range;', parsed({})['variables']) == {
        'from': 1,
        'to': 2,
    }


def test_moments_out_of_reach_are_written_all_the_same(told):
    latest, last, never = told("return [8.64e15, 1e300, NaN].map((ms) => look.moment(ms, 'UTC', 864e5));")
    assert latest == last == '13 Sep 275760, 00:00'
    assert never == '1 Jan 1970, 00:00'


def test_whether_a_body_outlives_its_page_is_told_by_its_bytes(told):
    assert told("return ['a', 'é', '漢'].map((sign) => variables.outlives(sign.repeat(25000)));") == [True, True, False]


def test_the_last_months_and_years_begin_by_the_calendar(told: Callable[[str, Any], Any]) -> None:
    cases = [
        ('2024-12-01T00:00Z', 'P1Y', 'UTC', '2023-12-01T00:00:00.000Z'),
        ('2024-03-31T00:00Z', 'P1M', 'UTC', '2024-02-29T00:00:00.000Z'),
        ('2024-05-08T23:00Z', 'P3M', 'UTC', '2024-02-08T23:00:00.000Z'),
        ('2024-06-30T22:00Z', 'P6M', 'Europe/Berlin', '2023-12-31T23:00:00.000Z'),
        ('2024-05-08T12:00Z', 'P7D', 'UTC', '2024-05-01T12:00:00.000Z'),
        ('2024-05-08T12:00Z', 'P1Y2DT1H', 'UTC', '2023-05-06T11:00:00.000Z'),
    ]
    body = """return given.map(([at, duration, zone]) =>
        new Date(variables.before(Date.parse(at), duration, zone)).toISOString());"""
    assert told(body, [case[:3] for case in cases]) == [case[3] for case in cases]


def test_durations_are_read_alike_wherever_they_are_measured_and_written(told: Callable[[str, Any], Any]) -> None:
    body = """return given.map((text) => [durations.parsed(text).months, durations.parsed(text).ms,
        durations.lengthOf(text), variables.written(text)]);"""
    year = 365.25 * DAY
    assert told(body, ['P1Y', 'P18M', 'P1DT2H30M', 'PT1M', 'P1M', 'P7D', 'P2W', 'nonsense']) == [
        [12, 0, year, '1 year'],
        [18, 0, 1.5 * year, '18 months'],
        [0, DAY + 2.5 * HOUR, DAY + 2.5 * HOUR, '1 day 2 hours 30 minutes'],
        [0, HOUR / 60, HOUR / 60, '1 minute'],
        [1, 0, year / 12, '1 month'],
        [0, 7 * DAY, 7 * DAY, '7 days'],
        [0, 14 * DAY, 14 * DAY, '2 weeks'],
        [0, 0, 0, 'nonsense'],
    ]


def buckets(cuts: list[float], n: list[int], **more: Any) -> dict[str, Any]:
    columns = {'until': cuts[1:], 'n': n}
    return line('a', cuts[:-1], [1.0] * len(n), columns=columns, **more)


PARTIAL = """
const numbers = (values) => Float64Array.from(values, (value) => value ?? NaN);
const found = given.map(([answer, how]) => {
    for (const one of answer.lines) for (const [name, values] of Object.entries(one.columns)) one.columns[name] =
        numbers(values);
    partial.markPartial(answer, how);
    return answer.lines.map((one) => one.partial ?? null);
});
return found;"""


def test_the_first_and_the_last_bucket_tell_how_much_of_them_there_is(told: Callable[[str, Any], Any]) -> None:
    weeks = [ms(2026, 3, 2), ms(2026, 3, 9), ms(2026, 3, 16), ms(2026, 3, 23), ms(2026, 3, 30)]
    months = [ms(2026, month, 1) for month in range(1, 7)]
    daily = {'every': 'P1W', 'zone': 'UTC', 'step': DAY}

    def of(cuts: list[float], n: list[int], *span: float) -> dict[str, Any]:
        return answer(buckets(cuts, n)) | {'span': list(span)}

    cases = [
        [of(weeks, [5, 7, 7, 3], ms(2026, 3, 4), ms(2026, 3, 25)), daily],
        [of(weeks, [7, 7, 7, 7], ms(2026, 3, 2), ms(2026, 3, 29)), daily],
        # Prices have no values at weekends: a week that ends on Friday is whole.
        [of(weeks, [5, 5, 5, 5], ms(2026, 3, 2), ms(2026, 3, 27)), daily],
        # The range begins and ends inside a bucket; which step was chosen is told by the others.
        [
            of([ms(2026, 1, 20), *months[1:5], ms(2026, 5, 11)], [12, 28, 31, 30, 10], ms(2025, 1, 1), ms(2027, 1, 1)),
            {'every': 'auto', 'zone': 'UTC', 'step': DAY},
        ],
        # The last of twelve months has no later one, but is as long as its step.
        [of(months, [1, 1, 1, 1, 1], ms(2026, 1, 1), ms(2026, 5, 1)), {'every': 'P1M', 'step': 31 * DAY}],
        [
            of([ms(year, 1, 1) for year in range(2024, 2028)], [12, 12, 9], ms(2024, 1, 1), ms(2026, 9, 1)),
            {'every': 'P1Y', 'step': 30 * DAY},
        ],
        [of(months[:2], [1], ms(2026, 1, 1), ms(2026, 1, 1)), {'every': '', 'step': DAY}],
    ]  # fmt: skip
    assert told(PARTIAL, cases) == [
        [{'0': '5 of 7 days', '3': '3 of 7 days'}],
        [None],
        [None],
        [{'0': '12 of 31 days', '4': '10 of 31 days'}],
        [None],
        [{'2': '9 of 12 months'}],
        [None],
    ]


def test_buckets_with_gaps_tell_how_much_of_them_there_is(told: Callable[[str, Any], Any]) -> None:
    hours = [24.0] * 12

    def of(n: list[float], *, size: float = DAY, cuts: list[float] | None = None) -> Any:
        edges = cuts or [at * size for at in range(len(n) + 1)]
        given = answer(buckets(edges, n)) | {'span': [edges[0], edges[-1]]}
        return told(PARTIAL, [[given, {'every': '', 'step': HOUR}]])[0][0]

    assert of([*hours[:5], 5, *hours[:6]]) == {'5': '5 of 24 values'}
    assert of([*hours[:5], 0, *hours[:6]]) is None, 'an empty one is a gap'
    assert of([*hours[:5], 20, *hours[:6]]) is None, 'a few are missing'
    # Months are as long as they are, and a week of prices may have a holiday in it.
    months = [ms(2025, 1 + at, 1) for at in range(12)]
    daily = [(b - a) / DAY for a, b in pairwise(months)]
    assert of(daily, cuts=months) is None
    assert of([*daily[:4], 15, *daily[5:]], cuts=months) == {'4': '15 of 31 values'}
    assert of([5.0] * 5 + [4] + [5.0] * 6, size=7 * DAY) is None
    assert of([5.0] * 5 + [2] + [5.0] * 6, size=7 * DAY) == {'5': '2 of 5 values'}
    # Of what comes by chance, or by day alone, or in few buckets, nobody knows how much there should be.
    assert of([3, 17, 9, 40, 5, 22, 8, 31, 2, 12, 25, 7]) is None
    assert of([60, 60, 5, 5, 60, 60, 5, 5, 60, 60, 5, 5], size=6 * HOUR) is None
    assert of([24, 24, 5, 24, 24]) is None
    assert of([1.0] * 5 + [0.5] + [1.0] * 6) is None


def test_ranges_hold_some_values_of_the_data(told: Callable[[str, Any], Any]) -> None:
    body = """return given.map(([days, step]) => variables.presetsOf({ span: [0, days * 864e5], step }).map(([name]) =>
        name).concat(variables.rangesFor({ span: [0, days * 864e5], step }).length));"""
    cases = [[3, HOUR / 60], [3, HOUR], [14, DAY], [3, DAY], [800, DAY], [4000, 30.4 * DAY]]
    assert told(body, cases) == [
        ['1H', '6H', '24H', 'All', 3],
        ['6H', '24H', 'All', 2],
        ['7D', 'All', 1],
        ['All', 0],
        ['7D', '30D', '3M', '1Y', 'All', 4],
        ['1Y', '5Y', 'All', 2],
    ]


def test_buckets_lie_on_the_calendar_of_their_zone(told: Callable[[str, Any], Any]) -> None:
    body = """return given.map(([at, every, zone]) => partial.bucketAt(Date.parse(at), every,
        axes.offsetOf(zone)).map((ms) => new Date(ms).toISOString().slice(0, 16)));"""
    cases = [
        ['2026-03-29T12:00Z', 'P1D', 'Europe/Berlin'],
        ['2026-03-11T00:00Z', 'P1W', 'UTC'],
        ['2026-05-11T00:00Z', 'P3M', 'America/New_York'],
        ['2026-03-29T07:30Z', 'PT6H', 'UTC'],
        ['2026-03-29T23:30Z', 'PT7H', 'UTC'],
        ['1969-12-31T00:00Z', 'P1Y', 'UTC'],
    ]
    assert told(body, cases) == [
        ['2026-03-28T23:00', '2026-03-29T22:00'],
        ['2026-03-09T00:00', '2026-03-16T00:00'],
        ['2026-04-01T04:00', '2026-07-01T04:00'],
        ['2026-03-29T06:00', '2026-03-29T12:00'],
        ['2026-03-29T21:00', '2026-03-30T00:00'],
        ['1969-01-01T00:00', '1970-01-01T00:00'],
    ]


def test_the_shared_step_moves_every_panel_that_can_follow_it(told: Callable[[str, Any], Any]) -> None:
    body = """return given.map(([panel, context]) => [request.keepsStep(panel),
        request.requestOf(panel, context, 500).find(([name]) => name === 'every')?.[1] ?? '']);"""
    monthly = context(every='P1M')
    cases = [
        [panel('bar', measures=['load'], every='P1D'), monthly],
        [panel('line', measures=['load'], every='P1D', compare='P1Y'), monthly],
        [panel('candles', measures=['load'], every='P1W'), monthly],
        [panel('figure', measures=['load']), monthly],
        [panel('bar', measures=['load'], every='P1D'), context()],
        # Those that tell of a period of their own keep it, and say so.
        [panel('figure', measures=['load'], every='P1D'), monthly],
        [panel('calendar', measures=['load']), monthly],
        [panel('heat', measures=['load']), monthly],
    ]
    assert told(body, cases) == [
        *([False, 'P1M'], [False, 'P1M'], [False, 'P1M'], [False, 'P1M'], [False, 'P1D']),
        *([True, 'P1D'], [True, 'P1D'], [True, '']),
    ]


def test_a_bucket_that_is_not_whole_is_no_part_of_the_line_but_is_still_read(told: Callable[[str, Any], Any]) -> None:
    values = line('a', [0, DAY, 2 * DAY], [5, 6, 2], columns={'until': [DAY, 2 * DAY, 3 * DAY]})
    values |= {'partial': {'2': '3 of 24 hours'}}
    body = SCENE + 'return made.lines.map((one) => [one.y, one.path ?? null, one.partial]);'
    given = {'answer': answer(values), 'context': context()}
    assert told(body, given | {'panel': panel('line')}) == [[[5, 6, 2], [5, 6, None], {'2': '3 of 24 hours'}]]
    assert told(body, given | {'panel': panel('bar')}) == [[[5, 6, 2], None, {'2': '3 of 24 hours'}]]


def test_a_band_below_zero_reaches_the_foot_of_a_logarithmic_axis(told: Callable[[str, Any], Any]) -> None:
    t = [0, DAY, 2 * DAY]
    over = [
        line('a bollinger~20~2', t, y, role=f'bollinger.{part}', of='a')
        for part, y in (('middle', [10, 10, 10]), ('upper', [20, 30, None]), ('lower', [5, -10, None]))
    ]
    shown = panel('line', show={'axis': 'log', 'thresholds': [{'value': 7}, {'value': -1}]})
    given = {'panel': shown, 'answer': answer(line('a', t, [10, 12, 11]), *over), 'context': context()}
    body = 'return [made.bands[0].lo, made.bands[0].hi, made.left, axes.scalesOf(made).y.limits[0]];'
    low, high, left, foot = told(SCENE + body, given)
    assert low == [5, 0, None]
    assert high == [20, 30, None]
    assert left == 1  # the threshold; the quiet lines of the band are no values
    assert 4 < foot < 5


def test_words_at_marks_that_meet_stand_in_rows_of_their_own(told: Callable[[str, Any], Any]) -> None:
    body = """const told = []; return [...given.words.map(([from, wide]) => scene.rowFor(told, from, wide, 8)),
        scene.lieFlat({ lines: given.lines })];"""
    plain = {'axis': 'left', 'y': [5e5]}
    lines = [plain, {'axis': 'left', 'y': [10], 'foretold': True}]
    words = [[5, 70], [30, 150], [60, 70], [90, 60], [300, 70], [40, 0]]
    assert told(body, {'words': words, 'lines': lines}) == [0, 1, 2, 0, 0, 0, False]
    assert told(body, {'words': [], 'lines': [*lines, {'axis': 'left', 'y': [10]}]}) == [True]


def test_lines_of_very_different_size_are_told_of_and_can_be_indexed(told: Callable[[str, Any], Any]) -> None:
    t = [0, DAY, 2 * DAY]
    lines = [line('a', t, [10, 12, None]), line('b', t, [20, 10, 40]), line('c', t, [5e5, 6e5, 4e5])]
    given = {'answer': answer(*lines), 'context': context()}
    body = """return [scene.lieFlat(made), made.lines.map((one) => [one.name, one.y, [...one.own]]), made.unindexed,
        made.thresholds.map((one) => one.value)];"""
    flat, plain, none, _ = told(SCENE + body, given | {'panel': panel('line')})
    assert (flat, none) == (True, 0)
    assert plain[2][1] == [5e5, 6e5, 4e5]
    shown = panel('line', show={'axis': 'index', 'thresholds': [{'value': 7}]})
    flat, indexed, none, thresholds = told(SCENE + body, given | {'panel': shown})
    assert (flat, none, thresholds) == (False, 0, [100])
    assert [one[1] for one in indexed] == [[100, 120, None], [100, 50, 200], [100, 120, 80]]
    assert indexed[2][2] == [5e5, 6e5, 4e5]
    lines[1] = line('b', t, [0, 10, 40])
    _, indexed, none, _ = told(SCENE + body, {'answer': answer(*lines), 'context': context(), 'panel': shown})
    assert [one[0] for one in indexed] == ['a', 'c']
    assert none == 1
    # A threshold that would stand elsewhere for each line is left out and counted; of one line it is a share, too.
    body = 'return [made.thresholds.map((one) => [one.value, one.label]), made.unplaced];'
    assert told(SCENE + body, {'answer': answer(*lines), 'context': context(), 'panel': shown}) == [[[100, ' ']], 1]
    single = {'answer': answer(lines[0]), 'context': context(), 'panel': shown}
    assert told(SCENE + body, single) == [[[100, ' '], [70, '7']], 0]
    body = 'return [scene.lieFlat(made)];'
    similar = answer(*[line(name, t, [10, 12, 14]) for name in 'abc'])
    assert not told(SCENE + body, {'answer': similar, 'context': context(), 'panel': panel('line')})[0]


def with_means(axis: str, wind: tuple[list[float], list[float]]) -> dict[str, Any]:
    """A load of 100 to 200 on the left axis and wind on the right, each a mean between its lowest and its highest."""
    t = [0, DAY]
    load = line('load', t, [100, 200], series='', columns={'low': [80, 180], 'high': [120, 220]})
    low, high = wind
    mean = [(a + b) / 2 for a, b in zip(low, high, strict=True)]
    other = line('wind', t, mean, series='', measure='wind', columns={'low': low, 'high': high})
    over = line('wind mean~2', t, mean, series='', measure='wind', role='mean', of='wind')
    shown = panel('line', measures=['load', 'wind'], show={'axis': axis, 'right': ['wind']})
    return {'panel': shown, 'answer': answer(load, other, over) | {'exact': False}, 'context': context()}


def test_bands_and_overlays_of_the_right_axis_are_neither_indexed_nor_cut_at_zero(told: Told) -> None:
    body = """return [made.bands.map(({ lo, hi, axis }) => [axis, lo, hi]),
        made.lines.map(({ y, axis }) => [axis, y]), made.left];"""
    bands, lines, _ = told(SCENE + body, with_means('index', ([40, 50], [60, 70])))
    assert bands == [['left', [80, 180], [120, 220]], ['right', [40, 50], [60, 70]]]
    assert lines == [['left', [100, 200]], ['right', [50, 60]], ['right', [50, 60]]]
    bands, lines, left = told(SCENE + body, with_means('log', ([-40, -10], [-20, 10])))
    assert bands == [['left', [80, 180], [120, 220]], ['right', [-40, -10], [-20, 10]]]
    assert lines == [['left', [100, 200]], ['right', [-30, 0]], ['right', [-30, 0]]]
    assert left == 0


# What a drawing sets down: a canvas and a tree of SVG that keep it, and a plot that asks for its layers alone.
DRAWN = """
const made_ = (name) => ({ name, set: {}, children: [], classList: {}, append(...more) { this.children.push(...more); },
    setAttribute(key, value) { this.set[key] = value; }, getContext: () => ({ measureText: () => ({ width: 9 }) }) });
Object.assign(globalThis, { devicePixelRatio: 1, getComputedStyle: () => ({ getPropertyValue: () => '#123456' }),
    document: { documentElement: { dataset: {} }, body: { classList: { contains: () => false } },
        createElement: made_, createElementNS: (_, name) => made_(name) } });
const { mount } = await import('./fast.js'), { figure } = await import('./figure.js'), paths = [];
const ctx = new Proxy({}, { set: () => true, get: (_, name) => (...at) => {
    if (name === 'beginPath') paths.push([]);
    else if (/To$/.test(name)) paths.at(-1).push(at);
} });
globalThis.Plot = class { constructor(options) { options.hooks.drawAxes[0]({ ctx,
    bbox: { left: 0, top: 0, width: 100, height: 100 },
    valToPos: (value, scale) => scale === 'x' ? value : `${scale} ${value}` }); } };
"""


def test_edges_of_the_right_axis_are_drawn_below_zero_beside_a_logarithmic_axis(told: Told) -> None:
    body = """mount(Plot, { clientWidth: 100, clientHeight: 100 }).draw(made);
        const all = (one) => [one, ...(one.children ?? []).flatMap(all)];
        const picture = figure(given.panel, given.answer, given.context, { width: 400, height: 200, drawn: made });
        const edges = all(picture).filter(({ set }) => set?.d && set.fill === 'none' && !set['stroke-width']);
        return [paths, edges.map(({ set }) => set.d.match(/[ML]/g).join(''))];"""
    paths, pictured = told(SCENE + DRAWN + body, with_means('log', ([-40, -10], [-20, 10])))
    upper, lower = [[0, 'y2 -20'], [DAY, 'y2 10']], [[0, 'y2 -40'], [DAY, 'y2 -10']]
    assert paths[-3:] == [upper + lower[::-1], upper, lower]  # the ground of the band, and its edges
    assert pictured == ['ML'] * 4


def test_macd_of_several_series_has_their_colours(told: Callable[[str, Any], Any]) -> None:
    t = [0, DAY]
    over = [
        line(f'{name} macd~12~26~9', t, [1, 2], role=f'macd.{part}', of=name)
        for name in 'ab'
        for part in ('macd', 'signal', 'histogram')
    ]
    given = {'panel': panel('line'), 'context': context()}
    body = SCENE + "return made.lines.filter((one) => one.axis === 'macd').map((one) => [one.colour, one.dash.length]);"
    several = answer(line('a', t, [1, 2]), line('b', t, [1, 2]), *over)
    assert told(body, given | {'answer': several}) == [
        *(['series-1', 0], ['series-1', 2], ['series-1', 2]),
        *(['series-2', 0], ['series-2', 2], ['series-2', 2]),
    ]
    single = told(body, given | {'answer': answer(line('a', t, [1, 2]), *over[:3])})
    assert [colour for colour, _ in single] == ['series-1', 'series-2', 'series-8']


def test_panels_move_up_where_one_was_taken_away(told: Callable[[str, Any], Any]) -> None:
    at = [('a', 0, 0, 12, 2), ('c', 0, 6, 6, 4), ('d', 6, 7, 6, 3), ('e', 0, 10, 12, 2), ('f', 0, 20, 2, 2)]
    panels = [dict(zip(('id', 'x', 'y', 'w', 'h'), one, strict=True)) for one in at]
    body = 'return places.compacted(given).map((one) => [one.id, one.y]);'
    assert told(body, panels) == [['a', 0], ['c', 2], ['d', 2], ['e', 6], ['f', 8]]
    assert told('return places.compacted(given).every((one, at) => one === given[at]);', panels[:1])


def test_how_long_there_are_no_values_is_told_in_the_step_of_the_data(told: Callable[[str, Any], Any]) -> None:
    month = 31 * DAY
    cases = [
        [[ms(2026, 1, 1), ms(2026, 5, 1)], {'step': month, 'bucketed': False}],
        [[ms(2026, 1, 1), ms(2026, 3, 1)], {'step': month, 'bucketed': False}],
        [[0, 31 * HOUR], {'step': HOUR, 'bucketed': False}],
        [[0, 3 * DAY], {'step': DAY, 'bucketed': True}],
    ]
    assert told('return given.map(([gap, made]) => scene.missing(gap, made));', cases) == [
        *('3 months', '1 month', '30 h', '3 days'),
    ]


def test_weekends_of_prices_do_not_interrupt_a_line_and_longer_times_do(told: Callable[[str, Any], Any]) -> None:
    first = ms(2026, 3, 2)  # a Monday
    days = [first + place * DAY for place in range(56)]
    y = [None if place % 7 > 4 or 20 < place < 42 else place + 1.0 for place in range(56)]
    values = line('a', days, y, columns={'until': [at + DAY for at in days], 'n': [int(one is not None) for one in y]})
    values |= {'partial': {'0': '12 of 24 hours', '53': '3 of 24 hours'}}
    given = {
        'panel': panel('line'),
        'answer': answer(values) | {'start': first, 'end': first + 56 * DAY},
        'context': context(),
    }
    body = SCENE + 'return [made.lines[0].y, made.lines[0].partial, made.gaps];'
    drawn, partial, gaps = told(body, given)
    known = [one for one in y if one is not None]
    assert [one for one in drawn if one is not None] == known
    assert drawn.count(None) == 1  # the three weeks
    assert partial == {'0': '12 of 24 hours', str(len(drawn) - 1): '3 of 24 hours'}
    assert gaps == [[first + 19 * DAY, first + 42 * DAY]]
    # Of values that come regularly each missing one is a gap.
    regular = [None if place in (7, 30) else 1.0 for place in range(56)]
    values['columns'] |= {'y': regular}
    values.pop('partial')
    assert told(SCENE + 'return made.lines[0].y;', given) == regular


def test_long_names_keep_their_beginning_and_their_end(told: Callable[[str, Any], Any]) -> None:
    name = 'Building 1 · Floor 4 · Air handling unit with heat recovery, sensor number 049'
    assert told('return [look.middle(given), look.middle(given, 12), look.middle("short")];', name) == [
        'Building 1 · Floor…sensor number 049',
        'Buildi…r 049',
        'short',
    ]


def test_more_lines_than_colours_tell_apart_are_drawn_thin(told: Callable[[str, Any], Any]) -> None:
    lines = [line(f's{at}', [0, DAY], [1, 2]) for at in range(30)]
    given = {'panel': panel('line'), 'context': context(dataset={'series': 30})}
    body = SCENE + 'return [...new Set(made.lines.map((one) => `${one.width} ${one.dash}`))];'
    assert told(body, given | {'answer': answer(*lines)}) == ['1 ']
    assert told(body, given | {'answer': answer(*lines[:20])}) == ['1.5 ', '1.5 6,4', '1.5 2,3']


def test_words_of_gaps_stand_in_the_step_of_the_data_and_never_overlap(told: Callable[[str, Any], Any]) -> None:
    spans = [[ms(2026, 1, 1), ms(2026, 5, 1)], [ms(2026, 6, 1), ms(2026, 9, 1)], [ms(2030, 1, 1), ms(2030, 3, 1)]]
    body = """const written = [], place = {
        said: (gap) => scene.missing(gap, { step: 31 * 864e5, bucketed: false }),
        x: (ms) => (ms - given[0][0]) / 7e9 * 30, left: 0, width: 600, ratio: 1,
        write: (text, left) => written.push([text, left, left + 6 * text.length]),
    };
    gaps.writeGaps({ measureText: (text) => ({ width: 6 * text.length }) }, given, place);
    return written;"""
    words = told(body, spans)
    assert [text for text, _, _ in words] == ['gap, 3 months', 'gap, 1 month']
    assert words[0][2] < words[1][1]
    # Of a view that begins after the second gap, its words would be cut by the edge: they are left out.
    later = body.replace('left: 0', 'left: (given[1][1] - given[0][0]) / 7e9 * 30 + 10')
    assert [text for text, _, _ in told(later, spans)] == ['gap, 1 month']


def test_the_head_says_that_lines_are_indexed_and_a_figure_says_its_period_once(
    told: Callable[[str, Any], Any],
) -> None:
    t = [0, DAY, 2 * DAY]
    stepped = line('a', t, [1, 2, 3], columns={'until': [DAY, 2 * DAY, 3 * DAY]})
    titled = panel('figure', measures=['load'], every='P1D', group='*') | {'title': 'Load per day'}
    body = 'return given.map(([panel, answer, context]) => scene.subtitle(panel, answer, context));'
    cases = [
        [panel('line', show={'axis': 'index'}), answer(line('a', t, [1, 2, 3])), context(dataset={'series': 1})],
        [titled, answer(stepped), context()],
        [titled | {'title': ''}, answer(stepped), context()],
    ]
    assert told(body, cases) == ['MW, indexed to 100', 'a, MW', 'a, MW, mean per day']


# Three questions that go together, to a server whose answers are `frames`, cut into pieces of `size` bytes.
TOGETHER = """
    const bytes = (...numbers) => [...new Uint8Array(new Uint32Array(numbers).buffer)];
    const frame = (at, status, body) => [...bytes(at, status, body.length), ...body];
    const header = new TextEncoder().encode(JSON.stringify({ kind: "line", lines: [] }).padEnd(40));
    const answer = [0x56, 0x53, 0x51, 0x31, ...bytes(header.length), ...header];
    const asked = [], gone = [];
    let stream;
    const more = (all, size = 1e9) => {
      for (let i = 0; i < all.length; i += size) stream.enqueue(new Uint8Array(all.slice(i, i + size)));
    };
    globalThis.requestAnimationFrame = (act) => setTimeout(act);
    globalThis.fetch = (url, { signal }) => {
      asked.push(url);
      const body = new ReadableStream({ start(one) { stream = one; } });
      signal.addEventListener("abort", () => {
        gone.push(url);
        stream.error(signal.reason);
      });
      return Promise.resolve(new Response(body, { status: 200 }));
    };
    const turn = () => new Promise((resolve) => setTimeout(resolve));
    const why = (error) => error.name === "AbortError" ? "let go" : `${error.status}: ${error.message}`;
    const controls = [0, 1, 2].map(() => new AbortController());
    const found = controls.map((control, at) =>
      wire.query("d", 1, [["width", `${at}`]], control).then((one) => one.kind, why));
    await turn();
"""


def test_questions_of_one_moment_go_together_and_each_has_its_answer(told: Told) -> None:
    """Answers come in any order and in pieces of any size; one that cannot be given leaves the others."""
    found = told(
        TOGETHER
        + """
        const no = [...new TextEncoder().encode(JSON.stringify({ detail: "Choose another one." }))];
        more([...frame(2, 200, answer), ...frame(0, 400, no), ...frame(1, 200, answer)], 7);
        stream.close();
        return { asked, found: await Promise.all(found), gone };
        """
    )
    assert found['found'] == ['400: Choose another one.', 'line', 'line']
    (url,) = found['asked']
    assert url.startswith('/api/v1/queries?q=d%2F1%3Fwidth%3D0&q=')
    assert found['gone'] == []


def test_who_leaves_first_takes_no_neighbour_along(told: Told) -> None:
    """An answer that comes for somebody who has gone is not counted twice."""
    found = told(
        TOGETHER
        + """
        controls[0].abort();
        await turn();
        more(frame(0, 200, answer));
        await turn();
        controls[1].abort();
        await turn();
        const open = gone.length;
        more(frame(2, 200, answer));
        return { open, found: await Promise.all(found) };
        """
    )
    assert found == {'open': 0, 'found': ['let go', 'let go', 'line']}


def test_when_all_have_left_the_request_ends(told: Told) -> None:
    found = told(
        TOGETHER + 'for (const control of controls) control.abort(); return { found: await Promise.all(found), gone };'
    )
    assert found['found'] == ['let go'] * 3
    assert len(found['gone']) == 1


def test_what_ends_early_is_said_to_those_who_wait(told: Told) -> None:
    found = told(
        TOGETHER
        + 'more(frame(1, 200, answer)); more(frame(0, 200, answer).slice(0, 9)); stream.close();'
        + 'return Promise.all(found);'
    )
    assert found == ['undefined: The server does not answer.', 'line', 'undefined: The server does not answer.']


def test_who_has_left_before_it_is_sent_asks_nothing(told: Told) -> None:
    assert told(
        """
        const asked = [];
        globalThis.fetch = (url) => { asked.push(url); return new Promise(() => {}); };
        const control = new AbortController();
        const left = wire.query("d", 1, [["width", "1"]], control).catch((error) => error.name);
        wire.query("d", 1, [["width", "2"]]);
        control.abort();
        const name = await left;
        return { name, asked };
        """
    ) == {'name': 'AbortError', 'asked': ['/api/v1/datasets/d/versions/1/query?width=2']}


def test_a_forecast_that_comes_late_is_not_set_over_a_newer_choice(told: Told) -> None:
    drawn = told(
        """
        const { Panel } = await import('./panel.js');
        const waiting = [];
        globalThis.fetch = () => new Promise((answered) => waiting.push(answered));
        const panel = {}, chosen = (id) => ({ kind: 'line', query: {}, show: { forecast: id } });
        const older = Panel.prototype.foresee.call(panel, chosen('a'));
        await Panel.prototype.foresee.call(panel, chosen(''));
        while (!waiting.length) await new Promise((next) => setTimeout(next));
        waiting[0](new Response(JSON.stringify({ detail: 'It is gone.' }), { status: 404 }));
        await older;
        return panel.forecast;
        """
    )
    assert drawn is None


def test_series_found_for_an_older_text_do_not_replace_those_of_the_newer(told: Told) -> None:
    listed = told(
        """
        globalThis.CSSStyleSheet = class { replaceSync() {} };
        globalThis.document = { adoptedStyleSheets: [] };
        const { default: explore } = await import('./explore.js');
        const waiting = [], listed = [];
        globalThis.fetch = () => new Promise((answered) => waiting.push(answered));
        const page = { known: { d: { version: 1 } }, panelSpec: { dataset: 'd' } };
        page.listed = (_, items) => listed.push(items);
        const ask = (wanted) => explore.methods.find.call(Object.assign(page, { wanted }), null);
        const asked = [ask('o'), ask('oslo')];
        waiting[1](new Response(JSON.stringify({ items: ['Oslo'] })));
        await asked[1];
        waiting[0](new Response(JSON.stringify({ items: ['Rome', 'Oslo'] })));
        await asked[0];
        return listed;
        """
    )
    assert listed == [['Oslo']]


def test_files_of_panels_tell_their_dataset_what_they_are_of_and_from_when_to_when(told: Told) -> None:
    names = told(
        """
        const { Panel } = await import('./panel.js');
        return given.map(([title, query, range, step]) => {
            const known = { name: 'Grid 2024', span: [0, 40 * 864e5], step };
            const context = { datasets: { d: known }, zone: 'Europe/Oslo' };
            return Panel.prototype.called.call({ spec: { dataset: 'd', query }, range, context }, title);
        });
        """,
        [
            ['load', {'measures': ['load']}, None, HOUR],
            ['load', {'measures': ['load'], 'series': ['Tromsø']}, [0, 6 * HOUR], HOUR],
            ['a, b, c, d', {'measures': ['a', 'b', 'c', 'd']}, [0, 10 * DAY], DAY],
            ['Grid 2024 in Tromsø', {'measures': ['load'], 'series': ['Tromsø']}, None, DAY],
        ],
    )
    assert names == [
        'Grid 2024, load, 1970-01-01 to 1970-02-10',
        'Grid 2024, load, Tromsø, 1970-01-01 0100 to 1970-01-01 0700',
        'Grid 2024, 4 measures, 1970-01-01 to 1970-01-11',
        'Grid 2024 in Tromsø, 1970-01-01 to 1970-02-10',
    ]


def test_very_large_and_very_small_numbers_are_written_without_idle_digits(told: Told) -> None:
    body = 'return given.map(([name, ...told]) => look[name](...told));'
    assert told(body, [
        ['number', 8e-10, 1e-10], ['number', 1.25e-9, 5e-11], ['number', 0, 1e-10], ['number', -1.2346e-9],
        ['number', 1.071e15], ['number', 1.5e16], ['short', 1.0714e15], ['short', -2.5e18],
        ['written', [0, 2e-10, 1e-9], 2e-10], ['written', [9e17, 1e18], 1e17],
    ]) == [
        '8e−10', '1.25e−9', '0', '−1.235e−9',
        '1,071,000,000,000,000', '1.5e16', '1,071.4T', '−2.5e18',
        ['0', '2e−10', '1e−9'], ['9e17', '1e18'],
    ]  # fmt: skip


def test_a_single_moment_has_a_window_of_its_step_or_of_its_day(told: Told) -> None:
    body = SCENE + 'return [made.x, made.step, made.lines[0].points, scene.lasting(given.answer.start, "Europe/Oslo")];'
    at = ms(2026, 3, 1)
    one = {
        'answer': answer(line('a', [at], [42])) | {'start': at, 'end': at},
        'context': context(dataset={'series': 1}),
    }
    assert told(body, one | {'panel': panel('area')}) == [[at - 1.5 * DAY, at + 1.5 * DAY], DAY, True, HOUR]
    hourly = one | {'panel': panel('line'), 'context': context(dataset={'series': 1, 'step': HOUR})}
    assert told(body, hourly)[0] == [at - 1.5 * HOUR, at + 1.5 * HOUR]
    bucket = line('a', [at], [42], columns={'until': [at + DAY]})
    bars = one | {'panel': panel('bar'), 'answer': answer(bucket) | {'start': at, 'end': at}}
    assert told(body, bars)[0] == [at - DAY, at + 2 * DAY], 'a bar stands in the middle'


def test_a_change_of_sign_has_no_share(told: Told) -> None:
    body = 'return given.map((y) => words.figureOf({ columns: { t: [0, 1], y } }).change);'
    assert told(body, [[2, 3], [-2, -3], [-2, 3], [2, -3], [2, 0], [0, 2]]) == [50, -50, None, None, -100, None]


def test_points_of_buckets_that_are_not_whole_are_told_of(told: Told) -> None:
    """Two days of a winter week beside whole weeks look like another kind of week."""
    lines = [line('Oslo', [0, 7], [1, 2], measure=name, partial={'1': '2 of 7 days'}) for name in ('heat', 'load')]
    pairs = "const { pairs } = await import('./figure.js');"
    body = pairs + 'return pairs(...given).map(({ name, partial }) => [name, partial]);'
    found = told(body, [panel('scatter', measures=['heat', 'load']), answer(*lines)])
    assert found == [['Oslo', {'1': '2 of 7 days'}]]


def test_two_lines_of_very_different_size_are_told_of_even_where_they_have_no_common_start(told: Told) -> None:
    body = SCENE + 'return [scene.lieFlat(made), scene.shareable(made)];'
    t, given = [0, DAY], {'panel': panel('line'), 'context': context()}
    assert told(body, given | {'answer': answer(line('a', t, [1, 2]), line('b', t, [90, 80]))}) == [True, True]
    assert told(body, given | {'answer': answer(line('a', t, [0, 2]), line('b', t, [90, 80]))}) == [True, False]
    assert told(body, given | {'answer': answer(line('a', t, [9, 8]), line('b', t, [90, 80]))}) == [False, True]


def test_the_frame_of_a_panel_that_is_looked_for_lights_up_once(told: Told) -> None:
    assert told(
        """
        globalThis.CSSStyleSheet = class { replaceSync() {} };
        globalThis.document = { adoptedStyleSheets: [] };
        const { Board } = await import('./dashboard.js'), said = [];
        globalThis.setTimeout = (act, ms) => { said.push(ms > 1000); act(); };
        const classList = { add: (name) => said.push(`+${name}`), remove: (name) => said.push(`-${name}`) };
        Board.prototype.flash({ classList });
        return said;
        """
    ) == ['+found', True, '-found']


def test_a_press_on_a_mean_means_the_nearest_of_its_points(told: Told) -> None:
    found = told(
        """
        globalThis.CSSStyleSheet = class { replaceSync() {} };
        globalThis.document = { adoptedStyleSheets: [] };
        globalThis.location = { href: 'http://localhost/datasets/d' };
        globalThis.history = { replaceState() {} };
        const { default: chart } = await import('./series.js');
        const said = [], bytes = (...numbers) => [...new Uint8Array(new Uint32Array(numbers).buffer)];
        const columns = [['t', 3], ['y', 3]], lines = [{ name: 'a', n: 3, columns }];
        const header = new TextEncoder().encode(JSON.stringify({ kind: 'line', lines }).padEnd(96));
        const numbers = new Uint8Array(Float64Array.from([10, 11, 12, 5, NaN, 90]).buffer);
        const body = new Uint8Array([0x56, 0x53, 0x51, 0x31, ...bytes(96), ...header, ...numbers]);
        globalThis.fetch = (url) => { said.push(url.split('?')[1]); return Promise.resolve(new Response(body)); };
        const page = { ...chart.methods, dataset: 'd', known: { version: 1 }, $emit: (_, point) => said.push(point) };
        const press = { t: 11, of: { series: 'a', measure: 'load' }, around: [7, 15], y: (value) => 100 - value };
        await page.pressed(press, 20);
        await page.pressed({ ...press, around: null }, 20);
        return said;
        """
    )
    asked = 'kind=line&width=4000&measures=load&series=a&from=9&to=13'
    of = {'series': 'a', 'measure': 'load'}
    assert found == [asked, {'t': 12, **of}, {'t': 11, **of}]


def test_of_two_presses_the_newer_one_counts_whichever_is_answered_last(told: Told) -> None:
    found = told(
        """
        globalThis.CSSStyleSheet = class { replaceSync() {} };
        globalThis.document = { adoptedStyleSheets: [] };
        globalThis.location = { href: 'http://localhost/datasets/d' };
        globalThis.history = { replaceState() {} };
        const { default: chart } = await import('./series.js');
        const said = [], waiting = [], of = { series: 'a', measure: 'load' };
        const page = { ...chart.methods, $emit: (_, { t }) => said.push(t) };
        page.nearest = () => new Promise((answered) => waiting.push(answered));
        const press = (t, around = [0, 9]) => page.pressed({ t, of, around, y: () => 0 }, 0);
        const first = press(1), second = press(2);
        waiting[1](2);
        await second;
        waiting[0](1);
        await first;
        const third = press(3);
        await press(4, null);
        waiting[2](3);
        await third;
        return said;
        """
    )
    assert found == [2, 4]


def test_the_range_of_a_single_moment_is_that_moment(told: Told) -> None:
    found = told(
        """
        globalThis.CSSStyleSheet = class { replaceSync() {} };
        globalThis.document = { adoptedStyleSheets: [] };
        const { Board } = await import('./dashboard.js');
        return given.map((span) => Board.prototype.said({ range: null, span, zone: 'UTC', step: 0 }));
        """,
        [[ms(2026, 3, 1)] * 2, [ms(2026, 3, 1, 8)] * 2, [ms(2026, 3, 1), ms(2026, 3, 9)]],
    )
    assert found == ['1 Mar 2026', '1 Mar 2026, 08:00', '1 Mar 2026, 00:00 to 9 Mar 2026, 00:00']
