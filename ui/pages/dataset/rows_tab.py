"""The rows of a version as they are stored."""

from typing import Any

from core.analysis.tables import Page
from ui.components.parts import tag
from ui.components.table import Column, table
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
        with tag('section', classes='card'):
            table(columns, self.page.rows, classes='tight', label='Rows', height=640)
        self.pager()


def _cell(value: Any) -> str:
    if value is None:
        return ''
    return str(value)
