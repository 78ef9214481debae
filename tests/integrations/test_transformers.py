"""Our attention in transformers' models: the outputs of their eager form, masks that are never lost, refusals."""

import threading
from typing import Any

import pytest
import torch
from hf_models import FAMILIES, Family, through_the_interface
from torch import Tensor, nn

from regard.attend import overheard
from regard.equation.masks import causal, window
from regard.integrations.transformers import register, registered, unregister
from regard.integrations.transformers.arguments import equation
from regard.integrations.transformers.attention import attention
from regard.integrations.transformers.masks import Told, told
from regard.kernels.problem import Call

hf = pytest.importorskip("transformers")
families = pytest.mark.parametrize("name", FAMILIES)


def pair(family: Family, **changes: Any) -> tuple[nn.Module, nn.Module]:
    """The eager form and ours, with the same weights."""
    if not through_the_interface(family):
        pytest.skip(f"transformers {hf.__version__} computes this model's attention outside of its interface")
    return family.make("eager", **changes), family.make("regard", **changes)


@pytest.fixture(autouse=True)
def ours_is_registered() -> Any:
    with registered():
        yield


@families
@pytest.mark.parametrize("pad", [None, "right", "left"])
def test_outputs_and_gradients_are_those_of_the_eager_form(name: str, pad: str | None) -> None:
    family = FAMILIES[name]
    if family.kind == "image" and pad:
        pytest.skip("images have no padding")
    inputs = family.inputs(pad)
    results = []
    for model in pair(family):
        out = model(**inputs)[0]
        real = inputs["attention_mask"][..., None] if pad and family.kind != "seq2seq" else torch.ones(1)
        generator = torch.Generator().manual_seed(4)
        (out * real * torch.randn(out.shape, generator=generator)).sum().backward()
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in model.parameters()]
        results.append([out * real, *gradients])
    for theirs, ours in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=2e-4)
    assert any(x.abs().max() > 1e-3 for x in results[0][1:])


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if family.kind in ("decoder", "seq2seq")])
@pytest.mark.parametrize("pad", [None, "left"])
@pytest.mark.parametrize("cache", ["dynamic", "static", None])
def test_generation_is_that_of_the_eager_form(name: str, pad: str | None, cache: str | None) -> None:
    family = FAMILIES[name]
    if cache == "static" and name == "gpt_oss":
        pytest.skip("its experts are compiled with a static cache")
    settings = {"max_new_tokens": 8, "min_new_tokens": 8, "do_sample": False, "output_logits": True}
    settings |= {"return_dict_in_generate": True, "use_cache": cache is not None, "disable_compile": True}
    if cache == "static":
        settings["cache_implementation"] = "static"
    inputs = {key: x for key, x in family.inputs(pad).items() if key != "decoder_input_ids"}
    theirs, ours = (model.generate(**inputs, **settings) for model in pair(family))
    assert torch.equal(theirs.sequences, ours.sequences)
    for a, b in zip(ours.logits, theirs.logits, strict=True):
        torch.testing.assert_close(a, b, atol=2e-5, rtol=1e-4)


def calls_of(model: nn.Module, inputs: dict[str, Tensor]) -> list[Call]:
    calls = []

    def listen(call: Call, compute: Any) -> Any:
        calls.append(call)
        return compute(call)

    with torch.no_grad(), overheard(listen):
        model(**inputs)
    return calls


def test_structure_is_handed_on_where_it_is_known() -> None:
    llama, mistral, bert = (FAMILIES[name] for name in ("llama", "mistral", "bert"))
    of = {name: calls_of(FAMILIES[name].make("regard"), FAMILIES[name].inputs()) for name in ("llama", "mistral")}
    assert {repr(call.mask) for call in of["llama"]} == {"causal()"}
    assert {repr(call.mask) for call in of["mistral"]} == {"window(3, 0)"}
    assert {repr(call.mask) for call in calls_of(bert.make("regard"), bert.inputs())} == {"None"}
    assert {repr(call.mask) for call in calls_of(bert.make("regard"), bert.inputs("right"))} == {"padding(<2 lengths>)"}
    padded = {repr(call.mask) for call in calls_of(llama.make("regard"), llama.inputs("left"))}
    assert padded == {"causal() & dense(<2x1x1x11>)"}
    assert of["mistral"][0].keys.shape[1] == 2  # key heads are not repeated
    assert {repr(call.mask) for call in calls_of(mistral.make("regard"), mistral.inputs("right"))} == {
        "window(3, 0) & padding(<2 lengths>)"
    }


