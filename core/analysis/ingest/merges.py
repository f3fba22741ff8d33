"""Series that a recipe merges: the records that gave way to others of their time become rejected duplicates.

A recipe cleans stored rows, and what it filters is its own account. But a record that gives way because two spellings
of a series became one is a duplicate like any other: it is rejected, a fault tells both lines, and what was repaired or
emptied in it is left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.analysis import alike, duck
from core.analysis.ingest.manifest import Source
from core.analysis.ingest.parts import Stored
from core.analysis.ingest.rawtable import FaultAction, RawTable
from core.analysis.ingest.rejects import CellFault, Staged, add_faults, counted, fault
from core.analysis.ingest.tallies import rows_of

if TYPE_CHECKING:
    import duckdb

RULES = {rule: alike.which(rule) for rule in alike.RULES}


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """The account of the file's records afterwards, its faults by kind, and how many rows of earlier files gave way to
    it."""

    accepted: int
    repaired: int
    rejected: int
    kinds: dict[str, int]
    dropped: int
    earlier: int


def account(
    connection: 'duckdb.DuckDBPyConnection',
    raw: RawTable,
    stored: Stored,
    staged: Staged,
    lost: Path,
    *,
    sources: Sequence[Source],
    faults: Path,
    workdir: Path,
) -> Merged | None:
    """Count and list the records of the file that gave way (`lost`, see `recipes.Cooked`); None where none did.

    `stored` are the rows before the recipe, `staged` the file's own ones, whose place among the `sources` is the last.
    Faults are added to the file `faults`. Where `staged` holds no rows, all records were accepted as they are.
    """
    last = len(sources) - 1
    # Names are merged step by step: a row that held a mean may give way afterwards, or hold that of more rows.
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE gone AS SELECT * EXCLUDE (latest) FROM (
            SELECT *, bool_or(action = 'rejected') OVER record AS rejected, max(step) OVER record AS latest
            FROM {duck.files([lost])} WINDOW record AS (PARTITION BY was, moment, source))
        WHERE action = 'rejected' OR NOT rejected AND step = latest"""
    )
    dropped, meant, earlier = duck.single(
        connection,
        f"""WITH records AS (SELECT was, moment, source, rejected, bool_or(other_source = {last}) AS mine FROM gone
            GROUP BY ALL)
        SELECT count(*) FILTER (source = {last} AND rejected), count(*) FILTER (source = {last} AND NOT rejected),
            count(*) FILTER (source < {last} AND rejected AND mine) FROM records""",
    )
    if not dropped + meant + earlier:
        return None
    if staged.rows:
        after = _settled(connection, raw, stored, staged, last=last, out=workdir / 'merged-status.parquet')
    else:
        accepted = staged.accepted - dropped - meant
        after = Staged(path=staged.path, rows='', accepted=accepted, repaired=meant, rejected=dropped)
    if after.rows:
        _leave_out(connection, raw, after, faults)
    kinds = add_faults(connection, _faults(raw, staged, [one.name for one in sources]), faults)
    return Merged(
        accepted=after.accepted,
        repaired=after.repaired,
        rejected=after.rejected,
        kinds=kinds,
        dropped=int(dropped),
        earlier=int(earlier),
    )


