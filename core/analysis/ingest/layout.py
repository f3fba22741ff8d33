"""Where the table is in a file: preamble, header rows, body, and what ends it, for records of any origin."""

import math
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from core.analysis.alike import visible
from core.analysis.ingest.cells import Kind, column_kind, fit, kind_of, profile_of
from core.analysis.ingest.dialect import Format, tokenize
from core.analysis.ingest.rawtable import Chosen, decision

_BODY_ROWS: Final = 300
_BODY_CELLS: Final = 200_000
_HEADER_ROWS: Final = 4
_TITLE_LINES: Final = 4
_RENAMED: Final = 5
_TOLD: Final = 60
_PLAIN_NAME: Final = 0.3
_DELIMITERS: Final = (',', ';', '\t', '|', ' ')
_NAME: Final = re.compile(r'[^\W\d][\w .,:/()\[\]%°$€#&+*\'-]{0,80}')
_FOOTNOTE: Final = re.compile(
    r'[*†‡©#]|\(?\d\) |(?:notes?|sources?|footnotes?|remarks?|legend|copyright|n\.b\.|quelle|hinweis|anmerkung|fuente|'
    r'nota|fonte|remarque)\b\s?[:.]',
    re.IGNORECASE,
)
_DIGITS: Final = re.compile(r'\d+')
_LETTERS: Final = re.compile(r'[^\W\d_]+')
_UNIT: Final = re.compile(r'[\[(][^\[\]()]{1,20}[\])]|[%‰]|°[CFK]')
_SHAPED_ROWS: Final = 100
_SHAPED_COLUMNS: Final = 200
_FEW_SHAPES: Final = 6
_YEAR: Final = re.compile(r'(?:1[6-9]|20|21)\d\d')


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Cells that start at a physical line; blank lines have no cells."""

    line: int
    cells: list[str]
    lines: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The table's place and shape: `body` is the physical line of its first record, 0 when it has none.

    `header` holds the header's cells as written (joined over several rows), `names` what the columns are called.
    `gaps` is the share of empty cells in each column, `slack` how many empty cells every record has beyond the header,
    as after a trailing delimiter, `lacking` how many cells every record has less than the header. `skip` counts the
    physical lines above the table, `header_lines` the records that make the header, and `sure` (0 to 1) tells how
    plainly the first record is a header or none. `shapes` tells how the cells of a column are written, where they are
    written in few ways.
    """

    width: int
    names: tuple[str, ...]
    header: tuple[str, ...]
    header_line: int | None
    body: int
    profile: tuple[Kind, ...]
    gaps: tuple[float, ...] = ()
    lacking: int = 0
    shapes: tuple[frozenset[str], ...] = ()
    slack: int = 0
    skip: int = 0
    header_lines: int = 0
    sure: float = 1.0
    notes: tuple[str, ...] = field(default=())


NOTHING: Final = Layout(width=0, names=(), header=(), header_line=None, body=0, profile=())


