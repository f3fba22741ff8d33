"""What the head of a panel says: units, buckets, what is left out."""

from tests.ui.panels.given import DAY, HOUR, READ, WEEK, Told, answer, context, line, ms, panel, weekly


def test_the_head_says_how_buckets_are_made(told: Told) -> None:
    stepped = line('a', [0, DAY, 2 * DAY], [1, 2, 3], columns={'until': [DAY, 2 * DAY, 3 * DAY]})
    body = 'return given.map(([panel, answer, context]) => scene.subtitle(panel, answer, context));'
    asked = ['p90', 'p1', 'p12', 'count', 'min', 'last']
    cases = [[panel('bar', measures=['load'], aggregation=how), answer(stepped), context()] for how in asked]
    assert [one.removeprefix('a, MW, ') for one in told(body, cases)] == [
        '90th percentile per day', '1st percentile per day', '12th percentile per day', 'count of values per day',
        'minimum per day', 'last value per day',
    ]  # fmt: skip


def test_what_is_left_out_is_said(told: Told) -> None:
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


def test_the_head_says_units_and_buckets(told: Told) -> None:
    t = [0, HOUR, 2 * HOUR]
    stepped = [line(name, t, [1, 2, 3], columns={'until': [HOUR, 2 * HOUR, 3 * HOUR]}) for name in 'ab']
    quarters = [ms(2026, month, 1) for month in (1, 4, 7, 10)]
    body = 'return given.map(([panel, answer, context]) => scene.subtitle(panel, answer, context));'
    cases = [
        [panel('line'), answer(*stepped), context()],
        [panel('bar', aggregation='sum'), answer(stepped[0]), context()],
        [panel('line'), answer(line('a', t, [1, 2, 3])), context(dataset={'series': 1})],
        [panel('bar'), answer(line('a', quarters[:3], [1, 2, 3], columns={'until': quarters[1:]})), context()],
    ]
    assert told(body, cases) == ['MW, mean per hour', 'a, MW, sum per hour', 'MW', 'a, MW, mean per quarter']


def test_the_head_says_that_lines_are_indexed_and_a_figure_says_its_period_once(told: Told) -> None:
    t = [0, DAY, 2 * DAY]
    stepped = line('a', t, [1, 2, 3], columns={'until': [DAY, 2 * DAY, 3 * DAY]})
    titled = panel('figure', measures=['load'], every='P1D', group='*') | {'title': 'Load per day'}
    body = 'return given.map(([panel, answer, context]) => scene.subtitle(panel, answer, context));'
    cases = [
        [panel('line', show={'axis': 'index'}), answer(line('a', t, [1, 2, 3])), context(dataset={'series': 1})],
        [titled, answer(stepped), context()],
        [titled | {'title': 'Load'}, answer(stepped), context()],
        [panel('figure', measures=['load'], group='*', across='mean'), answer(stepped), context()],
        [panel('figure', measures=['load'], group='*'), answer(stepped), context(dataset={'series': 1})],
    ]
    assert told(body, cases) == [
        'MW, indexed to 100',
        'sum of all series, MW',
        'sum of all series, MW, mean per day',
        'mean of all series, MW, mean per day',
        'a, MW, mean per day',
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
