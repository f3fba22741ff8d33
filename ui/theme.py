"""The frame around every page: rail, top bar, menus, and the defaults that bring Quasar to our look."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from nicegui import app, context, ui
from nicegui.app.app_config import AppConfig
from nicegui.translations import translations

from core.errors import VariosyncError
from core.values import Session
from ui.assets import head, icon_shapes, vendor_url
from ui.components.hours import HoursPill, billing_link
from ui.components.notices import Bell
from ui.components.palette import Entry, as_data
from ui.components.parts import tag
from ui.components.toast import refused, toast, toast_corner
from ui.errors import LOGO
from ui.markup import rendered
from ui.meter import balance_of, is_metered, page_of
from ui.session import current

__all__ = ['PAGES', 'SHORTCUTS', 'Crumb', 'dress', 'frame', 'vendor_url']

Crumb = str | tuple[str, str]

PAGES = (
    ('Home', '/', 'house', 'g h'),
    ('Datasets', '/datasets', 'database', 'g d'),
    ('Dashboards', '/dashboards', 'layout-dashboard', 'g v'),
    ('Explore', '/explore', 'compass', 'g e'),
    ('Forecasts', '/forecasts', 'chart-spline', 'g f'),
    ('Jobs', '/jobs', 'activity', 'g j'),
    ('Billing', '/billing', 'credit-card', 'g b'),
    ('Settings', '/settings', 'settings', 'g s'),
)
COUNTED = ('Datasets', 'Dashboards', 'Forecasts', 'Jobs')
THEMES = (('light', 'Light', 'sun'), ('dark', 'Dark', 'moon'), ('system', 'System', 'monitor'))
# What keys do, and where; `mod` is ⌘ or Ctrl. What each element does by itself, such as arrows in a menu, is left out.
SHORTCUTS = (
    (
        'Everywhere',
        (
            ('Search or jump to', 'mod K'),
            ('Open a result in a new tab', 'mod ↵'),
            ('Close what is open', 'Esc'),
            ('Show the shortcuts', '?'),
        ),
    ),
    (
        'Go to',
        (
            ('Home', 'G H'),
            ('Datasets', 'G D'),
            ('Dashboards', 'G V'),
            ('Explore', 'G E'),
            ('Forecasts', 'G F'),
            ('Jobs', 'G J'),
            ('Notices', 'G N'),
            ('Billing', 'G B'),
            ('Settings', 'G S'),
        ),
    ),
    (
        'On a chart',
        (
            ('Move', '← →'),
            ('Zoom', '+ −'),
            ('Zoom with the wheel', 'mod Scroll'),
            ('Whole range', '0'),
            ('Next mark', 'M'),
            ('Previous mark', '⇧ M'),
        ),
    ),
    (
        'On a dashboard and in Explore',
        (
            ('Undo', 'mod Z'),
            ('Redo', 'mod ⇧ Z'),
            ('Redo', 'mod Y'),
            ('Move the panel in focus', '⇧ Arrows'),
            ('Resize the panel in focus', 'mod ⇧ Arrows'),
        ),
    ),
)

# What NiceGUI tells by itself, in our words.
TOLD = {
    'connection_lost': 'The connection is lost',
    'trying_to_reconnect': 'What you saved is kept. This page goes on by itself as soon as the server answers.',
    'message_too_long': 'This is too long to be sent',
    'message_too_long_body': 'Nothing was changed. Shorten it, then try again.',
}

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
    """Set the defaults of every page; `mount` calls this once."""
    # Quasar writes these to the body's style; as references to tokens they follow the theme by themselves.
    tokens = {'primary': 'accent-fill', 'secondary': 'text-2', 'accent': 'accent', 'positive': 'green'}
    tokens |= {'negative': 'red', 'info': 'blue', 'warning': 'amber', 'dark': 'surface', 'dark_page': 'bg'}
    app.colors(**{name: f'var(--{token})' for name, token in tokens.items()})
    app.config.quasar_config['loadingBar'] = {'skipHijack': True}
    app.config.vue_config_script = AppConfig().vue_config_script + _quasar_icons()
    translations['en-US'].update(TOLD)
    ui.input.default_props('outlined dense hide-bottom-space')
    ui.number.default_props('outlined dense hide-bottom-space')
    ui.select.default_props('outlined dense options-dense hide-bottom-space')
    ui.card.default_props('flat')


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
    services: Any,
    *crumbs: Crumb,
    active: str,
    actions: Sequence[Entry] = (),
    metered: bool = True,
    content: str = '',
) -> Iterator[Session]:
    """The frame of a signed-in page; its content is drawn inside, and the block is given the session.

    The frame is markup and stands before any script has run; so does `content`, in place of
    what the block draws: markup that `ui.markup` made.

    `crumbs` lead from the section to this page, each a name or (name, address); the last is the page's title.
    `active` is the section's address in the rail; `actions` are this page's lines in the palette.
    A `metered` page costs hours while it is open, unless its path is free (`ui.meter`).
    """
    session = current()
    trail = [crumb if isinstance(crumb, tuple) else (crumb, _address(crumb, active)) for crumb in crumbs]
    ui.page_title(f'{trail[-1][0]} · VARIOSYNC')
    ui.on_exception(_say)
    _head(session)
    ui.add_body_html(
        rendered(
            'frame.html',
            actions=json.dumps(as_data([*actions, PAUSE])),
            active=active,
            below=_below(session),
            content=content,
            counted=COUNTED,
            crumbs=trail,
            initials=_initials(session),
            logo=LOGO,
            modifier=_modifier(),
            pages=PAGES,
            shortcuts=SHORTCUTS,
            themes=THEMES,
            user=session.user,
        )
    )
    _hours(services, session, metered)
    with ui.teleport('#bell-place'):
        bell = Bell(services, session)
    if content:
        yield session
    else:
        # NiceGUI's page is the <main> landmark already.
        with tag('div', classes='main', id='main', tabindex='-1'), tag('div', classes='in'):
            yield session
    bell.panel()
    toast_corner()


def _say(error: Exception) -> None:
    with context.client:
        if isinstance(error, VariosyncError):
            refused(error.message, billing_link(error))
        else:
            toast('Something went wrong', 'It was logged. Reload the page and try again.', level='bad')


def _modifier() -> str:
    """The key that shortcuts are pressed with on the user's machine, as far as their browser tells."""
    told = context.client.request.headers.get('user-agent', '')
    return '⌘' if re.search('Macintosh|iPhone|iPad', told) else 'Ctrl'


def _address(crumb: str, active: str) -> str | None:
    """Where the name of a section leads."""
    return active if any((label, path) == (crumb, active) for label, path, _, _ in PAGES) else None


def _hours(services: Any, session: Session, metered: bool) -> None:
    request = context.client.request
    HoursPill(
        services,
        session,
        metered=metered and is_metered(request.url.path),
        balance=balance_of(request.scope),
        page=page_of(request.scope),
    )


def _head(session: Session) -> None:
    """The page's head, with the account's theme, which it takes before anything is painted."""
    theme = session.user.preferences.theme
    ui.add_head_html(head(theme=theme if theme in {value for value, _, _ in THEMES} else ''))


def _below(session: Session) -> str:
    """What stands under the name in the account menu."""
    user = session.user
    return ', '.join([*(['owner'] if user.owner else []), *([user.email] if user.name else [])])


def _initials(session: Session) -> str:
    words = (session.user.name or session.user.email.split('@')[0]).replace('.', ' ').replace('-', ' ').split()
    letters = ''.join(word[0] for word in words[:2]) if len(words) > 1 else ''.join(words)[:2]
    return letters.upper() or '?'
