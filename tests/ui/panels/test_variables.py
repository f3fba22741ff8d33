"""What all panels of a page share: columns of any name, ranges, durations."""

import json

import pytest

from core.panels import parsed
from tests.ui.panels.given import DAY, HOUR, SCENE, Told, answer, context, line, panel


def test_hours_of_a_year_of_quarters_are_a_step(told: Told) -> None:
    given = {'range': None, 'span': [0, 365 * DAY], 'step': HOUR / 4}
    assert told('return variables.stepsFor(given);', given)[:2] == ['auto', 'PT1H']


def test_a_panel_of_dates_has_no_zone(told: Told) -> None:
    body = 'return given.map((one) => variables.datedBy(Object.keys(one.datasets)[0], one).zone);'
    cases = [context(dataset={'dates': dates}, zone='America/New_York') for dates in (True, False)]
    assert told(body, cases) == ['UTC', 'America/New_York']


@pytest.mark.parametrize('name', ['constructor', 'toString', 'valueOf', '__proto__'])
def test_columns_may_be_called_as_what_objects_have(told: Told, name: str) -> None:
    named = json.loads(json.dumps({name: 'x'}))
    variables = parsed({})['variables']
    known = context(
        dataset={'keys': [name, 'site'], 'measures': [name], 'units': {}, 'distinct': {'site': 2}, 'first': []}
    )
    made = told(
        """const dataset = Object.values(given.known.datasets)[0], chosen = variables.addressed(given.variables,
            `?by.${given.name}=a&by.${given.name}=b`);
        const rest = new URLSearchParams();
        variables.written.address(rest, chosen, given.variables);
        const found = variables.resolved(chosen, { datasets: given.known.datasets, zone: 'UTC',
            panels: [{ dataset: Object.keys(given.known.datasets)[0] }] });
        const labels = variables.resolved(chosen, { zone: 'UTC', panels: [{ dataset: 'd' }],
            datasets: { d: { ...dataset, labels: JSON.parse(given.labels) } } });
        return { labels: variables.labelsOf(dataset, given.name), known: variables.labelsKnown(dataset, given.name),
            chosen: Object.entries(chosen.series), plain: Object.getPrototypeOf(chosen.series) === Object.prototype,
            untouched: Object.keys(given.variables.series), address: rest.getAll(`by.${given.name}`),
            keys: found.keys, all: labels.keys, held: labels.labels[given.name],
            unit: variables.valueUnder({}, given.name) ?? '', own: variables.valueUnder(JSON.parse(given.named),
            given.name) };""",
        {
            'name': name,
            'variables': variables,
            'known': known,
            'named': json.dumps(named),
            'labels': json.dumps({name: ['a', 'b', 'c']}),
        },
    )
    assert made == {
        'labels': [],
        'known': False,
        'chosen': [[name, ['a', 'b']]],
        'plain': True,
        'untouched': [],
        'address': ['a', 'b'],
        'keys': ['site'],
        'all': [name, 'site'],
        'held': ['a', 'b', 'c'],
        'unit': '',
        'own': 'x',
    }
    values = line('all', [0, DAY], [1, 2]) | {'measure': name}
    given = {'panel': panel('line', measures=[name]), 'answer': answer(values), 'context': known}
    assert told(SCENE + 'return made.lines.map((one) => one.unit);', given) == ['']


@pytest.mark.parametrize(
    'address', ['?from=1&to=1e300', '?from=-9e15&to=1', '?from=a&to=1', '?from=&to=1', '?from=2&to=1']
)
def test_a_range_that_no_date_can_be_is_left_out(told: Told, address: str) -> None:
    made = told(
        'return variables.addressed(given.variables, given.address);',
        {'variables': parsed({})['variables'], 'address': address},
    )
    assert made['range'] == {}
    assert told('return variables.addressed(given, "?from=1&to=2").range;', parsed({})['variables']) == {
        'from': 1,
        'to': 2,
    }


def test_whether_a_body_outlives_its_page_is_told_by_its_bytes(told: Told) -> None:
    assert told("return ['a', 'é', '漢'].map((sign) => variables.outlives(sign.repeat(25000)));") == [True, True, False]


def test_the_last_months_and_years_begin_by_the_calendar(told: Told) -> None:
    cases = [
        ('2024-12-01T00:00Z', 'P1Y', 'UTC', '2023-12-01T00:00:00.000Z'),
        ('2024-03-31T00:00Z', 'P1M', 'UTC', '2024-02-29T00:00:00.000Z'),
        ('2024-05-08T23:00Z', 'P3M', 'UTC', '2024-02-08T23:00:00.000Z'),
        ('2024-06-30T22:00Z', 'P6M', 'Europe/Berlin', '2023-12-31T23:00:00.000Z'),
        ('2024-05-08T12:00Z', 'P7D', 'UTC', '2024-05-01T12:00:00.000Z'),
        ('2024-05-08T12:00Z', 'P1Y2DT1H', 'UTC', '2023-05-06T11:00:00.000Z'),
    ]
    body = """return given.map(([at, duration, zone]) =>
        new Date(variables.before(Date.parse(at), duration, zone)).toISOString());"""
    assert told(body, [case[:3] for case in cases]) == [case[3] for case in cases]


def test_ranges_hold_some_values_of_the_data(told: Told) -> None:
    body = """return given.map(([days, step]) => variables.presetsOf({ span: [0, days * 864e5], step }).map(([name]) =>
        name).concat(variables.rangesFor({ span: [0, days * 864e5], step }).length));"""
    cases = [[3, HOUR / 60], [3, HOUR], [14, DAY], [3, DAY], [800, DAY], [4000, 30.4 * DAY]]
    assert told(body, cases) == [
        ['1H', '6H', '24H', 'All', 3],
        ['6H', '24H', 'All', 2],
        ['7D', 'All', 1],
        ['All', 0],
        ['7D', '30D', '3M', '1Y', 'All', 4],
        ['1Y', '5Y', 'All', 2],
    ]
