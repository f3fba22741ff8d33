"""What charts ask of stored data: series, range, width and aggregation in, points in binary out."""

from core.analysis.query.engine import answer
from core.analysis.query.request import Filter, Overlay, Query
from core.analysis.query.stored import Stored
from core.analysis.query.wire import Answer, Part, decode, encode, plain

__all__ = ['Answer', 'Filter', 'Overlay', 'Part', 'Query', 'Stored', 'answer', 'decode', 'encode', 'plain']
