"""JSON to the raw table: one object a line, or an array of objects. Numbers keep the text they were written with."""

import codecs
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from core.analysis.ingest.cells import kind_of
from core.analysis.ingest.decode import Text
from core.analysis.ingest.layout import unique_names
from core.analysis.ingest.lines import Lines
from core.analysis.ingest.rawtable import Dialect, Fault, FaultAction, FaultKind, Flag, RawTable
from core.analysis.ingest.sink import Sink, Work
from core.errors import TooLarge, UnreadableFile

_SAMPLE: Final = 2**16
_BLOCK: Final = 2**20
_DEPTH: Final = 4
_WHOLE: Final = 16
_SHOWN: Final = 500
_SPACE: Final = re.compile(r'[\s,]*')


class _Number(str):
    """A number as it was written."""

    __slots__ = ()


_DECODER: Final = json.JSONDecoder(parse_float=_Number, parse_int=_Number, parse_constant=_Number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """One element as it comes: its line, and its value or why there is none."""

    line: int
    value: Any = None
    broken: str | None = None


def is_json(text: Text) -> str | None:
    """`jsonl` or `json` when the file starts as one of them, else None."""
    with text.path.open('rb') as file:
        file.seek(text.offset)
        head = file.read(_SAMPLE).decode('utf-8', 'ignore').lstrip()
    if head.startswith('['):
        inside = head[1:].lstrip()
        return 'json' if inside.startswith(('{', '[', ']')) else None
    if not head.startswith('{'):
        return None
    first = head.split('\n', 1)[0].strip()
    try:
        value = _DECODER.decode(first)
    except ValueError:
        return 'json' if re.match(r'\{\s*("(?:[^"\\]|\\.)*"\s*:|\})', head) else None
    except RecursionError:
        return 'jsonl'
    alone = not head.split('\n', 1)[1:] or not head.split('\n', 1)[1].strip()
    if not isinstance(value, dict) or _wraps(value) or (alone and _records_of(value) is not None):
        return 'json'
    return 'jsonl'


def _wraps(value: dict[str, Any]) -> bool:
    """Whether an object is the whole file: an array of records under a name."""
    return any(isinstance(item, list) and item and isinstance(item[0], dict) for item in value.values())


def read_json(text: Text, work: Work, *, kind: str) -> RawTable:
    """Read JSON Lines or an array of objects; nested objects become dotted columns, arrays stay JSON text.

    An element that is no object is rejected and listed. Raises UnreadableFile when there is none at all.
    """
    names: dict[str, int] = {}
    sink = _fill(text, work, kind, names)
    if len(names) > sink.width:
        # A key that came late makes the table wider: now all of them are known.
        sink.discard()
        sink = _fill(text, work, kind, names)
    if not sink.rows and sink.rejected:
        raise UnreadableFile(
            'The file starts like JSON, but no element of it is an object. Upload objects, one a line.'
        )
    rows, rejected = sink.rows + sink.rejected, sink.rejected
    faults = sink.finish()
    return RawTable(
        path=work.table,
        names=unique_names(list(names), len(names)),
        named=bool(names),
        header_line=None,
        encoding=text.encoding,
        compression=None,
        format=kind,
        dialect=Dialect(newline='\r\n' if text.crlf > text.lf else '\n' if text.lf else None),
        rows_read=rows,
        rejected=rejected,
        faults_path=faults,
        hints={},
        notes=(),
        header=tuple(names),
    )


def _fill(text: Text, work: Work, kind: str, names: dict[str, int]) -> Sink:
    """One pass over the file; the names seen are added to `names`, records are stored at the width of its start."""
    if not names:
        _first_names(text, work, kind, names)
    sink = Sink(work, len(names))
    for element in _objects(_lines(text, work) if kind == 'jsonl' else _array(text, work)):
        value = element.value
        if element.broken is not None or not isinstance(value, dict):
            reason = element.broken or 'The element is no JSON object.'
            _reject(sink, element.line, '' if value is None else _text(value) or '', reason)
            continue
        cells = _cells(value, names)
        if len(names) > work.limits.columns:
            raise TooLarge(f'The JSON has more than {work.limits.columns:,} different keys. Upload narrower records.')
        if len(names) <= sink.width:
            sink.add(element.line, Flag.AS_READ, [cells.get(index) for index in range(len(names))])
    return sink


def _objects(elements: Iterator[Element]) -> Iterator[Element]:
    """The elements, arrays among them as objects: the first array names the cells when it holds nothing but words."""
    names: list[str] | None = None
    for element in elements:
        value = element.value
        if not isinstance(value, list) or element.broken is not None:
            yield element
            continue
        if names is None:
            names = _heading(value)
            if names:
                continue
        names += [f'column_{place + 1}' for place in range(len(names), len(value))]
        yield replace(element, value=dict(zip(names, value, strict=False)))


def _heading(cells: list[Any]) -> list[str]:
    words = all(type(cell) is str and kind_of(cell) in ('text', 'flag') for cell in cells)
    return list(cells) if words and len(set(cells)) == len(cells) else []


def _records_of(value: dict[str, Any]) -> list[dict[str, Any]] | None:
    """The records of an object that holds a whole table: of columns, of rows by key, or of names beside data."""
    items = list(value.values())
    if isinstance(value.get('columns'), list) and isinstance(value.get('data'), list):
        names = [_text(name) or '' for name in value['columns']]
        return [dict(zip(names, row, strict=False)) for row in value['data'] if isinstance(row, list)]
    if items and all(isinstance(item, list) for item in items):
        whole = len({len(item) for item in items}) == 1 and len(items[0]) > 1
        return [dict(zip(value, row, strict=True)) for row in zip(*items, strict=True)] if whole else None
    if len(items) > 1 and all(isinstance(item, dict) and item for item in items):
        keys = [tuple(item) for item in items]
        if len(set(keys)) > 1 or any(isinstance(cell, dict | list) for item in items for cell in item.values()):
            return None
        if all(key.isdigit() for key in keys[0]):
            return [{name: item[key] for name, item in value.items()} for key in keys[0]]
        return [{'key': name, **item} for name, item in value.items()]
    return None


def _first_names(text: Text, work: Work, kind: str, names: dict[str, int]) -> None:
    elements = _objects(_lines(text, work) if kind == 'jsonl' else _array(text, work))
    for count, element in enumerate(elements):
        if isinstance(element.value, dict):
            _cells(element.value, names)
        if count > 1000:
            break


def _reject(sink: Sink, line: int, value: str, reason: str) -> None:
    sink.rejected += 1
    sink.fault(
        Fault(
            line=line, byte=None, column=None, kind=FaultKind.NOT_A_RECORD, value=value[:_SHOWN],
            action=FaultAction.REJECTED, reason=reason,
        )
    )  # fmt: skip


def _cells(value: dict[str, Any], names: dict[str, int]) -> dict[int, str | None]:
    """An object's cells by their place in `names`, which grows by keys not seen before."""
    cells: dict[int, str | None] = {}
    for name, item in _flat(value, '', 0):
        index = names.setdefault(name, len(names))
        cells[index] = _text(item)
    return cells


def _flat(value: dict[str, Any], prefix: str, depth: int) -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        name = f'{prefix}{key}'
        if isinstance(item, dict) and item and depth < _DEPTH:
            yield from _flat(item, f'{name}.', depth + 1)
        else:
            yield name, item


def _text(item: Any) -> str | None:
    if item is None or isinstance(item, str):
        return item
    if isinstance(item, bool):
        return 'true' if item else 'false'
    return _as_json(item)


def _as_json(item: Any) -> str:
    """Nested values as JSON, with numbers as they were written."""
    if isinstance(item, _Number):
        return str(item)
    if isinstance(item, list):
        return f'[{", ".join(_as_json(part) for part in item)}]'
    if isinstance(item, dict):
        return (
            f'{{{", ".join(f"{json.dumps(key, ensure_ascii=False)}: {_as_json(part)}" for key, part in item.items())}}}'
        )
    return json.dumps(item, ensure_ascii=False)


def _lines(text: Text, work: Work) -> Iterator[Element]:
    source = Lines(text.path, offset=text.offset, returns=False, longest=_longest(work))
    number = 0
    try:
        while block := source.block():
            work.progress(source.done / max(text.size, 1))
            for line in block:
                number += 1
                stripped = line.strip()
                if stripped:
                    yield _element(stripped, number)
    finally:
        source.close()


def _element(text: str, line: int) -> Element:
    try:
        return Element(line=line, value=_DECODER.decode(text))
    except json.JSONDecodeError as error:
        return Element(
            line=line, value=text[:_SHOWN], broken=f'The line is no JSON: {error.msg} at character {error.pos + 1}.'
        )
    except RecursionError:
        return Element(line=line, value=text[:_SHOWN], broken='The JSON is nested too deep.')


def _array(text: Text, work: Work) -> Iterator[Element]:
    """Elements of an array, one at a time, whatever the length of the file."""
    source = _Window(text.path, text.offset, longest=_longest(work))
    try:
        yield from _elements(source, text, work)
    finally:
        source.close()


def _elements(source: '_Window', text: Text, work: Work) -> Iterator[Element]:
    if not source.enter():
        yield from _whole(text, work)
        return
    while True:
        source.skip()
        if source.at_end():
            return
        try:
            value = source.element()
        except RecursionError:
            yield Element(line=source.line, broken='The JSON is nested too deep; the rest of the file was not read.')
            return
        if value is _BROKEN:
            reason = 'The JSON breaks off or is damaged here; the rest of the file was not read.'
            yield Element(line=source.line, broken=reason)
            return
        yield Element(line=source.element_line, value=value)
        work.progress(source.done / max(text.size, 1))


def _whole(text: Text, work: Work) -> Iterator[Element]:
    """A file that is one object: the records of the table in it, or itself."""
    if text.size > work.memory // _WHOLE:
        yield Element(line=1, broken='The JSON holds no array of objects and is too large to be taken as one object.')
        return
    with text.path.open('rb') as file:
        file.seek(text.offset)
        element = _element(file.read().decode('utf-8', 'replace'), 1)
    value = element.value
    found = _records_of(value) if element.broken is None and isinstance(value, dict) else None
    if found is None:
        yield element
        return
    for record in found:
        yield Element(line=1, value=record)


_BROKEN: Final = object()


class _Window:
    """A sliding view of a long JSON array."""

    def __init__(self, path: Path, offset: int, *, longest: int) -> None:
        self._file = path.open('rb')
        self._file.seek(offset)
        self._decoder = codecs.getincrementaldecoder('utf-8')('replace')
        self._text = ''
        self._at = 0
        self._longest = longest
        self.done = offset
        self.line = self.element_line = 1

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def enter(self) -> bool:
        """Go to the first element: of the outermost array, or of the first array of objects under a name."""
        while len(self._text) < _SAMPLE and self._more():
            pass
        match = re.match(r'\s*\[(?=\s*[\[{\]])', self._text) or re.search(
            r'"(?:[^"\\]|\\.)*"\s*:\s*\[\s*(?=\{)', self._text
        )
        if match is None:
            return False
        self._move(match.end())
        return True

    def skip(self) -> None:
        """Pass blanks and commas."""
        while True:
            match = _SPACE.match(self._text, self._at)
            self._move(match.end() if match else self._at)
            if self._at < len(self._text) or not self._more():
                return

    def at_end(self) -> bool:
        """Whether the array ends here."""
        return self._at < len(self._text) and self._text[self._at] == ']'

    def element(self) -> Any:
        """The next value, `_BROKEN` when there is none."""
        self.element_line = self.line
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError:
                if len(self._text) - self._at > self._longest or not self._double():
                    return _BROKEN
                continue
            self._move(end)
            return value

    def _double(self) -> bool:
        """Read about as much again as is left, so that a long element is not parsed too often."""
        wanted = max(2 * (len(self._text) - self._at), _SAMPLE)
        grown = False
        while len(self._text) - self._at < wanted and self._more():
            grown = True
        return grown

    def _more(self) -> bool:
        block = self._file.read(_BLOCK)
        if not block:
            return False
        self.done += len(block)
        self._text = self._text[self._at :] + self._decoder.decode(block)
        self._at = 0
        return True

    def _move(self, to: int) -> None:
        self.line += self._text.count('\n', self._at, to)
        self._at = to


def _longest(work: Work) -> int:
    return max(4 * work.limits.cell_bytes, work.memory // 8)
