"""What a page shows when there is nothing yet, when something failed, and while it waits."""

from collections.abc import Callable, Mapping
from typing import Any

from nicegui import ui

from ui.components.parts import button, facts, icon, icon_button, tag

DRAWING = (
    '<path d="M0 71.5h216" stroke="var(--line-2)"/>'
    '<path d="M4 48c12-22 20-22 30-6s18 16 28-6 20-22 30-4 16 16 26 0" stroke="var(--series-8)" stroke-width="1.5"/>'
    '<path d="M118 32c10-18 18-20 28-8s20 10 30-6 18-14 36-8v34c-18-8-26-2-36 6s-20 16-30 2-18-6-28-20Z" '
    'fill="var(--band-80)"/>'
    '<path d="M118 32c10-8 18-6 28 6s20 8 30-4 18-10 36-4" stroke="var(--series-1)" stroke-width="2"/>'
    '<path d="M118 4v68" stroke="var(--text-3)" stroke-dasharray="3 3"/>'
)


def empty_state(title: str, text: str, *, actions: Callable[[], Any] | None = None, hint: str = '') -> None:
    """Nothing here yet: what to do in one sentence, and the button that does it."""
    with tag('div', classes='empty'):
        drawing = ui.element('svg')
        drawing.props.update({'width': 216, 'height': 72, 'viewBox': '0 0 216 72', 'fill': 'none'})
        drawing.props.update({'aria-hidden': 'true', 'innerHTML': DRAWING})
        with tag('div', classes='words'):
            tag('h2', title)
            tag('p', text, 't2')
        if actions:
            with tag('div', classes='hs'):
                actions()
        if hint:
            tag('p', hint, 't12 t3')


def error_state(
    title: str,
    text: str,
    *,
    rows: Mapping[str, str] | None = None,
    actions: Callable[[], Any] | None = None,
    number: str = '',
) -> None:
    """What happened, then what is kept and what to do (`rows`), the way on, and a number to tell."""
    with tag('div', classes='fault', role='alert'):
        with tag('div', classes='hs').style('gap: 12px; align-items: flex-start'):
            with tag('span', classes='sign-i'):
                icon('unplug')
            with tag('div', classes='vs').style('gap: 2px'):
                tag('h2', title)
                tag('p', text, 't2')
        if rows:
            facts(rows)
        with tag('div', classes='hs'):
            if actions:
                actions()
            if number:
                with tag('span', 'Error ', 't12 t3').style('margin-left: auto'):
                    tag('span', number, 'mono')
                icon_button('copy', 'Copy error number', small=True, data_copy=number)


def out_of_reach(why: str, *, kept: str) -> None:
    """Stand where something is stored that cannot be read now; `kept` is what is safe all the same."""
    error_state(
        'What is stored is out of reach',
        why,
        rows={'What is kept': kept, 'What to do': 'Load the page again in a moment.'},
        actions=lambda: button('Load again', icon_name='rotate-ccw', on_click=ui.navigate.reload),
    )


def skeleton(*widths: int, height: int = 12) -> None:
    """Blocks where content will stand; widths in pixels, in a row."""
    with tag('div', classes='hs', aria_hidden='true').style('gap: 16px'):
        for width in widths:
            tag('i', classes='sk').style(f'width: {width}px; height: {height}px')


def skeleton_rows(rows: int = 4) -> None:
    """A table that is still loading."""
    with tag('div', aria_busy='true', aria_label='Loading', role='status'):
        for row in range(rows):
            line = tag('div', classes='hs', aria_hidden='true')
            line.style('gap: 16px; height: 44px; padding: 0 16px; border-top: 1px solid var(--line)')
            with line:
                tag('i', classes='sk').style(f'width: {120 + row * 37 % 90}px')
                tag('i', classes='sk').style('width: 72px; margin-left: auto')
                tag('i', classes='sk').style('width: 96px')
