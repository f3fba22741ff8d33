"""The track record: issued forecasts are scored when a version brings what came, once, and the same again."""

import asyncio
import json
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import polars as pl
import psycopg
import pytest

from core.analysis import panel
from core.ask import Ask
from core.errors import Misconfigured, NotFound, TaskOverLimit, VariosyncError
from core.ports import Progress
from core.tasks import TASKS
from core.track import adapted
from core.values import Dataset, Forecast, JobState, User
from storage.embedded.server import EmbeddedPostgres
from storage.objects import LocalTaskObjects
from storage.postgres import Postgres
from tests import factories
from tests.flows.again import Conversions
from tests.flows.conftest import Product
from tests.flows.doubles import ScriptedCompute
from tests.flows.test_archive import unpacked

H = 6
START = date(2024, 1, 1)
HISTORY = 35


class Tasks(ScriptedCompute):
    """Runs the real tasks in threads of this process; forecasts are last week's values, with bands of a fixed width."""

    def __init__(self, home: Path) -> None:
        super().__init__(lambda task, payload: None)
        self.home = home
        self.deadly: tuple[str, ...] = ()
        self.error: VariosyncError = TaskOverLimit('It took too much memory.')
        self.objects = LocalTaskObjects(home / 'objects')
        self.conversions = Conversions(home / 'objects')

    async def collect(self, call_id: str, *, progress: Progress, timeout: float) -> Mapping[str, Any] | None:
        task, payload = self.calls[int(call_id)]
        if task == 'score' and any(one['id'] in self.deadly for one in payload['issued']):
            raise self.error
        run = self.forecast if task == 'forecast' else TASKS[task]
        workdir = Path(mkdtemp(dir=self.home))
        if task == 'convert' and (known := self.conversions.made(payload, workdir)) is not None:
            return known
        made = {**await asyncio.to_thread(run, payload, self.objects, workdir, progress), 'seconds': 0.0}
        if task == 'convert':
            self.conversions.keep(payload, made)
        return made

    @staticmethod
    def forecast(
        payload: Mapping[str, Any], objects: LocalTaskObjects, workdir: Path, progress: Progress
    ) -> dict[str, Any]:
        asked = payload['request']
        parts = [objects.fetch(key, workdir) for key in payload['parts']]
        frame = panel.read(parts, target=asked['target'], workdir=workdir)
        frame.write_parquet(workdir / 'history.parquet')
        stored = [objects.put_file(f'{payload["prefix"]}/history.parquet', workdir / 'history.parquet')]
        models = []
        for place, model in enumerate(asked['models']):
            rows = pl.concat([last_week(own, model, H, 1.0 + place) for own in frame.partition_by('unique_id')])
            rows = rows if 95 in asked['levels'] else rows.drop('q0.025', 'q0.975')
            path = workdir / f'forecast-{model}.parquet'
            rows.write_parquet(path)
            stored.append(objects.put_file(f'{payload["prefix"]}/{path.name}', path))
            told = {'rows': rows.height, 'cutoff': str(rows['cutoff'].max()), 'series': {'ok': 2}, 'warnings': []}
            files = {'files': [path.name], 'backtests': [], 'explained': []}
            models.append({'name': model, **told, **files, 'code': '0.1.0+abc', 'seed': 1})
        lists = {'scores': [], 'series': sorted(set(frame['unique_id'])), 'history': ['history.parquet'], 'notes': []}
        return {
            'prefix': payload['prefix'],
            'objects': [{'key': one.key, 'size': one.size, 'sha256': one.sha256} for one in stored],
            'manifest': {'models': models, **lists},
        }


def last_week(own: pl.DataFrame, model: str, h: int, width: float) -> pl.DataFrame:
    """A forecast of one series in the form of `forecasting.forecast`."""
    cutoff, values = own['ds'].max(), own['y'].tail(7).to_list()
    assert isinstance(cutoff, datetime)
    center = pl.Series([values[step % 7] for step in range(h)])
    return pl.DataFrame(
        {
            'unique_id': [own['unique_id'][0]] * h,
            'ds': [cutoff + timedelta(days=step + 1) for step in range(h)],
            'cutoff': [cutoff] * h,
            'horizon': pl.Series(range(1, h + 1), dtype=pl.Int32),
            'model': [model] * h,
            'model_used': [model] * h,
            'mean': center,
            'q0.025': center - 2 * width,
            'q0.1': center - width,
            'q0.5': center,
            'q0.9': center + width,
            'q0.975': center + 2 * width,
            'status': ['ok'] * h,
            'warning': [''] * h,
        }
    )


@pytest.fixture
def product(open_product: Callable[..., Product], tmp_path: Path) -> Product:
    """The product with its real tasks, but for models."""
    return open_product(Tasks(tmp_path))


