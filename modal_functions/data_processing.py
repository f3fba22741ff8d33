"""Files become datasets, which forecasts are scored on. A foreign file gets a container that nobody uses after it."""

from typing import Any

import modal

from core.settings import Settings
from modal_functions.images import CPU
from modal_functions.run import limits, run

app = modal.App(include_source=False)
LIMITS = limits(Settings())


@app.function(image=CPU, single_use_containers=True, **LIMITS)
def convert(request: dict[str, Any]) -> dict[str, Any]:
    """Convert an uploaded file (`core.tasks.convert`)."""
    return run('convert', request)


@app.function(image=CPU, **LIMITS)
def score(request: dict[str, Any]) -> dict[str, Any]:
    """Score issued forecasts on what came (`core.tasks.score`)."""
    return run('score', request)


@app.function(image=CPU, **LIMITS)
def ping(request: dict[str, Any]) -> dict[str, Any]:
    """Show that functions run at all (`variosync doctor`)."""
    return run('ping', request)
