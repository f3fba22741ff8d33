"""The fenced blocks and the commands of README and docs: what is in them, where it is run, and what it prints.

`python -m tests.examples` lists every block with where it is run, or why it is not; `tests/test_docs.py` holds it true.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parent.parent
RUN = ('sh', 'python')
KINDS = {*RUN, 'text', 'json', 'toml', 'env'}
FENCE = re.compile(r'(?:^<!-- not run: (?P<why>[^>\n]+) -->\n)?^```(?P<kind>\w*)\n(?P<body>.*?)^```$', re.M | re.S)
INLINE = re.compile(r'`([^`\n]+)`')
OURS = ('variosync', 'make', 'python')


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block of a page, which begins in `line`.

    `why` tells why `tests/e2e/test_examples.py` does not run it, `shown` what the docs say that it prints, `below` that
    it is what the block above prints.
    """

    page: str
    line: int
    kind: str
    body: str
    why: str | None = None
    shown: str | None = None
    below: bool = False

    @property
    def runs(self) -> bool:
        """Whether `tests/e2e/test_examples.py` runs it."""
        return self.kind in RUN and not self.why

    @property
    def commands(self) -> Sequence[Sequence[str]]:
        """The commands of ours in it, as words."""
        lines = self.body.replace('\\\n', ' ').splitlines() if self.kind == 'sh' else []
        return [words for line in lines for words in _parted(line)]

    @property
    def fate(self) -> str:
        """Where it is run, or why it is not."""
        if self.runs:
            return 'run by tests/e2e/test_examples.py' + (', what it prints compared' if self.shown else '')
        if self.kind in RUN:
            return f'not run there: {self.why}'
        return 'what the block above prints' if self.below else 'no command'


def pages() -> Sequence[Path]:
    """README and docs: tutorial, how-to guides, the rest; what needs a server that was stopped comes last."""
    found = [ROOT / 'README.md', ROOT / 'ARCHITECTURE.md', *sorted((ROOT / 'docs').rglob('*.md'))]
    guides = [path for path in found if path.parent.name == 'how-to' or path.stem == 'tutorial']
    return [*sorted(found, key=lambda path: (path.stem == 'backup', path in guides and path.stem != 'tutorial'))]


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order; a text right below a block that is run is what that prints."""
    text = page.read_text(encoding='utf-8')
    found = list(FENCE.finditer(text))
    prints = [
        one['kind'] in RUN and after['kind'] == 'text' and not text[one.end() : after.start()].strip()
        for one, after in pairwise(found)
    ]
    for place, one in enumerate(found):
        shows = place < len(prints) and prints[place]
        yield Block(
            page=str(page.relative_to(ROOT)),
            line=text[: one.start('body')].count('\n'),
            kind=one['kind'],
            body=one['body'],
            why=one['why'],
            shown=found[place + 1]['body'] if shows else None,
            below=place > 0 and prints[place - 1],
        )


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return FENCE.sub('', page.read_text(encoding='utf-8'))


def named_in_text(page: Path) -> Iterator[Sequence[str]]:
    """The commands of ours that a page names between its blocks, as words."""
    for text in INLINE.findall(prose(page)):
        if re.match(r'(?:\w+=\S+ )*(?:\S*/bin/)?(?:variosync|make|python -m) ', text):
            yield from _parted(text)


def _parted(line: str) -> Iterator[Sequence[str]]:
    """The commands of ours in a line of shell, without quoted text and without a path before the program."""
    for part in re.split(r'\|\|?|&&|;|\bif\b|!', re.sub(r'\s#.*|\'[^\']*\'', ' ', line)):
        words = [word.rpartition('/')[2] if '/bin/' in word else word for word in part.split()]
        words = words[next((n for n, word in enumerate(words) if not re.match(r'\w+=', word)), 0) :]
        if words and words[0] in OURS:
            yield words


def main() -> None:
    """List every block of every page."""
    for page in pages():
        for block in blocks(page):
            first = next(iter(block.body.splitlines()), '')
            sys.stdout.write(f'{block.page}:{block.line} {block.kind}: {block.fate}\n    {first}\n')


if __name__ == '__main__':
    main()