def find_layout(
    records: Sequence[Record],
    *,
    skip: int | None = None,
    header_lines: int | None = None,
    merged: Collection[int] = (),
) -> Layout:
    """Find the first table among the sample records of a file (blank lines given as records without cells).

    With `skip` it starts at the first record below that many physical lines; with `header_lines` so many records are
    its header. Of lines that are `merged` it is known which columns a group names.
    """
    filled = [record for record in records if record.cells]
    below = [index for index, record in enumerate(records) if record.cells and record.line > (skip or 0)]
    if not below:
        return NOTHING
    start = _first_of_table(records) if skip is None else below[0]
    preamble = [record for record in filled if record.line < records[start].line]
    segment = _segment(records, start)
    width = _body_width(segment)
    if header_lines is None:
        rows, header_rows, votes = _split_header(segment, width)
    else:
        rows, header_rows, votes = segment[header_lines:], segment[:header_lines], math.inf
    header = _join(header_rows, merged)
    header, width, slack = _reconciled(header, rows, width)
    notes = []
    if preamble:
        notes.append(_lines_note(preamble[0].line, records[start].line))
    if len(header_rows) > 1:
        notes.append(f'{len(header_rows)} header rows were joined.')
    seen = {len(row.cells) for row in rows[: _enough(width)]}
    lacking = width - max(seen) if len(rows) > 2 and len(seen) == 1 and max(seen) < width else 0
    body = [row.cells for row in rows[: _enough(width)] if len(row.cells) == width + slack]
    body = _without_foot(body, width)
    names = unique_names(header, width)
    notes += _renamed(names, header)
    if lacking:
        body = [[*row.cells, *[''] * lacking] for row in rows[: _enough(width)]]
        notes.append(_lacking_note(lacking))
    return Layout(
        width=width,
        lacking=lacking,
        slack=slack,
        names=names,
        header=tuple(header),
        header_line=header_rows[0].line if header_rows else None,
        skip=segment[0].line - 1,
        header_lines=len(header_rows),
        sure=0.5 + 0.5 * math.tanh(abs(votes)),
        body=rows[0].line if rows else 0,
        profile=profile_of(body, width),
        gaps=tuple(sum(not row[i].strip() for row in body) / max(len(body), 1) for i in range(width)),
        shapes=tuple(_shapes([row[i] for row in body[:_SHAPED_ROWS]]) for i in range(min(width, _SHAPED_COLUMNS))),
        notes=tuple(notes),
    )


def _without_foot(body: list[list[str]], width: int) -> list[list[str]]:
    """Sample records without lines of one cell at their end that an empty record parts from the others."""
    last = len(body)
    while last and width > 2 and not any(cell.strip() for cell in body[last - 1][1:]):
        last -= 1
        if not body[last][0].strip():
            return body[:last] or body
    return body


def shape_of(cell: str) -> str:
    """How a cell is written: its signs, with one letter for letters and one digit for digits."""
    return _DIGITS.sub('9', _LETTERS.sub('a', cell.strip()[:200]))


