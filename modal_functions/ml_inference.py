"""Forecasts, a model a call. `storage.cloud.compute.GPU_FUNCTIONS` names the models that need a GPU."""

from typing import Any

import modal

from core.settings import Settings
from modal_functions.images import CPU, GPU
from modal_functions.run import limits, run

app = modal.App(include_source=False)
LIMITS = limits(Settings())


@app.function(image=CPU, scaledown_window=120, **LIMITS)
def forecast(request: dict[str, Any]) -> dict[str, Any]:
    """Forecast the series of a stored version (`core.tasks.forecast`)."""
    return run('forecast', request)


@app.function(image=GPU, gpu='T4', **LIMITS)
def forecast_gpu(request: dict[str, Any]) -> dict[str, Any]:
    """Forecast by a model that needs a GPU (`core.tasks.forecast`)."""
    return run('forecast', request)
