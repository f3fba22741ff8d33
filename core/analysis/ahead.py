"""How far columns of a stored version are known after the last value of another: what a forecast may build on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.analysis import duck

MEMORY = 256 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """How many stamps of a column lie after the target's last value, in the series where they are fewest.

    `series` is in how many of the `of` series there are any; `steps` is about those.
    """

    steps: int
    series: int
    of: int


def known_ahead(
    parts: Sequence[Path | str], *, target: str, columns: Sequence[str], system: Any = None
) -> Mapping[str, Ahead]:
    """Return what is known of `columns` after the last value of `target`, by column.

    Parts that are addresses are opened by the fsspec file system `system`.
    """
    if not columns:
        return {}
    source, value = duck.files(parts), duck.identifier(target)
    places = range(len(columns))
    there = ', '.join(f'count({duck.identifier(name)}) > 0 as c{place}' for place, name in enumerate(columns))
    counts = ', '.join(f'count(*) filter (where c{place}) as c{place}' for place in places)
    figures = ', '.join(
        f'min(c{place}) filter (where c{place} > 0), count(*) filter (where c{place} > 0)' for place in places
    )
    # A stamp that is there twice is one: told once for all columns, which may be hundreds.
    query = f"""
        with ends as (select _series, max(_time) filter (where {value} is not null) as last from {source} group by 1),
        later as (select _series, _time, {there} from {source} join ends using (_series)
            where _time > ends.last group by 1, 2),
        counted as (select _series, {counts} from later group by 1)
        select (select count(*) from ends), {figures} from counted
    """
    with duck.told(), duck.connect(memory=MEMORY, allow=parts, system=system) as connection:
        of, *found = duck.single(connection, query)
    return {
        name: Ahead(steps=found[2 * place] or 0, series=found[2 * place + 1], of=of)
        for place, name in enumerate(columns)
    }
