"""Settings, API keys: made, shown once, revoked."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from nicegui import ui

from core.accounts import SCOPES
from core.services import Services
from core.values import ApiKey, Session
from ui.components.formats import counted, day
from ui.components.parts import badge, button, card, field, icon, icon_button, segment, tag
from ui.components.states import empty_state
from ui.components.table import Column, table
from ui.components.times import when
from ui.pages.settings.shared import AT_ONCE, confirmation, rest
from ui.preferences import local
from ui.session import address, current

ACCESS = {'read': 'Read only', 'write': 'Read and write', 'choose': 'Choose scopes'}
LIVES = {30: '30 days', 90: '90 days', 365: '1 year', None: 'Never'}


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
        rest(len(found) - self._shown, more)

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
