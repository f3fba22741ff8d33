"""The form for a forecast as its address holds it."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest

from core.analysis.ahead import Ahead
from core.countries import COUNTRIES
from core.values import Forecast, JobState, Version
from tests.ui.made_up import LABELS, manifest
from ui.pages.forecast_choices import Choices, problems, read, start, write
from ui.pages.forecast_choices import again as choices_of

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


LIKELIEST = [
    (('sales', 'price'), {}, 'sales'),
    (('unit_price', 'holiday', 'sold'), {}, 'sold'),
    (('price',), {}, 'price'),
    (('open', 'sold'), {'open': {'distinct': 2}}, 'sold'),
    (('shops', 'sold'), {'shops': {'distinct': 1}}, 'sold'),
    (('open', 'closed'), {'open': {'distinct': 2}, 'closed': {'distinct': 2}}, 'open'),
    (('days_open', 'weekly_sum'), {}, 'days_open'),
    (('load', 'price'), {'load': {'sparkline': [1.0, 1.0]}, 'price': {'sparkline': [1.0, None]}}, 'price'),
    (('load', 'wind'), {'load': {'sparkline': [None, 1.0]}, 'wind': {'sparkline': [1.0, 1.0]}}, 'load'),
]


@pytest.mark.parametrize(('names', 'about', 'target'), LIKELIEST)
def test_what_is_forecast_at_first_is_no_circumstance(
    version: Version, names: tuple[str, ...], about: dict[str, Any], target: str
) -> None:
    assert start(measures(version, *names, **about)).target == target


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
    assert back(issued(untouched.ask().to_json()), version) == untouched, 'a name that was made is made again'
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
