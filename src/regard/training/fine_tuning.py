"""Fine-tuning by self-critical training: from a translator trained by cross-entropy to one trained on its own reward.

A reward far from what the model can reach teaches nothing, so the start is a model that translates already.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from regard.config import ModelConfig, Settings, TrainConfig, read_section
from regard.data.batches import Batch, Encoded
from regard.data.pairs import Pairs
from regard.data.tokenizer import PAD, Tokenizer
from regard.evaluation.rewards import Reward
from regard.evaluation.rewards import reward as reward_of
from regard.folder import TOKENIZER, read_config, read_weights
from regard.models.seq2seq import Seq2Seq
from regard.shipped import find
from regard.training.fit import FitReport, fit
from regard.training.module import Objective
from regard.training.prepare import hold_out
from regard.training.self_critical import Baseline, SelfCritic, evaluating
from regard.training.validation import translate_greedily

SELF_CRITICAL = TrainConfig(
    epochs=5, batch_tokens=512, learning_rate=5e-5, schedule="constant", warmup=100, label_smoothing=0.0
)
"""A small constant rate, as a model that translates has little to unlearn; small batches, as each holds its samples."""


@dataclass(frozen=True)
class FineTuned:
    """What fine-tuning came to: the run, and the mean reward of greedy translations of the validation pairs."""

    run: FitReport
    reward_before: float
    reward_after: float


def fine_tune(
    start: str | Path,
    folder: Path,
    train: Pairs,
    valid: Pairs | None = None,
    *,
    reward: str = "bleu",
    baseline: Baseline = "leave-one-out",
    samples: int = 5,
    config: TrainConfig = SELF_CRITICAL,
    resume: bool = False,
    quiet: bool = False,
    origin: dict[str, Any] | None = None,
) -> FineTuned:
    """Train the translator in `start` on a reward by self-critical training, into a model folder of its own.

    The step's loss is −1/N Σ_x (mean reward of the sentence's samples), N the step's target tokens; its gradient is
    `self_critical`'s. Without `valid`, the last tenth of the pairs, at most 1000, is kept for validation, as `fit`
    does. There is no dropout. Which weights become the model is decided as `config.metric` says, as in any run.

    start: a model folder, or the name of a model that comes with the package.
    reward: one of `regard.evaluation.rewards.REWARDS`; CIDEr-D's document frequencies are those of `train`.
    baseline, samples: as in `SelfCritic`.
    Raises what `fit` raises, and UserError for an unknown reward.
    """
    start, folder = find(start), Path(folder)
    train, valid = (train, valid) if valid is not None else hold_out(train)
    model = read_section(ModelConfig, read_config(start)["model"], f"{start}: model")
    settings = Settings(replace(model, dropout=0.0, embedding_dropout=None), config)
    tokenizer = Tokenizer.load(start / TOKENIZER)
    judge = reward_of(reward, [[text] for text in train.target])
    critic = SelfCritic(judge, tokenizer.decode, baseline, samples)
    name = f"self-critical: {reward}, {baseline} baseline, {samples} samples"
    run = fit(
        settings,
        folder,
        train,
        valid,
        resume=resume,
        quiet=quiet,
        origin=origin,
        label="fine-tuning",
        start=start,
        objective=Objective(name, _Criticism(critic, tokenizer)),
    )
    before, after = (
        _mean_reward(judge, settings, where, tokenizer, valid, config.max_tokens) for where in (start, folder)
    )
    return FineTuned(run, before, after)


class _Criticism:
    """Minus the samples' mean reward, summed over a batch's sentences; its gradient is the self-critical loss's."""

    def __init__(self, critic: SelfCritic, tokenizer: Tokenizer):
        self.critic, self.tokenizer = critic, tokenizer

    def __call__(self, model: Seq2Seq, batch: Batch) -> Tensor:
        references = [[self.tokenizer.decode([i for i in row if i != PAD])] for row in batch.target_out.tolist()]
        seed = int(torch.randint(2**31, ()))  # the run reseeds at each step, so a resumed one draws the same
        found = self.critic.loss(model, batch.source, batch.source_lengths, references, seed)
        return found.loss - found.loss.detach() - found.rewards.mean(1).sum().to(found.loss)


@torch.no_grad()
def _mean_reward(
    judge: Reward, settings: Settings, folder: Path, tokenizer: Tokenizer, valid: Pairs, max_tokens: int
) -> float:
    """Of the greedy translations of the validation pairs, by the model in a folder."""
    model = Seq2Seq(settings.model, len(tokenizer))
    model.load_state_dict(read_weights(folder))
    encoded = Encoded.of(valid, tokenizer, max_tokens)
    long = set(encoded.long)
    references = [[text] for i, text in enumerate(valid.target) if i not in long]
    with evaluating(model):
        return sum(judge(translate_greedily(model, tokenizer, encoded.source), references)) / len(references)
