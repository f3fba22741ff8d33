"""A real `redis-server` on loopback that may be killed, held still and started again on the same port."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Self

import redis

from tests.counterparts.running import Running
from tests.e2e.server import free_port

PATIENCE = 10.0


class RedisServer(Running):
    """Nothing is saved: what starts again is empty. `with RedisServer() as server:` starts it and cleans up."""

    def __init__(self, *, password: str = '', tls: bool = False) -> None:
        self.port = free_port()
        self._password = password
        self._tls = tls
        self._folder = Path(tempfile.mkdtemp(prefix='vs-redis-'))
        self._process: subprocess.Popen[bytes] | None = None
        if tls:
            self._make_certificate()

    @property
    def url(self) -> str:
        """The address as `REDIS_URL` takes it."""
        scheme, query = ('rediss', f'?ssl_ca_certs={self.certificate}') if self._tls else ('redis', '')
        secret = f':{self._password}@' if self._password else ''
        return f'{scheme}://{secret}127.0.0.1:{self.port}/0{query}'

    @property
    def certificate(self) -> Path:
        """The certificate that the server shows and that vouches for itself."""
        return self._folder / 'cert.pem'

    def start(self) -> Self:
        """Start and return when it answers."""
        port = ['--port', '0', '--tls-port', str(self.port)] if self._tls else ['--port', str(self.port)]
        files = ['--tls-cert-file', self.certificate, '--tls-key-file', self._folder / 'key.pem']
        tls = [*files, '--tls-auth-clients', 'no'] if self._tls else []
        secret = ['--requirepass', self._password] if self._password else []
        command = ['redis-server', '--bind', '127.0.0.1', *port, *tls, *secret, '--save', '', '--dir', self._folder]
        with (self._folder / 'log').open('ab') as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise AssertionError('redis-server did not start:\n' + (self._folder / 'log').read_text())
            time.sleep(0.005)
        return self

    def kill(self) -> None:
        """End it as a power cut would."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(PATIENCE)

    def hold(self) -> None:
        """Hold it still: connections stay, nothing is answered."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on: what has arrived meanwhile is done now."""
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it, and remove its files."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def run(self, *command: Any) -> Any:
        """Run a command as an administrator would, apart from what is tested."""
        with redis.Redis.from_url(self.url, socket_timeout=PATIENCE) as client:
            return client.execute_command(*command)

    def _answers(self) -> bool:
        try:
            return bool(self.run('PING'))
        except redis.ConnectionError:
            return False

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            os.kill(self._process.pid, number)

    def _make_certificate(self) -> None:
        key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2']
        names = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1']
        files = ['-keyout', str(self._folder / 'key.pem'), '-out', str(self.certificate)]
        subprocess.run(['openssl', 'req', '-x509', *key, *names, *files], check=True, capture_output=True)
