"""The form for a forecast as its address holds it."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest

from core.analysis.ahead import Ahead
from core.analysis.forecasting import Request, backtest
from core.ask import Ask, defaults, in_steps, windows_of
from core.ask import reach as reach_of
from core.ask import room as room_of
from core.countries import COUNTRIES
from core.values import Forecast, JobState, Version
from tests.ui.made_up import LABELS, manifest
from tests.unit.analysis.forecasting.frames import frame, wave
from ui.pages.forecast_choices import Choices, of_target, problems, reach, read, remarks, room, start, write
from ui.pages.forecast_choices import again as choices_of
from ui.pages.forecast_words import takes

FULL = Choices(
    target='price',
    h=24,
    step='QS',
    aggregate='sum',
    series=('Store 03', 'Store 01'),
    regressors=('sales', 'visitors'),
    static=('region',),
    holidays='DE',
    models=('prophet', 'theta'),
    levels=(50, 90),
    windows=5,
    budget=10,
    seasonality='multiplicative',
    changes=0.2,
    name='Plan B & more',
)


@pytest.fixture
def version() -> Version:
    return Version(
        id=uuid4(),
        dataset_id=uuid4(),
        user_id=uuid4(),
        number=1,
        prefix='p',
        manifest=manifest(),
        rows=2880,
        upload_id=uuid4(),
        created_at=datetime.now(UTC),
    )


def again(choices: Choices, version: Version) -> Choices:
    address = write(choices, version, dataset='d')
    return read(parse_qs(urlsplit(address).query, keep_blank_values=True), version)


def test_every_choice_survives_a_reload(version: Version) -> None:
    assert again(FULL, version) == FULL


def test_an_untouched_form_has_a_short_address(version: Version) -> None:
    assert write(start(version), version, dataset='d') == '/forecasts/new?dataset=d'
    assert again(start(version), version) == start(version)


def measures(version: Version, *names: str, **about: Mapping[str, Any]) -> Version:
    """The version with these measures, and what its profile says of them."""
    columns = [{'name': name, 'role': 'measure', **about.get(name, {})} for name in names]
    return replace(version, manifest={**version.manifest, 'measures': list(names), 'columns': columns})


FULL_LINE = [1.0, 1.0, 1.0, 1.0]
LIKELIEST = [
    (('sales', 'price'), {}, 'sales'),
    (('unit_price', 'holiday', 'sold'), {}, 'sold'),
    (('price',), {}, 'price'),
    (('open', 'sold'), {'open': {'distinct': 2}}, 'sold'),
    (('shops', 'sold'), {'shops': {'distinct': 1}}, 'sold'),
    (('open', 'closed'), {'open': {'distinct': 2}, 'closed': {'distinct': 2}}, 'open'),
    (('days_open', 'weekly_sum'), {}, 'days_open'),
    (('load', 'price'), {'load': {'sparkline': FULL_LINE}, 'price': {'sparkline': [*FULL_LINE[1:], None]}}, 'price'),
    (('load', 'wind'), {'load': {'sparkline': [None, 1.0]}, 'wind': {'sparkline': [1.0, 1.0]}}, 'load'),
    (('rate', 'old'), {'rate': {'sparkline': FULL_LINE}, 'old': {'sparkline': [1.0, 1.0, None, None]}}, 'rate'),
    (('old',), {'old': {'sparkline': [1.0, None, None, None]}}, 'old'),
]


@pytest.mark.parametrize(('names', 'about', 'target'), LIKELIEST)
def test_what_is_forecast_at_first_is_no_circumstance(
    version: Version, names: tuple[str, ...], about: dict[str, Any], target: str
) -> None:
    assert start(measures(version, *names, **about)).target == target


SAMPLED = [
    ('5min', 300, 288, '288 steps of 5 minutes'),
    ('15min', 900, 96, '96 steps of 15 minutes'),
    ('min', 60, 288, '288 minutes'),
    ('30min', 1800, 48, '48 steps of 30 minutes'),
    ('h', 3600, 48, '48 hours'),
    ('B', 86_400, 20, '20 business days'),
    ('D', 86_400, 28, '28 days'),
    ('W-SUN', 604_800, 13, '13 weeks'),
    ('MS', 2_678_400, 12, '12 months'),
    ('QS-FEB', 7_948_800, 8, '8 quarters'),
    ('YE', 31_536_000, 5, '5 years'),
    (None, None, 48, '48 steps'),
]


@pytest.mark.parametrize(('freq', 'seconds', 'h', 'said'), SAMPLED)
def test_a_horizon_fits_the_step_and_is_said_in_its_unit(
    version: Version, freq: str | None, seconds: float | None, h: int, said: str
) -> None:
    time = {**version.manifest['time'], 'freq': freq, 'step_seconds': seconds}
    asked = defaults(replace(version, rows=30 * 5000, manifest={**version.manifest, 'time': time}))
    assert (asked.h, in_steps(asked.h, freq)) == (h, said)


def test_one_step_is_one() -> None:
    assert (in_steps(1, 'W-SUN'), in_steps(1, None), in_steps(1, '2h')) == ('1 week', '1 step', '1 step of 2 hours')


def test_a_column_that_is_to_help_is_not_forecast_at_first(version: Version) -> None:
    several = measures(version, 'plan', 'sales', 'visitors')
    read_again = read({'regressors': ['plan', 'sales']}, several)
    assert (read_again.target, read_again.regressors) == ('visitors', ('plan', 'sales'))
    assert again(read_again, several) == read_again
    assert read({'regressors': ['plan', 'sales', 'visitors']}, several).regressors == ('sales', 'visitors')


def test_no_model_and_an_empty_horizon_survive_too(version: Version) -> None:
    bare = replace(start(version), models=(), levels=(), h=None)
    assert again(bare, version) == bare


def test_what_does_not_fit_the_data_is_left_out(version: Version) -> None:
    query = {
        'target': ['nothing'],
        'regressors': ['price', 'sales', 'region'],
        'static': ['region', 'sales'],
        'models': ['theta', 'crystal_ball'],
        'holidays': ['ZZ'],
        'step': ['fortnight'],
        'levels': ['80', '200'],
        'h': ['many'],
    }
    found = read(query, version)
    assert (found.target, found.regressors) == ('visitors', ('price', 'sales'))
    assert (found.static, found.models, found.holidays) == (('region',), ('theta',), None)
    assert (found.step, found.levels, found.h) == (None, (80,), None)


def test_a_form_says_what_to_mend(version: Version) -> None:
    ahead = {'price': Ahead(steps=12, series=30, of=30), 'visitors': Ahead(steps=0, series=0, of=30)}
    fine = replace(start(version), regressors=('price',))
    assert problems(fine, ahead) == {}
    wrong = replace(
        fine, h=0, models=(), levels=(), windows=99, budget=0, changes=0.0, regressors=('price', 'visitors')
    )
    found = problems(wrong, ahead)
    assert set(found) == {'h', 'models', 'levels', 'windows', 'budget', 'changes', 'regressors'}
    assert found['regressors'].startswith('visitors has no values after the last sales.')


@pytest.mark.parametrize('text', ['NaN', 'inf', '-Infinity', '1e999', '9' * 400])
def test_no_number_of_an_address_is_beyond_a_field(version: Version, text: str) -> None:
    chosen = read({'changes': [text]}, version)
    assert chosen.changes is None
    assert 'changes' in problems(chosen, {})


def test_some_series_never_become_all(version: Version) -> None:
    found = read({'series': ['Store 02', 'Store 99', 'Store 02']}, version)
    assert found.series == ('Store 02', 'Store 99')
    assert problems(found, {}, labels=LABELS)['series'].startswith('There is no series Store 99.')
    assert problems(found, {}) == {}, 'the first labels alone do not tell which there are'


def test_any_level_is_kept(version: Version) -> None:
    found = read({'levels': ['0', '99', '66', '100', '80', '1']}, version)
    assert found.levels == (1, 66, 80, 99)
    assert again(found, version) == found


def issued(request: Mapping[str, Any], name: str = 'sales, 12 steps') -> Forecast:
    return Forecast(
        id=uuid4(),
        user_id=uuid4(),
        dataset_id=uuid4(),
        version_id=uuid4(),
        version=1,
        dataset_name='Stores',
        name=name,
        request=request,
        result=None,
        job_id=None,
        state=JobState.SUCCEEDED,
        created_at=datetime.now(UTC),
        issued_at=None,
    )


def back(forecast: Forecast, version: Version) -> Choices:
    """The form that a forecast's link leads to."""
    address = write(choices_of(forecast), dataset='d')
    return read(parse_qs(urlsplit(address).query, keep_blank_values=True), version)


