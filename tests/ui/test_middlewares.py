"""What the framework puts around every request is as its own, for less."""

import inspect

import httpx
import pytest
from nicegui import core, middlewares, ui_run
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from ui.middlewares import FOREVER, Kept, Prefixed, install

OWN = (middlewares.RedirectWithPrefixMiddleware, middlewares.SetCacheControlMiddleware)


async def answer(request: Request) -> Response:
    if request.url.path == '/away':
        return RedirectResponse(request.query_params['to'])
    return Response('yes', headers={'Cache-Control': 'private'})


async def asked(app: ASGIApp, path: str, headers: dict[str, str]) -> tuple[int, list[tuple[str, str]], str]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url='http://here') as client:
        found = await client.get(path, headers=headers)
    return found.status_code, sorted(found.headers.items()), found.text


@pytest.mark.parametrize('headers', [{}, {'X-Forwarded-Prefix': '/below'}], ids=['alone', 'below'])
@pytest.mark.parametrize(
    'path',
    [
        '/', '/away?to=/home', '/away?to=http://there/', '/away?to=near', f'{FOREVER}nicegui.js', FOREVER,
        f'{FOREVER}dynamic_resources/one.css', '/_nicegui/other/nicegui.js',
    ],
)  # fmt: skip
async def test_answers_are_those_of_the_framework_s_own(
    path: str, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core.app.config, 'cache_control_directives', 'public, max-age=9', raising=False)
    inner = Starlette(routes=[Route('/{path:path}', answer)])
    theirs = OWN[1](OWN[0](inner))
    assert await asked(Kept(Prefixed(inner)), path, headers) == await asked(theirs, path, headers)


def test_the_server_takes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ('RedirectWithPrefixMiddleware', 'SetCacheControlMiddleware'):
        assert f'core.app.add_middleware({name})' in inspect.getsource(ui_run.run)
        monkeypatch.setattr(ui_run, name, vars(ui_run)[name])
    install()
    assert (ui_run.RedirectWithPrefixMiddleware, ui_run.SetCacheControlMiddleware) == (Prefixed, Kept)
