"""Points in the forms that programs read: plain for JSON, and an Arrow stream."""

import json
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from core.analysis.series import Line, Points, arrow, plain

NAN = float('nan')


def line(series: str, measure: str, y: list[float], *, band: float | None = None) -> Line:
    t = 1_700_000_000_000.0 + 0.001 * np.arange(len(y))
    values = np.array(y, dtype=np.float64)
    low, high = (None, None) if band is None else (values - band, values + band)
    return Line(name=f'{series} · {measure}', series=series, measure=measure, t=t, y=values, lo=low, hi=high)


def points(*lines: Line) -> Points:
    return Points(
        lines=lines, start=1.0, end=2.0, width=100, gaps=((1.0, 1.5),), rows_behind=5, points_per_pixel=0.05, span=None
    )


def test_plain_points_are_json_without_nan():
    told = plain(points(line('a', 'y', [1, NAN, 3]), line('b', 'y', [4, 5], band=0.5)))
    assert json.loads(json.dumps(told, allow_nan=False))['gaps'] == [[1.0, 1.5]]
    first, second = told['lines']
    assert (first['y'], first['lo'], first['hi']) == ([1.0, None, 3.0], None, None)
    assert (second['lo'], second['hi'], told['exact']) == ([3.5, 4.5], [4.5, 5.5], False)


def test_arrow_points_have_a_row_each_and_no_row_for_a_gap():
    table = pa.ipc.open_stream(
        arrow(points(line('a', 'y', [1, NAN, 3]), line('b', 'x', [4, 5], band=0.5), line('a', 'x', [])))
    ).read_all()
    assert table['series'].to_pylist() == ['a', 'a', 'b', 'b']
    assert table['measure'].to_pylist() == ['y', 'y', 'x', 'x']
    assert table['value'].to_pylist() == [1, 3, 4, 5]
    assert table['min'].to_pylist() == [1, 3, 3.5, 4.5]
    assert table['max'].to_pylist() == [1, 3, 4.5, 5.5]
    start = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert [(stamp - start).microseconds for stamp in table['time'].to_pylist()] == [0, 2, 0, 1]


def test_arrow_stream_of_nothing_has_its_columns():
    table = pa.ipc.open_stream(arrow(points())).read_all()
    assert (table.num_rows, table.column_names) == (0, ['time', 'series', 'measure', 'value', 'min', 'max'])
