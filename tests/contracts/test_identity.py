"""What every Identity promises (`core.ports.Identity`), on the embedded one."""

import asyncio
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest
from argon2 import PasswordHasher
from joserfc import jwt
from joserfc.jwk import KeySet

from core.errors import Conflict, Misconfigured, NotSignedIn, UsageError
from core.values import Tokens
from storage.embedded.identity import EmbeddedIdentity
from storage.embedded.server import EmbeddedPostgres
from storage.postgres import Postgres

EMAIL = 'ada@example.com'
PASSWORD = 'analytical engine'
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
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
        return EmbeddedIdentity(database, tmp_path / 'secrets', hasher=hasher)

    return open_identity


@pytest.fixture
def identity(make: Callable[..., EmbeddedIdentity]) -> EmbeddedIdentity:
    return make()


@pytest.fixture
async def tokens(identity: EmbeddedIdentity) -> Tokens:
    await identity.sign_up(EMAIL, PASSWORD)
    return await identity.sign_in(EMAIL, PASSWORD)


async def test_who_signs_up_can_sign_in(identity: EmbeddedIdentity) -> None:
    user_id = await identity.sign_up(EMAIL, PASSWORD)
    tokens = await identity.sign_in(EMAIL, PASSWORD)
    assert (tokens.user_id, tokens.email, tokens.expires_in) == (user_id, EMAIL, 900)


async def test_case_and_space_around_an_email_do_not_matter(identity: EmbeddedIdentity) -> None:
    user_id = await identity.sign_up(' Ada@Example.COM ', PASSWORD)
    assert (await identity.sign_in('ada@example.com\n', PASSWORD)).user_id == user_id
    with pytest.raises(Conflict):
        await identity.sign_up('ADA@example.com', PASSWORD)


async def test_a_taken_email_is_a_conflict(identity: EmbeddedIdentity) -> None:
    await identity.sign_up(EMAIL, PASSWORD)
    with pytest.raises(Conflict, match='Sign in instead'):
        await identity.sign_up(EMAIL, 'another password')
    assert await identity.sign_in(EMAIL, PASSWORD)


