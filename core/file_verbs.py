"""What the command line does with files of this machine: inspect, convert, forecast and backtest, without a server.

Each verb takes `(arguments, workdir, progress)` and runs in a child process, as tasks do (`Root.run_local`).
"""

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from core.errors import SeriesTooShort, UnusableData, UsageError
from core.ports import Progress

if TYPE_CHECKING:
    import polars

from core.tasks import Payload, request_of

TABLES = ('.csv', '.parquet')


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
            tables.export(parts, written, guarded=False, time=manifest.time.column, zone=manifest.time.zone)
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
    """`variosync forecast`: forecast every series of a file and write the rows to `out`.

    `warned` names the series of each warning, which the rows do without.
    """
    from core.analysis import results
    from core.analysis.forecasting import forecast as run

    frame, left_out = _read_file(arguments, workdir)
    rows = run(frame, request_of(arguments), progress=progress)
    out = Path(arguments['out'])
    results.write(rows, out, zone=arguments['time_zone'])
    warned = results.warned(rows)
    ok = rows.filter(rows['status'] != 'failed')['unique_id'].n_unique()
    return {
        'out': str(out),
        'rows': rows.height,
        'series': rows['unique_id'].n_unique(),
        'series_ok': ok,
        'rows_rejected': left_out,
        'models': sorted(set(rows['model'])),
        'warnings': list(warned)[:20],
        'warned': warned,
    }


def backtest_file(arguments: Payload, workdir: Path, progress: Progress) -> dict[str, Any]:
    """`variosync backtest`: write the leaderboard of a file's past to `out`, and the rows behind it to `rows`.

    Raise UnusableData when nothing can be measured, SeriesTooShort when that is because no series is long enough.
    """
    from core.analysis import panel, results
    from core.analysis.forecasting import backtest

    frame, left_out = _read_file(arguments, workdir)
    request = request_of(arguments)
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
        results.write(found.rows, Path(arguments['rows']), zone=arguments['time_zone'])
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
