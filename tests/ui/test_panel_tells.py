"""What panels tell: an earlier period, what their points are made of, which series are drawn, where words stand.

The modules run by the Node that comes with Playwright.
"""

from typing import Any

import pytest

from tests.ui import test_panel_modules as modules
from tests.ui.test_panel_modules import DAY, HOUR, SCENE, Told, answer, context, line, ms, panel

told = modules.told
WEEK = 7 * DAY
COMPARED = ('line', 'area', 'bar', 'calendar', 'figure', 'table')
ALONE = ('scatter', 'heat', 'histogram', 'box', 'candles')
READ = """
const numbers = (values) => Float64Array.from(values, (value) => value ?? NaN);
for (const one of given.answer.lines) for (const [name,
        values] of Object.entries(one.columns)) one.columns[name] = numbers(values);
"""
EXPLORE = """
globalThis.CSSStyleSheet = class { replaceSync() {} };
globalThis.document = { adoptedStyleSheets: [] };
const explore = await import('./explore.js');
"""


def weekly(values: list[float | None], *, name: str = 'a', at: float = 0, back: str = '') -> dict[str, Any]:
    """Weeks from a Monday on, or what was `back` before them, whose weeks begin `at` days aside."""
    t = [ms(2026, 1, 5) + at * DAY + n * WEEK for n in range(len(values))]
    columns = {'until': [one + WEEK for one in t], 'n': [7] * len(t)}
    more = {'role': 'before', 'of': name} if back else {}
    return line(f'{name} {back} before' if back else name, t, values, columns=columns, **more)


def test_every_kind_that_has_a_place_for_it_asks_for_an_earlier_period(told: Told) -> None:
    body = """return given.map(([panel, context]) => Object.fromEntries(request.requestOf(panel, context,
        500)).compare ?? '');"""
    year = context(compare='P1Y')
    stacked = [panel(kind, measures=['load'], show={'stacked': True}) for kind in ('bar', 'area')]
    kinds = [panel(kind, measures=['load']) for kind in (*COMPARED, *ALONE)]
    own = panel('figure', measures=['load'], compare='P1W')
    asked = told(body, [[one, year] for one in (*stacked, *kinds, own)])
    assert asked == ['P1Y'] * (2 + len(COMPARED)) + [''] * len(ALONE) + ['P1W']


def test_a_kind_that_cannot_show_an_earlier_period_says_so(told: Told) -> None:
    body = 'return given.map(([panel, answer, context, step]) => earlier.notCompared(panel, answer, context, step));'
    known = answer(weekly([1, 2]), weekly([3, 4], back='P1Y'))
    hollow = answer(weekly([1, 2]), weekly([None, None], back='P1Y') | {'n': 0})
    year, day = context(compare='P1Y'), context(compare='P1D')
    for kind in ALONE:
        (said,) = told(body, [[panel(kind, measures=['load', 'wind']), known, year, 0]])
        assert 'has no place for an earlier period' in said
    fine, unasked, near, none = told(
        body,
        [
            [panel('figure', measures=['load']), known, year, WEEK],
            [panel('heat', measures=['load']), known, context(), 0],
            [panel('figure', measures=['load']), known, day, WEEK],
            [panel('figure', measures=['load']), hollow, year, WEEK],
        ],
    )
    assert (fine, unasked) == ('', '')
    assert near.startswith('1 day is less than a step of what is drawn here')
    assert none == 'There are no values from the year before'


def test_a_bucket_stands_beside_the_earlier_one_in_which_its_middle_lies(told: Told) -> None:
    """Weeks of a year before begin a day later; half a week is not laid beside a whole one."""
    now, then = weekly([1, 2, 3]), weekly([10, 20, 30], at=1, back='P1Y')
    then['columns']['until'][2] -= 4 * DAY
    body = READ + 'return [...earlier.matched(given.answer.lines[0], given.answer.lines[1])];'
    assert told(body, {'answer': answer(now, then)}) == [10, 20, None]
    assert told(body.replace('given.answer.lines[1])', 'undefined)'), {'answer': answer(now)}) == [None] * 3
    now['partial'] = {'2': '3 of 7 days'}
    assert told(body, {'answer': answer(now, then)}) == [10, 20, 30]


