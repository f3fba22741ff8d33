"""What the core asks of the world. Every sentence here has its contract test in `tests/contracts/`."""

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

from core.values import Allowance, Begun, Claims, Direct, Job, ObjectInfo, Readable, Tokens

Row = Mapping[str, Any]
Progress = Callable[[float, str], None]


class Transaction(Protocol):
    """Named statements (`storage/queries/*.sql`) in one transaction, committed when its block ends without an error."""

    async def one(self, name: str, /, **values: Any) -> Row:
        """Return the only row. Raise NotFound when there is none."""

    async def first(self, name: str, /, **values: Any) -> Row | None:
        """Return the first row, or None."""

    async def all(self, name: str, /, **values: Any) -> Sequence[Row]:
        """Return every row."""

    async def run(self, name: str, /, **values: Any) -> int:
        """Run a statement and return how many rows it touched."""


class Database(Protocol):
    """Postgres. A lost connection raises Unavailable, a unique violation Conflict, a refused row NotAllowed."""

    def transaction(self, user_id: UUID) -> AbstractAsyncContextManager[Transaction]:
        """A transaction in which row-level security sees this user and nobody else."""

    def system(self) -> AbstractAsyncContextManager[Transaction]:
        """A transaction of the worker role: every user's rows, where none of them asks (jobs, sign-in, upkeep)."""

    async def ping(self) -> None:
        """Raise Unavailable when the database does not answer within two seconds."""


class JobQueue(Protocol):
    """Jobs on the same database: recorded and enqueued in one transaction, delivered at least once."""

    async def enqueue(
        self,
        tx: Transaction,
        *,
        user_id: UUID,
        kind: str,
        title: str,
        payload: Mapping[str, Any],
        dataset_id: UUID | None = None,
        forecast_id: UUID | None = None,
        job_id: UUID | None = None,
        quote: int = 0,
    ) -> Job:
        """Record a job, hold its quote in seconds and enqueue it; nothing exists when the transaction rolls back.

        Raise NotEnoughHours when the balance is short of the quote.
        """

    async def again(self, tx: Transaction, job_id: UUID, *, delay: float = 0, quote: int | None = None) -> None:
        """Enqueue a recorded job once more, `delay` seconds from now; with a quote, hold that many seconds first.

        Raise NotEnoughHours when the balance is short of the quote.
        """

    async def work(self, advance: Callable[[UUID], Awaitable[None]], *, concurrency: int = 2) -> None:
        """Deliver job ids to `advance` until cancelled; a delivery that was cancelled is delivered again later."""

    async def rescue(self) -> Sequence[UUID]:
        """Deliver again what a dead worker held, and return the ids of jobs that are open but in no queue."""


class ObjectStore(Protocol):
    """Immutable objects under keys such as `t/<tenant>/…`. A key that could leave the store raises UsageError."""

    async def put(self, key: str, data: bytes) -> ObjectInfo:
        """Store bytes and return their size and checksum after reading them back. An existing key raises Conflict."""

    async def put_file(self, key: str, path: Path, *, move: bool = False) -> ObjectInfo:
        """Store a file, verified as `put` does; `move` lets go of the source. An existing key raises Conflict."""

    async def get(self, key: str) -> bytes:
        """Return the bytes. Raise NotFound when nothing is stored under key."""

    async def stream(self, key: str) -> AsyncIterator[bytes]:
        """Return the object in pieces. Raise NotFound when nothing is stored under key."""

    async def fetch(self, key: str) -> Path:
        """Return a local file with the object's content, read-only. Raise NotFound when nothing is stored under key.

        It stays for ten minutes at least after it was last fetched.
        """

    async def open(self, keys: Sequence[str]) -> Readable:
        """Return what reads parts of these objects, for ten minutes at least after it was last opened.

        Objects that are large together need not be copied to this machine first. Raise NotFound when nothing is stored
        under one of the keys.
        """

    async def size(self, key: str) -> int:
        """Return the size in bytes. Raise NotFound when nothing is stored under key."""

    async def list(self, prefix: str) -> Sequence[str]:
        """Return the keys that start with prefix, sorted."""

    async def delete(self, prefix: str) -> int:
        """Remove every object whose key starts with prefix and return how many there were."""

    async def ping(self) -> None:
        """Raise Unavailable unless the store answers; a local one is written to as well."""


