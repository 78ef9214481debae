"""One training step as a Lightning module: teacher forcing, cross-entropy per token, Adam with warm-up and decay."""

import math
from typing import Any

import lightning
import torch
from torch import Tensor

from regard.config import TrainConfig
from regard.data.batches import Batch
from regard.models.seq2seq import Seq2Seq
from regard.training.loss import word_loss


def token_loss(model: Seq2Seq, batch: Batch, label_smoothing: float = 0.0) -> Tensor:
    """The sum over the batch's target tokens of −log p(y_t | y_<t, x), in nats, padding left out."""
    readout = model(batch.source, batch.source_lengths, batch.target_in)
    return word_loss(
        readout.flatten(0, 1), model.output_words(), model.output_bias, batch.target_out.flatten(), label_smoothing
    )


def rate(step: int, steps: int, warmup: int, final: float) -> float:
    """The share of the peak learning rate at a step: up in a line, then down to `final` along a cosine."""
    if step < warmup:
        return (step + 1) / warmup
    done = min(1.0, (step - warmup) / max(1, steps - warmup))
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * done))


class Translation(lightning.LightningModule):
    """The model under training; a step's batch, from `BatchStream`, depends on nothing but the step's number."""

    def __init__(self, model: Seq2Seq, config: TrainConfig, steps: int):
        super().__init__()
        self.model, self.config, self.steps = model, config, steps

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Dropout is drawn anew from (seed, step): a resumed run draws what the first would have drawn."""
        torch.manual_seed((self.config.seed << 32) + self.global_step)

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """The mean loss per token."""
        loss = token_loss(self.model, batch, self.config.label_smoothing) / batch.tokens
        return {"loss": loss, "tokens": batch.tokens}

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip the gradient's norm here: Lightning's own clipping refuses every fused optimiser, for float16's sake."""
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)

    def configure_optimizers(self) -> Any:
        """Adam, fused, and the schedule of `rate`."""
        config = self.config
        optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: rate(step, self.steps, config.warmup, config.final_rate)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Move a batch; lengths stay, they are read on the CPU."""
        return Batch(
            batch.source.to(device),
            batch.source_lengths,
            batch.target_in.to(device),
            batch.target_out.to(device),
            batch.tokens,
        )
