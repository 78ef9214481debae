"""The weights of past validations, a file each: what the final model is made of, the best of them or the mean of the
last.

A file is written once and never changed, so a checkpoint only needs to name the steps it counts on; a file goes when
no checkpoint does any more.
"""

from collections.abc import Iterable
from pathlib import Path

from torch import Tensor

from regard.errors import UserError
from regard.folder import TRAINING, WEIGHTS, read_tensors, write, write_tensors


class Snapshots:
    """Weights by step, in `training/weights-STEP.safetensors`."""

    def __init__(self, folder: Path):
        self.folder = folder

    def path(self, step: int) -> Path:
        """Where the weights after this step are."""
        return self.folder / TRAINING / f"weights-{step:08}.safetensors"

    def write(self, step: int, weights: dict[str, Tensor]) -> None:
        """Keep the weights as they are after this step."""
        write_tensors(self.path(step), weights)

    def read(self, step: int) -> dict[str, Tensor]:
        """The weights after this step; UserError if they are missing or damaged."""
        return read_tensors(self.path(step))

    def publish(self, step: int) -> None:
        """Make the weights of this step the folder's model."""
        try:
            content = self.path(step).read_bytes()
        except FileNotFoundError:
            raise UserError(f"{self.path(step)}: missing; the run cannot go on without it") from None
        write(self.folder / WEIGHTS, content)

    def mean(self, steps: Iterable[int]) -> dict[str, Tensor]:
        """θ = Σ_i θ_i / N over these steps, summed in float64. Source: Junczys-Dowmunt 2016, checkpoint averaging."""
        first, *others = steps
        weights = self.read(first)
        total = {name: tensor.double() for name, tensor in weights.items()}
        for step in others:
            for name, tensor in self.read(step).items():
                total[name] += tensor
        return {name: (total[name] / (1 + len(others))).to(tensor.dtype) for name, tensor in weights.items()}

    def keep(self, steps: Iterable[int]) -> None:
        """Delete the weights of all other steps."""
        kept = {self.path(step) for step in steps}
        for path in self.path(0).parent.glob("weights-*.safetensors"):
            if path not in kept:
                path.unlink()
