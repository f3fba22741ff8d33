"""What was left unexplained: the errors of the backtest over time, by step ahead, in all, and from step to step."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from nicegui import ui

from ui.components import formats
from ui.components.parts import card, panel, tag
from ui.components.plot import Band, Columns, Dots, Line, Rule, plot, time_ticks, whole_ticks
from ui.components.terms import Marked
from ui.pages.forecast.leaderboard_tab import model_segment, nothing_measured
from ui.pages.forecast.state import Shown, View
from ui.pages.forecast_words import model_name

ALL = ''


class ResidualsTab(View):
    """Residuals of a model, of all series together or of one."""

    def __init__(self, shown: Shown) -> None:
        super().__init__(shown)
        self.found: Mapping[str, Any] = {'points': 0}

    async def load(self) -> None:
        """Read the residuals."""
        shown = self.shown
        self.found = await shown.services.forecasts.residuals(
            shown.session.user.id, shown.forecast.id, model=shown.model, series=self._series or None
        )

    @property
    def _series(self) -> str:
        """The series that the address names, all when there is none such: a result lists its first thousand alone."""
        named = self.shown.state.series
        return named if named and self.shown.series == named else ALL

    async def draw(self) -> None:
        """Draw what can be seen in them."""
        shown, found = self.shown, self.found
        with tag('div', classes='hs wrap'):
            model_segment(shown)
            self._series_select()
        if self.away:
            self.out_of_reach()
            return
        if not found['points']:
            nothing_measured()
            return
        with card('Residuals', model_name(shown.model)), tag('div', classes='body vs gap-s'):
            tag('p', _said(found), 't2')
            tag('p', 'Errors are in units of the seasonal naive’s: 1 is as far off as the last season again.', 't12 t3')
        colour = shown.colour(shown.model)
        with tag('div', classes='g12 even'):
            with panel('Over time', self._counted()):
                _over_time(found, colour, zone=shown.times.zone)
            with panel('By step ahead', 'mean, and one standard deviation about it'):
                _by_horizon(found, colour)
            with panel('How often', 'number of points'):
                _histogram(found, colour)
            with panel(
                'From step to step', Marked('{autocorrelation}; within the dashed lines 95% would lie by chance')
            ):
                _autocorrelation(found, colour)

    def _series_select(self) -> None:
        shown = self.shown
        if shown.n_series < 2:
            return
        known = {ALL: 'All series', **{name: name for name in (self._series, *shown.result['series']) if name}}
        ui.select(
            known,
            value=self._series,
            with_input=True,
            on_change=lambda event: ui.navigate.to(shown.address(series=event.value or '')),
        ).props('aria-label=Series').classes('series-select')

    def _counted(self) -> str:
        drawn, points = len(self.found['shown']['t']), self.found['points']
        return (
            f'{formats.number(drawn)} of {formats.number(points)} points'
            if drawn < points
            else formats.counted(points, 'point')
        )


def _said(found: Mapping[str, Any]) -> str:
    """The residuals in words: biased or not, how far they spread, and whether one error tells of the next."""
    bias, spread = found['bias'], found['spread']
    noise = spread / max(1.0, found['points'] ** 0.5)
    leaning = 'right'
    if abs(bias) > 3 * noise and abs(bias) > 0.05 * spread:
        leaning = f'too {"low" if bias > 0 else "high"} by {formats.number(round(abs(bias), 3))}'
    limit, values = found['autocorrelation']['limit'], found['autocorrelation']['value']
    memory = 'One error tells nothing of the next'
    if values and limit and abs(values[0]) > limit:
        memory = f'After one error, the next tends to be {"alike" if values[0] > 0 else "opposite"}'
    return f'Forecasts were {leaning} on average, with a spread of {formats.number(round(spread, 3))}. {memory}.'


def _over_time(found: Mapping[str, Any], colour: str, *, zone: str) -> None:
    t, values = found['shown']['t'], found['shown']['value']
    plot(
        [Dots(x=t, y=values, colour=colour, opacity=0.35 if len(t) > 400 else 0.6)],
        label=f'{formats.number(len(t))} residuals over time',
        x_ticks=time_ticks(min(t), max(t), zone=zone),
    )


def _by_horizon(found: Mapping[str, Any], colour: str) -> None:
    rows = found['by_horizon']
    steps, bias = [row['horizon'] for row in rows], [row['bias'] for row in rows]
    low = [row['bias'] - row['spread'] for row in rows]
    high = [row['bias'] + row['spread'] for row in rows]
    plot(
        [
            Band(x=steps, low=low, high=high, colour='sunken'),
            Line(x=steps, y=bias, colour=colour, dots=len(steps) <= 40),
        ],
        label='Mean residual by step ahead',
        x_ticks=whole_ticks(steps[0], steps[-1]),
        x_name='steps ahead',
    )


def _histogram(found: Mapping[str, Any], colour: str) -> None:
    edges, counts = found['histogram']['edges'], found['histogram']['counts']
    middles = [(low + high) / 2 for low, high in pairwise(edges)]
    texts = [
        f'{formats.number(round(low, 3))} to {formats.number(round(high, 3))}: {formats.number(count)}'
        for low, high, count in zip(edges, edges[1:], counts, strict=False)
    ]
    width = 0.86 * (edges[1] - edges[0])
    plot([Columns(x=middles, y=counts, width=width, colour=colour, texts=texts)], label='Histogram of residuals')


def _autocorrelation(found: Mapping[str, Any], colour: str) -> None:
    acf = found['autocorrelation']
    if not acf['lag']:
        tag('p', 'Too few steps ahead to tell.', 't3')
        return
    texts = [f'lag {lag}: {value:.2f}' for lag, value in zip(acf['lag'], acf['value'], strict=True)]
    limit = acf['limit'] or 0.0
    reach = max(0.25, limit * 1.4, *(abs(value) * 1.15 for value in acf['value']))
    plot(
        [Columns(x=acf['lag'], y=acf['value'], width=0.5, colour=colour, texts=texts)],
        label='Autocorrelation of residuals by lag',
        x_ticks=whole_ticks(1, acf['lag'][-1]),
        x_name='steps between',
        y_range=(-min(1.0, reach), min(1.0, reach)),
        rules=[Rule(y=limit), Rule(y=-limit)],
    )
