"""One training step as a Lightning module: teacher forcing, cross-entropy per token, Adam."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import lightning
import torch
from torch import Tensor

from regard.config import TrainConfig
from regard.data.batches import Batch, Step
from regard.models.seq2seq import Seq2Seq
from regard.training.loss import word_loss
from regard.training.schedules import share
from regard.training.together import Together


def token_loss(model: Seq2Seq, batch: Batch, label_smoothing: float = 0.0) -> Tensor:
    """The sum over the batch's target tokens of −log p(y_t | y_<t, x), in nats, padding left out."""
    readout = model(batch.source, batch.source_lengths, batch.target_in)
    return word_loss(
        readout.flatten(0, 1), model.output_words(), model.output_bias, batch.target_out.flatten(), label_smoothing
    )


class Objective(NamedTuple):
    """What a run makes small: summed over a batch, and then divided by the target tokens of the whole step."""

    name: str
    """As the model folder's config.json tells it."""
    of: Callable[[Seq2Seq, Batch], Tensor]


class Translation(lightning.LightningModule):
    """The model under training; a step's batches, from `BatchStream`, depend on nothing but the step's number.

    `halvings` of the rate is for the plateau schedule, which validation drives. The objective is cross-entropy per
    token unless another is given.
    """

    def __init__(
        self,
        model: Seq2Seq,
        config: TrainConfig,
        steps: int,
        together: Together,
        objective: Objective | None = None,
    ):
        super().__init__()
        self.model, self.config, self.steps, self.together = model, config, steps, together
        self.loss = objective.of if objective else partial(token_loss, label_smoothing=config.label_smoothing)
        self.halvings = 0
        self.automatic_optimization = False  # a step's batches are known from the start, and with them its tokens

    def on_train_batch_start(self, batch: Step, batch_idx: int) -> None:
        """Dropout is drawn anew from (seed, process, step): a resumed run draws what the first would have drawn."""
        torch.manual_seed((self.config.seed << 32) + (self.together.number << 24) + self.global_step)

    def training_step(self, batch: Step, batch_idx: int) -> dict[str, Any]:
        """One update from the mean loss per token over the step's batches and the processes."""
        optimizer = self.optimizers()
        optimizer.zero_grad()  # type: ignore[union-attr]
        total = torch.zeros((), device=self.device)
        for part in batch.batches:
            loss = self.loss(self.model, part) / batch.tokens
            with torch.autocast(self.device.type, enabled=False):
                self.manual_backward(loss)
            total += loss.detach()
        self.together.sum_gradients(self.model.parameters())
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        for group in optimizer.param_groups:  # type: ignore[union-attr]
            group["lr"] = self.learning_rate()
        optimizer.step()  # type: ignore[union-attr]
        return {"loss": self.together.sum(total), "tokens": batch.tokens}

    def learning_rate(self) -> float:
        """Of the step being taken."""
        config = self.config
        return config.learning_rate * share(
            config.schedule, self.global_step, self.steps, config.warmup, config.final_rate, self.halvings
        )

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam, fused."""
        config = self.config
        return torch.optim.AdamW(
            self.model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )

    def transfer_batch_to_device(self, batch: Step, device: torch.device, dataloader_idx: int) -> Step:
        """Move a step's batches."""
        return Step([moved(part, device) for part in batch.batches], batch.tokens)


def moved(batch: Batch, device: torch.device) -> Batch:
    """The batch on a device; lengths stay, they are read on the CPU."""
    return Batch(
        batch.source.to(device),
        batch.source_lengths,
        batch.target_in.to(device),
        batch.target_out.to(device),
        batch.tokens,
    )
