"""Delimited text: how one record is read, and which dialect a sample speaks.

Detection follows the idea of van den Burg, Nazábal and Sutton, "Wrangling messy CSV files by detecting row and type
patterns" (Data Mining and Knowledge Discovery, 2019): the right dialect makes rows of one width with cells of known
kinds.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from core.analysis.ingest.cells import column_kind, kind_of
from core.analysis.ingest.rawtable import Chosen
from core.analysis.ingest.readings import is_time

_SINGLES: Final = ',;\t|:^~§¦\x01\x1f\x1e '
_DOUBLES: Final = ('\t\t', '||', '::', ';;', '\\t', '|~|', '~|~', '@@', '<>')
_RUN: Final = re.compile(r'[^\w\s"\'`.+]{2,4}')
_MOST_RUNS: Final = 60
_SIGN: Final = re.compile(r'[^\w\s"\'`.+\-,;|:^~§¦]')
_MOST_UNUSUAL: Final = 6
_QUOTED: Final = re.compile(r'"[^"\r\n]*"')
_WORDS: Final = re.compile(r'[^\W\d][\w .()%/-]{0,60}')
QUOTES: Final = '"\'`'
_PRIOR: Final = {',': 1.0, ';': 1.0, '\t': 1.0, '|': 0.99, ' ': 0.7, ':': 0.7}
_BACKSLASHES: Final = re.compile(r'\\+')
_CLOCK: Final = re.compile(r'(?<![\d:])\d{1,2}:[0-5]\d(?::[0-5]\d)?(?![\d:])')
_SAMPLE_ROWS: Final = 160
_TIMED_ROWS: Final = 20
_DECIMAL_COMMA: Final = re.compile(r'\d,(?=\d)')
_SAMPLE_CELLS: Final = 400_000
_SEARCH_BYTES: Final = 2**18
_SEARCH_QUOTES: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A dialect as the record reader needs it.

    `trim`: blanks around delimiters are padding. `collapse`: runs of the delimiter count as one (aligned columns).
    `comment` starts lines that are no records ('': none). `tight`: hardly any record is written with a blank behind
    each delimiter, so that one that is has a delimiter of its own. `bare`: the escape stands before delimiters of cells
    without quotes, too. `wrapped`: whole records stand in quotes, as when lines were taken for cells.
    """

    delimiter: str = ','
    quote: str = '"'
    escape: str = '"'
    trim: bool = False
    collapse: bool = False
    comment: str = ''
    tight: bool = False
    bare: bool = False
    wrapped: bool = False

    @property
    def escapes(self) -> bool:
        """Whether quotes are escaped by a character of its own rather than doubled."""
        return bool(self.quote and self.escape) and self.escape != self.quote


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """A record's cells; `clean` without any stray quote, `open` when a quoted cell has not ended."""

    cells: list[str]
    clean: bool
    open: bool
    quoted: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """A detected format, its score (0–1), and what came second: with another delimiter, and with other quotes."""

    format: Format
    score: float
    runner_up: Format | None = None
    runner_score: float = 0.0
    other_quote: Format | None = None
    other_quote_score: float = 0.0


def tokenize(text: str, form: Format) -> Tokens:
    """Read one record's text (without its line break); a stray quote inside a quoted cell is an ordinary character."""
    delimiter, quote = form.delimiter, form.quote
    if form.wrapped:
        text = unwrapped(text, quote)
    if form.collapse:
        text = text.strip(delimiter)
    if not quote or quote not in text:
        return Tokens(cells=_bare(text, form), clean=True, open=False)
    cells: list[str] = []
    clean, quoted, position, end = True, 0, 0, len(text)
    while True:
        start = _skip(text, position, delimiter)
        if text.startswith(quote, start):
            close, tidy = _closing(text, start, form)
            if close < 0:
                cells.append(_unescape(text[start + 1 :], form))
                return Tokens(cells=cells, clean=clean and tidy, open=True, quoted=quoted)
            clean, quoted = clean and tidy, quoted + 1
            cells.append(_unescape(text[start + 1 : close], form))
            position = _skip(text, close + 1, delimiter)
        else:
            stop = _stop(text, position, form)
            cell = text[position:stop]
            cell = _unescape_bare(cell, form) if form.bare else cell
            cells.append(cell.strip() if form.trim else cell)
            position = stop
        if position >= end:
            return Tokens(cells=cells, clean=clean, open=False, quoted=quoted)
        position += len(delimiter)
        while form.collapse and text.startswith(delimiter, position):
            position += len(delimiter)


