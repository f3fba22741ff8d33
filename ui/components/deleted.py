"""What was deleted and can be brought back: when, by whom, and until when."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from nicegui.element import Element

from core.ports import Events
from core.values import Deleted
from ui.components.formats import counted
from ui.components.jobs import Changes
from ui.components.paging import Paging
from ui.components.parts import button, card, icon, page_head, tag
from ui.components.states import empty_state
from ui.components.table import Column, table
from ui.components.times import count, day, on_day, size, when
from ui.components.toast import toast
from ui.live import follow


def deleted_link(number: int, href: str) -> None:
    """The way to what was deleted; nothing while nothing is."""
    if number:
        button(f'Deleted ({count(number)})', kind='ghost', icon_name='trash-2', href=href)


async def was_deleted(
    told: str, kept_until: Callable[[UUID], Awaitable[datetime | None]]
) -> tuple[UUID, datetime] | None:
    """What the address says was deleted, and until when it can be brought back; None when it cannot."""
    try:
        asked = UUID(told)
    except ValueError:
        return None
    until = await kept_until(asked)
    return None if until is None else (asked, until)


def undo_note(text: str, until: datetime, undo: Callable[[], Awaitable[None]]) -> Element:
    """Something has just been deleted; one press brings it back."""
    with tag('div', classes='note', role='status') as note:
        icon('trash-2')
        tag('span', f'{text} until {day(until)}, under Deleted.', 'grow')
        button('Undo', kind='small', icon_name='undo-2', on_click=undo)
    return note


@dataclass(frozen=True, kw_only=True)
class DeletedPage:
    """The datasets, dashboards or forecasts, by their `noun`, that were deleted and can be brought back.

    `total` counts them, `read` finds those of a page: how many to skip, and how many at most. `restore` brings one
    back, and answers False when another page has done so. `kept` says what is kept of them and for how long, `nothing`
    what would wait here. `changed` follows each change.
    """

    noun: str
    kept: str
    nothing: str
    paging: Paging
    total: Callable[[], Awaitable[int]]
    read: Callable[[int, int], Awaitable[Sequence[Deleted]]]
    restore: Callable[[UUID], Awaitable[bool]]
    changed: Callable[[], object] = lambda: None
    _changes: Changes = field(default_factory=Changes, init=False)

    async def draw(self, events: Events, user_id: UUID) -> None:
        """Draw the list, and follow what is deleted and brought back."""
        back = f'All {self.noun}s'
        page_head(
            f'Deleted {self.noun}s',
            self.kept,
            actions=lambda: button(back, icon_name='chevron-left', href=f'/{self.noun}s'),
        )
        box = tag('div', classes='stack')

        async def refresh() -> None:
            await self._refresh(box)

        async def changed(_: Mapping[str, Any]) -> None:
            await refresh()
            self.changed()

        await refresh()
        follow(events, f'{user_id}/{self.noun}s', changed, within=box, on_ready=refresh)

    async def _refresh(self, box: Element) -> None:
        async with self._changes.alone:
            await self._read_and_draw(box)

    async def _read_and_draw(self, box: Element) -> None:
        total = await self.total()
        page, before = self.paging.bounds(total)
        found = await self.read(before, self.paging.count)
        if not self._changes.seen(page, total, found):
            return
        self.paging.page = page

        async def restore(one: Deleted) -> None:
            if await self.restore(one.id):
                title = f'{self.noun.capitalize()} restored'
                toast(title, f'{one.name} is back.', links=[('Open it', f'/{self.noun}s/{one.id}')])
            await self._refresh(box)
            _focus_near(box, found.index(one))

        box.clear()
        with box:
            deleted_list(
                found,
                restore,
                label=f'Deleted {self.noun}s',
                nothing=self.nothing,
                back=lambda: button(f'All {self.noun}s', href=f'/{self.noun}s'),
            )
            self.paging.ways(total)


def _focus_near(box: Element, place: int) -> None:
    """Give the focus, which has gone with a row, to the row that took its place, the last one, or the page's title."""
    box.client.run_javascript(f"""
        if (document.activeElement === document.body) {{
            const left = [...getHtmlElement({box.id}).querySelectorAll('tbody button')];
            const next = left[{place}] ?? left.at(-1) ?? document.querySelector('h1');
            if (next.tagName === 'H1') next.tabIndex = -1;
            next.focus();
        }}
    """)


def deleted_list(
    found: Sequence[Deleted],
    restore: Callable[[Deleted], Awaitable[None]],
    *,
    label: str,
    nothing: str,
    back: Callable[[], object],
) -> None:
    """What can be brought back as rows, each with a button; `back` draws the way back of an empty list."""
    with card():
        if not found:
            empty_state('Nothing is deleted', nothing, actions=back)
            return
        table(
            [
                Column(label='Name', cell=_name, width='40%'),
                Column(label='Deleted', cell=_deleted, width='14%', phone=False),
                Column(label='By', cell=_by, phone=False),
                Column(label='Kept until', cell=_until, width='18%'),
                Column(label='', cell=lambda one: _restore(one, restore), num=True, width='124px'),
            ],
            found,
            label=label,
        )


def _name(one: Deleted) -> None:
    with tag('div', classes='vs'):
        tag('span', one.name, 'w5 cut', title=one.name)
        tag('span', what(one), 't12 t3 cut')


def what(one: Deleted) -> str:
    """What comes back with it."""
    if one.of is not None:
        told = f'Of {one.of}'
    elif one.panels is not None:
        told = counted(one.panels, 'panel')
    else:
        told = f'{count(one.rows)} rows' if one.rows is not None else 'Not converted'
    return f'{told}, {size(one.size)} uploaded' if one.size else told


def _deleted(one: Deleted) -> None:
    when(one.deleted_at)


def _until(one: Deleted) -> None:
    with tag('span'):
        tag('span', 'until ', 't3 phone-only')
        on_day(one.until)


def _by(one: Deleted) -> str:
    return f'API key “{one.by}”' if one.by else 'You'


def _restore(one: Deleted, restore: Callable[[Deleted], Awaitable[None]]) -> None:
    async def bring_back() -> None:
        await restore(one)

    button('Restore', kind='small', icon_name='undo-2', on_click=bring_back, aria_label=f'Restore {one.name}')
