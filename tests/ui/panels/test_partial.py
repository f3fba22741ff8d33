"""Buckets that are not whole."""

from itertools import pairwise
from typing import Any

from tests.ui.panels.given import DAY, HOUR, Told, answer, buckets, ms

PARTIAL = """
const numbers = (values) => Float64Array.from(values, (value) => value ?? NaN);
const found = given.map(([answer, how]) => {
    for (const one of answer.lines) for (const [name, values] of Object.entries(one.columns)) one.columns[name] =
        numbers(values);
    partial.markPartial(answer, how);
    return answer.lines.map((one) => one.partial ?? null);
});
return found;"""


def test_the_first_and_the_last_bucket_tell_how_much_of_them_there_is(told: Told) -> None:
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
        # Less than one of them is told in shorter ones, and of several none by tenths.
        [
            of([0, DAY, 2 * DAY, 3 * DAY], [288, 288, 2], 0, 2 * DAY + 300_000),
            {'every': 'P1D', 'zone': 'UTC', 'step': 300_000},
        ],
        [
            of([ms(year, 1, 1) for year in range(2024, 2028)], [365, 365, 124], ms(2024, 1, 1), ms(2026, 5, 4)),
            {'every': 'P1Y', 'step': DAY},
        ],
    ]  # fmt: skip
    assert told(PARTIAL, cases) == [
        [{'0': '5 of 7 days', '3': '3 of 7 days'}],
        [None],
        [None],
        [{'0': '12 of 31 days', '4': '10 of 31 days'}],
        [None],
        [{'2': '9 of 12 months'}],
        [None],
        [{'2': '10 minutes of 24 hours'}],
        [{'2': '4 of 12 months'}],
    ]


def test_where_weeks_hold_any_number_of_values_the_days_tell_whether_the_last_one_is_over(told: Told) -> None:
    """Bookings come as they come: a week of which two days are there may hold as many as others."""
    weeks = [ms(2026, 1, 5) + 7 * DAY * n for n in range(13)]

    def of(n: list[int]) -> Any:
        given = answer(buckets(weeks, n)) | {'span': [weeks[0], weeks[-2] + DAY]}
        return told(PARTIAL, [[given, {'every': 'P1W', 'zone': 'UTC', 'step': DAY}]])

    assert of([3, 1, 5, 4, 2, 6, 3, 1, 4, 2, 5, 4]) == [[{'11': '2 of 7 days'}]]
    assert of([5] * 12) == [[None]]


def test_a_bucket_that_the_range_cuts_is_cut_for_all_lines_of_a_stack(told: Told) -> None:
    months = [ms(2026, month, 1) for month in range(1, 6)]
    stack = answer(buckets(months, [5, 5, 5, 5]), buckets(months, [5, 5, 5, 3]))
    cut = stack | {'span': [ms(2026, 1, 1), ms(2026, 4, 26)]}
    assert told(PARTIAL, [[cut, {'every': 'P1M', 'zone': 'UTC', 'step': DAY}]]) == [[{'3': '26 of 30 days'}] * 2]


def test_buckets_with_gaps_tell_how_much_of_them_there_is(told: Told) -> None:
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


def test_buckets_lie_on_the_calendar_of_their_zone(told: Told) -> None:
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
