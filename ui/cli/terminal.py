"""What a terminal is shown while something takes its time."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def counted(number: int, noun: str) -> str:
    """A number with what it counts: `1 fault`, `1,204 faults`."""
    return f'{number:,} {noun}' if number == 1 else f'{number:,} {noun}s'


@contextmanager
def progress_line() -> Iterator[Callable[[float, str], None]]:
    """Show progress on a terminal; say nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda part, text: None
        return
    yield lambda part, text: print(f'\r\x1b[K{part:4.0%} {text}', end='', file=sys.stderr, flush=True)
    print('\r\x1b[K', end='', file=sys.stderr, flush=True)
