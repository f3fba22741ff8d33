"""Parts of a task that run side by side, each by a call of its own, and how their answers become one result.

A forecast is split by model. A model that takes each series by itself is split further, by chunks of series; one that
learns from all series together is trained once. `auto` does both: where it has several chunks, one part learns from
series that are drawn from all, and the chunks start after it and forecast with what it learnt. Each part is a payload
of the same task and leaves its objects in a folder of its own.
"""

import asyncio
import hashlib
import json
import os
import re
import time
from collections import Counter, deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any

from core.analysis.forecasting.registry import ALONE, MODELS
from core.errors import TaskCancelled, TaskOverLimit, Unavailable, VariosyncError, storable
from core.ports import Compute, ObjectStore

Payload = Mapping[str, Any]
Answer = Mapping[str, Any] | VariosyncError

WHOLE = 'whole'
CHUNK = 200  # series of a model that takes each by itself
CHUNK_OF_AUTO = 2000  # series: some of its members learn from all of them
DRAWN = 2000  # series that the chunks of `auto` learn from together
LEARNT = 'learnt'
MOST_PARTS = 100  # of one forecast: each is a call to make, to follow and to store
TRIES = 3  # of a part whose process was lost
WIDEST = 16  # parts of one job that run at once on this machine
LOOK_BACK = 5  # attempts before this one whose answers are looked for
POLL = 0.5
FILES = ('files', 'backtests', 'explained')
MOST_LABELS = 1000
MOST_WARNINGS = 20
_CHUNKED = re.compile(r'(?P<model>.+)\.(?P<number>\d+)-of-(?P<count>\d+)')
_LEARNING = 0.5  # of a budget


def split(task: str, payload: Payload) -> dict[str, Payload]:
    """Return what can run side by side, by name: a forecast's models and chunks of series, else the whole.

    `n_series` of the payload tells how many series there are; without it nothing is chunked. A chunk's payload holds
    `chunk: [i, n]`, or the labels themselves where the request names them. What `auto` may take is shared by its
    chunks. History is the same whatever the model: `notes` about it are made by one alone, the others are told not to.

    A payload with `after` names the part before it that must have answered first: `released` tells when it may start.
    """
    models = _models(payload) if task == 'forecast' else ()
    known = payload.get('n_series')
    n_series = known if type(known) is int else 0
    most = MOST_PARTS // max(1, len(models))
    counts = {model: min(chunks(model, n_series), most) for model in models}
    if sum(counts.values()) < 2:
        return {WHOLE: payload}
    told_by = _teller(counts)
    parts: dict[str, Payload] = {}
    for model, count in counts.items():
        asked = payload if model == told_by else {**payload, 'notes': False}
        first = f'{model}.{LEARNT}' if count > 1 and model == 'auto' else ''
        if first:
            parts[first] = _learning(asked, model, first)
        for number in range(count):
            part = model if count == 1 else f'{model}.{number + 1}-of-{count}'
            parts[part] = _part(asked, model, part, number, count) | ({'after': first} if first else {})
    return parts


def released(payload: Payload, answers: Mapping[str, Answer]) -> Payload | None:
    """Return what a part is asked once it may start: with the objects that were `learnt` before; None until then.

    Where nothing came of the part before, it is asked without them, and learns by itself.
    """
    if 'after' not in payload:
        return payload
    if payload['after'] not in answers:
        return None
    asked = {name: value for name, value in payload.items() if name != 'after'}
    match answers[payload['after']]:
        case {'prefix': str(prefix), 'objects': [*objects], 'manifest': {'learnt': [*names]}}:
            wanted = {f'{prefix}/{name}' for name in names}
            return {**asked, LEARNT: [item for item in objects if item['key'] in wanted]}
    return asked


def _teller(counts: Mapping[str, int]) -> str:
    """Return the model whose parts look at the history, from the number of parts of each: the smallest parts do."""
    return max(counts, key=lambda model: counts[model])


