"""How peers read a delimited file without being told its dialect; run by benchmarks.detect in a venv of their own.

Reads a path a line from standard input and writes the records as JSON, a line for each.
"""

import csv
import io
import json
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

SECONDS = 20
Table = list[list[str]]


class Late(Exception):
    """A peer took too long over a file."""


def text_of(path: Path) -> str:
    """The file's text by UTF-8, by its mark, or as charset-normalizer finds it: none of these peers does better."""
    data = path.read_bytes()
    for encoding in ('utf-16',) if data[:2] in (b'\xff\xfe', b'\xfe\xff') else ('utf-8-sig',):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            break
    from charset_normalizer import from_bytes

    best = from_bytes(data[:200_000]).best()
    return data.decode(best.encoding if best else 'latin-1', 'replace')


def by_clevercsv(path: Path) -> Table:
    """CleverCSV's detector and reader."""
    import clevercsv

    text = text_of(path)
    dialect = clevercsv.Sniffer().sniff(text[:100_000])
    return [list(row) for row in clevercsv.reader(io.StringIO(text, newline=''), dialect)]


def by_sniffer(path: Path) -> Table:
    """The standard library."""
    text = text_of(path)
    dialect = csv.Sniffer().sniff(text[:100_000])
    return list(csv.reader(io.StringIO(text, newline=''), dialect))


def by_pandas(path: Path) -> Table:
    """pandas with the separator left to it, bad lines left out."""
    import pandas as pd

    text = text_of(path)
    frame = pd.read_csv(
        io.StringIO(text, newline=''), sep=None, engine='python', header=None, dtype=str, keep_default_na=False,
        on_bad_lines='skip',
    )  # fmt: skip
    return [[str(cell) for cell in row] for row in frame.fillna('').values.tolist()]


def by_duckdb(path: Path) -> Table:
    """DuckDB's sniffer in its most lenient mode."""
    import duckdb

    copy = Path(f'{path}.utf8')
    copy.write_text(text_of(path), encoding='utf-8', newline='')
    try:
        found = duckdb.execute(
            'SELECT * FROM read_csv(?, all_varchar = true, header = false, sample_size = -1, null_padding = true, '
            'ignore_errors = true, strict_mode = false, parallel = false, max_line_size = 16777216)',
            [str(copy)],
        ).fetchall()
    finally:
        copy.unlink()
    return [['' if cell is None else cell for cell in row] for row in found]


READERS: dict[str, Callable[[Path], Table]] = {
    'clevercsv': by_clevercsv,
    'sniffer': by_sniffer,
    'pandas': by_pandas,
    'duckdb': by_duckdb,
}


def _late(*_: object) -> None:
    raise Late


def main(peer: str) -> None:
    """Answer every path with the records that the peer reads, none where it fails."""
    csv.field_size_limit(2**27)
    signal.signal(signal.SIGALRM, _late)
    warnings.simplefilter('ignore')
    for line in sys.stdin:
        signal.alarm(SECONDS)
        try:
            rows = READERS[peer](Path(line.rstrip('\n')))
        except Exception:  # noqa: BLE001 - whatever a peer raises counts as nothing read
            rows = []
        signal.alarm(0)
        print(json.dumps(rows), flush=True)


if __name__ == '__main__':
    main(sys.argv[1])
