"""REST for hours: balance, grants, ledger, usage; heartbeat and pause of a session."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field, Strict
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from core import values
from core.services import Services
from ui.api.contract import (
    CSV,
    Answer,
    Body,
    HoursRead,
    Limit,
    Person,
    RowId,
    attachment,
    csv_log,
    csv_text,
    files,
    negotiate,
    problems,
    router,
)

JSON = 'application/json'
PAGE = 1000
COLUMNS = ('id', 'at', 'kind', 'label', 'seconds', 'balance', 'job_id', 'session_id')


class Balance(Answer):
    """Seconds that can be used now, seconds held for jobs, how viewing stands, and when the next hours lapse."""

    seconds: int
    reserved: int
    state: str
    expires_next: datetime | None


class Grant(Answer):
    """Seconds that were given, and what remains of them."""

    id: UUID
    source: str
    label: str
    seconds: int
    remaining: int
    expires_at: datetime | None
    created_at: datetime


class Grants(Answer):
    """Live grants in the order of their use."""

    items: list[Grant]


class LedgerEntry(Answer):
    """A line of the ledger; `seconds` is signed, `balance` is the sum up to here."""

    id: int
    kind: str
    label: str
    seconds: int
    balance: int
    at: datetime
    job_id: UUID | None
    session_id: UUID | None


class Ledger(Answer):
    """Entries, the newest first; ask for the next page with `before`, null when this is the last."""

    items: list[LedgerEntry]
    next: int | None


class UsageDay(Answer):
    """Seconds used on a day, by what used them."""

    day: date
    viewing: int
    convert: int
    forecast: int


class Usage(Answer):
    """Days in the user's time zone, the oldest first."""

    time_zone: str
    items: list[UsageDay]


class Heartbeat(Body):
    """A page is open, and its user was active `idle` seconds ago.

    With ids, pages are told apart: when the last one is `leaving`, the clock stands still until one is `opening`.
    """

    idle: Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)] = 0.0
    page: Annotated[UUID, Strict(False)] | None = None
    opening: bool = False
    leaving: bool = False


def routes(services: Services) -> APIRouter:
    """The routes of hours."""
    api = router('hours')

    @api.get('/hours', summary='The balance')
    async def get_balance(session: HoursRead) -> Balance:
        return Balance.model_validate(await services.hours.balance(session.user.id))

    @api.get('/hours/grants', summary='Live grants')
    async def list_grants(session: HoursRead) -> Grants:
        found = await services.hours.grants(session.user.id)
        return Grants(items=[Grant.model_validate(grant) for grant in found])

    @api.get(
        '/hours/ledger',
        summary='The ledger',
        description='As JSON or CSV by Accept. With `grouped`, a session of viewing is one entry.',
        response_class=Response,
        responses={
            200: {'description': 'Entries.', 'model': Ledger, 'content': files(CSV)[200]['content']},
            **problems(406),
        },
    )
    async def list_ledger(
        request: Request, session: HoursRead, limit: Limit = 200, before: RowId = None, grouped: bool = True
    ) -> Response:
        kind = negotiate(request.headers.get('accept', ''), (JSON, CSV))
        found = await services.hours.ledger(session.user.id, limit=limit + 1, before=before, grouped=grouped)
        entries = found[:limit]
        vary = {'Vary': 'Accept'}
        if kind == CSV:
            rows = ([getattr(entry, name) for name in COLUMNS] for entry in entries)
            return attachment(csv_text([COLUMNS, *rows]), f'{CSV}; charset=utf-8', 'VARIOSYNC ledger.csv', vary)
        after = entries[-1].id if len(found) > limit else None
        ledger = Ledger(items=[LedgerEntry.model_validate(entry) for entry in entries], next=after)
        return JSONResponse(ledger.model_dump(mode='json'), headers=vary)

    @api.get('/hours/ledger.csv', summary='The whole ledger as CSV', response_class=Response, responses=files(CSV))
    async def export_ledger(session: HoursRead) -> Response:
        async def page(before: int | None) -> Sequence[values.LedgerEntry]:
            return await services.hours.ledger(session.user.id, limit=PAGE, before=before, grouped=False)

        return await csv_log(COLUMNS, page, 'VARIOSYNC ledger.csv')

    @api.get('/hours/usage', summary='Usage by day')
    async def list_usage(
        session: HoursRead, days: Annotated[int, Query(ge=1, le=366, description='How many days.')] = 30
    ) -> Usage:
        zone = session.user.preferences.time_zone
        found = await services.hours.usage(session.user.id, days=days, time_zone=zone)
        return Usage(time_zone=zone, items=[UsageDay.model_validate(day) for day in found])

    @api.post('/hours/heartbeat', summary='A page is open', responses=problems(402, 413, 415))
    async def beat(session: Person, heartbeat: Heartbeat) -> Balance:
        return Balance.model_validate(await services.hours.beat(session.user.id, **heartbeat.model_dump()))

    @api.post('/hours/pause', summary='Pause viewing')
    async def pause(session: Person) -> Balance:
        return Balance.model_validate(await services.hours.pause(session.user.id))

    @api.post('/hours/resume', summary='Go on viewing', responses=problems(402))
    async def resume(session: Person) -> Balance:
        return Balance.model_validate(await services.hours.resume(session.user.id))

    return api
