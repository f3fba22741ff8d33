"""Settings, profile: the name that pages show, the e-mail that signs in, and the password."""

from nicegui import app, ui

from core.errors import TooMany, UsageError
from core.services import Services
from core.values import Session
from ui.components.parts import button, card, field, icon, icon_button, tag
from ui.components.toast import toast
from ui.pages.settings.shared import remember
from ui.session import address, current


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
        remember(name=(self._name.value or '').strip())
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
