"""Verbs that look after a server: run it, its worker, its database and its bucket."""

import asyncio
import json
import signal
import socket
import sys
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import asdict
from typing import Annotated

import typer

from core.errors import Misconfigured
from core.settings import Settings
from core.values import Mail
from ui.cli.root import Root
from ui.origins import address


def server_commands(app: typer.Typer, root: Root) -> None:
    @app.command()
    def serve() -> None:
        """Run the web server. It brings its own database, store and workers, unless a setting names others."""
        settings = Settings()
        check_port(settings)
        if said := first_words(settings):
            print(said, file=sys.stderr, flush=True)
        root.serve(settings)

    @app.command()
    def worker() -> None:
        """Work on jobs in a process of its own."""
        _until_stopped(_work(root, Settings()))

    @app.command()
    def link() -> None:
        """Print a link that signs the owner in, once."""
        print(asyncio.run(_owner_link(root, Settings())))

    @app.command()
    def outbox(
        as_json: Annotated[bool, typer.Option('--json', help='Print JSON.')] = False,
        last: Annotated[bool, typer.Option('--last', help='The newest mail only.')] = False,
    ) -> None:
        """Print the mails that wait here, the newest first. They do while no mail server is set."""
        mails = root.outbox(Settings())[: 1 if last else None]
        if as_json:
            print(json.dumps([asdict(mail) for mail in mails], default=str, ensure_ascii=False))
        else:
            print('\n\n'.join(map(_mail_report, mails)) or 'the outbox is empty')

    @app.command()
    def migrate() -> None:
        """Apply the migrations that the database lacks."""
        applied = asyncio.run(root.migrate(Settings()))
        print('\n'.join(f'applied {name}' for name in applied) or 'nothing to apply')

    @app.command()
    def doctor(as_json: Annotated[bool, typer.Option('--json', help='Print JSON.')] = False) -> None:
        """Try each service for real. Tells which adapters are in force and what each answered."""
        settings = Settings()
        if said := first_words(settings):
            print(said, file=sys.stderr, flush=True)
        answers = asyncio.run(root.doctor(settings))
        if as_json:
            print(json.dumps({name: asdict(found) for name, found in answers.items()}))
        else:
            print(f'Home {settings.home_path}')
            width = max(len(found.adapter) for found in answers.values())
            for name, found in answers.items():
                print(f'{"✓" if found.ok else "✗"} {name:<10} {found.adapter:<{width}}  {found.said}')
        if not all(found.ok for found in answers.values()):
            raise typer.Exit(1)


def _mail_report(mail: Mail) -> str:
    return f'{mail.at:%Y-%m-%d %H:%M:%S} UTC to {mail.to}: {mail.subject}\n\n{mail.text.rstrip()}'


async def _work(root: Root, settings: Settings) -> None:
    async with root.services(settings, own=False) as services:
        await services.work(concurrency=max(1, settings.workers))


async def _owner_link(root: Root, settings: Settings) -> str:
    async with root.services(settings) as services:
        token = await services.accounts.owner_link(settings.owner_email)
    return f'{address(settings)}/auth/link?token={token}'


def bucket_commands(root: Root) -> typer.Typer:
    app = typer.Typer(help='Look after the bucket that holds the objects.', no_args_is_help=True)

    @app.command()
    def init() -> None:
        """Make the bucket and set it up: private, with versions, unfinished uploads removed. Safe to do again."""
        print('\n'.join(root.bucket_init(Settings())))

    return app


def check_port(settings: Settings) -> None:
    """Raise Misconfigured when the address cannot be listened on."""
    with socket.socket(socket.AF_INET6 if ':' in settings.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise Misconfigured(
                f'Port {settings.port} on {settings.host} cannot be used ({error.strerror}). '
                'Stop what uses it, or set VARIOSYNC_PORT to another.'
            ) from error


def first_words(settings: Settings) -> str:
    """What happens in the seconds before a new installation on this machine is ready; nothing for others."""
    home = settings.home_path
    if settings.database_url or (home.is_dir() and any(home.iterdir())):
        return ''
    return f'First start: your data will be kept in {home}, where a database is being made. A few seconds.'


def _until_stopped(work: Awaitable[None]) -> None:
    """Run until Ctrl-C or SIGTERM; either lets the work give back what it holds."""

    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        with suppress(asyncio.CancelledError):
            await work

    asyncio.run(main())
