"""Pages that stand before NiceGUI: its scripts and sheets wait in the page as text until the page's script calls them.

NiceGUI's template (its version is pinned) is read with its tags made to depend on `HOLDS`, which such a page writes
into its head. `static/panels/page.js` makes scripts and sheets of them again.
"""

from collections.abc import Callable

from jinja2 import BaseLoader, Environment
from nicegui.client import templates

from core.errors import Misconfigured

# Written into the head of such a page. What only NiceGUI's sheets make presentable is not seen before they come.
HOLDS = '<style id="framework-held">#app, #esm-fallback, .nicegui-error-popup { display: none !important; }</style>'
INDEX = 'index.html'
HELD = '("framework-held" in head_html)'
LAYERS = '@layer theme, base, quasar, nicegui, components, utilities, overrides, quasar_importants;'
# What stands in NiceGUI's page, and what it is while the framework is held.
CHANGES = (
    ('<script defer src=', f'<script {{{{ "type=later" if {HELD} else "defer" }}}} src='),
    ('<script type="module">', f'<script type="{{{{ "later-module" if {HELD} else "module" }}}}">'),
    ('<link rel="modulepreload"', f'<link rel="{{{{ "later" if {HELD} else "modulepreload" }}}}"'),
    # The order of layers is said at once, so that sheets may come late. No browser looks ahead into a script.
    (LAYERS, f'{LAYERS}</style>\n    <{{{{ "script type=later-style" if {HELD} else "style" }}}}>'),
    (
        '</style>\n    <script type="importmap">',
        f'</{{{{ "script" if {HELD} else "style" }}}}>\n    <script type="importmap">',
    ),
)


class Standing(BaseLoader):
    """NiceGUI's templates, of which the page can be held."""

    def __init__(self, theirs: BaseLoader) -> None:
        self._theirs = theirs

    def get_source(self, environment: Environment, template: str) -> tuple[str, str | None, Callable[[], bool] | None]:
        """Return a template's text; raise Misconfigured when NiceGUI's page is not the one that is known here."""
        text, name, fresh = self._theirs.get_source(environment, template)
        return (held(text) if template == INDEX else text), name, fresh


def held(text: str) -> str:
    """NiceGUI's page with its tags changed."""
    for theirs, ours in CHANGES:
        if theirs not in text:
            raise Misconfigured(f'NiceGUI writes its page in another way: "{theirs}" is missing. See ui/standing.py.')
        text = text.replace(theirs, ours)
    return text


def install() -> None:
    """Read NiceGUI's page so that a page can hold it; `mount` calls this once."""
    theirs = templates.env.loader
    if theirs is not None and not isinstance(theirs, Standing):
        templates.env.loader = Standing(theirs)
