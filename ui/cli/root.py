"""What the command line asks of whoever starts it."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Protocol

from core.settings import Settings
from core.values import Diagnosis, Mail

if TYPE_CHECKING:
    from core.services import Services


class Root(Protocol):
    """What the composition root lends the command."""

    def serve(self, settings: Settings) -> None:
        """Run the web server until it is stopped."""

    def services(self, settings: Settings, *, own: bool = True) -> AbstractAsyncContextManager['Services']:
        """The services, on the database of a running server or, with `own`, on one that is started for this."""

    async def migrate(self, settings: Settings) -> list[str]:
        """Apply migrations and return the names of those that were new."""

    async def doctor(self, settings: Settings) -> Mapping[str, Diagnosis]:
        """Try each service for real and return what was found by its name."""

    def bucket_init(self, settings: Settings) -> Sequence[str]:
        """Make the bucket that the settings name and set it up; return a line for each thing that was done."""

    def outbox(self, settings: Settings) -> Sequence[Mail]:
        """The mails that wait in the outbox, the newest first."""

    def run_local(
        self,
        function: str,
        arguments: Mapping[str, Any],
        *,
        memory: int,
        timeout: float,
        progress: Callable[[float, str], None],
    ) -> dict[str, Any]:
        """Run `module:function` in a watched child process."""
