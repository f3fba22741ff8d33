"""What an object store or a disk says when something is wrong, told in our own errors, and how often we ask again."""

import asyncio
import errno
import random
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    UnauthenticatedError,
)

from core.errors import Conflict, Misconfigured, NotFound, Unavailable

T = TypeVar('T')

# Codes of answers 4xx that may not come again: Wasabi says the first where AWS says SlowDown, with status 400.
PASSING = {
    'RequestRateLimitExceeded',
    'SlowDown',
    'RequestTimeout',
    'IncompleteBody',
    'BadDigest',
    'XAmzContentSHA256Mismatch',
    'OperationAborted',
    'ConditionalRequestConflict',
    'NoSuchUpload',  # to who completes an upload in parts again whose completion was not heard: it is sent anew
}
PASSING_STATUS = {408, 429}
NO_BUCKET = 'NoSuchBucket'
_STATUS = re.compile(r'status(?: code:)? (\d{3})')
_CODE = re.compile(r'<Code>(\w+)</Code>')


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a store behind a network is asked again while that may help.

    A request takes at most `timeout` seconds, of which `silence` pass without a byte; there are at most `tries` of
    them, none begun after `total` seconds. The pauses between them are random, up to `first` seconds, then doubled each
    time up to `longest`.
    """

    tries: int = 8
    first: float = 0.1
    longest: float = 8.0
    timeout: float = 30.0
    silence: float = 30.0
    total: float = 60.0

    async def ask(self, key: str, call: Callable[[], Awaitable[T]]) -> T:
        """Return what `call` returns, called again while it fails for a passing reason. It raises our errors only."""
        pauses = self._pauses()
        while True:
            try:
                with told(key):
                    return await call()
            except Unavailable as error:
                if not error.retryable or (pause := next(pauses, None)) is None:
                    raise
            await asyncio.sleep(pause)

    def ask_blocking(self, key: str, call: Callable[[], T]) -> T:
        """Do as `ask` does, on a thread that may wait."""
        pauses = self._pauses()
        while True:
            try:
                with told(key):
                    return call()
            except Unavailable as error:
                if not error.retryable or (pause := next(pauses, None)) is None:
                    raise
            time.sleep(pause)

    def _pauses(self) -> Iterator[float]:
        until = time.monotonic() + self.total
        for number in range(self.tries - 1):
            pause = random.uniform(0, min(self.longest, self.first * 2**number))  # noqa: S311 - jitter is no secret
            if time.monotonic() + pause > until:
                return
            yield pause


@contextmanager
def told(key: str) -> Iterator[None]:
    """Say in our own errors what the store or the disk says; what may pass by itself is Unavailable and retryable."""
    try:
        yield
    except (FileNotFoundError, IsADirectoryError) as error:
        if code_of(error) == NO_BUCKET:
            raise _no_bucket() from error
        if code_of(error) in PASSING:
            raise _passing(key) from error
        raise NotFound(f'There is no object under {key}.') from error
    except (AlreadyExistsError, FileExistsError, NotADirectoryError) as error:
        # Status 409 also says that two requests met, which tells nothing of an object.
        if code_of(error) in PASSING:
            raise _passing(key) from error
        raise Conflict(f'There is an object under {key} already.') from error
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise _refused(error) from error
    except BaseError as error:
        raise _failed(key, error) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Unavailable('The disk for objects is full. Free some space, then try again.') from error
        raise _passing(key) from error


def code_of(error: Exception) -> str | None:
    """Return the code in the store's answer, such as NoSuchBucket, if there is one."""
    found = _CODE.search(str(error))
    return found[1] if found else None


def _failed(key: str, error: BaseError) -> Unavailable:
    found, code = _STATUS.search(str(error)), code_of(error)
    status = int(found[1]) if found else None
    if code == NO_BUCKET:
        return _no_bucket()
    if status in (401, 403):
        return _refused(error)
    # The answer to a HEAD has no code, so a status 400 may be a rate limit.
    passing = status in PASSING_STATUS or code in PASSING or (status == 400 and code is None)
    if status and 400 <= status < 500 and not passing:
        return Misconfigured(f'The object store refuses a request{_named(error)}. Look at the settings AWS_….')
    return _passing(key)


def _passing(key: str) -> Unavailable:
    # The key is for the log: it tells nothing to whom the message is shown.
    return Unavailable('Your data cannot be reached now: the object store does not answer.', key=key)


def _no_bucket() -> Misconfigured:
    return Misconfigured('There is no such bucket. Look at AWS_BUCKET_NAME, or run `variosync bucket init`.')


def _refused(error: Exception) -> Misconfigured:
    return Misconfigured(
        f'The object store refuses our access key{_named(error)}. Look at AWS_ACCESS_KEY_ID and its secret.'
    )


def _named(error: Exception) -> str:
    code = code_of(error)
    return f' ({code})' if code else ''