def test_an_earlier_bucket_in_which_the_data_begin_is_laid_beside_none(told: Told) -> None:
    """Data from a Thursday on: the first week of the year before holds four days of seven."""
    now, then = weekly([1, 2]), weekly([10, 20], at=1, back='P1Y')
    body = READ + """return earlier.withoutBegun(given.answer, 'P1Y', { zone: 'UTC', step: 864e5 }).lines
        .map((one) => [...one.columns.y]);"""  # fmt: skip
    begun = answer(now, then) | {'start': ms(2026, 1, 5), 'span': [ms(2025, 1, 9), ms(2026, 1, 18)]}
    assert told(body, {'answer': begun}) == [[1, 2], [None, 20]]
    assert told(body, {'answer': begun | {'span': [ms(2025, 1, 6), ms(2026, 1, 18)]}}) == [[1, 2], [10, 20]]


def test_a_figure_tells_its_change_against_the_period_in_percent_and_by_how_much(told: Told) -> None:
    body = READ + """const [value, before] = given.answer.lines, found = earlier.against(given.panel, given.answer,
        given.context, 7 * 864e5), said = words.figureOf(value, found?.(value));
        return [said.value, said.then, words.changeOf(said)];"""  # fmt: skip
    given = {'answer': answer(weekly([100, 90]), weekly([80, 120], back='P1Y')), 'context': context(compare='P1Y')}
    assert told(body, given | {'panel': panel('figure', measures=['load'])}) == [90, 120, '↓ −25.0%, −30']
    given['answer'] = answer(weekly([100, 90]), weekly([80, None], back='P1Y'))
    assert told(body, given | {'panel': panel('figure', measures=['load'])}) == [90, None, '']
    unasked = given | {'context': context(), 'panel': panel('figure', measures=['load'])}
    assert told(body.replace('said.then', 'said.then ?? 0'), unasked) == [90, 0, '↓ −10.0%']


def test_a_table_lists_what_was_a_period_before_beside_what_is(told: Told) -> None:
    body = READ + 'return words.tabular(given.answer, given.panel, given.context);'
    both = answer(weekly([1, 2]), weekly([10, None], back='P1Y'))
    found = told(body, {'answer': both, 'panel': panel('table', measures=['load']), 'context': context(compare='P1Y')})
    assert [one['name'] for one in found['columns']] == ['Time', 'a', 'Year before']
    assert [row[1:] for row in found['rows']] == [[1, 10], [2, None]]
    plain = told(body, {'answer': answer(weekly([1, 2])), 'panel': panel('table'), 'context': context()})
    assert [row[1:] for row in plain['rows']] == [[1], [2]]


def test_bars_bear_a_mark_where_the_earlier_period_was_and_stacks_one_at_their_sum(told: Told) -> None:
    lines = [weekly([1, 2], name='a'), weekly([3, 4], name='b')]
    befores = [weekly([5, None], name='a', back='P1Y'), weekly([7, None], name='b', back='P1Y')]
    given = {'answer': answer(*lines, *befores), 'context': context(compare='P1Y', range=[0, 0])}
    given['context']['range'] = [ms(2026, 1, 5), ms(2026, 1, 19)]
    body = SCENE.rpartition('const made')[0] + """
        const made = scene.scene(given.panel, given.answer, given.context, { wide: given.wide });
        return made.lines.filter((one) => one.earlier)
            .map((one) => [one.name, one.fill ?? '', one.slot ?? null, one.y]);"""  # fmt: skip
    beside = told(body, given | {'panel': panel('bar', measures=['load']), 'wide': 800})
    assert beside == [['a, 1 year before', 'ticks', 0, [5, None]], ['b, 1 year before', 'ticks', 1, [7, None]]]
    stacked = panel('bar', measures=['load'], show={'stacked': True})
    assert told(body, given | {'panel': stacked, 'wide': 800}) == [['total, 1 year before', 'ticks', 0, [12, None]]]
    # Where bars are a few pixels wide a line says the same.
    thin = told(body, given | {'panel': panel('bar', measures=['load']), 'wide': 16})
    assert [one[1] for one in thin] == ['', '']
    near = given | {'context': context(compare='P1D'), 'panel': panel('bar', measures=['load']), 'wide': 800}
    assert told(body, near) == []


