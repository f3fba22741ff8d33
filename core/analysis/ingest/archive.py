"""What a file is by its first bytes, and what is inside when it is compressed."""

import bz2
import gzip
import lzma
import os
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final, Protocol

from core.analysis.ingest.rawtable import Limits, decision
from core.errors import NotSupported, TooLarge, UnreadableFile, UsageError

_CHUNK: Final = 2**20
_XZ_MEMORY: Final = 2**28
_STEEP: Final = 2000  # times that no table shrinks to
_STEEP_FREE: Final = 2**27
_MOST_MEMBERS: Final = 50_000
_LONGEST_NAME: Final = 255  # characters
_MOST_OFFERED: Final = 1000
_MOST_OFFERED_BYTES: Final = 2**16
_DIRECTORY_BYTES: Final = 2**25
# What the readers of archives raise, besides their own errors, on what is damaged or made to hurt.
_BROKEN: Final = (ValueError, RecursionError, EOFError, OverflowError, struct.error)
_SURE: Final = ('.csv', '.tsv', '.tab', '.psv', '.parquet', '.feather', '.arrow', '.xlsx', '.jsonl', '.ndjson')
_LIKELY: Final = ('.txt', '.dat', '.json', '.asc', '.data')
_PACKED: Final = ('.gz', '.zip', '.xz', '.zst', '.bz2', '.lz4')
_ABOUT: Final = ('readme', 'license', 'licence', 'metadata', 'about', 'changelog', 'copying')
_STREAMS: Final = (
    (b'\x1f\x8b', 'gz'),
    (b'\xfd7zXZ\x00', 'xz'),
    (b'\x28\xb5\x2f\xfd', 'zst'),
    (b'\x04\x22\x4d\x18', 'lz4'),
)
_BZIP2: Final = re.compile(rb'BZh[1-9](?:1AY&SY|\x17rE8P\x90)')  # the first block, or the end of an empty stream
_NO_TEXT: Final = re.compile(rb'[\x00-\x08\x0e-\x1f]')
_CELLS: Final = re.compile(rb'[,;\t|\r\n]')
_OFFICE: Final = b'\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1'
_LOCKED: Final = 'EncryptedPackage'.encode('utf-16-le')
_UNSUPPORTED: Final = (
    (_OFFICE, 'an old Excel workbook (.xls)', 'Save it as .xlsx or CSV.'),
    (b'7z\xbc\xaf\x27\x1c', 'a 7z archive', 'Use gzip or zip.'),
    (b'Rar!', 'a RAR archive', 'Use gzip or zip.'),
    (b'%PDF', 'a PDF document', 'Export its table as CSV.'),
    (b'\x89PNG', 'a picture', 'Upload the table itself.'),
    (b'\xff\xd8\xff', 'a picture', 'Upload the table itself.'),
    (b'GIF8', 'a picture', 'Upload the table itself.'),
    (b'\x89HDF', 'an HDF5 file', 'Export its table as Parquet or CSV.'),
    (b'FEA1', 'a Feather file of the first version', 'Write it as Parquet or as Feather version 2.'),
    (b'\xff\xff\xff\xff', 'an Arrow stream (.arrows)', 'Write it as an Arrow file (Feather) or as Parquet.'),
    (b'ORC', 'an ORC file', 'Write it as Parquet.'),
    (b'Obj\x01', 'an Avro file', 'Write it as Parquet.'),
    (b'SQLite format 3', 'an SQLite database', 'Export a table as CSV.'),
)


class _Source(Protocol):
    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpacked:
    """A file without its compression: `kind` is parquet, feather, xlsx or text. `choice` tells which member of an
    archive it is (see rawtable.decision)."""

    path: Path
    kind: str
    compression: str | None
    notes: tuple[str, ...] = ()
    choice: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    name: str
    workdir: Path
    limits: Limits
    progress: Callable[[float], None]
    member: str | None
    depth: int = 0

    @property
    def target(self) -> Path:
        return self.workdir / f'unpacked{self.depth}'


@dataclass(frozen=True, slots=True, kw_only=True)
class _Member:
    """A file in an archive."""

    name: str
    size: int
    origin: Any = field(repr=False)


