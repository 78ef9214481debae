"""The recurrent decoder: where attention looks, in which order, and what the next word is read from.

Bahdanau's order looks with the previous state, then updates; Luong's updates, then looks with the new state:

    bahdanau   c_t = attend(s_{t−1}, source)            s_t = cell([y_{t−1}; c_t], s_{t−1})
               o_t = tanh(W [s_t; c_t; y_{t−1}])
    luong      s_t = cell([y_{t−1}; o_{t−1}], s_{t−1})  c_t = attend(s_t, source)
               o_t = tanh(W [s_t; c_t])

o_{t−1} in Luong's line is input feeding. The same `advance` serves training, where the embeddings of all steps are
known and multiplied at once, and decoding, where each sentence has several hypotheses side by side.
"""

from typing import NamedTuple, Self, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from regard.config import ModelConfig
from regard.equation.unrolled import unrolled
from regard.layers.stepwise import StepLinear
from regard.models.cells import CELLS, Cell
from regard.models.context import Memory, make_context
from regard.models.dropout import Dropout


class State(NamedTuple):
    """What a hypothesis carries from step to step; every tensor begins with (sentences, hypotheses)."""

    position: Int[Tensor, "batch beam"]  # the step that comes next, from 0
    fed: Float[Tensor, "batch beam readout"]  # o_{t−1}; width 0 without input feeding
    hidden: tuple[tuple[Float[Tensor, "batch beam hidden"], ...], ...]  # the cell's state, layer by layer

    def reorder(self, parents: Int[Tensor, "batch beam"]) -> Self:
        """The states of the hypotheses' parents, sentence by sentence; there may be more than before."""
        batch, width = self.position.shape
        rows = (parents + width * torch.arange(batch, device=parents.device)[:, None]).flatten()

        def pick(x: Tensor) -> Tensor:
            return x.flatten(0, 1).index_select(0, rows).view(*parents.shape, *x.shape[2:])

        return type(self)(
            pick(self.position), pick(self.fed), tuple(tuple(pick(part) for part in layer) for layer in self.hidden)
        )

    def select(self, rows: Int[Tensor, " rows"]) -> Self:
        """The states of some of the sentences."""
        return type(self)(
            self.position[rows], self.fed[rows], tuple(tuple(part[rows] for part in layer) for layer in self.hidden)
        )


class Step(NamedTuple):
    """What one step gives: the new state, the attentional vector o_t, and the weights where they were asked for."""

    state: State
    readout: Float[Tensor, "batch beam readout"]
    weights: Float[Tensor, "batch beam source"] | None


class Decoder(nn.Module):
    """Stacked cells that attend to the source; see the file's first paragraph for the equations."""

    def __init__(self, config: ModelConfig, memory: int):
        super().__init__()
        config = config.resolved()
        self.looks_first = config.order == "bahdanau"
        self.feeds = bool(config.input_feeding)
        self.width = config.embedding if config.tied_embeddings != "none" else config.decoder_hidden
        self.context = make_context(config, memory)
        seen = self.context.size
        fed = (seen if self.looks_first else 0) + (self.width if self.feeds else 0)
        cell, hidden = CELLS[config.cell], config.decoder_hidden
        self.cells = nn.ModuleList(
            cell(config.embedding, fed, hidden) if layer == 0 else cell(hidden, 0, hidden)
            for layer in range(config.layers)
        )
        self.bridge = nn.ModuleList(nn.Linear(memory, hidden * cell.parts) for _ in range(config.layers))
        self.readout = StepLinear(hidden + seen + (config.embedding if self.looks_first else 0), self.width)
        self.dropout = Dropout(config.dropout)

    @property
    def layers(self) -> list[Cell]:
        """The cells, from the lowest up."""
        return cast(list[Cell], list(self.cells))

    def start(self, last: tuple[Float[Tensor, "layers batch memory"], ...], beams: int = 1) -> State:
        """The state before the first word: each layer's from the encoder's last h, through tanh(W h + b)."""
        h = last[0]
        hidden = []
        for layer, (bridge, cell) in enumerate(zip(self.bridge, self.layers, strict=True)):
            first = torch.tanh(bridge(h[layer])).unsqueeze(1).expand(-1, beams, -1)
            hidden.append(tuple(first.chunk(cell.parts, -1)))
        position = torch.zeros(h.shape[1], beams, dtype=torch.long, device=h.device)
        fed = h.new_zeros(h.shape[1], beams, self.width if self.feeds else 0)
        return State(position, fed, tuple(hidden))

    def unroll(
        self,
        embedded: Float[Tensor, "batch target embedding"],
        last: tuple[Float[Tensor, "layers batch memory"], ...],
        memory: Memory,
    ) -> Float[Tensor, "batch target readout"]:
        """Teacher forcing: o_t of every step, given the embeddings of the words before."""
        known = self.layers[0].known(embedded)
        state = self.start(last)
        tops, contexts, readouts = [], [], []
        with unrolled():
            for known_t, embedded_t in zip(known.split(1, 1), embedded.split(1, 1), strict=True):
                state, top, context, _ = self.advance(known_t, state, memory, weights=False)
                if self.feeds:
                    readouts.append(self.read(top, context, embedded_t))
                    state = state._replace(fed=readouts[-1])
                tops.append(top)
                contexts.append(context)
        if self.feeds:
            return torch.cat(readouts, 1)
        return self.read(torch.cat(tops, 1), torch.cat(contexts, 1), embedded)

    def step(
        self, embedded: Float[Tensor, "batch beam embedding"], state: State, memory: Memory, *, weights: bool
    ) -> Step:
        """One word further, for every hypothesis of every sentence."""
        state, top, context, alpha = self.advance(self.layers[0].known(embedded), state, memory, weights=weights)
        readout = self.read(top, context, embedded)
        return Step(state._replace(fed=readout) if self.feeds else state, readout, alpha)

    def advance(
        self, known: Float[Tensor, "batch beam gates"], state: State, memory: Memory, *, weights: bool
    ) -> tuple[State, Tensor, Tensor, Tensor | None]:
        """Look and update, in the decoder's order: the state, s_t, c_t and the weights where asked for."""
        fed = [state.fed] if self.feeds else []
        context, alpha = None, None
        if self.looks_first:
            context, alpha = self.context(state.hidden[-1][0], memory, state.position, weights)
            fed.append(context)
        hidden: list[tuple[Tensor, ...]] = []
        for layer, cell in enumerate(self.layers):
            below = known if layer == 0 else cell.known(self.dropout(hidden[-1][0]))
            hidden.append(cell(below, _side_by_side(fed) if layer == 0 else None, state.hidden[layer]))
        top = hidden[-1][0]
        if context is None:
            context, alpha = self.context(top, memory, state.position, weights)
        return State(state.position + 1, state.fed, tuple(hidden)), top, context, alpha

    def read(self, top: Tensor, context: Tensor, embedded: Tensor) -> Tensor:
        """o_t, from the state and the context, and in Bahdanau's order from the word before."""
        parts = [top, context, embedded] if self.looks_first else [top, context]
        return self.dropout(torch.tanh(self.readout(_side_by_side(parts))))


def _side_by_side(parts: list[Tensor]) -> Tensor | None:
    return torch.cat(parts, -1) if parts else None
