"""One suite, every adapter: fixtures that run a test of a port once on each place that keeps its promises."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from core.ports import Identity
from storage.embedded.identity import EmbeddedIdentity
from storage.postgres import Postgres

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)

Browse = Callable[[str], Awaitable[Mapping[str, str]]]
Mailed = Callable[[str], Awaitable[str]]


@pytest.fixture(params=['embedded'])
def place(request: pytest.FixtureRequest) -> str:
    """Where identities are kept in this run of a test."""
    return str(request.param)


@pytest.fixture
def identity(place: str, request: pytest.FixtureRequest) -> Identity:
    """The Identity port of this place."""
    return request.getfixturevalue(f'{place}_identity')


@pytest.fixture
def browser_answer(place: str, request: pytest.FixtureRequest) -> Browse:
    """What a browser brings back that goes where it was sent: the query with which it comes to `redirect_to`."""
    return request.getfixturevalue(f'{place}_browser_answer')


@pytest.fixture
def mailed(place: str, request: pytest.FixtureRequest) -> Mailed:
    """The link in the last mail to an email."""
    return request.getfixturevalue(f'{place}_mailed')


@pytest.fixture
def embedded_identity(database: Postgres, tmp_path: Path) -> EmbeddedIdentity:
    return EmbeddedIdentity(database, tmp_path / 'secrets', hasher=CHEAP)