def unpack(
    path: Path,
    *,
    name: str,
    workdir: Path,
    limits: Limits,
    progress: Callable[[float], None],
    member: str | None = None,
) -> Unpacked:
    """Tell what a file is by its content and take off compression and archives, three deep at most.

    Of an archive's files the `member` named is taken, else the largest that looks like a table. Raises NotSupported for
    formats that are no table here, TooLarge when it grows past the limits, UnreadableFile when it is broken, UsageError
    when there is no such member.
    """
    job = _Job(name=name, workdir=workdir, limits=limits, progress=progress, member=member)
    return _unpacked(path, job)


def _unpacked(path: Path, job: _Job) -> Unpacked:
    with path.open('rb') as file:
        head = file.read(4096)
    if head.startswith(_OFFICE) and _is_locked(path):
        raise NotSupported(f'{job.name} is protected by a password. Open it in Excel and save it without one.')
    _refuse(head, job.name)
    for magic, compression in _STREAMS:
        if head.startswith(magic):
            return _deeper(_inflate_stream(path, compression, job), compression, job)
    if _BZIP2.match(head):
        return _deeper(_inflate_stream(path, 'bz2', job), 'bz2', job)
    if head[:4] in (b'PK\x03\x04', b'PK\x05\x06'):
        return _from_zip(path, job)
    if head[257:262] == b'ustar':
        return _from_tar(path, job)
    kind = 'parquet' if _has(head, b'PAR1') else 'feather' if _has(head, b'ARROW1') else 'text'
    return Unpacked(path=path, kind=kind, compression=None)


def _is_locked(path: Path) -> bool:
    """Whether a file in the container of old Office documents is a new one that a password protects."""
    rest = b''
    with path.open('rb') as file:
        while block := file.read(_CHUNK):
            if _LOCKED in rest + block:
                return True
            rest = block[-len(_LOCKED) :]
    return False


def _has(head: bytes, magic: bytes) -> bool:
    """Whether a file has this signature. One of letters and digits alone may begin a header, such as `ORCL,Date`."""
    return head.startswith(magic) and not (magic.isalnum() and _CELLS.search(head) and not _NO_TEXT.search(head))


def _refuse(head: bytes, name: str) -> None:
    for magic, what, advice in _UNSUPPORTED:
        if _has(head, magic):
            raise NotSupported(f'{name} is {what}. {advice}')
    start = head.lstrip(b'\xef\xbb\xbf \t\r\n')[:64].lower()
    if start.startswith((b'<!doctype html', b'<html', b'<?xml', b'<svg')):
        raise NotSupported(f'{name} is a web page or an XML document, not a table. Export the table as CSV.')


def _deeper(inner: Path, compression: str, job: _Job, others: Unpacked | None = None) -> Unpacked:
    """What the unpacked file is; `others` brings the notes and the choice made on the way."""
    if job.depth >= 2:
        raise NotSupported(f'{job.name} is an archive within archives. Upload the table itself.')
    found = _unpacked(inner, replace(job, depth=job.depth + 1, member=job.member if others is None else None))
    notes = (*others.notes, *found.notes) if others else found.notes
    choice = others.choice if others and others.choice else found.choice
    return Unpacked(path=found.path, kind=found.kind, compression=compression, notes=notes, choice=choice)


def _inflate_stream(path: Path, compression: str, job: _Job) -> Path:
    """Decompress a stream of one or several parts."""
    with path.open('rb') as packed:
        if compression == 'gz':
            return _inflate(gzip.GzipFile(fileobj=packed), packed, job)
        if compression == 'bz2':
            return _inflate(_Streams(packed, bz2.BZ2Decompressor), packed, job)
        if compression == 'xz':
            return _inflate(_Streams(packed, _xz), packed, job)
        import pyarrow as pa

        codec = 'zstd' if compression == 'zst' else 'lz4'
        return _inflate(pa.CompressedInputStream(pa.PythonFile(packed, mode='r'), codec), packed, job)


