"""Additive attention: a small network with one hidden layer scores each pair."""

__all__ = ["AdditiveAttention"]

import torch
from torch import nn

from regard.equation.scores import Additive, Score
from regard.layers.source import SourceAttention


class AdditiveAttention(SourceAttention):
    """e_t(s) = vᵀ tanh(W_1 h_t + W_2 h_s + b), c_t = Σ_s softmax_s(e_t)(s) h_s.

    `query` and `key` are the numbers of features of h_t and h_s, `hidden` that of v; W_2 h_s is computed once a source.
    `bias` adds b. Luong's `concat` is the same mechanism: its one matrix on [h_t; h_s] is W_1 beside W_2.
    Source: Bahdanau, Cho and Bengio 2014.
    """

    def __init__(self, query: int, key: int, hidden: int, *, bias: bool = False):
        super().__init__()
        self.query = nn.Linear(query, hidden, bias=bias)
        self.key = nn.Linear(key, hidden, bias=False)
        self.v = nn.Parameter(torch.empty(hidden).uniform_(-(hidden**-0.5), hidden**-0.5))

    def score(self) -> Score:
        """vᵀ tanh(W_1 h_t + W_2 h_s + b)."""
        return Additive(self.v, self.query.weight, self.key.weight, self.query.bias)
