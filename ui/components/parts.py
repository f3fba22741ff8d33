"""Small parts that pages are made of: icons, buttons, badges, chips, segments, cards, heads, progress.

Everything that a user named is given as text, never as markup.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from nicegui import ui
from nicegui.element import Element
from nicegui.elements.mixins.text_element import TextElement

from ui.assets import icon_classes, icon_shapes

Handler = Callable[..., Any]


class Tag(TextElement):
    """A plain HTML element with text."""

    def __init__(self, name: str, text: str = '', classes: str = '') -> None:
        super().__init__(tag=name, text=text)
        if classes:
            self.classes(classes)


def tag(name: str, text: str = '', classes: str = '', **attributes: Any) -> Tag:
    """An HTML element, such as `tag('span', 'qty', 'mono')`. `aria_label=` becomes `aria-label`."""
    element = Tag(name, text, classes)
    for key, value in attributes.items():
        if value is not None:
            element.props[key.rstrip('_').replace('_', '-')] = value
    return element


def icon(name: str, size: int = 16, *, classes: str = '') -> Element:
    """A Lucide icon of 12, 14 or 16 px, in the colour of the text around it."""
    drawing = ui.element('svg').classes(icon_classes(name, size, classes))
    shape = {'fill': 'none', 'stroke': 'currentColor', 'stroke-linecap': 'round', 'stroke-linejoin': 'round'}
    drawing.props.update({'viewBox': '0 0 24 24', 'aria-hidden': 'true', 'innerHTML': icon_shapes(name), **shape})
    return drawing


def button(
    text: str,
    *,
    icon_name: str | None = None,
    kind: str = '',
    href: str | None = None,
    on_click: Handler | None = None,
    **attributes: Any,
) -> Tag:
    """A button, or a link that looks like one. `kind` is any of `pri`, `ghost`, `small`, `large`, in one string."""
    element = tag('a' if href else 'button', text, f'b {kind}'.strip(), href=href, **attributes)
    if not href:
        element.props.setdefault('type', 'button')
    if icon_name:
        with element:
            icon(icon_name, classes='lead')
    if on_click:
        element.on('click', on_click)
    return element


def icon_button(
    icon_name: str,
    label: str,
    *,
    small: bool = False,
    href: str | None = None,
    on_click: Handler | None = None,
    **attributes: Any,
) -> Tag:
    """A square button with an icon alone; `label` is what a screen reader says and the tooltip shows."""
    classes = 'ib small' if small else 'ib'
    element = tag('a' if href else 'button', '', classes, href=href, aria_label=label, title=label, **attributes)
    if not href:
        element.props['type'] = 'button'
    with element:
        icon(icon_name)
    if on_click:
        element.on('click', on_click)
    return element


def badge(text: str, kind: str = '', *, icon_name: str | None = None) -> Tag:
    """A state in a word; `kind` is `ok`, `warn`, `bad` (each with its icon), `info`, `acc`, `line` or nothing."""
    element = tag('span', text, f'badge {kind}'.strip())
    shown = icon_name or {'ok': 'check', 'warn': 'triangle-alert', 'bad': 'x'}.get(kind)
    if shown:
        with element:
            icon(shown, 12, classes='lead')
    return element


def chip(text: str, *, on: bool = True, colour: str | None = None, on_click: Handler | None = None) -> Tag:
    """A switch for a series or a model. `colour` names a token, such as `series-1`."""
    element = tag('button', text, 'chip', type='button', aria_pressed=str(on).lower())
    with element:
        if colour:
            tag('span', classes='sw lead').style(f'background: var(--{colour})')
        icon('check', 14, classes='when-on')
        icon('plus', 14, classes='when-off')
    if on_click:
        element.on('click', on_click)
    return element


def segment(
    options: Mapping[str, str] | Sequence[str], value: str, *, label: str, on_change: Callable[[str], Any]
) -> Element:
    """One of a few choices; `options` maps values to what is shown."""
    shown = options if isinstance(options, Mapping) else {option: option for option in options}
    buttons: dict[str, Tag] = {}

    def choose(chosen: str) -> Any:
        for key, element in buttons.items():
            element.props['aria-pressed'] = str(key == chosen).lower()
        return on_change(chosen)

    group = tag('div', classes='seg', role='group', aria_label=label)
    with group:
        for key, text in shown.items():
            buttons[key] = tag('button', text, type='button', aria_pressed=str(key == value).lower())
            buttons[key].on('click', lambda _, key=key: choose(key))
    return group


@contextmanager
def card(
    title: str = '', sub: str = '', *, classes: str = '', rule: bool = False, actions: Callable[[], Any] | None = None
) -> Iterator[Element]:
    """A card; with a title it has a header, whose right side `actions` fills."""
    with tag('section', classes=f'card {classes}'.strip()) as element:
        if title:
            with tag('header', classes='rule' if rule else ''):
                tag('h2', title)
                if sub:
                    tag('span', sub, 't12 t3 cut')
                if actions:
                    with tag('div', classes='acts'):
                        actions()
        yield element


@contextmanager
def panel(title: str, sub: str = '', *, span: int = 6) -> Iterator[Element]:
    """A card with a body, `span` of twelve columns wide."""
    with tag('div', classes=f'c{span}'), card(title, sub), tag('div', classes='body vs gap-s') as body:
        yield body


def page_head(
    title: str, facts: str = '', *, beside: Callable[[], Any] | None = None, actions: Callable[[], Any] | None = None
) -> None:
    """A page's title with what stands `beside` it, a line of facts below, and actions on the right, primary last."""
    with tag('div', classes='ph'):
        with tag('div', classes='vs grow'):
            with tag('div', classes='hs'):
                tag('h1', title, 'cut', title=title)
                if beside:
                    beside()
            if facts:
                tag('span', facts, 't3 cut')
        if actions:
            with tag('div', classes='acts'):
                actions()


