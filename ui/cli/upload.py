"""`variosync upload`: files to a server, on from where they stopped, until they are rows of a dataset."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from core.errors import NotSignedIn, Unavailable, UsageError, VariosyncError
from core.settings import Settings
from ui.cli.remote import InsecureOption, JsonOption, ServerOption, access, key_help
from ui.cli.terminal import counted, progress_line

if TYPE_CHECKING:
    from ui.cli.client import Client

READS, WAITS = ('datasets:read', 'datasets:write'), ('jobs:read',)
FILES = typer.Argument(metavar='FILE...', help='The files to send, one after the other.')
KEY = key_help(*READS, *WAITS)
NEW = 'Without --dataset a new one is made.'


def upload_command(app: typer.Typer) -> None:
    """Add `upload` to the command line."""

    @app.command()
    def upload(
        files: Annotated[list[Path], FILES],
        dataset: Annotated[
            str | None, typer.Option(metavar='NAME|ID', help='Dataset that they join; a new one for each when absent.')
        ] = None,
        how: Annotated[
            str, typer.Option(help='How they join it: append (their rows win) or replace (all others go).')
        ] = 'append',
        server: ServerOption = None,
        key: Annotated[str | None, typer.Option(metavar='KEY', help=KEY)] = None,
        insecure: InsecureOption = False,
        wait: Annotated[bool, typer.Option('--wait/--no-wait', help='Wait until they are converted.')] = True,
        as_json: JsonOption = False,
    ) -> None:
        """Send files to a server. A broken connection is mended, and what was stopped goes on when asked for again.

        Exit status: 0 when all are rows of a dataset (or have arrived, with --no-wait), 1 when some are not, 2 when
        nothing was sent.
        """
        from ui.cli.client import Client

        for file in files:
            if not file.is_file():
                raise UsageError(f'There is no file {file}. Check the path.')
        if how not in ('append', 'replace'):
            raise UsageError(f'--how takes append or replace, not "{how}".')
        settings = Settings()
        at, secret = access(settings, server, key, insecure=insecure)
        with Client(at, secret, unfinished=settings.home_path / 'uploads.json') as client:
            client.check((*READS, *(WAITS if wait else ())))
            joined = client.dataset(dataset, otherwise=NEW) if dataset else None
            done = [_line(one, as_json=as_json) for one in _all(client, files, joined, how=how, wait=wait)]
        if as_json:
            print(json.dumps({'files': done}, ensure_ascii=False))
        if len(done) < len(files) or any('error' in one for one in done):
            raise typer.Exit(1)


def _all(
    client: 'Client', files: Sequence[Path], dataset: str | None, *, how: str, wait: bool
) -> Iterator[dict[str, Any]]:
    """Send one file after the other and tell what became of each; end where no other would fare better."""
    for file in files:
        try:
            yield {'file': str(file)} | _sent(client, file, dataset, how=how, wait=wait)
        except VariosyncError as error:
            yield {'file': str(file), 'state': 'refused', 'error': error.message}
            if isinstance(error, Unavailable | NotSignedIn):
                return


def _sent(client: 'Client', file: Path, dataset: str | None, *, how: str, wait: bool) -> dict[str, Any]:
    with progress_line() as progress:
        with _stopping(f'stopped while {file} was sent; the same command goes on from there'):
            arrived = client.send(file, dataset=dataset, how=how, progress=progress)
        at = {'dataset': arrived.dataset, 'url': f'{client.server}/datasets/{arrived.dataset}'}
        if arrived.twin:
            at['same_as'] = f'{client.server}/datasets/{arrived.twin}'
        if arrived.unchanged or not wait:
            return at | {'state': 'unchanged' if arrived.unchanged else 'sent'}
        with _stopping(f'stopped; {file} has arrived and is converted at {at["url"]}'):
            job = client.converted(arrived.dataset, progress=progress)
    if job['state'] == 'succeeded':
        return at | {'state': 'converted', **client.shown(arrived.dataset)}
    why = (job['error'] or {}).get('message', f'Its conversion was {job["state"]}.')
    return at | {'state': job['state'], 'error': f'{why} The file is kept: say how to read it at {at["url"]}'}


@contextmanager
def _stopping(said: str) -> Iterator[None]:
    """Tell what a Ctrl-C leaves behind."""
    try:
        yield
    except KeyboardInterrupt:
        print(f'\nvariosync: {said}', file=sys.stderr)
        raise


def _line(found: dict[str, Any], *, as_json: bool) -> dict[str, Any]:
    """Print what became of a file: what went wrong always, the rest unless it is asked for as JSON."""
    twin = [f'note: {found["file"]}: these bytes are already in {found["same_as"]}'] if 'same_as' in found else []
    if 'error' in found:
        print('\n'.join([*twin, f'variosync: {found["file"]}: {" ".join(found["error"].split())}']), file=sys.stderr)
    elif not as_json:
        print('\n'.join([*(f'warning: {text}' for text in found.get('warnings', ())), *twin, _said(found)]))
    return found


def _said(found: Mapping[str, Any]) -> str:
    if found['state'] == 'converted':
        rows, faults = counted(found['rows'], 'row'), counted(found['faults'], 'fault')
        figures = f'version {found["version"]}, {rows}, {faults}'
        return f'{found["file"]}: {found["name"]}, {figures}, {found["url"]}'
    told = {'sent': 'has arrived and is being converted', 'unchanged': 'is there already; nothing has changed'}
    return f'{found["file"]}: {told[found["state"]]}, {found["url"]}'