def table(days: int, *, first: int = 0, names: tuple[str, ...] = ('north', 'south'), shift: float = 0.0) -> bytes:
    """Daily rows of shops; the value repeats each week and grows a little."""
    lines = ['shop,day,sold']
    for name in names:
        for day in range(first, days):
            value = 20 + 5 * (day % 7) + day * 0.1 + (day * 7919 % 13) / 3 + shift * (day >= HISTORY)
            lines.append(f'{name},{START + timedelta(days=day)},{value:.3f}')
    return ('\n'.join(lines) + '\n').encode()


async def forecast_of(product: Product, user: User, dataset: Dataset, **asked: Any) -> Forecast:
    """Ask for a forecast of the shown version and work it off."""
    version = await product.datasets.version(user.id, dataset.id)
    ask = Ask(**{'target': 'sold', 'h': H, 'models': ('seasonal_naive', 'theta'), **asked})
    forecast = await product.forecasts.request(user.id, version, ask)
    await product.work_off(user)
    found = await product.forecasts.get(user.id, forecast.id)
    assert found.state == JobState.SUCCEEDED, await product.jobs.list(user.id)
    return found


async def brought(product: Product, user: User) -> Dataset:
    return await product.bring(user, 'shops.csv', table(HISTORY))


async def more(product: Product, user: User, dataset: Dataset, content: bytes) -> list[Any]:
    """Bring a file in the place of the version that is shown, let its jobs end and return those that scored."""
    await product.bring(user, 'shops.csv', content, dataset_id=dataset.id, how='replace')
    return [job for job in await product.work_off(user) if job.kind == 'score']


def stored(postgres: EmbeddedPostgres) -> list[Any]:
    with psycopg.connect(postgres.dsn('superuser')) as connection:
        return connection.execute(
            'select i.model, v.number, s.points, s.reaches, s.blocks, s.problem from public.forecast_scores s '
            'join public.issued_forecasts i on i.id = s.issued_id '
            'join public.dataset_versions v on v.id = s.version_id order by v.number, i.model'
        ).fetchall()


async def test_a_version_that_brings_what_came_is_scored_for_nothing(
    product: Product, user: User, postgres: EmbeddedPostgres
) -> None:
    dataset = await brought(product, user)
    forecast = await forecast_of(product, user, dataset)
    issued = await product.forecasts.issued(user.id, forecast.id)
    assert [(row.model, row.code, row.seed) for row in issued] == [
        ('seasonal_naive', '0.1.0+abc', 1),
        ('theta', '0.1.0+abc', 1),
    ]
    assert (await product.track.track(user.id)).overall is None
    assert (await product.track.track(user.id)).issued == 1
    before, notices = await product.hours.balance(user.id), len(await product.notices.latest(user.id))
    (job,) = await more(product, user, dataset, table(HISTORY + 4))
    assert (job.state, job.quote, job.charged, job.title) == (JobState.SUCCEEDED, 0, 0, 'Score forecasts of shops')
    convert = next(job for job in await product.jobs.list(user.id) if job.kind == 'convert')
    assert (await product.hours.balance(user.id)).seconds == before.seconds - (convert.charged or 0)
    assert len(await product.notices.latest(user.id)) == notices + 1
    track = await product.track.track(user.id)
    assert track.overall is not None
    assert (track.overall.forecasts, track.overall.points) == (1, 16)
    assert [(one.model, one.points) for one in track.models] == [('seasonal_naive', 8), ('theta', 8)]
    assert [(one.first, one.last, one.points) for one in track.horizons] == [(1, 1, 4), (2, 2, 4), (3, 3, 4), (4, 6, 4)]
    assert len(track.parts) == 8
    for one in (track.overall, *track.models, *track.horizons):
        assert one.mase is not None
        assert 0 < one.mase < 3
        assert one.rmsse is not None
        assert one.sql is not None
        assert one.smape is not None
        assert list(one.coverage) == list(one.width) == ['80', '95']
        assert all(0 <= share <= 1 for share in one.coverage.values())
    rows = await product.track.forecasts(user.id)
    assert [(row.forecast_id, row.model, row.points, row.version) for row in rows] == [
        (forecast.id, 'seasonal_naive', 8, 2),
        (forecast.id, 'theta', 8, 2),
    ]
    own, scorings = await product.track.of_forecast(user.id, forecast.id)
    assert own.overall == track.overall
    assert [(one.model, one.version, one.points) for one in scorings] == [('seasonal_naive', 2, 8), ('theta', 2, 8)]


