"""Services in memory, for tests of the user interface alone: the same methods, nothing behind them."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

from core.dashboards import Dashboard
from core.datasets import Counts, Named
from core.errors import Conflict, NotFound, NotSignedIn, UsageError
from core.forecasts import Counts as Found
from core.forecasts import Listed, Measured
from core.settings import Settings
from core.values import (
    Actor,
    Balance,
    Dataset,
    Deleted,
    Entered,
    Forecast,
    Grant,
    Health,
    JobState,
    LedgerEntry,
    Notice,
    Preferences,
    Quote,
    Session,
    UsageDay,
    User,
    Version,
    VersionSummary,
)
from storage.cache import MemoryCache

LINK = 'a-one-time-link-of-the-owner'
DEFAULTS = Preferences()
WRONG = 'Email and password do not match an account here.'


class Accounts:
    providers: tuple[str, ...] = ('google', 'github')

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self.passwords: dict[str, str] = {}
        self.sessions: dict[str, Session] = {}
        self.users: dict[str, User] = {}
        self.keys: dict[str, Session] = {}
        self.links = {LINK}
        self.flows: dict[str, tuple[str, str, str]] = {}
        self.mails: list[str] = []
        self.seen: list[dict[str, str]] = []

    def open(
        self,
        email: str,
        *,
        name: str = '',
        life: timedelta = timedelta(days=30),
        preferences: Preferences = DEFAULTS,
    ) -> tuple[str, Session]:
        made = User(id=uuid4(), email=email, name=name, preferences=preferences)
        user = self.users.setdefault(email, made)
        token = secrets.token_urlsafe(32)
        now = datetime.now(UTC)
        self.sessions[token] = Session(id=uuid4(), user=user, created_at=now, expires_at=now + life)
        return token, self.sessions[token]

    def open_key(self, email: str, *scopes: str, life: timedelta = timedelta(days=30)) -> str:
        user = self.users.setdefault(email, User(id=uuid4(), email=email, name=''))
        key, now = f'vsk_{secrets.token_urlsafe(32)}', datetime.now(UTC)
        self.keys[key] = Session(id=uuid4(), user=user, created_at=now, expires_at=now + life, scopes=frozenset(scopes))
        return key

    async def sign_up(self, email: str, password: str, *, address: str, user_agent: str) -> tuple[str, Session]:
        self.seen.append({'address': address, 'user_agent': user_agent})
        if email in self.passwords:
            raise Conflict('An account with this email exists already.')
        if len(password) < 10:
            raise UsageError('Choose a password of at least 10 characters.')
        self.passwords[email] = password
        return self.open(email)

    async def sign_in(self, email: str, password: str, *, address: str, user_agent: str) -> tuple[str, Session]:
        self.seen.append({'address': address, 'user_agent': user_agent})
        if self.passwords.get(email) != password:
            raise NotSignedIn(WRONG)
        return self.open(email)

    async def redeem(self, link_token: str, *, address: str, user_agent: str) -> tuple[str, Session]:
        if link_token not in self.links:
            raise NotSignedIn('This sign-in link was used already or is too old.')
        self.links.remove(link_token)
        return self.open('owner@localhost')

    async def begin(
        self, provider: str, *, target: str, redirect_to: str, address: str, browser: str = ''
    ) -> tuple[str, str]:
        if provider not in self.providers:
            raise NotFound('Nobody signs in by this provider here. Choose another way.')
        return self._begin('google@example.com', target, redirect_to, browser)

    async def send_link(self, email: str, *, target: str, redirect_to: str, address: str, browser: str = '') -> str:
        if '@' not in email:
            raise UsageError('This is no email address. It looks like name@example.com.')
        url, browser = self._begin(email, target, redirect_to, browser)
        self.mails.append(url)
        return browser

    def _begin(self, email: str, target: str, redirect_to: str, browser: str) -> tuple[str, str]:
        state, browser = secrets.token_urlsafe(32), browser or secrets.token_urlsafe(32)
        self.flows[state] = (browser, email, target)
        return f'https://provider.example/?{urlencode({"back": redirect_to, "state": state})}', browser

    async def finish(
        self,
        state: str,
        answer: Mapping[str, str],
        *,
        browser: str,
        redirect_to: str,
        address: str,
        user_agent: str,
    ) -> Entered:
        begun_by, email, target = self.flows.pop(state, ('', '', ''))
        if not begun_by or begun_by != browser or 'error' in answer:
            raise NotSignedIn('This sign-in has expired. Start again.')
        token, session = self.open(email)
        return Entered(token=token, session=session, target=target)

    async def session(self, token: str) -> Session | None:
        return self.sessions.get(token)

    async def principal(self, token: str) -> Session | None:
        return self.keys.get(token) or self.sessions.get(token)

    async def sign_out(self, token: str, *, address: str = '') -> None:
        self.sessions.pop(token, None)


class Events:
    def __init__(self) -> None:
        self.queues: dict[str, list[asyncio.Queue[Mapping[str, Any]]]] = {}

    async def publish(self, channel: str, message: Mapping[str, Any]) -> None:
        for queue in self.queues.get(channel, []):
            queue.put_nowait(message)

    @asynccontextmanager
    async def subscribe(self, channel: str) -> AsyncIterator[AsyncIterator[Mapping[str, Any]]]:
        queue: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue()
        self.queues.setdefault(channel, []).append(queue)

        async def messages() -> AsyncIterator[Mapping[str, Any]]:
            while True:
                yield await queue.get()

        try:
            yield messages()
        finally:
            self.queues[channel].remove(queue)


class Notices:
    def __init__(self, events: Events) -> None:
        self.events = events
        self.kept: list[Notice] = []
        self.known: set[str] = set()

    async def add(
        self, user_id: UUID, title: str, *, text: str = '', level: str = 'good', link: str | None = None
    ) -> None:
        now = datetime.now(UTC)
        notice = Notice(
            id=uuid4(),
            user_id=user_id,
            level=level,
            title=title,
            text=text,
            link=link,
            created_at=now,
            read_at=None,
        )
        self.kept.insert(0, notice)
        message = {'id': str(notice.id), 'level': level, 'title': title, 'text': text, 'link': link}
        await self.events.publish(f'{user_id}/notices', message)

    async def latest(
        self, user_id: UUID, *, limit: int = 20, before: UUID | None = None, unread: bool = False
    ) -> Sequence[Notice]:
        found = [n for n in self.kept if n.user_id == user_id and not (unread and n.read_at)]
        after = next((place for place, notice in enumerate(found) if notice.id == before), -1)
        return found[after + 1 :][:limit]

    async def unread(self, user_id: UUID) -> int:
        return sum(notice.user_id == user_id and notice.read_at is None for notice in self.kept)

    async def read(self, user_id: UUID, notice_id: UUID) -> None:
        self._read(lambda notice: notice.id == notice_id and notice.user_id == user_id)
        await self.events.publish(f'{user_id}/notices', {})

    async def read_listed(self, user_id: UUID, ids: Collection[UUID]) -> None:
        self._read(lambda notice: notice.id in ids and notice.user_id == user_id)
        await self.events.publish(f'{user_id}/notices', {})

    async def read_all(self, user_id: UUID) -> None:
        self._read(lambda notice: notice.user_id == user_id)
        await self.events.publish(f'{user_id}/notices', {})

    def _read(self, which: Callable[[Notice], bool]) -> None:
        self.kept = [replace(notice, read_at=datetime.now(UTC)) if which(notice) else notice for notice in self.kept]

    async def untold(self, user_id: UUID) -> Sequence[Notice]:
        found = [n for n in self.kept if n.user_id == user_id and str(n.id) not in self.known]
        self.known |= {str(notice.id) for notice in found}
        return found

    async def told(self, user_id: UUID, notice_id: UUID | str) -> None:
        self.known.add(str(notice_id))


class Uploads:
    origins: Sequence[str] = ()

    async def unfinished(self, user_id: UUID) -> Sequence[Any]:
        return []


class Datasets:
    def __init__(self) -> None:
        self.kept: list[Dataset] = []
        self.gone: dict[UUID, datetime] = {}  # until when they can be brought back

    async def kept_until(self, user_id: UUID, dataset_id: UUID) -> datetime | None:
        return self.gone.get(dataset_id)

    async def undelete(self, user_id: UUID, dataset_id: UUID, *, by: Actor) -> None:
        del self.gone[dataset_id]

    def add(self, user_id: UUID, name: str, rows: int) -> Dataset:
        now = datetime.now(UTC)
        dataset = Dataset(
            id=uuid4(),
            user_id=user_id,
            name=name,
            version=1,
            rows=rows,
            faults=0,
            series=1,
            created_at=now,
            updated_at=now,
        )
        self.kept.append(dataset)
        return dataset

    async def list(
        self,
        user_id: UUID,
        *,
        query: str = '',
        ids: Collection[UUID] | None = None,
        converted: bool = False,
        offset: int = 0,
        limit: int | None = None,
    ) -> Sequence[Dataset]:
        own = [one for one in self.kept if one.user_id == user_id and query in one.name]
        some = [one for one in own if ids is None or one.id in ids]
        return [one for one in some if one.version is not None or not converted][offset:][:limit]

    async def get(self, user_id: UUID, dataset_id: UUID) -> Dataset:
        for one in await self.list(user_id, ids=[dataset_id]):
            return one
        raise NotFound('There is no such dataset.')

    async def named(self, user_id: UUID) -> Sequence[Named]:
        return [Named(id=one.id, name=one.name, version=one.version, rows=one.rows) for one in await self.list(user_id)]

    async def count(self, user_id: UUID) -> Counts:
        found = len(await self.list(user_id))
        return Counts(found=found, total=found, deleted=0)


class Dashboards:
    def __init__(self) -> None:
        self.kept: list[Dashboard] = []

    async def list(self, user_id: UUID) -> list[Dashboard]:
        return [one for one in self.kept if one.user_id == user_id]

    async def rail(self, user_id: UUID) -> Mapping[str, Any]:
        pinned = [{'id': str(one.id), 'name': one.name} for one in await self.list(user_id) if one.pinned]
        return {'datasets': 0, 'dashboards': len(await self.list(user_id)), 'forecasts': 0, 'jobs': 0, 'pinned': pinned}


class Forecasts:
    def __init__(self) -> None:
        self.kept: list[Forecast] = []
        self.gone: list[Deleted] = []

    def add(self, user_id: UUID, name: str, *, dataset_name: str) -> Forecast:
        forecast = Forecast(
            id=uuid4(),
            user_id=user_id,
            dataset_id=uuid4(),
            version_id=uuid4(),
            version=1,
            dataset_name=dataset_name,
            name=name,
            request={},
            result=None,
            job_id=None,
            state=JobState.SUCCEEDED,
            created_at=datetime.now(UTC),
            issued_at=datetime.now(UTC),
        )
        self.kept.append(forecast)
        return forecast

    async def list(
        self,
        user_id: UUID,
        *,
        query: str = '',
        dataset_id: UUID | None = None,
        offset: int = 0,
        limit: int | None = None,
    ) -> Sequence[Listed]:
        gone = {one.id for one in self.gone}
        found = [
            listed(one) for one in self.kept if one.user_id == user_id and query in one.name and one.id not in gone
        ]
        return found[offset:][:limit]

    async def count(self, user_id: UUID, *, query: str = '', dataset_id: UUID | None = None) -> Found:
        every = await self.list(user_id)
        return Found(found=len([one for one in every if query in one.name]), total=len(every), deleted=len(self.gone))

    async def deleted(self, user_id: UUID, *, offset: int = 0, limit: int | None = None) -> Sequence[Deleted]:
        return self.gone[offset:][:limit]

    async def kept_until(self, user_id: UUID, forecast_id: UUID) -> datetime | None:
        return next((one.until for one in self.gone if one.id == forecast_id), None)

    async def delete(self, user_id: UUID, forecast_id: UUID, *, by: Actor) -> None:
        (one,) = [one for one in self.kept if one.id == forecast_id]
        self.gone.append(Deleted(id=one.id, name=one.name, deleted_at=datetime.now(UTC), by='', of=one.dataset_name))

    async def undelete(self, user_id: UUID, forecast_id: UUID, *, by: Actor) -> None:
        self.gone = [one for one in self.gone if one.id != forecast_id]

    async def measured(self, user_id: UUID) -> Sequence[Measured]:
        issued = [(one.issued_at, one.result) for one in self.kept if one.user_id == user_id]
        return [Measured(at=at, scores=result['scores']) for at, result in issued if at and result]


class Hours:
    """Everybody has ten hours unless a test says otherwise; what a test puts in is what pages show."""

    def __init__(self, events: Events) -> None:
        self.events = events
        self.balances: dict[UUID, Balance] = {}
        self.given: list[Grant] = []
        self.entries: list[LedgerEntry] = []
        self.days: list[UsageDay] = []
        self.beats: list[float] = []

    async def balance(self, user_id: UUID) -> Balance:
        return self.balances.get(user_id, Balance(seconds=36_000))

    async def beat(self, user_id: UUID, *, idle: float = 0.0, **_: Any) -> Balance:
        self.beats.append(idle)
        return await self.balance(user_id)

    async def pause(self, user_id: UUID) -> Balance:
        return await self.put(user_id, replace(await self.balance(user_id), state='paused'))

    async def resume(self, user_id: UUID) -> Balance:
        return await self.put(user_id, replace(await self.balance(user_id), state='running'))

    async def put(self, user_id: UUID, balance: Balance) -> Balance:
        self.balances[user_id] = balance
        message = {'seconds': balance.seconds, 'state': balance.state, 'reserved': balance.reserved}
        await self.events.publish(f'{user_id}/hours', message)
        return balance

    async def grants(self, user_id: UUID) -> Sequence[Grant]:
        return [grant for grant in self.given if grant.user_id == user_id]

    async def ledger(
        self,
        user_id: UUID,
        *,
        limit: int = 200,
        before: int | None = None,
        kind: str | None = None,
        grouped: bool = True,
    ) -> Sequence[LedgerEntry]:
        known = (entry for entry in self.entries if before is None or entry.id < before)
        return [entry for entry in known if kind in (None, entry.kind)][:limit]

    async def usage(self, user_id: UUID, *, days: int, time_zone: str = 'UTC') -> Sequence[UsageDay]:
        today = datetime.now(UTC).date()
        known = {day.day: day for day in self.days}
        wanted = (today - timedelta(days=back) for back in reversed(range(days)))
        return [known.get(day, self.day(day)) for day in wanted]

    @staticmethod
    def day(day: date, *, viewing: int = 0, convert: int = 0, forecast: int = 0) -> UsageDay:
        return UsageDay(day=day, viewing=viewing, convert=convert, forecast=forecast)

    def quote_convert(self, size: int, name: str = '') -> Quote:
        return Quote(task='convert', seconds=10 + size // 1_000_000, basis='a file of 49 KB')


class HealthCheck:
    def __init__(self) -> None:
        self.answer = Health(state='ok', services={'database': 'ok', 'objects': 'ok'})
        self.stopping = False

    async def check(self) -> Health:
        return self.answer


class Services:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.accounts = Accounts()
        self.events = Events()
        self.notices = Notices(self.events)
        self.datasets = Datasets()
        self.uploads = Uploads()
        self.forecasts = Forecasts()
        self.dashboards = Dashboards()
        self.hours = Hours(self.events)
        self.health = HealthCheck()
        self.cache = MemoryCache()


def listed(forecast: Forecast) -> Listed:
    """A forecast as lists show it."""
    asked = forecast.request
    known = {name: getattr(forecast, name) for name in Listed.__slots__ if name not in ('h', 'models')}
    return Listed(**known, h=asked.get('h', 1), models=asked.get('models', []))


def summary(version: Version, *, reads: int | None = None) -> VersionSummary:
    """A version as lists show it."""
    told, sources = version.manifest, version.manifest.get('sources') or ()
    return VersionSummary(
        number=version.number,
        rows=version.rows,
        faults=told['faults_total'],
        series=told['series']['count'],
        measures=told['measures'],
        warnings=told.get('warnings', []),
        source=told['source']['name'],
        recipe=told.get('recipe', []),
        earlier_files=sum(source['rows'] > 0 for source in sources[:-1]),
        previous=version.number - 1 or None,
        reads=reads,
        created_at=version.created_at,
    )
