"""Judging a model while it trains: loss per token with teacher forcing, and BLEU of its greedy translations."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from regard.data.batches import Batch, Encoded, in_order, pad
from regard.data.tokenizer import Tokenizer
from regard.decoding.greedy import greedy
from regard.evaluation.scores import bleu
from regard.models.seq2seq import Seq2Seq
from regard.training.module import token_loss


class Scores(NamedTuple):
    """How a model does on validation: −log p per target token in nats, its exponential, and BLEU with its signature."""

    loss: float
    perplexity: float
    bleu: float
    signature: str

    def entry(self) -> dict[str, float]:
        """The numbers, as the log names them."""
        return {"valid_loss": self.loss, "valid_perplexity": self.perplexity, "valid_bleu": self.bleu}

    def summary(self, step: int, averaged: Sequence[int] = ()) -> dict[str, Any]:
        """What the model folder says of its model: the step, or the steps whose weights it is the mean of."""
        mean = {"averaged": list(averaged)} if averaged else {}
        return {"step": step, **mean, **self.entry(), "signature": self.signature}

    def __str__(self) -> str:
        return f"loss {self.loss:.3f}, BLEU {self.bleu:.2f} (greedy)"


@torch.no_grad()
def validate(
    model: Seq2Seq,
    tokenizer: Tokenizer,
    data: Encoded,
    references: list[str],
    batch_tokens: int,
    moved: Callable[[Batch], Batch] = lambda batch: batch,
) -> Scores:
    """Loss and greedy BLEU over encoded pairs; the model is put into evaluation mode and back."""
    was_training = model.training
    model.eval()
    try:
        total, tokens = 0.0, 0
        for batch in in_order(data, batch_tokens):
            total += float(token_loss(model, moved(batch)))
            tokens += batch.tokens
        score = bleu(translate_greedily(model, tokenizer, data.source), references)
    finally:
        model.train(was_training)
    loss = total / max(tokens, 1)
    return Scores(loss, math.exp(min(loss, 700.0)), score.value, score.signature)


def translate_greedily(
    model: Seq2Seq, tokenizer: Tokenizer, source: list[list[int]], batch_tokens: int = 4096
) -> list[str]:
    """The greedy translations of encoded sentences, in their order; the longest are decoded first."""
    device = next(model.parameters()).device
    texts = [""] * len(source)
    order = sorted(range(len(source)), key=lambda i: -len(source[i]))
    while order:
        size = max(1, batch_tokens // len(source[order[0]]))
        chunk, order = order[:size], order[size:]
        lengths = torch.tensor([len(source[i]) for i in chunk])
        for i, found in zip(chunk, greedy(model, pad([source[i] for i in chunk]).to(device), lengths), strict=True):
            texts[i] = tokenizer.decode(found.tokens)
    return texts
