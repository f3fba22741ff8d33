"""Forecasts, a model a call. `storage.cloud.compute.GPU_FUNCTIONS` names the models that need a GPU."""

from typing import Any

import modal

from core.settings import Settings
from modal_functions.images import CPU, GPU
from modal_functions.run import limits, run
from storage.cloud.compute import GPU_MEMORY

app = modal.App(include_source=False)
LIMITS = limits(Settings())
GPU_LIMITS = limits(Settings(), beside=GPU_MEMORY)


@app.function(image=CPU, scaledown_window=120, **LIMITS)
def forecast(request: dict[str, Any]) -> dict[str, Any]:
    """Forecast the series of a stored version (`core.tasks.forecast`)."""
    return run('forecast', request)


@app.function(image=GPU, gpu='L4', **GPU_LIMITS)
def forecast_gpu(request: dict[str, Any]) -> dict[str, Any]:
    """Forecast by a model that needs a GPU (`core.tasks.forecast`)."""
    return run('forecast', request)
