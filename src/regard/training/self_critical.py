"""Self-critical sequence training: make outputs that score above the model's own standard more probable.

    L = −1/K Σ_k (R(y_k) − b_k) log p(y_k | x),   y_k drawn from p(· | x),   log p(y | x) = Σ_t log p(y_t | y_<t, x)

The mean of L's gradient is −∇ E[R(y)], whatever the baseline b_k, as long as it does not hang on y_k: b only takes away
noise. Two are offered: the reward of the greedy output, and the mean reward of the other samples (leave-one-out).

Samples are drawn without gradient; their log-probabilities come with it from one pass of teacher forcing. The end mark
is a word like any other, and what follows the first one plays no part. The baseline and the samples are made in
evaluation mode. The model should have no dropout: scored under another dropout than it was drawn with, a sample is no
longer one of p's, and the gradient is biased.
Source: Rennie 2017 (arXiv 1612.00563); leave-one-out: Kool 2019 (Buy 4 REINFORCE samples, get a baseline for free).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from regard.data.batches import pad
from regard.data.tokenizer import BOS, EOS, PAD
from regard.decoding.greedy import greedy
from regard.decoding.options import Decoding
from regard.decoding.protocol import Hypothesis, StepModel
from regard.decoding.sampling import sample
from regard.equation.precision import full
from regard.errors import UserError
from regard.evaluation.rewards import Reward

Baseline = Literal["greedy", "leave-one-out"]


class SequenceModel(StepModel, Protocol):
    """A model that can be decoded step by step, and scored in one pass by teacher forcing; an `nn.Module`."""

    def __call__(
        self,
        source: Int[Tensor, "batch source"],
        lengths: Int[Tensor, " batch"],
        target_in: Int[Tensor, "batch target"],
    ) -> Float[Tensor, "batch target readout"]:
        """What each step reads off, given the words before."""
        ...

    def logits(self, readout: Float[Tensor, "*batch readout"]) -> Float[Tensor, "*batch vocabulary"]:
        """Scores of words."""
        ...


class Criticised(NamedTuple):
    """The loss of a batch, and what it came from."""

    loss: Float[Tensor, ""]
    """The sum over the sentences; its gradient is minus that of the expected rewards' sum, on average."""
    rewards: Float[Tensor, "batch samples"]
    baselines: Float[Tensor, "batch samples"]
    samples: list[list[Hypothesis]]


