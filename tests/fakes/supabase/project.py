"""A project's settings, as its dashboard would hold them, and the gateway that asks every request for a key."""

import json
import re
import time
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from joserfc import jwt
from joserfc.jwk import OctKey
from starlette.requests import Request
from starlette.responses import JSONResponse

Role = Literal['anon', 'service_role']

SHARED = OctKey.import_key('the shared secret that legacy keys and tokens are signed with')


def legacy_key(role: Role) -> str:
    """A key as projects had them before 2025: a JWT signed with the shared secret."""
    claims = {'iss': 'supabase', 'ref': 'fake', 'role': role, 'iat': 1_700_000_000, 'exp': 2_000_000_000}
    return jwt.encode({'alg': 'HS256', 'typ': 'JWT'}, claims, SHARED, algorithms=['HS256'])


@dataclass(kw_only=True)
class Project:
    """Settings; their defaults are those of a new project, save that no mail must be waited for."""

    publishable: str = 'sb_publishable_fake'
    secret: str = 'sb_secret_fake'
    site_url: str = 'http://localhost:3000'
    redirects: list[str] = field(default_factory=list)
    providers: list[str] = field(default_factory=lambda: ['google', 'github'])
    autoconfirm: bool = True
    signup: bool = True
    shortest_password: int = 6
    access_life: int = 3600
    reuse_interval: float = 10
    flow_life: float = 300
    otp_life: float = 3600
    mail_pause: float = 0
    signing: Literal['ES256', 'HS256'] = 'ES256'
    ahead: float = 0  # seconds that the project's clock is ahead of ours

    @property
    def now(self) -> float:
        """The project's time, in seconds since 1970."""
        return time.time() + self.ahead

    def allows(self, url: str) -> bool:
        """Whether a browser may be sent there: https://supabase.com/docs/guides/auth/redirect-urls."""
        site, wanted = urlsplit(self.site_url), urlsplit(url)
        same = (site.scheme, site.hostname, site.port) == (wanted.scheme, wanted.hostname, wanted.port)
        if same or wanted.hostname in ('127.0.0.1', '::1'):
            return True
        return any(_pattern(entry).fullmatch(url.partition('#')[0]) for entry in self.redirects)

    def role(self, key: str) -> Role | None:
        """Whose key this is, None when it is none: https://supabase.com/docs/guides/api/api-keys."""
        roles: dict[str, Role] = {
            self.publishable: 'anon',
            self.secret: 'service_role',
            legacy_key('anon'): 'anon',
            legacy_key('service_role'): 'service_role',
        }
        return roles.get(key)

    def role_of(self, request: Request) -> Role | None:
        """Whose key a request carries.

        A legacy key opens what its `Authorization` header says; the gateway turns a new key into such a header.
        """
        key = request.headers.get('apikey', request.query_params.get('apikey', ''))
        bearer = request.headers.get('authorization', '').removeprefix('Bearer ')
        role = self.role(key)
        if role is None or bearer == key or (key.startswith('sb_') and not bearer):
            return role
        return 'anon'


def no_key(request: Request) -> JSONResponse:
    """What the gateway answers to a request without a key of the project."""
    if 'apikey' not in request.headers:
        body = {'message': 'No API key found in request', 'hint': 'No `apikey` request header or url param was found.'}
    else:
        body = {'message': 'Invalid API key', 'hint': 'Double check your Supabase `anon` or `service_role` API key.'}
    return JSONResponse(body, 401)


async def body_of(request: Request) -> dict[str, Any]:
    """The JSON object that a request carries, or an empty one."""
    try:
        content = json.loads(await request.body())
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _pattern(entry: str) -> re.Pattern[str]:
    """`*` is anything but `.` and `/`, `**` is anything, `?` one character but those."""
    parts = re.split(r'(\*\*|\*|\?)', entry)
    signs = {'**': '.*', '*': '[^./]*', '?': '[^./]'}
    return re.compile(''.join(signs.get(part) or re.escape(part) for part in parts))
