"""Whom to kill, and when."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MOMENTS = ('upload', 'convert', 'forecast', 'beat', 'settle')
EMBEDDED: Mapping[str, Sequence[str]] = {
    'upload': ('web', 'web', 'web', 'worker', 'postgres'),
    'convert': ('child', 'child', 'worker', 'web', 'postgres'),
    'forecast': ('child', 'child', 'worker', 'web', 'postgres'),
    'beat': ('child', 'child', 'web', 'worker', 'postgres'),
    'settle': ('worker', 'worker', 'web', 'web', 'postgres'),
}
COUNTERPARTS: Mapping[str, Sequence[str]] = {
    'upload': ('web', 'web', 'worker', 'postgres', 'redis', 's3'),
    'convert': ('child', 'child', 'worker', 'web', 'postgres', 's3'),
    'forecast': ('child', 'child', 'worker', 'web', 'redis', 's3'),
    'beat': ('child', 'web', 'worker', 'redis', 'redis', 'postgres'),
    'settle': ('worker', 'worker', 'web', 'web', 'postgres', 's3'),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """Whom to end, at which moment, and how many seconds into it."""

    victim: str
    moment: str
    delay: float


def plan(kills: int, *, seed: int, victims: Mapping[str, Sequence[str]]) -> list[Kill]:
    """Return the seeded kills; five in a row have each moment once, and no victim has more than 40 in 100."""
    rng = random.Random(seed)
    turns = {moment: [] for moment in MOMENTS}
    planned: list[Kill] = []
    while len(planned) < kills:
        for moment in rng.sample(MOMENTS, len(MOMENTS)):
            if not turns[moment]:
                turns[moment] = rng.sample(victims[moment], len(victims[moment]))
            victim, delay = turns[moment].pop(), 0.0 if moment == 'settle' else rng.uniform(0, 0.8)
            if sum(kill.victim == victim for kill in planned) < max(1, 0.4 * kills):
                planned.append(Kill(victim=victim, moment=moment, delay=delay))
    return planned[:kills]
