"""The Database port on Postgres: named statements, one transaction a use case, row-level security by claims."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, LiteralString, Self, TypeVar
from uuid import UUID

import psycopg
from psycopg import errors
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import JsonbDumper
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from core.errors import Conflict, Misconfigured, NotAllowed, NotFound, Unavailable, UsageError, VariosyncError
from core.ports import Row, Transaction

QUERIES = Path(__file__).resolve().parent / 'queries'
HEADER = re.compile(r'^-- name: (?P<name>[a-z][a-z0-9_]*)\n(?:-- (?P<purpose>\S[^\n]*)\n)?', re.MULTILINE)
AS_USER: LiteralString = (
    "select set_config('role', 'authenticated', true), set_config('request.jwt.claims', %(claims)s, true)"
)

CHECKED_WITHIN = 5.0  # seconds that a connection has to prove that it lives
ANSWERED_WITHIN = 30.0  # seconds that a statement or a commit may take; no use case needs as many
CLOCKS_APART = 5.0
LEFT: 'set[asyncio.Task[Any]]' = set()

T = TypeVar('T')
Connection = psycopg.AsyncConnection[DictRow]
Pool = AsyncConnectionPool[Connection]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A named SQL statement and what it is for."""

    name: str
    purpose: str
    sql: str


def load_statements(folder: Path = QUERIES) -> dict[str, Statement]:
    """Read every `*.sql` in folder: `-- name: x`, then `-- purpose`, then one statement with `%(value)s` parameters.

    Raise Misconfigured for a missing purpose, a name used twice, or a file that holds none.
    """
    found: dict[str, Statement] = {}
    for file in sorted(folder.glob('*.sql')):
        text = file.read_text()
        headers = list(HEADER.finditer(text))
        if not headers or text[: headers[0].start()].strip():
            raise Misconfigured(f'{file.name} must begin with "-- name: …".')
        for header, following in zip(headers, [*headers[1:], None], strict=True):
            name, purpose = header['name'], header['purpose']
            if not purpose:
                raise Misconfigured(f'Statement {name} in {file.name} has no purpose in its second line.')
            if name in found:
                raise Misconfigured(f'Statement {name} in {file.name} exists already.')
            sql = text[header.end() : following.start() if following else None].strip().removesuffix(';')
            found[name] = Statement(name=name, purpose=purpose, sql=sql)
    return found


class PostgresTransaction:
    """Named statements on one connection, inside its transaction."""

    def __init__(self, connection: Connection, statements: Mapping[str, Statement]) -> None:
        self._connection = connection
        self._statements = statements

    async def one(self, name: str, /, **values: Any) -> Row:
        row = await self.first(name, **values)
        if row is None:
            raise NotFound(statement=name)
        return row

    async def first(self, name: str, /, **values: Any) -> Row | None:
        cursor = await self._execute(name, values)
        with _translated(name):
            return await cursor.fetchone()

    async def all(self, name: str, /, **values: Any) -> Sequence[Row]:
        cursor = await self._execute(name, values)
        with _translated(name):
            return await cursor.fetchall()

    async def run(self, name: str, /, **values: Any) -> int:
        return (await self._execute(name, values)).rowcount

    async def _execute(self, name: str, values: Mapping[str, Any]) -> psycopg.AsyncCursor[DictRow]:
        statement = self._statements.get(name)
        if not statement:
            raise Misconfigured(f'There is no statement named {name} in storage/queries.')
        with _translated(name):
            return await _answered(self._connection, self._connection.execute(statement.sql, values))


class Postgres:
    """Two logins, a small pool each: the app's, which row-level security binds to one user, and the worker's."""

    def __init__(
        self, app_dsn: str, worker_dsn: str, *, size: int = 8, patience: float = 10, pooled: bool = False
    ) -> None:
        """Up to `size` connections a login; a transaction waits `patience` seconds for one. Nothing connects yet.

        With `pooled`, the addresses may be a transaction pooler's: no session outlives its transaction there.
        """
        self._app = connection_pool('app', app_dsn, size=size, patience=patience, pooled=pooled)
        self._worker = connection_pool('worker', worker_dsn, size=size, patience=patience, pooled=pooled)
        self._patience = patience
        self._statements = load_statements()

    @classmethod
    async def open(
        cls, app_dsn: str, worker_dsn: str, *, size: int = 8, patience: float = 10, pooled: bool = False
    ) -> Self:
        """Return a connected database. Raise Unavailable when it does not answer within `patience` seconds."""
        database = cls(app_dsn, worker_dsn, size=size, patience=patience, pooled=pooled)
        await database.connect()
        return database

    async def connect(self) -> None:
        """Connect. Raise Unavailable when the database does not answer in time."""
        try:
            with _translated('connect'):
                for pool in (self._app, self._worker):
                    await pool.open(wait=True, timeout=self._patience)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close every connection."""
        await self._app.close()
        await self._worker.close()

    @asynccontextmanager
    async def transaction(self, user_id: UUID) -> AsyncIterator[Transaction]:
        """A transaction in which row-level security sees this user and nobody else."""
        claims = json.dumps({'sub': str(user_id), 'role': 'authenticated'})
        async with self._begin(self._app) as connection:
            with _translated('sign in'):
                await _answered(connection, connection.execute(AS_USER, {'claims': claims}))
            yield PostgresTransaction(connection, self._statements)

    @asynccontextmanager
    async def system(self) -> AsyncIterator[Transaction]:
        """A transaction of the worker role: every user's rows, where none of them asks (jobs, sign-in, upkeep)."""
        async with self._begin(self._worker) as connection:
            yield PostgresTransaction(connection, self._statements)

    async def ping(self) -> None:
        """Raise Unavailable when the database does not answer within two seconds."""
        try:
            await _within(2, self._select_one())
        except TimeoutError as error:
            raise Unavailable('The database did not answer within two seconds.') from error

    async def examine(self) -> None:
        """Raise Misconfigured when row-level security does not bind a login, or our clock is not the database's."""
        for pool in (self._app, self._worker):
            async with self._begin(pool) as connection:
                begin = datetime.now(UTC)
                found = await PostgresTransaction(connection, self._statements).one('login_examine')
            if found['unbound']:
                raise Misconfigured(
                    f'The login {found["login"]} bypasses row-level security: run `alter role {found["login"]} '
                    'nosuperuser nobypassrls`.'
                )
            ahead = (begin - found['now']).total_seconds()
            if abs(ahead) > CLOCKS_APART:
                raise Misconfigured(
                    f'The clock here is {abs(ahead):.0f} s {"ahead of" if ahead > 0 else "behind"} the database’s.'
                )

    async def _select_one(self) -> None:
        async with self._begin(self._app) as connection:
            with _translated('ping'):
                await connection.execute('select 1')

    @asynccontextmanager
    async def _begin(self, pool: Pool) -> AsyncIterator[Connection]:
        with _translated('transaction'):
            async with pool.connection() as connection:
                # The pool checks a connection outside a transaction; where that is cancelled, it may stay so, and each
                # statement would be a transaction of its own, without the user.
                await connection.set_autocommit(False)
                try:
                    yield connection
                    if connection.info.transaction_status == TransactionStatus.INERROR:
                        raise Conflict('A statement failed, so nothing of this transaction was kept.')
                except BaseException:
                    with suppress(psycopg.Error, Unavailable):
                        await _answered(connection, connection.rollback())
                    raise
                await _answered(connection, connection.commit())
        deliver_cancellation()


