"""The track record: what issued forecasts promised and what came, by model, by steps ahead and over time."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from nicegui import ui

from core.analysis.forecasting.registry import MODELS
from core.errors import NotFound
from core.services import Services
from core.track import MOST_SHOWN, Figures, Scored, Track, Waiting
from core.values import Dataset, JobState
from ui.components import formats
from ui.components.finder import OFFERED, Find, finder
from ui.components.parts import badge, button, card, page_head, tag
from ui.components.record import forecasts_of, judge, score, steps_of, track_receipt
from ui.components.states import empty_state
from ui.components.table import Column, table
from ui.components.terms import says
from ui.components.times import count, when
from ui.components.track import Point, track_chart
from ui.live import follow
from ui.pages.addressed import id_of
from ui.pages.forecast_words import model_name
from ui.theme import PATIENCE, frame

ALL = ''
CHART = 220
LEVELS = ('80', '95')


def register(services: Services) -> None:
    """Serve `/track`."""

    @ui.page('/track', response_timeout=PATIENCE)
    async def track(dataset: str = '', model: str = '') -> None:
        with frame(services, ('Forecasts', '/forecasts'), 'Track record', active='/forecasts') as session:
            page_head('Track record', 'What forecasts promised, and what came after they were issued.', actions=_new)
            box = tag('div', classes='stack')

            async def refresh() -> None:
                found = await Selection.read(services, session.user.id, dataset, model)
                box.clear()
                with box:
                    found.draw()

            await refresh()

            async def changed(message: Mapping[str, Any]) -> None:
                if message.get('kind') in ('score', 'forecast') and message.get('state') == JobState.SUCCEEDED:
                    await refresh()

            follow(services.events, f'{session.user.id}/jobs', changed, within=box, on_ready=refresh)


def _new(kind: str = '') -> None:
    button('New forecast', icon_name='plus', kind=kind, href='/forecasts/new')


class Selection:
    """What the page shows: the forecasts of one dataset or of all, by one model or by all."""

    def __init__(
        self,
        datasets: Sequence[Dataset],
        find: Find,
        dataset: Dataset | None,
        model: str,
        track: Track,
        scored: Sequence[Scored],
        waiting: tuple[Sequence[Waiting], int] = ((), 0),
        *,
        unknown: str = '',
    ) -> None:
        self._datasets = datasets
        self._find = find
        self._dataset = dataset
        self._model = model
        self._unknown = unknown
        self._track = track
        self._scored = scored
        self._waiting, self._waits = waiting

    @classmethod
    async def read(cls, services: Services, user_id: UUID, dataset: str, model: str) -> 'Selection':
        """Read what is selected; of what does not exist, nothing is."""
        find = partial(services.datasets.list, user_id, limit=OFFERED)
        datasets = await find()
        chosen = None
        with suppress(NotFound):
            chosen = await services.datasets.get(user_id, id_of(dataset, 'dataset')) if dataset else None
        asked: dict[str, Any] = {'dataset_id': chosen.id if chosen else None, 'model': model or None}
        track = await services.track.track(user_id, **asked)
        if dataset and chosen is None:
            return cls(datasets, find, None, ALL, track, [], unknown='dataset')
        if model and model not in MODELS and not track.issued:
            return cls(datasets, find, chosen, model, track, [], unknown='model')
        # One more than is shown tells whether there are more.
        scored = await services.track.forecasts(user_id, **asked, limit=MOST_SHOWN + 1)
        waiting = await services.track.waiting(user_id, **asked)
        return cls(datasets, find, chosen, model, track, scored, waiting)

    def draw(self) -> None:
        """Draw the filters and what they leave."""
        if self._unknown:
            self._not_found()
            return
        if self._track.overall is None and not (self._dataset or self._model):
            with card(classes='nothing'):
                self._nothing_yet()
            self._wait()
            return
        self._filters()
        overall = self._track.overall
        if overall is None:
            with card(), tag('div', classes='low'):
                self._nothing_yet()
            self._wait()
            return
        # Figures of several models are no promise that any of them made: theirs stand first.
        if self._several:
            self._by_model()
        with tag('div', classes='g12 even'):
            self._over_time(overall)
            with tag('div', classes='c4'):
                track_receipt(
                    overall,
                    sub=self._of_whom,
                    actions=None
                    if self._several
                    else lambda: judge(overall.coverage, forecasts_of(self._track.horizons), alone=True),
                )
        if not self._several:
            self._by_model()
        self._by_steps()
        self._wait()
        self._forecasts()

    @property
    def _several(self) -> bool:
        return len(self._track.models) > 1

    @property
    def _of_whom(self) -> str:
        """Whose figures stand under a heading."""
        models = [model_name(row.model or '') for row in self._track.models]
        return f'{len(models)} models together' if self._several else ''.join(models)

    def _not_found(self) -> None:
        if self._unknown == 'dataset':
            title, text, href, label = (
                'There is no such dataset',
                'It was deleted, or the link is wrong.',
                ALL,
                'All datasets',
            )
        else:
            title, text = (
                f'There is no model "{self._model}"',
                'No forecast was issued by it, and none can be asked for.',
            )
            href, label = str(self._dataset.id) if self._dataset else ALL, 'All models'
        with card(classes='nothing'):
            empty_state(title, text, actions=lambda: button(label, href=address(href, ALL)))

    def _nothing_yet(self) -> None:
        waiting = self._track.issued
        if waiting:
            empty_state(
                'Nothing has come yet',
                f'{formats.counted(waiting, "forecast waits", "forecasts wait")} for values. Open the dataset and, '
                'under Versions, upload its next file: what was forecast is then scored, at no cost.',
                actions=lambda: button('Go to datasets', kind='pri', href='/datasets'),
            )
            return
        of = f' by {model_name(self._model)}' if self._model else ''
        of += f' of {self._dataset.name}' if self._dataset else ''
        empty_state(
            f'No forecast{of} has been issued yet',
            'Each one is kept as it was issued, and scored as new versions of its dataset bring what came.',
            actions=lambda: _new('pri'),
        )

    def _filters(self) -> None:
        named = {} if self._dataset is None else {str(self._dataset.id): self._dataset.name}
        known = {row.model for row in self._track.models if row.model} | {self._model} - {ALL}
        models = {ALL: 'All models', **{name: model_name(name) for name in sorted(known, key=model_name)}}
        chosen = str(self._dataset.id) if self._dataset else ALL
        with tag('div', classes='hs wrap'):
            finder(
                self._datasets,
                self._find,
                value=chosen,
                also={ALL: 'All datasets', **named},
                on_change=lambda event: ui.navigate.to(address(event.value, self._model)),
            ).classes('series-select')
            ui.select(
                models, value=self._model, on_change=lambda event: ui.navigate.to(address(chosen, event.value))
            ).props('aria-label=Model').classes('series-select')

    def _over_time(self, overall: Figures) -> None:
        points = over_time(self._scored)

        def counted() -> None:
            badge(f'{count(overall.forecasts)} scored', 'line')

        with card('Held over time', self._of_whom, classes='c8', actions=counted):
            with tag('div', classes='stats'):
                for level in LEVELS:
                    if level in overall.coverage:
                        _figure(formats.percent(overall.coverage[level]), f'{level}% band held')
                _figure(score(overall.mase), 'MASE')
                _figure(count(overall.points), 'values came')
            if len(points) > 1:
                track_chart(points).style(f'height: {CHART}px')
            else:
                tag('p', 'A chart over time follows with the second forecast.', 't12 t3 quiet')

    def _by_model(self) -> None:
        rows = self._track.models

        def held(row: Figures) -> None:
            judge(row.coverage, forecasts_of([part for part in self._track.parts if part.model == row.model]))

        with card('By model', 'Lower scores are better'):
            table(
                [
                    Column[Figures](label='Model', cell=lambda row: model_name(row.model or ''), classes='w5'),
                    Column[Figures](label='Forecasts', cell=lambda row: count(row.forecasts), num=True, phone=False),
                    *_columns(rows),
                    Column[Figures](label='Bands', cell=held, classes='pad-l', width='212px'),
                ],
                rows,
                label='By model',
                classes='cards labelled',
            )

    def _by_steps(self) -> None:
        rows = self._track.horizons
        with card('By steps ahead', self._of_whom):
            table(
                [
                    Column[Figures](label='Steps ahead', cell=steps_of, classes='w5 tn'),
                    Column[Figures](label='Forecasts', cell=lambda row: count(row.forecasts), num=True, phone=False),
                    *_columns(rows),
                ],
                rows,
                label='By steps ahead',
                classes='cards labelled',
            )

    def _wait(self) -> None:
        """Which forecasts are not counted yet, and what they wait for."""

        def name(row: Waiting) -> None:
            with tag('div', classes='vs'):
                tag('span', row.name, 'w5 two-lines')
                tag('span', row.dataset_name, 't12 t3 cut')

        def until(row: Waiting) -> str:
            at = formats.day(row.cutoff, row.zone) if row.days else formats.moment(row.cutoff, row.zone)
            return f'{row.steps} after {at}'

        if not self._waits:
            return
        more = f', {len(self._waiting)} shown' if self._waits > len(self._waiting) else ''
        said = formats.counted(self._waits, 'forecast counts', 'forecasts count')
        with card('Waiting for values', f'{said} later{more}'):
            table(
                [
                    Column[Waiting](label='Name', cell=name, width='50%'),
                    Column[Waiting](label='Waits for', cell=until, classes='tn'),
                ],
                self._waiting,
                href=lambda row: f'/forecasts/{row.forecast_id}',
                label='Waiting forecasts',
                classes='tall cards labelled',
            )

    def _forecasts(self) -> None:
        def name(row: Scored) -> None:
            with tag('div', classes='vs'):
                tag('span', row.name, 'w5 cut')
                tag('span', model_name(row.model), 't12 t2 phone-only')
                gone = ', deleted' if row.deleted else ''
                tag('span', f'{row.dataset_name}, scored on v{row.version}{gone}', 't12 t3 cut')

        more = len(self._scored) > MOST_SHOWN
        with card('Forecasts', f'The {MOST_SHOWN} issued last; filter to see others' if more else 'Each row opens one'):
            table(
                [
                    Column[Scored](label='Name', cell=name, width='34%'),
                    Column[Scored](label='Model', cell=lambda row: model_name(row.model), classes='t2', phone=False),
                    Column[Scored](label='Values', cell=lambda row: count(row.points), num=True, phone=False),
                    Column[Scored](label='MASE', cell=lambda row: score(row.mase), num=True),
                    *_held(self._scored),
                    Column[Scored](label='Issued', cell=lambda row: when(row.issued_at), num=True, phone=False),
                ],
                self._scored[:MOST_SHOWN],
                href=lambda row: f'/forecasts/{row.forecast_id}' if row.opens else None,
                label='Scored forecasts',
                classes='tall cards labelled',
            )


def address(dataset: str, model: str) -> str:
    """The address of a selection."""
    query = {name: value for name, value in (('dataset', dataset), ('model', model)) if value}
    return f'/track?{urlencode(query)}' if query else '/track'


def over_time(scored: Sequence[Scored]) -> list[Point]:
    """What the bands of each forecast held, over its models by the values that came, the oldest first."""
    found = []
    for forecast_id in dict.fromkeys(row.forecast_id for row in reversed(scored)):
        own = [row for row in scored if row.forecast_id == forecast_id]
        held = {}
        for level in LEVELS:
            if points := sum(row.points for row in own if level in row.coverage):
                inside = sum(row.coverage[level] * row.points for row in own if level in row.coverage)
                held[level] = inside / points
        if held:
            found.append(Point(at=own[0].issued_at, held=held))
    return found


def _columns(rows: Sequence[Figures]) -> list[Column[Any]]:
    return [
        Column(label='Values', cell=lambda row: count(row.points), num=True, phone=False),
        Column(label='MASE', cell=lambda row: score(row.mase), num=True),
        Column(label='sMAPE', cell=lambda row: score(row.smape), num=True, phone=False),
        Column(label='Quantile loss', cell=lambda row: score(row.sql), num=True, phone=False, hint=says('SQL')),
        *_held(rows),
    ]


def _held(rows: Sequence[Figures] | Sequence[Scored]) -> list[Column[Any]]:
    levels = sorted({level for row in rows for level in row.coverage}, key=float)
    return [
        Column(
            label=f'{level}% held',
            cell=lambda row, level=level: formats.percent(row.coverage.get(level)),
            num=True,
            classes='sub',
            phone=level == levels[0],
        )
        for level in levels
    ]


def _figure(value: str, label: str) -> None:
    with tag('div', classes='s'):
        tag('span', value, 'metric small')
        tag('span', label, 't12 t3')
