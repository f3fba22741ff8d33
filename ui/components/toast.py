"""Notes in the corner of the page: what just happened, with at most two ways on."""

from collections.abc import Sequence
from weakref import WeakKeyDictionary

from nicegui import Client, context, ui
from nicegui.element import Element

from ui.components.parts import button, icon, icon_button, tag

SECONDS = 8.0
MOST = 3
LEVELS = {'good': 'circle-check', 'info': 'info', 'warn': 'triangle-alert', 'bad': 'circle-alert'}

_corners: WeakKeyDictionary[Client, Element] = WeakKeyDictionary()


def toast_corner() -> None:
    """The place of a page's toasts; the frame puts it there."""
    _corners[context.client] = tag('div', classes='toasts', role='status', aria_live='polite')


def toast(title: str, text: str = '', *, level: str = 'good', links: Sequence[tuple[str, str]] = ()) -> Element | None:
    """Show a note for a few seconds; of the levels `good info warn bad` the last stays. Links are (label, address).

    At most `MOST` are shown; the oldest makes room. Return the note, which is deleted when it goes.
    """
    corner = _corners.get(context.client)
    if corner is None:
        return None
    for older in list(corner)[: 1 - MOST]:
        older.delete()
    with corner, tag('div', classes=f'toast {level}') as note:
        icon(LEVELS[level])
        with tag('div', classes='vs grow'):
            tag('span', title, 'w6 clamp')
            if text:
                tag('span', text, 't2 clamp', title=text)
            if links:
                with tag('div', classes='hs'):
                    for label, href in links[:2]:
                        button(label, kind='small', href=href)
        icon_button('x', 'Dismiss', small=True, on_click=note.delete)
        if level != 'bad':
            ui.timer(SECONDS, lambda: None if note.is_deleted else note.delete(), once=True)
    return note
