"""What a file's columns are called and what stands in them, told with an error so that its owner can choose."""

from typing import TYPE_CHECKING, Any, Final

from core.analysis.ingest.rawtable import RawTable
from core.analysis.ingest.tallies import rows_of

if TYPE_CHECKING:
    import duckdb

MOST: Final = 200  # columns
ROWS: Final = 50
EXAMPLES: Final = 3
LONGEST: Final = 60  # characters


def columns(connection: 'duckdb.DuckDBPyConnection', raw: RawTable) -> list[dict[str, Any]]:
    """Return `name` and up to three `examples` of the first 200 columns; none of a cell that cannot be read now."""
    import duckdb

    names = raw.names[:MOST]
    rows = raw.unread.rows(raw.unread.path, 0) if raw.unread else f'SELECT * FROM {rows_of(raw)} WHERE _flag < 2'
    # Cut by the engine: a cell may have millions of characters.
    listed = ', '.join(f'left(c{place}, {4 * LONGEST})' for place in range(len(names)))
    try:
        found = connection.execute(f'SELECT {listed} FROM ({rows}) LIMIT {ROWS}').fetchall() if names else []
    except duckdb.Error:
        found = []
    cells = [dict.fromkeys(row[place].strip() for row in found if row[place]) for place in range(len(names))]
    return [
        {'name': _short(name, 4 * LONGEST), 'examples': [_short(cell) for cell in own if cell][:EXAMPLES]}
        for name, own in zip(names, cells, strict=True)
    ]


def _short(text: str, most: int = LONGEST) -> str:
    return text if len(text) <= most else f'{text[: most - 1]}…'
