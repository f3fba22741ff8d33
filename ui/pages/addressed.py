"""What the address of a page names."""

from uuid import UUID

from core.errors import NotFound
from core.services import Services
from core.values import Dataset


def id_of(text: str, noun: str) -> UUID:
    """Return the id that stands in an address. Raise NotFound, which names the `noun`, for anything else."""
    try:
        return UUID(text)
    except ValueError as error:
        raise NotFound(f'There is no such {noun}.') from error


async def dataset_of(services: Services, user_id: UUID, text: str) -> Dataset | None:
    """Return the dataset that is asked for, else the one that changed last, None when there is none with rows."""
    asked = {id_of(text, 'dataset')} if text else None
    found = await services.datasets.list(user_id, ids=asked, converted=True, limit=1)
    if text and not found:
        raise NotFound('There is no such dataset, or it has not been converted yet.')
    return found[0] if found else None
