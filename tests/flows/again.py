"""Conversions that are made once: of the same file by the same options the same comes, whoever asks and however often.

That it does so is tested where conversions are (`tests/unit/analysis/ingest/test_convert.py`).
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.ports import Progress
from storage.embedded.compute import ChildProcesses
from storage.objects import LocalTaskObjects

OWN = ('prefix', 'source', 'upload')
"""What a payload tells of the job alone."""


@dataclass(frozen=True, slots=True)
class _Made:
    """What came of a conversion: its answer, as JSON, and its objects by their keys; both name `prefix`."""

    prefix: str
    answer: str
    objects: Mapping[str, bytes]


_made: dict[str, _Made] = {}
"""All of this process."""


class Conversions:
    """Over the objects of one home."""

    def __init__(self, folder: Path) -> None:
        self._objects = LocalTaskObjects(folder)
        self._folder = folder

    def made(self, payload: Mapping[str, Any], workdir: Path) -> dict[str, Any] | None:
        """What the first such conversion answered, with its objects stored anew; None where there was none."""
        found = _made.get(self._known(payload) or '')
        if found is None:
            return None
        old, new = found.prefix, str(payload['prefix'])
        answer: dict[str, Any] = json.loads(_renamed(found.answer, old, new))
        answer['objects'] = []
        for key, content in found.objects.items():
            path = workdir / Path(key).name
            path.write_bytes(_renamed(content.decode(), old, new).encode() if path.suffix == '.json' else content)
            info = self._objects.put_file(_renamed(key, old, new), path)
            answer['objects'].append({'key': info.key, 'size': info.size, 'sha256': info.sha256})
        return answer

    def keep(self, payload: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
        """Remember what came of a conversion, unless it went on from an earlier version: that has names of its own."""
        if (known := self._known(payload)) is not None:
            keys = [one['key'] for one in answer['objects']]
            objects = {key: (self._folder / key).read_bytes() for key in keys}
            _made[known] = _Made(str(payload['prefix']), json.dumps(answer), objects)

    def _known(self, payload: Mapping[str, Any]) -> str | None:
        """A file and how it is converted."""
        source = self._folder / payload['source']
        if 'before' in payload or not source.is_file():
            return None
        told = {name: value for name, value in payload.items() if name not in OWN}
        digest = hashlib.sha256(source.read_bytes())
        digest.update(json.dumps(told, sort_keys=True).encode())
        return digest.hexdigest()


def _renamed(text: str, old: str, new: str) -> str:
    """A text that is about another job: its prefix, and its origin, which is the end of that."""
    return text.replace(old, new).replace(old.rpartition('/')[2], new.rpartition('/')[2])


class ConvertingOnce(ChildProcesses):
    """Child processes that convert the same but once."""

    def __init__(self, home: Path, **given: Any) -> None:
        super().__init__(home, **given)
        self._conversions = Conversions(home / 'objects')
        self._home = home
        self._answers: dict[str, Mapping[str, Any]] = {}
        self._asked: dict[str, Mapping[str, Any]] = {}

    async def submit(self, task: str, payload: Mapping[str, Any]) -> str:
        """Answer at once what is known."""
        if task != 'convert':
            return await super().submit(task, payload)
        if (answer := self._conversions.made(payload, self._home)) is not None:
            call_id = str(payload['prefix'])
            self._answers[call_id] = answer
            return call_id
        call_id = await super().submit(task, payload)
        self._asked[call_id] = payload
        return call_id

    async def collect(self, call_id: str, *, progress: Progress, timeout: float) -> Mapping[str, Any] | None:
        """Remember what came of it."""
        if call_id in self._answers:
            progress(0.97, 'Storing')
            return self._answers[call_id]
        answer = await super().collect(call_id, progress=progress, timeout=timeout)
        if answer is not None and call_id in self._asked:
            self._conversions.keep(self._asked.pop(call_id), answer)
        return answer
