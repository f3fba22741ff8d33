"""What is to know of a forecast, told once: what was said of many series differs in how many steps, and in no more."""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any

MANY = re.compile(r'((?:No value at |Times are irregular: )?)(\d[\d,]*)( .*)')
"""A text about how many: what stands before the number, the number, and the rest."""
NAMED = 3
"""So many series are named of those that something is about."""


def kind(text: str) -> str:
    """Return a text without its number: the same of all series that it is told of."""
    found = MANY.fullmatch(text)
    return f'{found[1]}#{found[3]}' if found else text


def joined(texts: Iterable[str]) -> dict[str, str]:
    """Return texts by their kind, those that are alike as one: `No value at 9 to 24 of 791 steps: filled in …`"""
    alike: dict[str, list[str]] = {}
    for text in texts:
        alike.setdefault(kind(text), []).append(text)
    return {of: _as_one(own) for of, own in alike.items()}


def ranked(texts: Iterable[str]) -> list[str]:
    """Return texts so that the first ones are of as many kinds as there are; each kind's in order."""
    alike: dict[str, list[str]] = {}
    for text in sorted(texts):
        alike.setdefault(kind(text), []).append(text)
    return [text for turn in zip_longest(*alike.values()) for text in turn if text is not None]


def about(noted: Mapping[str, Sequence[str]]) -> dict[str, dict[str, Any]]:
    """Return by kind how many `series` texts are about, the `first` of them named; `noted` are the series by text."""
    series: dict[str, set[str]] = {}
    for text, labels in noted.items():
        series.setdefault(kind(text), set()).update(labels)
    return {of: {'series': len(own), 'first': sorted(own)[:NAMED]} for of, own in series.items() if own}


def together(parts: Iterable[Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Return what several parts say (`about`), none of which has a series of another's, as one."""
    found: dict[str, dict[str, Any]] = {}
    for part in parts:
        for of, own in part.items():
            so_far = found.setdefault(of, {'series': 0, 'first': []})
            so_far['series'] += own['series']
            so_far['first'] = sorted({*so_far['first'], *own['first']})[:NAMED]
    return found


def _as_one(texts: Sequence[str]) -> str:
    found = [parts for text in texts if (parts := MANY.fullmatch(text))]
    if not found:
        return texts[0]
    numbers = sorted({parts[2] for parts in found}, key=lambda number: int(number.replace(',', '')))
    span = numbers[0] if len(numbers) == 1 else f'{numbers[0]} to {numbers[-1]}'
    return f'{found[0][1]}{span}{found[0][3]}'
