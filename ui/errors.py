"""How errors are answered: problem+json (RFC 9457) for programs, a page that says what to do for people."""

import html
import math
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import Scope

from core.errors import VariosyncError
from ui.assets import head, icon_markup

LOGO = (
    '<svg class="mark" viewBox="0 0 20 20" aria-hidden="true"><rect width="20" height="20" rx="5" fill="currentColor"/>'
    '<path d="M4 5.5 8 14l2.4-5 1.9 3L16 5.5" fill="none" stroke="var(--bg)" stroke-width="1.75" '
    'stroke-linecap="round" stroke-linejoin="round"/></svg>'
)
TITLES = {
    400: 'This request cannot be answered',
    401: 'Sign in first',
    402: 'Your hours do not cover this',
    403: 'This is not allowed',
    404: 'There is nothing here',
    405: 'This is not allowed',
    406: 'This cannot be sent in that form',
    409: 'Something changed meanwhile',
    413: 'This is too large',
    415: 'This form is not read here',
    422: 'The data cannot be used for this',
    429: 'Too many attempts',
    503: 'A service does not answer',
}
FAULT = 'This is a fault of the server, not of yours. It was logged under the number below.'
ADVICE = {
    400: 'Check the address, or start again from the home page.',
    401: 'Sign in, then open the page again.',
    402: 'See the Billing page for your hours.',
    403: 'Go back to the page you came from, or sign in with another account.',
    404: 'Check the address, or start again from the home page.',
    409: 'Load the page again and look at what changed.',
    413: 'Send less at once.',
    429: 'Wait a little, then try again.',
    503: 'Wait a moment, then load the page again.',
}

KEPT = {
    500: 'Everything that was saved before.',
    503: 'Everything that was saved.',
}
UNKNOWN = 'Try again. If it happens again, tell the operator the number below.'
AGAIN = (409, 429, 500, 503)
WAYS_ON = {401: ('Sign in', '/sign-in', 'corner-down-left'), 402: ('See Billing', '/billing', 'credit-card')}

WRONG = {'Field required': 'it is missing', 'Extra inputs are not permitted': 'there is no value of this name'}
IN_WORDS = (
    (r'^[A-Z]\w+ should', 'it should'),
    ('a valid integer', 'a whole number'),
    ('a valid number', 'a number'),
    ('a valid string', 'a text'),
    ('a valid boolean', 'true or false'),
    ('a valid (list|tuple|array)', 'a list'),
    ('a valid dictionary( or .*)?$', 'an object'),
)
"""What pydantic says, as whoever writes a request says it."""
TOLD = ('place', 'shortfall', 'balance', 'quote')


def wrong_value(name: str, error: Mapping[str, Any]) -> str:
    """Say of what pydantic says of a value: which one it is and what it should be."""
    said = str(error['msg']).removeprefix('Value error, ').rstrip('.').partition(', unable to ')[0]
    said = WRONG.get(said, said)
    for words, ours in IN_WORDS:
        said = re.sub(words, ours, said)
    return f'The value of "{name}" cannot be read: {said[:300]}.'


def respond(scope: Scope, error: VariosyncError) -> Response:
    """The answer to an error that we raised on purpose."""
    request_id = scope.get('state', {}).get('request_id', '')
    answer: Response
    if wants_page(scope):
        answer = error_page(error.status, error.message, request_id=request_id, again=address(scope))
    else:
        told = {name: error.details[name] for name in TOLD if error.details.get(name) is not None}
        answer = problem(error.status, error.message, code=error.code, request_id=request_id, **told)
    if seconds := error.details.get('retry_after'):
        answer.headers['Retry-After'] = str(math.ceil(seconds))
    return answer


def problem(
    status: int, detail: str, *, code: str, request_id: str, headers: Mapping[str, str] | None = None, **told: Any
) -> JSONResponse:
    """An error for programs; `told` are further members, such as the `place` of a wrong value."""
    body = {
        'type': 'about:blank',
        'title': TITLES.get(status, HTTPStatus(status).phrase),
        'status': status,
        'detail': _sendable(detail),
        'code': code,
        'request_id': request_id,
        **{name: _sendable(value) if isinstance(value, str) else value for name, value in told.items()},
    }
    return JSONResponse(body, status, dict(headers or {}), media_type='application/problem+json')


def error_page(status: int, message: str, *, request_id: str, again: str = '', title: str = '') -> HTMLResponse:
    """An error for people: what happened, what is kept, what to do, and a number to tell.

    `again` is the address that was asked for: where that may help, loading it again is the first way on. A `title` of
    one's own says more than that of the status, and the message then what to do.
    """
    told = '' if title else f'<dt>What to do</dt><dd>{html.escape(ADVICE.get(status, UNKNOWN))}</dd>'
    title = title or TITLES.get(status, 'Something went wrong')
    ways = [WAYS_ON.get(status, ('Home', '/', 'house'))]
    if again and status in AGAIN:
        ways.insert(0, ('Load again', again, 'rotate-ccw'))
    buttons = ''.join(
        f'<a class="b{"" if place else " pri"}" href="{html.escape(href)}">{icon_markup(symbol)}{label}</a>'
        for place, (label, href, symbol) in enumerate(ways)
    )
    number = f'{status}-{html.escape(request_id)}'
    body = f"""
<main class="fault-page"><div class="vs"><a class="brand" href="/">{LOGO}VARIOSYNC</a>
<div class="card"><div class="fault" role="alert">
<div class="hs" style="gap:12px;align-items:flex-start"><span class="sign-i">{icon_markup('unplug')}</span>
<div class="vs" style="gap:2px"><h1 style="font:600 var(--t16) var(--font)">{html.escape(title)}</h1>
<p class="t2">{html.escape(message)}</p></div></div>
<dl class="facts"><dt>What is kept</dt><dd>{KEPT.get(status, 'Nothing was changed.')}</dd>
{told}</dl>
<div class="hs">{buttons}
<span class="t12 t3" style="margin-left:auto">Error <span class="mono">{number}</span></span>
<button class="ib small" type="button" aria-label="Copy error number" title="Copy error number" data-copy="{number}">
{icon_markup('copy')}</button></div></div></div></div></main>"""
    return HTMLResponse(plain_page(title, body), status)


def address(scope: Scope) -> str:
    """The path and query that a page was asked for by; '' of what is not asked for by its address alone."""
    if scope['method'] not in ('GET', 'HEAD'):
        return ''
    query = scope.get('query_string', b'').decode('latin-1')
    # One slash and nothing odd, so that it leads to no other host.
    return quote('/' + scope['path'].lstrip('/')) + (f'?{query}' if query else '')


def is_json(content_type: str) -> bool:
    """Whether a Content-Type announces JSON."""
    kind = content_type.partition(';')[0].strip().lower()
    return kind == 'application/json' or (kind.startswith('application/') and kind.endswith('+json'))


def _sendable(text: str) -> str:
    """A text that came from outside as UTF-8 can carry it: a lone surrogate becomes a question mark."""
    return text.encode(errors='replace').decode()


def plain_page(title: str, body: str) -> str:
    """A page that works without scripts. `body` is markup, escaped by the caller."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{html.escape(title)} · VARIOSYNC</title><link rel="icon" href="/favicon.ico">'
        f'{head(scripts=False)}</head><body>{body}</body></html>'
    )


def wants_page(scope: Scope) -> bool:
    """Whether a person's browser asks, rather than a program."""
    if scope['path'].startswith(('/api/', '/health')):
        return False
    headers = Headers(scope=scope)
    return 'text/html' in headers.get('accept', '') or headers.get('sec-fetch-mode') == 'navigate'
