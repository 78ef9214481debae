"""Beam search over a batch: K hypotheses a sentence, finished sentences pruned, attention traced back at the end.

Each step looks at the 2K best continuations by log p, so that K of them go on whatever ends. Those among the K best
that end are finished, and ranked by `Decoding`'s formula. A sentence is done when K hypotheses have finished, when none
alive can still score more than those wanted, or at its longest length, where those alive are counted as they stand.
"""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from regard.data.tokenizer import BOS, EOS
from regard.decoding.candidates import Continuations
from regard.decoding.constraints import Constraints
from regard.decoding.options import Decoding
from regard.decoding.penalties import attention_of, best_to_come, coverage, score
from regard.decoding.protocol import Hypothesis, Prefixes, StepModel, limits
from regard.errors import UserError


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
        self.words: list[Tensor] = []  # of each step: (sentence, hypothesis)
        self.parents: list[Tensor] = []
        self.weights: list[Tensor] = []

    def add(self, rows: Tensor, words: Tensor, parents: Tensor) -> None:
        self.words.append(self._whole(rows, words))
        self.parents.append(self._whole(rows, parents))

    def look(self, rows: Tensor, weights: Tensor) -> None:
        self.weights.append(self._whole(rows, weights))

    def trace(self, ends: list[list[_End]]) -> list[list[Hypothesis]]:
        """Each sentence's hypotheses, from their ends back to the first step, all at once."""
        every = [end for of_row in ends for end in of_row]
        rows = np.repeat(np.arange(self.batch), [len(of_row) for of_row in ends])
        steps = np.array([end.step for end in every], dtype=np.int64)
        slots = np.array([end.parent for end in every], dtype=np.int64)
        longest = int(steps.max(initial=0))
        words, places = (np.zeros((len(every), longest + 1), dtype=np.int64) for _ in range(2))
        for step in range(longest, -1, -1):
            places[:, step] = slots  # of a hypothesis that has ended by then: nobody asks
            if step:
                at = np.flatnonzero(steps >= step)
                before = (rows[at], slots[at])
                words[at, step - 1] = self.words[step - 1].cpu().numpy()[before]
                slots[at] = self.parents[step - 1].cpu().numpy()[before]
        looks = self._looks(rows, places) if self.weights else [None] * len(every)
        found = iter(
            Hypothesis(
                said[: end.step] if end.token == EOS else [*said[: end.step], end.token],
                end.log_prob,
                end.score,
                end.token == EOS,
                None if look is None else look[: end.step + 1],
            )
            for end, said, look in zip(every, words.tolist(), looks, strict=True)
        )
        return [[next(found) for _ in of_row] for of_row in ends]

    def _looks(self, rows: np.ndarray, places: np.ndarray) -> Iterable[Tensor]:
        """α of every step, for each hypothesis."""
        device = self.weights[0].device
        row, place = torch.from_numpy(rows).to(device), torch.from_numpy(places).to(device)
        return torch.stack([self.weights[step][row, place[:, step]] for step in range(places.shape[1])], 1).unbind(0)

    def _whole(self, rows: Tensor, values: Tensor) -> Tensor:
        if len(rows) == self.batch:
            return values
        return values.new_zeros(self.batch, *values.shape[1:]).index_copy_(0, rows, values)


@dataclass
class _Live:
    """The sentences still searched, and their hypotheses."""

    rows: Int[Tensor, " batch"]
    lengths: Int[Tensor, " batch"]
    limits: Int[Tensor, " batch"]
    last: Int[Tensor, "batch beam"]
    scores: Float[Tensor, "batch beam"]  # log p so far, float64
    state: Any
    source: Any
    said: Int[Tensor, "batch beam words"] | None = None  # where repetition is blocked
    read: Float[Tensor, "batch beam source"] | None = None  # Σ_t α_t, where coverage counts

    def follow(self, totals: Tensor, parents: Tensor, words: Tensor, state: Any) -> None:
        """Go on with these hypotheses."""
        self.last, self.scores, self.state = words, totals, state.reorder(parents)
        if self.said is not None:
            self.said = torch.cat([_of_parents(self.said, parents), words[..., None]], -1)
        if self.read is not None:
            self.read = _of_parents(self.read, parents)

    def keep(self, rows: Tensor) -> None:
        """Go on with these sentences alone."""
        self.rows, self.lengths, self.limits = self.rows[rows], self.lengths[rows], self.limits[rows]
        self.last, self.scores = self.last[rows], self.scores[rows]
        self.state, self.source = self.state.select(rows), self.source.select(rows)
        self.said = None if self.said is None else self.said[rows]
        self.read = None if self.read is None else self.read[rows]


