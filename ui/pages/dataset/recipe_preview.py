"""What a recipe does, on one series: lines before and after, rows that change, what each step did."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from core.analysis import alike, recipes
from ui.components.parts import icon, tag
from ui.components.plot import Line, thinned
from ui.components.table import Column, table
from ui.components.times import count
from ui.pages.dataset.recipe_steps import Step, share, title
from ui.pages.dataset.rows_tab import grouped
from ui.preferences import written

ROWS_LISTED = 8
DIGITS = 12  # of what a step has reckoned; of what is stored they are all there are


def lines_of(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], measure: str, colour: str, width: float
) -> list[Line]:
    """A measure over time, a line for each series: there are several before they are merged."""
    at = list(columns).index('_series')
    series: dict[str, list[Sequence[Any]]] = {}
    for row in rows:
        series.setdefault(row[at], []).append(row)
    lines = [_line(columns, own, measure, colour, width) for own in series.values()]
    return [line for line in lines if line is not None]


def _line(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], measure: str, colour: str, width: float
) -> Line | None:
    """A measure over time, None where it has no value."""
    if measure not in columns or not rows:
        return None
    at, time = list(columns).index(measure), list(columns).index('_time')
    x = [_ms(row[time]) for row in rows]
    y = [None if row[at] is None else float(row[at]) for row in rows]
    if all(value is None for value in y):
        return None
    x, y = thinned(x, y)
    return Line(x=x, y=y, colour=colour, width=width, dots=sum(value is not None for value in y) < 2)


def _cell(value: Any) -> str:
    if isinstance(value, datetime):
        return f'{value:%Y-%m-%d %H:%M}'
    if isinstance(value, Decimal):
        return grouped(value)  # every digit that is stored, as the tab of rows shows it
    if isinstance(value, int | float) and not isinstance(value, bool):
        return written(f'{value:,.{DIGITS}g}').replace('-', '\u2212')
    return '' if value is None else str(value)


def _both(before: Any, after: Any) -> str:
    """A cell, with what it held where that is another value."""
    old, new = _cell(before), _cell(after)
    if _same(before, after):
        return new
    return new if old == new else f'{alike.visible(old) or "–"} → {alike.visible(new) or "–"}'


def _changed(found: recipes.Preview) -> list[tuple[Sequence[Any], Sequence[Any]]]:
    """The rows before and after where a cell differs, and those that give way (before, and nothing in each cell).

    None where rows after are not those before, or are not told apart by their lines.
    """
    fewer = any(one.rows_after != one.rows_before and one.do != 'merge' for one in found.report)
    if found.columns_before != found.columns_after or len(found.before) < len(found.after) or fewer:
        return []
    places = [found.columns_after.index(name) for name in ('_line', '_time', '_source') if name in found.columns_after]
    after = {tuple(row[place] for place in places): row for row in found.after}
    pairs, left = [], len(after)
    for row in found.before:
        same = after.get(tuple(row[place] for place in places))
        left -= same is not None
        pairs.append((row, same or (None,) * len(row)))
    if left or len(after) != len(found.after):
        return []
    return [(before, row) for before, row in pairs if not all(map(_same, before, row))]


def _same(before: Any, after: Any) -> bool:
    """Whether two cells hold one value; a decimal that has become a float is the same figure."""
    numbers = isinstance(before, Decimal) and isinstance(after, float)
    return bool(float(before) == after if numbers else before == after)


def _ms(moment: datetime) -> float:
    return moment.replace(tzinfo=UTC).timestamp() * 1000


def draw_report(report: Sequence[recipes.Report], steps: Sequence[Step], *, series: str) -> None:
    """What each step makes of the series: how many rows are left, how many cells it changed."""
    table(
        [
            Column[recipes.Report](label='Step', cell=lambda r: f'{r.step}. {title(steps[r.step - 1])}'),
            Column[recipes.Report](
                label='Rows',
                cell=lambda r: (
                    count(r.rows_after)
                    if r.rows_after == r.rows_before
                    else f'{count(r.rows_before)} → {count(r.rows_after)}'
                ),
                num=True,
            ),
            Column[recipes.Report](label='Cells changed', cell=lambda r: share(asdict(r)), num=True),
        ],
        report,
        classes='tight',
        label=f'What each step does to {series or "the series"}',
    )


def _width(cells: Iterable[Any]) -> str:
    """The width of a column: of times, that of one, which says nothing once it is cut."""
    longest = max((len(_cell(cell)) for cell in cells if isinstance(cell, date)), default=0)
    return f'calc({longest}ch + 24px)' if longest else ''


def draw_rows(found: recipes.Preview) -> None:
    """The rows in which cells change, with both values; the first rows where none does, or all are made anew."""
    own = ('_series', '_time', '_line', '_source')
    shown = [(place, name) for place, name in enumerate(found.columns_after) if name not in own]
    pairs = sorted(_changed(found), key=lambda pair: pair[1][0] is not None)
    away = sum(after[0] is None for _, after in pairs)
    listed = pairs[:ROWS_LISTED] or [(row, row) for row in found.after[:ROWS_LISTED]]
    if pairs:
        some = f'{len(listed)} of {count(len(pairs))} rows' if len(pairs) > len(listed) else 'Rows'
        tag('p', f'{some} in which cells change{f"; {count(away)} of them give way (→ –)" if away else ""}:', 't12 t2')
    table(
        [
            Column[Any](
                label=name,
                cell=lambda pair, place=place: _both(pair[0][place], pair[1][place]),
                num=any(isinstance(row[place], int | float | Decimal) for pair in listed for row in pair),
                width=_width(cell for pair in listed for cell in (pair[0][place], pair[1][place])),
            )
            for place, name in shown[:12]
        ],
        listed,
        classes='tight wraps',
        label='Rows that the recipe changes' if pairs else 'First rows after the recipe',
        height=360,
    )
    if not found.after:
        with tag('p', classes='note warn'):
            icon('triangle-alert')
            tag('span', 'No row of this series is left.')
