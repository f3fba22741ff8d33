"""Which addresses are ours: the allow-list behind every form, socket and mutating request."""

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from core.errors import NotAllowed
from core.settings import Settings

LOOPBACK = frozenset({'localhost', '127.0.0.1', '::1'})
WILDCARD = frozenset({'', '0.0.0.0', '::'})  # noqa: S104


def address(settings: Settings) -> str:
    """The address users see, without a path."""
    return (settings.public_url or f'http://{reachable(settings.host)}:{settings.port}').rstrip('/')


def reachable(host: str) -> str:
    """Under what name something that listens on `host` can be asked from this machine."""
    return {'0.0.0.0': '127.0.0.1', '::': '[::1]'}.get(host, host)  # noqa: S104 - compared, not bound


class Origins:
    """The public address, and the names under which this machine is asked directly.

    Behind a direct name the Origin must repeat the Host to the letter, port included: another program on the same
    machine is a stranger. A name that is not ours is refused, so a domain that was pointed at us finds nothing.
    """

    def __init__(self, settings: Settings) -> None:
        public = urlsplit(settings.public_url or '')
        self.https = public.scheme == 'https'
        self._public_origin = f'{public.scheme}://{public.netloc}'.lower() if public.netloc else None
        self._public_host = public.netloc.lower()
        self._port = settings.port
        self._any_address = settings.host in WILDCARD
        self._names = {settings.host.lower()} if settings.host not in WILDCARD else set()
        if self._any_address or settings.host in LOOPBACK:
            self._names |= LOOPBACK

    def knows(self, host: str) -> bool:
        """Whether a Host header names us."""
        if host.lower() == self._public_host and host:
            return True
        name = _name(host)
        return name in self._names or (self._any_address and _is_address(name))

    def home(self, host: str) -> str:
        """The address that somebody who asked by this Host header is called back at, by a provider or a mailed link.

        A Host header is written by whoever asks: only one that can lead nowhere else is repeated. Else NotAllowed.
        """
        if self._public_origin is not None:
            return self._public_origin
        if _name(host) in self._names and _port(host) == self._port:
            return f'http://{host.lower()}'
        raise NotAllowed('To sign in this way, set VARIOSYNC_PUBLIC_URL to the address users see.')

    def allows(self, origin: str, host: str) -> bool:
        """Whether an Origin header is ours, given the Host header of the same request."""
        origin = origin.lower()
        if self._public_origin is not None and origin == self._public_origin:
            return True
        # What is served by TLS is only ever asked for by its public name.
        return not self.https and origin == f'http://{host.lower()}' and self.knows(host)

    def accepts(self, headers: Mapping[str, str], *, cookie: bool) -> bool:
        """Whether a request that changes something comes from a page of ours.

        Browsers name the Origin of every such request. Without one, and without Sec-Fetch-Site, it comes from a
        program, which must not ride on a session cookie.
        """
        site, origin, host = headers.get('sec-fetch-site'), headers.get('origin'), headers.get('host', '')
        if site is not None and site not in ('same-origin', 'none'):
            return False
        if origin is not None:
            return self.allows(origin, host)
        return site is not None or not cookie


def _name(host: str) -> str:
    try:
        return (urlsplit(f'//{host}').hostname or '').lower()
    except ValueError:
        return ''


def _port(host: str) -> int | None:
    try:
        return urlsplit(f'//{host}').port or 80
    except ValueError:
        return None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
