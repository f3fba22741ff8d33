"""An S3 server in this process: right on ranges, conditional puts and bucket settings; it takes any secret."""

import logging
import urllib.request
from typing import Self

from moto.server import ThreadedMotoServer

from storage.objects import ObjectsAt
from tests.counterparts.running import Running

KEY = 'AKIACOUNTERPART'
SECRET = 'counterpart-secret'


class Moto(Running):
    """moto's S3 on a free port of 127.0.0.1, from `start` to `stop`; it forgets everything then."""

    def __init__(self) -> None:
        self._server = ThreadedMotoServer('127.0.0.1', port=0, verbose=False)

    @property
    def url(self) -> str:
        """Where it answers."""
        host, port = self._server.get_host_and_port()
        return f'http://{host}:{port}'

    def at(self, bucket: str) -> ObjectsAt:
        """Return where this bucket is, whether it is there or not."""
        return ObjectsAt(bucket=bucket, endpoint=self.url, key=KEY, secret=SECRET)

    def make(self, bucket: str) -> ObjectsAt:
        """Make an empty bucket."""
        with urllib.request.urlopen(urllib.request.Request(f'{self.url}/{bucket}', method='PUT')):
            return self.at(bucket)

    def start(self) -> Self:
        """Serve until `stop`."""
        logging.getLogger('werkzeug').setLevel(logging.ERROR)
        self._server.start()
        return self

    def stop(self) -> None:
        """Stop and forget."""
        self._server.stop()
