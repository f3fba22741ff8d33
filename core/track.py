"""The track record: issued forecasts are scored as new versions bring what came, and kept beside what they promised."""

import json
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from core.ask import DAY, in_steps
from core.errors import Unavailable, VariosyncError
from core.parts import listed
from core.ports import Database, JobQueue, Row, Transaction
from core.values import KEPT, Job, Version, zone_of

AT_ONCE = 100  # files that one job scores; the next one scores the rest
SMALLER = 10  # times that the next job is, after one that failed
MOST_DEAD = 10  # files of a version whose scoring ends the task: of more, it is not the files that it comes from
EVER = (('-infinity', 'infinity'),)  # the range of a change that may lie anywhere
MOST_NAMED = 500  # series that a job names for a file; of more, the file itself says which they are
MOST_SHOWN = 200
MOST_WAITING = 20
Completion = Callable[[Transaction, Job, Mapping[str, Any]], Awaitable[str | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """How issued forecasts did on what came after them; None is a figure that cannot be measured.

    `model` is None where it is about all of them, `first` and `last` (steps ahead) where it is about the whole horizon.
    `mase`, `rmsse`, `smape` and `sql` are taken over `points`; `coverage` is the share that a band held and `width` its
    mean width in MASE scales, each by level in percent as text. What a model is asked again from the same cutoff is no
    further evidence, and counts once.
    """

    model: str | None
    first: int | None
    last: int | None
    forecasts: int
    points: int
    mase: float | None
    rmsse: float | None
    smape: float | None
    sql: float | None
    coverage: Mapping[str, float]
    width: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """What has become of one model of an issued forecast: `points` of it have come up to `version` of the dataset.

    A `deleted` forecast counts as it did: it was issued. It `opens` only as long as it can be brought back.
    """

    forecast_id: UUID
    name: str
    deleted: bool
    dataset_id: UUID
    dataset_name: str
    model: str
    cutoff: datetime
    issued_at: datetime
    version: int
    points: int
    mase: float | None
    coverage: Mapping[str, float]
    opens: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """An issued forecast of which nothing has come: it waits for `steps`, such as "48 hours", after its `cutoff`.

    The cutoff is told by the clock of `zone`, by `days` alone where its steps are no shorter.
    """

    forecast_id: UUID
    name: str
    dataset_name: str
    steps: str
    cutoff: datetime
    zone: str
    days: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoring:
    """One time that a model of a forecast was scored, on a version; `problem` says why a part of it was not."""

    model: str
    version: int
    points: int
    scored_at: datetime
    problem: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """What a selection of forecasts held: in all, by model, by steps ahead, and by both.

    `overall` is None as long as nothing was scored; `issued` is how many forecasts there are, scored or not, without
    what-ifs.
    """

    issued: int
    overall: Figures | None
    models: Sequence[Figures]
    horizons: Sequence[Figures]
    parts: Sequence[Figures]


class TrackRecord:
    """Orders the scoring of issued forecasts and tells how they did. Scoring costs no hours."""

    def __init__(self, database: Database, *, queue: JobQueue) -> None:
        self._database = database
        self._queue = queue

    # what jobs do

    def after(self, completion: Completion) -> Completion:
        """Return a completion that also orders the scoring which it makes possible, in the same transaction."""

        async def both(tx: Transaction, job: Job, result: Mapping[str, Any]) -> str | None:
            said = await completion(tx, job, result)
            await self.order(tx, job)
            return said

        return both

    async def order(self, tx: Transaction, after: Job, *, most: int | None = None) -> Job | None:
        """Order the scoring of a dataset's shown version for what was issued before it, unless it is done or ordered.

        `after` is the job that ends in this transaction; the new one scores at most `most` files. Return it, None when
        there is nothing to do.
        """
        dataset = await tx.first('track_lock', dataset_id=after.dataset_id)
        shown = dataset and await tx.first('track_shown', dataset_id=after.dataset_id)
        if not dataset or not shown or await tx.first('track_open', dataset_id=after.dataset_id):
            return None
        version = Version(**shown)
        compare = await self._compare(tx, version)
        pending = await tx.all(
            'track_pending', version_id=version.id, compared=compare is None, limit=min(most or AT_ONCE, AT_ONCE)
        )
        if not pending and compare is None:
            return None
        return await self._queue.enqueue(
            tx,
            user_id=version.user_id,
            kind='score',
            title=f'Score forecasts of {dataset["name"]}'[:255],
            payload={
                'version': str(version.id),
                'parts': version.parts,
                'issued': [_issued(row) for row in pending],
                **({} if compare is None else {'compare': compare}),
            },
            dataset_id=version.dataset_id,
        )

    async def _compare(self, tx: Transaction, version: Version) -> dict[str, Any] | None:
        """Return what the task is told of the version to compare with, so that what did not change is not scored."""
        row = await tx.first('track_base', version_id=version.id)
        if row is None:
            return None
        base = Version(**row)
        targets = [one['target'] for one in await tx.all('track_targets', version_id=version.id, base_id=base.id)]
        return {'version': str(base.id), 'parts': base.parts, 'targets': targets} if targets else None

    async def scored(self, tx: Transaction, job: Job, result: Mapping[str, Any]) -> None:
        """Keep the scores of a job, in the transaction that ends it, and order what is left."""
        manifest = result['manifest']
        await self._changed(tx, job, manifest.get('changes'))
        for one in manifest['scores']:
            await tx.run(
                'score_insert',
                user_id=job.user_id,
                issued_id=one['id'],
                version_id=job.payload['version'],
                points=one['points'],
                reaches=one['reaches'],
                blocks=json.dumps(one['blocks']),
                complete=one.get('complete', False),
                since=one.get('since'),
                until=one.get('until'),
                problem=one.get('problem'),
                code=manifest['code'],
            )
        if job.payload.get('compare'):
            await self.order(tx, job)
        elif manifest['scores']:
            await self.order(tx, job, most=2 * len(manifest['scores']))

    async def _changed(self, tx: Transaction, job: Job, changes: Mapping[str, Any] | None) -> None:
        """Keep where the versions that a job compared differ: for what is known, everywhere, when it does not tell."""
        compared = job.payload.get('compare') or {}  # a user may have recorded a job with any payload
        for target in compared.get('targets', ()):
            await tx.run(
                'changes_insert',
                user_id=job.user_id,
                version_id=str(job.payload.get('version')),
                base_id=str(compared.get('version')),
                target=target,
                ranges=json.dumps((changes or {}).get(target, EVER)),
            )

    async def failed(self, tx: Transaction, job: Job, error: VariosyncError) -> None:
        """Order smaller jobs in the place of one that failed, down to the file that it comes from, which is named.

        What a service that is away left undone is ordered again by the next version or forecast.
        """
        issued: Sequence[Any] = job.payload.get('issued') or ()
        compare = job.payload.get('compare')
        if isinstance(error, Unavailable) or not (issued or compare):
            return
        version = str(job.payload.get('version'))
        if compare:
            await self._changed(tx, job, None)
        elif len(issued) == 1:
            await tx.run(
                'score_failed',
                user_id=job.user_id,
                issued_id=str(issued[0].get('id')),
                version_id=version,
                problem=error.message,
            )
        if (await tx.one('track_dead', version_id=version))['files'] < MOST_DEAD:
            await self.order(tx, job, most=max(1, len(issued) // SMALLER))

    # what users see

    async def track(self, user_id: UUID, *, dataset_id: UUID | None = None, model: str | None = None) -> Track:
        """Return what the user's forecasts held, of one dataset or of all, by one model or by all."""
        async with self._database.transaction(user_id) as tx:
            issued = await tx.one('track_issued', dataset_id=dataset_id, model=model)
            rows = await tx.all('track_sums', dataset_id=dataset_id, model=model, forecast_id=None)
        return _track(issued['forecasts'], rows)

    async def of_forecast(self, user_id: UUID, forecast_id: UUID) -> tuple[Track, Sequence[Scoring]]:
        """Return what one forecast held, and each time that it was scored, the newest first.

        Raise NotFound when it is not this user's.
        """
        async with self._database.transaction(user_id) as tx:
            await tx.one('forecast_by_id', id=forecast_id, deleted=True)
            rows = await tx.all('track_sums', dataset_id=None, model=None, forecast_id=forecast_id)
            scorings = [Scoring(**row) for row in await tx.all('track_scorings', forecast_id=forecast_id)]
        return _track(1, rows), scorings

    async def forecasts(
        self, user_id: UUID, *, dataset_id: UUID | None = None, model: str | None = None, limit: int = MOST_SHOWN
    ) -> Sequence[Scored]:
        """Return what became of each model of each forecast, the one that was issued last first."""
        async with self._database.transaction(user_id) as tx:
            rows = await tx.all('track_forecasts', dataset_id=dataset_id, model=model, limit=limit, kept=KEPT)
        return [_scored(row) for row in rows]

    async def waiting(
        self, user_id: UUID, *, dataset_id: UUID | None = None, model: str | None = None, limit: int = MOST_WAITING
    ) -> tuple[Sequence[Waiting], int]:
        """Return the forecasts that wait for their values, those of the earliest cutoff first, and how many do."""
        async with self._database.transaction(user_id) as tx:
            rows = await tx.all('track_waiting', dataset_id=dataset_id, model=model, limit=limit)
        return [_waiting(row) for row in rows], rows[0]['total'] if rows else 0


async def adapted(
    tx: Transaction, *, dataset_id: UUID, target: str, step: str | None, aggregate: str, models: Sequence[str],
    levels: Sequence[int],
) -> dict[str, dict[str, float]]:  # fmt: skip
    """Return the level to draw in the place of each promised one, by model and level in percent as text.

    It follows from what the bands of the earlier forecasts of a target held, as far as their values have come
    (`conformal.adapt`); `aggregate` tells them apart where there is a step. Models and levels without a record are left
    out.
    """
    rows = await tx.all(
        'track_held', dataset_id=dataset_id, target=target, step=step, aggregate=aggregate, models=list(models)
    )
    if not rows:
        return {}
    from core.analysis.forecasting import conformal

    wanted = {f'{level:g}' for level in levels}
    found: dict[str, dict[str, float]] = {}
    for model in dict.fromkeys(row['model'] for row in rows):
        own = [row for row in rows if row['model'] == model and row['level'] in wanted]
        record = [(float(row['level']), row['share'], row['points']) for row in own]
        drawn = {f'{level:g}': level_drawn for level, level_drawn in conformal.adapt(record).items()}
        if drawn:
            found[model] = drawn
    return found


def _issued(row: Row) -> dict[str, Any]:
    """What the task is told of a file that was issued (`core.analysis.record.scores`)."""
    asked = row['request']
    return {
        'id': str(row['id']),
        'key': row['object_key'],
        'sha256': row['sha256'],
        'history': [f'{row["prefix"]}/{name}' for name in listed({'history': row['history']}, 'history')],
        'series': asked['series'] if len(asked['series']) <= MOST_NAMED else [],
        **{name: asked[name] for name in ('target', 'step', 'aggregate')},
    }


def _track(issued: int, rows: Sequence[Row]) -> Track:
    found = [_figures(row) for row in rows]
    return Track(
        issued=issued,
        overall=next((one for one in found if one.model is None and one.first is None), None),
        models=[one for one in found if one.model is not None and one.first is None],
        horizons=[one for one in found if one.model is None and one.first is not None],
        parts=[one for one in found if one.model is not None and one.first is not None],
    )


def _figures(row: Row) -> Figures:
    levels = row['levels'] or {}
    square = _share(row['square'], row['scaled'])
    return Figures(
        **{name: row[name] for name in ('model', 'first', 'last', 'forecasts', 'points')},
        mase=_share(row['abs'], row['scaled']),
        rmsse=None if square is None else math.sqrt(square),
        smape=_share(row['smape'], row['points']),
        sql=_share(row['pinball'], row['drawn']),
        coverage=_coverage(levels),
        width={level: sums['width'] / sums['scaled'] for level, sums in _by_level(levels) if sums['scaled']},
    )


def _waiting(row: Row) -> Waiting:
    asked, time = row['request'], row['manifest']['time']
    step = asked.get('step')
    return Waiting(
        **{name: row[name] for name in ('forecast_id', 'name', 'dataset_name', 'cutoff')},
        steps=in_steps(asked['h'], step or time['freq']),
        zone=zone_of(row['manifest']),
        days=step != 'h' if step else (time['step_seconds'] or 0) >= DAY,
    )


def _scored(row: Row) -> Scored:
    mase = _share(row['abs'], row['scaled'])
    rest = {name: value for name, value in row.items() if name not in ('abs', 'scaled', 'levels')}
    return Scored(**rest, mase=mase, coverage=_coverage(row['levels'] or {}))


def _coverage(levels: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    return {level: sums['inside'] / sums['points'] for level, sums in _by_level(levels) if sums['points']}


def _by_level(levels: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, Mapping[str, Any]]]:
    return sorted(levels.items(), key=lambda item: float(item[0]))


def _share(total: float | None, count: int | None) -> float | None:
    return None if total is None or not count else float(total) / count
