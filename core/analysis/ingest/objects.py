"""JSON to the raw table: one object a line, an array of objects, or one object with a table in it.

Numbers keep the text they were written with.
"""

import codecs
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeGuard

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
_LONG: Final = 2**24
_SHALLOW: Final = 3
_USUAL: Final = frozenset({'data', 'records', 'items', 'rows', 'results', 'features', 'values', 'observations'})
# Possessive, and it always matches at a quote, so that one pass from the left takes linear time. There is no `closed`
# where a text does not end, and no `array` where it is not the name of an array of objects.
_NAME: Final = re.compile(r'(?s)"(?:[^"\\]|\\.)*+(?P<closed>")?(?P<array>\s*+:\s*+\[(?=\s*+\{))?')
_TRIES: Final = 20
_ODD: Final = re.compile(r'\\u(?:0000|[dD][89a-fA-F])')
_HALF: Final = re.compile('[\ud800-\udfff]')
_TAKEN_OUT: Final = 'NUL characters were taken out.'
_HALVED: Final = 'Half of a surrogate pair is no character; it became U+FFFD.'
_SPACE: Final = re.compile(r'[\s,]*')


class _Number(str):
    """A number as it was written."""

    __slots__ = ()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object in which a key that is there twice is called another name, so that no value is lost."""
    value = dict(pairs)
    return (
        value
        if len(value) == len(pairs)
        else dict(zip(unique_names([key for key, _ in pairs], len(pairs)), (item for _, item in pairs), strict=True))
    )


_DECODER: Final = json.JSONDecoder(
    parse_float=_Number, parse_int=_Number, parse_constant=_Number, object_pairs_hook=_object
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """One element as it comes: its line, and its value or why there is none. Its text may spell NUL characters or
    halves of surrogate pairs when it is `odd`."""

    line: int
    value: Any = None
    broken: str | None = None
    odd: bool = False


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
    first, _, rest = head.partition('\n')
    try:
        value = _DECODER.decode(first)
    except ValueError:
        opens = re.match(r'\{\s*("(?:[^"\\]|\\.)*"\s*:|\})', head)
        return None if not opens else 'jsonl' if not rest and _has_lines(text) else 'json'
    except RecursionError:
        return 'jsonl'
    if not isinstance(value, dict) or (not rest.strip() and table_in(value) is not None):
        return 'json'
    return 'jsonl'


def _has_lines(text: Text) -> bool:
    """Whether the first line, longer than the head, is one object and another one follows."""
    with text.path.open('rb') as file:
        file.seek(text.offset)
        first = file.readline(_LONG).strip()
        return first.endswith(b'}') and file.read(64).lstrip().startswith(b'{')


def read_json(text: Text, work: Work, *, kind: str) -> RawTable:
    """Read JSON Lines or an array of objects; nested objects become dotted columns, arrays stay JSON text.

    Of one object with a table in it, that table is read; `notes` tell what it holds besides. Records in an array
    within each element, with times that the element itself has not, become records beside what the element holds.
    An element that is no object is rejected and listed. Raises UnreadableFile when there is none at all.
    """
    names: dict[str, int] = {}
    notes: list[str] = []
    sink = _fill(text, work, kind, names, notes)
    if len(names) > sink.width:
        # A key that came late makes the table wider: now all of them are known.
        sink.discard()
        sink = _fill(text, work, kind, names, notes)
    if not sink.rows and sink.rejected:
        sink.discard()
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
        notes=tuple(dict.fromkeys(notes)),
        header=tuple(names),
    )


def _fill(text: Text, work: Work, kind: str, names: dict[str, int], notes: list[str]) -> Sink:
    """One pass over the file; the names seen are added to `names`, records are stored at the width of its start."""
    if not names:
        _first_names(text, work, kind, names, notes)
    sink = Sink(work, len(names))
    told: set[str] = set()
    for element in _records(text, work, kind, notes):
        value = element.value
        if element.broken is not None or not isinstance(value, dict):
            reason = element.broken or 'The element is no JSON object.'
            _reject(sink, element.line, '' if value is None else _text(value) or '', reason)
            continue
        try:
            cells = _cells(value, names, most=work.limits.columns, odd=element.odd)
        except RecursionError:
            _reject(sink, element.line, '', 'The JSON is nested too deep.')
            continue
        if len(names) <= sink.width:
            flag = _mended(sink, element, cells, list(names), told) if element.odd else Flag.AS_READ
            sink.add(element.line, flag, [cells.get(index) for index in range(len(names))])
    return sink


def _mended(sink: Sink, element: Element, cells: dict[int, str | None], names: Sequence[str], told: set[str]) -> Flag:
    """Make texts of cells that are none, and list them, and each key that is none once."""
    for key, _ in _flat(element.value, '', 0):
        if key not in told and _plain(key) != key:
            told.add(key)
            _repaired(sink, element.line, _plain(key), key)
    flag = Flag.AS_READ
    for place, cell in cells.items():
        if cell is not None and (plain := _plain(cell)) != cell:
            _repaired(sink, element.line, names[place], cell)
            cells[place], flag = plain, Flag.REPAIRED
    return flag


def _plain(text: str) -> str:
    """A text without what neither Parquet nor Postgres stores: NUL characters, and halves of surrogate pairs."""
    return _HALF.sub('\ufffd', text.replace('\0', ''))


def _repaired(sink: Sink, line: int, column: str, value: str) -> None:
    kind, reason = (FaultKind.NUL_BYTE, _TAKEN_OUT) if '\0' in value else (FaultKind.BAD_ENCODING, _HALVED)
    sink.fault(
        Fault(
            line=line, byte=None, column=column, kind=kind, value=value[:_SHOWN],
            action=FaultAction.REPAIRED, reason=reason,
        )
    )  # fmt: skip


def _records(text: Text, work: Work, kind: str, notes: list[str]) -> Iterator[Element]:
    return _spread(_objects(_lines(text, work) if kind == 'jsonl' else _array(text, work, notes)))


def _spread(elements: Iterator[Element]) -> Iterator[Element]:
    """The elements; where the first one holds timed records in an array and no time itself, those of each one."""
    inner: str | None = None
    for count, element in enumerate(elements):
        value = element.value
        if not isinstance(value, dict) or element.broken is not None:
            yield element
            continue
        if count == 0:
            inner = _timed(value)
        records = value.get(inner) if inner is not None else None
        if not records or not _are(records, dict):
            yield element
            continue
        outer = {key: item for key, item in value.items() if key != inner}
        for record in records:
            yield replace(
                element, value=outer | {f'{inner}.{key}' if key in outer else key: record[key] for key in record}
            )


def _timed(value: dict[str, Any]) -> str | None:
    """The only key below which an array of records with times stands, beside no time."""
    arrays = [key for key, item in value.items() if _are(item, dict)]
    if len(arrays) != 1 or _has_time(value):
        return None
    return arrays[0] if _has_time(value[arrays[0]][0]) else None


def _has_time(record: Mapping[Any, Any]) -> bool:
    return any(type(item) is str and kind_of(item) == 'time' for item in record.values())


def _are(items: Any, kind: type | tuple[type, ...]) -> TypeGuard[list[Any]]:
    """Whether this is an array of nothing but such values, and of one at least."""
    return isinstance(items, list) and bool(items) and all(isinstance(item, kind) for item in items)


def _objects(elements: Iterator[Element]) -> Iterator[Element]:
    """The elements, arrays among them as objects: the first array names the cells when it holds nothing but words."""
    names: list[str] | None = None
    odd = False
    for element in elements:
        value, odd = element.value, odd or element.odd
        if not isinstance(value, list) or element.broken is not None:
            yield element
            continue
        if names is None:
            names = _heading(value)
            if names:
                continue
        names += [f'column_{place + 1}' for place in range(len(names), len(value))]
        # What the first array calls the cells may be odd.
        yield replace(element, value=dict(zip(names, value, strict=False)), odd=odd)


def _heading(cells: list[Any]) -> list[str]:
    words = all(type(cell) is str and kind_of(cell) in ('text', 'flag') for cell in cells)
    return list(cells) if words and len(set(cells)) == len(cells) else []


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The records of the table that an object holds. `array` is the array itself where they stand in one, `key` what it
    is called; `beside` names what is not part of the table."""

    records: Sequence[Any]
    key: str = ''
    array: list[Any] | None = None
    beside: tuple[str, ...] = ()


