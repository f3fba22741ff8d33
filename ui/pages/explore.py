"""Explore: one panel over a dataset, every choice in the address, on its way to a dashboard."""

import json
from collections.abc import Mapping
from typing import Any

from nicegui import ui

from core import suggest
from core.dashboards import Dashboard
from core.errors import UsageError
from core.forecasts import best
from core.panels import NAME, parsed
from core.services import Services
from core.values import Forecast
from ui.components.chart import asked
from ui.components.panels import EXPLORE, Explorer, described
from ui.components.parts import button, card, page_head
from ui.components.states import empty_state
from ui.pages.addressed import dataset_of, id_of
from ui.session import current
from ui.theme import PATIENCE, Crumb, frame

SERIES = 200  # of a forecast, that Explore knows it to hold


def register(services: Services) -> None:
    """Serve `/explore`."""

    @ui.page(EXPLORE, response_timeout=PATIENCE)
    async def explore(dataset: str = '', q: str = '', dashboard: str = '', panel: str = '') -> None:
        user_id = current().user.id
        target = await services.dashboards.get(user_id, id_of(dashboard, 'dashboard')) if dashboard else None
        edited = _panel_of(target, panel)
        chosen = await dataset_of(services, user_id, dataset or (edited or {}).get('dataset', ''))
        crumbs: tuple[Crumb, ...] = ('Explore',)
        if target:
            doing = 'Edit panel' if edited else 'Add panel'
            crumbs = ('Dashboards', '/dashboards'), (target.name, f'/dashboards/{target.id}'), doing
        with frame(services, *crumbs, active='/dashboards' if target else EXPLORE):
            _head(target, panel if edited else '')
            if chosen is None:
                with card():
                    empty_state(
                        'No data to explore yet',
                        'Upload a file first; its measures can then be charted.',
                        actions=lambda: button('Go to datasets', kind='pri', href='/datasets'),
                    )
                return
            version = await services.datasets.version(user_id, chosen.id)
            manifest = version.manifest
            if not any(len(name) <= NAME for name in manifest['measures']):
                with card():
                    empty_state(
                        'This dataset has no measure',
                        'Make a numeric column a measure first.',
                        actions=lambda: button('Its columns', kind='pri', href=f'/datasets/{chosen.id}?tab=columns'),
                    )
                return
            known = {
                **described(chosen.name, version),
                'columns': [column['name'] for column in manifest['columns'] if column['role'] != 'time'],
                'added': suggest.added(manifest, chosen.name),
                'summed': suggest.summed(manifest, chosen.name),
            }
            forecasts = await services.forecasts.issued_of(user_id, chosen.id)
            Explorer(
                dataset=str(chosen.id),
                datasets={str(chosen.id): known},
                spec=_spec(str(chosen.id), manifest, q, edited),
                # As they are without the address, which the browser reads itself.
                chosen=target.spec['variables'] if target and edited else parsed({})['variables'],
                dashboards=[{'id': str(one.id), 'name': one.name} for one in await services.dashboards.list(user_id)],
                target=None if target is None else {'id': str(target.id), 'panel': panel if edited else ''},
                forecasts=[_foretold(one, one.result) for one in forecasts if one.result],
            )


def _head(target: Dashboard | None, panel: str) -> None:
    """What the page is for; a panel of a dashboard may be left as it was."""
    how = 'Choose measures and series; drag across the chart to zoom.'
    if target is None:
        page_head('Explore', how)
        return
    back = f'/dashboards/{target.id}' + (f'#{panel}' if panel else '')
    page_head(
        'Edit panel' if panel else 'Add panel',
        f'{"Of" if panel else "To"} the dashboard {target.name}. {how}',
        actions=lambda: button('Cancel', href=back),
    )


def _foretold(forecast: Forecast, result: Mapping[str, Any]) -> Mapping[str, Any]:
    """What Explore offers of a forecast: its models that gave rows, its first series, and what draws its target."""
    return {
        'id': str(forecast.id),
        'name': forecast.name,
        'models': [model['name'] for model in result['models'] if model['rows']],
        'best': best(result),
        'series': list(result['series'])[:SERIES],
        'n_series': int(result.get('n_series') or len(result['series'])),
        'asked': asked(forecast.request),
    }


def _panel_of(target: Dashboard | None, panel: str) -> Mapping[str, Any] | None:
    if target is None or not panel:
        return None
    return next((dict(one) for one in target.spec['panels'] if one['id'] == panel and one['dataset']), None)


def _spec(dataset: str, manifest: Mapping[str, Any], q: str, edited: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The panel that the address asks for, the one that is edited, or a first look at the first measure."""
    first = suggest.first_look(manifest)
    asked: Mapping[str, Any] = edited or first
    if q:
        try:
            asked = json.loads(q)
        except (ValueError, RecursionError) as error:
            raise UsageError('The address holds no chart: its part `q` is no JSON.', place='q') from error
        if not isinstance(asked, dict):
            raise UsageError('The address holds no chart: its part `q` is no object.', place='q')
    panel = parsed({'panels': [{**asked, 'id': 'explore', 'dataset': dataset}]})['panels'][0]
    known = [name for name in panel['query'].get('measures', []) if name in manifest['measures']]
    return {**panel, 'query': {**panel['query'], 'measures': known or first['query']['measures']}}
