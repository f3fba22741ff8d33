"""`variosync upload`: files to a server, on from where they stopped, until they are rows of a dataset."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from core.errors import NotSignedIn, Unavailable, UsageError, VariosyncError
from core.settings import Settings
from ui.cli.terminal import progress_line

if TYPE_CHECKING:
    from ui.cli.client import Client

READS, WAITS = ('datasets:read', 'datasets:write'), ('jobs:read',)
FILES = typer.Argument(metavar='FILE...', help='The files to send, one after the other.')
SERVER = 'Address of the server, such as https://app.example.com; VARIOSYNC_SERVER when absent.'
KEY = f'API key with {", ".join((*READS, *WAITS))}; VARIOSYNC_API_KEY, which no list of processes shows, when absent.'
INSECURE = 'Send the key and the files unencrypted, by http, to another machine.'


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
        server: Annotated[str | None, typer.Option(metavar='URL', help=SERVER)] = None,
        key: Annotated[str | None, typer.Option(metavar='KEY', help=KEY)] = None,
        insecure: Annotated[bool, typer.Option('--insecure', help=INSECURE)] = False,
        wait: Annotated[bool, typer.Option('--wait/--no-wait', help='Wait until they are converted.')] = True,
        as_json: Annotated[bool, typer.Option('--json', help='Print one JSON object.')] = False,
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
        at, secret = _access(settings, server, key, insecure=insecure)
        with Client(at, secret, unfinished=settings.home_path / 'uploads.json') as client:
            client.check((*READS, *(WAITS if wait else ())))
            joined = client.dataset(dataset) if dataset else None
            done = [_line(one, as_json=as_json) for one in _all(client, files, joined, how=how, wait=wait)]
        if as_json:
            print(json.dumps({'files': done}, ensure_ascii=False))
        if len(done) < len(files) or any('error' in one for one in done):
            raise typer.Exit(1)


def _access(settings: Settings, server: str | None, key: str | None, *, insecure: bool) -> tuple[str, str]:
    """The address and the key, from the options or the settings.

    Raise UsageError when the key would cross a network unencrypted, unless `insecure`.
    """
    address = (server or settings.server or '').rstrip('/')
    secret = key or (settings.api_key.get_secret_value() if settings.api_key else '')
    if not address.startswith(('http://', 'https://')):
        raise UsageError('Say where to send to: --server https://… or VARIOSYNC_SERVER.')
    if address.startswith('http://') and not insecure and not _is_here(address):
        raise UsageError(
            f'{address} is not encrypted: all on the way could read the key. Give an https:// address, or --insecure '
            'if you trust the network.'
        )
    if not secret.isascii() or not secret.isprintable() or not secret:
        raise UsageError('Say with which key: --key or VARIOSYNC_API_KEY. Make one under Settings there.')
    return address, secret


def _is_here(address: str) -> bool:
    """Whether an address is one of this machine itself, which no other machine can listen to."""
    try:
        host = urlsplit(address).hostname or ''
        return host == 'localhost' or ip_address(host).is_loopback
    except ValueError:
        return False


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
    if 'error' in found:
        print(f'variosync: {found["file"]}: {" ".join(found["error"].split())}', file=sys.stderr)
    elif not as_json:
        print('\n'.join([*(f'warning: {text}' for text in found.get('warnings', ())), _said(found)]))
    return found


def _said(found: Mapping[str, Any]) -> str:
    if found['state'] == 'converted':
        figures = f'version {found["version"]}, {found["rows"]:,} rows, {found["faults"]:,} faults'
        return f'{found["file"]}: {found["name"]}, {figures}, {found["url"]}'
    told = {'sent': 'has arrived and is being converted', 'unchanged': 'is there already; nothing has changed'}
    return f'{found["file"]}: {told[found["state"]]}, {found["url"]}'
