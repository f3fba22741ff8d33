"""Parts of pages that stand before any script has run: markup by the templates of `ui/templates`.

Whatever a template is given is text and is escaped; only what this module returns is markup.
"""

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ui.assets import icon_markup

TEMPLATES = Path(__file__).resolve().parent / 'templates'


def rendered(template: str, **values: Any) -> str:
    """The markup of a template, such as `frame.html`, with these values."""
    return _templates().get_template(template).render(values)


@cache
def _templates() -> Environment:
    found = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    found.globals['icon'] = _icon
    return found


def _icon(name: str, size: int = 16, classes: str = '') -> Markup:
    return Markup(icon_markup(name, size, classes=classes))  # noqa: S704 (a drawing that was set up, and our classes)