def deliver_cancellation() -> None:
    """Raise the cancellation that came while the pool or the connection was waited for and was lost there.

    In Python 3.11 `asyncio.wait_for`, which the pool uses, swallows one that comes in the same moment as the answer.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def connection_pool(
    name: str,
    dsn: str,
    *,
    size: int,
    patience: float,
    pooled: bool = False,
    configure: Callable[[Connection], Awaitable[None]] | None = None,
) -> Pool:
    """Up to `size` checked connections, closed at first; who asks for one waits `patience` seconds at most.

    With `pooled`, nothing is prepared on the server: the next statement may meet another one.
    """
    return AsyncConnectionPool(
        dsn,
        name=name,
        connection_class=psycopg.AsyncConnection[DictRow],
        kwargs={'row_factory': dict_row, 'prepare_threshold': None if pooled else 5},
        min_size=1,
        max_size=size,
        timeout=patience,
        # In an outage the pool's pauses double and, when it gives up, those who wait are forgotten. So it gives up
        # early and `check` lets it begin anew.
        reconnect_timeout=2,
        reconnect_failed=AsyncConnectionPool.check,
        check=partial(_check, patience=min(patience, CHECKED_WITHIN)),
        configure=configure or _configure,
        open=False,
    )


async def _check(connection: Connection, *, patience: float) -> None:
    await _within(patience, AsyncConnectionPool.check_connection(connection))


async def _answered(connection: Connection, work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` of a connection returns. When the server is silent for too long, close it: Unavailable."""
    try:
        return await _within(ANSWERED_WITHIN, work)
    except TimeoutError as error:
        await connection.close()
        raise Unavailable('The database does not answer. Try again in a moment.') from error


async def _within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` returns, or raise TimeoutError after this many seconds.

    Not asyncio.timeout: psycopg answers a cancellation only when the server has, or after ten seconds, and behind a
    pooler a server that hangs is common. So what was cancelled is left to end by itself.
    """
    task = asyncio.create_task(work)
    LEFT.add(task)
    task.add_done_callback(_forget)
    try:
        await asyncio.wait({task}, timeout=seconds)
        if task.done():
            return task.result()
        raise TimeoutError
    finally:
        if task.cancel():
            await asyncio.sleep(0)  # it lets go of the connection's socket before somebody closes that


def _forget(task: 'asyncio.Task[Any]') -> None:
    LEFT.discard(task)
    if not task.cancelled():
        task.exception()  # seen, or nobody waits for it any more


async def _configure(connection: Connection) -> None:
    connection.adapters.register_dumper(dict, JsonbDumper)


@contextmanager
def _translated(where: str) -> Iterator[None]:
    """Raise the errors of our own tree; messages name the statement and never repeat its values."""
    try:
        yield
    except psycopg.Error as error:
        raise _own_error(error, where) from error


def _own_error(error: psycopg.Error, where: str) -> VariosyncError:
    constraint = error.diag.constraint_name or ''
    match error:
        case errors.UniqueViolation() | errors.ExclusionViolation():
            return Conflict(f'This exists already ({where}).', constraint=constraint)
        case errors.ForeignKeyViolation():
            return Conflict(f'Something that this names is gone, or still in use ({where}).', constraint=constraint)
        case errors.InsufficientPrivilege():
            return NotAllowed(statement=where)
        case errors.IntegrityError() | psycopg.DataError():
            return UsageError(f'A value is not valid ({where}{": " if constraint else ""}{constraint}).')
        case psycopg.OperationalError() | psycopg.InterfaceError() | PoolTimeout() | PoolClosed():
            return Unavailable('The database does not answer. Try again in a moment.', statement=where)
        case psycopg.InternalError() if error.sqlstate is None:
            # Psycopg's own: what came was no answer, because the connection broke on the way.
            return Unavailable('The database does not answer. Try again in a moment.', statement=where)
        case _:
            return VariosyncError(
                f'The database refused a statement ({where}: {error.sqlstate or type(error).__name__}).'
            )
