import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from core.analysis.forecasting import workers
from core.analysis.forecasting.base import Run
from core.errors import UsageError
from tests.unit.analysis.forecasting import fits

FIT = f'{fits.__name__}:fit'
ROOT = Path(__file__).parents[4]


def test_results_keep_their_order_over_several_processes():
    told = []
    run = Run(cores=2, progress=lambda part, _: told.append(part))
    found = workers.each(FIT, [{'number': n} for n in range(8)], run=run, stand_in=fits.stand_in)
    assert [raw.center[0] for raw in found] == list(range(8))
    assert len({raw.center[1] for raw in found}) == 2
    assert told == sorted(told)
    assert told[-1] == 1.0


@pytest.mark.slow
def test_a_fault_costs_one_series_and_no_process_is_left(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(workers, 'START_TIME', 0.0)
    tasks = [
        {'number': 0},
        {'number': 1, 'fault': 'hang'},
        {'number': 2, 'fault': 'crash'},
        {'number': 3, 'fault': 'raise'},
        {'number': 4},
    ]
    found = workers.each(FIT, tasks, run=Run(timeout=8.0), stand_in=fits.stand_in, apart=True)
    assert [raw.used for raw in found] == ['test', 'stand_in', 'stand_in', 'stand_in', 'test']
    assert [raw.center[0] for raw in found] == [0, 1, 2, 3, 4]
    assert 'longer than 8 s' in found[1].warning
    assert 'died' in found[2].warning
    assert found[3].warning == 'ValueError: no such luck'
    assert not [child for child in psutil.Process().children() if workers.__name__ in child.cmdline()]


def test_a_fault_of_a_fit_in_this_process_costs_one_series_and_a_usage_error_passes(monkeypatch: pytest.MonkeyPatch):
    tasks = [{'number': 0}, {'number': 1, 'fault': 'raise'}, {'number': 2}]
    found = workers.each(FIT, tasks, run=Run(), stand_in=fits.stand_in)
    assert [raw.used for raw in found] == ['test', 'stand_in', 'test']
    assert found[1].warning == 'ValueError: no such luck'

    def refuse(task):
        raise UsageError('No such option.')

    monkeypatch.setattr(fits, 'fit', refuse)
    with pytest.raises(UsageError, match='No such option'):
        workers.each(FIT, tasks, run=Run(), stand_in=fits.stand_in)


def test_a_result_may_be_anything_that_pickles():
    tasks = [{'number': n} for n in range(2)]
    found = workers.each(f'{fits.__name__}:word', tasks, run=Run(), stand_in=lambda task, reason: '', apart=True)
    assert found == ['number 0', 'number 1']


def test_what_was_asked_before_is_not_fitted_again():
    run = Run()

    def answers(run: Run, *numbers: int) -> list[float]:
        tasks = [{'number': number, 'y': np.full(3, number)} for number in numbers]
        found = workers.each(FIT, tasks, run=run, stand_in=fits.stand_in)
        assert [raw.center[0] for raw in found] == list(numbers)
        return [raw.center[2] for raw in found]

    first, second, again = answers(run, 1, 2, 1)
    assert first == again != second
    later, new = answers(replace(run, seed=2), 2, 3)
    assert later == second != new
    assert answers(Run(), 2) != [second], 'another run knows nothing of it'


def test_a_fault_is_tried_again():
    run = Run()
    for number in (1, 2):
        (raw,) = workers.each(FIT, [{'number': 1, 'fault': 'raise'}], run=run, stand_in=fits.stand_in)
        assert raw.used == 'stand_in', number
    assert run.known == {}


def test_no_more_is_kept_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch):
    run = Run()
    monkeypatch.setattr(workers, 'MOST_KNOWN', 2000)
    found = workers.each(FIT, [{'number': n} for n in range(99)], run=run, stand_in=fits.stand_in)
    assert [raw.center[0] for raw in found] == list(range(99))
    assert 1 < len(run.known) < 10
    assert sum(len(pickle.dumps(raw)) for raw in run.known.values()) <= 2000


def test_a_worker_dies_with_its_parent():
    program = (
        'from core.analysis.forecasting import workers\n'
        'from core.analysis.forecasting.base import Run\n'
        'from tests.unit.analysis.forecasting import fits\n'
        'start = workers._start\n'
        'def told(folder):\n'
        '    worker = start(folder)\n'
        '    print(worker.process.pid, flush=True)\n'
        '    return worker\n'
        'workers._start = told\n'
        'tasks = [{"number": 1, "fault": "hang"}]\n'
        'workers.each(fits.__name__ + ":fit", tasks, run=Run(), stand_in=fits.stand_in, apart=True)\n'
    )
    with subprocess.Popen([sys.executable, '-c', program], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    assert worker.wait(timeout=10) is None
    assert not worker.is_running()
