"""ROUGE of one text against one reference: shared n-grams, and the longest common subsequence.

With m what the two share, R = m / |reference| and P = m / |hypothesis|:   F = 2 P R / (P + R), 0 where m is.
Words are lower-cased runs of letters and digits of any script, punctuation is dropped; there is no stemming.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Sequence

WORD = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """The text's words, lower-cased and without punctuation."""
    return WORD.findall(text.lower())


def ngrams(sequence: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    """How often each n words in a row come."""
    return Counter(tuple(sequence[i : i + n]) for i in range(len(sequence) - n + 1))


def rouge_n(hypothesis: str, reference: str, n: int) -> float:
    """ROUGE-N, 0 to 1: F of the n-grams the two share, each as often as it is in both.

    Source: Lin 2004 (W04-1013); F with equal weights.
    """
    ours, theirs = ngrams(words(hypothesis), n), ngrams(words(reference), n)
    return _f((ours & theirs).total(), ours.total(), theirs.total())


def rouge_l(hypothesis: str, reference: str) -> float:
    """ROUGE-L, 0 to 1: F of the longest sequence of words that both hold in this order, gaps allowed.

    Source: Lin 2004 (W04-1013), the form for one sentence; F with equal weights.
    """
    ours, theirs = words(hypothesis), words(reference)
    return _f(longest_common(ours, theirs), len(ours), len(theirs))


def longest_common(a: Sequence[Hashable], b: Sequence[Hashable]) -> int:
    """The length of the longest common subsequence."""
    lengths = [0] * (len(b) + 1)  # of a's beginning and b[:j]
    for x in a:
        diagonal = 0
        for j, y in enumerate(b, start=1):
            above = lengths[j]
            lengths[j] = diagonal + 1 if x == y else max(above, lengths[j - 1])
            diagonal = above
    return lengths[-1]


def _f(shared: int, ours: int, theirs: int) -> float:
    """2 P R / (P + R) is 2 m / (|hypothesis| + |reference|)."""
    return 2 * shared / (ours + theirs) if shared else 0.0
