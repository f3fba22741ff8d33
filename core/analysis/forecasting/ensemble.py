"""Calibrated forecasts of a panel: each model once, `auto` as a weighted mean of members, bands from held-out origins.

Weights are one set for the whole panel, by greedy selection with replacement (Caruana et al. 2004,
doi:10.1145/1015330.1015432) on held-out windows, drawn halfway to equal ones: weights of each series by itself, and
unshrunk ones, were measured worse. Residuals that calibrate the bands come from weights that never saw their series
(of a few series: their window).
"""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np

from core.analysis.forecasting import conformal, registry
from core.analysis.forecasting.base import Learner, Member, Origin, Outcome, Raw, Run
from core.analysis.forecasting.conformal import Held
from core.analysis.forecasting.frequency import DAY, Array, Step
from core.analysis.forecasting.learnt import LEAST_SERIES, Learnt, Store
from core.analysis.forecasting.naive import repeat, scale
from core.analysis.forecasting.repair import Series
from core.errors import VariosyncError

FLOOR = 'seasonal_naive'
LUMPY = 'croston'
DEEP = 'tft'
DEEP_SERIES = 100
"""From so many series on, `auto` takes the deep model where it is installed, if there is a budget with room for it."""
DEEP_SECONDS = 90.0
START_SECONDS = 3.0
"""What libraries take to be loaded."""
GLOBAL_SECONDS: Mapping[str, tuple[float, float]] = {'lightgbm': (6.0, 0.01), 'linear': (1.0, 0.01)}
"""What models of all series take, to be trained and held out: seconds, and seconds a series."""
FIT_SECONDS: Mapping[str, tuple[float, float]] = {
    'theta': (0.001, 0.018), 'mstl': (0.003, 0.02), 'ets': (0.02, 0.25), 'prophet': (0.01, 0.01), LUMPY: (0.001, 0.002)
}  # fmt: skip
"""What models of one series take: seconds a fit, and seconds a thousand values. Guesses, so that choices do not hang on
how busy a machine is."""
TWO_SEASONS = 5.0
"""How much longer decomposition takes by two seasons."""
REAL_PROPHET_SECONDS = 0.3
LONGEST_HISTORY = 2000
ALLOWANCE = (2.0, 0.05)
"""What models of one series may take in all without a budget: seconds, and seconds a series."""
LEAST_PAIRS, MOST_PAIRS = 100, 1200
ROUNDS = 20
NEAR = 1.2
"""Members whose held-out loss is within this ratio of the best one's share the equal part of the weights."""
LEAST_SHARE = 0.04
ENOUGH_WINDOWS = 12
"""From so many independent windows on, greedy weights make half of the whole; of fewer, less."""
FEW_SERIES = 6
"""Up to so many series, weights and bands are told apart by windows instead of series."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Which members `auto` takes, on how many series it holds them out, and what it left out for want of time."""

    names: tuple[str, ...]
    held_series: int
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Blend:
    """A panel's forecasts and held-out ones; of several members also their weights, and who is missing and why."""

    raws: Sequence[Raw]
    held: Held
    weights: Mapping[str, float] = field(default_factory=dict)
    warning: str = ''


@dataclass(slots=True)
class _Answer:
    raws: Sequence[Raw] = ()


