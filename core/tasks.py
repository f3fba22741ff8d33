"""What Compute runs: object keys in, object keys and a manifest out. A task never sees the database.

Each task takes `(payload, objects, workdir, progress)`; running it twice with the same payload leaves the same objects.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import TaskFailed, VariosyncError
from core.ports import Progress, TaskObjects

if TYPE_CHECKING:
    import polars

Payload = Mapping[str, Any]
Task = Callable[[Payload, TaskObjects, Path, Progress], dict[str, Any]]
MOST_SCORED_SERIES = 50
WHOLE = 'whole'


def convert(payload: Payload, objects: TaskObjects, workdir: Path, progress: Progress) -> dict[str, Any]:
    """Convert the uploaded file `source` into a dataset version under `prefix`."""
    from core.analysis.ingest import Options
    from core.analysis.ingest import convert as convert_file

    source = objects.fetch(payload['source'], workdir)
    folder = workdir / 'version'
    folder.mkdir()
    options = Options(**{**payload['options'], 'memory': payload['memory']})
    manifest = convert_file(source, name=payload['name'], into=folder, options=options, progress=progress)
    progress(0.97, 'Storing')
    return {
        'prefix': payload['prefix'],
        'objects': _store(folder, payload['prefix'], objects),
        'manifest': manifest.to_json(),
    }


def forecast(payload: Payload, objects: TaskObjects, workdir: Path, progress: Progress) -> dict[str, Any]:
    """Forecast the series of a stored version: history, one file a model and the scores, under `prefix`."""
    from core.analysis import panel
    from core.analysis.forecasting import Request, scores
    from core.analysis.forecasting import forecast as run

    progress(0.0, 'Reading series')
    parts = [objects.fetch(key, workdir) for key in payload['parts']]
    asked = payload['request']
    frame = panel.read(
        parts,
        target=asked['target'],
        series=asked['series'],
        step=asked['step'],
        aggregate=asked['aggregate'],
        workdir=workdir,
    )
    request = Request(
        h=asked['h'], freq=asked['step'], models=tuple(asked['models']), levels=tuple(asked['levels']), cores=1
    )
    rows = run(frame, request, progress=lambda part, text: progress(0.02 + 0.78 * part, text))
    if rows.is_empty() or rows['status'].eq('failed').all():
        raise TaskFailed(_why(rows))
    progress(0.8, 'Measuring how well the bands hold')
    measured = scores(_some(frame), request, progress=lambda part, text: progress(0.8 + 0.17 * part, text))
    folder = workdir / 'forecast'
    folder.mkdir()
    frame.write_parquet(folder / 'history.parquet')
    models = [_write_model(rows, name, folder) for name in request.models]
    return {
        'prefix': payload['prefix'],
        'objects': _store(folder, payload['prefix'], objects),
        'manifest': {
            'models': models,
            'scores': measured,
            'series': sorted(set(frame['unique_id']))[:1000],
            'history': 'history.parquet',
        },
    }


def _some(frame: 'polars.DataFrame') -> 'polars.DataFrame':
    ids = sorted(set(frame['unique_id']))[:MOST_SCORED_SERIES]
    return frame.filter(frame['unique_id'].is_in(ids))


def _why(rows: 'polars.DataFrame') -> str:
    warnings = [text for text in rows['warning'].unique() if text] if not rows.is_empty() else []
    return f'No series could be forecast. {warnings[0] if warnings else "The data holds no values."}'


def _write_model(rows: 'polars.DataFrame', name: str, folder: Path) -> dict[str, Any]:
    """Write one model's rows and count its series by status."""
    own = rows.filter(rows['model'] == name)
    file = f'forecast-{name}.parquet'
    own.write_parquet(folder / file)
    counts = own.select(['unique_id', 'status']).unique()['status'].value_counts()
    latest = own['cutoff'].drop_nulls().max()
    return {
        'name': name,
        'file': file,
        'rows': own.height,
        'cutoff': str(latest) if latest is not None else None,
        'series': dict(counts.iter_rows()),
        'warnings': sorted({text for text in own['warning'] if text})[:20],
    }


def _store(folder: Path, prefix: str, objects: TaskObjects) -> list[dict[str, Any]]:
    stored = [objects.put_file(f'{prefix}/{path.name}', path) for path in sorted(folder.iterdir())]
    return [{'key': info.key, 'size': info.size, 'sha256': info.sha256} for info in stored]


def inspect_file(arguments: Payload, workdir: Path, progress: Progress) -> dict[str, Any]:
    """`variosync inspect`: how a file would be read (`core.analysis.ingest.inspect`)."""
    from core.analysis.ingest import Options, inspect

    options = Options(
        memory=arguments['memory'],
        time_zone=arguments['time_zone'],
        day_first=arguments['day_first'],
        max_faults=arguments['max_faults'],
    )
    return inspect(Path(arguments['path']), name=arguments['name'], options=options)


