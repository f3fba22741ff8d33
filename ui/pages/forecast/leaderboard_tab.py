"""The leaderboard: how each model did on the past, in all, by step ahead and by series."""

from collections.abc import Mapping, Sequence
from typing import Any

from nicegui import ui

from ui.components import formats
from ui.components.paging import pager
from ui.components.parts import button, card, panel, segment, tag
from ui.components.plot import Line, plot, whole_ticks
from ui.components.record import judge
from ui.components.states import empty_state
from ui.components.table import Column, last_or, table
from ui.components.terms import Marked
from ui.components.times import count, duration
from ui.pages.forecast.more_cutoffs import MoreCutoffs
from ui.pages.forecast.receipt import held_by_step, measured
from ui.pages.forecast.state import Shown, View
from ui.pages.forecast_words import model_name

VIEWS = {'overall': 'Overall', 'horizon': 'By step', 'series': 'By series'}
PAGE = 50
FIGURES = (
    ('MASE', 'mase', 'Mean absolute error, in errors of the seasonal naive'),
    ('RMSSE', 'rmsse', 'Root mean squared error, in those of the seasonal naive'),
    ('Quantile loss', 'sql', 'Scaled quantile loss (SQL): the error of the whole distribution, bands and all'),
    ('WQL', 'wql', 'Quantile loss, weighted by the size of the series'),
)
SMAPE = 'Symmetric mean absolute percentage error: of the mean of what was forecast and what came'
HOLD = 'Whether bands held what they promised, as far as so many forecasts can tell'
TOOK = 'How long the model took to be measured on the past'
AT_A_GLANCE = ('mase', 'sql')
MEASURED = Marked('From past {cutoffs|cutoff}; lower is better')


class LeaderboardTab(View):
    """One of three views of the same backtest."""

    def __init__(self, shown: Shown) -> None:
        super().__init__(shown)
        self.rows: Sequence[Mapping[str, Any]] = ()
        self._more = MoreCutoffs(shown)

    async def load(self) -> None:
        """Read what the chosen view shows."""
        forecasts, user, of = self.shown.services.forecasts, self.shown.session.user.id, self.shown.forecast.id
        by = self.shown.state.by
        if by == 'overall':
            await self._more.load(self.shown.model)
        elif by == 'horizon':
            self.rows = await forecasts.leaderboard(user, of, by='horizon')
        else:
            self.rows = await forecasts.leaderboard(user, of, by='series', model=self.shown.model)

    async def draw(self) -> None:
        """Draw the view."""
        shown = self.shown
        if not shown.result['scores']:
            nothing_measured()
            return
        with tag('div', classes='hs wrap'):
            segment(
                VIEWS,
                shown.state.by,
                label='View',
                on_change=lambda by: ui.navigate.to(shown.address(by=by, page=1)),
            )
            if shown.state.by != 'overall':
                model_segment(shown)
        if self.away:
            self.out_of_reach()
            return
        {'overall': self._overall, 'horizon': self._by_horizon, 'series': self._by_series}[shown.state.by]()

    def _overall(self) -> None:
        with card('Leaderboard', MEASURED):
            _table(self.shown, FIGURES, wide=True)
            _hard(self.shown)
            if self._more.has(self.shown.model):
                with tag('div', classes='body vs gap-s'):
                    self._more.draw(self.shown.model)
        tag('p', _explained(), 't12 t3')

    def _by_horizon(self) -> None:
        if not self.rows:
            nothing_measured()
            return
        with tag('div', classes='g12'):
            with panel('Error by step ahead', 'MASE; lower is better'):
                self._key()
                self._errors()
            with panel('Bands by step ahead', model_name(self.shown.model)):
                own = [row for row in self.rows if row['model'] == self.shown.model]
                for level in _levels(own):
                    held_by_step(own, level, self.shown.colour(self.shown.model), height=104)

    def _key(self) -> None:
        with tag('div', classes='key wrap'):
            for name in dict.fromkeys(row['model'] for row in self.rows):
                with tag('span', model_name(name)):
                    tag('i', classes='ln lead').style(f'background: var(--{self.shown.colour(name)})')

    def _errors(self) -> None:
        lines = []
        for name in self.shown.names:
            own = [row for row in self.rows if row['model'] == name]
            if own:
                steps, values = [row['horizon'] for row in own], [row['mase'] for row in own]
                width = 2 if name == self.shown.model else 1.25
                lines.append(Line(x=steps, y=values, colour=self.shown.colour(name), dots=len(own) <= 30, width=width))
        steps = [row['horizon'] for row in self.rows]
        plot(
            lines,
            label='MASE of each model by step ahead',
            height=240,
            x_ticks=whole_ticks(min(steps), max(steps)),
            x_name='steps ahead',
        )

    def _by_series(self) -> None:
        shown = self.shown
        if not self.rows:
            nothing_measured()
            return
        ranked = sorted(self.rows, key=lambda row: (row['mase'] is None, -(row['mase'] or 0)))
        page = last_or(shown.state.page, count=PAGE, total=len(ranked))
        start = (page - 1) * PAGE
        with card('Scores by series', f'{model_name(shown.model)}, the hardest first'):
            table(
                [
                    Column[Any](label='Series', cell=lambda row: row['unique_id'], classes='w5', width='30%'),
                    *_figures(FIGURES[:3]),
                    *_held(ranked),
                    Column[Any](label='Points', cell=lambda row: count(row['points']), num=True, phone=False),
                ],
                ranked[start : start + PAGE],
                href=lambda row: shown.address(tab='chart', series=row['unique_id'], page=1, by='overall'),
                classes='cards labelled',
                label='Scores by series',
            )
        pager(page=page, count=PAGE, total=len(ranked), address=lambda page: shown.address(page=page))


