"""Billing: the balance and what it is made of, usage by day, the ledger, and how to get more hours."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from shlex import quote
from typing import Any
from urllib.parse import urlencode

from nicegui import ui
from nicegui.element import Element

from core.services import Services
from core.values import Balance, Grant, LedgerEntry, Session, UsageDay
from ui.components.bars import UsageBars, since_first_use, usage_bars, usage_key, used
from ui.components.formats import day as date_of
from ui.components.hours import STATES, switch
from ui.components.jobs import Changes
from ui.components.parts import badge, button, card, icon, icon_button, page_head, segment, tag
from ui.components.states import empty_state
from ui.components.table import Column, table
from ui.components.terms import Marked
from ui.components.times import amount, hours
from ui.live import follow
from ui.preferences import local
from ui.session import confirm
from ui.theme import PATIENCE, frame

RANGES = {'30D': 30, '90D': 90, '1Y': 365}
FILTERS = {
    'all': 'All kinds',
    'viewing': 'Sessions',
    'job': 'Jobs',
    'refund': 'Refunds',
    'grant': 'Grants',
    'expiry': 'Expired',
}
KINDS = {
    'grant': ('Grant', 'acc'),
    'viewing': ('Session', ''),
    'job': ('Job', ''),
    'refund': ('Refund', 'acc'),
    'expiry': ('Expired', 'warn'),
}
COLOURS = ('series-6', 'series-1', 'series-3', 'series-4', 'series-2', 'series-8')
ENTRIES = 25
WEEK = 7
PULSE = 30.0
PROMISES = (
    'Metered to the second',
    'Paused after 5 min without a touch',
    'A quote before every job',
    'Stops at zero, never below',
)
CSV = '/api/v1/hours/ledger.csv'
ABOUT = Marked(
    'Pages take {hours} while you use them, and jobs while they run. Billing, Settings and reading by REST take none.'
)


def register(services: Services) -> None:
    """Serve `/billing`."""

    @ui.page('/billing', response_timeout=PATIENCE)
    async def billing(range: str = '30D', kind: str = 'all') -> None:
        with frame(services, 'Billing', active='/billing', metered=False) as session:
            page_head('Billing', ABOUT)
            page = Billing(
                services,
                session,
                span=range if range in RANGES else '30D',
                kind=kind if kind in FILTERS else 'all',
            )
            await page.draw()


class Billing:
    """The page of one user, which moves itself when their hours change."""

    def __init__(self, services: Services, session: Session, *, span: str, kind: str) -> None:
        self._services = services
        self._user = session.user
        self._span = span
        self._kind = kind
        self._shown = ENTRIES
        self._changes = {part: Changes() for part in ('balance', 'ledger', 'usage')}

    async def draw(self) -> None:
        """Draw the cards and follow the user's hours."""
        with tag('div', classes='g12 billing'):
            with card('Balance', classes='c4', actions=self._state_place):
                self._balance = tag('div', classes='body vs')
            with tag('section', classes='card c8 vs'):
                self._usage_head()
                self._usage = tag('div', classes='vs grow')
        with tag('div', classes='g12 billing'):
            with card('Add hours', classes='c4') as more:
                more.style('align-self: start')
                self._more_hours()
            with tag('section', classes='card c8'):
                self._ledger_head()
                self._ledger = tag('div')
        self._bars: UsageBars | None = None
        await self.refresh()
        channel = f'{self._user.id}/hours'
        follow(self._services.events, channel, self._changed, within=self._balance, on_ready=self.refresh)
        # That nobody views any more is not told, and a day ends without a word.
        ui.timer(PULSE, self._look, immediate=False)

    async def _look(self) -> None:
        await confirm(self._services.accounts)
        await self.refresh()

    async def _changed(self, _: Mapping[str, Any]) -> None:
        await self.refresh()

    async def refresh(self) -> None:
        """Read everything again and draw what is different."""
        ours = self._services.hours
        balance = await ours.balance(self._user.id)
        grants = await ours.grants(self._user.id)
        usage = await ours.usage(self._user.id, days=RANGES[self._span], time_zone=self._user.preferences.time_zone)
        entries = await self._entries()
        if self._changes['balance'].seen(balance, grants, usage[-WEEK:]):
            self._show_balance(balance, grants, usage[-WEEK:])
        if self._changes['usage'].seen(usage):
            self._show_usage(usage)
        if self._changes['ledger'].seen(entries):
            self._show_ledger(entries)

    # balance

    def _state_place(self) -> None:
        self._state = tag('span', classes='state')

    def _show_balance(self, balance: Balance, grants: Sequence[Grant], week: Sequence[UsageDay]) -> None:
        text, kind, symbol = STATES.get(balance.state, STATES['off'])
        self._state.clear()
        with self._state:
            badge(text, kind, icon_name=symbol)
        self._balance.clear()
        with self._balance:
            with tag('div', classes='hs figure'):
                short, exact = hours(balance.seconds), amount(balance.seconds)
                tag('span', short, 'metric', data_hours='short')
                tag('span', exact if exact != short else '', 't3 tn', data_hours='exact')
            if grants:
                _share_bar(grants)
                with tag('ul', classes='vs grants'):
                    for place, grant in enumerate(grants):
                        _grant_line(grant, place, first=place == 0 and len(grants) > 1)
            if balance.reserved:
                tag('p', f'{amount(balance.reserved)} more is held for jobs that have not ended.', 't12 t3')
            with tag('div', classes='pace'):
                tag('p', pace(balance.seconds, week, expires=_last_expiry(grants)), 't12 t3')
                self._switch(balance)

    def _switch(self, balance: Balance) -> None:
        if balance.state != 'exhausted':
            text, symbol = ('Resume', 'play') if balance.state == 'paused' else ('Pause', 'pause')
            button(text, kind='small', icon_name=symbol, on_click=lambda: switch(self._services))

    # usage

    def _usage_head(self) -> None:
        with tag('header', classes='pad two'):
            tag('h2', 'Usage by day' if self._span != '1Y' else 'Usage by week')
            self._total = tag('span', classes='t12 t3 cut')
            usage_key()
            with tag('div', classes='acts'):
                segment(list(RANGES), self._span, label='Range', on_change=lambda span: self._go(span=span))

    def _show_usage(self, usage: Sequence[UsageDay]) -> None:
        total = sum(map(used, usage))
        self._total.text = f'{_amount_of(total)} in {RANGES[self._span]} days'
        if self._bars is None:
            with self._usage:
                self._bars = usage_bars(usage)
        else:
            self._bars.show(usage)

    # ledger

    def _ledger_head(self) -> None:
        with tag('header', classes='pad two'):
            tag('h2', 'Ledger')
            tag('span', 'The balance is the sum of its entries', 't12 t3 cut wide-only')
            with tag('div', classes='acts gap-s'):
                select = ui.select(FILTERS, value=self._kind, on_change=lambda event: self._go(kind=event.value))
                select.props('aria-label="Kind of entry"').classes('kind-select')
                icon_button('download', 'Save as CSV', small=True, href=CSV, download='')

    async def _entries(self) -> Sequence[LedgerEntry]:
        kind = None if self._kind == 'all' else self._kind
        return await self._services.hours.ledger(self._user.id, limit=self._shown + 1, kind=kind)

    def _show_ledger(self, entries: Sequence[LedgerEntry]) -> None:
        async def more() -> None:
            self._shown += ENTRIES
            await self.refresh()

        self._ledger.clear()
        with self._ledger:
            if not entries:
                _no_entries(self._kind)
                return
            _entry_table(entries[: self._shown])
            if len(entries) > self._shown:
                with tag('div', classes='hs more-row'):
                    button('Older entries', kind='small ghost', icon_name='chevron-down', on_click=more)

    def _go(self, **changed: str) -> None:
        wanted = {'range': self._span, 'kind': self._kind} | {
            {'span': 'range'}.get(name, name): value for name, value in changed.items()
        }
        query = {name: value for name, value in wanted.items() if value not in ('30D', 'all')}
        ui.navigate.to('/billing' + (f'?{urlencode(query)}' if query else ''))

    # more hours

    def _more_hours(self) -> None:
        command = f'variosync hours grant {quote(self._user.email)} 10'
        with tag('div', classes='body vs packs'):
            with tag('div', classes='note', role='note'):
                icon('info')
                with tag('div', classes='vs grow gap-s'):
                    tag('span', 'No payments are set up on this server. Its operator grants hours by', 't2')
                    with tag('div', classes='hs command'):
                        tag('code', command, 'mono grow')
                        icon_button('copy', 'Copy the command', small=True, data_copy=command)
            with tag('ul', classes='vs t12 t2 promises'):
                for promise in PROMISES:
                    with tag('li', classes='hs'):
                        icon('check', 12, classes='green')
                        tag('span', promise)


