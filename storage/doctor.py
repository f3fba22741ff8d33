"""`variosync doctor`: which adapter stands behind each port, and whether it does its work, tried for real."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, runtime_checkable
from uuid import uuid4

from core.errors import Unavailable, VariosyncError
from core.ports import Compute, Events, Identity, Staging
from core.settings import Settings
from core.values import Diagnosis
from storage.adapters import Opened
from storage.mail import open_mailer

PATIENCE = 60.0  # seconds for one service: a function at Modal may start cold
HEARD = 5.0  # seconds until a message of ours has come back

Check = Callable[[], Awaitable[str]]


@runtime_checkable
class Checked(Protocol):
    """An adapter that can try itself."""

    async def check(self) -> str:
        """Return what is worth knowing. Raise what is wrong."""


async def doctor(settings: Settings) -> Mapping[str, Diagnosis]:
    """Try each service the settings name, whatever becomes of the others, and return what was found by its name.

    A database that has an address of its own is looked at and not changed. Raise Conflict, Misconfigured or
    Unavailable when the embedded one cannot run.
    """
    opened = Opened(settings, attach=True)
    if settings.database_url is None:
        await asyncio.to_thread(opened.start_database)
    opened.build()
    first, *others = _services(settings, opened).items()

    async def diagnosed(name: str, service: tuple[str, Check]) -> tuple[str, Diagnosis]:
        return name, await _diagnosed(*service)

    try:  # The database first: to look at it connects, which others need.
        return dict([await diagnosed(*first), *await asyncio.gather(*(diagnosed(*other) for other in others))])
    finally:
        await opened.close()
        await asyncio.to_thread(opened.stop)


def _services(settings: Settings, opened: Opened) -> Mapping[str, tuple[str, Check]]:
    """Each service: what stands for it, and what tries it and returns what is worth knowing."""
    ports = opened.ports
    supabase = f'Supabase at {settings.supabase_url}' if settings.supabase_url else ''
    carriers = {'postgres': 'Postgres LISTEN/NOTIFY', 'redis': 'Redis, else Postgres', 'realtime': 'Supabase Realtime'}
    carrier = ('redis' if settings.redis_url else 'postgres') if settings.events == 'auto' else settings.events
    bucket = f'bucket {settings.bucket} at {settings.bucket_endpoint or "AWS"}' if settings.bucket else ''
    modal = f'Modal, app {settings.modal_app}' if settings.modal_token_id else ''
    mail = 'by Supabase' if supabase else 'SMTP' if settings.smtp_url else 'outbox folder'
    return {
        'database': (opened.database_name, lambda: _database(opened)),
        'identity': (supabase or 'embedded', lambda: _identity(ports.identity)),
        'mail': (mail, lambda: _mail(settings)),
        'staging': (supabase or 'local files', lambda: _staging(ports.staging)),
        'objects': (bucket or 'local files', lambda: _objects(settings, opened)),
        'cache': ('Redis' if settings.redis_url else 'in process', lambda: _silent(ports.cache.ping())),
        'events': (carriers[carrier], lambda: _events(ports.events)),
        'compute': (modal or 'local child processes', lambda: _compute(ports.compute)),
    }


async def _diagnosed(adapter: str, check: Check) -> Diagnosis:
    try:
        async with asyncio.timeout(PATIENCE):
            return Diagnosis(adapter=adapter, ok=True, said=await check() or 'ok')
    except VariosyncError as error:
        return Diagnosis(adapter=adapter, ok=False, said=error.message)
    except TimeoutError:
        return Diagnosis(adapter=adapter, ok=False, said=f'It did not answer within {PATIENCE:.0f} s.')


async def _silent(check: Awaitable[None]) -> str:
    await check
    return ''


async def _database(opened: Opened) -> str:
    await opened.look()
    await opened.database.ping()
    await opened.database.examine()
    return ''


async def _identity(identity: Identity) -> str:
    if isinstance(identity, Checked):
        return await identity.check()
    for provider in identity.providers:
        await identity.begin(provider, redirect_to='https://localhost/auth/callback', state='doctor')
    return f'ok, with {", ".join(identity.providers)}' if identity.providers else ''


async def _mail(settings: Settings) -> str:
    if settings.supabase_url:
        return ''
    await open_mailer(settings).ping()
    return 'ok; read them by `variosync outbox`' if settings.smtp_url is None else ''


async def _staging(staging: Staging) -> str:
    if isinstance(staging, Checked):
        return await staging.check()
    upload = uuid4()
    await staging.create(upload)
    try:
        await staging.offset(upload)
    finally:
        await staging.discard(upload)
    return ''


async def _objects(settings: Settings, opened: Opened) -> str:
    if settings.bucket is None:
        return await _silent(opened.ports.objects.ping())
    from storage import bucket

    return '; '.join(['ok', *await bucket.check(settings)])


async def _events(events: Events) -> str:
    if isinstance(events, Checked):
        return await events.check()
    async with events.subscribe('doctor/ping') as messages:
        await events.publish('doctor/ping', {'ok': True})
        try:
            async with asyncio.timeout(HEARD):
                await anext(messages)
        except TimeoutError as error:
            raise Unavailable('A message that was sent has not come back.') from error
    return ''


async def _compute(compute: Compute) -> str:
    call = await compute.submit('ping', {})
    while await compute.collect(call, progress=lambda part, text: None, timeout=5) is None:
        pass
    return ''
