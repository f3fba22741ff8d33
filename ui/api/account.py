"""REST for one's account: API keys, sessions, settings, audit log, export and deletion. Not for API keys."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Annotated, Literal, get_args
from uuid import UUID

from fastapi import APIRouter
from pydantic import AfterValidator, Field, StringConstraints
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from core import values
from core.accounts import NUMBER_FORMATS, SCOPES, THEMES
from core.services import Services
from ui.api.contract import (
    CSV,
    PRIVATE,
    ZIP,
    Answer,
    Body,
    Limit,
    Password,
    Person,
    RowId,
    Stamp,
    clean,
    csv_log,
    disposition,
    files,
    problems,
    router,
    sender,
)
from ui.sockets import SocketGuard

Scope = Literal[
    'datasets:read',
    'datasets:write',
    'dashboards:read',
    'dashboards:write',
    'forecasts:read',
    'forecasts:write',
    'jobs:read',
    'jobs:write',
    'hours:read',
    'notices:read',
    'notices:write',
]
Theme = Literal['system', 'light', 'dark']
NumberFormat = Literal['1,234.5', '1.234,5', '1 234,5', '1234.5']
assert get_args(Scope) == tuple(SCOPES)
assert get_args(Theme) == tuple(THEMES)
assert get_args(NumberFormat) == tuple(NUMBER_FORMATS)

KeyName = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r'\S'), AfterValidator(clean)]
PAGE = 1000


class ApiKey(Answer):
    """A key for programs; `prefix` tells keys apart."""

    id: UUID
    name: str
    prefix: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


class ApiKeys(Answer):
    """API keys: those that are not revoked first, then the newest first."""

    items: list[ApiKey]


class NewApiKey(ApiKey):
    """A new key: `key` is told this once."""

    key: str


class KeyRequest(Body):
    """A key to be made, with what it may do."""

    name: KeyName
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=len(SCOPES))]
    expires_at: Stamp | None = None


class SignedIn(Answer):
    """A session; `current` is the one that asks."""

    id: UUID
    user_agent: str
    address: str
    created_at: datetime
    seen_at: datetime
    expires_at: datetime
    current: bool


class Sessions(Answer):
    """Live sessions, the one used last first."""

    items: list[SignedIn]


class Settings(Answer):
    """Who you are and how pages look."""

    email: str
    name: str
    theme: str
    time_zone: str
    number_format: str


class SettingsChange(Body):
    """What to change; what is left out stays."""

    name: Annotated[str, StringConstraints(max_length=200), AfterValidator(clean)] | None = None
    theme: Theme | None = None
    time_zone: Annotated[str, StringConstraints(min_length=1, max_length=60), AfterValidator(clean)] | None = None
    number_format: NumberFormat | None = None


class AuditEntry(Answer):
    """Who did what; `api_key` is the name of the key that acted, empty where none did."""

    id: int
    action: str
    subject: str
    address: str
    api_key: str
    at: datetime


class Audit(Answer):
    """Entries, the newest first; ask for the next page with `before`, null when this is the last."""

    items: list[AuditEntry]
    next: int | None


class NewPassword(Body):
    """A password to sign in with, of 10 characters at least."""

    password: Password


class Farewell(Body):
    """The account's email, typed again."""

    confirmation: Annotated[str, StringConstraints(max_length=320), AfterValidator(clean)]


