"""What `regard.watch` sees in transformers' models is what their eager form computes, weight by weight."""

import copy
import threading
from typing import Any

import pytest
import torch
from hf_models import FAMILIES, Family, through_the_interface
from torch import Tensor, nn

from regard.integrations.transformers import listening, registered
from regard.observe.seen import Seen
from regard.watch import watch

hf = pytest.importorskip("transformers")
TOLERANCE = 1e-5
families = pytest.mark.parametrize("name", FAMILIES)


def run(model: nn.Module, inputs: dict[str, Tensor]) -> Any:
    with torch.no_grad():
        return model(**inputs)


def eager_weights(family: Family, inputs: dict[str, Tensor], **changes: Any) -> dict[str, list[Tensor]]:
    """The dense weights of the model's own eager form, in the order of the layers."""
    out = family.make("eager", output_attentions=True, **changes)(**inputs)
    if family.kind != "seq2seq":
        return {"all": list(out.attentions)}
    return {
        "encoder": list(out.encoder_attentions),
        "decoder": list(out.decoder_attentions),
        "cross": list(out.cross_attentions),
    }


def by_kind(seen: Seen, family: Family) -> dict[str, list[Tensor]]:
    """What a watch saw, in the same order."""
    found: dict[str, list[Tensor]] = {}
    for look in seen:
        assert look.observed.weights is not None
        if family.kind != "seq2seq":
            assert not look.cross
        part = "all" if family.kind != "seq2seq" else "cross" if look.cross else look.name.removeprefix("model.")[:7]
        found.setdefault(part, []).append(look.observed.weights)
    return found


def must_be_through_the_interface(family: Family) -> None:
    if not through_the_interface(family):
        pytest.skip(f"transformers {hf.__version__} computes this model's attention outside of its interface")


@families
@pytest.mark.parametrize("pad", [None, "right", "left"])
@pytest.mark.parametrize("attention", ["eager", "sdpa", "regard"])
def test_weights_are_those_of_the_eager_form_and_outputs_stay_to_the_bit(name: str, attention: str, pad: str) -> None:
    family = FAMILIES[name]
    if family.kind == "image" and pad:
        pytest.skip("images have no padding")
    if attention == "sdpa" and name in ("gemma2", "gpt_oss"):
        pytest.skip("transformers' sdpa has no soft caps and no sinks")
    inputs = family.inputs(pad)
    with registered():
        must_be_through_the_interface(family)
        model = family.make(attention)
        before = run(model, inputs)[0]
        with watch(model, weights=True) as seen:
            during = run(model, inputs)[0]
        assert torch.equal(run(model, inputs)[0], before)
    assert torch.equal(during, before)
    assert not seen.unread
    truth, found = eager_weights(family, inputs), by_kind(seen, family)
    assert found.keys() == truth.keys()
    for part, expected in truth.items():
        assert len(expected) == len(found[part]) == 2
        for theirs, ours in zip(expected, found[part], strict=True):
            assert ours.shape == theirs.shape
            # Queries that are padding may see nothing: 0 in all but their eager form, where they see everything alike.
            real = queries_that_are_there(inputs, ours) if attention != "eager" else torch.tensor(True)
            torch.testing.assert_close(ours * real, theirs * real, atol=TOLERANCE, rtol=0)


