"""Which Chromium of this machine opens pages."""

import os
import shutil

WHOLE = ('chromium', 'google-chrome')
SHELL = 'chromium-headless-shell'
ARGUMENTS = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-quic']


def chromium(*, light: bool = False) -> str | None:
    """The path of a browser, None for Playwright's own: the whole one, or the shell, which takes less, if `light`.

    Where one is missing, the other will do. `CHROMIUM` names another.
    """
    names = (SHELL, *WHOLE) if light else (*WHOLE, SHELL)
    return os.environ.get('CHROMIUM') or next(filter(None, map(shutil.which, names)), None)
