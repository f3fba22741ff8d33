"""Resumable uploads from the page: choose or drop files, pause, continue after a reload or a restart."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from nicegui.element import Element

from core.values import Quote
from ui.assets import icon_shapes, vendor_url
from ui.components.times import amount

ICONS = ('upload', 'pause', 'play', 'x', 'file-up', 'circle-check', 'circle-alert')
HEAD = 16_384  # characters of a file's beginning that are looked at
ACCEPT = '.csv,.tsv,.txt,.dat,.json,.jsonl,.ndjson,.parquet,.feather,.arrow,.xlsx,.gz,.zip,.xz,.zst,.bz2'


class Upload(Element, component='../static/file_upload.js'):
    """A drop zone over the whole page and a list of the files on their way (tus 1.0.0).

    `waiting` lists uploads that broke off: id, name, size and what has arrived, in bytes. With `dataset` every file
    becomes that dataset's next version, which `joins` says how; with `direct` the bytes go where the server says, not
    to the server. `quote` says what converting a file of a size and a name may cost: each file's line shows it, and
    `cost` says it in a sentence before there is a file. `fits` says which datasets (id, name) have the columns of a
    file, by its beginning: whether its rows are added there is asked then. The element carries `data-state` (`idle`,
    `asking`, `sending`, `paused`, `done`, `failed`, `refused`) for tests and styles.
    """

    def __init__(
        self,
        *,
        dataset: str | None = None,
        waiting: Sequence[dict[str, Any]] = (),
        quiet: bool = False,
        direct: bool = False,
        quote: Callable[[int, str], Quote] | None = None,
        fits: Callable[[str], Awaitable[Sequence[tuple[str, str]]]] | None = None,
    ) -> None:
        super().__init__()
        self.props['tus'] = vendor_url('tus.min.js')
        self.props['endpoint'] = '/api/v1/uploads'
        self.props['accept'] = ACCEPT
        self.props['dataset'] = dataset or ''
        self.props['how'] = 'append'
        self.props['choices'] = {}
        self.props['waiting'] = list(waiting)
        self.props['quiet'] = quiet
        self.props['direct'] = direct
        self.props['asks'] = fits is not None
        self.props['icons'] = {name: icon_shapes(name) for name in ICONS}
        self.cost = ''
        if quote is not None:
            small, large = (amount(quote(size, '').seconds) for size in (2**20, 100 * 2**20))
            self.cost = f'Converting takes up to {small} of your hours for 1 MB of CSV, {large} for 100 MB.'
            self.on('price', lambda event: self._price(quote, **event.args))

        if fits is not None:
            self.on('head', lambda event: self._fits(fits, **event.args))

    async def _fits(self, fits: Callable[[str], Awaitable[Sequence[tuple[str, str]]]], *, key: str, text: str) -> None:
        places = [{'id': id, 'name': name} for id, name in await fits(text[:HEAD])]
        self.run_method('fitting', key, places)

    def _price(self, quote: Callable[[int, str], Quote], *, key: str, size: int, name: str) -> None:
        self.run_method('priced', key, amount(quote(size, name).seconds))

    def joins(self, how: str, options: Mapping[str, Any]) -> None:
        """Say how the next files join the dataset (`append` or `replace`), and by which options they are read."""
        self.props['how'] = how
        self.props['choices'] = dict(options)

    def choose(self) -> None:
        """Open the browser's file dialog."""
        self.run_method('choose')