def test_a_calendar_says_that_it_draws_the_change(told: Told) -> None:
    days = [ms(2026, 1, at) for at in (1, 2)]
    columns = {'until': [one + DAY for one in days]}
    then = line('a P1Y before', days, [1, 1], role='before', of='a', columns=columns)
    given = {'answer': answer(line('a', days, [3, 4], columns=columns), then), 'panel': panel('calendar')}
    body = READ + 'return scene.subtitle(given.panel, given.answer, given.context);'
    assert told(body, given | {'context': context(compare='P1Y')}).endswith('change against the year before')
    assert 'change' not in told(body, given | {'context': context()})


@pytest.mark.parametrize(('right', 'axis'), [(['wind'], 'right'), ([], 'left')])
def test_a_forecast_stands_on_the_axis_of_its_measure(told: Told, right: list[str], axis: str) -> None:
    lines = [line(name, [0, DAY], [1, 2], series='a') | {'measure': name} for name in ('load', 'wind')]
    given = {'panel': panel('line', measures=['load', 'wind'], show={'right': right}), 'answer': answer(*lines)}
    given |= {'context': context(), 'forecast': modules.foretold(measure='wind')}
    body = (
        'const { name, axis, root } = made.lines.at(-1); return [name, axis, made.bands.map((one) => one.axis), root];'
    )
    assert told(SCENE + body, given) == ['wind, forecast', axis, [axis, axis], 1]


def test_the_key_counts_anomalies_of_the_window_among_all_of_them(told: Told) -> None:
    odd = [{'kind': 'anomaly', 't': at * DAY, 'y': 2, 'low': 0.5, 'high': 1.5} for at in (1, 2, 20)]
    given = {'panel': panel('line'), 'answer': answer(line('actual', [0, DAY], [1, 2]))}
    given |= {'forecast': modules.foretold(notes=odd)}
    body = SCENE + 'return made.lines.at(-1).counted;'
    known = context(range=[0, 8 * DAY]) | {'foretold': True}
    assert told(body, given | {'context': known}) == '2 of 3'
    assert told(body, given | {'context': known | {'range': [0, 30 * DAY]}}) == '3'


def test_words_of_a_threshold_stand_where_nothing_is_drawn(told: Told) -> None:
    """A peak at the right pushes them to the left; where all is taken they stand where they hide least."""
    body = """const drawn = given.map(([x, y]) => ({ t: Float64Array.from(x), y: Float64Array.from(y), axis: 'left' }));
    const scales = { y: { limits: [0, 100] } }, box = { left: 0, top: 0, width: 1000, height: 100 };
    return labels.freeSpot({ x: [0, 1000], lines: drawn, bands: [] }, scales,
        { box, x: (ms) => ms, y: (value) => 100 - value, at: 50, wide: 100, tall: 13 });"""
    low = [[0, 1000], [5, 5]]
    assert told(body, [low]) == {'left': 896, 'top': 54, 'hides': 0}
    peak = [[0, 800, 900, 1000], [5, 5, 90, 90]]
    found = told(body, [low, peak])
    assert found['hides'] == 0
    assert found['left'] < 800
    assert told(body, [[[0, 1000], [45, 45]]])['top'] == 50 - 3 - 13
    through = [[float(at) for at in range(0, 1001, 10)], [float(40 + at % 2 * 20) for at in range(101)]]
    assert told(body, [through])['hides'] > 0


def test_explore_says_which_series_are_drawn_where_none_is_chosen(told: Told) -> None:
    body = 'return given.map(([panel, context]) => request.drawnOf(panel, context));'
    few, many = context(dataset={'series': 12}), context(dataset={'series': 200})
    load = {'measures': ['load']}
    assert told(body, [
        [panel('line', **load), few],
        [panel('line', **load), many],
        [panel('line', **load, top=3), few],
        [panel('line', **load, group='*'), few],
        [panel('line', **load, group='site'), few],
    ]) == [
        'All 12 series',
        'Top 8 of 200 series',
        'Top 3 of 12 series',
        'All 12 series, as one',
        'All 12 series, by site',
    ]  # fmt: skip