def short(shown: Shown) -> None:
    """The leaderboard beside the chart: what matters at a glance."""
    if not shown.result['scores']:
        return

    def all_figures() -> None:
        button('All figures', kind='ghost small', href=shown.address(tab='leaderboard'))

    with card('Leaderboard', MEASURED, actions=all_figures):
        _table(shown, [figure for figure in FIGURES if figure[1] in AT_A_GLANCE], wide=False)
        _hard(shown)


def model_segment(shown: Shown) -> None:
    """Which model is looked at."""
    if len(shown.usable) > 1:
        segment(
            {name: model_name(name) for name in shown.usable},
            shown.model,
            label='Model',
            on_change=lambda model: ui.navigate.to(shown.address(model=model, page=1)),
        ).classes('models-seg')


def nothing_measured() -> None:
    """Why there is nothing: old results keep no backtest, short series allow none."""
    with card():
        empty_state(
            'Nothing was measured',
            'The series were too short for a backtest, or this result was stored before backtests were kept.',
        )


def _table(shown: Shown, figures: Sequence[tuple[str, str, str]], *, wide: bool) -> None:
    scores = sorted(shown.result['scores'], key=lambda score: (score['mase'] is None, score['mase'] or 0))
    columns = [
        Column[Any](label='Model', cell=lambda score: _model(shown, score['model']), width='18%' if wide else '20%'),
        *_figures(figures),
    ]
    if wide:
        columns.append(Column[Any](label='sMAPE', cell=_smape, num=True, phone=False, hint=SMAPE))
    columns += _held(scores)
    if wide:
        columns += [_width(level) for level in _levels(scores)[:1]]
    columns.append(Column[Any](label='Bands', cell=_verdict, classes='pad-l', width='212px', hint=HOLD))
    if wide:
        columns.append(Column[Any](label='Time', cell=_seconds, num=True, phone=False, width='100px', hint=TOOK))
    chosen = shown.model
    table(columns, scores, label='Leaderboard', classes='cards labelled', on=lambda score: score['model'] == chosen)


def _hard(shown: Shown) -> None:
    if text := hard(shown.result['scores']):
        with tag('div', classes='body').style('border-top: 1px solid var(--line); padding-top: var(--s3)'):
            tag('p', text, 't12 amber')


def hard(scores: Sequence[Mapping[str, Any]]) -> str:
    """What to say when even the best model errs more than the scale of MASE; nothing when one does not."""
    best = min((score['mase'] for score in scores if score['mase'] is not None), default=0.0)
    if best <= 1:
        return ''
    return (
        f'Even the best MASE is above 1 ({best:.2f}): these forecasts err more than repeating the last season did in '
        'the history before them. Values far beyond the others, or a change of late, can make it so.'
    )


def _model(shown: Shown, name: str) -> None:
    with tag('span', classes='hs'):
        tag('i', classes='sw').style(f'background: var(--{shown.colour(name)})')
        tag('span', model_name(name), 'w5 cut')


def _figures(figures: Sequence[tuple[str, str, str]]) -> list[Column[Any]]:
    return [
        Column[Any](
            label=label, cell=lambda row, key=key: _score(row.get(key)), num=True, phone=key == 'mase', hint=hint
        )
        for label, key, hint in figures
    ]


def _levels(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return sorted({level for row in rows for level in row['coverage']}, key=float)


def _held(rows: Sequence[Mapping[str, Any]]) -> list[Column[Any]]:
    levels = _levels(rows)
    return [
        Column[Any](
            label=f'{level}% held',
            cell=lambda row, level=level: formats.percent(row['coverage'].get(level)),
            num=True,
            classes='sub',
            phone=level == levels[0],
            hint=f'Share of past values inside the {level}% band: {level}% is what it promises',
        )
        for level in levels
    ]


def _width(level: str) -> Column[Any]:
    return Column(
        label=f'{level}% width',
        cell=lambda row: _score((row.get('width') or {}).get(level)),
        num=True,
        phone=False,
        hint='Width of the band, in errors of the seasonal naive: of two that hold, the narrower one tells more',
    )


def _score(value: float | None) -> str:
    return '–' if value is None else f'{value:.3f}'


def _smape(score: Mapping[str, Any]) -> str:
    value = score.get('smape')
    return '–' if value is None else f'{value:.2f}'


def _seconds(score: Mapping[str, Any]) -> str:
    value = score.get('seconds')
    return '–' if value is None else duration(value)


def _verdict(score: Mapping[str, Any]) -> None:
    judge(*measured(score))


def _explained() -> str:
    figures = '. '.join(f'{label}: {text[0].lower()}{text[1:]}' for label, _, text in FIGURES)
    return f'{figures}. Width: of the band, in errors of the seasonal naive. Below 1 is better than the seasonal naive.'