def table_in(value: dict[str, Any], depth: int = 0) -> Table | None:
    """The table in an object: it is one itself (of columns, of rows by key), or it is the largest one below a key."""
    itself = _split(value) or _of_columns(value) or _of_groups(value) or _by_key(value) or _of_values(value)
    if itself is not None or depth > _SHALLOW:
        return itself
    found = []
    for key, item in value.items():
        inner: Table | None = None
        if _are(item, dict) or _are(item, list):
            inner = Table(records=item, key=key, array=item)
        elif isinstance(item, dict) and item:
            inner = table_in(item, depth + 1)
        if inner is not None:
            beside = tuple(name for name in value if name != key)
            found.append(replace(inner, key=inner.key or key, beside=beside + inner.beside))
    return max(found, key=_weight, default=None)


def _weight(table: Table) -> int:
    """How much speaks for a table: its records, more where they hold times or are called what tables are called."""
    first = table.records[0]
    timed = _has_time(first if isinstance(first, dict) else dict(enumerate(first)))
    return len(table.records) * (4 if timed else 1) * (2 if table.key.lower() in _USUAL else 1)


def _split(value: dict[str, Any]) -> Table | None:
    """Names beside rows, as pandas writes them with `orient='split'`."""
    columns, data = value.get('columns'), value.get('data')
    if not _are(columns, (str, list)) or not _are(data, list):
        return None
    names = [_text(name) or '' for name in columns]
    records = [dict(zip(names, row, strict=False)) for row in data]
    index = value.get('index')
    beside = tuple(key for key in value if key not in ('columns', 'data', 'index'))
    if isinstance(index, list) and len(index) == len(data) and not _counts([_text(item) for item in index]):
        records = [{'index': item, **record} for item, record in zip(index, records, strict=True)]
    return Table(records=records, beside=beside)