def test_the_first_ticked_series_stands_alone_and_all_of_them_come_back(told: Told) -> None:
    body = EXPLORE + """
        const { methods } = explore.default, page = { ...methods, draw() {}, change(act) { act(); },
            known: { d: { series: 12 } },
            variables: {},
            panelSpec: { dataset: 'd', kind: 'line', query: { measures: ['load'], top: 8 } } };
        const seen = [];
        for (const name of ['Oslo', 'Rome', '']) {
            if (name) page.toggle('series', name);
            else page.everySeries();
            seen.push({ ...page.panelSpec.query });
        }
        return seen;"""  # fmt: skip
    assert told(body) == [
        {'measures': ['load'], 'series': ['Oslo']},
        {'measures': ['load'], 'series': ['Oslo', 'Rome']},
        {'measures': ['load'], 'top': 8},
    ]


def test_what_is_no_count_is_averaged_and_what_was_chosen_stays(told: Told) -> None:
    body = EXPLORE + """
        return given.map(([query, measures]) => explore.default.methods.aggregated.call({
            panelSpec: { dataset: 'd', query }, known: { d: { summed: ['sold'] } } }, measures));"""  # fmt: skip
    assert told(body, [
        [{'measures': ['sold'], 'aggregation': 'sum'}, ['sold', 'price']],
        [{'measures': ['price']}, ['sold']],
        [{'measures': ['sold'], 'aggregation': 'max'}, ['price']],
        [{'measures': ['sold']}, ['price']],
    ]) == [{'aggregation': ''}, {'aggregation': 'sum'}, {}, {}]  # fmt: skip
    turned = (
        EXPLORE + 'return given.map((query) => explore.fitted("scatter", "line", query, { summed: ["sold", "seen"] }));'
    )
    sums = {'aggregation': 'sum'}
    assert told(turned, [{'measures': ['sold', 'price'], **sums}, {'measures': ['sold', 'seen'], **sums}]) == [
        {'measures': ['sold', 'price']},
        {'measures': ['sold', 'seen'], **sums},
    ]


def test_a_scatter_has_a_point_a_value_where_they_are_not_too_many_and_says_so_where_they_are(told: Told) -> None:
    body = READ + """return [scene.behind(scene.valuesOf(given.answer)),
        scene.subtitle(given.panel, given.answer, given.context)];"""  # fmt: skip
    both = panel('scatter', measures=['load', 'wind'])
    given = {'panel': both, 'answer': answer(weekly([1, 2])), 'context': context()}
    assert told(body, given) == [{'n': 7, 'step': WEEK}, 'a, MW, mean per week']
    hours = line('a', [0, HOUR], [1, 2], columns={'until': [HOUR, 2 * HOUR], 'n': [1, 1]})
    assert told(body, given | {'answer': answer(hours)}) == [{'n': 1, 'step': HOUR}, 'a, MW, a point per hour']
    wide = 'return given.map(([panel, context]) => scene.scattered(panel, context));'
    one, many = context(dataset={'series': 1}), context(dataset={'series': 12})
    table = panel('table', measures=['load'])
    assert told(wide, [[both, one], [both, many], [table, one], [table, many]]) == [10_000, 4 * 333, 10_000, 4 * 333]


def test_long_names_that_begin_and_end_alike_are_told_by_what_differs(told: Told) -> None:
    body = 'return given.map((names) => look.apart(names, 24));'
    rooms = [f'The northern part of the building, room {at}, on the second floor' for at in (1, 2, 12)]
    short, differ, same = told(body, [['Oslo', 'Rome'], ['a' * 40, 'b' * 40], rooms])
    assert short == ['Oslo', 'Rome']
    assert differ == ['a' * 12 + '…' + 'a' * 11, 'b' * 12 + '…' + 'b' * 11]
    assert same == ['…room 1,…', '…room 2,…', '…room 12,…']
