"""Fitting the network: quantile loss, one cycle of the learning rate, early stopping by windows it does not learn from.

The cycle is that of Smith & Topin 2018, arXiv:1708.07120.
"""

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from core.analysis.forecasting.base import Run
from core.analysis.forecasting.frequency import Array
from core.analysis.forecasting.options import check
from core.analysis.forecasting.repair import Series
from core.analysis.forecasting.tft.module import Answer, Sizes, TemporalFusion
from core.analysis.forecasting.tft.windows import Drawn, Layout, Source

QUANTILES = (0.1, 0.5, 0.9)
"""The paper's."""
STEPS_A_BATCH = 4096
"""A batch holds about so many steps of context and horizon: long windows come in smaller batches."""
MOST_A_BATCH = 64
LEAST_WINDOWS = 60
"""With fewer windows to learn from there is nothing to fit."""
LOOKS = 12
PATIENCE = 4
"""So many looks at the held-out windows without a better loss end the training."""
MANY_SERIES = 50
HELD_SHARE = 10
MOST_HELD = 128
REACH = 20.0
"""A scaled error costs no more than this: beyond lie breaks in level that no window explains."""
CLIP = 1.0
STEPS_A_PASS, MOST_A_PASS = 32_768, 256
"""Steps and windows that are predicted at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a request may set for `tft`: width, dropout, optimiser steps, peak learning rate, steps of context.

    `seconds` ends the training early; numbers then depend on the machine's speed. Without it they depend on the seed.
    """

    hidden: int = 32
    dropout: float = 0.1
    steps: int = 500
    rate: float = 3e-3
    context: int | None = None
    seconds: float | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> 'Options':
        """Return the options of a request. Raise UsageError for one that does not exist or cannot be."""
        check('tft', given)
        return cls(**given)


