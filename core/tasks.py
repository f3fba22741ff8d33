"""What Compute runs: object keys in, object keys and a manifest out. A task never sees the database.

Each task takes `(payload, objects, workdir, progress)`; running it twice with the same payload leaves the same objects.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import TaskFailed
from core.ports import Progress, TaskObjects

if TYPE_CHECKING:
    import polars

    from core.analysis.forecasting import Forecasts, Request
    from core.analysis.forecasting.backtest import Backtest
    from core.analysis.forecasting.learnt import Store

Payload = Mapping[str, Any]
Task = Callable[[Payload, TaskObjects, Path, Progress], dict[str, Any]]
HISTORY, NOTES, LEARNT = 'history.parquet', 'notes.parquet', 'learnt.zip'
EXPLAINED = 20  # series
MOST_LABELS = 1000
MOST_WARNINGS = 20  # of a model


def convert(payload: Payload, objects: TaskObjects, workdir: Path, progress: Progress) -> dict[str, Any]:
    """Convert the uploaded file `source` into a dataset version under `prefix`.

    `before` names the objects of a version that it extends: its manifest and its parts.
    """
    from core.analysis.ingest import asked
    from core.analysis.ingest import convert as convert_file

    source = objects.fetch(payload['source'], workdir)
    folder = workdir / 'version'
    folder.mkdir()
    before = [objects.fetch(key, workdir) for key in (payload.get('before') or {}).get('objects', ())]
    origin = payload['prefix'].rpartition('/')[2]
    options = asked(payload['options'], memory=payload['memory'], before=before, origin=origin)
    manifest = convert_file(source, name=payload['name'], into=folder, options=options, progress=progress)
    progress(0.97, 'Storing')
    return {
        'prefix': payload['prefix'],
        'objects': _store(folder, payload['prefix'], objects),
        'manifest': manifest.to_json(),
    }


def forecast(payload: Payload, objects: TaskObjects, workdir: Path, progress: Progress) -> dict[str, Any]:
    """Forecast the series of a stored version, or a `chunk` of them, and measure the models on the past.

    Leaves the history and its notes, and of each model its forecasts, its backtest and what explains it, under
    `prefix`. With a `budget` in seconds, what would take longer is left out: members of `auto`, then past windows.
    Models other than `auto` do not heed it: they cost what they cost.

    Of more series than fit into one call, `auto` is asked for in two steps: to `learn` from so many that are drawn from
    all, which leaves what it has learnt and measures it on their past; then to forecast a chunk with what was `learnt`.
    """
    from core.analysis.forecasting import backtest, diagnose, repair, run
    from core.analysis.record import code_version

    request = request_of(payload['request'])
    if 'auto' not in request.models:
        request = replace(request, budget=None)
    frame = _panel(payload, request, objects, workdir, progress)
    if 'learn' in payload:
        return _learn(payload, frame, request, objects, workdir, progress)
    windows, began = payload['request'].get('windows') or backtest.WINDOWS, time.perf_counter()
    share = backtest.share_of_forecast(frame['unique_id'].n_unique(), windows)
    store = _learnt(payload, objects, workdir)
    found = run(
        frame,
        replace(request, budget=request.budget and request.budget * share),
        whole=payload.get('chunk') is None and store is None,
        explain=EXPLAINED,
        store=store,
        progress=_phase(progress, 0.02, 0.6 if store is None else 0.9),
    )
    if found.rows.is_empty() or found.rows['status'].eq('failed').all():
        raise TaskFailed(_why(found.rows))
    tested, sums = None, {}
    if store is None:
        progress(0.6, 'Measuring how well the bands hold')
        tested = backtest.sample(
            frame,
            request,
            n_windows=windows,
            budget=request.budget and max(0.0, request.budget - (time.perf_counter() - began)),
            of=payload.get('n_series'),
            progress=_phase(progress, 0.6, 0.9),
        )
        sums = backtest.sums(tested.rows, request.levels, models=request.models, seconds=tested.seconds)
    folder = workdir / 'forecast'
    folder.mkdir()
    repair.without_strays(frame).drop(request.static).write_parquet(folder / HISTORY)
    noted = payload.get('notes', True)
    if noted:
        progress(0.9, 'Looking for anomalies and changepoints')
        diagnose.notes(frame, request).write_parquet(folder / NOTES)
    made_by = {'code': code_version(), 'seed': request.seed}
    models = [{**_write_model(found, tested, name, folder, windows=windows), **made_by} for name in request.models]
    progress(0.97, 'Storing')
    told = {'history': [HISTORY], 'notes': [NOTES] if noted else []}
    return _result(payload, folder, objects, labels=sorted(set(frame['unique_id'])), models=models, sums=sums, **told)


def _result(
    payload: Payload,
    folder: Path,
    objects: TaskObjects,
    *,
    labels: Sequence[str],
    models: Sequence[Mapping[str, Any]],
    sums: Mapping[str, Mapping[str, Any]],
    **files: Sequence[str],
) -> dict[str, Any]:
    """Store what a forecast has left in `folder`, and return what is told of it: models, scores, series, `files`."""
    from core.analysis.forecasting import backtest

    return {
        'prefix': payload['prefix'],
        'objects': _store(folder, payload['prefix'], objects),
        'manifest': {
            'models': models,
            'scores': [backtest.score_of(model, [own]) for model, own in sums.items()],
            'sums': sums,
            'series': labels[:MOST_LABELS],
            'n_series': len(labels),
            'span': [labels[0], labels[-1]],
            **files,
        },
    }


def _panel(
    payload: Payload, request: 'Request', objects: TaskObjects, workdir: Path, progress: Progress
) -> 'polars.DataFrame':
    """Return the series that a payload asks for: all, a chunk of them, or those to learn from."""
    from core.analysis import panel

    progress(0.0, 'Reading series')
    asked = payload['request']
    frame = panel.read(
        [objects.fetch(key, workdir) for key in payload['parts']],
        target=asked['target'],
        series=asked['series'],
        step=asked['step'],
        aggregate=asked['aggregate'],
        regressors=request.regressors,
        static=request.static,
        chunk=payload.get('chunk'),
        draw=(payload['learn'], request.seed) if 'learn' in payload else None,
        workdir=workdir,
    )
    return panel.changed(frame, asked.get('changes') or {})


def _learn(
    payload: Payload,
    frame: 'polars.DataFrame',
    request: 'Request',
    objects: TaskObjects,
    workdir: Path,
    progress: Progress,
) -> dict[str, Any]:
    """Leave what `auto` learns of some series for the forecast of all, and how it did on the past of some."""
    from core.analysis.forecasting import backtest, learn
    from core.analysis.forecasting.learnt import Store
    from core.analysis.record import code_version

    windows, began = payload['request'].get('windows') or backtest.WINDOWS, time.perf_counter()
    labels = sorted(set(frame['unique_id']))
    share = backtest.share_of_forecast(len(labels), windows)
    store = Store(workdir / 'learning')
    learn(
        frame,
        replace(request, budget=request.budget and request.budget * share),
        store,
        of=payload['n_series'],
        progress=_phase(progress, 0.02, 0.6),
    )
    took = time.perf_counter() - began
    progress(0.6, 'Measuring how well the bands hold')
    left = request.budget and max(0.0, request.budget - took)
    tested = backtest.sample(frame, request, n_windows=windows, budget=left, progress=_phase(progress, 0.6, 0.97))
    progress(0.97, 'Storing')
    folder = workdir / 'forecast'
    folder.mkdir()
    store.pack(folder / LEARNT)
    sums = backtest.sums(tested.rows, request.levels, models=request.models, seconds=tested.seconds)
    made_by = {'code': code_version(), 'seed': request.seed}
    none = {'files': [], 'explained': [], 'rows': 0, 'cutoff': None, 'series': {}, 'weights': None}
    models = [
        {**none, 'name': name, **_write_backtest(tested, name, folder, windows=windows), 'seconds': took, **made_by}
        for name in request.models
    ]
    told: dict[str, list[str]] = {'history': [], 'notes': [], 'learnt': [LEARNT]}
    return _result(payload, folder, objects, labels=labels, models=models, sums=sums, **told)


def _learnt(payload: Payload, objects: TaskObjects, workdir: Path) -> 'Store | None':
    """Return what was learnt before, where a payload names it."""
    from core.analysis.forecasting.learnt import Store

    named = payload.get('learnt')
    return Store.read(objects.fetch(named[0]['key'], workdir), workdir / 'learnt') if named else None


def request_of(asked: Payload) -> 'Request':
    """Return what a payload's request (or a command's arguments) asks of the models."""
    from core.analysis.forecasting import Request

    adapted = asked.get('adapted') or {}
    cores, seed = asked.get('cores'), asked.get('seed')
    return Request(
        h=asked['h'],
        freq=asked.get('freq') or asked.get('step'),
        models=tuple(asked['models']),
        levels=tuple(asked['levels']),
        cores=1 if cores is None else cores,
        seed=1 if seed is None else seed,
        regressors=tuple(asked.get('regressors') or ()),
        static=tuple(asked.get('static') or ()),
        holidays=asked.get('holidays') or None,
        options=asked.get('options') or {},
        budget=asked.get('budget'),
        adapted={model: {float(level): to for level, to in own.items()} for model, own in adapted.items()},
    )


def _phase(progress: Progress, begin: float, end: float) -> Progress:
    return lambda part, text: progress(begin + (end - begin) * part, text)


def _why(rows: 'polars.DataFrame') -> str:
    warnings = [text for text in rows['warning'].unique() if text] if not rows.is_empty() else []
    return f'No series could be forecast. {warnings[0] if warnings else "The data holds no values."}'


def _write_model(
    found: 'Forecasts', tested: 'Backtest | None', name: str, folder: Path, *, windows: int
) -> dict[str, Any]:  # fmt: skip
    """Write one model's rows, backtest and explanation, and count its series by status and by past windows."""
    from core.analysis.forecasting import explained, said

    own = found.rows.filter(found.rows['model'] == name)
    counts = own.select(['unique_id', 'status']).unique()['status'].value_counts()
    cutoffs, noted = own['cutoff'].drop_nulls(), found.noted[name]
    past = (
        {'backtests': [], 'warnings': []} if tested is None else _write_backtest(tested, name, folder, windows=windows)
    )
    return {
        'name': name,
        **past,
        'files': _write(own, folder, f'forecast-{name}.parquet'),
        'explained': _write(explained(found.explained.get(name, ())), folder, f'explained-{name}.parquet'),
        'rows': own.height,
        'cutoff': str(cutoffs.max()) if len(cutoffs) else None,
        'first_cutoff': str(cutoffs.min()) if len(cutoffs) else None,
        'series': dict(counts.iter_rows()),
        'warnings': [*past['warnings'], *said.ranked(noted)][:MOST_WARNINGS],
        'about': said.about(noted),
        'weights': found.weights.get(name),
        'seconds': round(found.seconds[name], 3),
    }


