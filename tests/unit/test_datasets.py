"""Names of files become names of datasets; pages begin with a series."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.uploads import clean_name, title_of
from core.values import Version


@pytest.mark.parametrize(
    ('given_name', 'expected'),
    [
        ('../../etc/passwd', 'passwd'),
        ('C:\\data\\a.csv', 'a.csv'),
        ('a\x00b\n.csv', 'ab.csv'),
        ('', 'unnamed'),
        ('/', 'unnamed'),
        ('Umsätze 2024.xlsx', 'Umsätze 2024.xlsx'),
    ],
)
def test_file_names_lose_folders_and_control_characters(given_name, expected):
    assert clean_name(given_name) == expected


@given(st.text(max_size=600))
def test_any_name_becomes_a_usable_one(name):
    cleaned = clean_name(name)
    assert 1 <= len(cleaned) <= 255
    assert cleaned.isprintable()
    assert '/' not in cleaned
    assert title_of(cleaned)


@pytest.mark.parametrize(
    ('name', 'title'),
    [
        ('air_passengers.csv', 'air passengers'),
        ('load.csv.gz', 'load'),
        ('notes', 'notes'),
        ('.csv', '.csv'),
        ('prices.feather', 'prices'),
        ('Taxi.tar.xz', 'Taxi'),
        ('old.TGZ', 'old'),
        ('v1.2.dat', 'v1.2'),
    ],
)
def test_titles(name, title):
    assert title_of(name) == title


@pytest.mark.parametrize(
    ('series', 'opens'),
    [
        ({'count': 3, 'first': ['a', 'b', 'c'], 'opens': 'b'}, 'b'),
        ({'count': 2, 'first': ['a', 'b']}, 'a'),
        ({'count': 1, 'first': [''], 'opens': ''}, ''),
    ],
)
def test_versions_of_before_begin_with_their_first_series(series: dict[str, Any], opens: str) -> None:
    version = Version(
        id=uuid4(), dataset_id=uuid4(), user_id=uuid4(), number=1, prefix='', manifest={'series': series}, rows=1,
        upload_id=uuid4(), created_at=datetime.now(UTC),
    )  # fmt: skip
    assert version.opens == opens
