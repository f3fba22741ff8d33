"""Files with known defects and the table that each of them means, made from a seed.

`files()` gives every defect class in several sizes, and in several places where it has one. A file knows its intended
table (what `variosync convert --raw` shall write) and its known faults with line, column and kind as in docs/faults.md,
so that readers and fault reports can be checked against it. What is made here is written down class by class in
`tests/dirty/classes.py`; nothing in the product knows of it.
"""

from tests.dirty.classes import CLASSES, FEW, files
from tests.dirty.tables import DirtyFile, Known, Spot

__all__ = ['CLASSES', 'FEW', 'DirtyFile', 'Known', 'Spot', 'files']
