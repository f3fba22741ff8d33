"""Choices with a line that explains them, and what is wrong with a field beside it."""

from collections.abc import Callable
from typing import Any

from nicegui.element import Element

from ui.components.parts import Tag, badge, field, icon, tag

LOOK = """
setTimeout(() => {{
  const line = document.getElementById('{place}');
  line?.scrollIntoView({{ block: 'center' }});
  line?.focus({{ preventScroll: true }});
}})
"""


def option(
    name: str,
    text: str,
    *,
    on: bool,
    on_change: Callable[[bool], Any],
    state: tuple[str, str] | None = None,
) -> Tag:
    """A line that is switched on and off: its name, what it is, and a state (text and kind of badge) at its end.

    The whole line is pressed; a screen reader hears the name, then the rest as its description.
    """
    box = tag('div', classes='option')
    with box:
        with tag('span', classes='vs grow'):
            element = tag('button', name, 'pick w5 cut', type='button', aria_pressed=str(on).lower())
            with element, tag('span', classes='check lead', aria_hidden='true'):
                icon('check', 12)
            if text:
                tag('span', text, 't12 t3 about', id=f'about-{element.id}')
                element.props['aria-describedby'] = f'about-{element.id}'
        if state:
            badge(*state)

    def toggle() -> Any:
        now = element.props['aria-pressed'] != 'true'
        element.props['aria-pressed'] = str(now).lower()
        return on_change(now)

    element.on('click', toggle)
    return element


def group(label: str) -> Element:
    """Choices that belong together: `with group('Models'): option(…)`."""
    return tag('div', classes='options', role='group', aria_label=label)


class Complaint:
    """The line under a field that says what is wrong with it."""

    def __init__(self, name: str) -> None:
        self.place = f'wrong-{name}'
        self._line = tag('p', classes='wrong t12 red', id=self.place, role='alert')
        self._inputs: tuple[Element, ...] = ()
        self.say('')

    def about(self, *inputs: Element) -> 'Complaint':
        """Tie the line to its inputs, for screen readers."""
        self._inputs = inputs
        for element in inputs:
            element.props['aria-describedby'] = self.place
        return self

    def say(self, text: str) -> None:
        """Show a text, or nothing when all is well."""
        self._line.text = text
        self._line.set_visibility(bool(text))
        for element in self._inputs:
            element.props['aria-invalid'] = 'true' if text else 'false'

    def look(self) -> None:
        """Bring the line into view and go on from there with the keyboard."""
        self._line.props['tabindex'] = '-1'
        self._line.client.run_javascript(LOOK.format(place=self.place))


def explained(label: str, text: str) -> Element:
    """A field with a line of explanation under its label, if there is any."""
    element = field(label)
    if text:
        with element:
            tag('span', text, 't12 t3 hint')
    return element
