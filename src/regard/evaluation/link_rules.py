"""From attention to links: a small family of rules, and the one that fits best on validation sentences.

Attention says how much, links say whether. Which rule says it is chosen on validation data and then left alone: chosen
on the test set it would flatter every alignment error rate.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from regard.errors import UserError
from regard.evaluation.alignment import AlignmentScore, Gold, Links, alignment_error

Kind = Literal["target", "source", "both", "either", "all"]


@dataclass(frozen=True)
class LinkRule:
    """Which cells of a matrix (target words, source words) of weights are links.

    kind: "target" takes each target word's largest weight (its row), "source" each source word's (its column), "both"
        the cells that are largest in their row and in their column, "either" those that are in one of the two, "all"
        every cell. Of equal weights the first is the largest.
    minimum: a cell below this weight is no link, from 0 to 1.
    """

    kind: Kind = "target"
    minimum: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise UserError(f"link rule {self.kind!r}: expected one of {', '.join(get_args(Kind))}")
        if not 0 <= self.minimum <= 1:
            raise UserError(f"link rule's minimum {self.minimum}: expected a weight from 0 to 1")

    def __call__(self, weights: np.ndarray) -> Links:
        """The links, source word first, of weights (target words, source words)."""
        if weights.ndim != 2:
            raise ValueError(f"weights must be (target words, source words), got shape {weights.shape}")
        if not weights.size:
            return frozenset()
        kept = self._largest(weights) & (weights >= self.minimum)
        return frozenset((int(i), int(j)) for j, i in zip(*np.nonzero(kept), strict=True))

    def _largest(self, weights: np.ndarray) -> np.ndarray:
        rows, columns = np.zeros(weights.shape, bool), np.zeros(weights.shape, bool)
        rows[np.arange(weights.shape[0]), weights.argmax(1)] = True
        columns[weights.argmax(0), np.arange(weights.shape[1])] = True
        return {
            "target": rows, "source": columns, "both": rows & columns, "either": rows | columns,
            "all": np.ones(weights.shape, bool),
        }[self.kind]  # fmt: skip

    def __str__(self) -> str:
        return self.kind + (f", at least {self.minimum:g}" if self.minimum else "")


RULES: tuple[LinkRule, ...] = tuple(
    LinkRule(kind, minimum)
    for kind in get_args(Kind)
    for minimum in (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
    if kind != "all" or minimum
)


def choose_rule(
    weights: Sequence[np.ndarray], gold: Sequence[Gold], rules: Iterable[LinkRule] = RULES
) -> tuple[LinkRule, AlignmentScore]:
    """The rule of lowest AER on validation sentences, the earliest of equals, and its score there.

    weights: (target words, source words) of each sentence; gold: its links.
    """
    scored = [(rule, alignment_error([rule(matrix) for matrix in weights], gold)) for rule in rules]
    if not scored:
        raise UserError("no link rule to choose from: give at least one")
    return min(scored, key=lambda pair: pair[1].aer)
