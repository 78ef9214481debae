"""The GRU and the LSTM cell, one step at a time, with the part of their input that is known beforehand kept apart.

A decoder's input is an embedding, known for all steps of a training sentence at once, and what attention fed back,
known only step by step. `known` is multiplied for all steps in one product; the rest is `torch.nn.GRUCell`'s and
`torch.nn.LSTMCell`'s equations, gate order and weights, which the tests hold it to.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from regard.layers.stepwise import StepLinear
from regard.models import gru_step

State = tuple[Tensor, ...]  # (h,) of a GRU, (h, c) of an LSTM


class Cell(nn.Module):
    """What the two cells share: gates from the known input, the fed input and the previous state.

    The columns of torch's `weight_ih` are `known.weight` beside `feed.weight`; its `bias_ih` is `known.bias`.
    """

    gates: int
    parts: int  # tensors in the state

    def __init__(self, known: int, fed: int, hidden: int):
        super().__init__()
        self.hidden = hidden
        self.known = StepLinear(known, self.gates * hidden)
        self.feed = StepLinear(fed, self.gates * hidden, bias=False) if fed else None
        self.recur = StepLinear(hidden, self.gates * hidden)
        bound = hidden**-0.5  # torch.nn.GRUCell's initialisation
        for weight in self.parameters():
            nn.init.uniform_(weight, -bound, bound)

    def input_gates(self, known: Float[Tensor, "*batch gates"], fed: Tensor | None) -> Float[Tensor, "*batch gates"]:
        """W_ih x + b_ih, given the known part's product."""
        return known if self.feed is None or fed is None else known + self.feed(fed)


class GRUCell(Cell):
    """r, z = σ(·), n = tanh(W_in x + b_in + r ⊙ (W_hn h + b_hn)), h' = (1 − z) ⊙ n + z ⊙ h (Cho 2014, torch's form)."""

    gates, parts = 3, 1

    def forward(self, known: Float[Tensor, "*batch gates"], fed: Tensor | None, state: State) -> State:
        """The next state, from `known` (the product `self.known(x)`), what is fed back, and the state."""
        (h,) = state
        recurrent = self.recur(h)
        if gru_step.takes(recurrent, h, torch.is_grad_enabled()):
            return (gru_step.step(known, None if self.feed is None or fed is None else self.feed(fed), recurrent, h),)
        x_r, x_z, x_n = self.input_gates(known, fed).chunk(3, -1)
        h_r, h_z, h_n = recurrent.chunk(3, -1)
        r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
        n = torch.tanh(x_n + r * h_n)
        return (torch.lerp(n, h.to(n.dtype), z),)


class LSTMCell(Cell):
    """i, f, o = σ(·), g = tanh(·), c' = f ⊙ c + i ⊙ g, h' = o ⊙ tanh(c') (Hochreiter 1997, torch's form)."""

    gates, parts = 4, 2

    def forward(self, known: Float[Tensor, "*batch gates"], fed: Tensor | None, state: State) -> State:
        """The next (h, c), from `known` (the product `self.known(x)`), what is fed back, and the state."""
        h, c = state
        i, f, g, o = (self.input_gates(known, fed) + self.recur(h)).chunk(4, -1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


CELLS: dict[str, type[Cell]] = {"gru": GRUCell, "lstm": LSTMCell}
