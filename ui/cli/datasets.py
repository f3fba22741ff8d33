"""`variosync datasets`: what a server holds, by the names or ids that people know; delete it, and bring it back."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from core.errors import UsageError
from core.settings import Settings
from ui.cli.remote import InsecureOption, JsonOption, ServerOption, access, key_help
from ui.cli.terminal import counted

if TYPE_CHECKING:
    from ui.cli.client import Client

READS, WRITES = ('datasets:read',), ('datasets:read', 'datasets:write')
Named = Annotated[str, typer.Argument(metavar='NAME|ID', help='The dataset.')]
ReadKey = Annotated[str | None, typer.Option('--key', metavar='KEY', help=key_help(*READS))]
WriteKey = Annotated[str | None, typer.Option('--key', metavar='KEY', help=key_help(*WRITES))]


def datasets_commands() -> typer.Typer:
    """The commands of `datasets`."""
    app = typer.Typer(help='List, show, delete and restore datasets of a server.', no_args_is_help=True)

    @app.command('list')
    def listed(
        search: Annotated[str, typer.Option(help='Only those that have this in their name or their file’s.')] = '',
        deleted: Annotated[bool, typer.Option('--deleted', help='Those that can be brought back instead.')] = False,
        server: ServerOption = None,
        key: ReadKey = None,
        insecure: InsecureOption = False,
        as_json: JsonOption = False,
    ) -> None:
        """List datasets, the latest change first."""
        if search and deleted:
            raise UsageError('--search looks among datasets that are not deleted. Leave out one of the two.')
        with _client(server, key, READS, insecure=insecure) as client:
            found = client.deleted() if deleted else client.datasets(search)
        if as_json:
            print(json.dumps({'items': found, 'total': len(found)}, ensure_ascii=False))
        elif found:
            print('\n'.join(f'{one["id"]}  {one["name"]}: {_gone(one) if deleted else _facts(one)}' for one in found))
        else:
            print(_nothing(search, deleted=deleted))

    @app.command()
    def show(
        dataset: Named,
        server: ServerOption = None,
        key: ReadKey = None,
        insecure: InsecureOption = False,
        as_json: JsonOption = False,
    ) -> None:
        """Show a dataset and the version in use."""
        with _client(server, key, READS, insecure=insecure) as client:
            found = client.told(client.dataset(dataset))
            found |= {'url': f'{client.server}/datasets/{found["id"]}'}
        print(json.dumps(found, ensure_ascii=False) if as_json else '\n'.join(_report(found)))

    @app.command()
    def delete(
        dataset: Named,
        server: ServerOption = None,
        key: WriteKey = None,
        insecure: InsecureOption = False,
        as_json: JsonOption = False,
    ) -> None:
        """Delete a dataset. It can be brought back for 30 days; then it is removed for good, with its forecasts."""
        with _client(server, key, WRITES, insecure=insecure) as client:
            gone = client.delete(client.dataset(dataset))
        until = f'{_moment(gone["until"]):%Y-%m-%d}'
        said = f'{gone["name"]} was deleted. Until {until} it comes back by: variosync datasets restore {gone["id"]}'
        print(json.dumps(gone, ensure_ascii=False) if as_json else said)

    @app.command()
    def restore(
        dataset: Named,
        server: ServerOption = None,
        key: WriteKey = None,
        insecure: InsecureOption = False,
        as_json: JsonOption = False,
    ) -> None:
        """Bring a deleted dataset back."""
        with _client(server, key, WRITES, insecure=insecure) as client:
            back = client.restore(client.dataset(dataset, deleted=True))
            url = f'{client.server}/datasets/{back["id"]}'
        print(json.dumps(back | {'url': url}, ensure_ascii=False) if as_json else f'{back["name"]} is back: {url}')

    return app


def _client(server: str | None, key: str | None, scopes: Sequence[str], *, insecure: bool) -> 'Client':
    from ui.cli.client import Client

    settings = Settings()
    at, secret = access(settings, server, key, insecure=insecure)
    client = Client(at, secret, unfinished=settings.home_path / 'uploads.json')
    client.check(scopes)
    return client


def _facts(one: Mapping[str, Any]) -> str:
    if one['version'] is None:
        return 'no version yet'
    return f'version {one["version"]}, {counted(one["rows"], "row")}, {counted(one["faults"], "fault")}'


def _gone(one: Mapping[str, Any]) -> str:
    return f'deleted {_moment(one["deleted_at"]):%Y-%m-%d}, kept until {_moment(one["until"]):%Y-%m-%d}'


def _nothing(search: str, *, deleted: bool) -> str:
    if deleted:
        return 'Nothing is deleted.'
    return f'No dataset has "{search}" in its name or its file’s.' if search else 'There are no datasets yet.'


def _report(found: Mapping[str, Any]) -> list[str]:
    lines = [f'{found["name"]}: {_facts(found)}', f'  id       {found["id"]}', f'  file     {found["source_name"]}']
    if found['version'] is not None:
        measures = ', '.join(found['measures'])
        lines += [f'  series   {found["series"]:,}', f'  measures {measures}']
        lines += [f'  warning  {text}' for text in found['warnings']]
    return [*lines, f'  page     {found["url"]}']


def _moment(stamp: str) -> datetime:
    return datetime.fromisoformat(stamp)
