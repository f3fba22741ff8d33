"""A forecast: history, bands and cutoff; how well its bands held; its rows."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from nicegui import ui

from core.analysis.tables import Page
from core.errors import NotFound
from core.services import Services
from core.values import Forecast, Job, JobState
from ui.components import formats
from ui.components.chart import forecast_chart
from ui.components.jobs import Running
from ui.components.parts import badge, button, card, icon, page_head, tag
from ui.components.states import error_state, skeleton_rows
from ui.components.table import Column, table
from ui.components.times import clock
from ui.live import follow
from ui.pages.forecasts import model_name
from ui.preferences import local
from ui.session import current
from ui.theme import PATIENCE, frame

ROWS = 60
FEW = 10


def register(services: Services) -> None:
    """Serve `/forecasts/{id}`."""

    @ui.page('/forecasts/{forecast_id}', response_timeout=PATIENCE)
    async def forecast(forecast_id: str, series: str = '') -> None:
        found = await services.forecasts.get(current().user.id, _uuid(forecast_id))
        with frame(services, ('Forecasts', '/forecasts'), found.name, active='/forecasts') as session:
            box = tag('div', classes='stack')
            running = Running()

            async def draw() -> None:
                running.clear()
                data = await services.forecasts.get(session.user.id, found.id)
                rows = await services.forecasts.rows(session.user.id, found.id, limit=ROWS) if data.result else None
                job = await services.jobs.get(session.user.id, data.job_id) if data.job_id else None
                box.clear()
                with box:
                    if data.result is not None and rows is not None:
                        _result(data, data.result, rows, series)
                    else:
                        _waiting(services, data, job, running)

            await draw()

            async def catch_up() -> None:
                """Whatever ended before this page listened would not be told again."""
                if found.state.final or found.job_id is None:
                    return
                if not running.catch_up(await services.jobs.get(session.user.id, found.job_id)):
                    await draw()

            async def changed(message: Mapping[str, Any]) -> None:
                if message.get('forecast') == str(found.id) and not running.tell(message):
                    await draw()

            follow(services.events, f'{session.user.id}/jobs', changed, within=box, on_ready=catch_up)


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise NotFound('There is no such forecast.') from error


def _waiting(services: Services, forecast: Forecast, job: Job | None, running: Running) -> None:
    page_head(forecast.name, f'{forecast.dataset_name} v{forecast.version}')
    if job is None or job.state in (JobState.FAILED, JobState.CANCELLED):
        _failed(services, forecast, job)
        return
    with card():
        running.draw(services, job, f'Forecasting {forecast.request["target"]}')
        skeleton_rows(6)
    tag('p', 'You can close this tab; the work goes on.', 't12 t3')


def _failed(services: Services, forecast: Forecast, job: Job | None) -> None:
    cancelled = job is not None and job.state == JobState.CANCELLED

    async def again() -> None:
        if job is not None:
            await services.jobs.retry(current().user.id, job.id)

    def actions() -> None:
        if job is not None:
            button('Try again', kind='pri', icon_name='rotate-ccw', on_click=again)
        button('Ask for another', href=f'/forecasts/new?dataset={forecast.dataset_id}')
        if job is not None and job.quote:
            tag('span', f'Up to {clock(job.quote)} of your hours', 't12 t3')

    with card():
        error_state(
            'The forecast was cancelled' if cancelled else 'The forecast failed',
            (job.error or {}).get('message', job.message) if job else 'Its job is gone.',
            rows={
                'What is kept': 'The dataset and the request.',
                **({'Hours': 'Not charged. What was held for it is back.'} if job else {}),
                'What to do': 'Try again, or ask for another one.',
            },
            actions=actions,
            number='' if cancelled or job is None else str(job.id)[:8],
        )


def _result(forecast: Forecast, result: Mapping[str, Any], rows: Page, series: str) -> None:
    known: Sequence[str] = result['series']
    chosen = series if series in known else known[0]

    def issued() -> None:
        badge(f'Issued {_issued(forecast.issued_at)}', 'acc', icon_name='lock')

    cutoff = next((model['cutoff'] for model in result['models'] if model['cutoff']), None)
    facts = [
        f'{forecast.dataset_name} v{forecast.version}',
        formats.counted(len(known), 'series', 'series'),
        f'cutoff {formats.day(cutoff)}',
        formats.counted(forecast.request['h'], 'step'),
    ]
    page_head(forecast.name, ' · '.join(facts), beside=issued, actions=lambda: _actions(forecast))
    with tag('div', classes='g12'):
        with tag('div', classes='c8 vs gap'):
            _chart(forecast, result, chosen)
            _leaderboard(result)
        with tag('div', classes='c4 vs gap'):
            _coverage(result)
            _warnings(result)
    _rows(forecast, rows)


def _issued(at: datetime | None) -> str:
    at = local(at) if at else None
    return f'{at.day} {at:%b %Y, %H:%M}' if at else '–'


def _actions(forecast: Forecast) -> None:
    with tag('button', 'Export', 'b', type='button', popovertarget='export'):
        icon('download', classes='lead')
    with tag('div', classes='menu', id='export', popover='auto', role='menu', aria_label='Export'):
        for form, label in (('csv', 'Rows as CSV'), ('parquet', 'Rows as Parquet')):
            tag('a', label, 'mi', href=f'/api/v1/forecasts/{forecast.id}/rows.{form}', role='menuitem')
    button('Ask for another', kind='pri', icon_name='play', href=f'/forecasts/new?dataset={forecast.dataset_id}')


def _chart(forecast: Forecast, result: Mapping[str, Any], series: str) -> None:
    known = result['series']
    with tag('section', classes='card'):
        with tag('header', classes='two'):
            tag('h2', forecast.request['target'], 'mono cut')
            if len(known) > 1:
                ui.select(
                    list(known),
                    value=series,
                    with_input=True,
                    on_change=lambda event: ui.navigate.to(_address(forecast, event.value)),
                ).props('aria-label=Series').classes('series-select')
        forecast_chart(
            f'/api/v1/forecasts/{forecast.id}/chart',
            series=series,
            labels={model['name']: model_name(model['name']) for model in result['models']},
            csv=f'/api/v1/forecasts/{forecast.id}/rows.csv',
            name=forecast.name,
        )


def _address(forecast: Forecast, series: str) -> str:
    from urllib.parse import urlencode

    return f'/forecasts/{forecast.id}?{urlencode({"series": series})}'


def _leaderboard(result: Mapping[str, Any]) -> None:
    scores = sorted(result['scores'], key=lambda score: (score['mase'] is None, score['mase'] or 0))
    if not scores:
        return
    levels = sorted({level for score in scores for level in score['coverage']}, key=float)

    def held(level: str) -> Column[Any]:
        return Column(
            label=f'{level}% held',
            cell=lambda score: formats.percent(score['coverage'].get(level)),
            num=True,
            phone=level == levels[0],
        )

    with card('Leaderboard', 'From past cutoffs; lower is better'):
        table(
            [
                Column[Any](label='Model', cell=lambda score: model_name(score['model']), classes='w5', width='22%'),
                Column[Any](label='MASE', cell=lambda score: _score(score['mase']), num=True),
                Column[Any](label='SQL', cell=lambda score: _score(score['sql']), num=True, phone=False),
                *[held(level) for level in levels],
                Column[Any](label='Bands', cell=_verdict, classes='pad-l', width='164px'),
            ],
            scores,
            label='Leaderboard',
        )


def _score(value: float | None) -> str:
    return '–' if value is None else f'{value:.3f}'


def _verdict(score: Mapping[str, Any]) -> None:
    text, kind = verdict(score)
    badge(text, kind)


def verdict(score: Mapping[str, Any]) -> tuple[str, str]:
    """Say whether bands held what they promised: within two standard errors of the promise for every level.

    Errors of one forecast are alike, so fewer than ten forecasts (series × past cutoffs) are not judged.
    """
    points = score['points']
    if not points or any(share is None for share in score['coverage'].values()):
        return 'not measured', 'line'
    if score['n_series'] * score['n_windows'] < FEW:
        return 'too few to judge', 'line'
    gaps = []
    for level, share in score['coverage'].items():
        promise = float(level) / 100
        gaps.append((share - promise) / max(1e-9, (promise * (1 - promise) / points) ** 0.5))
    if min(gaps) < -2:
        return 'too narrow', 'warn'
    return ('too wide', 'warn') if max(gaps) > 2 else ('hold', 'ok')


def _coverage(result: Mapping[str, Any]) -> None:
    scores = result['scores']
    first = scores[0] if scores else None
    with card('Coverage receipt'), tag('div', classes='body vs gap-s'):
        if first is None or not first['points']:
            tag('p', 'The series are too short to measure how often the bands held.', 't2')
            return
        tag('p', f'{model_name(first["model"])}, on {first["points"]:,} backtest points from past cutoffs.', 't2')
        for level, share in sorted(first['coverage'].items(), key=lambda item: float(item[0])):
            with tag('div', classes='hold'):
                with tag('div', classes='kv'):
                    tag('span', f'{level}% band held {formats.percent(share)}', 'w5')
                    tag('span', f'{round((share or 0) * first["points"]):,} of {first["points"]:,}', 't12 t3')
                label = f'{level}% promised, {formats.percent(share)} held'
                with tag('div', classes='gauge', role='img', aria_label=label):
                    tag('i').style(f'width: {100 * (share or 0):.1f}%')
                    tag('u').style(f'left: calc({float(level):.1f}% - 1px)')
        tag('p', 'Scored on data that the model had not seen.', 't12 t3')


def _warnings(result: Mapping[str, Any]) -> None:
    said = warnings(result)
    if not said:
        return
    with card('Warnings'), tag('ul', classes='body vs gap-s plain'):
        for text in said[:8]:
            tag('li', text, 't2')


def warnings(result: Mapping[str, Any]) -> list[str]:
    """Say what to know of a forecast, each thing once with the models that it is about; who gave none comes first."""
    about: dict[str, list[str]] = {}
    for model in sorted(result['models'], key=lambda model: model['rows'] > 0):
        for text in model['warnings']:
            about.setdefault(text, []).append(model_name(model['name']))
    return [f'{", ".join(models)}: {text}' for text, models in about.items()]


def _rows(forecast: Forecast, page: Page) -> None:
    rows = [dict(zip(page.columns, row, strict=True)) for row in page.rows]
    quantiles = [name for name in page.columns if name.startswith('q')]
    several = len({row['unique_id'] for row in rows}) > 1
    columns = [
        Column[Any](label='Time', cell=lambda row: formats.moment(row['ds']), width='152px'),
        Column[Any](label='Model', cell=lambda row: model_name(row['model']), classes='t2'),
        *([Column[Any](label='Series', cell=lambda row: row['unique_id'], classes='t2')] if several else []),
        Column[Any](label='Step', cell=lambda row: str(row['horizon']), num=True, phone=False),
        *[
            Column[Any](
                label=name, cell=lambda row, name=name: formats.number(row[name]), num=True, phone=name == 'q0.5'
            )
            for name in quantiles
        ],
        Column[Any](label='Status', cell=_status, phone=False),
    ]
    shown = f'{len(rows):,} of {page.total:,} rows' if page.total > len(rows) else formats.counted(page.total, 'row')
    with card('Rows', shown):
        table(columns, rows, classes='tight cards', label='Forecast rows', height=420)


def _status(row: Mapping[str, Any]) -> None:
    badge(row['status'], {'ok': 'ok', 'fallback': 'warn', 'failed': 'bad'}[row['status']])
