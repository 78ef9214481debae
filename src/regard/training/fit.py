"""From sentence pairs to a model folder: the whole of a training run, and its resumption."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.loggers import TensorBoardLogger

from regard.config import Settings
from regard.data.batches import BatchStream, Encoded
from regard.data.pairs import Pairs
from regard.data.tokenizer import Tokenizer
from regard.errors import UserError
from regard.folder import TOKENIZER, TRAINING, read_config, refuse_existing, write, write_config, write_origin
from regard.models.seq2seq import Seq2Seq
from regard.training.checkpoint import SafeCheckpointIO, read_checkpoint
from regard.training.finish import average_last
from regard.training.memory import keep_freed_memory
from regard.training.module import Translation
from regard.training.progress import TrainingProgress
from regard.training.validation import Scores, validate
from regard.training.watch import CHECKPOINT, StopOnInterrupt, Watch

LEFT_OUT = Path(TRAINING) / "left_out.txt"
HELD_OUT = 1000  # pairs kept for validation where none are given, at most a tenth


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
) -> FitReport:
    """Train a translator into `folder`, or go on with one that was stopped.

    Without `valid`, the last tenth of the pairs, at most 1000, is kept for validation. `origin` says in the folder
    where the pairs came from. Raises UserError for a folder that exists, for nothing to resume, for other pairs or
    settings than those of the run to be resumed; Interrupted after Ctrl-C.
    """
    folder = Path(folder)
    train, valid = (train, valid) if valid is not None else hold_out(train)
    if resume:
        _check_same(read_config(folder), settings)
        tokenizer = Tokenizer.load(folder / TOKENIZER)
    else:
        tokenizer = _new_folder(folder, settings, train)
    data, valid_data = (Encoded.of(pairs, tokenizer, settings.train.max_tokens) for pairs in (train, valid))
    if not len(data) or not len(valid_data):
        raise UserError(
            f"no pair of at most {settings.train.max_tokens} subwords a side is left to train and validate on"
        )

    stream = BatchStream(data, settings.train.batch_tokens, settings.train.seed)
    per_epoch = stream.batches_per_epoch()
    steps = settings.train.steps or settings.train.epochs * per_epoch
    torch.manual_seed(settings.train.seed)
    module = Translation(Seq2Seq(settings.model, len(tokenizer)), settings.train, steps)
    start = _steps_done(folder, steps) if resume else 0
    stream.start = start

    with TrainingProgress(steps, start, quiet=quiet, label=label) as progress:
        _say_left_out(folder, progress, train, data, valid, valid_data, settings.train.max_tokens)
        references = _kept(valid.target, valid_data)
        validator = partial(_validator, tokenizer, valid_data, references, settings.train.batch_tokens)
        train_config = settings.train
        every = train_config.validate_every or per_epoch
        watch = Watch(folder, progress, every, train_config.patience, train_config.average, validator)
        if not resume:
            _write_config(folder, settings, module, train, valid, None)
            write_origin(folder, origin or {})
        trainer = _trainer(settings, folder, watch, steps, start)
        keep_freed_memory()
        with StopOnInterrupt(watch), quiet_libraries():
            trainer.fit(module, train_dataloaders=stream, ckpt_path=str(folder / CHECKPOINT) if resume else None)
            standing = watch.standing
            if standing.stopped_because != "interrupted":
                average_last(watch, trainer, module)
    if standing.stopped_because == "interrupted":
        raise Interrupted(f"saved after step {trainer.global_step} of {steps} in {folder}")
    _write_config(folder, settings, module, train, valid, standing.best)
    return FitReport(
        folder=folder,
        steps=trainer.global_step,
        epochs=trainer.global_step / per_epoch,
        best_valid=standing.best or {},
        seconds=standing.seconds,
        tokens_per_second=standing.tokens / standing.seconds if standing.seconds else 0.0,
        stopped_because=standing.stopped_because,
    )


def hold_out(pairs: Pairs) -> tuple[Pairs, Pairs]:
    """The pairs without their last tenth (at most 1000), and that."""
    if len(pairs) < 2:
        raise UserError(f"{len(pairs)} sentence pair: expected at least 2, one to train on and one to validate on")
    cut = len(pairs) - min(HELD_OUT, max(1, len(pairs) // 10))
    lines = [pairs.line(i) for i in range(len(pairs))]
    return (
        Pairs(pairs.source[:cut], pairs.target[:cut], lines[:cut], pairs.blank),
        Pairs(pairs.source[cut:], pairs.target[cut:], lines[cut:]),
    )


def half_precision_pays() -> bool:
    """Whether the processor multiplies bfloat16 matrices in hardware."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    able = torch.cpu.get_capabilities()
    return bool(able.get("amx_bf16") or able.get("avx512_bf16"))


