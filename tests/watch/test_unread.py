"""What a watch cannot read is named, and who saw nothing is told why."""

from __future__ import annotations

import copy
import sys
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from watched import NAMES, B, E, H, Model, T

from regard.layers import MultiHeadAttention
from regard.watch import watch


def test_attention_by_hand_is_named() -> None:
    class HandAttention(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x @ x.mT).softmax(-1) @ x

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hand, self.ours, self.idle = HandAttention(), MultiHeadAttention(E, H), HandAttention()

        def forward(self, x: Tensor) -> Tensor:
            return self.ours(self.hand(x))

    model = Both()
    with warnings.catch_warnings(action="error"), watch(model) as seen:
        model(torch.randn(B, T, E))
    assert seen.names == ["ours"]
    assert list(seen.unread) == ["hand"]
    assert "it ran, but not through" in seen.unread["hand"]
    said = "saw no attention in HandAttention. HandAttention: it ran, but not through"
    with pytest.warns(UserWarning, match=said), watch(model.hand):
        model.hand(torch.randn(B, T, E))


def test_what_was_asked_but_cannot_be_computed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*arguments: Any) -> None:
        raise ValueError("of no use")

    model = Model()
    x = torch.randn(B, T, E)
    monkeypatch.setattr(sys.modules["regard.observe.statistics"], "statistics", refuses)
    monkeypatch.setattr(sys.modules["regard.watch"], "statistics", refuses)
    with pytest.warns(UserWarning, match="of no use"), watch(model) as seen:
        model(x)
    assert seen.unread == dict.fromkeys(NAMES, "ValueError: of no use")


def test_who_saw_nothing_is_told_why() -> None:
    model, x = Model(), torch.randn(B, T, E)
    with pytest.warns(UserWarning, match="none of its modules ran") as told, watch(model):
        pass
    assert told[0].filename == __file__
    with pytest.warns(UserWarning, match="none of its modules ran"), watch(model):
        copy.deepcopy(model)(x)
    said = r"`layers` chose none of those that attended: layers\.0, layers\.1, last"
    with pytest.warns(UserWarning, match=said), watch(model, layers=lambda path: False):
        model(x)
    with pytest.warns(UserWarning, match="it ran, but not through"), watch(plain := nn.Linear(2, 2)):
        plain(torch.randn(1, 2))
    with warnings.catch_warnings(action="error"), pytest.raises(KeyError), watch(model):
        raise KeyError
