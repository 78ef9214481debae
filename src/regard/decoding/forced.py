"""Forced decoding: how probable a given translation is, and where the model looks while it is made to write it."""

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from regard.data.tokenizer import BOS, EOS
from regard.decoding.protocol import Hypothesis, StepModel


@torch.no_grad()
def force(
    model: StepModel,
    source: Int[Tensor, "batch source"],
    lengths: Int[Tensor, " batch"],
    targets: Sequence[Sequence[int]],
    *,
    attention: bool = True,
) -> list[Hypothesis]:
    """The given translations as hypotheses: `log_prob = Σ_t log p(y_t | y_<t, x)`, its end included.

    targets: subword numbers of each translation, without begin or end marks.
    attention: whether to keep α of each step. Row t is where the model looked when subword t came next, so it belongs
        to the word written, whichever the decoder's order; the last row belongs to the end.
    Finished sentences leave the batch.
    """
    encoded = model.encode(source, lengths)
    state = model.start(encoded, 1)
    rows = list(range(len(targets)))  # the sentences still in the batch
    looks: list[list[Tensor]] = [[] for _ in rows]
    log_probs = [0.0 for _ in rows]
    step = 0
    while rows:
        before = [targets[i][step - 1] if step else BOS for i in rows]
        asked = [targets[i][step] if step < len(targets[i]) else EOS for i in rows]
        answer = model.step(torch.tensor(before, device=source.device)[:, None], state, encoded, weights=attention)
        found = answer.log_probs[:, 0].gather(1, torch.tensor(asked, device=source.device)[:, None])[:, 0]
        for place, (row, value) in enumerate(zip(rows, found.tolist(), strict=True)):
            log_probs[row] += value
            if answer.weights is not None:
                looks[row].append(answer.weights[place, 0])
        state, step = answer.state, step + 1
        going = [place for place, row in enumerate(rows) if step <= len(targets[row])]
        if len(going) < len(rows):
            kept = torch.tensor(going, dtype=torch.long, device=source.device)
            rows, state, encoded = [rows[place] for place in going], state.select(kept), encoded.select(kept)
    return [
        Hypothesis(list(targets[i]), log_probs[i], log_probs[i], True, torch.stack(looks[i]) if looks[i] else None)
        for i in range(len(targets))
    ]
