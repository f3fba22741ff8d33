"""A made-up dataset and forecasts of it, for tests of the pages about them: the services' methods, nothing behind."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from random import Random
from typing import Any
from uuid import UUID, uuid4

from core.analysis.ahead import Ahead
from core.analysis.tables import Page
from core.ask import Ask, Reach
from core.errors import NotFound, Unavailable
from core.forecasts import Times
from core.track import Scoring, Track
from core.values import Forecast, Quote, Version
from tests.ui.doubles import Datasets, Forecasts

AWAY = 'The object store does not answer.'
H = 12
MONTH = 30.4375 * 86_400_000
CUTOFF = 1_760_000_000_000.0
LABELS = tuple(f'Store {place:02}' for place in range(1, 31))
MODELS = ('auto', 'lightgbm', 'prophet', 'theta')
QUANTILES = {'0.025': -1.96, '0.1': -1.28, '0.5': 0.0, '0.9': 1.28, '0.975': 1.96}


def manifest(*, labels: Sequence[str] = LABELS) -> dict[str, Any]:
    """The manifest of a monthly dataset with a price that is known ahead and a visitor count that is not."""
    roles = {'month': 'time', 'store': 'series', 'sales': 'measure', 'price': 'measure', 'visitors': 'measure'}
    columns = [{'name': name, 'role': role, 'type': 'text', 'missing': 0} for name, role in roles.items()]
    return {
        'measures': ['sales', 'price', 'visitors'],
        'columns': [*columns, {'name': 'region', 'role': 'attribute', 'type': 'text', 'missing': 0}],
        'series': {'count': len(labels), 'first': list(labels)},
        'time': {'freq': 'MS', 'step_seconds': 2_629_800.0, 'end': '2025-10-01T00:00:00+00:00'},
        'files': [],
    }


class Shop(Datasets):
    """Datasets whose versions can be asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.manifest = manifest()
        self.away = False
        self.ahead = {'price': Ahead(steps=H, series=30, of=30), 'visitors': Ahead(steps=0, series=0, of=30)}

    async def version(self, user_id: UUID, dataset_id: UUID, number: int | None = None) -> Version:
        return Version(
            id=uuid4(),
            dataset_id=dataset_id,
            user_id=user_id,
            number=1,
            prefix='p',
            manifest=self.manifest,
            rows=2880,
            upload_id=uuid4(),
            created_at=datetime.now(UTC),
        )

    async def labels(self, user_id: UUID, version: Version, *, query: str = '', limit: int = 50) -> Sequence[str]:
        _reach(self.away)
        return [name for name in self.manifest['series']['first'] if query.lower() in name.lower()][:limit]

    async def known_ahead(self, user_id: UUID, version: Version, target: str) -> Mapping[str, Ahead]:
        _reach(self.away)
        return {name: ahead for name, ahead in self.ahead.items() if name != target}


