"""Delimited text to the raw table: DuckDB reads what is clean as a whole, a careful reader what is not."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from core.analysis.ingest.careful import Careful
from core.analysis.ingest.cells import kind_of
from core.analysis.ingest.decode import Text
from core.analysis.ingest.dialect import (
    QUOTES,
    Format,
    Guess,
    detect,
    has_swallowed,
    in_other_quotes,
    is_spaced,
    named_separator,
    readings,
    sample_records,
    split_lines,
    tokenize,
)
from core.analysis.ingest.layout import Layout, Record, find_layout, is_heading, is_remark, layout_decisions, resplit
from core.analysis.ingest.rawtable import FLAG_COLUMN, LINE_COLUMN, Chosen, Dialect, RawTable, Unread, decision
from core.analysis.ingest.sink import WIDE, Sink, Work, csv_source, engine, parquet_options, quoted
from core.errors import TooLarge

if TYPE_CHECKING:
    import duckdb

LARGE: Final = 2**22
_SMALL: Final = 2**16
_SAMPLE_BYTES: Final = 2**18
_SAMPLE_MOST: Final = 2**24
_SAMPLE_LINES: Final = 60
_SAMPLE_RECORDS: Final = 1000
_COMMENTS: Final = ('#', '%', '//', '--')
_NO_DELIMITER: Final = '\x1f'


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the head of a file tells about all of it."""

    form: Format
    layout: Layout
    newline: str | None
    returns: bool
    notes: tuple[str, ...]
    reading: Mapping[str, Mapping[str, Any]]


def read_delimited(text: Text, work: Work, *, chosen: Chosen | None = None, later: bool = False) -> RawTable:
    """Read any delimited text; an empty file gives a table without columns.

    With `later`, a large text that seems clean is not read yet (see Unread).
    """
    plan = plan_of(text, most=work.limits.columns, chosen=chosen or Chosen())
    last = _clean_lines(text, plan) if later and text.size >= LARGE else None
    if last is None:
        return _read(text, plan, work)
    unread = Unread(
        path=text.path,
        first=plan.layout.body or 1,
        last=last,
        newline=plan.newline or '\n',
        offset=text.offset,
        rows=lambda path, skip: _strict(path, plan, skip=skip),
        read=lambda: _read(text, plan, work),
    )
    outcome = _Outcome(rows=last - unread.first + 1)
    return replace(_table(text, plan, work, outcome), unread=unread)


def _read(text: Text, plan: Plan, work: Work) -> RawTable:
    layout = plan.layout
    # Opening DuckDB takes longer than reading a small text with care.
    outcome = _by_engine(text, plan, work) if text.size > _SMALL else None
    if outcome is None:
        delimiter = plan.form.delimiter if len(plan.form.delimiter) == 1 else _NO_DELIMITER
        sink = Sink(work, layout.width, delimiter=delimiter, quote=plan.form.quote or '"')
        reader = Careful(text, layout=layout, form=plan.form, returns=plan.returns, sink=sink, work=work)
        try:
            notes = reader.run()
            faults = sink.finish()
        finally:
            sink.discard()
        outcome = _Outcome(rows=sink.rows + sink.rejected, rejected=sink.rejected, faults=faults, notes=notes)
    return _table(text, plan, work, outcome)


