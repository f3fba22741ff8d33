"""The same job by the command line, without a server."""

import csv
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from subprocess import Popen
from tempfile import TemporaryFile

import httpx
import pyarrow.parquet as pq
import pytest

from core.errors import NotSignedIn, Unavailable, UsageError
from run_nicegui import Root, main
from storage.embedded.compute import READY
from storage.embedded.nursery import Nursery
from tests.counterparts.fault_proxy import Fault, FaultProxy
from tests.e2e.forked import FORKS, Forked
from tests.e2e.forked import run as forked
from tests.e2e.server import ROOT, Server, free_port, python
from ui.cli import client as sender
from ui.cli import run
from ui.cli.client import Arrived, Client

SERVED = pytest.mark.xdist_group('command line')  # one server serves them all
AIRLINE = ROOT / 'tests' / 'data' / 'air_passengers.csv'


def process(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The command as a shell runs it."""
    return subprocess.run(
        [*python(str(ROOT / 'run_nicegui.py')), *map(str, arguments)], capture_output=True, text=True, timeout=300
    )


INTERRUPTED = """
import os, signal, sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
import run_nicegui
run_nicegui.main()
"""


@pytest.mark.parametrize(
    ('verb', 'name'), [('', 'ui.cli'), ('link', 'core.services'), ('worker', 'storage.adapters'), ('serve', 'ui.serve')]
)
def test_an_interrupt_while_modules_are_imported_ends_without_a_word(verb: str, name: str, tmp_path: Path):
    (tmp_path / 'lock').touch()  # a first start is told of
    environment = {**os.environ, 'VARIOSYNC_HOME': str(tmp_path), 'VARIOSYNC_PORT': str(free_port())}
    command = python('-c', INTERRUPTED.format(name=name), *verb.split())
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, '', '')


def test_only_who_opens_services_waits_for_them():
    """A start of `--help`, of a verb that asks a server, or of one that works on files is short."""
    imported = '{"core.services", "psycopg", "structlog"} & {*sys.modules}'
    script = f'import sys, run_nicegui, ui.cli, ui.cli.client; print({imported})'
    said = subprocess.run(python('-c', script), cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert said == 'set()\n'


def test_a_task_waits_for_no_settings():
    modules = ', '.join(('sys', 'storage.embedded.child', *READY))
    script = f'import {modules}; print({{"core.settings", "pydantic_settings"}} & {{*sys.modules}})'
    said = subprocess.run(python('-c', script), cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert said == 'set()\n'


Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def variosync(monkeypatch: pytest.MonkeyPatch, nursery: Nursery) -> Command:
    """The command in this process, whose children have imported ahead; each verb runs once as a process too."""

    class Here(Root):
        run_local = staticmethod(partial(Root.run_local, nursery=nursery))

    def call(*arguments: object) -> subprocess.CompletedProcess[str]:
        out, err = io.StringIO(), io.StringIO()
        monkeypatch.setattr('sys.argv', ['variosync', *map(str, arguments)])
        with pytest.raises(SystemExit) as ended, redirect_stdout(out), redirect_stderr(err):
            run(Here())
        status = ended.value.code
        assert isinstance(status, int)
        return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())

    return call


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_inspect_tells_everything():
    said = process('inspect', AIRLINE, '--json')
    assert said.returncode == 0, said.stderr
    report = json.loads(said.stdout)
    assert (report['rows_read'], report['rows_accepted'], report['faults_total']) == (144, 144, 0)
    assert report['header_line'] == 1
    assert [(column['name'], column['role']) for column in report['columns']] == [('ds', 'time'), ('y', 'measure')]


def test_faults_are_chosen_by_kind_column_and_line(variosync: Command, tmp_path: Path):
    source, out = tmp_path / 'a.csv', tmp_path / 'faults.csv'
    source.write_text(
        'ds,y,z\n' + ''.join(f'2024-01-{day:02},{"x" if day in (3, 9) else 1},1\n' for day in range(1, 29))
    )
    chosen = ['--kind', 'not_a_number', '--column', 'y', '--action', 'emptied', '--lines', '5-', '--faults', out]
    said = variosync('inspect', source, '--json', *chosen)
    assert said.returncode == 0, said.stderr
    report = json.loads(said.stdout)
    assert (report['faults_total'], report['faults_chosen']) == (2, 1)
    assert [fault['line'] for fault in report['faults']] == [10]
    assert [row['line'] for row in table(out)] == ['10']
    paged = json.loads(variosync('inspect', source, '--json', '--offset', '1', '--max-faults', '1').stdout)
    assert [fault['line'] for fault in paged['faults']] == [10]


def test_convert_writes_a_clean_table(tmp_path: Path):
    messy = tmp_path / 'messy.csv'
    messy.write_text(
        'day;value\n2024-01-01;1,5\n2024-01-02;oops\nnot a day;3,5\n2024-01-04;4,5\n2024-01-05;5,5\n'
        + ''.join(f'2024-02-{day:02};{day},25\n' for day in range(1, 29))
    )
    said = process('convert', messy, '-o', tmp_path / 'clean.csv', '--json')
    assert said.returncode == 0, said.stderr
    report = json.loads(said.stdout)
    assert report['rows_accepted'] + report['rows_repaired'] + report['rows_rejected'] == report['rows_read'] == 33
    assert report['rows_rejected'] >= 1
    rows = table(tmp_path / 'clean.csv')
    assert len(rows) == report['rows_accepted'] + report['rows_repaired']
    assert float(rows[0]['value']) == 1.5


def test_a_recipe_and_a_further_file_make_a_dataset_of_a_folder(variosync: Command, tmp_path: Path):
    steps, news, out = tmp_path / 'steps.json', tmp_path / 'news.csv', tmp_path / 'passengers'
    steps.write_text('[{"do": "derive", "column": "thousands", "as": "y / 1000"}]')
    news.write_text('ds,y\n1960-12-01,433\n1961-01-01,450\n')
    said = variosync('convert', AIRLINE, '-o', out, '--recipe', steps)
    assert (said.returncode, said.stderr) == (0, '')
    assert said.stdout.splitlines() == [
        'step 1 derive: 144 rows to 144, 0 of 0 cells changed',
        f'{out}: 144 read = 144 accepted + 0 repaired + 0 rejected',
        f'{out}: 144 rows',
    ]
    said = variosync('convert', news, '--append-to', out, '--json')
    assert (said.returncode, said.stderr) == (0, '')
    assert json.loads(said.stdout)['rows'] == 145
    found = pq.read_table(out / 'data-00000.parquet').to_pylist()
    assert [row['thousands'] for row in found[-2:]] == [0.433, 0.45]


def test_raw_keeps_the_text(variosync: Command, tmp_path: Path):
    source = tmp_path / 'source.csv'
    source.write_bytes(
        b'a preamble line\r\nid; when; y\r\n007; 2024-01-01; 1,50\r\n008; 2024-01-02; "2;5"\r\n009; 2024-01-03; 3,5\r\n'
    )
    said = variosync('convert', source, '-o', tmp_path / 'raw.csv', '--raw')
    assert said.returncode == 0, said.stderr
    assert list(csv.reader((tmp_path / 'raw.csv').read_text().splitlines())) == [
        ['id', 'when', 'y'], ['007', '2024-01-01', '1,50'], ['008', '2024-01-02', '2;5'], ['009', '2024-01-03', '3,5'],
    ]  # fmt: skip


def test_every_choice_of_the_reader_can_be_overruled(variosync: Command, tmp_path: Path):
    source, out = tmp_path / 'source.txt', tmp_path / 'out.csv'
    source.write_bytes("junk\n# note\nds||y||unit\n03.04.2024||1,5||'a||b'\n04.04.2024||2,5||c\n".encode('cp1252'))
    chosen = [
        '--encoding',
        'cp1252',
        '--delimiter',
        '||',
        '--quote',
        "'",
        '--escape',
        '',
        '--skip',
        1,
        '--comment',
        '#',
    ]
    chosen += ['--header-lines', 1, '--decimal', ',', '--day-first', '--shape', 'long', '--duplicates', 'first']
    said = variosync('inspect', source, '--json', *chosen, '--off', 'padding, unit')
    assert said.returncode == 0, said.stderr
    report = json.loads(said.stdout)
    assert [(column['name'], column['role']) for column in report['columns']] == [
        ('ds', 'time'), ('y', 'measure'), ('unit', 'attribute'),
    ]  # fmt: skip
    assert all(report['reading'][name]['asked'] for name in ('encoding', 'delimiter', 'quote', 'skip', 'header_lines'))
    said = variosync('convert', source, '-o', out, *chosen)
    assert said.returncode == 0, said.stderr
    assert table(out) == [
        {'ds': '2024-04-03', 'y': '1.5', 'unit': 'a||b'}, {'ds': '2024-04-04', 'y': '2.5', 'unit': 'c'},
    ]  # fmt: skip
    said = variosync('convert', source, '-o', out, '--raw', '--delimiter', 'tab', '--header-lines', 0)
    assert said.returncode == 0, said.stderr
    assert len(next(csv.reader(out.read_text().splitlines()))) == 1


def test_empty_file_gives_an_empty_file(variosync: Command, tmp_path: Path):
    (tmp_path / 'empty.csv').write_bytes(b'')
    said = variosync('convert', tmp_path / 'empty.csv', '-o', tmp_path / 'out.csv', '--raw')
    assert said.returncode == 0, said.stderr
    assert (tmp_path / 'out.csv').read_bytes() == b''


def test_forecast_of_the_airline_passengers(tmp_path: Path):
    out = tmp_path / 'forecast.csv'
    said = process(
        'forecast',
        AIRLINE,
        '--time',
        'ds',
        '--target',
        'y',
        '--h',
        18,
        '--models',
        'prophet,lightgbm',
        '-o',
        out,
        '--json',
    )
    assert said.returncode == 0, said.stderr
    assert json.loads(said.stdout)['series_ok'] == 1
    rows = table(out)
    assert {row['model'] for row in rows} == {'prophet', 'lightgbm'}
    assert len(rows) == 36
    for row in rows:
        quantiles = [float(row[name]) for name in ('lower_95', 'lower_80', 'median', 'upper_80', 'upper_95')]
        assert quantiles == sorted(quantiles)
        assert row['status'] == 'ok'
        assert 100 < quantiles[2] < 1000


@pytest.mark.parametrize(
    ('arguments', 'told'),
    [
        (['inspect', 'nowhere.csv'], 'nowhere.csv'),
        (['convert', AIRLINE, '-o', 'out.txt'], '.csv or .parquet'),
        (['convert', AIRLINE], '--out'),
        (['inspect', AIRLINE, '--off', 'everything'], 'everything'),
        (['inspect', AIRLINE, '--encoding', 'klingon'], 'klingon'),
        (['inspect', AIRLINE, '--lines', 'ten'], '--lines'),
        (['inspect', AIRLINE, '--header-lines', '-1'], '--header-lines'),
        (['convert', AIRLINE, '-o', 'x.csv', '--shape', 'round'], 'round'),
        (['convert', AIRLINE, '-o', 'x.csv', '--raw', '--quote', '""'], 'quote'),
        (['forecast', AIRLINE, '--time', 'nope', '--target', 'y', '--h', '3', '-o', 'x.csv'], 'nope'),
        (
            ['forecast', AIRLINE, '--time', 'ds', '--target', 'y', '--h', '3', '-o', 'x.csv', '--models', 'magic'],
            'magic',
        ),
        (['forecast', AIRLINE, '--time', 'ds', '--target', 'y', '--h', '0', '-o', 'x.csv'], '--h'),
        (
            [
                'forecast',
                AIRLINE,
                '--time',
                'ds',
                '--target',
                'y',
                '--h',
                '3',
                '-o',
                'x.csv',
                '--future',
                'nowhere.csv',
            ],
            'nowhere.csv',
        ),
        (
            ['backtest', AIRLINE, '--time', 'ds', '--target', 'y', '--h', '3', '-o', 'x.csv', '--by', 'weekday'],
            'weekday',
        ),
        (['backtest', AIRLINE, '--time', 'ds', '--target', 'y', '--h', '140', '-o', '/dev/null'], '.csv or .parquet'),
        (['forecast', AIRLINE, '--h', '3'], "'--out'. Try `variosync forecast --help`."),
        (['frobnicate'], 'frobnicate'),
    ],
)
def test_bad_input_is_one_line_and_status_2(variosync: Command, arguments, told):
    said = variosync(*arguments)
    assert said.returncode == 2
    assert told in said.stderr
    assert len(said.stderr.strip().splitlines()) == 1
    assert said.stdout == ''


def test_a_forecast_finds_out_the_time_and_the_one_measure(variosync: Command, tmp_path: Path) -> None:
    out = tmp_path / 'next.csv'
    said = variosync('forecast', AIRLINE, '--h', 2, '--models', 'seasonal_naive', '-o', out)
    assert said.returncode == 0, said.stderr
    assert 'time: ds, target: y' in said.stderr
    assert len(list(csv.DictReader(out.read_text().splitlines()))) == 2


@pytest.mark.parametrize(
    ('arguments', 'told'),
    [
        (['convert', AIRLINE, '-o', 'x.csv', '--raw', '--recipe', 'x.json'], '--raw'),
        (['convert', AIRLINE, '-o', 'tests'], 'is there already'),
        (['convert', AIRLINE, '-o', 'x.csv', '--recipe', 'nowhere.json'], 'nowhere.json'),
        (['convert', AIRLINE, '-o', 'x.csv', '--recipe', AIRLINE], 'not JSON'),
        (['upload', 'nowhere.csv', '--server', 'http://127.0.0.1:1', '--key', 'k'], 'nowhere.csv'),
        (['upload', AIRLINE, '--key', 'k'], '--server'),
        (['upload', AIRLINE, '--server', 'example.com', '--key', 'k'], '--server'),
        (['upload', AIRLINE, '--server', 'http://127.0.0.1:1'], '--key'),
        (['upload', AIRLINE, '--server', 'http://127.0.0.1:1', '--key', 'k'], 'does not answer'),
        (['upload', AIRLINE, '--how', 'merge', '--server', 'http://127.0.0.1:1', '--key', 'k'], 'merge'),
        (['datasets', 'list', '--server', 'http://example.com', '--key', 'k'], 'not encrypted'),
        (
            ['datasets', 'list', '--search', 'x', '--deleted', '--server', 'http://127.0.0.1:1', '--key', 'k'],
            '--search',
        ),
    ],
)
def test_what_is_wrong_before_any_work_is_told_likewise(
    arguments: list[object], told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr('sys.argv', ['variosync', *map(str, arguments)])
    monkeypatch.delenv('VARIOSYNC_API_KEY', raising=False)
    monkeypatch.delenv('VARIOSYNC_SERVER', raising=False)
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert (ended.value.code, said.out) == (2, '')
    assert told in said.err
    assert len(said.err.strip().splitlines()) == 1


def promotions(path: Path, days: range, *, target: bool) -> Path:
    with path.open('w', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(['shop', 'when', 'promo', 'region', *(['sales'] if target else [])])
        for shop in (7, 8):
            for day in days:
                stamp = f'2024-{1 + day // 28:02}-{1 + day % 28:02}T06:00:00'
                sales = [100 + day % 7 * 10 + 50 * (day % 3 == 0)] if target else []
                writer.writerow([shop, stamp, int(day % 3 == 0), 'north', *sales])
    return path


def test_forecast_with_regressors_that_a_second_file_knows_ahead(variosync: Command, tmp_path: Path):
    history = promotions(tmp_path / 'history.csv', range(50), target=True)
    future = promotions(tmp_path / 'future.csv', range(50, 55), target=False)
    out = tmp_path / 'out.csv'
    asked = (
        'forecast', history, '--id', 'shop', '--time', 'when', '--target', 'sales', '--h', 5, '--freq', 'D',
        '--models', 'seasonal_naive', '--regressors', 'promo', '--static', 'region', '--seed', 3, '--budget', 60,
        '-o', out,
    )  # fmt: skip
    said = variosync(*asked, '--future', future, '--json')
    assert said.returncode == 0, said.stderr
    report = json.loads(said.stdout)
    assert (report['series_ok'], len(table(out))) == (2, 10)
    assert not any('promo' in text for text in report['warned'])
    unknown = variosync(*asked)
    assert unknown.returncode == 2
    assert '"promo" is not known for the 5 steps ahead' in unknown.stderr


def test_backtest_of_the_airline_passengers(variosync: Command, tmp_path: Path):
    out, kept = tmp_path / 'scores.parquet', tmp_path / 'rows.parquet'
    asked = ('backtest', AIRLINE, '--time', 'ds', '--target', 'y', '--h', 6, '--models', 'linear,seasonal_naive')
    said = variosync(*asked, '--n-windows', 4, '--step-size', 3, '--level', 90, '-o', out, '--rows', kept, '--json')
    assert said.returncode == 0, said.stderr
    report = json.loads(said.stdout)
    assert [score['model'] for score in report['scores']] == ['linear', 'seasonal_naive']
    scores = pq.read_table(out).to_pylist()
    assert [score['mase'] for score in scores] == [score['mase'] for score in report['scores']]
    assert scores[0]['mase'] < scores[1]['mase']
    assert {*scores[0]} == {
        'model', 'mase', 'rmsse', 'smape', 'sql', 'wql', 'coverage_90', 'width_90', 'points', 'n_series', 'n_windows',
        'seconds',
    }  # fmt: skip
    rows = pq.read_table(kept).to_pylist()
    assert (len(rows), scores[0]['points'], report['rows']) == (48, 24, 48)
    assert {*rows[0]} >= {'series', 'time', 'cutoff', 'step', 'model', 'actual', 'lower_90', 'median', 'upper_90'}

    steps = tmp_path / 'steps.csv'
    said = variosync(*asked, '--by', 'horizon', '-o', steps)
    assert said.returncode == 0, said.stderr
    assert [row['horizon'] for row in table(steps)] == [*'123456', *'123456']
    head, best, worst, where = said.stdout.splitlines()
    assert head.split()[:3] == ['model', 'MASE', 'RMSSE']
    assert (best.split()[0], worst.split()[0]) == ('linear', 'seasonal_naive')
    assert where == f'{steps}: 1 of 1 series, 3 windows'


def test_a_past_too_short_to_measure_is_told(variosync: Command, tmp_path: Path):
    asked = ('backtest', AIRLINE, '--time', 'ds', '--target', 'y', '--h', 140, '--models', 'seasonal_naive')
    said = variosync(*asked, '-o', tmp_path / 'scores.csv')
    assert (said.returncode, said.stdout) == (2, '')
    assert 'Nothing could be measured: the series is too short for one past window of 140 steps' in said.stderr
    assert not (tmp_path / 'scores.csv').exists()


def test_windows_that_series_have_no_room_for_are_told(variosync: Command, tmp_path: Path):
    asked = ('backtest', AIRLINE, '--time', 'ds', '--target', 'y', '--h', 12, '--models', 'seasonal_naive')
    said = variosync(*asked, '--n-windows', 50, '-o', tmp_path / 'scores.csv')
    assert said.returncode == 0
    assert said.stdout.startswith('warning: Measured from 8 of 50 past cutoffs: ')
    told = json.loads(variosync(*asked, '--n-windows', 50, '-o', tmp_path / 'scores.csv', '--json').stdout)
    assert list(told['windows'].values()) == [8]
    assert len(told['warnings']) == 1


def panel(path: Path, *, zone: str = '') -> Path:
    with path.open('w', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(['shop', 'when', 'sales'])
        for day in range(60):
            stamp = f'2024-{1 + day // 28:02}-{1 + day % 28:02}T06:00:00{zone}'
            writer.writerow([7, stamp, 100 + day % 7 * 10])
            writer.writerow([8, stamp, ''])
    return path


@pytest.mark.parametrize(
    'arguments', [('inspect', AIRLINE), ('inspect', AIRLINE, '--json'), ('--version',), ('--help',)]
)
def test_output_that_cannot_be_written_is_told_in_one_line(arguments: tuple[object, ...]) -> None:
    words = [*map(str, arguments)]
    with Path('/dev/full').open('w') as full, TemporaryFile('w+') as errors:
        if arguments[0] == 'inspect':  # what it imports is none of this test's matter
            command: Popen | Forked = FORKS['forked'].start(
                words, environment=dict(os.environ), output=full.fileno(), errors=errors.fileno()
            )
        else:
            command = Popen([*python(str(ROOT / 'run_nicegui.py')), *words], stdout=full, stderr=errors)
        status = command.wait(300)
        errors.seek(0)
        said = errors.read()
    assert (status, said.count('\n')) == (2, 1)
    assert said.startswith('variosync: The output cannot be written: ')


def test_the_version_is_told(variosync: Command) -> None:
    said = variosync('--version')
    assert (said.returncode, said.stderr) == (0, '')
    assert re.fullmatch(r'variosync \d+\.\d+\.\d+\n', said.stdout)


def test_a_checkout_that_is_not_installed_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def gone(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr('importlib.metadata.version', gone)
    monkeypatch.setattr(sys, 'argv', ['variosync', '--version'])
    with pytest.raises(SystemExit) as ended:
        main()
    assert (ended.value.code, capsys.readouterr().out) == (0, 'variosync (not installed)\n')


def test_without_a_command_the_help_is_shown_in_lines():
    said = process()
    assert (said.returncode, said.stdout) == (2, '')
    assert any(line.split()[:1] == ['serve'] for line in said.stderr.splitlines())
    assert not [line for line in said.stderr.splitlines() if line.startswith('  ') and line.endswith('...')]
    assert not said.stderr.startswith('variosync:')


def test_series_without_values_fail_alone_and_are_present(variosync: Command, tmp_path: Path):
    source, out = panel(tmp_path / 'panel.csv'), tmp_path / 'out.csv'
    said = variosync(
        'forecast', source, '--id', 'shop', '--time', 'when', '--target', 'sales', '--h', 3, '--freq', 'D',
        '--models', 'seasonal_naive', '--level', '90', '-o', out, '--json',
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    report = json.loads(said.stdout)
    assert (report['series'], report['series_ok']) == (2, 1)
    rows = table(out)
    assert list(rows[0]) == [
        'series', 'time', 'cutoff', 'step', 'model', 'model_used', 'lower_90', 'median', 'upper_90', 'status', 'flags',
    ]  # fmt: skip
    assert {(row['series'], row['status']) for row in rows} == {('7', 'ok'), ('8', 'failed')}
    assert all(row['median'] == '' for row in rows if row['series'] == '8')
    assert [row['step'] for row in rows if row['series'] == '7'] == ['1', '2', '3']
    assert report['warned']['The series holds no values.'] == ['8']
    assert list(report['warned']) == report['warnings']


@pytest.mark.parametrize(('zone', 'aware'), [('', False), ('+02:00', True)])
def test_naive_stays_naive_and_offsets_become_utc(variosync: Command, tmp_path: Path, zone: str, aware: bool):
    source, out = panel(tmp_path / 'panel.csv', zone=zone), tmp_path / 'out.parquet'
    said = variosync(
        'forecast', source, '--id', 'shop', '--time', 'when', '--target', 'sales', '--h', 2,
        '--models', 'seasonal_naive', '-o', out,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    kind = pq.read_schema(out).field('time').type
    assert (kind.tz is not None) == aware
    stamps = sorted(set(pq.read_table(out).column('time').to_pylist()))
    assert {stamp.hour for stamp in stamps} == ({4} if aware else {6})


def test_ambiguous_dates_are_asked_and_answered(variosync: Command, tmp_path: Path):
    source = tmp_path / 'dates.csv'
    source.write_text('ds,y\n' + ''.join(f'0{1 + n % 9}/0{1 + n * 5 % 9}/2024,{n}\n' for n in range(9)))
    said = variosync('convert', source, '-o', tmp_path / 'out.csv')
    assert said.returncode == 2
    assert '--day-first or --month-first' in said.stderr
    for option, first in (('--day-first', '2024-01-01'), ('--month-first', '2024-01-01')):
        assert variosync('convert', source, '-o', tmp_path / 'out.csv', option).returncode == 0
        assert table(tmp_path / 'out.csv')[0]['ds'] == first


def test_doctor_migrate_and_worker_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv('VARIOSYNC_HOME', str(tmp_path / 'home'))
    applied = process('migrate')
    assert applied.returncode == 0, applied.stderr
    assert 'main_job.sql' in applied.stdout
    assert forked('migrate', environment=dict(os.environ)).stdout.strip() == 'nothing to apply'
    said = process('doctor')
    assert said.returncode == 0, said.stderr
    home, *found = said.stdout.splitlines()
    assert home == f'Home {tmp_path / "home"}'
    assert {line[:2] for line in found} == {'✓ '}
    assert [line.split()[1] for line in found] == [
        'database',
        'identity',
        'mail',
        'staging',
        'objects',
        'cache',
        'events',
        'compute',
    ]


@pytest.fixture(scope='module')
def key(server: Server) -> str:
    """The API key of a program that uploads."""
    with httpx.Client(base_url=f'{server.url}/api/v1', timeout=60) as api:
        me = {'email': 'uma@example.com', 'password': 'correct horse battery'}
        token = api.post('/auth/register', json=me).json()['token']
        wanted = {'name': 'nightly', 'scopes': ['datasets:read', 'datasets:write', 'jobs:read']}
        return str(api.post('/keys', json=wanted, headers={'Authorization': f'Bearer {token}'}).json()['key'])


@pytest.fixture
def proxy(server: Server) -> Iterator[FaultProxy]:
    with FaultProxy(server.url) as one:
        yield one


@pytest.fixture
def pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files go in pieces of 600 bytes, and what breaks is tried again at once."""
    monkeypatch.setattr(sender, 'PIECE', 600)
    monkeypatch.setattr(sender, 'PAUSES', (0.0, 0.0))


def sent(proxy: FaultProxy, method: str) -> int:
    return sum(asked == method for asked, _ in proxy.requests)


@SERVED
def test_upload_ends_when_the_file_is_rows_of_a_dataset(
    server: Server, key: str, variosync: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv('VARIOSYNC_HOME', str(tmp_path / 'home'))
    monkeypatch.setenv('VARIOSYNC_SERVER', f'{server.url}/')
    monkeypatch.setenv('VARIOSYNC_API_KEY', key)
    said = process('upload', AIRLINE)
    assert (said.returncode, said.stderr) == (0, '')
    assert said.stdout.startswith(f'{AIRLINE}: air passengers, version 1, 144 rows, 0 faults, {server.url}/datasets/')
    news = tmp_path / 'news.csv'
    news.write_text('ds,y,note\n' + ''.join(f'1961-{month:02}-01,{400 + month},x\n' for month in range(1, 7)))
    (tmp_path / 'picture.csv').write_bytes(bytes(range(256)) * 8)
    said = variosync('upload', tmp_path / 'picture.csv', news, AIRLINE, '--dataset', 'air passengers', '--json')
    assert said.returncode == 1
    (told,) = said.stderr.splitlines()
    assert told.startswith(f'variosync: {tmp_path / "picture.csv"}: ')
    assert f'{server.url}/datasets/' in told
    refused, joined, same = json.loads(said.stdout)['files']
    assert (refused['state'], joined['state'], same['state']) == ('failed', 'converted', 'converted')
    assert (joined['version'], joined['rows'], len(joined['warnings'])) == (2, 150, 1)
    assert (same['version'], same['rows']) == (3, 150)
    unchanged = variosync('upload', AIRLINE, '--dataset', joined['dataset'], '--no-wait')
    assert (unchanged.returncode, unchanged.stderr) == (0, '')
    assert 'nothing has changed' in unchanged.stdout
    assert json.loads((tmp_path / 'home' / 'uploads.json').read_text()) == {}


@SERVED
def test_datasets_are_listed_shown_deleted_and_restored_by_their_names(
    server: Server, key: str, variosync: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv('VARIOSYNC_HOME', str(tmp_path / 'home'))
    monkeypatch.setenv('VARIOSYNC_SERVER', server.url)
    monkeypatch.setenv('VARIOSYNC_API_KEY', key)
    (tmp_path / 'harbour.csv').write_text('ds,y\n2024-01-01,1\n2024-01-02,2\nnever,3\n2024-01-04,4\n')
    assert variosync('upload', tmp_path / 'harbour.csv').returncode == 0
    (listed,) = variosync('datasets', 'list', '--search', 'harb').stdout.splitlines()
    one, _, told = listed.partition('  ')
    assert told == 'harbour: version 1, 3 rows, 1 fault'
    shown = variosync('datasets', 'show', 'harbour')
    assert shown.stdout.splitlines()[0] == told
    assert f'  page     {server.url}/datasets/{one}' in shown.stdout.splitlines()
    assert json.loads(variosync('datasets', 'show', one, '--json').stdout)['measures'] == ['y']

    gone = variosync('datasets', 'delete', 'harbour')
    assert gone.stdout.startswith('harbour was deleted. Until 20')
    assert gone.stdout.rstrip().endswith(f'variosync datasets restore {one}')
    assert variosync('datasets', 'list', '--search', 'harb').stdout == (
        'No dataset has "harb" in its name or its file’s.\n'
    )
    assert 'kept until' in variosync('datasets', 'list', '--deleted').stdout
    for verb in ('show', 'delete'):
        refused = variosync('datasets', verb, 'harbour')
        assert (refused.returncode, refused.stdout) == (2, '')
        assert f'There is no dataset "harbour" at {server.url}.' in refused.stderr
    (deleted,) = json.loads(variosync('datasets', 'list', '--deleted', '--json').stdout)['items']
    assert (deleted['id'], deleted['name']) == (one, 'harbour')
    assert variosync('datasets', 'restore', 'harbour').stdout == f'harbour is back: {server.url}/datasets/{one}\n'
    assert 'no deleted dataset "harbour"' in variosync('datasets', 'restore', 'harbour').stderr


@SERVED
@pytest.mark.usefixtures('pieces')
def test_a_broken_connection_is_mended_where_it_broke(proxy: FaultProxy, key: str, tmp_path: Path):
    for fault in ('lost', 'reset'):
        proxy.fail(Fault(kind='pass', method='PATCH'))
        proxy.fail(Fault(kind=fault, method='PATCH'))  # type: ignore[arg-type] - one of its words
    proxy.fail(Fault(kind='answer', status=503, method='HEAD'))
    told: list[float] = []
    with Client(proxy.url, key, unfinished=tmp_path / 'uploads.json') as client:
        client.check(['jobs:read'])
        arrived = client.send(AIRLINE, dataset=None, how='append', progress=lambda part, text: told.append(part))
        assert client.converted(arrived.dataset, progress=lambda part, text: None)['state'] == 'succeeded'
        shown = client.shown(arrived.dataset)
    assert (shown['rows'], shown['version'], arrived.unchanged) == (144, 1, False)
    assert (sent(proxy, 'POST'), sent(proxy, 'HEAD')) == (1, 3)
    assert (told[0], max(told) < 1) == (0, True)


@SERVED
def test_a_stop_tells_what_it_leaves(
    server: Server, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setenv('VARIOSYNC_HOME', str(tmp_path))
    monkeypatch.setattr('sys.argv', ['variosync', 'upload', str(AIRLINE), '--server', server.url, '--key', key])
    for method, told in (
        ('_patch', 'the same command goes on from there'),
        ('converted', 'has arrived and is converted'),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(Client, method, stop)
            with pytest.raises(SystemExit) as ended:
                main()
        assert ended.value.code == 130
        assert told in capsys.readouterr().err


@SERVED
@pytest.mark.usefixtures('pieces')
def test_what_was_stopped_goes_on_from_where_it_was(proxy: FaultProxy, key: str, tmp_path: Path):
    source = tmp_path / 'source.csv'
    source.write_bytes(AIRLINE.read_bytes())

    def send() -> Arrived:
        with Client(proxy.url, key, unfinished=tmp_path / 'deep' / 'uploads.json') as client:
            return client.send(source, dataset=None, how='append', progress=lambda part, text: None)

    proxy.fail(Fault(kind='pass', method='PATCH'))
    proxy.fail(Fault(kind='reset', method='PATCH'), times=9)
    with pytest.raises(Unavailable, match='does not answer'):
        send()
    proxy.heal()
    first = send()
    assert (sent(proxy, 'POST'), sent(proxy, 'HEAD'), sent(proxy, 'PATCH')) == (0, 1, 3)
    proxy.heal()
    second = send()
    assert second.dataset != first.dataset
    assert sent(proxy, 'POST') == 1

    # A file that was changed meanwhile is another one, and what was given up on the server begins anew.
    for change in (lambda: source.write_bytes(AIRLINE.read_bytes() + b'\n'), lambda: give_up(proxy.url, key)):
        proxy.fail(Fault(kind='pass', method='PATCH'))
        proxy.fail(Fault(kind='reset', method='PATCH'), times=9)
        with pytest.raises(Unavailable):
            send()
        change()
        proxy.heal()
        send()
        assert sent(proxy, 'POST') == 1
    # The one that its file has left behind.
    assert len(json.loads((tmp_path / 'deep' / 'uploads.json').read_text())) == 1


def give_up(url: str, key: str) -> None:
    """Discard every upload that waits for bytes."""
    with httpx.Client(base_url=url, headers={'Authorization': f'Bearer {key}', 'Tus-Resumable': '1.0.0'}) as api:
        for one in api.get('/api/v1/uploads').json()['items']:
            assert api.delete(one['location']).status_code == 204


@SERVED
def test_what_cannot_be_sent_is_told_before_anything_is(server: Server, key: str, tmp_path: Path):
    def client(url: str = server.url, secret: str = key) -> Client:
        return Client(url, secret, unfinished=tmp_path / 'uploads.json')

    with client(secret='vs_nobody') as one, pytest.raises(NotSignedIn, match='does not know this key'):
        one.check(['jobs:read'])
    with client() as one, pytest.raises(UsageError, match='lacks hours:read'):
        one.check(['jobs:read', 'hours:read'])
    with client() as one, pytest.raises(UsageError, match='no dataset "nothing"'):
        one.dataset('nothing')
    with client(f'http://127.0.0.1:{free_port()}') as one, pytest.raises(Unavailable, match='does not answer'):
        one.check(['jobs:read'])
    empty = tmp_path / 'empty.csv'
    empty.touch()
    with client() as one, pytest.raises(UsageError, match='is empty'):
        one.send(empty, dataset=None, how='append', progress=lambda part, text: None)


@SERVED
def test_hours_are_granted_and_shown_beside_a_running_server(
    server: Server, variosync: Command, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv('VARIOSYNC_HOME', str(server.home))
    server.client('hanna@example.com')
    granted = process('hours', 'grant', 'Hanna@example.com', '10', '--expires', '2101-01-01')
    assert (granted.returncode, granted.stdout) == (0, 'Hanna@example.com was given 10 h and has 12.00 h now\n')
    report = json.loads(variosync('hours', 'show', 'hanna@example.com', '--json').stdout)
    assert report['seconds'] == 12 * 3600
    assert [(grant['remaining'], grant['expires']) for grant in report['grants']] == [
        (10 * 3600, '2101-01-01 00:00:00+00:00'),
        (2 * 3600, None),
    ]
    shown = variosync('hours', 'show', 'hanna@example.com').stdout
    assert 'Granted hours: 10.00 of 10.00 h left, void from 2101-01-01 00:00 UTC' in shown
    for arguments in (('nobody@example.com', '1'), ('hanna@example.com', '1', '--expires', '2001-01-01')):
        refused = variosync('hours', 'grant', *arguments)
        assert refused.returncode == 2
        assert len(refused.stderr.splitlines()) == 1
