"""Every series of a forecast: found by name, each with its shape, its state and its scores."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from nicegui import ui
from nicegui.element import Element

from core.errors import Unavailable
from ui.components import formats
from ui.components.paging import pager, search
from ui.components.parts import Tag, badge, card, icon, tag
from ui.components.spark import forecast_spark
from ui.components.states import empty_state
from ui.components.table import last_or
from ui.pages.forecast.chart_tab import STATUS_HINTS
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
        first, last = shown.cutoffs
        self._apart = first != last
        self._count: Tag | None = None
        self._tiles: Element | None = None

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
        """Draw the search and the tiles, which follow what is typed."""
        with tag('div', classes='hs wide wrap'):
            search(self.shown.state.q, 'Find a series', self._search)
            self._count = tag('span', classes='t12 t3', role='status')
        self._tiles = tag('div', classes='stack')
        self._fill()

    async def _search(self, text: str) -> None:
        if text == self.shown.state.q:
            return
        self.shown = replace(self.shown, state=replace(self.shown.state, q=text, page=1))
        self.page, self.away = 1, ''
        ui.navigate.history.replace(self.shown.address())
        self.on_change(self.shown)
        found: Mapping[str, Any] = {'total': 0, 'items': []}
        away = ''
        try:
            found = await self._read()
        except Unavailable as error:
            away = error.message
        # Who has typed on meanwhile waits for what was typed last.
        if text == self.shown.state.q and self._tiles is not None and not self._tiles.is_deleted:
            self.found, self.away = found, away
            self._tiles.clear()
            self._fill()

    def _fill(self) -> None:
        assert self._count is not None
        assert self._tiles is not None
        shown, searched, total = self.shown, self.shown.state.q, self.found['total']
        told = searched and not self.away
        self._count.text = f'{formats.counted(total, "series", "series")} found' if told else ''
        self._count.set_visibility(bool(told))
        with self._tiles:
            if self.away:
                self.out_of_reach()
            elif not total:
                with card():
                    empty_state('No series found', f'No series has "{searched}" in its name.')
            else:
                with tag('div', classes='tiles'):
                    for item in self.found['items']:
                        self._tile(item)
                pager(page=self.page, count=PAGE, total=total, address=lambda page: shown.address(page=page))

    def _tile(self, item: Mapping[str, Any]) -> None:
        shown, status = self.shown, item['status']
        href = shown.address(tab='chart', series=item['unique_id'], page=1, q='')
        with tag('div', classes='card tile'):
            with tag('div', classes='hs'):
                # A dataset of one series without a name: its link says what was forecast.
                name = item['unique_id'] or shown.forecast.request['target']
                tag('a', name, 'name w6 cut grow', href=href, title=name)
                badge(*STATES.get(status, (status, 'line'))).props['title'] = STATUS_HINTS.get(status, '')
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
            if self._apart and item.get('cutoff') is not None:
                tag('span', f'cutoff {shown.at(datetime.fromtimestamp(item["cutoff"] / 1000, UTC))}', 't12 t3')
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
