"""What happens beside the steps of a training run: logs, progress, validation, the best model, checkpoints, Ctrl-C.

All of it hangs on the step's number and on what a checkpoint holds, so that a resumed run does what the first would
have done.
"""

import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import lightning

from regard.data.batches import Batch
from regard.folder import METRICS, TRAINING
from regard.training.logs import JsonLog
from regard.training.module import Translation
from regard.training.progress import TrainingProgress
from regard.training.snapshots import Snapshots
from regard.training.validation import Scores

LOG_EVERY = 50  # steps
CHECKPOINT = Path(TRAINING) / "last.safetensors"


@dataclass
class Standing:
    """Where a run stands: its best validation so far, how many since, and what the steps cost."""

    best: dict[str, Any] | None = None
    since_best: int = 0
    tokens: int = 0
    seconds: float = 0.0
    stopped_because: str = ""
    recent: list[float] = field(default_factory=list)  # losses since the last log entry
    validated: list[int] = field(default_factory=list)  # the last validations' steps, whose weights are kept

    def needs(self) -> set[int]:
        """The steps whose weights the run may still want."""
        return {*self.validated, *([self.best["step"]] if self.best else [])}


class Watch(lightning.Callback):
    """Logs every `LOG_EVERY` steps; at every `validate_every` validates, keeps the best model and a checkpoint."""

    def __init__(
        self,
        folder: Path,
        progress: TrainingProgress,
        validate_every: int,
        patience: int,
        average: int,
        validator: Callable[[Translation], Scores],
    ):
        self.folder, self.progress, self.validator = folder, progress, validator
        self.validate_every, self.patience, self.average = validate_every, patience, average
        self.snapshots = Snapshots(folder)
        self.standing = Standing()
        self.interrupted = False
        self._log: JsonLog | None = None
        self._clock = 0.0
        self._speed = 0.0

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return asdict(self.standing)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From the checkpoint."""
        self.standing = Standing(**state_dict)

    def on_train_start(self, trainer: lightning.Trainer, module: Translation) -> None:  # type: ignore[override]
        """Open the log where the checkpoint left it."""
        self._log = JsonLog(self.folder / METRICS, trainer.global_step)
        self._clock = time.perf_counter()

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: lightning.Trainer, module: Translation, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Everything that follows a step."""
        step, standing = trainer.global_step, self.standing
        now = time.perf_counter()
        elapsed, self._clock = now - self._clock, now
        standing.tokens += outputs["tokens"]
        standing.seconds += elapsed
        standing.recent.append(float(outputs["loss"]))
        self._speed = (
            outputs["tokens"] / elapsed if not self._speed else 0.95 * self._speed + 0.05 * outputs["tokens"] / elapsed
        )
        self.progress.step(step, standing.recent[-1], self._speed)
        if step % LOG_EVERY == 0:
            self._write_log(trainer, step)
        if step % self.validate_every == 0 or step == trainer.max_steps:
            self._validate(trainer, module, step)
        if self.interrupted and not trainer.should_stop:
            self.save(trainer)
            standing.stopped_because = "interrupted"
            trainer.should_stop = True
        self._clock = time.perf_counter()  # validation is not training time

    def save(self, trainer: lightning.Trainer) -> None:
        """Write the checkpoint that `--resume` goes on from."""
        trainer.save_checkpoint(self.folder / CHECKPOINT)

    def _write_log(self, trainer: lightning.Trainer, step: int) -> None:
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        recent, self.standing.recent = self.standing.recent, []
        entry = {"loss": sum(recent) / len(recent), "learning_rate": rate}
        spent = {"tokens": self.standing.tokens, "seconds": round(self.standing.seconds, 3)}  # on all steps so far
        self.record(trainer, step, entry, tokens_per_second=round(self._speed, 1), **spent)

    def record(self, trainer: lightning.Trainer, step: int, entry: dict[str, Any], **more: Any) -> None:
        """An entry in the log, its numbers in TensorBoard as well."""
        assert self._log is not None
        self._log.write(step, {**entry, **more})
        if trainer.logger is not None:
            trainer.logger.log_metrics({k: v for k, v in (entry | more).items() if isinstance(v, float)}, step)

    def _validate(self, trainer: lightning.Trainer, module: Translation, step: int) -> None:
        scores = self.validator(module)
        entry = scores.entry()
        self.record(trainer, step, entry)
        standing = self.standing
        self.snapshots.write(step, module.model.state_dict())
        standing.validated = [*standing.validated, step][-self.average :]
        better = standing.best is None or scores.bleu > standing.best["valid_bleu"]
        if better:
            standing.best, standing.since_best = {"step": step, **entry, "signature": scores.signature}, 0
            self.snapshots.publish(step)
        else:
            standing.since_best += 1
        self.progress.say(
            f"step {step}: validation loss {scores.loss:.3f}, BLEU {scores.bleu:.2f} (greedy)"
            + (", the best so far" if better else "")
        )
        if standing.since_best >= self.patience:
            standing.stopped_because = f"{self.patience} validations without a better BLEU"
            trainer.should_stop = True
        elif step == trainer.max_steps:
            standing.stopped_because = "all steps done"
        self.save(trainer)
        self.snapshots.keep(standing.needs())


class StopOnInterrupt:
    """Within it, the first Ctrl-C asks the watch to save and stop after this step; a second one stops at once."""

    def __init__(self, watch: Watch):
        self.watch = watch
        self._before: Any = None

    def __enter__(self) -> None:
        try:
            self._before = signal.signal(signal.SIGINT, self._ask)
        except ValueError:  # not in the main thread: then no Ctrl-C arrives here
            self._before = None

    def __exit__(self, *_: Any) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.watch.interrupted:
            raise KeyboardInterrupt
        self.watch.interrupted = True
        self.watch.progress.say("stopping after this step and saving; press Ctrl-C again to stop at once")