def test_another_forecast_begins_with_what_this_one_was_asked(version: Version) -> None:
    assert back(issued(FULL.ask().to_json(), FULL.name), version) == FULL
    assert back(issued(replace(FULL.ask(), budget=61.0).to_json(), FULL.name), version).budget == 2
    untouched = start(version)
    for made in ('sales, 12 steps', 'sales, 12 months', 'sales, 12 steps of 5 minutes'):
        assert back(issued(untouched.ask().to_json(), made), version) == untouched, 'a name that was made is made again'
    for own in ('sales, 12 steps to heaven', 'sales, 13 steps'):
        assert back(issued(untouched.ask().to_json(), own), version).name == own
    changed = replace(FULL.ask(), changes={'visitors': {'how': 'set', 'value': 1}}, base=uuid4())
    assert back(issued(changed.to_json(), 'Plan B, changed'), version).name == ''
    old = {'target': 'sales', 'h': 12, 'series': [], 'models': ['auto'], 'levels': [95], 'step': None}
    assert back(issued(old), version) == replace(untouched, levels=(95,))


def test_a_request_holds_what_was_chosen() -> None:
    ask = FULL.ask()
    assert (ask.target, ask.h, ask.step, ask.aggregate) == ('price', 24, 'QS', 'sum')
    assert (ask.regressors, ask.static, ask.holidays) == (('sales', 'visitors'), ('region',), 'DE')
    assert (ask.windows, ask.budget) == (5, 600.0)
    assert ask.options == {'prophet': {'seasonality_mode': 'multiplicative', 'changepoint_prior_scale': 0.2}}
    assert replace(FULL, models=('theta',)).ask().options == {}


