"""Figures that can be measured again: `python -m benchmarks.NAME` prints a table, then one JSON line a figure."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A measured value and its goal; without a goal it is only shown."""

    figure: str
    value: float
    goal: float | None = None
    better: Literal['less', 'more'] = 'less'

    @property
    def holds(self) -> bool:
        """Whether the value reaches the goal."""
        if self.goal is None:
            return True
        return bool(self.value <= self.goal if self.better == 'less' else self.value >= self.goal)


def report(figures: Sequence[Figure]) -> int:
    """Print the figures, for people and for programs, and return the exit status: 1 when one does not hold."""
    width = max((len(one.figure) for one in figures), default=0)
    for one in figures:
        sign = '≤' if one.better == 'less' else '≥'
        goal = '' if one.goal is None else f'  goal {sign} {one.goal:g}  {"holds" if one.holds else "DOES NOT HOLD"}'
        print(f'{one.figure:<{width}}  {one.value:>10.4g}{goal}')
    print()
    for one in figures:
        goal = None if one.goal is None else f'{"<=" if one.better == "less" else ">="} {one.goal:g}'
        print(json.dumps({'figure': one.figure, 'value': float(one.value), 'goal': goal, 'holds': one.holds}))
    return 0 if all(one.holds for one in figures) else 1
