"""The fenced blocks of README and docs: what is in them, whether it is run, and what stands below as what it prints."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
RUN = ('sh', 'python')
KINDS = {*RUN, 'text', 'json', 'toml', 'env'}
FENCE = re.compile(r'(?:^<!-- not run: (?P<why>[^>\n]+) -->\n)?^```(?P<kind>\w*)\n(?P<body>.*?)^```$', re.M | re.S)
INLINE = re.compile(r'`([^`\n]+)`')


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block. `why` tells why it is not run here, `shown` what the docs say that it prints."""

    page: str
    kind: str
    body: str
    why: str | None = None
    shown: str | None = None


def pages() -> Sequence[Path]:
    """README and docs: tutorial, how-to guides, the rest; what needs a server that was stopped comes last."""
    found = [ROOT / 'README.md', *sorted((ROOT / 'docs').rglob('*.md'))]
    guides = [path for path in found if path.parent.name == 'how-to' or path.stem == 'tutorial']
    return [*sorted(found, key=lambda path: (path.stem == 'backup', path in guides and path.stem != 'tutorial'))]


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order; a text right below a block that is run is what that prints."""
    text = page.read_text(encoding='utf-8')
    found = list(FENCE.finditer(text))
    for place, one in enumerate(found):
        below = found[place + 1] if place + 1 < len(found) else None
        shows = below and below['kind'] == 'text' and not text[one.end() : below.start()].strip()
        yield Block(
            page=str(page.relative_to(ROOT)),
            kind=one['kind'],
            body=one['body'],
            why=one['why'],
            shown=below['body'] if below and shows and one['kind'] in RUN else None,
        )


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return FENCE.sub('', page.read_text(encoding='utf-8'))
