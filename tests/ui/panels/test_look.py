"""How panels write numbers, moments, lengths and names."""

from tests.ui.panels.given import DAY, HOUR, Told, ms


def test_numbers_are_written_as_the_user_writes_them(told: Told) -> None:
    body = """const said = () => [look.number(1234567.5), look.number(-4.25), look.number(0.00012),
        look.number(NaN), look.short(461700), look.short(402000), look.short(1.274e6), look.signed(4.7, 0.1),
        look.written([0, 50000, 100000], 50000)];
    const english = said();
    look.writeNumbersWith('.', ',');
    const german = said();
    look.writeNumbersWith('\\u202f', ',');
    return [english, german, look.count(1234567)];"""
    english, german, french = told(body)
    assert english[:8] == ['1,234,568', '−4.25', '0.00012', '–', '461.7k', '402k', '1.27M', '+4.7']
    assert english[8] == ['0', '50k', '100k']
    assert german[:8] == ['1.234.568', '−4,25', '0,00012', '–', '461,7k', '402k', '1,27M', '+4,7']
    assert french == '1\u202f234\u202f567'


def test_moments_have_as_much_of_the_clock_as_their_step_needs(told: Told) -> None:
    body = """const of = ([step, at]) => look.instant(at, 'UTC', step);
        const berlin = (step, at) => look.instant(at, 'Europe/Berlin', step);
        return [...[[864e5, 0], [36e5, 36e5], [1000, 1500], [31 * 864e5, 0], [366 * 864e5, 0]].map(of),
        berlin(864e5, -36e5), berlin(36e5, given)];"""
    assert told(body, ms(2026, 7, 1, 12)) == [
        *('1 Jan 1970', '1 Jan 1970, 01:00', '1 Jan 1970, 00:00:01', 'Jan 1970', '1970'),
        *('1 Jan 1970', '1 Jul 2026, 14:00'),
    ]


def test_lengths_of_buckets_in_words(told: Told) -> None:
    body = 'return given.map((size) => look.per(size));'
    day = DAY
    sizes = [300_000, HOUR, 3 * HOUR, day, 23 * HOUR, 7 * day, 28 * day, 31 * day, 91 * day, 365 * day, 366 * day]
    words = ['5 min', 'hour', '3 h', 'day', 'day', 'week', 'month', 'month', '3 months', 'year', 'year']
    assert told(body, sizes) == words


def test_names_of_files_fit_file_systems_and_keep_their_endings(told: Told) -> None:
    given = [f'{letter * 300}.png' for letter in ('a', 'ä', '語', '🙂')] + ['語' * 300, 'a/b, v1.2, y.svg', '.png']
    names = told('return given.map((name) => look.fileName(name));', given)
    assert names[-2:] == ['a-b, v1.2, y.svg', '.png']
    for name, whole in zip(names[:-2], given[:-2], strict=True):
        assert 200 - 4 < len(name.encode()) <= 200
        assert whole.startswith(name.removesuffix('.png'))
        assert name.endswith('.png') == whole.endswith('.png')


def test_moments_out_of_reach_are_written_all_the_same(told: Told) -> None:
    latest, last, never = told("return [8.64e15, 1e300, NaN].map((ms) => look.moment(ms, 'UTC', 864e5));")
    assert latest == last == '13 Sep 275760, 00:00'
    assert never == '1 Jan 1970, 00:00'


def test_durations_are_read_alike_wherever_they_are_measured_and_written(told: Told) -> None:
    body = """return given.map((text) => [durations.parsed(text).months, durations.parsed(text).ms,
        durations.lengthOf(text), variables.written(text)]);"""
    year = 365.25 * DAY
    assert told(body, ['P1Y', 'P18M', 'P1DT2H30M', 'PT1M', 'P1M', 'P7D', 'P2W', 'nonsense']) == [
        [12, 0, year, '1 year'],
        [18, 0, 1.5 * year, '18 months'],
        [0, DAY + 2.5 * HOUR, DAY + 2.5 * HOUR, '1 day 2 hours 30 minutes'],
        [0, HOUR / 60, HOUR / 60, '1 minute'],
        [1, 0, year / 12, '1 month'],
        [0, 7 * DAY, 7 * DAY, '7 days'],
        [0, 14 * DAY, 14 * DAY, '2 weeks'],
        [0, 0, 0, 'nonsense'],
    ]


def test_long_names_keep_their_beginning_and_their_end(told: Told) -> None:
    name = 'Building 1 · Floor 4 · Air handling unit with heat recovery, sensor number 049'
    assert told('return [look.middle(given), look.middle(given, 12), look.middle("short")];', name) == [
        'Building 1 · Floor…sensor number 049',
        'Buildi…r 049',
        'short',
    ]


def test_very_large_and_very_small_numbers_are_written_without_idle_digits(told: Told) -> None:
    body = 'return given.map(([name, ...told]) => look[name](...told));'
    assert told(body, [
        ['number', 8e-10, 1e-10], ['number', 1.25e-9, 5e-11], ['number', 0, 1e-10], ['number', -1.2346e-9],
        ['number', 1.071e15], ['number', 1.5e16], ['short', 1.0714e15], ['short', -2.5e18],
        ['written', [0, 2e-10, 1e-9], 2e-10], ['written', [9e17, 1e18], 1e17],
    ]) == [
        '8e−10', '1.25e−9', '0', '−1.235e−9',
        '1,071,000,000,000,000', '1.5e16', '1,071.4T', '−2.5e18',
        ['0', '2e−10', '1e−9'], ['9e17', '1e18'],
    ]  # fmt: skip


def test_names_beside_one_another_are_cut_to_as_many_letters_each(told: Told) -> None:
    body = 'return given.map((names) => look.alike(names, ({ length }) => length <= 7));'
    names = [f'NN5_NN5-{at:03}' for at in (68, 1, 34)]
    # A narrow digit gives no name more room than its neighbours have.
    narrow = "return look.alike(given, (name) => name.replaceAll('1', '').length <= 7);"
    assert told(body, [names, ['Oslo', 'Rome'], []]) == [['NN5…068', 'NN5…001', 'NN5…034'], ['Oslo', 'Rome'], []]
    assert len({len(name) for name in told(narrow, names)}) == 1


def test_long_names_that_begin_and_end_alike_are_told_by_what_differs(told: Told) -> None:
    body = 'return given.map((names) => look.apart(names, 24));'
    rooms = [f'The northern part of the building, room {at}, on the second floor' for at in (1, 2, 12)]
    short, differ, same = told(body, [['Oslo', 'Rome'], ['a' * 40, 'b' * 40], rooms])
    assert short == ['Oslo', 'Rome']
    assert differ == ['a' * 12 + '…' + 'a' * 11, 'b' * 12 + '…' + 'b' * 11]
    assert same == ['…room 1,…', '…room 2,…', '…room 12,…']
