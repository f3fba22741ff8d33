"""Bars that lie: what each of a few named things contributes."""

from collections.abc import Mapping, Sequence
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


def percents(values: Sequence[float]) -> list[str]:
    """Parts of a whole in whole percent, a hundred together; neither all nor nothing is said of what is not."""
    total = sum(values) or 1.0
    exact = [100 * value / total for value in values]
    parts = [int(share) for share in exact]
    # Those that lose most by being cut get what is left.
    for place in sorted(range(len(exact)), key=lambda at: parts[at] - exact[at])[: round(sum(exact)) - sum(parts)]:
        parts[place] += 1

    def told(part: int, value: float) -> str:
        return '<1%' if not part and value > 0 else '>99%' if part == 100 and value < total else f'{part}%'

    return [told(part, value) for part, value in zip(parts, values, strict=True)]


def parts_of(weights: Mapping[str, float], colour: str, label: str, *, most: int | None = None) -> Element:
    """Bars of what a whole is made of, the largest first, `most` of them at most."""
    ranked = sorted(((name, abs(weight)) for name, weight in weights.items()), key=lambda item: -item[1])
    texts = percents([value for _, value in ranked])
    shares = [
        Share(name=name, value=value, text=text, colour=colour)
        for (name, value), text in zip(ranked, texts, strict=True)
    ]
    return share_bars(shares[:most], label=label, whole=sum(value for _, value in ranked))


def share_bars(shares: Sequence[Share], *, label: str, signed: bool = False, whole: float = 0.0) -> Element:
    """Bars from the left, or with `signed` from the middle: what lowers to the left, what raises to the right.

    The longest fills its track, unless it is a part of a `whole`.
    """
    most = whole or max((abs(share.value) for share in shares), default=0.0) or 1.0
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
