"""The model `tft` of the registry."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.analysis.forecasting.base import NORMAL_80, Explained, Origin, Raw, Run
from core.analysis.forecasting.frequency import Array
from core.analysis.forecasting.naive import stand_in
from core.analysis.forecasting.repair import Series
from core.analysis.forecasting.tft import training
from core.analysis.forecasting.tft.training import Fitted, Options
from core.analysis.forecasting.tft.windows import COSINE, SINE, Source, layout_of
from core.analysis.forecasting.windows import ends_before

TOO_FEW = 'tft needs a longer history or more series.'
TOO_SHORT = 'The series is too short for tft.'
MOST_STEPS = 500
"""Attention costs memory by the square of the horizon."""


@dataclass(frozen=True, slots=True)
class _Last:
    """A fit, and what it was of."""

    panel: Sequence[Series]
    h: int
    asked: tuple[int, Options, tuple[str, ...], str | None]
    fitted: Fitted | None

    def is_of(self, panel: Sequence[Series], h: int, run: Run) -> bool:
        return self.panel is panel and self.h == h and self.asked == _asked(run)


class Tft:
    """The member `tft`: one network for all series, center and spread by its quantiles .1, .5 and .9."""

    name = 'tft'
    held_series = 1500

    def __init__(self) -> None:
        self._last: _Last | None = None

    def predict(self, panel: Sequence[Series], *, h: int, run: Run) -> list[Raw]:
        """Return each series' forecast by a network fitted to all of them."""
        ends = [len(series.filled) for series in panel]
        fitted = _fit(panel, ends, h=h, run=run)
        self._last = _Last(panel, h, _asked(run), fitted)
        return _raws(fitted, panel, ends, [Origin(place, end) for place, end in enumerate(ends)], h=h, run=run)

    def hold_out(self, panel: Sequence[Series], origins: Sequence[Origin], *, h: int, run: Run) -> list[Raw]:
        """Return forecasts from the origins by one network, fitted to nothing after the one farthest back."""
        if not origins:
            return []
        ends = ends_before(panel, origins)
        return _raws(_fit(panel, ends, h=h, run=run), panel, ends, origins, h=h, run=run)

    def learn(self, panel: Sequence[Series], *, h: int, run: Run, folder: Path) -> None:
        """Write a network fitted to all series, as `saved` does; none where there is too little to learn from."""
        from core.analysis.forecasting.tft import saved

        folder.mkdir()
        fitted = _fit(panel, [len(series.filled) for series in panel], h=h, run=run)
        if fitted is not None:
            saved.save(fitted, folder)

    def recall(self, panel: Sequence[Series], *, h: int, run: Run, folder: Path) -> list[Raw]:
        """Return each series' forecast by the network that `learn` wrote."""
        from core.analysis.forecasting.tft import saved

        ends = [len(series.filled) for series in panel]
        fitted = saved.load(folder) if (folder / saved.CONFIG).exists() else None
        return _raws(fitted, panel, ends, [Origin(place, end) for place, end in enumerate(ends)], h=h, run=run)

    def explain(self, panel: Sequence[Series], places: Sequence[int], *, h: int, run: Run) -> list[Explained]:
        """Return how much each variable weighs in the network, and where in the past each series was looked at."""
        if self._last is None or not self._last.is_of(panel, h, run):
            self.predict(panel, h=h, run=run)
        fitted = self._last.fitted if self._last else None
        if fitted is None:
            return []
        sizes = [len(series.filled) for series in panel]
        source, ends = Source(panel, sizes, fitted.layout, run=run), np.array(sizes)
        usable = np.flatnonzero(ends >= fitted.layout.least)
        answers = [answer for _, answer in fitted.answers(source, usable, ends[usable])]
        weights = {
            'static': np.concatenate([answer.static.float().cpu().numpy() for answer in answers]).mean(axis=0),
            'past': np.concatenate([answer.past.float().cpu().numpy() for answer in answers]).mean(axis=(0, 1)),
            'future': np.concatenate([answer.future.float().cpu().numpy() for answer in answers]).mean(axis=(0, 1)),
        }
        names = {'static': fitted.layout.static, 'past': fitted.layout.past, 'future': fitted.layout.future}
        shares: dict[str, float] = {}
        for group, values in weights.items():
            for name, weight in zip(names[group], values, strict=True):
                label = f'{group}: {name.removesuffix(SINE).removesuffix(COSINE)}'
                shares[label] = shares.get(label, 0.0) + float(weight)
        found = [
            Explained(unique_id='', kind='importance', name=name, ds=None, value=np.array([share]))
            for name, share in shares.items()
        ]
        looks = np.concatenate([answer.attention.float().mean(1).cpu().numpy() for answer in answers])
        rows = dict(zip(usable.tolist(), looks, strict=True))
        return found + [_attention(panel[place], rows[place], fitted) for place in places if place in rows]


def _asked(run: Run) -> tuple[int, Options, tuple[str, ...], str | None]:
    """Return what of a run makes a difference to a fit."""
    return run.seed, Options.of(run.options.get('tft', {})), run.regressors, run.holidays


def _fit(panel: Sequence[Series], ends: Sequence[int], *, h: int, run: Run) -> Fitted | None:
    options = Options.of(run.options.get('tft', {}))
    if h > MOST_STEPS:
        return None
    layout = layout_of(panel, ends, h=h, run=run, context=options.context)
    return training.fit(panel, ends, layout, options=options, run=run)


def _raws(
    fitted: Fitted | None, panel: Sequence[Series], ends: Sequence[int], origins: Sequence[Origin], *, h: int, run: Run
) -> list[Raw]:
    """Return the forecasts from the origins; seasonal naive with the reason where the network cannot give one.

    `ends` is what the network was fitted to of each series.
    """
    if fitted is None:
        reason = TOO_FEW if h <= MOST_STEPS else f'tft forecasts at most {MOST_STEPS} steps ahead.'
        return [stand_in(panel[at.place], at.size, h=h, reason=reason) for at in origins]
    places = np.array([at.place for at in origins], int)
    sizes = np.array([at.size for at in origins], int)
    source = Source(panel, ends, fitted.layout, run=run)
    able = sizes >= fitted.layout.least
    tables = iter(fitted.forecast(source, places[able], sizes[able]))
    return [
        _raw(panel[at.place], at, next(tables), h)
        if fine
        else stand_in(panel[at.place], at.size, h=h, reason=TOO_SHORT)
        for at, fine in zip(origins, able, strict=True)
    ]


def _raw(series: Series, at: Origin, table: Array, h: int) -> Raw:
    if not np.isfinite(table).all():
        return stand_in(series, at.size, h=h, reason='tft gave no finite forecast.')
    return Raw(center=table[:, 1], spread=(table[:, 2] - table[:, 0]) / (2 * NORMAL_80), used='tft')


def _attention(series: Series, looks: Array, fitted: Fitted) -> Explained:
    """Return the mean share of the looks, over the steps ahead, that each step of the context got."""
    length = min(fitted.layout.context, len(series.filled))
    stamps = series.stamps[len(series.stamps) - length :]
    values = looks[fitted.layout.context - length : fitted.layout.context].astype(float)
    return Explained(unique_id=series.unique_id, kind='attention', name='attention', ds=stamps, value=values)
