"""The careful reader of delimited text: whole blocks where they are clean, record by record where they are not."""

import csv
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Final

from core.analysis.ingest.cells import kind_of
from core.analysis.ingest.decode import HOLE, Text
from core.analysis.ingest.dialect import (
    QUOTES,
    Format,
    Tokens,
    has_swallowed,
    in_other_quotes,
    in_some_quotes,
    is_spaced,
    may_close,
    readings,
    tokenize,
)
from core.analysis.ingest.layout import Layout, aligned, is_heading, is_remark, resplit, shape_of
from core.analysis.ingest.lines import Lines
from core.analysis.ingest.plain import Plain
from core.analysis.ingest.rawtable import Fault, FaultAction, FaultKind, Flag
from core.analysis.ingest.sink import Sink, Work

_TAIL: Final = 400
_LONGEST_STRETCH: Final = 2**16
_SHORTEST_STRETCH: Final = 32
_SHORTEST_REACH: Final = 256
_AHEAD: Final = 4
_SPAN: Final = 20_000
_SPAN_NARROW: Final = 200
_TRIES: Final = 100
_HOLE: Final = HOLE * '\0'
_TRIES_TIRED: Final = 4
_PATIENCE: Final = 100
_STRETCH: Final = 8
_STRAY: Final = 'A quote stands inside a quoted cell without being escaped; it was read as an ordinary character.'
_TAKEN_OUT: Final = 'NUL characters were taken out.'
_DOUBTS: Final = frozenset({6, 50, 400, 3000})
_SHOWN: Final = 500
_HELD: Final = 10_000


