"""Lines that are clean records without any quote: told apart and made ready many at a time."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from core.analysis.ingest.dialect import Format
from core.analysis.ingest.layout import Layout, is_heading

_QUOTES: Final = '"\'`'
_FEWEST: Final = 32


@dataclass(frozen=True)
class Plain:
    """Knows clean lines of a table, and writes them with `delimiter`; `quote` is what quotes in what is written."""

    form: Format
    layout: Layout
    delimiter: str
    quote: str
    bad: bool
    returns: bool
    longest: int

    def leading(self, lines: Sequence[str]) -> list[str]:
        """The first of these lines as far as they are clean records, without their breaks; none when they are few."""
        form, separators = self.form, self.layout.width + self.layout.slack - 1
        mark = form.delimiter
        lines = lines[: self._unquoted(lines)]
        if len(lines) < _FEWEST:
            return []
        text = self._even(''.join(lines))
        if text is None:
            return []
        if form.collapse or form.trim:
            text = self._blanks.sub(mark, text)
        if form.trim or form.collapse:
            text = self._ends.sub('', text)
        ready = text.split('\n')
        if not ready[-1]:
            ready.pop()
        right = [line.count(mark) == separators for line in ready]
        stop = len(ready) if all(right) else right.index(False)
        found = self._unusual.search(text)
        if found is not None:
            stop = min(stop, text.count('\n', 0, found.start()))
        ready = ready[:stop]
        if self._heading is not None:
            stop = next(
                (i for i, line in enumerate(ready) if self._heading.match(line) and self._is_heading(line)), stop
            )
            ready = ready[:stop]
        if len(ready) < _FEWEST or max(map(len, ready)) > self.longest:
            return []
        if self.layout.slack:
            tail = mark * self.layout.slack
            if not all(line.endswith(tail) for line in ready):
                return []
            ready = [line[: -len(tail)] for line in ready]
        return ready if mark == self.delimiter else [line.replace(mark, self.delimiter) for line in ready]

    def _unquoted(self, lines: Sequence[str]) -> int:
        """How many lines there are above the first with a quote."""
        quotes = {self.form.quote or self.quote, self.quote}
        text = ''.join(lines)
        if not any(quote in text for quote in quotes):
            return len(lines)
        return next(index for index, line in enumerate(lines) if any(quote in line for quote in quotes))

    def _even(self, text: str) -> str | None:
        """The text with line feeds as its only breaks; None where a sign in it needs a closer look."""
        if '\0' in text or (self.bad and '\ufffd' in text):
            return None
        if self.delimiter != self.form.delimiter and self.delimiter in text:
            return None
        if '\r' in text:
            text = text.replace('\r\n', '\n')
            if self.returns:
                text = text.replace('\r', '\n')
            elif '\r' in text:
                return None
        return text

    @cached_property
    def _blanks(self) -> re.Pattern[str]:
        mark = re.escape(self.form.delimiter)
        return re.compile(f'(?:{mark})+' if self.form.collapse else f' *{mark} *')

    @cached_property
    def _ends(self) -> re.Pattern[str]:
        sign = re.escape(self.form.delimiter) if self.form.collapse else ' '
        return re.compile(f'^(?:{sign})+|(?:{sign})+$', re.MULTILINE)

    @cached_property
    def _unusual(self) -> re.Pattern[str]:
        """Lines that hold nothing, are comments, or start in quotes of another sort."""
        mark = re.escape(self.form.delimiter)
        starts = [f'(?:{mark}|[ \\t])*$', *(re.escape(quote) for quote in _QUOTES), r'[ \t]*#']
        if self.form.tight and not self.form.trim and self.layout.width > 2:
            cell = f'[^{mark}\n]*' if len(self.form.delimiter) == 1 else '.*?'
            starts.append(f'{cell}{mark} {cell}{mark} ')
        if self.form.comment:
            starts.append(rf'[ \t]*{re.escape(self.form.comment)}')
        return re.compile(f'^(?:{"|".join(starts)})', re.MULTILINE)

    @cached_property
    def _heading(self) -> re.Pattern[str] | None:
        """A letter at the start of the first cell that holds numbers or times elsewhere."""
        typed = [i for i, kind in enumerate(self.layout.profile) if kind in ('number', 'time')]
        if not typed:
            return None
        mark = self.form.delimiter
        cell = f'[^{re.escape(mark)}]*' if len(mark) == 1 else '.*?'
        return re.compile(f'(?:{cell}{re.escape(mark)}){{{typed[0]}}}[ \\t]*[^\\W\\d_]')

    def _is_heading(self, line: str) -> bool:
        return is_heading(line.split(self.form.delimiter), self.layout.profile)
