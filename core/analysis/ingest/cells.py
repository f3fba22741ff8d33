"""What a single cell of text looks like: the evidence for dialects, headers and repairs."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final, Literal

Kind = Literal['empty', 'number', 'time', 'flag', 'text']

_NUMBER: Final = re.compile(
    r"[+-]?[$€£¥]?\s?(?:\d{1,3}(?:[ ,.'\u00a0\u202f]\d{3})+(?:[.,]\d+)?|\d+(?:[.,]\d*)?|[.,]\d+)"
    r'(?:[eE][+-]?\d+)?\s?[%€]?'
    r'|\((?:\d+(?:[.,]\d+)*)\)|[+-]?(?:inf|infinity)',
    re.IGNORECASE,
)
_CLOCK: Final = r'\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?:\s?[AaPp]\.?[Mm]\.?)?(?:\s?(?:Z|UTC|[+-]\d{2}:?(?:\d{2})?))?'
_MONTH: Final = r'(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}\.?'
_TIME: Final = re.compile(
    rf'(?:\d{{4}}[-/.]\d{{1,2}}(?:[-/.]\d{{1,2}})?|\d{{1,2}}[-/.]\d{{1,2}}[-/.]\d{{2,4}}'
    rf'|\d{{4}}年\d{{1,2}}月(?:\d{{1,2}}日)?'
    rf'|\d{{1,2}}[ -]{_MONTH}[ -,]{{1,2}}\d{{2,4}}|{_MONTH}[ -](?:\d{{1,2}},? )?\d{{2,4}}'
    rf'|\d{{4}}-?[QW]\d{{1,2}}(?:-\d)?)'
    rf'(?:[T ]\s?{_CLOCK})?|{_CLOCK}|\d{{8}}T\d{{4,6}}Z?',
    re.IGNORECASE,
)
_FLAG: Final = frozenset({'true', 'false', 'yes', 'no', 't', 'f', 'y', 'n'})
_EMPTY: Final = frozenset({'', 'na', 'n/a', '#n/a', 'nan', 'null', 'none', '-', '--', '?', '.', '\\n'})
_LONGEST: Final = 64


def kind_of(cell: str | None) -> Kind:
    """The kind that a cell's text alone speaks for; words for a missing value are `empty`."""
    if cell is None:
        return 'empty'
    text = cell.strip()
    if len(text) > _LONGEST:
        return 'text'
    return _kind_of(text)


@lru_cache(maxsize=4096)
def _kind_of(text: str) -> Kind:
    lowered = text.lower()
    if lowered in _EMPTY:
        return 'empty'
    if text[0] in "+-.,($€£¥0123456789iI'" and _NUMBER.fullmatch(text):
        return 'number'
    if _TIME.fullmatch(text) or (' - ' in text and all(map(_TIME.fullmatch, text.split(' - ', 1)))):
        return 'time'
    return 'flag' if lowered in _FLAG else 'text'


def column_kind(cells: Iterable[str | None], *, share: float = 0.7) -> Kind:
    """The kind of at least `share` of a column's filled cells, else `text`; `empty` when none is filled."""
    counts = Counter(kind_of(cell) for cell in cells)
    counts.pop('empty', None)
    total = sum(counts.values())
    if not total:
        return 'empty'
    kind, count = counts.most_common(1)[0]
    return kind if count >= share * total else 'text'


def profile_of(rows: Sequence[Sequence[str | None]], width: int) -> tuple[Kind, ...]:
    """The kind of each of `width` columns over sample rows."""
    return tuple(column_kind(row[i] if i < len(row) else None for row in rows) for i in range(width))


def fit(cells: Sequence[str | None], profile: Sequence[Kind]) -> float:
    """How well a record's cells suit the columns' kinds: a mismatched cell costs 1, an empty one a quarter."""
    score = 0.0
    for cell, expected in zip(cells, profile, strict=False):
        kind = kind_of(cell)
        if kind == 'empty':
            score -= 0.0 if expected == 'empty' else 0.25
        elif expected not in ('text', 'empty') and kind != expected:
            score -= 1.0
        elif expected == 'text' and kind in ('number', 'time'):
            score -= 0.5
    return score
