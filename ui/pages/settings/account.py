"""Settings, account: everything to take along, and its end."""

from nicegui import app, ui

from core.services import Services
from core.values import Session
from ui.components.formats import counted
from ui.components.parts import button, card, field, tag
from ui.components.times import hours
from ui.session import address, current

EXPORT = '/api/v1/account/export'


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
