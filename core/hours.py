"""Hours: grants, ledger, the usage session of a user, and what tasks cost. All amounts are whole seconds."""

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from core.errors import NotEnoughHours, NotFound, UsageError
from core.notices import Notices
from core.ports import Database, Events, Row, Transaction
from core.settings import Prices
from core.values import Balance, Grant, LedgerEntry, Notice, Quote, UsageDay

HOUR = 3600
OWNER_HOURS = 1000
LOW = (0, 5 * 60, 30 * 60)
BYTES_A_ROW = 50
PACKED = ('.gz', '.zip', '.xz', '.zst', '.bz2', '.parquet', '.feather', '.xlsx')
UNPACKED = 8  # how much larger a packed file is reckoned to be
POINTS = 1000
WINDOWS = 3  # past cutoffs that the prices of models hold for
DEFAULT_PRIORITY = 50
MOST_HOURS = 100_000
MOST_DAYS = 366


class Hours:
    """What a user may use and has used. Only SQL functions write it (`supabase/migrations/…_hours.sql`)."""

    def __init__(
        self, database: Database, *, events: Events, notices: Notices, prices: Prices, trial_hours: float
    ) -> None:
        self._database = database
        self._events = events
        self._notices = notices
        self._prices = prices
        self._trial = round(trial_hours * HOUR)

    # viewing

    async def balance(self, user_id: UUID) -> Balance:
        """Return what the user can use now, as of the last charge."""
        async with self._database.transaction(user_id) as tx:
            return _balance(await tx.one('hours_balance', user_id=user_id))

    async def beat(
        self,
        user_id: UUID,
        *,
        idle: float = 0.0,
        page: UUID | None = None,
        opening: bool = False,
        leaving: bool = False,
    ) -> Balance:
        """Say that a page is open whose user was active `idle` seconds ago; charge what has passed since the last beat.

        `page` tells pages apart: when the last known one is `leaving`, the clock stands still until one is `opening`.
        Beats of all tabs and devices of a user run on one clock. The state that is returned is `running`, `idle` (five
        minutes without activity), `paused` (by hand) or `exhausted`.
        """
        if not (math.isfinite(idle) and idle >= 0):
            raise UsageError('The idle time is a number of seconds, 0 or more.')
        notice = None
        async with self._database.system() as tx:
            before = _balance(await tx.one('hours_balance', user_id=user_id))
            if leaving and page is not None:
                await tx.one('hours_leave', user_id=user_id, idle=idle, page=page)
                state = None
            else:
                row = await tx.one('hours_beat', user_id=user_id, idle=idle, page=page, opening=opening)
                state = row['state']
            after = _balance(await tx.one('hours_balance', user_id=user_id), state)
            if after.seconds < before.seconds:
                notice = await self.warn(tx, user_id, after.seconds)
        if notice is not None:
            await self._notices.tell(notice)
        if after.state != before.state:
            await self._publish(user_id, after)
        return after

    async def pause(self, user_id: UUID) -> Balance:
        """Stop the clock on every page of the user until `resume`."""
        async with self._database.transaction(user_id) as tx:
            state = (await tx.one('hours_pause', user_id=user_id))['state']
        return await self._switched(user_id, state)

    async def resume(self, user_id: UUID) -> Balance:
        """Let the clock run again."""
        async with self._database.transaction(user_id) as tx:
            state = (await tx.one('hours_resume', user_id=user_id))['state']
        return await self._switched(user_id, state)

    async def _switched(self, user_id: UUID, state: str) -> Balance:
        balance = replace(await self.balance(user_id), state=state)
        await self._publish(user_id, balance)
        return balance

    # what was given and used

    async def grants(self, user_id: UUID) -> Sequence[Grant]:
        """Return the grants that can still be used, in the order in which they are."""
        async with self._database.transaction(user_id) as tx:
            return [Grant(**row) for row in await tx.all('hours_grants', user_id=user_id)]

    async def ledger(
        self,
        user_id: UUID,
        *,
        limit: int = 200,
        before: int | None = None,
        kind: str | None = None,
        grouped: bool = True,
    ) -> Sequence[LedgerEntry]:
        """Return ledger entries, the newest first; `before` is the id of the last one seen.

        `grouped` puts the viewing of a session into one line as long as nothing else comes between.
        """
        asked = {'user_id': user_id, 'kind': kind}
        async with self._database.transaction(user_id) as tx:
            if not grouped:
                rows = await tx.all('hours_ledger', limit=limit, before=before, **asked)
                return [LedgerEntry(**row) for row in rows]
            lines: list[LedgerEntry] = []
            # The statement reads a stretch of the ledger at a time, which may be few lines although more follow.
            while len(lines) < limit:
                rows = await tx.all('hours_ledger_grouped', limit=limit - len(lines), before=before, **asked)
                if not rows:
                    break
                lines += [LedgerEntry(**row) for row in rows]
                before = lines[-1].id
        return lines

    async def usage(self, user_id: UUID, *, days: int, time_zone: str = 'UTC') -> Sequence[UsageDay]:
        """Return the seconds used on each of the last `days` days of a time zone, the oldest first."""
        if not 1 <= days <= MOST_DAYS:
            raise UsageError(f'Usage is shown for 1 to {MOST_DAYS} days, not {days}.')
        async with self._database.transaction(user_id) as tx:
            rows = await tx.all('hours_usage', user_id=user_id, days=days, time_zone=time_zone)
        return [UsageDay(**row) for row in rows]

    async def grant(
        self,
        user_id: UUID,
        seconds: int,
        *,
        source: str,
        label: str,
        key: str,
        expires_at: datetime | None = None,
        priority: int = DEFAULT_PRIORITY,
    ) -> bool:
        """Give a user seconds, once for a key; return whether they were given now."""
        if not 1 <= seconds <= MOST_HOURS * HOUR:
            raise UsageError(f'A grant is between one second and {MOST_HOURS:,} hours.')
        async with self._database.system() as tx:
            given = await _give(
                tx, user_id, seconds, source=source, label=label, key=key, expires_at=expires_at, priority=priority
            )
            notice = None
            if given:
                text = f'{amount(seconds)} can be used now.'
                notice = await self._notices.add(tx, user_id, level='good', title=label, text=text, link='/billing')
        if notice is not None:
            await self._notices.tell(notice)
            await self.tell(user_id)
        return given

    async def welcome(self, tx: Transaction, user_id: UUID, *, owner: bool) -> None:
        """Give a new account its trial hours, or the owner theirs, in a worker transaction; once, however often."""
        if owner:
            seconds = OWNER_HOURS * HOUR
            await _give(tx, user_id, seconds, source='owner', label='Owner’s hours', key=f'owner:{user_id}')
        elif self._trial:
            await _give(tx, user_id, self._trial, source='trial', label='Trial hours', key=f'trial:{user_id}')

    async def account(self, email: str) -> UUID:
        """Return the id of the account with this email. Raise NotFound when there is none."""
        async with self._database.system() as tx:
            return UUID(str((await tx.one('hours_account', email=email.strip().lower()))['id']))

    async def sweep(self) -> None:
        """End abandoned sessions and write off expired hours, of all users."""
        async with self._database.system() as tx:
            changed = [row['user_id'] for row in await tx.all('hours_sweep')]
            notices = [await self.warn(tx, user_id) for user_id in changed]
        for user_id, notice in zip(changed, notices, strict=True):
            with suppress(NotFound):  # deleted meanwhile
                await self.tell(user_id)
            if notice is not None:
                await self._notices.tell(notice)

    # telling

    async def tell(self, user_id: UUID) -> None:
        """Tell the user's open pages what the balance is."""
        async with self._database.system() as tx:
            balance = _balance(await tx.one('hours_balance', user_id=user_id))
        await self._publish(user_id, balance)

    async def warn(self, tx: Transaction, user_id: UUID, seconds: int | None = None) -> Notice | None:
        """Record, in a worker transaction, that hours run low or have run out: once a threshold and grant.

        `tell` the notice, if there is one, once the transaction is committed.
        """
        if seconds is None:
            seconds = (await tx.one('hours_balance', user_id=user_id))['seconds']
        threshold = next((low for low in LOW if seconds <= low), None)
        if threshold is None:
            return None
        given = (await tx.one('hours_given', user_id=user_id))['count']
        title = 'Your hours are used up' if seconds == 0 else f'{amount(seconds)} of your hours left'
        text = (
            'Your data is kept. Billing and the export of your data stay open.'
            if seconds == 0
            else 'Charts go on until they are used up; jobs whose quote is larger will not start.'
        )
        return await self._notices.add_once(
            tx,
            user_id,
            key=f'low-hours:{threshold}:{given}',
            level='bad' if seconds == 0 else 'warn',
            title=title,
            text=text,
            link='/billing',
        )

    async def _publish(self, user_id: UUID, balance: Balance) -> None:
        message = {'seconds': balance.seconds, 'state': balance.state, 'reserved': balance.reserved}
        await self._events.publish(f'{user_id}/hours', message)

    # what tasks cost

    def quote_convert(self, size: int, name: str = '', *, rows: int | None = None) -> Quote:
        """Return what converting a file of `size` bytes costs at most.

        Rows that nobody has counted are reckoned from the size, which is the basis that is told then.
        """
        unpacked = size * (UNPACKED if name.lower().endswith(PACKED) else 1)
        counted = max(1, unpacked // BYTES_A_ROW) if rows is None else rows
        seconds = self._prices.convert + self._prices.convert_rows * counted / 1e6
        basis = f'a file of {_size(size)}' if rows is None else f'{_short(rows)} row{"" if rows == 1 else "s"}'
        return Quote(task='convert', seconds=math.ceil(seconds), basis=basis)

    def quote_forecast(
        self,
        *,
        series: int,
        models: Sequence[str],
        rows: int = 0,
        windows: int = WINDOWS,
        budget: float | None = None,
    ) -> Quote:
        """Return what a forecast costs at most, for `series` series of `rows` points in all.

        Prices hold for models that are measured from three past cutoffs; each of the `windows` costs about as much as
        the forecast itself. A `budget` in seconds bounds what `auto` costs; no other model heeds it.
        """
        length = max(1.0, rows / max(1, series) / POINTS)
        prices = self._prices.models
        size = series * length * (1 + windows) / (1 + WINDOWS)
        costs = {model: prices.get(model, max(prices.values(), default=0)) * size for model in models}
        basis = f'{series:,} series × {len(models)} model{"" if len(models) == 1 else "s"}'
        if windows != WINDOWS:
            basis += f' × {windows} past cutoff{"" if windows == 1 else "s"}'
        if budget is not None and budget < costs.get('auto', 0):
            costs['auto'] = budget
            basis += f', auto within {amount(math.ceil(budget))}'
        return Quote(task='forecast', seconds=math.ceil(self._prices.forecast + sum(costs.values())), basis=basis)


def short_of(quote: int, *, missing: int) -> NotEnoughHours:
    """Return the error of a balance that is `missing` seconds short of a quote."""
    return NotEnoughHours(
        f'This may take up to {amount(quote)} of your hours; {amount(missing)} are missing. Add hours, then try again.',
        quote=quote,
        shortfall=missing,
        balance=quote - missing,
    )


def amount(seconds: int) -> str:
    """Return an amount of hours as every text tells it: `11 s`, `2 min 10 s`, `12 h 34 min 8 s`, `1,000 h`."""
    minutes, rest = divmod(seconds, 60)
    whole, minutes = divmod(minutes, 60)
    parts = [f'{number:,} {unit}' for number, unit in ((whole, 'h'), (minutes, 'min'), (rest, 's')) if number]
    return ' '.join(parts) or '0 s'


async def _give(
    tx: Transaction,
    user_id: UUID,
    seconds: int,
    *,
    source: str,
    label: str,
    key: str,
    expires_at: datetime | None = None,
    priority: int = DEFAULT_PRIORITY,
) -> bool:
    row = await tx.one(
        'hours_give',
        user_id=user_id,
        seconds=seconds,
        source=source,
        label=label,
        key=key,
        priority=priority,
        expires_at=expires_at,
    )
    return bool(row['given'])


def _balance(row: Row, state: str | None = None) -> Balance:
    return Balance(
        seconds=row['seconds'],
        reserved=row['reserved'],
        state='exhausted' if row['seconds'] == 0 else state or row['viewing'] or 'off',
        expires_next=row['expires_next'],
    )


def _short(rows: int) -> str:
    for unit, size in (('B', 10**9), ('M', 10**6), ('k', 10**3)):
        if rows >= size:
            return f'{rows / size:.3g}{unit}'
    return f'{rows}'


def _size(count: int) -> str:
    for unit, size in (('GB', 2**30), ('MB', 2**20), ('KB', 2**10)):
        if count >= 1000 * size / 1024:  # three digits: 0.98 MB comes before 1,000 KB
            return f'{count / size:,.0f} {unit}' if count >= 100 * size else f'{count / size:.3g} {unit}'
    return f'{count} B'
