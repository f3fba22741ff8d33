"""The tests of a group stay together."""

import pytest

pytestmark = pytest.mark.xdist_group('groups')


def test_workers_see_the_group_in_the_name_of_a_test(request: pytest.FixtureRequest):
    spread = request.config.getoption('loadgroup', False)
    assert request.node.nodeid.endswith('@groups' if spread else request.node.name)
