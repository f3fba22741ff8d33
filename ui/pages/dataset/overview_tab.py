"""A dataset at a glance: its chart, its columns in figures and its first faults."""

from collections.abc import Mapping
from typing import Any

from core.analysis.query import marks
from core.analysis.tables import Page
from ui.components import formats
from ui.components.chart import SeriesPanel
from ui.components.panels import described
from ui.components.parts import badge, card, icon, tag
from ui.components.spark import bars, spark
from ui.components.states import empty_state
from ui.components.times import count
from ui.pages.dataset.faults_tab import faults_card
from ui.pages.dataset.origin import Origins
from ui.pages.dataset.state import Shown, View

FIRST_FAULTS = 5
COLOURS = [f'series-{place}' for place in range(1, 9)]


class OverviewTab(View):
    """The tab `Overview`."""

    def __init__(self, shown: Shown) -> None:
        super().__init__(shown)
        self.page: Page | None = None

    async def load(self) -> None:
        """Read the first faults."""
        datasets, user = self.shown.services.datasets, self.shown.session.user.id
        self.page = await datasets.faults(user, self.shown.version, offset=0, limit=FIRST_FAULTS)

    def draw(self) -> None:
        """Draw notes on the source, the chart, the cards and the first faults."""
        if notes := self.shown.manifest['source']['notes']:
            with tag('div', classes='note', role='note'):
                icon('info')
                first = self._first_told()
                tag('span', (f'As for v{first}: ' if first else '') + ' '.join(notes), 'grow')
                tag('a', 'Change how it is read', 'link', href=self.shown.address('columns'))
        self._chart()
        with tag('div', classes='g12 prof-row', tabindex='0', role='group', aria_label='Column profiles'):
            for place, column in enumerate(c for c in self.shown.manifest['columns'] if c['role'] == 'measure'):
                self._measure_card(column, COLOURS[place % len(COLOURS)])
            self._time_card()
        faults_card(self.shown, self.page, away=self.away, short=True)

    def _first_told(self) -> int | None:
        """The number of the version that the same notes were first told of: one that read the same upload."""
        version = self.shown.version
        earlier = [one for one in self.shown.versions if one.upload_id == version.upload_id]
        same = [
            one.number for one in earlier if one.manifest['source']['notes'] == self.shown.manifest['source']['notes']
        ]
        return first if same and (first := min(same)) < version.number else None

    def _chart(self) -> None:
        if not self.shown.manifest['measures']:
            with card():
                empty_state('No measure to draw', 'Make a numeric column a measure on the Columns tab.')
            return
        origins = Origins(self.shown)
        origins.draw()
        SeriesPanel(
            str(self.shown.data.id),
            described(self.shown.data.name, self.shown.version),
            name=self.shown.data.name,
            faulty=bool(marks.files(self.shown.manifest)),
            on_point=origins.point,
        )

    def _measure_card(self, column: Mapping[str, Any], colour: str) -> None:
        rows = max(1, self.shown.version.rows)
        with tag('section', classes='card prof c3'):
            with tag('div', classes='hs'):
                tag('span', column['name'], 'mono w6 cut', title=column['name'])
                badge(column['type'])
                tag('span', f'{formats.percent(column["missing"] / rows, 2)} missing', 't12 t3').style(
                    'margin-left:auto; white-space:nowrap'
                )
            if any(value is not None for value in column.get('sparkline') or ()):
                spark(column['sparkline'], height=32, colour=colour)
            elif column.get('histogram'):
                bars(column['histogram']['counts'], colour=colour)
            _figures({name: formats.number(column.get(name)) for name in ('min', 'median', 'p99', 'max')})

    def _time_card(self) -> None:
        span = self.shown.manifest['time']
        with tag('section', classes='card prof c3'):
            with tag('div', classes='hs'):
                tag('span', span['column'], 'mono w6 cut', title=span['column'])
                badge('time')
                tag('span', formats.counted(span['duplicates'], 'duplicate'), 't12 t3').style('margin-left:auto')
            _figures(
                {
                    'step': formats.length(span['step_seconds']),
                    'zone': span['zone'],
                    'gaps': count(span['gaps']),
                    'longest': formats.length(span['longest_gap_seconds']),
                }
            )


def _figures(values: Mapping[str, str]) -> None:
    with tag('dl'):
        for name, value in values.items():
            with tag('div'):
                tag('dt', name)
                tag('dd', value)
