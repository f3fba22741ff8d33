"""REST for quotes: what a job would cost at most, before it is ordered."""

from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import Field

from core.services import Services
from ui.api.contract import Answer, Body, Name, QuotesRead, problems, router
from ui.api.forecasts import ForecastRequest


class ConvertQuote(Body):
    """A file that would be uploaded."""

    task: Literal['convert']
    bytes: Annotated[int, Field(ge=1, le=10**18 - 1)]
    name: Name = 'unnamed'


class ForecastQuote(ForecastRequest):
    """A forecast that would be asked for."""

    task: Literal['forecast']


class Quote(Answer):
    """What it costs at most, in seconds, how that was reckoned, and how many seconds are missing."""

    task: str
    seconds: int
    basis: str
    balance: int
    shortfall: int


Wanted = Annotated[ConvertQuote | ForecastQuote, Field(discriminator='task')]


def routes(services: Services) -> APIRouter:
    """The route of quotes."""
    api = router('hours')

    @api.post('/quotes', summary='What a job would cost at most', responses=problems(404, 413, 415))
    async def quote(session: QuotesRead, wanted: Wanted) -> Quote:
        user_id = session.user.id
        if isinstance(wanted, ConvertQuote):
            quoted = services.hours.quote_convert(wanted.bytes, wanted.name)
        else:
            version = await services.datasets.version(user_id, wanted.dataset_id, wanted.version)
            quoted = services.forecasts.quote(version, wanted.ask())
        balance = (await services.hours.balance(user_id)).seconds
        return Quote(
            task=quoted.task,
            seconds=quoted.seconds,
            basis=quoted.basis,
            balance=balance,
            shortfall=max(0, quoted.seconds - balance),
        )

    return api