def _bare(text: str, form: Format) -> list[str]:
    if form.collapse:
        return [cell for cell in text.split(form.delimiter) if cell]
    if form.bare and form.escape in text:
        cells, position = [], 0
        while (stop := _stop(text, position, form)) < len(text):
            cells.append(_unescape_bare(text[position:stop], form))
            position = stop + len(form.delimiter)
        cells.append(_unescape_bare(text[position:], form))
    else:
        cells = text.split(form.delimiter) if form.delimiter else [text]
    return [cell.strip() for cell in cells] if form.trim else cells


def _stop(text: str, position: int, form: Format) -> int:
    """Where the cell without quotes that starts at `position` ends."""
    stop = text.find(form.delimiter, position)
    while stop >= 0 and form.bare and _escaped(text, stop, position - 1, form.escape):
        stop = text.find(form.delimiter, stop + 1)
    return len(text) if stop < 0 else stop


def _unescape_bare(cell: str, form: Format) -> str:
    return re.sub(rf'{re.escape(form.escape)}({re.escape(form.escape)}|{re.escape(form.delimiter)})', r'\1', cell)


def unwrapped(line: str, quote: str) -> str:
    """A record that stands in quotes as a whole, without them."""
    if len(line) < 2 or not line.startswith(quote) or not line.endswith(quote):
        return line
    return line[1:-1].replace(quote * 2, quote)


def _skip(text: str, position: int, delimiter: str) -> int:
    """The place after blanks that are not themselves the delimiter."""
    if delimiter[:1] == ' ':
        return position
    while text.startswith(' ', position):
        position += 1
    return position


def _closing(text: str, start: int, form: Format) -> tuple[int, bool]:
    """Where the quoted cell that opens at `start` ends (-1: nowhere), and whether no stray quote stood before that."""
    tidy, position = True, start + 1
    while True:
        position = text.find(form.quote, position)
        if position < 0:
            return -1, tidy
        if form.escapes and _escaped(text, position, start, form.escape):
            position += 1
            continue
        if _ends(text, position + 1, form.delimiter):
            return position, tidy
        if text.startswith(form.quote, position + 1):
            if not tidy and _ends(text, position + 2, form.delimiter):
                # Where quotes are not escaped, the last of two is the one that closes.
                return position + 1, tidy
            position += 2
            continue
        tidy = False
        position += 1


def may_close(line: str, form: Format) -> bool:
    """Whether a quote in a line may close a cell that was opened before it: only then a record can end there."""
    text, quote = line.rstrip('\r\n').replace('\0', ''), form.quote
    place = text.find(quote)
    if form.wrapped:
        return place >= 0
    while place >= 0:
        if _ends(text, place + len(quote), form.delimiter):
            return True
        place = text.find(quote, place + 1)
    return False


def _escaped(text: str, position: int, start: int, escape: str) -> bool:
    before = position - 1
    while before > start and text[before] == escape:
        before -= 1
    return (position - 1 - before) % 2 == 1


def _ends(text: str, position: int, delimiter: str) -> bool:
    position = _skip(text, position, delimiter)
    return position >= len(text) or text.startswith(delimiter, position)


def _unescape(text: str, form: Format) -> str:
    if form.escapes and form.escape in text:
        mark = re.escape(form.escape)
        text = re.sub(rf'{mark}({mark}|{re.escape(form.quote)})', r'\1', text)
    return text.replace(form.quote * 2, form.quote)


