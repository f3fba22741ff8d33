"""Bars that lie: what each of a few named things contributes."""

from collections.abc import Sequence
from dataclasses import dataclass

from nicegui.element import Element

from ui.components.parts import tag


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A bar: `value` gives its length, in the unit of its neighbours; `text` is what stands at its end."""

    name: str
    value: float
    text: str
    colour: str = 'series-1'


def share_bars(shares: Sequence[Share], *, label: str, signed: bool = False) -> Element:
    """Bars from the left, or with `signed` from the middle: what lowers to the left, what raises to the right."""
    most = max((abs(share.value) for share in shares), default=0.0) or 1.0
    with tag('ul', classes='shares-list signed' if signed else 'shares-list', aria_label=label) as box:
        for share in shares:
            with tag('li'):
                tag('span', share.name, 'cut name', title=share.name)
                with tag('span', classes='track-bar', aria_hidden='true'):
                    tag('i').style(_place(share, most, signed))
                tag('span', share.text, 'num')
    return box


def _place(share: Share, most: float, signed: bool) -> str:
    length = 100 * abs(share.value) / most * (0.5 if signed else 1.0)
    left = 0.0 if not signed else 50.0 if share.value >= 0 else 50.0 - length
    return f'left: {left:.2f}%; width: {length:.2f}%; background: var(--{share.colour})'
