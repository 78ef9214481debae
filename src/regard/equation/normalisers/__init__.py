"""Normalisers: from scores to weights, one idea a file."""

from regard.equation.normalisers.choice import Gumbel, Hard, Sample
from regard.equation.normalisers.known import as_normaliser
from regard.equation.normalisers.normaliser import Normaliser
from regard.equation.normalisers.rows import empty_rows, log_sum_exp
from regard.equation.normalisers.sigmoid import Sigmoid
from regard.equation.normalisers.softmax import Softmax, TopK
from regard.equation.normalisers.sparse import Entmax, Sparsemax

__all__ = [
    "Entmax",
    "Gumbel",
    "Hard",
    "Normaliser",
    "Sample",
    "Sigmoid",
    "Softmax",
    "Sparsemax",
    "TopK",
    "as_normaliser",
    "empty_rows",
    "log_sum_exp",
]
