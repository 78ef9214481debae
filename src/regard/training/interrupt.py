"""Ctrl-C during training: save, then stop."""

import signal
from types import FrameType
from typing import Any

from regard.training.watch import Watch


class StopOnInterrupt:
    """Within it, the first Ctrl-C asks the watch to save and stop after this step; a second one stops at once.

    Under torchrun each process gets more than one for a single Ctrl-C, the terminal's and torchrun's own: there the
    rest are ignored, and it is torchrun that loses patience after half a minute.
    """

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
        alone = self.watch.together.size == 1
        if self.watch.interrupted and alone:
            raise KeyboardInterrupt
        if not self.watch.interrupted:
            self.watch.interrupted = True
            again = "; press Ctrl-C again to stop at once" if alone else ""
            self.watch.progress.say(f"stopping after this step and saving{again}")
