"""How values, steps and dates of data are written on pages."""

import math
import re
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.values import Preferences, Version
from ui.components import formats, times
from ui.preferences import MARKS, THIN, local, preferences, written


@pytest.mark.parametrize(
    ('count', 'noun', 'many', 'text'),
    [
        (0, 'fault', None, '0 faults'),
        (1, 'fault', None, '1 fault'),
        (1234, 'fault', None, '1,234 faults'),
        (1, 'series', 'series', '1 series'),
        (2, 'series', 'series', '2 series'),
    ],
)
def test_counted(count: int, noun: str, many: str | None, text: str) -> None:
    assert formats.counted(count, noun, many) == text


@pytest.mark.parametrize(
    ('value', 'text'),
    [
        (None, '–'),
        (math.nan, '–'),
        (math.inf, '–'),
        (True, 'True'),
        ('north', 'north'),
        (0, '0'),
        (-0.0, '0'),
        (7, '7'),
        (-7, '−7'),
        (1234567, '1,234,567'),
        (1234567.0, '1,234,567'),
        (2.5, '2.5'),
        (-2.5, '−2.5'),
        (1.23456, '1.2346'),
        (123.456, '123.46'),
        (12345.6789, '12,346'),
        (99999.9, '100,000'),
        (0.00123456, '0.001235'),
        (0.00001234, '1.23e−05'),
        (1.5e300, '1.5e+300'),
        (10**20, '100,000,000,000,000,000,000'),
    ],
)
def test_number(value: Any, text: str) -> None:
    assert formats.number(value) == text


@given(st.floats(min_value=-1e300, max_value=1e300))
def test_number_is_close_to_what_it_writes(value: float) -> None:
    text = formats.number(value)
    assert '-' not in text
    written = float(text.replace('−', '-').replace(',', ''))
    assert math.isclose(written, value, rel_tol=0.006, abs_tol=1e-6)


@given(st.floats(min_value=1e-3, max_value=1e8))
def test_number_has_at_most_five_figures_behind_the_point(value: float) -> None:
    text = formats.number(value)
    if '.' in text:
        digits = re.sub(r'^0+', '', text.replace('.', '').replace(',', ''))
        assert len(digits) <= 5
        assert not text.endswith('0')


@pytest.mark.parametrize(
    ('share', 'places', 'text'), [(None, 1, '–'), (0.0, 1, '0.0%'), (0.1234, 1, '12.3%'), (1.0, 0, '100%')]
)
def test_percent(share: float | None, places: int, text: str) -> None:
    assert formats.percent(share, places) == text


@pytest.mark.parametrize(
    ('seconds', 'text'),
    [
        (None, '–'),
        (0.25, '0.25 s'),
        (59, '59 s'),
        (60, '1 min'),
        (90, '1.5 min'),
        (3600, '1 h'),
        (86400, '1 day'),
        (4.2 * 86400, '4.2 days'),
        (31 * 86400, '31 days'),
    ],
)
def test_length(seconds: float | None, text: str) -> None:
    assert formats.length(seconds) == text


@pytest.mark.parametrize(
    ('freq', 'seconds', 'text'),
    [
        ('MS', 2_678_400, 'monthly'),
        ('QS-OCT', None, 'quarterly'),
        ('W-MON', 604_800, 'weekly'),
        ('D', 86_400, 'daily'),
        ('h', 3600, 'hourly'),
        ('15min', 900, 'every 15 min'),
        ('2D', 172_800, 'every 2 days'),
        (None, 300, 'irregular, median gap 5 min'),
        (None, None, 'irregular'),
        ('', 0, 'irregular'),
    ],
)
def test_step(freq: str | None, seconds: float | None, text: str) -> None:
    assert formats.step(freq, seconds) == text


@pytest.mark.parametrize(
    ('freq', 'text'),
    [
        ('MS', 'Jan 2023 to Dec 2025'),
        ('2ME', 'Jan 2023 to Dec 2025'),
        ('QS-OCT', 'Jan 2023 to Dec 2025'),
        ('YE-DEC', '2023 to 2025'),
        ('D', '1 Jan 2023 to 1 Dec 2025'),
        (None, '1 Jan 2023 to 1 Dec 2025'),
    ],
)
def test_months_and_years_are_told_by_their_names(freq: str | None, text: str) -> None:
    assert formats.span('2023-01-01T00:00:00Z', '2025-12-01T00:00:00Z', 'UTC', freq) == text


