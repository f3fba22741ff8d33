"""Melting: a wide table becomes one row for each point, in file order, a few records at a time.

Rows of a melted table have two columns more: `_record`, the number of the source's record, and `_column`, the name of
the source's column (of each measure), so that counts are of source records and faults name their cell.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from core.analysis.ingest import readings
from core.analysis.ingest.rawtable import RawTable, free_name
from core.analysis.ingest.wide import ABSENT, Plan
from core.errors import TooLarge

if TYPE_CHECKING:
    import pyarrow as pa

BETWEEN: Final = '\x1f'
"""Stands in `_column` between the names of the columns of several measures."""
BATCH_CELLS: Final = 2**18
# Shares of the memory: the text of the points made at once, that of one record's points that makes it a heavy record,
# and that of the points of all heavy records.
_AT_ONCE: Final = 16
_HEAVY: Final = 64
_ALL_HEAVY: Final = 4


def made_long(raw: RawTable, plan: Plan, *, workdir: Path, memory: int) -> RawTable:
    """Write the long table of a plan: in file order, a few records at a time. `memory` is in bytes.

    Raises TooLarge when long texts, which every point of a record brings with it, would grow past the memory.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    taken = {*plan.places, plan.beside}
    kept = [place for place in range(len(raw.names)) if place not in taken]
    names = [_key_name(raw.names[place]) for place in kept]
    name = free_name(plan.name, names)
    values: list[str] = []
    for value in plan.measures or (plan.value,):
        values.append(free_name(value, [*names, name, *values]))
    width = len(kept)
    schema = pa.schema(
        [('_line', pa.int64()), ('_flag', pa.uint8())]
        + [(f'c{i}', pa.string()) for i in range(width + 1 + len(values))]
        + [('_record', pa.int64()), ('_column', pa.string())]
    )
    path = workdir / f'long-{raw.path.name}'
    points = missing = spelled = 0
    with pq.ParquetWriter(path, schema, compression='lz4', store_schema=False, write_statistics=False) as writer:
        for chunk in _chunks(raw, plan, kept, memory):
            table = pa.table(chunk.columns, schema=schema)
            points, missing, spelled = points + chunk.points, missing + chunk.missing, spelled + chunk.spelled
            writer.write_table(table, row_group_size=122_880)
    called = '", "'.join([name, *values[:-1]]) + f'" and "{values[-1]}'
    they = 'They' if len(plan.places) > 1 else 'It'
    of = f'{points:,} rows of {raw.rows_read:,} records, which are what the account counts'
    note = f'A wide table: {plan.reason}. {they} became the columns "{called}", {of}'
    note += f'; {_empty_cells(missing)} left out.' if missing else '.'
    told = {
        'shape': 'wide',
        'into': plan.into,
        'columns': sum(place != ABSENT for place in plan.places),
        'name': name,
        'value': values[0],
        'reason': plan.reason,
        'rows': points,
        'empty': missing,
        'spelled': spelled,
        'value_place': width + 1,
    }
    return replace(
        raw,
        path=path,
        names=(*names, name, *values),
        header=(*names, name, *values),
        hints=_hints(raw, plan, names, kept, values) | ({name: 'text'} if plan.into == 'series' else {}),
        notes=(*raw.notes, note),
        shape={**raw.shape, **told},
    )


def _empty_cells(count: int) -> str:
    return '1 empty cell was' if count == 1 else f'{count:,} empty cells were'


def _hints(
    raw: RawTable, plan: Plan, names: Sequence[str], kept: Sequence[int], values: Sequence[str]
) -> dict[str, str]:
    """Return the types of typed sources: those of the columns that stay, and for each measure the one that its melted
    columns share."""
    hints = {
        name: raw.hints[raw.names[place]]
        for name, place in zip(names, kept, strict=True)
        if raw.names[place] in raw.hints
    }
    for value, places in zip(values, _by_value(plan), strict=True):
        kinds = {raw.hints.get(raw.names[place]) for place in places if place != ABSENT}
        wide = next((kind for kind in ('double', 'decimal', 'integer') if kind in kinds), None)
        if wide and kinds <= {'double', 'decimal', 'integer'}:
            hints[value] = wide
    return hints


def _by_value(plan: Plan) -> list[tuple[int, ...]]:
    """The places of each measure, one for every label."""
    wide = len(plan.labels)
    return [plan.places[start : start + wide] for start in range(0, len(plan.places), wide)]


def _key_name(name: str) -> str:
    """Eurostat writes the name of what the columns are behind that of the rows: geo\\TIME_PERIOD."""
    return name.split('\\')[0].strip() or name


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chunk:
    columns: list[Any]
    points: int
    missing: int
    spelled: int


