"""Decoding that chooses one word at a time and never looks back: what greedy decoding and sampling share."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from regard.data.tokenizer import BOS, EOS
from regard.decoding.candidates import normaliser
from regard.decoding.constraints import Constraints
from regard.decoding.options import Decoding
from regard.decoding.penalties import attention_of, coverage, score
from regard.decoding.protocol import Hypothesis, Prefixes, StepModel, limits

Choose = Callable[[Float[Tensor, "batch copies vocabulary"], Int[Tensor, " batch"], int], Int[Tensor, "batch copies"]]
"""The next words, from the logits (−∞ where none may come), the sentences' numbers, and the step from 0."""


@torch.no_grad()
def one_by_one(
    model: StepModel,
    source: Int[Tensor, "batch source"],
    lengths: Int[Tensor, " batch"],
    choose: Choose,
    decoding: Decoding,
    *,
    copies: int = 1,
    prefixes: Prefixes = None,
    attention: bool = False,
) -> list[list[Hypothesis]]:
    """So many outputs a sentence, each its own walk, ranked by `Decoding`'s formula, best first."""
    batch, device = len(lengths), source.device
    ends_at = limits(lengths, prefixes, decoding.max_length).to(device)
    constraints = Constraints(prefixes, decoding.no_repeat, device)
    looking = attention or decoding.coverage_penalty > 0
    encoded = model.encode(source, lengths)
    state = model.start(encoded, copies)
    rows = torch.arange(batch, device=device)  # the sentences still in the batch
    steps = int(ends_at.max()) if batch else 0
    words = torch.full((batch, copies, steps), EOS, device=device)
    log_probs = torch.zeros(batch, copies, dtype=torch.float64, device=device)
    ended = torch.zeros(batch, copies, dtype=torch.bool, device=device)
    weights: list[Tensor] = []

    for step in range(steps):
        last = words[rows, :, step - 1] if step else torch.full((batch, copies), BOS, device=device)
        answer = model.step(last, state, encoded, weights=looking)
        if looking and answer.weights is not None:
            weights.append(
                answer.weights.new_zeros(batch, *answer.weights.shape[1:]).index_copy(0, rows, answer.weights)
            )
        logits = answer.logits
        normalisers = normaliser(logits)
        constraints.restrict(logits, rows, words[rows, :, :step] if decoding.no_repeat else None, step)
        chosen = choose(logits, rows, step)
        value = logits.gather(-1, chosen[..., None])[..., 0].double() - normalisers.double()
        over = ended[rows]
        log_probs[rows] += value.masked_fill(over, 0.0)
        words[rows, :, step] = chosen.masked_fill(over, EOS)
        ended[rows] = over = over | (chosen == EOS)
        state = answer.state
        going = ~over.all(1) & (ends_at[rows] > step + 1)
        if not going.all():
            kept = going.nonzero().flatten()
            if not len(kept):
                break
            rows, state, encoded = rows[kept], state.select(kept), encoded.select(kept)
    return _hypotheses(words, log_probs, ended, ends_at, weights, lengths.to(device), decoding, attention)


def _hypotheses(
    words: Int[Tensor, "batch copies steps"],
    log_probs: Float[Tensor, "batch copies"],
    ended: Tensor,
    ends_at: Int[Tensor, " batch"],
    weights: list[Tensor],
    lengths: Int[Tensor, " batch"],
    decoding: Decoding,
    attention: bool,
) -> list[list[Hypothesis]]:
    looks = torch.stack(weights, 2) if weights else None  # (batch, copies, steps, source)
    found: list[list[Hypothesis]] = []
    for row, (outputs, values, complete) in enumerate(
        zip(words.tolist(), log_probs.tolist(), ended.tolist(), strict=True)
    ):
        of_row = []
        for copy, (output, log_prob, whole) in enumerate(zip(outputs, values, complete, strict=True)):
            tokens = output[: output.index(EOS)] if whole else output[: int(ends_at[row])]
            looked = None if looks is None else looks[row, copy, : len(tokens) + whole]
            ranked = score(log_prob, len(tokens) + whole, decoding.length_penalty)
            if decoding.coverage_penalty:
                read = attention_of(looked).sum(0)[None, None]
                ranked += float(coverage(read, lengths[row : row + 1], decoding.coverage_penalty))
            of_row.append(Hypothesis(tokens, log_prob, ranked, whole, looked if attention else None))
        found.append(sorted(of_row, key=lambda hypothesis: -hypothesis.score))
    return found
