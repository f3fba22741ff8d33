"""`variosync hours`: what accounts have, and what they are given."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID, uuid4

import typer

from core.errors import NotFound, UsageError
from core.settings import Settings
from ui.cli.root import Root

if TYPE_CHECKING:
    from core.services import Services

EmailArgument = Annotated[str, typer.Argument(metavar='EMAIL', help='The account.')]


def hours_commands(root: Root) -> typer.Typer:
    app = typer.Typer(help='Give hours to accounts and show them.', no_args_is_help=True)

    async def with_account(email: str, use: 'Callable[[Services, UUID], Awaitable[Any]]') -> Any:
        async with root.services(Settings()) as services:
            try:
                user_id = await services.hours.account(email)
            except NotFound as error:
                raise NotFound(f'There is no account {email}.') from error
            return await use(services, user_id)

    @app.command()
    def grant(
        email: EmailArgument,
        hours: Annotated[float, typer.Argument(min=0.001, max=100_000, help='Hours to give.')],
        expires: Annotated[
            datetime | None, typer.Option(formats=['%Y-%m-%d'], help='First day on which they are void, in UTC.')
        ] = None,
        label: Annotated[str, typer.Option(help='What the ledger calls them.')] = 'Granted hours',
    ) -> None:
        """Give an account hours."""
        until = expires and expires.replace(tzinfo=UTC)
        if until is not None and until <= datetime.now(UTC):
            raise UsageError(f'{expires:%Y-%m-%d} has passed. Choose a later day.')

        async def give(services: 'Services', user_id: UUID) -> int:
            await services.hours.grant(
                user_id, round(hours * 3600), source='gift', label=label, key=f'gift:{uuid4()}', expires_at=until
            )
            return (await services.hours.balance(user_id)).seconds

        seconds = asyncio.run(with_account(email, give))
        print(f'{email} was given {hours:g} h and has {seconds / 3600:.2f} h now')

    @app.command()
    def show(
        email: EmailArgument, as_json: Annotated[bool, typer.Option('--json', help='Print JSON.')] = False
    ) -> None:
        """Show what an account has and used last."""

        async def ask(services: 'Services', user_id: UUID) -> dict[str, Any]:
            hours = services.hours
            balance = await hours.balance(user_id)
            return {
                'email': email,
                'seconds': balance.seconds,
                'reserved': balance.reserved,
                'state': balance.state,
                'grants': [
                    {'label': one.label, 'seconds': one.seconds, 'remaining': one.remaining, 'expires': one.expires_at}
                    for one in await hours.grants(user_id)
                ],
                'ledger': [
                    {'at': one.at, 'kind': one.kind, 'label': one.label, 'seconds': one.seconds, 'balance': one.balance}
                    for one in await hours.ledger(user_id, limit=20)
                ],
            }

        found = asyncio.run(with_account(email, ask))
        print(json.dumps(found, default=str, ensure_ascii=False) if as_json else _hours_report(found))

    return app


def _hours_report(found: Mapping[str, Any]) -> str:
    lines = [
        f'{found["email"]}: {found["seconds"] / 3600:.2f} h, {found["reserved"]} s held for jobs, {found["state"]}'
    ]
    for one in found['grants']:
        until = f', void from {one["expires"]:%Y-%m-%d %H:%M} UTC' if one['expires'] else ''
        lines.append(f'  {one["label"]}: {one["remaining"] / 3600:.2f} of {one["seconds"] / 3600:.2f} h left{until}')
    for one in found['ledger']:
        lines.append(f'  {one["at"]:%Y-%m-%d %H:%M:%S} {one["kind"]:<8} {one["seconds"]:>+9} s  {one["label"]}')
    return '\n'.join(lines)
