"""The frame around every page: rail, top bar, menus, and the defaults that bring Quasar to our look."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from nicegui import app, context, ui
from nicegui.app.app_config import AppConfig

from core.errors import VariosyncError
from core.values import Session
from ui.assets import head, icon_shapes, vendor_url
from ui.components.hours import HoursPill, billing_link, switch
from ui.components.notices import Bell
from ui.components.palette import Entry, as_data
from ui.components.parts import icon, icon_button, tag
from ui.components.toast import toast, toast_corner
from ui.errors import LOGO
from ui.meter import balance_of, is_metered, page_of
from ui.session import address, current

__all__ = ['PAGES', 'SHORTCUTS', 'Crumb', 'dress', 'frame', 'vendor_url']

Crumb = str | tuple[str, str]

PAGES = (
    ('Home', '/', 'house', 'g h'),
    ('Datasets', '/datasets', 'database', 'g d'),
    ('Dashboards', '/dashboards', 'layout-dashboard', 'g v'),
    ('Explore', '/explore', 'chart-line', 'g e'),
    ('Forecasts', '/forecasts', 'chart-spline', 'g f'),
    ('Jobs', '/jobs', 'activity', 'g j'),
    ('Billing', '/billing', 'credit-card', 'g b'),
    ('Settings', '/settings', 'settings', 'g s'),
)
COUNTED = ('Datasets', 'Dashboards', 'Forecasts', 'Jobs')
THEMES = (('light', 'Light', 'sun'), ('dark', 'Dark', 'moon'), ('system', 'System', 'monitor'))
SHORTCUTS = (
    ('Search or jump to', '⌘ K'),
    ('Open a result in a new tab', '⌘ ↵'),
    ('Go home', 'G H'),
    ('Go to datasets', 'G D'),
    ('Go to dashboards', 'G V'),
    ('Go to Explore', 'G E'),
    ('Go to forecasts', 'G F'),
    ('Go to jobs', 'G J'),
    ('Go to notices', 'G N'),
    ('Go to billing', 'G B'),
    ('Go to settings', 'G S'),
    ('Move a chart', '← →'),
    ('Zoom a chart', '+ −'),
    ('Close what is open', 'esc'),
    ('Show the shortcuts', '?'),
)

PAUSE = Entry(label='Pause or resume hours', icon='pause', press='hours-switch')

# Names of Quasar's icon font, and ours; only icons that are drawn by paths alone.
QUASAR_ICONS = {
    'arrow_drop_down': 'chevron-down',
    'arrow_upward': 'arrow-up',
    'arrow_downward': 'arrow-down',
    'cancel': 'x',
    'check': 'check',
    'chevron_left': 'chevron-left',
    'chevron_right': 'chevron-right',
    'clear': 'x',
    'close': 'x',
    'keyboard_arrow_down': 'chevron-down',
    'keyboard_arrow_up': 'chevron-up',
}

# Seconds that a page may take to build which asks a service behind us; then that has said itself that it is away.
PATIENCE = 20.0


def dress() -> None:
    """Set the head and the defaults of every page; `mount` calls this once."""
    ui.add_head_html(head(), shared=True)
    # Quasar writes these to the body's style; as references to tokens they follow the theme by themselves.
    tokens = {'primary': 'accent-fill', 'secondary': 'text-2', 'accent': 'accent', 'positive': 'green'}
    tokens |= {'negative': 'red', 'info': 'blue', 'warning': 'amber', 'dark': 'surface', 'dark_page': 'bg'}
    app.colors(**{name: f'var(--{token})' for name, token in tokens.items()})
    app.config.quasar_config['loadingBar'] = {'skipHijack': True}
    app.config.vue_config_script = AppConfig().vue_config_script + _quasar_icons()
    ui.button.default_props('unelevated no-caps :ripple=false')
    ui.input.default_props('outlined dense hide-bottom-space')
    ui.number.default_props('outlined dense hide-bottom-space')
    ui.select.default_props('outlined dense options-dense hide-bottom-space')
    ui.table.default_props('flat dense')
    ui.card.default_props('flat')
    ui.tabs.default_props('no-caps dense inline-label align=left :ripple=false')


def _quasar_icons() -> str:
    """A script that gives Quasar's own widgets our icons in place of its icon font."""
    style = '@@fill:none;stroke:currentColor;stroke-width:1.75;stroke-linecap:round;stroke-linejoin:round'
    paths = {
        name: '&&'.join(f'{path}{style}' for path in re.findall(r' d="([^"]+)"', icon_shapes(ours))) + '|0 0 24 24'
        for name, ours in QUASAR_ICONS.items()
    }
    return f'app.config.globalProperties.$q.iconMapFn = (name) => ({{icon: ({json.dumps(paths)})[name] ?? name}});'


