"""Several models as one: their probabilities averaged at every step, and their attention.

    p(w | y_<t, x) = 1/M Σ_m p_m(w | y_<t, x),   α_t = the mean of the α_t of those models that have attention

The models must share their vocabulary; sizes and mechanisms may differ. Each keeps its own source and beam state.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Self, cast

import torch
from jaxtyping import Int
from torch import Tensor, nn

from regard.decoding.protocol import StepModel
from regard.errors import UserError
from regard.models.step import Next


class _Sources(NamedTuple):
    parts: tuple[Any, ...]

    def select(self, rows: Tensor) -> Self:
        return type(self)(tuple(part.select(rows) for part in self.parts))


class _States(NamedTuple):
    parts: tuple[Any, ...]

    def select(self, rows: Tensor) -> Self:
        return type(self)(tuple(part.select(rows) for part in self.parts))

    def reorder(self, parents: Tensor) -> Self:
        return type(self)(tuple(part.reorder(parents) for part in self.parts))


class Ensemble(nn.Module):
    """A `StepModel` of several; see the file's first paragraph for the equation.

    Raises UserError for no model, or for models whose vocabularies differ in size.
    """

    def __init__(self, models: Sequence[nn.Module]):
        super().__init__()
        sizes = {int(cast(Any, model).vocabulary) for model in models}
        if len(sizes) != 1:
            raise UserError(f"ensemble: expected models of one vocabulary, got vocabularies of {sorted(sizes)} words")
        self.models = nn.ModuleList(models)
        self.vocabulary = sizes.pop()

    @property
    def parts(self) -> list[StepModel]:
        """The models."""
        return cast(list[StepModel], list(self.models))

    def encode(self, source: Int[Tensor, "batch source"], lengths: Int[Tensor, " batch"]) -> _Sources:
        """Each model's encoding."""
        return _Sources(tuple(model.encode(source, lengths) for model in self.parts))

    def start(self, source: _Sources, beams: int) -> _States:
        """Each model's first state."""
        return _States(tuple(model.start(part, beams) for model, part in zip(self.parts, source.parts, strict=True)))

    def step(self, tokens: Int[Tensor, "batch beam"], state: _States, source: _Sources, *, weights: bool) -> Next:
        """Each model's step, averaged."""
        answers = [
            model.step(tokens, part, encoded, weights=weights)
            for model, part, encoded in zip(self.parts, state.parts, source.parts, strict=True)
        ]
        log_probs = torch.stack([answer.log_probs for answer in answers]).logsumexp(0) - math.log(len(answers))
        looks = [answer.weights for answer in answers if answer.weights is not None]
        alpha = torch.stack(looks).mean(0) if looks else None
        return Next(log_probs, _States(tuple(answer.state for answer in answers)), alpha)
