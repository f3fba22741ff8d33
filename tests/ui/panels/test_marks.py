"""Marks of faults in panels: where they stand, what they say and where they lead."""

from typing import Any

from tests.ui.panels.given import DAY, SCENE, Told, answer, context, line, panel

MARK = {
    't': 20, 'y': 4.5, 'series': 'Oslo', 'of': 'Oslo', 'measure': 'load', 'line': 18, 'column': 'load', 'kind': 'unit',
    'action': 'repaired', 'value': '4.5 kg', 'reason': 'with a unit, unlike its column', 'origin': '',
}  # fmt: skip
READ = """
const numbers = (values) => Float64Array.from(values, (value) => value ?? NaN);
const columns = (one) => ({ ...one, t: numbers(one.t), y: numbers(one.y) });
const lines = given.lines.map(columns), values = given.values.map((one) => ({ ...one, columns: columns(one.columns) }));
"""
OSLO = {'name': 'Oslo', 't': [0, 10, 20, 30], 'y': [1, None, 7, 9], 'axis': 'left'}
VALUE = {'series': 'Oslo', 'measure': 'load', 'columns': {'t': [0, 10, 20, 30], 'y': [1, None, 7, 9]}}


def standing(told: Told, *marks: dict[str, Any], line: dict[str, Any] = OSLO) -> list[list[Any]]:
    body = f"""{READ} return marks.standing(given.marks, values, ['Oslo'], lines, [0, 30]).map((one) =>
        [one.t, Number.isNaN(one.y) ? null : one.y, one.axis, marks.lookOf(one).ring, marks.lookOf(one).colour]);"""
    return told(body, {'marks': list(marks), 'lines': [line], 'values': [VALUE]})


def test_a_mark_stands_at_its_value_or_at_its_line_or_below_it(told: Told) -> None:
    assert standing(told, MARK) == [[20, 4.5, 'left', True, 'amber']]
    # The fault was of another column: the line itself is where it stands, beside what interrupts it.
    assert standing(told, MARK | {'y': None, 'measure': '', 't': 8}) == [[8, 1, 'left', True, 'amber']]
    assert standing(told, MARK | {'action': 'rejected', 'y': None}) == [[20, None, 'left', False, 'red']]
    assert standing(told, MARK | {'action': 'emptied'}) == [[20, None, 'left', False, 'amber']]
    buckets = OSLO | {'until': [10, 20, 30, 40], 'axis': 'right'}
    assert standing(told, MARK | {'t': 29}, line=buckets) == [[29, 7, 'right', True, 'amber']]


def test_only_marks_of_drawn_lines_in_the_window_are_shown(told: Told) -> None:
    assert standing(told, MARK | {'t': 31}, MARK | {'of': 'Rome'}, MARK | {'measure': 'wind'}) == []
    assert standing(told, MARK, line=OSLO | {'name': 'another one, as this is hidden'}) == []


def test_a_mark_says_what_the_cell_said_and_what_was_done(told: Told) -> None:
    lost = {'column': '', 'kind': 'duplicate', 'action': 'rejected', 'value': '', 'reason': 'an equal copy', 'y': None}
    empty = {'kind': 'not_a_number', 'action': 'emptied', 'value': 'oops', 'reason': 'not a number', 'y': None}
    assert told('return given.map(marks.said);', [MARK, MARK | lost, MARK | empty]) == [
        ['load: “4.5 kg”, unit', 'With a unit, unlike its column.', 'Stored as 4.5.'],
        ['Record, duplicate', 'An equal copy.', 'The record was rejected.'],
        ['load: “oops”, not a number', 'The cell was emptied.'],
    ]


def test_a_mark_leads_to_its_line_at_the_version_that_read_it(told: Told) -> None:
    body = "return given.map((one) => marks.faultsOf('d', 3, one));"
    assert told(body, [MARK, MARK | {'origin': 'job-1'}]) == [
        '/datasets/d?tab=faults&v=3&line=18',
        '/datasets/d?tab=faults&v=3&line=18&origin=job-1',
    ]


