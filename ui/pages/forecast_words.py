"""What forecasts are called on pages."""

MODEL_NAMES = {
    'auto': 'Auto', 'seasonal_naive': 'Seasonal naive', 'ets': 'ETS', 'theta': 'Theta', 'mstl': 'MSTL',
    'arima': 'ARIMA', 'croston': 'Croston', 'linear': 'Linear', 'prophet': 'Prophet', 'lightgbm': 'LightGBM',
    'tft': 'TFT',
}  # fmt: skip


def model_name(name: str) -> str:
    """What a model is called on pages."""
    return MODEL_NAMES.get(name, name)