def _table(text: Text, plan: Plan, work: Work, outcome: '_Outcome') -> RawTable:
    layout = plan.layout
    return RawTable(
        path=work.table,
        names=layout.names,
        named=bool(layout.header),
        header_line=layout.header_line,
        encoding=text.encoding,
        compression=None,
        format='csv',
        dialect=_dialect(plan),
        rows_read=outcome.rows,
        rejected=outcome.rejected,
        faults_path=outcome.faults,
        hints={},
        notes=plan.notes + layout.notes + outcome.notes,
        header=layout.header,
        reading=plan.reading,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    rows: int
    rejected: int = 0
    faults: Path | None = None
    notes: tuple[str, ...] = ()


def plan_of(text: Text, *, most: int, chosen: Chosen) -> Plan:
    """Dialect and layout from the head of the file. Raises TooLarge when a record there has over `most` cells."""
    returns = text.cr > 0 and text.cr >= 0.05 * (text.lf + text.crlf + text.cr)
    lines, whole = _head(text, returns=returns)
    guess = detect(lines[chosen.skip or 0 :], chosen)
    form = guess.format
    if returns and text.cr < text.lf + text.crlf:
        other, other_whole = _head(text, returns=False)
        if _steadiness(other, form) > _steadiness(lines, form):
            returns, lines, whole = False, other, other_whole
    elif not returns and text.cr and _breaks_at_returns(lines, form):
        returns = True
        lines, whole = _head(text, returns=returns)
    skip = chosen.skip or 0
    records = _records(lines, form, whole=whole, skip=skip)
    if (widest := max((len(record.cells) for record in records), default=0)) > most:
        raise TooLarge(f'The file has a line of {widest:,} cells, more than the {most:,} columns allowed. Split it.')
    layout = find_layout(records, skip=chosen.skip, header_lines=chosen.header_lines)
    if layout.width == 1 and not layout.slack:
        form = replace(form, delimiter=_NO_DELIMITER, trim=False, collapse=False)
        records = _records(lines, form, whole=whole, skip=skip)
        layout = find_layout(records, skip=chosen.skip, header_lines=chosen.header_lines)
    comment = _comment(lines, layout) if chosen.comment is None else chosen.comment
    form = replace(form, comment=comment, tight=_is_tight(lines, form))
    return Plan(
        form=form,
        layout=layout,
        newline=_newline(text, lines, form),
        returns=returns,
        notes=_doubts(guess),
        reading=_reading(guess, form, layout, chosen),
    )


def _breaks_at_returns(lines: list[str], form: Format) -> bool:
    """Whether lone returns in the head of a file part records as line feeds do."""
    records = sample_records(lines, form, limit=_SAMPLE_RECORDS)
    widths = Counter(len(cells) for _, cells, _ in records if len(cells) > 1).most_common(1)
    parted = [lines[index].rstrip('\r\n').split('\r') for index, _, _ in records]
    parted = [parts for parts in parted if len(parts) > 1]
    return bool(widths and parted) and all(
        len(tokenize(part, form).cells) == widths[0][0] for parts in parted for part in parts
    )


def _steadiness(lines: list[str], form: Format) -> float:
    """The share of records that have the width of most."""
    records = sample_records([line for line in lines if line.strip()], form, limit=_SAMPLE_RECORDS)
    widths = Counter(len(cells) for _, cells, _ in records)
    return widths.most_common(1)[0][1] / len(records) if records else 0.0


def _is_tight(lines: list[str], form: Format) -> bool:
    found = [
        is_spaced(lines[index], cells, form) for index, cells, _ in sample_records(lines, form, limit=_SAMPLE_RECORDS)
    ]
    return sum(found) <= 0.05 * len(found) + 1


def _comment(lines: list[str], layout: Layout) -> str:
    """The mark that every line above the table starts with and hardly any in it."""
    above = [line.lstrip() for line in lines[: layout.skip] if line.strip()]
    below = [line.lstrip() for line in lines[max(layout.body - 1, 0) :] if line.strip()]
    for mark in _COMMENTS:
        if above and below and all(line.startswith(mark) for line in above) and not below[0].startswith(mark):
            return mark if sum(line.startswith(mark) for line in below) <= 0.05 * len(below) + 3 else ''
    return ''


def _reading(guess: Guess, form: Format, layout: Layout, chosen: Chosen) -> dict[str, dict[str, Any]]:
    """What was taken, how sure that is, and what came second."""
    if layout.width == 0:
        return {}
    ours = ',' if form.delimiter == _NO_DELIMITER else form.delimiter
    runner_up = guess.runner_up.delimiter if guess.runner_up and guess.runner_score > 0 else None
    quote = guess.other_quote.quote if guess.other_quote and guess.other_quote_score > 0 else None
    escape = guess.other_quote.escape if guess.other_quote and guess.other_quote_score > 0 else None
    sure = _sure(guess.score, guess.other_quote_score)
    found = {
        'delimiter': decision(
            ours,
            confidence=_sure(guess.score, guess.runner_score),
            runner_up=runner_up if runner_up != ours else None,
            asked=chosen.delimiter is not None,
        ),
        'quote': decision(form.quote, confidence=sure, runner_up=quote, asked=chosen.quote is not None),
        'escape': decision(form.escape, confidence=sure, runner_up=escape, asked=chosen.escape is not None),
        'comment': decision(form.comment, asked=chosen.comment is not None),
    }
    return found | layout_decisions(layout, chosen)


def _sure(score: float, other: float) -> float:
    """How sure a choice is whose rival scored `other`: a half when both are as good."""
    return 1.0 - 0.5 * min(other / score, 1.0) ** 2 if score > 0 else 0.5


def _doubts(guess: Guess) -> tuple[str, ...]:
    if guess.runner_up is None or guess.runner_score < 0.85 * guess.score:
        return ()
    chosen, other = guess.format.delimiter, guess.runner_up.delimiter
    if chosen == other:
        return ()  # they differ in their quotes or comments, of which this file has none
    return (f'The delimiter {chosen!r} was chosen; {other!r} would read nearly as well.',)


def _dialect(plan: Plan) -> Dialect:
    form = plan.form
    if plan.layout.width == 0:
        return Dialect()
    delimiter = ',' if form.delimiter == _NO_DELIMITER else form.delimiter
    return Dialect(delimiter=delimiter, quote=form.quote or None, escape=form.escape or None, newline=plan.newline)


def _quotes(text: Text, form: Format) -> int:
    """How many quotes the file has; 1 for sorts that were not counted."""
    return {'"': text.quotes, "'": text.apostrophes, '': 0}.get(form.quote, 1)


def _newline(text: Text, lines: list[str], form: Format) -> str | None:
    """The break that ends records; breaks inside quoted cells do not count."""
    found = [mark for mark, count in (('\n', text.lf), ('\r\n', text.crlf), ('\r', text.cr)) if count]
    if len(found) < 2:
        return found[0] if found else None
    if not _quotes(text, form):
        return 'mixed'
    starts = [index for index, _, _ in sample_records(lines, form, limit=_SAMPLE_RECORDS)]
    ends = {re.search(r'(?:\r\n|\n|\r)$', lines[index - 1]) for index in starts[1:]}
    marks = {match[0] for match in ends if match}
    return marks.pop() if len(marks) == 1 else 'mixed'


def _head(text: Text, *, returns: bool) -> tuple[list[str], bool]:
    """Lines of the file's head, and whether they are all of it."""
    size = _SAMPLE_BYTES
    while True:
        with text.path.open('rb') as file:
            file.seek(text.offset)
            data = file.read(size)
        lines = split_lines(data.decode('utf-8', 'ignore').replace('\0', ''), returns=returns)
        if len(data) >= text.size:
            return lines, True
        if len(lines) > _SAMPLE_LINES or size >= _SAMPLE_MOST:
            return lines[:-1] or lines, False
        size *= 4


def _records(lines: list[str], form: Format, *, whole: bool, skip: int) -> list[Record]:
    """Sample records; those with stray quotes are read at the width of the others where that is possible.

    Each of the first `skip` lines is taken by itself, whatever its quotes.
    """
    above = [(index, tokenize(line.rstrip('\r\n'), form).cells, True) for index, line in enumerate(lines[:skip])]
    below = sample_records(lines[skip:], form, limit=_SAMPLE_RECORDS)
    found = above + [(index + skip, cells, clean) for index, cells, clean in below]
    if not whole and len(found) > 2:
        found = found[:-1]
    counts = Counter(len(cells) for _, cells, clean in found if clean)
    width = sorted(counts.items(), key=lambda pair: (-pair[1], -pair[0]))[:1]
    spaced = sum(is_spaced(lines[index], cells, form) for index, cells, _ in found)
    records = []
    for index, cells, clean in found:
        line = lines[index].rstrip('\r\n')
        if not clean and width and form.quote:
            options = readings(line, form, widest=2 * width[0][0])
            cells = options[width[0][0]][1] if width[0][0] in options else cells
        if width and line[:1] in QUOTES and (other := in_other_quotes(line, form, width[0][0])) is not None:
            cells = other[0]
        if spaced <= 0.05 * len(found) + 1 and is_spaced(line, cells, form):
            cells = [cell.removeprefix(' ') for cell in cells]
        blank = not line.strip(' \t') and len(cells) < 2
        named = index == 0 and named_separator(line) is not None
        records.append(Record(line=index + 1, cells=[] if blank or named else cells))
    _mend_header(records, lines, form, width[0][0] if width else 0)
    return records


def _mend_header(records: list[Record], lines: list[str], form: Format, width: int) -> None:
    """Split a header that is separated by another character than the values right below it."""
    first = next((index for index, record in enumerate(records) if len(record.cells) == width), 0)
    above = records[first - 1] if first else None
    if above is None or not above.cells or len(above.cells) == width or above.lines > 1:
        return
    line = lines[above.line - 1].rstrip('\r\n')
    found = resplit(line, form, ['text'] * width, heading=True)
    if found is None or len(set(found[0])) < width or not all(cell.strip() for cell in found[0]):
        return
    mark = found[1]
    counted = len(above.cells) == 1 and any(kind_of(cell) == 'number' for cell in records[first].cells)
    # A title may hold as many blanks as a header, but not other delimiters without blanks beside them.
    plain = '"' in line if mark == ' ' else f'{mark} ' not in line and f' {mark}' not in line
    if counted or (plain and all(kind_of(cell) == 'text' for cell in found[0])):
        records[first - 1] = replace(above, cells=found[0])


def _by_engine(text: Text, plan: Plan, work: Work) -> _Outcome | None:
    """Read the file by DuckDB, strictly and as a whole; None when it is not clean, or the lines do not add up."""
    import duckdb

    lines = _clean_lines(text, plan)
    if lines is None:
        return None
    embedded = _quotes(text, plan.form)
    with engine(work.folder, memory=work.memory) as connection:
        try:
            connection.execute(_copy(text, plan, work, embedded=embedded > 0))
        except (duckdb.InvalidInputException, duckdb.ConversionException, duckdb.OutOfMemoryException):
            return None
        rows, last = connection.execute(
            f'SELECT count(*), coalesce(max({LINE_COLUMN}), 0) FROM {quoted(work.table)}'
        ).fetchall()[0]
        if embedded:
            last += _breaks_in_last(connection, work, plan)
        if (rows and last != lines) or not rows:
            return None
        if _looks_broken(connection, text, work, plan, embedded=embedded > 0):
            return None
    limits = work.limits
    if rows > limits.rows or rows * plan.layout.width > limits.cells:
        raise TooLarge(
            f'The file has {rows:,} rows, more than the {limits.rows:,} allowed. Split it into smaller files.'
        )
    return _Outcome(rows=rows)


def _clean_lines(text: Text, plan: Plan) -> int | None:
    """The number of the last filled line when the file may be read as a whole; None when it needs care."""
    form, layout = plan.form, plan.layout
    one_break = plan.newline != 'mixed' and (not text.cr or not (text.lf or text.crlf))
    padded = form.trim and _quotes(text, form) > 0
    special = form.collapse or form.bare or form.wrapped or layout.lacking > 0
    plain = not (padded or special) and len(form.delimiter.encode()) <= 4
    if not (one_break and plain and layout.body and 0 < layout.width <= WIDE) or text.nuls or text.bad or text.long:
        return None
    with text.path.open('rb') as file:
        file.seek(max(text.offset, text.offset + text.size - 2**16))
        tail = file.read()
    trimmed = tail.rstrip(b'\r\n')
    end = tail[len(trimmed) :]
    unit = plan.newline or '\n'
    trailing = len(end) // len(unit)
    if text.blanks != max(trailing - 1, 0):
        return None
    if _has_remarks(trimmed.decode('utf-8', 'ignore').split(unit)[-40:], plan):
        return None
    breaks = text.lf + text.crlf + text.cr
    return breaks - trailing + 1


def _has_remarks(lines: list[str], plan: Plan) -> bool:
    width, profile = plan.layout.width, plan.layout.profile
    for line in lines:
        cells = tokenize(line, plan.form).cells
        if is_remark(cells, width, profile) or (width > 1 and not any(cell.strip() for cell in cells)):
            return True
    return False


def _copy(text: Text, plan: Plan, work: Work, *, embedded: bool) -> str:
    """The statement that turns the file into the raw table; a record's line is its number plus the breaks in cells."""
    layout = plan.layout
    columns = [f'c{i}' for i in range(layout.width)]
    line = f'{layout.body - 1} + row_number() OVER ()'
    if embedded:
        breaks = _breaks(columns, plan)
        line += f' + (sum({breaks}) OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW))::BIGINT - ({breaks})'
    source = _strict(text.path, plan, skip=layout.body - 1)
    average = text.size // max(text.lf + text.crlf + text.cr, 1)
    return (
        f'COPY (SELECT ({line})::BIGINT AS {LINE_COLUMN}, 0::UTINYINT AS {FLAG_COLUMN}, {", ".join(columns)} '
        f'FROM {source}) TO {quoted(work.table)} ({parquet_options(average)})'
    )


def _strict(path: Path, plan: Plan, *, skip: int) -> str:
    """SQL: the records of a clean text as c0..cN in file order, an error where one has text beyond the last column."""
    form, layout = plan.form, plan.layout
    columns = [f'c{i}' for i in range(layout.width)]
    surplus = [f'c{i}' for i in range(layout.width, layout.width + layout.slack)]
    options = (
        f'delim = {quoted(form.delimiter)}, quote = {quoted(form.quote)}, escape = {quoted(form.escape)}, '
        f'header = false, skip = {skip}, strict_mode = true, parallel = false, '
        'max_line_size = 4194304, buffer_size = 8388608'
    )
    source = csv_source(path, [(name, 'VARCHAR') for name in columns + surplus], options=options)
    if not (form.trim or surplus):
        return source
    cells = ', '.join(f"trim({name}, E' \\t') AS {name}" if form.trim else name for name in columns)
    filled = f"concat({', '.join(surplus)}) <> ''" if surplus else 'false'
    return f"(SELECT {cells} FROM {source} WHERE CASE WHEN {filled} THEN error('surplus') ELSE true END)"


def _breaks(columns: list[str], plan: Plan) -> str:
    mark = 13 if plan.newline == '\r' else 10
    return ' + '.join(f"(strlen({name}) - strlen(replace({name}, chr({mark}), '')))" for name in columns)


def _breaks_in_last(connection: 'duckdb.DuckDBPyConnection', work: Work, plan: Plan) -> int:
    columns = [f'c{i}' for i in range(plan.layout.width)]
    table = quoted(work.table)
    rows = connection.execute(
        f'SELECT {_breaks(columns, plan)} FROM {table} WHERE {LINE_COLUMN} = (SELECT max({LINE_COLUMN}) FROM {table})'
    ).fetchall()
    return int(rows[0][0]) if rows else 0


def _repeats_header(connection: 'duckdb.DuckDBPyConnection', table: str, layout: Layout) -> bool:
    """Whether the header stands once more among records that hold nothing but texts."""
    if not layout.header or layout.width < 2:
        return False
    same = ' AND '.join(f'c{i} = {quoted(name)}' for i, name in enumerate(layout.header[: layout.width]) if name)
    return bool(same) and bool(connection.execute(f'SELECT 1 FROM {table} WHERE {same} LIMIT 1').fetchall())


def _has_marks(connection: 'duckdb.DuckDBPyConnection', text: Text, work: Work, plan: Plan) -> bool:
    """Whether a comment, or a record whose cells all stand in the other sort of quotes, is among the records."""
    table, form = quoted(work.table), plan.form
    found = []
    if form.comment:
        found.append(f'starts_with(ltrim(c0), {quoted(form.comment)})')
    if form.tight and not form.trim and plan.layout.width > 2:
        found.append("starts_with(c1, ' ') AND starts_with(c2, ' ')")
    for mark, count in (('"', text.quotes), ("'", text.apostrophes)):
        if count and mark != form.quote and plan.layout.width > 1:
            wrapped = [f'starts_with(c{i}, {quoted(mark)}) AND ends_with(c{i}, {quoted(mark)})' for i in (0, 1)]
            found.append(' AND '.join(wrapped))
    if not found:
        return False
    return bool(connection.execute(f'SELECT 1 FROM {table} WHERE {" OR ".join(found)} LIMIT 1').fetchall())


def _looks_broken(
    connection: 'duckdb.DuckDBPyConnection', text: Text, work: Work, plan: Plan, *, embedded: bool
) -> bool:
    """Whether a cell seems to have swallowed rows, or a second header or an empty record stands among the records."""
    layout, table = plan.layout, quoted(work.table)
    columns = [f'c{i}' for i in range(layout.width)]
    if embedded:
        many = connection.execute(
            f'SELECT {", ".join(columns)} FROM {table} WHERE {_breaks(columns, plan)} >= 3 LIMIT 10000'
        ).fetchall()
        if any(has_swallowed(cell, plan.form, layout.width) for row in many for cell in row if cell and len(cell) > 3):
            return True
    if _has_marks(connection, text, work, plan):
        return True
    hollow = ' AND '.join(f"trim({name}, E' \\t') = ''" for name in columns)
    if len(columns) > 1 and connection.execute(f'SELECT 1 FROM {table} WHERE {hollow} LIMIT 1').fetchall():
        return True
    typed = [i for i, kind in enumerate(layout.profile) if kind in ('number', 'time')]
    if not typed:
        return _repeats_header(connection, table, layout)
    # Letters sort behind digits and signs: most cells are told apart without the pattern.
    maybe = f"(c{typed[0]} >= 'A' OR c{typed[0]} < '!')"
    words = ' AND '.join([maybe, *(f"regexp_matches(c{i}, '^\\s*\\pL')" for i in typed[:3])])
    headings = connection.execute(f'SELECT {", ".join(columns)} FROM {table} WHERE {words} LIMIT 1000').fetchall()
    return any(is_heading(row, layout.profile) for row in headings)