@dataclass(frozen=True, slots=True)
class Fitted:
    """A network in inference, with what it was trained to read."""

    network: TemporalFusion
    sizes: Sizes
    layout: Layout
    quantiles: tuple[float, ...] = QUANTILES

    def forecast(self, source: Source, places: Array, sizes: Array) -> Array:
        """Return quantiles (windows × h × quantiles) in units of y, never crossing, of the windows at `places`."""
        found = [np.zeros((0, self.layout.h, len(self.quantiles)))]
        for drawn, answer in self.answers(source, places, sizes):
            scaled = np.sort(_anchored(answer, drawn).double().cpu().numpy(), axis=-1)
            found.append(scaled * drawn.scale[:, :, None] + drawn.level[:, :, None])
        return np.concatenate(found)

    def answers(self, source: Source, places: Array, sizes: Array) -> Iterator[tuple[Drawn, Answer]]:
        """Yield what the network says about the windows, some at a time and in order."""
        device = next(self.network.parameters()).device
        some = int(np.clip(STEPS_A_PASS // (self.layout.context + self.layout.h), 1, MOST_A_PASS))
        for first in range(0, len(places), some):
            drawn = source.draw(places[first : first + some], sizes[first : first + some]).to(device)
            with one_thread(), torch.inference_mode(), _precision(device):
                answer = self.network(drawn.batch)
            yield drawn, answer


def fit(
    panel: Sequence[Series], ends: Sequence[int], layout: Layout, *, options: Options, run: Run,
    device: torch.device | None = None,
) -> Fitted | None:  # fmt: skip
    """Return a network fitted to the first `ends` points of each series, or None when there are too few windows.

    Two runs with the same seed give the same numbers on a CPU.
    """
    device = device or torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    held, learnt = _split(panel, ends, layout, seed=run.seed)
    if learnt.count < LEAST_WINDOWS:
        return None
    source = Source(panel, ends, layout, run=run, shown=learnt.ends.tolist())
    judge = Source(panel, ends, layout, run=run).draw(*held).to(device) if len(held[0]) else None
    sizes = layout.sizes(hidden=options.hidden, quantiles=len(QUANTILES), dropout=options.dropout)
    with one_thread(), torch.random.fork_rng(devices=[device] if device.type == 'cuda' else []):
        torch.manual_seed(run.seed)
        network = TemporalFusion(sizes).to(device)
        draw = _drawing(source, learnt, layout, device, seed=run.seed)
        _train(network, draw, judge, options=options, progress=run.progress)
    return Fitted(network.eval(), sizes, layout)


def _train(
    network: TemporalFusion, draw: Callable[[], Drawn], judge: Drawn | None, *, options: Options,
    progress: Callable[[float, str], None],
) -> None:  # fmt: skip
    """Fit the network in place; what it ends with is its best at the held-out windows."""
    device = next(network.parameters()).device
    quantiles = torch.tensor(QUANTILES, device=device)
    optimiser = _Adam(network)
    every = max(1, options.steps // LOOKS)
    best, best_loss, looks = None, math.inf, 0
    until = time.monotonic() + (options.seconds or math.inf)
    for step in range(1, options.steps + 1):
        network.train()
        drawn = draw()
        with _precision(device):
            answer = network(drawn.batch)
        network.zero_grad()
        _loss(answer, drawn, quantiles).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        optimiser.step(options.rate * _rate(step / options.steps))
        progress(step / options.steps, '')
        if judge is not None and (step % every == 0 or step == options.steps):
            loss, looks = _judged(network, judge, quantiles), looks + 1
            if loss < best_loss:
                best, best_loss, looks = copy.deepcopy(network.state_dict()), loss, 0
            if looks >= PATIENCE:
                break
        if time.monotonic() > until:
            break
    if best is not None:
        network.load_state_dict(best)


class _Adam:
    """`torch.optim.Adam` without its class, which loads PyTorch's compiler: a second of computing and 70 MB."""

    def __init__(self, network: nn.Module) -> None:
        self._state = [
            (own, torch.zeros_like(own), torch.zeros_like(own), torch.tensor(0.0)) for own in network.parameters()
        ]

    def step(self, rate: float) -> None:
        """Move the parameters down their gradients."""
        moved = [own for own in self._state if own[0].grad is not None]
        parameters, means, squares, counts = (list(column) for column in zip(*moved, strict=True))
        with torch.no_grad():
            adam(
                parameters, [own.grad for own in parameters], means, squares, [], counts,
                amsgrad=False, beta1=0.9, beta2=0.999, lr=rate, weight_decay=0.0, eps=1e-8, maximize=False,
            )  # fmt: skip


def _rate(part: float) -> float:
    """Return the share of the peak learning rate: up over the first tenth of the training, then down to nothing."""
    if part < 0.1:
        return 0.04 + 0.96 * part / 0.1
    return 0.5 * (1 + math.cos(math.pi * (part - 0.1) / 0.9))


def _judged(network: TemporalFusion, judge: Drawn, quantiles: Tensor) -> float:
    network.eval()
    with torch.inference_mode(), _precision(quantiles.device):
        return float(_loss(network(judge.batch), judge, quantiles))


def _loss(answer: Answer, drawn: Drawn, quantiles: Tensor) -> Tensor:
    """Return the mean quantile loss of what was observed (eq. 24)."""
    known = torch.isfinite(drawn.target)
    target = torch.where(known, drawn.target, 0.0).unsqueeze(-1)
    error = target - _anchored(answer, drawn)
    loss = torch.maximum(quantiles * error, (quantiles - 1) * error).clamp(max=REACH)
    return (loss.mean(-1) * known).sum() / known.sum().clamp(min=1)


def _anchored(answer: Answer, drawn: Drawn) -> Tensor:
    return answer.quantiles.float() + drawn.anchor.unsqueeze(-1)


@dataclass(frozen=True, slots=True)
class _Learnt:
    """Windows to learn from: of each series those of `first` (inclusive) to `last` (exclusive) points before `ends`."""

    ends: Array
    first: Array
    last: Array

    @property
    def count(self) -> int:
        return int(np.maximum(self.last - self.first, 0).sum())


def _split(
    panel: Sequence[Series], ends: Sequence[int], layout: Layout, *, seed: int
) -> tuple[tuple[Array, Array], _Learnt]:
    """Return the held-out windows (places, sizes), and the windows to learn from.

    Of many series a tenth is held out; of few, the last horizon of each that is long enough.
    """
    last = np.asarray(ends)
    first = np.full(len(last), layout.least)
    spare = last - 2 * layout.h >= first + layout.season
    able = np.flatnonzero(spare)
    if len(able) >= MANY_SERIES:
        chosen = np.sort(np.random.default_rng(seed).permutation(able)[: min(len(able) // HELD_SHARE, MOST_HELD)])
        learnt = _Learnt(last, first, np.where(np.isin(np.arange(len(last)), chosen), first, _last(last, layout)))
        return (chosen, last[chosen] - layout.h), learnt
    chosen = able[:MOST_HELD]
    shortened = last - layout.h * spare
    return (chosen, last[chosen] - layout.h), _Learnt(shortened, first, _last(shortened, layout))


def _last(ends: Array, layout: Layout) -> Array:
    """Return how many points the longest window to learn from may have, exclusive: a third of its target is known."""
    return ends - max(1, layout.h // 3) + 1


def _drawing(
    source: Source, learnt: _Learnt, layout: Layout, device: torch.device, *, seed: int
) -> Callable[[], Drawn]:
    """Return what draws a batch: series by the square root of their windows, windows of a series alike."""
    rng = np.random.default_rng(seed)
    counts = np.maximum(learnt.last - learnt.first, 0)
    shares = np.sqrt(np.minimum(counts, 50 * layout.season))
    shares = shares / shares.sum()
    size = int(np.clip(STEPS_A_BATCH // (layout.context + layout.h), 16, MOST_A_BATCH))

    def draw() -> Drawn:
        places = rng.choice(len(counts), size, p=shares)
        return source.draw(places, learnt.first[places] + rng.integers(0, counts[places])).to(device)

    return draw


@contextmanager
def one_thread() -> Iterator[None]:
    """Let PyTorch use one thread of the CPU: sums then always have one order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _precision(device: torch.device) -> torch.autocast:
    """Return the context of the forward pass: bfloat16 on a GPU."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type != 'cpu')
