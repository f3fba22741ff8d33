"""An earlier period beside what is: which kinds ask for it, where it stands, what it tells."""

from tests.ui.panels.given import DAY, READ, SCENE, WEEK, Told, answer, context, line, ms, panel, weekly


def test_an_earlier_period_runs_through_the_middles_of_bars_and_is_named_by_how_far_back_it_lies(told: Told) -> None:
    t, columns = [0, DAY], {'until': [DAY, 2 * DAY]}
    before = line('a P1W before', t, [3, 4], role='before', of='a', columns=columns)
    given = {'panel': panel('bar'), 'answer': answer(line('a', t, [1, 2], columns=columns), before)}
    name, at = told(SCENE + 'return [made.lines[1].name, made.lines[1].t];', given | {'context': context()})
    assert name == 'a, 1 week before'
    assert at == [DAY / 2, 1.5 * DAY]


COMPARED = ('line', 'area', 'bar', 'calendar', 'figure', 'table')


ALONE = ('scatter', 'heat', 'histogram', 'box', 'candles')


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