def test_countries_are_those_whose_holidays_are_known() -> None:
    from holidays.registry import COUNTRIES as KNOWN

    assert set(COUNTRIES) == {entry[1] for entry in KNOWN.values()}
    assert COUNTRIES['DE'] == 'Germany'


def test_the_form_says_what_is_odd_about_the_rows(version: Version) -> None:
    usual = Choices(target='sales', h=12)
    assert remarks(version, usual) == []
    told = manifest()
    told['columns'] = [{**one, 'distinct': 1} if one['name'] == 'sales' else one for one in told['columns']]
    told['time']['freq'] = None
    never, uneven, short = remarks(replace(version, manifest=told, rows=30 * 20), usual)
    assert never == 'sales never changes: its value goes on, in bands of no width.'
    assert 'choose what each step is' in uneven
    assert 'too short to measure' in short
    assert remarks(replace(version, manifest=told), replace(usual, target='price', step='MS')) == []


def test_the_form_says_when_no_model_heeds_what_it_is_told(version: Version) -> None:
    asked = replace(start(version), regressors=('price',), holidays='DE', models=('theta', 'ets'))
    assert remarks(version, asked) == [
        'Theta and ETS heed no numbers known ahead: add Auto, Prophet, LightGBM or Linear.',
        'Theta and ETS heed no holidays: add Auto, Prophet, LightGBM or Linear.',
    ]
    assert remarks(version, replace(asked, models=('arima',))) == [
        'ARIMA heeds no holidays: add Auto, Prophet, LightGBM or Linear.'
    ]
    assert remarks(version, replace(asked, models=('theta', 'linear'))) == []


