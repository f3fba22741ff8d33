"""What benchmarks.browser starts: six charts as peers draw them, and our server with an eye on its event loop.

`python browser_peers.py dash FILE PORT` is Dash with plotly-resampler, `streamlit run browser_peers.py -- FILE` is
Streamlit, both in a venv of their own; they read the rows by pandas once and keep them. The address has the range
(`?from=MS&to=MS`). Each chart's title ends in the range that it draws (`«FROM»`), so whoever looks knows when it is
drawn anew. `python -m benchmarks.browser_peers ours FILE` serves as `variosync serve` does and notes in the file when
the event loop is late.
"""

import asyncio
import io
import json
import re
import sys
import threading
import time
from pathlib import Path
from typing import Any

LINES = ('meter-000', 'meter-001', 'meter-002', 'meter-003')
ONE = 'meter-000'
PIXELS = 450  # that a chart is wide: so many points a line are enough
BINS = 40
HEIGHT = 320
TICK = 5  # ms
NOTED = 10  # ms that the loop is late
FRAMES = 12
QUEUE = '/proc/thread-self/schedstat'
ADDRESS = re.compile(r'[?&](from|to)=(\d+)')


def rows(path: str) -> Any:
    """The rows by time, which is their index, so that a range is cut out of them at once."""
    import pandas as pd

    frame = pd.read_parquet(path)
    frame['meter'] = frame['meter'].astype('category')
    return frame.set_index('ts').sort_index(kind='stable')


def cut(frame: Any, start: int, end: int) -> Any:
    """The rows between two moments (ms)."""
    import pandas as pd

    return frame.loc[pd.Timestamp(start, unit='ms') : pd.Timestamp(end, unit='ms')]


def whole(frame: Any) -> tuple[int, int]:
    """When the rows begin and end (ms)."""
    return int(frame.index[0].timestamp() * 1000), int(frame.index[-1].timestamp() * 1000)


def titled(figure: Any, title: str, start: int) -> Any:
    """A figure with its title and little around it."""
    figure.update_layout(
        title={'text': f'{title} «{start}»'}, height=HEIGHT, margin={'l': 40, 'r': 10, 't': 40, 'b': 30}
    )
    return figure


def lines(view: Any, start: int, end: int) -> Any:
    """Four series as lines of means, as many as the chart has pixels."""
    import plotly.graph_objects as go

    figure = go.Figure()
    step = f'{max(60, (end - start) // 1000 // PIXELS)}s'
    for label in LINES:
        means = view.loc[view['meter'] == label, 'load'].resample(step).mean()
        figure.add_scatter(x=means.index, y=means.to_numpy(), name=label)
    return titled(figure, 'Load', start)


def others(view: Any, start: int) -> list[Any]:
    """Bars by day, hours by weekdays, a histogram and candles."""
    import numpy as np
    import plotly.graph_objects as go

    sums = view['load'].resample('D').sum()
    bars = titled(go.Figure(go.Bar(x=sums.index, y=sums.to_numpy())), 'Load by day', start)
    one = view[view['meter'] == ONE]
    hours = one.groupby([one.index.dayofweek, one.index.hour])['load'].mean().unstack()
    heat = titled(go.Figure(go.Heatmap(z=hours.to_numpy(), x=hours.columns, y=hours.index)), 'Hours of a week', start)
    counts, edges = np.histogram(one['load'].dropna(), bins=BINS)
    bins = titled(go.Figure(go.Bar(x=(edges[1:] + edges[:-1]) / 2, y=counts)), 'How often', start)
    days = one['price'].resample('D').ohlc()
    candles = go.Figure(go.Candlestick(x=days.index, open=days.open, high=days.high, low=days.low, close=days.close))
    volume = one['volume'].resample('D').sum()
    candles.add_bar(x=volume.index, y=volume.to_numpy(), yaxis='y2')
    candles.update_layout(
        xaxis_rangeslider_visible=False, yaxis={'domain': [0.25, 1]}, yaxis2={'domain': [0, 0.2], 'anchor': 'x'}
    )
    return [bars, heat, bins, titled(candles, 'Price', start)]


def number(view: Any) -> str:
    """The single figure: the mean of all."""
    return f'{view["load"].mean():.2f}'


def by_streamlit(path: str) -> None:
    """The page of Streamlit: buttons move the range, and the page runs again."""
    import streamlit as st

    st.set_page_config(layout='wide')
    frame = st.cache_resource(show_spinner=False)(rows)(path)
    if 'range' not in st.session_state:
        first, last = whole(frame)
        asked = st.query_params
        st.session_state.range = (int(asked.get('from', first)), int(asked.get('to', last)))
    start, end = st.session_state.range

    def move(by: float, zoom: float) -> None:
        size, middle = end - start, (start + end) / 2 + by * (end - start)
        st.session_state.range = (int(middle - size * zoom / 2), int(middle + size * zoom / 2))

    controls = st.columns(4)
    for place, (name, by, zoom) in zip(
        controls, (('Left', -0.2, 1), ('Right', 0.2, 1), ('In', 0, 0.5), ('Out', 0, 2)), strict=True
    ):
        place.button(name, on_click=move, args=(by, zoom))
    view = cut(frame, start, end)
    places = [*st.columns(3), *st.columns(3)]
    places[0].plotly_chart(lines(view, start, end), key='lines')
    places[1].metric(f'Load «{start}»', number(view))
    for place, (at, figure) in zip(places[2:], enumerate(others(view, start)), strict=True):
        place.plotly_chart(figure, key=f'chart {at}')


