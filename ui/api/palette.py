"""`GET /api/v1/palette` and `/api/v1/rail`: what the palette of the signed-in user offers, what the rail counts."""

from collections.abc import Iterator
from typing import Any

from nicegui import app
from starlette.requests import Request
from starlette.responses import JSONResponse

from core.dashboards import Line
from core.datasets import Named
from core.forecasts import Listed
from core.values import Preferences
from ui.components.formats import counted
from ui.components.palette import Entry, as_data
from ui.components.times import ago, count
from ui.session import signed_in
from ui.theme import PAGES, THEMES

FORECASTS = 500  # the newest, that the palette knows
MORE_PAGES = (
    ('Track record', '/track', 'shield-check', ''),
    ('Notices', '/notices', 'bell', 'g n'),
    ('API keys', '/settings?tab=keys', 'key', ''),
    ('Sessions', '/settings?tab=sessions', 'monitor', ''),
    ('Audit log', '/audit', 'history', ''),
)


def register(services: Any) -> None:
    """Answer with pages, actions and what the user has; a page adds its own lines, such as to pause hours."""

    @app.get('/api/v1/palette', include_in_schema=False)
    async def palette(request: Request) -> JSONResponse:
        user = signed_in(request).user
        wanted = user.preferences
        datasets = [_dataset(dataset, wanted) for dataset in await services.datasets.named(user.id)]
        newest = await services.forecasts.list(user.id, limit=FORECASTS)
        forecasts = [_forecast(forecast, wanted) for forecast in newest]
        dashboards = [_dashboard(dashboard) for dashboard in await services.dashboards.list(user.id)]
        entries = [*datasets, *dashboards, *forecasts, *_actions(), *_pages()]
        return JSONResponse(as_data(entries), headers={'Cache-Control': 'private, no-store'})

    @app.get('/api/v1/rail', include_in_schema=False)
    async def rail(request: Request) -> JSONResponse:
        user = signed_in(request).user
        found = await services.dashboards.rail(user.id)
        many = {name: count(value, user.preferences) for name, value in found.items() if value and name != 'pinned'}
        return JSONResponse({**found, **many}, headers={'Cache-Control': 'private, no-store'})


def _dataset(dataset: Named, wanted: Preferences) -> Entry:
    rows = '' if dataset.rows is None else f'{count(dataset.rows, wanted)} rows'
    return Entry(label=dataset.name, icon='database', group='Datasets', hint=rows, href=f'/datasets/{dataset.id}')


def _dashboard(dashboard: Line) -> Entry:
    panels = counted(dashboard.panels, 'panel')
    href = f'/dashboards/{dashboard.id}'
    return Entry(label=dashboard.name, icon='layout-dashboard', group='Dashboards', hint=panels, href=href)


def _forecast(forecast: Listed, wanted: Preferences) -> Entry:
    hint = f'issued {ago(forecast.issued_at, wanted=wanted)}' if forecast.issued_at else forecast.state.value
    return Entry(
        label=forecast.name,
        where=forecast.dataset_name,
        icon='chart-spline',
        group='Forecasts',
        hint=hint,
        href=f'/forecasts/{forecast.id}',
    )


def _actions() -> Iterator[Entry]:
    yield Entry(label='Upload data', icon='upload', press='upload', href='/datasets')
    yield Entry(label='New dashboard', icon='layout-dashboard', href='/dashboards')
    yield Entry(label='New forecast', icon='chart-spline', href='/forecasts/new')
    for value, label, symbol in THEMES:
        yield Entry(label=f'{label} theme', icon=symbol, press=f'theme-{value}')
    yield Entry(label='Download everything', icon='download', href='/api/v1/account/export')
    yield Entry(label='Sign out', icon='log-out', press='sign-out')


def _pages() -> Iterator[Entry]:
    for label, path, symbol, keys in (*PAGES, *MORE_PAGES):
        yield Entry(label=label, icon=symbol, group='Pages', keys=keys, href=path)
