"""What the embedded identity promises beyond `core.ports.Identity`: what its hashes cost, its key, its tokens."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import VerifyMismatchError
from joserfc import jwt
from joserfc.jwk import KeySet

from core.errors import Misconfigured, NotSignedIn
from core.values import Tokens
from storage.embedded.identity import EmbeddedIdentity
from storage.embedded.server import EmbeddedPostgres
from storage.postgres import Postgres
from tests.contracts.conftest import CHEAP, UNUSED

EMAIL = 'ada@example.com'
PASSWORD = 'analytical engine'
DEARER = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)


class Watched(PasswordHasher):
    """A cheap hasher that notes what it verified and how many worked at a time."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.verified: list[str | bytes] = []
        self.threads: set[threading.Thread] = set()
        self.now = self.most = 0
        self._lock = threading.Lock()

    def verify(self, hash: str | bytes, password: str | bytes) -> bool:
        self.verified.append(hash)
        self.threads.add(threading.current_thread())
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            return super().verify(hash, password)
        finally:
            with self._lock:
                self.now -= 1


@pytest.fixture
def make(database: Postgres, tmp_path: Path) -> Callable[..., EmbeddedIdentity]:
    def open_identity(hasher: PasswordHasher = CHEAP) -> EmbeddedIdentity:
        return EmbeddedIdentity(database, tmp_path / 'secrets', mailer=UNUSED, hasher=hasher)

    return open_identity


@pytest.fixture
def identity(make: Callable[..., EmbeddedIdentity]) -> EmbeddedIdentity:
    return make()


@pytest.fixture
async def tokens(identity: EmbeddedIdentity) -> Tokens:
    await identity.sign_up(EMAIL, PASSWORD)
    return await identity.sign_in(EMAIL, PASSWORD)


@pytest.mark.parametrize('password', ['x' * 1024, 'tenchars\ud800!'])
async def test_long_and_broken_passwords_are_passwords_too(identity: EmbeddedIdentity, password: str) -> None:
    await identity.sign_up(EMAIL, password)
    assert await identity.sign_in(EMAIL, password)
    with pytest.raises(NotSignedIn):
        await identity.sign_in(EMAIL, password + 'x')
    with pytest.raises(NotSignedIn):
        await identity.sign_in(EMAIL, password[:-1])


async def test_an_unknown_email_takes_as_long_as_a_wrong_password(make: Callable[..., EmbeddedIdentity]) -> None:
    hasher = Watched()
    identity = make(hasher)
    await identity.sign_up(EMAIL, PASSWORD)
    await identity.ensure('owner@localhost')
    tries = [(EMAIL, 'wrong password'), ('nobody@example.com', PASSWORD), ('owner@localhost', PASSWORD)]
    for email, password in [*tries, (EMAIL, ''), ('no address', PASSWORD), (EMAIL, PASSWORD + 'x' * 10_000)]:
        with pytest.raises(NotSignedIn):
            await identity.sign_in(email, password)
    assert len(hasher.verified) == 6, 'each costs one hash, which is what takes the time'
    assert {str(hashed).rpartition('p=')[0] for hashed in hasher.verified} == {'$argon2id$v=19$m=8,t=1,'}


async def test_two_hashes_at_a_time_and_none_on_the_event_loop(make: Callable[..., EmbeddedIdentity]) -> None:
    hasher = Watched()
    identity = make(hasher)
    await asyncio.gather(*(identity.sign_in(EMAIL, PASSWORD) for _ in range(8)), return_exceptions=True)
    assert len(hasher.verified) == 8
    assert hasher.most <= 2
    assert threading.main_thread() not in hasher.threads


async def test_the_default_cost_is_argon2id_with_tens_of_megabytes(database: Postgres, tmp_path: Path) -> None:
    nobody = EmbeddedIdentity(database, tmp_path, mailer=UNUSED)._nobody
    assert nobody.startswith('$argon2id$v=19$m=65536,t=3,')
    assert extract_parameters(nobody) == extract_parameters(PasswordHasher().hash(PASSWORD))
    with pytest.raises(VerifyMismatchError):  # it is one that the whole work is done for
        PasswordHasher().verify(nobody, PASSWORD)