def _shapes(cells: Sequence[str]) -> frozenset[str]:
    found = Counter(shape_of(cell) for cell in cells if cell.strip())
    count = sum(found.values())
    if len(found) > max(_FEW_SHAPES, count // 4):
        return frozenset()
    # Where there is much to go by, what stands in one cell alone is no way of writing the column.
    return frozenset(shape for shape, seen in found.items() if seen > 1 or count < 20)


def layout_decisions(layout: Layout, chosen: Chosen) -> dict[str, Any]:
    """What `reading` tells about where the table starts."""
    return {
        'skip': decision(layout.skip, confidence=layout.sure, asked=chosen.skip is not None),
        'header_lines': decision(
            layout.header_lines,
            confidence=layout.sure,
            runner_up=0 if layout.header_lines else 1,
            asked=chosen.header_lines is not None,
        ),
    }


def unique_names(header: Sequence[str], width: int) -> tuple[str, ...]:
    """Names for columns: unique without regard to case, invented (`column_3`) where the header has none."""
    wanted = [header[i].strip() if i < len(header) else '' for i in range(width)]
    taken = {name.casefold() for name in wanted if name}
    names: list[str] = []
    used: set[str] = set()
    tried: dict[str, int] = {}
    for index, name in enumerate(wanted, start=1):
        stem = name or f'column_{index}'
        candidate, number = stem, tried.get(stem.casefold(), 2)
        while candidate.casefold() in used or (candidate != name and candidate.casefold() in taken):
            candidate, number = f'{stem}_{number}', number + 1
        used.add(candidate.casefold())
        tried[stem.casefold()] = number
        names.append(candidate)
    return tuple(names)


def _renamed(names: Sequence[str], header: Sequence[str]) -> list[str]:
    """Tell of columns that were given a number, as another one is called so but for case and blanks. Several that are
    written the very same are not told: a second header below may name them."""
    pairs = [(cell, name) for cell, name in zip(header, names, strict=False) if cell.strip() not in ('', name)]
    count = Counter(header)
    if sum(count[cell] > 1 for cell, _ in pairs) > 1:
        pairs = [(cell, name) for cell, name in pairs if count[cell] == 1]
    if not pairs:
        return []
    told = ', '.join(f'"{visible(cell)[:_TOLD]}" is "{name[: _TOLD + 4]}"' for cell, name in pairs[:_RENAMED])
    more = f' and {len(pairs) - _RENAMED} more' if len(pairs) > _RENAMED else ''
    return [f'Columns that are called as another one but for case and blanks were given a number: {told}{more}.']


def is_title(cells: Sequence[str]) -> bool:
    """Whether a record holds one word or phrase, in its first cell, as stands above a table."""
    return len(cells) > 1 and kind_of(cells[0]) == 'text' and not any(cell.strip() for cell in cells[1:])


def is_heading(cells: Sequence[str], profile: Sequence[Kind], *, titled: bool = False) -> bool:
    """Whether a record in the body can only be another table's header: words in every column that holds none.

    Below a title (`titled`) columns that hold words may be left out.
    """
    typed = [i for i, kind in enumerate(profile) if kind in ('number', 'time') and i < len(cells)]
    if len(typed) < max(1, len(profile) // 4):
        return False
    if not all(kind_of(cells[i]) in ('text', 'flag') and _NAME.fullmatch(cells[i].strip()) for i in typed):
        return False
    named = [cell.strip().casefold() for cell in cells if cell.strip()]
    return (titled or len(named) == len(cells)) and len(set(named)) == len(named)


def is_remark(cells: Sequence[str | None], width: int, profile: Sequence[Kind], *, parted: bool = False) -> bool:
    """Whether a record holds words alone, in a table of three columns or more, where its columns hold other things.

    `parted` tells that a blank line or another remark stands above it.
    """
    filled = [(cell or '').strip() for cell in cells]
    if width < 3 or not filled or not filled[0] or kind_of(filled[0]) != 'text':
        return False
    if not any(filled[1:]):
        return profile[0] not in ('text', 'empty') or len(filled[0]) > 24 or len(cells) == 1
    if len(cells) >= width:
        return False
    told = [cell for cell in filled[1:] if cell]
    if sum(kind_of(cell) in ('number', 'time') for cell in told) >= max(2, len(told) / 2) or _is_mostly_digits(
        filled[0]
    ):
        return False
    sentence = ' ' in filled[0] or all(kind_of(cell) in ('text', 'empty') for cell in filled)
    if profile[0] in ('number', 'time'):
        return sentence
    return (parted and ' ' in filled[0]) or _FOOTNOTE.match(filled[0]) is not None


def _first_of_table(records: Sequence[Record]) -> int:
    """The index of the record where the table (its header, if any) starts."""
    widths = Counter(len(record.cells) for record in records if len(record.cells) > 1)
    filled = sum(bool(record.cells) for record in records)
    if not widths or (
        sum(widths.values()) <= 0.05 * filled and all(_first_run(records, width) < 3 for width in widths)
    ):
        return _first_of_column(records)
    modal = max(widths.items(), key=lambda pair: (pair[1] * (pair[0] - 1) / pair[0], pair[0]))[0]
    near = range(modal - max(1, modal // 5), modal + max(1, modal // 5) + 1) if modal > 2 else range(2, modal + 2)
    tolerated = {width for width in near if width > 1}
    tolerated |= {
        width
        for width, count in widths.items()
        if count >= 3
        and 8 * count * width >= widths[modal] * modal
        and _first_run(records, width) >= 3
        and (width == modal or not _is_prose(records, width))
    }
    for index, record in enumerate(records):
        if (
            len(record.cells) in tolerated
            and not _is_delimited_remark(record, records, index)
            and (len(record.cells) == modal or _is_followed(records, index, tolerated))
        ):
            return index - 1 if index and _names_columns(records, index, modal) else index
    return next(index for index, record in enumerate(records) if record.cells)


def _is_followed(records: Sequence[Record], index: int, widths: Collection[int]) -> bool:
    """Whether the record right below has one of these widths; one with lines around it that have not is a sentence."""
    below = records[index + 1] if index + 1 < len(records) else None
    return below is None or len(below.cells) in widths


def _names_columns(records: Sequence[Record], index: int, width: int) -> bool:
    """Whether the record above the one at `index`, shorter or longer than the table is wide, is its header."""
    above, first = records[index - 1], records[index]
    if above.line + above.lines < first.line or not max(2, width / 2) <= len(above.cells) <= 2 * width:
        return False
    names = [cell.strip() for cell in above.cells]
    if len(set(names)) < len(names) or not all(kind_of(name) in ('text', 'flag') for name in names):
        return False
    if not all(_NAME.fullmatch(name) for name in names):
        return False
    body = [record.cells for record in records[index : index + _BODY_ROWS] if len(record.cells) == width]
    typed = [i for i, kind in enumerate(profile_of(body, width)) if kind in ('number', 'time')]
    values = sum(i < len(first.cells) and kind_of(first.cells[i]) != 'text' for i in typed)
    return bool(typed) and values >= 0.6 * len(typed)


def _first_run(records: Sequence[Record], width: int) -> int:
    """The longest run of one width."""
    longest = run = 0
    for record in records:
        run = run + 1 if len(record.cells) == width else 0
        longest = max(longest, run)
    return longest


def _is_prose(records: Sequence[Record], width: int) -> bool:
    """Whether the records of a width are sentences that commas have split: no cells of a kind, and many words."""
    rows = [record.cells for record in records if len(record.cells) == width][:_BODY_ROWS]
    if any(kind in ('number', 'time') for kind in profile_of(rows, width)):
        return False
    cells = [cell for row in rows for cell in row]
    return sum(len(cell.split()) for cell in cells) >= 2.5 * len(cells)


def _first_of_column(records: Sequence[Record]) -> int:
    """A single column starts at its first line, or after a leading block of comments."""
    filled = [index for index, record in enumerate(records) if record.cells]
    blank = next((index for index in range(filled[0], len(records)) if not records[index].cells), None)
    if blank is not None:
        above, below = blank - filled[0], [record for record in records[blank:] if record.cells]
        last = next(index for index in range(len(records), 0, -1) if records[index - 1].cells)
        steady = all(record.cells for record in records[last - len(below) : last])
        values = [record.cells for record in below[1:] if len(record.cells) == 1]
        typed = column_kind(cells[0] for cells in values) in ('number', 'time')
        named = typed or (bool(values) and _header_votes(below[0].cells, values, 1) > _PLAIN_NAME)
        steady = steady and named and kind_of(below[0].cells[0]) == 'text'
        if above <= _TITLE_LINES and steady and len(below) > 2 * above + 2:
            # The only blank line parts a title from a name and its values.
            return last - len(below)
    for index in filled:
        if not records[index].cells[0].startswith('#'):
            return index
    return filled[0]


def _is_delimited_remark(record: Record, records: Sequence[Record], index: int) -> bool:
    """A preamble line padded with delimiters, or a comment, above rows that are fuller."""
    cells = record.cells
    filled = sum(bool(cell.strip()) for cell in cells)
    following = [other.cells for other in records[index + 1 : index + 40] if other.cells]
    if not following:
        return False
    typical = sorted(sum(bool(cell.strip()) for cell in row) for row in following)[len(following) // 2]
    if filled <= 1 and typical >= 3:
        return True
    if filled == 2 and typical >= 5 and cells[0].strip() and cells[1].strip():
        # A name and its value, filled up with delimiters.
        return True
    if (
        filled == 1
        and typical == 2
        and cells[0].strip()
        and (_is_title(records, index) or (len(cells) == 2 and not records[index + 1].cells))
    ):
        return True
    comment = cells[0].lstrip().startswith(('#', '//', '%'))
    return comment and len(cells) != len(following[0]) and not following[0][0].lstrip().startswith(('#', '//', '%'))


def _is_title(records: Sequence[Record], index: int) -> bool:
    """Whether two names stand right below, and below them two cells that are not both words: a table and its header."""
    below = [[cell.strip() for cell in record.cells] for record in records[index + 1 : index + 3]]
    if len(below) < 2:
        return False
    names, values = ([(place, cell) for place, cell in enumerate(row) if cell] for row in below)
    return (
        len(names) == len(values) == 2
        and len({cell.casefold() for _, cell in names}) == 2
        and all(kind_of(cell) == 'text' and _NAME.fullmatch(cell) for _, cell in names)
        and not any(_UNIT.fullmatch(cell) for _, cell in names)
        and [place for place, _ in names] == [place for place, _ in values]
        and any(kind_of(cell) in ('number', 'time') for _, cell in values)
    )


def _segment(records: Sequence[Record], start: int) -> list[Record]:
    """The records from `start` to where a blank line parts tables of other shapes."""
    segment: list[Record] = []
    for index in range(start, len(records)):
        record = records[index]
        if not record.cells:
            rest = [other for other in records[index:] if other.cells][:4]
            shape = {len(other.cells) for other in segment}
            if len(segment) >= 2 and len(rest) >= 2 and not any(len(other.cells) in shape for other in rest):
                break
            if len(rest) >= 2 and _begins_another(segment, rest):
                break
            continue
        segment.append(record)
    return segment


def _begins_another(segment: Sequence[Record], rest: Sequence[Record]) -> bool:
    """Whether a title and a header of other names stand below a blank line, as where tables of one sheet follow."""
    if not is_title(rest[0].cells) or rest[1].cells == segment[0].cells:
        return False
    width = len(segment[-1].cells)
    body = [record.cells for record in segment[1:] if len(record.cells) == width]
    return len(body) >= 2 and is_heading(rest[1].cells, profile_of(body, width), titled=True)


def _body_width(segment: Sequence[Record]) -> int:
    """The width of most records of the first table; a later table in the sample does not vote against its start."""
    widths = [len(record.cells) for record in segment]
    for index in range(len(widths)):
        if index >= 3 and len(set(widths[index : index + 4])) == 1 and len(widths) >= index + 4:
            head = Counter(widths[1:index]).most_common(1)[0]
            # Where the width that lasts is also the header's, the rows between are damaged ones, not a first table.
            apart = head[0] != widths[index] != widths[0]
            if apart and head[1] >= 2 and is_lasting(widths, index):
                widths = widths[:index]
                break
    body = widths[1:] or widths
    counts = Counter(body)
    return max(counts.items(), key=lambda pair: (pair[1], pair[0] == widths[0], pair[0]))[0]


def is_lasting(widths: Sequence[int], index: int) -> bool:
    """Whether the width at `index` holds from there on while the width before it is gone."""
    rest, before = widths[index:], Counter(widths[1:index]).most_common(1)[0][0]
    return rest.count(widths[index]) >= 0.8 * len(rest) and rest.count(before) <= 0.1 * len(rest)


def _split_header(segment: list[Record], width: int) -> tuple[list[Record], list[Record], float]:
    """(body, header rows, the votes for a header) of the first table."""
    first, rest = segment[0], segment[1:]
    body = [record.cells for record in rest[: _enough(width)] if len(record.cells) == width]
    votes = _header_votes(first.cells, body, width)
    if votes <= 0:
        return segment, [], votes
    header = [first]
    while len(header) < _HEADER_ROWS and len(rest) > 1 and _continues_header(rest[0], rest[1:], width):
        header.append(rest.pop(0))
    return rest, header, votes


def _header_votes(cells: Sequence[str], body: Sequence[Sequence[str]], width: int) -> float:
    """How much a first record looks like the columns' names (positive): it differs from what stands below it."""
    kinds = [kind_of(cell) for cell in cells]
    filled = [cell.strip() for cell in cells if cell.strip()]
    if not filled:
        return -1.0
    if not body:
        named = all(kind in ('text', 'empty', 'flag') for kind in kinds) and len(set(filled)) == len(filled)
        return 0.5 if named else -0.5
    body = [row for row in body if row != cells] or body
    profile = profile_of(body, width)
    votes = 0.0
    if len(cells) == width:
        votes = sum(_vote(cells[i], kinds[i], profile[i], [row[i] for row in body]) for i in range(width))
    else:
        # Times stand above the numbers that were measured then.
        dated = 0.3 if 2 * profile.count('number') > width else -1.0
        worth = {'text': 1.0, 'flag': 1.0, 'time': dated, 'empty': 0.0}
        votes = sum(worth.get(kind, -1.0) for kind in kinds)
    if len({cell.casefold() for cell in filled}) < len(filled):
        votes -= 0.5
    if len(filled) < len(cells) and not any(kind in ('number', 'time') for kind in profile):
        # A column without a name that holds nothing is none.
        votes -= 0.3 * sum(kind == 'empty' and (i >= width or profile[i] != 'empty') for i, kind in enumerate(kinds))
    return votes


def _vote(cell: str, kind: Kind, expected: Kind, column: Sequence[str]) -> float:
    """How much one column speaks for its first cell being a name (positive) or a value (negative)."""
    text = cell.strip()
    if expected in ('number', 'time'):
        if kind in ('text', 'flag'):
            return 1.0
        if kind == 'number' and _YEAR.fullmatch(text):
            return 0.3 if not any(_YEAR.fullmatch(other.strip()) for other in column) else -0.6
        if kind == 'time' and expected == 'number':
            # Times stand above the numbers that were measured then.
            return 0.3
        return -1.0 if kind == expected else (-0.2 if kind == 'empty' else -0.5)
    if expected == 'empty':
        return 0.3 if kind == 'text' else 0.0
    if kind in ('number', 'time'):
        return 0.1 if _YEAR.fullmatch(text) else -0.8
    if kind == 'empty':
        return 0.0
    return _text_vote(text, expected, [other.strip() for other in column if other.strip()])


def _text_vote(text: str, expected: Kind, others: Sequence[str]) -> float:
    if expected == 'flag':
        return 0.8 if text.casefold() not in {other.casefold() for other in others} else -0.8
    if text in others:
        return -0.8
    vote = 0.15 if _NAME.fullmatch(text) and len(text) <= 40 else -0.1
    distinct = set(others)
    if len(others) >= 4 and len(distinct) <= 0.6 * len(others):
        vote += 0.5
    lengths = Counter(len(other) for other in others)
    if len(others) >= 4 and lengths.most_common(1)[0][1] >= 0.9 * len(others) and len(text) not in lengths:
        vote += 0.4
    if sum(any(c.isdigit() for c in other) for other in others) >= 0.7 * len(others):
        vote += 0.4 if not any(c.isdigit() for c in text) else -0.3
    if sum(' ' in other for other in others) >= 0.7 * len(others):
        vote += 0.2 if ' ' not in text else -0.1
    return vote


def _continues_header(record: Record, rest: Sequence[Record], width: int) -> bool:
    """Whether a row below the header still belongs to it: units or sub-titles where the body holds numbers or times."""
    if len(record.cells) != width:
        return False
    body = [other.cells for other in rest[: _enough(width)] if len(other.cells) == width]
    profile = profile_of(body, width)
    typed = [i for i, kind in enumerate(profile) if kind in ('number', 'time')]
    kinds = [kind_of(cell.strip('"\'`')) for cell in record.cells]
    dated = [i for i in typed if profile[i] == 'number' and kinds[i] == 'time']
    if 2 * len(dated) < len(typed):
        dated = []
    texts = [i for i in typed if kinds[i] in ('text', 'flag') and not _is_mostly_digits(record.cells[i])] + dated
    values = [i for i in typed if kinds[i] in ('number', 'time') and i not in dated]
    filled = [cell.strip() for cell in record.cells if cell.strip()]
    if not typed or values or not texts or not body:
        return False
    if all(map(_UNIT.fullmatch, filled)):
        return True
    return len(texts) >= max(1, 0.5 * len(typed)) and len(filled) >= 0.3 * width


def _is_mostly_digits(cell: str) -> bool:
    """Whether a cell is rather a damaged value than a name."""
    signs = [sign for sign in cell if sign.isalnum()]
    return 2 * sum(sign.isdigit() for sign in signs) > len(signs)


def _join(rows: Sequence[Record], merged: Collection[int]) -> list[str]:
    """One header of several rows; equal pieces stand once."""
    if len(rows) < 2:
        return list(rows[0].cells) if rows else []
    joined = []
    above, names = ([cell.strip() for cell in row.cells] for row in rows[:2])
    above = above if rows[0].line in merged else _spread(above, names)
    texts = [above, *([cell.strip() for cell in row.cells] for row in rows[1:])]
    for index in range(max(map(len, texts))):
        pieces: list[str] = []
        for cells in texts:
            piece = cells[index] if index < len(cells) else ''
            if piece and piece not in pieces:
                pieces.append(piece)
        joined.append(' '.join(pieces))
    return joined


def _spread(groups: list[str], names: Sequence[str]) -> list[str]:
    """Groups written above the first of their columns alone, above each of them.

    They are groups where every column has a name of its own below, and some stand above several.
    """
    if not all(names) or len(groups) != len(names) or all(groups) or sum(map(bool, groups)) < 2:
        return groups
    spread = groups[:1]
    for group in groups[1:]:
        spread.append(group or spread[-1])
    return spread


def _enough(width: int) -> int:
    """How many records tell what the columns hold."""
    return min(_BODY_ROWS, max(10, _BODY_CELLS // max(width, 1)))


def _reconciled(header: list[str], rows: Sequence[Record], width: int) -> tuple[list[str], int, int]:
    """Bring a header and the body to one (width, slack): surplus empty columns go, R's row names get a place."""
    while len(header) > width and not header[-1].strip():
        header = header[:-1]
    empties = [i for i, cell in enumerate(header) if not cell.strip()]
    if len(header) > width and len(empties) >= len(header) - width:
        gone = set(empties[: len(header) - width])
        header = [cell for i, cell in enumerate(header) if i not in gone]
    body = [row.cells for row in rows if len(row.cells) == width]
    bare = 0
    while bare < width - 1 and len(header) == width and not header[-1 - bare].strip():
        if not body or any(cells[-1 - bare].strip() for cells in body):
            break
        bare += 1
    if bare:
        # All records end in delimiters, the header too: no column is meant by that.
        return header[:-bare], width - bare, bare
    if len(header) > width:
        return header, len(header), 0
    if header and len(header) < width:
        surplus = width - len(header)
        if body and all(not any(cell.strip() for cell in cells[-surplus:]) for cells in body):
            return header, len(header), surplus
        if surplus == 1 and _are_row_names(body, header):
            return ['', *header], width, 0
    return header, width, 0


def _lacking_note(count: int) -> str:
    if count == 1:
        return 'The header has a name more than records have cells; the last column is empty.'
    return f'The header has {count} names more than records have cells; the last columns are empty.'


def _are_row_names(body: Sequence[Sequence[str]], header: Sequence[str]) -> bool:
    """R writes row names without a name: 1, 2, 3 … or unique labels before the named columns."""
    firsts = [cells[0].strip() for cells in body]
    counted = all(first.isdigit() for first in firsts) and [int(first) for first in firsts] == list(
        range(int(firsts[0]), int(firsts[0]) + len(firsts))
    )
    return len(firsts) > 2 and counted and bool(header[0].strip())


def _lines_note(first: int, table: int) -> str:
    count = table - first
    line = 'line' if count == 1 else 'lines'
    return f'A preamble of {count} {line} above the table was dropped (from line {first}).'


def resplit(text: str, form: Format, profile: Sequence[Kind], *, heading: bool = False) -> tuple[list[str], str] | None:
    """A record, or a `heading`, that is separated by another character than the file's: (its cells, that character)."""
    width = len(profile)
    for mark in _DELIMITERS if width > 2 else ():
        if mark != form.delimiter and text.count(mark) >= width - 1:
            tokens = tokenize(text, replace(form, delimiter=mark))
            cells = tokens.cells
            # Blanks in quotes tell that those without are delimiters.
            held = mark == ' ' and tokens.clean and not tokens.open and any(' ' in cell for cell in cells)
            if len(cells) == width and (heading or held or _is_record(cells, profile, strict=mark == ' ')):
                return cells, mark
    return None


def _is_record(cells: Sequence[str], profile: Sequence[Kind], *, strict: bool) -> bool:
    """Whether cells suit columns of numbers, times and truth values; `strict` where a sentence may look alike."""
    typed = [(kind_of(cell), kind) for cell, kind in zip(cells, profile, strict=True) if kind not in ('text', 'empty')]
    right = sum(kind in (expected, 'empty') for kind, expected in typed)
    if strict:
        return bool(typed) and right >= 0.75 * len(typed)
    return fit(cells, profile) > -0.5 * len(profile) and 2 * right >= len(typed)


def aligned(cells: Sequence[str], layout: Layout, delimiter: str) -> tuple[list[str], str, bool] | None:
    """Bring a record with surplus cells to the table's width without losing text: (cells, surplus, merged).

    Empty surplus cells are taken out where the rest suits the columns best; else neighbours that a bare delimiter has
    split are joined, when one place suits better than any other. None when nothing does.
    """
    profile, width = layout.profile, len(layout.profile)
    surplus = len(cells) - width
    if surplus <= 0 or width == 0 or len(cells) > 2000:
        return None
    empties = [i for i, cell in enumerate(cells) if not cell.strip()]
    if len(empties) >= surplus:
        return _without_empties(cells, layout, surplus), '', False
    options = []
    for index in range(width):
        merged = delimiter.join(cells[index : index + surplus + 1])
        whole = [*cells[:index], merged, *cells[index + surplus + 1 :]]
        options.append((fit(whole, profile) + _likeness(whole, layout), index))
    options.sort(reverse=True)
    plain = fit(cells[:width], profile) + _likeness(cells[:width], layout)
    clear = len(options) < 2 or options[0][0] > options[1][0]
    if clear and options[0][0] > max(plain, -0.5 * width):
        index = options[0][1]
        merged = delimiter.join(cells[index : index + surplus + 1])
        return [*cells[:index], merged, *cells[index + surplus + 1 :]], merged, True
    return None


def _without_empties(cells: Sequence[str], layout: Layout, surplus: int) -> list[str]:
    kept, bare = list(cells), list(cells[: len(cells) - surplus])
    if not any(cell.strip() for cell in cells[len(bare) :]):
        # Delimiters too many stand at a record's end more often than in it.
        best = max(fit([*kept[:i], *kept[i + surplus :]], layout.profile) for i in range(len(bare) + 1)
                   if not any(cell.strip() for cell in kept[i : i + surplus]))  # fmt: skip
        if fit(bare, layout.profile) >= best:
            return bare
    for _ in range(surplus):
        places = [i for i, cell in enumerate(kept) if not cell.strip()]
        # A run of empty cells is the same wherever it is cut: its last one stands for it.
        places = [i for i in places if i + 1 == len(kept) or kept[i + 1].strip()]
        best = max(places, key=lambda i: (_suits([*kept[:i], *kept[i + 1 :]], layout), i))
        kept.pop(best)
    return kept


def _suits(cells: Sequence[str], layout: Layout) -> float:
    """How well cells suit their columns, with empty cells where the column tends to have them."""
    missing = sum(1.0 - gap for cell, gap in zip(cells, layout.gaps, strict=False) if not cell.strip())
    return fit(cells, layout.profile) - 0.5 * missing + _likeness(cells, layout)


def _likeness(cells: Sequence[str], layout: Layout) -> float:
    """A half for every cell that is written as others of its column are."""
    pairs = zip(cells, layout.shapes, strict=False)
    return 0.5 * sum(shape_of(cell) in shapes for cell, shapes in pairs if shapes and cell.strip())