@contextmanager
def frame(
    services: Any, *crumbs: Crumb, active: str, actions: Sequence[Entry] = (), metered: bool = True
) -> Iterator[Session]:
    """The frame of a signed-in page; its content is drawn inside, and the block is given the session.

    `crumbs` lead from the section to this page, each a name or (name, address); the last is the page's title.
    `active` is the section's address in the rail; `actions` are this page's lines in the palette.
    A `metered` page costs hours while it is open, unless its path is free (`ui.meter`).
    """
    session = current()
    names = [crumb if isinstance(crumb, str) else crumb[0] for crumb in crumbs]
    ui.page_title(f'{names[-1]} · VARIOSYNC')
    ui.on_exception(_say)
    _account_theme(session)
    with tag('div', classes='app', data_actions=json.dumps(as_data([*actions, PAUSE]))):
        _rail(active, session)
        with tag('header', classes='top'):
            bell = _top(services, session, crumbs, active, metered)
        # NiceGUI's page is the <main> landmark already.
        with tag('div', classes='main', id='main', tabindex='-1'), tag('div', classes='in'):
            yield session
    bell.panel()
    _theme_menu(services)
    _user_menu(services, session)
    _shortcuts()
    toast_corner()


def _say(error: Exception) -> None:
    with context.client:
        if isinstance(error, VariosyncError):
            toast('That did not work', error.message, level='bad', links=billing_link(error))
        else:
            toast('Something went wrong', 'It was logged. Reload the page and try again.', level='bad')


def _rail(active: str, session: Session) -> None:
    # How many there are of each and what is pinned is fetched by the page's script, once the page stands.
    with tag('nav', classes='rail', aria_label='Main', id='rail', data_of=str(session.user.id)):
        with tag('a', classes='brand', href='/', aria_label='VARIOSYNC, home'):
            ui.html(LOGO, sanitize=False, tag='span')
            tag('span', 'VARIOSYNC')
        with tag('div', classes='nav').style('padding-top: 8px'):
            for label, path, symbol, _ in PAGES:
                chosen = 'page' if path == active else None
                with tag('a', label, href=path, aria_current=chosen, title=label):
                    icon(symbol, classes='lead')
                    if label in COUNTED:
                        tag('span', '', 'n', data_count=label.lower())
        tag('div', classes='pins', data_pins='')
        with (
            tag('div', classes='nav foot'),
            tag('button', 'Shortcuts', type='button', data_keys='', title='Shortcuts'),
        ):
            icon('keyboard', classes='lead')
            tag('span', '?', 'n')
    tag('button', classes='rail-close', type='button', aria_label='Close menu', data_rail='')


def _top(services: Any, session: Session, crumbs: Sequence[Crumb], active: str, metered: bool) -> Bell:
    with tag('span', classes='phone-only'):
        icon_button('menu', 'Open menu', data_rail='', aria_controls='rail')
    _crumbs(crumbs, active)
    with tag('button', classes='cmdk wide-only', type='button', data_palette='', aria_keyshortcuts='Meta+K Control+K'):
        icon('search')
        tag('span', 'Search or jump to')
        tag('span', '⌘K', 'kbd', data_mod='').style('margin-left: auto')
    with tag('span', classes='phone-only').style('margin-left: auto'):
        icon_button('search', 'Search', data_palette='')
    request = context.client.request
    HoursPill(
        services,
        session,
        metered=metered and is_metered(request.url.path),
        balance=balance_of(request.scope),
        page=page_of(request.scope),
    )
    bell = Bell(services, session)
    with tag('button', classes='ib wide-only', type='button', aria_label='Theme', title='Theme', popovertarget='theme'):
        icon('sun')
        icon('moon')
    label = f'{_initials(session)}, account menu of {session.user.email}'
    with tag('button', classes='ib', type='button', aria_label=label, title=session.user.email, popovertarget='me'):
        tag('span', _initials(session), 'av c4 large')
    return bell


