"""What panels ask for, and in what step."""

from tests.ui.panels.given import DAY, HOUR, SCENE, Told, answer, context, line, panel


def test_what_a_panel_asks(told: Told) -> None:
    body = 'return given.map(([panel, context]) => request.requestOf(panel, context, 500));'
    cases = [
        [panel('line', measures=['load']), context(range=[10.4, 20.6])],
        [panel('area', measures=['load'], show={'stacked': True}), context(zone='Europe/Berlin')],
        [panel('calendar', measures=['load']), context(zone='Europe/Berlin', every='PT1H')],
        [panel('line', measures=['load']), context(series={'site': ['a~b', 'c'], 'other': ['x']})],
        [panel('line', measures=['load']), context(dataset={'series': 370})],
        [panel('line', measures=['load'], show={'own': {'from': 1, 'to': 9}}), context(range=[10, 20], compare='P1W')],
        [panel('line', measures=['load'], group='site'), context(dataset={'series': 370, 'distinct': {'site': 12}})],
        [panel('bar', measures=['load']), context(dataset={'zone': 'Europe/Berlin'})],
        [panel('bar', measures=['load']), context(dataset={'zone': 'Europe/Berlin'}, zone='Europe/Berlin')],
    ]
    line_, stacked, calendar, chosen, many, own, grouped, elsewhere, there = told(body, cases)
    assert line_ == [*(['kind', 'line'], ['width', '500'], ['measures', 'load']), ['from', '10'], ['to', '21']]
    assert ['every', 'auto'] in stacked
    assert ['zone', 'Europe/Berlin'] in stacked
    assert ['every', 'P1D'] in calendar
    assert ['filters', 'site~in~a\\~b~c'] in chosen
    assert not [pair for pair in chosen if 'other' in pair[1]]
    assert ['top', '8'] in many
    assert [pair[1] for pair in own if pair[0] in ('from', 'to', 'compare')] == ['1', '9', 'P1W']
    assert 'top' not in dict(grouped)
    assert dict(elsewhere)['zone'] == 'UTC', 'without a zone the question is of that of the dataset'
    assert 'zone' not in dict(there)


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
    # A share of the first value begins at a value, not at a mean of some.
    assert not told(body, [panel('line', **load, show={'axis': 'index'}), hours, 800])[1]
    assert told(body, [panel('line', **load, series=['Oslo'], overlays=['mean~20']), hours, 800])[1]
    assert not told(body, [panel('line', **load), hours | {'range': [0, 30 * DAY]}, 800])[1]
    assert not told(body, [panel('area', **load, show={'stacked': True}), hours, 800])[1]
    known = line('a', [0, DAY], [2, 3], columns={'low': [1, 2], 'high': [4, 5]})
    given = {'panel': panel('line', **load), 'answer': answer(known) | {'exact': False}, 'context': context()}
    bands = 'return made.bands.map(({ name, lo, hi, told }) => [name, lo, hi, told ?? false, made.lines[0].averaged]);'
    assert told(SCENE + bands, given) == [['a', [1, 2], [4, 5], False, True]]
    assert told(SCENE + bands, given | {'answer': answer(known)}) == []


def test_the_shared_step_moves_every_panel_that_can_follow_it(told: Told) -> None:
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
