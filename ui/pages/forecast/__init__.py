"""A forecast: its chart over history, its leaderboard, its series, its residuals and what explains it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import Request
from nicegui import ui

from core.errors import Unavailable
from core.services import Services
from core.values import Forecast, Job, JobState, Session
from ui.components import formats
from ui.components.jobs import Running
from ui.components.parts import Tag, badge, button, card, icon, icon_button, page_head, tabs, tag
from ui.components.states import empty_state, error_state, skeleton_rows
from ui.components.times import amount, count, day
from ui.live import follow
from ui.pages import forecast_choices as choosing
from ui.pages.addressed import id_of
from ui.pages.datasets import restored as dataset_restored
from ui.pages.forecast.chart_tab import ChartTab
from ui.pages.forecast.explain_tab import ExplainTab
from ui.pages.forecast.leaderboard_tab import LeaderboardTab
from ui.pages.forecast.residuals_tab import ResidualsTab
from ui.pages.forecast.series_tab import SeriesTab
from ui.pages.forecast.state import TABS, Shown, State, View, read
from ui.pages.forecast.what_if import told
from ui.pages.forecast_words import in_words
from ui.pages.forecasts import counts_on, restored
from ui.preferences import local
from ui.session import actor, current
from ui.theme import PATIENCE, frame

VIEWS: Mapping[str, type[View]] = {
    'chart': ChartTab,
    'leaderboard': LeaderboardTab,
    'series': SeriesTab,
    'residuals': ResidualsTab,
    'explain': ExplainTab,
}

FORMS = (('csv', 'CSV'), ('parquet', 'Parquet'))


def register(services: Services) -> None:
    """Serve `/forecasts/{id}`."""

    @ui.page('/forecasts/{forecast_id}', response_timeout=PATIENCE)
    async def forecast(request: Request, forecast_id: str) -> None:
        state, user_id, of = read(request.query_params), current().user.id, id_of(forecast_id, 'forecast')
        if until := await services.forecasts.kept_until(user_id, of):
            await _gone(services, user_id, of, until)
            return
        found = await services.forecasts.get(user_id, of)
        with frame(services, ('Forecasts', '/forecasts'), found.name, active='/forecasts') as session:
            box = tag('div', classes='stack')
            running = Running(in_words)

            async def draw() -> None:
                running.clear()
                data = await services.forecasts.get(session.user.id, found.id)
                if data.result is not None:
                    await _result(services, session, data, data.result, state, box)
                    return
                job = await services.jobs.get(session.user.id, data.job_id) if data.job_id else None
                box.clear()
                with box:
                    _waiting(services, data, job, running)

            await draw()

            async def catch_up() -> None:
                """Whatever ended before this page listened would not be told again."""
                if found.state.final or found.job_id is None:
                    return
                if not running.catch_up(await services.jobs.get(session.user.id, found.job_id)):
                    await draw()

            async def changed(message: Mapping[str, Any]) -> None:
                if message.get('forecast') == str(found.id) and not running.tell(message):
                    await draw()

            follow(services.events, f'{session.user.id}/jobs', changed, within=box, on_ready=catch_up)


async def _gone(services: Services, user_id: UUID, forecast_id: UUID, until: datetime) -> None:
    """Say that the forecast was deleted, with the way to bring it back."""
    forecast = await services.forecasts.get(user_id, forecast_id, deleted=True)
    if forecast.issued_at is None:
        after = 'Then it is removed for good.'
    elif counts_on(forecast):
        after = 'It goes on counting in the track record, also after that; panels do not draw it.'
    else:
        after = 'Panels do not draw it.'

    async def restore() -> None:
        await restored(services, forecast_id)
        ui.navigate.to(f'/forecasts/{forecast_id}')

    def actions() -> None:
        button('Restore', kind='pri', icon_name='undo-2', on_click=restore)
        button('All forecasts', href='/forecasts')

    with frame(services, ('Forecasts', '/forecasts'), forecast.name, active='/forecasts'):
        page_head(forecast.name, f'{forecast.dataset_name} v{forecast.version}')
        with card():
            empty_state(
                'This forecast was deleted',
                f'It can be brought back until {day(until)}. {after}',
                actions=actions,
            )


def _waiting(services: Services, forecast: Forecast, job: Job | None, running: Running) -> None:
    page_head(forecast.name, f'{forecast.dataset_name} v{forecast.version}')
    if job is None or job.state in (JobState.FAILED, JobState.CANCELLED):
        _failed(services, forecast, job)
        return
    with card():
        running.draw(services, job, f'Forecasting {forecast.request["target"]}')
        skeleton_rows(6)
    tag('p', 'You can close this tab; the work goes on.', 't12 t3')


def _failed(services: Services, forecast: Forecast, job: Job | None) -> None:
    cancelled = job is not None and job.state == JobState.CANCELLED

    async def again() -> None:
        if job is not None:
            await services.jobs.retry(current().user.id, job.id)

    def actions() -> None:
        if job is not None:
            button('Try again', kind='pri', icon_name='rotate-ccw', on_click=again)
        button('Ask for another', href=_again(forecast))
        button('Delete', icon_name='trash-2', on_click=lambda: _delete(services, forecast))
        if job is not None and job.quote:
            tag('span', f'Up to {amount(job.quote)} of your hours', 't12 t3')

    with card():
        error_state(
            'The forecast was cancelled' if cancelled else 'The forecast failed',
            (job.error or {}).get('message', job.message) if job else 'Its job is gone.',
            rows={
                'What is kept': 'The dataset and the request.',
                **({'Hours': 'Not charged. What was held for it is back.'} if job else {}),
                'What to do': 'Try again, or ask for another one.',
            },
            actions=actions,
            number='' if cancelled or job is None else str(job.id)[:8],
        )


async def _result(
    services: Services, session: Session, forecast: Forecast, result: Mapping[str, Any], state: State, box: Any
) -> None:
    shown = Shown(
        services=services,
        session=session,
        forecast=forecast,
        result=result,
        state=state,
        times=await services.forecasts.times(session.user.id, forecast.id),
        dataset_until=await services.datasets.kept_until(session.user.id, forecast.dataset_id),
    )
    view = VIEWS[state.tab](shown)
    try:
        await view.load()
    except Unavailable as error:
        view.away = error.message
    box.clear()
    with box:
        links = _head(shown)
        view.on_change = lambda now: _follow(links, now)
        await view.draw()


def _follow(links: Sequence[Tag], shown: Shown) -> None:
    """Let the tabs lead to what is chosen now."""
    for link, (_, _, href) in zip(links, _tabs(shown), strict=True):
        link.props['href'] = href


def _tabs(shown: Shown) -> list[tuple[str, str, str]]:
    counts = {'series': count(shown.n_series)}
    return [(name.capitalize(), counts.get(name, ''), shown.address(tab=name, page=1)) for name in TABS]


def _head(shown: Shown) -> list[Tag]:
    forecast = shown.forecast

    def issued() -> None:
        badge(f'Issued {_issued(forecast.issued_at)}', 'acc', icon_name='lock')

    facts = [
        f'{forecast.dataset_name} v{forecast.version}',
        formats.counted(shown.n_series, 'series', 'series'),
        _cutoff(shown),
        formats.counted(forecast.request['h'], 'step'),
        *([f'holidays {forecast.request["holidays"]}'] if forecast.request.get('holidays') else []),
    ]
    page_head(forecast.name, ' · '.join(facts), beside=issued, actions=lambda: _actions(shown))
    if shown.dataset_until:
        _without_dataset(shown, shown.dataset_until)
    _changed(forecast)
    return tabs(_tabs(shown), shown.state.tab.capitalize())


def _cutoff(shown: Shown) -> str:
    """Where the series end: from when to when, if not all of them at once."""
    first, last = shown.cutoffs
    until = f'cutoff {last or "–"}' if first == last else f'cutoffs from {first} to {last}'
    return f'{until} ({shown.times.said})' if shown.times.said else until


def _changed(forecast: Forecast) -> None:
    """Say of a what-if what it differs in, and from what."""
    changes = forecast.request.get('changes')
    if not changes:
        return
    with tag('div', classes='note', role='note'):
        icon('sliders-horizontal')
        tag('span', f'What if: {told(changes)}.', 'grow')
        if base := forecast.request.get('base'):
            tag('a', 'The forecast before', 'link nowrap', href=f'/forecasts/{base}')


def _issued(at: datetime | None) -> str:
    at = local(at) if at else None
    return f'{at.day} {at:%b %Y, %H:%M}' if at else '–'


def _without_dataset(shown: Shown, until: datetime) -> None:
    """Say that the dataset was deleted and what that means, with the way to bring it back."""
    services, forecast = shown.services, shown.forecast

    async def restore() -> None:
        await dataset_restored(services, forecast.dataset_id)
        ui.navigate.to(shown.address())

    with tag('div', classes='note warn', role='note'):
        icon('trash-2')
        said = f'Its dataset {forecast.dataset_name} was deleted. It can be brought back until {day(until)}; '
        tag('span', f'{said}then it is removed for good, with this forecast.', 'grow')
        button('Restore the dataset', kind='small', icon_name='undo-2', on_click=restore)


def _actions(shown: Shown) -> None:
    services, forecast = shown.services, shown.forecast
    record = f'/track?dataset={forecast.dataset_id}'
    with tag('span', classes='wide-only'):
        button('Track record', icon_name='shield-check', href=record)
    with tag('a', classes='b phone-only', href=record, aria_label='Track record', title='Track record'):
        icon('shield-check')
    with tag('button', 'Export', 'b', type='button', popovertarget='export'):
        icon('download', classes='lead')
    api = f'/api/v1/forecasts/{forecast.id}'
    links = [(f'{api}/rows.{form}', f'Rows as {name}') for form, name in FORMS]
    if any(model.get('backtests') for model in (forecast.result or {}).get('models', ())):
        links += [(f'{api}/backtest.{form}', f'Backtest as {name}') for form, name in FORMS]
    with tag('div', classes='menu', id='export', popover='auto', role='menu', aria_label='Export'):
        for href, label in links:
            tag('a', label, 'mi', href=href, role='menuitem')
    if not shown.dataset_until:
        button('Ask for another', kind='pri', icon_name='play', href=_again(forecast))
    icon_button('ellipsis', 'More', popovertarget='more')
    with tag('div', classes='menu', id='more', popover='auto', role='menu', aria_label='More'):
        line = tag('button', classes='mi', type='button', role='menuitem')
        with line.on('click', lambda: _delete(services, forecast)):
            icon('trash-2')
            tag('span', 'Delete')


async def _delete(services: Services, forecast: Forecast) -> None:
    """Take the forecast away; the list offers to bring it back."""
    await services.forecasts.delete(current().user.id, forecast.id, by=actor())
    ui.navigate.to(f'/forecasts?deleted={forecast.id}')


def _again(forecast: Forecast) -> str:
    """The form with what this forecast was asked for."""
    return choosing.write(choosing.again(forecast), dataset=str(forecast.dataset_id))
