"""Fits that go wrong in a worker, by what the task says."""

import os
import signal
import threading
import time
from typing import Any

import numpy as np

from core.analysis.forecasting.base import Raw


def fit(task: dict[str, Any]) -> Raw:
    """Answer with the task's number, this process and the moment, or hang, crash or raise first."""
    match task.get('fault'):
        case 'hang':
            threading.Event().wait()
        case 'crash':
            os.kill(os.getpid(), signal.SIGKILL)
        case 'raise':
            raise ValueError('no such luck')
    return Raw(center=np.array([task['number'], os.getpid(), time.monotonic_ns()]), spread=np.ones(3), used='test')


def stand_in(task: dict[str, Any], reason: str) -> Raw:
    """Answer for a task that failed."""
    return Raw(center=np.array([task['number'], 0]), spread=np.ones(2), used='stand_in', warning=reason)


def word(task: dict[str, Any]) -> str:
    """Answer with a text, which is a result and no fault."""
    return f'number {task["number"]}'
