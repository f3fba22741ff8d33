"""Archives and streams that lie or are made to hurt are refused, and no row behind a seam is lost."""

import bz2
import io
import lzma
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from core.analysis.ingest import archive
from core.analysis.ingest.rawtable import Limits, RawTable
from core.analysis.ingest.reader import read
from core.errors import NotSupported, TooLarge, UnreadableFile

FIRST = b'ds,y\n2024-01-01,1\n2024-01-02,2\n'
NEXT = b'2024-01-03,3\n2024-01-04,4\n'
Reader = Callable[[bytes], RawTable]


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    def open_bytes(data: bytes) -> RawTable:
        path = tmp_path / 'upload'
        path.write_bytes(data)
        return read(path, name='upload', workdir=tmp_path / 'work', limits=Limits())

    return open_bytes


def zipped(*names: str) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, 'w') as packed:
        for name in names:
            packed.writestr(name, FIRST)
    return held.getvalue()


def tarred(*names: str) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode='w', format=tarfile.GNU_FORMAT) as packed:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(FIRST)
            packed.addfile(info, io.BytesIO(FIRST))
    return held.getvalue()


@pytest.mark.parametrize('pack', [zipped, tarred])
def test_names_of_members_that_are_too_long_are_refused(reader: Reader, pack: Callable[..., bytes]) -> None:
    assert reader(pack('a.csv', 'b' * 251 + '.csv')).rows_read == 2
    with pytest.raises(UnreadableFile, match=r'name has 60,004 characters.*Pack it under a shorter name'):
        reader(pack('a.csv', 'b' * 60_000 + '.csv'))


def test_the_names_that_are_offered_have_a_bound(reader: Reader) -> None:
    offered = reader(zipped(*(f'{n:03}{"é" * 200}.csv' for n in range(300)))).reading['member']['options']
    assert 100 < len(offered) < 300
    assert sum(len(name.encode()) for name in offered) <= 2**16


@pytest.mark.parametrize('pack', [zipped, tarred])
def test_an_archive_of_too_many_files_is_refused_before_all_are_read(
    reader: Reader, monkeypatch: pytest.MonkeyPatch, pack: Callable[..., bytes]
) -> None:
    monkeypatch.setattr(archive, '_MOST_MEMBERS', 3)
    assert reader(pack('a.csv', 'b.csv', 'c.csv')).rows_read == 2
    read_on: list[str] = []
    name = '_check_name'
    monkeypatch.setattr(archive, name, lambda told, job: read_on.append(told))
    with pytest.raises(TooLarge, match='more than 3 files'):
        reader(pack('a.csv', 'b.csv', 'c.csv', 'd.csv', 'e.csv'))
    assert read_on in ([], ['a.csv', 'b.csv', 'c.csv'])


def test_a_zip_that_claims_fewer_files_than_it_holds_is_refused(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, '_MOST_MEMBERS', 3)
    data = bytearray(zipped(*(f'{n}.csv' for n in range(9))))
    data[-14:-10] = struct.pack('<HH', 1, 1)
    with pytest.raises(TooLarge, match='more than 3 files'):
        reader(bytes(data))


def test_a_zip_name_that_is_no_text_is_told(reader: Reader) -> None:
    with pytest.raises(UnreadableFile, match='Pack it again'):
        reader(zipped('é.csv').replace('é'.encode(), b'\xff\xfe'))


def test_long_names_upon_long_names_are_told(reader: Reader) -> None:
    info = tarfile.TarInfo('././@LongLink')
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 6
    link = info.tobuf(tarfile.GNU_FORMAT) + b'a.csv\0'.ljust(512, b'\0')
    with pytest.raises(UnreadableFile, match='Pack it again'):
        reader(link * 2000 + tarred('a.csv'))


@pytest.mark.parametrize('compress', [lzma.compress, bz2.compress])
@pytest.mark.parametrize('padding', [0, 4, 2**21, 2**21 + 2**20])
def test_every_stream_of_a_file_is_read(reader: Reader, compress: Callable[[bytes], bytes], padding: int) -> None:
    table = reader(compress(FIRST) + bytes(padding) + compress(NEXT) + bytes(padding))
    assert table.rows_read == 4


@pytest.mark.parametrize('compress', [lzma.compress, bz2.compress])
def test_what_is_no_stream_behind_one_is_not_passed_over(reader: Reader, compress: Callable[[bytes], bytes]) -> None:
    with pytest.raises(UnreadableFile, match='Pack it again'):
        reader(compress(FIRST) + NEXT)


@pytest.mark.parametrize('word', ['ORCL', 'FEA1', 'PAR1', 'BZh1', 'ARROW1', 'GIF8'])
def test_a_header_that_begins_as_a_signature_does_is_a_header(reader: Reader, word: str) -> None:
    table = reader(f'{word},ds,y\n1.5,2024-01-01,2\n2.5,2024-01-02,3\n'.encode())
    assert (table.names, table.rows_read) == ((word, 'ds', 'y'), 2)


@pytest.mark.parametrize(
    ('head', 'said'),
    [
        (b'ORC\x0a\x13\x0a\x03', 'an ORC file'),
        (b'FEA1\0\0\0\0', 'a Feather file of the first version'),
        (b'GIF89a\x01\x00\x01\x00', 'a picture'),
        (b'\xff\xff\xff\xff\x98\x01\0\0\x10\0\0\0', 'an Arrow stream'),
    ],
)
def test_formats_that_no_table_is_in_are_named(reader: Reader, head: bytes, said: str) -> None:
    with pytest.raises(NotSupported, match=said):
        reader(head + b'a,b\n1,2\n')


def test_an_empty_stream_of_bzip2_is_an_empty_table(reader: Reader) -> None:
    assert reader(bz2.compress(b'')).rows_read == 0