class TaskObjects(Protocol):
    """The part of the object store that a task sees, blocking."""

    def fetch(self, key: str, into: Path) -> Path:
        """Return a local file with the object's content (in `into` unless it is local already)."""

    def put_file(self, key: str, path: Path) -> ObjectInfo:
        """Store a file, replacing what an earlier run of the same attempt left."""


class Staging(Protocol):
    """Where bytes of an upload arrive, in order, resumable; what was acknowledged survives a crash of the process."""

    @property
    def origins(self) -> Sequence[str]:
        """Origins that browsers send to by `direct`; none when it always returns None."""

    async def create(self, upload_id: UUID) -> None:
        """Begin an empty upload. Beginning it twice changes nothing."""

    async def direct(self, upload_id: UUID, size: int) -> Direct | None:
        """Return where a browser may send the bytes itself, or None when they come by `append` only.

        Raise Conflict when all of them are there. More bytes than `size` may come: `offset` tells.
        """

    async def offset(self, upload_id: UUID) -> int:
        """Return how many bytes have arrived. Raise NotFound when the upload was never begun or is gone.

        Of bytes that a browser sends directly, none count before all are there.
        """

    async def append(self, upload_id: UUID, offset: int, pieces: AsyncIterable[bytes], *, limit: int) -> int:
        """Append from `offset` (else Conflict) up to `limit` bytes in all (else TooLarge); return the new offset.

        Bytes that arrived before the sender broke off are kept.
        """

    async def accept(self, upload_id: UUID, objects: ObjectStore, key: str) -> ObjectInfo:
        """Move the bytes to the object store under key, verified. Accepting again returns the same."""

    async def discard(self, upload_id: UUID) -> None:
        """Forget the bytes. Discarding twice changes nothing."""


class Compute(Protocol):
    """Runs tasks of `core.tasks` by name, away from this process."""

    @property
    def durable(self) -> bool:
        """Whether calls outlive this process, and any other may collect or cancel them by their id."""

    async def submit(self, task: str, payload: Mapping[str, Any]) -> str:
        """Start a task and return a call id. Raise Unavailable when it cannot be started now."""

    async def collect(self, call_id: str, *, progress: Progress, timeout: float) -> Mapping[str, Any] | None:
        """Return the task's result, or None when it is not ready within `timeout` seconds; progress is told meanwhile.

        Nothing is told of a task that waits for a machine. The result of a durable call tells `seconds`: how long the
        task itself ran. Raise the task's own error, TaskKilled when it crashed or passed a limit, TaskCancelled when it
        was stopped, NotFound when the call is unknown. Where calls are durable, Unavailable means that nothing can be
        told now and the call goes on.
        """

    async def cancel(self, call_id: str) -> None:
        """Stop the task; `collect` then raises TaskCancelled. A call that has ended, or is unknown, stays as it is.

        Where calls are durable, Unavailable means that it may go on.
        """

    async def close(self) -> None:
        """Stop every running task, unless calls are durable."""


class Events(Protocol):
    """Messages to whoever listens now, across processes. A channel starts with the tenant."""

    async def publish(self, channel: str, message: Mapping[str, Any]) -> None:
        """Tell everyone who listens on channel. Nobody listening is no error."""

    def subscribe(self, channel: str) -> AbstractAsyncContextManager[AsyncIterator[Mapping[str, Any]]]:
        """Messages published on this channel after the block was entered, in order."""


