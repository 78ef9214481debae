"""`regard.watch` around this package's models, and what holds of every watch: it changes nothing and leaves nothing."""

from __future__ import annotations

import copy
import gc
import sys
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import small
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import _get_current_function_mode_stack
from torch.utils.checkpoint import checkpoint

import regard
from regard import attend, attend_with_weights, causal, padding, window
from regard import attend as door
from regard.equation.biases import alibi, gaussian
from regard.equation.normalisers import Softmax
from regard.equation.scores import Additive, Cosine, Dot
from regard.layers import AdditiveAttention, LocalAttention, MultiHeadAttention
from regard.layers.positions import Rotary
from regard.observe import listening
from regard.observe.record import Seen
from regard.watch import watch

B, T, E, H = 2, 6, 16, 4


class Attends(nn.Module):
    """Calls `attend` with what it is given."""

    def forward(self, *arguments: Tensor, **named: Any) -> Tensor:
        return attend(*arguments, **named)


class Model(nn.Module):
    """Two layers of ours and one of torch."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([MultiHeadAttention(E, H, dropout=0.2), MultiHeadAttention(E, H, key_heads=2)])
        self.last = nn.MultiheadAttention(E, 2, batch_first=True)
        self.fails = False

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = x + layer(x, mask=causal())
        if self.fails:
            raise KeyError("in the model")
        return self.last(x, x, x, need_weights=False)[0]


NAMES = ["layers.0", "layers.1", "last"]


def everything_is_as_it_was(*models: nn.Module) -> bool:
    """No hook, no listener, no mode is left."""
    modules = [module for model in models for module in model.modules()]
    return (
        not any(module._forward_hooks or module._forward_pre_hooks for module in modules)
        and not any(module._forward_hooks_always_called or module._forward_hooks_with_kwargs for module in modules)
        and not _get_current_function_mode_stack()
        and listening._local.listeners == ()
        and listening._local.claims == 0
        and _door()._listeners == 0
        and _door()._listening.listener is None
    )


def _door() -> Any:
    return sys.modules["regard.attend"]


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    yield
    assert everything_is_as_it_was()


# What is seen


CENTRE = torch.rand(B, T) * T
CALLS: dict[str, Callable[[], dict[str, Any]]] = {
    "plain": lambda: {},
    "masked": lambda: {"mask": causal() & padding(torch.tensor([3, 6])) & window(2, 0)},
    "an empty row": lambda: {"mask": padding(torch.tensor([0, 6]))},
    "additive": lambda: {"score": Additive(torch.randn(5), torch.randn(5, 4), torch.randn(5, 4))},
    "cosine, alibi": lambda: {"score": Cosine(3.0), "bias": alibi(H)},
    "capped": lambda: {"score": Dot(cap=2.0)},
    "sinks": lambda: {"normalise": Softmax(torch.randn(H))},
    "sparsemax": lambda: {"normalise": "sparsemax", "mask": causal()},
    "sigmoid": lambda: {"normalise": "sigmoid"},
    "factor": lambda: {"after": gaussian(CENTRE, 2.0).exp()},
    "callable": lambda: {"score": lambda q, k: (q @ k.mT).tanh()},
    "drawn": lambda: {"normalise": "sample"},
    "gumbel": lambda: {"normalise": "gumbel", "mask": causal()},
}


@pytest.mark.parametrize("heads", [None, [2, 0]], ids=["all heads", "two heads"])
@pytest.mark.parametrize("parts", CALLS.values(), ids=CALLS.keys())
def test_weights_are_those_of_attend_with_weights(parts: Callable[[], dict[str, Any]], heads: list[int] | None) -> None:
    q, k, v = torch.randn(B, H, T, 4), torch.randn(B, 2, T, 4), torch.randn(B, 2, T, 3)
    model, named = Attends(), parts()
    torch.manual_seed(7)
    found, after = attend_with_weights(q, k, v, **named), torch.rand(2)
    torch.manual_seed(7)
    with watch(model, weights=True, topk=2, heads=heads) as seen:
        context = model(q, k, v, **named)
    assert torch.equal(torch.rand(2), after)
    torch.manual_seed(7)
    assert torch.equal(context, model(q, k, v, **named))
    (look,) = seen
    expected = found.weights if heads is None else found.weights[:, heads]
    torch.testing.assert_close(look.observed.weights, expected, rtol=0, atol=1e-5)
    assert look.observed.topk is not None
    torch.testing.assert_close(look.observed.topk.weights, expected.topk(2).values, rtol=0, atol=1e-5)
    lse = found.lse if heads is None else found.lse[:, heads]
    torch.testing.assert_close(look.observed.lse, lse, rtol=0, atol=1e-5)
    assert (look.heads, look.observed.size) == (heads and tuple(heads), (B, expected.shape[1], T, T))


def test_our_layers_are_seen_where_they_stand_with_every_step() -> None:
    model = Model().train()
    x = torch.randn(B, T, E)
    torch.manual_seed(1)
    plain, after = model(x), torch.rand(2)
    torch.manual_seed(1)
    with watch(model, weights=True) as seen:
        watched = model(x)
    assert torch.equal(watched, plain)
    assert torch.equal(torch.rand(2), after)
    assert [(look.name, look.step, look.cross) for look in seen] == [(name, 0, False) for name in NAMES]
    torch.testing.assert_close(
        seen.matrix("layers.0", 1, 1), model.layers[0].weights(x, mask=causal())[1, 1].detach(), rtol=0, atol=1e-5
    )
    with watch(model) as seen:
        model(x)
        model(x[:1])
    assert [look.step for look in seen["last"]] == [0, 1]
    assert [look.observed.size for look in seen["layers.1"]] == [(B, H, T, T), (1, H, T, T)]


def test_gradients_are_those_without_a_watch_and_a_checkpoint_counts_once() -> None:
    class Checkpointed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = Model().eval()

        def forward(self, x: Tensor) -> Tensor:
            return checkpoint(self.model, x, use_reentrant=False)

    model = Checkpointed()
    x = torch.randn(B, T, E)
    model(x).sum().backward()
    plain = [parameter.grad for parameter in model.parameters()]
    model.zero_grad()
    with watch(model) as seen:
        model(x).sum().backward()
    assert seen.names == [f"model.{name}" for name in NAMES]
    assert len(seen) == 3
    for parameter, grad in zip(model.parameters(), plain, strict=True):
        assert (parameter.grad is None and grad is None) or torch.equal(parameter.grad, grad)


def test_a_generation_with_a_cache_becomes_one_matrix() -> None:
    class Decoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = MultiHeadAttention(E, H, positions=Rotary())

        def forward(self, x: Tensor, past: Any) -> tuple[Tensor, Any]:
            memory = self.attention.prepare(x, after=past)
            return self.attention(x, memory, mask=causal()), memory

    model, x = Decoder().eval(), torch.randn(1, T, E)
    with watch(model, weights=True) as seen:
        _, memory = model(x[:, :2], None)
        for t in range(2, T):
            _, memory = model(x[:, t : t + 1], memory)
    assert [(look.step, look.cross, look.observed.size[2:]) for look in seen] == [
        (0, False, (2, 2)), *((t - 1, False, (1, t + 1)) for t in range(2, T))
    ]  # fmt: skip
    expected = model.attention.weights(x, mask=causal())[0, 3].detach()
    torch.testing.assert_close(seen.matrix("attention", 3), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("attention", ["additive", "general", "local-m", "local-p"])
@pytest.mark.parametrize("order", ["bahdanau", "luong"])
def test_the_decoders_steps_become_source_by_target(attention: str, order: str) -> None:
    model = small.model(attention=attention, order=order, window=2)
    source, lengths = small.batch(small.SOURCE)
    target = torch.tensor([[1, 4, 5, 6]] * len(source))
    with watch(model, weights=True) as seen:
        readout = model(source, lengths, target)
    assert torch.equal(readout, model(source, lengths, target))
    assert seen.names == ["decoder.context.attention"]
    assert [look.step for look in seen] == [0, 1, 2, 3]
    assert all(look.cross for look in seen)
    with torch.no_grad():
        memory = model.encode(source, lengths)
        state, alphas = model.start(memory, 1), []
        for t in range(4):
            _, state, alpha = model.step(target[:, t : t + 1], state, memory, weights=True)
            alphas.append(alpha)
    expected = torch.cat(alphas, 1)
    for row in range(len(source)):
        found = seen.matrix("decoder.context.attention", 0, row)
        torch.testing.assert_close(found.double(), expected[row], rtol=0, atol=1e-5)


def test_a_translator_shows_what_its_translation_shows() -> None:
    translator = regard.load("en-fr")
    plain = translator.translate(["I love deep learning"], beam=1)[0]
    with watch(translator.model, weights=True) as seen:
        watched = translator.translate(["I love deep learning"], beam=1)[0]
    assert watched.text == plain.text
    found = seen.matrix("decoder.context.attention", 0)  # its last row read the end of the sentence
    torch.testing.assert_close(found[:-1].sum(-1), torch.ones(len(found) - 1))
    assert found.shape == (len(watched.tokens) + 1, len(watched.source_words))
    merged = found[: len(watched.tokens)]
    assert merged.argmax(-1)[0] == plain.attention[0].argmax()
    with watch(translator.model, weights=True) as seen:
        translator.translate(["I love deep learning"], beam=3)
    with pytest.raises(ValueError, match="beam search"):
        seen.matrix("decoder.context.attention", 0)
    with pytest.raises(ValueError, match=r"got Translator: watch its \.model"):
        watch(translator)  # type: ignore[arg-type]


def test_methods_beside_forward() -> None:
    model, x = Model().eval(), torch.randn(B, T, E)
    with watch(model) as seen:
        model.layers[1].attended(x)
        model.layers[1](x)
        model.layers[0].weights(x)
    assert [(look.name, look.step) for look in seen] == [("layers.1", 0), ("layers.1", 1), ("layers.0", 0)]


def test_layers_alone() -> None:
    for layer, arguments in (
        (AdditiveAttention(3, 5, hidden=4), (torch.randn(B, 3, 3), torch.randn(B, T, 5), torch.tensor([2, 6]))),
        (LocalAttention(3, 5, 2, predictive=True), (torch.randn(B, 3, 3), torch.randn(B, T, 5), torch.tensor([2, 6]))),
    ):
        with watch(layer) as seen:
            watched = layer(*arguments)
        assert torch.equal(watched, layer(*arguments))
        assert seen.names == [type(layer).__name__]


# What is chosen


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


# What cannot be read


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


# It changes nothing and leaves nothing


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


# Compiled


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


# What was seen, at hand


def test_a_part_of_what_was_seen_and_the_overview(capsys: pytest.CaptureFixture[str]) -> None:
    model = Model().eval()
    with watch(model, weights=True) as seen:
        model(torch.randn(B, T, E))
    part = seen.subset("layers.*")
    assert part.names == NAMES[:2]
    assert isinstance(part, Seen)
    seen.unread["elsewhere"] = "it is [not] to be read"
    seen.show(row=1)
    shown = capsys.readouterr().out
    for name in NAMES:
        assert name in shown
    assert "6 × 6" in shown
    assert f"{float(seen['last'][0].observed.entropy[1, 1].mean()):.2f}" in shown
    assert "not read: elsewhere: it is [not] to be read" in shown
    Seen().show()
    assert "No attention was seen." in capsys.readouterr().out
    with pytest.raises(ValueError, match="2 batch rows, got 2"):
        seen.show(row=2)


def test_matrices_that_cannot_be_had() -> None:
    model, x = Model(), torch.randn(B, T, E)
    with watch(model, weights=True, heads=[3, 1]) as seen:
        with pytest.raises(KeyError, match="there are: none"):
            seen["last"]
        model.layers[0](x)
    weights = seen.looks[0].observed.weights
    assert torch.equal(seen.matrix("layers.0", 1), weights[0, 1])
    with pytest.raises(ValueError, match="there are 3, 1, got 0"):
        seen.matrix("layers.0", 0)
    with pytest.raises(KeyError, match=r"nothing was seen of 'layers\.5'"):
        seen.matrix("layers.5", 0)
    with watch(model) as seen:
        model(x)
    with pytest.raises(ValueError, match="weights=True"):
        seen.matrix("last", 0)
    with watch(model, weights=True) as seen:
        model(x)
        model(x)
    with pytest.raises(ValueError, match="was called 2 times"):
        seen.matrix("last", 0)
