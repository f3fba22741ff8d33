"""How the user of the page that is being drawn wants to read numbers and times."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from nicegui.slot import Slot

from core.errors import NotSignedIn
from core.values import Preferences
from ui.session import current

THIN = '\u202f'
# What a number format puts between thousands and before decimals.
MARKS = {'1,234.5': (',', '.'), '1.234,5': ('.', ','), '1 234,5': (THIN, ','), '1234.5': ('', '.')}


def preferences() -> Preferences:
    """The preferences of the page's user; the defaults where no page is drawn."""
    if not Slot.get_stack():
        return Preferences()
    try:
        return current().user.preferences
    except (NotSignedIn, RuntimeError):  # a page without a session, or one that is gone
        return Preferences()


def written(number: str, wanted: Preferences | None = None) -> str:
    """Return a number such as `1,234.5` with the user's marks."""
    thousands, decimal = MARKS.get((wanted or preferences()).number_format, (',', '.'))
    return number.translate({ord(','): thousands, ord('.'): decimal})


def local(moment: datetime, wanted: Preferences | None = None) -> datetime:
    """Return a moment in the user's time zone, or in UTC when their zone is not known here."""
    try:
        return moment.astimezone(ZoneInfo((wanted or preferences()).time_zone))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return moment.astimezone(UTC)
