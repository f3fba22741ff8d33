"""Gradient boosting over all series and all horizons, on windows that are scaled one by one.

The target is the scaled difference from the last season's value, so that the model starts from that anchor and learns
across series of any size. One model reads series in their own units and one in logarithms, where series are well above
zero; the forecast is their mean. Direct multi-horizon as in Taieb et al. 2012, doi:10.1016/j.eswa.2012.01.039; global
models as in Montero-Manso & Hyndman 2021, doi:10.1016/j.ijforecast.2021.03.004; boosting by Ke et al. 2017 (LightGBM),
contributions by Lundberg et al. 2020 (TreeSHAP), doi:10.1038/s42256-019-0138-9.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.analysis.forecasting import calendars, features, windows
from core.analysis.forecasting.base import Explained, Origin, Raw, Run
from core.analysis.forecasting.frequency import Array
from core.analysis.forecasting.naive import stand_in
from core.analysis.forecasting.options import check
from core.analysis.forecasting.repair import Series

if TYPE_CHECKING:
    import lightgbm

MOST_ROWS = 150_000
MOST_WINDOWS = 150
MOST_AT_ONCE = 200_000
"""So many rows are forecast at once, so that long horizons fit into memory."""
FEW_SERIES = 5
HORIZONS_A_WINDOW = 6
LEAST_ROWS = 60
SMALL = 5000
"""Up to this many rows, half the rounds are enough."""
REACH = 15.0
"""Scaled targets are clipped here: beyond lie breaks in level that no window explains."""
ROUNDS = 250
BAGS, MANY_SERIES = 3, 800
"""Of so many series, the forecast is a mean over so many draws (Breiman 1996, doi:10.1007/BF00058655): their own models
take so long that further fits of this one cost little."""
CONFIG = 'config.json'
WIDE_ROUNDS = 150
"""Where days and weeks recur, trees are larger, and fewer and quicker ones cost little."""


@dataclass(frozen=True, slots=True)
class _View:
    """A fitted model with the pool (plain or in logarithms) that it reads."""

    pool: windows.Pool
    layout: windows.Layout
    known: features.Context
    holidays: int
    booster: 'lightgbm.Booster'

    def table(self, at: windows.Windows, h: int) -> features.Table:
        steps = np.tile(np.arange(1, h + 1), (len(at), 1))
        return features.table(self.pool, at, steps, self.layout, self.known, self.holidays)

    def forecast(self, at: windows.Windows, h: int) -> tuple[Array, Array]:
        """Return forecasts in units of y and their spread, as far as the anchor's scale says (k × h each)."""
        size = max(1, MOST_AT_ONCE // h)
        parts = [at.part(first, first + size) for first in range(0, len(at), size)]
        centers, spreads = zip(*(self._forecast(part, h) for part in parts), strict=True)
        return np.concatenate(centers), np.concatenate(spreads)

    def _forecast(self, at: windows.Windows, h: int) -> tuple[Array, Array]:
        table = self.table(at, h)
        scaled = self.booster.predict(table.values, num_threads=1).reshape(len(at), h)
        center = self.pool.in_units(table.anchor + table.scale[:, None] * scaled, at.places, at.sizes)
        logged = self.pool.logged[at.places][:, None]
        return center, table.scale[:, None] * np.where(logged, np.abs(center), 1.0)


class Windowed:
    """The member `lightgbm`."""

    name = 'lightgbm'
    held_series = 1500

    def __init__(self) -> None:
        self._last: tuple[Sequence[Series], Run, int, tuple[_View, ...]] | None = None

    def predict(self, panel: Sequence[Series], *, h: int, run: Run) -> list[Raw]:
        """Return each series' forecast by models trained on all of them."""
        ends = [Origin(place, len(series.filled)) for place, series in enumerate(panel)]
        views = _fit(panel, [at.size for at in ends], h=h, run=run, bags=BAGS if len(panel) >= MANY_SERIES else 1)
        self._last = (panel, run, h, views)
        return self._raws(panel, ends, views, h=h)

    def hold_out(self, panel: Sequence[Series], origins: Sequence[Origin], *, h: int, run: Run) -> list[Raw]:
        """Return forecasts from the origins by models that were trained on nothing after the one farthest back."""
        if not origins:
            return []
        return self._raws(panel, origins, _fit(panel, windows.ends_before(panel, origins), h=h, run=run), h=h)

    def explain(self, panel: Sequence[Series], places: Sequence[int], *, h: int, run: Run) -> list[Explained]:
        """Return what groups of features add to each step of each series' forecast, in units of y.

        `last season` is where a forecast starts; it and the contributions of a step sum up to its forecast.
        """
        if self._last is None or self._last[0] is not panel or self._last[2] != h:
            self.predict(panel, h=h, run=run)
        views = self._last[3] if self._last else ()
        found = []
        for place in places:
            series = panel[place]
            if not views or len(series.filled) < views[0].layout.least:
                continue
            at = windows.Windows(places=np.array([place]), sizes=np.array([len(series.filled)]))
            parts = [_contributions(view, at, h) for view in views]
            names = dict.fromkeys(name for part in parts for name in part)
            for name in names:
                value = np.mean([part.get(name, np.zeros(h)) for part in parts], axis=0)
                found.append(
                    Explained(
                        unique_id=series.unique_id, kind='contribution', name=name, ds=series.future[:h], value=value
                    )
                )
        return found

    def learn(self, panel: Sequence[Series], *, h: int, run: Run, folder: Path) -> None:
        """Write models trained on all series, as LightGBM's text, and what they read of windows."""
        bags = BAGS if len(panel) >= MANY_SERIES else 1
        views = _fit(panel, [len(one.filled) for one in panel], h=h, run=run, bags=bags)
        folder.mkdir()
        for number, view in enumerate(views):
            (folder / f'{number}.txt').write_text(view.booster.model_to_string(num_iteration=-1), encoding='utf-8')
        told = {
            'layout': views and asdict(views[0].layout),
            'calendar': any(group == 'calendar' for view in views for group, _ in view.known.calendar),
            'categories': windows.vocabularies(panel),
            'holidays': calendars.holiday_names(views[0].pool.stamps, run.holidays) if views and run.holidays else None,
            'views': len(views),
            'bags': bags,
        }
        (folder / CONFIG).write_text(json.dumps(told), encoding='utf-8')

    def recall(self, panel: Sequence[Series], *, h: int, run: Run, folder: Path) -> list[Raw]:
        """Return each series' forecast by the models that `learn` wrote."""
        import lightgbm

        ends = [Origin(place, len(series.filled)) for place, series in enumerate(panel)]
        told = json.loads((folder / CONFIG).read_text(encoding='utf-8'))
        if not told['views']:
            return self._raws(panel, ends, (), h=h)
        layout, sizes = windows.Layout(**told['layout']), [at.size for at in ends]
        views = []
        for number in range(told['views']):
            if number % told['bags'] == 0:
                logged = number >= told['bags']
                pool = windows.pool(panel, sizes, h=h, run=run, logged=logged)
                pool = replace(pool, kinds=windows.categories(panel, told['categories']))
                known = features.context(panel, sizes, pool, run, calendar=told['calendar'], holidays=told['holidays'])
            text = (folder / f'{number}.txt').read_text(encoding='utf-8')
            holidays = len(pool.names) - len(run.regressors)
            views.append(_View(pool, layout, known, holidays, lightgbm.Booster(model_str=text)))
        return self._raws(panel, ends, views, h=h)

    def _raws(self, panel: Sequence[Series], origins: Sequence[Origin], views: Sequence[_View], *, h: int) -> list[Raw]:
        if not views:
            return [
                stand_in(panel[at.place], at.size, h=h, reason='lightgbm needs a longer history or more series.')
                for at in origins
            ]
        at = windows.Windows(
            places=np.array([one.place for one in origins]), sizes=np.array([one.size for one in origins])
        )
        found = [view.forecast(at, h) for view in views]
        centers, spreads = (np.mean([part[side] for part in found], axis=0) for side in (0, 1))
        least = views[0].layout.least
        return [
            Raw(center=center, spread=spread, used=self.name)
            if one.size >= least
            else stand_in(panel[one.place], one.size, h=h, reason='The series is too short for lightgbm.')
            for one, center, spread in zip(origins, centers, spreads, strict=True)
        ]


def _fit(panel: Sequence[Series], ends: Sequence[int], *, h: int, run: Run, bags: int = 1) -> tuple[_View, ...]:
    """Return the models, `bags` of each view: none when there is too little to learn from."""
    layout = windows.layout(panel, ends)
    options = run.options.get('lightgbm', {})
    found: list[_View] = []
    for number, logged in enumerate((False, True)):
        pool = windows.pool(panel, ends, h=h, run=run, logged=logged)
        known = features.context(panel, ends, pool, run)
        holidays = len(pool.names) - len(run.regressors)
        for bag in range(bags):
            told = _part(run.progress, number * bags + bag, 2 * bags)
            seed = run.seed + number + 2 * bag
            drawn, target = _training(pool, layout, known, holidays, seed=seed)
            if len(target) < LEAST_ROWS:
                return ()
            booster = _train(drawn, target, layout, seed=seed, options=options, told=told)
            found.append(_View(pool, layout, known, holidays, booster))
    return tuple(found)


def _training(
    pool: windows.Pool, layout: windows.Layout, known: features.Context, holidays: int, *, seed: int
) -> tuple[features.Table, Array]:
    """Return features and scaled targets of windows drawn from each series before its end."""
    rng = np.random.default_rng(seed)
    ahead = min(HORIZONS_A_WINDOW, pool.h)
    drawn = windows.draw(
        pool.ends,
        least=layout.least,
        most=MOST_ROWS // HORIZONS_A_WINDOW,
        a_series=MOST_WINDOWS if len(pool.sizes) > FEW_SERIES else 5 * MOST_WINDOWS,
        rng=rng,
    )
    room = np.minimum(pool.h, pool.ends[drawn.places] - drawn.sizes)
    steps = rng.integers(1, room[:, None] + 1, size=(len(drawn), ahead))
    table = features.table(pool, drawn, steps, layout, known, holidays)
    actual = pool.came(drawn.places, drawn.sizes, steps)
    target = np.clip((actual - table.anchor) / table.scale[:, None], -REACH, REACH).ravel()
    seen = np.isfinite(target)
    kept = features.Table(table.values[seen], table.groups, table.categories, table.anchor, table.scale)
    return kept, target[seen]


def _train(
    table: features.Table,
    target: Array,
    layout: windows.Layout,
    *,
    seed: int,
    options: Mapping[str, Any],
    told: Callable[[float, str], None],
) -> 'lightgbm.Booster':
    """Return a model of the conditional median of the scaled target."""
    import lightgbm

    check('lightgbm', options)
    wide = layout.long_season > 0
    settings: dict[str, Any] = {
        'rounds': WIDE_ROUNDS if wide else ROUNDS if len(target) > SMALL else ROUNDS // 2,
        'learning_rate': 0.12 if wide else 0.05,
        'num_leaves': 96 if wide else 31,
        'min_data_in_leaf': int(np.clip(len(target) // 40, 10, 40)),
        **options,
    }
    rounds = settings.pop('rounds')
    parameters = {
        **settings,
        'objective': 'l1',
        'bagging_fraction': 0.7,
        'bagging_freq': 1,
        'feature_fraction': 0.7,
        'lambda_l2': 1.0,
        'max_bin': 127,
        'num_threads': 1,
        'seed': seed,
        'deterministic': True,
        'force_row_wise': True,
        'verbosity': -1,
    }
    data = lightgbm.Dataset(table.values, target, categorical_feature=list(table.categories))
    return lightgbm.train(parameters, data, rounds, callbacks=[lambda state: told((state.iteration + 1) / rounds, '')])


def _contributions(view: _View, at: windows.Windows, h: int) -> dict[str, Array]:
    """Return what each group adds (h each) to the last season's values, which come first.

    In logarithms, differences are shared by the logarithmic mean of start and end, which leaves no remainder
    (Ang 2004, doi:10.1016/j.enpol.2003.10.010).
    """
    table, pool = view.table(at, h), view.pool
    shap = np.asarray(view.booster.predict(table.values, pred_contrib=True, num_threads=1))
    added: dict[str, Array] = {}
    for group, column in zip((*table.groups, 'level'), shap.T, strict=True):
        added[group] = added.get(group, 0.0) + table.scale[0] * column
    then = at.sizes[:, None] - view.layout.season + np.arange(h) % view.layout.season
    ahead = at.sizes[:, None] + np.arange(h)
    effects = pool.at(pool.effects, at.places, ahead) - pool.at(pool.effects, at.places, then)
    for place, name in enumerate(pool.names):
        group = name if place < len(pool.names) - view.holidays else 'holidays'
        added[group] = added.get(group, 0.0) + effects[0, :, place]
    start = table.anchor + pool.at(pool.effect, at.places, then)
    end = start + sum(added.values())
    base, whole = pool.plain(start, at.places)[0], pool.plain(end, at.places)[0]
    apart = (end - start)[0]
    size = np.where(np.abs(apart) > 1e-9, (whole - base) / np.where(np.abs(apart) > 1e-9, apart, 1.0), base)
    if not pool.logged[at.places[0]]:
        size = np.ones(h)
    return {'last season': base, **{name: size * value for name, value in added.items()}}


def _part(told: Callable[[float, str], None], number: int, count: int) -> Callable[[float, str], None]:
    return lambda part, text: told((number + part) / count, text)
