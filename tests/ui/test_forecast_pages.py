"""The form for a forecast and the page of its result, as their user meets them."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
from nicegui import ui
from nicegui.events import GenericEventArguments, handle_event
from nicegui.testing import User, UserInteraction, user_simulation

from core.analysis.ahead import Ahead
from core.ask import Reach
from core.settings import Settings
from core.track import Figures
from core.values import NOBODY, Balance, Quote, Session
from tests.ui import doubles
from tests.ui.made_up import AWAY, LABELS, Came, Issued, Shop, result
from tests.ui.site import until
from ui.api.forecasts import file_name
from ui.app import mount
from ui.components.chart import ForecastChart
from ui.components.parts import Tag
from ui.session import COOKIE

EVIL = 'price" :label="alert(1)//'


class History:
    """What a page makes of its own address."""

    def __init__(self, addresses: list[str]) -> None:
        self.replace = addresses.append


@dataclass
class Desk:
    """A user with a dataset, before a page; `addresses` is what the page has made of its own address."""

    user: User
    services: Any
    session: Session
    dataset: UUID
    addresses: list[str] = field(default_factory=list)

    @property
    def elements(self) -> list[Any]:
        return list(self.user._client.elements.values())

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.addresses[-1]).query, keep_blank_values=True)

    def texts(self) -> list[str]:
        return [text for e in self.elements if (text := getattr(e, 'text', ''))]

    def button(self, name: str) -> Tag:
        """The button of this name, by its label or by its text."""
        found = [
            e
            for e in self.elements
            if e.tag == 'button' and name in (e.props.get('aria-label'), getattr(e, 'text', ''))
        ]
        assert len(found) == 1, f'{len(found)} buttons "{name}"'
        return found[0]

    def press(self, name: str) -> None:
        UserInteraction(self.user, {self.button(name)}, None).click()

    def press_text(self, text: str) -> None:
        """Press the line of a menu that says this."""
        lines = [e for e in self.elements if e.props.get('role') == 'menuitem']
        (line,) = [e for e in lines if any(getattr(child, 'text', '') == text for child in e.descendants())]
        (press,) = [one for one in line._event_listeners.values() if one.type.partition('.')[0] == 'click']
        with self.user:
            handle_event(press.handler, GenericEventArguments(sender=line, client=line.client, args={}))

    def field(self, label: str) -> Any:
        """The input of this name."""
        (found,) = [
            e
            for e in self.elements
            if isinstance(e, ui.select | ui.number | ui.input) and label in (e.props.get('aria-label'), _label_of(e))
        ]
        return found

    def wrong(self, name: str) -> str:
        """What is said beside a field."""
        (line,) = [e for e in self.elements if e.props.get('id') == f'wrong-{name}']
        return line.text if line.visible else ''

    def run_by_the_browser(self) -> list[Any]:
        """Attributes that a browser would run, or read as markup: those of our own drawings hold no `alert`."""
        props = [item for e in self.elements for item in e.props.items()]
        return [(key, value) for key, value in props if key[0] in ':@' or (key == 'innerHTML' and 'alert' in value)]

    def hrefs(self, text: str) -> list[str]:
        return [e.props['href'] for e in self.elements if e.tag == 'a' and getattr(e, 'text', '') == text]

    @property
    def chart(self) -> ForecastChart:
        (found,) = [e for e in self.elements if isinstance(e, ForecastChart)]
        return found

    async def open_form(self, query: str = '') -> None:
        await self.user.open(f'/forecasts/new?dataset={self.dataset}{query}')
        await self.user.should_see('What to forecast', content='1. What to forecast')

    async def open_result(self, query: str = '', **request: Any) -> Any:
        forecast = self.services.forecasts.issue(self.session.user.id, **request)
        await self.user.open(f'/forecasts/{forecast.id}{query}')
        await self.user.should_see('Monthly sales')
        return forecast


def _label_of(element: Any) -> str:
    around = element.parent_slot.parent
    return next((getattr(child, 'text', '') for child in around if around.tag == 'label'), '')


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with user_simulation() as user:
        services: Any = doubles.Services(Settings(VARIOSYNC_PUBLIC_URL='http://test'))
        services.datasets, services.forecasts, services.track = Shop(), Issued(), Came()
        token, session = services.accounts.open('maria.keller@example.com')
        data = services.datasets.add(session.user.id, 'Stores', 2880)
        mount(services)
        user.http_client.cookies.set(COOKIE, token)
        desk = Desk(user, services, session, data.id)
        user.navigate.history = History(desk.addresses)  # type: ignore[assignment]
        yield desk


async def test_what_is_chosen_stands_in_the_address_and_comes_back_from_it(desk: Desk) -> None:
    await desk.open_form()
    desk.press('price')
    desk.press('Prophet')
    desk.field('Holidays of a country').value = 'DE'
    desk.field('Steps ahead').value = 6
    await until(lambda: desk.addresses and 'h' in desk.query)
    assert desk.query == {
        'dataset': [str(desk.dataset)],
        'h': ['6'],
        'regressors': ['price'],
        'holidays': ['DE'],
        'models': ['auto', 'prophet'],
    }
    await desk.user.open(desk.addresses[-1])
    assert desk.button('price').props['aria-pressed'] == 'true'
    assert desk.button('Prophet').props['aria-pressed'] == 'true'
    assert desk.button('Theta').props['aria-pressed'] == 'false'
    assert desk.field('Steps ahead').value == 6
    assert {'sales, 6 months ahead', 'price, holidays of Germany', 'Auto, Prophet'} <= set(desk.texts())


async def test_the_form_tells_what_is_known_ahead_and_what_is_wrong(desk: Desk) -> None:
    await desk.open_form()
    assert {'known 12 steps ahead', 'not known ahead'} <= set(desk.texts())
    run = desk.button('Run forecast')
    assert not run.props.get('disabled')
    desk.press('visitors')
    await until(lambda: desk.wrong('regressors'))
    assert desk.wrong('regressors').startswith('visitors has no values after the last sales.')
    assert run.props['disabled']
    desk.press('visitors')
    await until(lambda: not desk.wrong('regressors'))
    desk.field('Steps ahead').value = None
    await until(lambda: desk.wrong('h'))
    assert desk.field('Steps ahead').props['aria-invalid'] == 'true'
    await desk.open_form('&h=24')
    assert 'known 12 of 24 steps' in desk.texts()
    await desk.open_form('&h=2&step=YS')
    assert 'known 1 of 2 steps' in desk.texts(), 'twelve months are one year'


async def test_a_coarser_step_brings_its_own_horizon(desk: Desk) -> None:
    await desk.open_form('&h=24')
    desk.field('Each step is').value = 'YS'
    await until(lambda: desk.addresses and desk.query.get('h') == ['5'])
    assert desk.field('Steps ahead').value == 5
    assert desk.field('Values of a step').enabled
    assert desk.field('Values of a step').value == 'sum', 'what is sold in a year is all that was sold in it'
    desk.field('Values of a step').value = 'max'
    desk.field('Each step is').value = 'QS'
    await until(lambda: desk.query.get('h') == ['8'])
    assert desk.query['aggregate'] == ['max'], 'a choice goes for another step, too'


async def test_the_form_orders_what_it_shows_and_says_what_it_costs(desk: Desk) -> None:
    await desk.open_form('&regressors=price&models=theta&models=prophet&seasonality=multiplicative&windows=5&budget=2')
    assert 'Up to 1 min of your hours (2 models)' in desk.texts()
    desk.press('Run forecast')
    await until(lambda: desk.services.forecasts.asked)
    (ask,) = desk.services.forecasts.asked
    assert (ask.regressors, set(ask.models), ask.windows, ask.budget) == (('price',), {'theta', 'prophet'}, 5, 120.0)
    assert ask.options == {'prophet': {'seasonality_mode': 'multiplicative'}}
    await desk.user.should_see('Monthly sales')


async def test_pressed_twice_the_form_orders_once(desk: Desk) -> None:
    await desk.open_form('&models=theta')
    run = desk.button('Run forecast')
    for _ in range(2):
        UserInteraction(desk.user, {run}, None).click()
        assert run.props['aria-busy'] == 'true'
        await until(lambda: 'aria-busy' not in run.props)
        await desk.user.should_see('Monthly sales')
    assert len(desk.services.forecasts.asked) == 1


async def test_some_series_of_many_never_become_all(desk: Desk) -> None:
    desk.services.datasets.manifest['series'] = {'count': 5000, 'first': list(LABELS)}
    await desk.open_form('&series=s4999&levels=66')
    assert {'1 of 5,000', 'The first 30 of 5,000 are listed.'} <= set(desk.texts())
    assert desk.button('66%').props['aria-pressed'] == 'true'
    desk.press('Run forecast')
    await until(lambda: desk.services.forecasts.asked)
    (ask,) = desk.services.forecasts.asked
    assert (ask.series, ask.levels) == (('s4999',), (66,))
    await desk.open_form()
    assert 'all 5,000' in desk.texts()

    desk.services.datasets.manifest['series']['count'] = 30
    await desk.open_form('&series=s4999')
    assert desk.wrong('series').startswith('There is no series s4999.')
    assert desk.button('Run forecast').props['disabled']


async def test_the_form_stands_while_what_is_stored_is_out_of_reach(desk: Desk) -> None:
    desk.services.datasets.away = True
    await desk.open_form('&series=Store%2003')
    assert {AWAY, 'What is stored is out of reach', '1 of 30'} <= set(desk.texts())
    assert 'out of reach' in desk.texts()
    assert 'not known ahead' not in desk.texts(), 'nobody knows that'
    assert not desk.button('Run forecast').props.get('disabled')
    desk.services.datasets.away = False
    await desk.open_form()
    assert AWAY not in desk.texts()


async def test_without_hours_nothing_can_be_run(desk: Desk) -> None:
    await desk.services.hours.put(desk.session.user.id, Balance(seconds=10))
    await desk.open_form()
    assert desk.button('Run forecast').props['disabled']


async def test_models_are_switched_and_their_bands_told(desk: Desk) -> None:
    await desk.open_result()
    assert desk.chart.props['shown'] == ['auto', 'lightgbm', 'prophet', 'theta']
    assert 'Auto: 80% band held 79.2%, 95% band held 94.7% of 1,284 backtest points' in desk.texts()
    desk.press('Theta')
    await until(lambda: desk.addresses)
    assert desk.chart.props['shown'] == ['auto', 'lightgbm', 'prophet']
    desk.field('Bands of').value = 'prophet'
    await until(lambda: desk.query.get('model') == ['prophet'])
    assert desk.chart.props['chosen'] == 'prophet'
    assert 'Prophet: 80% band held 75.2%, 95% band held 92.3% of 1,284 backtest points' in desk.texts()
    await until(lambda: '80% band held 75.2%' in desk.texts())
    desk.press('2 anomalies, 1 changepoint')
    await until(lambda: desk.query.get('marks') == ['0'])
    assert desk.chart.props['noted'] is False
    await desk.user.open(desk.addresses[-1])
    assert desk.chart.props['shown'] == ['auto', 'lightgbm', 'prophet']
    assert desk.chart.props['chosen'] == 'prophet'
    assert desk.chart.props['noted'] is False

    await desk.open_result('?models=theta')
    desk.press('Theta')
    assert desk.chart.props['shown'] == ['theta']
    assert desk.button('Theta').props['aria-pressed'] == 'true'


async def test_what_has_come_stands_beside_the_forecast(desk: Desk) -> None:
    await desk.open_result()
    assert 'Promised and held' not in desk.texts()
    desk.services.track.found = replace(
        desk.services.track.found,
        models=[came('theta', 0.7), came('auto', 0.9)],
        parts=[came('theta', 0.7, 1), came('auto', 0.9, 1), came('auto', 0.85, 2)],
    )
    await desk.open_result(adapted={'auto': {'80': 84.46}})
    assert {'Promised and held', '80% band held 90.0%', '54 of 60', '85.0%'} <= set(desk.texts())
    assert 'By what earlier forecasts held, this one draws the 80% band at 84.5%.' in desk.texts()
    desk.field('Bands of').value = 'theta'
    await until(lambda: '80% band held 70.0%' in desk.texts())
    assert not [text for text in desk.texts() if text.startswith('By what earlier')]
    await desk.open_result('?model=prophet')
    assert 'Promised and held' not in desk.texts(), 'of this model nothing has come'


async def test_a_chart_says_what_came_of_its_series(desk: Desk) -> None:
    await desk.open_result()
    assert not [text for text in desk.texts() if text.startswith('Since it was issued')]
    held = {'auto': {'80': {'inside': 14, 'points': 17}}, 'theta': {'80': {'inside': 9, 'points': 17}}}
    desk.services.forecasts.arrived = {'version': 2, 't': [], 'y': [], 'held': held}
    await desk.open_result()
    said = 'Since it was issued, {} of 17 values came inside the 80% band. Version 2 has them.'
    assert said.format(14) in desk.texts()
    desk.field('Bands of').value = 'theta'
    await until(lambda: said.format(9) in desk.texts())


def came(model: str, held: float, step: int | None = None) -> Figures:
    return Figures(
        model=model, first=step, last=step, forecasts=1, points=60, mase=0.7, rmsse=0.8, smape=12.5, sql=0.5,
        coverage={'80': held}, width={'80': 1.0},
    )  # fmt: skip


TABS = {
    '?tab=leaderboard': '80% width',
    '?tab=leaderboard&by=horizon': 'Error by step ahead',
    '?tab=leaderboard&by=series&model=lightgbm': 'LightGBM, the hardest first',
    '?tab=series': '1 to 24 of 30',
    '?tab=series&page=40': '25 to 30 of 30',
    '?tab=leaderboard&by=series&page=40': 'Store 30',
    '?tab=series&q=store%2007': '1 series found',
    '?tab=series&q=nothing': 'No series found',
    '?tab=residuals': (
        'Forecasts were right on average, with a spread of 0.7. After one error, the next tends to be alike.'
    ),
    '?tab=explain&model=prophet': 'Yearly',
    '?tab=explain&model=lightgbm': 'size of what moves the forecast, averaged over all steps',
    '?tab=explain&model=lightgbm&step=1': '+310',
    '?tab=explain&model=auto': 'What Auto is made of',
    '?tab=explain&model=theta': 'What it looks at, past',
    '?tab=explain&model=theta&series=Store%2003': 'Which past it attends to',
}
LACKING = {
    '': 'Auto: Too short to measure how often the bands held.',
    '?tab=leaderboard': 'Nothing was measured',
    '?tab=residuals': 'Nothing was measured',
    '?tab=explain': 'No explanation was kept',
}


async def test_every_tab_is_found_at_its_address(desk: Desk) -> None:
    for query, said in TABS.items():
        await desk.open_result(query)
        assert said in desk.texts(), query


OUT_OF_REACH = {
    '': ('Auto: 80% band held 79.2%, 95% band held 94.7% of 1,284 backtest points', 'Coverage receipt', 'What if'),
    '?tab=leaderboard&by=horizon': ('By step',),
    '?tab=leaderboard&by=series': ('By series',),
    '?tab=series': (),
    '?tab=residuals': ('Prophet',),
    '?tab=explain': ('Prophet',),
}


async def test_a_series_without_a_name_is_called_by_what_was_forecast(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('tests.ui.made_up.LABELS', [''])
    forecast = await desk.open_result('?tab=series')
    (tile,) = [e for e in desk.elements if e.tag == 'a' and 'name' in e.classes]
    assert tile.text == tile.props['title'] == forecast.request['target']


async def test_a_forecast_stands_while_what_is_stored_is_out_of_reach(desk: Desk) -> None:
    desk.services.forecasts.away = True
    for query, said in OUT_OF_REACH.items():
        await desk.open_result(query)
        assert {AWAY, 'What is stored is out of reach', 'Leaderboard', *said} <= set(desk.texts()), query
    await desk.open_result('?tab=leaderboard')
    assert AWAY not in desk.texts(), 'scores are in the database'
    await desk.open_result()
    desk.field('Bands of').value = 'prophet'
    await until(lambda: desk.addresses and desk.query.get('model') == ['prophet'])
    await until(lambda: '80% band held 75.2%' in desk.texts())


async def test_old_results_say_what_they_lack(desk: Desk) -> None:
    for query, said in LACKING.items():
        await desk.open_result(query, old=True)
        assert said in desk.texts(), query
        assert not desk.hrefs('Backtest as CSV')


async def test_residuals_are_of_the_series_that_the_select_names(desk: Desk) -> None:
    await desk.open_result('?tab=residuals&series=Nowhere')
    assert desk.field('Series').value == ''
    assert desk.services.forecasts.examined == [None]
    desk.services.forecasts.more['n_series'] = 5000
    await desk.open_result('?tab=residuals&series=s4999')
    assert desk.field('Series').value == 's4999'
    assert desk.services.forecasts.examined == [None, 's4999']


async def test_series_are_found_while_their_name_is_typed(desk: Desk) -> None:
    await desk.open_result('?tab=series&page=2')
    search = desk.field('Find a series')
    assert search.props['debounce'] == '250'
    search.value = 'store 07'
    await until(lambda: '1 series found' in desk.texts())
    assert (desk.query['q'], 'page' in desk.query) == (['store 07'], False)
    assert 'Store 25' not in desk.texts()
    assert not search.is_deleted, 'who types keeps the place'
    search.value = 'nowhere'
    await until(lambda: 'No series has "nowhere" in its name.' in desk.texts())
    desk.services.forecasts.away = True
    search.value = 'Store'
    await until(lambda: AWAY in desk.texts())
    desk.services.forecasts.away = False
    search.value = None
    await until(lambda: '1 to 24 of 30' in desk.texts())
    assert 'q' not in desk.query
    assert AWAY not in desk.texts()


async def test_programs_are_told_the_best_model_first_and_files_tell_what_they_hold(desk: Desk) -> None:
    forecast = await desk.open_result()
    client, api = desk.user.http_client, f'/api/v1/forecasts/{forecast.id}'
    scores = forecast.result['scores']
    scores[:] = [{**scores[0], 'mase': None}, scores[2], scores[3], scores[1]]
    found = (await client.get(f'{api}/leaderboard')).json()['items']
    assert [score['model'] for score in found] == ['lightgbm', 'prophet', 'theta', 'auto']
    found = (await client.get(f'{api}/leaderboard?by=horizon')).json()['items']
    assert [(score['horizon'], score['model']) for score in found[:5]] == [
        *((1, name) for name in ('auto', 'lightgbm', 'prophet', 'theta')),
        (2, 'auto'),
    ]
    assert file_name(forecast, 'rows') == 'Stores Monthly sales 4 models cutoff 2025-10-01'
    few = replace(forecast, name='x' * 255, result={**forecast.result, 'models': forecast.result['models'][:2]})
    late = [{**model, 'cutoff': '2025-09-30T22:00:00'} for model in forecast.result['models']]
    berlin = replace(forecast, result={**forecast.result, 'models': late})
    assert file_name(berlin, 'rows', zone='Europe/Berlin').endswith(' cutoff 2025-10-01')
    apart = [{**model, 'first_cutoff': '2025-07-01'} for model in forecast.result['models']]
    several = replace(forecast, result={**forecast.result, 'models': apart})
    assert file_name(several, 'rows').endswith(' cutoff 2025-07-01 to 2025-10-01')
    assert file_name(few, 'backtest') == f'Stores {"x" * 60} auto lightgbm cutoff 2025-10-01 backtest'


async def test_rows_are_told_in_words_of_the_page(desk: Desk) -> None:
    forecast = await desk.open_result()
    found = (await desk.user.http_client.get(f'/api/v1/forecasts/{forecast.id}/rows')).json()
    assert {'series', 'time', 'step', 'median', 'lower_80', 'upper_80'} <= set(found['columns'])


@pytest.mark.parametrize(('late', 'why'), [(False, 'no mean of its other members came nearer'), (True, 'too short')])
async def test_auto_says_that_it_took_the_last_season_and_why(desk: Desk, late: bool, why: str) -> None:
    forecast = desk.services.forecasts.issue(desk.session.user.id)
    auto = next(model for model in forecast.result['models'] if model['name'] == 'auto')
    auto['weights'] = {'seasonal_naive': 1.0}
    auto['warnings'] = ['The budget of 5 s left no time for lightgbm, theta.'] if late else []
    await desk.user.open(f'/forecasts/{forecast.id}')
    await desk.user.should_see('Auto took Seasonal naive, which repeats the last season')
    await desk.user.should_see(why)


async def test_a_tile_opens_its_series(desk: Desk) -> None:
    forecast = await desk.open_result('?tab=series&page=2')
    tiles = [e.props['href'] for e in desk.elements if e.tag == 'a' and 'name' in e.classes]
    assert len(tiles) == 6
    assert tiles[0] == f'/forecasts/{forecast.id}?series=Store+25'
    await desk.user.open(tiles[0])
    assert desk.chart.props['series'] == 'Store 25'


async def test_what_if_asks_for_the_change_and_tells_it(desk: Desk) -> None:
    first = await desk.open_result()
    desk.press('Forecast with this')
    await until(lambda: desk.wrong('what-if') == 'Change at least one of them.')
    desk.field('How price changes').value = 'scale'
    assert desk.field('Value for price').value == 1.1
    desk.press('Forecast with this')
    await until(lambda: desk.services.forecasts.changed)
    assert desk.services.forecasts.changed == [{'price': {'how': 'scale', 'value': 1.1}}]
    await desk.user.should_see('What if: price × 1.1.')
    assert desk.hrefs('The forecast before') == [f'/forecasts/{first.id}']


async def test_names_from_a_file_stay_text(desk: Desk) -> None:
    await desk.open_result(regressors=[EVIL], series=[EVIL])
    assert desk.field(f'How {EVIL} changes')
    assert desk.field(f'Value for {EVIL}')
    assert desk.run_by_the_browser() == []
    desk.services.datasets.manifest['measures'].append(EVIL)
    desk.services.datasets.ahead[EVIL] = Ahead(steps=12, series=30, of=30)
    await desk.open_form()
    assert desk.button(EVIL)
    assert desk.run_by_the_browser() == []


async def test_times_of_data_are_told_by_their_clock(desk: Desk) -> None:
    desk.services.forecasts.clock = 'Europe/Berlin'
    desk.services.forecasts.more = {'models': [{**one, 'cutoff': '2026-08-31T22:00:00'} for one in result()['models']]}
    await desk.open_result()
    assert desk.chart.props['zone'] == 'Europe/Berlin'
    assert any('cutoff 1 Sep 2026 (Europe/Berlin)' in text for text in desk.texts())

    gaps: dict[str, Any] = {'warnings': ['No value at 3 of 60 steps: filled in from their neighbours.']}
    about = {'series': 5, 'first': ['Store 02', 'Store 07']}
    gaps['about'] = {'No value at # of 60 steps: filled in from their neighbours.': about}
    models = [{**one, **gaps, 'first_cutoff': '2025-06-30T22:00:00'} for one in result()['models']]
    desk.services.forecasts.more = {'models': models}
    issued = await desk.open_result()
    assert any('cutoffs from 1 Jul 2025 to 1 Oct 2025 (Europe/Berlin)' in text for text in desk.texts())
    assert 'Cutoff' in desk.texts()
    assert desk.hrefs('Store 07') == [f'/forecasts/{issued.id}?series=Store+07']

    time = {'freq': 'D', 'step_seconds': 86_400.0, 'end': '2026-08-31T22:00:00+00:00', 'zone': 'Europe/Berlin'}
    desk.services.datasets.manifest['time'] = time
    await desk.open_form()
    assert 'Rows are daily, until 1 Sep 2026 (Europe/Berlin).' in desk.texts()


async def test_the_window_of_the_chart_is_kept_where_the_page_leads_to_itself(desk: Desk) -> None:
    forecast = await desk.open_result('?from=2025-01-01&to=2025-06-01')
    here = f'/forecasts/{forecast.id}'
    assert desk.hrefs('Series') == [f'{here}?tab=series&from=2025-01-01&to=2025-06-01']
    (told,) = desk.chart._event_listeners.values()
    desk.chart._handle_event({'listener_id': told.id, 'args': {'last': 'all', 'other': 'x'}})
    assert desk.hrefs('Series') == [f'{here}?tab=series&last=all']


async def test_forecasts_are_listed_a_page_at_a_time_and_searched(desk: Desk) -> None:
    for number in range(120):
        desk.services.forecasts.add(desk.session.user.id, f'Week {number:03}', dataset_name='Stores')
    await desk.user.open('/forecasts?page=2')
    await desk.user.should_see('51 to 100 of 120')
    assert 'Week 099' in desk.texts()
    assert 'Week 100' not in desk.texts()
    assert (desk.hrefs('Back'), desk.hrefs('Next')) == (['/forecasts'], ['/forecasts?page=3'])
    desk.field('Find a forecast').set_value('Week 11')
    await desk.user.should_see('10 forecasts found')
    assert desk.addresses == ['/forecasts?q=Week+11']
    assert [text for text in desk.texts() if text.startswith('Week')] == [f'Week 11{number}' for number in range(10)]
    desk.field('Find a forecast').set_value('tides')
    await desk.user.should_see('None has “tides” in its name or its dataset’s.')
    await desk.user.open('/forecasts?page=9')
    await desk.user.should_see('101 to 120 of 120')


async def test_without_forecasts_the_way_to_the_first_is_shown(desk: Desk) -> None:
    await desk.user.open('/forecasts')
    await desk.user.should_see('No forecasts yet')
    assert desk.hrefs('New forecast') == ['/forecasts/new']
    desk.services.datasets.kept.clear()
    await desk.user.open('/forecasts')
    await desk.user.should_see('Upload a file first')
    assert (desk.hrefs('Upload data'), desk.hrefs('New forecast')) == (['/datasets'], [])


async def test_one_of_many_datasets_is_found_while_its_name_is_typed(desk: Desk) -> None:
    await desk.open_form()
    assert not desk.field('Dataset').props.get('use-input')
    for number in range(10):
        desk.services.datasets.add(desk.session.user.id, f'Stores {number}', 10)
    await desk.open_form()
    assert desk.field('Dataset').props['use-input']


FEW = Reach(series=1, h=12, windows=3, needed=10, room=25, shorter=12, rows=0, limited=False, offered=10)


def scored_on(desk: Desk, forecasts: int, reach: Reach) -> None:
    """Let results be scored on so few forecasts, of which so much is known."""
    scores = [{**one, 'n_windows': forecasts, 'n_series': 1} for one in result()['scores']]
    desk.services.forecasts.more = {'scores': scores}
    desk.services.forecasts.beyond = reach


async def test_one_press_tests_a_forecast_on_as_many_cutoffs_as_a_verdict_takes(desk: Desk) -> None:
    scored_on(desk, 3, replace(FEW, quote=Quote(task='forecast', seconds=66, basis='1 series')))
    await desk.open_result()
    assert {'Too few to judge', '3 of 10 forecasts of a series'} <= set(desk.texts())
    assert 'Up to 1 min 6 s of your hours (1 series)' in desk.texts()
    desk.press('Test on 7 more past cutoffs')
    await until(lambda: desk.services.forecasts.measured_from)
    assert desk.services.forecasts.measured_from == [10]
    await desk.open_result('?tab=leaderboard')
    assert desk.button('Test on 7 more past cutoffs')


async def test_a_history_too_short_for_a_verdict_says_what_would_help(desk: Desk) -> None:
    scored_on(desk, 8, replace(FEW, windows=8, room=8, shorter=9, rows=36, offered=0))
    forecast = await desk.open_result()
    assert any('Ask for 9 steps or fewer, or bring 36 more rows.' in text for text in desk.texts())
    (href,) = desk.hrefs('Ask for 9 steps')
    query = parse_qs(urlsplit(href).query)
    assert (query['dataset'], query['h'], query.get('windows')) == ([str(forecast.dataset_id)], ['9'], None)


async def test_a_forecast_with_a_verdict_offers_no_other_test(desk: Desk) -> None:
    await desk.open_result()
    assert 'Bands hold' in desk.texts()
    assert not [text for text in desk.texts() if text.startswith(('Test on', 'Whether bands hold'))]


async def test_the_form_mends_what_keeps_bands_from_a_verdict(desk: Desk) -> None:
    desk.services.datasets.manifest['series'] = {'count': 1, 'first': ['']}
    await desk.open_form('&windows=3')
    desk.press('Measure from 10')
    await until(lambda: 'bands 80% and 95%, 10 past cutoffs' in desk.texts())
    assert 'windows' not in desk.query
    assert not [text for text in desk.texts() if text.startswith('Whether bands hold')]
    await desk.open_form('&h=250')
    desk.press('Ask for 192 steps')
    await until(lambda: desk.field('Steps ahead').value == 192)
    assert 'bands 80% and 95%, 10 past cutoffs' in desk.texts()


async def test_a_forecast_is_deleted_and_brought_back(desk: Desk) -> None:
    forecast = await desk.open_result()
    desk.press_text('Delete')
    await until(lambda: desk.services.forecasts.gone)
    await desk.user.open(f'/forecasts?deleted={forecast.id}')
    assert any('The forecast was deleted. It goes on counting in the track record.' in text for text in desk.texts())
    assert 'Deleted (1)' in desk.texts()
    await desk.user.open(f'/forecasts/{forecast.id}')
    assert 'This forecast was deleted' in desk.texts()
    assert any('It goes on counting in the track record, also after that' in text for text in desk.texts())
    desk.press('Restore')
    await until(lambda: not desk.services.forecasts.gone)
    await desk.user.open(f'/forecasts/{forecast.id}')
    assert 'This forecast was deleted' not in desk.texts()


async def test_a_deleted_forecast_is_restored_from_its_list(desk: Desk) -> None:
    forecast = await desk.open_result()
    await desk.services.forecasts.delete(forecast.user_id, forecast.id, by=NOBODY)
    await desk.user.open('/forecasts?show=deleted')
    desk.press('Restore')
    await until(lambda: not desk.services.forecasts.gone)


async def test_a_forecast_whose_dataset_was_deleted_says_so(desk: Desk) -> None:
    forecast = await desk.open_result()
    assert desk.hrefs('Ask for another')
    desk.services.datasets.gone[forecast.dataset_id] = datetime(2026, 12, 29, tzinfo=UTC)
    await desk.user.open(f'/forecasts/{forecast.id}')
    (note,) = [text for text in desk.texts() if text.endswith('then it is removed for good, with this forecast.')]
    assert 'It can be brought back until 29 Dec 2026;' in note
    assert desk.hrefs('Ask for another') == []
    desk.press('Restore the dataset')
    await until(lambda: not desk.services.datasets.gone)


async def test_a_deleted_forecast_that_counts_nowhere_is_not_told_to_count(desk: Desk) -> None:
    forecast = await desk.open_result()
    kept = desk.services.forecasts.kept
    kept[:] = [replace(one, issued_at=None, result=None) for one in kept]
    await desk.services.forecasts.delete(forecast.user_id, forecast.id, by=NOBODY)
    await desk.user.open(f'/forecasts?deleted={forecast.id}')
    (note,) = [
        text for text in desk.texts() if text.startswith('The forecast was deleted. It can be brought back until')
    ]
    assert 'track record' not in note
    await desk.user.open(f'/forecasts/{forecast.id}')
    assert any('Then it is removed for good.' in text for text in desk.texts())


async def test_what_is_over_is_deleted_from_the_list_and_one_press_undoes_it(desk: Desk) -> None:
    await desk.open_result()
    await desk.user.open('/forecasts')
    desk.press_text('Delete')
    await until(lambda: 'Undo' in desk.texts())
    assert len(desk.services.forecasts.gone) == 1
    desk.press('Undo')
    await until(lambda: not desk.services.forecasts.gone)


async def test_without_numbers_known_ahead_the_page_says_what_a_what_if_needs(desk: Desk) -> None:
    forecast = await desk.open_result(regressors=[])
    assert 'This forecast knows no numbers ahead of sales that could be changed.' in desk.texts()
    (href,) = desk.hrefs('Choose what is known ahead')
    assert parse_qs(urlsplit(href).query)['dataset'] == [str(forecast.dataset_id)]
    assert urlsplit(href).fragment == 'known'
    desk.services.datasets.ahead = {'price': Ahead(steps=0, series=0, of=30)}
    await desk.open_form()
    assert any(text.startswith('Nothing is known ahead of sales yet.') for text in desk.texts())
    assert desk.hrefs('next file of the dataset') == [f'/datasets/{desk.dataset}?tab=versions']


async def test_a_what_if_that_no_model_heeds_says_so(desk: Desk) -> None:
    desk.services.forecasts.more = {'models': [one for one in result()['models'] if one['name'] == 'theta']}
    await desk.open_result(models=['theta'])
    assert any(text.startswith('Theta heeds no such numbers') for text in desk.texts())
