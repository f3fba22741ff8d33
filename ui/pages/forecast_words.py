"""What forecasts are called on pages."""

import re

MODEL_NAMES = {
    'auto': 'Auto', 'seasonal_naive': 'Seasonal naive', 'ets': 'ETS', 'theta': 'Theta', 'mstl': 'MSTL',
    'arima': 'ARIMA', 'croston': 'Croston', 'linear': 'Linear', 'prophet': 'Prophet', 'lightgbm': 'LightGBM',
    'tft': 'TFT',
}  # fmt: skip
FAILED = re.compile(r'\b\w+(?= failed \()')
LEFT_OUT = re.compile(r'(?<=left no time for )\w+(?:, \w+)*(?=\.)')


def model_name(name: str) -> str:
    """What a model is called on pages."""
    return MODEL_NAMES.get(name, name)


def in_words(warning: str) -> str:
    """A warning with its models as pages call them, where it is about models; what a file named stays as it is."""
    text = FAILED.sub(lambda found: model_name(found[0]), warning)
    return LEFT_OUT.sub(lambda found: ', '.join(map(model_name, found[0].split(', '))), text)
