"""Warnings of many series, told once, with the series that each is about."""

from core.analysis.forecasting import said

GAPS = [f'No value at {many} of 1,096 steps: filled in from their neighbours.' for many in ('9', '1,024', '11')]
LEFT = 'Regressor "load 2" was left out.'


def test_what_differs_in_how_many_is_of_one_kind() -> None:
    assert said.joined([*GAPS, LEFT]) == {
        said.kind(GAPS[0]): 'No value at 9 to 1,024 of 1,096 steps: filled in from their neighbours.',
        LEFT: LEFT,
    }


def test_the_first_warnings_are_of_as_many_kinds_as_there_are() -> None:
    assert said.ranked([*GAPS, LEFT])[:2] == [GAPS[1], LEFT]
    assert sorted(said.ranked([*GAPS, LEFT])) == sorted([*GAPS, LEFT])


def test_the_series_of_a_kind_are_counted_and_the_first_named() -> None:
    noted = {GAPS[0]: ['d', 'b'], GAPS[1]: ['c', 'a', 'd'], LEFT: ['b'], 'Rows without a time were left out.': []}
    about = said.about(noted)
    assert about == {said.kind(GAPS[0]): {'series': 4, 'first': ['a', 'b', 'c']}, LEFT: {'series': 1, 'first': ['b']}}
    other = {LEFT: {'series': 7, 'first': ['a', 'e', 'f']}}
    assert said.together([about, other, {}])[LEFT] == {'series': 8, 'first': ['a', 'b', 'e']}
