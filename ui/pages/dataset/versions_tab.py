"""The versions of a dataset: each upload or correction made one."""

from core.values import Version
from ui.components.parts import badge, button, card
from ui.components.table import Column, table
from ui.components.times import count, when
from ui.components.toast import toast
from ui.components.upload import Upload
from ui.pages.dataset.state import View
from ui.session import current


class VersionsTab(View):
    """The tab `Versions`."""

    def draw(self) -> None:
        """Draw the versions, and the way to the next one."""

        async def restore(number: int) -> None:
            before = self.shown.data.version
            await self.shown.services.datasets.restore(current().user.id, self.shown.data.id, number)
            toast(f'Version {number} is shown', f'Version {before} is kept and can be shown again.')

        def act(version: Version) -> None:
            if version.number == self.shown.data.version:
                badge('shown', 'ok')
            else:
                button('Show this one', kind='small', icon_name='undo-2', on_click=lambda: restore(version.number))

        zone = Upload(
            dataset=str(self.shown.data.id),
            direct=bool(self.shown.services.datasets.origins),
            quote=self.shown.services.hours.quote_convert,
        )

        def more() -> None:
            button('Upload the next one', kind='small', icon_name='upload', on_click=zone.choose)

        with card('Versions', 'Each upload or correction makes one; none is ever changed', actions=more):
            table(
                [
                    Column[Version](label='Version', cell=lambda v: f'v{v.number}', width='14%'),
                    Column[Version](label='Rows', cell=lambda v: count(v.rows), num=True, width='16%'),
                    Column[Version](
                        label='Faults', cell=lambda v: count(v.manifest['faults_total']), num=True, phone=False
                    ),
                    Column[Version](
                        label='From', cell=lambda v: v.manifest['source']['name'], classes='pad-l t2', phone=False
                    ),
                    Column[Version](label='Made', cell=lambda v: when(v.created_at) and None, num=True),
                    Column[Version](label='', cell=act, num=True),
                ],
                self.shown.versions,
                label='Versions',
            )
