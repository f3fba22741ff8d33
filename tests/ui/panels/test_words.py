"""What figures and tables say."""

from tests.ui.panels.given import DAY, Told, line


def test_a_figure_is_of_the_last_whole_bucket_and_tells_what_there_is_of_the_next(told: Told) -> None:
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


def test_rows_without_a_value_come_last_either_way(told: Told) -> None:
    body = """return [true, false].map((down) => words.ordered([[1, 5], [2, null], [3, 7]], { at: 1,
        down }).map(([at]) => at));"""
    assert told(body) == [[3, 1, 2], [1, 3, 2]]


def test_a_change_of_sign_has_no_share(told: Told) -> None:
    body = 'return given.map((y) => words.figureOf({ columns: { t: [0, 1], y } }).change);'
    assert told(body, [[2, 3], [-2, -3], [-2, 3], [2, -3], [2, 0], [0, 2]]) == [50, -50, None, None, -100, None]
