"""Progress tells rows a second and the time left."""

import pytest

from core.analysis.ingest.pace import Pace


@pytest.mark.parametrize(
    ('rows', 'spent', 'share', 'text'),
    [
        (None, 1, 0.5, 'Sorting'),
        (None, 10, 0.5, 'Sorting, 10 s left'),
        (None, 10, 0.01, 'Sorting'),
        (1_000_000, 10, 0.5, 'Sorting, 50,000 rows/s, 10 s left'),
        (16_712_345, 20, 0.25, 'Sorting, 210,000 rows/s, 1 min left'),
        (100, 10, 0.5, 'Sorting, 5 rows/s, 10 s left'),
        (10**9, 3600, 0.3, 'Sorting, 83,000 rows/s, 2 h 20 min left'),
        (10**9, 3600, 1.0, 'Sorting'),
    ],
)
def test_it_says_what_is_left(rows: int | None, spent: float, share: float, text: str) -> None:
    told: list[tuple[float, str]] = []
    times = iter([100.0, 100.0 + spent])
    pace = Pace(lambda *said: told.append(said), clock=lambda: next(times))
    pace.rows = rows
    pace(share, 'Sorting')
    assert told == [(share, text)]