def _crumbs(crumbs: Sequence[Crumb], active: str) -> None:
    section = {path: label for label, path, _, _ in PAGES}
    with tag('nav', classes='crumbs', aria_label='Breadcrumb'):
        for crumb in crumbs[:-1]:
            name, href = (
                crumb if isinstance(crumb, tuple) else (crumb, active if section.get(active) == crumb else None)
            )
            tag('a' if href else 'span', name, 'wide-only cut', href=href)
            icon('chevron-right', 12, classes='wide-only')
        last = crumbs[-1]
        tag('b', last if isinstance(last, str) else last[0], 'cut', aria_current='page')


def _account_theme(session: Session) -> None:
    """The account's theme, told to the page's script before anything is painted."""
    theme = session.user.preferences.theme
    if theme in {value for value, _, _ in THEMES}:
        ui.add_head_html(f"<script>variosyncTheme('{theme}')</script>")


def _theme_menu(services: Any) -> None:
    with tag('div', classes='menu', id='theme', popover='auto', role='menu', aria_label='Theme'):
        _themes(services, 'menuitemradio', ids=True)


def _themes(services: Any, role: str, *, ids: bool = False) -> None:
    """The three themes: the page's script applies a choice at once, and the account keeps it."""

    async def keep(theme: str) -> None:
        await services.accounts.set_preferences(current().user.id, theme=theme, address=address())

    for value, label, symbol in THEMES:
        item = tag('button', classes='mi', type='button', role=role, aria_checked='false', data_theme_set=value)
        if ids:
            item.props['id'] = f'theme-{value}'
        item.on('click', lambda _, value=value: keep(value))
        with item:
            # Not the icons of the top bar's button, of which the theme hides one.
            icon(symbol).classes(remove=f'lucide-{symbol}')
            tag('span', label)


def _user_menu(services: Any, session: Session) -> None:
    with tag('div', classes='menu', id='me', popover='auto', aria_label='Account'):
        with tag('div', classes='vs who'):
            tag('span', session.user.name or session.user.email, 'w5 cut')
            below = ['owner'] if session.user.owner else []
            below += [session.user.email] if session.user.name else []
            if below:
                tag('span', ', '.join(below), 't12 t3 cut')
        # The top bar of a phone has no room for the theme's own menu.
        with tag('div', classes='phone-only themes', role='radiogroup', aria_label='Theme'):
            _themes(services, 'radio')
        for label, href, symbol in (('Settings', '/settings', 'settings'), ('Audit log', '/audit', 'history')):
            with tag('a', classes='mi', href=href):
                icon(symbol)
                tag('span', label)
        with tag('button', classes='mi', type='button', id=PAUSE.press).on('click', lambda: switch(services)):
            icon(PAUSE.icon)
            # The pill knows whether they are paused, and writes what a press does.
            tag('span', 'Pause hours', data_hours_switch='')
        with (
            tag('form', method='post', action='/auth/sign-out'),
            tag('button', classes='mi', type='submit', id='sign-out'),
        ):
            icon('log-out')
            tag('span', 'Sign out')


def _shortcuts() -> None:
    with tag('dialog', classes='over', id='keys', aria_label='Shortcuts'), tag('div', classes='keys'):
        with tag('header'):
            tag('h2', 'Shortcuts')
            icon_button('x', 'Close', small=True, data_close='')
        with tag('dl'):
            for name, keys in SHORTCUTS:
                with tag('div'):
                    tag('dt', name)
                    with tag('dd'):
                        for key in keys.split():
                            tag('span', key, 'kbd', data_mod='' if key == '⌘' else None)


def _initials(session: Session) -> str:
    words = (session.user.name or session.user.email.split('@')[0]).replace('.', ' ').replace('-', ' ').split()
    letters = ''.join(word[0] for word in words[:2]) if len(words) > 1 else ''.join(words)[:2]
    return letters.upper() or '?'