def convert_file(arguments: Payload, workdir: Path, progress: Progress) -> dict[str, Any]:
    """`variosync convert`: write the clean table, or with `raw` the table as text, to `out`."""
    from core.analysis import tables
    from core.analysis.ingest import Options, export
    from core.analysis.ingest.reader import read, write_raw_csv

    path, name, out = Path(arguments['path']), arguments['name'], Path(arguments['out'])
    if arguments['raw']:
        table = read(path, name=name, workdir=workdir, memory=arguments['memory'])
        write_raw_csv(table, out)
        repaired = tables.count_flagged(table.path)
        return {
            'rows_read': table.rows_read,
            'rows_accepted': table.rows_read - table.rejected - repaired,
            'rows_repaired': repaired,
            'rows_rejected': table.rejected,
            'notes': list(table.notes),
        }
    options = Options(memory=arguments['memory'], time_zone=arguments['time_zone'], day_first=arguments['day_first'])
    return export(path, name=name, out=out, options=options)


def forecast_file(arguments: Payload, workdir: Path, progress: Progress) -> dict[str, Any]:
    """`variosync forecast`: forecast every series of a file and write the rows to `out`."""
    from core.analysis import panel
    from core.analysis.forecasting import Request
    from core.analysis.forecasting import forecast as run

    frame, left_out = panel.read_file(
        Path(arguments['path']),
        name=arguments['name'],
        time=arguments['time'],
        id_column=arguments['id'],
        target=arguments['target'],
        day_first=arguments['day_first'],
        memory=arguments['memory'],
        workdir=workdir,
    )
    request = Request(
        h=arguments['h'],
        freq=arguments['freq'],
        models=tuple(arguments['models']),
        levels=tuple(arguments['levels']),
        cores=arguments['cores'],
    )
    rows = run(frame, request, progress=progress)
    out = Path(arguments['out'])
    panel.write(rows, out)
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


def ping(payload: Payload, objects: TaskObjects, workdir: Path, progress: Progress) -> dict[str, Any]:
    """Show that tasks run at all (`variosync doctor`)."""
    return {}


TASKS: Mapping[str, Task] = {'convert': convert, 'forecast': forecast, 'ping': ping}


def split(task: str, payload: Payload) -> dict[str, Payload]:
    """Return what can run side by side, by name: a forecast's models, else the whole.

    Each part is a payload of the same task, and leaves its objects in a folder of its own below `prefix`.
    """
    models = _models(payload) if task == 'forecast' else ()
    if len(models) < 2:
        return {WHOLE: payload}
    return {
        model: {
            **payload,
            'prefix': f'{payload["prefix"]}/{model}',
            'request': {**payload['request'], 'models': [model]},
        }
        for model in models
    }


def _models(payload: Payload) -> list[str]:
    """Return the models that a payload asks for, or none when it is no payload that could be split."""
    from core.analysis.forecasting import MODELS

    match payload:
        case {'request': {'models': [*models]}} if all(isinstance(name, str) and name in MODELS for name in models):
            return models
    return []


def merge(payload: Payload, answers: Mapping[str, Mapping[str, Any] | VariosyncError]) -> dict[str, Any]:
    """Return the result of the task that `payload` was split from, in the order of `answers`.

    Files are named from the folder of all attempts, because parts may come from different ones. Parts that failed are
    named under `missing`, with the reason. Raise the first part's error when all of them failed.
    """
    done = {part: answer for part, answer in answers.items() if not isinstance(answer, VariosyncError)}
    missing = {part: answer.message for part, answer in answers.items() if isinstance(answer, VariosyncError)}
    if not done:
        raise next(answer for answer in answers.values() if isinstance(answer, VariosyncError))
    if WHOLE in done:
        return dict(done[WHOLE])
    attempts, _, _ = payload['prefix'].rpartition('/')
    folders = {part: answer['prefix'].removeprefix(f'{attempts}/') for part, answer in done.items()}
    models = [
        _left_out(part, missing[part]) if part in missing else _moved(folders[part], done[part]) for part in answers
    ]
    first, result = next(iter(done.items()))
    return {
        'prefix': attempts,
        'objects': [item for answer in done.values() for item in answer['objects']],
        'manifest': {
            'models': models,
            'scores': [score for answer in done.values() for score in answer['manifest']['scores']],
            'series': result['manifest']['series'],
            'history': f'{folders[first]}/history.parquet',
        },
        'missing': missing,
        'seconds': sum(answer['seconds'] for answer in done.values()),
    }


def _moved(folder: str, answer: Mapping[str, Any]) -> dict[str, Any]:
    (model,) = answer['manifest']['models']
    return {**model, 'file': f'{folder}/{model["file"]}'}


def _left_out(model: str, reason: str) -> dict[str, Any]:
    said = [f'There is no forecast by this model. {reason}']
    return {'name': model, 'file': None, 'rows': 0, 'cutoff': None, 'series': {}, 'warnings': said}
