"""Physical lines of a UTF-8 file in blocks, with their numbers and byte offsets."""

from pathlib import Path
from typing import Final

from core.analysis.ingest.dialect import split_lines
from core.errors import TooLarge

_BLOCK: Final = 2**20


class Lines:
    """A file's lines, a block of whole lines at a time. `done` is the number of bytes handed out."""

    def __init__(self, path: Path, *, offset: int, returns: bool, longest: int) -> None:
        self._file = path.open('rb')
        self._file.seek(offset)
        self._size = path.stat().st_size
        self._returns = returns
        self._longest = longest
        self._rest = b''
        self.done = offset
        self.ended = False

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def block(self) -> list[str]:
        """The next whole lines with their breaks; none at the file's end. Raises TooLarge on an endless line."""
        data, self._rest = self._rest, b''
        while not self.ended:
            read = self._file.read(_BLOCK)
            self.ended = len(read) < _BLOCK or self._file.tell() >= self._size
            cut = len(read) if self.ended else self._cut(read)
            data, self._rest = data + read[:cut] if cut else data + read, read[cut:] if cut else b''
            if cut:
                break
            if len(data) > self._longest:
                raise TooLarge(
                    f'A line of the file is longer than {self._longest // 2**20} MB (near byte {self.done}). '
                    'Check its line breaks and quotes.'
                )
        self.done += len(data)
        return split_lines(data.decode('utf-8', 'replace'), returns=self._returns) if data else []

    def _cut(self, read: bytes) -> int:
        """Where the last whole line of a block ends."""
        cut = read.rfind(b'\n') + 1
        if self._returns:
            # A return at the very end may be half of a pair: it waits for the next block.
            cut = max(cut, read.rfind(b'\r', 0, len(read) - 1) + 1)
        return cut
