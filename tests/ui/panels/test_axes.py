"""Axes of panels: ticks on the clock of a zone, round numbers, powers."""

from tests.ui.panels.given import Told, ms


def test_ticks_of_a_day_that_lacks_an_hour_stand_on_the_clock(told: Told) -> None:
    given = [ms(2026, 3, 28, 23), ms(2026, 3, 29, 22)]  # 29 March in Berlin, which has 23 hours
    body = """const offset = axes.offsetOf('Europe/Berlin');
    return [3, 6, 1].map((hours) => axes.ticksBetween(...given, hours * 36e5,
        offset)[0].map((at) => look.tick(at, 'Europe/Berlin', hours * 36e5)));"""
    three, six, each = told(body, given)
    assert three == ['29 Mar', '03:00', '06:00', '09:00', '12:00', '15:00', '18:00', '21:00', '30 Mar']
    assert six == ['29 Mar', '06:00', '12:00', '18:00', '30 Mar']
    assert each[:4] == ['29 Mar', '01:00', '03:00', '04:00']


def test_ticks_of_a_day_with_an_hour_twice_count_it_twice(told: Told) -> None:
    given = [ms(2026, 10, 24, 22), ms(2026, 10, 25, 23)]
    body = """const offset = axes.offsetOf('Europe/Berlin');
    return [axes.ticksBetween(...given, 36e5, offset)[0].map((at) => look.tick(at, 'Europe/Berlin', 36e5)),
        axes.ticksBetween(...given, 6 * 36e5, offset)[0].map((at) => look.tick(at, 'Europe/Berlin', 216e5))];"""
    each, six = told(body, given)
    assert each[:5] == ['25 Oct', '01:00', '02:00', '02:00', '03:00']
    assert six == ['25 Oct', '06:00', '12:00', '18:00', '26 Oct']


def test_months_begin_in_the_zone_and_odd_offsets_are_kept(told: Told) -> None:
    body = """const of = (zone, least, from, to) => axes.ticksBetween(from, to, least,
        axes.offsetOf(zone))[0].map((at) => new Date(at).toISOString());
    return [of('America/New_York', 28 * 864e5, given[0], given[1]), of('Asia/Kathmandu', 36e5, given[0],
        given[0] + 2 * 36e5), of('nowhere', 864e5, given[0], given[0] + 864e5)];"""
    months, hours, nowhere = told(body, [ms(2026, 2, 15), ms(2026, 4, 15)])
    assert months == ['2026-03-01T05:00:00.000Z', '2026-04-01T04:00:00.000Z']
    assert hours == ['2026-02-15T00:15:00.000Z', '2026-02-15T01:15:00.000Z']
    assert nowhere == ['2026-02-15T00:00:00.000Z', '2026-02-16T00:00:00.000Z']


def test_years_before_the_common_era_and_far_ahead_have_ticks(told: Told) -> None:
    body = """return given.map(([from, to]) => axes.ticksBetween(from, to, (to - from) / 5,
        axes.offsetOf('Europe/Berlin'))[0].length);"""
    assert all(2 <= n <= 12 for n in told(body, [[-7e13, -6.9e13], [1e14, 1.01e14], [0, 5], [0, 9e12]]))


def test_bins_of_whole_numbers_are_marked_at_these(told: Told) -> None:
    body = 'return given.map((edges) => axes.binTicks(edges[0], edges.at(-1), 12, edges)[0]);'
    assert told(body, [[-0.5, 0.5, 1.5], [0, 0.5, 1]]) == [[0, 1], [at / 10 for at in range(11)]]


def test_round_numbers_and_powers(told: Told) -> None:
    body = """return [axes.ticks(0, 507, 5), axes.ticks(-0.3, 0.1, 4)[0], axes.ticks(5, 5, 4)[0],
        axes.logTicks(3, 80000, 5), axes.logTicks(2, 60, 9), axes.logTicks(1e-3, 1e9, 4)];"""
    plain, small, flat, powers, between, far = told(body)
    assert plain == [[0, 200, 400], 200]
    assert small == [-0.3, -0.2, -0.1, 0, 0.1]
    assert flat == [5]
    assert powers == [10, 100, 1000, 10000]
    assert between == [2, 5, 10, 20, 50]
    assert len(far) <= 5
