"""Plain tables of several themes, and how they are written as text."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

Row = list[str]

STATIONS = ('Harbour', 'Old Town', 'North Gate', 'Airport', 'Mill Hill')
ARTICLES = ('desk lamp', 'oak chair', 'wool rug', 'tea pot', 'wall clock', 'book shelf', 'linen sheet')
REMARKS = ('', 'checked by hand', 'late delivery', 'second choice', 'gift wrapped', 'returned once', 'no remark')
COUNTRIES = tuple(
    tuple(row.split())
    for row in (
        'Italy Rome Italian south',
        'France Paris French west',
        'Poland Warsaw Polish east',
        'Norway Oslo Norwegian north',
        'Spain Madrid Spanish south',
        'Austria Vienna German middle',
        'Greece Athens Greek south',
        'Ireland Dublin English west',
        'Latvia Riga Latvian east',
        'Finland Helsinki Finnish north',
        'Portugal Lisbon Portuguese west',
        'Croatia Zagreb Croatian south',
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A fault that was put into a file: where its record starts (physical line, 1-based) and what it is."""

    line: int
    column: str | None
    kind: str
    value: str = ''


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """Where in a file a defect goes: the size of the table, and a place in it."""

    size: str
    rows: int
    place: str

    def row(self) -> int:
        """The index of the row that is damaged."""
        return {'head': 1, 'middle': self.rows // 2, 'tail': self.rows - 2}[self.place]


@dataclass(frozen=True, slots=True, kw_only=True)
class DirtyFile:
    """A dirty file: its bytes, the table it means (with its header when `named`), and what is wrong with it.

    `series` tells that it has a time and measures, so that a dataset can be made of it; `meant` is what it shall hold
    then (see `tests.dirty.truth`). `text` tells that it is delimited text without compression.
    """

    name: str
    defect: str
    spot: Spot
    data: bytes
    table: list[Row]
    meant: list[Row] = field(default_factory=list)
    named: bool = True
    series: bool = True
    text: bool = True
    faults: tuple[Known, ...] = ()


@dataclass(slots=True, kw_only=True)
class Draft:
    """What a class makes; the rest of a DirtyFile follows from it. `meant` is None where it is the table."""

    data: bytes | str
    table: list[Row]
    meant: list[Row] | None = None
    named: bool = True
    series: bool = True
    text: bool = True
    suffix: str = 'csv'
    faults: list[Known] = field(default_factory=list)


Maker = Callable[[random.Random, Spot], Draft]


def readings(random_: random.Random, count: int) -> list[Row]:
    """Hourly readings of several stations: time, text, decimals, whole numbers, truth values."""
    start = datetime(2023, random_.randint(1, 12), random_.randint(13, 28))
    rows = [['time', 'station', 'load', 'temperature', 'cars', 'valid']]
    for index in range(count):
        when = start + timedelta(hours=index // 3)
        rows.append(
            [
                when.strftime('%Y-%m-%d %H:%M'),
                STATIONS[index % 3],
                f'{random_.uniform(100, 900):.2f}',
                f'{random_.uniform(-9, 30):.1f}',
                str(random_.randint(0, 400)),
                random_.choice(('true', 'true', 'false')),
            ]
        )
    return rows


def sales(random_: random.Random, count: int) -> list[Row]:
    """Daily sales: date, text of several words, money, pieces, remarks with gaps."""
    start = datetime(2021, random_.randint(1, 12), random_.randint(13, 28))
    rows = [['date', 'article', 'price', 'pieces', 'remark']]
    for index in range(count):
        rows.append(
            [
                (start + timedelta(days=index)).strftime('%Y-%m-%d'),
                random_.choice(ARTICLES),
                f'{random_.uniform(1, 400):.2f}',
                str(random_.randint(1, 50)),
                random_.choice(REMARKS),
            ]
        )
    return rows


def words(random_: random.Random, count: int) -> list[Row]:
    """A table of nothing but words."""
    rows = [['country', 'capital', 'language', 'side', 'code']]
    for index in range(count):
        country, capital, language, side = COUNTRIES[(index * 5 + random_.randint(0, 1)) % len(COUNTRIES)]
        rows.append([country, capital, language, side, ''.join(random_.choices('ABCDEFGHKLMNPRSTUVWXYZ', k=3))])
    return rows


def write(
    rows: Sequence[Row],
    *,
    delimiter: str = ',',
    quote: str = '"',
    escape: str | None = None,
    newline: str = '\n',
    always: bool = False,
    bare: Callable[[str], bool] | None = None,
) -> str:
    """The rows as text, quoted where they must be (`always`: everywhere but where `bare` says no)."""
    return ''.join(
        line(row, delimiter=delimiter, quote=quote, escape=escape, always=always, bare=bare) + newline for row in rows
    )


def line(
    row: Row,
    *,
    delimiter: str = ',',
    quote: str = '"',
    escape: str | None = None,
    always: bool = False,
    bare: Callable[[str], bool] | None = None,
) -> str:
    """One row as text without its line break; `escape` stands before quotes, by default they are doubled."""
    cells = []
    for cell in row:
        needed = any(mark in cell for mark in (delimiter, quote, '\n', '\r'))
        if quote and (needed or (always and not (bare and bare(cell)))):
            cell = cell.replace(escape, escape * 2) if escape else cell
            cell = f'{quote}{cell.replace(quote, (escape or quote) + quote)}{quote}'
        cells.append(cell)
    return delimiter.join(cells)


def is_number(cell: str) -> bool:
    """Whether a cell is a plain number."""
    return cell.lstrip('-').replace('.', '', 1).isdigit()
