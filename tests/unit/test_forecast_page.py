"""What a forecast's page says of its models, and how its address holds what it shows."""

from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

from core.values import Forecast, JobState
from tests.ui.made_up import MODELS, result, score
from ui.components.record import verdict
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
    mstl, shared = warnings(found)
    assert mstl.endswith(f': {lost}')
    assert shared.endswith(': Short.')
    assert shared.count(',') == 1, 'both models are named'
    assert warnings({'models': [model('theta')]}) == []


def test_warnings_call_models_as_pages_do() -> None:
    said = 'seasonal_naive failed (ValueError: ets).'
    assert in_words(said) == 'Seasonal naive failed (ValueError: ets).'
    budget = 'The budget of 5 s left no time for prophet, seasonal_naive.'
    assert in_words(budget) == 'The budget of 5 s left no time for Prophet, Seasonal naive.'
    assert in_words('Regressor "ets" was left out.') == 'Regressor "ets" was left out.'
    assert warnings({'models': [model('auto', said)]}) == [f'Auto: {in_words(said)}']


def test_adapted_bands_say_at_what_they_are_drawn() -> None:
    assert told_adapted({'95': 96.2, '80': 84.46}) == (
        'By what earlier forecasts held, this one draws the 80% band at 84.5% and the 95% band at 96.2%.'
    )
    assert told_adapted({'80': 80.01}) == ''


def test_every_view_survives_a_reload() -> None:
    state = State(tab='explain', series='a&b', model='prophet', models=('auto', 'prophet'), marks=0, page=3, step=7)
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
    assert sentence(score('auto')) == '80% band held 79%, 95% band held 95% of 1,284 backtest points'
    assert sentence(None) == 'Too short to measure how often the bands held.'
    assert verdict(*measured(score('auto'))) == ('hold', 'ok')
    assert verdict(*measured({**score('auto'), 'n_windows': 9})) == ('too few to judge', 'line')
    assert verdict(*measured({**score('auto'), 'points': 0})) == ('not measured', 'line')


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
    assert verdict(*measured(score('theta'))) == ('hold', 'ok')
    assert verdict(*measured({**score('theta'), 'coverage': {'80': 0.6}})) == ('too narrow', 'warn')


def test_changes_are_told_in_words() -> None:
    changes = {'price': {'how': 'scale', 'value': 1.1}, 'plan': {'how': 'set', 'value': 0}}
    assert told(changes) == 'price × 1.1, plan = 0'
