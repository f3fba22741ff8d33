"""The classes of defects. Each makes a draft from a seeded random source and a spot, with the table it means."""

import bz2
import gzip
import io
import json
import lzma
import random
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from tests.dirty.tables import (
    DirtyFile,
    Draft,
    Known,
    Maker,
    Row,
    Spot,
    is_number,
    line,
    readings,
    sales,
    words,
    write,
)

SIZES = {'small': 12, 'medium': 150, 'large': 2500}
PLACES = ('head', 'middle', 'tail')
FEW = ('small', 'medium')
"""The sizes of a quick run."""

CLASSES: dict[str, tuple[Maker, bool]] = {}
"""Every class by name, and whether its defect has a place in the table."""


def files(
    seed: int = 7,
    *,
    sizes: Sequence[str] = tuple(SIZES),
    classes: Sequence[str] = (),
    places: Sequence[str] = PLACES,
    rows: Mapping[str, int] = SIZES,
) -> Iterator[DirtyFile]:
    """Make every class (or those named) in every size, and in every place where it has one; the same for a seed.

    `rows` says how many records each size has.
    """
    for defect, (maker, placed) in CLASSES.items():
        if classes and defect not in classes:
            continue
        for size in sizes:
            for place in places if placed else ('all',):
                spot = Spot(size=size, rows=rows[size], place=place)
                name = f'{defect}-{size}-{place}'
                draft = maker(random.Random(f'{seed}/{name}'), spot)
                data = draft.data.encode() if isinstance(draft.data, str) else draft.data
                yield DirtyFile(
                    name=f'{name}.{draft.suffix}',
                    defect=defect,
                    spot=spot,
                    data=data,
                    table=draft.table,
                    meant=draft.table if draft.meant is None else draft.meant,
                    named=draft.named,
                    series=draft.series,
                    text=draft.text,
                    faults=tuple(draft.faults),
                )


def whole(maker: Maker) -> Maker:
    """A class whose defect is the file's."""
    CLASSES[maker.__name__.strip('_')] = (maker, False)
    return maker


def placed(maker: Maker) -> Maker:
    """A class whose defect stands at one place."""
    CLASSES[maker.__name__.strip('_')] = (maker, True)
    return maker


def _also(name: str, maker: Maker, *, where: bool = False) -> None:
    CLASSES[name] = (maker, where)


# Encodings


def _encoded(encoding: str, mark: bytes, letters: Sequence[str]) -> Maker:
    def make(random_: random.Random, spot: Spot) -> Draft:
        table = sales(random_, spot.rows)
        for row in table[1:]:
            row[1] = random_.choice(letters)
        return Draft(data=mark + write(table).encode(encoding), table=table)

    return make


WEST = ('Küche groß', 'chaise à bras', 'mesa pequeña', 'lamp', 'fenêtre ronde', 'Bücherregal', 'café crème', 'stół'[:2])
JAPAN = ('机のランプ', '木の椅子', '毛織の敷物', '茶碗', '掛け時計', '本棚', 'ソファ', '表示板')
CHINA = ('台灯', '橡木椅子', '羊毛地毯', '茶壶', '挂钟', '书架', '亚麻床单', '北京烤鸭')
for _name, _encoding, _mark, _letters in (
    ('utf_8', 'utf-8', b'', WEST),
    ('utf_8_mark', 'utf-8', b'\xef\xbb\xbf', WEST),
    ('utf_16_le_mark', 'utf-16-le', b'\xff\xfe', WEST),
    ('utf_16_be_mark', 'utf-16-be', b'\xfe\xff', WEST),
    ('utf_16_le', 'utf-16-le', b'', WEST),
    ('utf_16_be', 'utf-16-be', b'', JAPAN),
    ('cp1252', 'cp1252', b'', (*WEST, 'price in €', '“oak”')),
    ('latin_1', 'latin-1', b'', WEST),
    ('shift_jis', 'cp932', b'', JAPAN),
    ('euc_jp', 'euc_jp', b'', JAPAN),
    ('gb18030', 'gb18030', b'', CHINA),
):
    _also(f'encoding_{_name}', _encoded(_encoding, _mark, _letters))


@placed
def bad_bytes(random_: random.Random, spot: Spot) -> Draft:
    """A byte that UTF-8 does not know, in a file that is UTF-8 elsewhere."""
    table = sales(random_, spot.rows)
    for row in table[1:]:
        row[1] = random_.choice(WEST)
    at = spot.row() + 1
    table[at][1] = 'ca\ufffd bl'
    data = write(table).encode().replace('ca\ufffd bl'.encode(), b'ca\xe9 bl')
    return Draft(data=data, table=table, faults=[Known(line=at + 1, column=None, kind='bad_encoding')])


@placed
def nul_bytes(random_: random.Random, spot: Spot) -> Draft:
    """NUL characters in a cell."""
    table = readings(random_, spot.rows)
    at = spot.row() + 1
    text = write(table[:at]) + line(table[at]).replace(',', '\0,', 1) + '\n' + write(table[at + 1 :])
    return Draft(data=text, table=table, faults=[Known(line=at + 1, column=None, kind='nul_byte')])


# Compressions


def _zip(*members: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name, (2024, 1, 1, 0, 0, 0)), data)
    return buffer.getvalue()


def _tar(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode='w') as archive:
        info = tarfile.TarInfo('table.csv')
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return gzip.compress(buffer.getvalue(), mtime=0)


def _zstd(data: bytes) -> bytes:
    import pyarrow as pa

    return bytes(pa.compress(data, 'zstd', asbytes=True))


