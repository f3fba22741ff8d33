"""Objects of a remote store as files for DuckDB: what is read of them is fetched, and nothing else."""

import io
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from fsspec import AbstractFileSystem

SCHEME = 'objects'
ALWAYS = datetime(2000, 1, 1, tzinfo=UTC)  # objects never change


def address(key: str) -> str:
    """Return the name of an object for DuckDB."""
    return f'{SCHEME}://{key}'


class ObjectReads(AbstractFileSystem):  # type: ignore[misc]
    """A read-only fsspec file system of a few objects of known sizes; `read` returns key's bytes from start to end."""

    protocol: ClassVar[str] = SCHEME
    cachable: ClassVar[bool] = False

    def __init__(self, read: Callable[[str, int, int], bytes], sizes: Mapping[str, int]) -> None:
        super().__init__()
        self._read = read
        self._sizes = sizes

    def open(self, path: str, mode: str = 'rb', **options: Any) -> '_ObjectFile':
        """Open one of the objects for reading."""
        key = self._key(path)
        return _ObjectFile(lambda start, end: self._read(key, start, end), self._sizes[key])

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        """Return its name, type and size in bytes."""
        return {'name': path, 'type': 'file', 'size': self._sizes[self._key(path)]}

    def modified(self, path: str) -> datetime:
        """Return a time that is always the same."""
        return ALWAYS

    def glob(self, path: str, **options: Any) -> list[str]:
        """Return the path itself: there are no patterns here."""
        self._key(path)
        return [path]

    def _key(self, path: str) -> str:
        key = path.removeprefix(f'{SCHEME}://')
        if key not in self._sizes:
            raise FileNotFoundError(path)
        return key


class _ObjectFile(io.RawIOBase):
    """One object; every read is one request."""

    def __init__(self, read: Callable[[int, int], bytes], size: int) -> None:
        super().__init__()
        self._range = read
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence])
        return self._at

    def read(self, size: int = -1) -> bytes:
        start = min(self._at, self._size)
        end = self._size if size < 0 else min(self._size, start + size)
        data = self._range(start, end) if end > start else b''
        self._at = start + len(data)
        return data