def pace(
    seconds: int, week: Sequence[UsageDay], *, expires: datetime | None = None, now: datetime | None = None
) -> str:
    """How long a balance lasts if the coming weeks take what the last one took."""
    if not seconds:
        return 'Nothing is left. Pages open again as soon as hours arrive.'
    recent = since_first_use(week)
    if not recent:
        return 'Nothing was used in the last seven days.'
    if len(recent) < 2:
        return 'After a day or two of use, this says how long it lasts.'
    days = seconds * len(recent) / sum(map(used, recent))
    today = local(now or datetime.now(UTC))
    if expires and expires - today < timedelta(days=days):
        return f'At this week’s pace some of it is left when it expires on {_full_day(local(expires), today)}.'
    if days > 365:
        return 'At this week’s pace it lasts for more than a year.'
    return f'At this week’s pace it lasts until about {_full_day(today + timedelta(days=days), today)}.'


def _last_expiry(grants: Sequence[Grant]) -> datetime | None:
    """When the last of the hours expires; None while some never do."""
    ends = [grant.expires_at for grant in grants]
    return max((end for end in ends if end), default=None) if all(ends) else None


def _full_day(at: datetime, today: datetime) -> str:
    return f'{at.day} {at:%B}' if at.year == today.year else f'{at.day} {at:%B %Y}'


