"""What a forecast's page says of its models."""

from typing import Any

from ui.pages.forecast import warnings


def model(name: str, *said: str, rows: int = 3) -> dict[str, Any]:
    return {'name': name, 'rows': rows, 'warnings': list(said)}


def test_a_model_without_a_forecast_is_told_first_and_each_thing_once() -> None:
    lost = 'There is no forecast by this model. The task was lost.'
    result = {'models': [model('theta', 'Short.'), model('ets', 'Short.'), model('mstl', lost, rows=0)]}
    mstl, shared = warnings(result)
    assert mstl.endswith(f': {lost}')
    assert shared.endswith(': Short.')
    assert shared.count(',') == 1, 'both models are named'
    assert warnings({'models': [model('theta')]}) == []
