"""Forecasts: the list, and the page with the form that asks for one."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from fastapi import Request
from nicegui import ui

from core.analysis.ahead import Ahead
from core.analysis.forecasting.registry import MODELS, hint
from core.errors import NotFound, Unavailable
from core.services import Services
from core.values import Forecast, JobState, Version
from ui.components.parts import badge, button, card, page_head, tag
from ui.components.states import empty_state, out_of_reach
from ui.components.table import Column, table
from ui.components.times import when
from ui.live import follow
from ui.pages import forecast_choices as choosing
from ui.pages.forecast_wizard import Matter, Wizard
from ui.pages.forecast_words import model_name
from ui.session import current
from ui.theme import PATIENCE, frame

MOST_LABELS = 1000
STATE_BADGES = {'succeeded': 'ok', 'failed': 'bad', 'cancelled': 'line', 'queued': 'line', 'running': 'acc'}


def register(services: Services) -> None:
    """Serve `/forecasts` and `/forecasts/new`."""

    @ui.page('/forecasts')
    async def forecasts() -> None:
        with frame(services, 'Forecasts', active='/forecasts') as session:
            page_head('Forecasts', 'Each one is kept as it was issued.', actions=_actions)
            box = tag('div')

            async def refresh() -> None:
                found = await services.forecasts.list(session.user.id)
                box.clear()
                with box, card():
                    if found:
                        _list(found)
                    else:
                        empty_state(
                            'No forecasts yet',
                            'Choose a dataset and a horizon. The forecast shows its bands, and how well they held.',
                            actions=_new_button,
                        )

            await refresh()

            async def changed(message: Mapping[str, Any]) -> None:
                if message.get('forecast') and message.get('state') != JobState.RUNNING:
                    await refresh()

            follow(services.events, f'{session.user.id}/jobs', changed, within=box, on_ready=refresh)

    @ui.page('/forecasts/new', response_timeout=PATIENCE)
    async def new(request: Request, dataset: str = '') -> None:
        user_id = current().user.id
        ready = [data for data in await services.datasets.list(user_id) if data.version is not None]
        chosen = next((data for data in ready if str(data.id) == dataset), None)
        if dataset and chosen is None:
            raise NotFound('There is no such dataset, or it has not been converted yet.')
        with frame(services, ('Forecasts', '/forecasts'), 'New forecast', active='/forecasts') as session:
            page_head('New forecast')
            if not ready:
                with card():
                    empty_state(
                        'No data to forecast yet',
                        'Upload a file first; its measures can then be forecast.',
                        actions=lambda: button('Go to datasets', kind='pri', href='/datasets'),
                    )
                return
            chosen = chosen or ready[0]
            version = await services.datasets.version(user_id, chosen.id)
            if not version.manifest['measures']:
                with card():
                    empty_state(
                        'This dataset has no measure',
                        'Make a numeric column a measure first.',
                        actions=lambda: button('Its columns', kind='pri', href=f'/datasets/{chosen.id}?tab=columns'),
                    )
                return
            query = {name: request.query_params.getlist(name) for name in request.query_params}
            choices = choosing.read(query, version)
            labels, ahead, away = await _stored(services, user_id, version, choices.target)
            if away:
                with card():
                    out_of_reach(away, kept='Every version of the dataset.')
            matter = Matter(
                datasets=ready,
                dataset=chosen,
                version=version,
                labels=labels,
                ahead=ahead,
                models=_models(services),
                away=bool(away),
            )
            Wizard(services, matter, choices).draw(await services.hours.balance(user_id), session)


async def _stored(
    services: Services, user_id: UUID, version: Version, target: str
) -> tuple[Sequence[str], Mapping[str, Ahead], str]:
    """The series, what is known ahead of `target`, and why they are not known better: the store may be away."""
    try:
        labels = await services.datasets.labels(user_id, version, limit=MOST_LABELS)
        return labels, await services.datasets.known_ahead(user_id, version, target), ''
    except Unavailable as error:
        return version.manifest['series']['first'], {}, error.message


def _models(services: Services) -> Mapping[str, str]:
    """The models that can run: at Modal all of them, here those whose package is installed."""
    elsewhere = services.settings.modal_token_id is not None
    return {name: about for name, about in MODELS.items() if elsewhere or not hint(name)}


def _actions() -> None:
    button('Track record', icon_name='shield-check', href='/track')
    _new_button()


def _new_button() -> None:
    button('New forecast', icon_name='plus', kind='pri', href='/forecasts/new')


def _list(found: Sequence[Forecast]) -> None:
    def name(forecast: Forecast) -> None:
        with tag('div', classes='vs'):
            tag('span', forecast.name, 'w5 cut')
            tag('span', f'{forecast.dataset_name} v{forecast.version}', 't12 t3 cut')

    table(
        [
            Column[Forecast](label='Name', cell=name, width='34%'),
            Column[Forecast](label='Steps', cell=lambda f: str(f.request['h']), num=True, width='10%'),
            Column[Forecast](
                label='Models',
                cell=lambda f: ', '.join(map(model_name, f.request['models'])),
                classes='t2 pad-l',
                phone=False,
            ),
            Column[Forecast](label='State', cell=lambda f: badge(f.state.value, STATE_BADGES[f.state]) and None),
            Column[Forecast](label='Asked', cell=lambda f: when(f.created_at) and None, num=True, phone=False),
        ],
        found,
        href=lambda f: f'/forecasts/{f.id}',
        label='Forecasts',
    )
