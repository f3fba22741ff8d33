"""Forecasts from the request to the ledger, over a real version; one of them by real models."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pytest

from core.analysis import tables
from core.analysis.forecasting.base import KINDS
from core.ask import Ask, ask_of, defaults
from core.errors import Conflict, NotFound, TaskFailed, TaskOverLimit, UsageError
from core.forecasts import Counts, Forecasts, Measured
from core.values import Forecast, JobState, User, Version
from storage.embedded.server import EmbeddedPostgres
from storage.objects import LocalTaskObjects
from storage.postgres import Postgres
from tests import factories
from tests.flows.conftest import Product
from tests.flows.doubles import ScriptedCompute

DATA = Path(__file__).resolve().parents[1] / 'data' / 'air_passengers.csv'
CUTOFF = datetime(1960, 12, 1)
START = datetime(1961, 1, 1)


class Models:
    """A compute that converts for real and answers forecasts with rows of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.answer: Exception | None = None
        self.names = ('theta', 'ets')
        self.old = False
        self.fails = ' '

    def __call__(self, task: str, payload: Mapping[str, Any]) -> Any:
        if self.fails in payload['prefix']:
            return TaskOverLimit('No memory.')
        answer = self.answer or self.rows(payload)
        if self.old and isinstance(answer, dict):
            _as_before(answer['manifest'])
        return answer

    def rows(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        objects, folder, prefix = LocalTaskObjects(self.home / 'objects'), self.home / 'made', payload['prefix']
        folder.mkdir(exist_ok=True)
        frames = {'history.parquet': pl.DataFrame({'unique_id': ['air'], 'ds': [CUTOFF], 'y': [432.0]})}
        asked = payload['request']['models']
        names = [name for name in asked if name in self.names]
        frames |= {f'forecast-{name}.parquet': _forecast(name) for name in names}
        stored = []
        for name, frame in frames.items():
            frame.write_parquet(folder / name)
            stored.append(objects.put_file(f'{prefix}/{name}', folder / name))
        models = [
            {
                'name': name,
                'files': [f'forecast-{name}.parquet'],
                'rows': 2,
                'cutoff': str(CUTOFF),
                'series': {'ok': 1},
            }
            for name in names
        ]
        if 'mstl' in asked:
            failed = {'name': 'mstl', 'files': ['forecast-mstl.parquet'], 'rows': 2, 'cutoff': None}
            models.append({**failed, 'series': {'failed': 1}})
        return {
            'prefix': prefix,
            'objects': [{'key': info.key, 'size': info.size, 'sha256': info.sha256} for info in stored],
            'manifest': {'models': models, 'scores': [], 'series': ['air'], 'history': ['history.parquet']},
        }


def _as_before(manifest: dict[str, Any]) -> None:
    """Tell it as results were told before there were chunks."""
    manifest['history'] = manifest['history'][0]
    for model in manifest['models']:
        (model['file'],) = model.pop('files')


def _forecast(model: str) -> pl.DataFrame:
    base = 400.0 if model == 'theta' else 500.0
    return pl.DataFrame(
        {
            'unique_id': ['air', 'air'],
            'ds': [START, datetime(1961, 2, 1)],
            'cutoff': [CUTOFF] * 2,
            'horizon': [1, 2],
            'model': [model] * 2,
            'model_used': [model] * 2,
            'mean': [base, base + 1],
            'q0.1': [base - 10, base - 9],
            'q0.5': [base, base + 1],
            'q0.9': [base + 10, base + 11],
            'status': ['ok'] * 2,
            'warning': [''] * 2,
        }
    )


@pytest.fixture
async def version(product: Product, user: User) -> Version:
    """Airline passengers, converted."""
    dataset = await product.bring(user, 'air_passengers.csv', DATA.read_bytes())
    return await product.datasets.version(user.id, dataset.id)


@pytest.fixture
def models(tmp_path: Path) -> Models:
    return Models(tmp_path)


@pytest.fixture
def scripted(open_product: Callable[..., Product], models: Models) -> Product:
    """The product whose forecasts follow the script."""
    return open_product(ScriptedCompute(models))


async def issue(product: Product, user: User, version: Version, **asked: Any) -> Forecast:
    """Ask for a forecast and advance its job."""
    ask = Ask(**{'target': 'y', 'h': 2, 'models': ('theta', 'ets', 'mstl'), **asked})
    made = await product.forecasts.request(user.id, version, ask)
    await product.work_off(user)
    return await product.forecasts.get(user.id, made.id)


@pytest.mark.parametrize(
    ('asked', 'said'),
    [
        ({'target': 'ds'}, 'no measure'),
        ({'target': '"; drop table x; --'}, 'no measure'),
        ({'h': 0}, 'between 1 and 5,000'),
        ({'h': -3}, 'not -3'),
        ({'h': 5001}, 'between 1 and 5,000'),
        ({'models': ('oracle',)}, 'no model "oracle"'),
        ({'models': ()}, 'at least one model'),
        ({'models': ('ets', 'ets')}, 'each once'),
        ({'levels': ()}, 'whole percentages'),
        ({'levels': (0,)}, 'whole percentages'),
        ({'levels': (80, 100)}, 'whole percentages'),
        ({'step': 'fortnight'}, 'no step'),
        ({'aggregate': 'median'}, 'no aggregate'),
        ({'windows': 2}, '3 to 10 past cutoffs, not 2'),
        ({'windows': 11}, '3 to 10 past cutoffs'),
        ({'budget': 4.9}, '5 to 3,600 seconds, not 4.9'),
        ({'budget': 3601}, '5 to 3,600 seconds'),
        ({'budget': float('nan')}, '5 to 3,600 seconds'),
        ({'holidays': 'Germany'}, 'no country'),
        ({'holidays': 'de'}, 'two capital letters'),
        ({'holidays': 'ZZ'}, 'no country whose holidays are known'),
        ({'regressors': ('y',)}, 'not known ahead'),
        ({'regressors': ('ds',)}, 'no measure of this dataset'),
        ({'regressors': ('price', 'price')}, 'each regressor once'),
        ({'series': ('air', 'sea')}, 'no series "air" and no "sea". Take it out'),
        ({'static': ('y',)}, 'no text column'),
        ({'static': ('shop',)}, 'no text column'),
        ({'options': {'prophet': {}}}, 'not among the models'),
        ({'options': {'auto': {'a': [1]}}}, 'a number, a text or a switch'),
        ({'options': {'auto': {'a': float('inf')}}}, 'a number, a text or a switch'),
        ({'options': {'auto': {'a' * 201: 1}}}, 'a number, a text or a switch'),
        ({'options': {'auto': {'a': 1}}}, 'has no options'),
        ({'models': ('linear',), 'options': {'linear': {'ridge': 1}}}, 'has no options'),
        ({'models': ('prophet',), 'options': {'prophet': {'growth': 'logistic'}}}, 'one of linear, flat'),
        ({'models': ('lightgbm',), 'options': {'lightgbm': {'rounds': 0}}}, 'whole number from 1 to 5000'),
        ({'models': ('tft',), 'options': {'tft': {'hidden': 10}}}, 'divisible by 4'),
        ({'changes': {'price': {'how': 'scale', 'value': 2}}}, 'no regressor of this forecast'),
    ],
)
async def test_request_that_cannot_be_forecast_is_refused(
    scripted: Product, user: User, version: Version, asked: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        await scripted.forecasts.request(user.id, version, Ask(**{'target': 'y', 'h': 12, **asked}))
    assert await scripted.forecasts.list(user.id) == []
    assert await scripted.jobs.running(user.id) == []


async def test_defaults_fit_the_data(version: Version) -> None:
    assert defaults(version) == Ask(target='y', h=12)


async def test_request_and_its_job_are_recorded_together(scripted: Product, user: User, version: Version) -> None:
    ask = Ask(target='y', h=12, name=' Next year ')
    made = await scripted.forecasts.request(user.id, version, ask)
    assert (made.name, made.state, made.result, made.issued_at) == ('Next year', JobState.QUEUED, None, None)
    assert (made.version_id, made.version, made.dataset_name) == (version.id, 1, 'air passengers')
    (job,) = await scripted.jobs.running(user.id)
    assert (job.id, job.kind, job.forecast_id) == (made.job_id, 'forecast', made.id)
    assert job.title == 'Forecast Next year (air passengers)'
    assert job.payload['parts'] == version.parts
    with pytest.raises(NotFound, match='no result yet'):
        await scripted.forecasts.chart(user.id, made.id)
    assert (await scripted.forecasts.request(user.id, version, Ask(target='y', h=12))).name == 'y, 12 months'


async def test_each_model_is_issued_once_and_a_failed_one_not_at_all(
    scripted: Product, user: User, version: Version
) -> None:
    forecast = await issue(scripted, user, version)
    assert forecast.state == JobState.SUCCEEDED
    assert forecast.issued_at is not None
    ledger = await scripted.forecasts.issued(user.id, forecast.id)
    assert [(row.model, row.rows, row.cutoff) for row in ledger] == [
        ('ets', 2, CUTOFF.replace(tzinfo=UTC)),
        ('theta', 2, CUTOFF.replace(tzinfo=UTC)),
    ]
    assert forecast.job_id is not None
    await scripted.jobs.advance(forecast.job_id)
    assert await scripted.forecasts.issued(user.id, forecast.id) == ledger
    assert len(scripted.compute.calls) == 3, 'a model a call, once'
    assert (await scripted.notices.latest(user.id))[0].link == f'/forecasts/{forecast.id}'


@pytest.mark.parametrize('role', ['superuser', 'worker', 'app'])
async def test_ledger_refuses_changes(
    scripted: Product, user: User, version: Version, postgres: EmbeddedPostgres, role: str
) -> None:
    forecast = await issue(scripted, user, version)
    ledger = await scripted.forecasts.issued(user.id, forecast.id)
    with psycopg.connect(postgres.dsn(role)) as connection:
        if role == 'app':
            connection.execute('set local role authenticated')
            claims = f'{{"sub": "{user.id}"}}'
            connection.execute("select set_config('request.jwt.claims', %s, true)", (claims,))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute('update public.issued_forecasts set rows = rows + 1')
    assert await scripted.forecasts.issued(user.id, forecast.id) == ledger


async def test_failed_job_issues_nothing_and_may_be_tried_again(
    scripted: Product, models: Models, user: User, version: Version
) -> None:
    models.answer = TaskFailed('No series could be forecast.')
    forecast = await issue(scripted, user, version)
    assert forecast.state == JobState.FAILED
    assert await scripted.forecasts.issued(user.id, forecast.id) == []
    models.answer = None
    assert forecast.job_id is not None
    await scripted.jobs.retry(user.id, forecast.job_id)
    await scripted.work_off(user)
    assert (await scripted.forecasts.get(user.id, forecast.id)).state == JobState.SUCCEEDED
    assert len(await scripted.forecasts.issued(user.id, forecast.id)) == 2


async def test_chart_rows_and_download_follow_the_order_of_the_request(
    scripted: Product, user: User, version: Version, tmp_path: Path
) -> None:
    forecast = await issue(scripted, user, version)
    chart = await scripted.forecasts.chart(user.id, forecast.id)
    assert chart['series'] == 'air'
    assert [model['name'] for model in chart['models']] == ['theta', 'ets']
    assert chart['history'] == {'t': [_ms(CUTOFF)], 'y': [432.0]}
    assert chart['cutoff'] == _ms(CUTOFF)
    theta = chart['models'][0]
    assert (theta['t'][0], theta['mean'], theta['q']['0.9']) == (_ms(START), [400.0, 401.0], [410.0, 411.0])
    elsewhere = await scripted.forecasts.chart(user.id, forecast.id, series='nowhere')
    assert [model['t'] for model in elsewhere['models']] == [[], []]
    page = await scripted.forecasts.rows(user.id, forecast.id, offset=1, limit=2)
    assert (page.total, [row[page.columns.index('model')] for row in page.rows]) == (4, ['theta', 'ets'])
    for name in ('out.csv', 'out.parquet'):
        await scripted.forecasts.export(user.id, forecast.id, tmp_path / name)
    lines = (tmp_path / 'out.csv').read_text().splitlines()
    assert (len(lines), lines[1][: lines[1].index(',1,')]) == (5, 'air,1961-01-01,1960-12-01'), 'dates, as in the file'
    kept = pl.read_parquet(tmp_path / 'out.parquet')
    assert kept['median'].to_list() == [400.0, 401.0, 500.0, 501.0]
    said = 'series,time,cutoff,step,model,model_used,lower_80,median,upper_80,status'
    assert lines[0] == ','.join(kept.columns) == said, 'in words of pages; what is the same in all rows is left out'


async def test_results_are_read_on_threads_of_their_own(
    scripted: Product, user: User, version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    forecast = await issue(scripted, user, version)
    read, threads = tables.page, []

    def page(*asked: Any, **how: Any) -> tables.Page:
        threads.append(threading.current_thread().name)
        return read(*asked, **how)

    monkeypatch.setattr(tables, 'page', page)
    await scripted.forecasts.rows(user.id, forecast.id)
    assert threads[0].startswith('forecasts'), 'what else runs on threads does not wait for a bucket'
    scripted.forecasts.close()
    with pytest.raises(RuntimeError, match='after shutdown'):
        await scripted.forecasts.rows(user.id, forecast.id)


async def test_forecasts_are_listed_newest_first_and_by_dataset(
    scripted: Product, user: User, version: Version
) -> None:
    made = [await issue(scripted, user, version, name=name) for name in ('first', 'second')]
    found = await scripted.forecasts.list(user.id)
    assert [each.name for each in found] == ['second', 'first']
    assert (found[0].h, found[0].models, found[0].version, found[0].state) == (
        2,
        list(made[1].request['models']),
        1,
        'succeeded',
    )
    assert (found[0].dataset_name, found[0].issued_at) == ('air passengers', made[1].issued_at)
    assert len(await scripted.forecasts.list(user.id, dataset_id=version.dataset_id)) == 2
    assert await scripted.forecasts.list(user.id, dataset_id=made[0].id) == []
    assert await scripted.forecasts.count(user.id, dataset_id=made[0].id) == Counts(found=0, total=2, deleted=0)


async def test_forecasts_are_found_by_their_name_or_their_datasets_a_page_at_a_time(
    scripted: Product, user: User, version: Version
) -> None:
    for name in ('50% more', 'Less'):
        await scripted.forecasts.request(user.id, version, Ask(target='y', h=12, name=name))

    async def names(query: str, **bounds: int) -> list[str]:
        found = [each.name for each in await scripted.forecasts.list(user.id, query=query, **bounds)]
        assert bounds or await scripted.forecasts.count(user.id, query=query) == Counts(
            found=len(found), total=2, deleted=0
        )
        return found

    assert await names(' LESS ') == ['Less']
    assert await names('%') == ['50% more'], 'what is typed is no pattern'
    assert await names('Passengers') == ['Less', '50% more']
    assert await names('', limit=1) == ['Less']
    assert await names('', offset=1, limit=5) == ['50% more']
    assert await names('tides') == []


async def test_what_came_of_forecasts_is_read_where_it_is_told(
    scripted: Product, models: Models, user: User, version: Version
) -> None:
    forecast = await issue(scripted, user, version)
    models.answer = TaskFailed('No series could be forecast.')
    await issue(scripted, user, version)
    assert await scripted.forecasts.issued_of(user.id, version.dataset_id) == [forecast]
    assert forecast.issued_at is not None
    assert await scripted.forecasts.measured(user.id) == [Measured(at=forecast.issued_at, scores=[])]


async def test_a_deleted_dataset_is_forecast_no_more_and_what_was_issued_of_it_stays(
    scripted: Product, user: User, version: Version, tmp_path: Path
) -> None:
    forecast = await issue(scripted, user, version)
    await scripted.datasets.delete(user.id, version.dataset_id)
    for call in (
        lambda: scripted.datasets.version(user.id, version.dataset_id, version.number),
        lambda: scripted.datasets.restore(user.id, version.dataset_id, version.number),
        lambda: scripted.forecasts.request(user.id, version, Ask(target='y', h=12)),
        lambda: scripted.forecasts.what_if(user.id, forecast.id, {'x': {'how': 'set', 'value': 1}}),
        lambda: scripted.forecasts.quote_again(user.id, forecast.id),
    ):
        with pytest.raises(NotFound):
            await call()
    await scripted.forecasts.export(user.id, forecast.id, tmp_path / 'out.csv')
    assert await scripted.forecasts.zone(user.id, forecast.id) == version.zone
    assert len((tmp_path / 'out.csv').read_text().splitlines()) == 5
    assert (await scripted.forecasts.chart(user.id, forecast.id))['came'] is None
    await scripted.datasets.undelete(user.id, version.dataset_id)
    assert await scripted.datasets.version(user.id, version.dataset_id, version.number) == version
    assert (await scripted.forecasts.quote_again(user.id, forecast.id)).seconds > 0


async def test_foreign_tenant_finds_no_forecast(
    scripted: Product, user: User, version: Version, database: Postgres, tmp_path: Path
) -> None:
    forecast = await issue(scripted, user, version)
    stranger = await factories.user(database)
    calls = (
        lambda: scripted.forecasts.request(stranger.id, version, Ask(target='y', h=12)),
        lambda: scripted.forecasts.get(stranger.id, forecast.id),
        lambda: scripted.forecasts.chart(stranger.id, forecast.id),
        lambda: scripted.forecasts.rows(stranger.id, forecast.id),
        lambda: scripted.forecasts.export(stranger.id, forecast.id, tmp_path / 'out.csv'),
        lambda: scripted.forecasts.zone(stranger.id, forecast.id),
        lambda: scripted.forecasts.export_backtest(stranger.id, forecast.id, tmp_path / 'out.csv'),
        lambda: scripted.forecasts.leaderboard(stranger.id, forecast.id),
        lambda: scripted.forecasts.leaderboard(stranger.id, forecast.id, by='series'),
        lambda: scripted.forecasts.explained(stranger.id, forecast.id),
        lambda: scripted.forecasts.notes(stranger.id, forecast.id),
        lambda: scripted.forecasts.residuals(stranger.id, forecast.id),
        lambda: scripted.forecasts.series_page(stranger.id, forecast.id),
        lambda: scripted.forecasts.what_if(stranger.id, forecast.id, {'x': {'how': 'set', 'value': 1}}),
        lambda: scripted.forecasts.quote_again(stranger.id, forecast.id),
        lambda: scripted.track.of_forecast(stranger.id, forecast.id),
        lambda: scripted.datasets.known_ahead(stranger.id, version, 'y'),
    )
    for call in calls:
        with pytest.raises(NotFound):
            await call()
    assert await scripted.forecasts.list(stranger.id) == []
    assert await scripted.forecasts.count(stranger.id) == Counts(found=0, total=0, deleted=0)
    assert await scripted.forecasts.issued_of(stranger.id, version.dataset_id) == []
    assert await scripted.forecasts.measured(stranger.id) == []
    assert await scripted.forecasts.issued(stranger.id, forecast.id) == []


async def test_real_models_forecast_the_airline_passengers(product: Product, user: User, version: Version) -> None:
    forecast = await issue(product, user, version, h=12, models=('seasonal_naive', 'theta'), levels=(80,))
    assert forecast.state == JobState.SUCCEEDED, await product.jobs.list(user.id)
    assert [row.rows for row in await product.forecasts.issued(user.id, forecast.id)] == [12, 12]
    chart = await product.forecasts.chart(user.id, forecast.id)
    assert len(chart['history']['t']) == 144
    for model in chart['models']:
        assert (model['status'], len(model['t']), sorted(model['q'])) == ('ok', 12, ['0.1', '0.5', '0.9'])
        assert all(low < high for low, high in zip(model['q']['0.1'], model['q']['0.9'], strict=True))
        assert 380 < sum(model['mean']) / 12 < 600


# many columns and many series


def file_of_sales(sold: Callable[[int], bool]) -> bytes:
    """Units of two shops over 80 days, on those that something is sold, and their prices for four days more."""
    return b'day,shop,kind,units,price\n' + b''.join(
        f'2024-{1 + day // 28:02}-{1 + day % 28:02},{shop},{kind},{units},{1 + day % 7}\n'.encode()
        for shop, kind in (('North', 'big'), ('South', 'small'))
        for day in range(84)
        for units in (str(sold(day) * (20 + day % 7 + (5 if kind == 'big' else 0))) if day < 80 else '',)
    )


SALES = file_of_sales(lambda day: True)
RARE_SALES = file_of_sales(lambda day: day * 7919 % 13 >= 8)


@pytest.fixture
async def sales(product: Product, user: User) -> Version:
    """Units of two shops over 80 days, and their prices for four days more."""
    dataset = await product.bring(user, 'sales.csv', SALES)
    return await product.datasets.version(user.id, dataset.id)


PRICED: Mapping[str, Any] = {'target': 'units', 'h': 4, 'models': ('theta',), 'regressors': ('price',)}


@pytest.mark.parametrize(
    'change',
    [{'how': 'double', 'value': 1}, {'how': 'set'}, {'how': 'set', 'value': '1'}, {'how': 'set', 'value': True}, {}],
)
async def test_a_change_says_how_and_by_how_much(
    scripted: Product, user: User, sales: Version, change: Mapping[str, Any]
) -> None:
    with pytest.raises(UsageError):
        await scripted.forecasts.request(user.id, sales, Ask(**PRICED, changes={'price': change}))


async def test_everything_that_is_asked_reaches_the_task(scripted: Product, user: User, sales: Version) -> None:
    ask = Ask(
        **{**PRICED, 'models': ('prophet',)},
        static=('kind',),
        holidays='DE',
        options={'prophet': {'growth': 'flat'}},
        budget=60,
        windows=4,
        changes={'price': {'how': 'shift', 'value': 1.5}},
    )
    made = await scripted.forecasts.request(user.id, sales, ask)
    (job,) = await scripted.jobs.running(user.id)
    assert job.payload['n_series'] == 2
    expected = {
        **{'regressors': ['price'], 'static': ['kind'], 'holidays': 'DE', 'budget': 60, 'windows': 4, 'base': None},
        **{'options': {'prophet': {'growth': 'flat'}}, 'changes': {'price': {'how': 'shift', 'value': 1.5}}},
    }
    assert {name: job.payload['request'][name] for name in expected} == expected
    assert ask_of(made) == replace(ask, name=made.name)


async def test_a_column_named_like_a_panels_own_is_refused_at_once(product: Product, user: User) -> None:
    rows = SALES.replace(b'price', b'y').replace(b'kind', b'ds')
    dataset = await product.bring(user, 'sales.csv', rows)
    version = await product.datasets.version(user.id, dataset.id)
    for beside in ({'regressors': ('y',)}, {'static': ('ds',)}):
        with pytest.raises(UsageError, match='of its own'):
            await product.forecasts.request(user.id, version, Ask(target='units', h=4, **beside))


async def test_a_model_that_is_not_installed_is_refused_unless_it_runs_elsewhere(
    scripted: Product, user: User, version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('core.analysis.forecasting.registry.find_spec', lambda name: None)
    ask = Ask(target='y', h=12, models=('theta', 'tft'))
    with pytest.raises(UsageError, match='"tft" is not installed'):
        await scripted.forecasts.request(user.id, version, ask)
    adapters = {name: getattr(scripted, name) for name in ('queue', 'objects', 'events', 'hours')}
    at_modal = Forecasts(scripted.database, **adapters, elsewhere=True)
    assert (await at_modal.request(user.id, version, ask)).request['models'] == ['theta', 'tft']


async def test_what_if_asks_again_with_other_regressors(scripted: Product, user: User, sales: Version) -> None:
    base = await issue(scripted, user, sales, **PRICED, step='D', levels=(80,))
    changes = {'price': {'how': 'scale', 'value': 1.1}}
    quote = await scripted.forecasts.quote_again(user.id, base.id)
    waiting = await scripted.forecasts.request(user.id, sales, Ask(**PRICED))
    with pytest.raises(UsageError, match='no result'):
        await scripted.forecasts.what_if(user.id, waiting.id, changes)
    await scripted.work_off(user)
    made = await scripted.forecasts.what_if(user.id, base.id, changes)
    same = {**base.request, 'changes': changes, 'base': str(base.id)}
    assert (made.request, made.version_id, made.name) == (same, base.version_id, f'{base.name}, changed')
    (job,) = await scripted.jobs.running(user.id)
    assert job.quote == quote.seconds
    await scripted.work_off(user)
    chart = await scripted.forecasts.chart(user.id, made.id, series='air')
    assert [(line['name'], line['mean']) for line in chart['base']] == [('theta', [400.0, 401.0])]
    assert (await scripted.forecasts.chart(user.id, base.id, series='air'))['base'] == []
    for refused in ({}, {'units': {'how': 'set', 'value': 1}}):
        with pytest.raises(UsageError):
            await scripted.forecasts.what_if(user.id, base.id, refused)


async def test_results_of_the_program_before_are_read(
    scripted: Product, user: User, version: Version, models: Models, tmp_path: Path
) -> None:
    models.old = True
    forecast = await issue(scripted, user, version, models=('theta',))
    assert forecast.result is not None
    assert forecast.result['models'][0]['file'] == 'forecast-theta.parquet'
    chart = await scripted.forecasts.chart(user.id, forecast.id)
    assert (chart['models'][0]['mean'], chart['notes']) == ([400.0, 401.0], [])
    assert (await scripted.forecasts.rows(user.id, forecast.id)).total == 2
    assert await scripted.forecasts.leaderboard(user.id, forecast.id) == []
    assert await scripted.forecasts.leaderboard(user.id, forecast.id, by='series') == []
    assert await scripted.forecasts.notes(user.id, forecast.id) == []
    assert await scripted.forecasts.explained(user.id, forecast.id, model='theta') == []
    residuals = await scripted.forecasts.residuals(user.id, forecast.id, model='theta')
    assert (residuals['points'], residuals['bias'], residuals['shown']['value']) == (0, None, [])
    (item,) = (await scripted.forecasts.series_page(user.id, forecast.id))['items']
    assert (item['unique_id'], item['model'], item['flags'], item['mase']) == ('air', 'theta', [], None)
    with pytest.raises(NotFound, match='no backtest'):
        await scripted.forecasts.export_backtest(user.id, forecast.id, tmp_path / 'out.csv')


async def test_a_forecast_tells_how_well_it_is_founded(
    product: Product, user: User, sales: Version, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Two chunks of one series each, by a real model, and a global model beside them."""
    monkeypatch.setattr('core.parts.CHUNK', 1)
    forecast = await issue(product, user, sales, **{**PRICED, 'models': ('seasonal_naive', 'lightgbm'), 'windows': 3})
    assert forecast.state == JobState.SUCCEEDED, await product.jobs.list(user.id)
    ledger = await product.forecasts.issued(user.id, forecast.id)
    assert [(row.model, row.part, row.rows) for row in ledger] == [
        ('lightgbm', 0, 8),
        ('seasonal_naive', 0, 4),
        ('seasonal_naive', 1, 4),
    ]
    assert len({row.sha256 for row in ledger}) == 3
    user_id, of = user.id, forecast.id
    forecasts = product.forecasts
    opened: list[str] = []
    fetch = product.objects.fetch

    async def noting(key: str) -> Path:
        opened.append(key)
        return await fetch(key)

    for label, chunk, other in (('North', '.1-of-2/', '.2-of-2/'), ('South', '.2-of-2/', '.1-of-2/')):
        opened.clear()
        with monkeypatch.context() as patch:
            patch.setattr(product.objects, 'fetch', noting)
            chart = await forecasts.chart(user_id, of, series=label)
        assert sum(chunk in key for key in opened) == 2, 'notes and forecast: the history is that of the model of all'
        assert not [key for key in opened if other in key]
        assert sum(value is not None for value in chart['history']['y']) == 80
        assert [len(model['t']) for model in chart['models']] == [4, 4]
    page = await forecasts.series_page(user_id, of, search='OUT')
    assert (page['total'], page['items'][0]['unique_id'], page['items'][0]['status']) == (1, 'South', 'ok')
    assert len(page['items'][0]['forecast']) == 4
    scores = await forecasts.leaderboard(user_id, of)
    assert [(score['model'], score['n_series'], score['n_windows']) for score in scores] == [
        ('seasonal_naive', 2, 6),
        ('lightgbm', 2, 6),
    ]
    rows = await forecasts.leaderboard(user_id, of, by='horizon', model='seasonal_naive')
    assert [(row['horizon'], row['points']) for row in rows] == [(step, 6) for step in range(1, 5)]
    rows = await forecasts.leaderboard(user_id, of, by='series')
    assert sorted((row['model'], row['unique_id']) for row in rows) == [
        (model, label) for model in ('lightgbm', 'seasonal_naive') for label in ('North', 'South')
    ]
    residuals = await forecasts.residuals(user_id, of, model='seasonal_naive', series='North')
    assert residuals['points'] == 12
    assert {row['kind'] for row in await forecasts.explained(user_id, of, model='lightgbm')} <= set(KINDS)
    assert await forecasts.explained(user_id, of, model='seasonal_naive') == []
    assert isinstance(await forecasts.notes(user_id, of, series='South'), list)
    await forecasts.export_backtest(user_id, of, tmp_path / 'out.parquet')
    assert pl.read_parquet(tmp_path / 'out.parquet')['model'].value_counts().sort('model').rows() == [
        ('lightgbm', 24),
        ('seasonal_naive', 24),
    ]
    for unknown in (
        lambda: forecasts.leaderboard(user_id, of, by='series', model='ets'),
        lambda: forecasts.leaderboard(user_id, of, model='ets'),
        lambda: forecasts.explained(user_id, of, model='ets'),
        lambda: forecasts.residuals(user_id, of, model='ets'),
    ):
        with pytest.raises(NotFound, match='no model "ets"'):
            await unknown()
    with pytest.raises(UsageError, match='horizon or series'):
        await forecasts.leaderboard(user_id, of, by='moon')


async def test_chunks_of_auto_follow_the_part_that_learns_for_them(
    product: Product, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two chunks of one series each, by real models: too few to learn for others, so that each learns by itself.

    Of demand that comes now and then `auto` takes the fewest models, and the quickest.
    """
    monkeypatch.setattr('core.parts.CHUNK_OF_AUTO', 1)
    dataset = await product.bring(user, 'sales.csv', RARE_SALES)
    version = await product.datasets.version(user.id, dataset.id)
    forecast = await issue(product, user, version, **{**PRICED, 'models': ('auto',), 'windows': 3})
    assert forecast.state == JobState.SUCCEEDED, await product.jobs.list(user.id)
    assert forecast.result is not None
    (auto,) = forecast.result['models']
    assert [name.partition('/')[2] for name in auto['files']] == [
        f'auto.{number}-of-2/forecast-auto.parquet' for number in (1, 2)
    ]
    assert [name.partition('/')[2] for name in auto['backtests']] == ['auto.learnt/backtest-auto.parquet']
    assert forecast.result['n_series'] == 2
    assert [row.rows for row in await product.forecasts.issued(user.id, forecast.id)] == [4, 4]
    (score,) = await product.forecasts.leaderboard(user.id, forecast.id)
    assert (score['n_series'], score['n_windows']) == (2, 6)
    residuals = await product.forecasts.residuals(user.id, forecast.id, model='auto', series='South')
    assert residuals['points'] == 12
    chart = await product.forecasts.chart(user.id, forecast.id, series='South')
    assert [len(model['t']) for model in chart['models']] == [4]


async def test_a_chunk_that_fails_leaves_the_others(
    scripted: Product, models: Models, user: User, sales: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('core.parts.CHUNK', 1)
    models.fails = '1-of-2'
    forecast = await issue(scripted, user, sales, **PRICED)
    assert forecast.state == JobState.SUCCEEDED
    assert forecast.result is not None
    (theta,) = forecast.result['models']
    assert theta['warnings'] == ['1 of 2 chunks of series have no forecast by this model. No memory.']
    assert [row.part for row in await scripted.forecasts.issued(user.id, forecast.id)] == [0]
    (notice, *_) = await scripted.notices.latest(user.id)
    assert (notice.title.endswith('done in part'), notice.text) == (
        True,
        'Without theta for 1 of 2 chunks of series: No memory. '
        'Without notes about history for 1 of 2 chunks of series: No memory.',
    )


# a verdict on bands, and forecasts that are deleted


async def test_by_default_bands_are_measured_as_often_as_a_verdict_takes(
    scripted: Product, user: User, version: Version
) -> None:
    """144 months of one series: 8 cutoffs of a year fit, and ten of nine months."""
    asked = {h: (await scripted.forecasts.request(user.id, version, Ask(target='y', h=h))) for h in (9, 12)}
    assert [asked[h].request['windows'] for h in (9, 12)] == [10, 8]
    told = await scripted.forecasts.request(user.id, version, Ask(target='y', h=9, windows=3))
    assert told.request['windows'] == 3


async def test_a_forecast_is_asked_for_again_with_as_many_cutoffs_as_a_verdict_takes(
    scripted: Product, user: User, version: Version
) -> None:
    few = await issue(scripted, user, version, models=('theta',), h=9, windows=3)
    found = await scripted.forecasts.reach(user.id, few.id, 'theta')
    assert (found.windows, found.needed, found.room, found.offered) == (3, 10, 10, 10)
    assert found.quote is not None
    assert '10 past cutoffs' in found.quote.basis
    more = await scripted.forecasts.measure(user.id, few.id, found.offered)
    assert more.request == {**few.request, 'windows': 10}
    assert more.name == few.name
    await scripted.datasets.delete(user.id, version.dataset_id)
    assert (await scripted.forecasts.reach(user.id, few.id, 'theta')).offered == 0
    with pytest.raises(NotFound):
        await scripted.forecasts.measure(user.id, few.id, 10)


async def test_a_deleted_forecast_is_kept_and_brought_back(
    scripted: Product, user: User, version: Version, tmp_path: Path
) -> None:
    forecast = await issue(scripted, user, version, models=('theta',))
    other = await factories.user(scripted.database)
    forecasts = scripted.forecasts
    with pytest.raises(NotFound):
        await forecasts.delete(other.id, forecast.id)
    await forecasts.delete(user.id, forecast.id)
    for read in (forecasts.get, forecasts.chart, forecasts.rows, forecasts.delete):
        with pytest.raises(NotFound, match='was deleted. Bring it back' if read != forecasts.delete else 'no such'):
            await read(user.id, forecast.id)
    assert await forecasts.list(user.id) == []
    assert await forecasts.issued_of(user.id, version.dataset_id) == []
    assert len(await forecasts.measured(user.id)) == 1, 'Home counts what the track record counts'
    assert await forecasts.count(user.id) == Counts(found=0, total=0, deleted=1)
    assert (await scripted.dashboards.rail(user.id))['forecasts'] == 0
    (gone,) = await forecasts.deleted(user.id)
    assert (gone.id, gone.name, gone.of) == (forecast.id, forecast.name, 'air passengers')
    assert await forecasts.kept_until(user.id, forecast.id) == gone.until
    assert await forecasts.kept_until(other.id, forecast.id) is None
    assert len(await forecasts.issued(user.id, forecast.id)) == 1, 'the ledger is never changed'
    assert (await scripted.track.track(user.id)).issued == 1, 'nor does the record forget what was issued'
    await forecasts.export(user.id, forecast.id, tmp_path / 'kept.csv', deleted=True)
    await forecasts.undelete(user.id, forecast.id)
    with pytest.raises(NotFound):
        await forecasts.undelete(user.id, forecast.id)
    assert (await forecasts.get(user.id, forecast.id)).result == forecast.result
    told = [entry.action for entry in await scripted.accounts.audit(user.id) if entry.action.startswith('forecast')]
    assert told == ['forecast restored', 'forecast deleted']


async def test_a_forecast_that_is_being_made_is_not_deleted(scripted: Product, user: User, version: Version) -> None:
    made = await scripted.forecasts.request(user.id, version, Ask(target='y', h=12, models=('theta',)))
    with pytest.raises(Conflict, match='is being made'):
        await scripted.forecasts.delete(user.id, made.id)
    assert made.job_id is not None
    await scripted.jobs.cancel(user.id, made.job_id)
    await scripted.forecasts.delete(user.id, made.id)
    assert await scripted.forecasts.list(user.id) == []


def _ms(stamp: datetime) -> int:
    return int(stamp.replace(tzinfo=UTC).timestamp() * 1000)
