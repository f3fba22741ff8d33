"""What the command palette offers. The page draws it (`ui/static/app.js`); here are its entries."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ui.assets import icon_shapes


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A line of the palette: what it is and, after it, `where`.

    It presses the element of the page whose id or `data-act` is `press`, if there is one, and opens `href` otherwise.
    """

    label: str
    icon: str
    where: str = ''
    group: str = 'Actions'
    hint: str = ''
    keys: str = ''
    href: str = ''
    press: str = ''


Source = Callable[[Any], Awaitable[Sequence[Entry]]]


def as_data(entries: Sequence[Entry]) -> list[dict[str, str]]:
    """Entries for the page, with the shapes of their icons."""
    return [asdict(entry) | {'icon': icon_shapes(entry.icon)} for entry in entries]
