"""Help: how things are done and what words mean, as the folder `docs` says it."""

import posixpath
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from nicegui import ui

from core.errors import NotFound
from core.services import Services
from ui.components.parts import button, card, page_head, tag
from ui.theme import PATIENCE, frame

HELP = '/help'
DOCS = Path(__file__).resolve().parents[2] / 'docs'
INDEX = 'README'
EXTRAS = ['fenced-code-blocks', 'tables', 'header-ids', 'cuddled-lists']
LINK = re.compile(r'(!?)\[([^\]]*)\]\(([^)\s]+)\)')
TITLE = re.compile(r'\A# (.+)\n')
FENCE = re.compile(r'^```\w+.*$', re.MULTILINE)
COMMENT = re.compile(r'<!--.*?-->\n?', re.DOTALL)
# What the address asks for came with the text, which the browser did not have when it looked.
GO_TO_PART = 'document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView()'


def register(services: Services) -> None:
    """Serve `/help` and what it leads to."""

    @ui.page(HELP, response_timeout=PATIENCE)
    async def index() -> None:
        with frame(services, ('Help', HELP), active=HELP):
            page_head('Help', 'How to do things, and what words mean.', actions=_actions)
            _draw(found(INDEX)[1])

    @ui.page(HELP + '/{name:path}', response_timeout=PATIENCE)
    async def page(name: str) -> None:
        title, text = found(name)
        with frame(services, ('Help', HELP), title, active=HELP):
            page_head(title, actions=lambda: button('All of help', icon_name='chevron-left', href=HELP))
            _draw(text)


def _actions() -> None:
    button('Words', icon_name='book-open', href=f'{HELP}/glossary')
    button('Shortcuts', icon_name='keyboard', data_keys='')


def _draw(text: str) -> None:
    with card(), tag('article', classes='body doc'):
        ui.markdown(text, extras=EXTRAS)
    ui.context.client.on_connect(lambda: ui.run_javascript(GO_TO_PART))


def found(name: str) -> tuple[str, str]:
    """The title of a page and its Markdown. Raise NotFound when there is none of this name."""
    if name not in _pages():
        raise NotFound('Help has no such page.')
    text = COMMENT.sub('', _pages()[name].read_text(encoding='utf-8'))
    title = TITLE.match(text)
    assert title is not None, f'docs/{name}.md begins without a title'
    text = LINK.sub(lambda link: _linked(name, link), text[title.end() :])
    return title[1], FENCE.sub('```', text)  # of one colour: a language would bring colours of its own


@cache
def _pages() -> Mapping[str, Path]:
    """The pages by their names, such as `how-to/append`; none where the folder did not come along."""
    return {path.relative_to(DOCS).with_suffix('').as_posix(): path for path in sorted(DOCS.rglob('*.md'))}


def _linked(name: str, link: re.Match[str]) -> str:
    """A link as it leads within help; of what lies elsewhere its words, of a picture nothing."""
    picture, words, to = link.groups()
    if picture:
        return ''
    if '://' in to:
        return link[0]
    path, _, part = to.partition('#')
    there = posixpath.normpath(posixpath.join(posixpath.dirname(name), path)).removesuffix('.md') if path else name
    if there not in _pages():
        return words
    return f'[{words}]({HELP if there == INDEX else f"{HELP}/{there}"}{f"#{part}" if part else ""})'
