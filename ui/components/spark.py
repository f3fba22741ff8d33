"""Sparklines: small drawings of numbers, without axes."""

import math
from collections.abc import Sequence

from nicegui import ui
from nicegui.element import Element

WIDTH, PAD = 240, 2


def spark(values: Sequence[float | None], *, height: int = 24, colour: str = 'series-1') -> Element:
    """A line over a soft area; `colour` names a token. Missing values are left out."""
    known = [float(v) for v in values if v is not None and math.isfinite(v)]
    if len(known) < 2:
        return _drawing('', height)
    low, high = min(known), max(known)
    scale = (height - 2 * PAD) / ((high - low) or 1)
    middle = 0 if high > low else (height - 2 * PAD) / 2
    points = ' '.join(
        f'{place * WIDTH / (len(known) - 1):.1f},{height - PAD - middle - (value - low) * scale:.1f}'
        for place, value in enumerate(known)
    )
    return _drawing(
        f'<polygon points="0,{height} {points} {WIDTH},{height}" fill="var(--{colour})" opacity=".1"/>'
        f'<polyline points="{points}" fill="none" stroke="var(--{colour})" stroke-width="1.5" '
        'stroke-linejoin="round" vector-effect="non-scaling-stroke"/>',
        height,
    )


def forecast_spark(
    history: Sequence[float | None],
    forecast: Sequence[float | None],
    *,
    low: Sequence[float | None] = (),
    high: Sequence[float | None] = (),
    height: int = 56,
    colour: str = 'series-1',
) -> Element:
    """The end of a history, what is forecast after it, and the band between `low` and `high`; `colour` is a token."""
    known = [v for v in (*history, *forecast, *low, *high) if v is not None and math.isfinite(v)]
    count = len(history) + len(forecast)
    if not known or count < 2:
        return _drawing('', height)
    least, most = min(known), max(known)

    def points(values: Sequence[float | None], start: int) -> list[str]:
        return [
            f'{(start + place) * WIDTH / (count - 1):.1f},'
            f'{height - PAD - (height - 2 * PAD) * (value - least) / ((most - least) or 1):.1f}'
            for place, value in enumerate(values)
            if value is not None and math.isfinite(value)
        ]

    start, last = len(history), [value for value in history[-1:] if value is not None]
    band = ' '.join(points(high, start) + points(low, start)[::-1])
    ahead = ' '.join(points([*last, *forecast], start - len(last)))
    line = 'fill="none" stroke-linejoin="round" vector-effect="non-scaling-stroke"'
    return _drawing(
        f'<polygon points="{band}" fill="var(--{colour})" opacity=".22"/>'
        f'<polyline points="{" ".join(points(history, 0))}" stroke="var(--ink)" stroke-width="1.25" {line}/>'
        f'<polyline points="{ahead}" stroke="var(--{colour})" stroke-width="1.75" {line}/>',
        height,
    )


def bars(counts: Sequence[float], *, height: int = 32, colour: str = 'series-1') -> Element:
    """Bars of a histogram."""
    top = max(counts, default=0) or 1
    width = WIDTH / max(1, len(counts))
    drawn = []
    for place, value in enumerate(counts):
        tall = max(1.0, (height - PAD) * value / top) if value else 0.5
        drawn.append(
            f'<rect x="{place * width:.1f}" y="{height - tall:.1f}" width="{max(1.0, width - 1.5):.1f}" '
            f'height="{tall:.1f}" rx="1" fill="var(--{colour})" opacity=".8"/>'
        )
    return _drawing(''.join(drawn), height)


def _drawing(shapes: str, height: int) -> Element:
    drawing = ui.element('svg').classes('spark')
    drawing.props.update({'viewBox': f'0 0 {WIDTH} {height}', 'preserveAspectRatio': 'none', 'aria-hidden': 'true'})
    drawing.props['innerHTML'] = shapes
    return drawing.style(f'width: 100%; height: {height}px; display: block')
