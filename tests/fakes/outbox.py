"""What somebody does who gets a mail of ours."""

import re
from collections.abc import Sequence

from core.values import Mail


def link_to(email: str, mails: Sequence[Mail]) -> str:
    """The link in the newest mail to an email."""
    text = next(mail.text for mail in mails if mail.to == email)
    [link] = re.findall(r'https?://\S+', text)
    return str(link)
