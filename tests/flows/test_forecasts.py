"""Forecasts from the request to the ledger, over a real version; one of them by real models."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pytest

from core.errors import NotFound, TaskFailed, UsageError
from core.forecasts import Ask, defaults
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

    def __call__(self, task: str, payload: Mapping[str, Any]) -> Any:
        return self.answer or self.rows(payload)

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
    assert job.payload['parts'] == version.parts
    with pytest.raises(NotFound, match='no result yet'):
        await scripted.forecasts.chart(user.id, made.id)


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
    assert len((tmp_path / 'out.csv').read_text().splitlines()) == 5
    assert pl.read_parquet(tmp_path / 'out.parquet')['mean'].to_list() == [400.0, 401.0, 500.0, 501.0]


async def test_forecasts_are_listed_newest_first_and_by_dataset(
    scripted: Product, user: User, version: Version
) -> None:
    made = [await issue(scripted, user, version, name=name) for name in ('first', 'second')]
    assert [each.name for each in await scripted.forecasts.list(user.id)] == ['second', 'first']
    assert len(await scripted.forecasts.list(user.id, dataset_id=version.dataset_id)) == 2
    assert await scripted.forecasts.list(user.id, dataset_id=made[0].id) == []


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
    )
    for call in calls:
        with pytest.raises(NotFound):
            await call()
    assert await scripted.forecasts.list(stranger.id) == []
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


def _ms(stamp: datetime) -> int:
    return int(stamp.replace(tzinfo=UTC).timestamp() * 1000)
