"""Notes in the corner of the page: what just happened, with at most two ways on."""

from collections.abc import Callable, Sequence
from weakref import WeakKeyDictionary

from nicegui import Client, context, ui
from nicegui.element import Element

from ui.components.parts import button, icon, icon_button, tag

SECONDS = 8.0
MOST = 3
LEVELS = {'good': 'circle-check', 'info': 'info', 'warn': 'triangle-alert', 'bad': 'circle-alert'}

# A note that goes while the focus is in it gives it back to what had it before.
REMEMBER = """(event) => {
    if (!event.currentTarget.contains(event.relatedTarget)) window.variosyncBefore = event.relatedTarget;
}"""
FORGET = """(event) => {
    if (event.relatedTarget && !event.currentTarget.contains(event.relatedTarget)) window.variosyncBefore = undefined;
}"""
GIVE_BACK = """if (document.activeElement === document.body && window.variosyncBefore !== undefined) {
    const before = window.variosyncBefore;
    window.variosyncBefore = undefined;
    (before?.isConnected ? before : document.getElementById('main'))?.focus({ preventScroll: true });
}"""

_corners: WeakKeyDictionary[Client, Element] = WeakKeyDictionary()
_refusals: WeakKeyDictionary[Client, Element] = WeakKeyDictionary()


def toast_corner() -> None:
    """The place of a page's toasts; the frame puts it there."""
    corner = tag('div', classes='toasts', role='status', aria_live='polite')
    _corners[context.client] = corner.on('focusin', js_handler=REMEMBER).on('focusout', js_handler=FORGET)


def toast(title: str, text: str = '', *, level: str = 'good', links: Sequence[tuple[str, str]] = ()) -> Element | None:
    """Show a note for a few seconds; of the levels `good info warn bad` the last stays. Links are (label, address).

    At most `MOST` are shown; the oldest makes room. Return the note, which is deleted when it goes.
    """
    corner = _corners.get(context.client)
    if corner is None:
        return None
    for older in list(corner)[: 1 - MOST]:
        older.delete()

    def go() -> None:
        if not note.is_deleted:
            note.delete()
            corner.client.run_javascript(GIVE_BACK)

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
        icon_button('x', 'Dismiss', small=True, on_click=go)
    if level != 'bad':
        _goes(note, go)
    return note


def _goes(note: Element, go: Callable[[], None]) -> None:
    """Let a note go once it has been neither pointed at nor in focus for a while."""
    held: set[str] = set()

    def begin() -> ui.timer:
        with note:
            return ui.timer(SECONDS, go, once=True)

    def hold(by: str) -> None:
        held.add(by)
        timer.cancel()

    def leave(by: str) -> None:
        nonlocal timer
        held.discard(by)
        if not held:
            timer.cancel()
            timer = begin()

    timer = begin()
    for by, come, left in (('pointer', 'mouseenter', 'mouseleave'), ('focus', 'focusin', 'focusout')):
        note.on(come, lambda by=by: hold(by), args=[]).on(left, lambda by=by: leave(by), args=[])


def refused(text: str, links: Sequence[tuple[str, str]] = ()) -> None:
    """Say why what was pressed was not done, until it is (`answered`)."""
    note = toast('That did not work', text, level='bad', links=links)
    if note is not None:
        _refusals[context.client] = note


def answered(client: Client) -> None:
    """Take away what `refused` said last on a page: it has been put right and done."""
    note = _refusals.pop(client, None)
    if note is not None and not note.is_deleted:
        note.delete()
