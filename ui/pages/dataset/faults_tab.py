"""Every fault of a version: where it stands in the file, and what was done about it."""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from nicegui import ui

from core.analysis.ingest.rejects import REPAIRS
from core.analysis.tables import Group, Page
from ui.components import formats
from ui.components.parts import badge, button, card, tag
from ui.components.states import out_of_reach
from ui.components.table import Column, table
from ui.components.times import count
from ui.pages.dataset.state import KEPT, Paged, Shown

RECORD = '\0'  # stands for a whole record among the names of columns
READ = frozenset(REPAIRS) - {'duplicate', 'null_spelling'}
"""Kinds of cells that are read as meant, so that none of them is why a record is not stored: versions of before faults
told `left_out` tell `rejected` of them."""
ELSEWHERE = 'its record is not stored for another reason'
LOST = ('rejected', 'left_out')


class FaultsTab(Paged):
    """The tab `Faults`: groups of faults, and below them each fault, of one group if one is chosen."""

    name = 'faults'

    def __init__(self, shown: Shown) -> None:
        super().__init__(shown)
        self.groups: Sequence[Group] = ()

    @property
    def _where(self) -> Mapping[str, str | None]:
        """The group that the address asks for; an empty column stands for whole records."""
        asked = self.shown.asked
        where: dict[str, str | None] = {'kind': asked.kind} if asked.kind else {}
        if asked.column is not None:
            where['column'] = asked.column or None
        return where | ({'action': asked.action} if asked.action else {})

    @property
    def _more(self) -> Mapping[str, str]:
        """What the address asks for, as an address says it again."""
        line = self.shown.asked.line
        more = {name: value or '' for name, value in self._where.items()}
        return more | ({} if line is None else {'line': str(line)})

    async def load(self) -> None:
        """Read the groups, and the page asked for."""
        user = self.shown.session.user.id
        self.groups = await self.shown.services.datasets.fault_groups(user, self.shown.version)
        await super().load()

    async def read(self, *, offset: int, limit: int) -> Page:
        """Read some faults."""
        user, datasets = self.shown.session.user.id, self.shown.services.datasets
        line = self.shown.asked.line
        return await datasets.faults(
            user, self.shown.version, offset=offset, limit=limit, where=self._where, lines=(line, line)
        )

    def draw(self) -> None:
        """Draw the groups and the page of faults."""
        if self.groups:
            self._summary()
            self._filters()
        faults_card(self.shown, self.page, away=self.away, only=self._more)
        self.pager(**self._more)

    def _summary(self) -> None:
        def address(group: Group) -> str:
            return self.shown.address('faults', kind=group.kind, column=group.column or '', action=group.action)

        def is_chosen(group: Group) -> bool:
            return bool(self._where) and all(getattr(group, name) == value for name, value in self._where.items())

        with card('By kind', f'{formats.counted(len(self.groups), "group")}; press one to see its faults alone'):
            table(
                [
                    Column[Group](label='Kind', cell=lambda g: kind_name(g.kind), width='18%'),
                    Column[Group](label='Column', cell=lambda g: g.column or 'record', width='16%', classes='mono'),
                    Column[Group](label='Outcome', cell=_outcome, width='15%'),
                    Column[Group](label='Faults', cell=lambda g: count(g.count), num=True, width='11%'),
                    Column[Group](
                        label='First line', cell=lambda g: count(g.first_line), num=True, width='12%', phone=False
                    ),
                    Column[Group](label='Such as', cell=_examples, classes='mono pad-l cut full'),
                ],
                self.groups,
                href=address,
                on=is_chosen,
                classes='tight cards labelled',
                label='Faults by kind',
                height=360 if len(self.groups) > 8 else None,
            )

    def _filters(self) -> None:
        """Choose faults by kind, column and outcome; each choice is an address."""
        asked = self.shown.asked

        def look_at(**other: str) -> None:
            column = None if asked.column is None else asked.column or RECORD
            chosen = {'kind': asked.kind, 'column': column or '', 'action': asked.action} | other
            query = {name: value for name, value in chosen.items() if value}
            if query.get('column') == RECORD:
                query['column'] = ''
            ui.navigate.to(self.shown.address('faults', **query))

        def many(name: str) -> dict[str, int]:
            counts: dict[str, int] = {}
            for group in self.groups:
                value = getattr(group, name) or RECORD
                counts[value] = counts.get(value, 0) + group.count
            return counts

        with tag('div', classes='hs wrap filters', role='group', aria_label='Filter faults'):
            for label, name, every, said in (
                ('Kind', 'kind', 'All kinds', kind_name),
                ('Column', 'column', 'All columns', lambda value: 'whole record' if value == RECORD else value),
                ('Outcome', 'action', 'All outcomes', _said),
            ):
                options = {'': every} | {value: f'{said(value)} ({count(n)})' for value, n in many(name).items()}
                value = getattr(asked, name)
                chosen = RECORD if name == 'column' and value == '' else value or ''
                select = ui.select(options, value=chosen if chosen in options else '')
                select.props['aria-label'] = label
                select.classes('fault-filter').on_value_change(
                    lambda event, name=name: look_at(**{name: event.value or ''})
                )


def kind_name(kind: str) -> str:
    """How a kind of fault is called on pages."""
    return kind.replace('_', ' ').capitalize()


def _said(action: str) -> str:
    return 'left out with the record' if action == 'left_out' else action


def _examples(group: Group) -> str:
    return ', '.join(f'"{value[:40]}"' for value in group.examples)


def _outcome(group: Group) -> None:
    _badge(group.kind, group.column, group.action)


