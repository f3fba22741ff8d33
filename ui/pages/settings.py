"""Settings: who you are, how pages look, API keys, sessions, and the account itself."""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import available_timezones

from nicegui import app, context, ui

from core.accounts import NUMBER_FORMATS, SCOPES, ZONE
from core.errors import NotFound, TooMany, UsageError
from core.services import Services
from core.values import ApiKey, Preferences, Session, SignedIn
from ui.components.agents import agent
from ui.components.formats import counted, day
from ui.components.parts import badge, button, card, field, icon, icon_button, page_head, segment, tabs, tag
from ui.components.states import empty_state
from ui.components.table import Column, table
from ui.components.times import hours, when
from ui.components.toast import toast
from ui.preferences import local, written
from ui.session import address, current, live
from ui.theme import PATIENCE, THEMES, frame

TABS = {
    'profile': 'Profile',
    'display': 'Display',
    'keys': 'API keys',
    'sessions': 'Sessions',
    'account': 'Account',
}
EXPORT = '/api/v1/account/export'
ACCESS = {'read': 'Read only', 'write': 'Read and write', 'choose': 'Choose scopes'}
LIVES = {30: '30 days', 90: '90 days', 365: '1 year', None: 'Never'}
EXAMPLE = 1_234_567.8
AT_ONCE = 50  # rows of a list that are shown before somebody asks for more
BROWSER_ZONE = 'Intl.DateTimeFormat().resolvedOptions().timeZone'


def register(services: Services) -> None:
    """Serve `/settings`."""

    @ui.page('/settings', response_timeout=PATIENCE)
    async def settings(tab: str = 'profile') -> None:
        chosen = tab if tab in TABS else 'profile'
        with frame(services, 'Settings', TABS[chosen], active='/settings') as session:
            page_head('Settings')
            tabs([(label, '', f'/settings?tab={name}') for name, label in TABS.items()], TABS[chosen])
            page = DRAWN[chosen](services, session)
            await page.draw()


class Profile:
    """The name that pages show, and the e-mail that signs in."""

    def __init__(self, services: Services, session: Session) -> None:
        self._services = services
        self._user = session.user

    async def draw(self) -> None:
        """Draw the form."""
        with card('Name and email', classes='form-card'), tag('div', classes='body vs form'):
            with field('Name'):
                self._name = ui.input(value=self._user.name, placeholder='As others should read it')
                self._name.props('maxlength=200 autocomplete=name aria-label=Name').on('keydown.enter', self._save)
            with tag('div', classes='field'):
                tag('span', 'Email')
                tag('span', self._user.email)
                tag('span', 'You sign in with this address. It cannot be changed here.', 't12 t3')
            with tag('div', classes='hs'):
                button('Save', kind='pri', on_click=self._save)
        Password(self._services).draw()

    async def _save(self) -> None:
        user = current().user
        await self._services.accounts.rename(user.id, self._name.value or '', address=address())
        _remember(name=(self._name.value or '').strip())
        toast('Saved', 'Your name is shown in the account menu from the next page on.')


