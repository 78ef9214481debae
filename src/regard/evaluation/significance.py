"""Is one system better than another, or was it chance? Paired bootstrap over the sentences of a test set.

The test set is drawn again many times, with replacement, the same sentences for both systems; p is how often a
difference as large as the one seen comes out of draws whose mean difference is none. Koehn 2004. BLEU and chrF are
resampled by sacreBLEU, so that p is the one its users know; alignment error by the same formula here.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from regard.errors import UserError
from regard.evaluation.alignment import Gold, Links, alignment_error
from regard.evaluation.scores import bleu_metric, check_sentences, sacrebleu

SAMPLES, SEED = 1_000, 12345  # sacreBLEU's own defaults
LEVEL = 0.05
MOST_BYTES = 8 * 10**9  # sacreBLEU holds the counts of every draw at once: 18 numbers of 4 bytes a sentence for chrF


@dataclass(frozen=True)
class Interval:
    """A score and its 95 % bootstrap interval, `mean ± half`, in the score's own unit."""

    value: float
    mean: float
    half: float

    def __str__(self) -> str:
        return f"{self.value:.2f} (μ = {self.mean:.2f} ± {self.half:.2f})"


@dataclass(frozen=True)
class Comparison:
    """One score of two systems on the same sentences, and p: how likely chance makes such a difference.

    Identical outputs have p = 1. The signature says how the score and the draws were made.
    """

    name: str
    first: Interval
    second: Interval
    p: float
    signature: str

    @property
    def significant(self) -> bool:
        """Whether p is below 0.05."""
        return self.p < LEVEL

    def __str__(self) -> str:
        said = "significant" if self.significant else "may be chance"
        return f"p = {self.p:.4f}, {said} at {LEVEL:g}"


def compare_scores(
    first: Sequence[str],
    second: Sequence[str],
    references: Sequence[str],
    *,
    tokenize: str = "13a",
    samples: int = SAMPLES,
) -> list[Comparison]:
    """BLEU and chrF2 of two systems' translations, from 0 to 100, by sacreBLEU's paired bootstrap.

    first, second, references: plain text, one string a sentence, same order.
    tokenize: BLEU's tokeniser, as in `bleu`.
    samples: draws. The environment variable SACREBLEU_SEED seeds them, 12345 if it is not set; the same seed gives the
        same p, and the order of the two systems changes none.
    Raises UserError for lists of different length, for nothing to score, for an unknown tokeniser or a bad seed.
    Sources: Koehn 2004; Post 2018.
    """
    check_sentences(first, references)
    check_sentences(second, references)
    _check_samples(samples)
    _check_memory(samples, len(references))
    _check_seed()
    gold = [list(references)]
    metrics = {
        "BLEU": bleu_metric(tokenize, references=gold, force=True),  # it would warn of tokenised text once a system
        "chrF2": sacrebleu().metrics.CHRF(references=gold),
    }
    from sacrebleu.significance import PairedTest

    test = PairedTest([("1", list(first)), ("2", list(second))], metrics, None, test_type="bs", n_samples=samples)
    signatures, results = test()
    same = list(first) == list(second)
    return [_comparison(name, results[name], str(signatures[name]), same) for name in signatures]


def _comparison(name: str, results: Sequence[Any], signature: str, same: bool) -> Comparison:
    first, second = (Interval(float(side.score), float(side.mean), float(side.ci)) for side in results)
    # Where no draw differs, sacreBLEU's formula gives the smallest p there is.
    return Comparison(name, first, second, 1.0 if same else float(results[1].p_value), signature)


def compare_alignments(
    first: Sequence[Links], second: Sequence[Links], gold: Sequence[Gold], *, samples: int = SAMPLES, seed: int = SEED
) -> Comparison:
    """Alignment error rate of two systems, in percent, by paired bootstrap.

    first, second: the links of each sentence pair; gold: the sure and the possible ones.
    samples, seed: draws, and what they are drawn from.
    Raises UserError as `alignment_error` does.
    """
    _check_samples(samples)
    scores = [100 * alignment_error(side, gold).aer for side in (first, second)]
    counts = [
        np.array(
            [[len(a & g.sure) + len(a & g.possible), len(a) + len(g.sure)] for a, g in zip(side, gold, strict=True)]
        )
        for side in (first, second)
    ]
    draw = np.random.default_rng(seed)
    drawn = [np.empty(samples), np.empty(samples)]
    for sample in range(samples):
        chosen = draw.integers(len(gold), size=len(gold))
        for side, values in zip(counts, drawn, strict=True):
            right, all_links = side[chosen].sum(0)
            values[sample] = 100 * (1 - right / all_links) if all_links else 0.0
    differences = np.abs(drawn[0] - drawn[1])
    beyond = int((differences - differences.mean() > abs(scores[0] - scores[1])).sum())
    p = 1.0 if list(first) == list(second) else (beyond + 1) / (samples + 1)
    intervals = [Interval(score, *_interval(values)) for score, values in zip(scores, drawn, strict=True)]
    return Comparison("AER", intervals[0], intervals[1], p, f"bs:{samples}|seed:{seed}")


def _interval(values: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values, (0.025, 0.975))
    return float(values.mean()), float(high - low) / 2


def _check_samples(samples: int) -> None:
    if samples < 1:
        raise UserError(f"samples: expected at least 1 draw, got {samples}")


def _check_memory(samples: int, sentences: int) -> None:
    if (needed := 72 * samples * sentences) > MOST_BYTES:
        raise UserError(
            f"{samples:,} draws of {sentences:,} sentences need {needed / 1e9:.0f} GB at once: take at most "
            f"{max(1, MOST_BYTES // (72 * sentences)):,} samples"
        )


def _check_seed() -> None:
    seed = os.environ.get("SACREBLEU_SEED", str(SEED))
    if seed.lower() != "none" and not seed.isdigit():
        raise UserError(f"SACREBLEU_SEED is {seed!r}: expected a whole number, or none for draws that differ each time")
