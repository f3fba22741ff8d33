"""Names of files become names of datasets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.datasets import clean_name, title_of


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
    [('air_passengers.csv', 'air passengers'), ('load.csv.gz', 'load'), ('notes', 'notes'), ('.csv', '.csv')],
)
def test_titles(name, title):
    assert title_of(name) == title
