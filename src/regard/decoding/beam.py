"""Beam search over a batch: K hypotheses a sentence, finished sentences pruned, attention traced back at the end.

A finished hypothesis of n words, its end included, is ranked by `log p / n^α` (α = `length_penalty`; 0 ranks by log p,
1 by the mean per word). A sentence is done when K hypotheses have finished, or, without a penalty, when none alive can
still win, or at its longest length, where those alive are counted as they stand.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from regard.data.tokenizer import BOS, EOS
from regard.decoding.protocol import Hypothesis, StepModel, longest


class _End(NamedTuple):
    """Where a hypothesis ended: after `step`, as a child of hypothesis `parent` of that step."""

    score: float
    log_prob: float
    step: int
    parent: int
    token: int


class _History:
    """Words and parents of every step, by sentence, and where each hypothesis looked."""

    def __init__(self, batch: int):
        self.batch = batch
        self.words: list[Tensor] = []
        self.parents: list[Tensor] = []
        self.weights: list[Tensor] = []

    def add(self, rows: Tensor, words: Tensor, parents: Tensor) -> None:
        self.words.append(self._whole(rows, words))
        self.parents.append(self._whole(rows, parents))

    def look(self, rows: Tensor, weights: Tensor | None) -> None:
        if weights is not None:
            self.weights.append(self._whole(rows, weights))

    def trace(self, row: int, end: _End) -> Hypothesis:
        """Follow the parents from the end back to the first step."""
        words = [] if end.token == EOS else [end.token]
        slot, places = end.parent, [end.parent]
        for step in range(end.step - 1, -1, -1):
            words.append(int(self.words[step][row, slot]))
            slot = int(self.parents[step][row, slot])
            places.append(slot)
        looks = [self.weights[step][row, place] for step, place in enumerate(reversed(places))] if self.weights else []
        return Hypothesis(words[::-1], end.log_prob, end.score, end.token == EOS, torch.stack(looks) if looks else None)

    def _whole(self, rows: Tensor, values: Tensor) -> Tensor:
        return values.new_zeros(self.batch, *values.shape[1:]).index_copy_(0, rows, values)


@torch.no_grad()
def beam_search(
    model: StepModel,
    source: Int[Tensor, "batch source"],
    lengths: Int[Tensor, " batch"],
    *,
    beams: int = 5,
    length_penalty: float = 1.0,
    attention: bool = False,
) -> list[list[Hypothesis]]:
    """The finished hypotheses of each sentence, best first; at least one, at most `beams`.

    Raises ValueError if `beams` is below 1.
    """
    if beams < 1:
        raise ValueError(f"beams: expected at least 1, got {beams}")
    batch, limits = len(lengths), longest(lengths)
    ends: list[list[_End]] = [[] for _ in range(batch)]
    history = _History(batch)
    encoded = model.encode(source, lengths)
    state = model.start(encoded, beams)
    rows = torch.arange(batch, device=source.device)  # the sentences still in the batch
    last = torch.full((batch, beams), BOS, device=source.device)
    scores = torch.full((batch, beams), -torch.inf, dtype=torch.float64, device=source.device)
    scores[:, 0] = 0.0  # all hypotheses are the same at first: expand one

    step = 0
    while len(rows):
        answer = model.step(last, state, encoded, weights=attention)
        history.look(rows, answer.weights)
        totals, parents, words = _candidates(scores, answer.log_probs, beams)
        cut = limits[rows] == step + 1
        _collect(ends, rows, totals, parents, words, step, cut, beams, length_penalty)
        scores, parents, words = _alive(totals, parents, words, beams)
        history.add(rows, words, parents)
        last, state, step = words, answer.state.reorder(parents), step + 1
        going = ~cut & _undecided(ends, rows, scores, beams, length_penalty)
        if not going.all():
            kept = going.nonzero().flatten()
            rows, last, scores = rows[kept], last[kept], scores[kept]
            state, encoded = state.select(kept), encoded.select(kept)
    return [[history.trace(row, end) for end in sorted(ends[row], reverse=True)[:beams]] for row in range(batch)]


def _candidates(
    scores: Float[Tensor, "batch beam"], log_probs: Float[Tensor, "batch beam vocabulary"], beams: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The best 2K continuations of each sentence: K of them at least do not end."""
    width = min(2 * beams, log_probs.shape[-1])
    within, words = log_probs.topk(width)  # of each hypothesis, then of all
    totals, places = (scores[..., None] + within.to(scores.dtype)).flatten(1).topk(min(2 * beams, beams * width))
    return totals, places // width, words.flatten(1).gather(1, places)


def _collect(
    ends: list[list[_End]],
    rows: Tensor,
    totals: Tensor,
    parents: Tensor,
    words: Tensor,
    step: int,
    cut: Tensor,
    beams: int,
    length_penalty: float,
) -> None:
    """Note the ends among the K best, and everything among them where the longest length cuts."""
    best = slice(0, beams)
    final = ((words[:, best] == EOS) | cut[:, None]) & torch.isfinite(totals[:, best])
    for place, slot in final.nonzero().tolist():
        total = float(totals[place, slot])
        end = _End(
            total / (step + 1) ** length_penalty, total, step, int(parents[place, slot]), int(words[place, slot])
        )
        ends[int(rows[place])].append(end)


def _alive(totals: Tensor, parents: Tensor, words: Tensor, beams: int) -> tuple[Tensor, Tensor, Tensor]:
    """The K best that do not end."""
    order = (words == EOS).long().argsort(dim=1, stable=True)[:, :beams]
    totals = totals.masked_fill(words == EOS, -torch.inf)
    return totals.gather(1, order), parents.gather(1, order), words.gather(1, order)


def _undecided(ends: list[list[_End]], rows: Tensor, scores: Tensor, beams: int, length_penalty: float) -> Tensor:
    going = []
    for row, best_alive in zip(rows.tolist(), scores[:, 0].tolist(), strict=True):
        done = len(ends[row]) >= beams or best_alive == -torch.inf
        if length_penalty == 0 and ends[row]:  # exact: log p only falls
            done = done or max(ends[row]).log_prob >= best_alive
        going.append(not done)
    return torch.tensor(going, device=rows.device)
