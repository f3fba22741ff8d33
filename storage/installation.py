"""Remembers in the database where its objects and uploads lie, so that no process looks for them elsewhere."""

import os
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

from core.errors import Misconfigured
from core.ports import Database
from core.settings import Settings

SETTING = {'objects': 'AWS_BUCKET_NAME', 'staging': 'SUPABASE_URL'}
NAMES = {'objects': 'objects', 'staging': 'uploads on their way'}


def places(settings: Settings) -> dict[str, str]:
    """Return where these settings put objects and uploads on their way; a folder is told by an id kept in its home."""
    bucket, project = settings.bucket, settings.supabase_url
    return {
        'objects': f's3:{_plain(settings.bucket_endpoint or "aws")}/{bucket}' if bucket else _home(settings.home_path),
        'staging': f'supabase:{_plain(project)}/{settings.supabase_bucket}' if project else _home(settings.home_path),
    }


async def claim(database: Database, places: Mapping[str, str]) -> None:
    """Have these places remembered. Raise Misconfigured when others are: then what the rows name is not here."""
    async with database.system() as tx:
        for what, place in places.items():
            await tx.run('place_claim', what=what, place=place)
    await compare(database, places)


async def compare(database: Database, places: Mapping[str, str]) -> None:
    """Raise Misconfigured when other places are remembered than these; nothing is changed."""
    async with database.system() as tx:
        known = {row['what']: (row['place'], row['since']) for row in await tx.all('places')}
    for what, (there, since) in known.items():
        place = places[what]
        if there != place:
            raise Misconfigured(
                f'The {NAMES[what]} of this database lie at {there} since {since:%Y-%m-%d}, not at {place}: '
                f'set {SETTING[what]} alike for every process, or start with the home that holds them. '
                'If they were moved on purpose, run `delete from installation.places` as the owner of the database.'
            )


def _plain(address: str) -> str:
    return address.lower().rstrip('/')


def _home(home: Path) -> str:
    """Return the id of a home, made when it has none; two processes that make one at once get the same."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    file, draft = home / 'id', home / f'id.{uuid4().hex}'
    if not file.exists():
        draft.write_text(uuid4().hex)
        try:
            os.link(draft, file)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return f'home:{file.read_text()}'