async def test_a_chart_draws_what_came_and_counts_it_as_the_record_does(product: Product, user: User) -> None:
    dataset = await brought(product, user)
    forecast = await forecast_of(product, user, dataset)
    assert await product.forecasts.came(user.id, forecast.id) is None
    await more(product, user, dataset, table(HISTORY, names=('south', 'north')))
    assert (await product.datasets.get(user.id, dataset.id)).version == 2
    assert await product.forecasts.came(user.id, forecast.id, series='north') is None, 'nothing of it is new'
    await more(product, user, dataset, table(HISTORY + 4))
    track, _ = await product.track.of_forecast(user.id, forecast.id)
    drawn = [await product.forecasts.chart(user.id, forecast.id, series=name) for name in ('north', 'south')]
    north = drawn[0]['came']
    assert (north['version'], len(north['y'])) == (3, 4)
    assert north['t'] == drawn[0]['models'][0]['t'][:4]
    assert north['y'][0] == pytest.approx(20 + 5 * (HISTORY % 7) + HISTORY * 0.1 + (HISTORY * 7919 % 13) / 3, abs=1e-3)
    for figures in track.models:
        held = [chart['came']['held'][figures.model] for chart in drawn]
        for level, share in figures.coverage.items():
            assert sum(one[level]['points'] for one in held) == figures.points
            assert sum(one[level]['inside'] for one in held) == round(share * figures.points)
    assert await product.forecasts.came(user.id, forecast.id, series='nowhere') is None
    await product.datasets.restore(user.id, dataset.id, 1)
    assert await product.forecasts.came(user.id, forecast.id, series='north') is None, 'it was undone'


async def test_a_later_version_counts_in_place_of_the_earlier_and_both_are_kept(
    product: Product, user: User, postgres: EmbeddedPostgres
) -> None:
    dataset = await brought(product, user)
    await forecast_of(product, user, dataset, models=('seasonal_naive',))
    await more(product, user, dataset, table(HISTORY + 2))
    first = await product.track.track(user.id)
    await more(product, user, dataset, table(HISTORY + H + 5))
    second = await product.track.track(user.id)
    await more(product, user, dataset, table(HISTORY + H + 5, shift=4))
    await product.work_off(user)
    corrected = await product.track.track(user.id)
    assert [one.overall and one.overall.points for one in (first, second, corrected)] == [4, 12, 12]
    assert first.overall != second.overall != corrected.overall
    assert corrected.overall is not None
    assert (await product.track.forecasts(user.id))[0].version == 4
    assert [(row[1], row[2]) for row in stored(postgres)] == [(2, 4), (3, 12), (4, 12)]


async def test_a_file_of_the_latest_days_alone_keeps_what_was_scored_before(product: Product, user: User) -> None:
    dataset = await brought(product, user)
    await forecast_of(product, user, dataset, models=('seasonal_naive',))
    await more(product, user, dataset, table(HISTORY + 4, first=HISTORY))
    (before,) = (await product.track.track(user.id)).models
    assert before.points == 8
    await more(product, user, dataset, table(HISTORY + 30, first=HISTORY + 5))
    assert (await product.track.track(user.id)).models == [before]


async def test_a_file_of_fewer_series_or_days_keeps_what_was_scored_before(product: Product, user: User) -> None:
    dataset = await brought(product, user)
    await forecast_of(product, user, dataset, models=('seasonal_naive',))
    await more(product, user, dataset, table(HISTORY + 5))
    (before,) = (await product.track.track(user.id)).models
    assert before.points == 10
    await more(product, user, dataset, table(HISTORY + H, names=('north',)))
    assert (await product.track.track(user.id)).models == [before]
    await more(product, user, dataset, table(HISTORY + 3))
    assert (await product.track.track(user.id)).models == [before]
    await more(product, user, dataset, table(HISTORY + 5, shift=4))
    assert (await product.track.track(user.id)).models != [before]


async def test_a_version_that_was_undone_counts_no_more(product: Product, user: User) -> None:
    dataset = await brought(product, user)
    asked = {'models': ('theta',), 'levels': (80,)}
    await forecast_of(product, user, dataset, **asked)
    await more(product, user, dataset, table(HISTORY + 4))
    before = await product.track.track(user.id)
    levels = (await forecast_of(product, user, dataset, **asked)).request['adapted']
    await more(product, user, dataset, table(HISTORY + H, shift=30))
    wrong = await product.track.track(user.id)
    assert wrong.models != before.models
    assert (await forecast_of(product, user, dataset, **asked)).request['adapted'] != levels
    await product.datasets.restore(user.id, dataset.id, 2)
    assert (await product.track.track(user.id)).models == before.models
    assert (await product.track.forecasts(user.id))[0].version == 2
    assert (await forecast_of(product, user, dataset, **asked)).request['adapted'] == levels
    await product.datasets.restore(user.id, dataset.id, 3)
    assert (await product.track.track(user.id)).models == wrong.models


