"""Hours on pages: the pill in the top bar, and what a task costs beside the button that starts it."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from nicegui import context
from nicegui.element import Element

from core.errors import NotEnoughHours, VariosyncError
from core.values import Balance, Quote, Session
from ui.assets import icon_shapes
from ui.components.parts import Tag, icon, tag
from ui.components.times import amount
from ui.components.toast import toast
from ui.live import follow
from ui.preferences import MARKS
from ui.session import current

ICONS = ('timer', 'pause', 'play')
API = '/api/v1/hours'
IDLE_AFTER = 300
STATES = {
    'running': ('Running', 'acc', 'play'),
    'idle': ('Paused while idle', 'ok', 'pause'),
    'paused': ('Paused', 'warn', 'pause'),
    'off': ('Not running', '', 'pause'),
    'exhausted': ('Used up', 'bad', 'x'),
}


class HoursPill(Element, component='../static/hours_pill.js'):
    """What is left, counted down in the browser; on a metered page it also sends the heartbeat.

    It carries `data-seconds` and `data-state` for tests, and writes the live balance into every element of the page
    that has `data-hours` (`short` or `exact`).
    """

    def __init__(
        self, services: Any, session: Session, *, metered: bool, balance: Balance | None, page: UUID | None = None
    ) -> None:
        super().__init__()
        self._services = services
        self._user_id = session.user.id
        self.props['balance'] = as_props(balance) if balance else None
        self.props['metered'] = metered
        self.props['page'] = page and str(page)
        self.props['url'] = API
        self.props['idleAfter'] = IDLE_AFTER
        self.props['marks'] = list(MARKS.get(session.user.preferences.number_format, MARKS['1,234.5']))
        self.props['icons'] = {name: icon_shapes(name) for name in ICONS}
        self._following = False
        # Only once a browser is there: a page that is fetched and never opened follows nothing.
        context.client.on_connect(self._follow_once)

    def _follow_once(self) -> None:
        if self._following:
            return
        self._following = True
        with self:
            channel = f'{self._user_id}/hours'
            follow(self._services.events, channel, self._changed, within=self, on_ready=self._ask)

    def _changed(self, message: Mapping[str, Any]) -> None:
        self.props['balance'] = {'reserved': 0, **message}

    async def _ask(self) -> None:
        try:
            balance = await self._services.hours.balance(self._user_id)
        except VariosyncError:
            return  # the page has its own way to say that a service is gone
        if self.props['balance'] is None:
            self.props['balance'] = as_props(balance)


async def switch(services: Any) -> None:
    """Pause the hours of the page's user, or let them run again when they are paused."""
    user_id = current().user.id
    balance = await services.hours.balance(user_id)
    if balance.state == 'paused':
        await services.hours.resume(user_id)
    elif balance.state == 'exhausted':
        toast('Your hours are used up', 'There is nothing to pause.', level='warn', links=[('See Billing', '/billing')])
    else:
        await services.hours.pause(user_id)


def as_props(balance: Balance) -> dict[str, Any]:
    """A balance for the browser."""
    return {'seconds': balance.seconds, 'reserved': balance.reserved, 'state': balance.state}


class Price:
    """A line that says what a task may cost, beside the button that starts it."""

    def __init__(self, balance: Balance, quote: Quote | None = None) -> None:
        self._balance = balance
        self._quote = quote
        self._why_not = ''
        self._buttons: tuple[Tag, ...] = ()
        self._line = tag('span', classes='price t12 t3', role='status', aria_live='polite')
        with self._line:
            icon('timer', 12, classes='lead')
            with tag('span'):
                self._text = tag('span')
                self._link = tag('a', 'See Billing', 'link', href='/billing')
        self._draw()

    def guard(self, *buttons: Tag) -> None:
        """Switch buttons off as long as the balance does not cover the quote."""
        self._buttons = buttons
        self._draw()

    def show(self, quote: Quote | None, *, why_not: str = '') -> None:
        """Show a quote; without one, `why_not` there is none."""
        self._quote = quote
        self._why_not = why_not
        self._draw()

    def has(self, balance: Balance) -> None:
        """The balance has changed."""
        self._balance = balance
        self._draw()

    def follow(self, services: Any, session: Session) -> None:
        """Keep up with the user's balance."""

        async def changed(_: Mapping[str, Any]) -> None:
            self.has(await services.hours.balance(session.user.id))

        follow(services.events, f'{session.user.id}/hours', changed, within=self._line)

    @property
    def short(self) -> int:
        """Seconds that the balance lacks."""
        return max(0, self._quote.seconds - self._balance.seconds) if self._quote else 0

    def _draw(self) -> None:
        self._line.set_visibility(self._quote is not None or bool(self._why_not))
        self._line.classes(remove='red t3', add='red' if self.short else 't3')
        self._text.text = self._why_not if self._quote is None else priced(self._quote, self._balance)
        self._link.set_visibility(self.short > 0)
        blocked = self.short > 0 or (self._quote is None and bool(self._why_not))
        for button in self._buttons:
            button.props['disabled'] = blocked
            button.props['title'] = self._text.text if blocked else ''


def priced(quote: Quote, balance: Balance) -> str:
    """What a task may cost in a sentence, and what is missing when the balance is short."""
    if (short := quote.seconds - balance.seconds) > 0:
        return f'Needs up to {amount(quote.seconds)} of your hours ({quote.basis}); you are {amount(short)} short.'
    return f'Up to {amount(quote.seconds)} of your hours ({quote.basis})'


def billing_link(error: Exception) -> list[tuple[str, str]]:
    """The way on from an error that is about hours: links for a toast."""
    return [('See Billing', '/billing')] if isinstance(error, NotEnoughHours) else []
