"""What the REST routes share: media types, cells of CSV and JSON, and the values that are let in."""

import csv
import io
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from core.analysis.tables import FORMULA_STARTS, Page
from core.ask import Ask
from ui.api.account import KeyRequest
from ui.api.contract import csv_text, negotiate
from ui.api.datasets import Correction, DatasetChange
from ui.api.forecasts import ForecastRequest, WhatIf
from ui.api.models import plain, rows_of

OFFERED = ('application/octet-stream', 'application/json', 'text/csv')


@pytest.mark.parametrize(
    ('accept', 'chosen'),
    [
        ('', 'application/octet-stream'),
        ('*/*', 'application/octet-stream'),
        ('text/html, */*;q=0.8', 'application/octet-stream'),
        ('application/*', 'application/octet-stream'),
        ('application/json', 'application/json'),
        ('APPLICATION/JSON; charset=utf-8', 'application/json'),
        ('text/*, application/json;q=0.9', 'text/csv'),
        ('text/csv;q=0.1, application/json;q=0.2', 'application/json'),
        ('*/*, application/octet-stream;q=0', 'application/json'),
    ],
)
def test_accept_chooses_what_is_preferred(accept: str, chosen: str):
    assert negotiate(accept, OFFERED) == chosen


@pytest.mark.parametrize('accept', ['image/png', '*/*;q=0', 'text/csv;q=0', 'nonsense', 'text/csv;q=much'])
def test_what_cannot_be_sent_is_refused(accept: str):
    with pytest.raises(HTTPException) as refusal:
        negotiate(accept, OFFERED)
    assert refusal.value.status_code == 406


@given(st.text())
def test_any_accept_header_is_answered(accept: str):
    with suppress(HTTPException):
        assert negotiate(accept, OFFERED) in OFFERED


@given(st.lists(st.text(st.characters(exclude_categories=['Cs'], exclude_characters='\r\x00')), min_size=1))
def test_no_cell_of_csv_starts_like_a_formula(cells: list[str]):
    (row,) = csv.reader(io.StringIO(csv_text([cells]).decode(), newline=''))
    assert [cell.removeprefix("'") if cell != kept else cell for cell, kept in zip(row, cells, strict=True)] == cells
    assert not any(cell.startswith(FORMULA_STARTS) for cell in row)


def test_cells_of_json_lose_no_digit():
    cells = (1, 2**60, Decimal('0.10'), float('nan'), True, None, 'x', datetime(2024, 1, 2, tzinfo=UTC))
    page = rows_of(Page(columns=tuple('abcdefgh'), rows=[cells], offset=0, total=1))
    assert page.rows == [[1, '1152921504606846976', '0.10', None, True, None, 'x', '2024-01-02T00:00:00+00:00']]
    assert plain({'a': [1.5, float('inf'), ('x', None)]}) == {'a': [1.5, None, ['x', None]]}


FORECAST = {'dataset_id': str(uuid4()), 'target': 'y', 'h': 1}


@pytest.mark.parametrize(
    ('model', 'body'),
    [
        (DatasetChange, {'name': ''}),
        (DatasetChange, {'name': ' \t'}),
        (DatasetChange, {'name': 'x' * 256}),
        (DatasetChange, {'name': 'a\x00b'}),
        (DatasetChange, {'name': '\ud800'}),
        (DatasetChange, {'name': 5}),
        (DatasetChange, {'name': 'x', 'more': 1}),
        (Correction, {'day_first': 1}),
        (Correction, {'roles': {'a': 'king'}}),
        (Correction, {'roles': {'a\x00': 'time'}}),
        (ForecastRequest, FORECAST | {'h': '1'}),
        (ForecastRequest, FORECAST | {'h': True}),
        (ForecastRequest, FORECAST | {'h': 5001}),
        (ForecastRequest, FORECAST | {'levels': []}),
        (ForecastRequest, FORECAST | {'models': ['auto', 'magic']}),
        (ForecastRequest, FORECAST | {'step': 'fortnight'}),
        (ForecastRequest, FORECAST | {'windows': 2}),
        (ForecastRequest, FORECAST | {'budget': 4}),
        (ForecastRequest, FORECAST | {'budget': float('nan')}),
        (ForecastRequest, FORECAST | {'holidays': 'Germany'}),
        (ForecastRequest, FORECAST | {'regressors': 'price'}),
        (ForecastRequest, FORECAST | {'options': {'auto': {'a': [1]}}}),
        (ForecastRequest, FORECAST | {'options': {'auto': {'a': float('inf')}}}),
        (ForecastRequest, FORECAST | {'changes': {'price': {'how': 'double', 'value': 1}}}),
        (ForecastRequest, FORECAST | {'base': str(uuid4())}),
        (WhatIf, {'changes': {}}),
        (WhatIf, {'changes': {'price': {'how': 'set', 'value': '1'}}}),
        (KeyRequest, {'name': 'k', 'scopes': []}),
        (KeyRequest, {'name': 'k', 'scopes': ['jobs:read'], 'expires_at': 4_102_444_800}),
        (KeyRequest, {'name': 'k', 'scopes': ['jobs:read'], 'expires_at': '2099-01-01T00:00:00'}),
        (KeyRequest, {'name': 'k', 'scopes': ['jobs:read'], 'expires_at': '9999-12-31T23:59:59-23:59'}),
    ],
)
def test_bodies_are_strict(model: Any, body: dict[str, Any]):
    with pytest.raises(ValidationError):
        model.model_validate(body)


def test_bodies_have_the_defaults_of_the_pages():
    ask = ForecastRequest.model_validate(FORECAST).ask()
    assert ask == Ask(target='y', h=1)
    assert Correction().model_dump(exclude_unset=True) == {}
    key = KeyRequest.model_validate({'name': 'k', 'scopes': ['jobs:read'], 'expires_at': '2099-01-01T01:00:00+01:00'})
    assert key.expires_at == datetime(2099, 1, 1, tzinfo=UTC)