def test_a_mask_of_ones_own_is_taken_as_it_is() -> None:
    family = FAMILIES["llama"]
    inputs = family.inputs()
    allowed = torch.rand(2, 1, 11, 11, generator=torch.Generator().manual_seed(2)) > 0.4
    allowed |= torch.eye(11, dtype=torch.bool)
    added = torch.where(allowed, 0.0, torch.finfo(torch.float32).min) + 0.3 * torch.randn(2, 1, 11, 11) * allowed
    theirs, ours = pair(family)
    with torch.no_grad():
        expected = theirs(**inputs, attention_mask=added).logits
        torch.testing.assert_close(ours(**inputs, attention_mask=added).logits, expected, atol=1e-5, rtol=1e-4)
        hard = torch.where(allowed, 0.0, torch.finfo(torch.float32).min)
        expected = theirs(**inputs, attention_mask=hard).logits
        torch.testing.assert_close(ours(**inputs, attention_mask=allowed).logits, expected, atol=1e-5, rtol=1e-4)


def test_packed_sequences_keep_apart() -> None:
    family = FAMILIES["llama"]
    inputs = family.inputs(batch=1)
    positions = torch.cat([torch.arange(5), torch.arange(6)])[None]
    theirs, ours = pair(family)
    with torch.no_grad():
        expected = theirs(**inputs, position_ids=positions, use_cache=False).logits
        got = ours(**inputs, position_ids=positions, use_cache=False).logits
        whole = ours(**inputs, use_cache=False).logits
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(got[:, 5:], whole[:, 5:], atol=1e-3)


def test_dropout_is_drawn_in_training_only() -> None:
    family = FAMILIES["llama"]
    model = family.make("regard", attention_dropout=0.5)
    inputs = family.inputs()
    still = model(**inputs).logits
    assert torch.equal(model(**inputs).logits, still)
    model.train()
    torch.manual_seed(0)
    first = model(**inputs).logits
    assert not torch.allclose(first, model(**inputs).logits)
    torch.manual_seed(0)
    assert torch.equal(model(**inputs).logits, first)


def test_a_model_can_be_set_to_it_and_back_and_compiles() -> None:
    family = FAMILIES["llama"]
    model, inputs = family.make("sdpa"), family.inputs("left")
    with torch.no_grad():
        expected = model(**inputs).logits[:, 4:]
        model.set_attn_implementation("regard")
        assert len(calls_of(model, inputs)) == 2
        torch.testing.assert_close(model(**inputs).logits[:, 4:], expected, atol=1e-5, rtol=1e-4)
        torch._dynamo.reset()
        compiled = torch.compile(model, backend="aot_eager")
        torch.testing.assert_close(compiled(**inputs, use_cache=False).logits[:, 4:], expected, atol=1e-5, rtol=1e-4)
        model.set_attn_implementation("sdpa")
        assert torch.equal(model(**inputs).logits[:, 4:], expected)


class Module(nn.Module):
    is_causal = True


def parts(**arguments: Any) -> dict[str, Any]:
    q = torch.zeros(2, 4, 5, 8)
    arguments = {"attention_mask": None, "causal_without_mask": True, **arguments}
    return equation(Module(), q, arguments.pop("key", q), **arguments)


def test_a_call_without_a_mask_is_causal_where_it_says_so_and_nowhere_else() -> None:
    assert repr(parts()["mask"]) == "causal()"
    assert parts(is_causal=False)["mask"] is None
    assert parts(causal_without_mask=False)["mask"] is None
    whole = torch.ones(1, 1, 5, 5, dtype=torch.bool)
    assert parts(attention_mask=whole)["mask"].dense(2, 4, 5, 5).all()
    one = equation(Module(), torch.zeros(2, 4, 1, 8), torch.zeros(2, 4, 5, 8), None, causal_without_mask=True)
    assert one["mask"] is None  # a cached step sees all before it
    longer = parts(key=torch.zeros(2, 4, 7, 8))["mask"]  # a cache with room: the first query stands on the first key
    assert torch.equal(longer.dense(2, 4, 5, 7)[0, 0], torch.ones(5, 7, dtype=torch.bool).tril())


