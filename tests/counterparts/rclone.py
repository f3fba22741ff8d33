"""An S3 server in a process of its own: it enforces signatures and checksums, and keeps objects as files."""

import subprocess
import sys
import tempfile
import threading
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import boto3

from storage.objects import ObjectsAt
from tests.counterparts.running import Running

PROGRAM = Path(sys.executable).with_name('rclone')
KEY = 'AKIACOUNTERPART'
SECRET = 'counterpart-secret'
SOON = 20.0


class Rclone(Running):
    """`rclone serve s3` on a free port of 127.0.0.1, from `start` to `stop`. Its buckets are folders of `root`."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix='vs-rclone-')
        self._process: subprocess.Popen[str] | None = None
        self._url = ''

    @property
    def root(self) -> Path:
        """The folder whose folders are buckets."""
        return Path(self._folder.name)

    @property
    def url(self) -> str:
        """Where it answers."""
        return self._url

    def at(self, bucket: str) -> ObjectsAt:
        """Return where this bucket is, whether it is there or not."""
        return ObjectsAt(bucket=bucket, endpoint=self.url, key=KEY, secret=SECRET)

    def make(self, bucket: str) -> ObjectsAt:
        """Make an empty bucket."""
        self._client.create_bucket(Bucket=bucket)
        return self.at(bucket)

    @cached_property
    def _client(self) -> Any:
        return boto3.client('s3', endpoint_url=self.url, aws_access_key_id=KEY, aws_secret_access_key=SECRET)

    def start(self) -> Self:
        """Serve until `stop`; return when connections are answered."""
        self._process = subprocess.Popen(
            [
                *(PROGRAM, 'serve', 's3', self.root, '--addr', '127.0.0.1:0', '--auth-key', f'{KEY},{SECRET}'),
                *('--config', '/dev/null', '--no-modtime'),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._await_address()
        return self

    def _await_address(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        watch = threading.Timer(SOON, self._process.kill)
        watch.start()
        said = []
        for line in self._process.stderr:
            said.append(line)
            if '[http://' in line:
                self._url = line.split('[')[1].split(']')[0].rstrip('/')
                break
        watch.cancel()
        if not self._url:
            raise RuntimeError(f'rclone did not start: {"".join(said)}')
        # What it says later goes nowhere, so that it never waits for a reader.
        threading.Thread(target=self._process.stderr.read, daemon=True).start()

    def stop(self) -> None:
        """Stop and remove the buckets."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            assert self._process.stderr is not None
            self._process.stderr.close()
            self._process = None
        self._folder.cleanup()
