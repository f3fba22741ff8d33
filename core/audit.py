"""The audit log: who did what with an account, and when. Nothing changes an entry."""

from uuid import UUID

from core.ports import Transaction
from core.values import NOBODY, Actor


async def record(
    tx: Transaction, user_id: UUID, action: str, subject: str = '', *, about: UUID | None = None, by: Actor = NOBODY
) -> None:
    """Add an entry in the transaction of what it tells of; `about` is the dataset or the dashboard that it is about."""
    await tx.run(
        'audit_insert',
        user_id=user_id,
        action=action,
        subject=subject,
        address=by.address,
        about=about,
        key=by.key,
    )
