"""The sign-in pages: plain HTML and real forms, so that they work without scripts and hold no socket for strangers."""

import html
import math
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from nicegui import app
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from ui.assets import icon_markup
from ui.errors import LOGO, plain_page
from ui.session import safe_next

WIDTH, HEIGHT, CUTOFF = 900, 700, 84
NO_STORE = {'Cache-Control': 'no-store'}
# How providers write their names, where that is not with a first capital.
WRITTEN = {'github': 'GitHub', 'gitlab': 'GitLab', 'linkedin': 'LinkedIn', 'oidc': 'OIDC', 'sso': 'SSO'}
OUTBOX = (
    'This server sends no mail. Whoever runs it finds the link by <span class="mono t2">variosync outbox</span>, and '
    'signs in as its owner by <span class="mono t2">variosync link</span>.'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """How to sign in beside a password; `mail` is `sent`, `kept` in the outbox, or None."""

    providers: tuple[str, ...] = ()
    mail: str | None = None


def ways_of(services: Any) -> Ways:
    """The ways that are set up."""
    return Ways(providers=tuple(services.accounts.providers), mail=services.settings.mailed_links)


def register(services: Any) -> None:
    """Serve `/sign-in`; whoever is signed in already goes on."""

    @app.get('/sign-in')
    async def sign_in(request: Request, next: str = '', create: str | None = None, ended: str = '') -> Response:
        if request.state.session is not None:
            return RedirectResponse(safe_next(next), 303)
        told = 'You are signed out. This session was ended, here or from another browser.' if ended else ''
        target = next or (_left(request) if ended else '')
        return sign_in_page(ways_of(services), create=create is not None, target=target, told=told)


def _left(request: Request) -> str:
    """The page of ours that somebody was sent here from; '' when that is not known."""
    parts = urlsplit(request.headers.get('referer', ''))
    if parts.netloc != request.headers.get('host'):
        return ''
    return parts.path + (f'?{parts.query}' if parts.query else '')


def sign_in_page(
    ways: Ways,
    *,
    create: bool = False,
    target: str = '',
    email: str = '',
    message: str = '',
    told: str = '',
    status: int = 200,
) -> HTMLResponse:
    """The page, with what was entered and what was wrong with it, or what is `told` though nothing is wrong.

    The focus is where something is to be entered: at an email that is taken (409), or none, else at the password, which
    is never written back.
    """
    title = 'Create your account' if create else 'Sign in'
    target = safe_next(target)
    form = _form(ways, create, target, email, wrong=bool(message), taken=status == 409)
    middle = f"""
<div class="vs" style="gap:4px"><h1>{title}</h1>{_lead(create, target)}</div>
{_note(message)}{_told(told)}{_providers(ways, target)}{form}"""
    return _page(title, middle, status)


def mailed_page(ways: Ways, *, email: str, target: str) -> HTMLResponse:
    """What to do once a link was asked for."""
    kept = ways.mail == 'kept'
    hint = OUTBOX if kept else 'Nothing there? Look in your spam folder, or ask for another in a few minutes.'
    query = '' if target == '/' else html.escape(f'?next={_quoted(target)}')
    middle = f"""
<div class="vs" style="gap:4px"><h1>Check {'the outbox' if kept else 'your mail'}</h1>
<p class="lead-in">A sign-in link {'was made for' if kept else 'is on its way to'} <b>{html.escape(email.strip())}</b>.
 Open it in this browser: it works once, for an hour.</p></div>
<div class="note">{icon_markup('mail')}<span>{hint}</span></div>
<a class="b large" href="/sign-in{query}">{icon_markup('arrow-left')}Back to sign in</a>"""
    return _page('Sign-in link', middle)


def confirm_page(*, email: str, target: str) -> HTMLResponse:
    """What to do before an account with a password can be used."""
    target = safe_next(target)
    query = '' if target == '/' else html.escape(f'?next={_quoted(target)}')
    middle = f"""
<div class="vs" style="gap:4px"><h1>Confirm your email</h1>
<p class="lead-in">A link was mailed to <b>{html.escape(email.strip())}</b>. Open it once, then sign in here.</p></div>
<div class="note">{icon_markup('mail')}<span>Nothing there? Look in your spam folder.</span></div>
<a class="b pri large" href="/sign-in{query}">{icon_markup('corner-down-left')}Sign in</a>"""
    return _page('Confirm your email', middle)


def leaving_page(provider: str, url: str) -> HTMLResponse:
    """A page that goes on to a provider by itself, since no form of ours may be answered by a redirect elsewhere."""
    name = html.escape(_written(provider))
    body = f"""
<main class="fault-page"><div class="card"><div class="fault"><h1 style="font:600 var(--t16) var(--font)">
Going on to {name}</h1><div class="hs"><a class="b pri" href="{html.escape(url)}">{icon_markup('arrow-right')}
Continue</a></div></div></div></main>"""
    return HTMLResponse(plain_page('Sign in', body), headers=NO_STORE | {'Refresh': f'0; url={url}'})


def _page(title: str, middle: str, status: int = 200) -> HTMLResponse:
    body = f"""
<div class="sign"><main class="form">
<a class="brand" href="/sign-in">{LOGO}VARIOSYNC</a>
<div class="middle">{middle}</div>
</main>
<aside class="motif"><p>Bring a file. See every row accounted for, and a forecast whose bands hold.</p>
{_drawing()}</aside>
</div>"""
    return HTMLResponse(plain_page(title, body), status, headers=NO_STORE)


def _lead(create: bool, target: str) -> str:
    query = '' if target == '/' else html.escape(f'next={_quoted(target)}')
    if create:
        address = f'/sign-in?{query}' if query else '/sign-in'
        return f'<p class="lead-in">You have one? <a class="link" href="{address}">Sign in</a></p>'
    address = f'/sign-in?create=1&amp;{query}' if query else '/sign-in?create=1'
    return f'<p class="lead-in">New here? <a class="link" href="{address}">Create an account</a></p>'


def _providers(ways: Ways, target: str) -> str:
    if not ways.providers:
        return ''
    buttons = ''.join(
        f'<form method="post" action="/auth/{html.escape(name)}">'
        f'<input type="hidden" name="next" value="{html.escape(target)}">'
        f'<button class="b large" type="submit"><span class="letter" aria-hidden="true">'
        f'{html.escape(_written(name)[:1])}</span>Continue with {html.escape(_written(name))}</button></form>'
        for name in ways.providers
    )
    return f'<div class="vs" style="gap:8px">{buttons}</div><div class="or">or</div>'


def _by_mail(ways: Ways) -> str:
    if ways.mail is None:
        return ''
    kept = ways.mail == 'kept'
    label, symbol = ('Make a sign-in link', 'link') if kept else ('Email me a link', 'mail')
    hint = OUTBOX if kept else 'A link works once, for an hour, in this browser.'
    return (
        '<button class="b large" type="submit" formaction="/auth/magic" formnovalidate aria-describedby="by-mail">'
        f'{icon_markup(symbol)}{label}</button><p class="t12 t3" id="by-mail">{hint}</p>'
    )


def _form(ways: Ways, create: bool, target: str, email: str, *, wrong: bool, taken: bool) -> str:
    action, label, symbol = (
        ('/auth/sign-up', 'Create account', 'user') if create else ('/auth/sign-in', 'Sign in', 'corner-down-left')
    )
    hint = '<p class="t12 t3" id="hint">At least 10 characters.</p>' if create else ''
    rules = 'autocomplete="new-password" minlength="10"' if create else 'autocomplete="current-password"'
    about = ' '.join([*(['wrong'] if wrong else []), *(['hint'] if create else [])])
    described = f' aria-describedby="{about}"' if about else ''
    of_email = ' aria-describedby="wrong"' if taken else ''
    first, then = (' autofocus', '') if taken or not email else ('', ' autofocus')
    return f"""<form method="post" action="{action}">
<input type="hidden" name="next" value="{html.escape(target)}">
<label class="field"><span>Email</span><span class="in-box large"><input type="email" name="email" required
 maxlength="254" autocomplete="username" value="{html.escape(email)}"{of_email}{first}></span></label>
<label class="field"><span>Password</span><span class="in-box large"><input type="password" name="password" required
 maxlength="200" {rules}{described}{then}></span></label>{hint}
<button class="b pri large" type="submit">{icon_markup(symbol)}{label}</button>
{_by_mail(ways)}</form>"""


def _note(message: str) -> str:
    if not message:
        return ''
    words = f'{icon_markup("circle-alert")}<span>{html.escape(message)}</span>'
    return f'<div class="note bad" role="alert" id="wrong">{words}</div>'


def _told(text: str) -> str:
    return (
        f'<div class="note" role="status">{icon_markup("log-out")}<span>{html.escape(text)}</span></div>'
        if text
        else ''
    )


def _written(provider: str) -> str:
    return ' '.join(WRITTEN.get(word, word.capitalize()) for word in re.split('[-_]', provider))


def _quoted(target: str) -> str:
    return quote(target, safe='/')


def _drawing() -> str:
    """A line, a cutoff, and bands that open: a drawing, not data."""
    steps = 112
    x = [WIDTH * i / (steps - 1) for i in range(steps)]
    level = [_wave(i) for i in range(steps)]
    past = [level[i] + 16 * math.sin(i * 2.9) * math.sin(i * 0.7 + 1) for i in range(CUTOFF + 1)]
    level[CUTOFF] = past[-1]
    width = [13 * math.sqrt(i - CUTOFF) for i in range(CUTOFF, steps)]
    future = range(CUTOFF, steps)

    def band(factor: float) -> str:
        upper = [f'{x[i]:.1f},{level[i] - factor * width[i - CUTOFF]:.1f}' for i in future]
        lower = [f'{x[i]:.1f},{level[i] + factor * width[i - CUTOFF]:.1f}' for i in reversed(future)]
        return ' '.join(upper + lower)

    line = ' '.join(f'{x[i]:.1f},{past[i]:.1f}' for i in range(CUTOFF + 1))
    ahead = ' '.join(f'{x[i]:.1f},{level[i]:.1f}' for i in future)
    stroke = 'fill="none" vector-effect="non-scaling-stroke" stroke-linejoin="round"'
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" aria-hidden="true">'
        f'<polygon points="{band(2.0)}" fill="var(--band-95)"/><polygon points="{band(1.25)}" fill="var(--band-80)"/>'
        f'<path d="M{x[CUTOFF]:.1f} 40V{HEIGHT - 60}" stroke="var(--line-2)" stroke-dasharray="3 4" {stroke}/>'
        f'<polyline points="{line}" stroke="var(--series-8)" stroke-width="1.5" {stroke}/>'
        f'<polyline points="{ahead}" stroke="var(--series-1)" stroke-width="2" {stroke}/></svg>'
    )


def _wave(i: int) -> float:
    return 470 - 2.1 * i - 62 * math.sin(i / 8.5) - 28 * math.sin(i / 3.1 + 1)
