"""What charts ask of stored data: series, range, width and aggregation in, points in binary out.

A question is plain values. What answers it needs NumPy, whose import takes longer than a command that asks nothing: it
comes with the first of those names that is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from core.analysis.query.request import Filter, Overlay, Query

if TYPE_CHECKING:
    from core.analysis.query.engine import answer
    from core.analysis.query.stored import Stored
    from core.analysis.query.wire import Answer, Part, decode, encode, plain

__all__ = ['Answer', 'Filter', 'Overlay', 'Part', 'Query', 'Stored', 'answer', 'decode', 'encode', 'plain']

_PLACES: Final = {
    'answer': 'engine',
    'Stored': 'stored',
    'Answer': 'wire',
    'Part': 'wire',
    'decode': 'wire',
    'encode': 'wire',
    'plain': 'wire',
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module(f'{__name__}.{_PLACES[name]}'), name)