def chunks(model: str, n_series: int) -> int:
    """Return how many chunks of series a model is best run in."""
    size = CHUNK if model in ALONE else CHUNK_OF_AUTO if model == 'auto' else 0
    return max(1, -(-n_series // size)) if size else 1


def _models(payload: Payload) -> Sequence[str]:
    """Return the models that a payload asks for, or none when it is no payload that could be split."""
    match payload:
        case {'request': {'models': [*models]}} if all(isinstance(name, str) and name in MODELS for name in models):
            return models
    return ()


def _learning(payload: Payload, model: str, part: str) -> Payload:
    """Return the payload of the part that learns for the chunks of a model, from DRAWN of all series."""
    request = {**payload['request'], 'models': [model]}
    if request.get('budget'):
        request['budget'] *= _LEARNING
    return {**payload, 'prefix': f'{payload["prefix"]}/{part}', 'request': request, 'learn': DRAWN, 'notes': False}


def _part(payload: Payload, model: str, part: str, number: int, count: int) -> dict[str, Any]:
    request = {**payload['request'], 'models': [model]}
    asked = {**payload, 'prefix': f'{payload["prefix"]}/{part}', 'request': request}
    if count == 1:
        return asked
    if model == 'auto' and request.get('budget'):
        request['budget'] *= (1 - _LEARNING) / count
    if labels := sorted(set(request.get('series') or ())):
        request['series'] = labels[number * len(labels) // count : (number + 1) * len(labels) // count]
    else:
        asked['chunk'] = [number, count]
    return asked


def of(part: str) -> tuple[str, int, int]:
    """Return the model of a part, which chunk it is (from 0) and of how many; -1 of 0 for one that learns for them."""
    if part.endswith(f'.{LEARNT}'):
        return part.removesuffix(f'.{LEARNT}'), -1, 0
    found = _CHUNKED.fullmatch(part)
    if found is None:
        return part, 0, 1
    return found['model'], int(found['number']) - 1, int(found['count'])


def standing(parts: Iterable[str], done: Collection[str]) -> str:
    """Return how far a task is whose series run in chunks, by the parts that are `done`; nothing where none does."""
    names = [name for name in parts if of(name)[2]]
    ended = sum(name in done for name in names)
    return f'{ended} of {len(names)} chunks' if any(of(name)[2] > 1 for name in names) else ''


def listed(manifest: Mapping[str, Any], kind: str) -> list[str]:
    """Return the names under `kind` in a result, or in what it says of a model, from the result's prefix.

    Results that were stored before there were chunks name one `file` a model and one `history`.
    """
    said = manifest.get(kind)
    if said is None and kind == 'files':
        said = manifest.get('file')
    if said is None and kind == 'history':
        said = 'history.parquet'
    return [said] if isinstance(said, str) else list(said or ())


def holding(manifest: Mapping[str, Any], names: Iterable[str], series: str) -> list[str]:
    """Return those of a result's files, named from its prefix, that may hold a series; the first one when none may.

    The first and the last label of the files of each part are known, except of results that were stored before.
    """
    spans, known = manifest.get('spans') or {}, list(names)

    def may_hold(name: str) -> bool:
        first, last = spans.get(name.rpartition('/')[0]) or (series, series)
        return bool(first <= series <= last)

    return [name for name in known if may_hold(name)] or known[:1]


# answers


def merge(payload: Payload, answers: Mapping[str, Answer]) -> dict[str, Any]:
    """Return the result of the task that `payload` was split from, its models in the order of `answers`.

    Files are named from the folder of all attempts, because parts may come from different ones. What failed is named
    under `missing`, with the reason, and so are notes about the history where a part that was to make them failed.
    Raise the first part's error when all of them failed.

    Scores of chunks become one by the sums that they were made of, as if all series had been in one. A part that
    learns for chunks brings scores and no forecast: where it failed, nothing is missing.
    """
    models = list(dict.fromkeys(of(part)[0] for part in answers))
    order = sorted(answers, key=lambda part: (models.index(of(part)[0]), of(part)[1]))
    answers = {part: answers[part] for part in order}
    done = {part: answer for part, answer in answers.items() if not isinstance(answer, VariosyncError)}
    if not any(of(part)[2] for part in done):
        raise next(answer for answer in answers.values() if isinstance(answer, VariosyncError))
    if WHOLE in done:
        return dict(done[WHOLE])
    attempts, _, _ = payload['prefix'].rpartition('/')
    moved = {part: _moved(answer, attempts) for part, answer in done.items()}
    failed = {
        model: {part: answers[part] for part in order if of(part)[0] == model and of(part)[2] and part not in done}
        for model in models
    }
    found = {model: [one for part, one in moved.items() if of(part)[0] == model] for model in models}
    chunked = [part for part in moved if of(part)[2]]
    history = [moved[part] for part in _covering(chunked)]
    noted = [moved[part] for part in _covering(part for part in chunked if moved[part]['notes'])]
    labels = {label for one in history for label in one['series']}
    missing = {_named(model, failed[model]): _reason(failed[model]) for model in models if failed[model]}
    if unseen := failed[_teller({of(part)[0]: of(part)[2] for part in answers})]:
        missing[_noted(unseen)] = _reason(unseen)
    return {
        'prefix': attempts,
        'objects': [item for answer in done.values() for item in answer['objects']],
        'manifest': {
            'models': [
                _joined(model, found[model], failed[model], told=_alone(answers.get(f'{model}.{LEARNT}')))
                for model in models
            ],
            'scores': _scores(models, found),
            'series': sorted(labels)[:MOST_LABELS],
            'n_series': sum(one.get('n_series', len(one['series'])) for one in history),
            'spans': {_folder(done[part], attempts): one['span'] for part, one in moved.items() if one.get('span')},
            'history': [name for one in history for name in one['history']],
            'notes': [name for one in noted for name in one['notes']],
        },
        'missing': missing,
        'seconds': sum(answer.get('seconds', 0.0) for answer in done.values()),
    }


def _moved(answer: Mapping[str, Any], attempts: str) -> dict[str, Any]:
    """Return a part's manifest with its files named from the folder of all attempts."""
    folder = _folder(answer, attempts)
    manifest = answer['manifest']

    def named(said: Mapping[str, Any], kind: str) -> list[str]:
        return [f'{folder}/{name}' for name in listed(said, kind)]

    models = [{**model, **{kind: named(model, kind) for kind in FILES}} for model in manifest['models']]
    return {**manifest, 'models': models, 'history': named(manifest, 'history'), 'notes': named(manifest, 'notes')}


def _folder(answer: Mapping[str, Any], attempts: str) -> str:
    return str(answer['prefix']).removeprefix(f'{attempts}/')


def _covering(parts: Iterable[str]) -> list[str]:
    """Return parts whose series are all there are, each once; or as many as any way of cutting them has left."""
    cuts: dict[int, dict[int, str]] = {}
    for part in parts:
        _, number, count = of(part)
        cuts.setdefault(count, {}).setdefault(number, part)
    if not cuts:
        return []
    best = max(cuts, key=lambda count: (len(cuts[count]) / count, -count))
    return [part for _, part in sorted(cuts[best].items())]


def _alone(learnt: Answer | None) -> list[str]:
    """Return what to say of chunks that had to learn by themselves."""
    if not isinstance(learnt, VariosyncError):
        return []
    return [f'Each chunk of series learnt by itself, because learning for all of them failed. {learnt.message}']


def _joined(
    name: str, manifests: Sequence[Mapping[str, Any]], failed: Mapping[str, Answer], *, told: Sequence[str]
) -> dict[str, Any]:
    """Return what the parts of one model say of it, as one."""
    from core.analysis.forecasting import said

    parts = [model for manifest in manifests for model in manifest['models'] if model['name'] == name]
    files = [{'file': file, 'rows': part['rows'], 'cutoff': part['cutoff']} for part in parts for file in part['files']]
    windows, short = _windows(parts)
    warnings = {text for part in parts for text in part.get('warnings', ())} - {_short(part) for part in parts}
    counted: Counter[str] = Counter()
    for part in parts:
        counted.update(part.get('series', {}))
    return {
        'name': name,
        'files': [file['file'] for file in files],
        'parts': files,
        'backtests': [file for part in parts for file in part['backtests']],
        'explained': [file for part in parts for file in part['explained']],
        'rows': sum(part['rows'] for part in parts),
        'cutoff': max((part['cutoff'] for part in parts if part['cutoff']), default=None),
        'first_cutoff': min((part['first_cutoff'] for part in parts if part.get('first_cutoff')), default=None),
        'series': dict(counted),
        'warnings': [*_left_out(failed, some=bool(files)), *told, *short, *said.ranked(warnings)][:MOST_WARNINGS],
        'about': said.together(part.get('about') or {} for part in parts),
        **windows,
        'weights': _weights(parts),
        'seconds': sum(part.get('seconds') or 0.0 for part in parts),
        **{name: next((part[name] for part in parts if part.get(name)), None) for name in ('code', 'seed')},
    }


def _windows(parts: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], list[str]]:
    """Return on how many past windows the series of all parts were measured, and what to say where it was on fewer."""
    told = [part['windows'] for part in parts if part.get('windows')]
    if not told:
        return {}, []
    counted: Counter[str] = Counter()
    for one in told:
        counted.update(one['series'])
    whole = {'windows': {'asked': told[0]['asked'], 'series': dict(counted)}}
    return whole, [said] if (said := _short(whole)) else []


def _short(model: Mapping[str, Any]) -> str:
    from core.analysis.forecasting import backtest

    windows = model.get('windows')
    return backtest.shortfall(windows['series'], windows['asked']) if windows else ''


def _left_out(failed: Mapping[str, Answer], *, some: bool) -> list[str]:
    if not failed:
        return []
    if not some:
        return [f'There is no forecast by this model. {_reason(failed)}']
    count = of(next(iter(failed)))[2]
    return [f'{len(failed)} of {count} chunks of series have no forecast by this model. {_reason(failed)}']


def _named(model: str, failed: Mapping[str, Answer]) -> str:
    count = of(next(iter(failed)))[2]
    return model if count == 1 else f'{model} for {len(failed)} of {count} chunks of series'


def _noted(failed: Mapping[str, Answer]) -> str:
    """Return what is missing when parts failed that were to look at the history."""
    count = of(next(iter(failed)))[2]
    return 'notes about history' if count == 1 else f'notes about history for {len(failed)} of {count} chunks of series'


def _reason(failed: Mapping[str, Answer]) -> str:
    return next((one.message for one in failed.values() if isinstance(one, VariosyncError)), '')


def _weights(parts: Sequence[Mapping[str, Any]]) -> dict[str, float] | None:
    """Return the mean share of each member, over chunks by their rows."""
    told = [part for part in parts if part.get('weights') and part['rows']]
    rows = sum(part['rows'] for part in told)
    members = dict.fromkeys(member for part in told for member in part['weights'])
    if not members:
        return None
    return {name: sum(part['weights'].get(name, 0.0) * part['rows'] for part in told) / rows for name in members}


def _scores(models: Sequence[str], found: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Return a score for each model that was measured, over all its chunks."""
    from core.analysis.forecasting import backtest

    scores = []
    for model in models:
        own = [one for one in found[model] if any(score['model'] == model for score in one['scores'])]
        if len(own) == 1:
            scores += [dict(score) for score in own[0]['scores'] if score['model'] == model]
        elif own:
            scores.append(backtest.score_of(model, [one['sums'][model] for one in own]))
    return scores


# where calls end with us


class Kept:
    """What the parts of attempts have answered, stored beside their objects: a later attempt need not run them again.

    An answer counts for a part that is asked the same of the same code, when its objects are whole. Each attempt writes
    below its own prefix alone, an answer last of all, so a late attempt changes nothing that another one reads.
    """

    def __init__(self, objects: ObjectStore, prefix: str) -> None:
        """Keep answers of the attempt whose `prefix` ends with its number."""
        self._objects = objects
        self._job, _, attempt = prefix.rpartition('-')
        self._attempt = int(attempt)
        self._code = ''

    async def earlier(self, parts: Mapping[str, Payload]) -> dict[str, Answer]:
        """Return what parts answered in the last attempts before this one, told of the same parts before them."""
        found: dict[str, Answer] = {}
        for part, payload in parts.items() if len(parts) > 1 else ():
            asked = released(payload, found)
            answer = None if asked is None else await self._earlier(part, asked)
            if answer is not None:
                found[part] = answer
        return found

    async def keep(self, part: str, payload: Payload, answer: Mapping[str, Any]) -> None:
        """Store an answer; where that fails, a later attempt runs the part again."""
        of = {'of': await self._asked(payload), 'answer': answer}
        with suppress(VariosyncError):
            await self._objects.put(self._key(part, self._attempt), json.dumps(of).encode())

    async def _earlier(self, part: str, payload: Payload) -> Mapping[str, Any] | None:
        for attempt in range(self._attempt - 1, max(0, self._attempt - 1 - LOOK_BACK), -1):
            try:
                told = json.loads(await self._objects.get(self._key(part, attempt)))
                if told['of'] == await self._asked(payload) and await self._whole(told['answer']):
                    return dict(told['answer'])
            except (VariosyncError, LookupError, TypeError, ValueError):  # none, or none of ours
                continue
        return None

    async def _whole(self, answer: Mapping[str, Any]) -> bool:
        for item in answer['objects']:
            if not item['key'].startswith(f'{self._job}-') or await self._objects.size(item['key']) != item['size']:
                return False
        return True

    async def _asked(self, payload: Payload) -> str:
        """Return what tells one question from another, whichever attempt asks it."""
        from core.analysis.record import code_version

        self._code = self._code or await asyncio.to_thread(code_version)
        asked = {name: value for name, value in payload.items() if name not in ('prefix', 'memory')}
        if LEARNT in asked:
            asked[LEARNT] = [item['sha256'] for item in asked[LEARNT]]
        return hashlib.sha256(f'{self._code} {json.dumps(asked, sort_keys=True)}'.encode()).hexdigest()

    def _key(self, part: str, attempt: int) -> str:
        return f'{self._job}-{attempt}/{part}/answer.json'


class SideBySide:
    """Runs the parts of one attempt in a Compute whose calls end with us, but those that `kept` has answers to.

    One part runs at a time, and as many more as there are places in `spare`, which all jobs of this process share. A
    part that builds upon another one starts once that has answered; what waits for it holds no place.
    """

    def __init__(
        self,
        compute: Compute,
        task: str,
        parts: Mapping[str, Payload],
        *,
        spare: asyncio.Semaphore,
        timeout: float,
        kept: Kept | None = None,
    ) -> None:
        self._compute = compute
        self._task = task
        self._parts = parts
        self._spare = spare
        self._timeout = timeout
        self._kept = kept
        self._waiting = deque(parts)
        self._answers: dict[str, Answer] = {}
        self._told: dict[str, tuple[float, str]] = {}
        self._turn = asyncio.Condition()

    async def run(self) -> dict[str, Answer]:
        """Return what each part answered, its own error included; a part whose process was lost is run again.

        Raise TaskCancelled when a call was stopped, Unavailable when Compute cannot be asked now: then nothing runs on.
        """
        if self._kept is not None:
            self._answers |= await self._kept.earlier(self._parts)
            self._waiting = deque(part for part in self._parts if part not in self._answers)
        places: list[AbstractAsyncContextManager[object]] = [nullcontext()]
        places += [self._spare] * min(len(self._parts) - 1, WIDEST - 1)
        running = [asyncio.create_task(self._work(place)) for place in places]
        going = set(running)
        try:
            # Not until all have ended: some may wait for a place that another job holds.
            while len(self._answers) < len(self._parts):
                ended, going = await asyncio.wait(going, return_when=asyncio.FIRST_COMPLETED)
                for task in ended:
                    task.result()
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        return {part: self._answers[part] for part in self._parts}

    def standing(self) -> tuple[float, str]:
        """Return how far they are in all (0 to 1), and what they do."""
        going = {part: told for part, told in self._told.items() if part not in self._answers}
        done = len(self._answers)
        text = next((text for _, text in going.values() if text), '')
        progress = (done + sum(part for part, _ in going.values())) / len(self._parts)
        return progress, standing(self._parts, self._answers) or text

    async def _work(self, place: AbstractAsyncContextManager[object]) -> None:
        while self._waiting:
            async with self._turn:
                await self._turn.wait_for(lambda: not self._waiting or self._next() is not None)
            async with place:
                found = self._next()
                if found is None:  # another one has taken it
                    continue
                part, asked = found
                self._waiting.remove(part)
                self._answers[part] = await self._answer(part, asked)
            async with self._turn:
                self._turn.notify_all()

    def _next(self) -> tuple[str, Payload] | None:
        """Return the first part that may start now, and what it is asked."""
        for part in self._waiting:
            if (asked := released(self._parts[part], self._answers)) is not None:
                return part, asked
        return None

    async def _answer(self, part: str, asked: Payload) -> Answer:
        tries = TRIES if len(self._parts) > 1 else 1
        while True:
            tries -= 1
            try:
                answer = await self._call(part, asked)
                if self._kept is not None and len(self._parts) > 1:
                    await self._kept.keep(part, asked, answer)
                return answer
            except (TaskCancelled, Unavailable):
                self._waiting.clear()
                raise
            except VariosyncError as error:
                if not (error.retryable and tries):
                    return error

    async def _call(self, part: str, asked: Payload) -> Mapping[str, Any]:
        call_id = await self._compute.submit(self._task, asked)
        started = time.monotonic()
        try:
            while time.monotonic() - started <= self._timeout:
                result = await self._compute.collect(call_id, progress=partial(self._tell, part), timeout=POLL)
                if result is not None:
                    return result
        except BaseException:
            await self._compute.cancel(call_id)
            raise
        await self._compute.cancel(call_id)
        raise TaskOverLimit(f'The job took longer than {self._timeout:.0f} s. Use less data, or raise the limit.')

    def _tell(self, part: str, share: float, text: str) -> None:
        before, _ = self._told.get(part, (0.0, ''))
        self._told[part] = (min(1.0, max(before, share)), storable(text))


def width(memory: int) -> int:
    """Return how many tasks of `memory` bytes this machine runs side by side, or the container that we are in."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    quota, _, period = _limit('cpu.max').partition(' ')
    if quota.isdecimal() and period.isdecimal():
        cores = min(cores, int(quota) // int(period))
    space = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    if (most := _limit('memory.max')).isdecimal():
        space = min(space, int(most))
    return max(1, min(cores, space // memory, WIDEST))


def _limit(name: str) -> str:
    """Return a limit of our container (Linux control groups, version 2), or nothing."""
    with suppress(OSError):
        return Path('/sys/fs/cgroup', name).read_text().strip()
    return ''
