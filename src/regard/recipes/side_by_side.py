"""Training runs side by side, each as the command a user would type, with a bar for each.

Small models do not fill several cores; two of them do. Each run is its own `regard train` with its share of the cores,
so the commands, their settings and their data stay behind as files to be looked at and run again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from regard.config import Settings
from regard.data.pairs import Pairs
from regard.errors import UserError
from regard.folder import METRICS

EVERY = 15.0  # seconds between lines where no bar can be drawn


class Interrupted(Exception):
    """Ctrl-C ended the runs."""


@dataclass(frozen=True)
class Run:
    """One `regard train`: what it is called, and where its model goes."""

    name: str
    settings: Settings
    folder: Path

    @property
    def steps(self) -> int:
        """How many steps it is to take; such runs say it in their settings."""
        assert self.settings.train.steps is not None
        return self.settings.train.steps

    def done(self) -> tuple[int, str]:
        """The last step in its log, and what the log says of it."""
        try:
            lines = (self.folder / METRICS).read_text(encoding="utf-8").splitlines()
            entries = [json.loads(line) for line in lines if '"loss"' in line]
        except (OSError, ValueError):
            return 0, "starting"
        if not entries:
            return 0, "starting"
        last = entries[-1]
        return last["step"], f"loss {last['loss']:.2f} · {last['tokens_per_second']:,.0f} tokens/s"


def train_side_by_side(runs: list[Run], data: Mapping[str, Pairs], folder: Path, console: Console) -> None:
    """Train all runs at once on `data["train"]`, validating on `data["valid"]`; commands and data go into `folder`.

    Raises UserError with what a run said if it fails, Interrupted after Ctrl-C.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for split, pairs in data.items():
        lines = (f"{source}\t{target}\n" for source, target in zip(pairs.source, pairs.target, strict=True))
        (folder / f"{split}.tsv").write_text("".join(lines), encoding="utf-8")
    threads = max(1, (os.cpu_count() or 1) // len(runs))
    begun = [start(command(run, folder), threads, folder / f"{run.name}.log") for run in runs]
    try:
        _watch(runs, begun, console)
    except KeyboardInterrupt:
        for process in begun:  # Ctrl-C reached them too: they save and end
            process.wait()
        raise Interrupted from None
    finally:
        for process in begun:
            if process.poll() is None:
                process.terminate()
                process.wait()
    for run, process in zip(runs, begun, strict=True):
        if process.returncode:
            said = (folder / f"{run.name}.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
            raise UserError(f"training {run.name} ended with {process.returncode}: {said[-1] if said else 'no word'}")


def command(run: Run, folder: Path) -> list[str]:
    """The run as a command; its settings are written beside the data."""
    config = folder / f"{run.name}.yaml"
    config.write_text(json.dumps(run.settings.to_mapping(), indent=2) + "\n", encoding="utf-8")  # JSON is YAML
    return [
        *(sys.executable, "-m", "regard", "train", str(folder / "train.tsv")),
        *("--valid", str(folder / "valid.tsv"), "--config", str(config), "--out", str(run.folder)),
    ]


def start(arguments: list[str], threads: int, log: Path) -> subprocess.Popen[bytes]:
    """Start a command with so many threads; what it says goes to the log."""
    with log.open("wb") as file:
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        return subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, env=environment
        )


def _watch(runs: list[Run], begun: list[Any], console: Console) -> None:
    """Show how far the runs are until all have ended, or one has failed."""
    width = max(len(run.name) for run in runs)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TextColumn("step {task.completed:.0f}/{task.total:.0f} · {task.fields[note]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(elapsed_when_finished=False),
        console=console,
        disable=not console.is_terminal,
    ) as bar:
        tasks = [bar.add_task(run.name.ljust(width), total=run.steps, note="starting") for run in runs]
        began = said = time.monotonic()
        while any(process.poll() is None for process in begun) and not any(process.poll() for process in begun):
            time.sleep(0.2)
            states = [run.done() for run in runs]
            for task, (step, note) in zip(tasks, states, strict=True):
                bar.update(task, completed=step, note=note)
            if not console.is_terminal and time.monotonic() - said >= EVERY:
                said = time.monotonic()
                left = _left(said - began, [(step, run.steps) for run, (step, _) in zip(runs, states, strict=True)])
                notes = [f"{run.name} step {step}/{run.steps}" for run, (step, _) in zip(runs, states, strict=True)]
                console.print(f"training: {', '.join(notes)} · {left}", highlight=False)
        for task, (step, note) in zip(tasks, [run.done() for run in runs], strict=True):
            bar.update(task, completed=step, note=note)


def _left(seconds: float, steps: list[tuple[int, int]]) -> str:
    """How long the slowest of the runs will take, given the seconds so far and (done, all) of each."""
    if not all(done for done, _ in steps):
        return "starting"
    return f"{max(seconds * (every / done - 1) for done, every in steps):.0f} s left"