@pytest.mark.parametrize(
    ('password', 'why'),
    [
        ('', 'fewer than 10'),
        ('123456789', 'fewer than 10'),
        ('x' * 1025, 'more than 1024'),
        ('grace.hopper@example.com', 'is the email'),
        (' GRACE.HOPPER@example.com', 'is the email'),
        ('Grace.Hopper', 'is the email'),
    ],
)
async def test_a_weak_password_is_refused(identity: EmbeddedIdentity, password: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        await identity.sign_up('grace.hopper@example.com', password)


@pytest.mark.parametrize(
    'email', ['', 'ada', '@', 'ada@', '@example.com', 'a b@c', 'a@b@c', 'a\x00@b', 'a\ud800@b', 'x' * 65 + '@b']
)
async def test_what_is_no_email_is_refused(identity: EmbeddedIdentity, email: str) -> None:
    with pytest.raises(UsageError, match='no email'):
        await identity.sign_up(email, PASSWORD)
    with pytest.raises(UsageError, match='no email'):
        await identity.ensure(email)
    with pytest.raises(NotSignedIn, match='do not match'):
        await identity.sign_in(email, PASSWORD)


@pytest.mark.parametrize('password', ['x' * 1024, 'é' * 10, 'tenchars\ud800!', 'a\x00b\x00c\x00d\x00e\x00', ' ' * 10])
async def test_any_characters_make_a_password(identity: EmbeddedIdentity, password: str) -> None:
    await identity.sign_up(EMAIL, password)
    assert await identity.sign_in(EMAIL, password)
    with pytest.raises(NotSignedIn):
        await identity.sign_in(EMAIL, password + 'x')
    with pytest.raises(NotSignedIn):
        await identity.sign_in(EMAIL, password[:-1])


async def test_a_password_may_be_typed_composed_or_decomposed(identity: EmbeddedIdentity) -> None:
    await identity.sign_up(EMAIL, 'mot de passé')
    assert await identity.sign_in(EMAIL, 'mot de passe\u0301')


async def test_an_unknown_email_and_a_wrong_password_answer_alike(make: Callable[..., EmbeddedIdentity]) -> None:
    hasher = Watched()
    identity = make(hasher)
    await identity.sign_up(EMAIL, PASSWORD)
    await identity.ensure('owner@localhost')
    answers = []
    tries = [(EMAIL, 'wrong password'), ('nobody@example.com', PASSWORD), ('owner@localhost', PASSWORD)]
    for email, password in [*tries, (EMAIL, ''), ('no address', PASSWORD), (EMAIL, PASSWORD + 'x' * 10_000)]:
        with pytest.raises(NotSignedIn) as caught:
            await identity.sign_in(email, password)
        answers.append((type(caught.value), str(caught.value), caught.value.details))
    assert answers == [answers[0]] * len(answers)
    assert len(hasher.verified) == len(answers), 'each costs one hash, which is what takes the time'
    assert {str(hashed).rpartition('p=')[0] for hashed in hasher.verified} == {'$argon2id$v=19$m=8,t=1,'}


async def test_two_hashes_at_a_time_and_none_on_the_event_loop(make: Callable[..., EmbeddedIdentity]) -> None:
    hasher = Watched()
    identity = make(hasher)
    await asyncio.gather(*(identity.sign_in(EMAIL, PASSWORD) for _ in range(8)), return_exceptions=True)
    assert len(hasher.verified) == 8
    assert hasher.most <= 2
    assert threading.main_thread() not in hasher.threads


async def test_the_default_cost_is_argon2id_with_tens_of_megabytes(database: Postgres, tmp_path: Path) -> None:
    nobody = EmbeddedIdentity(database, tmp_path)._nobody
    assert nobody.startswith('$argon2id$v=19$m=65536,t=3,')


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


async def test_ensure_creates_once_and_without_a_password(identity: EmbeddedIdentity) -> None:
    user_id = await identity.ensure('Owner@localhost')
    assert await identity.ensure('owner@localhost') == user_id
    assert len(set(await asyncio.gather(*(identity.ensure('new@localhost') for _ in range(4))))) == 1
    for password in ('', PASSWORD):
        with pytest.raises(NotSignedIn):
            await identity.sign_in('owner@localhost', password)
    assert await identity.ensure(EMAIL) == (await identity.ensure(EMAIL))


async def test_ensure_returns_who_signed_up(identity: EmbeddedIdentity, tokens: Tokens) -> None:
    assert await identity.ensure(EMAIL) == tokens.user_id
    assert await identity.sign_in(EMAIL, PASSWORD), 'the password stays'


async def test_verify_returns_what_the_token_says(identity: EmbeddedIdentity, tokens: Tokens) -> None:
    claims = await identity.verify(tokens.access_token)
    assert (claims.user_id, claims.email, claims.role) == (tokens.user_id, EMAIL, 'authenticated')
    assert timedelta(minutes=14) < claims.expires_at - datetime.now(UTC) <= timedelta(minutes=15)
    again = await identity.verify((await identity.sign_in(EMAIL, PASSWORD)).access_token)
    assert again.session_id != claims.session_id, 'each sign-in is one of its own'


async def test_tokens_hold_supabases_claims_and_verify_by_the_published_keys(
    identity: EmbeddedIdentity, tokens: Tokens
) -> None:
    keys = KeySet.import_key_set(dict(identity.jwks))
    assert [set(key) & {'d', 'p', 'q'} for key in identity.jwks['keys']] == [set()]
    token = jwt.decode(tokens.access_token, keys, algorithms=['ES256'])
    assert token.header == {'alg': 'ES256', 'typ': 'JWT', 'kid': identity.jwks['keys'][0]['kid']}
    assert set(token.claims) == {'iss', 'aud', 'exp', 'iat', 'sub', 'email', 'role', 'session_id', 'aal', 'amr'}
    assert (token.claims['aud'], token.claims['aal']) == ('authenticated', 'aal1')


async def test_refresh_returns_new_tokens_and_retires_the_old_one(identity: EmbeddedIdentity, tokens: Tokens) -> None:
    fresh = await identity.refresh(tokens.refresh_token)
    assert (fresh.user_id, fresh.email) == (tokens.user_id, EMAIL)
    before, after = await identity.verify(tokens.access_token), await identity.verify(fresh.access_token)
    assert before.session_id == after.session_id
    assert await identity.refresh(fresh.refresh_token)
    with pytest.raises(NotSignedIn):
        await identity.refresh(tokens.refresh_token)


async def test_a_used_refresh_token_retires_its_family_and_no_other(identity: EmbeddedIdentity, tokens: Tokens) -> None:
    other = await identity.sign_in(EMAIL, PASSWORD)
    fresh = await identity.refresh(tokens.refresh_token)
    with pytest.raises(NotSignedIn):
        await identity.refresh(tokens.refresh_token)
    with pytest.raises(NotSignedIn):
        await identity.refresh(fresh.refresh_token)
    assert await identity.refresh(other.refresh_token)


async def test_a_refresh_token_serves_one_of_many_at_the_same_time(identity: EmbeddedIdentity, tokens: Tokens) -> None:
    answers = await asyncio.gather(*(identity.refresh(tokens.refresh_token) for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(answer, Tokens) for answer in answers) == 1
    assert sum(isinstance(answer, NotSignedIn) for answer in answers) == 4


@pytest.mark.parametrize('token', ['', 'unknown', 'x' * 100_000, '\x00', '\ud800'])
async def test_an_unknown_refresh_token_is_refused(identity: EmbeddedIdentity, tokens: Tokens, token: str) -> None:
    with pytest.raises(NotSignedIn):
        await identity.refresh(token)
    assert await identity.refresh(tokens.refresh_token)


async def test_an_expired_refresh_token_is_refused_and_removed(
    identity: EmbeddedIdentity, tokens: Tokens, postgres: EmbeddedPostgres
) -> None:
    with psycopg.connect(postgres.dsn('superuser'), autocommit=True) as connection:
        connection.execute("update auth.refresh_tokens set expires_at = now() - interval '1 second'")
        with pytest.raises(NotSignedIn):
            await identity.refresh(tokens.refresh_token)
        await identity.sign_in(EMAIL, PASSWORD)
        assert connection.execute('select count(*) from auth.refresh_tokens').fetchone() == (1,)


async def test_sign_out_retires_the_refresh_tokens_of_this_sign_in(identity: EmbeddedIdentity, tokens: Tokens) -> None:
    other = await identity.sign_in(EMAIL, PASSWORD)
    fresh = await identity.refresh(tokens.refresh_token)
    await identity.sign_out((await identity.verify(fresh.access_token)).session_id)
    await identity.sign_out(uuid4())
    with pytest.raises(NotSignedIn):
        await identity.refresh(fresh.refresh_token)
    assert await identity.refresh(other.refresh_token)


async def test_a_deleted_account_opens_nothing_any_more(identity: EmbeddedIdentity, tokens: Tokens) -> None:
    await identity.sign_up('eve@example.com', PASSWORD)
    other = await identity.sign_in('eve@example.com', PASSWORD)
    await identity.delete(tokens.user_id)
    await identity.delete(tokens.user_id)
    with pytest.raises(NotSignedIn, match='do not match'):
        await identity.sign_in(EMAIL, PASSWORD)
    with pytest.raises(NotSignedIn):
        await identity.refresh(tokens.refresh_token)
    assert await identity.refresh(other.refresh_token)
    assert await identity.sign_up(EMAIL, PASSWORD) != tokens.user_id, 'the email is free again'


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
        *(asyncio.to_thread(EmbeddedIdentity, database, tmp_path / 'secrets', hasher=CHEAP) for _ in range(8))
    )
    assert len({each.jwks['keys'][0]['kid'] for each in opened}) == 1


@pytest.mark.parametrize(
    'content', [b'', b'garbage', b'-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n']
)
def test_a_broken_key_is_told(database: Postgres, tmp_path: Path, content: bytes) -> None:
    (tmp_path / 'token-key.pem').write_bytes(content)
    with pytest.raises(Misconfigured, match='signs tokens'):
        EmbeddedIdentity(database, tmp_path, hasher=CHEAP)


def test_ids_are_uuids(tokens: Tokens) -> None:
    assert isinstance(tokens.user_id, UUID)