def _settled(
    connection: 'duckdb.DuckDBPyConnection', raw: RawTable, stored: Stored, staged: Staged, *, last: int, out: Path
) -> Staged:
    """The staged rows with what became of those in `gone`, which then has their `_row`; counted."""
    mine = f' AND r._source = {last}' if stored.several else ''
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE gone_rows AS SELECT r._row, g.* FROM ({stored.rows}) r
        JOIN gone g ON r._series = g.was AND r._time = g.moment WHERE g.source = {last}{mine}"""
    )
    status = 'CASE WHEN g.rejected THEN 2 WHEN g._row IS NOT NULL THEN greatest(_status, 1) ELSE _status END'
    changed = f"""SELECT s.* REPLACE (({status})::UTINYINT AS _status) FROM ({staged.rows}) s
        LEFT JOIN (SELECT DISTINCT _row, rejected FROM gone_rows) g ON s._row = g._row"""
    connection.execute(f'COPY ({changed}) TO {duck.text(str(out))} (FORMAT parquet, COMPRESSION lz4)')
    return counted(connection, raw, out)


def _leave_out(connection: 'duckdb.DuckDBPyConnection', raw: RawTable, settled: Staged, faults: Path) -> None:
    """Tell of the faults listed so far, of records that are not stored any more, that nothing became of them.

    Of a line, no record may be stored; of a melted table, a point that gave way has its own column.
    """
    lost = f'SELECT _line FROM ({settled.rows}) GROUP BY _line HAVING bool_and(_status = 2)'
    gone = f'line IN ({lost})'
    if raw.is_melted:
        points = f"""SELECT line, unnest(string_split(_column, chr(31))) FROM gone_rows
            JOIN (SELECT file_row_number AS _row, _column FROM {rows_of(raw, numbered=True)}) USING (_row)
            WHERE rejected"""
        gone = f'({gone} OR (line, "column") IN ({points}))'
    gone += f' AND action <> {duck.text(FaultAction.REJECTED)}'
    held = faults.with_name(f'{faults.name}.listed')
    faults.replace(held)
    changed = f"""SELECT * REPLACE (CASE WHEN {gone} THEN {duck.text(FaultAction.LEFT_OUT)} ELSE action END AS action,
        CASE WHEN {gone} THEN NULL ELSE became END AS became) FROM {duck.files([held])}"""
    connection.execute(f'COPY ({changed}) TO {duck.text(str(faults))} (FORMAT parquet, COMPRESSION zstd)')
    held.unlink()


def _faults(raw: RawTable, staged: Staged, names: Sequence[str]) -> str:
    """SQL: the faults of the records in `gone` that the file has; of a melted table they name its column."""
    last = len(names) - 1
    files = ' '.join(f'WHEN {place} THEN {duck.text(f" of {name}")}' for place, name in enumerate(names[:-1]))
    of = f"CASE other_source {files} ELSE '' END" if files else "''"
    rules = ' '.join(f'WHEN {duck.text(rule)} THEN {duck.text(text)}' for rule, text in RULES.items())
    other = f"'line ' || other_line || {of}"
    tail = f"""': ' || CASE how {rules} END || ', for series were merged into "' || name || '"'"""
    # A line of a wide table has several columns: what lies in it twice is told apart by its name alone.
    one = f"""CASE how WHEN 'mean' THEN {duck.text(RULES['mean'])} ELSE 'the ' || how || ' by its name is stored' END
        || ', for series were merged into "' || name || '"'"""
    why = f"""CASE WHEN action = 'repaired'
        THEN 'its measures are the mean of all records of its time, for series were merged into "' || name || '"'
        WHEN line = other_line AND source = other_source THEN 'line ' || line || ' says '
            || CASE WHEN here = there THEN 'the same' ELSE here END || ' of "' || was || '" and '
            || CASE WHEN here = there THEN '' ELSE there || ' ' END || 'of "' || other_was || '": ' || {one}
        WHEN here = there THEN 'an equal copy of ' || {other} || {tail}
        ELSE 'line ' || line || ' says ' || here || '; ' || {other} || ' says ' || there || {tail} END"""
    column = 'NULL::VARCHAR'
    source = 'gone'
    if raw.is_melted and staged.rows:
        column = 'split_part(_column, chr(31), 1)'
        source = (
            f'gone_rows JOIN (SELECT file_row_number AS _row, _column FROM {rows_of(raw, numbered=True)}) USING (_row)'
        )
    told = fault(
        column=column,
        kind=duck.text(CellFault.DUPLICATE),
        value="nullif(here, '')",
        action='action',
        reason=why,
        other=f'CASE WHEN other_source = {last} THEN other_line END',
    )
    return f'SELECT {told} FROM (SELECT *, line AS _line FROM {source} WHERE source = {last})'