class Issued(Forecasts):
    """Forecasts with everything that a page can show of them; `asked` and `changed` tell what was ordered.

    `examined` are the series whose residuals were read, `more` is what their results hold besides. While they are
    `away`, what is stored cannot be read.
    """

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.asked: list[Ask] = []
        self.changed: list[Mapping[str, Any]] = []
        self.examined: list[str | None] = []
        self.more: dict[str, Any] = {}
        self.arrived: Mapping[str, Any] | None = None
        self.clock = 'UTC'
        self.beyond: Reach | None = None
        self.measured_from: list[int] = []

    def quote(self, version: Version, ask: Ask) -> Quote:
        return Quote(task='forecast', seconds=30 * len(ask.models), basis=f'{len(ask.models)} models')

    async def quote_again(self, user_id: UUID, forecast_id: UUID) -> Quote:
        return Quote(task='forecast', seconds=90, basis='30 series × 4 models')

    async def request(self, user_id: UUID, version: Version, ask: Ask) -> Forecast:
        self.asked.append(ask)
        return self.issue(user_id)

    def issue(self, user_id: UUID, *, old: bool = False, **request: Any) -> Forecast:
        """Add a forecast that has its result; an `old` one as the program stored it before backtests were kept."""
        asked = {'target': 'sales', 'h': H, 'series': [], 'models': list(MODELS), 'levels': [80, 95], 'step': None}
        more = {} if old else {'regressors': ['price'], 'holidays': 'DE', 'changes': {}, 'base': None}
        made = self.add(user_id, 'Monthly sales', dataset_name='Stores')
        self.kept[-1] = replace(
            made, request={**asked, 'aggregate': 'mean', **more, **request}, result={**result(old=old), **self.more}
        )
        return self.kept[-1]

    async def reach(self, user_id: UUID, forecast_id: UUID, model: str) -> Reach:
        assert self.beyond is not None
        return self.beyond

    async def measure(self, user_id: UUID, forecast_id: UUID, windows: int) -> Forecast:
        self.measured_from.append(windows)
        return self.issue(user_id, windows=windows)

    async def get(self, user_id: UUID, forecast_id: UUID, *, deleted: bool = False) -> Forecast:
        for forecast in self.kept:
            if forecast.id == forecast_id and forecast.user_id == user_id:
                return forecast
        raise NotFound('There is no such forecast.')

    async def zone(self, user_id: UUID, forecast_id: UUID) -> str:
        return self.clock

    async def times(self, user_id: UUID, forecast_id: UUID) -> Times:
        return Times(zone=self.clock, days=True, said='' if self.clock == 'UTC' else self.clock)

    async def _scores(self, user_id: UUID, forecast_id: UUID) -> Any:
        return ((await self.get(user_id, forecast_id)).result or {})['scores']

    async def chart(self, user_id: UUID, forecast_id: UUID, *, series: str | None = None) -> dict[str, Any]:
        history = sales(series or LABELS[0])
        start = CUTOFF - (len(history) - 1) * MONTH
        return {
            'series': series,
            'history': {'t': [start + place * MONTH for place in range(len(history))], 'y': history},
            'cutoff': CUTOFF,
            'models': [_model(name, history, place) for place, name in enumerate(MODELS)],
            'notes': await self.notes(user_id, forecast_id, series=series),
            'base': [_model('auto', history, 6)] if (await self.get(user_id, forecast_id)).request.get('base') else [],
            'came': await self.came(user_id, forecast_id, series=series),
        }

    async def came(self, user_id: UUID, forecast_id: UUID, *, series: str | None = None) -> Mapping[str, Any] | None:
        _reach(self.away)
        return self.arrived

    async def rows(self, user_id: UUID, forecast_id: UUID, *, offset: int = 0, limit: int = 100) -> Page:
        _reach(self.away)
        at = datetime(2025, 11, 1, tzinfo=UTC)
        row = (LABELS[0], at, at, 1, 'auto', 'auto', 5041.25, 4700.0, 5040.0, 5400.0, 'ok', '')
        columns = ('unique_id', 'ds', 'cutoff', 'horizon', 'model', 'model_used', 'mean', 'q0.1', 'q0.5', 'q0.9')
        return Page(columns=(*columns, 'status', 'warning'), rows=[row] * 6, offset=0, total=1440)

    async def leaderboard(
        self, user_id: UUID, forecast_id: UUID, *, by: str | None = None, model: str | None = None
    ) -> Sequence[Mapping[str, Any]]:
        _reach(self.away)
        if not (await self._scores(user_id, forecast_id)):
            return []
        names = [model] if model else MODELS
        if by == 'horizon':
            return [{**score(name, step / H), 'horizon': step} for name in names for step in range(1, H + 1)]
        if by == 'series':
            return [
                {**score(name, place / 30), 'unique_id': label} for name in names for place, label in enumerate(LABELS)
            ]
        return [one for one in await self._scores(user_id, forecast_id) if one['model'] in names]

    async def notes(
        self, user_id: UUID, forecast_id: UUID, *, series: str | None = None
    ) -> Sequence[Mapping[str, Any]]:
        _reach(self.away)
        history = sales(series or LABELS[0])
        bounds = {'expected': 4800.0, 'low': 4500.0, 'high': 5100.0, 'score': 7.1}
        return [
            {'kind': 'anomaly', 't': CUTOFF - 17 * MONTH, 'y': history[-18], **bounds},
            {'kind': 'anomaly', 't': CUTOFF - 29 * MONTH, 'y': history[-30], **bounds},
            {'kind': 'changepoint', 't': CUTOFF - 24 * MONTH, 'y': history[-25], **bounds},
        ]

    async def residuals(
        self, user_id: UUID, forecast_id: UUID, *, model: str, series: str | None = None
    ) -> Mapping[str, Any]:
        _reach(self.away)
        self.examined.append(series)
        if not (await self._scores(user_id, forecast_id)):
            return {'points': 0}
        random = Random(7)
        values = [random.gauss(0.05, 0.7) for _ in range(600)]
        edges = [-2.4 + place * 4.8 / 31 for place in range(32)]
        return {
            'points': 1284,
            'bias': 0.05,
            'spread': 0.7,
            'by_horizon': [
                {'horizon': step, 'bias': 0.01 * step, 'spread': 0.4 + 0.04 * step, 'points': 90}
                for step in range(1, H + 1)
            ],
            'histogram': {
                'edges': edges,
                'counts': [sum(low <= v < low + 4.8 / 31 for v in values) for low in edges[:-1]],
            },
            'autocorrelation': {
                'lag': list(range(1, 12)),
                'value': [0.5 * 0.6**lag - 0.05 for lag in range(11)],
                'limit': 0.055,
            },
            'shown': {
                't': [CUTOFF - (place % 36) * MONTH for place in range(600)],
                'horizon': [1] * 600,
                'value': values,
            },
        }

    async def explained(
        self, user_id: UUID, forecast_id: UUID, *, model: str, series: str | None = None
    ) -> Sequence[Mapping[str, Any]]:
        _reach(self.away)
        past = [CUTOFF - place * MONTH for place in range(95, -1, -1)]
        ahead = [CUTOFF + place * MONTH for place in range(1, H + 1)]
        if model == 'prophet':
            trend = {'kind': 'component', 'name': 'trend', 't': past, 'value': [4000 + 11 * p for p in range(96)]}
            year = [400 * math.sin(place * math.pi / 6) for place in range(96)]
            return [trend, {'kind': 'component', 'name': 'yearly', 't': past, 'value': year}]
        if model == 'lightgbm':
            moves = {'lags': 310.0, 'price': -120.0, 'calendar': 84.0, 'holidays': -22.0, 'trend': 15.0}
            return [
                {'kind': 'contribution', 'name': name, 't': ahead, 'value': [v * (1 - s / 40) for s in range(H)]}
                for name, v in moves.items()
            ]
        if model == 'theta':
            weights = {'past: sales': 0.7, 'past: price': 0.3, 'future: month': 1.0}
            told = [{'kind': 'importance', 'name': name, 't': [], 'value': [w]} for name, w in weights.items()]
            looks = [0.01 + 0.04 * (place % 12 == 0) for place in range(36)]
            return [*told, {'kind': 'attention', 'name': 'attention', 't': past[-36:], 'value': looks}]
        if model == 'auto':
            members = {'lightgbm': 0.46, 'theta': 0.31, 'prophet': 0.23}
            return [{'kind': 'importance', 'name': name, 't': [], 'value': [w]} for name, w in members.items()]
        return []

    async def series_page(
        self, user_id: UUID, forecast_id: UUID, *, search: str = '', offset: int = 0, limit: int = 50
    ) -> Mapping[str, Any]:
        _reach(self.away)
        found = [name for name in LABELS if search.lower() in name.lower()]
        return {'total': len(found), 'items': [_tile(name) for name in found[offset : offset + limit]]}

    async def what_if(self, user_id: UUID, forecast_id: UUID, changes: Mapping[str, Any]) -> Forecast:
        self.changed.append(changes)
        return self.issue(user_id, changes=dict(changes), base=str(forecast_id))


