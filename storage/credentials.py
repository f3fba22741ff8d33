"""What an email and a password must look like, in every identity."""

import re
import unicodedata

from core.errors import UsageError

SHORTEST_PASSWORD = 10
_EMAIL = re.compile(r'[^@\s\x00-\x20\x7f\ud800-\udfff]{1,64}@[^@\s\x00-\x20\x7f\ud800-\udfff]{1,255}')


def normal_email(text: str) -> str | None:
    """Return the email as accounts hold it, or None when the text is none."""
    address = text.strip().lower()
    return address if _EMAIL.fullmatch(address) else None


def usable_email(text: str) -> str:
    """Return the email as accounts hold it. Raise UsageError when the text is none."""
    address = normal_email(text)
    if address is None:
        raise UsageError('This is no email address. It looks like name@example.com.')
    return address


def normal_password(password: str) -> str:
    """Return the password with its characters composed, as keyboards differ in that (NIST SP 800-63B 5.1.1.2)."""
    return unicodedata.normalize('NFKC', password)


def strong_password(password: str, address: str) -> str:
    """Return the password in its normal form. Raise UsageError when it is too short, or the email."""
    normal = normal_password(password)
    if len(normal) < SHORTEST_PASSWORD:
        raise UsageError(f'The password has fewer than {SHORTEST_PASSWORD} characters. Choose a longer one.')
    if normal.strip().lower() in (address, address.partition('@')[0]):
        raise UsageError('The password is the email. Choose another one.')
    return normal