def test_marks_are_asked_for_whatever_the_width_and_the_step(told: Told) -> None:
    request = [['kind', 'line'], ['width', '900'], ['measures', 'load'], ['series', 'Oslo'], ['from', '0'], ['to', '9'],
               ['every', 'P1D'], ['overlays', 'ema~20'], ['top', '8']]  # fmt: skip
    assert told('return marks.questionOf(given);', request) == [
        ['kind', 'marks'], ['measures', 'load'], ['series', 'Oslo'], ['from', '0'], ['to', '9'], ['top', '8'],
    ]  # fmt: skip


def test_gaps_are_written_where_there_is_room(told: Told) -> None:
    hour = 3_600_000
    body = """const written = [];
    gaps.writeGaps({ measureText: (text) => ({ width: 6 * text.length }) }, given.gaps, { x: (ms) => ms / 36e5,
        left: 0, width: given.width, ratio: 1, said: ([from, to]) => `${(to - from) / 36e5} hours`,
        write: (text, left) => written.push([text, left]) });
    return written;"""
    spans = [[100 * hour, 112 * hour], [300 * hour, 420 * hour], [590 * hour, 600 * hour], [10 * hour, 13 * hour]]
    # In the widest there is room, the others are written beside; the fourth is too narrow.
    assert told(body, {'gaps': spans, 'width': 600}) == [
        ['gap, 120 hours', 318], ['gap, 12 hours', 118], ['gap, 10 hours', 506],
    ]  # fmt: skip
    assert told(body, {'gaps': spans, 'width': 499}) == []


def test_the_badge_says_how_many_and_when_none_are_marked(told: Told) -> None:
    body = """return given.map(([marked, note]) => marks.Marks.prototype.badge.call(
        { panel: { spec: { show: { marks: true } }, answer: { marks: [], marked, faultsNote: note } } }));"""
    given = [
        [0, ''], [0, 'Faults not marked: looking for them takes longer than 20 seconds.'],
        [400, 'Faults are so many that 1 of 4 is looked at.'], [400, '2 more faults are of rows that are not stored.'],
    ]  # fmt: skip
    none, failed, near, exact = told(body, given)
    assert none == []
    assert failed == [['faults not marked', given[1][1]]]
    assert near[0][0] == '0 of about 400 faults marked'
    assert exact[0][0] == '0 of 400 faults marked'
    assert exact[0][1].endswith(str(given[3][1]))


def marked(told: Told, values: list[float], axis: str, *marks: dict[str, Any]) -> list[Any]:
    """Marks of two measures, the other one on the right axis: their heights, and what is said to be stored."""
    lines = [
        line('Oslo', [0, DAY, 2 * DAY], values, measure='load'),
        line('Oslo', [0, DAY, 2 * DAY], [-4, 8, 2], measure='heat'),
    ]
    show = {'axis': axis, 'marks': True, 'right': ['heat']}
    given = {'panel': panel('line', show=show), 'answer': answer(*lines) | {'marks': list(marks)}}
    body = 'return made.marks.map((one) => [one.measure, Number.isNaN(one.y) ? null : one.y, one.stored]);'
    return list(told(SCENE + body, given | {'context': context()}))


def mark(measure: str, at: float, y: float | None, action: str = 'repaired') -> dict[str, Any]:
    return {'t': at * DAY, 'y': y, 'series': 'Oslo', 'of': 'Oslo', 'measure': measure, 'action': action}


def test_marks_stand_on_indexed_lines_and_say_what_is_stored(told: Told) -> None:
    marks = [mark('load', 1, 25), mark('heat', 1, 8), mark('load', 2, None, 'emptied')]
    assert marked(told, [50, 25, 100], 'index', *marks) == [['load', 50, 25], ['heat', 8, 8], ['load', None, None]]
    # A line that begins at or below zero is not drawn, nor is what was repaired on it: it is no lost value.
    assert marked(told, [-1, 25, 100], 'index', *marks) == [['heat', 8, 8]]


def test_marks_at_or_below_zero_have_no_place_on_a_logarithmic_axis(told: Told) -> None:
    marks = [mark('load', 0, -5), mark('load', 1, 25), mark('heat', 0, -4), mark('load', 2, None, 'emptied')]
    found = marked(told, [-5, 25, 100], 'log', *marks)
    assert found == [['load', 25, 25], ['heat', -4, -4], ['load', None, None]]