class Cache(Protocol):
    """Short-lived values and limits. It may forget anything at any time."""

    async def ping(self) -> None:
        """Raise Unavailable when what processes share is away; this process goes on alone."""

    async def get(self, key: str) -> bytes | None:
        """Return the value, or None when it is absent or expired."""

    async def set(self, key: str, value: bytes, *, ttl: float) -> None:
        """Keep the value for `ttl` seconds at most."""

    async def delete(self, key: str) -> None:
        """Forget the value."""

    async def hit(self, key: str, *, limit: int, window: float) -> Allowance:
        """Count one attempt and say what is left; `wait` is 0 while at most `limit` fell within `window` seconds.

        A refused attempt does not count: `wait` is then the seconds until one is allowed again. `reset` is the seconds
        until the whole limit is free again if nothing more is attempted.
        """

    async def lend(self, key: str, load: Callable[[], Awaitable[bytes | None]], *, ttl: float) -> bytes | None:
        """Return what was loaded under this key within the last `ttl` seconds, else what `load` returns.

        None is not kept, and nothing is where `recall` of another process would not be heard.
        """

    async def recall(self, keys: Iterable[str], *, ttl: float) -> None:
        """Return when no process is lent anything under these keys that was loaded before this call.

        With the `ttl` of `lend`, that is the longest it takes, when the others cannot be told. With a shorter one it
        returns after that all the same, and what they are lent ends with their own.
        """


class Identity(Protocol):
    """Who somebody is. An unknown email and a wrong password answer alike, in body and in time."""

    async def sign_up(self, email: str, password: str) -> UUID:
        """Create an account and return its id. A taken email raises Conflict, a weak password UsageError."""

    async def sign_in(self, email: str, password: str) -> Tokens:
        """Return tokens. Raise NotSignedIn when the two do not match, Unconfirmed before a mail was opened."""

    async def ensure(self, email: str) -> UUID:
        """Return the account's id; create it without a password when there is none."""

    async def verify(self, access_token: str) -> Claims:
        """Return what the token says. Raise NotSignedIn unless signature, issuer, audience, expiry and role hold."""

    @property
    def providers(self) -> Sequence[str]:
        """Names of those who can say who somebody is in our place, such as google."""

    async def begin(self, provider: str, *, redirect_to: str, state: str) -> Begun:
        """Return where to send the browser, which comes back to `redirect_to` with `state` and an answer in its query.

        Raise NotFound for an unknown provider, Unavailable when it does not answer.
        """

    async def send_link(self, email: str, *, redirect_to: str, state: str) -> str:
        """Mail a link that leads to `redirect_to` with `state` and an answer; return the secret to finish it with.

        Whether there is an account with this email cannot be told from the answer.
        """

    async def finish(self, provider: str, answer: Mapping[str, str], *, secret: str, redirect_to: str) -> Tokens:
        """Return tokens for whom the query `answer` proves; `provider` is `email` for a mailed link.

        An account is made when there is none. Raise NotSignedIn when the answer does not hold or was used before.
        """

    async def refresh(self, refresh_token: str) -> Tokens:
        """Return new tokens and retire the old refresh token. Raise NotSignedIn when it is unknown or expired.

        Whoever brings an old one once its successor was used gets NotSignedIn too, and the sign-in ends with it.
        """

    async def sign_out(self, access_token: str) -> None:
        """Retire every refresh token of the sign-in that the token is of, which may be done already.

        Raise NotSignedIn when the token does not hold.
        """

    async def set_password(self, user_id: UUID, password: str | None) -> None:
        """Let this password sign in from now on and none from before; with None, none does. Refresh tokens are retired.

        Raise UsageError for a weak password, NotFound when there is no such account.
        """

    async def delete(self, user_id: UUID) -> None:
        """Remove an account: nobody signs in to it or refreshes any more. Removing it twice changes nothing."""


class Mailer(Protocol):
    """Sends mail."""

    async def send(self, to: str, *, subject: str, text: str) -> None:
        """Hand a mail over, as plain text and as HTML made of it.

        Raise Unavailable when it was not taken, UsageError for an unusable address.
        """

    async def ping(self) -> None:
        """Raise Unavailable, or Misconfigured, when no mail would be taken."""
