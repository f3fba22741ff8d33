"""The HTML part of a mail, made of its text: one template, inline styles, nothing that is fetched from elsewhere."""

import html
import re
from collections.abc import Mapping
from pathlib import Path

LINK = re.compile(r'https?://\S+')
SIGN_IN = 'Sign in to VARIOSYNC'
SIGN_IN_TEXT = """Open this link to sign in to VARIOSYNC:

{link}

It works once, for an hour, in the browser where you asked for it.
If you did not ask for it, ignore this mail: nothing happens without the link.
"""
CONFIRM = 'Confirm your email for VARIOSYNC'
CONFIRM_TEXT = """Somebody, probably you, made an account at VARIOSYNC with this email. Open this link to confirm it:

{link}

It works once, for an hour.
If it was not you, ignore this mail: nobody comes in without the link.
"""
# A mail's own styles are all that every reader keeps; the sheet only turns them dark where that is understood.
DARK = """
@media (prefers-color-scheme: dark) {
.page { background: #0B0F16 !important; } .card { background: #11161F !important; border-color: #222B38 !important; }
.text, .name { color: #E8EDF4 !important; } .quiet { color: #A9B4C4 !important; } .link { color: #2DD4BF !important; }
.press { background: #2DD4BF !important; color: #042F2A !important; }
}"""
FONT = "font-family: Inter, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif"
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><meta name="supported-color-schemes" content="light dark">
<title>{title}</title><style>{dark}
</style></head>
<body class="page" style="margin: 0; padding: 0; background: #F7F8FA">
<table role="presentation" class="page" width="100%" cellpadding="0" cellspacing="0" style="background: #F7F8FA">
<tr><td align="center" style="padding: 32px 16px">
<table role="presentation" width="100%" cellpadding="0" cellspacing="0" style="max-width: 480px; {font}">
<tr><td class="name" style="padding: 0 4px 16px; font-size: 13px; font-weight: 600; color: #0F1729">VARIOSYNC</td></tr>
<tr><td class="card" style="padding: 8px 24px 16px; background: #FFFFFF; border: 1px solid #E3E8EE;
 border-radius: 10px">
{body}
</td></tr></table>
</td></tr></table>
</body></html>
"""
TEXT = '<p class="text" style="margin: 16px 0; font-size: 14px; line-height: 20px; color: #0F1729">{text}</p>'
QUIET = '<p class="quiet" style="margin: 16px 0; font-size: 12px; line-height: 18px; color: #465366">{text}</p>'
BUTTON = """<p style="margin: 20px 0"><a class="press" href="{link}" style="display: inline-block; padding: 10px 16px;
 border-radius: 6px; background: #0F766E; color: #FFFFFF; font-size: 14px; font-weight: 500; line-height: 20px;
 text-decoration: none">{label}</a></p>
<p style="margin: 16px 0; font-size: 12px; line-height: 18px"><a class="link" href="{link}"
 style="color: #0F766E; word-break: break-all">{link}</a></p>"""


def as_html(subject: str, text: str) -> str:
    """Return a text as an HTML document; `subject` is what its links do.

    A paragraph that is a link alone becomes a button with the link below it; what follows it is said in small print.
    """
    parts, form = [], TEXT
    for paragraph in re.split(r'\n\s*\n', text.strip()):
        words = html.escape(paragraph.strip())
        if LINK.fullmatch(paragraph.strip()):
            parts.append(BUTTON.format(link=words, label=html.escape(subject)))
            form = QUIET
        else:
            parts.append(form.format(text=words.replace('\n', '<br>\n')))
    return PAGE.format(title=html.escape(subject), dark=DARK, font=FONT, body='\n'.join(parts))


SUPABASE = Path(__file__).parent.parent / 'supabase' / 'templates'
"""Mails that Supabase sends in our place, for `supabase config push`; `python -m storage.letters` makes them."""
_SENDS = {'magic_link': (SIGN_IN, SIGN_IN_TEXT), 'confirmation': (CONFIRM, CONFIRM_TEXT)}


def of_supabase() -> Mapping[str, tuple[str, str]]:
    """Return by the name of a template of Supabase Auth its subject and its HTML, with its own word for the link.

    See https://supabase.com/docs/guides/auth/auth-email-templates.
    """
    link = 'https://link.example.com'
    return {
        name: (subject, as_html(subject, text.format(link=link)).replace(link, '{{ .ConfirmationURL }}'))
        for name, (subject, text) in _SENDS.items()
    }


if __name__ == '__main__':
    SUPABASE.mkdir(exist_ok=True)
    for name, (_, page) in of_supabase().items():
        (SUPABASE / f'{name}.html').write_text(page, encoding='utf-8')