class _Streams:
    """Reads compressed streams one after the other, with any padding of zeros behind each.

    The standard library bounds no memory for xz, and drops without a word what stands behind a bz2 stream.
    """

    def __init__(self, packed: IO[bytes], fresh: Callable[[], lzma.LZMADecompressor | bz2.BZ2Decompressor]) -> None:
        self._packed = packed
        self._fresh = fresh
        self._decoder = fresh()
        self._rest = b''

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes, none at the end. Raises EOFError when a stream breaks off, and what the decoder raises
        for bytes that are no stream."""
        while True:
            if self._decoder.eof:
                self._rest = self._decoder.unused_data.lstrip(b'\0')
                while not self._rest:
                    block = self._packed.read(_CHUNK)
                    if not block:
                        return b''
                    self._rest = block.lstrip(b'\0')
                self._decoder = self._fresh()
            if self._decoder.needs_input and not self._rest:
                self._rest = self._packed.read(_CHUNK)
                if not self._rest:
                    raise EOFError
            data, self._rest = self._decoder.decompress(self._rest, size), b''
            if data:
                return data


def _xz() -> lzma.LZMADecompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)


def _from_zip(path: Path, job: _Job) -> Unpacked:
    name = job.name
    try:
        _count_zip(path, name)
        with zipfile.ZipFile(path) as archive, path.open('rb') as packed:
            infos = archive.infolist()
            if any(info.filename == 'xl/workbook.xml' for info in infos):
                return Unpacked(path=path, kind='xlsx', compression=None)
            if any(info.filename in ('mimetype', 'xl/workbook.bin') for info in infos):
                raise NotSupported(f'{name} is an office document that is not .xlsx. Save its table as .xlsx or CSV.')
            members = [
                _Member(name=info.filename, size=info.file_size, origin=info) for info in infos if not info.is_dir()
            ]
            member, found = _choose(members, job)
            if member.origin.flag_bits & 1:
                raise NotSupported(f'{name} is protected by a password. Upload it without one.')
            inner = _inflate(archive.open(member.origin), packed, job)
    except (zipfile.BadZipFile, *_BROKEN) as error:
        if name.lower().endswith('.xlsx'):
            raise UnreadableFile(
                f'{name} is a broken Excel workbook: its end is missing or damaged. Copy or download it again, or open '
                'it in Excel and save it.'
            ) from error
        raise UnreadableFile(f'{name} is a broken zip archive. Pack it again.') from error
    except NotImplementedError as error:
        raise NotSupported(f'{name} uses a zip compression that is not known here. Pack it with deflate.') from error
    return _deeper(inner, 'zip', job, found)


def _count_zip(path: Path, name: str) -> None:
    """Raise TooLarge when a zip archive's directory, which is read into memory as a whole, holds too many files."""
    with path.open('rb') as file:
        whole = file.seek(0, os.SEEK_END)
        file.seek(max(0, whole - 2**16 - 22))
        tail = file.read()
        # As zipfile looks for it: at the very end, else before a comment.
        at = len(tail) - 22 if tail[-22:-18] == b'PK\x05\x06' else tail.rfind(b'PK\x05\x06')
        if at < 0 or len(tail) < at + 22:
            return
        count, size = struct.unpack_from('<HL', tail, at + 10)
        end = whole - len(tail) + at
        if tail[max(0, at - 20) : max(0, at - 16)] == b'PK\x06\x07' and end >= 76:
            file.seek(end - 76)
            wide = file.read(56)
            if wide[:4] == b'PK\x06\x06':
                count, size = struct.unpack_from('<QQ', wide, 32)
                end -= 76
        if count <= _MOST_MEMBERS and size <= _DIRECTORY_BYTES:
            # The count may lie: each entry begins so.
            file.seek(max(0, end - size))
            count = file.read(size).count(b'PK\x01\x02')
    if count > _MOST_MEMBERS or size > _DIRECTORY_BYTES:
        raise _crowded(name)


def _crowded(name: str) -> TooLarge:
    return TooLarge(f'{name} holds more than {_MOST_MEMBERS:,} files. Upload the table itself.')


def _from_tar(path: Path, job: _Job) -> Unpacked:
    try:
        with tarfile.open(path, 'r:') as archive, path.open('rb') as packed:
            members = []
            for count, info in enumerate(archive, 1):
                if count > _MOST_MEMBERS:
                    raise _crowded(job.name)
                _check_name(info.name, job)
                if info.isfile():
                    members.append(_Member(name=info.name, size=info.size, origin=info))
            member, found = _choose(members, job)
            source = archive.extractfile(member.origin)
            if source is None:
                raise UnreadableFile(f'{job.name} is a broken tar archive. Pack it again.')
            inner = _inflate(source, packed, job)
    except (tarfile.TarError, *_BROKEN) as error:
        raise UnreadableFile(f'{job.name} is a broken tar archive. Pack it again.') from error
    return _deeper(inner, 'tar', job, found)


