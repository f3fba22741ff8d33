"""Clocks that the name of a time speaks of, such as CET."""

import re
from collections.abc import Sequence
from typing import Final

from core.analysis.ingest.types import Column

CLOCKS: Final = {
    'Europe/Berlin': ('CET', 'CEST', 'MEZ', 'MESZ'),
    'Europe/London': ('BST',),
    'Europe/Lisbon': ('WET', 'WEST'),
    'Europe/Helsinki': ('EET', 'EEST'),
    'America/New_York': ('EST', 'EDT'),
    'America/Chicago': ('CDT',),
    'America/Denver': ('MST', 'MDT'),
    'America/Los_Angeles': ('PST', 'PDT'),
    'Australia/Sydney': ('AEST', 'AEDT'),
}
"""A place for each clock that the name of a time may speak of."""


def named(columns: Sequence[Column], zone: str) -> list[str]:
    """Ask for the zone of times whose column names a clock, such as CET/CEST, where they are read in UTC."""
    time = next((column for column in columns if column.role == 'time'), None)
    if time is None or zone != 'UTC' or time.type != 'timestamp':
        return []
    words = re.findall('[A-Z]{3,4}', time.source)
    found = [(word, place) for place, clocks in CLOCKS.items() for word in words if word in clocks]
    return [
        f'The name of column "{time.source}" speaks of {word}, and its times are read in UTC. Name the zone of the '
        f'times, such as {place}, and each has its own instant.'
        for word, place in found[:1]
    ]
