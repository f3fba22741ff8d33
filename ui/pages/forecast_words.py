"""What forecasts are called on pages."""

import re

from core.ask import ENOUGH, Reach
from ui.components.formats import counted
from ui.components.times import count

MODEL_NAMES = {
    'auto': 'Auto', 'seasonal_naive': 'Seasonal naive', 'ets': 'ETS', 'theta': 'Theta', 'mstl': 'MSTL',
    'arima': 'ARIMA', 'croston': 'Croston', 'linear': 'Linear', 'prophet': 'Prophet', 'lightgbm': 'LightGBM',
    'tft': 'TFT',
}  # fmt: skip
FAILED = re.compile(r'\b\w+(?= failed \()')
AT_WORK = re.compile(r'^\w+(?=: )')
LEFT_OUT = re.compile(r'(?<=left no time for )\w+(?:, \w+)*(?=\.)')


def model_name(name: str) -> str:
    """What a model is called on pages."""
    return MODEL_NAMES.get(name, name)


def in_words(said: str) -> str:
    """A warning, or what a job does, with models as pages call them; what a file named stays as it is."""
    text = AT_WORK.sub(lambda found: model_name(found[0]), FAILED.sub(lambda found: model_name(found[0]), said))
    return LEFT_OUT.sub(lambda found: ', '.join(map(model_name, found[0].split(', '))), text)


def takes(reach: Reach, *, marked: bool = False) -> str:
    """What a verdict on bands takes, and what these forecasts lack of it, with terms as `Marked` text has them."""
    cutoffs = '{cutoffs|cutoff}' if marked else 'cutoffs'
    each = '' if reach.series == 1 else f' of {count(reach.series)} series each'
    said = (
        f'Whether bands hold is told from {ENOUGH} past forecasts on: that takes {reach.needed} past {cutoffs}{each}. '
    )
    if reach.room is not None and reach.room < reach.needed:
        return said + _too_short(reach)
    if reach.limited:
        return f'{said}While its time is limited, a forecast is measured from few: they would take of the same time.'
    return f'{said}This one asks for {reach.windows}.'


def _too_short(reach: Reach) -> str:
    steps = counted(reach.h, 'step')
    found = (
        f'The history has room for {reach.room or "none"} with {steps} ahead, as each leaves a third to learn from. '
    )
    ways = [f'ask for {counted(reach.shorter, "step")} or fewer'] if reach.shorter else []
    ways.append(f'bring {counted(reach.rows, "more row")}{"" if reach.series == 1 else " of each"}')
    way = ', or '.join(ways)
    return f'{found}{way[0].upper()}{way[1:]}.'
