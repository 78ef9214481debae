"""The last two checkpoints of a run: when the newest cannot be read, the one before it still can."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from regard.errors import UserError
from regard.folder import TRAINING
from regard.training.checkpoint import read_checkpoint

KEPT = 2


class Slots:
    """Checkpoints by step, in `training/checkpoint-STEP.safetensors`."""

    def __init__(self, folder: Path):
        self.folder = folder / TRAINING

    def path(self, step: int) -> Path:
        """Where the checkpoint after this step is."""
        return self.folder / f"checkpoint-{step:08}.safetensors"

    def newest(self, say: Callable[[str], None]) -> tuple[Path, Any] | None:
        """The newest checkpoint that can be read, and what it holds; None if there is none.

        One that cannot is set aside and named through `say`. Raises UserError if there are only such.
        """
        bad: list[tuple[Path, str]] = []
        for path in [*self._found(), *self.folder.glob("last.safetensors")]:  # the latter is of an earlier regard
            try:
                tree = read_checkpoint(path)
            except UserError as error:
                bad.append((path, str(error)))
                continue
            for unread, reason in bad:
                unread.rename(unread.with_name(f"{unread.name}.unread"))
                say(f"{reason}; set aside, going on from {path.name}")
            return path, tree
        if bad:
            raise UserError("; ".join(reason for _, reason in bad) + "; no other checkpoint is left")
        return None

    def drop_old(self) -> list[int]:
        """Delete all but the newest; the steps of those."""
        found = self._found()
        for path in found[KEPT:]:
            path.unlink()
        return [int(path.stem.removeprefix("checkpoint-")) for path in found[:KEPT]]

    def _found(self) -> list[Path]:
        """From the newest on."""
        return sorted(self.folder.glob("checkpoint-*.safetensors"), reverse=True)