async def test_a_version_that_was_undone_counts_no_more_after_the_next_one(
    product: Product, user: User, postgres: EmbeddedPostgres
) -> None:
    dataset = await brought(product, user)
    await forecast_of(product, user, dataset, models=('theta',))
    await more(product, user, dataset, table(HISTORY + 4))
    before = await product.track.track(user.id)
    await more(product, user, dataset, table(HISTORY + H, shift=30))
    wrong = await product.track.track(user.id)
    assert wrong.models != before.models
    await product.datasets.restore(user.id, dataset.id, 2)
    await more(product, user, dataset, table(HISTORY + 3))
    assert (await product.track.track(user.id)).models == before.models
    assert (await product.track.forecasts(user.id))[0].version == 2
    await product.datasets.restore(user.id, dataset.id, 3)
    assert (await product.track.track(user.id)).models == wrong.models
    assert [(row[1], row[2]) for row in stored(postgres)] == [(2, 8), (3, 12), (4, 6)]


async def test_values_that_an_undone_version_was_scored_on_are_scored_for_the_next_one(
    product: Product, user: User, postgres: EmbeddedPostgres
) -> None:
    dataset = await brought(product, user)
    await forecast_of(product, user, dataset, models=('theta',))
    await more(product, user, dataset, table(HISTORY + H + 5))
    undone = await product.track.track(user.id)
    await product.datasets.restore(user.id, dataset.id, 1)
    assert (await product.track.track(user.id)).models == []
    await more(product, user, dataset, table(HISTORY + H + 5))
    assert (await product.track.track(user.id)).models == undone.models
    assert [(row[1], row[2]) for row in stored(postgres)] == [(2, 12), (3, 12)]


async def test_what_is_forecast_from_a_version_that_came_back_waits_for_the_next_one(
    product: Product, user: User, postgres: EmbeddedPostgres
) -> None:
    dataset = await brought(product, user)
    await product.bring(user, 'shops.csv', table(HISTORY + H, shift=30), dataset_id=dataset.id)
    await product.datasets.restore(user.id, dataset.id, 1)
    await forecast_of(product, user, dataset, models=('theta',))
    assert await product.work_off(user) == []
    await more(product, user, dataset, table(HISTORY + H))
    assert [(row[1], row[2]) for row in stored(postgres)] == [(3, 12)]


async def test_scoring_the_stored_files_again_gives_the_same_numbers(
    product: Product, user: User, postgres: EmbeddedPostgres
) -> None:
    dataset = await brought(product, user)
    await forecast_of(product, user, dataset)
    (job,) = await more(product, user, dataset, table(HISTORY + 5))
    before = stored(postgres)
    with psycopg.connect(postgres.dsn('superuser')) as connection:
        connection.execute('delete from public.forecast_scores')
        connection.execute(
            "update public.jobs set state = 'failed', error = '{}', finished_at = now() where id = %s", (job.id,)
        )
    assert stored(postgres) == []
    await product.jobs.retry(user.id, job.id)
    await product.work_off(user)
    assert stored(postgres) == before


async def test_a_job_that_is_delivered_twice_scores_once(
    product: Product, user: User, postgres: EmbeddedPostgres
) -> None:
    dataset = await brought(product, user)
    await forecast_of(product, user, dataset)
    (job,) = await more(product, user, dataset, table(HISTORY + 5))
    before = stored(postgres)
    await product.jobs.advance(job.id)
    assert stored(postgres) == before
    scores = [{'id': one['id'], 'points': 1, 'reaches': True, 'blocks': []} for one in job.payload['issued']]
    async with product.database.system() as tx:
        await product.track.scored(tx, job, {'manifest': {'scores': scores, 'code': 'x'}})
    assert stored(postgres) == before
    assert await product.jobs.running(user.id) == []


async def test_what_is_issued_while_a_version_arrives_is_scored_too(product: Product, user: User) -> None:
    """The version came after the one that was forecast from, and before the forecast was issued."""
    dataset = await brought(product, user)
    version = await product.datasets.version(user.id, dataset.id)
    await product.bring(user, 'shops.csv', table(HISTORY + 4), dataset_id=dataset.id)
    ask = Ask(target='sold', h=H, models=('seasonal_naive',))
    await product.forecasts.request(user.id, version, ask)
    await product.work_off(user)
    (job,) = await product.work_off(user)
    assert (job.kind, job.state) == ('score', JobState.SUCCEEDED)
    assert [one.points for one in (await product.track.track(user.id)).models] == [8]


