"""Small plots of numbers with axes: lines, dots, columns and bands, drawn as they are given.

For what does not stay small or is to be zoomed there is `chart`. Points come as plain numbers; x may be epoch ms.
"""

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from nicegui.element import Element

from ui.components import formats
from ui.components.parts import tag

Tick = tuple[float, str]
DAY = 86_400_000.0
MOST = 400
ROOM = 5  # characters of a figure for which the style leaves room beside a plot
GAP, DIGIT = 12, 7  # px beside a longer one, and for each of its characters
STEPS = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Points joined in their order; a missing y parts the line. `colour` names a token."""

    x: Sequence[float]
    y: Sequence[float | None]
    colour: str = 'series-1'
    width: float = 1.5
    dash: str = ''
    dots: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Dots:
    """Points by themselves."""

    x: Sequence[float]
    y: Sequence[float | None]
    colour: str = 'series-1'
    size: float = 3.5
    opacity: float = 0.55


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Bars from zero, each `width` wide, with what each says under the pointer."""

    x: Sequence[float]
    y: Sequence[float]
    width: float
    colour: str = 'series-1'
    texts: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """The area between two lines."""

    x: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    colour: str = 'band-80'


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A level that is marked, such as what was promised."""

    y: float
    text: str = ''


Shape = Line | Dots | Columns | Band


def plot(
    shapes: Sequence[Shape],
    *,
    label: str,
    height: int = 180,
    x_ticks: Sequence[Tick] | None = None,
    x_name: str = '',
    y_text: Callable[[float], str] = formats.number,
    y_range: tuple[float, float] | None = None,
    rules: Sequence[Rule] = (),
) -> Element:
    """Draw shapes over each other. `label` is what a screen reader says of them; `x_name` stands under the axis."""
    box = tag('div', classes='small-plot', role='img', aria_label=label)
    box.style(f'--tall: {height}px')
    box.props['innerHTML'] = markup(shapes, x_ticks=x_ticks, x_name=x_name, y_text=y_text, y_range=y_range, rules=rules)
    return box


def number_ticks(low: float, high: float, count: int = 5) -> list[Tick]:
    """Round numbers between two ends."""
    return [(value, formats.number(_rounded(value))) for value in _round_steps(low, high, count)]


def whole_ticks(low: int, high: int, count: int = 6) -> list[Tick]:
    """Whole numbers between two ends, both included: steps ahead."""
    step = max(1, math.ceil((high - low) / max(1, count - 1)))
    places = list(range(low, high + 1, step))
    if high - places[-1] > 0.7 * step:
        places.append(high)
    return [(place, formats.number(place)) for place in places]


def time_ticks(low: float, high: float, count: int = 4, *, zone: str = '') -> list[Tick]:
    """Evenly spread dates between two moments in epoch ms, on the clock of a zone (UTC when none is named)."""
    if high <= low:
        return [(low, _dated(low, 0, zone))]
    return [
        (at, _dated(at, high - low, zone))
        for at in (low + (high - low) * (place + 0.5) / count for place in range(count))
    ]


def thinned(x: Sequence[float], y: Sequence[float | None], most: int = MOST) -> tuple[list[float], list[float | None]]:
    """At most about `most` points: of each stretch its lowest and its highest."""
    if len(x) <= most:
        return list(x), list(y)
    width = math.ceil(2 * len(x) / most)
    places: list[int] = []
    for start in range(0, len(x), width):
        known = [(y[at], at) for at in range(start, min(start + width, len(x))) if y[at] is not None]
        if known:
            places += sorted({min(known)[1], max(known)[1]})
    return [x[at] for at in places], [y[at] for at in places]


def markup(
    shapes: Sequence[Shape],
    *,
    x_ticks: Sequence[Tick] | None = None,
    x_name: str = '',
    y_text: Callable[[float], str] = formats.number,
    y_range: tuple[float, float] | None = None,
    rules: Sequence[Rule] = (),
) -> str:
    """Markup of numbers and constants; what else there is, is escaped."""
    x_low, x_high = _x_reach(shapes)
    low, high = y_range or _y_reach(shapes, rules)
    scale = _Scale(x_low, x_high, low, high)
    levels = [(value, y_text(_rounded(value))) for value in _round_steps(low, high, 4)]
    lines = ''.join(
        f'<div class="tick" style="bottom: {100 - scale.y(value):.2f}%"><span>{html.escape(text)}</span></div>'
        for value, text in levels
    )
    longest = max((len(text) for _, text in levels), default=0)
    beside = f' style="margin-left: {GAP + DIGIT * longest}px"' if longest > ROOM else ''
    promised = ''.join(
        f'<div class="rule" style="bottom: {100 - scale.y(rule.y):.2f}%"><em>{html.escape(rule.text)}</em></div>'
        for rule in rules
    )
    drawn = ''.join(_drawn(shape, scale) for shape in shapes)
    zero = f'<path d="M0 {scale.y(0):.2f}H100" class="zero"/>' if low < 0 < high else ''
    ticks = number_ticks(x_low, x_high) if x_ticks is None else x_ticks
    below = ''.join(
        f'<span style="left: {scale.x(at):.2f}%">{html.escape(text)}</span>'
        for at, text in ticks
        if -0.5 <= scale.x(at) <= 100.5
    )
    named = f'<div class="x-name">{html.escape(x_name)}</div>' if x_name else ''
    svg = '<svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">'
    return (
        f'<div class="area"{beside}>{lines}{promised}{svg}{zero}{drawn}</svg></div>'
        f'<div class="x-ticks"{beside}>{below}</div>{named}'
    )


@dataclass(frozen=True, slots=True)
class _Scale:
    """From values to places in percent, from the left and from the top."""

    x_low: float
    x_high: float
    low: float
    high: float

    def x(self, value: float) -> float:
        return 100 * (value - self.x_low) / ((self.x_high - self.x_low) or 1)

    def y(self, value: float) -> float:
        return 100 - 100 * (value - self.low) / ((self.high - self.low) or 1)


def _drawn(shape: Shape, scale: _Scale) -> str:
    if isinstance(shape, Line):
        path = _joined(shape, scale)
        dash = f' stroke-dasharray="{html.escape(shape.dash)}"' if shape.dash else ''
        stroke = f'stroke="var(--{shape.colour})" stroke-width="{shape.width}"'
        drawn = f'<path d="{path}" fill="none" {stroke}{dash} vector-effect="non-scaling-stroke"/>'
        return drawn + (_dots(shape.x, shape.y, scale, shape.colour, 5, 1) if shape.dots else '')
    if isinstance(shape, Dots):
        return _dots(shape.x, shape.y, scale, shape.colour, shape.size, shape.opacity)
    if isinstance(shape, Band):
        over = [f'{scale.x(x):.2f} {scale.y(y):.2f}' for x, y in zip(shape.x, shape.high, strict=True)]
        under = [f'{scale.x(x):.2f} {scale.y(y):.2f}' for x, y in zip(shape.x, shape.low, strict=True)]
        return f'<path d="M{"L".join(over + under[::-1])}Z" fill="var(--{shape.colour})"/>'
    return ''.join(_column(shape, place, scale) for place in range(len(shape.x)))


def _joined(line: Line, scale: _Scale) -> str:
    parts, apart = [], True
    for x, y in zip(line.x, line.y, strict=True):
        if y is None or not math.isfinite(y):
            apart = True
            continue
        parts.append(f'{"M" if apart else "L"}{scale.x(x):.2f} {scale.y(y):.2f}')
        apart = False
    return ''.join(parts)


def _dots(
    x: Sequence[float], y: Sequence[float | None], scale: _Scale, colour: str, size: float, opacity: float
) -> str:
    """Round caps of lines without a length: they stay round however the drawing is stretched."""
    path = ''.join(
        f'M{scale.x(at):.2f} {scale.y(value):.2f}h0'
        for at, value in zip(x, y, strict=True)
        if value is not None and math.isfinite(value)
    )
    stroke = f'stroke="var(--{colour})" stroke-width="{size}" stroke-linecap="round" stroke-opacity="{opacity}"'
    return f'<path d="{path}" fill="none" {stroke} vector-effect="non-scaling-stroke"/>'


def _column(shape: Columns, place: int, scale: _Scale) -> str:
    value = shape.y[place]
    top, bottom = sorted((scale.y(value), scale.y(max(scale.low, min(0.0, scale.high)))))
    left, right = scale.x(shape.x[place] - shape.width / 2), scale.x(shape.x[place] + shape.width / 2)
    text = f'<title>{html.escape(shape.texts[place])}</title>' if shape.texts else ''
    return (
        f'<rect x="{left:.2f}" y="{top:.2f}" width="{max(0.1, right - left):.2f}" height="{bottom - top:.2f}" '
        f'fill="var(--{shape.colour})">{text}</rect>'
    )


def _x_reach(shapes: Sequence[Shape]) -> tuple[float, float]:
    ends = [value for shape in shapes for value in shape.x]
    wide = max((shape.width for shape in shapes if isinstance(shape, Columns)), default=0.0)
    if not ends:
        return 0.0, 1.0
    return min(ends) - wide / 2, max(ends) + wide / 2


def _y_reach(shapes: Sequence[Shape], rules: Sequence[Rule]) -> tuple[float, float]:
    values = [rule.y for rule in rules]
    for shape in shapes:
        if isinstance(shape, Band):
            values += [*shape.low, *shape.high]
        else:
            values += [value for value in shape.y if value is not None and math.isfinite(value)]
        if isinstance(shape, Columns):
            values.append(0.0)
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    pad = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
    # Bars stand on zero, and what is never below it needs no room there.
    return (low if low == 0 else low - pad), high + pad


def _round_steps(low: float, high: float, count: int) -> list[float]:
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [low]
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in STEPS if rough <= power * factor * 1.0001)
    return [step * place for place in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _rounded(value: float) -> float:
    return float(f'{value:.12g}')


def _dated(at: float, span: float, zone: str) -> str:
    told = datetime.fromtimestamp(at / 1000, UTC)
    moment = formats.local(told, zone) or told
    if span > 3 * 366 * DAY:
        return f'{moment:%Y}'
    if span > 120 * DAY:
        return f'{moment:%b %Y}'
    return f'{moment.day} {moment:%b}' if span > 3 * DAY else f'{moment.day} {moment:%b, %H:%M}'