def tabs(items: Sequence[tuple[str, str, str]], active: str) -> list[Tag]:
    """Tabs that are links: (label, count or nothing, address) each; `active` is the label of the open one."""
    links = []
    with tag('nav', classes='tabs', aria_label='Sections'):
        for label, count, href in items:
            links.append(tag('a', label, href=href, aria_current='page' if label == active else None))
            if count:
                with links[-1]:
                    tag('span', count, 'n')
    return links


def progress(value: float | None, *, label: str) -> Element:
    """A thin bar: 0…1, or None while the amount of work is unknown."""
    known = value is not None
    with tag('div', classes='bar' if known else 'bar unknown', role='progressbar', aria_label=label) as bar:
        inner = tag('i')
    set_progress(bar, inner, value)
    return bar


def set_progress(bar: Element, inner: Element, value: float | None) -> None:
    """Move a bar that `progress` made."""
    if value is None:
        bar.classes(add='unknown')
        bar.props.pop('aria-valuenow', None)
        return
    percent = round(100 * min(1.0, max(0.0, value)))
    bar.classes(remove='unknown')
    bar.props['aria-valuenow'] = percent
    inner.style(f'width: {percent}%')


def progress_row(
    title: str, *, value: float | None, left: str = '', right: str = '', icon_name: str = 'file-up', href: str = ''
) -> None:
    """A running job: its name, how far it is, the amount and rate on the left, the time left on the right."""
    with tag('div', classes='job'):
        with tag('div', classes='l'):
            icon(icon_name).style('color: var(--text-3)')
            tag('a' if href else 'span', title, 'w5 cut grow', href=href or None)
            if value is not None:
                tag('span', f'{100 * value:.0f}%', 't12 t2')
        progress(value, label=title)
        if left or right:
            with tag('div', classes='l t12 t3'):
                tag('span', left, 'cut grow')
                tag('span', right)


def field(label: str) -> Element:
    """A label above what is put into it: `with field('Days ahead'): ui.number(…)`."""
    element = tag('label', classes='field')
    with element:
        tag('span', label)
    return element


def facts(rows: Mapping[str, str]) -> None:
    """Names and values in two columns."""
    with tag('dl', classes='facts'):
        for name, value in rows.items():
            tag('dt', name)
            tag('dd', value)
