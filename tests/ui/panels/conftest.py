"""The modules of panels that touch no page, run by the Node that comes with Playwright."""

from collections.abc import Iterator

import pytest

from tests.ui.node import running
from tests.ui.panels.given import Told

NAMES = [
    'axes',
    'look',
    'scene',
    'request',
    'words',
    'variables',
    'partial',
    'places',
    'gaps',
    'durations',
    'wire',
    'foretold',
    'earlier',
    'labels',
    'marks',
]


@pytest.fixture(scope='session')
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """Run a body of JavaScript that has the modules and `given`; return what it returns."""
    with running(tmp_path_factory.mktemp('panels'), NAMES) as run:
        yield run