def _new_folder(folder: Path, settings: Settings, train: Pairs) -> Tokenizer:
    refuse_existing(folder)
    tokenizer = Tokenizer.train([*train.source, *train.target], settings.train.vocabulary)
    try:
        (folder / TRAINING).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({(error.strerror or str(error)).lower()})") from None
    write(folder / TOKENIZER, tokenizer.to_json().encode())
    return tokenizer


def _check_same(config: dict[str, Any], settings: Settings) -> None:
    before = Settings.from_mapping({"model": config.get("model", {}), "train": config.get("train", {})}).to_mapping()
    for section, values in settings.to_mapping().items():
        for name, value in values.items():
            if before[section][name] != value:
                raise UserError(
                    f"{section}.{name} was {before[section][name]!r} in the run to be resumed and is {value!r} now; "
                    "resume with the same settings"
                )


def _steps_done(folder: Path, steps: int) -> int:
    done = int(read_checkpoint(folder / CHECKPOINT)["global_step"])
    if done >= steps:
        raise UserError(f"{folder}: all {steps} steps are done; nothing is left to resume")
    return done


def _trainer(settings: Settings, folder: Path, watch: Watch, steps: int, start: int) -> lightning.Trainer:
    precision = settings.train.precision
    half = half_precision_pays() if precision == "auto" else precision == "bfloat16"
    with quiet_libraries():
        return lightning.Trainer(
            accelerator="auto",
            devices=1,
            precision="bf16-mixed" if half else "32-true",
            max_steps=steps,
            max_epochs=-1,
            callbacks=[watch],
            logger=TensorBoardLogger(folder / TRAINING, name="tensorboard", version="", purge_step=start or None),
            plugins=[SafeCheckpointIO()],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )


def _validator(
    tokenizer: Tokenizer, data: Encoded, references: list[str], batch_tokens: int, module: Translation
) -> Scores:
    def moved(batch: Any) -> Any:
        return module.transfer_batch_to_device(batch, module.device, 0)

    return validate(module.model, tokenizer, data, references, batch_tokens, moved)


def _kept(sentences: list[str], data: Encoded) -> list[str]:
    left_out = set(data.long)
    return [sentence for index, sentence in enumerate(sentences) if index not in left_out]


def _say_left_out(
    folder: Path,
    progress: TrainingProgress,
    train: Pairs,
    data: Encoded,
    valid: Pairs,
    valid_data: Encoded,
    max_tokens: int,
) -> None:
    """Name every pair that is not used, by set and line; the terminal gets the counts."""
    lines = []
    for name, pairs, encoded in (("train", train, data), ("valid", valid, valid_data)):
        lines += [f"{name} line {number}: a side is empty" for number in pairs.blank]
        lines += [f"{name} line {pairs.line(i)}: over {max_tokens} subwords" for i in encoded.long]
    progress.say(f"{len(data):,} pairs to train on, {len(valid_data):,} to validate on")
    if lines:
        write(folder / LEFT_OUT, ("\n".join(lines) + "\n").encode())
        shown = "; ".join(lines[:3]) + (f"; and {len(lines) - 3} more" if len(lines) > 3 else "")
        progress.say(f"left out {len(lines)} pairs ({shown}): all are named in {folder / LEFT_OUT}")


def _write_config(
    folder: Path,
    settings: Settings,
    module: Translation,
    train: Pairs,
    valid: Pairs,
    best: dict[str, Any] | None,
) -> None:
    write_config(
        folder,
        {
            "regard": version("regard"),
            "torch": torch.__version__,
            **settings.to_mapping(),
            "vocabulary": module.model.vocabulary,
            "pairs": {"train": len(train), "valid": len(valid)},
            "best_valid": best,
        },
    )


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep the libraries' notices off the terminal: what a user should know, we say ourselves."""
    loggers = [logging.getLogger(name) for name in ("lightning", "lightning.pytorch", "lightning.fabric", "sacrebleu")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
