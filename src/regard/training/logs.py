"""What a run leaves to read: a JSON line per entry in `metrics.jsonl`, and the same in TensorBoard."""

import json
from pathlib import Path
from typing import Any

from regard.errors import UserError


class JsonLog:
    """Appends entries `{"step": ..., ...}`; a run that resumes first cuts the log back to its checkpoint's step."""

    def __init__(self, path: Path, last_step: int):
        kept = [line for line in _lines(path) if json.loads(line)["step"] <= last_step]
        path.write_text("".join(kept), encoding="utf-8")
        self._file = path.open("a", encoding="utf-8")

    def write(self, step: int, values: dict[str, Any]) -> None:
        """One line, on the disk at once."""
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()

    def close(self) -> None:
        """No more entries."""
        self._file.close()


def _lines(path: Path) -> list[str]:
    """The whole lines of an earlier log; a last one that a crash cut short is dropped."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines.pop()
    for number, line in enumerate(lines, 1):
        try:
            json.loads(line)["step"]
        except (ValueError, KeyError, TypeError):
            raise UserError(f"{path}: line {number} is not a log entry; move the file away to go on") from None
    return lines
