"""What `ui/sockets.py` and `ui/app.py` touch inside NiceGUI: when this fails after an upgrade, read both first."""

import inspect
from pathlib import Path

import nicegui
import nicegui.nicegui as framework
import pytest
from nicegui import Client, app, core, ui
from nicegui.app.app_config import AppConfig
from nicegui.testing import User

from ui.sockets import REFUSAL

HANDLERS = {
    'connect': ['sid', 'data', '_'],
    'handshake': ['sid', 'data'],
    'disconnect': ['sid'],
    'event': ['_', 'msg'],
    'javascript_response': ['_', 'msg'],
    'ack': ['_', 'msg'],
    'log': ['_', 'msg'],
}


def test_the_version_is_the_one_that_was_read() -> None:
    assert nicegui.__version__.startswith('3.18.')


def test_no_other_socket_message_exists() -> None:
    assert set(core.sio.handlers['/']) == set(HANDLERS)
    assert not core.sio.namespace_handlers
    assert set(core.sio.handlers) == {'/'}


@pytest.mark.parametrize(('name', 'parameters'), HANDLERS.items())
def test_handlers_take_what_the_guard_gives(name: str, parameters: list[str]) -> None:
    handler = getattr(framework, f'_on_{name}')
    assert list(inspect.signature(handler).parameters) == parameters
    assert inspect.iscoroutinefunction(handler) == (name in ('connect', 'handshake'))


def test_an_implicit_handshake_happens_inside_connect() -> None:
    assert "query.get('implicit_handshake', '') == 'true'" in inspect.getsource(framework._on_connect)


def test_the_page_reloads_at_the_guard_s_refusal() -> None:
    script = (Path(nicegui.__file__).parent / 'static' / 'nicegui.js').read_text(encoding='utf-8')
    assert f'err.message == "{REFUSAL}"' in script


def test_a_page_is_told_to_move_by_its_socket() -> None:
    script = (Path(nicegui.__file__).parent / 'static' / 'nicegui.js').read_text(encoding='utf-8')
    assert 'run_javascript: (msg) => runJavascript(msg.code' in script
    assert 'window.socket = io(' in script


def test_the_socket_s_transports_can_be_limited() -> None:
    assert set(core.sio.eio.transports) <= {'polling', 'websocket'}
    assert isinstance(AppConfig().socket_io_js_transports, list)


def test_pages_keep_their_request_and_answer_to_their_id() -> None:
    assert isinstance(Client.instances, dict)
    assert 'self._request' in inspect.getsource(Client.request.fget)
    assert "'/_nicegui/client/" in inspect.getsource(ui.upload)


def test_page_answers_are_marked() -> None:
    assert "'X-NiceGUI-Content': 'page'" in inspect.getsource(Client.build_response)


def test_what_the_app_replaces_is_there() -> None:
    assert isinstance(app._exception_handlers, list)
    assert 'Quasar' in AppConfig().vue_config_script
    assert 'loadingBar' in AppConfig().quasar_config
    assert callable(app._iter_http_routes)


def test_simulated_users_shake_hands_past_the_guard() -> None:
    """The `User` fixture calls NiceGUI's own handshake, so page tests need no socket."""
    assert '_on_handshake(' in inspect.getsource(User.open)
