"""`python -m tests.e2e.web_image MODULE …` runs a module as if the `compute` extra were not installed.

That is how the images of the web server and of the worker are built where Modal computes. Processes that the module
starts are not held to it.
"""

import re
import runpy
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

from tests.e2e.server import ROOT

EXTRA = (ROOT / 'pyproject.toml').read_text().split('compute = [')[1].split(']')[0]
# Its packages and the large ones that only they bring along.
ABSENT = {*re.findall(r'^    "([a-z-]+)', EXTRA, re.M), 'numba', 'scipy', 'sklearn'}


class WithoutCompute(PathFinder):
    """Finds what is installed, but nothing of the extra."""

    @classmethod
    def find_spec(
        cls, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where a module is, or None when this image has none."""
        return None if fullname.partition('.')[0] in ABSENT else super().find_spec(fullname, path, target)


def without_compute() -> None:
    """Make this process one of that image."""
    sys.meta_path[sys.meta_path.index(PathFinder)] = WithoutCompute


if __name__ == '__main__':
    without_compute()
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)
