"""Supabase on loopback: the documented API of Auth, Storage and Realtime, small and in one process.

Facts are from https://supabase.com/docs and from the `openapi.yaml` of https://github.com/supabase/auth.
"""

import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import uvicorn
from starlette.applications import Starlette
from starlette.routing import BaseRoute

from tests.counterparts.running import Running
from tests.fakes.supabase.auth import Auth, Refused
from tests.fakes.supabase.project import Project
from tests.fakes.supabase.realtime import Realtime
from tests.fakes.supabase.storage import Storage
from tests.fakes.supabase.store import Store

__all__ = ['FakeSupabase', 'Project']


class FakeSupabase(Running):
    """A project of Supabase on a port of loopback. What it knows lies in `folder`: in `state`, where a kill spares it,
    or in a temporary one.

    `project` holds its settings and may be changed while it runs.
    """

    def __init__(self, *, project: Project | None = None, port: int = 0, state: Path | None = None) -> None:
        self.project = project or Project()
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(('127.0.0.1', port))
        self.socket.listen(128)  # who asks early waits, and is not refused
        self.url = f'http://127.0.0.1:{self.socket.getsockname()[1]}'
        self.folder = state or Path(tempfile.mkdtemp(prefix='vs-supabase-'))
        self.store = Store(self.folder)
        self._temporary = state is None
        self.auth = Auth(self.project, self.store, self.url)
        self.storage = Storage(self.project, self.folder / 'storage')
        self.realtime = Realtime(self.project)
        self.app = Starlette(routes=self._routes())
        self._server = uvicorn.Server(
            uvicorn.Config(self.app, lifespan='off', log_config=None, timeout_graceful_shutdown=1)
        )
        self._thread = threading.Thread(target=self.run, daemon=True)

    def _routes(self) -> Sequence[BaseRoute]:
        return [*self.auth.routes, *self.storage.routes, *self.realtime.routes]

    def role(self, token: str) -> str | None:
        """What a key or an access token opens: `anon`, `authenticated`, `service_role`, or None."""
        if role := self.project.role(token):
            return role
        try:
            self.auth.holder(token)
        except Refused:
            return None
        return 'authenticated'

    def reset(self, project: Project) -> None:
        """Become a new project with these settings: no account, no mail, another key to sign with."""
        vars(self.project).update(vars(project))
        self.store.clear()
        self.auth.begin()
        self.storage.begin()
        self.realtime.begin()

    def run(self) -> None:
        """Serve until told to stop."""
        self._server.run(sockets=[self.socket])

    def start(self) -> Self:
        """Serve in a thread; return once connections are answered."""
        self._thread.start()
        deadline = time.monotonic() + 10
        while not self._server.started:
            if time.monotonic() > deadline or not self._thread.is_alive():
                raise AssertionError('the fake of Supabase did not start')
            time.sleep(0.005)
        return self

    def stop(self) -> None:
        """Stop serving."""
        self._server.should_exit = True
        self._thread.join(10)
        self.store.close()
        if self._temporary:
            shutil.rmtree(self.folder)