async def test_many_forecasts_are_scored_by_one_job_after_the_other(
    product: Product, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('core.track.AT_ONCE', 2)
    dataset = await brought(product, user)
    for name in ('a', 'b', 'c'):
        await forecast_of(product, user, dataset, models=('seasonal_naive',), name=name)
    upload = await product.send(user, 'shops.csv', table(HISTORY + 5), dataset_id=dataset.id)
    assert upload.dataset_id == dataset.id
    ended = [await product.work_off(user) for _ in range(4)]
    assert [[job.kind for job in jobs] for jobs in ended] == [['convert'], ['score'], ['score'], []]
    assert len(await product.track.forecasts(user.id)) == 3


async def deadly(product: Product, user: User, number: int) -> tuple[Dataset, list[Forecast], Tasks]:
    """Forecasts of a dataset; scoring the second one ends the task."""
    dataset = await brought(product, user)
    made = [await forecast_of(product, user, dataset, models=('theta',), name=str(place)) for place in range(number)]
    (bad,) = await product.forecasts.issued(user.id, made[1].id)
    assert isinstance(product.compute, Tasks)
    product.compute.deadly = (str(bad.id),)
    await product.send(user, 'shops.csv', table(HISTORY + 5), dataset_id=dataset.id)
    return dataset, made, product.compute


async def test_a_file_whose_scoring_ends_the_task_is_found_and_named_and_the_rest_is_scored(
    product: Product, user: User
) -> None:
    dataset, made, compute = await deadly(product, user, 4)
    notices = len(await product.notices.latest(user.id))
    while jobs := await product.work_off(user):
        ended = [job.state for job in jobs]
    assert ended == [JobState.SUCCEEDED]
    track, (scoring,) = await product.track.of_forecast(user.id, made[1].id)
    assert (track.overall, scoring.points, scoring.problem) == (None, 0, 'It took too much memory.')
    assert len(await product.track.forecasts(user.id)) == 3
    assert [n.level for n in await product.notices.latest(user.id)][: len(made) + 1] == ['good'] * (len(made) + 1)
    assert len(await product.notices.latest(user.id)) == notices + 1
    compute.deadly = ()
    await more(product, user, dataset, table(HISTORY + 6))
    assert len(await product.track.forecasts(user.id)) == 4


async def test_scoring_that_dies_whatever_it_scores_is_given_up(
    product: Product, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('core.track.MOST_DEAD', 1)
    _, made, compute = await deadly(product, user, 3)
    issued = [row for one in made for row in await product.forecasts.issued(user.id, one.id)]
    compute.deadly = tuple(str(row.id) for row in issued)
    ended = [len(await product.work_off(user)) for _ in range(4)]
    assert ended == [1, 1, 1, 0]


async def test_a_service_that_is_away_says_nothing_about_forecasts(
    product: Product, user: User, postgres: EmbeddedPostgres
) -> None:
    dataset, _, compute = await deadly(product, user, 2)
    compute.error = Misconfigured('The store is not set up.')
    ended = [[job.kind for job in await product.work_off(user)] for _ in range(3)]
    assert ended == [['convert'], ['score'], []]
    assert stored(postgres) == []
    compute.deadly = ()
    await forecast_of(product, user, dataset, models=('theta',))
    await product.work_off(user)
    assert len(await product.track.forecasts(user.id)) == 2


async def test_a_second_version_waits_for_the_scoring_under_way(
    product: Product, user: User, postgres: EmbeddedPostgres
) -> None:
    dataset = await brought(product, user)
    await forecast_of(product, user, dataset, models=('seasonal_naive',))
    await product.bring(user, 'shops.csv', table(HISTORY + 1), dataset_id=dataset.id)
    (waiting,) = await product.jobs.running(user.id)
    upload = await product.send(user, 'shops.csv', table(HISTORY + 2), dataset_id=dataset.id)
    convert = next(job for job in await product.jobs.running(user.id) if job.id != waiting.id)
    assert convert.payload['upload'] == str(upload.id)
    await product.jobs.advance(convert.id)
    assert [job.id for job in await product.jobs.running(user.id)] == [waiting.id]
    await product.work_off(user)
    await product.work_off(user)
    assert [(row[1], row[2]) for row in stored(postgres)] == [(2, 2), (3, 4)]


async def test_a_what_if_and_a_measure_that_is_gone_are_not_scored(
    product: Product, user: User, postgres: EmbeddedPostgres
) -> None:
    dataset = await brought(product, user)
    await forecast_of(product, user, dataset, models=('seasonal_naive',))
    with psycopg.connect(postgres.dsn('superuser')) as connection:
        connection.execute('alter table public.forecasts disable trigger forecasts_issued')
        connection.execute(
            'update public.forecasts set request = request || %s', ('{"changes": {"price": {"how": "set"}}}',)
        )
        connection.execute('alter table public.forecasts enable trigger forecasts_issued')
    assert await more(product, user, dataset, table(HISTORY + 5)) == []
    assert (await product.track.track(user.id)).issued == 0
    await forecast_of(product, user, dataset, models=('seasonal_naive',))
    renamed = table(HISTORY + 6).replace(b'sold', b'count')
    assert await more(product, user, dataset, renamed) == []


async def test_a_lost_file_is_named_and_the_rest_is_scored(product: Product, user: User) -> None:
    dataset = await brought(product, user)
    forecast = await forecast_of(product, user, dataset)
    theta = next(row for row in await product.forecasts.issued(user.id, forecast.id) if row.model == 'theta')
    await product.objects.delete(theta.object_key)
    await more(product, user, dataset, table(HISTORY + 3))
    track, scorings = await product.track.of_forecast(user.id, forecast.id)
    assert [one.model for one in track.models] == ['seasonal_naive']
    assert [(one.model, one.points, bool(one.problem)) for one in scorings] == [
        ('seasonal_naive', 6, False),
        ('theta', 0, True),
    ]


async def test_a_file_of_many_named_series_is_scored_by_what_it_holds(
    product: Product, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('core.track.MOST_NAMED', 1)
    dataset = await brought(product, user)
    await forecast_of(product, user, dataset, models=('theta',), series=('north', 'south'))
    (job,) = await more(product, user, dataset, table(HISTORY + 3, names=('north', 'south', 'west')))
    assert job.payload['issued'][0]['series'] == []
    assert [one.points for one in (await product.track.track(user.id)).models] == [6]


async def test_a_selection_is_by_dataset_and_model(product: Product, user: User) -> None:
    datasets = [await brought(product, user) for _ in range(2)]
    for dataset in datasets:
        await forecast_of(product, user, dataset)
        await more(product, user, dataset, table(HISTORY + 3))
    one = await product.track.track(user.id, dataset_id=datasets[0].id)
    assert (one.issued, one.overall and one.overall.forecasts) == (1, 1)
    assert (await product.track.track(user.id)).issued == 2
    assert (await product.track.track(user.id, model='theta')).issued == 2
    assert (await product.track.track(user.id, model='ets')).issued == 0
    theta = await product.track.track(user.id, model='theta')
    assert [(row.model, row.forecasts) for row in theta.models] == [('theta', 2)]
    assert {row.dataset_id for row in await product.track.forecasts(user.id, dataset_id=datasets[1].id)} == {
        datasets[1].id
    }
    assert len(await product.track.forecasts(user.id, limit=3)) == 3


async def test_what_was_forecast_waits_until_a_value_has_come(product: Product, user: User) -> None:
    dataset = await brought(product, user)
    first = await forecast_of(product, user, dataset)
    ((waits,), total) = await product.track.waiting(user.id)
    assert (waits.forecast_id, waits.steps, waits.days, total) == (first.id, f'{H} days', True, 1)
    assert await product.track.waiting(user.id, model='theta') == ([waits], 1)
    assert await product.track.waiting(user.id, model='ets') == ([], 0)
    await more(product, user, dataset, table(HISTORY + 3))
    assert await product.track.waiting(user.id) == ([], 0)
    later = await forecast_of(product, user, dataset)
    ((again,), _) = await product.track.waiting(user.id)
    assert (again.forecast_id, again.cutoff - waits.cutoff) == (later.id, timedelta(days=3))
    await product.forecasts.delete(user.id, later.id)
    assert await product.track.waiting(user.id, limit=1) == ([], 0)


async def test_what_is_issued_again_from_the_same_cutoff_is_no_further_evidence(product: Product, user: User) -> None:
    dataset = await brought(product, user)
    first = await forecast_of(product, user, dataset, models=('theta',))
    again = await forecast_of(product, user, dataset, models=('seasonal_naive', 'theta'), windows=3)
    await more(product, user, dataset, table(HISTORY + 3))
    track = await product.track.track(user.id)
    assert [(row.model, row.forecasts) for row in track.models] == [('seasonal_naive', 1), ('theta', 1)]
    assert track.overall
    assert track.overall.points == sum(row.points for row in track.models) == 12
    for forecast in (first, again):
        (own, _) = await product.track.of_forecast(user.id, forecast.id)
        assert own.overall is not None
    await forecast_of(product, user, dataset, models=('theta',))
    await more(product, user, dataset, table(HISTORY + 6))
    assert [row.forecasts for row in (await product.track.track(user.id, model='theta')).models] == [2]


async def test_bands_that_held_too_little_are_drawn_wider_the_next_time(product: Product, user: User) -> None:
    dataset = await brought(product, user)
    first = await forecast_of(product, user, dataset, levels=(80, 95))
    assert first.request['adapted'] == {}
    await more(product, user, dataset, table(HISTORY + H, shift=30))
    assert [one.coverage for one in (await product.track.track(user.id)).models] == [{'80': 0, '95': 0}] * 2
    second = await forecast_of(product, user, dataset, models=('theta', 'ets'), levels=(80,))
    assert list(second.request['adapted']) == ['theta']
    assert list(second.request['adapted']['theta']) == ['80']
    assert 80 < second.request['adapted']['theta']['80'] < 100
    other = await forecast_of(product, user, dataset, models=('theta',), step='W-MON')
    assert other.request['adapted'] == {}


async def test_a_band_is_as_wide_as_it_was_drawn_whatever_other_forecasts_drew(product: Product, user: User) -> None:
    dataset = await brought(product, user)
    await forecast_of(product, user, dataset, models=('seasonal_naive',), levels=(80, 95))
    await forecast_of(product, user, dataset, models=('seasonal_naive',), levels=(80,))
    await more(product, user, dataset, table(HISTORY + H))
    (both,) = (await product.track.track(user.id)).models
    assert both.forecasts == 2
    assert both.width['95'] == pytest.approx(2 * both.width['80'])


async def test_forecasts_of_one_cutoff_and_of_other_aggregates_are_no_further_evidence(
    product: Product, user: User
) -> None:
    dataset = await brought(product, user)
    asked = {'models': ('theta',), 'levels': (80,)}
    await forecast_of(product, user, dataset, **asked)
    await more(product, user, dataset, table(HISTORY + H, shift=30))
    once = (await forecast_of(product, user, dataset, **asked)).request['adapted']
    again = await brought(product, user)
    for _ in range(3):
        await forecast_of(product, user, again, **asked)
    await more(product, user, again, table(HISTORY + H, shift=30))
    assert (await forecast_of(product, user, again, **asked)).request['adapted'] == once != {}
    async with product.database.transaction(user.id) as tx:
        of = {'dataset_id': again.id, 'target': 'sold', 'models': ['theta'], 'levels': [80]}
        assert await adapted(tx, **of, step=None, aggregate='sum') == once


async def test_levels_follow_from_forecasts_of_the_same_aggregate(
    product: Product, user: User, postgres: EmbeddedPostgres
) -> None:
    dataset = await brought(product, user)
    await forecast_of(product, user, dataset, models=('theta',), levels=(80,))
    await more(product, user, dataset, table(HISTORY + H, shift=30))
    with psycopg.connect(postgres.dsn('superuser')) as connection:
        connection.execute('alter table public.forecasts disable trigger forecasts_issued')
        connection.execute(
            'update public.forecasts set request = request || %s', ('{"step": "D", "aggregate": "sum"}',)
        )
        connection.execute('alter table public.forecasts enable trigger forecasts_issued')
    async with product.database.transaction(user.id) as tx:
        of = {'dataset_id': dataset.id, 'target': 'sold', 'models': ['theta'], 'levels': [80], 'step': 'D'}
        assert list(await adapted(tx, **of, aggregate='sum')) == ['theta']
        assert await adapted(tx, **of, aggregate='mean') == {}


def numbers(jobs: list[Any]) -> list[int]:
    return [len(job.payload['issued']) for job in jobs]


async def test_a_complete_score_is_kept_while_its_values_are_the_same(
    product: Product, user: User, postgres: EmbeddedPostgres
) -> None:
    dataset = await brought(product, user)
    await forecast_of(product, user, dataset, models=('theta',))
    assert numbers(await more(product, user, dataset, table(HISTORY + H + 1))) == [1]
    before = await product.track.track(user.id)
    for days in (3, 5):  # a comparison alone; the rows that slide out of the file are long before
        assert numbers(await more(product, user, dataset, table(HISTORY + H + days, first=days))) == [0]
        assert await product.work_off(user) == []
    await forecast_of(product, user, dataset, models=('theta',))
    assert numbers(await more(product, user, dataset, table(HISTORY + H + 9))) == [1]
    assert await product.work_off(user) == []
    assert [row[1] for row in stored(postgres)] == [2, 5]
    last_right = table(HISTORY + H + 9).decode().splitlines()
    place = next(i for i, line in enumerate(last_right) if str(START + timedelta(HISTORY + 2)) in line)
    last_right[place] = f'{last_right[place].rpartition(",")[0]},1'
    assert numbers(await more(product, user, dataset, '\n'.join(last_right).encode())) == [1]
    (job,) = await product.work_off(user)
    assert (job.kind, job.state, numbers([job])) == ('score', JobState.SUCCEEDED, [1])
    assert [row[1] for row in stored(postgres)] == [2, 5, 6, 6]
    assert (await product.track.track(user.id)).overall != before.overall


async def test_a_comparison_that_fails_scores_all_anew(
    product: Product, user: User, postgres: EmbeddedPostgres
) -> None:
    dataset = await brought(product, user)
    forecast = await forecast_of(product, user, dataset, models=('theta',))
    await more(product, user, dataset, table(HISTORY + H + 1))
    version = await product.datasets.version(user.id, dataset.id)
    await forecast_of(product, user, dataset, models=('theta',))
    await product.objects.delete(version.parts[0])
    (job,) = await more(product, user, dataset, table(HISTORY + H + 2))
    assert job.state == JobState.FAILED
    while await product.work_off(user):
        pass
    assert [row[1] for row in stored(postgres)] == [2, 3, 3]
    _, scorings = await product.track.of_forecast(user.id, forecast.id)
    assert [(one.version, one.points) for one in scorings] == [(3, 12), (2, 12)]


async def test_a_task_that_does_not_compare_scores_all_anew(
    product: Product, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = await brought(product, user)
    await forecast_of(product, user, dataset, models=('theta',))
    await more(product, user, dataset, table(HISTORY + H + 1))
    real = TASKS['score']
    monkeypatch.setitem(TASKS, 'score', lambda payload, *rest: real({**payload, 'compare': None}, *rest))
    assert numbers(await more(product, user, dataset, table(HISTORY + H + 2))) == [0]
    assert numbers(await product.work_off(user)) == [1]
    assert await product.work_off(user) == []


async def test_another_tenant_sees_nothing(product: Product, user: User, database: Postgres) -> None:
    dataset = await brought(product, user)
    forecast = await forecast_of(product, user, dataset, models=('seasonal_naive',))
    await more(product, user, dataset, table(HISTORY + 3))
    stranger = await factories.user(database)
    track = await product.track.track(stranger.id)
    assert (track.issued, track.overall, track.models) == (0, None, [])
    assert (await product.track.track(stranger.id, dataset_id=dataset.id)).overall is None
    assert await product.track.forecasts(stranger.id) == []
    with pytest.raises(NotFound):
        await product.track.of_forecast(stranger.id, forecast.id)


@pytest.mark.parametrize('what', ['issued', 'compare'])
async def test_a_job_that_names_foreign_objects_is_not_run(
    product: Product, user: User, database: Postgres, what: str
) -> None:
    dataset = await brought(product, user)
    forecast = await forecast_of(product, user, dataset, models=('seasonal_naive',))
    (issued,) = await product.forecasts.issued(user.id, forecast.id)
    stranger = await factories.user(database)
    one = {'id': str(issued.id), 'key': issued.object_key, 'sha256': issued.sha256, 'history': []}
    foreign = (
        {'issued': [one]} if what == 'issued' else {'compare': {'parts': [issued.object_key], 'targets': ['sold']}}
    )
    async with product.database.system() as tx:
        job = await product.queue.enqueue(
            tx, user_id=stranger.id, kind='score', title='x', payload={'version': str(dataset.id), **foreign}
        )
    await product.jobs.advance(job.id)
    ended = await product.jobs.get(stranger.id, job.id)
    assert (ended.state, 'not yours' in ended.message) == (JobState.FAILED, True)


CHANGES = [
    "update public.forecasts set result = '{}'",
    "update public.forecasts set request = '{}'",
    'update public.forecasts set issued_at = now()',
    'update public.forecasts set issued_at = null',
    'update public.issued_forecasts set seed = 2',
    'update public.forecast_scores set points = 9',
]


@pytest.mark.parametrize('role', ['superuser', 'worker', 'app'])
async def test_nobody_changes_what_was_issued_or_scored(
    product: Product, user: User, postgres: EmbeddedPostgres, role: Any
) -> None:
    dataset = await brought(product, user)
    forecast = await forecast_of(product, user, dataset, models=('seasonal_naive',))
    await more(product, user, dataset, table(HISTORY + 3))
    changes = [*CHANGES, 'delete from public.forecasts'] if role == 'app' else CHANGES
    for change in changes:
        with psycopg.connect(postgres.dsn(role)) as connection:
            if role == 'app':
                connection.execute('set local role authenticated')
                claims = json.dumps({'sub': str(user.id)})
                connection.execute("select set_config('request.jwt.claims', %s, true)", (claims,))
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(change)
    with psycopg.connect(postgres.dsn('superuser')) as connection:
        connection.execute("update public.forecasts set name = 'another'")
    assert (await product.forecasts.get(user.id, forecast.id)).name == 'another'


async def test_the_archive_of_an_account_holds_its_scores(product: Product, user: User) -> None:
    dataset = await brought(product, user)
    await forecast_of(product, user, dataset, models=('seasonal_naive',))
    await more(product, user, dataset, table(HISTORY + 3))
    files = await unpacked(product, user)
    (score,), (issued,) = json.loads(files['scores.json']), json.loads(files['issued.json'])
    assert (score['issued_id'], score['points'], issued['seed']) == (issued['id'], 6, 1)


async def test_an_account_takes_its_track_record_along(
    product: Product, user: User, postgres: EmbeddedPostgres, open_product: Callable[..., Product]
) -> None:
    dataset = await brought(product, user)
    await forecast_of(product, user, dataset, models=('seasonal_naive',))
    await more(product, user, dataset, table(HISTORY + 3))
    async with product.database.system() as tx:
        await tx.run('profile_delete', id=user.id)
    assert stored(postgres) == []
