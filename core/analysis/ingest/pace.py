"""Pace: progress that also tells rows a second and the time left, once there is enough to reckon it from."""

import time
from collections.abc import Callable
from typing import Final

QUIET: Final = 2.0  # seconds before which nothing is reckoned
FEWEST: Final = 0.02  # share of the work


class Pace:
    """Passes progress on to `tell`. With `rows` known, it says how many go through all steps in a second so far."""

    def __init__(self, tell: Callable[[float, str], None], *, clock: Callable[[], float] = time.monotonic) -> None:
        self.rows: int | None = None
        self._tell = tell
        self._clock = clock
        self._began = clock()

    def __call__(self, share: float, text: str) -> None:
        """Tell that this share of the work, in 0…1, is done, and what is done now."""
        spent = self._clock() - self._began
        if spent < QUIET or not FEWEST <= share < 1:
            self._tell(share, text)
            return
        said = [text]
        if self.rows:
            said.append(f'{_rounded(self.rows * share / spent)} rows/s')
        said.append(f'{_duration(spent * (1 - share) / share)} left')
        self._tell(share, ', '.join(said))


def _rounded(rate: float) -> str:
    """Two digits that count: nobody reads more while they change."""
    size = 10 ** max(0, len(str(int(rate))) - 2)
    return f'{int(rate / size + 0.5) * size:,}'


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f'{max(1, round(seconds))} s'
    minutes = round(seconds / 60)
    return f'{minutes} min' if minutes < 60 else f'{minutes // 60} h {minutes % 60:02} min'