class Careful:
    """Reads the body of one delimited file into a sink. Faults carry the physical line where their record starts."""

    def __init__(self, text: Text, *, layout: Layout, form: Format, returns: bool, sink: Sink, work: Work) -> None:
        self._text, self._layout, self._form, self._sink, self._work = text, layout, form, sink, work
        self._returns = returns
        self._longest = max(4 * work.limits.cell_bytes, work.memory // 8)
        self._source = Lines(text.path, offset=text.offset, returns=returns, longest=self._longest)
        self._plain = Plain(form, layout, sink.delimiter, sink.quote, bool(text.bad), returns, work.limits.cell_bytes)
        self._buffer: list[str] = []
        self._at = 0
        self._line = 1
        self._byte = text.offset
        self._held: list[tuple[int, int, list[str]]] = []
        self._after_blank = self._cut = False
        self._comments = self._repeats = self._empties = 0
        self._raw = ''
        self._vain = 0
        self._resumes = 0
        self._told_nuls = False
        self._notes: list[str] = []
        self._found: list[tuple[FaultKind, FaultAction, str, str, str | None]] = []

    def run(self) -> tuple[str, ...]:
        """Read to the end of the table; give notes on what was left out."""
        try:
            if self._layout.body and self._to_body():
                self._read()
        finally:
            self._source.close()
        self._end()
        if self._text.nuls and not self._told_nuls:
            self._tell_nuls()
        return tuple(self._notes)

    def _to_body(self) -> bool:
        while self._line < self._layout.body:
            if not self._fill():
                return False
            self._advance(min(self._layout.body - self._line, len(self._buffer) - self._at))
        return True

    def _read(self) -> None:
        """Store clean stretches at once; the stretch shrinks around a fault and grows again behind it."""
        stretch, reach, steps = _LONGEST_STRETCH, _LONGEST_STRETCH, 1
        while not self._cut and self._fill():
            if self._at > _LONGEST_STRETCH:
                del self._buffer[: self._at]
                self._at = 0
            last = len(self._buffer) - (_TAIL if self._source.ended else 0)
            if taken := self._take_plain(min(last, self._at + reach)):
                reach = min(4 * reach, _LONGEST_STRETCH) if taken >= reach else max(2 * taken, _SHORTEST_REACH)
                steps = 1
                continue
            reach = _SHORTEST_REACH
            if self._is_bare():
                self._steps(steps)
                steps = min(2 * steps, _SHORTEST_STRETCH)
                continue
            stop = min(last, self._at + stretch)
            if stop - self._at >= _SHORTEST_STRETCH and self._take_block(stop):
                stretch = min(stretch * 4, _LONGEST_STRETCH)
                continue
            if stop - self._at > _SHORTEST_STRETCH:
                stretch = max((stop - self._at) // 8, _SHORTEST_STRETCH)
                continue
            self._steps(_SHORTEST_STRETCH)

    def _is_bare(self) -> bool:
        """Whether no quote stands in the next lines."""
        quote = self._form.quote
        return not quote or not any(quote in line for line in self._buffer[self._at : self._at + _SHORTEST_STRETCH])

    def _steps(self, count: int) -> None:
        stop = min(self._at + count, len(self._buffer))
        while self._at < stop and not self._cut:
            self._step()

    def _fill(self) -> bool:
        """Make sure that a line stands in the buffer; hold what follows it ready at the file's end."""
        if self._at < len(self._buffer):
            return True
        self._buffer, self._at = self._source.block(), 0
        self._work.progress(self._source.done / max(self._text.size, 1))
        return bool(self._buffer)

    def _more(self) -> bool:
        """Read another block behind the lines in the buffer."""
        block = self._source.block()
        self._buffer += block
        return bool(block)

    def _advance(self, count: int) -> None:
        lines = self._buffer[self._at : self._at + count]
        text = ''.join(lines)
        self._byte += len(text) if text.isascii() else len(text.encode())
        self._line += count
        self._at += count

    def _take_plain(self, stop: int) -> int:
        """Store the lines up to the first that has a quote or is not clean; give their number, 0 when they are few."""
        form = self._form
        if stop - self._at < _SHORTEST_STRETCH or self._held or form.bare or form.wrapped or self._layout.lacking:
            return 0
        lines = self._plain.leading(self._buffer[self._at : stop])
        if not lines:
            return 0
        self._sink.add_lines(self._line, lines, longest=max(map(len, lines)) + 1)
        self._advance(len(lines))
        self._after_blank = False
        return len(lines)

    def _take_block(self, stop: int) -> bool:
        """Store the lines up to `stop` at once when all of them are clean records."""
        form, layout = self._form, self._layout
        lines = self._buffer[self._at : stop]
        if form.trim or form.collapse or form.wrapped or len(form.delimiter) > 1 or not form.quote or self._held:
            return False
        text = ''.join(lines)
        if form.comment and form.comment in text:
            return False
        mark, quote = form.delimiter, form.quote
        doubtful = (mark + ' ' + quote, quote + ' ' + mark, '\n ' + quote, quote + ' \n', '\0')
        if any(piece in text for piece in doubtful) or (form.escapes and form.escape in text):
            return False
        if (self._text.bad and '\ufffd' in text) or max(map(len, lines)) > self._work.limits.cell_bytes:
            return False
        rows, starts = self._parsed(lines)
        width = layout.width + layout.slack - layout.lacking
        if width > 1 and [] in rows:
            starts = [start for start, row in zip(starts, rows, strict=True) if row]
            rows = [row for row in rows if row]
        if not rows or any(len(row) != width for row in rows):
            return False
        if layout.slack:
            if any(any(row[layout.width :]) for row in rows):
                return False
            rows = [row[: layout.width] for row in rows]
        if layout.lacking:
            rows = [[*row, *[''] * layout.lacking] for row in rows]
        if (
            self._has_other_quotes(text, rows)
            or (self._form.tight and width > 2 and any(row[1][:1] == ' ' == row[2][:1] for row in rows))
            or self._has_heading(rows)
            or (layout.width > 1 and any(not ''.join(row).strip() for row in rows))
        ):
            return False
        span = 1 if isinstance(starts, range) else max(b - a for a, b in pairwise([*starts, self._line + len(lines)]))
        self._sink.add_block(starts, rows, longest=span * max(map(len, lines)))
        self._advance(stop - self._at)
        self._after_blank = False
        return True

    def _parsed(self, lines: list[str]) -> tuple[list[list[str]], 'list[int] | range']:
        """The block's records and their lines; none when a quote is astray or a record has swallowed others."""
        reader = csv.reader(lines, delimiter=self._form.delimiter, quotechar=self._form.quote, strict=True)
        limit = csv.field_size_limit(self._work.limits.cell_bytes)
        rows: list[list[str]] = []
        ends: list[int] = []
        try:
            if self._form.quote in ''.join(lines):
                for row in reader:
                    rows.append(row)
                    ends.append(reader.line_num)
            else:
                rows = list(reader)
                ends = [reader.line_num]
        except csv.Error:
            return [], []
        finally:
            csv.field_size_limit(limit)
        if reader.line_num == len(rows):
            return rows, range(self._line, self._line + len(rows))
        starts = [0, *ends[:-1]]
        for start, end in zip(starts, ends, strict=True):
            if end - start > 3 and has_swallowed(''.join(lines[start:end]), self._form, self._layout.width):
                return [], []
        return rows, [self._line + start for start in starts]

    def _has_other_quotes(self, text: str, rows: list[list[str]]) -> bool:
        if self._layout.width < 2:
            return False
        marks = [quote for quote in QUOTES if quote != self._form.quote and quote in text]
        return any(
            row[0][:1] == mark == row[1][:1] and row[0][-1:] == mark == row[1][-1:] for mark in marks for row in rows
        )

    def _has_heading(self, rows: list[list[str]]) -> bool:
        typed = [i for i, kind in enumerate(self._layout.profile) if kind in ('number', 'time')]
        if not typed:
            return False
        first = typed[0]
        return any(is_heading(row, self._layout.profile) for row in rows if row[first][:1].isalpha())

    def _step(self) -> None:
        """Read one record, or pass over a line that is none."""
        self._found = []
        line, byte = self._line, self._byte
        raw = self._buffer[self._at]
        text = raw.rstrip('\r\n')
        if not text.strip(' \t') and not (self._form.delimiter in ('\t', ' ') and self._form.delimiter in text):
            self._after_blank = True
            self._advance(1)
            return
        if self._form.comment and text.lstrip().startswith(self._form.comment):
            self._comments += 1
            self._advance(1)
            return
        self._raw = text
        if _HOLE in text:
            self._pass_hole(text, line, byte)
            return
        tokens, used = self._record(text)
        if used > 1 and self._pass_wide_hole(used, line, byte):
            return
        cells = tokens.cells
        if text.lstrip().startswith('#') and self._layout.width > 1 and self._is_comment(cells):
            self._comments += 1
            self._advance(1)
            return
        if used == 1 and not self._found and self._breaks_off(cells):
            return
        if '\r' in text and len(cells) != self._layout.width and used == 1 and self._split_returns(text):
            return
        self._advance(used)
        blank, self._after_blank = self._after_blank, False
        if self._passes(line, byte, cells, after_blank=blank):
            return
        self._release()
        self._store(line, byte, cells)

    def _pass_hole(self, text: str, line: int, byte: int) -> None:
        """List a line whose middle was never written: what stands at both ends belongs to two records."""
        self._note(FaultKind.NUL_BYTE, FaultAction.REJECTED, text.replace('\0', ''), _hole_reason(text))
        self._sink.rejected += 1
        self._list(line, byte)
        self._advance(1)

    def _pass_wide_hole(self, used: int, line: int, byte: int) -> bool:
        """Look for NUL characters in the further lines of a record over several ones: few are taken out, and a record
        with a hole is listed and passed."""
        text = ''.join(self._buffer[self._at : self._at + used])
        if '\0' not in text:
            return False
        if _HOLE in text:
            self._found = []
            self._note(FaultKind.NUL_BYTE, FaultAction.REJECTED, text.replace('\0', ''), _hole_reason(text))
            self._sink.rejected += 1
            self._list(line, byte)
            self._advance(used)
            return True
        if not any(kind is FaultKind.NUL_BYTE for kind, *_ in self._found):
            self._note(FaultKind.NUL_BYTE, FaultAction.REPAIRED, text, _TAKEN_OUT)
        return False

    def _is_comment(self, cells: list[str]) -> bool:
        """Whether a line that starts with `#` is no record: it is one cell, or misfits where the table has kinds."""
        if len(cells) == 1:
            return True
        first = self._layout.profile[0]
        return first in ('number', 'time') and not (self._has_width(cells) and self._suits(cells))

    def _passes(self, line: int, byte: int, cells: list[str], *, after_blank: bool) -> bool:
        """Whether a record is empty or a repeated header, or one that counts only when others follow it."""
        layout = self._layout
        if layout.width > 1 and not any(cell.strip() for cell in cells):
            self._empties += 1
            self._after_blank = True
            return True
        if layout.header and layout.width > 1 and not self._found and cells == list(layout.header):
            self._repeats += 1
            return True
        if len(cells) < layout.width and resplit(self._raw, self._form, layout.profile) is not None:
            return False
        parted = after_blank or bool(self._held)
        remark = is_remark(cells, layout.width, layout.profile, parted=parted) or (parted and self._is_alone(cells))
        if remark and not parted and len(cells) == 1 and ' ' not in cells[0] and not self._is_alone(cells):
            # A word that is written as those of the first column is what is left of a record.
            remark = not layout.shapes[0]
        if remark and len(self._held) < _HELD:
            self._held.append((line, byte, cells))
            return True
        return False

    def _is_alone(self, cells: list[str]) -> bool:
        """Whether a record has its first cell alone, which is written as none of its column is."""
        layout = self._layout
        return (
            layout.width > 2
            and bool(layout.shapes[0])
            and not any(cell.strip() for cell in cells[1:])
            and shape_of(cells[0]) not in layout.shapes[0]
        )

    def _release(self) -> None:
        """Store what was held back: records follow, so these are records as well."""
        if not self._held:
            return
        held, found, raw = self._held, self._found, self._raw
        self._held = []
        for line, byte, cells in held:
            self._found, self._raw = [], ''
            self._store(line, byte, cells)
        self._found, self._raw = found, raw

    def _record(self, text: str) -> tuple[Tokens, int]:
        """The record that starts at the current line, and its number of lines."""
        form, width = self._form, self._layout.width + self._layout.slack - self._layout.lacking
        text = self._without_nuls(text)
        tokens = tokenize(text, form)
        if (other := self._other_quotes(text, tokens)) is not None:
            return other, 1
        if len(tokens.cells) < width and form.quote and text.count(form.quote) % 2:
            over = self._over_lines(text)
            if over is not None:
                return over
        if tokens.clean and not tokens.open:
            return self._requoted(text, tokens, width), 1
        if tokens.open:
            joined, used = self._joined(width)
            self._vain = 0 if joined is not None else self._vain + 1
            if joined is not None:
                return joined, used
        options = readings(text, form, widest=2 * width)
        if tokens.open:
            mended = self._stretched(text, width)
            if mended is not None:
                return mended
        best = options.get(width) or min(options.values(), key=lambda option: option[0], default=None)
        cells = best[1] if best is not None else tokenize(text, replace(form, quote='')).cells
        endless = tokens.open and tokens.clean
        kind = FaultKind.UNTERMINATED_QUOTE if endless else FaultKind.STRAY_QUOTE
        reason = (
            'A quote opens a cell and never closes it; the line was read with that quote as an ordinary character.'
            if endless
            else _STRAY
        )
        self._note(kind, FaultAction.REPAIRED, text, reason)
        return Tokens(cells=cells, clean=False, open=False), 1

    def _requoted(self, text: str, tokens: Tokens, width: int) -> Tokens:
        """A record with surplus cells whose quotes can also be read so that it has its width."""
        if not tokens.quoted or len(tokens.cells) <= width or not any(map(self._is_half_quoted, tokens.cells)):
            return tokens
        found = readings(text, self._form, widest=width).get(width)
        if found is None:
            return tokens
        self._note(FaultKind.STRAY_QUOTE, FaultAction.REPAIRED, text, _STRAY)
        return Tokens(cells=found[1], clean=False, open=False)

    def _is_half_quoted(self, cell: str) -> bool:
        return cell.rstrip().endswith(self._form.quote)

    def _other_quotes(self, text: str, tokens: Tokens) -> Tokens | None:
        """A record whose cells all stand in another sort of quotes than the file's, by those."""
        width = self._layout.width
        found = in_other_quotes(text, self._form, width) if not tokens.quoted else None
        if found is None and len(tokens.cells) > width > 1:
            found = in_some_quotes(text, self._form, width)
        if found is None:
            return None
        cells, quote = found
        ours = self._form.quote or 'nothing'
        reason = f'Cells of the record stand between {quote}, those of the file between {ours}.'
        self._note(FaultKind.STRAY_QUOTE, FaultAction.REPAIRED, text, reason)
        return Tokens(cells=cells, clean=True, open=False)

    def _over_lines(self, text: str) -> tuple[Tokens, int] | None:
        """A record that another character separates and whose last cell runs over the next few lines."""
        place, joined = self._at + 1, self._buffer[self._at]
        if resplit(text, self._form, self._layout.profile) is None:
            return None
        for used in range(2, _STRETCH):
            if place >= len(self._buffer) and not self._more():
                return None
            piece = self._buffer[place]
            joined, place = joined + piece, place + 1
            if len(tokenize(piece.rstrip('\r\n'), self._form).cells) >= self._layout.width:
                return None
            if piece.count(self._form.quote) % 2:
                found = resplit(joined.rstrip('\r\n'), self._form, self._layout.profile)
                if found is None:
                    return None
                reason = f'The record is separated by {found[1]!r} where the file uses {self._form.delimiter!r}.'
                self._note(FaultKind.OTHER_DELIMITER, FaultAction.REPAIRED, joined, reason)
                return Tokens(cells=found[0], clean=False, open=False), used
        return None

    def _stretched(self, text: str, width: int) -> tuple[Tokens, int] | None:
        """A damaged record that needs the next few lines, none of which is a record by itself, to have its width."""
        place = self._at + 1
        for used in range(2, _STRETCH):
            if place >= len(self._buffer) and not self._more():
                return None
            piece = self._buffer[place].rstrip('\r\n')
            if len(tokenize(piece, self._form).cells) >= width:
                return None
            place += 1
            if self._form.quote not in piece:
                continue
            joined = ''.join(self._buffer[self._at : place]).rstrip('\r\n')
            found = readings(joined, self._form, widest=width).get(width)
            if found is not None:
                self._note(FaultKind.STRAY_QUOTE, FaultAction.REPAIRED, text, _STRAY)
                return Tokens(cells=found[1], clean=False, open=False), used
        return None

    def _without_nuls(self, text: str) -> str:
        if self._text.bad and '\ufffd' in text:
            reason = f'Bytes that {self._text.encoding} does not know; each was replaced by U+FFFD.'
            self._note(FaultKind.BAD_ENCODING, FaultAction.REPAIRED, text, reason)
        if '\0' not in text:
            return text
        self._note(FaultKind.NUL_BYTE, FaultAction.REPAIRED, text, _TAKEN_OUT)
        return text.replace('\0', '')

    def _joined(self, width: int) -> tuple[Tokens | None, int]:
        """A record whose quoted cells run over several lines, when that is what the quotes mean."""
        doubled, quote = self._form.escape == self._form.quote, self._form.quote
        # Where every line opens a quote in vain, looking far ahead from each would take the square of the file's time.
        most = _TRIES if self._vain < _PATIENCE else _TRIES_TIRED
        pieces = [self._buffer[self._at]]
        size, quotes, tries, closes = len(pieces[0]), pieces[0].count(quote), 0, False
        for used in range(2, _SPAN if width > 1 else _SPAN_NARROW):
            if self._at + used > len(self._buffer) and not self._more():
                return None, 1
            piece = self._buffer[self._at + used - 1]
            pieces.append(piece)
            size, quotes = size + len(piece), quotes + piece.count(quote)
            if size > self._work.limits.cell_bytes * 2 or tries > most:
                return None, 1
            if used in _DOUBTS and has_swallowed(''.join(pieces), self._form, width):
                return None, 1
            closes = closes or may_close(piece, self._form)
            if quote not in piece or (doubled and quotes % 2):
                continue
            tries += 1
            if not closes:
                continue
            text = ''.join(pieces)
            tokens = tokenize(text.rstrip('\r\n').replace('\0', ''), self._form)
            if tokens.open:
                continue
            if has_swallowed(text, self._form, width):
                return None, 1
            if tokens.clean and len(tokens.cells) == width:
                return tokens, used
            return self._patched(tokens, pieces, width), used
        return None, 1

    def _patched(self, tokens: Tokens, pieces: list[str], width: int) -> Tokens | None:
        """A damaged record over several lines, unless one of those lines is a record by itself."""
        if any(len(tokenize(piece.rstrip('\r\n'), self._form).cells) >= width for piece in pieces[1:]):
            return None
        if tokens.clean:
            return tokens if len(tokens.cells) > 1 else None
        found = readings(''.join(pieces).rstrip('\r\n'), self._form, widest=width).get(width)
        if found is None:
            return None
        self._note(FaultKind.STRAY_QUOTE, FaultAction.REPAIRED, ''.join(pieces), _STRAY)
        return Tokens(cells=found[1], clean=False, open=False)

    def _split_returns(self, text: str) -> bool:
        """Break a line at a lone return that a whole record stands before; what follows is the next to be read."""
        place = -1
        while (place := text.find('\r', place + 1)) >= 0:
            tokens = tokenize(text[:place], self._form)
            if tokens.clean and not tokens.open and self._has_width(tokens.cells) and self._suits(tokens.cells):
                break
        else:
            return False
        self._raw = text[:place]
        self._release()
        self._store(self._line, self._byte, tokens.cells)
        self._byte += len(text[: place + 1].encode())
        self._buffer[self._at] = self._buffer[self._at][place + 1 :]
        return True

    def _breaks_off(self, cells: list[str]) -> bool:
        """Whether another table starts at the current line; then reading ends here.

        A blank line above and a new heading, or cells that misfit, make another table. Without a blank line nothing
        less counts than that no record of this table follows to the end of the file.
        """
        layout, width = self._layout, len(cells)
        heading = is_heading(cells, layout.profile) and cells != list(layout.header)
        if self._has_width(cells) and not heading:
            return False
        ahead = self._ahead()
        alike = sum(len(other) == width for other in ahead)
        if self._has_width(cells):
            starts = bool(ahead) and self._has_width(ahead[0]) and not is_heading(ahead[0], layout.profile)
        elif width > 1:
            gone = not any(self._has_width(other) for other in ahead)
            starts = gone and (alike >= 3 or (self._after_blank and alike >= 1 and alike >= len(ahead) - 1))
        else:
            starts = self._after_blank and self._titles_table(ahead)
        if not starts:
            return False
        peers = [other for other in [cells, *ahead] if len(other) == width]
        parted = self._after_blank and layout.width > 1
        typed = any(kind not in ('text', 'empty') for kind in layout.profile)
        misfit = heading or width == 1 or not any(map(self._suits, peers)) or (parted and not typed)
        if not misfit or (self._goes_on() and (not parted or not typed)):
            return False
        left = self._left()
        lines = f'{_count(left, "filled line")} {_was(left)} left out'
        self._notes.append(f'A second table from line {self._line} on was cut off: {lines}.')
        self._cut = True
        return True

    def _has_width(self, cells: list[str]) -> bool:
        width = self._layout.width
        return len(cells) in (width, width + self._layout.slack, width - self._layout.lacking)

    def _suits(self, cells: list[str]) -> bool:
        """Whether most cells of the columns that hold numbers, times or truth values hold such."""
        typed = [
            kind_of(cell) == kind
            for cell, kind in zip(cells, self._layout.profile, strict=False)
            if kind not in ('text', 'empty') and kind_of(cell) != 'empty'
        ]
        return 2 * sum(typed) > len(typed) or not any(kind not in ('text', 'empty') for kind in self._layout.profile)

    def _goes_on(self) -> bool:
        """Whether a record of this table follows somewhere below the current line."""
        if self._line < self._resumes:
            return True
        line = self._line
        for text in self._below():
            line += 1
            cells = tokenize(text, self._form).cells
            if self._has_width(cells) and any(cells) and self._suits(cells):
                self._resumes = line
                return True
        return False

    def _left(self) -> int:
        """The number of filled lines from the current one on."""
        return 1 + sum(bool(text.strip()) for text in self._below())

    def _below(self) -> Iterator[str]:
        """The lines below the current one to the end of the file, read once more and not kept."""
        source = Lines(self._text.path, offset=self._byte, returns=self._returns, longest=self._longest)
        try:
            skipped = 1
            while block := source.block():
                yield from (line.rstrip('\r\n') for line in block[skipped:])
                skipped = 0
        finally:
            source.close()

    def _titles_table(self, ahead: list[list[str]]) -> bool:
        """Whether a lone line after a blank one is the title of another table."""
        if len(ahead) < 2 or len(ahead[0]) < 2:
            return False
        if self._has_width(ahead[0]):
            return is_heading(ahead[0], self._layout.profile)
        if len(ahead[0]) != len(ahead[1]) or any(self._has_width(other) for other in ahead):
            return False
        typed = any(kind not in ('text', 'empty') for kind in self._layout.profile)
        heading = is_heading(ahead[0], self._layout.profile)
        return heading or not typed or not any(self._suits(other) for other in ahead[:2])

    def _ahead(self) -> list[list[str]]:
        """The cells of the next filled lines, each read alone."""
        found: list[list[str]] = []
        place = self._at + 1
        while len(found) < _AHEAD:
            if place >= len(self._buffer) and not self._more():
                break
            text = self._buffer[place].rstrip('\r\n')
            place += 1
            if text.strip():
                found.append(tokenize(text, self._form).cells)
        return found

    def _store(self, line: int, byte: int, cells: list[str]) -> None:
        """Bring a record to the table's width and store it with its faults."""
        width = self._layout.width
        if self._layout.slack and len(cells) == width + self._layout.slack and not any(cells[width:]):
            cells = cells[:width]
        if max(map(len, cells), default=0) > self._work.limits.cell_bytes or len(cells) > self._work.limits.columns:
            reason = f'The record is larger than the limit of {self._work.limits.cell_bytes // 2**20} MB a cell.'
            self._note(FaultKind.TOO_WIDE, FaultAction.REJECTED, '', reason)
            self._sink.rejected += 1
            self._list(line, byte)
            return
        if self._form.tight and is_spaced(self._raw, cells, self._form):
            cells = [cell.removeprefix(' ') for cell in cells]
            other = f'{self._form.delimiter} '
            reason = f'The record is separated by {other!r} where the file uses {self._form.delimiter!r}.'
            self._note(FaultKind.OTHER_DELIMITER, FaultAction.REPAIRED, self._raw, reason)
        if self._layout.lacking and len(cells) == width - self._layout.lacking:
            cells = [*cells, *[''] * self._layout.lacking]
        if len(cells) < width:
            cells = self._widened(cells)
        elif len(cells) > width:
            cells = self._narrowed(cells)
        self._sink.add(line, Flag.REPAIRED if self._found else Flag.AS_READ, cells)
        self._list(line, byte)

    def _widened(self, cells: list[str]) -> list[str]:
        width = self._layout.width
        found = resplit(self._raw, self._form, self._layout.profile)
        if found is not None:
            other, mark = found
            reason = f'The record is separated by {mark!r} where the file uses {self._form.delimiter!r}.'
            self._note(FaultKind.OTHER_DELIMITER, FaultAction.REPAIRED, self._raw, reason)
            return other
        reason = f'The record has {len(cells)} cells where the table has {width} columns; the last ones are null.'
        column = self._layout.names[len(cells)]
        self._note(FaultKind.SHORT_ROW, FaultAction.REPAIRED, self._form.delimiter.join(cells), reason, column)
        return cells

    def _narrowed(self, cells: list[str]) -> list[str]:
        layout = self._layout
        reason = f'The record has {len(cells)} cells where the table has {layout.width} columns'
        found = self._blank_behind(cells) or self._held_together(cells) or aligned(cells, layout, self._form.delimiter)
        if found is None:
            surplus = self._form.delimiter.join(cells[layout.width :])
            self._note(FaultKind.LONG_ROW, FaultAction.TRUNCATED, surplus, f'{reason}; the surplus was cut off.')
            return cells[: layout.width]
        kept, value, merged = found
        how = 'a cell that bare delimiters had split was joined.' if merged else 'surplus empty cells were taken out.'
        self._note(FaultKind.LONG_ROW, FaultAction.REPAIRED, value, f'{reason}; {how}')
        return kept

    def _blank_behind(self, cells: list[str]) -> tuple[list[str], str, bool] | None:
        """Join cells by the blanks behind delimiters, in a file that has none: either no others part cells, or those.

        None where neither gives the table's width.
        """
        width, mark = self._layout.width, self._form.delimiter
        blank = [i > 0 and cell[:1] == ' ' and bool(cell.strip()) for i, cell in enumerate(cells)]
        if not self._form.tight or self._form.trim or not any(blank) or mark.isspace():
            return None
        joined: list[str] = []
        if sum(blank) == len(cells) - width:
            for cell, behind in zip(cells, blank, strict=True):
                joined[-1:] = [f'{joined[-1]}{mark}{cell}'] if behind else [*joined[-1:], cell]
        elif self._raw.count(f'{mark} ') == width - 1 and width > 2:
            joined = tokenize(self._raw, replace(self._form, delimiter=f'{mark} ')).cells
        if len(joined) != width:
            return None
        return joined, next((cell for cell in joined if mark in cell), self._raw), True

    def _held_together(self, cells: list[str]) -> tuple[list[str], str, bool] | None:
        """Join the cells that a delimiter has split where one quote of two is left to tell where the cell ends."""
        quote, surplus = self._form.quote, len(cells) - self._layout.width
        if not quote or surplus < 1:
            return None
        halves = [index for index, cell in enumerate(cells) if cell.strip().startswith(quote) != cell.endswith(quote)]
        if len(halves) != 1:
            return None
        start = halves[0] if cells[halves[0]].strip().startswith(quote) else halves[0] - surplus
        if start < 0 or start + surplus >= len(cells) or not all(cells[start : start + surplus + 1]):
            return None
        merged = self._form.delimiter.join(cells[start : start + surplus + 1])
        return [*cells[:start], merged, *cells[start + surplus + 1 :]], merged, True

    def _tell_nuls(self) -> None:
        """List the first line with NUL characters where no record tells of them, as above the table."""
        source = Lines(self._text.path, offset=self._text.offset, returns=self._returns, longest=self._longest)
        line, byte = 0, self._text.offset
        try:
            while block := source.block():
                for text in block:
                    line += 1
                    if '\0' in text:
                        self._found = []
                        reason = f'{self._text.nuls:,} zero bytes outside of the records; they were passed over.'
                        self._note(FaultKind.NUL_BYTE, FaultAction.REPAIRED, text.replace('\0', '').strip(), reason)
                        self._list(line, byte)
                        return
                    byte += len(text.encode())
        finally:
            source.close()

    def _note(self, kind: FaultKind, action: FaultAction, value: str, reason: str, column: str | None = None) -> None:
        self._found.append((kind, action, value[:_SHOWN], reason, column))

    def _list(self, line: int, byte: int) -> None:
        known = None if self._text.copied else byte
        for kind, action, value, reason, column in self._found:
            self._told_nuls = self._told_nuls or kind is FaultKind.NUL_BYTE
            self._sink.fault(
                Fault(line=line, byte=known, column=column, kind=kind, value=value, action=action, reason=reason)
            )

    def _end(self) -> None:
        """Say what was left out."""
        if self._held:
            count, first = len(self._held), self._held[0][0]
            self._notes.append(f'{_count(count, "footnote")} from line {first} on {_was(count)} left out.')
        if self._empties:
            self._notes.append(f'{_count(self._empties, "record")} of empty cells {_was(self._empties)} left out.')
        if self._comments:
            self._notes.append(f'{_count(self._comments, "comment line")} {_was(self._comments)} left out.')
        if self._repeats:
            self._notes.append(f'{_count(self._repeats, "repeated header line")} {_was(self._repeats)} left out.')


def _hole_reason(text: str) -> str:
    return (
        f'{text.count(chr(0)):,} zero bytes: this part of the file was never written, as after a power failure. '
        'The records that it cut are left out.'
    )


def _count(number: int, noun: str) -> str:
    return f'{number:,} {noun}' if number == 1 else f'{number:,} {noun}s'


def _was(number: int) -> str:
    return 'was' if number == 1 else 'were'
