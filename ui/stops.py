"""One stop, however many signals ask for it."""

import asyncio
import signal
from collections.abc import Callable
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
INTERRUPTED = 130


class Stops:
    """What SIGINT and SIGTERM do from now on: the first ends a start that is under way, and none breaks off a stop.

    While the server runs, its event loop listens instead.
    """

    def __init__(self) -> None:
        self.asked = False
        self._hold()

    def listen(self, interrupt: Callable[[], None], terminate: Callable[[], None]) -> None:
        """Call these, once for each signal, in the event loop that runs."""
        for number, call in zip(SIGNALS, (interrupt, terminate), strict=True):
            asyncio.get_running_loop().add_signal_handler(number, call)

    def close(self) -> None:
        """Take the signals back from the event loop before it ends; what is left of the stop is short."""
        self.asked = True
        for number in SIGNALS:
            asyncio.get_running_loop().remove_signal_handler(number)
        self._hold()

    def _hold(self) -> None:
        for number in SIGNALS:
            signal.signal(number, self._end)

    def _end(self, number: int, frame: FrameType | None) -> None:
        if not self.asked:
            self.asked = True
            raise SystemExit(INTERRUPTED if number == signal.SIGINT else 0)