def _of_columns(value: dict[str, Any]) -> Table | None:
    """Arrays of one length, each a column."""
    items = list(value.values())
    if not items or not all(isinstance(item, list) for item in items) or len({len(item) for item in items}) > 1:
        return None
    if len(items[0]) < 2 or (isinstance(items[0][0], dict | list)):
        return None
    return Table(records=[dict(zip(value, row, strict=True)) for row in zip(*items, strict=True)])


def _of_groups(value: dict[str, Any]) -> Table | None:
    """Arrays of like records, each below the name of its group."""
    items = list(value.values())
    if len(items) < 2 or not all(_are(item, dict) for item in items) or len({tuple(item[0]) for item in items}) > 1:
        return None
    key = _free('key', items[0][0])
    return Table(records=[{key: name, **record} for name, item in value.items() for record in item])


def _by_key(value: dict[str, Any]) -> Table | None:
    """Records by key (of like ones, or each of its time), or columns of cells by row."""
    items = list(value.values())
    if len(items) < 2 or not all(isinstance(item, dict) and item for item in items):
        return None
    if any(isinstance(cell, dict | list) for item in items for cell in item.values()):
        return None
    keys = list(dict.fromkeys(key for item in items for key in item))
    alike = all(len(item) == len(keys) for item in items)
    if alike and all(key.isdigit() for key in keys):
        rows: list[dict[str, Any]] = [{name: item[key] for name, item in value.items()} for key in keys]
        if not _counts(keys):
            rows = [{'index': key, **row} for key, row in zip(keys, rows, strict=True)]
        return Table(records=rows)
    if not alike and not all(kind_of(name) == 'time' for name in value):
        return None
    key = _free('key', keys)
    return Table(records=[{key: name, **item} for name, item in value.items()])


def _of_values(value: dict[str, Any]) -> Table | None:
    """One value by time."""
    if len(value) < 2 or any(isinstance(item, dict | list) or kind_of(key) != 'time' for key, item in value.items()):
        return None
    return Table(records=[{'key': key, 'value': item} for key, item in value.items()])


def _counts(keys: Sequence[str | None]) -> bool:
    """Whether these are nothing but the numbers of rows."""
    return all(key == str(number) for number, key in enumerate(keys))


def _free(name: str, taken: Any) -> str:
    while name in taken:
        name += '_'
    return name


def _first_names(text: Text, work: Work, kind: str, names: dict[str, int], notes: list[str]) -> None:
    for count, element in enumerate(_records(text, work, kind, notes)):
        if isinstance(element.value, dict):
            with suppress(RecursionError):
                _cells(element.value, names, most=work.limits.columns, odd=element.odd)
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


def _cells(value: dict[str, Any], names: dict[str, int], *, most: int, odd: bool) -> dict[int, str | None]:
    """An object's cells by their place in `names`, which grows by keys not seen before. Raises TooLarge past `most`."""
    cells: dict[int, str | None] = {}
    for name, item in _flat(value, '', 0):
        name = _plain(name) if odd else name
        if item is None and name not in names and any(other.startswith(f'{name}.') for other in names):
            continue  # the record lacks an object whose keys are columns
        index = names.setdefault(name, len(names))
        while index in cells:
            name += '_'
            index = names.setdefault(name, len(names))
        if index >= most:
            raise TooLarge(f'The JSON has more than {most:,} different keys. Upload narrower records.')
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
        return Element(line=line, value=_DECODER.decode(text), odd=_ODD.search(text) is not None)
    except json.JSONDecodeError as error:
        return Element(
            line=line, value=text[:_SHOWN], broken=f'The line is no JSON: {error.msg} at character {error.pos + 1}.'
        )
    except RecursionError:
        return Element(line=line, value=text[:_SHOWN], broken='The JSON is nested too deep.')


