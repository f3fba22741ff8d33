"""What the tests of every Staging share."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import httpx

from core.ports import Staging
from storage.cloud.staging import SupabaseStaging
from tests.fakes.supabase import FakeSupabase

LIMIT = 10_000_000
SOON = 30.0  # seconds that a busy machine may take


async def begun(staging: Staging, data: bytes = b'') -> UUID:
    """Begin an upload and append its first bytes."""
    upload = uuid4()
    await staging.create(upload)
    if data:
        await staging.append(upload, 0, pieces(data), limit=LIMIT)
    return upload


async def pieces(*given: bytes, error: BaseException | None = None) -> AsyncIterator[bytes]:
    """Yield pieces, then break off if there is an error."""
    for piece in given:
        yield piece
    if error is not None:
        raise error


def supabase_staging(supabase: FakeSupabase, http: httpx.AsyncClient, **changed: Any) -> SupabaseStaging:
    """A staging in the bucket of a fake project."""
    given = {
        'url': supabase.url,
        'secret': supabase.project.secret,
        'publishable': supabase.project.publishable,
        'bucket': 'uploads',
        'http': http,
    }
    return SupabaseStaging(**given | changed)
