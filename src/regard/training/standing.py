"""Where a run stands: what a checkpoint remembers beside Lightning's own."""

from dataclasses import dataclass, field
from typing import Any, Literal

from regard.training.validation import Scores


@dataclass
class Standing:
    """The best validation so far, how many since, and what the steps cost."""

    best: dict[str, Any] | None = None
    since_best: int = 0
    validated: list[int] = field(default_factory=list)  # the last validations' steps, whose weights are kept
    halvings: int = 0  # of the rate, in the plateau schedule
    tokens: int = 0
    seconds: float = 0.0
    recent: list[float] = field(default_factory=list)  # losses since the last log entry
    logged: int = 0  # entries in the log
    stopped_because: str = ""

    def needs(self) -> set[int]:
        """The steps whose weights the run may still want."""
        return {*self.validated, *([self.best["step"]] if self.best else [])}


def better(scores: Scores, best: dict[str, Any] | None, metric: Literal["bleu", "loss"], *, or_equal: bool) -> bool:
    """Whether a validation beats the best so far, by its BLEU or by its loss."""
    if best is None:
        return True
    gain = scores.bleu - best["valid_bleu"] if metric == "bleu" else best["valid_loss"] - scores.loss
    return gain > 0 or (or_equal and gain == 0)
