"""Sampling: each word drawn from the model's distribution, made sharper or flatter, and cut to its likely part.

    p(w) ∝ exp(logit_w / temperature), over the `top_k` most probable words, then over the fewest of these, the most
    probable first, whose probabilities sum to `top_p` or more

A word is drawn by inverting the cumulative distribution, summed in float64, at a number u that is uniform in [0, 1).
The numbers come from a generator of the sentence's own, so that a sample does not depend on what else is in the batch.
"""

import random
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from regard.decoding.options import Decoding
from regard.decoding.protocol import Hypothesis, Prefixes, StepModel, limits
from regard.decoding.stepwise import one_by_one
from regard.equation.precision import full


def sample(
    model: StepModel,
    source: Int[Tensor, "batch source"],
    lengths: Int[Tensor, " batch"],
    decoding: Decoding,
    *,
    copies: int = 1,
    prefixes: Prefixes = None,
    attention: bool = False,
) -> list[list[Hypothesis]]:
    """So many independent samples a sentence, best first; some may be alike. `log_prob` is the model's own log p."""
    steps = int(limits(lengths, prefixes, decoding.max_length).max()) if len(lengths) else 0
    sentences = [row[:length] for row, length in zip(source.tolist(), lengths.tolist(), strict=True)]
    uniform = torch.stack(
        [torch.stack([uniforms(decoding.seed, ids, copy, steps) for copy in range(copies)]) for ids in sentences]
    ).to(source.device)

    def drawn(logits: Tensor, rows: Tensor, step: int) -> Tensor:
        return draw(logits, uniform[rows, :, step], decoding)

    return one_by_one(model, source, lengths, drawn, decoding, copies=copies, prefixes=prefixes, attention=attention)


def uniforms(seed: int, ids: Sequence[int], copy: int, steps: int) -> Float[Tensor, " steps"]:
    """The sentence's numbers, float64 in [0, 1): a function of seed, sentence and number of the sample alone."""
    generator = random.Random(f"{seed}/{copy}/{','.join(map(str, ids))}")
    return torch.tensor([generator.random() for _ in range(steps)], dtype=torch.float64)


def draw(
    logits: Float[Tensor, "*batch vocabulary"], uniform: Float[Tensor, "*batch"], decoding: Decoding
) -> Int[Tensor, "*batch"]:
    """The words at these places of the cumulative distribution; −∞ is never drawn.

    Words stand in the vocabulary's order, and where some are cut off, by probability: only a cut takes sorting.
    """
    e, words = full(logits) / decoding.temperature, None
    if decoding.top_k or decoding.top_p < 1:
        e, words = e.topk(min(decoding.top_k or e.shape[-1], e.shape[-1]), -1)
    p = (e - e.amax(-1, keepdim=True)).exp_()
    total = p.cumsum(-1, dtype=torch.float64)
    if decoding.top_p < 1:
        total = torch.where(total - p < decoding.top_p * total[..., -1:], p, 0.0).cumsum(-1, dtype=torch.float64)
    end = total[..., -1:]
    value = torch.minimum(uniform.to(total)[..., None] * end, torch.nextafter(end, torch.zeros_like(end)))
    place = torch.searchsorted(total, value, right=True)  # the first whose sum is above: it has a probability
    return (place if words is None else words.gather(-1, place))[..., 0]
