"""A watch changes nothing and leaves nothing: after an exception, among other watches, threads, modes and hooks."""

from __future__ import annotations

import copy
import gc
import sys
import threading
import warnings
import weakref

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from watched import NAMES, B, E, Model, T, everything_is_as_it_was

import regard
from regard import attend
from regard import attend as door
from regard.watch import watch


def test_an_exception_leaves_everything_as_it_was() -> None:
    model, x = Model(), torch.randn(B, T, E)
    plain = model.eval()(x)
    model.fails = True
    with watch(model) as seen:
        for _ in range(2):
            with pytest.raises(KeyError, match="in the model"):
                model(x)
        model.fails = False
        assert torch.equal(model(x), plain)
    assert seen.names == NAMES
    assert [look.step for look in seen["layers.0"]] == [0, 1, 2]
    model.fails = True
    with pytest.raises(KeyError), watch(model):
        model(x)
    model.fails = False
    assert everything_is_as_it_was(model)
    assert torch.equal(model(x), plain)


def test_a_watch_that_cannot_open_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(model: nn.Module) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(sys.modules["regard.watch"], "_sources", lambda model: [refuses])
    model = Model()
    with pytest.raises(RuntimeError, match="no"), watch(model):
        pass
    assert everything_is_as_it_was(model)


def test_nested_watches_of_the_same_model_and_of_a_part() -> None:
    model, x = Model().eval(), torch.randn(B, T, E)
    plain = model(x)
    with watch(model, weights=True) as outer:
        with watch(model.layers, heads=[1]) as part, watch(model) as again:
            assert torch.equal(model(x), plain)
        model(x)
    assert [look.name for look in outer] == NAMES * 2
    assert again.names == NAMES
    assert part.names == ["0", "1"]
    assert everything_is_as_it_was(model)


def test_nested_watches_of_two_models_each_see_their_own() -> None:
    first, second, x = nn.ModuleDict({"a": Model()}), nn.ModuleDict({"b": Model()}), torch.randn(B, T, E)
    with watch(first) as of_first, watch(second) as of_second:
        first["a"](x)
        second["b"](x)
        Model()(x)
    assert of_first.names == [f"a.{name}" for name in NAMES]
    assert of_second.names == [f"b.{name}" for name in NAMES]
    assert everything_is_as_it_was(first, second)


def test_two_threads_watch_at_once_and_a_third_does_not() -> None:
    models = [Model().eval(), nn.TransformerEncoder(nn.TransformerEncoderLayer(E, 2, 8, batch_first=True), 2).eval()]
    shared = Model().eval()
    x = torch.randn(B, T, E)
    plain = [model(x) for model in models], shared(x)
    start, found, errors = threading.Barrier(4), {}, []

    def run(number: int, model: nn.Module, expected: Tensor, watched: bool) -> None:
        try:
            start.wait()
            for _ in range(20):
                if watched:
                    with watch(model, topk=1, mass=False) as seen:
                        assert torch.equal(model(x), expected)
                    found[number] = seen.names
                else:
                    assert torch.equal(model(x), expected)
        except BaseException as error:
            errors.append(error)

    threads = [
        threading.Thread(target=run, args=arguments)
        for arguments in (
            (0, models[0], plain[0][0], True),
            (1, models[1], plain[0][1], True),
            (2, shared, plain[1], True),
            (3, shared, plain[1], False),
        )
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert found == {0: NAMES, 1: ["layers.0.self_attn", "layers.1.self_attn"], 2: NAMES}
    assert everything_is_as_it_was(*models, shared)


def test_a_watch_keeps_no_model_alive_and_a_copy_made_inside_works() -> None:
    model, x = Model().eval(), torch.randn(B, T, E)
    with watch(model) as seen:
        twin = copy.deepcopy(model)
        model(x)
        assert torch.equal(twin(x), model(x))
    assert len(seen) == 6
    assert torch.equal(twin(x), model(x))
    del twin
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def test_under_modes_and_hooks_of_others() -> None:
    model, x = Model().eval(), torch.randn(B, T, E)
    plain = model(x)
    calls: list[str] = []
    handles = [
        model.layers[0].register_forward_pre_hook(lambda module, arguments: calls.append("before")),
        model.layers[0].register_forward_hook(lambda module, arguments, result: calls.append("after")),
    ]
    with torch.device("cpu"), watch(model) as seen, torch.device("cpu"):
        assert torch.equal(model(x), plain)
    assert seen.names == NAMES
    assert calls == ["before", "after"]
    for handle in handles:
        handle.remove()


def test_a_counter_of_operations_counts_those_of_the_model_alone() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    model, x = Model().eval(), torch.randn(B, T, E)
    counts = []
    for _ in range(2):
        with FlopCounterMode(display=False) as counter:
            model(x)
        counts.append(counter.get_total_flops())
        with FlopCounterMode(display=False) as counter, watch(model) as seen:
            model(x)
        counts.append(counter.get_total_flops())
        assert seen.names == NAMES
    assert len(set(counts)) == 1


def test_what_holds_no_numbers_is_named_and_runs() -> None:
    class Plain(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.scaled_dot_product_attention(x, x, x)

    model, x = Plain(), torch.randn(3, 1, 2, 4, 5)
    with pytest.warns(UserWarning, match="inside torch.func"), watch(model) as seen:
        watched = torch.func.vmap(model)(x)
    torch.testing.assert_close(watched, model(x))
    with pytest.warns(UserWarning, match="no numbers"), watch(model):
        model(x.to("meta"))
    with pytest.warns(UserWarning, match="traced"), watch(model), warnings.catch_warnings(action="ignore"):
        traced = torch.jit.trace(model, x, check_trace=False)
    assert torch.equal(traced(x), model(x))
    assert len(list(traced.graph.nodes())) < 8
    assert len(seen) == 0


def test_a_watch_is_opened_once() -> None:
    once = watch(model := Model())
    with once:
        model(torch.randn(B, T, E))
        with pytest.raises(ValueError, match="a watch is opened once"), once:
            pass


def test_regard_watch_is_the_function() -> None:
    assert regard.watch is watch
    assert door is attend