def _choose(members: Sequence[_Member], job: _Job) -> tuple[_Member, Unpacked]:
    """The member asked for or the largest of those that look most like a table, and what is said about it."""
    if len(members) > _MOST_MEMBERS:
        raise _crowded(job.name)
    for member in members:
        _check_name(member.name, job)
    files = [
        member
        for member in members
        if not member.name.startswith('__MACOSX/') and not PurePosixPath(member.name).name.startswith('.')
    ]
    if not files:
        raise UnreadableFile(f'{job.name} is an empty archive. Pack the table into it.')
    names = [member.name for member in files]
    if job.member is not None:
        chosen = next((member for member in files if member.name == job.member), None)
        if chosen is None:
            raise UsageError(f'{job.name} holds no file "{job.member}". It holds: {_listed(names)}.')
        ranked = files
    else:
        ranked = sorted(files, key=lambda member: (_likeness(member.name), -member.size))
        chosen = ranked[0]
    others = [name for name in names if name != chosen.name]
    tables = [member.name for member in files if member is chosen or _likeness(member.name) in (0, 2)]
    advice = ' Choose one of them instead, or unpack the archive and upload them one by one.' if len(tables) > 1 else ''
    notes = (f'The archive holds other files, which were not read: {_listed(others)}.{advice}',) if others else ()
    second = next((member for member in ranked if member is not chosen), None)
    rival = second is not None and _likeness(second.name) == _likeness(chosen.name)
    choice = decision(
        chosen.name,
        confidence=1.0 if job.member is not None or not rival else 0.5,
        runner_up=second.name if second else None,
        asked=job.member is not None,
        options=_offered(tables),
    )
    return chosen, Unpacked(path=Path(), kind='', compression=None, notes=notes, choice=choice)


def _check_name(name: str, job: _Job) -> None:
    if len(name) > _LONGEST_NAME:
        raise UnreadableFile(
            f'{job.name} holds a file whose name has {len(name):,} characters; {_LONGEST_NAME} are allowed. '
            'Pack it under a shorter name.'
        )


def _offered(names: Sequence[str]) -> list[str]:
    """The first names, as many as a manifest has room for."""
    sizes = accumulate(len(name.encode('utf-8', 'surrogatepass')) for name in names)
    return [name for name, size in zip(names[:_MOST_OFFERED], sizes, strict=False) if size <= _MOST_OFFERED_BYTES]


def _likeness(name: str) -> int:
    """How little a member's name looks like that of a table: 0 for the best."""
    path = PurePosixPath(name.lower())
    suffix = (
        path.suffix if path.suffix not in _PACKED or not path.with_suffix('').suffix else path.with_suffix('').suffix
    )
    about = path.name.startswith(_ABOUT)
    return (0 if suffix in _SURE else 2 if suffix in _LIKELY or suffix in _PACKED else 4) + about


def _listed(names: Sequence[str]) -> str:
    shown = ', '.join(name[:80] for name in names[:10])
    return shown if len(names) <= 10 else f'{shown} and {len(names) - 10} more'


def _inflate(source: _Source, packed: IO[bytes], job: _Job) -> Path:
    """Decompress to the job's target within the limits: what a header says about sizes is not believed."""
    import pyarrow as pa

    limits, name = job.limits, job.name
    size = max(Path(packed.name).stat().st_size, 1)
    most = min(limits.bytes, max(limits.ratio_free_bytes, size * limits.ratio), max(_STEEP_FREE, size * _STEEP))
    done = 0
    broken = (zlib.error, gzip.BadGzipFile, EOFError, zipfile.BadZipFile, RuntimeError, OSError, pa.ArrowInvalid)
    try:
        with job.target.open('wb') as out:
            while chunk := source.read(_CHUNK):
                done += len(chunk)
                if done > most:
                    raise TooLarge(f'{name} unpacks to more than {most / 2**30:.1f} GB. Split it into smaller files.')
                out.write(chunk)
                job.progress(min(1.0, max(packed.tell() / size, done / (size * 8))))
    except (*broken, lzma.LZMAError) as error:
        if isinstance(error, lzma.LZMAError) and 'limit' in str(error).lower():
            raise TooLarge(
                f'{name} needs more memory to unpack than is allowed. Pack it with a lower level.'
            ) from error
        raise UnreadableFile(f'{name} is broken: its compressed data cannot be unpacked. Pack it again.') from error
    return job.target
