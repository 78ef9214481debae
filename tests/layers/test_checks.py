"""The checks that every layer runs through find what is wrong: each fails for a layer with the fault it looks for."""

from __future__ import annotations

import math

import cases
import pytest
import torch
from cases import Case
from torch import Tensor, nn

from regard.layers import DotAttention


def draw(batch: int, time: int) -> tuple:
    lengths = torch.randint(1, time + 1, (batch,)) if time else torch.zeros(batch).long()
    return torch.randn(batch, 5, 4), torch.randn(batch, time, 4), lengths


def plainly(layer: nn.Module, query: Tensor, states: Tensor, lengths: Tensor) -> Tensor:
    beyond = torch.arange(states.shape[1]) >= lengths[:, None, None]
    return torch.softmax((query @ states.mT).masked_fill(beyond, -math.inf), -1) @ states


class Faulty(DotAttention):
    """Dot-product attention with a fault."""

    def forward(self, query: Tensor, states: Tensor, lengths: Tensor) -> Tensor:
        return self.spoilt(super().forward, query, states, lengths)


class ReadsPadding(Faulty):
    def spoilt(self, attend, query, states, lengths):
        return attend(query, states) + 0 * lengths[:, None, None]


class ProjectsPadding(Faulty):
    def __init__(self) -> None:
        super().__init__()
        self.own = nn.Linear(4, 4)

    def spoilt(self, attend, query, states, lengths):
        return attend(query, self.own(states), lengths)


class NanInEmptyRows(Faulty):
    def spoilt(self, attend, query, states, lengths):
        return plainly(self, query, states, lengths)  # softmax over nothing


class WantsAPosition(Faulty):
    def spoilt(self, attend, query, states, lengths):
        return attend(query, states - 0 * states.amax(1, keepdim=True), lengths)


class LooksAtItsCompany(Faulty):
    def spoilt(self, attend, query, states, lengths):
        return attend(query - query.mean(0), states, lengths)


class SlightlyOff(Faulty):
    def spoilt(self, attend, query, states, lengths):
        return attend(query, states, lengths) * (1 + 1e-8)


class LosesTheGradient(Faulty):
    def spoilt(self, attend, query, states, lengths):
        return attend(query.detach(), states, lengths)


class WantsItsInputInOnePiece(Faulty):
    def spoilt(self, attend, query, states, lengths):
        return attend(query.view(-1, 4).view(query.shape), states, lengths)


class LosesDigits(Faulty):
    def spoilt(self, attend, query, states, lengths):
        if query.dtype != torch.float64:
            query = query.to(torch.float8_e4m3fn).to(query.dtype)
        return attend(query, states, lengths)


class RoundsUnderAutocast(Faulty):
    def spoilt(self, attend, query, states, lengths):
        return attend(query.round() if torch.is_autocast_enabled("cpu") else query, states, lengths)


class Decides(Faulty):
    def spoilt(self, attend, query, states, lengths):
        return attend(query, states, lengths) if query.sum() > -math.inf else query


class StaysOnTheProcessor(Faulty):
    def spoilt(self, attend, query, states, lengths):
        return attend(query, states, lengths) + torch.zeros(4, dtype=query.dtype)


class Forgets(Faulty):
    def __init__(self) -> None:
        super().__init__()
        self.shift = torch.randn(())  # no parameter and no buffer

    def spoilt(self, attend, query, states, lengths):
        return attend(query, states, lengths) + self.shift


class TakesAnything(Faulty):
    def spoilt(self, attend, query, states, lengths):
        return attend(query.double().cpu(), states.double().cpu(), lengths)


FOUND = [
    (cases.agrees_with_its_oracle, SlightlyOff),
    (cases.agrees_with_its_oracle, LosesTheGradient),
    (cases.takes_any_size, WantsAPosition),
    (cases.has_the_gradients_of_finite_differences, LosesTheGradient),
    (cases.gives_nothing_for_an_empty_row, NanInEmptyRows),
    (cases.gives_nothing_for_an_empty_row, ReadsPadding),
    (cases.never_reads_what_lies_beyond_the_lengths, ReadsPadding),
    (cases.never_reads_what_lies_beyond_the_lengths, ProjectsPadding),
    (cases.gives_each_row_what_it_gives_it_alone, LooksAtItsCompany),
    (cases.takes_strided_and_expanded_tensors, WantsItsInputInOnePiece),
    (cases.errs_little_in_low_precision, LosesDigits),
    (cases.works_under_autocast, RoundsUnderAutocast),
    (cases.takes_mixed_dtypes_under_autocast, RoundsUnderAutocast),
    (cases.compiles_whole, Decides),
    (cases.exports, Decides),
    (cases.is_saved_and_loaded, Forgets),
    (cases.is_copied_and_cast, TakesAnything),
    (cases.computes_where_it_is, StaysOnTheProcessor),
    (cases.names_a_wrong_dtype, TakesAnything),
    (cases.names_a_wrong_device, TakesAnything),
]


@pytest.mark.plain
@pytest.mark.parametrize(("check", "fault"), FOUND)
def test_a_check_fails_where_it_should(check, fault) -> None:
    with pytest.raises((Exception, pytest.fail.Exception)):
        check(Case(fault, draw, plainly, lengths=2, padded=(1,)))


def test_every_check_has_a_fault_that_it_finds() -> None:
    assert {check for check, _ in FOUND} == {check for check, _ in cases.CHECKS}