@pytest.mark.parametrize(('size', 'found'), [(96, 3), (90, 3), (45, 2), (39, 1), (28, 1), (27, 0), (12, 0)])
def test_the_form_knows_how_many_past_cutoffs_there_is_room_for(version: Version, size: int, found: int) -> None:
    """As many as a backtest of a series of this size is measured from."""
    history = frame(wave(size))
    tested = backtest.run(history, Request(h=12, models=('seasonal_naive',)), n_windows=3)
    assert tested.windows['seasonal_naive']['a'] == found
    assert room(replace(version, rows=30 * size), Choices(target='sales', h=12)) == found


@pytest.mark.parametrize(('low', 'high'), [('2010-01-01', '2018-12-31'), ('2010', '2019')])
def test_a_time_that_is_no_date_makes_no_room_for_cutoffs(version: Version, low: str, high: str) -> None:
    yearly, told = Choices(target='sales', h=1, step='YS', windows=10), manifest()
    told['time'] |= {'start': f'{low[:4]}-01-01T00:00:00Z', 'end': '2999-12-31T00:00:00Z'}
    assert room(replace(version, manifest=told), yearly) == 10
    told['hints'] = [{'kind': 'far_times', 'low': low, 'high': high}]
    assert room(replace(version, manifest=told), yearly) == 3


def bookings(version: Version, *names: str, days: int, rows: int) -> Version:
    """The version with so many rows of each of two series at uneven times."""
    of = measures(version, *names)
    time = {
        **of.manifest['time'],
        'freq': None,
        'step_seconds': 180.0,
        'start': '2024-01-01T08:00:00+00:00',
        'end': (datetime(2024, 1, 1, 8, tzinfo=UTC) + timedelta(days=days)).isoformat(),
    }
    told = {**of.manifest, 'time': time, 'series': {'count': 2, 'first': list(LABELS[:2])}}
    return replace(of, manifest=told, rows=2 * rows)


@pytest.mark.parametrize(
    ('days', 'rows', 'step', 'h'),
    [(30, 2700, 'h', 48), (730, 3300, 'D', 28), (730, 350, 'W-MON', 13), (3000, 2, None, 1)],
)
def test_rows_at_uneven_times_begin_with_steps_that_each_hold_some(
    version: Version, days: int, rows: int, step: str | None, h: int
) -> None:
    of = bookings(version, 'amount', days=days, rows=rows)
    begun = start(of)
    assert (begun.step, begun.h) == (step, h)
    assert again(begun, of) == begun
    assert write(begun, of, dataset='d') == '/forecasts/new?dataset=d'
    assert again(replace(begun, step=None), of).step is None


def test_values_of_a_step_are_added_up_where_a_sum_means_something(version: Version) -> None:
    of = bookings(version, 'amount', 'temperature', days=730, rows=3300)
    begun = start(of)
    assert (begun.target, begun.aggregate) == ('amount', 'sum')
    other = of_target(begun, of, 'temperature')
    assert (other.target, other.aggregate) == ('temperature', 'mean')
    for chosen in (other, replace(begun, aggregate='mean'), replace(other, aggregate='sum')):
        assert again(chosen, of) == chosen
        assert back(issued(chosen.ask().to_json(), ''), of) == chosen
    assert start(version).aggregate == 'mean', 'values as they are sampled are not put together'


def test_the_horizon_at_first_is_one_that_bands_can_be_judged_for(version: Version) -> None:
    short = history(version, size=36, series=5)
    begun = start(short)
    assert begun.h == 8
    assert reach(short, begun) is None
    tiny = start(history(version, size=8))
    assert tiny.h == 2, 'where no horizon is long enough to be of use the usual one stays'


