"""Addresses of Explore, of a recipe and of the list of dashboards that somebody made up."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from nicegui import ui
from nicegui.testing import user_simulation

from core.errors import UsageError
from ui.components.deleted import was_deleted
from ui.pages.dataset import recipe_steps
from ui.pages.explore import SERIES, _foretold, _head, _spec

DATASET = '6f1f3f0a-56b4-4f0e-9c0e-0d6a2f1f7a11'
END = datetime(2026, 12, 28, tzinfo=UTC)


def manifest(*measures: str) -> dict[str, Any]:
    return {'measures': list(measures), 'series': {'count': 1}, 'time': {}, 'rows_accepted': 9}


@pytest.mark.parametrize('q', ['[' * 100_000, '{', '[]', '{"query":' * 50_000])
def test_an_address_without_a_chart_is_refused(q: str):
    with pytest.raises(UsageError) as caught:
        _spec(DATASET, manifest('load'), q, None)
    assert caught.value.details['place'] == 'q'


@pytest.mark.parametrize(
    'text', ['[' * 100_000, '[{"do": "fill", "columns":' * 5_000, '[1', '{}', '[{"do": "\\ud800"}]']
)
def test_an_address_without_a_recipe_has_no_draft(text: str):
    assert not recipe_steps.read(text)


@pytest.mark.parametrize('number', ['NaN', '-Infinity', '1e999', '9' * 400])
def test_a_step_with_a_number_that_no_field_holds_is_left_out_of_a_draft(number: str):
    assert recipe_steps.read(f'[{{"do": "clip", "low": {number}}}, {{"do": "clip", "low": 1}}]') == [
        {'do': 'clip', 'low': 1}
    ]


@pytest.mark.parametrize('step', ['{"do": "drop", "column": "\\ud800"}', '{"do": "fill", "columns": ["\\udc00"]}'])
def test_half_a_character_is_in_no_draft(step: str):
    assert recipe_steps.read(f'[{step}]') is None


def test_the_first_measure_that_can_be_asked_for_is_shown():
    assert _spec(DATASET, manifest('m' * 1001, 'load'), '', None)['query']['measures'] == ['load']


def test_a_forecast_of_many_series_says_that_it_has_more_than_it_names():
    found: Any = SimpleNamespace(id=uuid4(), name='Load', request={'target': 'load', 'step': None})
    result = {'models': [{'name': 'theta', 'rows': 3}], 'scores': [], 'series': [f'S{number}' for number in range(300)]}
    told = _foretold(found, result)
    assert (len(told['series']), told['n_series'], told['asked']) == (SERIES, 300, {'measures': ['load']})
    assert _foretold(found, {**result, 'n_series': 5000})['n_series'] == 5000


async def test_only_what_was_deleted_is_offered_back():
    gone = uuid4()

    async def kept_until(asked: UUID) -> datetime | None:
        return END if asked == gone else None

    told = [await was_deleted(one, kept_until) for one in ('', 'abc', str(uuid4()), str(gone))]
    assert told == [None, None, None, (gone, END)]


@pytest.mark.parametrize(
    ('panel', 'title', 'back'),
    [('', 'Add panel', '/dashboards/7'), ('p2', 'Edit panel', '/dashboards/7#p2')],
)
async def test_a_panel_of_a_dashboard_is_made_with_a_way_back_to_it(panel: str, title: str, back: str) -> None:
    target: Any = SimpleNamespace(id=7, name='Stores')
    async with user_simulation() as user:
        ui.page('/head')(lambda: _head(target, panel))
        await user.open('/head')
        await user.should_see(title)
        await user.should_see('the dashboard Stores.')
        found = user._client.elements.values()  # type: ignore[union-attr]
        assert [e.props['href'] for e in found if getattr(e, 'text', '') == 'Cancel'] == [back]
