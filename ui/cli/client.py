"""A server's REST interface as commands use it: patient with what breaks, plain about what is refused.

Files are sent by tus 1.0.0 (https://tus.io/protocols/resumable-upload) in pieces. Where each upload lies is written
down until it has arrived, so that the same command goes on with it after a crash.
"""

import base64
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx

from core.errors import (
    Conflict,
    NotAllowed,
    NotEnoughHours,
    NotFound,
    NotSignedIn,
    NotSupported,
    TooLarge,
    TooMany,
    Unavailable,
    UsageError,
    VariosyncError,
)

API = '/api/v1'
TUS = {'Tus-Resumable': '1.0.0'}
PART = 'application/offset+octet-stream'
PIECE = 16 * 2**20
BLOCK = 2**18
TIMEOUT = 60.0  # seconds that one answer may take
PAUSES = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)  # seconds before each further attempt while nothing arrives
LONGEST_PAUSE = 60.0  # seconds, whatever a server asks for
POLL = 0.5  # seconds
TOLD = 0.2  # seconds from one line of progress to the next
MOST_REMEMBERED = 100  # uploads; those of files that were changed since are never asked for again
AWAY = (429, 502, 503, 504)
REFUSALS = {
    kind.status: kind
    for kind in (UsageError, NotEnoughHours, NotAllowed, NotFound, Conflict, TooLarge, NotSupported, TooMany)
}
Progress = Callable[[float, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """A file that has arrived whole: its dataset, and whether that showed the very same file already.

    `twin` is the dataset that its bytes were in before, if any.
    """

    dataset: str
    unchanged: bool
    twin: str | None = None


class Client:
    """Speaks to one server with one API key. `unfinished` is the file that remembers where uploads lie."""

    def __init__(
        self, server: str, key: str, *, unfinished: Path, transport: httpx.BaseTransport | None = None
    ) -> None:
        self.server = server
        self._unfinished = unfinished
        self._http = httpx.Client(
            base_url=server, headers={'Authorization': f'Bearer {key}'}, timeout=TIMEOUT, transport=transport
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def check(self, scopes: Sequence[str]) -> None:
        """Raise UsageError, NotSignedIn or Unavailable unless the server answers and the key has these scopes."""
        try:
            told = self._ask('GET', '/auth/verify', pauses=()).json()
            held = told['scopes'] if told['kind'] == 'api_key' else scopes
        except (ValueError, KeyError, TypeError, NotFound) as error:
            raise UsageError(f'{self.server} is no VARIOSYNC server. Check the address.') from error
        if missing := [scope for scope in scopes if scope not in held]:
            raise UsageError(f'The key lacks {", ".join(missing)}. Make one that has it, under Settings.')

    def dataset(self, named: str, *, deleted: bool = False, otherwise: str = '') -> str:
        """Return the id of the dataset with this id or name, of those that were `deleted` or of the others.

        Raise UsageError unless there is exactly one; where there is none, `otherwise` is said as well.
        """
        with self._understood():
            items = self.deleted() if deleted else self.datasets()
            found = [one['id'] for one in items if named.lower() == one['id']]
            found = found or [one['id'] for one in items if named == one['name']]
        if len(found) == 1:
            return str(found[0])
        which = 'deleted dataset' if deleted else 'dataset'
        if found:
            raise UsageError(f'{len(found)} {which}s are called "{named}". Give an id: {", ".join(found)}.')
        raise UsageError(f'There is no {which} "{named}" at {self.server}. {otherwise}'.strip())

    def datasets(self, query: str = '') -> list[dict[str, Any]]:
        """Return the datasets, or those that have `query` in their name or their file's, the latest change first."""
        with self._understood():
            asked = {'query': query} if query else None
            return list(self._ask('GET', '/datasets', query=asked).json()['items'])

    def deleted(self) -> list[dict[str, Any]]:
        """Return the datasets that can be brought back, the latest deletion first."""
        with self._understood():
            return list(self._ask('GET', '/datasets/deleted').json()['items'])

    def told(self, dataset: str) -> dict[str, Any]:
        """Return what the server says of a dataset, and of the version in use if there is one."""
        with self._understood():
            found = dict(self._ask('GET', f'/datasets/{dataset}').json())
            if found['version'] is None:
                return found
            version = self._ask('GET', f'/datasets/{dataset}/versions/{found["version"]}').json()
            return found | {name: version[name] for name in ('series', 'measures', 'warnings')}

    def delete(self, dataset: str) -> dict[str, Any]:
        """Delete a dataset and return it as the list of deleted ones has it."""
        self._ask('DELETE', f'/datasets/{dataset}', pauses=())
        with self._understood():
            return {one['id']: one for one in self.deleted()}[dataset]

    def restore(self, dataset: str) -> dict[str, Any]:
        """Bring a deleted dataset back and return it."""
        with self._understood():
            return dict(self._ask('POST', f'/datasets/{dataset}/undelete', pauses=()).json())

    def send(self, file: Path, *, dataset: str | None, how: str, progress: Progress) -> Arrived:
        """Send a file, on from what has arrived of it before. Raise what the server refuses it by."""
        size, began = file.stat().st_size, time.monotonic()
        mark = self._mark(file, dataset, how)
        try:
            location, offset, arrived = self._begun(file, size, mark, dataset, how)
            first, pauses = offset, iter(PAUSES)

            def tell(at: int) -> None:
                progress(at / size, _pace(file.name, at, size, at - first, began))

            while arrived is None:
                tell(offset)
                try:
                    answer = self._patch(location, file, offset, min(PIECE, size - offset), tell)
                except (httpx.TransportError, Unavailable, TooMany, Conflict) as error:
                    self._pause(next(pauses, None), error)
                    answer = self._ask('HEAD', location, headers=TUS)
                reached, arrived = self._offset(answer, size), _arrived(answer)
                if reached > offset:
                    pauses = iter(PAUSES)
                elif arrived is None and answer.request.method == 'PATCH':
                    self._pause(next(pauses, None), Unavailable(f'{self.server} takes no more of {file.name}.'))
                offset = reached
        except NotFound as error:
            self._remember(mark, None)
            raise NotFound(f'{file.name} was given up there, or its dataset is gone. Send it again.') from error
        self._remember(mark, None)
        return arrived

    def converted(self, dataset: str, *, progress: Progress) -> Mapping[str, Any]:
        """Wait for the conversion that was ordered last for a dataset, and return its job."""
        with self._understood():
            jobs = self._ask('GET', '/jobs').json()['items']
            found = [one for one in jobs if one['dataset_id'] == dataset and one['kind'] == 'convert']
            if not found:
                raise NotFound(
                    f'{self.server} knows no conversion of this file. It has arrived: look at {self.server}/datasets/'
                    f'{dataset}.'
                )
            job = found[0]
            while job['finished_at'] is None:
                progress(job['progress'], f'{job["title"]}. {job["message"] or "Waiting"}')
                time.sleep(POLL)
                job = self._ask('GET', f'/jobs/{job["id"]}').json()
            return {'state': job['state'], 'error': job['error'], **job}

    def shown(self, dataset: str) -> Mapping[str, Any]:
        """Return the name of a dataset and what it shows: version, rows, faults and warnings."""
        with self._understood():
            found = self._ask('GET', f'/datasets/{dataset}').json()
            version = self._ask('GET', f'/datasets/{dataset}/versions/{found["version"]}').json()
            told = {name: version[name] for name in ('rows', 'faults', 'warnings')}
            return {'name': found['name'], 'version': version['number'], **told}

    def _begun(
        self, file: Path, size: int, mark: str, dataset: str | None, how: str
    ) -> tuple[str, int, Arrived | None]:
        """Where to send a file, how much of it has arrived, and what has become of it if that is all."""
        if location := self._known().get(mark):
            with suppress(NotFound):  # it was given up meanwhile
                answer = self._ask('HEAD', location, headers=TUS)
                return location, self._offset(answer, size), _arrived(answer)
        told = {'filename': file.name} | ({'dataset': dataset, 'how': how} if dataset else {})
        metadata = ','.join(f'{name} {base64.b64encode(text.encode()).decode()}' for name, text in told.items())
        answer = self._ask('POST', '/uploads', headers=TUS | {'Upload-Length': str(size), 'Upload-Metadata': metadata})
        with self._understood():
            location = answer.headers['location'].removeprefix(API)
        self._remember(mark, location)
        return location, 0, None

    def _offset(self, answer: httpx.Response, size: int) -> int:
        """How much of an upload of `size` bytes has arrived. Raise Unavailable when an answer does not tell."""
        with self._understood():
            offset = int(answer.headers['upload-offset'])
            if not 0 <= offset <= size:
                raise ValueError(f'an offset of {offset} in {size} bytes')
            return offset

    @contextmanager
    def _understood(self) -> Iterator[None]:
        """Raise Unavailable for an answer that lacks what it has to tell."""
        try:
            yield
        except (ValueError, LookupError, TypeError) as error:
            raise Unavailable(
                f'An answer of {self.server} is not understood. Check the address and what stands in between, such as '
                'a proxy, and try again.'
            ) from error

    def _patch(
        self, location: str, file: Path, offset: int, length: int, tell: Callable[[int], None]
    ) -> httpx.Response:
        headers = TUS | {'Upload-Offset': str(offset), 'Content-Type': PART, 'Content-Length': str(length)}
        answer = self._http.patch(f'{API}{location}', headers=headers, content=_blocks(file, offset, length, tell))
        if answer.is_success:
            return answer
        raise self._refusal(answer)

    def _ask(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        pauses: Sequence[float] = PAUSES,
    ) -> httpx.Response:
        """Ask until there is an answer, and raise what it refuses by."""
        waits = iter(pauses)
        while True:
            try:
                answer = self._http.request(method, f'{API}{path}', headers=headers, params=query)
            except httpx.TransportError as error:
                self._pause(next(waits, None), error)
                continue
            if answer.is_success:
                return answer
            if answer.status_code not in AWAY:
                raise self._refusal(answer)
            self._pause(next(waits, None), self._refusal(answer))

    def _pause(self, seconds: float | None, error: Exception) -> None:
        """Wait before the next attempt; after the last one say what is wrong."""
        if seconds is None:
            if isinstance(error, VariosyncError):
                raise error
            raise Unavailable(f'{self.server} does not answer ({error}). Check the address and try again.') from error
        wait = error.details.get('retry_after', 0.0) if isinstance(error, VariosyncError) else 0.0
        time.sleep(max(seconds, wait))

    def _refusal(self, answer: httpx.Response) -> VariosyncError:
        """What an answer that is none says, as our error."""
        if answer.status_code == 401:
            return NotSignedIn(f'{self.server} does not know this key. Make one there, under Settings.')
        if answer.is_redirect:
            return UsageError(f'{self.server} has moved to {answer.headers.get("location")}. Give that address.')
        kind = REFUSALS.get(answer.status_code, Unavailable)
        try:
            message = str(answer.json()['detail'])
        except (ValueError, KeyError, TypeError):  # a HEAD has no body, a balancer no problem+json
            message = '' if answer.status_code in REFUSALS else f'{self.server} answered {answer.status_code}.'
        wait = answer.headers.get('retry-after', '')
        told = wait.isascii() and wait.isdigit()
        return kind(message, **({'retry_after': min(float(wait), LONGEST_PAUSE)} if told else {}))

    def _mark(self, file: Path, dataset: str | None, how: str) -> str:
        """What tells an upload from others: a file that was changed is another one."""
        found = file.stat()
        told = [self.server, str(file.resolve()), found.st_size, found.st_mtime_ns, dataset, how]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()

    def _known(self) -> dict[str, str]:
        with suppress(OSError, ValueError):
            known = json.loads(self._unfinished.read_text(encoding='utf-8'))
            return dict(known) if isinstance(known, dict) else {}
        return {}

    def _remember(self, mark: str, location: str | None) -> None:
        """Write down where an upload lies, or with None that it lies nowhere any more."""
        known = dict([one for one in self._known().items() if one[0] != mark][-MOST_REMEMBERED:])
        known |= {mark: location} if location else {}
        with suppress(OSError):  # where nothing can be written, an upload goes on in this process alone
            self._unfinished.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            written = self._unfinished.with_suffix('.new')
            written.write_text(json.dumps(known), encoding='utf-8')
            written.replace(self._unfinished)


def _blocks(file: Path, offset: int, length: int, tell: Callable[[int], None]) -> Iterator[bytes]:
    """Yield a piece of a file and tell, a few times a second, how far it is."""
    end, told = offset + length, time.monotonic()
    with file.open('rb') as opened:
        opened.seek(offset)
        while offset < end:
            block = opened.read(min(BLOCK, end - offset))
            if not block:
                raise UsageError(f'{file.name} became shorter while it was sent. Send it again when it is whole.')
            yield block
            offset += len(block)
            if time.monotonic() - told > TOLD:
                told = time.monotonic()
                tell(offset)


def _arrived(answer: httpx.Response) -> Arrived | None:
    dataset = answer.headers.get('variosync-dataset')
    if not dataset:
        return None
    twin = answer.headers.get('variosync-same-dataset')
    return Arrived(dataset=dataset, unchanged='variosync-unchanged' in answer.headers, twin=twin)


def _pace(name: str, offset: int, size: int, sent: int, began: float) -> str:
    """How far a file is, how fast it goes and how long that takes, `sent` bytes after `began`."""
    text = f'{name}: {offset / 1e6:,.1f} of {size / 1e6:,.1f} MB'
    passed = time.monotonic() - began
    if not sent or passed < 1:
        return text
    return f'{text}, {sent / passed / 1e6:,.1f} MB/s, {(size - offset) / sent * passed:,.0f} s left'
