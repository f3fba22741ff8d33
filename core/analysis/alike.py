"""Rows that share series and time: what the series is called, in which order one is chosen, how two of them differ."""

import re
from collections.abc import Sequence
from typing import Final

from core.analysis import duck

RULES: Final = ('last', 'first', 'mean')
"""Which of the rows of one series and time is stored: that, or the last one with the mean of every measure."""
TOLD: Final = 3
"""Cells in which two rows differ that are told."""
LONGEST: Final = 40  # characters of such a cell


def label(keys: Sequence[str]) -> str:
    """SQL: the name of a row's series from its keys (SQL each), '' when there are none."""
    return " || ' · ' || ".join(f'CAST({key} AS VARCHAR)' for key in keys) or "''"


def visible(name: str) -> str:
    """Return a name in which blanks that are easily overlooked are shown as ␣: around it, several in a row, other
    blanks than the usual one."""
    return re.sub(r'^\s+|\s+$|\s{2,}|[^\S ]', lambda blanks: '␣' * len(blanks[0]), name)


def order(rule: str) -> str:
    """SQL: the direction in which what is stored comes first, by its place in the source."""
    return 'ASC' if rule == 'first' else 'DESC'


def which(rule: str) -> str:
    """Tell which of them is stored."""
    stored = {'first': 'the first is stored', 'mean': 'their mean is stored', 'sum': 'their sum is stored'}
    return stored.get(rule, 'the last is stored')


def said(names: Sequence[str], side: str, other: str) -> str:
    """SQL: what a row (by its alias `side`) says in the columns `names` where it differs from an `other` one."""
    cells = []
    for name in names:
        column = duck.identifier(name)
        text = f"coalesce(left({side}.{column}::VARCHAR, {LONGEST}), 'nothing')"
        if len(names) > 1:
            text = f'{duck.text(f"{name} ")} || {text}'
        cells.append(f'CASE WHEN {side}.{column} IS DISTINCT FROM {other}.{column} THEN {text} END')
    return f'list_filter([{", ".join(cells) or "NULL"}], lambda x: x IS NOT NULL)'


def told(cells: str) -> str:
    """SQL: such a list in words."""
    more = f"' and ' || (len({cells}) - {TOLD}) || ' more'"
    return f"array_to_string({cells}[1:{TOLD}], ', ') || CASE WHEN len({cells}) > {TOLD} THEN {more} ELSE '' END"
