"""What was compiled, whole or in part, runs under a watch as it is, and is named."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from watched import B, E, H, T, everything_is_as_it_was

from regard import attend
from regard.layers import MultiHeadAttention
from regard.watch import watch


class Compiles(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = MultiHeadAttention(E, H), MultiHeadAttention(E, H)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x))


@pytest.fixture
def compiled() -> Callable[[Any], tuple[Any, list[int]]]:
    """Compile a module or function; with it a list that grows by an entry for each graph compiled."""

    def compile_it(what: Any) -> tuple[Any, list[int]]:
        torch._dynamo.reset()
        graphs: list[int] = []

        def backend(graph: Any, inputs: Any) -> Any:
            graphs.append(len(graph.graph.nodes))
            return graph.forward

        return torch.compile(what, backend=backend), graphs

    return compile_it


@pytest.mark.plain
@pytest.mark.parametrize("before", [True, False], ids=["compiled before", "compiled inside"])
def test_a_compiled_part_runs_as_it_is_and_is_named(compiled: Any, before: bool) -> None:
    model, x = Compiles().eval(), torch.randn(B, T, E)
    plain = model(x)
    model.first, graphs = compiled(model.first)
    if before:
        model(x)
    with watch(model) as seen:
        watched = model(x)
    count = len(graphs)
    assert torch.equal(watched, plain)
    assert seen.names == ["second"]
    assert list(seen.unread) == ["first"]
    assert "before it is compiled" in seen.unread["first"]
    assert torch.equal(model(x), plain)
    assert len(graphs) == count == 1  # nothing was compiled for the watch, and nothing again after it
    assert everything_is_as_it_was(model)


@pytest.mark.plain
def test_a_model_compiled_whole_says_so(compiled: Any) -> None:
    model, x = Compiles().eval(), torch.randn(B, T, E)
    plain = model(x)
    fast, graphs = compiled(model)
    with pytest.warns(UserWarning, match="watch the model before it is compiled"), watch(fast) as seen:
        assert torch.equal(fast(x), plain)
    assert torch.equal(fast(x), plain)
    assert len(graphs) == 1
    assert list(seen.unread) == ["OptimizedModule"]
    with watch(model) as seen:  # what was compiled is still there as it was
        model(x)
    assert len(seen) == 2


@pytest.mark.plain
def test_a_module_compiled_in_place_and_a_compiled_function() -> None:
    torch._dynamo.reset()
    model, x = Compiles().eval(), torch.randn(B, T, E)
    plain = model(x)
    model.first.compile(backend="aot_eager")
    with watch(model) as seen:
        assert torch.equal(model(x), plain)
    assert (seen.names, list(seen.unread)) == (["second"], ["first"])

    class Calls(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return look(x)

    look = torch.compile(lambda x: F.scaled_dot_product_attention(x, x, x) + attend(x, x, x), backend="aot_eager")
    y, model = torch.randn(1, 2, 3, 4), Calls()
    plain = model(y)
    with pytest.warns(UserWarning, match="it ran, but not through"), watch(model):
        assert torch.equal(model(y), plain)
    assert torch.equal(model(y), plain)


def test_a_scripted_part_is_named_and_a_compiled_part_without_attention_is_not(compiled: Any) -> None:
    with warnings.catch_warnings(action="ignore"):
        scripted = torch.jit.script(nn.MultiheadAttention(E, H))
    model = nn.ModuleDict(
        {"scripted": scripted, "ours": MultiHeadAttention(E, H), "linear": compiled(nn.Linear(E, E))[0]}
    )
    x = torch.randn(B, T, E)
    with watch(model) as seen:
        model["linear"](model["ours"](scripted(x, x, x)[0]))
    assert (seen.names, list(seen.unread)) == (["ours"], ["scripted"])