async def test_no_password_is_stored(identity: EmbeddedIdentity, tokens: Tokens, postgres: EmbeddedPostgres) -> None:
    with psycopg.connect(postgres.dsn('superuser')) as connection:
        users = connection.execute('select u::text from auth.users u').fetchall()
        refreshing = connection.execute('select t::text from auth.refresh_tokens t').fetchall()
    assert len(users) == len(refreshing) == 1
    assert '$argon2id$' in str(users)
    assert PASSWORD not in str(users)
    assert tokens.refresh_token not in str(refreshing)


async def test_a_sign_in_renews_a_hash_of_another_cost(make: Callable[..., EmbeddedIdentity]) -> None:
    await make(CHEAP).sign_up(EMAIL, PASSWORD)
    assert await make(DEARER).sign_in(EMAIL, PASSWORD)
    hasher = Watched()
    assert await make(hasher).sign_in(EMAIL, PASSWORD)
    assert 'm=16,t=2' in str(hasher.verified[0])


async def test_tokens_hold_supabases_claims_and_verify_by_the_published_keys(
    identity: EmbeddedIdentity, tokens: Tokens
) -> None:
    keys = KeySet.import_key_set(dict(identity.jwks))
    assert [set(key) & {'d', 'p', 'q'} for key in identity.jwks['keys']] == [set()]
    token = jwt.decode(tokens.access_token, keys, algorithms=['ES256'])
    assert token.header == {'alg': 'ES256', 'typ': 'JWT', 'kid': identity.jwks['keys'][0]['kid']}
    assert set(token.claims) == {'iss', 'aud', 'exp', 'iat', 'sub', 'email', 'role', 'session_id', 'aal', 'amr'}
    assert (token.claims['aud'], token.claims['aal']) == ('authenticated', 'aal1')


async def test_a_refresh_token_serves_once_and_retires_its_family(identity: EmbeddedIdentity, tokens: Tokens) -> None:
    fresh = await identity.refresh(tokens.refresh_token)
    for token in (tokens, fresh):
        with pytest.raises(NotSignedIn):
            await identity.refresh(token.refresh_token)


async def test_an_access_token_lives_for_fifteen_minutes(tokens: Tokens) -> None:
    assert tokens.expires_in == 900


async def test_a_refresh_token_serves_one_of_many_at_the_same_time(identity: EmbeddedIdentity, tokens: Tokens) -> None:
    answers = await asyncio.gather(*(identity.refresh(tokens.refresh_token) for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(answer, Tokens) for answer in answers) == 1
    assert sum(isinstance(answer, NotSignedIn) for answer in answers) == 4


async def test_an_expired_refresh_token_is_refused_and_removed(
    identity: EmbeddedIdentity, tokens: Tokens, postgres: EmbeddedPostgres
) -> None:
    with psycopg.connect(postgres.dsn('superuser'), autocommit=True) as connection:
        connection.execute("update auth.refresh_tokens set expires_at = now() - interval '1 second'")
        with pytest.raises(NotSignedIn):
            await identity.refresh(tokens.refresh_token)
        await identity.sign_in(EMAIL, PASSWORD)
        assert connection.execute('select count(*) from auth.refresh_tokens').fetchone() == (1,)


# the key


async def test_the_key_stays_over_restarts_and_is_ours_alone(
    make: Callable[..., EmbeddedIdentity], tokens: Tokens, tmp_path: Path
) -> None:
    assert (await make().verify(tokens.access_token)).user_id == tokens.user_id
    [file] = (tmp_path / 'secrets').iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


async def test_two_that_start_together_have_one_key(database: Postgres, tmp_path: Path) -> None:
    opened = await asyncio.gather(
        *(
            asyncio.to_thread(EmbeddedIdentity, database, tmp_path / 'secrets', mailer=UNUSED, hasher=CHEAP)
            for _ in range(8)
        )
    )
    assert len({each.jwks['keys'][0]['kid'] for each in opened}) == 1


@pytest.mark.parametrize(
    'content', [b'', b'garbage', b'-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n']
)
def test_a_broken_key_is_told(database: Postgres, tmp_path: Path, content: bytes) -> None:
    (tmp_path / 'token-key.pem').write_bytes(content)
    with pytest.raises(Misconfigured, match='signs tokens'):
        EmbeddedIdentity(database, tmp_path, mailer=UNUSED, hasher=CHEAP)
