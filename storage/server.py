"""Postgres at an address: somebody else runs it, we sign in.

Two addresses at most: DATABASE_URL, where a session lasts (directly, or a pooler in session mode), and
DATABASE_POOL_URL, where a transaction does. Both are the owner's; what runs from day to day signs in as two logins of
less power, whose passwords follow from the owner's. All methods block.
"""

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Mapping
from typing import Literal

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from core.errors import Misconfigured, Unavailable
from storage.migrate import first_line

Role = Literal['app', 'worker', 'migrate']

Login = Literal['app', 'worker']

LOGINS: Mapping[Login, str] = {'app': 'variosync_app', 'worker': 'variosync_worker'}
PARTS = {'host': 'host', 'user': 'user', 'password': 'password', 'dbname': 'database'}
ITERATIONS = 4096
FORM = 'postgresql://user:password@host:5432/database'
SUPABASE = re.compile(r'\.supabase\.(com|co)$')
TRANSACTION_PORT = '6543'
# A lost network is noticed in half a minute; the URL's own parameters come first.
PATIENT = {
    'application_name': 'variosync',
    'connect_timeout': '10',
    'keepalives_idle': '15',
    'keepalives_interval': '5',
    'keepalives_count': '3',
    'tcp_user_timeout': '30000',
}


class ServerPostgres:
    """The Postgres of DATABASE_URL, with the face of `EmbeddedPostgres`: nothing here starts or stops it.

    A process keeps 5 session connections at most (the queue's 4, and 1 that listens) and, where it serves, up to 8 a
    login through the pooler; without DATABASE_POOL_URL these are session connections too.
    """

    def __init__(self, database_url: str, pool_url: str | None = None) -> None:
        """Raise Misconfigured when an address cannot work."""
        self._session = _parsed('DATABASE_URL', database_url)
        self._pool = _parsed('DATABASE_POOL_URL', pool_url) if pool_url else self._session
        if SUPABASE.search(self._session['host']) and self._session.get('port') == TRANSACTION_PORT:
            raise Misconfigured(
                'DATABASE_URL names the transaction pooler (port 6543): that is DATABASE_POOL_URL, and here goes the '
                'session pooler (port 5432).'
            )

    @property
    def name(self) -> str:
        """Where it is, without secrets."""
        pooled = f', pooled at {_address(self._pool)}' if self._pool is not self._session else ''
        return f'Postgres at {_address(self._session)}{pooled}'

    @property
    def pooling(self) -> bool:
        """Whether `pooled` leads through a transaction pooler, where a session ends with its transaction."""
        return self._pool is not self._session

    def start(self, *, patience: float = 30) -> None:
        """Return when the owner can sign in.

        Raise Misconfigured when the server refuses that, Unavailable when it does not answer within `patience` seconds.
        """
        begin = time.monotonic()
        while True:
            try:
                psycopg.connect(self.dsn('migrate')).close()
            except psycopg.OperationalError as error:
                if _refused(error):
                    raise Misconfigured(f'DATABASE_URL is not accepted: {first_line(error)}') from error
                if time.monotonic() - begin > patience:
                    raise Unavailable(f'{self.name} does not answer: {first_line(error)}') from error
            else:
                return
            time.sleep(0.2)

    attach = start

    def check_logins(self) -> None:
        """Return when both logins can sign in where they will. Raise Misconfigured when one is refused."""
        for role, login in LOGINS.items():
            try:
                psycopg.connect(self.pooled(role)).close()
            except psycopg.OperationalError as error:
                if _refused(error):
                    raise Misconfigured(
                        f'{login} cannot sign in: run `variosync migrate` (the database said: {first_line(error)}).'
                    ) from error
                raise Unavailable(f'{self.name} does not answer: {first_line(error)}') from error

    def stop(self) -> None:
        """Leave it running."""

    def dsn(self, role: Role) -> str:
        """Return the address at which a session lasts; it holds a password, so keep it out of logs."""
        return self._for(self._session, role)

    def pooled(self, role: Login) -> str:
        """Return the address for transactions, the same as `dsn` without a pooler; it holds a password."""
        return self._for(self._pool, role)

    def logins(self) -> Mapping[str, str]:
        """Return the logins with their passwords as the server keeps them (SCRAM-SHA-256, RFC 5803).

        The same owner's password always gives the same, so that migrating again changes nothing.
        """
        return {login: _scram(self._derived(login), salt=self._digest(f'salt/{login}')) for login in LOGINS.values()}

    def _for(self, address: Mapping[str, str], role: Role) -> str:
        if role == 'migrate':
            return make_conninfo(**PATIENT | dict(address))
        login = LOGINS[role]
        own = {'user': login + _project(address), 'password': self._derived(login)}
        return make_conninfo(**PATIENT | dict(address) | own)

    def _derived(self, login: str) -> str:
        return base64.urlsafe_b64encode(self._digest(f'password/{login}')).decode().rstrip('=')

    def _digest(self, purpose: str) -> bytes:
        return hmac.digest(self._session['password'].encode(), f'variosync/{purpose}'.encode(), 'sha256')


def _parsed(setting: str, url: str) -> dict[str, str]:
    """Return what libpq makes of a URL. Messages never repeat it, because it holds a password."""
    if not url.startswith(('postgresql://', 'postgres://')):
        raise Misconfigured(f'{setting} must begin with postgresql://, as in {FORM}.')
    try:
        address = {name: str(value) for name, value in conninfo_to_dict(url).items()}
    except psycopg.ProgrammingError as error:
        raise Misconfigured(
            f'{setting} cannot be read: it must look like {FORM}, with @ : / % in the password written as '
            '%40 %3A %2F %25, and may carry only parameters of libpq, such as sslmode.'
        ) from error
    if '@' in address.get('host', '') + address.get('dbname', ''):
        raise Misconfigured(f'{setting} cannot be read: write @ : / % in the password as %40 %3A %2F %25.')
    missing = [what for name, what in PARTS.items() if not address.get(name)]
    if missing:
        raise Misconfigured(f'{setting} names no {" and no ".join(missing)}: it must look like {FORM}.')
    if address['password'] == '[YOUR-PASSWORD]':  # noqa: S105 - what Supabase shows in its place
        raise Misconfigured(f'{setting} still says [YOUR-PASSWORD]: put the password of the database there.')
    return address


def _address(address: Mapping[str, str]) -> str:
    return f'{address["host"]}:{address.get("port", "5432")}'


def _project(address: Mapping[str, str]) -> str:
    """Supabase's poolers tell projects apart by the name of the user: `postgres.<project>`."""
    name, dot, project = address['user'].partition('.')
    return dot + project if name == 'postgres' or SUPABASE.search(address['host']) else ''


def _scram(password: str, *, salt: bytes) -> str:
    """What Postgres stores of an ASCII password (RFC 5803): given that, no statement and no log holds the password."""
    salted = hashlib.pbkdf2_hmac('sha256', password.encode(), salt, ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b'Client Key', 'sha256')).digest()
    server = hmac.digest(salted, b'Server Key', 'sha256')
    text = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f'SCRAM-SHA-256${ITERATIONS}:{text[0]}${text[1]}:{text[2]}'


def _refused(error: psycopg.OperationalError) -> bool:
    """Whether the server was reached, asked for the password and then said no."""
    return error.pgconn is not None and error.pgconn.used_password
