"""What commands share that speak to a server: its address and a key, from options or settings."""

from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit

import typer

from core.errors import UsageError
from core.settings import Settings

SERVER = 'Address of the server, such as https://app.example.com; VARIOSYNC_SERVER when absent.'
INSECURE = 'Send the key, and what goes with it, unencrypted, by http, to another machine.'

ServerOption = Annotated[str | None, typer.Option(metavar='URL', help=SERVER)]
InsecureOption = Annotated[bool, typer.Option('--insecure', help=INSECURE)]
JsonOption = Annotated[bool, typer.Option('--json', help='Print one JSON object.')]


def key_help(*scopes: str) -> str:
    """What the help says of `--key`."""
    return f'API key with {", ".join(scopes)}; VARIOSYNC_API_KEY, which no list of processes shows, when absent.'


def access(settings: Settings, server: str | None, key: str | None, *, insecure: bool) -> tuple[str, str]:
    """Return the address and the key, from the options or the settings.

    Raise UsageError when the key would cross a network unencrypted, unless `insecure`.
    """
    address = (server or settings.server or '').rstrip('/')
    secret = key or (settings.api_key.get_secret_value() if settings.api_key else '')
    if not address.startswith(('http://', 'https://')):
        raise UsageError('Say which server: --server https://… or VARIOSYNC_SERVER.')
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
