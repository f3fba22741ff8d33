"""Fixtures for tests that need a server of S3; a test module imports those that it uses."""

from collections.abc import Iterator

import pytest

from tests.counterparts.fault_proxy import FaultProxy
from tests.counterparts.moto import Moto
from tests.counterparts.rclone import Rclone

__all__ = ['broken_moto', 'broken_rclone', 'moto', 'rclone']


@pytest.fixture(scope='session')
def moto() -> Iterator[Moto]:
    """An S3 server that is right on ranges and conditional puts."""
    with Moto() as server:
        yield server


@pytest.fixture(scope='session')
def rclone() -> Iterator[Rclone]:
    """An S3 server that enforces signatures and checksums."""
    with Rclone() as server:
        yield server


@pytest.fixture(scope='session')
def broken_moto(moto: Moto) -> Iterator[FaultProxy]:
    """A proxy in front of moto."""
    with FaultProxy(moto.url) as proxy:
        yield proxy


@pytest.fixture(scope='session')
def broken_rclone(rclone: Rclone) -> Iterator[FaultProxy]:
    """A proxy in front of rclone."""
    with FaultProxy(rclone.url) as proxy:
        yield proxy
