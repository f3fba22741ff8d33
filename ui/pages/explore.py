"""Explore: one panel over a dataset, every choice in the address, on its way to a dashboard."""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from nicegui import ui

from core import suggest
from core.dashboards import Dashboard
from core.errors import NotFound, UsageError
from core.panels import NAME, parsed
from core.services import Services
from core.values import Dataset
from ui.components.panels import EXPLORE, Explorer, described
from ui.components.parts import button, card, page_head
from ui.components.states import empty_state
from ui.session import current
from ui.theme import PATIENCE, frame


def register(services: Services) -> None:
    """Serve `/explore`."""

    @ui.page(EXPLORE, response_timeout=PATIENCE)
    async def explore(dataset: str = '', q: str = '', dashboard: str = '', panel: str = '') -> None:
        user_id = current().user.id
        ready = [data for data in await services.datasets.list(user_id) if data.version is not None]
        target = await services.dashboards.get(user_id, _uuid(dashboard, 'dashboard')) if dashboard else None
        edited = _panel_of(target, panel)
        chosen = _chosen(ready, dataset or (edited or {}).get('dataset', ''))
        with frame(services, 'Explore', active=EXPLORE):
            page_head('Explore', 'Choose measures and series; drag across the chart to zoom.')
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
            known = {str(data.id): {'name': data.name, 'version': data.version} for data in ready}
            known[str(chosen.id)] = {
                **described(chosen.name, version),
                'columns': [column['name'] for column in manifest['columns'] if column['role'] != 'time'],
                'added': suggest.added(manifest, chosen.name),
            }
            forecasts = [
                one for one in await services.forecasts.list(user_id) if one.dataset_id == chosen.id and one.issued_at
            ]
            Explorer(
                dataset=str(chosen.id),
                datasets=known,
                spec=_spec(str(chosen.id), manifest, q, edited),
                chosen=parsed({})['variables'],  # as they are without the address, which the browser reads itself
                dashboards=[{'id': str(one.id), 'name': one.name} for one in await services.dashboards.list(user_id)],
                target=None if target is None else {'id': str(target.id), 'panel': panel if edited else ''},
                forecasts=[{'id': str(one.id), 'name': one.name} for one in forecasts],
            )


def _chosen(ready: Sequence[Dataset], dataset: str) -> Dataset | None:
    if dataset:
        found = next((data for data in ready if str(data.id) == dataset), None)
        if found is None:
            raise NotFound('There is no such dataset, or it has not been converted yet.')
        return found
    return ready[0] if ready else None


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


def _uuid(text: str, what: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise NotFound(f'There is no such {what}.') from error