def _write_backtest(tested: 'Backtest', name: str, folder: Path, *, windows: int) -> dict[str, Any]:
    """Write one model's backtest, and count its series by past windows."""
    from core.analysis.forecasting import backtest

    measured = backtest.counted(tested.windows.get(name, {}))
    short = backtest.shortfall(measured, windows)
    return {
        'backtests': _write(tested.rows.filter(tested.rows['model'] == name), folder, f'backtest-{name}.parquet'),
        'windows': {'asked': windows, 'series': measured},
        'warnings': [short] if short else [],
    }


def _write(table: 'polars.DataFrame', folder: Path, name: str) -> list[str]:
    """Write a table that has rows, and return the names of the files that were."""
    if table.is_empty():
        return []
    table.write_parquet(folder / name)
    return [name]


def _store(folder: Path, prefix: str, objects: TaskObjects) -> list[dict[str, Any]]:
    stored = [objects.put_file(f'{prefix}/{path.name}', path) for path in sorted(folder.iterdir())]
    return [{'key': info.key, 'size': info.size, 'sha256': info.sha256} for info in stored]


def score(payload: Payload, objects: TaskObjects, workdir: Path, progress: Progress) -> dict[str, Any]:
    """Score what was `issued` on the rows `parts` of a later version; nothing is stored.

    `compare` names the `parts` of an earlier version, and the `targets` to tell where values of the two differ.
    """
    from core.analysis import record

    parts = [objects.fetch(key, workdir) for key in payload['parts']]
    found = record.scores(
        parts, payload['issued'], fetch=lambda key: objects.fetch(key, workdir), workdir=workdir, progress=progress
    )
    manifest: dict[str, Any] = {'scores': found, 'code': record.code_version()}
    if compare := payload.get('compare'):
        before = [objects.fetch(key, workdir) for key in compare['parts']]
        manifest['changes'] = {
            target: record.changes(before, parts, target=target, workdir=workdir) for target in compare['targets']
        }
    return {'prefix': payload['prefix'], 'objects': [], 'manifest': manifest}


def ping(payload: Payload, objects: TaskObjects, workdir: Path, progress: Progress) -> dict[str, Any]:
    """Show that tasks run at all (`variosync doctor`)."""
    return {}


TASKS: Mapping[str, Task] = {'convert': convert, 'forecast': forecast, 'score': score, 'ping': ping}
