"""Greedy decoding: the most probable word at every step, for a batch of sentences; finished ones leave the batch."""

from jaxtyping import Int
from torch import Tensor

from regard.decoding.options import Decoding
from regard.decoding.protocol import Hypothesis, Prefixes, StepModel
from regard.decoding.stepwise import one_by_one


def greedy(
    model: StepModel,
    source: Int[Tensor, "batch source"],
    lengths: Int[Tensor, " batch"],
    decoding: Decoding = Decoding(),  # noqa: B008 (it is frozen)
    *,
    prefixes: Prefixes = None,
    attention: bool = False,
) -> list[Hypothesis]:
    """One hypothesis a sentence, y_t = argmax p(y | y_<t, x): what a beam of 1 finds, whatever `decoding.beam` says."""

    def most_probable(logits: Tensor, rows: Tensor, step: int) -> Tensor:
        return logits.argmax(-1)

    found = one_by_one(model, source, lengths, most_probable, decoding, prefixes=prefixes, attention=attention)
    return [hypothesis for (hypothesis,) in found]
