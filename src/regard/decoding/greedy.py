"""Greedy decoding: the most probable word at every step, for a batch of sentences; finished ones leave the batch."""

import torch
from jaxtyping import Int
from torch import Tensor

from regard.data.tokenizer import BOS, EOS
from regard.decoding.protocol import Hypothesis, StepModel, longest


@torch.no_grad()
def greedy(
    model: StepModel, source: Int[Tensor, "batch source"], lengths: Int[Tensor, " batch"], *, attention: bool = False
) -> list[Hypothesis]:
    """One hypothesis a sentence, y_t = argmax p(y | y_<t, x); `score` is its log-probability."""
    batch, limits = len(lengths), longest(lengths)
    encoded = model.encode(source, lengths)
    state = model.start(encoded, 1)
    rows = torch.arange(batch, device=source.device)  # the sentences still in the batch
    last = torch.full((batch, 1), BOS, device=source.device)
    words: list[list[int]] = [[] for _ in range(batch)]
    looks: list[list[Tensor]] = [[] for _ in range(batch)]
    log_probs, complete = [0.0] * batch, [False] * batch

    step = 0
    while len(rows):
        answer = model.step(last, state, encoded, weights=attention)
        best, last = answer.log_probs.max(-1)
        ended = last[:, 0] == EOS
        for place, (row, word, value) in enumerate(zip(rows.tolist(), last[:, 0].tolist(), best[:, 0].tolist())):  # noqa: B905
            log_probs[row] += value
            complete[row] = word == EOS
            if word != EOS:
                words[row].append(word)
            if answer.weights is not None:
                looks[row].append(answer.weights[place, 0])
        state, step = answer.state, step + 1
        going = ~ended & (limits[rows] > step)
        if not going.all():
            kept = going.nonzero().flatten()
            rows, last, state, encoded = rows[kept], last[kept], state.select(kept), encoded.select(kept)
    return [
        Hypothesis(words[i], log_probs[i], log_probs[i], complete[i], torch.stack(looks[i]) if looks[i] else None)
        for i in range(batch)
    ]
