"""Shape: wide tables become long ones, and a time that is split over columns becomes one column.

A table is wide by period where the names of columns are times (years, months, quarters, days) and the rows are series;
it is wide by series where one column is the time and many others, named alike, hold numbers of one kind. Either becomes
a raw table with one row for each point: the columns that stay, the name of the column it came from, and its value.
Cells that are empty make no point. A table of a few measures, such as open, high, low and close, stays as it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from core.analysis.ingest.headers import names_repeat, with_header
from core.analysis.ingest.joins import may_join, with_one_time
from core.analysis.ingest.looked import looked_at
from core.analysis.ingest.melting import made_long
from core.analysis.ingest.rawtable import RawTable
from core.analysis.ingest.stepped import STEPS, counted, start_of
from core.analysis.ingest.wide import (
    UNNAMED,
    asked_plan,
    may_be_series,
    measures_by_period,
    parts_of_names,
    periods_of,
    plan_for,
    stays,
)
from core.errors import UsageError

if TYPE_CHECKING:
    import duckdb

_STAYS: Final = 'Columns that may be series are taken as measures of one:'
_WIDE: Final = 'If each is a series, choose the shape wide.'
_MELT_KEYS: Final = ('columns', 'into', 'name', 'value', 'start', 'step')


def check_melt(shape: str, melt: Mapping[str, Any]) -> None:
    """Raise UsageError for a way to melt that means nothing."""
    unknown = [key for key in melt if key not in _MELT_KEYS]
    if unknown:
        raise UsageError(f'"{unknown[0]}" says nothing about melting. Choose from: {", ".join(_MELT_KEYS)}.')
    if melt and shape == 'long':
        raise UsageError('A long table is not melted. Leave out melt, or choose the shape wide.')
    if melt.get('into', 'series') not in ('period', 'series', 'rows'):
        raise UsageError(f'Columns are melted into "period" or "series", or "rows" counted, not "{melt["into"]}".')
    if melt.get('into') == 'rows' and 'start' not in melt:
        raise UsageError('Rows that are steps of time need the start of the first, such as 2024-01-31, and the step.')
    if not isinstance(melt.get('columns', []), list | tuple):
        raise UsageError('The columns to melt are a list of names.')
    if melt.get('step', 'day') not in STEPS:
        raise UsageError(f'"{melt["step"]}" is no step. Choose from: {", ".join(STEPS)}.')
    for key in ('name', 'value', 'start'):
        if not isinstance(melt.get(key, ''), str):
            raise UsageError(f'"{key}" of melt must be a text.')
    if melt.get('into') == 'rows' and len(melt.get('columns', [])) > 1:
        raise UsageError('Rows are counted by one column at most. Name one, or none for their order in the file.')
    if 'start' in melt:
        start_of(melt['start'])


def may_change(names: Sequence[str], *, shape: str, melt: Mapping[str, Any]) -> bool:
    """Whether a table with columns of these names may be reshaped, told by the names alone."""
    if melt or shape == 'wide':
        return True
    if may_join(names) or all(UNNAMED.fullmatch(name) for name in names) or names_repeat(names):
        return True
    if shape != 'auto':
        return False
    return (
        may_be_series(names)
        or bool(parts_of_names(names))
        or periods_of(names) is not None
        or measures_by_period(names) is not None
    )


def melted(
    connection: 'duckdb.DuckDBPyConnection',
    raw: RawTable,
    *,
    workdir: Path,
    shape: str = 'auto',
    melt: Mapping[str, Any] | None = None,
    roles: Mapping[str, str] | None = None,
    known: Sequence[str] = (),
    ending: bool | None = None,
    memory: int = 512 * 2**20,
) -> RawTable:
    """Return the raw table as a long one with one time column; it is returned as it is where there is nothing to do.

    `shape` is auto, long or wide, `melt` what the user says about it: `columns` to melt, `into` period or series,
    the `name` of the column that takes their names and that of their `value`; where names are numbers of steps,
    `start` is the time of the first and `step` one of `STEPS`. Into `rows`, a table without a time is given one:
    its rows are steps from `start`, in their order or numbered by the one of `columns`. `roles` are the user's:
    with a column of the file as time among them no columns are joined. `known` are the columns of the dataset that the
    table joins: where they were made by melting, one column of a period or a series is enough; `ending` tells whether
    its hours are those that end. `rows_read` stays the number of source records, `shape` of the result tells what was
    done.
    `memory` is in bytes. Raises UsageError when there is nothing to melt though it was asked for, TooLarge when long
    texts would grow past the memory.
    """
    check_melt(shape, melt or {})
    if not raw.names or not raw.rows_read:
        return raw
    raw = with_header(raw, workdir=workdir)
    if melt and melt.get('into') == 'rows':
        raw, melt = counted(connection, raw, melt, workdir=workdir), {}
    columns = looked_at(raw)
    named = {name for name, role in (roles or {}).items() if role == 'time'}
    # A time that the file does not have may be the one that joining makes.
    if not named & set(raw.names) and 'time' not in raw.shape:
        joined = with_one_time(connection, raw, columns, workdir=workdir, ending=ending)
        if joined is not raw:
            raw, columns = joined, looked_at(joined)
    if shape == 'long':
        return raw
    plan = asked_plan(raw, columns, melt) if melt else plan_for(raw, columns, forced=shape == 'wide', known=known)
    if plan is None:
        if shape == 'wide':
            raise UsageError('No columns of this table look like periods or series. Say which ones to melt.')
        return replace(raw, notes=(*raw.notes, f'{_STAYS} {why}. {_WIDE}')) if (why := stays(columns)) else raw
    return made_long(raw, plan, workdir=workdir, memory=memory)