def readings(text: str, form: Format, *, widest: int) -> dict[int, tuple[int, list[str]]]:
    """Every width up to `widest` that one line can be read with, each with its fewest strays and their cells.

    A cell that opens with a quote may close at any quote before a delimiter, or its quote may be an ordinary character.
    """
    if len(text) > _SEARCH_BYTES or text.count(form.quote) > _SEARCH_QUOTES or widest > 512:
        return {}
    best: dict[int, dict[int, tuple[int, tuple[int, str] | None]]] = {0: {0: (0, None)}}
    ends: dict[int, tuple[int, tuple[int, str] | None]] = {}
    pending = [0]
    while pending:
        position = pending.pop(0)
        states = best[position]
        for stop, cell, cost in _cells_at(text, position, form):
            for count, (spent, _) in states.items():
                if count + 1 > widest:
                    continue
                step = (spent + cost, (position, cell))
                if stop >= len(text):
                    if step[0] < ends.get(count + 1, (1 << 30, None))[0]:
                        ends[count + 1] = step
                    continue
                following = stop + len(form.delimiter)
                if following not in best:
                    best[following] = {}
                    pending.append(following)
                if step[0] < best[following].get(count + 1, (1 << 30, None))[0]:
                    best[following][count + 1] = step
        pending.sort()
    return {count: (cost, _trace(best, count, last)) for count, (cost, last) in ends.items()}


def _trace(
    best: dict[int, dict[int, tuple[int, tuple[int, str] | None]]], count: int, last: tuple[int, str] | None
) -> list[str]:
    cells: list[str] = []
    while last is not None:
        position, cell = last
        cells.append(cell)
        count -= 1
        last = best[position][count][1]
    return cells[::-1]


def _cells_at(text: str, position: int, form: Format) -> Iterator[tuple[int, str, int]]:
    """The cells that may start here, as (where it stops, its text, its strays)."""
    stop = text.find(form.delimiter, position)
    stop = len(text) if stop < 0 else stop
    bare = text[position:stop]
    broken = '\n' in bare or '\r' in bare
    start = _skip(text, position, form.delimiter)
    if broken and not text.startswith(form.quote, start):
        return
    if not text.startswith(form.quote, start):
        yield stop, bare.strip() if form.trim else bare, int(bare.rstrip().endswith(form.quote))
        return
    if not broken:
        yield stop, bare.strip() if form.trim else bare, 5 if bare.rstrip().endswith(form.quote) else 3
    inner = start + 1
    strays, place = 0, inner
    while (place := text.find(form.quote, place)) >= 0:
        if form.escapes and _escaped(text, place, start, form.escape):
            place += 1
            continue
        if _ends(text, place + 1, form.delimiter):
            yield _skip(text, place + 1, form.delimiter), _unescape(text[inner:place], form), strays
        if text.startswith(form.quote, place + 1):
            if _ends(text, place + 2, form.delimiter):
                stop = _skip(text, place + 2, form.delimiter)
                yield stop, _unescape(text[inner : place + 1], form), strays + 1
            place += 2
            continue
        strays += 1
        place += 1


def in_some_quotes(text: str, form: Format, width: int) -> tuple[list[str], str] | None:
    """A record in which another sort of quotes than the file's protects delimiters: (its cells, that quote)."""
    for quote in QUOTES:
        if quote != form.quote and text.count(quote) > 1:
            other = tokenize(text, replace(form, quote=quote, escape=quote))
            if other.quoted and other.clean and not other.open and len(other.cells) == width:
                return other.cells, quote
    return None


