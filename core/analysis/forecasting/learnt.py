"""What `auto` has learnt of some series, on disk: more series than fit into one call are forecast with it in batches.

A folder holds `panels.json` and, for each panel, a folder with one of each member that learns from all series.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile, ZipInfo

import numpy as np

from core.analysis.forecasting.conformal import Sizes
from core.analysis.forecasting.frequency import Array, Step
from core.errors import UnusableData

FORM = 1
INDEX = 'panels.json'
LEAST_SERIES = 50
"""Fewer series than these do not speak for others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """Of a panel: the members' shares, what their errors go with, and how many spreads each quantile lies off (h × q).

    `own` is what is a series' own in the size of its errors, by label. `folder` holds a folder for each member that
    learns from all series.
    """

    folder: Path
    weights: Mapping[str, float]
    sizes: Sizes | None
    own: Mapping[str, float]
    factors: Array
    warning: str = ''


class Store:
    """What was learnt of each kind of series, by step and whether demand is intermittent."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._panels: dict[str, Learnt] = {}

    @classmethod
    def read(cls, path: Path, into: Path) -> 'Store':
        """Return what `pack` has put into a file, unpacked into the new folder `into`.

        Raise UnusableData when the file holds nothing of the kind, or another form of it.
        """
        try:
            with ZipFile(path) as archive:
                archive.extractall(into)
            told = json.loads((into / INDEX).read_text(encoding='utf-8'))
            if told['form'] != FORM:
                raise UnusableData(f'What was learnt has form {told["form"]}; this program reads form {FORM}.')
            store = cls(into)
            store._panels = {key: _panel(into / key, own) for key, own in told['panels'].items()}
        except (OSError, BadZipFile, ValueError, LookupError, TypeError) as error:
            raise UnusableData(f'The file {path.name} holds nothing that was learnt ({error}).') from error
        return store

    def place(self, step: Step, *, lumpy: bool) -> Path:
        """Return the folder of a kind of series, made when it does not exist."""
        folder = self._folder / _key(step, lumpy=lumpy)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def add(self, panel: Learnt) -> None:
        """Take in what was learnt of the kind of series that `panel.folder` is the `place` of."""
        self._panels[panel.folder.name] = panel

    def of(self, step: Step, *, lumpy: bool) -> Learnt | None:
        """Return what was learnt of a kind of series, None when nothing was."""
        return self._panels.get(_key(step, lumpy=lumpy))

    def pack(self, path: Path) -> None:
        """Write all of it into one file: the same bytes whenever the same was learnt."""
        told = {'form': FORM, 'panels': {key: _told(own) for key, own in sorted(self._panels.items())}}
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / INDEX).write_text(json.dumps(told, indent=1, sort_keys=True), encoding='utf-8')
        files = sorted(file for file in self._folder.rglob('*') if file.is_file())
        with ZipFile(path, 'w') as archive:
            for file in files:
                archive.writestr(ZipInfo(file.relative_to(self._folder).as_posix()), file.read_bytes())


def _key(step: Step, *, lumpy: bool) -> str:
    return f'{step.unit}-{step.size}-{step.season_length}{"-intermittent" if lumpy else ""}'


def _told(panel: Learnt) -> dict[str, Any]:
    sizes = panel.sizes
    return {
        'weights': dict(panel.weights),
        'members': list(panel.weights),
        'sizes': sizes and {'middle': sizes.middle.tolist(), 'slope': sizes.slope.tolist()},
        'own': dict(panel.own),
        'factors': panel.factors.tolist(),
        'warning': panel.warning,
    }


def _panel(folder: Path, told: Mapping[str, Any]) -> Learnt:
    sizes = told['sizes']
    return Learnt(
        folder=folder,
        weights={name: told['weights'][name] for name in told['members']},
        sizes=sizes and Sizes(np.array(sizes['middle']), np.array(sizes['slope']), np.zeros(0)),
        own=told['own'],
        factors=np.array(told['factors']),
        warning=told['warning'],
    )
