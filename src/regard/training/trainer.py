"""Lightning's trainer with our checkpoints and logs, and without its words."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lightning
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.plugins.environments import LightningEnvironment

from regard.config import TrainConfig
from regard.folder import TENSORBOARD, TRAINING
from regard.training.checkpoint import SafeCheckpointIO
from regard.training.together import local_number
from regard.training.watch import Watch


def make_trainer(config: TrainConfig, folder: Path, watch: Watch, steps: int, start: int | None) -> lightning.Trainer:
    """A trainer for so many steps; `start` is the step that it resumes after, None for a new run.

    Each process has a trainer of its own, which knows of no other: what they share is in `together.py`.
    """
    half = half_precision_pays() if config.precision == "auto" else config.precision == "bfloat16"
    purge = None if start is None else start + 1  # what an earlier run logged after its checkpoint
    with quiet_libraries():
        return lightning.Trainer(
            accelerator="auto",
            devices=[local_number()] if torch.cuda.is_available() else 1,
            precision="bf16-mixed" if half else "32-true",
            max_steps=steps,
            max_epochs=-1,
            callbacks=[watch],
            logger=TensorBoardLogger(folder / TRAINING, name=TENSORBOARD, version="", purge_step=purge)
            if watch.together.leads
            else False,
            plugins=[SafeCheckpointIO(), LightningEnvironment()],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )


def half_precision_pays() -> bool:
    """Whether the processor multiplies bfloat16 matrices in hardware."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    able = torch.cpu.get_capabilities()
    return bool(able.get("amx_bf16") or able.get("avx512_bf16"))


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
