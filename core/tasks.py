"""What Compute runs: object keys in, object keys and a manifest out. A task never sees the database.

Each task takes `(payload, objects, workdir, progress)`; running it twice with the same payload leaves the same objects.
"""

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from core.errors import SeriesTooShort, TaskFailed, UnusableData, UsageError
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
TABLES = ('.csv', '.parquet')


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

    request = _request(payload['request'])
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


def _request(asked: Payload) -> 'Request':
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


def inspect_file(arguments: Payload, workdir: Path, progress: Progress) -> dict[str, Any]:
    """`variosync inspect`: how a file would be read (`core.analysis.ingest.inspect`).

    The faults that are listed, and written to `out` if given, are those that `where` and `lines` leave, from `offset`.
    """
    from core.analysis import tables
    from core.analysis.ingest import asked, inspect

    options = asked(arguments['options'], memory=arguments['memory'], max_faults=0)
    faults, out = workdir / 'listed-faults.parquet', arguments.get('out')
    report = inspect(Path(arguments['path']), name=arguments['name'], options=options, faults_to=faults)
    where, (first, last) = arguments.get('where') or {}, arguments.get('lines') or (None, None)
    offset, limit = arguments.get('offset', 0), arguments['max_faults']
    order = ('line', 'column')
    found = tables.page([faults], offset=offset, limit=limit, order=order, where=where, lines=(first, last))
    if out:
        tables.export([faults], Path(out), where=where, lines=(first, last))
    names = found.columns
    return report | {
        'faults': [dict(zip(names, row, strict=True)) for row in found.rows],
        'faults_chosen': found.total,
    }


def convert_file(arguments: Payload, workdir: Path, progress: Progress) -> dict[str, Any]:
    """`variosync convert`: write the clean table of a file, or with `raw` the table as text, to the file `out`.

    An `out` that is neither .csv nor .parquet is a folder for the dataset that an upload would make
    (docs/dataset-format.md). With `onto`, the file joins the dataset of that folder, which may be `out`; its zone and
    its recipe go on unless others are told. `recipe` are cleaning steps.
    """
    from core.analysis import tables
    from core.analysis.ingest import asked, export
    from core.analysis.ingest import convert as convert_whole

    path, name, out = Path(arguments['path']), arguments['name'], Path(arguments['out']).resolve()
    is_table = Path(arguments['out']).suffix in TABLES
    told, onto, recipe = dict(arguments['options']), arguments.get('onto'), arguments.get('recipe')
    if arguments['raw']:
        return _raw_table(arguments, workdir)
    if is_table and not onto and not recipe:
        return export(path, name=name, out=out, options=asked(told, memory=arguments['memory']))
    if not is_table:
        _beside(out)  # before the work, not after it
    before, usual = _stored_dataset(Path(onto)) if onto else ([], {})
    told = {**usual, **told} | ({} if recipe is None else {'recipe': recipe})
    with TemporaryDirectory(prefix=f'.{out.name}-', dir=out.parent) as beside:
        folder = Path(beside) / 'new'
        folder.mkdir()
        options = asked(told, memory=arguments['memory'], before=before)
        manifest = convert_whole(path, name=name, into=folder, options=options, progress=progress)
        parts = sorted(folder.glob('data-*.parquet'))
        if is_table:
            written = Path(beside) / f'out{out.suffix}'
            tables.export(parts, written, guarded=False, zone=manifest.time.zone)
            written.replace(out)
        else:
            _put_in_place(folder, out)
    return {
        'rows_read': manifest.rows_read,
        'rows_accepted': manifest.rows_accepted,
        'rows_repaired': manifest.rows_repaired,
        'rows_rejected': manifest.rows_rejected,
        'faults_total': manifest.faults_total,
        'faults_by_kind': dict(manifest.faults_by_kind),
        'columns': [{'name': column.name, 'type': column.type, 'role': column.role} for column in manifest.columns],
        'notes': list(manifest.source.notes),
        'warnings': list(manifest.warnings),
        'hints': [hint['text'] for hint in manifest.hints],
        'recipe': [dict(step) for step in manifest.recipe],
        'rows': sum(file.rows for file in manifest.files if file.name.startswith('data-')),
    }