def history(version: Version, *, size: int, series: int = 1) -> Version:
    """The version with so many months of each of so many series."""
    told = {**version.manifest, 'series': {'count': series, 'first': list(LABELS[:series])}}
    return replace(version, manifest=told, rows=size * series)


@pytest.mark.parametrize(
    ('series', 'size', 'windows'),
    [(1, 400, 10), (2, 400, 5), (3, 400, 4), (4, 400, 3), (30, 400, 3), (1, 144, 8), (1, 40, 3)],
)
def test_untouched_a_form_asks_for_as_many_cutoffs_as_a_verdict_takes(
    version: Version, series: int, size: int, windows: int
) -> None:
    """As far as there is room for them; 3 at least, which prices are made for."""
    of = history(version, size=size, series=series)
    assert windows_of(of, replace(start(of), h=12).ask()) == windows
    assert windows_of(of, replace(start(of), h=12, windows=7).ask()) == 7
    assert windows_of(of, replace(start(of), h=12, budget=2).ask()) == 3, 'they would take of the same time'


def test_fewer_series_take_more_cutoffs(version: Version) -> None:
    of = history(version, size=400, series=30)
    assert windows_of(of, replace(start(of), h=12, series=LABELS[:2]).ask()) == 5


def test_a_form_says_what_a_verdict_takes_and_what_would_help(version: Version) -> None:
    long, short = history(version, size=400), history(version, size=144)
    asked = replace(start(long), h=12)
    assert reach(long, asked) is None
    few = reach(long, replace(asked, windows=3))
    assert few is not None
    assert (few.needed, few.offered) == (10, 10)
    assert takes(few) == (
        'Whether bands hold is told from 10 past forecasts on: that takes 10 past cutoffs. This one asks for 3.'
    )
    bounded = reach(long, replace(asked, budget=2))
    assert bounded is not None
    assert (bounded.windows, bounded.offered, bounded.limited) == (3, 10, True)
    assert 'While its time is limited' in takes(bounded)
    late = reach(short, asked)
    assert late is not None
    assert (late.room, late.shorter, late.rows, late.offered) == (8, 9, 36, 0)
    assert takes(late).endswith(
        'The history has room for 8 with 12 steps ahead, as each leaves a third to learn from. '
        'Ask for 9 steps or fewer, or bring 36 more rows.'
    )
    assert reach(short, replace(asked, h=late.shorter)) is None
    assert reach(history(version, size=144 + late.rows), asked) is None
    assert reach(short, replace(asked, h=None)) is None, 'that is to be mended first'


@pytest.mark.parametrize('size', range(20, 200, 7))
@pytest.mark.parametrize('h', [1, 5, 12])
def test_the_shorter_horizon_and_the_further_rows_are_just_enough(version: Version, size: int, h: int) -> None:
    found = reach_of(history(version, size=size), Ask(target='sales', h=h))
    if found.shorter:
        assert room_of(history(version, size=size), Ask(target='sales', h=found.shorter)) >= found.needed
    assert (room_of(history(version, size=size), Ask(target='sales', h=found.shorter + 1)) or 0) < found.needed
    assert room_of(history(version, size=size + found.rows), Ask(target='sales', h=h)) >= found.needed


def test_room_is_told_in_the_steps_that_are_asked_for(version: Version) -> None:
    """Of a target that ends before the rows do, by what it has."""
    told = manifest()
    told['time'] |= {'start': '2015-10-01T00:00:00+00:00'}
    assert room_of(replace(version, manifest=told), Ask(target='sales', h=1, step='YS')) == 5
    told['columns'] = [{**one, 'sparkline': [1.0] * 45 + [None] * 15} for one in told['columns']]
    assert room_of(history(replace(version, manifest=told), size=400), Ask(target='sales', h=12)) == 16
    assert room_of(version, Ask(target='sales', h=1, step='YS')) is None, 'nobody knows when the rows begin'