def _badge(kind: str, column: str | None, action: str) -> None:
    """What became of it. A record is rejected, not a cell: what is told of a cell says which of them is meant."""
    if action not in LOST:
        badge(action, 'warn')
        return
    told = badge('rejected' if column is None and action == 'rejected' else 'record rejected', 'bad')
    if _is_left_out(kind, action):
        told.props['title'] = f'{ELSEWHERE[0].upper()}{ELSEWHERE[1:]}.'


def _is_left_out(kind: str, action: str) -> bool:
    """Whether its record is not stored for another reason."""
    return action == 'left_out' or (action == 'rejected' and kind in READ)


def faults_card(
    shown: Shown, page: Page | None, *, away: str, short: bool = False, only: Mapping[str, str] | None = None
) -> None:
    """Draw faults below the account of records; a `short` card leads to all of them, as one of some (`only`) does."""
    total = shown.manifest['faults_total']

    def actions() -> None:
        if only and page:
            line = f', line {count(int(only["line"]))}' if 'line' in only else ''
            tag('span', f'{count(page.total)} of {count(total)}{line}', 't12 t2')
            button('Show all', kind='ghost small', icon_name='x', href=shown.address('faults'))
        if total:
            query = dict(only or {})
            if (of := query.pop('line', None)) is not None:
                query |= {'first_line': of, 'last_line': of}
            address = f'{shown.api}/faults.csv' + (f'?{urlencode(query)}' if query else '')
            button('CSV of these' if query else 'CSV', kind='ghost small', icon_name='download', href=address)
        if short and total > len(page.rows if page else ()):
            button(f'All {count(total)}', kind='ghost small', href=shown.address('faults'))

    with card(rule=True) as box:
        with tag('header', classes='rule account'):
            tag('h2', 'Faults')
            reconciliation(shown)
            with tag('div', classes='acts'):
                actions()
        if page and page.total:
            fault_table(page, shown)
        elif away:
            out_of_reach(away, kept=KEPT)
        else:
            said = 'No fault is here.' if only else 'Every record was stored as it was read.'
            said += f' Only {shown.left_out} of the source was read.' if shown.left_out else ''
            tag('p', said, 't2').style('padding: 12px 16px')
    box.props['aria-label'] = 'Faults'


def reconciliation(shown: Shown) -> None:
    """Draw the account of records: read, accepted, repaired, rejected."""
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
        if shown.cells_emptied:
            tag('span', f'; {formats.counted(shown.cells_emptied, "cell")} emptied')
        if shown.earlier_files:
            tag('span', f', in {shown.manifest["source"]["name"]}; ')
            earlier = shown.faults_of_all - shown.manifest['faults_total']
            one = shown.earlier_files == 1
            place = 'its version' if one else 'their versions'
            more = f'{formats.counted(earlier, "more fault")}, listed at {place}' if earlier else 'no faults'
            tag(
                'a',
                f'{"the earlier file has" if one else "the earlier files have"} {more}',
                'link',
                href=shown.address('versions'),
            )


def fault_table(page: Page, shown: Shown | None = None) -> None:
    """Draw faults as rows; with the version that is `shown`, the lines that a fault speaks of are links."""
    rows = [dict(zip(page.columns, row, strict=True)) for row in page.rows]
    table(
        [
            Column[Any](label='Line', cell=_place, num=True, width='10%', classes='mono ln'),
            Column[Any](label='Column', cell=lambda r: r['column'] or 'record', width='14%', classes='mono pad-l'),
            Column[Any](label='Value', cell=_value, width='18%', classes='mono'),
            Column[Any](label='Kind', cell=lambda r: kind_name(r['kind']), width='14%', phone=False),
            Column[Any](label='Outcome', cell=lambda r: _badge(r['kind'], r['column'], r['action']), width='15%'),
            Column[Any](label='Reason', cell=lambda r: _reason(r, shown), classes='t2 sub full'),
        ],
        rows,
        classes='tight cards',
        label='Faults',
    )


def _place(row: Mapping[str, Any]) -> None:
    byte = row.get('byte')
    tag('span', count(row['line']), title=None if byte is None else f'Byte {count(byte)}')


def _reason(row: Mapping[str, Any], shown: Shown | None) -> None:
    """Why; of a duplicate both lines are links: to the faults of its own, and to the rows stored of the other."""
    reason, other = row['reason'], row.get('other_line')
    if _is_left_out(row['kind'], row['action']):
        reason = f'{ELSEWHERE}; {reason}'
    if other is None or shown is None:
        tag('span', reason, 'cut', title=reason)
        return
    addresses = {
        f'line {row["line"]}': shown.address('faults', line=row['line']),
        f'line {other}': shown.address('rows', line=other),
    }
    linked(reason, addresses)


def linked(text: str, addresses: Mapping[str, str]) -> None:
    """Draw a text in which lines, such as "line 12", lead to these addresses."""
    with tag('span', classes='grow', title=text):
        for part in re.split(r'\b(line [\d,]+)\b', text):
            if part in addresses:
                tag('a', part, 'link', href=addresses[part])
            elif part:
                tag('span', part)


def _value(row: Mapping[str, Any]) -> None:
    """What stood there, and what is stored of it."""
    value, became = row['value'] or '', row.get('became')
    told = f'"{value[:80]}"' if value else ''
    if told and became is not None:
        told += f' → {became[:80]}'
    elif told and (row['action'] == 'emptied' or (row['action'], row['kind']) == ('repaired', 'null_spelling')):
        told += ' → empty'
    tag('span', told, 'cut', title=told if len(told) > 24 else None)
