"""What a run leaves to read: a JSON line per entry in `metrics.jsonl`, and TensorBoard's curves."""

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from regard.folder import write

EVENTS = "events.out.tfevents."


def number_events(folder: Path) -> None:
    """Give TensorBoard's files of earlier starts numbers for names, in the order in which they were begun.

    It reads them by name: by the second and then by the process, and a later process may have a smaller number.
    """
    for number, path in enumerate(sorted(folder.glob(EVENTS + "*"))):  # at most the last has a second for its name
        name = path.with_name(f"{EVENTS}{number:010d}")
        if path != name:
            path.replace(name)


class JsonLog:
    """Appends entries `{"step": ..., ...}` after the first `entries`, which a checkpoint knows of; later ones go."""

    def __init__(self, path: Path, entries: int = 0):
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        write(path, b"".join(lines[:entries]))
        self.entries = min(entries, len(lines))
        self._file = path.open("a", encoding="utf-8")

    def write(self, step: int, values: dict[str, Any]) -> None:
        """One line."""
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()
        self.entries += 1

    def to_disk(self) -> None:
        """See to it that what was written outlives the machine."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """No more entries."""
        with contextlib.suppress(OSError):  # a full disk was an error when the entry was written
            self._file.close()
