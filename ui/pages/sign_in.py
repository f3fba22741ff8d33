"""The sign-in page: plain HTML and real forms, so that it works without scripts and holds no socket for strangers."""

import html
import math
from typing import Any
from urllib.parse import quote

from nicegui import app
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from ui.assets import icon_markup
from ui.errors import LOGO, plain_page
from ui.session import safe_next

WIDTH, HEIGHT, CUTOFF = 900, 700, 84


def register(services: Any) -> None:
    """Serve `/sign-in`; whoever is signed in already goes on."""

    @app.get('/sign-in')
    async def sign_in(request: Request, next: str = '', create: str | None = None, ended: str = '') -> Response:
        if request.state.session is not None:
            return RedirectResponse(safe_next(next), 303)
        message = 'You are signed out: this session was ended, here or from another browser.' if ended else ''
        return sign_in_page(create=create is not None, target=next, message=message)


def sign_in_page(
    *, create: bool = False, target: str = '', email: str = '', message: str = '', status: int = 200
) -> HTMLResponse:
    """The page, with what was entered and what was wrong with it. A password is never written back."""
    title = 'Create your account' if create else 'Sign in'
    target = safe_next(target)
    body = f"""
<div class="sign"><main class="form">
<a class="brand" href="/sign-in">{LOGO}VARIOSYNC</a>
<div class="middle"><div class="vs" style="gap:4px"><h1>{title}</h1>{_lead(create, target)}</div>
{_note(message)}{_form(create, target, email, wrong=bool(message))}</div>
<p class="t12 t3">Or run it on your own machine: <span class="mono t2">variosync serve</span></p>
</main>
<aside class="motif"><p>Bring a file. See every row accounted for, and a forecast whose bands hold.</p>
{_drawing()}</aside>
</div>"""
    headers = {'Cache-Control': 'no-store'}
    return HTMLResponse(plain_page(title, body), status, headers=headers)


def _lead(create: bool, target: str) -> str:
    query = '' if target == '/' else html.escape(f'next={_quoted(target)}')
    if create:
        address = f'/sign-in?{query}' if query else '/sign-in'
        return f'<p class="lead-in">You have one? <a class="link" href="{address}">Sign in</a></p>'
    address = f'/sign-in?create=1&amp;{query}' if query else '/sign-in?create=1'
    return f'<p class="lead-in">New here? <a class="link" href="{address}">Create an account</a></p>'


def _form(create: bool, target: str, email: str, *, wrong: bool) -> str:
    action, label, symbol = (
        ('/auth/sign-up', 'Create account', 'user') if create else ('/auth/sign-in', 'Sign in', 'corner-down-left')
    )
    hint = '<p class="t12 t3" id="hint">At least 10 characters.</p>' if create else ''
    rules = (
        'autocomplete="new-password" minlength="10" aria-describedby="hint"'
        if create
        else 'autocomplete="current-password"'
    )
    described = ' aria-describedby="wrong"' if wrong and not create else ''
    return f"""<form method="post" action="{action}">
<input type="hidden" name="next" value="{html.escape(target)}">
<label class="field"><span>Email</span><span class="in-box large"><input type="email" name="email" required
 maxlength="254" autocomplete="username" value="{html.escape(email)}"{'' if email else ' autofocus'}></span></label>
<label class="field"><span>Password</span><span class="in-box large"><input type="password" name="password" required
 maxlength="200" {rules}{described}{' autofocus' if email else ''}></span></label>{hint}
<button class="b pri large" type="submit">{icon_markup(symbol)}{label}</button></form>"""


def _note(message: str) -> str:
    if not message:
        return ''
    words = f'{icon_markup("circle-alert")}<span>{html.escape(message)}</span>'
    return f'<div class="note bad" role="alert" id="wrong">{words}</div>'


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
