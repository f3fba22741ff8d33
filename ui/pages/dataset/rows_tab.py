"""The rows of a version as they are stored, and where each came from."""

from collections.abc import Sequence
from datetime import UTC
from typing import Any

from core.analysis.tables import Page
from ui.components.parts import icon_button, tag
from ui.components.table import Column, table
from ui.pages.dataset.origin import Origins
from ui.pages.dataset.state import Paged

HIDDEN = ('_series', '_time', '_source')


class RowsTab(Paged):
    """The tab `Rows`."""

    name = 'rows'

    async def read(self, *, offset: int, limit: int) -> Page:
        """Read some rows."""
        user = self.shown.session.user.id
        return await self.shown.services.datasets.preview(user, self.shown.version, offset=offset, limit=limit)

    def draw(self) -> None:
        """Draw the page of rows."""
        if self.page is None:
            self.out_of_reach()
            return
        shown = [(place, name) for place, name in enumerate(self.page.columns) if name not in HIDDEN]
        kinds = {column['name']: column['type'] for column in self.shown.manifest['columns']}
        columns = [
            Column[Any](
                label='Line' if name == '_line' else name,
                cell=lambda row, place=place: _cell(row[place]),
                num=name == '_line' or kinds.get(name) in ('integer', 'decimal', 'double'),
                classes='mono' if name == '_line' else '',
            )
            for place, name in shown
        ]
        if {'_series', '_time', '_line'} <= set(self.page.columns):
            columns.insert(0, self._way_back())
        with tag('section', classes='card'):
            table(columns, self.page.rows, classes='tight', label='Rows', height=640)
        self.pager()

    def _way_back(self) -> Column[Any]:
        """A column of buttons that tell where a row came from."""
        assert self.page is not None
        places = [self.page.columns.index(name) for name in ('_series', '_time', '_line')]
        origins = Origins(self.shown)
        origins.draw()

        def ask(row: Sequence[Any]) -> None:
            series, time, line = (row[place] for place in places)
            at = time.replace(tzinfo=UTC)
            label = f'Where the row of line {line} came from' if line is not None else 'Where this row came from'
            icon_button('file-text', label, small=True, on_click=lambda: origins.row(series, at, line=line))

        return Column[Any](label='', cell=lambda row: ask(row), width='44px')


def _cell(value: Any) -> str:
    if value is None:
        return ''
    return str(value)
