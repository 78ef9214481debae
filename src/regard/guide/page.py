"""What a page holds, and running its code. Words are written once, here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from regard.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

BAR = 1e-10  # in float64, on results and gradients

Session = dict[str, Any]
"""The names that a page's code made."""


class Source(NamedTuple):
    """A paper and where it is."""

    paper: str
    address: str


@dataclass(frozen=True, eq=False)
class Picture:
    """A matrix to draw; each column is one reading unless the caption says otherwise."""

    weights: np.ndarray
    """(columns, rows), as the pictures of `regard.observe` take them."""
    rows: Sequence[str]
    columns: Sequence[str]
    caption: str
    """What rows, columns and cells are."""


class Proof(NamedTuple):
    """How far the code is from its oracle."""

    error: float
    """The largest absolute difference, of results and of gradients, in float64."""
    oracle: str
    bar: float = BAR

    @property
    def passed(self) -> bool:
        """Whether the difference is within the bar."""
        return self.error <= self.bar


@dataclass(frozen=True)
class Page:
    """A mechanism: what it is, in words, as an equation, as code, as a picture; and what proves it."""

    number: int
    name: str
    """What the command calls it."""
    title: str
    line: str
    """What it is for, in a line."""
    definition: str
    latex: str
    equation: str
    """The same for a terminal."""
    explanation: str
    analogy: str
    sources: tuple[Source, ...]
    setup: str
    """Python: imports, and an input on which one sees what the mechanism does."""
    code: str
    """Three lines of Python."""
    seen: str
    """What the picture shows."""
    picture: Callable[[Session], Picture]
    """Of the names that setup and code made."""
    check: Callable[[], list[Proof]]
    """Against each oracle that is there."""
    differs: str = ""
    """Where the form first asked for and the field's form differ: both, and why."""

    def run(self) -> Session:
        """Setup and code; what they drew is the same each time, and no other's draws change.

        Raises UserError where they need a package that is not installed.
        """
        session: Session = {"__name__": f"regard.guide.{self.name}"}
        with seeded():
            try:
                exec(compile(self.setup + self.code, f"the page {self.name}", "exec"), session)
            except ModuleNotFoundError as error:
                missing = f"{self.name}: its code needs {error.name}, which is not here"
                raise UserError(f'{missing}: pip install "regard[train]"') from None
        return session

    def draw(self) -> Picture:
        """The picture that the code makes."""
        session = self.run()
        with seeded():
            return self.picture(session)

    def prove(self) -> list[Proof]:
        """Run the code and draw its picture, then measure the mechanism against its oracles."""
        self.draw()
        with seeded():
            return self.check()


@contextmanager
def seeded() -> Iterator[None]:
    """Draws from a seed of their own; the state outside is given back."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def array(tensor: Any) -> np.ndarray:
    """A tensor as the pictures take it."""
    return tensor.detach().double().numpy()
