"""What the lists of deleted things say of each."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from core.values import Deleted
from ui.components.deleted import what
from ui.components.paging import address, page_of
from ui.components.times import day

NOW = datetime(2026, 11, 28, tzinfo=UTC)


def test_a_line_says_what_comes_back() -> None:
    one = Deleted(id=uuid4(), name='Load', deleted_at=NOW)
    assert what(replace(one, panels=1)) == '1 panel'
    assert what(replace(one, rows=1200, size=2048)) == '1,200 rows, 2 KB uploaded'
    assert what(replace(one, size=0)) == 'Not converted'


def test_what_was_deleted_is_kept_for_thirty_days() -> None:
    one = Deleted(id=uuid4(), name='Load', deleted_at=NOW)
    assert day(one.until) == '28 Dec 2026'
    assert day(replace(one, of='Shops', of_deleted_at=NOW - timedelta(days=3)).until) == '25 Dec 2026'
    assert day(replace(one, of='Shops', of_deleted_at=NOW + timedelta(days=3)).until) == '28 Dec 2026'


@pytest.mark.parametrize(('text', 'page'), [('3', 3), ('', 1), ('0', 1), ('-2', 1), ('x', 1), ('9' * 30, 1), ('٣', 1)])
def test_a_page_that_is_none_is_the_first(text: str, page: int) -> None:
    assert page_of(text) == page


def test_addresses_of_lists_hold_what_was_searched() -> None:
    assert address('/datasets') == '/datasets'
    assert address('/datasets', q='a&b', page=2) == '/datasets?q=a%26b&page=2'
