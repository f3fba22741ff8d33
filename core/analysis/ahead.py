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
    after = 'ends.last is not null and _time > ends.last'
    counts = ', '.join(
        f'count(distinct _time) filter (where {duck.identifier(name)} is not null and {after}) as c{place}'
        for place, name in enumerate(columns)
    )
    figures = ', '.join(
        f'min(c{place}) filter (where c{place} > 0), count(*) filter (where c{place} > 0)'
        for place in range(len(columns))
    )
    query = f"""
        with ends as (select _series, max(_time) filter (where {value} is not null) as last from {source} group by 1),
        counted as (select _series, {counts} from {source} join ends using (_series) group by 1)
        select count(*), {figures} from counted
    """
    with duck.told(), duck.connect(memory=MEMORY, allow=parts, system=system) as connection:
        of, *found = duck.single(connection, query)
    return {
        name: Ahead(steps=found[2 * place] or 0, series=found[2 * place + 1], of=of)
        for place, name in enumerate(columns)
    }
