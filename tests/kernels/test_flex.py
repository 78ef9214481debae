"""FlexAttention behind the door: what it is told of a mask, when it is compiled, and who chooses it.

That it agrees with the equation is in every/, on a CPU in PyTorch's plain form. That form asks every pair and
looks at no tiles, so tiles are checked here by themselves, and once by compiled code.
"""

import gc
import itertools
import shutil
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.attention.flex_attention
from flex_on_cpu import flex_on_a_cpu
from torch import Tensor

from regard.attend import attend, plan
from regard.equation.biases import Bias, alibi, gaussian, relative
from regard.equation.mask import Mask
from regard.equation.masks import blocks, causal, dense, documents, padding, tokens, window
from regard.equation.patterns import bigbird, fixed, strided
from regard.equation.rules import Grid
from regard.equation.scores import Dot
from regard.kernels import flex, flex_masks
from regard.kernels.flex_masks import masking
from regard.kernels.plan import Plan, kernel, make

CPU = torch.device("cpu")


def drawn(*shape: int, share: float = 0.5) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(3)) < share


class OddHeads(Mask):
    """A rule of the user's own, which says nothing of itself: heads with odd numbers see nothing but themselves."""

    key = ("odd heads",)

    def at(self, grid: Grid) -> Tensor:
        return (grid.head % 2 == 0) | (grid.query == grid.key)

    def __repr__(self) -> str:
        return "odd heads"


