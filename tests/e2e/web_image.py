"""`python -m tests.e2e.web_image MODULE …` runs a module as if the `compute` extra were not installed.

That is how the images of the web server and of the worker are built where Modal computes. Processes that the module
starts are not held to it.
"""

import re
import runpy
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder

from tests.e2e.server import ROOT


class Absent(MetaPathFinder):
    """Refuses the extra's packages and the large ones that only they bring along."""

    def __init__(self) -> None:
        extra = (ROOT / 'pyproject.toml').read_text().split('compute = [')[1].split(']')[0]
        self._names = {*re.findall(r'^    "([a-z-]+)', extra, re.M), 'numba', 'scipy', 'sklearn'}

    def find_spec(self, name: str, path: Sequence[str] | None, target: object = None) -> None:
        """Say that there is no such module."""
        if name.partition('.')[0] in self._names:
            raise ImportError(f'{name} is not in the image of the web server', name=name)


if __name__ == '__main__':
    sys.meta_path.insert(0, Absent())
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)
