"""Which layers and heads a watch is told to look at."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from watched import NAMES, B, E, Model, T, everything_is_as_it_was

from regard.watch import watch


@pytest.mark.parametrize(
    ("layers", "names"),
    [
        ("layers", NAMES[:2]),
        ("layers.*", NAMES[:2]),
        ("*", NAMES),
        ("", NAMES),
        (["last", "layers.1"], NAMES[1:]),
        (0, NAMES[:1]),
        (-1, NAMES[1:2]),
        ([0, "last"], [NAMES[0], NAMES[2]]),
        (range(2), NAMES[:2]),
        (lambda path: path.endswith("t"), NAMES[2:]),
    ],
    ids=str,
)
def test_layers(layers: Any, names: list[str]) -> None:
    model = Model()
    with watch(model, layers=layers) as seen:
        model(torch.randn(B, T, E))
    assert seen.names == names


@pytest.mark.parametrize(
    ("layers", "said"), [("laiers", "nearest are layers"), (2, "expected -2 to 1"), (-3, "expected -2 to 1")]
)
def test_layers_that_are_not_there(layers: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        watch(Model(), layers=layers)


def test_heads_that_are_not_there_end_the_call_and_leave_nothing() -> None:
    model = Model()
    with pytest.raises(ValueError, match="heads: expected 0 to 3, got 4"), watch(model, heads=4):
        model(torch.randn(B, T, E))
    assert everything_is_as_it_was(model)
