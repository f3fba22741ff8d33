"""What a file is by its first bytes, and what is inside when it is compressed."""

import gzip
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Final

from core.analysis.ingest.rawtable import Limits
from core.errors import NotSupported, TooLarge, UnreadableFile

_CHUNK: Final = 2**20
_TABLES: Final = (
    '.csv',
    '.tsv',
    '.tab',
    '.txt',
    '.psv',
    '.dat',
    '.json',
    '.jsonl',
    '.ndjson',
    '.parquet',
    '.xlsx',
    '.gz',
)
_UNSUPPORTED: Final = (
    (b'\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1', 'an old Excel workbook (.xls)', 'Save it as .xlsx or CSV.'),
    (b'7z\xbc\xaf\x27\x1c', 'a 7z archive', 'Use gzip or zip.'),
    (b'Rar!', 'a RAR archive', 'Use gzip or zip.'),
    (b'BZh', 'compressed by bzip2', 'Use gzip or zip.'),
    (b'\xfd7zXZ\x00', 'compressed by xz', 'Use gzip or zip.'),
    (b'\x28\xb5\x2f\xfd', 'compressed by zstd', 'Use gzip or zip.'),
    (b'%PDF', 'a PDF document', 'Export its table as CSV.'),
    (b'\x89PNG', 'a picture', 'Upload the table itself.'),
    (b'\xff\xd8\xff', 'a picture', 'Upload the table itself.'),
    (b'GIF8', 'a picture', 'Upload the table itself.'),
    (b'\x89HDF', 'an HDF5 file', 'Export its table as Parquet or CSV.'),
    (b'ARROW1', 'an Arrow file', 'Write it as Parquet.'),
    (b'ORC', 'an ORC file', 'Write it as Parquet.'),
    (b'Obj\x01', 'an Avro file', 'Write it as Parquet.'),
    (b'SQLite format 3', 'an SQLite database', 'Export a table as CSV.'),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpacked:
    """A file without its compression: `kind` is parquet, xlsx or text."""

    path: Path
    kind: str
    compression: str | None
    notes: tuple[str, ...] = ()


def unpack(
    path: Path, *, name: str, workdir: Path, limits: Limits, progress: Callable[[float], None], depth: int = 0
) -> Unpacked:
    """Tell what a file is by its content and take off gzip and zip, two deep at most.

    Raises NotSupported for formats that are no table here, TooLarge when it grows past the limits, UnreadableFile when
    it is broken.
    """
    with path.open('rb') as file:
        head = file.read(4096)
    _refuse(head, name)
    if head[:2] == b'\x1f\x8b':
        inner = _inflate(
            gzip.GzipFile(path), path, workdir / f'unpacked{depth}', name=name, limits=limits, progress=progress
        )
        return _deeper(inner, 'gz', (), name=name, workdir=workdir, limits=limits, progress=progress, depth=depth)
    if head[:4] in (b'PK\x03\x04', b'PK\x05\x06'):
        return _from_zip(path, name=name, workdir=workdir, limits=limits, progress=progress, depth=depth)
    kind = 'parquet' if head[:4] == b'PAR1' else 'text'
    return Unpacked(path=path, kind=kind, compression=None)


def _refuse(head: bytes, name: str) -> None:
    for magic, what, advice in _UNSUPPORTED:
        if head.startswith(magic):
            raise NotSupported(f'{name} is {what}. {advice}')
    start = head.lstrip(b'\xef\xbb\xbf \t\r\n')[:64].lower()
    if start.startswith((b'<!doctype html', b'<html', b'<?xml', b'<svg')):
        raise NotSupported(f'{name} is a web page or an XML document, not a table. Export the table as CSV.')


def _deeper(
    inner: Path, compression: str, notes: tuple[str, ...], *, name: str, workdir: Path, limits: Limits,
    progress: Callable[[float], None], depth: int,
) -> Unpacked:  # fmt: skip
    if depth >= 2:
        raise NotSupported(f'{name} is an archive within archives. Upload the table itself.')
    found = unpack(inner, name=name, workdir=workdir, limits=limits, progress=progress, depth=depth + 1)
    return Unpacked(path=found.path, kind=found.kind, compression=compression, notes=notes + found.notes)


def _from_zip(
    path: Path, *, name: str, workdir: Path, limits: Limits, progress: Callable[[float], None], depth: int
) -> Unpacked:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if any(member.filename == 'xl/workbook.xml' for member in members):
                return Unpacked(path=path, kind='xlsx', compression=None)
            if any(member.filename == 'mimetype' for member in members) or any(
                member.filename == 'xl/workbook.bin' for member in members
            ):
                raise NotSupported(f'{name} is an office document that is not .xlsx. Save its table as .xlsx or CSV.')
            member, others = _choose(members, name)
            if member.flag_bits & 1:
                raise NotSupported(f'{name} is protected by a password. Upload it without one.')
            notes = (f'The archive holds other files, which were not read: {_listed(others)}.',) if others else ()
            target = workdir / f'unpacked{depth}'
            inner = _inflate(archive.open(member), path, target, name=name, limits=limits, progress=progress)
    except zipfile.BadZipFile as error:
        raise UnreadableFile(f'{name} is a broken zip archive. Pack it again.') from error
    except NotImplementedError as error:
        raise NotSupported(f'{name} uses a zip compression that is not known here. Pack it with deflate.') from error
    return _deeper(inner, 'zip', notes, name=name, workdir=workdir, limits=limits, progress=progress, depth=depth)


def _choose(members: list[zipfile.ZipInfo], name: str) -> tuple[zipfile.ZipInfo, list[str]]:
    """The first member that looks like a table, and the names of the others."""
    files = [
        member
        for member in members
        if not member.is_dir()
        and not member.filename.startswith('__MACOSX/')
        and not PurePosixPath(member.filename).name.startswith('.')
    ]
    if not files:
        raise UnreadableFile(f'{name} is an empty archive.')
    chosen = next((member for member in files if member.filename.lower().endswith(_TABLES)), files[0])
    return chosen, [member.filename for member in files if member is not chosen]


def _listed(names: list[str]) -> str:
    shown = ', '.join(name[:80] for name in names[:10])
    return shown if len(names) <= 10 else f'{shown} and {len(names) - 10} more'


def _inflate(
    source: IO[bytes] | gzip.GzipFile,
    packed: Path,
    target: Path,
    *,
    name: str,
    limits: Limits,
    progress: Callable[[float], None],
) -> Path:
    """Decompress to `target` within the limits: what a header says about sizes is not believed."""
    size = max(packed.stat().st_size, 1)
    most = min(limits.bytes, max(limits.ratio_free_bytes, size * limits.ratio))
    done = 0
    try:
        with source, target.open('wb') as out:
            while chunk := source.read(_CHUNK):
                done += len(chunk)
                if done > most:
                    raise TooLarge(f'{name} unpacks to more than {most / 2**30:.1f} GB. Split it into smaller files.')
                out.write(chunk)
                progress(min(1.0, done / (size * 8)))
    except (zlib.error, gzip.BadGzipFile, EOFError, zipfile.BadZipFile, RuntimeError, OSError) as error:
        raise UnreadableFile(f'{name} is broken: its compressed data cannot be unpacked. Pack it again.') from error
    return target
