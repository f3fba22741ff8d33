"""Forecasts in panels: their lines and bands, the steps that they take, what came."""

from typing import Any

import pytest

from tests.ui.panels.given import DAY, HOUR, SCENE, Told, answer, context, line, panel
from ui.pages.forecast_words import MODEL_NAMES


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


def test_several_models_of_a_forecast_and_the_bands_of_one(told: Told) -> None:
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


def test_the_range_reaches_to_the_end_of_a_forecast_unless_it_was_chosen(told: Told) -> None:
    values = answer(line('a', [0, DAY, 5 * DAY], [1, 2, 3])) | {'end': 5 * DAY}
    known = {'span': [0, 5 * DAY], 'step': DAY}
    ranges = [None, [3 * DAY, 6 * DAY - 1], [0, 4 * DAY], [0, 6.5 * DAY]]

    def of(range_: list[float] | None) -> float:
        given = {'answer': values, 'context': context(range=range_, dataset=known), 'forecast': foretold()}
        return float(told(SCENE + 'return made.x[1];', {'panel': panel('line'), **given}))

    assert [of(one) for one in ranges] == [7 * DAY, 7 * DAY, 4 * DAY, 6.5 * DAY]


def test_a_page_of_a_forecast_draws_what_came_what_was_before_and_what_stands_out(told: Told) -> None:
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


def test_models_are_called_as_on_other_pages(told: Told) -> None:
    names = [*MODEL_NAMES, 'my_model', 'constructor']
    assert told('return given.map(foretold.called);', names) == [*MODEL_NAMES.values(), 'my_model', 'constructor']


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


@pytest.mark.parametrize(('right', 'axis'), [(['wind'], 'right'), ([], 'left')])
def test_a_forecast_stands_on_the_axis_of_its_measure(told: Told, right: list[str], axis: str) -> None:
    lines = [line(name, [0, DAY], [1, 2], series='a') | {'measure': name} for name in ('load', 'wind')]
    given = {'panel': panel('line', measures=['load', 'wind'], show={'right': right}), 'answer': answer(*lines)}
    given |= {'context': context(), 'forecast': foretold(measure='wind')}
    body = (
        'const { name, axis, root } = made.lines.at(-1); return [name, axis, made.bands.map((one) => one.axis), root];'
    )
    assert told(SCENE + body, given) == ['wind, forecast', axis, [axis, axis], 1]


def test_the_key_counts_anomalies_of_the_window_among_all_of_them(told: Told) -> None:
    odd = [{'kind': 'anomaly', 't': at * DAY, 'y': 2, 'low': 0.5, 'high': 1.5} for at in (1, 2, 20)]
    given = {'panel': panel('line'), 'answer': answer(line('actual', [0, DAY], [1, 2]))}
    given |= {'forecast': foretold(notes=odd)}
    body = SCENE + 'return made.lines.at(-1).counted;'
    known = context(range=[0, 8 * DAY]) | {'foretold': True}
    assert told(body, given | {'context': known}) == '2 of 3'
    assert told(body, given | {'context': known | {'range': [0, 30 * DAY]}}) == '3'
