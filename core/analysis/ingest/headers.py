"""Headers: those of wide tables that the reader took for records, and names that downloads have guarded."""

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from core.analysis.ingest import readings
from core.analysis.ingest.looked import NUMBER, share_of
from core.analysis.ingest.melting import BATCH_CELLS
from core.analysis.ingest.rawtable import RawTable, free_name
from core.analysis.ingest.wide import FEWEST_ALIKE, FEWEST_PERIODS, UNNAMED, periods_of
from core.analysis.tables import unguarded

TOLD: Final = 5  # names


def without_guards(raw: RawTable, *, keep: Collection[str]) -> RawTable:
    """The table with the names that its columns had before a download guarded them against spreadsheets, but for those
    to `keep` and what another column is called."""
    taken = {name.lower() for name in raw.names}
    plain = {name: unguarded(name) for name in raw.names if name not in keep}
    plain = {name: own for name, own in plain.items() if own != name and own.lower() not in taken}
    if not plain:
        return raw
    told = ', '.join(f'"{name}" is "{own}"' for name, own in [*plain.items()][:TOLD])
    more = f' and {len(plain) - TOLD} more' if len(plain) > TOLD else ''
    return replace(
        raw,
        names=tuple(plain.get(name, name) for name in raw.names),
        hints={plain.get(name, name): kind for name, kind in raw.hints.items()},
        notes=(*raw.notes, f'The apostrophe that downloads put before names of columns was taken off: {told}{more}.'),
    )


def names_repeat(names: Sequence[str]) -> bool:
    """Whether names repeat as they do above a second row of names, or are left out there: `sales, sales_2`."""
    known = set(names)
    repeated = sum(bool((match := re.fullmatch(r'(.+)_\d+', name)) and match[1] in known) for name in names)
    return repeated >= FEWEST_PERIODS or sum(bool(UNNAMED.fullmatch(name)) for name in names) >= FEWEST_PERIODS


def with_header(raw: RawTable, *, workdir: Path) -> RawTable:
    """A table without a header whose first record names times in columns of numbers: that record is its header."""
    import pyarrow.parquet as pq

    if raw.named:
        return _with_second_header(raw, workdir=workdir)
    if raw.rows_read < 2 or len(raw.names) <= FEWEST_PERIODS:
        return raw
    with pq.ParquetFile(raw.path) as file:
        head = next(file.iter_batches(batch_size=8))
    if head.column('_flag')[0].as_py() or head.num_rows < 2:
        return raw
    columns = [head.column(f'c{place}').to_pylist() for place in range(len(raw.names))]
    first = [(column[0] or '').strip(readings.BLANK) for column in columns]
    places = _places_of_names(first, columns)
    if not places:
        return raw
    below = [cell for place in places for cell in columns[place][1:] if not readings.is_missing((cell or '').strip())]
    if not below or sum(bool(NUMBER.fullmatch(cell.strip())) for cell in below) < 0.8 * len(below):
        return raw
    names: list[str] = []
    for place, cell in enumerate(first):
        names.append(free_name(cell or f'column_{place + 1}', names))
    note = 'Line {line} names times or counts on, so it is the header of the table.'
    return _without_first(raw, names, header=[column[0] or '' for column in columns], note=note, workdir=workdir)


def _with_second_header(raw: RawTable, *, workdir: Path) -> RawTable:
    """A table whose names repeat (or are left out after the first) above a record of times: both are its header."""
    import pyarrow.parquet as pq

    if raw.rows_read < 2 or not names_repeat(raw.names) or len(raw.header) != len(raw.names):
        return raw
    with pq.ParquetFile(raw.path) as file:
        head = next(file.iter_batches(batch_size=8))
    columns = [head.column(f'c{place}').to_pylist() for place in range(len(raw.names))]
    first = [(column[0] or '').strip(readings.BLANK) for column in columns]
    written: list[str] = []
    for cell in raw.header:
        written.append(cell.strip(readings.BLANK) or (written[-1] if written else ''))
    filled = [place for place, cell in enumerate(first) if cell]
    pairs = {(written[place], first[place]) for place in filled}
    periods = periods_of(list(dict.fromkeys(first[place] for place in filled)))
    is_header = periods is not None and {first[place] for place in filled} == set(periods[1].values())
    repeats = {name for name, times in Counter(written[place] for place in filled).items() if times >= FEWEST_PERIODS}
    if not is_header or len(pairs) < len(filled) or {written[place] for place in filled} != repeats:
        return raw
    names = [f'{written[p]} {first[p]}' if p in filled else raw.names[p] for p in range(len(first))]
    note = 'Line {line} holds the times of the names above it, so it belongs to the header.'
    return _without_first(raw, names, header=names, note=note, workdir=workdir)


def _without_first(raw: RawTable, names: Sequence[str], *, header: Sequence[str], note: str, workdir: Path) -> RawTable:
    """The table without its first record, which is its header."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(raw.path) as file:
        line = next(file.iter_batches(batch_size=1)).column('_line')[0].as_py()
    path = workdir / f'named-{raw.path.name}'
    with pq.ParquetFile(raw.path) as file, pq.ParquetWriter(path, file.schema_arrow, compression='lz4') as writer:
        skipped = 0
        for batch in file.iter_batches(batch_size=max(2, BATCH_CELLS // len(names))):
            writer.write_batch(batch if skipped else batch.slice(1))
            skipped = 1
    return replace(
        raw,
        path=path,
        names=tuple(names),
        named=True,
        header=tuple(header),
        header_line=raw.header_line or line,
        rows_read=raw.rows_read - 1,
        notes=(*raw.notes, note.format(line=line)),
    )


def _places_of_names(first: Sequence[str], columns: Sequence[Sequence[str | None]]) -> list[int]:
    """Return the places of a first record in which names of columns stand that look like values: times, or numbers that
    count on above columns of numbers beside one of times."""
    periods = periods_of(first)
    if periods is not None and len(periods[1]) * 2 >= len(first):
        return list(periods[1])
    counts = {place: int(cell) for place, cell in enumerate(first) if re.fullmatch(r'\d{1,5}', cell)}
    follows = list(counts.values()) == list(
        range(min(counts.values(), default=0), min(counts.values(), default=0) + len(counts))
    )
    if len(counts) < max(FEWEST_ALIKE, len(first) // 2) or not follows:
        return []
    rest = [place for place in range(len(first)) if place not in counts]
    below = {place: [(cell or '').strip() for cell in columns[place][1:]] for place in rest}
    timed = any(
        share_of(reading, below[place]) == 1.0 and not reading.matches(first[place])
        for place in rest
        for reading in readings.TIMES
        if not reading.coded
    )
    return list(counts) if timed else []
