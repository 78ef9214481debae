"""BLEU by source length: the curve that shows whether quality holds as sentences grow.

Sentences are put into bins by the length of their source, and each bin gets a corpus BLEU of its own, so a bin's
score is not an average of sentence scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from regard.errors import UserError
from regard.evaluation.scores import Score, bleu


@dataclass(frozen=True)
class LengthBin:
    """The sentences with `low` ≤ source length ≤ `high` (None: no end): how many, and their BLEU (None: none there)."""

    low: int
    high: int | None
    sentences: int
    bleu: Score | None

    @property
    def label(self) -> str:
        """The range in words: "≤ 10", "11-20", "> 60"."""
        if self.high is None:
            return f"> {self.low - 1}"
        return f"≤ {self.high}" if self.low == 0 else f"{self.low}–{self.high}"


def by_length(
    source_lengths: Sequence[int],
    hypotheses: Sequence[str],
    references: Sequence[str],
    edges: Sequence[int] = (10, 20, 30, 40, 60),
    *,
    tokenize: str = "13a",
) -> list[LengthBin]:
    """Corpus BLEU within bins of source length.

    source_lengths: words in each source sentence; how words are counted is the caller's choice.
    edges: the bins' last lengths, inclusive and growing: (10, 20) makes ≤ 10 and 11-20. Sentences beyond the last
        edge get a bin of their own, which is there only if there are any.
    tokenize: as in `bleu`.
    Returns one bin a range, shortest first; a bin without sentences has `bleu=None`.
    Raises UserError for lists of different length and for edges that do not grow.
    """
    if not len(source_lengths) == len(hypotheses) == len(references):
        raise UserError(
            f"{len(source_lengths)} source lengths, {len(hypotheses)} hypotheses, {len(references)} references: "
            "one of each per sentence"
        )
    if not edges or edges[0] < 0 or any(after <= before for before, after in pairwise(edges)):
        raise UserError(f"length edges must be whole numbers that grow, such as 10 20 30; got {list(edges)}")
    bounds: list[tuple[int, int | None]] = [(0, edges[0]), *((low + 1, high) for low, high in pairwise(edges))]
    if source_lengths and max(source_lengths) > edges[-1]:
        bounds.append((edges[-1] + 1, None))
    bins = []
    for low, high in bounds:
        inside = [i for i, length in enumerate(source_lengths) if length >= low and (high is None or length <= high)]
        if inside:
            score = bleu([hypotheses[i] for i in inside], [references[i] for i in inside], tokenize=tokenize)
            bins.append(LengthBin(low, high, len(inside), score))
        else:
            bins.append(LengthBin(low, high, 0, None))
    return bins
