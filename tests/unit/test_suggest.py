"""Dashboards that are built of a profile: what is recognised, and that the grid has no holes."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.panels import COLUMNS
from core.suggest import TEMPLATES, added, dashboard, first_look, opening, summed

DATASET = '6f1f3f0a-56b4-4f0e-9c0e-0d6a2f1f7a11'
HOUR, DAY, WEEK, MONTH = 3600.0, 86_400.0, 604_800.0, 2_678_400.0
START = datetime(2023, 1, 1, tzinfo=UTC)


def manifest(
    *measures: str, step: float, days: int, series: int = 1, rows: int = 10_000, **columns: Any
) -> dict[str, Any]:
    end = START + timedelta(days=days) - timedelta(seconds=step)
    return {
        'measures': list(measures),
        'columns': [{'name': name, 'missing': 0, 'distinct': 500} | columns.get(name, {}) for name in measures],
        'rows_accepted': rows,
        'series': {
            'columns': ['site'] if series > 1 else [],
            'count': series,
            'first': [f's{n}' for n in range(min(5, series))] if series > 1 else [''],
        },
        'time': {'start': START.isoformat(), 'end': end.isoformat(), 'step_seconds': step},
    }


def irregular(given: dict[str, Any]) -> dict[str, Any]:
    return given | {'time': given['time'] | {'freq': None}}


MADE_UP = {
    'load': manifest('load', 'temperature', step=HOUR, days=120, series=3),
    'quarter hours': manifest('kWh', step=HOUR / 4, days=400),
    'sales': manifest('qty', 'price', step=DAY, days=800, series=40),
    'months': manifest('#Passengers', step=MONTH, days=4000),
    'weeks': manifest('Gasoline', step=WEEK, days=4000),
    'prices': manifest('Open', 'High', 'Low', 'Close', 'Volume', step=DAY, days=700),
    'one price': manifest('price', step=HOUR, days=90),
    'a thousand series': manifest('y', step=MONTH, days=4000, series=1428),
    'few values': manifest('y', step=HOUR, days=1),
    'no step': manifest('y', step=0, days=30),
    'events': irregular(manifest('qty', 'rating', 'amount', step=180.0, days=730, series=3)),
    'readings': irregular(manifest('temperature', step=180.0, days=90, series=3)),
    'trades': irregular(manifest('price', 'volume', step=1.0, days=90)),
    'eleven': manifest(*(f'm{n}' for n in range(11)), step=WEEK, days=900),
}


def test_loads_and_amounts_of_series_are_added_and_prices_and_temperatures_are_not():
    assert added(MADE_UP['load']) == ['load']
    assert added(MADE_UP['sales']) == ['qty']
    assert added(MADE_UP['weeks'], 'Gasoline sold') == []
    # Over time a load is averaged, and sales are added up.
    assert summed(MADE_UP['load']) == []
    assert summed(MADE_UP['sales']) == ['qty']


@pytest.mark.parametrize('template', TEMPLATES)
@pytest.mark.parametrize('name', MADE_UP)
def test_every_row_of_the_grid_is_full(name: str, template: str):
    panels = dashboard(DATASET, MADE_UP[name], template=template, name='Warehouse')['panels']
    taken: dict[tuple[int, int], int] = {}
    for panel in panels:
        for x in range(panel['x'], panel['x'] + panel['w']):
            for y in range(panel['y'], panel['y'] + panel['h']):
                taken[x, y] = taken.get((x, y), 0) + 1
    bottom = max(panel['y'] + panel['h'] for panel in panels)
    assert taken == {(x, y): 1 for x in range(COLUMNS) for y in range(bottom)}
    assert 4 <= sum(panel['kind'] != 'note' for panel in panels) <= 9
    assert all(panel['title'] for panel in panels)
    assert len({panel['title'] for panel in panels if panel['kind'] == 'figure'}) == sum(
        panel['kind'] == 'figure' for panel in panels
    )


def found(name: str, kind: str) -> list[dict[str, Any]]:
    return [panel for panel in dashboard(DATASET, MADE_UP[name], name='Warehouse')['panels'] if panel['kind'] == kind]


def test_prices_are_candles_with_volume_and_a_single_price_makes_its_own():
    (candles,) = found('prices', 'candles')
    assert candles['query'] == {'measures': ['Open', 'High', 'Low', 'Close'], 'volume': 'Volume'}
    (single,) = found('one price', 'candles')
    assert single['query'] == {'measures': ['price'], 'every': 'P1D'}


def test_what_is_counted_is_added_and_what_is_measured_is_not():
    heat = found('load', 'heat')[0]['query']
    assert (heat['group'], heat['across']) == ('*', 'sum')
    figures = {panel['title']: panel['query'] for panel in found('load', 'figure')}
    assert figures['Mean temperature per day']['across'] == 'mean'
    bars = found('sales', 'bar')[0]
    assert bars['query']['aggregation'] == 'sum'
    assert bars['show']['stacked']
    assert not any(panel['query'].get('aggregation') == 'sum' for panel in found('weeks', 'bar'))


@pytest.mark.parametrize(
    ('measure', 'unit', 'summed'),
    [
        ('Umsatz', '', True), ('Nettoumsatz', '', True), ('Kunden', '', True), ('Verkaufsmenge', '', True),
        ('orders', '', True), ('amount', '', True), ('kWh', '', True),
        ('x1', 'kWh', True), ('x1', 'EUR', True), ('ventes', '', True),
        ('Preis', '', False), ('Umsatz pro Kunde', '', False), ('Umsatzanteil', '', False), ('Temperatur', '', False),
        ('price', 'EUR', False), ('x1', 'EUR/MWh', False), ('x1', '%', False), ('x1', '', False), ('load', 'MW', False),
        ('account balance', 'EUR', False), ('conversion rate', '', False), ('Lagerbestand', '', False),
    ],
)  # fmt: skip
def test_amounts_are_summed_and_rates_are_averaged(measure: str, unit: str, summed: bool):
    given = manifest(measure, step=DAY, days=362, series=3, **{measure: {'unit': unit}})
    panels = dashboard(DATASET, given)['panels']
    stepped = [one['query'] for one in panels if one['query'].get('every') and one['kind'] != 'candles']
    assert stepped
    kept = {one.get('aggregation') for one in stepped} - {'max', 'min', 'last'}
    assert kept == ({'sum'} if summed else {None})


@pytest.mark.parametrize('name', MADE_UP)
def test_titles_of_panels_fit_a_phone_and_name_no_step_that_the_variables_move(name: str):
    for panel in dashboard(DATASET, MADE_UP[name], name='Warehouse')['panels']:
        assert len(panel['title']) <= 40, panel['title']
        if panel['kind'] != 'figure':
            assert ' per ' not in panel['title']


def test_a_first_look_is_of_a_measure_that_has_values():
    assert first_look(MADE_UP['sales']) == {
        'kind': 'line',
        'query': {'measures': ['qty'], 'aggregation': 'sum', 'top': 8},
        'show': {},
    }
    prices = manifest('close', step=DAY, days=700, series=3, close={'min': 0.5})
    assert first_look(prices)['show'] == {'axis': 'index'}
    table = manifest('open', 'high', 'low', 'close', 'volume', step=DAY, days=700, series=2, close={'min': 5})
    assert first_look(table) == {
        'kind': 'candles',
        'query': {
            'measures': ['open', 'high', 'low', 'close'],
            'series': table['series']['first'][:1],
            'volume': 'volume',
        },
    }
    assert dashboard(DATASET, table)['panels'][0]['show']['axis'] == 'index'
    hollow = manifest('empty', step=DAY, days=9, empty={'missing': 10_000})
    assert first_look(hollow)['query'] == {'measures': ['empty']}


def test_several_prices_are_compared_from_a_common_start():
    close = {'min': 0.5, 'max': 600_000}
    panels = dashboard(DATASET, manifest('close', step=DAY, days=700, series=8, close=close))['panels']
    assert [(one['kind'], one['title'], one['show']['axis']) for one in panels[:3]] == [
        ('line', 'Close', 'index'),
        ('figure', 'Last close', 'linear'),
        ('candles', 'Price of the greatest series', 'linear'),
    ]
    # Prices that can be below zero, as those of power, have no share of their first value.
    power = dashboard(DATASET, manifest('price', step=HOUR, days=700, series=8, price={'min': -90.0}))['panels']
    assert not any(one['show']['axis'] == 'index' for one in power)


def test_hours_days_and_years_have_their_rhythm():
    assert found('load', 'heat')
    assert found('sales', 'calendar')
    assert [panel['query']['compare'] for panel in found('months', 'line') if 'compare' in panel['query']] == ['P1Y']


def test_measures_without_values_and_yes_or_no_are_left_out():
    given = manifest('flag', 'empty', 'load', step=HOUR, days=50, flag={'distinct': 2}, empty={'missing': 10_000})
    drawn = {name for panel in dashboard(DATASET, given)['panels'] for name in panel['query']['measures']}
    assert drawn == {'load'}
    assert not dashboard(DATASET, manifest(step=HOUR, days=3))['panels']


@pytest.mark.parametrize(
    ('distinct', 'first'),
    [
        ({'lat': 1, 'on': 2, 'load': 500}, 'load'),
        ({'lat': 1, 'on': 2}, 'on'),
        ({'lat': 1, 'lon': 1}, 'lat'),
        ({}, ''),
    ],
)
def test_a_page_opens_with_a_measure_that_varies(distinct: dict[str, int], first: str) -> None:
    columns = {name: {'distinct': count} for name, count in distinct.items()}
    assert opening(manifest(*distinct, step=HOUR, days=50, **columns)) == first


def test_very_many_values_open_on_the_last_part():
    assert dashboard(DATASET, manifest('load', step=HOUR, days=365))['variables']['range'] == {}
    many = manifest('load', step=60.0, days=3650, rows=10_000_000)
    assert dashboard(DATASET, many)['variables']['range'] == {'last': 'P3M'}


def test_a_measure_without_a_name_of_its_own_is_called_like_the_dataset_and_not_in_every_title():
    titles = [panel['title'] for panel in dashboard(DATASET, MADE_UP['few values'], name='River level')['panels']]
    assert 'Over time' in titles
    assert not any('River level' in title for title in titles)
    many = manifest('value', step=HOUR, days=90, rows=40 * 2160, series=40)
    titles = [panel['title'] for panel in dashboard(DATASET, many, name='Sites')['panels']]
    assert {'Values, top 8', 'Spread of values, top 8', 'Mean value'} <= set(titles)


def test_a_measure_whose_name_is_too_long_to_ask_for_is_left_out():
    long = 'm' * 1001
    panels = dashboard(DATASET, manifest(long, 'load', step=HOUR, days=90))['panels']
    assert {name for panel in panels for name in panel['query']['measures']} == {'load'}
    assert not dashboard(DATASET, manifest(long, step=HOUR, days=90))['panels']


def test_a_title_spells_a_column_as_the_column_is_spelled() -> None:
    def titles(measure: str) -> list[str]:
        return [panel['title'] for panel in dashboard(DATASET, manifest(measure, step=DAY, days=90))['panels']]

    for name in ('readings.no2', 'no_orders', 'kWh', '#Passengers', 'units sold', 'm3/h', 'Nettoumsatz'):
        assert titles(name)
        assert all(name in title for title in titles(name)), titles(name)
    assert 'Temperature' in titles('temperature')
    assert 'Mean temperature per week' in titles('temperature')


def test_a_note_tells_how_many_measures_are_not_drawn() -> None:
    (note,) = found('eleven', 'note')
    assert note['show']['text'] == '4 of 11 measures are drawn here. Add panel draws any other one.'
    assert not found('sales', 'note')
    adjusted = manifest('Open', 'High', 'Low', 'Close', 'Adj Close', 'Volume', step=DAY, days=700)
    (note,) = (panel for panel in dashboard(DATASET, adjusted)['panels'] if panel['kind'] == 'note')
    assert note['show']['text'].startswith('5 of 6 measures')


def test_events_are_added_up_with_the_money_first() -> None:
    panels = dashboard(DATASET, MADE_UP['events'], name='Shops')['panels']
    figure, *_ = panels
    assert (figure['title'], figure['query']['measures']) == ('Amount per day', ['amount'])
    (first, *_) = found('events', 'bar')
    assert (first['query']['measures'], first['query']['every'], first['show']['stacked']) == (['amount'], 'P1W', True)
    of_amounts = [panel for panel in panels if {'qty', 'amount'} & {*panel['query'].get('measures', ())}]
    assert {panel['query'].get('aggregation') for panel in of_amounts if panel['kind'] != 'box'} == {'sum'}
    assert first_look(MADE_UP['events'])['kind'] == 'bar'
    assert found('trades', 'candles')


@pytest.mark.parametrize('name', ['events', 'quarter hours'])
def test_an_hour_of_a_week_shows_what_its_values_come_to(name: str) -> None:
    (heat,) = found(name, 'heat')
    assert heat['title'].startswith('Total ')
    assert heat['query']['aggregation'] == 'sum'
    assert heat['query'].get('across', 'sum') == 'sum'


def test_means_of_series_are_averaged_over_hours_where_all_have_as_many_values() -> None:
    (heat,) = found('load', 'heat')
    assert 'aggregation' not in heat['query']
    assert not found('readings', 'heat')


def test_a_board_of_energy_begins_with_the_whole() -> None:
    panels = dashboard(DATASET, manifest('Biomass', 'Solar', 'Load', step=HOUR, days=90), template='energy')['panels']
    assert next(panel['query']['measures'] for panel in panels if panel['kind'] == 'line') == ['Load']


def test_a_measure_that_is_not_drawn_is_named() -> None:
    adjusted = manifest('Open', 'High', 'Low', 'Close', 'Adj Close', 'Volume', step=DAY, days=700)
    (note,) = (panel for panel in dashboard(DATASET, adjusted)['panels'] if panel['kind'] == 'note')
    assert note['show']['text'] == '5 of 6 measures are drawn here, not Adj Close. Add panel draws them.'
