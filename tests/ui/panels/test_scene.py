"""What panels draw of an answer: bars, bands, indicators, axes and colours."""

from itertools import pairwise
from typing import Any

import pytest

from tests.ui.panels.given import DAY, HOUR, SCENE, Told, answer, context, line, ms, panel


def test_bars_stand_on_one_another_and_hang_below_zero(told: Told) -> None:
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


def test_grouped_bars_never_overlap_and_a_hidden_one_leaves_its_place(told: Told) -> None:
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


def test_indicators_have_panes_and_bands(told: Told) -> None:
    t = [0, DAY, 2 * DAY]
    over = [
        line(f'a {text}', t, y, role=role, of='a')
        for text, role, y in (
            ('bollinger~20~2', 'bollinger.middle', [2, 2, 2]),
            ('bollinger~20~2', 'bollinger.upper', [3, 3, 3]),
            ('bollinger~20~2', 'bollinger.lower', [1, 1, 1]),
            ('rsi~14', 'rsi', [40, 60, 50]),
            ('mean~13', 'mean', [2, 2, 2]),
            ('macd~12~26~9', 'macd.macd', [0.1, 0.2, 0.1]),
            ('macd~12~26~9', 'macd.signal', [0.1, 0.1, 0.1]),
            ('macd~12~26~9', 'macd.histogram', [0, 0.1, 0]),
        )
    ]
    given = {'panel': panel('line'), 'answer': answer(line('a', t, [1, 2, 3]), *over), 'context': context()}
    body = SCENE + 'return [made.lines.map((line) => [line.name, line.axis]), made.bands.length, axes.scalesOf(made)];'
    lines, bands, scales = told(body, given)
    assert ['RSI 14', 'rsi'] in lines
    assert ['Rolling mean of 13', 'left'] in lines
    assert ['MACD 12, 26, 9', 'macd'] in lines
    assert bands == 1
    assert scales['rsi']['limits'] == [0, 100]
    parts = sorted(scale['part'] for scale in scales.values())
    assert all(one[1] < other[0] for one, other in pairwise(parts))  # each has a place of its own
    assert parts[-1][1] == 1
    low, high = scales['y']['whole']
    share = (scales['y']['limits'][0] - low) / (high - low)
    assert share == pytest.approx(scales['y']['part'][0])


def test_a_logarithmic_axis_counts_what_it_leaves_out(told: Told) -> None:
    lines = line('a', [0, DAY, 2 * DAY, 3 * DAY], [10, 0, -3, 1000])
    given = {'panel': panel('line', show={'axis': 'log'}), 'answer': answer(lines), 'context': context()}
    left, y, scale = told(SCENE + 'return [made.left, made.lines[0].y, axes.scalesOf(made).y];', given)
    assert left == 2
    assert y == [10, None, None, 1000]
    assert 0 < scale['whole'][0] < 10 < 1000 < scale['whole'][1]


def test_a_bucket_that_is_not_whole_is_no_part_of_the_line_but_is_still_read(told: Told) -> None:
    values = line('a', [0, DAY, 2 * DAY], [5, 6, 2], columns={'until': [DAY, 2 * DAY, 3 * DAY]})
    values |= {'partial': {'2': '3 of 24 hours'}}
    body = SCENE + 'return made.lines.map((one) => [one.y, one.path ?? null, one.partial]);'
    given = {'answer': answer(values), 'context': context()}
    assert told(body, given | {'panel': panel('line')}) == [[[5, 6, 2], [5, 6, None], {'2': '3 of 24 hours'}]]
    assert told(body, given | {'panel': panel('bar')}) == [[[5, 6, 2], None, {'2': '3 of 24 hours'}]]


def test_a_band_below_zero_reaches_the_foot_of_a_logarithmic_axis(told: Told) -> None:
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


def test_words_at_marks_that_meet_stand_in_rows_of_their_own(told: Told) -> None:
    body = """const told = []; return [...given.words.map(([from, wide]) => scene.rowFor(told, from, wide, 8)),
        scene.lieFlat({ lines: given.lines })];"""
    plain = {'axis': 'left', 'y': [5e5]}
    lines = [plain, {'axis': 'left', 'y': [10], 'foretold': True}]
    words = [[5, 70], [30, 150], [60, 70], [90, 60], [300, 70], [40, 0]]
    assert told(body, {'words': words, 'lines': lines}) == [0, 1, 2, 0, 0, 0, False]
    assert told(body, {'words': [], 'lines': [*lines, {'axis': 'left', 'y': [10]}]}) == [True]


