"""What Explore does with what is chosen."""

import json

from tests.ui.panels.given import EXPLORE, PAGE, Told, context, panel


def test_another_kind_of_chart_takes_the_measures_that_it_can_draw(told: Told) -> None:
    body = (
        PAGE
        + """
        const { fitted } = await import('./explore.js');
        return given.map(([next, before, query, dataset]) => fitted(next, before, query, dataset));"""
    )
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
        PAGE
        + """
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


def test_a_filter_is_read_by_its_sign(told: Told) -> None:
    body = (
        PAGE
        + """
        const { filterSaid } = await import('./explore.js');
        return given.map(([column, relation, ...values]) => filterSaid(request.filter(column, relation, ...values)));"""
    )
    assert told(body, [['load', 'gt', '100'], ['a~b', 'ne', 'x'], ['site', 'in', 'Oslo', 'Bergen']]) == [
        'load > 100', 'a~b ≠ x', 'site in Oslo, Bergen',
    ]  # fmt: skip


def test_series_found_for_an_older_text_do_not_replace_those_of_the_newer(told: Told) -> None:
    listed = told(
        PAGE
        + """
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
