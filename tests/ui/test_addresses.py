"""Addresses of Explore and of the list of dashboards that somebody made up."""

from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest

from core.errors import UsageError
from ui.pages.dashboards import _deleted
from ui.pages.explore import _spec

DATASET = '6f1f3f0a-56b4-4f0e-9c0e-0d6a2f1f7a11'


def manifest(*measures: str) -> dict[str, Any]:
    return {'measures': list(measures), 'series': {'count': 1}, 'time': {}, 'rows_accepted': 9}


@pytest.mark.parametrize('q', ['[' * 100_000, '{', '[]', '{"query":' * 50_000])
def test_an_address_without_a_chart_is_refused(q: str):
    with pytest.raises(UsageError) as caught:
        _spec(DATASET, manifest('load'), q, None)
    assert caught.value.details['place'] == 'q'


def test_the_first_measure_that_can_be_asked_for_is_shown():
    assert _spec(DATASET, manifest('m' * 1001, 'load'), '', None)['query']['measures'] == ['load']


async def test_only_what_was_deleted_is_offered_back():
    gone = uuid4()

    async def deleted(_: UUID, asked: UUID) -> bool:
        return asked == gone

    services: Any = SimpleNamespace(dashboards=SimpleNamespace(deleted=deleted))
    told = [await _deleted(services, uuid4(), one) for one in ('', 'abc', str(uuid4()), str(gone))]
    assert told == [None, None, None, gone]
