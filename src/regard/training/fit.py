"""From sentence pairs to a model folder: the whole of a training run, and its resumption."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from regard.config import Settings
from regard.data.batches import BatchStream
from regard.data.pairs import Pairs, fingerprint
from regard.data.tokenizer import Tokenizer
from regard.data.typed import with_typed
from regard.errors import UserError
from regard.folder import (
    ORIGIN,
    TOKENIZER,
    TRAINING,
    read_config,
    read_weights,
    refuse_existing,
    sweep,
    write,
    write_config,
    write_origin,
)
from regard.machine.memory import keep_freed_memory
from regard.models.seq2seq import Seq2Seq
from regard.training.finish import average_last
from regard.training.interrupt import StopOnInterrupt
from regard.training.module import Objective, Translation, moved
from regard.training.prepare import Data, hold_out, tokenizer_of
from regard.training.progress import TrainingProgress
from regard.training.slots import Slots
from regard.training.together import Together, processes
from regard.training.trainer import make_trainer, quiet_libraries
from regard.training.validation import Scores, validate
from regard.training.watch import Watch


class Interrupted(Exception):
    """Ctrl-C ended a run; its checkpoint is written, and `resume=True` goes on from it."""


@dataclass(frozen=True)
class FitReport:
    """What a run came to.

    `best_valid` holds step, valid_loss (nats per token), valid_perplexity, valid_bleu (greedy) and signature, and in
    `averaged` the steps whose weights the model is the mean of, if it is one.
    """

    folder: Path
    steps: int
    epochs: float
    best_valid: dict[str, Any]
    seconds: float  # spent on steps, validation left out
    tokens_per_second: float  # target tokens, ends included
    stopped_because: str


def fit(
    settings: Settings,
    folder: Path,
    train: Pairs,
    valid: Pairs | None = None,
    *,
    resume: bool = False,
    quiet: bool = False,
    origin: dict[str, Any] | None = None,
    label: str = "training",
    start: Path | None = None,
    objective: Objective | None = None,
) -> FitReport:
    """Train a translator into `folder`, or go on with one that was stopped, however it was.

    Without `valid`, the last tenth of the pairs, at most 1000, is kept for validation. `origin` says in the folder
    where the pairs came from. `start` is a model folder with whose subwords and weights the run begins; `objective` is
    what it makes small in the place of cross-entropy. Under torchrun, every process calls this with the same arguments,
    and each batch is split among them. Raises UserError for a folder that exists, for nothing to resume, for other
    pairs, settings or objective than those of the run to be resumed, for a disk that takes no more; Interrupted after
    Ctrl-C.
    """
    folder = Path(folder)
    train, valid = (train, valid) if valid is not None else hold_out(train)
    with processes() as together, _writing_to(folder):
        with together.one_at_a_time():
            if together.leads:
                pairs = {"train": len(train), "valid": len(valid), "sha256": fingerprint(train, valid)}
                _prepare_folder(folder, settings, pairs, resume, origin, objective.name if objective else None)
                if start is not None and not (folder / TOKENIZER).exists():
                    write(folder / TOKENIZER, (start / TOKENIZER).read_bytes())
            given, train = len(train), with_typed(train, settings.train.typed, settings.train.seed)
            tokenizer = tokenizer_of(folder, train, settings.train.vocabulary)
        data = Data.of(
            train, valid, tokenizer, settings.train.max_tokens, typed=len(train) - given,
            subword_dropout=settings.train.subword_dropout,
        )  # fmt: skip
        run = _Run(settings, folder, tokenizer, data, together, objective)
        if start is not None:
            run.module.model.load_state_dict(read_weights(start))
        with TrainingProgress(run.steps, quiet=quiet or not together.leads, label=label) as progress:
            return run.go(progress, resume)


class _Run:
    """A training run, put together."""

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        tokenizer: Tokenizer,
        data: Data,
        together: Together,
        objective: Objective | None,
    ):
        self.config, self.folder, self.tokenizer, self.data = settings.train, folder, tokenizer, data
        self.together = together
        config = settings.train
        self.stream = BatchStream(
            data.train,
            config.batch_tokens,
            config.seed,
            accumulate=config.accumulate,
            process=together.number,
            processes=together.size,
            redraw=partial(data.redraw, config.seed),
        )
        self.steps = config.steps or self.stream.steps_in(config.epochs)
        torch.manual_seed(config.seed)
        self.module = Translation(Seq2Seq(settings.model, len(tokenizer)), config, self.steps, together, objective)

    def go(self, progress: TrainingProgress, resume: bool) -> FitReport:
        """Train, from the beginning or from the last good checkpoint, and make the model of what was learned."""
        if self.together.leads:
            for line in self.data.describe(self.folder):
                progress.say(line)
            write_config(self.folder, {**read_config(self.folder), "vocabulary": len(self.tokenizer)})
        validator = partial(_validate, self.tokenizer, self.data, self.config.batch_tokens)
        every = self.config.validate_every or self.stream.steps_in(1)
        watch = Watch(self.folder, progress, self.config, every, validator, self.together)
        checkpoint = self._checkpoint(watch, progress) if resume else None
        trainer = make_trainer(self.config, self.folder, watch, self.steps, self.stream.start if resume else None)
        keep_freed_memory()
        try:
            watch.open(self.stream.start)
            with StopOnInterrupt(watch), quiet_libraries():
                if not watch.standing.stopped_because:
                    trainer.fit(self.module, train_dataloaders=self.stream, ckpt_path=checkpoint)
                    self.stream.start = trainer.global_step
                if watch.standing.stopped_because != "interrupted" and self.together.leads:
                    average_last(watch, trainer, self.module)
        finally:
            watch.close()
        return self._report(watch)

    def _checkpoint(self, watch: Watch, progress: TrainingProgress) -> Path | None:
        """The checkpoint to go on from; the stream and the watch are put where it stands."""
        found = Slots(self.folder).newest(progress.say) if self.together.leads else None
        path, step, standing = self.together.leaders(
            (found[0], found[1]["global_step"], found[1]["callbacks"]["Watch"]) if found else (None, 0, {})
        )
        if path is None:
            progress.say(f"{self.folder}: no checkpoint was written yet, so this is step 1")
            return None
        watch.load_state_dict(standing)
        progress.begin_at(step)
        self.stream.start = step
        return path

    def _report(self, watch: Watch) -> FitReport:
        standing, step = self.together.leaders(watch.standing), self.stream.start
        if standing.stopped_because == "interrupted":
            raise Interrupted(f"saved after step {step} of {self.steps} in {self.folder}")
        if self.together.leads:
            write_config(self.folder, {**read_config(self.folder), "best_valid": standing.best})
        return FitReport(
            folder=self.folder,
            steps=step,
            epochs=step * self.config.accumulate / self.stream.batches_per_epoch(),
            best_valid=standing.best or {},
            seconds=standing.seconds,
            tokens_per_second=standing.tokens / standing.seconds if standing.seconds else 0.0,
            stopped_because=standing.stopped_because,
        )


def _prepare_folder(
    folder: Path,
    settings: Settings,
    pairs: dict[str, Any],
    resume: bool,
    origin: dict[str, Any] | None,
    objective: str | None,
) -> None:
    """A new folder that says what will be trained in it; or an old one, with these settings and something left."""
    if resume:
        config = read_config(folder)
        if difference := settings.difference(config):
            raise UserError(f"{folder}: {difference}: resume with the same settings")
        if (begun := config.get("objective")) != objective:
            raise UserError(
                f"{folder}: begun with {begun or 'cross-entropy'} as its objective, which is now "
                f"{objective or 'cross-entropy'}: resume with the same"
            )
        if (before := config["pairs"]) != pairs:
            was, now = (f"{of['train']} pairs and {of['valid']} to validate on" for of in (before, pairs))
            now = "as many others" if was == now else f"{pairs['train']} and {pairs['valid']}"
            raise UserError(f"{folder}: begun on {was}, now {now}: give it the same")
        if config.get("best_valid"):
            raise UserError(f"{folder}: training is done; nothing is left to resume")
        sweep(folder)
    else:
        refuse_existing(folder)
        _make(folder)
        about = {"regard": version("regard"), "torch": torch.__version__, **settings.to_mapping()}
        if objective:
            about["objective"] = objective
        write_config(folder, {**about, "vocabulary": None, "pairs": pairs, "best_valid": None})
    _make(folder / TRAINING)
    if not (folder / ORIGIN).exists():
        write_origin(folder, origin or {})


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({(error.strerror or str(error)).lower()})") from None


@contextmanager
def _writing_to(folder: Path) -> Iterator[None]:
    """A disk that takes no more is a matter for the user: what was saved stays."""
    try:
        yield
    except BrokenPipeError:  # who read what we say has gone: that is no disk's fault
        raise
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(
            f"{folder}: cannot be written ({reason}); what was saved before stays: make room, and go on by --resume"
        ) from error


def _validate(tokenizer: Tokenizer, data: Data, batch_tokens: int, module: Translation) -> Scores:
    to_device = partial(moved, device=module.device)
    return validate(module.model, tokenizer, data.valid, data.references, batch_tokens, to_device)
