"""A table in the product's look: numbers to the right, a header that stays, cards on phones."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from nicegui.element import Element

from ui.components.parts import Tag, icon, labelled, tag
from ui.markup import rendered

R = TypeVar('R')


@dataclass(frozen=True, kw_only=True)
class Column(Generic[R]):
    """A column: `cell` returns the text of a row, or draws into the open cell and returns what it drew or None.

    In a table that is `plain` it returns text or markup. `hint` says what the label means; terms of the glossary say it
    by themselves. A column with an `order` can be sorted by: its name, after "-" where the greatest comes first.
    """

    label: str
    cell: Callable[[R], str | Element | None]
    num: bool = False
    width: str = ''
    classes: str = ''
    phone: bool = True
    hint: str = ''
    order: str = ''


@dataclass(frozen=True, kw_only=True)
class Ordered:
    """How rows are sorted, by the order of a column or its contrary, and where they are sorted otherwise."""

    by: str
    address: Callable[[str], str]


def contrary(order: str) -> str:
    """The order from the other end."""
    return order[1:] if order.startswith('-') else f'-{order}'


def table(
    columns: Sequence[Column[R]],
    rows: Sequence[R],
    *,
    href: Callable[[R], str | None] | None = None,
    on: Callable[[R], bool] | None = None,
    classes: str = 'tall cards',
    label: str = '',
    height: int | None = None,
    plain: bool = False,
    ordered: Ordered | None = None,
) -> Element:
    """A table of at most a few hundred rows. With `href` a whole row is a link, but for those that it has None for.

    `ordered` says how the rows are sorted already; heads of columns that have an order are links then.
    With `height` (px) it scrolls. Rows that are `on` are marked as chosen. The body of a `plain` table is one element,
    however many cells it has.
    """
    box = tag('div', classes='scroll' if height else '')
    if height:
        box.style(f'max-height: {height}px').props('tabindex=0')
    with box, tag('table', classes=classes, aria_label=label or None):
        with tag('thead'), tag('tr'):
            for column in columns:
                kind = _classes(column).replace('mono', '')
                if ordered and column.order:
                    head = _sorted_by(column, kind, ordered)
                else:
                    head = labelled('th', column.label, kind, hint=column.hint, scope='col')
                if column.width:
                    head.style(f'width: {column.width}')
        with tag('tbody') as body:
            if plain:
                body.props['innerHTML'] = rendered('rows.html', rows=_lines(columns, rows, href, on))
                return box
            for row in rows:
                with tag('tr', classes='on' if on and on(row) else '', data_href=href(row) if href else None):
                    for place, column in enumerate(columns):
                        _cell(column, row, href(row) if href and place == 0 else None)
    return box


def _sorted_by(column: Column[R], kind: str, ordered: Ordered) -> Tag:
    """The head of a column that can be sorted by: pressed once more it begins at the other end."""
    now = ordered.by if ordered.by in (column.order, contrary(column.order)) else ''
    down = now.startswith('-')
    said = ('descending' if down else 'ascending') if now else 'none'
    with tag('th', '', kind, scope='col', aria_sort=said) as head:
        to = contrary(now) if now else column.order
        with tag('a', column.label, 'sorts', href=ordered.address(to)):
            if now:
                icon('arrow-down' if down else 'arrow-up', 12)
    return head


def _lines(
    columns: Sequence[Column[R]],
    rows: Sequence[R],
    href: Callable[[R], str | None] | None,
    on: Callable[[R], bool] | None,
) -> list[tuple[str, bool, list[tuple[str, str, str]]]]:
    classes = [_classes(column) for column in columns]
    return [
        (
            (href(row) if href else None) or '',
            bool(on and on(row)),
            [(kind, column.label, _text(column, row)) for kind, column in zip(classes, columns, strict=True)],
        )
        for row in rows
    ]


def last_or(page: int, *, count: int, total: int) -> int:
    """The number of a page of `count` rows of a list, the last one when it lies beyond."""
    return min(page, max(1, math.ceil(total / count)))


def _cell(column: Column[Any], row: Any, href: str | None) -> None:
    with tag('td', classes=_classes(column), data_label=column.label or None) as cell:
        # The first cell holds a real link, so that the row can be reached by keyboard and opened in a tab.
        if href:
            with tag('a', classes='whole', href=href) as link:
                link.text = _text(column, row)
        else:
            cell.text = _text(column, row)


def _text(column: Column[R], row: R) -> str:
    drawn = column.cell(row)
    return drawn if isinstance(drawn, str) else ''


def _classes(column: Column[Any]) -> str:
    return ' '.join(filter(None, ('num' if column.num else '', '' if column.phone else 'wide-only', column.classes)))