def test_dates_are_told_in_utc_and_times_in_their_zone() -> None:
    def zone(kind: str) -> str:
        manifest = {'time': {'column': 'at', 'zone': 'America/Lima'}, 'columns': [{'name': 'at', 'type': kind}]}
        ids = {name: uuid4() for name in ('id', 'dataset_id', 'user_id', 'upload_id')}
        return Version(**ids, number=1, prefix='p', manifest=manifest, rows=1, created_at=datetime.now(UTC)).zone

    assert (zone('date'), zone('timestamp')) == ('UTC', 'America/Lima')


def test_times_of_data_are_told_by_the_clock_of_their_zone() -> None:
    midnight = '2026-08-31T22:00:00+00:00'
    assert formats.day(midnight, 'Europe/Berlin') == '1 Sep 2026'
    assert formats.moment(midnight.removesuffix('+00:00'), 'Europe/Berlin') == '1 Sep 2026, 00:00'
    assert formats.span('2026-04-29T22:00:00+00:00', midnight, 'Europe/Berlin') == '30 Apr 2026 to 1 Sep 2026'
    assert formats.day(midnight, 'Mars/Olympus') == '31 Aug 2026'


@pytest.mark.parametrize(
    ('stamp', 'day', 'moment'),
    [
        (None, '–', '–'),
        ('', '–', '–'),
        ('2026-08-08T02:30:00+00:00', '8 Aug 2026', '8 Aug 2026, 02:30'),
        (datetime(2026, 12, 31, 23, 59, tzinfo=UTC), '31 Dec 2026', '31 Dec 2026, 23:59'),
    ],
)
def test_day_and_moment(stamp: datetime | str | None, day: str, moment: str) -> None:
    assert (formats.day(stamp), formats.moment(stamp)) == (day, moment)


@pytest.mark.parametrize(
    ('form', 'text'),
    [
        ('1,234.5', '−1,234,567.89'),
        ('1.234,5', '−1.234.567,89'),
        ('1 234,5', f'−1{THIN}234{THIN}567,89'),
        ('1234.5', '−1234567.89'),
        ('unheard of', '−1,234,567.89'),
    ],
)
def test_numbers_take_the_marks_of_their_reader(form: str, text: str) -> None:
    assert written('−1,234,567.89', Preferences(number_format=form)) == text


@given(st.sampled_from(sorted(MARKS)), st.integers(min_value=0, max_value=10**15))
def test_a_count_is_read_back_by_its_own_marks(form: str, number: int) -> None:
    thousands, _ = MARKS[form]
    text = times.count(number, Preferences(number_format=form))
    assert int(text.replace(thousands, '')) == number if thousands else int(text) == number


def test_without_a_page_the_defaults_hold() -> None:
    assert preferences() == Preferences()
    assert times.count(1234) == '1,234'


@pytest.mark.parametrize(
    ('zone', 'text'),
    [
        ('UTC', '20 Nov 2026, 23:30:00 UTC'),
        ('Europe/Berlin', '21 Nov 2026, 00:30:00 CET'),
        ('Asia/Kolkata', '21 Nov 2026, 05:00:00 IST'),
        ('Nowhere/Land', '20 Nov 2026, 23:30:00 UTC'),
        ('../etc/passwd', '20 Nov 2026, 23:30:00 UTC'),
    ],
)
def test_a_moment_is_told_in_the_reader_s_zone(zone: str, text: str) -> None:
    moment = local(datetime(2026, 11, 20, 23, 30, tzinfo=UTC), Preferences(time_zone=zone))
    assert f'{moment.day} {moment:%b %Y, %H:%M:%S %Z}' == text


def test_yesterday_begins_at_the_reader_s_midnight() -> None:
    now = datetime(2026, 11, 21, 23, 0, tzinfo=UTC)
    moment = datetime(2026, 11, 20, 22, 30, tzinfo=UTC)
    assert times.ago(moment, now, wanted=Preferences(time_zone='UTC')) == 'yesterday'
    assert times.ago(moment, now, wanted=Preferences(time_zone='Asia/Tokyo')) == 'yesterday'
    assert times.ago(moment, now, wanted=Preferences(time_zone='Europe/Berlin')) == '20 Nov'
