"""Progress of a training run on the terminal: a bar with loss, tokens per second and time left, or plain lines."""

import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class TrainingProgress:
    """A bar where the terminal can redraw it; elsewhere a line every `every` seconds. Everything goes to stderr."""

    def __init__(self, steps: int, *, quiet: bool = False, every: float = 15.0, label: str = "training"):
        self.console = Console(stderr=True, quiet=quiet)
        self.steps, self.every, self.label = steps, every, label
        self._began, self._last, self._start = time.monotonic(), time.monotonic(), 0
        self._bar: Progress | None = None
        if self.console.is_terminal and not quiet:
            self._bar = Progress(
                TextColumn("[bold]{task.description}"),
                BarColumn(bar_width=None),
                TextColumn("step {task.completed:.0f}/{task.total:.0f} · {task.fields[note]}"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=self.console,
            )
            self._task = self._bar.add_task(label, total=steps, note="starting")
            self._bar.start()

    def begin_at(self, step: int) -> None:
        """Steps done before, by an earlier run."""
        self._start = step
        if self._bar is not None:
            self._bar.update(self._task, completed=step)

    def step(self, step: int, loss: float, tokens_per_second: float) -> None:
        """After a step."""
        note = f"loss {loss:.3f} · {tokens_per_second:,.0f} tokens/s"
        if self._bar is not None:
            self._bar.update(self._task, completed=step, note=note)
        elif time.monotonic() - self._last >= self.every:
            self._last = time.monotonic()
            seconds = (self._last - self._began) / max(1, step - self._start) * (self.steps - step)
            self.console.print(
                f"{self.label}: step {step}/{self.steps} · {note} · {clock(seconds)} left", highlight=False
            )

    def say(self, text: str) -> None:
        """A line that stays."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()

    def __enter__(self) -> "TrainingProgress":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def clock(seconds: float) -> str:
    """Seconds as `m:ss` or `h:mm:ss`."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
