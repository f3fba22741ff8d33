"""What tabs of the settings share."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from nicegui import context, ui

from ui.components.parts import button, tag
from ui.components.times import count
from ui.session import live

AT_ONCE = 50  # rows of a list that are shown before somebody asks for more


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


def rest(left: int, more: Callable[[], Any]) -> None:
    """Lead to what is left of a list, if anything is."""
    if left > 0:
        with tag('div', classes='hs more-row'):
            button(f'{count(left)} more', kind='small ghost', icon_name='chevron-down', on_click=more)


def remember(**changes: Any) -> None:
    """Let what is drawn from now on in this page know what has just been changed."""
    scope = context.client.request.scope
    session = live(scope)
    scope['state']['session'] = replace(session, user=replace(session.user, **changes))
