"""One suite, every adapter: fixtures that run a test of a port once on each place that keeps its promises."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
import pytest_asyncio
from argon2 import PasswordHasher

from core.ports import Identity
from core.settings import Settings
from storage.cloud.identity import SupabaseIdentity
from storage.embedded.identity import EmbeddedIdentity
from storage.embedded.nursery import Nursery
from storage.mail import OutboxMailer, open_mailer, read_outbox
from storage.postgres import Postgres
from tests.counterparts.s3 import broken_moto, broken_rclone, moto, rclone  # noqa: F401 - fixtures
from tests.fakes.modal import FakeModal
from tests.fakes.oidc import FakeOidc, open_oidc
from tests.fakes.outbox import link_to
from tests.fakes.supabase import FakeSupabase, Project

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
UNUSED = OutboxMailer(Path('/nonexistent'), sender='mail@variosync.example')
TASKS = 'tests.contracts.tasks_for_tests'
RETURN = 'http://127.0.0.1:8080/auth/return'

Browse = Callable[[str], Awaitable[Mapping[str, str]]]
Mailed = Callable[[str], Awaitable[str]]


@pytest.fixture(scope='session')
def light_nursery() -> Iterator[Nursery]:
    """One of children that run tasks for tests: begun in a tenth of the time of one that imports what others need,
    so often as one of its children crashes."""
    nursery = Nursery(['storage.objects'])
    yield nursery
    nursery.close()


@pytest.fixture(scope='session')
def modal_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a Modal that runs the tasks for tests; their objects lie in `objects` there."""
    home = tmp_path_factory.mktemp('modal')
    with FakeModal(home / 'modal').working(TASKS, env={'VARIOSYNC_HOME': str(home)}):
        yield home


@pytest.fixture
def fake_modal(modal_home: Path) -> Iterator[FakeModal]:
    """That Modal in place of the real one, without faults."""
    fake = FakeModal(modal_home / 'modal')
    with fake.installed():
        yield fake
    fake.mend()


@pytest.fixture(params=['embedded', 'supabase'])
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


@pytest.fixture(scope='session')
def oidc_server() -> Iterator[FakeOidc]:
    """A provider that lives as long as the test run."""
    with open_oidc() as fake:
        yield fake


@pytest.fixture
def oidc(oidc_server: FakeOidc) -> FakeOidc:
    """A provider that nobody has asked yet."""
    oidc_server.forget()
    return oidc_server


@pytest.fixture
def outbox(tmp_path: Path) -> Settings:
    """The settings of a home whose outbox holds the mails."""
    return Settings(VARIOSYNC_HOME=tmp_path)


@pytest.fixture
def embedded_identity(database: Postgres, oidc: FakeOidc, outbox: Settings) -> EmbeddedIdentity:
    return EmbeddedIdentity(
        database,
        outbox.home_path / 'secrets',
        mailer=open_mailer(outbox),
        oidc={'google': oidc.settings},
        hasher=CHEAP,
    )


@pytest.fixture
def embedded_browser_answer(http: httpx.AsyncClient) -> Browse:
    return lambda url: answer_at(http, url)


@pytest.fixture
def embedded_mailed(outbox: Settings) -> Mailed:
    async def mailed(email: str) -> str:
        return link_to(email, read_outbox(outbox))

    return mailed


@pytest.fixture(scope='session')
def supabase_server() -> Iterator[FakeSupabase]:
    """One server for all tests: to stop one takes longer than a test."""
    with FakeSupabase() as fake:
        yield fake


@pytest.fixture
def supabase(supabase_server: FakeSupabase) -> FakeSupabase:
    """A new project, set up as we ask its owner to: an old refresh token does not come back, however soon."""
    supabase_server.reset(Project(reuse_interval=-1))
    return supabase_server


@pytest_asyncio.fixture(loop_scope='session')
async def http() -> AsyncIterator[httpx.AsyncClient]:
    """The client that adapters share."""
    async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
        yield client


@pytest.fixture
def supabase_identity(supabase: FakeSupabase, http: httpx.AsyncClient) -> SupabaseIdentity:
    return SupabaseIdentity(
        supabase.url,
        publishable=supabase.project.publishable,
        secret=supabase.project.secret,
        providers=['google', 'github'],
        http=http,
        refusal=0,
    )


@pytest.fixture
def supabase_browser_answer(http: httpx.AsyncClient) -> Browse:
    return lambda url: answer_at(http, url)


@pytest.fixture
def supabase_mailed(supabase: FakeSupabase, http: httpx.AsyncClient) -> Mailed:
    async def mailed(email: str) -> str:
        mails = (await http.get(f'{supabase.url}/inbox', params={'to': email})).json()
        return str(mails[-1]['link'])

    return mailed


async def answer_at(http: httpx.AsyncClient, url: str) -> Mapping[str, str]:
    """Follow redirects as a browser does, up to `RETURN`, and return the query that it comes with."""
    for _ in range(10):
        if url.startswith(RETURN):
            return dict(parse_qsl(urlsplit(url).query))
        url = (await http.get(url, follow_redirects=False)).headers['location']
    raise AssertionError('redirected without an end')