def test_lines_of_very_different_size_are_told_of_and_can_be_indexed(told: Told) -> None:
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


def test_an_earlier_period_is_indexed_by_its_own_first_value(told: Told) -> None:
    t = [0, DAY, 2 * DAY]
    then = line('a P1Y before', t, [50, 60, 80], role='before', of='a')
    given = {'answer': answer(line('a', t, [100, 120, 90]), then), 'context': context(compare='P1Y')}
    body = 'return made.lines.map((one) => [[...one.y], one.unit]);'
    shown = panel('line', measures=['load'], show={'axis': 'index'})
    assert told(SCENE + body, given | {'panel': shown}) == [[[100, 120, 90], 'MW'], [[100, 120, 160], 'MW']]


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
    body = """mount(Plot, {}, { size: () => ({ width: 100, height: 100 }) }).draw(made);
        const all = (one) => [one, ...(one.children ?? []).flatMap(all)];
        const picture = figure(given.panel, given.answer, given.context, { width: 400, height: 200, drawn: made });
        const edges = all(picture).filter(({ set }) => set?.d && set.fill === 'none' && !set['stroke-width']);
        return [paths, edges.map(({ set }) => set.d.match(/[ML]/g).join(''))];"""
    paths, pictured = told(SCENE + DRAWN + body, with_means('log', ([-40, -10], [-20, 10])))
    upper, lower = [[0, 'y2 -20'], [DAY, 'y2 10']], [[0, 'y2 -40'], [DAY, 'y2 -10']]
    assert paths[-3:] == [upper + lower[::-1], upper, lower]  # the ground of the band, and its edges
    assert pictured == ['ML'] * 4


def test_macd_of_several_series_has_their_colours(told: Told) -> None:
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


def test_more_lines_than_colours_tell_apart_are_drawn_thin(told: Told) -> None:
    lines = [line(f's{at}', [0, DAY], [1, 2]) for at in range(30)]
    given = {'panel': panel('line'), 'context': context(dataset={'series': 30})}
    body = SCENE + 'return [...new Set(made.lines.map((one) => `${one.width} ${one.dash}`))];'
    assert told(body, given | {'answer': answer(*lines)}) == ['1 ']
    assert told(body, given | {'answer': answer(*lines[:20])}) == ['1.5 ', '1.5 6,4', '1.5 2,3']


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


def test_words_of_a_threshold_stand_where_nothing_is_drawn(told: Told) -> None:
    """A peak or a note's line pushes them to the left; where all is taken they stand where they hide least."""
    body = """const drawn = given.map(([x, y]) => ({ t: Float64Array.from(x), y: Float64Array.from(y), axis: 'left' }));
    const scales = { y: { limits: [0, 100] } }, box = { left: 0, top: 0, width: 1000, height: 100 };
    return labels.freeSpot({ x: [0, 1000], lines: drawn, bands: [] }, scales,
        { box, x: (ms) => ms, y: (value) => 100 - value, at: 50, wide: 100, tall: 13 });"""
    low = [[0, 1000], [5, 5]]
    assert told(body, [low]) == {'left': 896, 'top': 54, 'hides': 0}
    noted = told(body.replace('bands: []', 'bands: [], notes: [{ at: 950 }]'), [low])
    assert (noted['top'], noted['hides']) == (54, 0)
    assert noted['left'] + 100 < 950
    peak = [[0, 800, 900, 1000], [5, 5, 90, 90]]
    found = told(body, [low, peak])
    assert found['hides'] == 0
    assert found['left'] < 800
    assert told(body, [[[0, 1000], [45, 45]]])['top'] == 50 - 3 - 13
    through = [[float(at) for at in range(0, 1001, 10)], [float(40 + at % 2 * 20) for at in range(101)]]
    assert told(body, [through])['hides'] > 0
