"""Dot-product attention, plain (Luong's dot) and through a matrix (Luong's general, his global attention)."""

__all__ = ["DotAttention", "GeneralAttention"]

from torch import nn

from regard.equation.scores import Dot, General, Score
from regard.layers.source import SourceAttention


class DotAttention(SourceAttention):
    """e_t(s) = scale · h_tᵀ h_s, c_t = Σ_s softmax_s(e_t)(s) h_s; queries and keys have the same number of features.

    `scale` is 1, as in Luong 2015; None is 1/√features, as in Vaswani 2017.
    """

    def __init__(self, scale: float | None = 1.0):
        super().__init__()
        self.scale = scale

    def score(self) -> Score:
        """scale · h_tᵀ h_s."""
        return Dot(self.scale)


class GeneralAttention(SourceAttention):
    """e_t(s) = scale · h_tᵀ W h_s, c_t = Σ_s softmax_s(e_t)(s) h_s: Luong's general score, his global attention.

    `query` and `key` are the numbers of features of h_t and h_s; W h_s is computed once a source.
    `scale` is 1, as in Luong 2015, who trained by plain gradient descent. With Adam take 1/√query: it moves each number
    of W by its rate, whatever the gradient, and all of them together would move a score by rate · (Σ|h|)², a hundred
    times what a rate for the rest of a network wants; what W can express is the same.
    """

    def __init__(self, query: int, key: int, *, scale: float = 1.0):
        super().__init__()
        self.key = nn.Linear(key, query, bias=False)
        self.scale = scale

    def score(self) -> Score:
        """scale · h_tᵀ W h_s."""
        return General(self.key.weight, self.scale)