def by_dash(path: str, port: int) -> None:
    """The page of Dash: what is dragged over the lines is the range of all six."""
    import plotly.graph_objects as go
    from dash import Dash, Input, Output, dcc, html, no_update
    from flask import has_request_context, request
    from plotly_resampler import FigureResampler

    frame = rows(path)
    shown: dict[str, Any] = {}
    app = Dash(__name__)

    def page() -> Any:
        first, last = whole(frame)
        referrer = request.referrer if has_request_context() else None  # Dash asks once before it serves
        asked = {name: int(value) for name, value in ADDRESS.findall(referrer or '')}
        start, end = asked.get('from', first), asked.get('to', last)
        view = cut(frame, start, end)
        figure = FigureResampler(go.Figure(), default_n_shown_samples=2 * PIXELS)
        for label in LINES:
            one = view.loc[view['meter'] == label, 'load']
            figure.add_trace(go.Scatter(name=label), hf_x=one.index, hf_y=one.to_numpy())
        shown['lines'] = titled(figure, 'Load', start)
        charts = [dcc.Graph(figure=chart, id=f'chart-{at}') for at, chart in enumerate(others(view, start))]
        style = {'display': 'grid', 'gridTemplateColumns': '1fr 1fr 1fr'}
        mean = html.Div([html.Span(f'Load «{start}»', id='label'), html.H1(number(view), id='number')])
        return html.Div([dcc.Graph(figure=shown['lines'], id='lines'), mean, *charts], style=style)

    app.layout = page

    def ends(moved: Any) -> tuple[int, int] | None:
        import pandas as pd

        if not moved or 'xaxis.range[0]' not in moved:
            return None
        return tuple(int(pd.Timestamp(moved[f'xaxis.range[{at}]']).timestamp() * 1000) for at in (0, 1))

    @app.callback(Output('lines', 'figure'), Input('lines', 'relayoutData'), prevent_initial_call=True)
    def zoomed(moved: Any) -> Any:
        found = ends(moved)
        if found is None:
            return no_update
        patch = shown['lines'].construct_update_data_patch(moved)
        patch['layout']['title']['text'] = f'Load «{found[0]}»'
        return patch

    @app.callback(
        [
            Output('label', 'children'),
            Output('number', 'children'),
            *(Output(f'chart-{at}', 'figure') for at in range(4)),
        ],
        Input('lines', 'relayoutData'),
        prevent_initial_call=True,
    )
    def along(moved: Any) -> Any:
        found = ends(moved)
        if found is None:
            return [no_update] * 6
        view = cut(frame, *found)
        return [f'Load «{found[0]}»', number(view), *others(view, found[0])]

    app.run(host='127.0.0.1', port=port)


def watched(file: Path) -> None:
    """Serve, and write when the event loop is late (ms) and how long its thread waited for a core: JSON lines.

    A second thread looks at what the loop is in meanwhile (`within`, the innermost first).
    """
    from nicegui import app

    due = [time.perf_counter()]

    async def watch() -> None:
        threading.Thread(target=look, args=(threading.get_ident(),), daemon=True).start()
        with Path(QUEUE).open('rb', buffering=0) as queue:
            note(late=0.0, queued=0.0)  # so whoever reads the file knows that it is watched
            while True:
                waited = queued(queue)
                due[0] = time.perf_counter() + TICK / 1000
                await asyncio.sleep(TICK / 1000)
                late = 1000 * (time.perf_counter() - due[0])
                if late > NOTED:
                    note(late=late, queued=queued(queue) - waited)

    def queued(file: io.FileIO) -> float:
        file.seek(0)
        return int(file.read().split()[1]) / 1e6

    def look(loop: int) -> None:
        told = 0.0
        while True:
            time.sleep(2 * TICK / 1000)
            if due[0] == told or time.perf_counter() - due[0] < 6 * TICK / 1000:
                continue
            told, frame, names = due[0], sys._current_frames().get(loop), []
            while frame and len(names) < FRAMES:
                names.append(f'{Path(frame.f_code.co_filename).name}:{frame.f_code.co_name}')
                frame = frame.f_back
            note(within=' < '.join(names))

    def note(**said: Any) -> None:
        with file.open('a') as lines:
            lines.write(json.dumps({'at': time.time(), **said}) + '\n')

    app.on_startup(watch)
    sys.argv = ['variosync', 'serve']
    from run_nicegui import main

    main()


if __name__ == '__main__':
    if sys.argv[1] == 'ours':
        watched(Path(sys.argv[2]))
    elif sys.argv[1] == 'dash':
        by_dash(sys.argv[2], int(sys.argv[3]))
    else:
        by_streamlit(sys.argv[1])