def _halves(pack: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    return lambda data: pack(data[: len(data) // 2]) + pack(data[len(data) // 2 :])


def _packed(pack: Callable[[bytes], bytes], suffix: str) -> Maker:
    def make(random_: random.Random, spot: Spot) -> Draft:
        table = readings(random_, spot.rows)
        return Draft(data=pack(write(table).encode()), table=table, text=False, suffix=suffix)

    return make


for _name, _pack, _suffix in (
    ('gz', lambda data: gzip.compress(data, mtime=0), 'csv.gz'),
    ('gz_of_two', _halves(lambda data: gzip.compress(data, mtime=0)), 'csv.gz'),
    ('bz2', bz2.compress, 'csv.bz2'),
    ('xz', lzma.compress, 'csv.xz'),
    ('zst', _zstd, 'csv.zst'),
    ('zip', lambda data: _zip(('table.csv', data)), 'zip'),
    ('zip_of_several', lambda data: _zip(('readme.txt', b'About\n' * 9), ('data/table.csv', data)), 'zip'),
    ('tar_gz', _tar, 'tar.gz'),
):
    _also(f'packed_{_name}', _packed(_pack, _suffix))


# Delimiters and padding


def _delimited(delimiter: str, make_table: Callable[[random.Random, int], list[Row]] = readings) -> Maker:
    def make(random_: random.Random, spot: Spot) -> Draft:
        table = make_table(random_, spot.rows)
        return Draft(data=write(table, delimiter=delimiter), table=table, series=make_table is not words)

    return make


for _name, _delimiter in (
    ('semicolon', ';'), ('tab', '\t'), ('pipe', '|'), ('caret', '^'), ('tilde', '~'), ('unit_separator', '\x1f'),
    ('double_pipe', '||'), ('double_colon', '::'), ('tilde_pipe', '~|~'), ('double_at', '@@'),
    ('double_semicolon', ';;'),
    ('double_tab', '\t\t'), ('space', ' '), ('hash_pipe', '#|#'), ('section', '§'), ('exclamation', '!'),
):  # fmt: skip
    _also(f'delimiter_{_name}', _delimited(_delimiter))
_also('delimiter_colon', _delimited(':', words))
_also('delimiter_slash', _delimited('/', words))


@whole
def padded_after(random_: random.Random, spot: Spot) -> Draft:
    """A blank behind every comma."""
    table = readings(random_, spot.rows)
    return Draft(data=write(table, delimiter=', '), table=table)


@whole
def padded_around(random_: random.Random, spot: Spot) -> Draft:
    """Blanks around every delimiter."""
    table = sales(random_, spot.rows)
    return Draft(data=write(table, delimiter=' | ').replace('\n ', '\n'), table=table)


@whole
def padded_to_columns(random_: random.Random, spot: Spot) -> Draft:
    """Cells padded to aligned columns, between semicolons."""
    table = readings(random_, spot.rows)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    text = ''.join(';'.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + '\n' for row in table)
    return Draft(data=text, table=table)


@whole
def padded_quotes(random_: random.Random, spot: Spot) -> Draft:
    """A blank between the comma and the opening quote; commas inside."""
    table = sales(random_, spot.rows)
    for row in table[1::2]:
        row[1] = f'{row[1]}, large'
    text = ''.join(', '.join(f'"{cell}"' if ',' in cell else cell for cell in row) + '\n' for row in table)
    return Draft(data=text, table=table)


@whole
def aligned_columns(random_: random.Random, spot: Spot) -> Draft:
    """Columns aligned by runs of blanks."""
    meant = [[row[0], *(cell.replace(' ', '_') for cell in row[1:])] for row in readings(random_, spot.rows)]
    table = [[row[0].replace(' ', '_'), *row[1:]] for row in meant]
    widths = [max(map(len, column)) + 2 for column in zip(*table, strict=True)]
    text = ''.join(
        ''.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + '\n' for row in table
    )
    return Draft(data=text, table=table, meant=meant)


@whole
def decimal_commas(random_: random.Random, spot: Spot) -> Draft:
    """Decimal commas between semicolons."""
    meant = readings(random_, spot.rows)
    table = _with_commas(meant)
    return Draft(data=write(table, delimiter=';'), table=table, meant=meant)


@whole
def decimal_commas_quoted(random_: random.Random, spot: Spot) -> Draft:
    """Decimal commas in quotes between commas."""
    meant = readings(random_, spot.rows)
    table = _with_commas(meant)
    return Draft(data=write(table), table=table, meant=meant)


def _with_commas(table: list[Row]) -> list[Row]:
    """Readings with decimal commas."""
    return [table[0], *([*row[:2], row[2].replace('.', ','), row[3].replace('.', ','), *row[4:]] for row in table[1:])]


@whole
def ends_in_delimiter(random_: random.Random, spot: Spot) -> Draft:
    """Every record ends in a delimiter, the header too or not."""
    table = readings(random_, spot.rows)
    text = ''.join(line(row) + (',\n' if index or spot.size != 'small' else '\n') for index, row in enumerate(table))
    return Draft(data=text, table=table)


# Quotes and escapes


def _quoted(quote: str, escape: str | None, *, always: bool, numbers_bare: bool = False, delimiter: str = ',') -> Maker:
    def make(random_: random.Random, spot: Spot) -> Draft:
        table = sales(random_, spot.rows)
        for index, row in enumerate(table[1:]):
            if index % 3 == 0:
                row[4] = f'said {quote}yes{quote}{delimiter} then {quote}no{quote}'
            elif index % 3 == 1:
                row[1] = f'{row[1]}{delimiter} large'
        bare = is_number if numbers_bare else None
        text = write(table, delimiter=delimiter, quote=quote, escape=escape, always=always, bare=bare)
        return Draft(data=text, table=table)

    return make


for _name, _quote, _escape, _always, _bare, _delimiter in (
    ('all', '"', None, True, False, ','),
    ('needed', '"', None, False, False, ','),
    ('words', '"', None, True, True, ';'),
    ('apostrophe', "'", None, True, False, ','),
    ('apostrophe_needed', "'", None, False, False, ';'),
    ('backslash', '"', '\\', False, False, ','),
    ('backslash_all', '"', '\\', True, False, '\t'),
    ('apostrophe_backslash', "'", '\\', True, False, ','),
    ('backtick', '`', None, True, False, ','),
):
    _also(f'quote_{_name}', _quoted(_quote, _escape, always=_always, numbers_bare=_bare, delimiter=_delimiter))


@whole
def quotes_not_escaped(random_: random.Random, spot: Spot) -> Draft:
    """Quotes inside quoted cells that nothing escapes."""
    table = sales(random_, spot.rows)
    faults = []
    for index, row in enumerate(table[1:]):
        if index % 4 == 2:
            row[1] = f'{row[1]} "large" size'
            faults.append(Known(line=index + 2, column=None, kind='stray_quote'))
    text = ''.join(','.join(f'"{cell}"' for cell in row) + '\n' for row in table)
    return Draft(data=text, table=table, faults=faults)


@whole
def inches(random_: random.Random, spot: Spot) -> Draft:
    """Quotes at the end of bare cells."""
    table = sales(random_, spot.rows)
    for row in table[2::3]:
        row[1] = f'{row[1]} 5"'
    return Draft(data=''.join(','.join(row) + '\n' for row in table), table=table)


@whole
def quoted_breaks(random_: random.Random, spot: Spot) -> Draft:
    """Line breaks and blank lines inside quoted cells."""
    table = sales(random_, spot.rows)
    for index, row in enumerate(table[1:]):
        if index % 5 == 1:
            row[4] = f'first line\nsecond, {row[4]}\n\nlast'
    return Draft(data=write(table), table=table)


@placed
def quote_inside(random_: random.Random, spot: Spot) -> Draft:
    """One quoted cell with a bare quote inside."""
    table = sales(random_, spot.rows)
    at = spot.row() + 1
    table[at][1] = 'oak "round" table'
    text = write(table[:at], always=True) + ','.join(f'"{cell}"' for cell in table[at]) + '\n'
    text += write(table[at + 1 :], always=True)
    return Draft(data=text, table=table, faults=[Known(line=at + 1, column=None, kind='stray_quote')])


@placed
def quote_never_closed(random_: random.Random, spot: Spot) -> Draft:
    """A quote opens a cell and never closes it."""
    table = readings(random_, spot.rows)
    at = spot.row() + 1
    table[at][1] = f'"{table[at][1]}'
    text = write(table[:at]) + ','.join(table[at]) + '\n' + write(table[at + 1 :])
    return Draft(data=text, table=table, faults=[Known(line=at + 1, column=None, kind='unterminated_quote')])


@placed
def quote_too_many(random_: random.Random, spot: Spot) -> Draft:
    """A further quote at the start of a quoted cell."""
    table = sales(random_, spot.rows)
    at = spot.row() + 1
    cells = [f'"{cell}"' for cell in table[at]]
    cells[1] = f'"{cells[1]}'
    table[at][1] = f'"{table[at][1]}'
    text = write(table[:at], always=True) + ','.join(cells) + '\n' + write(table[at + 1 :], always=True)
    return Draft(data=text, table=table, faults=[Known(line=at + 1, column=None, kind='stray_quote')])


@placed
def other_quote(random_: random.Random, spot: Spot) -> Draft:
    """One record whose cells are all quoted by apostrophes in a file of double quotes."""
    table = sales(random_, spot.rows)
    at = spot.row() + 1
    text = write(table[:at], always=True) + ','.join(f"'{cell}'" for cell in table[at]) + '\n'
    text += write(table[at + 1 :], always=True)
    return Draft(data=text, table=table, faults=[Known(line=at + 1, column=None, kind='stray_quote')])


# Line breaks


def _broken(newline: str, *, last: str | None = None) -> Maker:
    def make(random_: random.Random, spot: Spot) -> Draft:
        table = readings(random_, spot.rows)
        text = write(table, newline=newline)
        return Draft(data=text if last is None else text.removesuffix(newline) + last, table=table)

    return make


_also('breaks_return', _broken('\r'))
_also('breaks_pair', _broken('\r\n'))
_also('breaks_none_at_end', _broken('\n', last=''))
_also('breaks_many_at_end', _broken('\n', last='\n\n\n\n'))
_also('breaks_doubled', _broken('\n\n'))
_also('breaks_return_return_feed', _broken('\r\r\n'))


@whole
def breaks_mixed(random_: random.Random, spot: Spot) -> Draft:
    """All three sorts of line breaks."""
    table = readings(random_, spot.rows)
    return Draft(data=''.join(line(row) + random_.choice(('\n', '\r\n', '\r')) for row in table), table=table)


@placed
def one_other_break(random_: random.Random, spot: Spot) -> Draft:
    """One record that ends in a return among line feeds."""
    table = readings(random_, spot.rows)
    at = spot.row() + 1
    return Draft(data=write(table[:at]) + line(table[at]) + '\r' + write(table[at + 1 :]), table=table)


@placed
def blank_lines(random_: random.Random, spot: Spot) -> Draft:
    """Blank lines between records."""
    table = readings(random_, spot.rows)
    at = spot.row() + 1
    return Draft(data=write(table[:at]) + '\n  \n' + write(table[at:]), table=table)


@placed
def empty_records(random_: random.Random, spot: Spot) -> Draft:
    """Records of nothing but delimiters."""
    table = readings(random_, spot.rows)
    at = spot.row() + 1
    return Draft(data=write(table[:at]) + ',,,,,\n,,,,,\n' + write(table[at:]), table=table)


# Around the table


def _above(*lines: str) -> Maker:
    def make(random_: random.Random, spot: Spot) -> Draft:
        table = readings(random_, spot.rows)
        return Draft(data=''.join(f'{text}\n' for text in lines) + write(table), table=table)

    return make


def _below(*lines: str) -> Maker:
    def make(random_: random.Random, spot: Spot) -> Draft:
        table = readings(random_, spot.rows)
        return Draft(data=write(table) + ''.join(f'{text}\n' for text in lines), table=table)

    return make


_also('above_title', _above('Readings of the town'))
_also('above_title_and_blank', _above('Readings of the town, 2023', 'made by the office, second floor', ''))
_also('above_pairs', _above('Station: town', 'Unit: MW', 'Printed: 2023-05-01 10:00', '', ''))
_also('above_padded', _above('Readings of the town,,,,,', 'Printed,2023-05-01,,,,', ',,,,,'))
_also('above_comments', _above('# made by a logger', '# unit: MW, °C', '#'))
_also('above_prose', _above(*(f'Line {i} of a long text, which says little, but has commas.' for i in range(12)), ''))
_also('below_source', _below('Source: the office of the town'))
_also(
    'below_note', _below('', 'Note: values of the airport are provisional, see the handbook.', 'All times are local.')
)
_also('below_padded', _below(',,,,,', '* provisional,,,,,'))
_also('below_comments', _below('# end of the export', '# 12 rows'))
_also('below_other_table', _below('', 'code,meaning', 'A,airport', 'H,harbour', 'N,north'))
_also('below_titled_table', _below('', 'Legend', 'code,meaning', 'A,airport', 'H,harbour', 'N,north'))


@whole
def names_delimiter(random_: random.Random, spot: Spot) -> Draft:
    """A first line that names the delimiter."""
    table = readings(random_, spot.rows)
    return Draft(data='sep=;\r\n' + write(table, delimiter=';', newline='\r\n'), table=table)


@placed
def comment_lines(random_: random.Random, spot: Spot) -> Draft:
    """Comment lines between records."""
    table = readings(random_, spot.rows)
    at = spot.row() + 1
    return Draft(data=write(table[:at]) + '# sensor changed\n' + write(table[at:]), table=table)


@placed
def comments_with_commas(random_: random.Random, spot: Spot) -> Draft:
    """Comment lines between records that hold delimiters, in a file that starts with a comment."""
    table = readings(random_, spot.rows)
    at = spot.row() + 1
    middle = '# sensor changed, door open, all, at, once, so\n# again, a, b\n'
    return Draft(data='# log of a sensor\n' + write(table[:at]) + middle + write(table[at:]), table=table)


@placed
def header_again(random_: random.Random, spot: Spot) -> Draft:
    """The header stands once more between records, as after files were joined."""
    table = readings(random_, spot.rows)
    at = spot.row() + 1
    return Draft(data=write(table[:at]) + line(table[0]) + '\n' + write(table[at:]), table=table)


# Headers


@whole
def header_none(random_: random.Random, spot: Spot) -> Draft:
    """No header."""
    table = readings(random_, spot.rows)[1:]
    return Draft(data=write(table), table=table, named=False)


@whole
def header_none_words(random_: random.Random, spot: Spot) -> Draft:
    """No header above columns of which most hold words."""
    table = sales(random_, spot.rows)[1:]
    return Draft(data=write(table, delimiter=';'), table=table, named=False)


@whole
def header_of_words(random_: random.Random, spot: Spot) -> Draft:
    """A header of words above words."""
    table = words(random_, spot.rows)
    return Draft(data=write(table), table=table, series=False)


@whole
def header_of_two(random_: random.Random, spot: Spot) -> Draft:
    """Units below the names."""
    table = readings(random_, spot.rows)
    units = ['', '', 'MW', '°C', 'per hour', '']
    text = write([table[0], units, *table[1:]])
    table[0] = ['time', 'station', 'load MW', 'temperature °C', 'cars per hour', 'valid']
    return Draft(data=text, table=table)


@whole
def header_of_three(random_: random.Random, spot: Spot) -> Draft:
    """Names, units and kinds."""
    table = readings(random_, spot.rows)
    rows = [table[0], ['UTC', 'name', 'MW', '°C', 'per hour', 'flag'], ['start', '', 'mean', 'mean', 'sum', 'last']]
    text = write([*rows, *table[1:]])
    table[0] = ['time UTC start', 'station name', 'load MW mean']
    table[0] += ['temperature °C mean', 'cars per hour sum', 'valid flag last']
    return Draft(data=text, table=table)


@whole
def header_with_years(random_: random.Random, spot: Spot) -> Draft:
    """Names that are years."""
    table = [['place', *map(str, range(2015, 2023))]]
    for index in range(spot.rows):
        table.append([f'{STREETS[index % 4]} {index}', *(f'{random_.uniform(1, 99):.1f}' for _ in range(8))])
    meant = [['place', 'year', 'value']]
    for place, *values in table[1:]:
        meant += [[place, year, value] for year, value in zip(table[0][1:], values, strict=True)]
    return Draft(data=write(table), table=table, meant=meant)


STREETS = ('Mill Lane', 'High Street', 'Station Road', 'Park Avenue')


@whole
def header_repeats(random_: random.Random, spot: Spot) -> Draft:
    """Names that repeat, and names that are empty."""
    table = readings(random_, spot.rows)
    table[0] = ['time', 'station', 'value', 'value', '', 'valid']
    return Draft(data=write(table), table=table)


@whole
def header_misses_row_names(random_: random.Random, spot: Spot) -> Draft:
    """A header without a name for the numbers in front of the records."""
    table = readings(random_, spot.rows)
    rows = [table[0], *([str(index), *row] for index, row in enumerate(table[1:], start=1))]
    text = write(rows)
    return Draft(data=text, table=[['', *table[0]], *rows[1:]])


@whole
def header_alone(random_: random.Random, spot: Spot) -> Draft:
    """A header and no record."""
    table = readings(random_, 1)[:1]
    return Draft(data=write(table), table=table, series=False)


@whole
def one_record(random_: random.Random, spot: Spot) -> Draft:
    """A header and one record."""
    table = readings(random_, 1)
    return Draft(data=write(table), table=table)


@whole
def one_column(random_: random.Random, spot: Spot) -> Draft:
    """A single column of numbers, with a gap."""
    table = [['load'], *([f'{random_.uniform(1, 9):.3f}'] for _ in range(spot.rows))]
    return Draft(data=write(table), table=table, series=False)


@whole
def one_column_of_words(random_: random.Random, spot: Spot) -> Draft:
    """A single column of words, some of them with commas in quotes."""
    table = [['article'], *([random_.choice(ARTICLES_AND)] for _ in range(spot.rows))]
    return Draft(data=write(table), table=table, series=False)


ARTICLES_AND = ('desk lamp', 'oak chair, large', 'wool rug', 'tea pot', 'wall clock, round', 'book shelf')


@whole
def many_columns(random_: random.Random, spot: Spot) -> Draft:
    """Thousands of columns."""
    count = {'small': 300, 'medium': 3000, 'large': 20_000}[spot.size]
    table = [['time', *(f's{i}' for i in range(count))]]
    table += [[f'2024-01-{day:02}', *(str(random_.randint(0, 999)) for _ in range(count))] for day in range(1, 7)]
    meant = [['time', 'series', 'value']]
    for time, *values in table[1:]:
        meant += [[time, name, value] for name, value in zip(table[0][1:], values, strict=True)]
    return Draft(data=write(table), table=table, meant=meant)


@whole
def long_cells(random_: random.Random, spot: Spot) -> Draft:
    """A cell of kilobytes, or of three megabytes."""
    table = sales(random_, 12)
    table[6][4] = 'word, and more, ' * {'small': 500, 'medium': 5000, 'large': 200_000}[spot.size] + 'end'
    return Draft(data=write(table), table=table)


@whole
def empty_columns(random_: random.Random, spot: Spot) -> Draft:
    """Columns with names and nothing below, and one that is nearly empty."""
    table = readings(random_, spot.rows)
    for index, row in enumerate(table):
        last = 'x' if index == spot.rows else ''
        row[:] = [*row[:2], '' if index else 'spare', *row[2:], last if index else 'late']
    return Draft(data=write(table), table=table)


@whole
def many_gaps(random_: random.Random, spot: Spot) -> Draft:
    """A third of the cells is empty."""
    table = readings(random_, spot.rows)
    for row in table[1:]:
        for index in (2, 3, 4, 5):
            if random_.random() < 0.4:
                row[index] = ''
    return Draft(data=write(table, delimiter=';'), table=table)


# Records


def _row(random_: random.Random, spot: Spot, change: Callable[[Row], str], kind: str, **options: Any) -> Draft:
    """One record written by `change`, which may alter what it means."""
    table = options.get('make', readings)(random_, spot.rows)
    at = spot.row() + 1
    text = change(table[at])
    delimiter = options.get('delimiter', ',')
    before, behind = write(table[:at], delimiter=delimiter), write(table[at + 1 :], delimiter=delimiter)
    return Draft(data=f'{before}{text}\n{behind}', table=table, faults=[Known(line=at + 1, column=None, kind=kind)])


@placed
def row_short(random_: random.Random, spot: Spot) -> Draft:
    """The last two cells are missing."""

    def change(row: Row) -> str:
        row[4:] = ['', '']
        return ','.join(row[:4])

    return _row(random_, spot, change, 'short_row')


@placed
def rows_short(random_: random.Random, spot: Spot) -> Draft:
    """Several records in a row without their last cell."""
    table = readings(random_, spot.rows)
    at = max(1, min(spot.row() + 1, spot.rows - 3))
    text = write(table[:at]) + ''.join(','.join(row[:5]) + '\n' for row in table[at : at + 3]) + write(table[at + 3 :])
    for row in table[at : at + 3]:
        row[5] = ''
    return Draft(
        data=text, table=table, faults=[Known(line=at + 1 + i, column=None, kind='short_row') for i in range(3)]
    )


@placed
def row_long_by_an_empty_cell(random_: random.Random, spot: Spot) -> Draft:
    """An additional delimiter inside the record."""
    return _row(random_, spot, lambda row: ','.join([*row[:2], '', *row[2:]]), 'long_row')


@placed
def row_long_at_the_end(random_: random.Random, spot: Spot) -> Draft:
    """Additional delimiters at the end."""
    return _row(random_, spot, lambda row: ','.join(row) + ',,', 'long_row')


@placed
def row_long_in_front(random_: random.Random, spot: Spot) -> Draft:
    """An additional delimiter in front."""
    return _row(random_, spot, lambda row: ',' + ','.join(row), 'long_row')


@placed
def row_with_surplus_text(random_: random.Random, spot: Spot) -> Draft:
    """Cells with text beyond the last column."""
    return _row(random_, spot, lambda row: ','.join([*row, 'seen by Ann']), 'long_row')


@placed
def row_with_a_bare_delimiter(random_: random.Random, spot: Spot) -> Draft:
    """A comma in a cell of text that nothing quotes."""

    def change(row: Row) -> str:
        row[1] = 'Old Town, gate 2'
        return ','.join(row)

    return _row(random_, spot, change, 'long_row')


@placed
def row_of_another_delimiter(random_: random.Random, spot: Spot) -> Draft:
    """One record separated by another character."""
    return _row(random_, spot, lambda row: ';'.join(row), 'other_delimiter')


@placed
def row_of_tabs(random_: random.Random, spot: Spot) -> Draft:
    """One record separated by tabs in a file of semicolons."""
    return _row(random_, spot, lambda row: '\t'.join(row), 'other_delimiter', delimiter=';', make=sales)


@placed
def row_padded(random_: random.Random, spot: Spot) -> Draft:
    """One record with a blank behind each of its commas."""
    return _row(random_, spot, lambda row: ', '.join(row), 'other_delimiter')


# Other formats


@whole
def json_array(random_: random.Random, spot: Spot) -> Draft:
    """An array of objects."""
    table = readings(random_, spot.rows)
    data = json.dumps([dict(zip(table[0], row, strict=True)) for row in table[1:]], indent=1)
    return Draft(data=data, table=table, text=False, suffix='json')


@whole
def json_lines(random_: random.Random, spot: Spot) -> Draft:
    """An object a line, some without a key."""
    table = readings(random_, spot.rows)
    lines = []
    for index, row in enumerate(table[1:]):
        item = dict(zip(table[0], row, strict=True))
        if index % 4 == 3:
            del item['temperature']
            row[3] = ''
        lines.append(json.dumps(item))
    return Draft(data='\n'.join([*lines, '']), table=table, text=False, suffix='jsonl')


@whole
def json_nested(random_: random.Random, spot: Spot) -> Draft:
    """Objects within objects, under a name."""
    table = readings(random_, spot.rows)
    items = []
    for row in table[1:]:
        values = {'load': row[2], 'temperature': row[3], 'more': {'cars': row[4]}}
        items.append({'time': row[0], 'at': {'station': row[1]}, 'values': values, 'valid': row[5]})
    table[0] = ['time', 'at.station', 'values.load', 'values.temperature', 'values.more.cars', 'valid']
    return Draft(data=json.dumps({'status': 'ok', 'data': items}), table=table, text=False, suffix='json')


@whole
def json_columns(random_: random.Random, spot: Spot) -> Draft:
    """An object of columns."""
    table = readings(random_, spot.rows)
    columns = {name: [row[index] for row in table[1:]] for index, name in enumerate(table[0])}
    return Draft(data=json.dumps(columns), table=table, text=False, suffix='json')


@whole
def json_rows(random_: random.Random, spot: Spot) -> Draft:
    """An array of arrays whose first holds the names."""
    table = readings(random_, spot.rows)
    return Draft(data=json.dumps(table), table=table, text=False, suffix='json')


@placed
def json_line_broken(random_: random.Random, spot: Spot) -> Draft:
    """One line that is no JSON."""
    table = readings(random_, spot.rows)
    lines = [json.dumps(dict(zip(table[0], row, strict=True))) for row in table[1:]]
    lines.insert(spot.row(), '{"time": "2023-')
    fault = Known(line=spot.row() + 1, column=None, kind='not_a_record')
    return Draft(data='\n'.join([*lines, '']), table=table, text=False, suffix='jsonl', faults=[fault])


def _arrow(table: list[Row]) -> Any:
    import pyarrow as pa

    return pa.table({name: [row[index] for row in table[1:]] for index, name in enumerate(table[0])})


@whole
def parquet(random_: random.Random, spot: Spot) -> Draft:
    """A Parquet file of nothing but texts."""
    import pyarrow.parquet as pq

    table, buffer = readings(random_, spot.rows), io.BytesIO()
    pq.write_table(_arrow(table), buffer)
    return Draft(data=buffer.getvalue(), table=table, text=False, suffix='parquet')


@whole
def feather(random_: random.Random, spot: Spot) -> Draft:
    """A Feather file."""
    import pyarrow.feather

    table, buffer = readings(random_, spot.rows), io.BytesIO()
    pyarrow.feather.write_feather(_arrow(table), buffer)
    return Draft(data=buffer.getvalue(), table=table, text=False, suffix='feather')


def _book(*sheets: tuple[str, list[list[Any]], list[str]]) -> bytes:
    import openpyxl

    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for title, rows, merges in sheets:
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append([None if cell == '' else cell for cell in row])
        for area in merges:
            sheet.merge_cells(area)
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def _typed(table: list[Row]) -> list[list[Any]]:
    """Sales as a workbook holds them."""
    rows: list[list[Any]] = [list(table[0])]
    for row in table[1:]:
        rows.append([datetime.strptime(row[0], '%Y-%m-%d'), row[1], float(row[2]), int(row[3]), row[4]])
        row[2] = repr(float(row[2]))
    return rows


@whole
def xlsx_with_title(random_: random.Random, spot: Spot) -> Draft:
    """A workbook with a title above the table and a note below."""
    table = sales(random_, spot.rows)
    rows = [['Sales of the shop'], [], *_typed(table), [], ['Source: the shop']]
    return Draft(data=_book(('Sales', rows, ['A1:E1'])), table=_trimmed(table), text=False, suffix='xlsx')


@whole
def xlsx_of_several_sheets(random_: random.Random, spot: Spot) -> Draft:
    """A cover sheet before the sheet with the table."""
    table = sales(random_, spot.rows)
    cover = ('Cover', [['Shop', 'Old Town'], ['Year', 2021]], [])
    data = _book(cover, ('Sales', _typed(table), []), ('Notes', [['none']], []))
    return Draft(data=data, table=_trimmed(table), text=False, suffix='xlsx')


@whole
def xlsx_with_merged_header(random_: random.Random, spot: Spot) -> Draft:
    """Names merged over columns, with a second row of names below."""
    table = sales(random_, spot.rows)
    rows = _typed(table)
    rows[:1] = [['', '', 'sold', '', 'seen'], ['date', 'article', 'price', 'pieces', 'remark']]
    table[0] = ['date', 'article', 'sold price', 'sold pieces', 'seen remark']
    return Draft(data=_book(('Sales', rows, ['C1:D1'])), table=_trimmed(table), text=False, suffix='xlsx')


def _trimmed(table: list[Row]) -> list[Row]:
    """A whole number of a workbook has no decimals."""
    return [[cell.removesuffix('.0') for cell in row] for row in table]


# Cells: the table is as written, the faults are for whoever chooses types


def _but(table: list[Row], at: int, column: int, meant: str) -> list[Row]:
    """The table with another cell at one place."""
    return [*table[:at], [*table[at][:column], meant, *table[at][column + 1 :]], *table[at + 1 :]]


def _cell(column: int, value: str, kind: str, meant: str) -> Maker:
    """One cell of readings; what is `meant` by it is '' where nothing can be read."""

    def make(random_: random.Random, spot: Spot) -> Draft:
        table = readings(random_, spot.rows)
        at = spot.row() + 1
        table[at][column] = value
        fault = Known(line=at + 1, column=table[0][column], kind=kind, value=value)
        return Draft(data=write(table), table=table, meant=_but(table, at, column, meant), faults=[fault])

    return make


for _name, _column, _value, _kind, _meant in (
    ('number_is_a_word', 2, 'broken', 'not_a_number', ''),
    ('number_too_large', 2, '1e400', 'out_of_range', ''),
    ('number_with_unit', 2, '512.5 MW', 'unit', '512.5'),
    ('number_with_comma_and_unit', 3, '3,95 °C', 'unit', '3.95'),
    ('number_padded', 3, '  12.5 ', 'padding', '12.5'),
    ('number_with_comma', 3, '12,5', 'number_format', '12.5'),
    ('null_spelled', 4, 'n/a', 'null_spelling', ''),
    ('truth_is_a_word', 5, 'maybe', 'not_a_boolean', ''),
    ('time_impossible', 0, '2023-02-30 10:00', 'not_a_time', ''),
    ('time_is_a_word', 0, 'yesterday', 'not_a_time', ''),
    ('time_missing', 0, '', 'missing_time', ''),
):
    _also(f'cell_{_name}', _cell(_column, _value, _kind, _meant), where=True)


@placed
def cell_written_otherwise(random_: random.Random, spot: Spot) -> Draft:
    """One date written otherwise than its column."""
    table = sales(random_, spot.rows)
    at, meant = spot.row() + 1, [list(row) for row in table]
    table[at][0] = datetime.strptime(table[at][0], '%Y-%m-%d').strftime('%d %B %Y')
    fault = Known(line=at + 1, column='date', kind='date_format', value=table[at][0])
    return Draft(data=write(table), table=table, meant=meant, faults=[fault])


@placed
def record_twice(random_: random.Random, spot: Spot) -> Draft:
    """A record whose series and time stand a second time, right below."""
    table = readings(random_, spot.rows)
    at = spot.row() + 1
    table.insert(at + 1, [*table[at][:2], '1.00', *table[at][3:]])
    meant = [*table[:at], *table[at + 1 :]]
    return Draft(
        data=write(table), table=table, meant=meant, faults=[Known(line=at + 1, column=None, kind='duplicate')]
    )


def _all_cells(
    columns: Sequence[int],
    form: Callable[[str], str],
    *,
    plain: Callable[[str], str] = lambda cell: cell,
    delimiter: str = ',',
) -> Maker:
    """Every cell of some columns of sales is written by `form`; `plain` is what is meant by it."""

    def make(random_: random.Random, spot: Spot) -> Draft:
        table = sales(random_, spot.rows)
        meant = [list(row) for row in table]
        for row, mean in zip(table[1:], meant[1:], strict=True):
            for column in columns:
                row[column], mean[column] = form(row[column]), plain(row[column])
        return Draft(data=write(table, delimiter=delimiter), table=table, meant=meant)

    return make


def _dated(form: str) -> Callable[[str], str]:
    return lambda cell: datetime.strptime(cell, '%Y-%m-%d').replace(tzinfo=UTC).strftime(form)


def _points(cell: str) -> str:
    return f'{float(cell) * 5000:,.2f}'.translate(str.maketrans(',.', '.,'))


def _blanks(cell: str) -> str:
    return f'{float(cell) * 5000:,.0f}'.replace(',', ' ')


def _thousands(cell: str) -> str:
    return f'{float(cell) * 5000:.2f}'


_also('cells_of_currency', _all_cells((2,), lambda cell: f'${float(cell):,.2f}'))
_also('cells_of_euros', _all_cells((2,), lambda cell: f'{float(cell):.2f} €'.replace('.', ','), delimiter=';'))
_also(
    'cells_of_percent',
    _all_cells((2,), lambda cell: f'{float(cell):.1f}%', plain=lambda cell: f'{float(cell):.1f}'),
)
_also('cells_of_thousands', _all_cells((2,), lambda cell: f'{float(cell) * 5000:,.2f}', plain=_thousands))
_also('cells_of_thousands_by_points', _all_cells((2,), _points, plain=_thousands, delimiter=';'))
_also(
    'cells_of_thousands_by_blanks',
    _all_cells((2,), _blanks, plain=lambda cell: f'{float(cell) * 5000:.0f}', delimiter='\t'),
)
_also('cells_of_zeros_in_front', _all_cells((2, 3), lambda cell: cell.zfill(9)))
_also('cells_of_day_first', _all_cells((0,), _dated('%d/%m/%Y')))
_also('cells_of_month_names', _all_cells((0,), _dated('%b %d, %Y')))
_also(
    'cells_of_clocks',
    _all_cells((0,), _dated('%m/%d/%Y 03:15:00 PM'), plain=_dated('%Y-%m-%d 15:15:00')),
)


@whole
def cells_of_epochs(random_: random.Random, spot: Spot) -> Draft:
    """Times in seconds since 1970, an hour apart."""
    table = sales(random_, spot.rows)
    meant = [list(row) for row in table]
    for index, (row, mean) in enumerate(zip(table[1:], meant[1:], strict=True)):
        seconds = 1_600_000_000 + 3600 * index
        row[0], mean[0] = str(seconds), datetime.fromtimestamp(seconds, UTC).strftime('%Y-%m-%d %H:%M:%S')
    return Draft(data=write(table), table=table, meant=meant)


# Mixtures: a dialect at random, texts around the table at random, and one damaged record


PREAMBLE = (
    'Report of the year',
    'Station: 12',
    'Printed 2023-01-05 by the tool, version 1.2',
    'All values in MW; see notes',
)
FOOTNOTES = ('Source: office', 'Total rows: 12', '* provisional', 'Note: see page 3, and 4')
PEOPLE = ('Smith, John', "O'Neil", 'Mary "Bo" Lee', 'Li', 'Anne-Marie')
COMMENTS = ('', 'ok', 'long text; with semicolons, commas and so on', 'two\nlines', '50% off', 'a|b')


def visits(random_: random.Random, count: int) -> list[Row]:
    """Text of all sorts: names with quotes and commas, addresses, comments over several lines, gaps."""
    rows = [['id', 'name', 'date', 'amount', 'address', 'comment']]
    days = [date(2020, 1, 1) + timedelta(days=index) for index in range(count)]
    random_.shuffle(days)
    for index, day in enumerate(days):
        amount = f'{random_.uniform(-5, 5000):.2f}' if random_.random() > 0.1 else ''
        address = f'https://example.org/a?b={index}&c=1;d'
        rows.append([str(1000 + index), random_.choice(PEOPLE), str(day), amount, address, random_.choice(COMMENTS)])
    return rows


def _mixture(random_: random.Random, spot: Spot) -> Draft:
    make = random_.choice((readings, sales, words, visits, visits))
    named = random_.random() > 0.2
    table = make(random_, spot.rows)[0 if named else 1 :]
    delimiter, quote = random_.choice(',,,,;;\t\t||'), random_.choice('""""""\'')
    style: dict[str, Any] = {
        'delimiter': delimiter,
        'quote': quote,
        'escape': random_.choice((None, None, None, '\\')),
        'always': random_.random() < 0.3,
    }
    lines = [line(row, **style) for row in table]
    meant = _damage(random_, table, lines, spot.row(), style)
    if random_.random() < 0.25:
        lines = random_.sample(PREAMBLE, random_.randint(1, 4)) + [''] * random_.randint(0, 1) + lines
    if random_.random() < 0.25:
        lines += [''] * random_.randint(0, 1) + random_.sample(FOOTNOTES, random_.randint(1, 3))
    newline = random_.choice(('\n', '\n', '\r\n', '\r'))
    text = newline.join(lines) + newline * random_.choice((0, 1, 1, 1, 2))
    data = text.encode(random_.choice(('utf-8', 'utf-8', 'utf-8', 'utf-8-sig', 'utf-16')))
    return Draft(data=data, table=table, meant=meant, named=named, series=make is not words)


def _damage(random_: random.Random, table: list[Row], lines: list[str], at: int, style: dict[str, Any]) -> list[Row]:
    """Break one record, or none, let the table tell how it reads now, and return what is meant then."""
    row, width = table[at], len(table[0])
    place = random_.randrange(1, width)
    match random_.choice(('none', 'none', 'short', 'long', 'other', 'open')):
        case 'short':
            lines[at] = line(row[:place], **style)
            row[place:] = [''] * (width - place)
        case 'long':
            lines[at] = line([*row[:place], '', *row[place:]], **style | {'always': False})
        case 'other' if not any('\n' in cell for cell in row):
            other = random_.choice([mark for mark in ',;\t|' if mark != style['delimiter']])
            lines[at] = line(row, **style | {'delimiter': other})
        case 'open':
            cells = [line([cell], **style) for cell in row]
            if not cells[place].startswith(style['quote']) and style['delimiter'] not in cells[place]:
                lost = is_number(row[place]) or row[place][:2] == '20' or row[place] in ('true', 'false')
                cells[place] = row[place] = style['quote'] + cells[place]
                lines[at] = style['delimiter'].join(cells)
                # A quote in front makes no number, time or truth value.
                return _but(table, at, place, '') if lost else table
    return table


for _number in range(1, 9):
    _also(f'mixture_{_number}', _mixture, where=True)
