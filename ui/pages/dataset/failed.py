"""A conversion that made no version: why, what is kept, and what would help."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from nicegui import context, ui

from core.analysis.ingest.stepped import STEPS
from core.errors import UsageError
from core.orders import ROLES
from core.services import Services
from core.values import Balance, Dataset, Job, JobState, Quote, Session
from ui.components import formats
from ui.components.hours import Price
from ui.components.parts import Tag, button, card, tag
from ui.components.states import error_state
from ui.components.table import Column, table
from ui.components.toast import answered
from ui.pages.dataset.reading import Reading
from ui.session import actor, current

MOST_NAMES = 8
AS_FOUND = 'What is left as found is decided from the file.'
CANCELLED = 'Try again, or discard the file.'
OTHERWISE = 'Mend the file and upload it again, or discard this one.'
TO_DO = {
    'ambiguous_dates': 'Say how dates are written.',
    'no_time_column': 'Say which column holds the time. Where none does, say from when its rows count.',
    'unreadable_file': 'Say below how the file is written, or mend it and upload it again.',
    'unusable_data': 'Say below how the file is written, or mend it and upload it again.',
    'task_killed': 'Try again. If it happens again, tell the operator.',
    'task_over_limit': 'Split the file, or raise VARIOSYNC_TASK_MEMORY.',
}


def conversion_failed(
    services: Services, session: Session, data: Dataset, job: Job, cost: tuple[Quote, Balance]
) -> None:
    """Draw the reason and what can be done, each at what it costs."""
    code = (job.error or {}).get('code', '')
    client = context.client  # the page may be drawn anew before an order is answered

    async def again() -> None:
        await services.jobs.retry(current().user.id, job.id)
        answered(client)

    async def correct(options: Mapping[str, Any]) -> None:
        await services.uploads.correct(current().user.id, data.id, options, by=actor())
        answered(client)

    async def read_as(day_first: bool) -> None:
        await correct({'day_first': day_first})

    async def read_otherwise() -> None:
        options = dict(reading.changes()) | ({'roles': dict(roles)} if roles else {})
        if not options:
            raise UsageError('Nothing was changed. Say first how the file is written.')
        await correct(options)

    async def take_as_time(column: str) -> None:
        if not column.strip():
            raise UsageError('Say first which column holds the time.')
        others = {name: role for name, role in roles.items() if role != 'time'}
        await correct({'roles': others | {column.strip(): 'time'}})

    async def count_rows(start: str, step: str) -> None:
        melt = {'into': 'rows', 'start': start.strip(), 'step': step}
        if not melt['start']:
            raise UsageError('Say first which time the first row is of, such as 2024-01-31.')
        await correct({'melt': melt})

    async def remove() -> None:
        await services.datasets.delete(current().user.id, data.id, by=actor())
        ui.navigate.to(f'/datasets?deleted={data.id}')

    columns = columns_of(job)
    roles: dict[str, str] = {}
    spending: list[Tag] = []

    def actions() -> None:
        if code == 'ambiguous_dates':
            spending.append(button('Day comes first', kind='pri', on_click=lambda: read_as(True)))
            spending.append(button('Month comes first', on_click=lambda: read_as(False)))
        elif code in ('no_time_column', 'usage_error'):
            if columns:
                column: Any = ui.select({'': 'Column of the time', **{name: name for name in columns}}, value='')
                column.classes('series-select')
            else:
                column = ui.input(placeholder='Name of the time column')
            column.props['aria-label'] = 'Column of the time'
            spending.append(button('Read it as time', kind='pri', on_click=lambda: take_as_time(column.value or '')))
        else:
            spending.append(button('Try again', kind='pri', icon_name='rotate-ccw', on_click=again))
        button('Discard', icon_name='trash-2', on_click=remove)

    asked = job.payload.get('options') or {}
    reading = Reading(found={}, asked=asked, zone=asked.get('time_zone', 'UTC'))
    cancelled = job.state == JobState.CANCELLED
    with card():
        error_state(
            'The conversion was cancelled' if cancelled else f'{data.source_name} could not be converted',
            why(job),
            rows={
                'What is kept': 'The file as you uploaded it.',
                'Hours': 'Not charged. What was held for it is back.',
                'What to do': CANCELLED if cancelled else TO_DO.get(code, OTHERWISE),
            },
            actions=actions,
            number='' if cancelled else str(job.id)[:8],
        )
        if code == 'no_time_column':
            _steps(count_rows, spending)
        with tag('div', classes='body hs spend'):
            quote, balance = cost
            price = Price(balance, quote)
    if not cancelled:
        with tag('details', classes='card more'):
            tag('summary', 'Say what its columns are, or read it otherwise' if columns else 'Read it otherwise', 'w6')
            if columns:
                _roles(columns, roles)
            tag('p', AS_FOUND, 'body t2').style('padding-top: var(--s4)' if columns else '')
            reading.draw_file(data.source_name)
            reading.draw_values()
            with tag('div', classes='body hs'):
                spending.append(button('Convert it so', on_click=read_otherwise))
    price.guard(*spending)
    price.follow(services, session)


def why(job: Job) -> str:
    """Why a conversion ended, as its page says it: where the page has fields for it, without options to write."""
    error = job.error or {}
    names = list(columns_of(job))
    if error.get('code') != 'no_time_column' or not names:
        return str(error.get('message', job.message))
    more = f' and {formats.counted(len(names) - MOST_NAMES, "other")}' if len(names) > MOST_NAMES else ''
    verb = 'hold' if len(names) > 1 else 'holds'
    return f'No column can be read as time: {", ".join(names[:MOST_NAMES])}{more} {verb} no dates.'


def _steps(count_rows: Callable[[str, str], Awaitable[None]], spending: list[Tag]) -> None:
    """A table without a time: its rows are equal steps from a start."""
    with tag('div', classes='fault vs gap-s').style('padding-top: 0'):
        tag('span', 'No column holds the time? Rows in order of time can be counted from the first one.', 't2')
        with tag('div', classes='hs wrap'):
            start = ui.input(placeholder='First row, such as 2024-01-31').classes('series-select')
            start.props['aria-label'] = 'Time of the first row'
            step = ui.select({name: f'a row is a {name}' if name != 'hour' else 'a row is an hour' for name in STEPS})
            step.value = 'month'
            step.props['aria-label'] = 'What a row is'
            spending.append(button('Count the rows', on_click=lambda: count_rows(start.value or '', str(step.value))))


def columns_of(job: Job) -> Mapping[str, str]:
    """The columns that the reader found before it gave up, each with some of its cells as they are written."""
    told = ((job.error or {}).get('details') or {}).get('columns') or ()
    return {one['name']: ', '.join(f'"{cell[:40]}"' for cell in one.get('examples') or ()) for one in told}


def _roles(columns: Mapping[str, str], roles: dict[str, str]) -> None:
    """A table of the columns; what is chosen goes into `roles`."""

    def choose(name: str) -> None:
        def pick(role: str) -> None:
            roles.pop(name, None)
            if role:
                roles[name] = role

        select = ui.select({'': 'as found', **{role: role for role in ROLES}}, value='')
        select.props['aria-label'] = f'Role of column {[*columns].index(name) + 1}'
        select.classes('role-select').on_value_change(lambda event: pick(event.value or ''))

    table(
        [
            Column[Any](label='Column', cell=lambda pair: pair[0], classes='mono', width='30%'),
            Column[Any](label='Role', cell=lambda pair: choose(pair[0]), width='24%'),
            Column[Any](label='Such as', cell=lambda pair: pair[1], classes='mono cut full'),
        ],
        list(columns.items()),
        label='Columns',
        height=360 if len(columns) > 7 else None,
    )
