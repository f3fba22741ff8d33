"""What the users do meanwhile, and what they are told."""

import base64
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import httpx
import psycopg

from benchmarks.crash.plan import MOMENTS
from benchmarks.crash.site import Ledger, Site

USERS = 3
MOST_OPEN = 3  # jobs at a time: more would only wait for each other
LARGE = 20 * 2**20
PART = 4 * 2**20
PIECE = 64 * 2**10
LINE = 16e6  # bytes/s of a sender, so that kills meet bodies on their way
MODELS: Sequence[Sequence[str]] = (('seasonal_naive',), ('seasonal_naive',), ('seasonal_naive', 'lightgbm'))
TUS = {'Tus-Resumable': '1.0.0'}
OPEN = "select count(*) from public.jobs where state in ('queued', 'running')"
READY = """
select p.email, d.id from public.datasets d join public.profiles p on p.id = d.user_id
join public.dataset_versions v on v.id = d.current_version where v.rows < 100000 order by d.created_at
"""


@dataclass(slots=True, kw_only=True)
class Sent:
    """An upload as its sender knows it: what was announced and what was acknowledged."""

    owner: int
    address: str
    name: str
    size: int
    rows: int
    acknowledged: int = 0
    dataset: str = ''

    @property
    def complete(self) -> bool:
        """Whether the last byte was acknowledged."""
        return self.acknowledged == self.size


