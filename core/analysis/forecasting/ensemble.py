"""Calibrated forecasts of a panel: each model once, `auto` as the mean of members, bands from held-out origins."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from core.analysis.forecasting import conformal, registry
from core.analysis.forecasting.base import Explained, Explainer, Member, Outcome, Raw, Run
from core.analysis.forecasting.frequency import DAY, Array, Step
from core.analysis.forecasting.repair import Series

FEW_SERIES = 6
"""Up to so many series, `auto` also holds out its costly members."""
COSTLY = ('prophet',)


def members(step: Step) -> tuple[str, ...]:
    """Return the members of `auto` for a step, as measured on M3, M4, tourism and NN5."""
    if step.unit == 'fixed' and step.size < DAY:
        return 'lightgbm', 'mstl'
    if step.unit == 'business' or (step.unit == 'fixed' and step.size < 7 * DAY):
        return 'prophet', 'lightgbm', 'theta', 'ets'
    return 'lightgbm', 'theta'


class Bench:
    """The forecasts of one panel: series of one step, none empty and none still; every model runs at most once."""

    def __init__(self, panel: Sequence[Series], *, h: int, quantiles: Sequence[float], run: Run) -> None:
        self._panel = panel
        self._h = h
        self._quantiles = quantiles
        self._run = run
        self._raws: dict[str, list[Raw]] = {}
        self._held: dict[str, conformal.Held] = {}
        self._members: dict[str, Member] = {}
        self.weights: dict[str, float] = {}
        self._stage = 0
        self._stages = 1

    def run(self, models: Sequence[str]) -> Iterator[tuple[str, list[Outcome]]]:
        """Yield each model with its calibrated forecasts, one a series in the panel's order."""
        parts = {model: members(self._panel[0].step) if model == 'auto' else (model,) for model in models}
        self._stages = 2 * len({name for names in parts.values() for name in names})
        for model, names in parts.items():
            raws, held = self._mean(names) if model == 'auto' else (self._predict(model), self._hold_out(model))
            table = conformal.residuals(self._panel, held, h=self._h)
            factors = conformal.shape(table, self._quantiles, h=self._h)
            yield model, [_outcome(model, one, raw, factors) for one, raw in zip(self._panel, raws, strict=True)]

    def explain(self, model: str, places: Sequence[int]) -> list[Explained]:
        """Return what a model that has run rests on, for the series at `places`; `auto` rests on its members."""
        if model == 'auto':
            return [
                Explained(unique_id='', kind='importance', name=name, ds=None, value=np.array([share]))
                for name, share in self.weights.items()
            ]
        member = self._member(model)
        return member.explain(self._panel, places, h=self._h, run=self._run) if isinstance(member, Explainer) else []

    def _member(self, name: str) -> Member:
        if name not in self._members:
            self._members[name] = registry.member(name)
        return self._members[name]

    def _predict(self, name: str) -> list[Raw]:
        if name not in self._raws:
            found = self._member(name).predict(self._panel, h=self._h, run=self._told(f'{name}: forecasting'))
            self._raws[name] = [self._floor(raw, place) for place, raw in enumerate(found)]
        return self._raws[name]

    def _hold_out(self, name: str) -> conformal.Held:
        if name not in self._held:
            model = self._member(name)
            origins = conformal.choose(self._panel, h=self._h, most=model.held_series, seed=self._run.seed)
            found = model.hold_out(self._panel, origins, h=self._h, run=self._told(f'{name}: measuring its bands'))
            raws = tuple(self._floor(raw, at.place, at.size) for at, raw in zip(origins, found, strict=True))
            self._held[name] = conformal.Held(origins, raws)
        return self._held[name]

    def _floor(self, raw: Raw, place: int, size: int | None = None) -> Raw:
        series = self._panel[place]
        return conformal.floor(raw, series.filled[:size], series.step.season_length)

    def _told(self, text: str) -> Run:
        told, stage = self._run.progress, self._stage
        self._stage += 1
        return replace(self._run, progress=lambda part, _: told((stage + part) / self._stages, text))

    def _mean(self, names: Sequence[str]) -> tuple[list[Raw], conformal.Held]:
        """Return the mean of the members, and the mean of those members that could be held out at the same origins."""
        self.weights = {name: 1 / len(names) for name in names}
        by_model = [self._predict(name) for name in names]
        raws = [_average(own, names) for own in zip(*by_model, strict=True)]
        few = len(self._panel) <= FEW_SERIES
        held = [self._hold_out(name).by_origin() for name in names if few or name not in COSTLY]
        shared = tuple(at for at in held[0] if all(at in other for other in held[1:]))
        return raws, conformal.Held(shared, tuple(_average([own[at] for own in held], names) for at in shared))


def still(series: Series, h: int, quantiles: Sequence[float]) -> Outcome:
    """Return the forecast of a series of one value (without bands) or of equal values (with bands of no width)."""
    center = np.full(h, series.filled[-1])
    alone = series.observed == 1
    bands = (
        np.where(np.array(quantiles) == 0.5, center[:, None], np.nan)
        if alone
        else np.tile(center[:, None], len(quantiles))
    )
    warning = 'One value only: it was repeated, and no band can be given.' if alone else 'The series is constant.'
    return Outcome(center=center, quantiles=bands, used='naive', status='fallback', warning=warning)


def _outcome(model: str, series: Series, raw: Raw, factors: Array) -> Outcome:
    stood_in = raw.used in ('naive', 'seasonal_naive') and raw.used != model
    values, center = conformal.apply(raw, factors), raw.center
    if series.filled.min() >= 0:
        values, center = np.maximum(values, 0.0), np.maximum(center, 0.0)
    status = 'fallback' if stood_in else 'ok'
    return Outcome(center=center, quantiles=values, used=raw.used, status=status, warning=raw.warning)


def _average(raws: Sequence[Raw], names: Sequence[str]) -> Raw:
    """Return the mean of members' forecasts, without those that seasonal naive stood in for while others did not."""
    real = [raw for raw in raws if raw.used in names] or list(raws[:1])
    gone = [raw.warning for raw in raws if raw.used not in names and raw.warning]
    return Raw(
        center=np.mean([raw.center for raw in real], axis=0),
        spread=np.mean([raw.spread for raw in real], axis=0),
        used='+'.join(dict.fromkeys(raw.used for raw in real)),
        warning=' '.join(dict.fromkeys(gone)),
    )
