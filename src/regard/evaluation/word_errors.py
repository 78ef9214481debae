"""Word error rate: the fewest insertions, deletions and replacements that make one text the other."""

from __future__ import annotations

from collections.abc import Hashable, Sequence


def word_error_rate(hypothesis: str, reference: str) -> float:
    """Edits per word of the reference: 0 is perfect, and it may exceed 1. Words are what blanks separate, as written.

    A reference without words counts as one of one word.
    """
    wanted = reference.split()
    return edits(hypothesis.split(), wanted) / max(1, len(wanted))


def edits(a: Sequence[Hashable], b: Sequence[Hashable]) -> int:
    """Levenshtein's distance: the fewest insertions, deletions and replacements of one element that turn a into b."""
    row = list(range(len(b) + 1))  # from a's beginning to b[:j]
    for i, x in enumerate(a, start=1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, start=1):
            diagonal, row[j] = row[j], min(diagonal + (x != y), row[j] + 1, row[j - 1] + 1)
    return row[-1]