def _array(text: Text, work: Work, notes: list[str]) -> Iterator[Element]:
    """Elements of an array, one at a time, whatever the length of the file."""
    source = _Window(text.path, text.offset, longest=_longest(work))
    try:
        if source.enter():
            yield from _elements(source, text, work)
        elif text.size <= work.memory // _WHOLE:
            yield from _whole(source, text, work, notes)
        elif source.enter_long():
            notes.append('The first long array of objects was read; what the file holds besides was left out.')
            yield from _elements(source, text, work)
        else:
            yield Element(
                line=1, broken='The JSON holds no array of objects and is too large to be taken as one object.'
            )
    finally:
        source.close()


def _elements(source: '_Window', text: Text, work: Work) -> Iterator[Element]:
    while True:
        source.skip()
        if source.at_end():
            return
        try:
            value, odd = source.element()
        except RecursionError:
            yield Element(line=source.line, broken='The JSON is nested too deep; the rest of the file was not read.')
            return
        if value is _BROKEN:
            reason = 'The JSON breaks off or is damaged here; the rest of the file was not read.'
            yield Element(line=source.line, broken=reason)
            return
        yield Element(line=source.element_line, value=value, odd=odd)
        work.progress(source.done / max(text.size, 1))


def _whole(source: '_Window', text: Text, work: Work, notes: list[str]) -> Iterator[Element]:
    """A file that is one object: the records of the table in it, or itself."""
    with text.path.open('rb') as file:
        file.seek(text.offset)
        whole = file.read().decode('utf-8', 'replace')
    element = _element(whole.strip(), 1)
    value = element.value
    table = table_in(value) if element.broken is None and isinstance(value, dict) else None
    if table is None and element.broken is not None and source.enter_long():
        # What breaks off further below still has records before.
        yield from _elements(source, text, work)
        return
    if table is None:
        yield element
        return
    if table.beside:
        beside = ', '.join(_plain(name[:80]) for name in table.beside[:10])
        notes.append(
            f'The records of "{_plain(table.key[:80])}" were read; what stands beside them was left out: {beside}.'
        )
    place = _place(whole, table)
    if place is None:
        for record in table.records:
            yield Element(line=1, value=record, odd=element.odd)
        return
    del whole, value, element
    source.go(text.offset + place[0], line=place[1])
    yield from _elements(source, text, work)


def _place(whole: str, table: Table) -> tuple[int, int] | None:
    """Behind which byte and in which line the array of a table begins."""
    if table.array is None:
        return None
    name = re.escape(json.dumps(table.key, ensure_ascii=False))
    for match in islice(re.finditer(rf'{name}\s*:\s*\[', whole), _TRIES):
        try:
            if _DECODER.raw_decode(whole, match.end() - 1)[0] == table.array:
                before = whole[: match.end()]
                return len(before.encode()), before.count('\n') + 1
        except (json.JSONDecodeError, RecursionError):
            continue
    return None


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
        """Go to the first element of the outermost array, if there is one."""
        self._fill()
        match = re.match(r'\s*\[(?=\s*[\[{\]])', self._text)
        self._move(match.end() if match else 0)
        return match is not None

    def enter_long(self) -> bool:
        """Go to the first element of the first array of objects under a name that does not end soon."""
        self._fill()
        at = 0
        while (match := _NAME.search(self._text, at)) and match['closed']:
            if not match['array']:
                at = match.end()
                continue
            try:
                at = _DECODER.raw_decode(self._text, match.end() - 1)[1]
            except json.JSONDecodeError:
                self._move(match.end())
                return True
            except RecursionError:
                return False
        return False

    def go(self, offset: int, *, line: int) -> None:
        """Go to a byte of the file, which stands in this line."""
        self._file.seek(offset)
        self._decoder.reset()
        self._text, self._at, self.done, self.line = '', 0, offset, line

    def _fill(self) -> None:
        while len(self._text) < _SAMPLE and self._more():
            pass

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

    def element(self) -> tuple[Any, bool]:
        """The next value, `_BROKEN` when there is none, and whether it is odd (see Element)."""
        self.element_line = self.line
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError:
                if len(self._text) - self._at > self._longest or not self._double():
                    return _BROKEN, False
                continue
            odd = _ODD.search(self._text, self._at, end) is not None
            self._move(end)
            return value, odd

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
