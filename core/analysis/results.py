"""Results of forecasts as pages and programs read them: charts, figures and lists from the files of a result.

A model has one file, or one a chunk of series. Times are milliseconds since 1970 UTC.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.analysis import duck

if TYPE_CHECKING:
    import duckdb

MEMORY = 512 * 2**20


def chart(
    history: Sequence[Path], forecasts: Mapping[str, Sequence[Path]], *, series: str, points: int = 1500
) -> dict[str, Any]:
    """Return what a forecast chart draws for one series: the last `points` actuals and each model's quantiles.

    `q` maps a quantile such as `0.1` to its values, null where a model failed.
    """
    paths = [*history, *(path for own in forecasts.values() for path in own)]
    with duck.told(), duck.connect(memory=MEMORY, allow=paths) as connection:
        actual = connection.execute(
            f'select epoch_ms(ds) as t, y from {duck.files(history)} where unique_id = ? order by ds desc limit ?',
            [series, points],
        ).fetchall()
        models = [_model(connection, name, own, series) for name, own in forecasts.items()]
    actual.reverse()
    cutoffs = [model.pop('cutoff') for model in models]
    return {
        'series': series,
        'history': {'t': [row[0] for row in actual], 'y': [row[1] for row in actual]},
        'cutoff': next((c for c in cutoffs if c is not None), None),
        'models': models,
    }


def _model(connection: 'duckdb.DuckDBPyConnection', name: str, paths: Sequence[Path], series: str) -> dict[str, Any]:
    result = connection.execute(
        f'select * replace (epoch_ms(ds::timestamp) as ds, epoch_ms(cutoff::timestamp) as cutoff) '
        f'from {duck.files(paths)} where unique_id = ? order by horizon',
        [series],
    )
    columns = [column[0] for column in result.description]
    values = dict(zip(columns, zip(*result.fetchall(), strict=True), strict=False))
    first = {key: (column[0] if column else None) for key, column in values.items()}
    return {
        'name': name,
        'model_used': first.get('model_used'),
        'status': first.get('status'),
        'warning': first.get('warning') or '',
        'cutoff': first.get('cutoff'),
        't': list(values.get('ds', ())),
        'mean': list(values.get('mean', ())),
        'q': {key[1:]: list(values[key]) for key in columns if key.startswith('q') and key in values},
    }