def _amount_of(seconds: int) -> str:
    return hours(seconds) if seconds else 'nothing'


def _share_bar(grants: Sequence[Grant]) -> Element:
    total = sum(grant.remaining for grant in grants)
    with tag('div', classes='bar shares', aria_hidden='true') as bar:
        for place, grant in enumerate(grants):
            colour = COLOURS[place % len(COLOURS)]
            tag('i').style(f'width: {100 * grant.remaining / total:.2f}%; background: var(--{colour})')
    return bar


def _grant_line(grant: Grant, place: int, *, first: bool) -> None:
    until = f'Expires {date_of(local(grant.expires_at))}' if grant.expires_at else 'Does not expire'
    part = '' if grant.remaining == grant.seconds else f', {amount(grant.seconds)} given'
    with tag('li', classes='hs'):
        tag('i', classes='sw').style(f'background: var(--{COLOURS[place % len(COLOURS)]})')
        with tag('div', classes='vs grow'):
            tag('span', f'{grant.label}, used first' if first else grant.label, 'w5 cut', title=grant.label)
            tag('span', until + part, 't12 t3 cut')
        tag('span', amount(grant.remaining), 'w5 tn')


def _no_entries(kind: str) -> None:
    if kind == 'all':
        empty_state('No entries yet', 'Every second that comes or goes is written here: grants, viewing, jobs.')
    else:
        empty_state(
            f'No entries under “{FILTERS[kind]}”',
            'Other kinds may have some.',
            actions=lambda: button('Show all', href='/billing'),
        )


def _entry_table(entries: Sequence[LedgerEntry]) -> None:
    table(
        [
            Column[LedgerEntry](label='Time', cell=lambda e: _moment(e.at), classes='t2 tn sub', width='17%'),
            Column[LedgerEntry](label='Entry', cell=lambda e: e.label, classes='w5'),
            Column[LedgerEntry](label='Kind', cell=_kind, width='12%'),
            Column[LedgerEntry](label='Amount', cell=_amount, num=True, width='18%'),
            Column[LedgerEntry](label='Balance', cell=lambda e: amount(e.balance), num=True, width='20%', phone=False),
        ],
        entries,
        classes='cards ledger',
        label='Ledger',
    )


def _kind(entry: LedgerEntry) -> None:
    badge(*KINDS[entry.kind])


def _amount(entry: LedgerEntry) -> None:
    tag('span', amount(entry.seconds, sign=True), 'green' if entry.seconds > 0 else '')


def _moment(at: datetime) -> str:
    at = local(at)
    year = '' if at.year == local(datetime.now(UTC)).year else f' {at.year}'
    return f'{at.day} {at:%b}{year}, {at:%H:%M}'
