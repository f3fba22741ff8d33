"""How a task is split into calls, and their answers made one."""

from typing import Any

import pytest

from core.errors import SeriesTooShort, TaskFailed
from core.tasks import WHOLE, merge, split

PAYLOAD = {'prefix': 't/a/forecast/j-1', 'parts': ['p'], 'request': {'models': ['theta', 'mstl'], 'h': 2}}


def test_a_forecast_is_split_by_model() -> None:
    parts = split('forecast', PAYLOAD)
    assert {name: (part['prefix'], part['request']) for name, part in parts.items()} == {
        model: (f't/a/forecast/j-1/{model}', {'models': [model], 'h': 2}) for model in ('theta', 'mstl')
    }
    assert all(part['parts'] == ['p'] for part in parts.values())


@pytest.mark.parametrize(
    'payload',
    [
        {},
        {'request': None},
        {'request': {'models': 'theta'}},
        {'request': {'models': ['theta']}},
        {'request': {'models': ['theta', {}]}},
        {'request': {'models': ['theta', '../mstl']}},
    ],
)
def test_what_cannot_be_split_stays_whole(payload: dict[str, Any]) -> None:
    assert split('forecast', payload) == {WHOLE: payload}


def test_only_forecasts_are_split() -> None:
    assert split('convert', PAYLOAD) == {WHOLE: PAYLOAD}


def test_a_whole_answer_is_the_result() -> None:
    answer = {'prefix': 'p', 'objects': [], 'manifest': {}, 'seconds': 1.0}
    assert merge(PAYLOAD, {WHOLE: answer}) == answer


def test_when_every_part_failed_the_first_reason_is_raised() -> None:
    with pytest.raises(SeriesTooShort, match='first'):
        merge(PAYLOAD, {'theta': SeriesTooShort('first'), 'mstl': TaskFailed('second')})
