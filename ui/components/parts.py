"""Small parts that pages are made of: icons, buttons, badges, chips, segments, cards, heads, progress.

Everything that a user named is given as text, never as markup.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from nicegui import ui
from nicegui.element import Element
from nicegui.elements.mixins.text_element import TextElement
from nicegui.elements.mixins.value_element import ValueElement
from nicegui.events import GenericEventArguments
from nicegui.helpers import expects_arguments, should_await

from ui.assets import icon_classes, icon_shapes
from ui.components.terms import Marked, explained, meaning, says, write

Handler = Callable[..., Any]


class Tag(TextElement):
    """A plain HTML element with text, in which terms can be asked for when it is `Marked`."""

    def __init__(self, name: str, text: str = '', classes: str = '') -> None:
        super().__init__(tag=name, text='' if isinstance(text, Marked) else text)
        if classes:
            self.classes(classes)
        if isinstance(text, Marked):
            with self:
                write(text)


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
        element.on('click', _once(element, on_click))
    return element


def _once(element: Tag, handler: Handler) -> Handler:
    """The handler of a button which may order something: while one press is worked on, others do nothing.

    Nor does the second click of a double click, which may come when the first one's work has just ended. What a
    handler does at once, without awaiting anything, may be pressed as often as one likes.
    """
    told = expects_arguments(handler)
    awaits = running = False

    async def finish(work: Awaitable[Any]) -> None:
        nonlocal running
        try:
            await work
        finally:
            running = False
            if not element.is_deleted:  # by a page that draws itself again
                element.props.pop('aria-busy', None)

    def press(event: GenericEventArguments) -> Awaitable[None] | None:
        nonlocal awaits, running
        clicks = event.args.get('detail', 0) if isinstance(event.args, dict) else 0
        if running or (awaits and clicks > 1):
            return None
        work = handler(event) if told else handler()
        if not should_await(work):
            return None
        awaits = running = True
        element.props['aria-busy'] = 'true'
        return finish(work)

    return press


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


class Field(Tag):
    """A label above one control, which a screen reader calls by it unless it has a name of its own."""

    def __init__(self, label: str, word: str = '') -> None:
        said = says(word) if word else meaning(label)
        # In a <label> a term would be what the label is for.
        super().__init__('div' if said else 'label', classes='field')
        self._label = label
        with self:
            labelled('span', label, hint=said)

    def __exit__(self, *raised: object) -> None:
        super().__exit__(*raised)
        # A label around a Quasar control does not reach the input inside: that one is in a label of its own.
        for element in self.descendants():
            if isinstance(element, ValueElement):
                element.props.setdefault('aria-label', self._label)


def field(label: str, *, word: str = '') -> Field:
    """A label above what is put into it: `with field('Days ahead', word='horizon'): ui.number(…)`.

    `word` is the term that the label can be asked for, where it is not one itself.
    """
    return Field(label, word)


def facts(rows: Mapping[str, str]) -> None:
    """Names and values in two columns; a name that is a term can be asked what it means."""
    with tag('dl', classes='facts'):
        for name, value in rows.items():
            labelled('dt', name)
            tag('dd', value)


def labelled(name: str, text: str, classes: str = '', *, hint: str = '', **attributes: Any) -> Tag:
    """An element whose text can be asked what it means, if it is a term or has a `hint` of its own."""
    said = hint or meaning(text)
    element = tag(name, '' if said else text, classes, **attributes)
    if said:
        with element:
            explained(text, said)
    return element