def is_spaced(text: str, cells: Sequence[str], form: Format) -> bool:
    """Whether a blank stands behind every delimiter of a record of three cells or more."""
    mark = f'{form.delimiter} '
    if form.trim or len(cells) < 3 or text.count(mark) < len(cells) - 1 or form.delimiter.isspace():
        return False
    return sum(cell[:1] == ' ' for cell in cells[1:]) >= max(2, len(cells) // 2)


def in_other_quotes(text: str, form: Format, width: int) -> tuple[list[str], str] | None:
    """A record whose cells all stand in another sort of quotes than the file's: (its cells, that quote)."""
    for quote in QUOTES:
        if quote == form.quote or width < 2 or not text.startswith(quote) or not text.endswith(quote):
            continue
        other = tokenize(text, replace(form, quote=quote, escape=quote))
        if other.quoted == len(other.cells) == width and other.clean and not other.open:
            return other.cells, quote
    return None


def has_swallowed(text: str, form: Format, width: int) -> bool:
    """Whether most lines inside a quoted cell read as whole records of the table, as after a forgotten quote."""
    inner = text.replace('\r\n', '\n').replace('\r', '\n').split('\n')[1:-1]
    if width < 2 or len(inner) < 2:
        return False
    like = sum(len(tokenize(line, form).cells) == width for line in inner)
    return like >= 2 and like >= 0.6 * len(inner)


def split_lines(text: str, *, returns: bool) -> list[str]:
    """Physical lines with their breaks; lone carriage returns break lines only when `returns`."""
    if not returns:
        lines = text.split('\n')
        kept = [line + '\n' for line in lines[:-1]]
        return kept + lines[-1:] if lines[-1] else kept
    return re.findall(r'[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+', text)


def sample_records(lines: Sequence[str], form: Format, *, limit: int) -> list[tuple[int, list[str], bool]]:
    """Records of a sample as (index of the line, cells, clean); a quote left open for long is read on one line."""
    found: list[tuple[int, list[str], bool]] = []
    index = budget = 0
    while index < len(lines) and len(found) < limit and budget < _SAMPLE_CELLS:
        text = lines[index].rstrip('\r\n')
        if form.comment and text.lstrip().startswith(form.comment):
            index += 1
            continue
        tokens = tokenize(text, form)
        used = 1
        if tokens.open:
            joined, used = _joined(lines, index, form)
            if joined is None:
                tokens, used = replace(tokenize(text, replace(form, quote='')), clean=False), 1
            else:
                tokens = joined
        found.append((index, tokens.cells, tokens.clean))
        budget += len(tokens.cells)
        index += used
    return found


def _joined(lines: Sequence[str], index: int, form: Format) -> tuple[Tokens | None, int]:
    text, closes = lines[index], False
    for used in range(2, min(40, len(lines) - index) + 1):
        text += lines[index + used - 1]
        closes = closes or may_close(lines[index + used - 1], form)
        if form.quote not in lines[index + used - 1] or not closes:
            continue
        tokens = tokenize(text.rstrip('\r\n'), form)
        if not tokens.open:
            return (tokens, used) if tokens.clean else (None, 1)
    return None, 1


def detect(lines: Sequence[str], chosen: Chosen | None = None) -> Guess:
    """The format that a sample of physical lines speaks, as far as none is chosen.

    An empty or single-column sample gives the comma.
    """
    chosen = chosen or Chosen()
    comment = chosen.comment or ''
    lines = [line for line in lines if line.strip()][: _SAMPLE_ROWS * 2]
    lines = [line for line in lines if not comment or not line.lstrip().startswith(comment)]
    hint = named_separator(lines[0]) if lines else None
    if hint is not None:
        lines = lines[1:]
    asked = chosen.delimiter or hint
    text = ''.join(lines).replace('\r\n', '\n').replace('\r', '\n')
    scored: list[tuple[float, Format]] = []
    for delimiter in [asked] if asked is not None else _delimiters(text, lines):
        for form in _asked_forms(text, delimiter, chosen):
            scored.append((_score(lines, form), form))
    single = 0.45 * sum(kind_of(line) != 'text' for line in lines[1:]) / max(len(lines) - 1, 1) + 0.12
    scored.sort(key=lambda pair: -pair[0])
    if asked is None:
        scored = _heeding_names(lines, scored)
    # Colons of times and offsets alone are no rival to tell of.
    rivals = scored if ':' in _CLOCK.sub('', text) else [pair for pair in scored if pair[1].delimiter != ':']
    if not scored or (scored[0][0] < single and asked is None):
        form = _quoted(_single(text), chosen)
        other = rivals[0] if rivals else (0.0, None)
        return Guess(format=form, score=single, runner_up=other[1], runner_score=other[0])
    score, form = scored[0]
    other = next((pair for pair in rivals if pair[1].delimiter != form.delimiter), (0.0, None))
    quotes = next(
        (pair for pair in scored if pair[1].delimiter == form.delimiter and _quotes(pair[1]) != _quotes(form)),
        (0.0, None),
    )
    return Guess(
        format=replace(_with_padding(lines, _tabbed(text, form)), comment=comment),
        score=score,
        runner_up=other[1],
        runner_score=other[0],
        other_quote=quotes[1],
        other_quote_score=quotes[0],
    )


def _heeding_names(lines: Sequence[str], scored: list[tuple[float, Format]]) -> list[tuple[float, Format]]:
    """The formats with one in front that parts all lines alike, names included, where the likeliest leaves the names in
    one piece: what it parts by stands inside the cells, as the comma of `01.02.2025, 13:00` does.

    A title with a comma above decimal commas is parted likewise: only a format that leaves a column of times counts.
    """
    if len(lines) < 4 or not scored or scored[0][1].delimiter in lines[0]:
        return scored
    for pair in scored[1:]:
        if pair[1].delimiter not in ',;\t|':
            continue
        names, *rows = [tokenize(line.rstrip('\r\n'), pair[1]).cells for line in lines[:_SAMPLE_ROWS]]
        words = [name for name in names if name.strip()]
        named = len(words) > 1 and len(set(words)) == len(words) and all(kind_of(word) == 'text' for word in words)
        alike = named and all(len(row) == len(names) for row in rows)
        if alike and not _is_decimal(lines[1:], pair[1].delimiter) and _has_times(rows[:_TIMED_ROWS]):
            return [(1.5 * scored[0][0], pair[1]), *(other for other in scored if other is not pair)]
    return scored


def _is_decimal(lines: Sequence[str], mark: str) -> bool:
    """Whether a comma stands between digits as often as there are lines."""
    return mark == ',' and sum(len(_DECIMAL_COMMA.findall(line)) for line in lines) >= len(lines)


def _has_times(rows: Sequence[Sequence[str]]) -> bool:
    """Whether most cells of a column are times."""
    return any(2 * sum(is_time(cell.strip()) for cell in column) > len(column) for column in zip(*rows, strict=True))


def _is_tabbed(text: str, mark: str) -> bool:
    """Whether a tab stands on both sides of nearly every one of these delimiters."""
    return text.count(f'\t{mark}\t') >= 0.95 * text.count(mark)


def _tabbed(text: str, form: Format) -> Format:
    """The format with the tabs that stand around every delimiter."""
    if len(form.delimiter) == 1 and not form.delimiter.isspace() and _is_tabbed(text, form.delimiter):
        return replace(form, delimiter=f'\t{form.delimiter}\t')
    return form


def _quotes(form: Format) -> tuple[str, str]:
    return form.quote, form.escape


def _quoted(form: Format, chosen: Chosen) -> Format:
    """The format with the quotes and the comment that are chosen."""
    quote = form.quote if chosen.quote is None else chosen.quote
    escape = (quote if form.escape == form.quote else form.escape) if chosen.escape is None else chosen.escape
    return replace(form, quote=quote, escape=escape or quote, comment=chosen.comment or '')


def _asked_forms(text: str, delimiter: str, chosen: Chosen) -> Iterator[Format]:
    seen = set()
    for form in _forms(text, delimiter):
        form = _quoted(form, chosen)
        if form not in seen:
            seen.add(form)
            yield form


def _single(text: str) -> Format:
    lines = [line.strip() for line in text.splitlines()]
    for quote in QUOTES[1:]:
        if lines and sum(len(line) > 1 and line[0] == line[-1] == quote for line in lines) > 0.8 * len(lines):
            return Format(quote=quote, escape=quote)
    return Format()


def named_separator(line: str) -> str | None:
    """The delimiter that a first line `sep=;`, as Excel writes it, names."""
    match = re.fullmatch(r'"?sep=(.|\\t)"?\s*', line.rstrip('\r\n'), re.IGNORECASE)
    return match[1].replace('\\t', '\t') if match else None


def _delimiters(text: str, lines: Sequence[str]) -> list[str]:
    known = [mark for mark in (*_SINGLES, *_DOUBLES) if mark in text]
    if text.count('://') > 0.9 * text.count(':'):
        # The colons of addresses part nothing.
        known = [mark for mark in known if mark != ':']
    tabbed = [mark for mark in known if mark != '\t' and _is_tabbed(text, mark)]
    if tabbed and text.count('\t') == 2 * text.count(tabbed[0]):
        return [f'\t{tabbed[0]}\t']
    return known + _spaced(lines) + [mark for mark in _unusual(lines) if mark not in known]


def _spaced(lines: Sequence[str]) -> list[str]:
    """Delimiters that stand equally often in nearly every line with a blank behind them, but not without one."""
    found = []
    for mark in ',;':
        if len(lines) > 2 and _steady(lines, f'{mark} ') > 0.9 >= _steady(lines, mark):
            found.append(f'{mark} ')
    return found


def _steady(lines: Sequence[str], mark: str) -> float:
    """The share of lines in which a mark stands as often as in most."""
    counts = Counter(count for line in lines if (count := line.count(mark)))
    return counts.most_common(1)[0][1] / len(lines) if counts else 0.0


def _unusual(lines: Sequence[str]) -> list[str]:
    """Other signs, and runs of signs, that stand equally often in nearly every line outside of quotes."""
    lines = [_QUOTED.sub('', line) if '"' in line else line for line in lines]
    met: Counter[str] = Counter()
    for line in lines:
        runs = set(_RUN.findall(line))
        # Around an empty cell a delimiter of two signs stands twice in a row.
        runs |= {run[:2] for run in runs if len(run) > 2 and run[:2] == run[-2:]}
        met.update(runs | set(_SIGN.findall(line)))
    counts: dict[str, Counter[int]] = {}
    for mark, _ in met.most_common(_MOST_RUNS):
        counts[mark] = Counter(count for line in lines if (count := line.count(mark)))
    steady = [
        (seen.most_common(1)[0][1], mark)
        for mark, seen in counts.items()
        if seen.most_common(1)[0][1] >= 0.8 * len(lines) and (len(lines) > 2 or _parts_names(lines, mark))
    ]
    # A run of one usual delimiter is a row of empty cells, unless it is known as a delimiter itself.
    plain = [pair for pair in steady if len(set(pair[1])) > 1 or pair[1][0] not in _SINGLES]
    return [mark for _, mark in sorted(plain, key=lambda pair: (-pair[0], -len(pair[1])))[:_MOST_UNUSUAL]]


def _parts_names(lines: Sequence[str], mark: str) -> bool:
    """Whether a mark parts the first of two lines into names, and the other into as many cells of which some are none.

    Of two lines alone that tells a delimiter from a sign that happens to stand in both.
    """
    names, cells = ([cell.strip() for cell in line.strip().split(mark)] for line in (lines[0], lines[-1]))
    named = all(_WORDS.fullmatch(name) and kind_of(name) == 'text' for name in names)
    differs = any(kind_of(cell) in ('number', 'time') for cell in cells)
    return len(names) == len(cells) > 2 and len(set(names)) == len(names) and named and differs


def _forms(text: str, delimiter: str) -> Iterator[Format]:
    """The quotes and escapes worth trying with a delimiter."""
    opened = {quote: _boundary_quotes(text, delimiter, quote) for quote in QUOTES}
    paired = opened['"'] > 0 and _are_paired(text)
    if paired:
        yield Format(delimiter=delimiter, escape='\\')
    yield Format(delimiter=delimiter)
    if '\\"' in text and opened['"'] and not paired:
        yield Format(delimiter=delimiter, escape='\\')
    if f'\\{delimiter}' in text:
        yield Format(delimiter=delimiter, escape='\\', bare=True)
    if delimiter != ' ' and _are_wrapped(text, delimiter):
        yield Format(delimiter=delimiter, wrapped=True)
    for quote in QUOTES[1:]:
        if opened[quote]:
            yield Format(delimiter=delimiter, quote=quote, escape=quote)
            if f'\\{quote}' in text:
                yield Format(delimiter=delimiter, quote=quote, escape='\\')
    if delimiter == ' ' and '  ' in text:
        yield Format(delimiter=delimiter, collapse=True)


def _are_paired(text: str) -> bool:
    """Whether backslashes stand in pairs alone, and not only in front of cells as in names of network places."""
    runs = list(_BACKSLASHES.finditer(text))
    return (
        bool(runs)
        and all(len(run[0]) % 2 == 0 for run in runs)
        and any((run.start() and text[run.start() - 1].isalnum()) or text[run.start() - 1] == ':' for run in runs)
    )


def _are_wrapped(text: str, delimiter: str) -> bool:
    """Whether every line stands in quotes as a whole, with equally many cells and no blanks behind delimiters."""
    lines = [line for line in text.split('\n') if line.strip()][:_SAMPLE_ROWS]
    if len(lines) < 2 or not all(len(line) > 2 and line[0] == line[-1] == '"' for line in lines):
        return False
    inner = [line[1:-1].replace('""', '') for line in lines]
    if len(lines) == 2 and not _parts_names([line[1:-1] for line in lines], delimiter):
        return False
    widths = {len(tokenize(unwrapped(line, '"'), Format(delimiter=delimiter)).cells) for line in lines}
    return len(widths) == 1 and widths != {1} and not any('"' in line or f'{delimiter} ' in line for line in inner)


@lru_cache(maxsize=64)
def _patterns(delimiter: str, quote: str) -> re.Pattern[str]:
    mark = re.escape(delimiter)
    return re.compile(rf'(?:^|{mark})[ ]*{quote}[^\r\n]*?{quote}[ ]*(?={mark}|[\r\n]|$)', re.MULTILINE)


def _boundary_quotes(text: str, delimiter: str, quote: str) -> int:
    return len(_patterns(delimiter, quote).findall(text[: 2**16])) if quote in text else 0


def _score(lines: Sequence[str], form: Format) -> float:
    records = sample_records(lines, form, limit=_SAMPLE_ROWS)
    widths = Counter(len(cells) for _, cells, _ in records if len(cells) > 1)
    if not widths:
        return 0.0
    width, _ = max(widths.items(), key=lambda pair: (pair[1] * (pair[0] - 1) / pair[0], pair[0]))
    rows = [cells for _, cells, _ in records if len(cells) == width]
    near = sum(len(cells) == width for _, cells, _ in records) + 0.5 * sum(
        1 < len(cells) != width and abs(len(cells) - width) == 1 for _, cells, _ in records
    )
    dirty = sum(not clean for _, _, clean in records)
    consistency = max((near - 0.5 * dirty) / len(records), 0.0)
    prior = _prior(form.delimiter)
    if form.delimiter == ' ':
        # Where quotes hold blanks together, the others part cells.
        held = not dirty and sum(any(' ' in cell for cell in row) for row in rows) >= 0.1 * len(rows)
        if not held and not any(column_kind(column) in ('number', 'time') for column in _columns(rows, width)):
            # Lines of as many words each are rather one column of names than several.
            prior *= 0.3
        elif _is_parted_otherwise(lines, rows):
            prior *= 0.5
    return consistency * (width - 1) / width * _legibility(rows, width, form) * prior


def _is_parted_otherwise(lines: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether another delimiter stands equally often in every line, and not only as the sign of decimals."""
    for mark in ',;\t|':
        counts = {line.count(mark) for line in lines[:_SAMPLE_ROWS]}
        if len(counts) == 1 and 0 not in counts:
            holding = [cell for row in rows[:60] for cell in row if mark in cell]
            if sum(kind_of(cell) == 'text' for cell in holding) > 0.5 * len(holding):
                return True
    return False


def _columns(rows: Sequence[Sequence[str]], width: int) -> Iterator[list[str]]:
    """The first columns without the cells of the first row."""
    for index in range(min(width, 200)):
        yield [row[index] for row in rows[1:]]


def _prior(delimiter: str) -> float:
    """How likely a delimiter is before anything is read."""
    if delimiter in _PRIOR:
        return _PRIOR[delimiter]
    if delimiter in _DOUBLES or delimiter in _SINGLES:
        return 0.9
    if len(delimiter) == 1:
        # Such signs stand inside dates, addresses and sums as well.
        return 0.5 if delimiter in '/@%$€=' else 0.7
    return 0.85 if any(mark in delimiter for mark in _SINGLES) else 0.9


def _legibility(rows: Sequence[Sequence[str]], width: int, form: Format) -> float:
    """How much the cells look like cells: known kinds, and columns that keep to one kind."""
    columns = min(width, 200)
    cells = [cell for row in rows[:60] for cell in row[:columns]]
    looks = sum(_look(cell, form) for cell in cells) / len(cells)
    kept, hollow = 0.0, 0
    for index in range(columns):
        column = [row[index] for row in rows]
        if not any(column):
            hollow += index + 1 < width
            continue
        kept += 1.0 if column_kind(column[1:] or column) not in ('text', 'empty') else 0.6
    # Every other column empty: the delimiter is written twice.
    doubled = 0.5 if hollow and hollow >= (columns - 1) // 2 else 1.0
    return doubled * (0.5 * looks + 0.5 * kept / columns)


def _look(cell: str, form: Format) -> float:
    text = cell.strip()
    if kind_of(text) != 'text':
        return 1.0 if text else 0.8
    if text[0] in '"\'' or text[-1] in '"\'':
        return 0.2
    if any(mark in text for mark in ',;\t|' if mark not in form.delimiter):
        return 0.55
    return 0.9 if len(text) < 40 else 0.75


def _with_padding(lines: Sequence[str], form: Format) -> Format:
    """Set `trim` when blanks around the delimiter are the rule."""
    if form.delimiter.isspace():
        return form
    before = after = total = ends = records = 0
    columns: dict[int, set[int]] = {}
    for index, cells, _ in sample_records(lines, form, limit=_SAMPLE_ROWS):
        for place, cell in enumerate(cells[:-1]):
            columns.setdefault(place, set()).add(len(cell))
        filled = [cell for cell in cells[1:] if cell.strip()]
        total += len(filled)
        after += sum(cell[0] == ' ' for cell in filled)
        before += sum(cell[-1] == ' ' for cell in [cell for cell in cells[:-1] if cell.strip()])
        records += len(cells) > 1
        ends += len(cells) > 1 and lines[index].rstrip('\r\n')[-1:] == ' '
    text = ''.join(lines[:_SAMPLE_ROWS])
    if form.quote:
        after += text.count(f'{form.delimiter} {form.quote}')
    # Cells filled up with blanks to columns of one width each need not be padded in most rows.
    aligned = bool(columns) and all(len(lengths) == 1 for lengths in columns.values())
    most = 0.2 if aligned else 0.8
    padded = total > 0 and max(after, before) >= most * total
    return replace(form, trim=padded or (records > 1 and ends >= 0.8 * records))
