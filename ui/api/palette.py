"""`GET /api/v1/palette`: what the command palette of the signed-in user offers."""

from typing import Any

from nicegui import app
from starlette.requests import Request
from starlette.responses import JSONResponse

from ui.components.palette import Entry, as_data
from ui.components.times import count
from ui.session import signed_in
from ui.theme import PAGES


def register(services: Any) -> None:
    """Answer with pages and the user's datasets."""

    @app.get('/api/v1/palette', include_in_schema=False)
    async def palette(request: Request) -> JSONResponse:
        session = signed_in(request)
        pages = [
            Entry(label=label, icon=icon, group='Pages', keys=keys, href=path) for label, path, icon, keys in PAGES
        ]
        datasets = [
            Entry(
                label=dataset.name,
                icon='database',
                group='Datasets',
                hint='' if dataset.rows is None else f'{count(dataset.rows)} rows',
                href=f'/datasets/{dataset.id}',
            )
            for dataset in await services.datasets.list(session.user.id)
        ]
        return JSONResponse(as_data([*datasets, *pages]), headers={'Cache-Control': 'private, no-store'})