def _reach(away: bool) -> None:
    if away:
        raise Unavailable(AWAY)


class Came:
    """What has come of forecasts, once a test says so; it is in the database, so that it is never away."""

    def __init__(self) -> None:
        self.found = Track(issued=1, overall=None, models=[], horizons=[], parts=[])

    async def of_forecast(self, user_id: UUID, forecast_id: UUID) -> tuple[Track, Sequence[Scoring]]:
        return self.found, []


def sales(label: str) -> list[float]:
    """Eight years of monthly sales of a store."""
    random = Random(label)
    level = random.uniform(3000, 6000)
    return [
        level * (1 + 0.004 * month) * (1 + 0.18 * math.sin(month * math.pi / 6)) + random.gauss(0, 0.04 * level)
        for month in range(96)
    ]


def _model(name: str, history: Sequence[float], place: int) -> dict[str, Any]:
    mean = [history[step - 12] * (1.03 + 0.015 * place) for step in range(H)]
    spread = [0.03 * value * (1 + 0.08 * step) for step, value in enumerate(mean)]
    return {
        'name': name,
        'model_used': name,
        'status': 'ok',
        'warning': '',
        't': [CUTOFF + (step + 1) * MONTH for step in range(H)],
        'mean': mean,
        'q': {q: [m + far * s for m, s in zip(mean, spread, strict=True)] for q, far in QUANTILES.items()},
    }


