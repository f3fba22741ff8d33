"""Which version is in use: another one is asked for before it is put to use, for all that reads the dataset follows."""

from nicegui import ui

from ui.components.parts import button, tag
from ui.components.toast import toast
from ui.pages.dataset.state import Shown
from ui.session import actor, current


class UseVersion:
    """A dialog that asks before a version is put to use."""

    def __init__(self, shown: Shown) -> None:
        self.shown = shown
        self.number = 0
        with ui.dialog() as self.dialog, ui.card(), tag('div', classes='vs body form'):
            self.title = tag('h2')
            self.text = tag('p', classes='t2')
            with tag('div', classes='hs'):
                button('Use it', kind='pri', on_click=self._use)
                button('Cancel', on_click=self.dialog.close)

    def ask(self, number: int) -> None:
        """Ask whether this version is to be used."""
        self.number = number
        self.title.text = self.dialog.props['aria-label'] = f'Use version {number}?'
        self.text.text = (
            f'Charts, forecasts and programs then read version {number}, wherever they are. '
            f'Version {self.shown.data.version} is kept and can be used again.'
        )
        self.dialog.open()

    async def _use(self) -> None:
        number, before = self.number, self.shown.data.version
        self.dialog.close()
        await self.shown.services.datasets.restore(current().user.id, self.shown.data.id, number, by=actor())
        toast(f'Version {number} is in use', f'Version {before} is kept and can be used again.')