def _raw_table(arguments: Payload, workdir: Path) -> dict[str, Any]:
    """Write a file's table as text, cells unchanged."""
    from core.analysis import tables
    from core.analysis.ingest.rawtable import Chosen
    from core.analysis.ingest.reader import read, write_raw_csv

    chosen = Chosen.from_json(arguments['options'].get('reading', {}))
    path = Path(arguments['path'])
    table = read(path, name=arguments['name'], workdir=workdir, memory=arguments['memory'], chosen=chosen)
    write_raw_csv(table, Path(arguments['out']))
    repaired = tables.count_flagged(table.path)
    return {
        'rows_read': table.rows_read,
        'rows_accepted': table.rows_read - table.rejected - repaired,
        'rows_repaired': repaired,
        'rows_rejected': table.rejected,
        'notes': list(table.notes),
    }


def _stored_dataset(folder: Path) -> tuple[list[Path], dict[str, Any]]:
    """Return what of a dataset's folder a further file joins, and the options that go on from it.

    Raise UsageError when the folder holds no whole dataset.
    """
    from core.analysis import recipes
    from core.analysis.ingest import Manifest

    told = folder / 'manifest.json'
    try:
        manifest = Manifest.from_json(json.loads(told.read_text(encoding='utf-8')))
    except OSError as error:
        raise UsageError(f'{folder} holds no dataset. Name a folder that `variosync convert` wrote.') from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f'{told} is not the manifest of a dataset. Convert its files anew.') from error
    for file in manifest.files:
        path = folder / file.name
        if path.parent != folder or not path.is_file() or path.stat().st_size != file.bytes:
            raise UsageError(f'{path} is not as its manifest says. Bring it back, or convert its files anew.')
    stored = 'base-' if manifest.base else 'data-'
    parts = [folder / file.name for file in manifest.files if file.name.startswith(stored)]
    usual = {'time_zone': manifest.time.zone, 'recipe': recipes.steps_of(manifest.to_json())}
    return [told, *parts], usual


def _beside(out: Path) -> Path:
    """Return where the files of the dataset in the folder `out` are kept while others take their place.

    Raise UsageError when something lies there: an earlier run may have been broken off between the two.
    """
    old = out.with_name(f'{out.name}.before')
    if old.exists():
        raise UsageError(
            f'{old} keeps the files of an earlier run that was broken off. Move them back to {out}, or remove that '
            'folder if the dataset is whole.'
        )
    return old


def _put_in_place(new: Path, out: Path) -> None:
    """Let the files of a whole dataset take the place of those that the manifest in the folder `out` names.

    All other files stay. When anything fails, everything is as it was before. What is taken away lies in a folder
    beside `out` until all is in place, where it is found again after a crash.
    Raise UsageError when a file that is not of the dataset has the name of a new one.
    """
    if not out.exists():
        new.rename(out)
        return
    named = [path for path in _named(out) if path.is_file()]
    coming = sorted(new.iterdir(), key=lambda path: path.name == 'manifest.json')  # the manifest comes last
    for path in coming:
        target = out / path.name
        if target not in named and os.path.lexists(target):
            raise UsageError(f'{target} is in the way and is not of the dataset. Move it, or choose another folder.')
    old = _beside(out)
    with ExitStack() as undo:
        old.mkdir()
        undo.callback(old.rmdir)
        moves = [(path, old / path.name) for path in named] + [(path, out / path.name) for path in coming]
        for source, target in moves:
            source.rename(target)
            undo.callback(target.rename, source)
        undo.pop_all()
    shutil.rmtree(old, ignore_errors=True)  # the dataset is whole; what stays is told by the next run


