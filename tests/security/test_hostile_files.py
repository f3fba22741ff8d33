"""Hostile files: each is answered by a report or one clear line, from a child within its memory; we stay as we were."""

import bz2
import gzip
import io
import json
import lzma
import random
import struct
import tarfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.errors import NotSupported, TaskOverLimit, TooLarge, UnreadableFile, VariosyncError
from storage.embedded.compute import _descendants, run_local
from storage.embedded.nursery import Nursery
from ui.cli import CHILD_OVERHEAD

MEMORY = 512 * 2**20
LONGEST = 60.0
MB = 2**20
PLAIN = b'ds,y\n' + b''.join(b'2024-01-%02d,%d\n' % (day, day) for day in range(1, 29))
Report = dict[str, Any]
Wanted = type[VariosyncError] | Callable[[Report], bool]
CASES: list[Any] = []


def hostile(name: str, wanted: Wanted) -> Callable[[Callable[[], bytes]], Callable[[], bytes]]:
    """Add a file: its name, and the error that it meets or what its report says."""

    def add(make: Callable[[], bytes]) -> Callable[[], bytes]:
        CASES.append(pytest.param(name, make, wanted, id=make.__name__))
        return make

    return add


def reads(**figures: int) -> Callable[[Report], bool]:
    """A report with these figures."""
    return lambda report: {key: report[key] for key in figures} == figures


def nothing_good(report: Report) -> bool:
    """A report that calls no row of the file accepted or repaired."""
    return report['rows_accepted'] + report['rows_repaired'] == 0


def adds_up(report: Report) -> bool:
    """A report that gives an account of every record it found."""
    parts = ('rows_accepted', 'rows_repaired', 'rows_rejected')
    return report['rows_read'] == sum(report[part] for part in parts) and report['faults_total'] > 0


# archives


