"""What the command line asks of storage, each by itself."""

from collections.abc import Mapping, Sequence
from typing import Any

from core.settings import Settings
from core.values import Diagnosis, Mail


class Verbs:
    """Each loads what it takes as it is called: help and errors wait for no library, and no verb for another's."""

    @staticmethod
    def run_local(function: str, arguments: Mapping[str, Any], **limits: Any) -> dict[str, Any]:
        """Run `module:function` in a watched child process (`storage.embedded.compute.run_local`)."""
        from storage.embedded.compute import run_local

        return run_local(function, arguments, **limits)

    @staticmethod
    def outbox(settings: Settings) -> Sequence[Mail]:
        """Return the mails that wait in the outbox, the newest first."""
        from storage.mail import read_outbox

        return read_outbox(settings)

    @staticmethod
    def bucket_init(settings: Settings) -> Sequence[str]:
        """Make the bucket that the settings name and set it up; return a line for each thing that was done."""
        from storage.bucket import init

        return init(settings)

    @staticmethod
    async def migrate(settings: Settings) -> list[str]:
        """Apply the migrations that the database lacks and return their names."""
        from storage.adapters import migrate

        return await migrate(settings)

    @staticmethod
    async def doctor(settings: Settings) -> Mapping[str, Diagnosis]:
        """Try each service for real and return what was found by its name."""
        from storage.doctor import doctor

        return await doctor(settings)