@dataclass(frozen=True)
class SelfCritic:
    """Self-critical training of any sequence model here; see the file's first paragraph for the equation.

    reward: of texts, as `regard.evaluation.rewards.reward` gives them, or any function of that form.
    text: what an output's numbers spell, `Tokenizer.decode` for a translator.
    baseline: "leave-one-out" needs two samples or more, and is the better where there are; "greedy" is Rennie's.
    samples: K, drawn for each sentence.
    max_length: words an output may have, its end included; None: twice the source's and ten.
    """

    reward: Reward
    text: Callable[[Sequence[int]], str]
    baseline: Baseline = "leave-one-out"
    samples: int = 5
    max_length: int | None = None

    def __post_init__(self) -> None:
        least = {"greedy": 1, "leave-one-out": 2}
        if self.baseline not in least:
            raise UserError(f"baseline: expected 'greedy' or 'leave-one-out', got {self.baseline!r}")
        if self.samples < least[self.baseline]:
            raise UserError(
                f"samples: the {self.baseline} baseline needs {least[self.baseline]} or more a sentence, "
                f"got {self.samples}"
            )

    def loss(
        self,
        model: SequenceModel,
        source: Int[Tensor, "batch source"],
        lengths: Int[Tensor, " batch"],
        references: Sequence[Sequence[str]],
        seed: int,
    ) -> Criticised:
        """Draw, judge, and score: the loss of a batch. `references` are one or several a sentence.

        `seed` decides the draws: the same for the same sentence. The model's mode is as before when it returns.
        """
        drawing = Decoding(sample=True, seed=seed, max_length=self.max_length)
        with evaluating(model):
            samples = sample(model, source, lengths, drawing, copies=self.samples)
        rewards = self._judge(samples, references).to(source.device)
        if self.baseline == "greedy":
            standard = self.standard(model, source, lengths, references).to(rewards)[:, None].expand_as(rewards)
        else:
            standard = leave_one_out(rewards)
        rows = torch.arange(len(samples)).repeat_interleave(self.samples)
        outputs = [drawn for of_sentence in samples for drawn in of_sentence]
        log_p = sequence_log_probs(model, source[rows.to(source.device)], lengths[rows.to(lengths.device)], outputs)
        loss = policy_loss(log_p.view_as(rewards), rewards - standard)
        return Criticised(loss, rewards, standard, samples)

    def standard(
        self,
        model: SequenceModel,
        source: Int[Tensor, "batch source"],
        lengths: Int[Tensor, " batch"],
        references: Sequence[Sequence[str]],
    ) -> Float[Tensor, " batch"]:
        """The reward of each sentence's greedy output, as the model writes it in use: in evaluation mode."""
        with evaluating(model):
            found = greedy(model, source, lengths, Decoding(max_length=self.max_length))
        return self._judge([[best] for best in found], references)[:, 0]

    def _judge(
        self, outputs: Sequence[Sequence[Hypothesis]], references: Sequence[Sequence[str]]
    ) -> Float[Tensor, "batch outputs"]:
        """R of every output, on the CPU; all outputs of a sentence are judged by its references."""
        if len(outputs) != len(references):
            raise UserError(f"{len(outputs)} sentences, but references of {len(references)}: one list for each")
        texts = [self.text(output.tokens) for of_sentence in outputs for output in of_sentence]
        wanted = [
            of_it for of_it, of_sentence in zip(references, outputs, strict=True) for _ in range(len(of_sentence))
        ]
        return torch.tensor(self.reward(texts, wanted), dtype=torch.float64).view(len(outputs), -1)


def policy_loss(log_p: Float[Tensor, "batch samples"], advantages: Float[Tensor, "batch samples"]) -> Float[Tensor, ""]:
    """−Σ_x 1/K Σ_k (R − b) log p(y_k | x): a sum over sentences of means over samples; no gradient into R − b."""
    return -(advantages.detach().to(log_p) * log_p).mean(1).sum()


def leave_one_out(rewards: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch samples"]:
    """b_k = 1/(K − 1) Σ_{j ≠ k} R(y_j): the mean reward of the sentence's other samples."""
    return (rewards.sum(1, keepdim=True) - rewards) / (rewards.shape[1] - 1)


def sequence_log_probs(
    model: SequenceModel,
    source: Int[Tensor, "outputs source"],
    lengths: Int[Tensor, " outputs"],
    outputs: Sequence[Hypothesis],
) -> Float[Tensor, " outputs"]:
    """log p(y | x) = Σ_t log p(y_t | y_<t, x) of one output for each row of the source, with gradient.

    The end of a complete output is scored too. p is what is drawn from: padding and begin marks have no share in it.
    """
    targets = [[*output.tokens, EOS] if output.complete else output.tokens for output in outputs]
    target_in, target_out = pad([[BOS, *row][: len(row)] for row in targets]), pad(targets).to(source.device)
    readout = model(source, lengths, target_in.to(source.device))
    counted = target_out != PAD  # the longest output may be many times as long as the others: padding is not scored
    log_p = token_log_probs(model.logits(readout[counted]), target_out[counted])
    return log_p.new_zeros(target_out.shape).masked_scatter(counted, log_p).sum(1)


def token_log_probs(logits: Float[Tensor, "words vocabulary"], words: Int[Tensor, " words"]) -> Float[Tensor, " words"]:
    """log p(y_t | y_<t, x) of each word in at least float32, among the words that may be drawn."""
    never = torch.zeros(logits.shape[-1], dtype=torch.bool, device=logits.device)
    never[[PAD, BOS]] = True
    return -F.cross_entropy(full(logits).masked_fill(never, -torch.inf), words, reduction="none")


@contextmanager
def evaluating(model: nn.Module | SequenceModel) -> Iterator[None]:
    """The model in evaluation mode, its modules' own modes given back after."""
    assert isinstance(model, nn.Module)
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
