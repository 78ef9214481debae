"""What happens beside the steps of a training run: logs, progress, validation, the best model, checkpoints.

All of it hangs on the step's number and on what a checkpoint holds, so that a resumed run does what the first would
have done. Under torchrun the leading process does it all and tells the others what came of it.
"""

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning

from regard.config import TrainConfig
from regard.data.batches import Step
from regard.folder import METRICS, TENSORBOARD, TRAINING, WEIGHTS
from regard.training.logs import JsonLog, number_events
from regard.training.module import Translation
from regard.training.progress import TrainingProgress
from regard.training.schedules import HALVE_AFTER
from regard.training.slots import Slots
from regard.training.snapshots import Snapshots
from regard.training.standing import Standing, better
from regard.training.together import Together
from regard.training.validation import Scores

LOG_EVERY = 50  # steps


class Watch(lightning.Callback):
    """Logs every `LOG_EVERY` steps, validates, keeps the best model and checkpoints, and says when it is enough."""

    def __init__(
        self,
        folder: Path,
        progress: TrainingProgress,
        config: TrainConfig,
        validate_every: int,
        validator: Callable[[Translation], Scores],
        together: Together,
    ):
        self.folder, self.progress, self.config = folder, progress, config
        self.validate_every, self.validator, self.together = validate_every, validator, together
        self.snapshots, self.slots = Snapshots(folder), Slots(folder)
        self.standing = Standing()
        self.interrupted = False
        self._needs: dict[int, set[int]] = {}  # by checkpoint: the steps whose weights it counts on
        self._log: JsonLog | None = None
        self._clock = 0.0
        self._speed = 0.0

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return asdict(self.standing)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From the checkpoint."""
        self.standing = Standing(**state_dict)

    def open(self, step: int) -> None:
        """Put the files beside the checkpoint of this step back to what they were then; 0: there is none."""
        if not self.together.leads:
            return
        self._log = JsonLog(self.folder / METRICS, self.standing.logged)
        number_events(self.folder / TRAINING / TENSORBOARD)
        self._needs = {step: self.standing.needs()}
        if self.standing.best:
            self.snapshots.publish(self.standing.best["step"])
        else:
            (self.folder / WEIGHTS).unlink(missing_ok=True)

    def close(self) -> None:
        """No more entries in the log."""
        if self._log is not None:
            self._log.close()

    def on_train_start(self, trainer: lightning.Trainer, module: Translation) -> None:  # type: ignore[override]
        """Take up the rate and the clock."""
        module.halvings = self.standing.halvings
        self._clock = time.perf_counter()

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: lightning.Trainer, module: Translation, outputs: Any, batch: Step, batch_idx: int
    ) -> None:
        """Everything that follows a step."""
        step = trainer.global_step
        self._count(step, float(outputs["loss"]), outputs["tokens"])
        stop = self.together.any(self.interrupted)
        if step % LOG_EVERY == 0:
            self._write_log(trainer, module, step)
        if step % self.validate_every == 0 or step == trainer.max_steps:
            self._validate(trainer, module, step)
        elif stop or step % self.config.checkpoint_every == 0:
            self._save(trainer, step)
        if stop and not self.standing.stopped_because:
            self.standing.stopped_because = "interrupted"
        trainer.should_stop = bool(self.standing.stopped_because)
        self._clock = time.perf_counter()  # validation is not training time

    def record(self, trainer: lightning.Trainer, step: int, entry: dict[str, Any], *, after_all: bool = False) -> None:
        """An entry in the log, its numbers in TensorBoard as well.

        What comes after all steps has names of its own there, and the place of a step that never comes: a run that is
        killed before it ends takes back what came after its checkpoint's step.
        """
        if self._log is None:
            return
        self._log.write(step, entry)
        self.standing.logged = self._log.entries
        if trainer.logger is not None:
            group = "averaged/" if after_all else ""
            numbers = {f"{group}{name}": value for name, value in entry.items() if isinstance(value, float)}
            trainer.logger.log_metrics(numbers, step + after_all)

    def _count(self, step: int, loss: float, tokens: int) -> None:
        now = time.perf_counter()
        elapsed, self._clock = now - self._clock, now
        self.standing.tokens += tokens
        self.standing.seconds += elapsed
        self.standing.recent.append(loss)
        self._speed = tokens / elapsed if not self._speed else 0.95 * self._speed + 0.05 * tokens / elapsed
        self.progress.step(step, loss, self._speed)

    def _write_log(self, trainer: lightning.Trainer, module: Translation, step: int) -> None:
        recent, self.standing.recent = self.standing.recent, []
        entry = {
            "loss": sum(recent) / len(recent),
            "learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
            "tokens_per_second": round(self._speed, 1),
            "tokens": self.standing.tokens,  # of all steps so far, and the seconds that they took
            "seconds": round(self.standing.seconds, 3),
        }
        self.record(trainer, step, entry)

    def _validate(self, trainer: lightning.Trainer, module: Translation, step: int) -> None:
        if self.together.leads:
            self._judge(trainer, module, step)
        self.standing = self.together.leaders(self.standing)
        module.halvings = self.standing.halvings

    def _judge(self, trainer: lightning.Trainer, module: Translation, step: int) -> None:
        scores, standing, config = self.validator(module), self.standing, self.config
        self.record(trainer, step, scores.entry())
        self.snapshots.write(step, module.model.state_dict())
        standing.validated = [*standing.validated, step][-config.average :]
        best = better(scores, standing.best, config.metric, or_equal=False)
        if best:
            standing.best, standing.since_best = scores.summary(step), 0
            self.snapshots.publish(step)
        else:
            standing.since_best += 1
            standing.halvings += standing.since_best % HALVE_AFTER == 0
        self.progress.say(f"step {step}: validation {scores}" + (", the best so far" if best else ""))
        if standing.since_best >= config.patience:
            name = {"bleu": "BLEU", "loss": "loss"}[config.metric]
            standing.stopped_because = f"{config.patience} validations without a better {name}"
        elif step == trainer.max_steps:
            standing.stopped_because = "all steps done"
        self._save(trainer, step)

    def _save(self, trainer: lightning.Trainer, step: int) -> None:
        """Write the checkpoint that `--resume` goes on from, and let go what only older ones counted on."""
        if self._log is None:
            return
        self._log.to_disk()
        if trainer.logger is not None:
            trainer.logger.experiment.flush()  # type: ignore[attr-defined]
        trainer.save_checkpoint(self.slots.path(step))
        self._needs[step] = self.standing.needs()
        self._needs = {kept: self._needs.get(kept, set()) for kept in self.slots.drop_old()}
        self.snapshots.keep(set().union(*self._needs.values()))
