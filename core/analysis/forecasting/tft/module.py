"""The network: variable selection, LSTM encoder and decoder, static enrichment, interpretable attention, quantiles.

Shapes: b windows, l steps of context, h steps ahead, d hidden units, v variables. Every variable of a step is a number;
static variables are numbers or categories.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """What a network is built from: how many variables of each kind, and how wide it is.

    `categories` holds, for each categorical static variable, how many values it has (an unknown one included).
    """

    past: int
    future: int
    numbers: int
    categories: tuple[int, ...] = ()
    hidden: int = 32
    heads: int = 4
    quantiles: int = 3
    dropout: float = 0.1


@dataclass(frozen=True, slots=True)
class Batch:
    """Windows as the network reads them: `past` (b, l, v), `future` (b, h, v), `numbers` (b, v), `categories` (b, v).

    `known` (b, l) marks the steps of the context at or after the series' start; attention looks at no others.
    """

    past: Tensor
    future: Tensor
    numbers: Tensor
    categories: Tensor
    known: Tensor


@dataclass(frozen=True, slots=True)
class Answer:
    """`quantiles` (b, h, q) and what they rest on.

    `past` (b, l, v), `future` (b, h, v) and `static` (b, v) are selection weights that sum to one over variables;
    `attention` (b, h, l + h) sums to one over steps.
    """

    quantiles: Tensor
    past: Tensor
    future: Tensor
    static: Tensor
    attention: Tensor


class GateAddNorm(nn.Module):
    """A gated linear unit on top of a skip connection, normalised (eq. 5): the gate can close what has no use."""

    def __init__(self, inputs: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.gate = nn.Linear(inputs, 2 * outputs)
        self.norm = nn.LayerNorm(outputs)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        normed: Tensor = self.norm(functional.glu(self.gate(self.dropout(x)), -1) + skip)
        return normed


class GatedResidual(nn.Module):
    """A gated residual network (eq. 2–4), steered by a context vector where it has one."""

    def __init__(self, inputs: int, hidden: int, outputs: int, dropout: float, *, context: int = 0) -> None:
        super().__init__()
        self.enter = nn.Linear(inputs, hidden)
        self.steer = nn.Linear(context, hidden, bias=False) if context else None
        self.inner = nn.Linear(hidden, hidden)
        self.leave = GateAddNorm(hidden, outputs, dropout)
        self.skip = nn.Linear(inputs, outputs) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        inside = self.enter(x)
        if self.steer is not None and context is not None:
            inside = inside + self.steer(context)
        gated: Tensor = self.leave(self.inner(functional.elu(inside)), self.skip(x))
        return gated


class PerVariable(nn.Module):
    """A gated residual network for each variable, all of them at once: (v, n, d) → (v, n, d)."""

    def __init__(self, variables: int, hidden: int) -> None:
        super().__init__()
        self.enter = _weights(variables, hidden, hidden)
        self.enter_bias = nn.Parameter(torch.zeros(variables, 1, hidden))
        # between the ELU and the gate the paper has two linear maps with nothing between them: one says the same
        self.gate = _weights(variables, hidden, 2 * hidden)
        self.gate_bias = nn.Parameter(torch.zeros(variables, 1, 2 * hidden))
        self.gain = nn.Parameter(torch.ones(variables, 1, hidden))
        self.offset = nn.Parameter(torch.zeros(variables, 1, hidden))

    def forward(self, x: Tensor) -> Tensor:
        inside = functional.elu(torch.baddbmm(self.enter_bias, x, self.enter))
        gated = functional.glu(torch.baddbmm(self.gate_bias, inside, self.gate), -1)
        normed = functional.layer_norm(gated + x, x.shape[-1:])
        return torch.addcmul(self.offset, normed, self.gain)


class NumberSelection(nn.Module):
    """Variable selection (eq. 6–8) among numbers: (b, t, v) and a context (b, d) → (b, t, d) and weights (b, t, v).

    Each number is embedded by a linear map. What the paper's weights see, all embeddings side by side, is linear in the
    numbers too, so the network of the weights reads the numbers themselves.
    """

    def __init__(self, variables: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.embed = nn.Parameter(torch.randn(variables, 1, hidden) * 0.3)
        self.embed_bias = nn.Parameter(torch.zeros(variables, 1, hidden))
        self.each = PerVariable(variables, hidden)
        self.weigh = GatedResidual(variables, hidden, variables, dropout, context=hidden)

    def forward(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        weights = torch.softmax(self.weigh(x, context.unsqueeze(1)), -1)
        flat = x.flatten(0, 1).t().unsqueeze(-1)
        each = self.each(torch.addcmul(self.embed_bias, flat, self.embed))
        chosen = torch.einsum('vnd,nv->nd', each, weights.flatten(0, 1))
        return chosen.view(*x.shape[:2], -1), weights


class StaticSelection(nn.Module):
    """Variable selection among static numbers and categories: (b, v), (b, c) → (b, d) and weights (b, v + c)."""

    def __init__(self, numbers: int, categories: Sequence[int], hidden: int, dropout: float) -> None:
        super().__init__()
        variables = numbers + len(categories)
        self.embed = nn.Parameter(torch.randn(numbers, hidden) * 0.3)
        self.embed_bias = nn.Parameter(torch.zeros(numbers, hidden))
        self.tables = nn.ModuleList(nn.Embedding(count, hidden) for count in categories)
        self.each = PerVariable(variables, hidden)
        self.weigh = GatedResidual(variables * hidden, hidden, variables, dropout)

    def forward(self, numbers: Tensor, categories: Tensor) -> tuple[Tensor, Tensor]:
        embedded = [numbers.unsqueeze(-1) * self.embed + self.embed_bias]
        embedded += [table(categories[:, [place]]) for place, table in enumerate(self.tables)]
        x = torch.cat(embedded, 1)
        weights = torch.softmax(self.weigh(x.flatten(1)), -1)
        each = self.each(x.transpose(0, 1))
        return torch.einsum('vbd,bv->bd', each, weights), weights


class SharedValueAttention(nn.Module):
    """Interpretable multi-head attention (eq. 13–16): every head weighs the same values, so that one mean weight tells.

    `ahead` (b, h, d) asks, `steps` (b, l + h, d) answers; `allowed` (b, h, l + h) says who may see what.
    """

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.width = hidden // heads
        self.query = nn.Linear(hidden, heads * self.width)
        self.key = nn.Linear(hidden, heads * self.width)
        self.value = nn.Linear(hidden, self.width)
        self.out = nn.Linear(self.width, hidden, bias=False)

    def forward(self, ahead: Tensor, steps: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
        queries = self.query(ahead).unflatten(-1, (self.heads, self.width)).transpose(1, 2)
        keys = self.key(steps).unflatten(-1, (self.heads, self.width)).transpose(1, 2)
        likeness = queries @ keys.transpose(-1, -2) * self.width**-0.5
        likeness = likeness.masked_fill(~allowed.unsqueeze(1), torch.finfo(likeness.dtype).min)
        weights = torch.softmax(likeness, -1).mean(1)
        return self.out(weights @ self.value(steps)), weights


class TemporalFusion(nn.Module):
    """The whole network (fig. 2 of the paper)."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        hidden, dropout = sizes.hidden, sizes.dropout
        self.select_static = StaticSelection(sizes.numbers, sizes.categories, hidden, dropout)
        self.context = nn.ModuleDict(
            {name: GatedResidual(hidden, hidden, hidden, dropout) for name in ('select', 'state', 'cell', 'enrich')}
        )
        self.select_past = NumberSelection(sizes.past, hidden, dropout)
        self.select_future = NumberSelection(sizes.future, hidden, dropout)
        self.encode = nn.LSTM(hidden, hidden, batch_first=True)
        self.decode = nn.LSTM(hidden, hidden, batch_first=True)
        self.join_local = GateAddNorm(hidden, hidden, dropout)
        self.enrich = GatedResidual(hidden, hidden, hidden, dropout, context=hidden)
        self.attend = SharedValueAttention(hidden, sizes.heads)
        self.join_attention = GateAddNorm(hidden, hidden, dropout)
        self.each_step = GatedResidual(hidden, hidden, hidden, dropout)
        self.join_all = GateAddNorm(hidden, hidden, dropout)
        self.out = nn.Linear(hidden, sizes.quantiles)

    def forward(self, batch: Batch) -> Answer:
        """Return quantiles for each step ahead, in the units of the normalised window."""
        length = batch.past.shape[1]
        static, static_weights = self.select_static(batch.numbers, batch.categories)
        context = {name: network(static) for name, network in self.context.items()}
        past, past_weights = self.select_past(batch.past, context['select'])
        future, future_weights = self.select_future(batch.future, context['select'])

        state = context['state'].unsqueeze(0), context['cell'].unsqueeze(0)
        encoded, state = self.encode(past, state)
        decoded, _ = self.decode(future, state)
        local = self.join_local(torch.cat([encoded, decoded], 1), torch.cat([past, future], 1))

        enriched = self.enrich(local, context['enrich'].unsqueeze(1))
        ahead = enriched[:, length:]
        attended, attention = self.attend(ahead, enriched, _allowed(batch.known, batch.future.shape[1]))
        joined = self.join_attention(attended, ahead)
        final = self.join_all(self.each_step(joined), local[:, length:])
        return Answer(self.out(final), past_weights, future_weights, static_weights, attention)


def _allowed(known: Tensor, h: int) -> Tensor:
    """Return (b, h, l + h): each step ahead sees the context since the series' start, itself, and steps before it."""
    causal = torch.ones(h, h, dtype=torch.bool, device=known.device).tril()
    count = known.shape[0]
    return torch.cat([known.unsqueeze(1).expand(-1, h, -1), causal.expand(count, -1, -1)], -1)


def _weights(variables: int, inputs: int, outputs: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(variables, inputs, outputs) * inputs**-0.5)