def _chunks(raw: RawTable, plan: Plan, kept: Sequence[int], memory: int) -> Iterator[_Chunk]:
    """Yield the points of some records at a time: record by record, and in the order of the columns within one."""
    import numpy as np
    import pyarrow.parquet as pq

    read = ['_line', '_flag', *(f'c{place}' for place in range(len(raw.names)))]
    size = max(1, BATCH_CELLS // len(plan.places))
    first = heavy = 0
    with pq.ParquetFile(raw.path) as file:
        for batch in file.iter_batches(batch_size=size, columns=read):
            texts = _texts(raw, plan, kept, batch)
            heavy += int(texts[texts > memory // _HEAVY].sum())
            if heavy > memory // _ALL_HEAVY:
                raise TooLarge(
                    f'The long texts of this table, once for each of the {len(plan.labels):,} columns that become '
                    f'rows, are more than the {memory // _ALL_HEAVY // 2**20:,} MB that the memory allows. Remove the '
                    'columns of long texts or shorten the names of columns, or choose the shape long.'
                )
            cuts = np.flatnonzero(np.diff(np.cumsum(texts) // max(memory // _AT_ONCE, 1))) + 1
            for start, end in pairwise([0, *cuts.tolist(), batch.num_rows]):
                yield _chunk(raw, plan, kept, batch.slice(start, end - start), first + start)
            first += batch.num_rows


def _texts(raw: RawTable, plan: Plan, kept: Sequence[int], batch: 'pa.RecordBatch') -> Any:
    """The bytes of text that the points of each record have beside their values."""
    import numpy as np
    import pyarrow.compute as pc

    from core.analysis.arrays import fixed, there

    names = sum(len(raw.names[place]) for place in plan.places if place != ABSENT)
    found = np.zeros(batch.num_rows, dtype=np.int64)
    for place in kept:
        lengths = pc.binary_length(batch.column(f'c{place}'))
        found += np.where(there(lengths), fixed(lengths), 0)
    return found * len(plan.labels) + names + sum(map(len, plan.labels))


def _chunk(raw: RawTable, plan: Plan, kept: Sequence[int], batch: 'pa.RecordBatch', first: int) -> _Chunk:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    from core.analysis.arrays import arrow, fixed, texts, there

    rows, wide = batch.num_rows, len(plan.labels)
    # Column after column to row after row: the cell of row r and column k stands at k * rows + r.
    order = arrow(np.arange(rows * wide).reshape(wide, rows).T.ravel())
    values = []
    spelled, lost = 0, np.ones(rows * wide, dtype=bool)
    for places in _by_value(plan):
        cells = [pa.nulls(rows, pa.string()) if k == ABSENT else batch.column(f'c{k}') for k in places]
        values.append(pa.concat_arrays(cells).take(order))
        bare = pc.utf8_trim(values[-1], readings.BLANK)
        empty = ~there(bare) | (fixed(pc.binary_length(bare)) == 0)
        words = pc.is_in(bare, value_set=_spellings())
        spelled += int(pc.sum(words).as_py() or 0)
        lost &= fixed(words.cast(pa.uint8())).astype(bool) | empty
    # A record without any point is kept by an empty one, so that it is accounted for.
    whole = lost.reshape(rows, wide).all(axis=1)
    keep = ~lost
    keep[np.flatnonzero(whole) * wide] = True
    at = np.flatnonzero(keep)
    row, column = at // wide, at % wide
    rows_taken, columns_taken = arrow(row), arrow(column)
    labels = _labels(plan, batch, row, column)
    sources = [[raw.names[place] if place != ABSENT else '' for place in places] for places in _by_value(plan)]
    named = texts(BETWEEN.join(of_label) for of_label in zip(*sources, strict=True)).take(columns_taken)
    out = [batch.column('_line').take(rows_taken), batch.column('_flag').take(rows_taken)]
    out += [batch.column(f'c{place}').take(rows_taken) for place in kept]
    out += [labels, *(column.take(arrow(at)) for column in values), arrow(row + first), named]
    return _Chunk(columns=out, points=len(at), missing=max(0, int(lost.sum()) - spelled), spelled=spelled)


def _labels(plan: Plan, batch: 'pa.RecordBatch', row: Any, column: Any) -> 'pa.Array':
    from core.analysis.arrays import arrow, texts

    if plan.beside is None:
        return texts(plan.labels).take(arrow(column))
    beside = [(cell or '').strip(readings.BLANK) for cell in batch.column(f'c{plan.beside}').to_pylist()]
    labels = [
        None if readings.is_missing(beside[r]) else plan.complete(beside[r], plan.labels[k])
        for r, k in zip(row.tolist(), column.tolist(), strict=True)
    ]
    return texts(labels)


def _spellings() -> 'pa.Array':
    from core.analysis.arrays import texts

    words = {form for word in readings.MISSING for form in (word, word.upper(), word.title(), word.capitalize())}
    return texts(sorted(words | {'NaN', 'NaT', '#Value!', '#Div/0!'}))