def _named(folder: Path) -> list[Path]:
    """Return the manifest of the dataset in a folder and the files that it names; nothing where there is none."""
    told = folder / 'manifest.json'
    try:
        names = [file['name'] for file in json.loads(told.read_text(encoding='utf-8'))['files']]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [
        told,
        *(folder / name for name in dict.fromkeys(names) if isinstance(name, str) and Path(name).name == name),
    ]


def forecast_file(arguments: Payload, workdir: Path, progress: Progress) -> dict[str, Any]:
    """`variosync forecast`: forecast every series of a file and write the rows to `out`."""
    from core.analysis import panel
    from core.analysis.forecasting import forecast as run

    frame, left_out = _read_file(arguments, workdir)
    rows = run(frame, _request(arguments), progress=progress)
    out = Path(arguments['out'])
    panel.write(panel.by_clock(rows, arguments['time_zone'], 'ds', 'cutoff'), out)
    ok = rows.filter(rows['status'] != 'failed')['unique_id'].n_unique()
    return {
        'out': str(out),
        'rows': rows.height,
        'series': rows['unique_id'].n_unique(),
        'series_ok': ok,
        'rows_rejected': left_out,
        'models': sorted(set(rows['model'])),
        'warnings': sorted({text for text in rows['warning'] if text})[:20],
    }


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


def backtest_file(arguments: Payload, workdir: Path, progress: Progress) -> dict[str, Any]:
    """`variosync backtest`: write the leaderboard of a file's past to `out`, and the rows behind it to `rows`.

    Raise UnusableData when nothing can be measured, SeriesTooShort when that is because no series is long enough.
    """
    from core.analysis import panel
    from core.analysis.forecasting import backtest

    frame, left_out = _read_file(arguments, workdir)
    request = _request(arguments)
    n_windows = arguments['n_windows']
    found = backtest.run(frame, request, n_windows=n_windows, step_size=arguments['step_size'], progress=progress)
    windows = next(iter(found.windows.values()))
    board = backtest.leaderboard(found.rows, request.levels, models=request.models, seconds=found.seconds)
    if not any(score['points'] for score in board):
        raise _unmeasured(windows, request.h)
    by = arguments['by']
    written = board if by is None else backtest.leaderboard(found.rows, request.levels, by, models=request.models)
    out = Path(arguments['out'])
    panel.write(backtest.flat(written), out)
    if arguments['rows']:
        panel.write(panel.by_clock(found.rows, arguments['time_zone'], 'ds', 'cutoff'), Path(arguments['rows']))
    return {
        'out': str(out),
        'series': frame['unique_id'].n_unique(),
        'rows_rejected': left_out,
        'rows': found.rows.height,
        'scores': board,
        'windows': windows,
        'warnings': list(filter(None, [backtest.shortfall(backtest.counted(windows), n_windows)])),
    }


def _unmeasured(windows: Mapping[str, int], h: int) -> UnusableData:
    if any(windows.values()):
        return UnusableData('Nothing could be measured: no series has a value after a cutoff.')
    which = 'the series is' if len(windows) == 1 else f'all {len(windows):,} series are'
    return SeriesTooShort(
        f'Nothing could be measured: {which} too short for '
        f'one past window of {h} steps, which needs {2 * h + 4} points at least. Take a smaller --h.'
    )


def _read_file(arguments: Payload, workdir: Path) -> tuple['polars.DataFrame', int]:
    from core.analysis import panel

    future = arguments.get('future')
    return panel.read_file(
        Path(arguments['path']),
        name=arguments['name'],
        time=arguments['time'],
        id_column=arguments['id'],
        target=arguments['target'],
        day_first=arguments['day_first'],
        memory=arguments['memory'],
        workdir=workdir,
        regressors=arguments.get('regressors') or (),
        static=arguments.get('static') or (),
        future=Path(future) if future else None,
        zone=arguments['time_zone'],
    )


def ping(payload: Payload, objects: TaskObjects, workdir: Path, progress: Progress) -> dict[str, Any]:
    """Show that tasks run at all (`variosync doctor`)."""
    return {}


TASKS: Mapping[str, Task] = {'convert': convert, 'forecast': forecast, 'score': score, 'ping': ping}
