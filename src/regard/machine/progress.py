"""How far a long translation has come, and how long it will take."""

import sys
import time
from typing import Self


class Progress:
    """Sentences done and time left on stderr: a bar where it can redraw, elsewhere a line every `EVERY` seconds."""

    EVERY = 10.0

    def __init__(self, total: int, wanted: bool):
        self._total, self._done, self._wanted, self._bar = total, 0, wanted and total > 1, None
        self._began = self._said = time.monotonic()
        if self._wanted and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress

            self._bar = Progress(console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task("translating", total=total)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, sentences: int) -> None:
        """So many more are done."""
        self._done += sentences
        now = time.monotonic()
        if self._bar is not None:
            self._bar.advance(self._task, sentences)
        elif self._wanted and now - self._said >= self.EVERY:
            self._said = now
            left = (now - self._began) / self._done * (self._total - self._done)
            print(f"translating: {self._done}/{self._total} sentences, {left:.0f} s left", file=sys.stderr)
