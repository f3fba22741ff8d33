"""Where a stored row came from: its file, line and version, its cells, and what was found on that line."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from nicegui import ui

from core.datasets import Origin
from core.errors import NotFound, Unavailable
from ui.components import formats
from ui.components.parts import facts, icon, icon_button, tag
from ui.components.table import Column, table
from ui.components.times import count
from ui.pages.dataset.faults_tab import fault_table
from ui.pages.dataset.state import Shown
from ui.session import current

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


# Once it is closed, the address names the row no longer.
FORGET = """
    const here = new URL(location.href);
    for (const name of ['at', 'of', 'line']) here.searchParams.delete(name);
    history.replaceState(history.state, '', here);
"""


class Origins:
    """A dialog that tells where a point came from; `draw` puts it on the page, the others open it.

    The address that names a row (`at`, `of`, `line`) opens it at once.
    """

    def __init__(self, shown: Shown) -> None:
        self.shown = shown

    def draw(self) -> None:
        """Make the dialog, closed."""
        self.dialog = ui.dialog().on_value_change(lambda event: event.value or ui.run_javascript(FORGET))
        self.dialog.props['aria-label'] = 'Where this came from'
        with self.dialog, ui.card().classes('origin'):
            self.box = tag('div', classes='vs')
        asked = self.shown.asked
        if (at := asked.at) is not None:
            ui.timer(0.01, lambda: self.row(asked.of, at, line=asked.line), once=True)

    async def point(self, event: Mapping[str, Any]) -> None:
        """Tell of a point of the chart: `t` in epoch ms, and its `series`."""
        await self.row(str(event.get('series') or ''), EPOCH + timedelta(microseconds=round(1000 * float(event['t']))))

    async def row(self, series: str, time: datetime, *, line: int | None = None) -> None:
        """Tell of the rows of a series at a time, or of the one of a line."""
        try:
            found = await self.shown.services.datasets.provenance(
                current().user.id, self.shown.version, series=series, time=time
            )
        except (NotFound, Unavailable) as error:
            self._say('Nothing found', error.message)
            return
        found = [origin for origin in found if origin.line == line] or found
        at = formats.moment(time, self.shown.version.zone)
        title = f'{series}, {at}' if series else at
        self._open(title, found)

    def _say(self, title: str, text: str) -> None:
        self.box.clear()
        with self.box:
            self._head(title)
            tag('p', text, 'body t2')
        self.dialog.open()

    def _head(self, title: str) -> None:
        with tag('header', classes='hs origin-head'):
            tag('h2', title, 'grow cut', title=title)
            icon_button('link', 'Copy link to this row', small=True, data_copy='')
            icon_button('x', 'Close', small=True, on_click=self.dialog.close)

    def _open(self, title: str, found: Sequence[Origin]) -> None:
        self.box.clear()
        with self.box:
            self._head(title)
            for origin in found:
                self._origin(origin)
        self.dialog.open()

    def _origin(self, origin: Origin) -> None:
        with tag('div', classes='body vs gap-s'):
            line = count(origin.line) if origin.line is not None else 'none: a step of the recipe made this row'
            version = 'not known' if origin.number is None else f'v{origin.number}'
            facts({'File': origin.source, 'Line': line, 'Version': version})
        measures = self.shown.manifest['measures']
        written = {name: text for name in origin.cells if name in measures and (text := origin.written(name))}
        columns = [
            Column[tuple[str, Any]](label='Column', cell=lambda pair: pair[0], classes='mono', width='36%'),
            Column[tuple[str, Any]](label='Stored', cell=lambda pair: _cell(pair[1]), classes='mono'),
        ]
        if written:
            label = 'In the file'
            columns.append(Column(label=label, cell=lambda pair: _quoted(written.get(pair[0])), classes='mono cut'))
        table(
            columns,
            list(origin.cells.items()),
            classes='tight',
            label='Stored cells',
            height=240 if len(origin.cells) > 7 else None,
        )
        if origin.faults is not None and origin.faults.total:
            tag('p', f'{formats.counted(origin.faults.total, "fault")} on this line', 'body t2 w5')
            own = origin.number == self.shown.version.number
            fault_table(origin.faults, self.shown if own else None)
        elif origin.line is not None:
            with tag('p', classes='body t2 whole-line'):
                icon('circle-check', classes='green')
                tag(
                    'span',
                    'Stored as it stands in the file.' if origin.faults else 'No faults are known for this line.',
                )


def _quoted(text: str | None) -> str:
    return '' if text is None else f'"{text}"'


def time_of(text: str) -> datetime | None:
    """The time that an address names: ISO 8601, or epoch ms; None where it is neither."""
    try:
        if text.replace('.', '', 1).removeprefix('-').isdigit():
            return EPOCH + timedelta(microseconds=round(1000 * float(text)))
        time = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _cell(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat(sep=' ')
    return '–' if value is None else str(value)
