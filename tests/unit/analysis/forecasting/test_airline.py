"""The promise on a published series: the airline passengers' last year (Box & Jenkins 1976) by `auto`."""

from pathlib import Path

import polars as pl
import pytest

from core.analysis.forecasting import Request, forecast

pytestmark = pytest.mark.xdist_group('forecasting')

PASSENGERS = Path(__file__).parents[3] / 'data' / 'air_passengers.csv'


@pytest.mark.slow
def test_last_year_is_forecast_within_six_percent():
    known = pl.read_csv(PASSENGERS, try_parse_dates=True).select(pl.lit('air').alias('unique_id'), 'ds', 'y')
    came = known.tail(12).with_columns(pl.col('ds').cast(pl.Datetime('us')))
    rows = forecast(known.head(132), Request(h=12)).join(came, on=['unique_id', 'ds'])
    assert rows.height == 12
    errors = (rows['mean'] - rows['y']).abs() / rows['y']
    assert 100 * errors.mean() <= 6