@dataclass(slots=True)
class Load:
    """What the users do, and what they saw."""

    site: Site
    ledger: Ledger
    seed: int
    large: int = LARGE
    line: float = LINE
    models: Sequence[Sequence[str]] = MODELS
    rest: float = 0.1  # seconds between what a user does and between heartbeats
    wanted: str = 'upload'
    sent: list[Sent] = field(default_factory=list)
    shrunk: int = 0  # times that less was there than had been acknowledged
    unexpected: Counter[str] = field(default_factory=Counter)
    sending: int = 0
    beating: int = 0
    beats: int = 0
    stopping: threading.Event = field(default_factory=threading.Event)
    users: list['User'] = field(default_factory=list)
    ready: dict[str, list[str]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Sign everybody up and let them work."""
        self.users = [User(self, place) for place in range(USERS)]
        for work in (self._look, self._keep_beating, *(user.work for user in self.users)):
            thread = threading.Thread(target=self._guarded, args=(work,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Let everybody end what they are about."""
        self.stopping.set()
        for thread in self._threads:
            thread.join(180)
            if thread.is_alive():
                self.failures.append('a user did not get done')

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # a silent end of a thread would look like success
            self.failures.append(f'{type(error).__name__}: {error}')
            raise

    def _look(self) -> None:
        while not self.stopping.is_set():
            with suppress(psycopg.OperationalError):
                ready: dict[str, list[str]] = {}
                for row in self.ledger.all(READY):
                    ready.setdefault(row['email'], []).append(str(row['id']))
                self.ready = ready
            self.stopping.wait(0.5)

    def _keep_beating(self) -> None:
        """Everybody has a page open."""
        with httpx.Client(base_url=self.site.server.url, timeout=30) as client:
            while not self.stopping.wait(self.rest):
                for user in self.users:
                    self.beating += 1
                    try:
                        answer = client.post('/api/v1/hours/heartbeat', json={'idle': 0}, headers=user.signed())
                        self.noted(answer, 'heartbeat')
                        self.beats += answer.is_success
                    except httpx.TransportError:
                        self.stopping.wait(0.2)
                    finally:
                        self.beating -= 1

    def noted(self, answer: httpx.Response, what: str) -> httpx.Response:
        """Count answers that a kill does not explain: everything above 499 but 503."""
        if answer.status_code >= 500 and answer.status_code != 503:
            self.unexpected[f'{what}: {answer.status_code}'] += 1
        return answer


class User:
    """Somebody who uploads and forecasts, and tries again when the server was gone."""

    def __init__(self, load: Load, place: int) -> None:
        self.load = load
        self.place = place
        self.email = f'user{place}@example.com'
        self._random = random.Random(f'{load.seed}-{place}')
        self._client = load.site.server.client(self.email)
        self._number = 0

    def signed(self) -> dict[str, str]:
        """Headers of a request from this user's page."""
        cookies = '; '.join(f'{cookie.name}={cookie.value}' for cookie in self._client.cookies.jar)
        return {'Cookie': cookies, 'Origin': self.load.site.server.url}

    def work(self) -> None:
        """Do one thing after another until told to stop."""
        while not self.load.stopping.is_set():
            try:
                if self.load.ledger.all(OPEN)[0]['count'] < MOST_OPEN:
                    self._do_something()
            except (httpx.TransportError, psycopg.OperationalError):
                self._wait()
            self.load.stopping.wait(self.load.rest)

    def _do_something(self) -> None:
        wanted = self.load.wanted if self._random.random() < 0.75 else self._random.choice(MOMENTS)
        ready = self.load.ready.get(self.email, [])
        if ready and (wanted == 'forecast' or (wanted == 'settle' and self._random.random() < 0.5)):
            self._forecast(self._random.choice(ready[-8:]))
        else:
            self._upload(large=self._random.random() < (0.4 if wanted in ('upload', 'convert') else 0.1))

    def _forecast(self, dataset: str) -> None:
        models = self._random.choice(self.load.models)
        self._number += 1
        name = f'f{self.place}-{self._number}'
        asked = {'dataset_id': dataset, 'target': 'y', 'h': 6, 'models': list(models), 'name': name}
        answer = self.load.noted(self._client.post('/api/v1/forecasts', json=asked), 'forecast')
        if answer.status_code not in (201, 202, 503):
            self.load.unexpected[f'forecast: {answer.status_code} {answer.text[:200]}'] += 1
        time.sleep(0.3)

    def _upload(self, *, large: bool) -> None:
        self._number += 1
        name = f'u{self.place}-{self._number}.csv'
        data, rows = table(self._random, size=self.load.large if large else self._random.randint(2_000, 60_000))
        metadata = f'filename {base64.b64encode(name.encode()).decode()}'
        headers = TUS | {'Upload-Length': str(len(data)), 'Upload-Metadata': metadata}
        answer = self.load.noted(self._client.post('/api/v1/uploads', headers=headers), 'begin upload')
        if answer.status_code != 201:
            self._wait()
            return
        sent = Sent(owner=self.place, address=answer.headers['location'], name=name, size=len(data), rows=rows)
        self.load.sent.append(sent)
        until = time.monotonic() + 150
        while not sent.complete and time.monotonic() < until:
            try:
                self._go_on(sent, data)
            except httpx.TransportError:
                self._wait()

    def _go_on(self, sent: Sent, data: bytes) -> None:
        if not self.look(sent) or sent.complete:
            return
        headers = TUS | {
            'Upload-Offset': str(sent.acknowledged),
            'Content-Type': 'application/offset+octet-stream',
        }
        self.load.sending += 1
        try:
            part = data[sent.acknowledged : sent.acknowledged + PART]
            answer = self._client.patch(sent.address, content=_slowly(part, self.load.line), headers=headers)
        finally:
            self.load.sending -= 1
        self.load.noted(answer, 'send')
        if answer.status_code == 204:
            sent.acknowledged = int(answer.headers['upload-offset'])
            sent.dataset = answer.headers.get('variosync-dataset', '')
        else:
            self._wait()

    def look(self, sent: Sent) -> bool:
        """Ask how much has arrived; less than was acknowledged is a loss. False when there was no answer to that."""
        answer = self.load.noted(self._client.head(sent.address, headers=TUS), 'look')
        if answer.status_code >= 500 or answer.status_code == 409:
            self._wait()
            return False
        arrived = int(answer.headers['upload-offset']) if answer.status_code == 200 else -1
        if arrived < sent.acknowledged:
            self.load.shrunk += 1
            self.load.unexpected[f'look: {answer.status_code}, {arrived} of {sent.acknowledged}'] += 1
        sent.acknowledged = max(sent.acknowledged, arrived)
        sent.dataset = answer.headers.get('variosync-dataset', sent.dataset)
        return True

    def get(self, address: str) -> int:
        """The status of a page or a file of this user."""
        return self._client.get(address).status_code

    def _wait(self) -> None:
        until = time.monotonic() + 60
        while not self.load.site.healthy() and time.monotonic() < until:
            time.sleep(0.2)


def _slowly(data: bytes, line: float) -> Iterator[bytes]:
    """A body that takes its time: bytes by a line of so many a second."""
    for place in range(0, len(data), PIECE):
        yield data[place : place + PIECE]
        time.sleep(PIECE / line)


def table(rng: random.Random, *, size: int) -> tuple[bytes, int]:
    """A table of a few shops of about `size` bytes, and its rows."""
    lines = [b'shop,ds,y\n']
    length, row, first = len(lines[0]), 0, rng.randint(1, 999)
    shops = 3 if size < 2**20 else 40
    while length < size:
        step, shop = divmod(row, shops)
        year, day = divmod(step, 336)
        # Stamps of a day that every month has, hour by hour of a long calendar.
        month, day = divmod(day, 28)
        line = b'shop %d,%d-%02d-%02d,%d\n' % (shop, 1900 + year, month + 1, day + 1, first + step % 7 * 10 + shop)
        lines.append(line)
        length += len(line)
        row += 1
    return b''.join(lines), row
