"""Every series of a forecast: found by name, each with its shape, its state and its scores."""

from collections.abc import Mapping
from typing import Any

from nicegui import ui

from ui.components import formats
from ui.components.parts import badge, card, icon, tag
from ui.components.spark import forecast_spark
from ui.components.states import empty_state
from ui.components.table import last_or
from ui.pages.forecast.leaderboard_tab import pager
from ui.pages.forecast.state import Shown, View
from ui.pages.forecast_words import in_words, model_name

PAGE = 24
STATES = {'ok': ('ok', 'ok'), 'fallback': ('fallback', 'warn'), 'failed': ('failed', 'bad')}


class SeriesTab(View):
    """A page of tiles, one a series."""

    def __init__(self, shown: Shown) -> None:
        super().__init__(shown)
        self.found: Mapping[str, Any] = {'total': 0, 'items': []}
        self.page = shown.state.page

    async def load(self) -> None:
        """Read the page of series that the address names, the last one when that lies beyond."""
        self.found = await self._read()
        page = last_or(self.page, count=PAGE, total=self.found['total'])
        if page != self.page:
            self.page = page
            self.found = await self._read()

    async def _read(self) -> Mapping[str, Any]:
        shown = self.shown
        return await shown.services.forecasts.series_page(
            shown.session.user.id,
            shown.forecast.id,
            search=shown.state.q,
            offset=(self.page - 1) * PAGE,
            limit=PAGE,
        )

    async def draw(self) -> None:
        """Draw the search and the tiles."""
        shown, total = self.shown, self.found['total']
        with tag('div', classes='hs wide wrap'):
            search = ui.input(value=shown.state.q, placeholder='Find a series')
            search.props('aria-label="Find a series" clearable type=search').classes('series-search')
            search.on('keydown.enter', lambda: ui.navigate.to(shown.address(q=search.value or '', page=1)))
            search.on('clear', lambda: ui.navigate.to(shown.address(q='', page=1)))
            tag(
                'span',
                f'{formats.counted(total, "series", "series")} found' if shown.state.q and not self.away else '',
                't12 t3',
            )
        if self.away:
            self.out_of_reach()
            return
        if not total:
            with card():
                empty_state('No series found', f'No series has "{shown.state.q}" in its name.')
            return
        with tag('div', classes='tiles'):
            for item in self.found['items']:
                self._tile(item)
        pager(shown, page=self.page, count=PAGE, total=total)

    def _tile(self, item: Mapping[str, Any]) -> None:
        shown, status = self.shown, item['status']
        href = shown.address(tab='chart', series=item['unique_id'], page=1, q='')
        with tag('div', classes='card tile'):
            with tag('div', classes='hs'):
                tag('a', item['unique_id'], 'name w6 cut grow', href=href, title=item['unique_id'])
                badge(*STATES.get(status, (status, 'line')))
            forecast_spark(
                item['history'],
                item['forecast'],
                low=item['low'],
                high=item['high'],
                colour=shown.colour(item['model']),
            )
            with tag('div', classes='kv t12 t3'):
                tag('span', _figures(item), 'cut')
                tag('span', model_name(item['model']))
            if warning := in_words(item['warning'] or ''):
                with tag('div', classes='hs t12 amber tile-warning'):
                    icon('triangle-alert', 12)
                    tag('span', warning, 'two-lines', title=warning)


def _figures(item: Mapping[str, Any]) -> str:
    parts = [] if item['mase'] is None else [f'MASE {item["mase"]:.2f}']
    held = item['coverage'] or {}
    parts += [
        f'{level}% held {formats.percent(share, 0)}' for level, share in list(held.items())[:1] if share is not None
    ]
    return ' · '.join(parts) or 'not measured'
