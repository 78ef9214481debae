"""Where two systems differ most: the sentences that one translates much better than the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from regard.evaluation.scores import check_sentences, sacrebleu


@dataclass(frozen=True)
class Difference:
    """One sentence, by its place from 0, and the two systems' chrF2 on it, from 0 to 100."""

    index: int
    first: float
    second: float


def most_different(
    first: Sequence[str], second: Sequence[str], references: Sequence[str], count: int
) -> list[Difference]:
    """Up to `count` sentences, the largest difference in sentence chrF2 first, the earlier of equals first.

    first, second, references: plain text, one string a sentence, same order.
    Sentences that both translate equally well are left out. chrF, because BLEU of one sentence is 0 for most.
    """
    check_sentences(first, references)
    check_sentences(second, references)
    metric = sacrebleu().metrics.CHRF()
    found = [
        Difference(index, metric.sentence_score(a, [reference]).score, metric.sentence_score(b, [reference]).score)
        for index, (a, b, reference) in enumerate(zip(first, second, references, strict=True))
        if a != b
    ]
    found = [difference for difference in found if difference.first != difference.second]
    return sorted(found, key=lambda d: -abs(d.first - d.second))[:count]