@pytest.mark.plain
def test_what_would_change_the_result_and_is_not_known_is_refused_by_name() -> None:
    q = torch.randn(1, 2, 5, 8)
    for says, arguments in {
        "was given cu_seq_lens_k, cu_seq_lens_q, which may change": {
            "cu_seq_lens_q": torch.tensor([0, 5]),
            "cu_seq_lens_k": torch.tensor([0, 5]),
        },
        "was given indices,": {"indices": torch.zeros(1, 5, 2)},
        "was given head_mask,": {"head_mask": torch.ones(2)},
        "was given a_new_thing,": {"a_new_thing": 0},
        "sliding_window=3 for 5 keys and no mask, so the window would be lost": {"sliding_window": 3},
    }.items():
        with pytest.raises(ValueError, match=says):
            attention(Module(), q, q, q, None, scaling=1.0, **arguments)
    for mask, says in (
        (torch.ones(1, 5), "got \\(1, 5\\): of fewer axes"),
        (torch.ones(1, 1, 5, 5).long(), "got torch.int64"),
        ("causal", "expected a tensor or a BlockMask, got str"),
    ):
        with pytest.raises(ValueError, match=says):
            attention(Module(), q, q, q, mask)
    harmless = attention(Module(), q, q, q, None, position_ids=torch.arange(5), head_mask=None, use_cache=True)[0]
    assert torch.equal(harmless, attention(Module(), q, q, q, None)[0])


def test_a_rule_that_travels_as_a_tensor_is_that_tensor_to_whoever_computes_with_it() -> None:
    rule = causal() & window(2, 0)
    mask = told(rule, (2, 1, 4, 6))
    plain = rule.dense(2, 1, 4, 6).expand(2, 1, 4, 6)
    assert isinstance(mask, Told)
    assert (mask.shape, mask.dtype, mask.ndim, mask.device) == (plain.shape, torch.bool, 4, plain.device)
    assert torch.equal(mask[:, :, 1:, :3], plain[:, :, 1:, :3])
    assert torch.equal(~mask, ~plain)
    assert torch.equal(torch.where(mask, 0.0, -1.0), torch.where(plain, 0.0, -1.0))
    assert torch.equal(mask.repeat_interleave(2, 0), plain.repeat_interleave(2, 0))
    assert type(mask.to(torch.float32)) is Tensor
    assert repr(mask) == "Told(causal() & window(2, 0), (2, 1, 4, 6))"
    q, k = torch.randn(2, 1, 4, 8), torch.randn(2, 1, 5, 8)  # fewer keys than the mask has: it is cut
    assert torch.equal(attention(Module(), q, k, k, mask)[0], attention(Module(), q, k, k, plain)[0])


def test_registering_twice_is_once_and_what_was_there_comes_back() -> None:
    known = hf.AttentionInterface._global_mapping
    assert "regard" in known
    with registered():
        register()
    assert "regard" in known  # the outer one's
    unregister()
    unregister()
    assert "regard" not in known
    assert "regard" not in hf.AttentionMaskInterface._global_mapping
    with pytest.raises(KeyError), registered():
        known["regard"], known["nothing of this name"]
    assert "regard" not in known
    known["regard"] = print
    with pytest.raises(ValueError, match="another AttentionInterface of the name 'regard'"):
        register()
    unregister()
    assert known.pop("regard") is print
    register()


def test_several_threads_compute_at_once() -> None:
    family = FAMILIES["gemma2"]
    model, inputs = family.make("regard"), family.inputs("left")
    with torch.no_grad():
        expected = model(**inputs).logits
        found: list[Tensor] = []

        def run() -> None:
            with torch.no_grad():
                found.append(model(**inputs).logits)

        threads = [threading.Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(found) == 4
    assert all(torch.equal(logits, expected) for logits in found)