def routes(services: Services, *, sockets: SocketGuard) -> APIRouter:
    """The routes of one's account."""
    api = router('account')
    accounts = services.accounts

    @api.get('/keys', summary='List API keys')
    async def list_keys(session: Person) -> ApiKeys:
        return ApiKeys(items=[ApiKey.model_validate(key) for key in await accounts.keys(session.user.id)])

    @api.post('/keys', status_code=201, summary='Make an API key', responses=problems(409, 413, 415))
    async def create_key(request: Request, session: Person, wanted: KeyRequest) -> NewApiKey:
        key, kept = await accounts.create_key(
            session.user.id,
            name=wanted.name,
            scopes=wanted.scopes,
            expires_at=wanted.expires_at,
            current_session=session.id,
            address=sender(request)['address'],
        )
        return NewApiKey(key=key, **ApiKey.model_validate(kept).model_dump())

    @api.delete('/keys/{key_id}', status_code=204, summary='Revoke an API key', responses=problems(404))
    async def revoke_key(request: Request, session: Person, key_id: UUID) -> None:
        await accounts.revoke_key(session.user.id, key_id, address=sender(request)['address'])

    @api.get('/sessions', summary='List sessions')
    async def list_sessions(session: Person) -> Sessions:
        found = await accounts.sessions(session.user.id, current=session.id)
        return Sessions(items=[SignedIn.model_validate(one) for one in found])

    @api.delete('/sessions/{session_id}', status_code=204, summary='End a session', responses=problems(404))
    async def revoke_session(request: Request, session: Person, session_id: UUID) -> None:
        ended = await accounts.revoke_session(session.user.id, session_id, address=sender(request)['address'])
        await sockets.end_session(ended)

    async def settings(user_id: UUID, email: str, name: str) -> Settings:
        chosen = await accounts.preferences(user_id)
        return Settings(
            email=email,
            name=name,
            theme=chosen.theme,
            time_zone=chosen.time_zone,
            number_format=chosen.number_format,
        )

    @api.get('/settings', summary='Who you are and how pages look')
    async def get_settings(session: Person) -> Settings:
        return await settings(session.user.id, session.user.email, session.user.name)

    @api.patch('/settings', summary='Change the settings', responses=problems(413, 415))
    async def change_settings(request: Request, session: Person, change: SettingsChange) -> Settings:
        user, address = session.user, sender(request)['address']
        await accounts.set_preferences(
            user.id,
            theme=change.theme,
            time_zone=change.time_zone,
            number_format=change.number_format,
            address=address,
        )
        if change.name is not None:
            await accounts.rename(user.id, change.name, address=address)
        return await settings(user.id, user.email, user.name if change.name is None else change.name.strip())

    @api.get('/audit', summary='The audit log')
    async def list_audit(session: Person, limit: Limit = 200, before: RowId = None) -> Audit:
        entries = await accounts.audit(session.user.id, limit=limit, before=before)
        after = entries[-1].id if len(entries) == limit else None
        return Audit(items=[AuditEntry.model_validate(entry) for entry in entries], next=after)

    @api.get('/audit.csv', summary='The whole audit log as CSV', response_class=Response, responses=files(CSV))
    async def export_audit(session: Person) -> Response:
        async def page(before: int | None) -> Sequence[values.AuditEntry]:
            return await accounts.audit(session.user.id, limit=PAGE, before=before)

        return await csv_log(('id', 'at', 'action', 'subject', 'address', 'api_key'), page, 'VARIOSYNC audit log.csv')

    @api.put(
        '/account/password',
        status_code=204,
        summary='Set a password, or another one',
        description='Every other session ends.',
        responses=problems(413, 415),
    )
    async def set_password(request: Request, session: Person, wanted: NewPassword) -> None:
        ended = await accounts.set_password(
            session.user.id,
            wanted.password,
            current_session=session.id,
            address=sender(request)['address'],
        )
        for session_id in ended:
            await sockets.end_session(session_id)

    @api.get(
        '/account/export',
        summary='Everything you have here, as a ZIP file',
        response_class=Response,
        responses=files(ZIP),
    )
    async def export_account(session: Person) -> Response:
        pieces = services.archive.stream(session.user.id)
        first = await anext(pieces)

        async def everything() -> AsyncIterator[bytes]:
            async with aclosing(pieces):
                yield first
                async for piece in pieces:
                    yield piece

        headers = PRIVATE | {'Content-Disposition': disposition('VARIOSYNC.zip')}
        return StreamingResponse(everything(), media_type=ZIP, headers=headers)

    @api.delete(
        '/account',
        status_code=204,
        summary='Delete the account for good',
        description='Jobs are cancelled, data and sign-in are removed. Nothing brings them back.',
        responses=problems(409, 413, 415),
    )
    async def delete_account(request: Request, session: Person, farewell: Farewell) -> None:
        ended = await accounts.delete(
            session.user.id, confirmation=farewell.confirmation, address=sender(request)['address']
        )
        for session_id in ended:
            await sockets.end_session(session_id)

    return api
