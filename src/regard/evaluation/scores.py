"""Corpus scores with their signatures: BLEU and chrF as sacreBLEU computes them.

A score without its signature (tokeniser, case, smoothing, version) cannot be compared, so the two travel together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from regard.errors import UserError


@dataclass(frozen=True)
class Score:
    """A corpus score from 0 to 100 and the signature that says how it was computed."""

    name: str
    value: float
    signature: str

    def __str__(self) -> str:
        return f"{self.name} {self.value:.2f}  {self.signature}"


def bleu(hypotheses: Sequence[str], references: Sequence[str], *, tokenize: str = "13a") -> Score:
    """Corpus BLEU, `BP · exp(Σ_n log p_n / 4)`, of one hypothesis and one reference per sentence.

    hypotheses, references: plain text, one string a sentence, same order.
    tokenize: sacreBLEU's tokeniser. "13a" suits detokenised text; "none" is right only for text that already is
        tokenised, and its scores compare only with tables made the same way.
    Raises UserError for lists of different length, for nothing to score, and for an unknown tokeniser.
    Source: Papineni 2002; Post 2018 for the signature.
    """
    check_sentences(hypotheses, references)
    metric = bleu_metric(tokenize)
    result = metric.corpus_score(list(hypotheses), [list(references)])
    return Score("BLEU", float(result.score), str(metric.get_signature()))


def chrf(hypotheses: Sequence[str], references: Sequence[str]) -> Score:
    """Corpus chrF2, the F-score of character n-grams up to 6 with recall weighted twice, from 0 to 100.

    hypotheses, references: plain text, one string a sentence, same order.
    Raises UserError for lists of different length and for nothing to score.
    Source: Popović 2015.
    """
    check_sentences(hypotheses, references)
    metric = sacrebleu().metrics.CHRF()
    result = metric.corpus_score(list(hypotheses), [list(references)])
    return Score("chrF2", float(result.score), str(metric.get_signature()))


def bleu_metric(tokenize: str, **options: Any) -> Any:
    """sacreBLEU's BLEU with a tokeniser; UserError, naming those there are, for an unknown one."""
    metric = sacrebleu().metrics.BLEU
    known = sorted(set(metric.TOKENIZERS))
    if tokenize not in known:
        raise UserError(f"unknown BLEU tokeniser {tokenize!r}: choose one of {', '.join(known)}")
    # force: sacreBLEU warns of tokenised text, which is what "none" is for.
    return metric(**{"tokenize": tokenize, "force": tokenize == "none"} | options)


def sacrebleu() -> ModuleType:
    """The library; UserError where it is not installed."""
    try:
        import sacrebleu as library
    except ImportError:
        raise UserError('BLEU and chrF need sacreBLEU, which is not here: pip install "regard[train]"') from None
    return library


def check_sentences(hypotheses: Sequence[str], references: Sequence[str]) -> None:
    """UserError unless there are as many hypotheses as references, and at least one."""
    if isinstance(hypotheses, str) or isinstance(references, str):
        raise UserError("hypotheses and references are lists of sentences, not one string: put it in a list")
    if len(hypotheses) != len(references):
        raise UserError(f"{len(hypotheses)} hypotheses but {len(references)} references: one of each per sentence")
    if not hypotheses:
        raise UserError("no sentences to score: give at least one hypothesis with its reference")