def deflated_zeros(size: int) -> bytes:
    """A raw deflate stream of `size` zero bytes, made of one repeated piece."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packer.compress(b'')
    piece = packer.compress(bytes(16 * MB)) + packer.flush(zlib.Z_FULL_FLUSH)
    return piece * (size // (16 * MB)) + zlib.compressobj(9, zlib.DEFLATED, -15).flush()


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, 'w', method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return held.getvalue()


def forged_zip(name: str, packed: bytes, *, claimed: int) -> bytes:
    """A zip with one deflated member whose header claims a size."""
    plain = zipped((name, b'x'))
    with zipfile.ZipFile(io.BytesIO(plain)) as archive:
        old = archive.infolist()[0]
        body = len(name) + 30
    sizes = struct.pack('<LLL', 0, len(packed), claimed)
    directory = plain.index(b'PK\x01\x02')
    end = plain.index(b'PK\x05\x06')
    local = plain[:14] + sizes + plain[26:body]
    central = plain[directory : directory + 16] + sizes + plain[directory + 28 : end]
    last = plain[end : end + 16] + struct.pack('<L', len(local) + len(packed)) + plain[end + 20 :]
    assert old.filename == name
    return local + packed + central + last


@hostile('bomb.csv.gz', TooLarge)
def gzip_bomb() -> bytes:
    return gzip.compress(bytes(16 * MB), 9) * 80


@hostile('bomb.zip', UnreadableFile)
def zip_bomb() -> bytes:
    return forged_zip('a.csv', deflated_zeros(64 * MB), claimed=64 * MB)


@hostile('lying.zip', UnreadableFile)
def zip_that_claims_to_be_small() -> bytes:
    return forged_zip('a.csv', deflated_zeros(64 * MB), claimed=100)


@hostile('twice.csv.gz', UnreadableFile)
def gzip_bomb_within_gzip() -> bytes:
    return gzip.compress(gzip.compress(bytes(16 * MB), 9) * 4, 9)


@hostile('matryoshka.zip', NotSupported)
def zip_of_zips() -> bytes:
    inner = zipped(('a.csv', PLAIN))
    for _ in range(5):
        inner = zipped(('inner.zip', inner))
    return inner


@hostile('climbing.zip', reads(rows_read=28, rows_accepted=28))
def zip_with_climbing_names() -> bytes:
    return zipped(('../../../../tmp/climbed.csv', PLAIN), ('/etc/climbed.csv', PLAIN))


@hostile('crowd.zip', reads(rows_read=28))
def zip_of_ten_thousand_files() -> bytes:
    return zipped(*((f'{n}.csv', PLAIN) for n in range(10_000)), method=zipfile.ZIP_STORED)


@hostile('secret.zip', NotSupported)
def zip_with_a_password() -> bytes:
    data = bytearray(zipped(('a.csv', PLAIN)))
    data[6] |= 1
    data[data.index(b'PK\x01\x02') + 8] |= 1
    return bytes(data)


@hostile('odd.zip', NotSupported)
def zip_of_an_unknown_method() -> bytes:
    data = bytearray(zipped(('a.csv', PLAIN)))
    data[8:10] = struct.pack('<H', 99)
    at = data.index(b'PK\x01\x02') + 10
    data[at : at + 2] = struct.pack('<H', 99)
    return bytes(data)


@hostile('empty.zip', UnreadableFile)
def empty_zip() -> bytes:
    return zipped()


@hostile('half.zip', UnreadableFile)
def truncated_zip() -> bytes:
    data = zipped(('a.csv', random.Random(1).randbytes(100_000)))
    return data[: len(data) // 2]


@hostile('half.csv.gz', UnreadableFile)
def truncated_gzip() -> bytes:
    data = gzip.compress(random.Random(2).randbytes(100_000))
    return data[: len(data) // 2]


@hostile('flipped.csv.gz', UnreadableFile)
def gzip_with_a_wrong_checksum() -> bytes:
    data = bytearray(gzip.compress(PLAIN))
    data[-6] ^= 0xFF
    return bytes(data)


@hostile('bomb.csv.xz', TooLarge)
def xz_bomb() -> bytes:
    return lzma.compress(bytes(64 * MB), preset=0) * 12


@hostile('memory.csv.xz', TooLarge)
def xz_that_asks_for_a_gigabyte_of_memory() -> bytes:
    filters = [{'id': lzma.FILTER_LZMA2, 'dict_size': 2**20, 'preset': 0}]
    data = bytearray(lzma.compress(PLAIN, filters=filters))
    data[16] = 38  # the dictionary's size: 2 GB
    data[20:24] = struct.pack('<L', zlib.crc32(data[12:20]))
    return bytes(data)


@hostile('bomb.csv.bz2', TooLarge)
def bzip2_bomb() -> bytes:
    return bz2.compress(bytes(64 * MB), 9) * 12


@hostile('bomb.csv.zst', TooLarge)
def zstd_bomb() -> bytes:
    return bytes(pa.Codec('zstd').compress(bytes(64 * MB), asbytes=True)) * 12


@hostile('nested.csv.xz', NotSupported)
def xz_bomb_within_bzip2_within_gzip() -> bytes:
    return gzip.compress(bz2.compress(lzma.compress(bytes(64 * MB), preset=0)))


@hostile('bomb.tar.xz', TooLarge)
def tar_bomb_within_xz() -> bytes:
    return lzma.compress(tarred(('a.csv', bytes(64 * MB))), preset=0) * 12


@hostile('quine.zip', nothing_good)
def zip_whose_member_is_the_archive_itself() -> bytes:
    inner = zipped(('r.zip', b''))
    return zipped(('r.zip', inner))


@hostile('throng.zip', TooLarge)
def zip_of_a_hundred_thousand_files() -> bytes:
    return zipped(*((f'{n}.csv', b'ds,y\n2024-01-01,1\n') for n in range(100_000)), method=zipfile.ZIP_STORED)


def tarred(*members: tuple[str, bytes], links: tuple[tuple[str, str], ...] = ()) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode='w') as archive:
        for name, target in links:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return held.getvalue()


@hostile('links.tar', UnreadableFile)
def tar_of_links_to_local_files() -> bytes:
    return tarred(links=(('a.csv', '/etc/passwd'), ('b.csv', '../../../etc/passwd')))


@hostile('climbing.tar', reads(rows_read=28))
def tar_with_climbing_names() -> bytes:
    return tarred(('../../../../tmp/climbed.csv', PLAIN), links=(('/tmp/climbed.csv', '/etc/passwd'),))


@hostile('sparse.tar', TooLarge)
def sparse_tar_that_claims_a_terabyte() -> bytes:
    info = tarfile.TarInfo('a.csv')
    info.size = 512
    head = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    head[156:157] = tarfile.GNUTYPE_SPARSE
    head[386:410] = b'%011o\x00%011o\x00' % (0, 512)
    head[483:495] = b'\x80' + (2**40).to_bytes(11, 'big')
    head[148:156] = b' ' * 8
    head[148:156] = b'%06o\x00 ' % sum(head)
    return bytes(head) + PLAIN.ljust(512, b'\n') + bytes(1024)


# workbooks

SHEET = '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">{}</worksheet>'
ROWS = '<sheetData>{}</sheetData>'
CELLS = '<row r="1"><c r="A1" t="inlineStr"><is><t>ds</t></is></c><c r="B1" t="inlineStr"><is><t>y</t></is></c></row>'
BOOK = {
    '[Content_Types].xml': '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="xml" ContentType="application/xml"/>'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Override PartName="/xl/workbook.xml" '
    'ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>'
    '<Override PartName="/xl/worksheets/sheet1.xml" '
    'ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/>'
    '<Override PartName="/xl/sharedStrings.xml" '
    'ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"/></Types>',
    '_rels/.rels': '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Id="r1" Target="xl/workbook.xml" '
    'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"/></Relationships>',
    'xl/workbook.xml': '<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" '
    'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships">'
    '<sheets><sheet name="a" sheetId="1" r:id="r1"/></sheets></workbook>',
    'xl/_rels/workbook.xml.rels': '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Id="r1" Target="worksheets/sheet1.xml" '
    'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet"/>'
    '<Relationship Id="r2" Target="sharedStrings.xml" '
    'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/sharedStrings"/></Relationships>',
    'xl/sharedStrings.xml': '<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"/>',
}


def workbook(**parts: str) -> bytes:
    """A workbook whose `sheet`, `strings` or `book` is given as XML."""
    places = {'sheet': 'xl/worksheets/sheet1.xml', 'strings': 'xl/sharedStrings.xml', 'book': 'xl/workbook.xml'}
    given = {places[name]: text for name, text in parts.items()}
    return zipped(*((name, text.encode()) for name, text in (BOOK | given).items()))


def laughs() -> str:
    levels = ''.join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    return f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY l0 "lol">{levels}]>'


def dated(number: int) -> str:
    day = 45_000 + number % 10_000
    return f'<row r="{number}"><c r="A{number}"><v>{day}</v></c><c r="B{number}"><v>{number}</v></c></row>'


@hostile('laughing.xlsx', UnreadableFile)
def workbook_with_a_billion_laughs() -> bytes:
    cell = '<row r="1"><c r="A1" t="inlineStr"><is><t>&l11;</t></is></c></row>'
    return workbook(sheet=laughs() + SHEET.format(ROWS.format(cell)))


@hostile('laughing-strings.xlsx', UnreadableFile)
def workbook_with_a_billion_laughs_in_its_strings() -> bytes:
    text = '<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><si><t>&l11;</t></si></sst>'
    return workbook(strings=laughs() + text, sheet=SHEET.format(ROWS.format(CELLS)))


@hostile('reaching.xlsx', UnreadableFile)
def workbook_that_asks_for_a_local_file() -> bytes:
    head = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]>'
    cell = '<row r="1"><c r="A1" t="inlineStr"><is><t>&f;</t></is></c></row>'
    return workbook(sheet=head + SHEET.format(ROWS.format(cell)))


@hostile('vast.xlsx', reads(rows_read=40))
def workbook_that_claims_a_vast_sheet() -> bytes:
    rows = CELLS + ''.join(dated(n) for n in range(2, 42))
    return workbook(sheet=SHEET.format('<dimension ref="A1:XFD1048576"/>' + ROWS.format(rows)))


@hostile('corner.xlsx', TooLarge)
def workbook_with_a_cell_in_the_last_corner() -> bytes:
    far = '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
    return workbook(sheet=SHEET.format(ROWS.format(CELLS + far)))


@hostile('far.xlsx', reads(rows_read=2, rows_accepted=2))
def workbook_whose_rows_begin_far_below_their_header() -> bytes:
    return workbook(sheet=SHEET.format(ROWS.format(CELLS + dated(900_000) + dated(900_001))))


@hostile('beyond.xlsx', UnreadableFile)
def workbook_with_a_row_beyond_all_rows() -> bytes:
    far = '<row r="999999999999"><c r="A999999999999"><v>1</v></c></row>'
    return workbook(sheet=SHEET.format(ROWS.format(CELLS + far)))


@hostile('bomb.xlsx', TooLarge)
def workbook_whose_sheet_is_a_bomb() -> bytes:
    return workbook(sheet=SHEET.format(ROWS.format('<row>' + '<c><v>1</v></c>' * 60_000 + '</row>')))


@hostile('bomb-strings.xlsx', TooLarge)
def workbook_whose_strings_are_a_bomb() -> bytes:
    strings = '<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">' + ' ' * (300 * MB) + '</sst>'
    return workbook(strings=strings, sheet=SHEET.format(ROWS.format(CELLS)))


@hostile('deep.xlsx', nothing_good)
def workbook_nested_too_deep() -> bytes:
    return workbook(sheet=SHEET.format('<a>' * 100_000 + '</a>' * 100_000))


@hostile('half.xlsx', UnreadableFile)
def truncated_workbook() -> bytes:
    data = workbook(sheet=SHEET.format(ROWS.format(CELLS + ''.join(dated(n) for n in range(2, 2000)))))
    return data[: len(data) * 2 // 3]


@hostile('torn.xlsx', UnreadableFile)
def workbook_whose_sheet_breaks_off() -> bytes:
    return workbook(sheet=SHEET.format(ROWS.format(CELLS + dated(2)))[:-40])


@hostile('hollow.xlsx', nothing_good)
def workbook_without_its_sheet() -> bytes:
    return zipped(*((name, text.encode()) for name, text in BOOK.items()))


@hostile('sheets.xlsx', TooLarge)
def workbook_of_a_million_sheets() -> bytes:
    sheets = ''.join(f'<sheet name="s{n}" sheetId="{n}" r:id="r1"/>' for n in range(1, 1_000_001))
    head, tail = BOOK['xl/workbook.xml'].split('<sheet name="a" sheetId="1" r:id="r1"/>')
    return workbook(book=head + sheets + tail, sheet=SHEET.format(ROWS.format(CELLS + dated(2))))


# Parquet


def parquet(table: pa.Table, **options: Any) -> bytes:
    held = io.BytesIO()
    pq.write_table(table, held, **options)
    return held.getvalue()


def stamped(rows: int) -> pa.Table:
    stamps = pa.array([n * 3_600_000_000 for n in range(rows)], pa.timestamp('us'))
    return pa.table({'ds': stamps, 'y': pa.array([float(n) for n in range(rows)])})


def varint(number: int) -> bytes:
    number, out = number * 2, bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def with_footer(data: bytes, change: Callable[[bytes], bytes]) -> bytes:
    size = int.from_bytes(data[-8:-4], 'little')
    footer = change(data[-8 - size : -8])
    return data[: -8 - size] + footer + len(footer).to_bytes(4, 'little') + b'PAR1'


@hostile('bomb.parquet', TooLarge)
def parquet_bomb() -> bytes:
    value = pa.DictionaryArray.from_arrays(pa.array([0] * 20_000, pa.int32()), pa.array(['x' * MB]))
    return parquet(pa.table({'ds': stamped(20_000)['ds'], 'y': value}), compression='zstd')


@hostile('lying.parquet', UnreadableFile)
def parquet_that_claims_a_trillion_rows() -> bytes:
    return with_footer(parquet(stamped(1000)), lambda footer: footer.replace(varint(1000), varint(10**12)))


@hostile('short.parquet', reads(rows_read=3))
def parquet_that_claims_fewer_rows() -> bytes:
    return with_footer(parquet(stamped(1000)), lambda footer: footer.replace(varint(1000), varint(3)))


@hostile('half.parquet', UnreadableFile)
def truncated_parquet() -> bytes:
    data = parquet(stamped(100_000))
    return data[: len(data) // 2]


@hostile('tail.parquet', UnreadableFile)
def parquet_with_an_endless_footer() -> bytes:
    return parquet(stamped(10))[:-8] + b'\xff\xff\xff\x7fPAR1'


@hostile('torn.parquet', UnreadableFile)
def parquet_with_torn_pages() -> bytes:
    data = bytearray(parquet(stamped(100_000)))
    data[1000 : len(data) // 2] = random.Random(3).randbytes(len(data) // 2 - 1000)
    return bytes(data)


@hostile('wide.parquet', TooLarge)
def parquet_of_two_thousand_columns() -> bytes:
    return parquet(pa.table({f'c{n}': [1] for n in range(2000)}))


@hostile('deep.parquet', reads(rows_read=1))
def parquet_nested_too_deep() -> bytes:
    value = pa.array([1], pa.int8())
    for _ in range(100):
        value = pa.StructArray.from_arrays([value], ['s'])
    return parquet(pa.table({'y': value}))


@hostile('group.parquet', reads(rows_read=100_000))
def parquet_of_one_huge_row_group() -> bytes:
    texts = pa.array(['x' * 2000]).take(pa.array([0] * 100_000))
    stamps = stamped(100_000)['ds']
    return parquet(
        pa.table({'ds': stamps, 'y': texts}), row_group_size=100_000, use_dictionary=False, compression='zstd'
    )


@hostile('bomb.feather', TooLarge)
def feather_bomb() -> bytes:
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 20_000, pa.int32()), pa.array(['x' * MB]))
    return arrow(pa.table({'ds': stamped(20_000)['ds'], 'y': texts}))


@hostile('lying.feather', UnreadableFile)
def feather_whose_offsets_lie() -> bytes:
    data = bytearray(arrow(pa.table({'ds': ['2024-01-01'] * 50, 'y': ['abcdefgh'] * 50})))
    at = data.index(struct.pack('<LLL', 8, 16, 24))
    data[at : at + 4] = b'\xff\xff\xff\x7f'
    return bytes(data)


@hostile('half.feather', UnreadableFile)
def truncated_feather() -> bytes:
    return arrow(stamped(10_000))[:50_000]


def arrow(table: pa.Table) -> bytes:
    held = io.BytesIO()
    with pa.ipc.new_file(held, table.schema) as writer:
        writer.write_table(table)
    return held.getvalue()


# JSON


@hostile('deep.json', UnreadableFile)
def json_nested_a_hundred_thousand_deep() -> bytes:
    return b'[' * 100_000 + b']' * 100_000


@hostile('deep.jsonl', UnreadableFile)
def json_lines_nested_too_deep() -> bytes:
    return b'\n'.join(b'{"a":' * 100_000 + b'1' + b'}' * 100_000 for _ in range(3))


@hostile('endless.json', UnreadableFile)
def json_with_an_endless_string() -> bytes:
    return b'[{"a": "' + b'x' * (20 * MB)


@hostile('digits.jsonl', reads(rows_read=3, rows_rejected=2))  # of one time, the last is stored
def json_with_numbers_of_thirty_thousand_digits() -> bytes:
    return (b'{"ds": "2024-01-01", "y": ' + b'9' * 30_000 + b'}\n') * 3


@hostile('keys.jsonl', TooLarge)
def json_with_ever_new_keys() -> bytes:
    return b'\n'.join(b'{"k%d": 1}' % n for n in range(40_000))


@hostile('throng.json', TooLarge)
def json_object_of_two_hundred_thousand_keys() -> bytes:
    return json.dumps({f'k{n}': n for n in range(200_000)}).encode()


@hostile('twice.jsonl', TooLarge)
def json_of_one_key_a_hundred_thousand_times() -> bytes:
    return b'{' + b','.join([b'"a": 1'] * 100_000) + b'}\n{"a": 1}\n'


@hostile('nested.json', UnreadableFile)
def json_of_arrays_below_one_name() -> bytes:
    return b'{"a":[' * 300 + b'{"b": "' + b'x' * (10 * MB) + b'"}' + b']}' * 300


@hostile('quotes.json', UnreadableFile)
def json_of_half_a_million_escaped_quotes() -> bytes:
    return b'{"a":' + b'\\"' * 500_000


@hostile('odd.jsonl', reads(rows_read=4))
def json_of_numbers_that_are_none_and_lone_surrogates() -> bytes:
    values = (b'NaN', b'-Infinity', b'"\\ud800"', b'1e999999')
    return b''.join(b'{"ds": "2024-01-0%d", "y": %s}\n' % (n, value) for n, value in enumerate(values, 1))


# text


@hostile('zeros.csv', UnreadableFile)
def nothing_but_nul_bytes() -> bytes:
    return bytes(5 * MB)


@hostile('nul.csv', reads(rows_read=51 * 28 + 1))
def nul_bytes_within_cells() -> bytes:
    return PLAIN * 50 + b'2024-02-01\x00,\x001\n' + PLAIN


@hostile('wide.csv', TooLarge)
def twenty_thousand_columns_of_one_name() -> bytes:
    return b'\n'.join(b','.join([cell] * 20_000) for cell in (b'a', b'1')) + b'\n'


@hostile('wider.csv', TooLarge)
def a_hundred_thousand_columns() -> bytes:
    head = ','.join(f'c{n}' for n in range(100_000))
    return f'{head}\n{",".join(["1"] * 100_000)}\n'.encode()


@hostile('line.csv', UnreadableFile)
def one_line_of_fifty_megabytes() -> bytes:
    return b'x' * (50 * MB)


@hostile('cells.csv', TooLarge)
def one_line_of_a_quarter_of_a_million_cells() -> bytes:
    return b'1,' * (MB // 4)


@hostile('melt.csv', reads(rows_read=40, rows_accepted=40))
def wide_table_that_melts_into_many_points() -> bytes:
    head = b'id,' + b','.join(b'%d-%02d-%02d' % (2000 + n // 336, 1 + n // 28 % 12, 1 + n % 28) for n in range(5000))
    return head + b'\n' + b''.join(b'r%d' % n + b',1' * 5000 + b'\n' for n in range(40))


@hostile('keys.csv', TooLarge)
def wide_table_of_long_keys() -> bytes:
    head = b'id,' + b','.join(b'%d-%02d-%02d' % (2000 + n // 336, 1 + n // 28 % 12, 1 + n % 28) for n in range(1500))
    return head + b'\n' + b''.join(b'%d' % n + b'x' * 200_000 + b',1' * 1500 + b'\n' for n in range(8))


@hostile('column.csv', UnreadableFile)
def a_column_whose_name_has_three_megabytes() -> bytes:
    return b'ds,' + b'y' * (3 * MB) + b'\n2024-01-01,1\n2024-01-02,2\n'


@hostile('widest.csv', TooLarge)
def three_hundred_thousand_columns() -> bytes:
    return b','.join(b'c%d' % n for n in range(300_000)) + b'\n' + b'1,' * 299_999 + b'1\n'


@hostile('quotes.csv', reads(rows_read=4000))  # 67 KB: the engine is tried first
def quotes_that_never_end() -> bytes:
    return b'ds,y\n' + b''.join(b'"2024-01-01,%d\n' % n for n in range(4000))


@hostile('quote.csv', reads(rows_read=28_028))
def one_quote_that_never_ends() -> bytes:
    return PLAIN + b'"' + PLAIN[5:] * 1000


@hostile('delimiters.csv', lambda report: report['rows_read'] <= 500)
def nothing_but_delimiters() -> bytes:
    return (b',' * 200 + b'\n') * 500


@hostile('utf16.csv', reads(rows_read=29))
def utf16_without_a_mark_and_torn() -> bytes:
    return PLAIN.decode().encode('utf-16-le')[1:] + b'\xd8\x00\xd8'


@hostile('name.csv', reads(rows_read=28, rows_accepted=28))
def names_that_are_statements() -> bytes:
    name = '"a""; DROP TABLE x; COPY (SELECT 1) TO \'/tmp/dropped\'; --"'
    rows = ''.join(f'2024-01-{day:02},{day}\n' for day in range(1, 29))
    return f'ds,{name}\n{rows}'.encode()


@hostile('page.csv', NotSupported)
def a_web_page() -> bytes:
    return b'<!DOCTYPE html><script>alert(1)</script>'


@hostile('program.csv', UnreadableFile)
def a_program() -> bytes:
    return b'\x7fELF\x02\x01\x01' + random.Random(4).randbytes(200_000)


@hostile('noise.csv', UnreadableFile)
def random_bytes_called_csv() -> bytes:
    return random.Random(5).randbytes(300_000)


@hostile('noise.xlsx', UnreadableFile)
def random_bytes_called_xlsx() -> bytes:
    return b'PK\x03\x04' + random.Random(6).randbytes(100_000)


@hostile('noise.parquet', UnreadableFile)
def random_bytes_called_parquet() -> bytes:
    return b'PAR1' + random.Random(7).randbytes(100_000) + b'PAR1'


@hostile('nothing.csv', reads(rows_read=0))
def an_empty_file() -> bytes:
    return b''


@contextmanager
def watched(nursery: Nursery) -> Iterator[list[int]]:
    """The resident bytes of our new children, summed, measured again and again."""
    seen, over = [0], threading.Event()

    def look() -> None:
        while not over.wait(0.05):
            # Asked of the nursery alone: psutil reads every process of the machine to find those of one.
            seen.append(sum(map(_resident, _descendants(nursery.pid))) if nursery.pid else 0)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def _resident(pid: int) -> int:
    try:
        return psutil.Process(pid).memory_info().rss
    except psutil.Error:
        return 0


@pytest.mark.parametrize(('name', 'make', 'wanted'), CASES)
def test_a_hostile_file_is_answered_within_the_memory_of_its_child(
    name: str, make: Callable[[], bytes], wanted: Wanted, tmp_path: Path, nursery: Nursery
) -> None:
    path = tmp_path / name
    path.write_bytes(make())
    with watched(nursery) as resident:
        answer = inspected(path, nursery)
    assert max(resident) < MEMORY + 150 * MB
    if isinstance(wanted, type):
        assert isinstance(answer, wanted), answer
        assert name in str(answer) or 'The ' in str(answer)
        assert 20 < len(str(answer)) < 400
        assert '\n' not in str(answer)
    else:
        assert not isinstance(answer, VariosyncError), answer
        assert wanted(answer), {key: answer[key] for key in answer if key not in ('columns', 'faults')}
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_a_file_that_needs_too_much_memory_is_stopped_and_the_next_one_read(tmp_path: Path, nursery: Nursery) -> None:
    path, next_one = tmp_path / 'cells.csv', tmp_path / 'next.csv'
    path.write_bytes(b'1,' * (5 * MB))
    next_one.write_bytes(PLAIN)
    limit = 200 * MB
    with watched(nursery) as resident:
        answer = inspected(path, nursery, limit=limit)
    assert isinstance(answer, TaskOverLimit)
    assert '200 MB' in str(answer)
    assert max(resident) < limit + 150 * MB
    assert reads(rows_accepted=28)(inspected(next_one, nursery))


def inspected(path: Path, nursery: Nursery, *, limit: int = MEMORY + CHILD_OVERHEAD) -> Any:
    """The report on a file as `variosync inspect --memory 512MB` makes it, or the error that it met."""
    given: Report = {'path': str(path), 'name': path.name, 'memory': MEMORY, 'max_faults': 100}
    given |= {'options': {}}
    try:
        return run_local(
            'core.file_verbs:inspect_file',
            given,
            memory=limit,
            timeout=LONGEST,
            progress=lambda part, text: None,
            nursery=nursery,
        )
    except VariosyncError as error:
        return error
