"""How often the REST interface may be asked: by one API key, one user, or one address that names neither."""

import ipaddress
import math
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import Scope

from core.errors import TooMany
from core.values import Allowance, Session

ROOT = '/api/v1'
WINDOW = 60.0


def limited(path: str) -> bool:
    """Whether a path belongs to the REST interface."""
    return path == ROOT or path.startswith(f'{ROOT}/')


class Limits:
    """Counts requests in `services.cache`: at most `settings.rate_limit` a minute, half of it for one API key.

    Who asks is the peer of the socket where there is no session, or whom our own proxies name (`ui.edge`).
    """

    def __init__(self, services: Any) -> None:
        self._services = services

    async def guess(self, scope: Scope) -> None:
        """Call before a bearer token is looked up. Raise TooMany, unseen, while its address has guessed too often."""
        if await self._services.cache.get(_guesses(scope)) is not None:
            await self.count(scope)

    async def count(self, scope: Scope, *, guessed: bool = False) -> None:
        """Count a request of whom the guard found; the answer will say what is left. Raise TooMany at the limit.

        `guessed` means that its token opened nothing.
        """
        session: Session | None = scope['state'].get('session')
        if session is not None and _bounded_otherwise(scope):
            return
        hits: list[Allowance] = []
        for who, most in _counters(scope, session, limit=self._services.settings.rate_limit):
            hits.append(await self._services.cache.hit(who, limit=most, window=WINDOW))
            if hits[-1].wait:  # what is refused to a key takes nothing from its user
                break
        allowance = max(hits, key=lambda hit: (hit.wait, -hit.remaining))
        limit = allowance.limit
        scope['state']['allowance'] = allowance
        if not allowance.wait:
            return
        if guessed:
            await self._services.cache.set(_guesses(scope), b'1', ttl=allowance.wait)
        seconds = math.ceil(allowance.wait)
        raise TooMany(
            f'At most {limit:,} requests a minute are answered. Wait {seconds} s, then go on.',
            retry_after=allowance.wait,
        )


def tell(headers: MutableHeaders, scope: Scope) -> None:
    """Add what the limit has left to an answer, where one applied."""
    allowance: Allowance | None = scope.get('state', {}).get('allowance')
    if allowance is not None:
        headers['RateLimit-Limit'] = str(allowance.limit)
        headers['RateLimit-Remaining'] = str(allowance.remaining)
        headers['RateLimit-Reset'] = str(math.ceil(allowance.reset))


def _bounded_otherwise(scope: Scope) -> bool:
    """The bytes of an upload are limited as such, and an open page beats at its own pace."""
    method, path = str(scope['method']), str(scope['path'])
    upload = method in ('PATCH', 'HEAD') and path.startswith(f'{ROOT}/uploads/')
    return upload or (method == 'POST' and path == f'{ROOT}/hours/heartbeat')


def _counters(scope: Scope, session: Session | None, *, limit: int) -> list[tuple[str, int]]:
    """Whose limits a request counts for. One API key may use half of what its user may, so that the pages go on."""
    if session is None:
        return [(f'limit/api/address/{_address(scope)}', limit)]
    user = f'{session.user.id}/limit/api'
    key = [] if session.scopes is None else [(f'{user}/key/{session.id}', max(1, limit // 2))]
    return [*key, (user, limit)]


def _guesses(scope: Scope) -> str:
    return f'limit/api/guesses/{_address(scope)}'


def _address(scope: Scope) -> str:
    """The peer's address. One who has an IPv6 network has all of its /64, so that counts as one."""
    peer = scope.get('client')
    host = peer[0] if peer else ''
    try:
        address = ipaddress.ip_address(host.partition('%')[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
