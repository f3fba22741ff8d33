"""What a forecast's page says of its models, and how its address holds what it shows."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

from core.analysis.forecasting import said
from core.forecasts import Times
from core.values import Forecast, JobState
from tests.ui.made_up import MODELS, result, score
from ui.components.formats import percent
from ui.components.record import enough, verdict
from ui.pages.forecast.leaderboard_tab import hard
from ui.pages.forecast.receipt import measured, sentence, since, told_adapted, warnings
from ui.pages.forecast.state import Shown, State, address, read
from ui.pages.forecast.what_if import told
from ui.pages.forecast_words import in_words


def model(name: str, *said: str, rows: int = 3) -> dict[str, Any]:
    return {'name': name, 'rows': rows, 'warnings': list(said)}


def issued(**request: Any) -> Forecast:
    return Forecast(
        id=uuid4(),
        user_id=uuid4(),
        dataset_id=uuid4(),
        version_id=uuid4(),
        version=1,
        dataset_name='Stores',
        name='Monthly sales',
        request={'target': 'sales', 'h': 12, 'models': list(MODELS), 'levels': [80, 95], **request},
        result=result(),
        job_id=None,
        state=JobState.SUCCEEDED,
        created_at=datetime.now(UTC),
        issued_at=datetime.now(UTC),
    )


def shown(state: State, **changed: Any) -> Shown:
    nothing = cast(Any, None)
    return Shown(services=nothing, session=nothing, forecast=issued(), result={**result(), **changed}, state=state)


def test_a_model_without_a_forecast_is_told_first_and_each_thing_once() -> None:
    lost = 'There is no forecast by this model. The task was lost.'
    found = {'models': [model('theta', 'Short.'), model('ets', 'Short.'), model('mstl', lost, rows=0)]}
    mstl, shared = (one.text for one in warnings(found))
    assert mstl.endswith(f': {lost}')
    assert shared.endswith(': Short.')
    assert shared.count(',') == 1, 'both models are named'
    assert warnings({'models': [model('theta')]}) == []


def test_warnings_of_many_series_are_one_where_they_differ_in_how_many() -> None:
    gaps = [f'No value at {many} of 1,096 steps: filled in from their neighbours.' for many in ('9', '11', '1,024')]
    other = ['No value at 3 of 800 steps: filled in from their neighbours.', 'Regressor "load 2" was left out.']
    found = warnings({'models': [model('auto', *gaps, *other), model('ets', gaps[0])]})
    assert [one.text for one in found] == [
        'Auto: No value at 9 to 1,024 of 1,096 steps: filled in from their neighbours.',
        f'Auto: {other[0]}',
        f'Auto: {other[1]}',
        f'ETS: {gaps[0]}',
    ]


def test_warnings_name_the_series_that_they_are_about() -> None:
    gaps = [f'No value at {many} of 90 steps: filled in from their neighbours.' for many in (1, 8)]
    about = {said.kind(gaps[0]): {'series': 5, 'first': ['A', 'B', 'C']}}
    (one,) = warnings({'models': [{**model(name, *gaps), 'about': about} for name in ('auto', 'ets')]})
    assert (one.text, one.series, one.first) == (
        'Auto, ETS: No value at 1 to 8 of 90 steps: filled in from their neighbours.',
        5,
        ('A', 'B', 'C'),
    )
    (old,) = warnings({'models': [model('ets', gaps[0])]})
    assert (old.series, old.first) == (0, ()), 'results that were stored before do not tell'


def test_cutoffs_are_told_from_the_first_to_the_last() -> None:
    one, *others = result()['models']
    apart = [{**one, 'first_cutoff': '2025-07-01', 'cutoff': '2025-10-01'}, *others]
    page = replace(shown(State(), models=apart), times=Times(zone='', days=True))
    assert page.cutoffs == ('1 Jul 2025', '1 Oct 2025')
    assert replace(page, result=result()).cutoffs == ('1 Oct 2025', '1 Oct 2025')
    assert replace(page, result={'models': []}).cutoffs == ('', '')


def test_hours_are_told_by_the_clock_of_the_data() -> None:
    berlin = replace(shown(State()), times=Times(zone='Europe/Berlin', said='Europe/Berlin'))
    assert berlin.at('2025-03-30T00:00:00') == '30 Mar 2025, 01:00'
    assert berlin.at('2025-03-30T01:00:00') == '30 Mar 2025, 03:00'
    assert berlin.at('2025-10-26T00:00:00') == '26 Oct 2025, 02:00 CEST'
    assert berlin.at('2025-10-26T01:00:00') == '26 Oct 2025, 02:00 CET'
    assert berlin.at(None) == '–'


def test_how_many_forecasts_a_verdict_takes_is_said() -> None:
    assert enough(3.0) == '3 forecasts of a series were scored; whether bands hold is told from 10 on.'
    assert enough(1.2) == '1 forecast of a series was scored; whether bands hold is told from 10 on.'
    assert enough(90) == '90 forecasts of a series were scored.'


def test_warnings_call_models_as_pages_do() -> None:
    said = 'seasonal_naive failed (ValueError: ets).'
    assert in_words(said) == 'Seasonal naive failed (ValueError: ets).'
    budget = 'The budget of 5 s left no time for prophet, seasonal_naive.'
    assert in_words(budget) == 'The budget of 5 s left no time for Prophet, Seasonal naive.'
    assert in_words('lightgbm: measuring its bands') == 'LightGBM: measuring its bands'
    assert in_words('2 of 3 series: mstl') == '2 of 3 series: mstl'
    assert in_words('Regressor "ets" was left out.') == 'Regressor "ets" was left out.'
    assert [one.text for one in warnings({'models': [model('auto', said)]})] == [f'Auto: {in_words(said)}']


def test_adapted_bands_say_at_what_they_are_drawn() -> None:
    assert told_adapted({'95': 96.2, '80': 84.46}) == (
        'By what earlier forecasts held, this one draws the 80% band at 84.5% and the 95% band at 96.2%.'
    )
    assert told_adapted({'80': 80.01}) == ''


def test_every_view_survives_a_reload() -> None:
    state = State(tab='explain', series='a&b', model='prophet', models=('auto', 'prophet'), marks=0, page=3, step=7)
    state = replace(state, window=(('from', '2026-08-01'), ('to', '2026-09-01')))
    forecast = issued()
    found = urlsplit(address(forecast, state))
    assert read(dict(parse_qsl(found.query))) == state
    assert address(forecast, State()) == f'/forecasts/{forecast.id}'
    assert read({'tab': 'nonsense', 'by': 'moon', 'page': '-4', 'step': 'x'}) == State()


def test_the_best_model_is_looked_at_and_a_few_are_drawn() -> None:
    many = [{**result()['models'][0], 'name': name} for name in (*MODELS, 'ets', 'mstl')]
    page = shown(State(), models=many)
    assert page.model == 'auto'
    assert page.drawn == ['auto', 'lightgbm', 'prophet', 'theta']
    assert shown(State(model='mstl'), models=many).drawn == ['auto', 'lightgbm', 'prophet', 'mstl']
    assert shown(State(models=('theta',))).drawn == ['theta']
    assert page.colour('lightgbm') == 'series-2'


def test_a_series_beyond_the_listed_ones_can_be_opened() -> None:
    assert shown(State(series='Store 05')).series == 'Store 05'
    assert shown(State(series='Nowhere')).series == 'Store 01'
    assert shown(State(series='Store 2000'), n_series=5000).series == 'Store 2000'


def test_coverage_is_told_beside_what_was_promised() -> None:
    assert sentence(score('auto')) == '80% band held 79.2%, 95% band held 94.7% of 1,284 backtest points'
    assert sentence(None) == 'Too short to measure how often the bands held.'
    assert verdict(*measured(score('auto'))) == ('hold', 'ok')
    assert verdict(*measured({**score('auto'), 'n_windows': 9})) == ('too few to judge', 'line')
    assert verdict(*measured({**score('auto'), 'points': 0})) == ('not measured', 'line')


def test_what_missed_once_never_held_all() -> None:
    one = {**score('auto'), 'coverage': {'80': 537 / 539, '95': 2999 / 3000}, 'points': 3000}
    assert sentence(one) == '80% band held 99.6%, 95% band held 99.9% of 3,000 backtest points'
    assert (percent(0.996, 0), percent(1.0, 0), percent(1.0), percent(0.9994)) == ('99%', '100%', '100.0%', '99.9%')


def test_models_that_err_more_than_the_last_season_say_so() -> None:
    assert hard([score('auto') | {'mase': 0.9}, score('theta') | {'mase': 1.3}]) == ''
    assert hard([score('auto') | {'mase': 1.194}, score('theta') | {'mase': None}]).startswith(
        'Even the best MASE is above 1 (1.19)'
    )
    assert hard([score('auto') | {'mase': None}]) == hard([]) == ''


def test_what_came_is_counted_beside_its_band() -> None:
    held = {'95': {'inside': 17, 'points': 17}, '80': {'inside': 14, 'points': 17}}
    came = {
        'held': {'auto': held, 'theta': {'80': {'inside': 0, 'points': 0}}, 'ets': {'80': {'inside': 0, 'points': 1}}}
    }
    assert since(came, 'auto') == '14 of 17 values came inside the 80% band, 17 of 17 inside the 95% band.'
    assert since(came, 'ets') == '0 of 1 value came inside the 80% band.'
    assert since(came, 'theta') == since(came, 'prophet') == since(None, 'auto') == ''


def test_a_receipt_of_the_past_is_as_cautious_as_the_track_record() -> None:
    """1,284 points of 90 forecasts: their errors are alike, so that 73% of an 80% band may be chance."""
    assert verdict(*measured(score('theta'))) == ('perhaps too narrow', 'line'), 'its 95% band missed 9%'
    assert verdict(*measured({**score('theta'), 'coverage': {'80': 0.73}})) == ('hold', 'ok')
    assert verdict(*measured({**score('theta'), 'coverage': {'80': 0.6}})) == ('too narrow', 'warn')


def test_changes_are_told_in_words() -> None:
    changes = {'price': {'how': 'scale', 'value': 1.1}, 'plan': {'how': 'set', 'value': 0}}
    assert told(changes) == 'price × 1.1, plan = 0'
