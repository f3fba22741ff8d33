"""Every error the product raises on purpose.

    VariosyncError
    ├── UsageError            400  the request itself is wrong
    │   ├── UnusableData      422  the data cannot serve the request
    │   │   ├── UnreadableFile     the file cannot be read as a table
    │   │   ├── NoTimeColumn       no column can be read as time
    │   │   ├── AmbiguousDates     day and month cannot be told apart
    │   │   └── SeriesTooShort     a series has too few points
    │   └── NotSupported      415  a format or an option that does not exist here
    ├── NotSignedIn           401
    │   └── Unconfirmed            the email waits for its owner to open a mailed link
    ├── NotEnoughHours        402  the balance does not cover the quote
    ├── NotAllowed            403
    ├── NotFound              404
    ├── Conflict              409  somebody else was first, or the state forbids it
    ├── TooLarge              413
    ├── TooMany               429  a limit was reached; retryable
    ├── TaskFailed            500  a compute task ended without a result
    │   ├── TaskKilled             it crashed; retryable
    │   │   └── TaskOverLimit      it passed its memory or time limit: retrying does not help
    │   └── TaskCancelled          somebody cancelled it
    └── Unavailable           503  a service behind us does not answer; retryable
        └── Misconfigured          a setting is wrong: retrying does not help

An error's message says what is wrong, where, and what to do, in one sentence or two. Every error survives pickling,
because compute tasks raise in another process.
"""

from typing import Any, ClassVar

LONGEST = 500  # characters of a text from a task: as JSON, they and what goes with them fit into a message of 8 kB


class VariosyncError(Exception):
    """Something went wrong."""

    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, message: str | None = None, **details: Any) -> None:
        self.message = message or (type(self).__doc__ or 'Something went wrong.').splitlines()[0]
        self.details = details
        super().__init__(self.message)

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.details)

    @property
    def code(self) -> str:
        """The error's stable name for programs, such as `series_too_short`."""
        name = type(self).__name__
        return ''.join(f'_{c.lower()}' if c.isupper() else c for c in name).lstrip('_')


def _rebuild(kind: type[VariosyncError], message: str, details: dict[str, Any]) -> VariosyncError:
    error = kind(message)
    error.details = details  # names of details may be any, those of our parameters too
    return error


def to_words(error: VariosyncError) -> list[Any]:
    """Return an error as plain values, for whoever should not unpickle what a task sends."""
    return [type(error).__name__, error.message, error.details]


def from_words(name: str, message: str, details: dict[str, Any]) -> VariosyncError:
    """Return the error that `to_words` put into plain values; a name that is none of ours is a TaskFailed.

    The message can be stored, whatever the task has read.
    """
    kind = globals().get(name)
    if not (isinstance(kind, type) and issubclass(kind, VariosyncError)):
        kind = TaskFailed
    return _rebuild(kind, storable(message), details)


def storable(text: str, *, most: int = LONGEST) -> str:
    """Return a text that Postgres takes: at most `most` characters, no NUL among them, no half of a surrogate pair."""
    plain = text.replace('\x00', '').encode('utf-8', 'replace').decode('utf-8')
    return plain if len(plain) <= most else f'{plain[: most - 1]}…'


class UsageError(VariosyncError):
    """The request is not valid."""

    status = 400


class UnusableData(UsageError):
    """The data cannot be used for this."""

    status = 422


class UnreadableFile(UnusableData):
    """The file cannot be read as a table."""


class NoTimeColumn(UnusableData):
    """No column of the file can be read as time."""


class AmbiguousDates(UnusableData):
    """Day and month cannot be told apart in this column."""


class SeriesTooShort(UnusableData):
    """The series is too short for this model."""


class NotSupported(UsageError):
    """This is not supported."""

    status = 415


class NotSignedIn(VariosyncError):
    """Sign in first."""

    status = 401


class Unconfirmed(NotSignedIn):
    """This email is not confirmed yet. Open the link that was mailed to it, then sign in."""


class NotEnoughHours(VariosyncError):
    """Your hours do not cover this."""

    status = 402


class NotAllowed(VariosyncError):
    """You may not do this."""

    status = 403


class NotFound(VariosyncError):
    """Nothing here is called that, or it is not yours."""

    status = 404


class Conflict(VariosyncError):
    """The state has changed meanwhile."""

    status = 409


class TooLarge(VariosyncError):
    """This is larger than allowed."""

    status = 413


class TooMany(VariosyncError):
    """Too many attempts. Wait a little, then try again."""

    status = 429
    retryable = True


class TaskFailed(VariosyncError):
    """The task ended without a result."""


class TaskKilled(TaskFailed):
    """The task crashed."""

    retryable = True


class TaskOverLimit(TaskKilled):
    """The task was stopped because it passed its memory or time limit."""

    retryable = False


class TaskCancelled(TaskFailed):
    """The task was cancelled."""

    status = 409


class Unavailable(VariosyncError):
    """A service behind this one does not answer. Try again in a moment."""

    status = 503
    retryable = True


class Misconfigured(Unavailable):
    """A setting is missing or wrong."""

    retryable = False
