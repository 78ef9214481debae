"""Rewards: how good each single output is, as numbers that grow with it, for training on what outputs are judged by.

A reward takes hypotheses and, for each, one reference or several, all as text; numbers are of the order of 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from regard.config import nearest
from regard.errors import UserError
from regard.evaluation.cider import CiderD
from regard.evaluation.rouge import rouge_l, rouge_n
from regard.evaluation.scores import bleu_metric, sacrebleu
from regard.evaluation.word_errors import word_error_rate

Reward = Callable[[Sequence[str], Sequence[Sequence[str]]], list[float]]
"""Hypotheses, and the references of each, to a number for each: higher is better."""

Judge = Callable[[str, Sequence[str]], float]  # of one hypothesis and its references
ONE_BY_ONE: dict[str, Judge] = {
    "rouge-1": lambda text, references: max(rouge_n(text, reference, 1) for reference in references),
    "rouge-2": lambda text, references: max(rouge_n(text, reference, 2) for reference in references),
    "rouge-l": lambda text, references: max(rouge_l(text, reference) for reference in references),
    "wer": lambda text, references: max(-word_error_rate(text, reference) for reference in references),
}
REWARDS = ("bleu", "chrf", "cider-d", *ONE_BY_ONE)


def reward(name: str, training_references: Sequence[Sequence[str]] = ()) -> Reward:
    """The reward of this name.

    "bleu"     sentence BLEU, 0 to 1: sacreBLEU's, exponential smoothing, effective order, tokeniser 13a (Chen 2014)
    "chrf"     chrF2, 0 to 1, sacreBLEU's (Popović 2015)
    "rouge-1", "rouge-2", "rouge-l"   F, 0 to 1, by the best reference (Lin 2004)
    "cider-d"  CIDEr-D, 0 to 10, the end counted as a word; rare is what is rare in `training_references`
    "wer"      minus the word error rate by the best reference: 0 is perfect, and there is no least

    training_references: of each training example; CIDEr-D's document frequencies come from them, and nothing else
        reads them.
    Raises UserError for an unknown name, and for CIDEr-D without training references.
    """
    of_one: Judge
    match name:
        case "bleu":
            of_one = partial(_of_sacrebleu, bleu_metric("13a", effective_order=True))
        case "chrf":
            of_one = partial(_of_sacrebleu, sacrebleu().metrics.CHRF())
        case "cider-d":
            of_one = CiderD(training_references, ends=True)
        case _ if name in ONE_BY_ONE:
            of_one = ONE_BY_ONE[name]
        case _:
            hint = nearest(name, REWARDS) or f": choose one of {', '.join(REWARDS)}"
            raise UserError(f"unknown reward {name!r}{hint}")
    return partial(_each, of_one)


def _of_sacrebleu(metric: object, text: str, references: Sequence[str]) -> float:
    return float(metric.sentence_score(text, list(references)).score) / 100  # type: ignore[attr-defined]


def _each(of_one: Judge, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    if len(hypotheses) != len(references):
        raise UserError(f"{len(hypotheses)} hypotheses, but references of {len(references)}: one list for each")
    for number, of_it in enumerate(references):
        if isinstance(of_it, str) or not of_it:
            raise UserError(f"references of hypothesis {number}: expected a list of sentences, got {of_it!r}")
    return [of_one(text, of_it) for text, of_it in zip(hypotheses, references, strict=True)]
