"""Objects as files below a folder: made under another name, on disk before they are visible, then read-only."""

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from core.errors import NotFound, Unavailable
from core.values import ObjectInfo
from storage.disk import to_disk


class LocalFiles:
    """Objects below `folder`. Its methods block; errors of the disk come through (`object_faults.told`)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._unfinished = folder / '.unfinished'

    def put(self, key: str, data: bytes) -> ObjectInfo:
        """Store bytes, verified."""
        with self._temporary() as path:
            with path.open('xb') as file:
                file.write(data)
            expected = ObjectInfo(key=key, size=len(data), sha256=hashlib.sha256(data).hexdigest())
            return self._publish(path, expected, replace=False)

    def put_file(self, key: str, source: Path, *, move: bool = False, replace: bool = False) -> ObjectInfo:
        """Store a file, verified; `move` renames it where that is possible, `replace` takes the place of another."""
        if move:
            try:
                info = self._publish(source, describe(key, source), replace=replace, verify=False)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
            else:
                source.unlink(missing_ok=True)
                return info
        with self._temporary() as path:
            info = self._publish(path, _copy(key, source, path), replace=replace)
        if move:
            source.unlink(missing_ok=True)
        return info

    def fetch(self, key: str) -> Path:
        """Return the object's own file. Raise NotFound when nothing is stored under key."""
        path = self._folder / key
        if not path.is_file():
            raise NotFound(f'There is no object under {key}.')
        return path

    @contextmanager
    def _temporary(self) -> Iterator[Path]:
        self._unfinished.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._unfinished / uuid4().hex
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def _publish(self, path: Path, expected: ObjectInfo, *, replace: bool, verify: bool = True) -> ObjectInfo:
        """Make a file visible under its key. A file that was just read needs no `verify`."""
        path.chmod(0o444)
        to_disk(path)
        target = self._folder / expected.key
        self._link(path, target, replace=replace)
        for folder in (target.parent, *target.parent.relative_to(self._folder).parents):
            to_disk(self._folder / folder)
        try:
            return same(expected, describe(expected.key, target)) if verify else _same_size(expected, target)
        except Unavailable:
            target.unlink(missing_ok=True)
            raise

    def _link(self, path: Path, target: Path, *, replace: bool) -> None:
        while True:
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            try:
                if replace:
                    path.replace(target)
                else:
                    os.link(path, target)
            except FileNotFoundError:
                # A deletion next door may take the empty folder away between the two calls.
                if not path.exists():
                    raise
            else:
                return


def describe(key: str, path: Path) -> ObjectInfo:
    """Return a file's size and checksum, for an object under key."""
    with path.open('rb') as file:
        digest = hashlib.file_digest(file, 'sha256')
        return ObjectInfo(key=key, size=file.tell(), sha256=digest.hexdigest())


def _copy(key: str, source: Path, target: Path) -> ObjectInfo:
    shutil.copyfile(source, target)
    return describe(key, source)


def same(expected: ObjectInfo, stored: ObjectInfo) -> ObjectInfo:
    """Return what was stored. Raise Unavailable when it is not what was expected."""
    if stored != expected:
        raise Unavailable(f'The object store returned something else than was stored under {expected.key}. Try again.')
    return stored


def _same_size(expected: ObjectInfo, path: Path) -> ObjectInfo:
    return same(expected, ObjectInfo(key=expected.key, size=path.stat().st_size, sha256=expected.sha256))
