"""A small training run in a process of its own, which can be killed; and what it leaves, the clock's share left out.

Processes come from a fork server that has imported everything once.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import resource
import signal
from pathlib import Path

from regard.config import ModelConfig, Settings, TrainConfig
from regard.data.pairs import Pairs

WORDS = {"red": "rouge", "cat": "chat", "dog": "chien", "sees": "voit", "the": "le", "small": "petit", "and": "et"}
TIMED = {"tokens_per_second", "seconds"}  # what a clock says is not the same twice


def pairs(count: int, seed: int = 0) -> Pairs:
    """Sentences of a small language, word for word."""
    draw = random.Random(seed)
    source = [[draw.choice(list(WORDS)) for _ in range(draw.randint(1, 6))] for _ in range(count)]
    return Pairs([" ".join(s) for s in source], [" ".join(WORDS[w] for w in s) for s in source])


def settings(**train) -> Settings:
    """A model that trains in a second."""
    model = ModelConfig(embedding=24, encoder_hidden=16, decoder_hidden=32, dropout=0.1)
    base = {"steps": 30, "validate_every": 10, "batch_tokens": 128, "vocabulary": 60, "warmup": 5, "seed": 3}
    return Settings(model, TrainConfig(**(base | {"learning_rate": 1e-2, "precision": "float32"} | train)))


def processes() -> multiprocessing.context.ForkServerContext:
    """Where processes come from."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["regard.training", "torch.utils.tensorboard", "sacrebleu"])
    return context


def train(folder: Path, chosen: Settings, die_at: tuple[str, int] | None = None, full_at: int | None = None) -> None:
    """Train, or go on; be killed before or after the n-th file is put in its place; meet a full disk at a step."""
    import torch

    from regard.training import fit, watch

    torch.set_num_threads(1)
    watch.LOG_EVERY = 4
    if die_at:
        _die(*die_at)
    if full_at:
        _fill(full_at)
    begun = (folder / "config.json").exists()
    try:
        fit(chosen, folder, pairs(200), pairs(20, 1), quiet=True, resume=begun)
    except ValueError as error:
        (folder.parent / "said").write_text(str(error))
        os._exit(2)


def train_as_one_of(size: int, number: int, port: int, folder: Path, chosen: Settings) -> None:
    """Train as one of several processes that torchrun might have started."""
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ.update(where | {"WORLD_SIZE": str(size), "RANK": str(number), "LOCAL_RANK": str(number)})
    train(folder, chosen)


def _die(when: str, count: int) -> None:
    replace, left = os.replace, [count]

    def mortal(source, target):
        left[0] -= 1
        if left[0] == 0 and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target)
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    os.replace = mortal


def _fill(step: int) -> None:
    from regard.training.watch import Watch

    after = Watch.on_train_batch_end

    def full(self, trainer, *rest):
        if trainer.global_step == step:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        after(self, trainer, *rest)

    Watch.on_train_batch_end = full


def left_by(folder: Path) -> dict:
    """Everything a run leaves to read, without the clock's share."""
    from regard.folder import read_weights

    log = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {
        "weights": {name: tensor.numpy().tobytes() for name, tensor in read_weights(folder).items()},
        "tokenizer": (folder / "tokenizer.json").read_bytes(),
        "config": json.loads((folder / "config.json").read_text()),
        "log": [{name: value for name, value in entry.items() if name not in TIMED} for entry in log],
        "tensorboard": curves(folder),
    }


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "training" / "tensorboard")).Reload()
    tags = set(events.Tags()["scalars"]) - TIMED
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in sorted(tags)}
