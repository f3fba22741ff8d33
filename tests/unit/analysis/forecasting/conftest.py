"""What several tests of forecasting need.

They are one group, so that one worker alone of a test run imports the libraries of models: four seconds of computing.
"""

import pytest


@pytest.fixture
def prophet_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fit Prophet in this process, where its libraries are imported once: each process apart takes a second for them.

    That it is fitted apart, and gives the same there, is held by `test_prophet.py`.
    """
    from core.analysis.forecasting import workers  # with NumPy, which reads how many threads it may have

    each = workers.each
    monkeypatch.setattr(workers, 'each', lambda *given, apart=False, **named: each(*given, **named))


@pytest.fixture
def few_members(monkeypatch: pytest.MonkeyPatch) -> None:
    """`auto` of three quick members, where it matters that it is one and not which."""
    from core.analysis.forecasting import ensemble

    monkeypatch.setattr(ensemble, 'pool', lambda step: ('lightgbm', 'linear', 'theta'))
