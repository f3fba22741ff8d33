"""The head of a dataset's page: what it is, what can be done with it, and what becomes of a newer version."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from nicegui import ui

from core.values import JobState
from ui.components import formats
from ui.components.jobs import cancel_button
from ui.components.parts import Tag, badge, button, field, icon, icon_button, page_head, tabs, tag
from ui.components.times import count, when
from ui.pages.dataset.state import Shown
from ui.pages.dataset.use import UseVersion
from ui.session import actor, current

MOST_VERSIONS = 8
BUILD = 'Build a dashboard of this dataset'


class Head:
    """The head; `tell` shows how a newer version comes along in place."""

    def __init__(self, shown: Shown) -> None:
        self.shown = shown
        self.note: Tag | None = None

    @property
    def unsettled(self) -> bool:
        """Whether a conversion was under way when this was read."""
        return self.shown.job is not None and not self.shown.job.state.final

    def tell(self, message: Mapping[str, Any]) -> bool:
        """Show the progress of a new version in place; False when the page has no place for it yet."""
        if self.note is None or message.get('state') != JobState.RUNNING:
            return False
        self.note.text = _making(message.get('message', ''), message.get('progress', 0.0))
        return True

    def draw(self) -> None:
        """Draw the head and the tabs."""
        page_head(self.shown.data.name, self._facts(), beside=self._version_badge, actions=self._actions)
        self._newer()
        self._earlier()
        counts = {
            'overview': '',
            'faults': self._faults(),
            'rows': '',
            'columns': str(len(self.shown.manifest['columns'])),
            'recipe': str(len(self.shown.manifest.get('recipe') or ()) or ''),
            'versions': count(self.shown.versions[0].number),
        }
        links = tabs(
            [(tab.capitalize(), number, self.shown.address(tab)) for tab, number in counts.items()],
            self.shown.asked.tab.capitalize(),
        )
        self.shown.links.update(zip(counts, links, strict=True))
        self.shown.carry(self.shown.asked.recipe)

    def _facts(self) -> str:
        span, series = self.shown.manifest['time'], self.shown.manifest['series']
        parts = [
            f'{count(self.shown.version.rows)} rows',
            formats.counted(series['count'], 'series', 'series'),
            formats.step(span['freq'], span['step_seconds']),
            formats.span(span['start'], span['end'], self.shown.version.zone, span['freq']),
        ]
        return ' · '.join(parts)

    def _faults(self) -> str:
        """How many faults its own file has; of all its files, where lists count those."""
        own, every = self.shown.manifest['faults_total'], self.shown.faults_of_all
        return count(own) if every == own else f'{count(own)} of {count(every)}'

    def _version_badge(self) -> None:
        number = self.shown.version.number
        with tag(
            'button',
            f'v{number}',
            'badge line',
            type='button',
            popovertarget='versions',
            aria_label=f'v{number}, versions',
        ):
            icon('git-commit-horizontal', 12, classes='lead')
            icon('chevron-down', 12)
        with tag('div', classes='menu', id='versions', popover='auto', role='menu', aria_label='Versions'):
            for version in self.shown.versions[:MOST_VERSIONS]:
                query: dict[str, Any] = {} if version.number == self.shown.data.version else {'v': version.number}
                query |= {} if self.shown.asked.tab == 'overview' else {'tab': self.shown.asked.tab}
                address = f'/datasets/{self.shown.data.id}' + (f'?{urlencode(query)}' if query else '')
                current = 'page' if version.number == number else None
                with tag('a', classes='mi', href=address, role='menuitem', aria_current=current):
                    tag('span', f'v{version.number}', 'w5')
                    tag('span', f'{count(version.rows)} rows', 't3 grow')
                    when(version.created_at, 't12 t3')
            tag('a', 'All versions', 'mi', href=self.shown.address('versions'), role='menuitem')
        if left_out := self.shown.left_out:
            badge(left_out, 'warn')

    def _earlier(self) -> None:
        """Say that another version than the one in use is looked at, and offer to use this one."""
        number, used = self.shown.version.number, self.shown.data.version
        if number == used:
            return
        use = UseVersion(self.shown)
        with tag('div', classes='note', role='note'):
            icon('history')
            said = f'Version {used} is in use: charts, forecasts and programs read it.'
            tag('span', f'You look at version {number}{self._before_what()}. {said}', 'grow')
            compared = {'before': min(number, used or 0), 'after': max(number, used or 0)}
            button('Compare', kind='ghost small', href=self.shown.address('versions', **compared))
            button(f'Use version {number}', kind='small', icon_name='undo-2', on_click=lambda: use.ask(number))

    def _before_what(self) -> str:
        """Which file the version in use has added to this one, where that is what parts them."""
        shown, used = self.shown.version.number, self.shown.data.version
        newer = next((one for one in self.shown.versions if one.number == used), None)
        if newer is None or newer.number < shown or newer.earlier_files <= self.shown.earlier_files:
            return ''
        return f', as it was before {newer.source} was added'

    def _actions(self) -> None:
        with tag('button', 'Export', 'b', type='button', popovertarget='export'):
            icon('download', classes='lead')
        with tag('div', classes='menu', id='export', popover='auto', role='menu', aria_label='Export'):
            for form, label in (('csv', 'Rows as CSV'), ('parquet', 'Rows as Parquet')):
                tag('a', label, 'mi', href=f'{self.shown.api}/rows.{form}', role='menuitem')
        button('Dashboard', icon_name='layout-dashboard', on_click=self._dashboard, data_act='dashboard', title=BUILD)
        button('Forecast', kind='pri', icon_name='chart-spline', href=f'/forecasts/new?dataset={self.shown.data.id}')
        self._more()

    async def _dashboard(self) -> None:
        made = await self.shown.services.dashboards.build(current().user.id, self.shown.data.id, by=actor())
        ui.navigate.to(f'/dashboards/{made.id}')

    def _more(self) -> None:
        """What is needed less often: another name, and taking the dataset away."""

        async def rename() -> None:
            await self.shown.services.datasets.rename(
                current().user.id, self.shown.data.id, name.value or '', by=actor()
            )
            dialog.close()

        async def delete() -> None:
            await self.shown.services.datasets.delete(current().user.id, self.shown.data.id, by=actor())
            ui.navigate.to(f'/datasets?deleted={self.shown.data.id}')

        with ui.dialog() as dialog, ui.card(), tag('div', classes='vs body form'):
            dialog.props['aria-label'] = 'Rename dataset'
            tag('h2', 'Rename dataset')
            with field('Name'):
                name = ui.input(value=self.shown.data.name).props('maxlength=255 aria-label=Name autofocus')
            name.on('keydown.enter', rename)
            # In the browser, with the focus: later it would take what was typed meanwhile.
            name.on('focus', js_handler='(event) => event.target.select()')
            with tag('div', classes='hs'):
                button('Rename', kind='pri', on_click=rename)
                button('Cancel', on_click=dialog.close)
        icon_button('ellipsis', 'More', popovertarget='more')
        with tag('div', classes='menu', id='more', popover='auto', role='menu', aria_label='More'):
            for label, symbol, act in (('Rename', 'pencil', dialog.open), ('Delete', 'trash-2', delete)):
                with tag('button', classes='mi', type='button', role='menuitem').on('click', act):
                    icon(symbol)
                    tag('span', label)

    async def _read_as(self, *, day_first: bool) -> None:
        """Convert the file that failed again; its bytes are there."""
        assert self.shown.job is not None
        uploads, options = self.shown.services.uploads, {'day_first': day_first}
        await uploads.correct(current().user.id, self.shown.data.id, options, job_id=self.shown.job.id, by=actor())

    def _newer(self) -> None:
        """Say what becomes of a correction that is under way or has failed."""
        if self.shown.job is None or self.shown.job.state == JobState.SUCCEEDED:
            return
        if not self.shown.job.state.final:
            with tag('div', classes='note', role='status'):
                icon('loader-circle')
                self.note = tag('span', _making(self.shown.job.message, self.shown.job.progress), 'grow')
                cancel_button(self.shown.services, self.shown.job)
        elif self.shown.job.state == JobState.FAILED and self.shown.job.error:
            with tag('div', classes='note bad', role='alert'):
                icon('circle-alert')
                tag('span', f'The last change was not kept: {self.shown.job.error["message"]}', 'grow')
                if self.shown.job.error.get('code') == 'ambiguous_dates':
                    button('Day comes first', kind='small', on_click=lambda: self._read_as(day_first=True))
                    button('Month comes first', kind='small', on_click=lambda: self._read_as(day_first=False))


def _making(message: str, progress: float) -> str:
    return f'A new version is being made. {message} {100 * progress:.0f}%'
