"""What a dashboard may consist of, and where its panels stand."""

from typing import Any

import pytest

from core.errors import UsageError
from core.panels import COLUMNS, datasets, parsed, placed

DATASET = '6f1f3f0a-56b4-4f0e-9c0e-0d6a2f1f7a11'


def panel(**said: Any) -> dict[str, Any]:
    return {'id': 'a', 'kind': 'line', 'dataset': DATASET} | said


def wrong(spec: Any) -> str:
    """The place that is said to be wrong."""
    with pytest.raises(UsageError) as caught:
        parsed(spec)
    return str(caught.value.details['place'])


def test_what_is_left_out_is_filled_in_and_stays_when_parsed_again():
    whole = parsed({'panels': [panel()]})
    only = whole['panels'][0]
    assert (only['w'], only['h'], only['title'], only['show']['axis']) == (4, 4, '', 'linear')
    assert whole['variables'] == {'range': {}, 'series': {}, 'every': 'auto', 'compare': '', 'zone': ''}
    assert parsed(whole) == whole
    assert {str(one) for one in datasets(whole)} == {DATASET}


@pytest.mark.parametrize(
    ('spec', 'place'),
    [
        ([], 'spec'),
        ({'more': 1}, 'spec'),
        ({'panels': {}}, 'spec.panels'),
        ({'panels': [panel(), panel()]}, 'spec.panels'),
        ({'panels': [panel(kind='pie')]}, 'spec.panels[0].kind'),
        ({'panels': [panel(dataset='x')]}, 'spec.panels[0].dataset'),
        ({'panels': [{'id': 'n', 'kind': 'note', 'dataset': DATASET}]}, 'spec.panels[0].dataset'),
        ({'panels': [panel(x=10)]}, 'spec.panels[0].x'),
        ({'panels': [panel(w=True)]}, 'spec.panels[0].w'),
        ({'panels': [panel(id='<b>')]}, 'spec.panels[0].id'),
        ({'panels': [panel(), panel(id='b', title='x' * 201)]}, 'spec.panels[1].title'),
        ({'panels': [panel(query=[])]}, 'spec.panels[0].query'),
        # What no chart could be asked for is no state to save.
        ({'panels': [panel(query={'every': 'P1M1D'})]}, 'spec.panels[0].query.every'),
        ({'panels': [panel(query={'compare': 'P0D'})]}, 'spec.panels[0].query.compare'),
        ({'variables': {'every': 'P1M1D'}}, 'spec.variables.every'),
        ({'variables': {'compare': 'P0D'}}, 'spec.variables.compare'),
        ({'variables': {'range': {'last': 'P99999999999Y'}}}, 'spec.variables.range.last'),
        ({'panels': [panel(show={'axis': 'cube'})]}, 'spec.panels[0].show.axis'),
        ({'panels': [panel(show={'models': 'auto'})]}, 'spec.panels[0].show.models'),
        ({'panels': [panel(show={'models': ['auto'] * 21})]}, 'spec.panels[0].show.models'),
        ({'panels': [panel(show={'banded': 5})]}, 'spec.panels[0].show.banded'),
        (
            {'panels': [panel(show={'thresholds': [{'value': float('nan')}]})]},
            'spec.panels[0].show.thresholds[0].value',
        ),
        (
            {'panels': [panel(show={'thresholds': [{'value': 1, 'colour': 'url(x)'}]})]},
            'spec.panels[0].show.thresholds[0].colour',
        ),
        (
            {'panels': [panel(show={'annotations': [{'at': 5, 'until': 1, 'text': 'a'}]})]},
            'spec.panels[0].show.annotations[0].until',
        ),
        ({'variables': {'range': {'last': 'P'}}}, 'spec.variables.range.last'),
        ({'variables': {'range': {'last': 'P1D', 'from': 1}}}, 'spec.variables.range'),
        ({'variables': {'range': {'from': 2, 'to': 1}}}, 'spec.variables.range.to'),
        ({'variables': {'every': 'sometimes'}}, 'spec.variables.every'),
        ({'variables': {'series': {'site': ['x' * 1001]}}}, 'spec.variables.series'),
    ],
)
def test_what_is_wrong_is_named_by_its_place(spec: Any, place: str):
    assert wrong(spec) == place


def test_panels_are_placed_row_by_row_and_never_over_each_other():
    sizes = [(4, 4), (4, 4), (4, 4), (12, 2), (6, 5), (3, 2), (3, 2), (6, 3)]
    taken: set[tuple[int, int]] = set()
    for (x, y), (w, h) in zip(placed(sizes), sizes, strict=True):
        cells = {(column, row) for column in range(x, x + w) for row in range(y, y + h)}
        assert x + w <= COLUMNS
        assert not cells & taken
        taken |= cells
    assert list(placed(sizes))[:4] == [(0, 0), (4, 0), (8, 0), (0, 4)]


@pytest.mark.parametrize(
    ('said', 'place'),
    [
        ({'title': 'a\ud800'}, 'title'),
        ({'query': {'top': 10**30}}, 'query.top'),
        ({'show': {'thresholds': [{'value': 10**17}]}}, 'show.thresholds[0].value'),
        ({'show': {'annotations': [{'at': 8.65e15, 'text': ''}]}}, 'show.annotations[0].at'),
        ({'show': {'own': {'from': 1, 'to': 1e300}}}, 'show.own.to'),
    ],
)
def test_what_no_page_could_show_is_refused(said: dict[str, Any], place: str):
    assert wrong({'panels': [panel(**said)]}) == f'spec.panels[0].{place}'


def test_too_large_a_specification_is_refused_as_the_database_counts_it():
    notes = [{'id': f'n{at}', 'kind': 'note', 'show': {'text': 'é' * 2500}} for at in range(21)]
    assert parsed({'panels': notes[:15]})
    assert wrong({'panels': notes}) == 'spec'


def test_numbers_next_to_nought_are_nought():
    spec = parsed({'panels': [panel(show={'thresholds': [{'value': 5e-324}, {'value': 0.5}]})]})
    assert [one['value'] for one in spec['panels'][0]['show']['thresholds']] == [0, 0.5]
