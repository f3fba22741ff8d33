"""A fitted network on disk: `weights.safetensors`, and `config.json` with what it is and what it reads."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from core.analysis.forecasting.tft.module import Sizes, TemporalFusion
from core.analysis.forecasting.tft.training import Fitted
from core.analysis.forecasting.tft.windows import Layout
from core.errors import UnusableData

FORM = 1
CONFIG, WEIGHTS = 'config.json', 'weights.safetensors'


def save(fitted: Fitted, folder: Path) -> None:
    """Write a fitted network into `folder`, which is made when it does not exist."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in fitted.network.state_dict().items()}
    save_file(weights, folder / WEIGHTS)
    config = {
        'form': FORM,
        'sizes': asdict(fitted.sizes),
        'layout': asdict(fitted.layout),
        'quantiles': fitted.quantiles,
    }
    (folder / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True), encoding='utf-8')


def load(folder: Path, *, device: torch.device | None = None) -> Fitted:
    """Return the network that `save` wrote: on the same device it gives the same numbers, bit for bit.

    Raise UnusableData when the folder holds no such network, or one of another form.
    """
    try:
        config = json.loads((folder / CONFIG).read_text(encoding='utf-8'), object_hook=_frozen)
        if config['form'] != FORM:
            raise UnusableData(f'The model in {folder} has form {config["form"]}; this program reads form {FORM}.')
        sizes, layout = Sizes(**config['sizes']), Layout(**config['layout'])
        network = TemporalFusion(sizes)
        network.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise UnusableData(f'The folder {folder} holds no model of tft that can be read ({error}).') from error
    network = network.to(device or torch.device('cpu')).eval()
    return Fitted(network, sizes, layout, tuple(config['quantiles']))


def _frozen(item: dict[str, Any]) -> dict[str, Any]:
    """Return a JSON object with tuples where JSON knows lists only."""
    return {name: _tuple(value) for name, value in item.items()}


def _tuple(value: Any) -> Any:
    return tuple(map(_tuple, value)) if isinstance(value, list) else value
