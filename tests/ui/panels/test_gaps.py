"""Where lines are interrupted, and how long."""

from tests.ui.panels.given import DAY, HOUR, SCENE, Told, answer, context, line, ms, panel


def test_gaps_a_forecast_and_its_cutoff(told: Told) -> None:
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


def test_how_long_there_are_no_values_is_told_in_the_step_of_the_data(told: Told) -> None:
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


def test_weekends_of_prices_do_not_interrupt_a_line_and_longer_times_do(told: Told) -> None:
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


def test_words_of_gaps_stand_in_the_step_of_the_data_and_never_overlap(told: Told) -> None:
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
