"""Names that the product gives, where a user gave none."""

from collections.abc import Set
from itertools import count


def free_name(name: str, taken: Set[str]) -> str:
    """Return a name of at most 255 characters that none of those that are `taken` is: grid, grid 2, grid 3."""
    numbered = (f'{name[: 255 - len(f" {at}")].rstrip()} {at}' for at in count(2))
    return name if name not in taken else next(one for one in numbered if one not in taken)
