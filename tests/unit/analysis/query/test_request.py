"""Questions have one form, and what cannot be answered is refused by its place."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.analysis.query import Filter, Overlay, Query
from core.errors import UsageError

TEXT = st.text(max_size=12)
QUERIES = st.builds(
    Query,
    kind=st.sampled_from(['line', 'buckets', 'ohlc']),
    measures=st.lists(TEXT, max_size=3, unique=True).map(tuple),
    series=st.lists(TEXT, max_size=3, unique=True).map(tuple),
    start=st.one_of(st.none(), st.integers(-(2**60), 2**60)),
    width=st.integers(1, 5000),
    every=st.sampled_from(['', 'auto', 'P1D', 'PT15M']),
    aggregation=st.sampled_from(['mean', 'p95']),
    filters=st.lists(
        st.builds(
            Filter, column=TEXT, relation=st.just('in'), values=st.lists(TEXT, min_size=1, max_size=3).map(tuple)
        ),
        max_size=2,
    ).map(tuple),
    overlays=st.sampled_from([(), (Overlay(name='ema', numbers=(9.0,)),), (Overlay(name='macd'), Overlay(name='rsi'))]),
)


@given(query=QUERIES)
def test_a_query_comes_back_from_its_form(query: Query) -> None:
    again = Query.parsed(query.canonical())
    assert again == query
    assert again.key == query.key


def test_the_same_question_has_the_same_form_however_it_is_asked() -> None:
    one = Query.parsed([('width', '1000'), ('measures', 'y'), ('zone', 'UTC')])
    assert one.canonical() == [('measures', 'y')]
    assert one.key == Query(measures=('y',)).key != Query(measures=('z',)).key


@pytest.mark.parametrize(
    ('told', 'place'),
    [
        ([], 'query.measures'),
        ([('measures', 'none')], 'query.measures'),
        ([('kind', 'pie')], 'query.kind'),
        ([('width', '0')], 'query.width'),
        ([('width', 'wide')], 'query.width'),
        ([('start', '5'), ('end', '4')], 'query.start'),
        ([('aggregation', 'p101')], 'query.aggregation'),
        ([('every', 'P')], 'query.every'),
        ([('every', 'P1M1D')], 'query.every'),
        ([('compare', 'soon')], 'query.compare'),
        ([('zone', '../etc/passwd')], 'query.zone'),
        ([('group', 'y')], 'query.group'),
        ([('kind', 'ohlc'), ('measures', 'y'), ('measures', 'y')], 'query.measures'),
        ([('filters', 'gone~eq~1')], 'query.filters'),
        ([('filters', 'place')], 'query.filters'),
        ([('filters', 'place~like~1')], 'query.filters'),
        ([('overlays', 'ema~0')], 'query.overlays'),
        ([('overlays', 'ema~1~2')], 'query.overlays'),
        ([('overlays', 'magic')], 'query.overlays'),
        ([('top', '51')], 'query.top'),
        ([('unheard', 'of')], 'query.unheard'),
    ],
)
def test_what_cannot_be_answered_is_refused(told: list[tuple[str, str]], place: str) -> None:
    measures = [] if any(name == 'measures' for name, _ in told) or not told else [('measures', 'y')]
    with pytest.raises(UsageError) as refused:
        Query.parsed([*measures, *told]).checked(measures=('y',), keys=('place',), columns=('y', 'place'))
    assert refused.value.details == {'place': place}


def test_a_question_is_asked_without_numpy() -> None:
    """A command that asks nothing should not wait for it."""
    script = 'import sys, core.panels, core.charts, core.suggest; print("numpy" in sys.modules)'
    child = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True, check=True)
    assert child.stdout == 'False\n'


def test_what_is_named_twice_is_asked_for_once() -> None:
    asked = Query.parsed([('measures', 'y'), ('series', 'A'), ('series', 'B'), ('series', 'A')])
    assert asked.series == ('A', 'B')
    twice = [('measures', 'y'), ('measures', 'y')]
    assert Query.parsed(twice).measures == ('y',)
    assert Query.parsed([('kind', 'ohlc'), *twice]).measures == ('y', 'y')  # open, high, low and close may be the same