def masks(Tq: int, Tk: int) -> list[Mask]:
    """For 2 batch rows and 4 heads."""
    return [
        causal(),
        ~causal(),
        window(2, 1),
        padding([Tk - 1, 3]),
        padding([Tk, 0], queries=[Tq - 1, Tq]),
        documents(torch.arange(Tk) // 3),
        documents(torch.tensor([[0] * Tk, [1] * (Tk - 1) + [2]]), torch.tensor([[0] * Tq, [2] * Tq])),
        window(1, 0) | tokens([0, 3]),
        blocks(drawn(1, 4, -(-Tq // 2), -(-Tk // 2)), 2),
        dense(drawn(2, 1, Tq, Tk, share=0.1)),
        dense(drawn(2, 1, 1, Tk)) & causal(),
        strided(3),
        fixed(3),
        bigbird(2, drawn=1),
        OddHeads(),
    ]


SIZES = [(7, 7), (3, 7), (9, 7), (8, 8)]
EVERY = [(mask, Tq, Tk) for Tq, Tk in SIZES for mask in masks(Tq, Tk)]


@pytest.mark.parametrize(("mask", "Tq", "Tk"), EVERY, ids=[f"{mask}, {Tq} of {Tk}" for mask, Tq, Tk in EVERY])
def test_tiles_left_out_are_empty_and_tiles_not_asked_are_full(
    mask: Mask, Tq: int, Tk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flex_masks, "SIDE", 4)
    monkeypatch.setattr(flex_masks, "PAIRS", 300)
    allowed = mask.dense(2, 4, Tq, Tk).expand(2, 4, Tq, Tk)
    tiles = torch.nn.functional.pad(allowed, (0, -Tk % 4, 0, -Tq % 4))
    tiles = tiles.unflatten(2, (-1, 4)).unflatten(4, (-1, 4)).transpose(3, 4).flatten(4)
    made, asking, seen = masking(mask, (2, 4, Tq, Tk), CPU)

    def named(numbers: Tensor | None, indices: Tensor | None, across: int) -> Tensor:
        assert numbers is not None
        assert indices is not None
        found = torch.zeros(*indices.shape[:3], across, dtype=torch.bool)
        for b, h, r in itertools.product(*map(range, indices.shape[:3])):
            found[b, h, r, indices[b, h, r, : numbers[b, h, r]].long()] = True
        return found

    down, across = tiles.shape[2:4]
    asked = named(made.kv_num_blocks, made.kv_indices, across)
    whole = named(made.full_kv_num_blocks, made.full_kv_indices, across)
    assert not (asked & whole).any()
    assert (asked | whole | ~tiles.any(-1)).all()
    assert (tiles.all(-1) | ~whole).all()
    for forwards, numbers, indices in (  # what the backward pass goes by
        (asked, made.q_num_blocks, made.q_indices),
        (whole, made.full_q_num_blocks, made.full_q_indices),
    ):
        assert torch.equal(named(numbers, indices, down), forwards.mT)
    queries, keys = allowed.any(3, keepdim=True), allowed.any(2, keepdim=True)
    assert (queries == (True if asking is None else asking)).all()
    assert (keys == (True if seen is None else seen)).all()


def test_what_is_known_of_a_mask_skips_what_it_can() -> None:
    made, asking, seen = masking(window(128, 128), (1, 1, 1024, 1024), CPU)
    assert made.kv_num_blocks.tolist() == [[[1, 2, 2, 2, 2, 2, 2, 1]]]
    assert made.full_kv_num_blocks.tolist() == [[[1] * 8]]
    assert asking is seen is None
    made, _, _ = masking(documents(torch.arange(1024) // 256), (1, 1, 1024, 1024), CPU)
    assert made.kv_num_blocks.sum() == 0
    assert made.full_kv_num_blocks.tolist() == [[[2] * 8]]


def test_a_mask_of_numbers_is_found_again_by_them_another_while_it_lives_and_is_not_written_to() -> None:
    size = (2, 4, 7, 7)
    assert masking(causal() & window(3, 1), size, CPU) is masking(causal() & window(3, 1), size, CPU)
    assert masking(causal() & window(3, 1), size, CPU) is not masking(causal() & window(3, 2), size, CPU)
    assert masking(causal(), size, CPU) is not masking(causal(), (2, 4, 3, 7), CPU)
    lengths = torch.tensor([7, 2])
    mask = causal() & padding(lengths)
    first = masking(mask, size, CPU)
    assert masking(mask, size, CPU) is first
    assert masking(causal() & padding(lengths), size, CPU) is not first
    lengths[1] = 5
    then = masking(mask, size, CPU)
    assert then is not first
    assert then.seen is not None
    assert then.seen[1, 0, 0].tolist() == [True] * 5 + [False] * 2
    kept = len(flex_masks._of_mask)
    del mask
    gc.collect()
    assert len(flex_masks._of_mask) == kept - 1
    with torch.inference_mode():
        unwatched = padding(torch.tensor([7, 2]))
    assert masking(unwatched, size, CPU) is not masking(unwatched, size, CPU)


def test_a_function_of_the_users_own_is_never_taken_for_another() -> None:
    class Asked(OddHeads):
        def __init__(self, sees: bool) -> None:
            self.sees = lambda grid: (grid.key > 2) == sees

        def at(self, grid: Grid) -> Tensor:
            return self.sees(grid)

    size = (1, 1, 4, 4)
    seen = [masking(Asked(sees), size, CPU).seen for sees in (True, False)]
    assert [x is not None and x.flatten().tolist() for x in seen] == [[False] * 3 + [True], [True] * 3 + [False]]


def test_a_rule_is_placed_with_all_that_it_is_made_of_and_stays_itself() -> None:
    mask = causal() & (padding([7, 3]) | ~documents(torch.arange(7)))
    there = mask.placed(7, "meta")
    assert [tensor.device.type for tensor in there.tensors] == ["meta"] * 2
    assert there.second.first.lengths.is_meta
    assert there.second.second.mask.ids.is_meta
    assert [tensor.device.type for tensor in mask.tensors] == ["cpu"] * 2
    table = torch.randn(8, 4, requires_grad=True)
    bias = relative(table) + alibi(4)
    assert bias.placed(7, "cpu").first.table is table
    assert repr(there) == repr(mask)


def inputs(T: int = 7, dtype: torch.dtype = torch.float64, device: str = "cpu", D: int = 8) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    sizes = ((2, 4, T, D), (2, 2, T, D), (2, 2, T, D))
    return [torch.randn(*size, generator=generator).to(device, dtype).requires_grad_() for size in sizes]


def computed(name: str, q: Tensor, k: Tensor, v: Tensor, **parts: Any) -> list[Tensor]:
    """The context and its gradients."""
    with kernel(name):
        out = attend(q, k, v, **parts)
    along = torch.randn(out.shape, generator=torch.Generator().manual_seed(2)).to(out)
    return [out.detach(), *torch.autograd.grad(out, (q, k, v), along)]


@pytest.mark.parametrize("cap", [None, 2.0])
@pytest.mark.parametrize("mask", [causal() & window(3, 0), bigbird(2, drawn=1), strided(2), fixed(3), None], ids=repr)
def test_caps_biases_and_patterns_agree_with_the_reference(
    mask: Mask | None, cap: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    flex_on_a_cpu(monkeypatch, 4)
    x = inputs()
    for bias in (None, alibi(4), gaussian(torch.rand(2, 7) * 7, 2.0) + torch.randn(1, 4, 7, 7)):
        parts = {"mask": mask, "bias": bias, "score": Dot(cap=cap)}
        for a, b in zip(computed("flex", *x, **parts), computed("reference", *x, **parts), strict=True):
            torch.testing.assert_close(a, b, atol=1e-10, rtol=1e-10)


def test_without_gradients_it_takes_tensors_that_could_have_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.nn.attention.flex_attention, "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG", True)
    q, k, v = inputs()
    with torch.no_grad(), kernel("flex"):
        got = attend(q, k, v, mask=causal())
    torch.testing.assert_close(got, attend(q, k, v, mask=causal()).detach())


def test_autocast_rounds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    flex_on_a_cpu(monkeypatch, 4)
    q, k, v = inputs(dtype=torch.float32)
    with kernel("flex"):
        plain = attend(q, k, v, mask=causal())
        with torch.autocast("cpu", torch.bfloat16):
            within = attend(q, k, v.bfloat16(), mask=causal())
    assert within.dtype == torch.bfloat16
    torch.testing.assert_close(within.float(), plain, atol=0.02, rtol=0.01)
    with kernel("flex"), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(attend(q, k, v, mask=causal()), plain)


WIDE = torch.empty(1, 8, 32768, 64, device="meta", dtype=torch.bfloat16)


def on_cuda(*tensors: Tensor, **parts: Any) -> Plan:
    """The plan for a GPU, from sizes and formats alone."""
    return make(replace(plan(*tensors, **parts).problem, device="cuda"))


def test_on_cuda_it_takes_what_would_need_a_matrix_and_sdpa_what_does_not() -> None:
    q = WIDE
    for parts in (
        {"mask": window(128, 128)},
        {"mask": causal() & documents(torch.arange(32768) // 1000)},
        {"mask": causal() & padding([20000])},
        {"bias": alibi(8), "mask": causal()},
        {"score": Dot(cap=50.0)},
        {"mask": bigbird(64)},
    ):
        assert on_cuda(q, q[:, :2], q[:, :2], **parts).kernel == "flex", parts
    for parts in ({}, {"mask": causal()}):
        found = on_cuda(q, q, q, **parts)
        assert found.kernel == "sdpa"
        assert found.reasons["flex"] == ["SDPA takes this without a mask"]
    short = q[:, :, :512]
    assert "compiling for matrices so small" in on_cuda(short, short, short, mask=window(9, 9)).reasons["flex"][0]
    narrow = q[..., :8]
    assert on_cuda(narrow, narrow, narrow, mask=window(9, 9)).reasons["flex"] == [
        "it wants queries and values of 16 features or more"
    ]
    table = torch.zeros(32, 8, device="meta", requires_grad=True)
    assert "in any order" in on_cuda(q, q, q, bias=relative(table)).reasons["flex"][0]
    assert on_cuda(q.float(), q.float(), q.float().requires_grad_(), mask=window(9, 9)).kernel == "flex"


def test_on_a_cpu_nobody_chooses_it_and_it_says_what_it_cannot_do() -> None:
    q = torch.empty(1, 8, 8192, 64, device="meta")
    for parts in ({"mask": window(128, 128)}, {"score": Dot(cap=50.0)}, {"bias": alibi(8), "mask": strided(64)}):
        found = plan(q, q, q, **parts)
        assert found.kernel != "flex"
        assert found.reasons["flex"] == ["it is for cuda: on cpu it computes plainly"]
    assert plan(q, q, q.clone().requires_grad_(), mask=window(1, 1)).reasons["flex"] == ["on cpu it has no gradients"]
    with kernel("flex"), pytest.raises(ValueError, match=r"kernel flex was asked for.*it drops no weights"):
        attend(*(torch.zeros(1, 1, 2, 4),) * 3, dropout=0.1)


@pytest.mark.plain
def test_each_kind_of_call_is_compiled_once_whatever_its_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """And more kinds than PyTorch compiles one function for."""
    from torch._dynamo.testing import CompileCounterWithBackend

    counter = CompileCounterWithBackend("eager")
    compile_ = torch.compile
    monkeypatch.setattr(flex, "COMPILED", ("cpu",))
    monkeypatch.setattr(flex, "NARROWEST", 0)
    monkeypatch.setattr(torch, "compile", lambda *given, **named: compile_(*given, **named, backend=counter))
    flex.program.cache_clear()
    with torch.no_grad(), kernel("flex"), torch._dynamo.config.patch(recompile_limit=1):
        for kind in (8, 5, 3):
            q, k, v = inputs(dtype=torch.float32, D=kind)
            for length in (7, 4, 2):
                mask = padding([7, length]) & causal()
                got = attend(q, k, v, mask=mask, bias=alibi(4))
                with kernel("reference"):
                    torch.testing.assert_close(got, attend(q, k, v, mask=mask, bias=alibi(4)))
    assert counter.frame_count == 3
    flex.program.cache_clear()


@pytest.mark.plain
@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="no C++ compiler")
def test_compiled_code_computes_every_rule_and_looks_at_the_tiles_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """By PyTorch's compiler for a CPU, which takes the same functions as that for CUDA, without gradients."""
    monkeypatch.setattr(flex, "COMPILED", ("cpu",))
    flex.program.cache_clear()
    T = 200
    mask: Mask = causal() & padding([T, 130]) & (window(30, 0) | tokens([0, 3]) | documents(torch.arange(T) // 77))
    mask = mask & ~(strided(150) & fixed(9)) & (bigbird(16) | blocks(drawn(13, 13), 16) | dense(drawn(2, 1, T, T)))
    bias: Bias = alibi(4) + relative(torch.randn(8, 4)) + gaussian(torch.rand(2, T) * T, 20.0)
    parts = {"mask": mask, "bias": bias + torch.randn(1, 1, T, T), "score": Dot(cap=3.0)}
    q, k, v = (x.detach() for x in inputs(T, torch.float32, D=16))
    with kernel("flex"):
        got = attend(q, k, v, **parts)
    with kernel("reference"):
        expected = attend(*(x.double() for x in (q, k, v)), **parts)
    torch.testing.assert_close(got.double(), expected, atol=2e-5, rtol=1e-4)
    flex.program.cache_clear()


needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


@needs_cuda
@pytest.mark.plain
@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    "parts",
    [
        {"mask": window(100, 20)},
        {"mask": causal() & padding([1000, 0]), "bias": alibi(4)},
        {"mask": documents(torch.arange(1000) // 300), "score": Dot(cap=5.0)},
        {"mask": bigbird(64) & causal()},
    ],
    ids=lambda parts: str(parts["mask"]),
)
def test_on_cuda_it_errs_at_most_twice_as_much_as_the_reference(parts: dict[str, Any], dtype: torch.dtype) -> None:
    x = inputs(1000, dtype, "cuda", D=64)
    exact = [t.detach().double().requires_grad_() for t in x]
    truth = computed("reference", *exact, **parts)
    found = {name: computed(name, *x, **parts) for name in ("flex", "reference")}
    for i, exactly in enumerate(truth):
        errors = {name: (of[i].double() - exactly).square().mean().sqrt().item() for name, of in found.items()}
        floor = torch.finfo(dtype).eps * exactly.square().mean().sqrt().item() / 4
        assert errors["flex"] <= 2 * errors["reference"] + floor, f"output or gradient {i}"