@torch.no_grad()
def beam_search(
    model: StepModel,
    source: Int[Tensor, "batch source"],
    lengths: Int[Tensor, " batch"],
    decoding: Decoding = Decoding(),  # noqa: B008 (it is frozen)
    *,
    n_best: int = 1,
    prefixes: Prefixes = None,
    attention: bool = False,
) -> list[list[Hypothesis]]:
    """The finished hypotheses of each sentence, best first; at least one, at most `decoding.beam`.

    So many as `n_best` are looked for: the search goes on while one alive could still come to stand among them.
    `prefixes` are what the outputs begin with. `attention` asks for the hypotheses' weights.
    Raises UserError for a coverage penalty without attention, or if `n_best` is not from 1 to the beam.
    """
    if not 1 <= n_best <= decoding.beam:
        raise UserError(f"n_best: a beam of {decoding.beam} finds 1 to {decoding.beam} outputs, got {n_best}")
    batch = len(lengths)
    constraints = Constraints(prefixes, decoding.no_repeat, source.device)
    looking = attention or decoding.coverage_penalty > 0
    live, history = _begin(model, source, lengths, decoding, prefixes), _History(batch)
    ends: list[list[_End]] = [[] for _ in range(batch)]
    for step in range(int(live.limits.max()) if batch else 0):
        answer = model.step(live.last, live.state, live.source, weights=looking)
        if attention and answer.weights is not None:
            history.look(live.rows, answer.weights)
        if decoding.coverage_penalty:
            weights = attention_of(answer.weights)
            live.read = weights if live.read is None else live.read + weights
        continuations = Continuations(answer.logits)
        constraints.restrict(answer.logits, live.rows, live.said, step)
        totals, parents, words = continuations.best(live.scores, 2 * decoding.beam)
        _collect(ends, live, totals, parents, words, step, decoding)
        totals, parents, words = _alive(totals, parents, words, decoding.beam)
        history.add(live.rows, words, parents)
        live.follow(totals, parents, words, answer.state)
        del answer, continuations  # the next step's logits may lie where these lay
        going = _undecided(ends, live, step, decoding, n_best)
        if not going:
            break
        if len(going) < len(live.rows):
            live.keep(torch.tensor(going, device=source.device))
    return history.trace([heapq.nlargest(decoding.beam, found) for found in ends])


def _begin(model: StepModel, source: Tensor, lengths: Tensor, decoding: Decoding, prefixes: Prefixes) -> _Live:
    batch, device = len(lengths), source.device
    encoded = model.encode(source, lengths)
    said = torch.zeros(batch, 1, 0, dtype=torch.long, device=device) if decoding.no_repeat else None
    return _Live(
        rows=torch.arange(batch, device=device),
        lengths=lengths.to(device),
        limits=limits(lengths, prefixes, decoding.max_length).to(device),
        last=torch.full((batch, 1), BOS, device=device),  # all hypotheses are the same at first: expand one
        scores=torch.zeros(batch, 1, dtype=torch.float64, device=device),
        state=model.start(encoded, 1),
        source=encoded,
        said=said,
    )


def _collect(
    ends: list[list[_End]],
    live: _Live,
    totals: Tensor,
    parents: Tensor,
    words: Tensor,
    step: int,
    decoding: Decoding,
) -> None:
    """Note the ends among the K best, and everything among them where the longest length cuts."""
    totals, parents, words = (x[:, : decoding.beam] for x in (totals, parents, words))
    final = ((words == EOS) | (live.limits == step + 1)[:, None]) & torch.isfinite(totals)
    places = final.nonzero()
    if not len(places):
        return
    place, slot = places.unbind(1)
    parent, total = parents[place, slot], totals[place, slot]
    unread = torch.zeros_like(total)
    if live.read is not None:
        unread = coverage(live.read, live.lengths, decoding.coverage_penalty)[place, parent]
    found = (live.rows[place], total, unread, parent, words[place, slot])
    for row, log_prob, cost, above, word in zip(*(x.tolist() for x in found), strict=True):
        ranked = score(log_prob, step + 1, decoding.length_penalty) + cost
        ends[row].append(_End(ranked, log_prob, step, above, word))


def _alive(totals: Tensor, parents: Tensor, words: Tensor, beams: int) -> tuple[Tensor, Tensor, Tensor]:
    """The K best that do not end."""
    ending = words == EOS
    order = ending.byte().argsort(dim=1, stable=True)[:, :beams]
    totals = totals.masked_fill(ending, -torch.inf)
    return totals.gather(1, order), parents.gather(1, order), words.gather(1, order)


def _undecided(ends: list[list[_End]], live: _Live, step: int, decoding: Decoding, n_best: int) -> list[int]:
    """The places of the sentences that must go on."""
    going = []
    best_alive = live.scores[:, 0].tolist()
    for place, (row, limit) in enumerate(zip(live.rows.tolist(), live.limits.tolist(), strict=True)):
        found = ends[row]
        done = len(found) >= decoding.beam or best_alive[place] == -torch.inf or step + 1 >= limit
        if not done and len(found) >= n_best:
            worst = heapq.nlargest(n_best, found)[-1].score
            done = worst >= best_to_come(best_alive[place], limit, decoding.length_penalty)
        if not done:
            going.append(place)
    return going


def _of_parents(x: Tensor, parents: Tensor) -> Tensor:
    """The rows (batch, beam, ...) of the hypotheses' parents."""
    return x.gather(1, parents[..., None].expand(*parents.shape, x.shape[-1]))