def score(name: str, more: float = 0.0) -> dict[str, Any]:
    """A row of the leaderboard; the models stand in the order of MODELS."""
    place = MODELS.index(name)
    return {
        'model': name,
        'mase': 0.684 + 0.031 * place + 0.3 * more,
        'rmsse': 0.71 + 0.03 * place,
        'smape': 8.4 + place,
        'sql': 0.512 + 0.02 * place,
        'wql': 0.061 + 0.002 * place,
        'coverage': {'80': 0.792 - 0.02 * place + 0.02 * math.sin(9 * more), '95': 0.947 - 0.012 * place},
        'width': {'80': 1.9, '95': 3.1},
        'points': 1284,
        'n_series': 30,
        'n_windows': 90,
        'seconds': 41.0 + place,
    }


def result(*, old: bool = False) -> dict[str, Any]:
    """The manifest of a result, of today or as it was stored before."""
    models = []
    for name in MODELS:
        common = {'name': name, 'rows': 360, 'cutoff': '2025-10-01', 'series': {'ok': 30}, 'warnings': []}
        today = {
            'files': [f'forecast-{name}.parquet'],
            'backtests': [f'backtest-{name}.parquet'],
            'explained': [f'explained-{name}.parquet'],
            'weights': {'lightgbm': 0.46, 'theta': 0.31, 'prophet': 0.23} if name == 'auto' else None,
        }
        models.append({**common, 'file': f'forecast-{name}.parquet'} if old else {**common, **today})
    if not old:
        models[-1]['warnings'] = ['Store 07 is too short for seasons; it was forecast without them.']
        return {'models': models, 'scores': [score(name) for name in MODELS], 'series': list(LABELS), 'n_series': 30}
    return {'models': models, 'scores': [], 'series': list(LABELS[:1]), 'history': 'history.parquet'}


def _tile(name: str) -> dict[str, Any]:
    history, bad = sales(name)[-48:], name.endswith('7')
    model = _model('auto', sales(name), 0)
    return {
        'unique_id': name,
        'history': history,
        'forecast': model['mean'],
        'low': model['q']['0.1'],
        'high': model['q']['0.9'],
        'model': 'auto',
        'status': 'fallback' if bad else 'ok',
        'warning': 'Too short for seasons; forecast without them.' if bad else '',
        'mase': 0.71,
        'coverage': {'80': 0.79, '95': 0.94},
    }