class Password:
    """A password to sign in with, for whoever has none or wants another one."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def draw(self) -> None:
        """Draw the form."""
        about = 'To sign in without a mailed link or a provider.'
        with card('Password', about, classes='form-card'), tag('div', classes='body vs form'):
            with tag('div', classes='field'):
                tag('span', 'New password')
                self._field = ui.input(password=True).on('keydown.enter', self._save)
                self._field.props('maxlength=200 autocomplete=new-password aria-label="New password"')
                self._field.props('aria-describedby=password-hint')
                with self._field.add_slot('append'):
                    self._eye = tag('span', classes='hs')
                hint = 'At least 10 characters. Setting one signs you out everywhere else.'
                tag('span', hint, 't12 t3', id='password-hint')
            self._wrong = tag('div', classes='slot')
            with tag('div', classes='hs'):
                button('Set password', on_click=self._save)
        self._show(False)

    def _show(self, shown: bool) -> None:
        self._field.props['type'] = 'text' if shown else 'password'
        self._eye.clear()
        with self._eye:
            label = 'Hide password' if shown else 'Show password'
            icon_button('eye-off' if shown else 'eye', label, small=True, on_click=lambda: self._show(not shown))

    async def _save(self) -> None:
        self._wrong.clear()
        session = current()
        try:
            ended = await self._services.accounts.set_password(
                session.user.id, self._field.value or '', current_session=session.id, address=address()
            )
        except (UsageError, TooMany) as error:
            with self._wrong, tag('div', classes='note bad', role='alert'):
                icon('circle-alert')
                tag('span', error.message)
            return
        for session_id in ended:
            await app.state.sockets.end_session(session_id)
        self._field.set_value('')
        self._show(False)
        toast('Password set', 'It signs you in from now on. You are signed out everywhere else.')


class Display:
    """Theme, time zone and number format; each choice is kept at once."""

    def __init__(self, services: Services, session: Session) -> None:
        self._services = services
        self._chosen = session.user.preferences

    async def draw(self) -> None:
        """Draw the choices, with what they make of an example."""
        with (
            card('How pages look', 'Every choice is kept at once.', classes='form-card'),
            tag('div', classes='body vs form'),
        ):
            with tag('div', classes='field'):
                tag('span', 'Theme')
                self._theme()
            with field('Time zone'):
                self._zone = ui.select(list(zones()), value=self._chosen.time_zone, with_input=True)
                self._zone.props('aria-label="Time zone"').on_value_change(self._zone_chosen)
            self._offer = tag('div', classes='hs offer')
            with field('Numbers'):
                formats = {name: written(f'{EXAMPLE:,}', Preferences(number_format=name)) for name in NUMBER_FORMATS}
                self._format = ui.select(formats, value=self._chosen.number_format)
                self._format.props('aria-label="Numbers"').on_value_change(self._format_chosen)
            with tag('div', classes='note'):
                icon('info')
                self._example = tag('span', classes='tn', role='status')
        self._show()
        context.client.on_connect(self._ask_browser)

    def _theme(self) -> None:
        async def keep(theme: str) -> None:
            await self._keep(theme=theme)

        with tag('div', classes='seg', role='group', aria_label='Theme').style('align-self: flex-start'):
            for value, label, _ in THEMES:
                pressed = str(value == self._chosen.theme).lower()
                choice = tag('button', label, type='button', aria_pressed=pressed, data_theme_set=value)
                choice.on('click', lambda _, value=value: keep(value))

    async def _ask_browser(self) -> None:
        """Offer the zone of the browser when it is another one."""
        zone = await ui.run_javascript(BROWSER_ZONE, timeout=5)
        self._offer.clear()
        if zone not in zones() or zone == self._chosen.time_zone or self._offer.is_deleted:
            return
        with self._offer:
            tag('span', f'This browser is in {zone}.', 't12 t3')
            button('Use it', kind='small', on_click=lambda: self._zone.set_value(zone))

    async def _zone_chosen(self) -> None:
        if self._zone.value and self._zone.value != self._chosen.time_zone:
            await self._keep(time_zone=self._zone.value)
            self._offer.clear()

    async def _format_chosen(self) -> None:
        if self._format.value != self._chosen.number_format:
            await self._keep(number_format=self._format.value)

    async def _keep(self, **change: str) -> None:
        accounts = self._services.accounts
        self._chosen = await accounts.set_preferences(current().user.id, **change, address=address())
        _remember(preferences=self._chosen)
        self._show()

    def _show(self) -> None:
        now = local(datetime.now(UTC), self._chosen)
        number = written(f'{EXAMPLE:,}', self._chosen)
        self._example.text = f'It is {now:%H:%M} on {now.day} {now:%B}, and a number looks like {number}.'


class Keys:
    """API keys: made here, shown once, revoked here."""

    def __init__(self, services: Services, session: Session) -> None:
        self._services = services
        self._user_id = session.user.id
        self._access = 'read'
        self._scopes = {scope: scope.endswith(':read') for scope in SCOPES}
        self._shown = AT_ONCE

    async def draw(self) -> None:
        """Draw the form, the place of a new key, and the list."""
        with card('New API key', 'For programs that use the REST interface as you.', classes='form-card'):
            self._form = tag('div', classes='body vs form')
        with self._form:
            self._draw_form()
        self._new = tag('div', classes='slot')
        self._list = tag('div')
        await self._refresh()

    def _draw_form(self) -> None:
        with tag('div', classes='form-2'):
            with field('Name'):
                self._name = ui.input(placeholder='What will use it').props('maxlength=100 aria-label=Name')
                self._name.on('keydown.enter', self._create)
            with field('Expires'):
                self._life = ui.select(dict(LIVES), value=90)
                self._life.props('aria-label="Expires"')
        with tag('div', classes='vs gap-s'):
            with tag('div', classes='field'):
                tag('span', 'Access')
                with tag('div', classes='hs'):
                    segment(ACCESS, self._access, label='Access', on_change=self._choose)
            self._choices = tag('div', classes='hs wrap scopes')
            self._draw_scopes()
        with tag('div', classes='hs'):
            button('Create key', kind='pri', icon_name='plus', on_click=self._create)
            tag(
                'a',
                'REST interface (OpenAPI)',
                'link low',
                href='/api/v1/openapi.json',
                target='_blank',
            )

    def _choose(self, access: str) -> None:
        self._access = access
        self._draw_scopes()

    def _draw_scopes(self) -> None:
        self._choices.clear()
        self._choices.set_visibility(self._access == 'choose')
        if self._access != 'choose':
            return
        with self._choices:
            for scope in SCOPES:
                self._scope(scope)

    def _scope(self, scope: str) -> None:
        def flip() -> None:
            self._scopes[scope] = not self._scopes[scope]
            element.props['aria-pressed'] = str(self._scopes[scope]).lower()

        element = tag('button', scope, 'chip', type='button', aria_pressed=str(self._scopes[scope]).lower())
        with element:
            icon('check', 14, classes='when-on')
            icon('plus', 14, classes='when-off')
        element.on('click', flip)

    def _wanted(self) -> list[str]:
        if self._access == 'choose':
            return [scope for scope, on in self._scopes.items() if on]
        return [scope for scope in SCOPES if self._access == 'write' or scope.endswith(':read')]

    async def _create(self) -> None:
        days = self._life.value
        key, kept = await self._services.accounts.create_key(
            current().user.id,
            name=self._name.value or '',
            scopes=self._wanted(),
            expires_at=None if days is None else datetime.now(UTC) + timedelta(days=days),
            current_session=current().id,
            address=address(),
        )
        self._name.set_value('')
        self._show_once(key, kept)
        await self._refresh()

    def _show_once(self, key: str, kept: ApiKey) -> None:
        self._new.clear()
        with self._new, tag('div', classes='note good new-key', role='status'):
            icon('circle-check')
            with tag('div', classes='vs grow gap-s'):
                tag('span', f'This is the key “{kept.name}”. Copy it now: it is not shown again.', 'w5')
                with tag('div', classes='hs command'):
                    tag('code', key, 'mono grow', id='new-key')
                    icon_button('copy', 'Copy key', small=True, data_copy=key, data_copy_from='new-key')
            icon_button('x', 'Put the key away', small=True, on_click=self._new.clear)

    async def _refresh(self) -> None:
        found = await self._services.accounts.keys(self._user_id)
        self._list.clear()
        with self._list, card('Your keys', counted(sum(_alive(key) for key in found), 'live key') if found else ''):
            if found:
                self._table(found)
            else:
                empty_state(
                    'No API keys yet', 'Create one above, for a program that reads series or asks for forecasts.'
                )

    def _table(self, found: Sequence[ApiKey]) -> None:
        async def more() -> None:
            self._shown += AT_ONCE
            await self._refresh()

        table(
            [
                Column(label='Name', cell=_key_name, width='26%'),
                Column(label='Access', cell=_key_access, classes='t2 sub'),
                Column(label='Last used', cell=_key_used, width='14%', classes='sub', phone=False),
                Column(label='Expires', cell=_key_end, width='14%', classes='sub'),
                Column(label='', cell=self._revocation, num=True, width='112px'),
            ],
            found[: self._shown],
            label='API keys',
        )
        _rest(len(found) - self._shown, more)

    def _revocation(self, key: ApiKey) -> None:
        if not _alive(key):
            return

        async def revoke() -> None:
            await self._services.accounts.revoke_key(current().user.id, key.id, address=address())
            await self._refresh()

        ask = confirmation(
            f'Revoke “{key.name}”?',
            'Programs that use it are refused at once. This cannot be undone.',
            'Revoke',
            revoke,
        )
        button('Revoke', kind='small', on_click=ask, aria_label=f'Revoke {key.name}')


class Sessions:
    """Where the user is signed in."""

    def __init__(self, services: Services, session: Session) -> None:
        self._services = services
        self._session = session
        self._shown = AT_ONCE

    async def draw(self) -> None:
        """Draw the list."""
        self._box = tag('div')
        await self._refresh()

    async def _refresh(self) -> None:
        found = await self._services.accounts.sessions(self._session.user.id, current=self._session.id)
        others = [one for one in found if not one.current]

        async def more() -> None:
            self._shown += AT_ONCE
            await self._refresh()

        self._box.clear()
        with (
            self._box,
            card('Where you are signed in', actions=lambda: self._end_others(others) if others else None),
        ):
            table(
                [
                    Column(label='Browser', cell=_browser, width='34%'),
                    Column(label='Address', cell=lambda one: one.address, classes='mono sub'),
                    Column(label='Signed in', cell=_since, width='16%', phone=False),
                    Column(label='Last seen', cell=_seen, width='16%', classes='sub'),
                    Column(label='', cell=self._revocation, num=True, width='112px'),
                ],
                found[: self._shown],
                label='Sessions',
            )
            _rest(len(found) - self._shown, more)

    def _end_others(self, others: Sequence[SignedIn]) -> None:
        async def end() -> None:
            for one in others:
                await self._end(one)
            await self._refresh()

        words = f'{counted(len(others), "other session")} will have to sign in again.'
        button(
            'Sign out all others',
            kind='ghost small',
            on_click=confirmation('Sign out everywhere else?', words, 'Sign out all others', end),
        )

    def _revocation(self, one: SignedIn) -> None:
        async def revoke() -> None:
            await self._end(one)
            await self._refresh()

        if not one.current:
            button('Sign out', kind='small', on_click=revoke, aria_label=f'Sign out {agent(one.user_agent)}')

    async def _end(self, one: SignedIn) -> None:
        with suppress(NotFound):  # it has ended meanwhile
            ended = await self._services.accounts.revoke_session(current().user.id, one.id, address=address())
            await app.state.sockets.end_session(ended)


class Account:
    """Taking everything along, and leaving."""

    def __init__(self, services: Services, session: Session) -> None:
        self._services = services
        self._user = session.user

    async def draw(self) -> None:
        """Draw what can be done with the account as a whole."""
        with card('Your data', classes='form-card'), tag('div', classes='body vs form'):
            tag(
                'p',
                'One ZIP file with your uploads, the rows that were made of them, forecasts, ledger, notices and audit '
                'log. It costs no hours and works at a balance of zero.',
                't2',
            )
            with tag('div', classes='hs wrap'):
                button('Download everything', icon_name='download', href=EXPORT, download='')
                button('Audit log', icon_name='history', kind='ghost', href='/audit')
        with card('Delete account', classes='form-card'), tag('div', classes='body vs form'):
            tag('p', await self._loss(), 't2')
            asked = f'Type {self._user.email} to confirm'
            with field(asked):
                self._typed = ui.input().props('autocomplete=off spellcheck=false').on_value_change(self._check)
                self._typed.props['aria-label'] = asked
            with tag('div', classes='hs'):
                self._button = button('Delete account', kind='danger', icon_name='trash-2', on_click=self._delete)
        self._check()

    async def _loss(self) -> str:
        datasets = (await self._services.datasets.count(self._user.id)).total
        dashboards = len(await self._services.dashboards.list(self._user.id))
        forecasts = (await self._services.forecasts.count(self._user.id)).total
        seconds = (await self._services.hours.balance(self._user.id)).seconds
        amounts = ((datasets, 'dataset'), (dashboards, 'dashboard'), (forecasts, 'forecast'))
        lost = [counted(number, one) for number, one in amounts if number]
        lost += [f'{hours(seconds)} that you have not used'] if seconds else []
        what = f'{", ".join(lost)}, every key and every session' if lost else 'every key and every session'
        return f'You lose {what}. This cannot be undone.'

    def _check(self) -> None:
        typed = (self._typed.value or '').strip().lower()
        self._button.props['disabled'] = typed != self._user.email.lower()

    async def _delete(self) -> None:
        self._button.props['disabled'] = True
        ended = await self._services.accounts.delete(
            current().user.id, confirmation=self._typed.value or '', address=address()
        )
        for session_id in ended:
            await app.state.sockets.end_session(session_id)


DRAWN: dict[str, Callable[[Services, Session], Any]] = {
    'profile': Profile,
    'display': Display,
    'keys': Keys,
    'sessions': Sessions,
    'account': Account,
}


def confirmation(title: str, text: str, act: str, on_confirm: Callable[[], Any]) -> Callable[[], None]:
    """Return what opens a dialog that asks before something that cannot be undone."""

    def ask() -> None:
        async def confirm() -> None:
            dialog.close()
            await on_confirm()

        with context.client.content, ui.dialog() as dialog, ui.card(), tag('div', classes='vs body form'):
            dialog.props['aria-label'] = title
            tag('h2', title)
            tag('p', text, 't2')
            with tag('div', classes='hs'):
                button(act, kind='danger', on_click=confirm)
                button('Cancel', kind='ghost', on_click=dialog.close)
        dialog.on('hide', dialog.delete)
        dialog.open()

    return ask


@cache
def zones() -> tuple[str, ...]:
    """Every IANA zone that may be chosen, UTC first."""
    return ('UTC', *sorted(name for name in available_timezones() if re.fullmatch(ZONE, name) and name != 'UTC'))


def _rest(left: int, more: Callable[[], Any]) -> None:
    """Lead to what is left of a list, if anything is."""
    if left > 0:
        with tag('div', classes='hs more-row'):
            button(f'{left:,} more', kind='small ghost', icon_name='chevron-down', on_click=more)


def _remember(**changes: Any) -> None:
    """Let what is drawn from now on in this page know what has just been changed."""
    scope = context.client.request.scope
    session = live(scope)
    scope['state']['session'] = replace(session, user=replace(session.user, **changes))


def _alive(key: ApiKey) -> bool:
    return key.revoked_at is None and (key.expires_at is None or key.expires_at > datetime.now(UTC))


def _key_name(key: ApiKey) -> None:
    with tag('div', classes='vs'):
        with tag('div', classes='hs'):
            tag('span', key.name, 'w5 cut')
            if key.revoked_at is not None:
                badge('Revoked', 'line')
            elif not _alive(key):
                badge('Expired', 'line')
        tag('span', f'{key.prefix}…', 'mono t3 cut')


def _key_access(key: ApiKey) -> None:
    text = access_of(key.scopes)
    tag('span', text, 'two-lines', title=', '.join(key.scopes))


def access_of(scopes: Sequence[str]) -> str:
    """What a key may do, in words: `Read only`, `Read and write`, or its scopes."""
    held = set(scopes)
    if held == set(SCOPES):
        return 'Read and write'
    if held == {scope for scope in SCOPES if scope.endswith(':read')}:
        return 'Read only'
    return ', '.join(scope for scope in SCOPES if scope in held)


def _key_used(key: ApiKey) -> str | None:
    if key.last_used_at is None:
        return 'never'
    when(key.last_used_at)
    return None


def _key_end(key: ApiKey) -> None:
    with tag('div'):
        tag('span', 'Expires ', 'phone-only')
        tag('span', 'never' if key.expires_at is None else day(local(key.expires_at)))


def _browser(one: SignedIn) -> None:
    with tag('div', classes='hs'):
        icon('monitor', classes='t3')
        tag('span', agent(one.user_agent), 'w5 cut', title=one.user_agent)
        if one.current:
            badge('This one', 'acc')


def _since(one: SignedIn) -> None:
    when(one.created_at)


def _seen(one: SignedIn) -> None:
    when(one.seen_at)
