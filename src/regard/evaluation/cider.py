"""CIDEr-D: how much of what is telling a text shares with its references, rare n-grams counting for more.

For n = 1 … 4 a text c becomes a vector over n-grams w,

    g_w(c) = (how often w is in c) · log(|D| / max(1, df_w))          df_w: in how many of the |D| documents w comes

and with l the number of words, S the references, and σ = 6,

    CIDEr-D_n(c, S) = 10/|S| Σ_{s ∈ S} exp(−(l(c) − l(s))² / 2σ²) · min(g(c), g(s)) · g(s) / (‖g(c)‖ ‖g(s)‖)

whose mean over n is CIDEr-D, 0 to 10. Counts are raw, as in the authors' program: the norms take out what scales.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from regard.errors import UserError
from regard.evaluation.rouge import ngrams, words

SIGMA = 6.0  # words
LONGEST = 4  # n
END = "</s>"  # no word holds a bracket

Vector = dict[tuple[str, ...], float]


class CiderD:
    """CIDEr-D whose document frequencies are those of the training set; see the file's first paragraph.

        score = CiderD([["a cat sits", "the cat"], ["a dog runs"]])       # each document: its references
        score("a cat runs", ["a cat sits"])

    documents: the references of each training example. They must not be those the outputs are judged by: a frequency
        taken from one batch makes every n-gram rare. UserError for fewer than two, where every weight would be 0.
    ends: count the end of a text as a word. For a reward: an output that breaks off after "of a" then misses
        something. Published scores are without.
    Source: Vedantam 2015 (arXiv 1411.5726).
    """

    def __init__(self, documents: Sequence[Sequence[str]], *, ends: bool = False) -> None:
        if len(documents) < 2:
            raise UserError(
                f"CIDEr-D: {len(documents)} training documents; it needs two or more to tell rare words from common"
            )
        self.ends, self.documents = ends, len(documents)
        self.frequency: Counter[tuple[str, ...]] = Counter()
        for document in documents:
            self.frequency.update({gram for text in document for gram in self._grams(text)})

    def __call__(self, hypothesis: str, references: Sequence[str]) -> float:
        """CIDEr-D of one text, 0 to 10, against its references."""
        ours, length = self._vectors(hypothesis)
        total = 0.0
        for reference in references:
            theirs, wanted = self._vectors(reference)
            alike = sum(_clipped_cosine(a, b) for a, b in zip(ours, theirs, strict=True)) / LONGEST
            total += alike * math.exp(-((length - wanted) ** 2) / (2 * SIGMA**2))
        return 10 * total / len(references)

    def weight(self, gram: tuple[str, ...]) -> float:
        """log(|D| / max(1, df)), natural logarithm."""
        return math.log(self.documents / max(1, self.frequency[gram]))

    def _vectors(self, text: str) -> tuple[list[Vector], int]:
        """g(c) for each n, and the number of words."""
        vectors: list[Vector] = [{} for _ in range(LONGEST)]
        for gram, count in self._grams(text).items():
            vectors[len(gram) - 1][gram] = count * self.weight(gram)
        return vectors, len(self._words(text))

    def _grams(self, text: str) -> Counter[tuple[str, ...]]:
        said = self._words(text)
        return sum((ngrams(said, n) for n in range(1, LONGEST + 1)), Counter())

    def _words(self, text: str) -> list[str]:
        return [*words(text), END] if self.ends else words(text)


def _clipped_cosine(ours: Vector, theirs: Vector) -> float:
    """min(g(c), g(s)) · g(s) / (‖g(c)‖ ‖g(s)‖), 0 where nothing is shared."""
    shared = sum(min(value, theirs[gram]) * theirs[gram] for gram, value in ours.items() if gram in theirs)
    return shared / (math.hypot(*ours.values()) * math.hypot(*theirs.values())) if shared else 0.0