class Bench:
    """The forecasts of one panel: series of one step, none empty and none still; every model runs at most once.

    `weights` tells, once a model was yielded, the shares of its members in its forecasts: they sum to 1. With a
    `store`, `auto` is what was learnt of other series of the kind, where it was.
    """

    def __init__(
        self, panel: Sequence[Series], *, h: int, quantiles: Sequence[float], run: Run,
        adapted: Mapping[str, Mapping[float, float]] | None = None, store: Store | None = None,
    ) -> None:  # fmt: skip
        self.weights: dict[str, dict[str, float]] = {}
        self._panel = panel
        self._h = h
        self._quantiles = quantiles
        self._run = run
        self._adapted = adapted or {}
        self._store = store
        self._started = time.monotonic()
        self._members: dict[str, Member] = {}
        self._raws: dict[str, list[Raw]] = {}
        self._held: dict[str, Held] = {}
        self._stage = 0
        self._stages = 1

    def run(self, models: Sequence[str]) -> Iterator[tuple[str, list[Outcome]]]:
        """Yield each model with its calibrated forecasts, one a series in the panel's order."""
        lumpy = self._lumpy()
        mixed = 'auto' in models and lumpy.any() and not lumpy.all()
        chosen = Plan((), 0) if mixed or 'auto' not in models else plan(self._panel, run=self._run)
        self._stages = 2 * len({*models, *chosen.names} - {'auto'}) + 2 * ('auto' in models)
        for model in models:
            if model == 'auto' and mixed:
                yield model, self._apart(lumpy)
            elif model == 'auto' and (known := self._known(lumpy=bool(lumpy.all()))):
                self.weights[model] = dict(known.weights)
                yield model, self._recalled(known)
            elif model == 'auto':
                blend = self._blend(chosen, lumpy=bool(lumpy.all()), models=models)
                self.weights[model] = dict(blend.weights)
                yield model, self._outcomes(model, blend)
            else:
                held = self._hold_out(model)
                yield model, self._outcomes(model, Blend(self._predict(model), held))

    def member(self, name: str) -> Member:
        """Return the model `name`, always the same instance: it may keep its last fit."""
        if name not in self._members:
            self._members[name] = registry.member(name)
        return self._members[name]

    def learn(self, store: Store, *, of: int) -> None:
        """Put into the store what `auto` learns of the panel, to forecast `of` series with it.

        Nothing is put there of a kind of which there are few.
        """
        lumpy = self._lumpy()
        if lumpy.any() and not lumpy.all():
            for group, part in self._kinds(lumpy):
                part.learn(store, of=of * len(group) // len(lumpy))
            return
        if len(lumpy) < LEAST_SERIES:
            return
        chosen = plan(self._panel, run=self._run, of=of)
        self._stages = 2 * len(chosen.names)
        table, weights, left_out = self._weighed(chosen, lumpy=bool(lumpy.all()), models=())
        folder = store.place(self._panel[0].step, lumpy=bool(lumpy.all()))
        for name in weights.final:
            member, run = self.member(name), self._told(f'{name}: learning')
            if isinstance(member, Learner):
                member.learn(self._panel, h=self._h, run=run, folder=folder / name)
        held = Held(table.origins, tuple(table.mean(weights)))
        sizes, held = conformal.measured(self._panel, held, h=self._h) or (None, held)
        asked = conformal.drawn(self._quantiles, self._adapted.get('auto', {}))
        own = zip(self._panel, sizes.own.tolist() if sizes else (), strict=sizes is not None)
        found = Learnt(
            folder=folder,
            weights=weights.final,
            sizes=sizes,
            own={series.unique_id: lean for series, lean in own if lean},
            factors=conformal.calibrate(self._panel, held, asked, h=self._h),
            warning=_told_of(left_out, self._run.budget),
        )
        store.add(found)

    def _lumpy(self) -> Array:
        return np.array(['intermittent' in one.flags for one in self._panel])

    def _kinds(self, lumpy: Array) -> Iterator[tuple[list[int], 'Bench']]:
        """Yield the places of series that are not intermittent and of those that are, each with a bench of its own."""
        for group in (np.flatnonzero(~lumpy).tolist(), np.flatnonzero(lumpy).tolist()):
            run = replace(self._told(''), budget=self._run.budget and self._left() * len(group) / len(lumpy))
            yield group, Bench(
                [self._panel[place] for place in group],
                h=self._h, quantiles=self._quantiles, run=run, adapted=self._adapted, store=self._store,
            )  # fmt: skip

    def _known(self, *, lumpy: bool) -> Learnt | None:
        return None if self._store is None else self._store.of(self._panel[0].step, lumpy=lumpy)

    def _recalled(self, known: Learnt) -> list[Outcome]:
        """Return `auto` of the panel with what was learnt of others: the members' shares, and how far bands reach."""
        self._stages = len(known.weights)
        found = [self._recall(name, known) for name in known.weights]
        raws = [_average(own, known.weights, known.weights) for own in zip(*found, strict=True)]
        if known.sizes is not None:
            own = np.array([known.own.get(one.unique_id, 0.0) for one in self._panel])
            raws = replace(known.sizes, own=own).lean(self._panel, raws)
        blend = Blend(raws, Held((), ()), known.weights, known.warning)
        return [
            _outcome('auto', one, raw, known.factors, blend)
            for one, raw in zip(self._panel, raws, strict=True)
        ]  # fmt: skip

    def _recall(self, name: str, known: Learnt) -> list[Raw]:
        member = self.member(name)
        if not isinstance(member, Learner):
            return self._predict(name)
        ends = [Origin(place, len(one.filled)) for place, one in enumerate(self._panel)]
        run = self._told(f'{name}: forecasting')
        with self._border(name, ends) as answer:
            answer.raws = member.recall(self._panel, h=self._h, run=run, folder=known.folder / name)
        return [self._scaled(raw, place) for place, raw in enumerate(answer.raws)]

    def _apart(self, lumpy: Array) -> list[Outcome]:
        """Return `auto` of intermittent series and of the others, each as a panel of its own."""
        found: dict[int, Outcome] = {}
        weights: dict[str, float] = {}
        for group, part in self._kinds(lumpy):
            share = len(group) / len(lumpy)
            for _, outcomes in part.run(('auto',)):
                found |= dict(zip(group, outcomes, strict=True))
            for name, weight in part.weights['auto'].items():
                weights[name] = weights.get(name, 0.0) + share * weight
        self.weights['auto'] = weights
        return [found[place] for place in range(len(lumpy))]

    def _outcomes(self, model: str, blend: Blend) -> list[Outcome]:
        asked = conformal.drawn(self._quantiles, self._adapted.get(model, {}))
        held, raws = conformal.sized(self._panel, blend.held, blend.raws, h=self._h)
        factors = conformal.calibrate(self._panel, held, asked, h=self._h)
        return [
            _outcome(model, one, raw, factors, blend)
            for one, raw in zip(self._panel, raws, strict=True)
        ]  # fmt: skip

    def _predict(self, name: str) -> list[Raw]:
        if name not in self._raws:
            ends = [Origin(place, len(one.filled)) for place, one in enumerate(self._panel)]
            run = self._told(f'{name}: forecasting')
            with self._border(name, ends) as answer:
                answer.raws = self.member(name).predict(self._panel, h=self._h, run=run)
            self._raws[name] = [self._scaled(raw, place) for place, raw in enumerate(answer.raws)]
        return self._raws[name]

    def _hold_out(self, name: str, most: int | None = None) -> Held:
        if name not in self._held:
            model = self.member(name)
            origins = conformal.choose(self._panel, h=self._h, most=most or model.held_series, seed=self._run.seed)
            run, found = self._told(f'{name}: measuring its bands'), dict[Origin, Raw]()
            parts = self._stages_of(name, origins)
            for place, part in enumerate(parts):
                with self._border(name, part) as answer:
                    answer.raws = model.hold_out(self._panel, part, h=self._h, run=_part(run, place, len(parts)))
                found |= zip(part, answer.raws, strict=True)
            raws = tuple(self._scaled(found[at], at.place, at.size) for at in origins)
            self._held[name] = Held(origins, raws)
        return self._held[name]

    @contextmanager
    def _border(self, name: str, origins: Sequence[Origin]) -> Iterator[_Answer]:
        """Let seasonal naive stand in at every origin when a model raises: it costs the other models nothing."""
        answer = _Answer()
        try:
            yield answer
        except (VariosyncError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - model libraries raise what they like
            reason = f'{name} failed ({type(error).__name__}: {error}).'
            answer.raws = [
                repeat(
                    self._panel[at.place].past(at.size),
                    h=self._h,
                    season_length=self._panel[at.place].step.season_length,
                    warning=reason,
                )
                for at in origins
            ]

    def _stages_of(self, name: str, origins: tuple[Origin, ...]) -> list[tuple[Origin, ...]]:
        """Return the origins in the parts to hold out at once.

        A model of all series is trained up to the first of each part: of all origins at once, it would be out of date
        at the newer ones, and look worse than it is.
        """
        if name not in GLOBAL_SECONDS or not origins:
            return [origins]
        old = conformal.older(self._panel, origins)
        parts = [tuple(at for at, is_old in zip(origins, old, strict=True) if is_old == half) for half in (True, False)]
        return [part for part in parts if part]

    def _scaled(self, raw: Raw, place: int, size: int | None = None) -> Raw:
        series = self._panel[place]
        past = series.filled if size is None else series.past(size)
        return conformal.scaled(raw, past, series.step.season_length)

    def _told(self, text: str) -> Run:
        told, stage = self._run.progress, self._stage
        self._stage += 1
        told(min(1.0, stage / self._stages), text)  # a model that tells nothing for long is named while it works
        return replace(self._run, progress=lambda part, own: told(min(1.0, (stage + part) / self._stages), own or text))

    def _blend(self, chosen: Plan, *, lumpy: bool, models: Sequence[str]) -> Blend:
        """Hold out the members, weigh them, and let those that count forecast, as far as time is left."""
        table, learnt, left_out = self._weighed(chosen, lumpy=lumpy, models=models)
        found = [self._predict(name) for name in learnt.final]
        return Blend(
            raws=[_average(own, learnt.final, learnt.final) for own in zip(*found, strict=True)],
            held=Held(table.origins, tuple(table.mean(learnt))),
            weights=learnt.final,
            warning=_told_of(left_out, self._run.budget),
        )

    def _weighed(self, chosen: Plan, *, lumpy: bool, models: Sequence[str]) -> tuple['Table', 'Weights', list[str]]:
        """Hold out the members and weigh them; return also who was left out for want of time."""
        self._started = time.monotonic()
        left_out = list(chosen.left_out)
        held: dict[str, Held] = {}
        for name in chosen.names:
            if name not in self._held and self._is_late(name, forecast_only=False):
                left_out.append(name)
            else:
                held[name] = self._hold_out(name, None if name in models else chosen.held_series)
        table = Table.of(self._panel, held, h=self._h, squared=lumpy)
        learnt = table.weigh(keep=LUMPY if lumpy else None)
        late = [name for name in learnt.final if name not in self._raws and self._is_late(name, forecast_only=True)]
        left_out += late
        return table, learnt.without(late), left_out

    def _left(self) -> float:
        """Return how many seconds of the budget are left, at least one."""
        assert self._run.budget is not None
        return max(1.0, self._run.budget - (time.monotonic() - self._started))

    def _is_late(self, name: str, *, forecast_only: bool) -> bool:
        """Return whether the budget has no time for a member: to be held out and to forecast, or only to forecast."""
        if self._run.budget is None or name == FLOOR:
            return False
        fixed, each = seconds(name, self._panel, self._run)
        need = (fixed / 3 if forecast_only else fixed) + each * len(self._panel)
        return need > self._left()


@dataclass(frozen=True, slots=True)
class Table:
    """What the members forecast from the same past origins: `raws` (members × origins) beside what came."""

    names: tuple[str, ...]
    origins: tuple[Origin, ...]
    raws: tuple[tuple[Raw, ...], ...]
    centers: Array
    real: Array
    actual: Array
    scales: Array
    folds: Array
    windows: float
    squared: bool

    @classmethod
    def of(cls, panel: Sequence[Series], held: Mapping[str, Held], *, h: int, squared: bool) -> 'Table':
        """Return the table of the origins that all members were held out at."""
        by_origin = {name: own.by_origin() for name, own in held.items()}
        first, *rest = by_origin.values()
        origins = tuple(at for at in first if all(at in other for other in rest))
        raws = tuple(tuple(own[at] for at in origins) for own in by_origin.values())
        centers = np.array([[raw.center for raw in own] for own in raws]).reshape(len(held), len(origins), h)
        actual = np.full((len(origins), h), np.nan)
        for row, at in enumerate(origins):
            came = panel[at.place].y[at.size : at.size + h]
            actual[row, : len(came)] = came
        own = np.array([scale(panel[at.place].past(at.size), panel[at.place].step.season_length) for at in origins])
        return cls(
            names=tuple(held),
            origins=origins,
            raws=raws,
            centers=centers,
            real=np.array([[_is_real(name, raw) for raw in own] for name, own in zip(held, raws, strict=True)]),
            actual=actual,
            scales=_divisors(centers, actual, own),
            folds=_folds(panel, origins),
            windows=conformal.independent(origins, h=h),
            squared=squared,
        )

    def weigh(self, *, keep: str | None) -> 'Weights':
        """Return the members' weights: the final ones, and for each fold those that it had no part in.

        `keep` names a member that has its part in the equal half whatever its loss.
        """
        usable = np.isfinite(self.actual).any(axis=1) & (self.scales > 0)
        learnt = [self._weights(usable & (self.folds != fold), keep) for fold in (0, 1)]
        final = np.mean(learnt, axis=0)
        final = np.where(final >= LEAST_SHARE, final, 0.0) / final[final >= LEAST_SHARE].sum()
        found = Weights(
            {name: float(weight) for name, weight in zip(self.names, final, strict=True) if weight > 0},
            tuple(dict(zip(self.names, map(float, own), strict=True)) for own in learnt),
        )
        if usable.any() and self.names[-1] == FLOOR:
            blended = np.array([raw.center for raw in self.mean(found)])
            if self._loss(blended, usable) > self._loss(self.centers[-1], usable):
                return FLOOR_ALONE
        return found

    def mean(self, weights: 'Weights') -> list[Raw]:
        """Return the members' mean from each origin, by the weights of its fold."""
        found = []
        for own, fold in zip(zip(*self.raws, strict=True), self.folds, strict=True):
            raws = dict(zip(self.names, own, strict=True))
            mine = weights.by_fold[fold]
            found.append(_average([raws[name] for name in mine], mine, weights.final))
        return found

    def _weights(self, rows: Array, keep: str | None) -> Array:
        members = np.array([name != FLOOR for name in self.names])
        if not members.any():
            return np.ones(len(self.names)) / len(self.names)
        if rows.sum() < 2:
            return np.asarray(members / members.sum())
        losses = np.array([self._loss(own, rows) for own in self.centers])
        near = members & (losses <= NEAR * losses[members].min())
        near |= np.array([name == keep for name in self.names])
        trust = 0.5 * min(1.0, self.windows / ENOUGH_WINDOWS)
        return np.asarray(trust * self._greedy(rows) + (1 - trust) * near / near.sum())

    def _greedy(self, rows: Array) -> Array:
        """Return weights by adding, again and again, the member that makes the mean better most.

        The floor is none of them: what it added to a mean on past windows, it took on later ones.
        """
        chosen, total = np.zeros(len(self.names)), np.zeros_like(self.actual)
        for round_ in range(ROUNDS):
            losses = [
                np.inf if name == FLOOR else self._loss((total + own) / (round_ + 1), rows)
                for name, own in zip(self.names, self.centers, strict=True)
            ]
            best = int(np.argmin(losses))
            chosen[best] += 1
            total = total + self.centers[best]
        return chosen / ROUNDS

    def _loss(self, centers: Array, rows: Array) -> float:
        """Return the mean scaled error of forecasts: absolute, or (of intermittent demand) squared under a root."""
        apart = np.abs(self.actual[rows] - centers[rows])
        if self.squared:
            return float(np.mean(np.sqrt(np.nanmean(apart**2, axis=1)) / self.scales[rows]))
        return float(np.mean(np.nanmean(apart, axis=1) / self.scales[rows]))


@dataclass(frozen=True, slots=True)
class Weights:
    """The shares of members: the `final` ones, and by fold those that were learnt without it."""

    final: Mapping[str, float]
    by_fold: tuple[Mapping[str, float], ...]

    def without(self, names: Sequence[str]) -> 'Weights':
        """Return the shares of the others, of the floor alone when none is left."""
        if not names:
            return self
        kept = _shares(self.final, names)
        folds = tuple(_shares(own, names) for own in self.by_fold)
        return Weights(kept, tuple(own or kept for own in folds)) if kept else FLOOR_ALONE


FLOOR_ALONE = Weights({FLOOR: 1.0}, ({FLOOR: 1.0}, {FLOOR: 1.0}))


def _shares(weights: Mapping[str, float], left_out: Sequence[str]) -> dict[str, float]:
    kept = {name: weight for name, weight in weights.items() if name not in left_out and weight > 0}
    whole = sum(kept.values())
    return {name: weight / whole for name, weight in kept.items()}


def pool(step: Step) -> tuple[str, ...]:
    """Return who may be a member of `auto` for a step, the most useful first, as measured on M3, M4, tourism, NN5."""
    if step.unit == 'fixed' and step.size < DAY:
        return 'lightgbm', 'linear', 'mstl'
    if step.unit == 'business' or (step.unit == 'fixed' and step.size < 7 * DAY):
        return 'lightgbm', 'linear', 'prophet', 'theta', 'ets', 'mstl'
    return 'lightgbm', 'theta', 'mstl', 'ets'


def plan(panel: Sequence[Series], *, run: Run, of: int = 0) -> Plan:
    """Return the members that a panel and the time allow, with the floor, and how many series to hold them out on.

    `of` is how many series there are to forecast, where they are more than the panel's.
    """
    count = max(of, len(panel))
    names = [name for name in pool(panel[0].step) if name in registry.MODELS]
    if all('intermittent' in one.flags for one in panel):
        names = [name for name in (LUMPY, 'lightgbm', 'mstl') if name in registry.MODELS]
    if run.budget is not None and count >= DEEP_SERIES and DEEP in registry.MODELS and not registry.hint(DEEP):
        names.append(DEEP)
    room = ALLOWANCE[0] + ALLOWANCE[1] * count if run.budget is None else run.budget - START_SECONDS
    origins = conformal.origins_a_series(count)
    least = min(LEAST_PAIRS, origins * count)
    taken, left_out, each_fit = [], [], 0.0
    for name in names:
        fixed, each = seconds(name, panel, run)
        shared = name in GLOBAL_SECONDS or name == DEEP
        need = fixed + each * (count + (0 if shared else least))
        if shared and run.budget is None:
            taken.append(name)
        elif need <= room:
            taken.append(name)
            room -= need
            each_fit += 0.0 if shared else each
        else:
            left_out.append(name)
    pairs = MOST_PAIRS if each_fit == 0 else min(MOST_PAIRS, least + max(0.0, room) / each_fit)
    return Plan(
        names=(*taken, FLOOR),
        held_series=max(1, int(pairs / origins)),
        left_out=tuple(left_out) if run.budget is not None else (),
    )


def seconds(name: str, panel: Sequence[Series], run: Run) -> tuple[float, float]:
    """Return about how long a member takes: seconds in any case, and seconds a fit (of all series: a series)."""
    if name == DEEP:
        return DEEP_SECONDS, 0.0
    if name in GLOBAL_SECONDS:
        return GLOBAL_SECONDS[name]
    if name == 'prophet' and (run.regressors or run.holidays or run.options.get(name)):
        return START_SECONDS, REAL_PROPHET_SECONDS
    fixed, thousand = FIT_SECONDS[name]
    values = np.mean([min(len(one.filled), LONGEST_HISTORY) for one in panel]) / 1000
    longer = TWO_SEASONS if name == 'mstl' and panel[0].step.long_season else 1.0
    return 0.0, float(fixed + thousand * values * longer)


def still(series: Series, h: int, quantiles: Sequence[float]) -> Outcome:
    """Return the forecast of a series of one value (without bands) or of equal values (with bands of no width)."""
    center = np.full(h, series.filled[-1])
    alone = series.observed == 1
    bands = (
        np.where(np.array(quantiles) == 0.5, center[:, None], np.nan)
        if alone
        else np.tile(center[:, None], len(quantiles))
    )
    warning = (
        'One value only: it was repeated, and no band can be given.'
        if alone
        else 'The series is constant: its value goes on, in bands of no width.'
    )
    return Outcome(center=center, quantiles=bands, used='naive', status='fallback', warning=warning)


def _outcome(model: str, series: Series, raw: Raw, factors: Array, blend: Blend) -> Outcome:
    stood_in = _all_stood_in(raw, blend.weights) if model == 'auto' else raw.used != model
    values, center = conformal.apply(raw, factors), raw.center
    if series.filled.min() >= 0:
        values, center = np.maximum(values, 0.0), np.maximum(center, 0.0)
    status = 'fallback' if stood_in else 'ok'
    told = ' '.join(note for note in (raw.warning, blend.warning) if note)
    return Outcome(center=center, quantiles=values, used=raw.used, status=status, warning=told)


def _average(raws: Sequence[Raw], weights: Mapping[str, float], compared: Collection[str] = ()) -> Raw:
    """Return the weighted mean of the members' forecasts, without those that another model stood in for.

    Where all have failed, the first stand-in is the forecast. How far members lie apart is told of those `compared`.
    """
    names = list(weights)
    real = [(raw, weights[name]) for raw, name in zip(raws, names, strict=True) if _is_real(name, raw)]
    real = [(raw, weight) for raw, weight in real if weight > 0]
    gone = [raw.warning for raw, name in zip(raws, names, strict=True) if not _is_real(name, raw) and weights[name] > 0]
    if all(raw.used == 'naive' for raw, _ in real):
        gone += [raw.warning for raw, _ in real]
    if not real:
        return raws[0]
    whole = sum(weight for _, weight in real)
    return Raw(
        center=np.sum([raw.center * (weight / whole) for raw, weight in real], axis=0),
        spread=np.sum([raw.spread * (weight / whole) for raw, weight in real], axis=0),
        used='+'.join(dict.fromkeys(raw.used for raw, _ in real)),
        warning=' '.join(dict.fromkeys(note for note in gone if note)),
        apart=_apart([raw for raw, name in zip(raws, names, strict=True) if name in compared and _is_real(name, raw)]),
    )


def _apart(raws: Sequence[Raw]) -> float:
    """Return the standard deviation of forecasts from their mean, mean over the steps."""
    if len(raws) < 2:
        return 0.0
    centers = np.array([raw.center for raw in raws])
    largest = float(np.abs(centers).max())
    return largest * float(np.std(centers / largest, axis=0).mean()) if largest > 0 else 0.0


def _all_stood_in(raw: Raw, weights: Mapping[str, float]) -> bool:
    """Return whether no member made a forecast of its own: the floor counts only where it was chosen."""
    used = set(raw.used.split('+'))
    return not used & (set(weights) - {FLOOR}) and (used != {FLOOR} or set(weights) != {FLOOR})


def _part(run: Run, place: int, count: int) -> Run:
    told = run.progress
    return replace(run, progress=lambda part, text: told((place + part) / count, text))


def _is_real(name: str, raw: Raw) -> bool:
    return raw.used == name or (name == FLOOR and raw.used == 'naive')


def _divisors(centers: Array, actual: Array, own: Array) -> Array:
    """Return what each origin's errors are divided by: its seasonal scale, unless that is tiny beside all errors."""
    with np.errstate(invalid='ignore'):
        apart = np.abs(centers - actual)
    known = np.isfinite(actual)
    usual = np.where(known, apart, 0.0).sum(axis=(0, 2)) / np.maximum(len(centers) * known.sum(axis=1), 1)
    return np.asarray(np.maximum(own, 0.1 * usual))


def _folds(panel: Sequence[Series], origins: Sequence[Origin]) -> Array:
    """Return the fold (0 or 1) of each origin: by series, or of few series by older and newer windows."""
    places = list(dict.fromkeys(at.place for at in origins))
    if len(places) > FEW_SERIES:
        number = {place: at % 2 for at, place in enumerate(places)}
        return np.array([number[at.place] for at in origins])
    return conformal.older(panel, origins).astype(int)


def _told_of(left_out: Sequence[str], budget: float | None) -> str:
    if not left_out or budget is None:
        return ''
    return f'The budget of {budget:g} s left no time for {", ".join(dict.fromkeys(left_out))}.'