@families
@pytest.mark.parametrize("attention", ["eager", "sdpa", "regard"])
def test_gradient_times_attention_is_autograds_on_the_weights_of_the_eager_form(name: str, attention: str) -> None:
    family = FAMILIES[name]
    if attention == "sdpa" and name in ("gemma2", "gpt_oss"):
        pytest.skip("transformers' sdpa has no soft caps and no sinks")
    inputs = family.inputs()
    with registered():
        must_be_through_the_interface(family)
        truth = eager_products(family, inputs)
        model = family.make(attention)
        with watch(model, gradient=True, weights=True, map=32) as seen:
            model(**inputs)[0].sin().sum().backward()
    assert not seen.unread
    assert len(seen) == len(truth) == (6 if family.kind == "seq2seq" else 2)
    for look in seen:
        of_pairs, weights = look.observed.gradient, look.observed.weights
        assert of_pairs is not None
        assert of_pairs.map is not None
        assert weights is not None
        expected = next(x for w, x in truth if w.shape == weights.shape and torch.allclose(w, weights, atol=TOLERANCE))
        found = of_pairs.map.mean.where(of_pairs.map.mean.isfinite(), 0)  # a cell for each pair, NaN where it is hidden
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def eager_products(family: Family, inputs: dict[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Weights, and weights times their gradients, of every layer of the model's own eager form."""
    out = family.make("eager", output_attentions=True)(**inputs)
    kinds = ("encoder_attentions", "decoder_attentions", "cross_attentions", "attentions")
    weights = [layer for kind in kinds for layer in getattr(out, kind, None) or ()]
    for layer in weights:
        layer.retain_grad()
    out[0].sin().sum().backward()
    return [(layer.detach(), layer.detach() * layer.grad) for layer in weights if layer.grad is not None]


def queries_that_are_there(inputs: dict[str, Tensor], weights: Tensor) -> Tensor:
    """(B, 1, Tq, 1): 0 for queries that are padding."""
    there = inputs.get("attention_mask")
    return torch.ones(1) if there is None or there.shape[1] != weights.shape[2] else there[:, None, :, None]


@families
def test_flex_is_read_too(name: str) -> None:
    family = FAMILIES[name]
    if not family.flex:
        pytest.skip("their flex form of it does not run on a CPU")
    must_be_through_the_interface(family)
    model = family.make("flex_attention")
    inputs = family.inputs("right" if family.kind != "image" else None)
    if name == "t5":  # their flex form reads a bias that all rows share only where there is one row
        inputs = {key: x[:1] for key, x in inputs.items()}
    with torch.compiler.set_stance("force_eager"):  # their flex form compiles itself, which takes a minute
        before = run(model, inputs)[0]
        with watch(model, weights=True) as seen:
            during = run(model, inputs)[0]
    assert torch.equal(during, before)
    assert not seen.unread
    truth, found = eager_weights(family, inputs), by_kind(seen, family)
    for part, expected in truth.items():
        for theirs, ours in zip(expected, found[part], strict=True):
            real = queries_that_are_there(inputs, ours)
            torch.testing.assert_close(ours * real, theirs * real, atol=TOLERANCE, rtol=0)


DECODERS = [name for name, family in FAMILIES.items() if family.kind in ("decoder", "seq2seq")]
GENERATE = {"max_new_tokens": 5, "min_new_tokens": 5, "do_sample": False}


def prompt(family: Family, pad: str | None) -> dict[str, Tensor]:
    return {name: x for name, x in family.inputs(pad).items() if name != "decoder_input_ids"}


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("pad", [None, "left"])
def test_while_it_generates_every_step_is_seen_as_its_eager_form_has_it(name: str, pad: str | None) -> None:
    family = FAMILIES[name]
    must_be_through_the_interface(family)
    model = family.make("eager")
    inputs = prompt(family, pad)
    truth = model.generate(**inputs, **GENERATE, output_attentions=True, return_dict_in_generate=True)
    with watch(model, weights=True) as seen:
        ids = model.generate(**inputs, **GENERATE)
    assert torch.equal(ids, truth.sequences)
    assert not seen.unread
    steps = truth.decoder_attentions if family.kind == "seq2seq" else truth.attentions
    found: dict[tuple[bool, int], list[Tensor]] = {}
    for look in seen:
        if "encoder.block" not in look.name and "encoder.layers" not in look.name:
            found.setdefault((look.cross, look.step), []).append(look.observed.weights)
    for step, layers in enumerate(steps):
        for theirs, ours in zip(layers, found[False, step], strict=True):
            torch.testing.assert_close(ours, theirs, atol=TOLERANCE, rtol=0)
    if family.kind == "seq2seq":
        for step, layers in enumerate(truth.cross_attentions):
            for theirs, ours in zip(layers, found[True, step], strict=True):
                torch.testing.assert_close(ours, theirs, atol=TOLERANCE, rtol=0)
    with watch(model, weights=True) as fewer:  # a window of cached keys, a beam reordered
        beams = model.generate(**inputs, **GENERATE, num_beams=3)
    assert torch.equal(beams, model.generate(**inputs, **GENERATE, num_beams=3))
    assert fewer.looks
    assert not fewer.unread


def test_statistics_agree_with_the_weights_and_layers_and_heads_are_chosen() -> None:
    family = FAMILIES["gemma2"]
    inputs = family.inputs("left")
    model = family.make("eager")
    truth = eager_weights(family, inputs)["all"][1][:, [0, 3]]
    with watch(model, topk=3, entropy=True, mass=True, layers=1, heads=[0, 3]) as seen:
        run(model, inputs)
    (look,) = seen
    assert look.name == "model.layers.1.self_attn"
    torch.testing.assert_close(look.observed.mass, truth.sum(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(look.observed.entropy, -torch.xlogy(truth, truth).sum(-1), atol=TOLERANCE, rtol=0)
    torch.testing.assert_close(look.observed.topk.weights[..., 0], truth.amax(-1), atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_training_with_dropout_draws_as_it_would_and_is_seen_before_dropout(attention: str) -> None:
    family = FAMILIES["bert"]
    must_be_through_the_interface(family)
    model = family.make(attention).train()
    inputs = family.inputs("right")
    results = []
    for watched in (False, True):
        torch.manual_seed(3)
        model.zero_grad()
        if watched:
            with watch(model, weights=True) as seen:
                out = model(**inputs)[0]
        else:
            out = model(**inputs)[0]
        out.sum().backward()
        results.append([out.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)])
    for plain, during in zip(*results, strict=True):
        assert torch.equal(plain, during)
    assert not seen.unread
    for look in seen:
        torch.testing.assert_close(look.observed.weights.sum(-1), torch.ones(2, 4, 11))


def test_a_checkpointed_layer_is_seen_once() -> None:
    family = FAMILIES["llama"]
    model = family.make("sdpa").train()
    model.gradient_checkpointing_enable()
    with watch(model) as seen:
        model(**family.inputs()).logits.sum().backward()
    assert [look.name for look in seen] == ["model.layers.0.self_attn", "model.layers.1.self_attn"]


def interface_functions() -> list[Any]:
    kinds = (hf.AttentionInterface, hf.AttentionInterface.__mro__[1])
    found = [kind.__dict__.get(name) for kind in kinds for name in ("get_interface", "__getitem__")]
    return [*found, hf.models.llama.modeling_llama.eager_attention_forward]


def test_everything_is_as_it_was_afterwards_also_nested_and_after_an_exception() -> None:
    family = FAMILIES["llama"]
    model, inputs = family.make("sdpa"), family.inputs()
    before = interface_functions()
    with watch(model) as outer:
        with watch(model) as inner:
            run(model, inputs)
        assert interface_functions() != before
        run(model, inputs)
    assert (len(outer), len(inner)) == (4, 2)
    assert interface_functions() == before

    class Stop(Exception):
        pass

    def stop(*_: Any) -> None:
        raise Stop

    handle = model.model.layers[1].register_forward_pre_hook(stop)
    stopped = watch(model)
    with pytest.raises(Stop), stopped as seen:
        run(model, inputs)
    handle.remove()
    assert len(seen) == 1
    assert interface_functions() == before
    assert not listening._before


def test_a_watch_hears_neither_another_thread_nor_another_model() -> None:
    family = FAMILIES["llama"]
    model, other, inputs = family.make("eager"), family.make("eager"), family.inputs()
    together = threading.Barrier(3, timeout=60)
    found: dict[str, Any] = {}

    def watching(name: str, mine: nn.Module, times: int) -> None:
        together.wait()
        with watch(mine) as seen:
            for _ in range(times):
                run(mine, inputs)
                run(copy.deepcopy(mine), inputs)
        found[name] = seen

    def running() -> None:
        together.wait()
        for _ in range(3):
            run(model, inputs)

    before = interface_functions()
    threads = [
        threading.Thread(target=watching, args=("first", model, 2)),
        threading.Thread(target=watching, args=("second", other, 3)),
        threading.Thread(target=running),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found["first"]) == 4
    assert len(found["second"]) == 6
    assert interface_functions() == before


def test_what_cannot_be_read_is_named_and_runs_as_it_is() -> None:
    def odd(module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Any, **_: Any) -> tuple[Tensor, None]:
        return value.repeat_interleave(2, 1).mean(2, keepdim=True).expand_as(query).transpose(1, 2), None

    family = FAMILIES["llama"]
    hf.AttentionInterface.register("odd", odd)
    hf.AttentionMaskInterface.register("odd", hf.AttentionMaskInterface()["sdpa"])
    try:
        model = family.make("odd")
        with pytest.warns(UserWarning, match="saw no attention"), watch(model) as seen:
            run(model, family.inputs())
        assert "attn_implementation='odd' is not read" in seen.unread["model.layers.0.self_attn"]
    finally:
        del hf.AttentionInterface._global_mapping["odd"], hf.AttentionMaskInterface._global_mapping["odd"]
    model = family.make("eager")
    model.model.layers[0].self_attn.scaling = 3.0  # a model may do as it likes: what it is given is what is told
    with watch(model) as seen:
        run(model, family.inputs())
    assert not seen.unread


def test_a_function_that_does_more_than_it_is_given_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = hf.AttentionInterface._global_mapping["sdpa"]

    def tilted(module: nn.Module, query: Tensor, *rest: Any, **arguments: Any) -> Any:
        return theirs(module, 1.1 * query, *rest, **arguments)

    monkeypatch.setitem(hf.AttentionInterface._global_mapping, "sdpa", tilted)
    family = FAMILIES["llama"]
    model = family.make("sdpa")
    with pytest.warns(UserWarning, match="saw no attention"), watch(model) as seen:
        run(model, family.inputs())
    assert "computes something else than its arguments say" in seen.unread["model.layers.1.self_attn"]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_formats_are_read(dtype: torch.dtype) -> None:
    for name in ("llama", "gemma2"):
        family = FAMILIES[name]
        model = family.make("eager").to(dtype)
        with watch(model, weights=True) as seen:
            run(model, family.inputs("left"))
        assert not seen.unread
        assert len(seen) == 2
