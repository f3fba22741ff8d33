"""Every fault of a version: where it stands in the file, and what was done about it."""

from collections.abc import Mapping
from typing import Any

from core.analysis.tables import Page
from ui.components.parts import badge, button, card, tag
from ui.components.states import out_of_reach
from ui.components.table import Column, table
from ui.components.times import count
from ui.pages.dataset.state import KEPT, Paged, Shown


class FaultsTab(Paged):
    """The tab `Faults`."""

    name = 'faults'

    async def read(self, *, offset: int, limit: int) -> Page:
        """Read some faults."""
        user = self.shown.session.user.id
        return await self.shown.services.datasets.faults(user, self.shown.version, offset=offset, limit=limit)

    def draw(self) -> None:
        """Draw the page of faults."""
        faults_card(self.shown, self.page, away=self.away)
        self.pager()


def faults_card(shown: Shown, page: Page | None, *, away: str, short: bool = False) -> None:
    """Draw faults below the account of records; a `short` card leads to all of them."""
    total = shown.manifest['faults_total']

    def actions() -> None:
        if total:
            button('CSV', kind='ghost small', icon_name='download', href=f'{shown.api}/faults.csv')
        if short and total > len(page.rows if page else ()):
            button(f'All {total:,}', kind='ghost small', href=shown.address('faults'))

    with card(rule=True) as box:
        with tag('header', classes='rule'):
            tag('h2', 'Faults')
            _reconciliation(shown)
            with tag('div', classes='acts'):
                actions()
        if page and page.total:
            _fault_table(page)
        elif away:
            out_of_reach(away, kept=KEPT)
        else:
            tag('p', 'Every record was stored as it was read.', 't2').style('padding: 12px 16px')
    box.props['aria-label'] = 'Faults'


def _reconciliation(shown: Shown) -> None:
    read, accepted = shown.manifest['rows_read'], shown.manifest['rows_accepted']
    repaired, rejected = shown.manifest['rows_repaired'], shown.manifest['rows_rejected']
    counted = {'read': read, 'accepted': accepted, 'repaired': repaired, 'rejected': rejected}
    with tag('span', classes='t12 t3 recon', **{f'data_{name}': number for name, number in counted.items()}):
        for value, word, colour in (
            (read, ' read = ', ''),
            (accepted, ' accepted + ', ''),
            (repaired, ' repaired + ', 'amber' if repaired else ''),
            (rejected, ' rejected', 'red' if rejected else ''),
        ):
            tag('b', count(value), colour)
            tag('span', word)


def _fault_table(page: Page) -> None:
    rows = [dict(zip(page.columns, row, strict=True)) for row in page.rows]

    def outcome(row: Mapping[str, Any]) -> None:
        badge(row['action'], 'bad' if row['action'] == 'rejected' else 'warn')

    table(
        [
            Column[Any](label='Line', cell=lambda r: count(r['line']), num=True, width='12%', classes='mono ln'),
            Column[Any](label='Column', cell=lambda r: r['column'] or 'record', width='14%', classes='mono pad-l'),
            Column[Any](label='Value', cell=lambda r: f'"{(r["value"] or "")[:80]}"', width='24%', classes='mono'),
            Column[Any](label='Outcome', cell=outcome, width='14%'),
            Column[Any](label='Reason', cell=lambda r: r['reason'], classes='t2 sub full'),
        ],
        rows,
        classes='tight cards',
        label='Faults',
    )
