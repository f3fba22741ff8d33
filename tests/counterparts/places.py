"""On which databases a module of tests runs."""

import pytest


def run_on(metafunc: pytest.Metafunc, *places: str) -> None:
    """Run each test of a module that meets `postgres` on these: `embedded`, `server`, `pooled`."""
    if 'postgres' in metafunc.fixturenames:
        group = pytest.mark.xdist_group('server postgres')
        params = [pytest.param(place, marks=() if place == 'embedded' else group) for place in places]
        metafunc.parametrize('postgres', params, indirect=True, scope='session')
