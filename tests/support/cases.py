"""What must hold for every mechanism, as one set of checks that a layer runs through in a few lines.

    def draw(batch, time):                      # the layer's arguments; `time` is how many positions there are to see
        lengths = torch.randint(1, time + 1, (batch,)) if time else torch.zeros(batch).long()
        return torch.randn(batch, 5, 6).double(), torch.randn(batch, time, 6).double(), lengths

    def oracle(layer, query, states, lengths): ...      # the truth, by other means; None where there is none

    CASES = {"dot": Case(DotAttention, draw, oracle, lengths=2, padded=(1,))}
    test_what_must_hold = must_hold(CASES)

That makes a test for each check below and each case. Every argument has the batch on axis 0; floating-point ones are
drawn in float64 and get gradients, the others (lengths, masks) are passed as they are. A layer may return a tensor or a
tuple of them. A check that makes no sense for a layer is named in `without`, with the reason, and skipped.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from regard.kernels.plan import kernel


@dataclass(frozen=True)
class Case:
    """A layer to be checked."""

    make: Callable[[], nn.Module]
    """A new layer, in float32; the same call is made twice where two of a kind are needed."""
    draw: Callable[[int, int], tuple]
    """(batch, time) to the arguments."""
    oracle: Callable[..., Any] | None = None
    """(layer, *arguments) to what the layer should give, with gradients into arguments and parameters."""
    lengths: int | None = None
    """Which argument holds the lengths (B,): how much of each row is there. None where the layer takes none."""
    padded: tuple[int, ...] = ()
    """Which arguments (B, time, ...) hold padding beyond the lengths."""
    nothing: Callable[[nn.Module], Any] = lambda layer: 0.0
    """What the layer gives where there is nothing to attend to: 0, or what an output bias makes of 0."""
    without: dict[str, str] = field(default_factory=dict)
    """Checks that make no sense here, by name, and why."""
    draws: int = 2
    """Of 16 rows, from which errors in low precision are judged: more where a gradient is a single number, or where
    errors are rare and great (an argmax that falls otherwise)."""

    def layer(self, dtype: torch.dtype = torch.float64) -> nn.Module:
        torch.manual_seed(1)
        return self.make().to(dtype).eval()

    def arguments(self, batch: int = 3, time: int = 7, dtype: torch.dtype = torch.float64, seed: int = 0) -> list:
        torch.manual_seed(seed)
        return [as_leaf(x.to(dtype)) if floats(x) else x for x in self.draw(batch, time)]

    def beyond(self, arguments: list, which: int) -> Tensor:
        """(B, time) flags: which positions of this argument are padding."""
        assert self.lengths is not None
        return torch.arange(arguments[which].shape[1]) >= arguments[self.lengths][:, None]


def must_hold(cases: dict[str, Case]) -> Callable[[Callable, str], None]:
    """A test of every check on every case, to be bound to a name that starts with `test_`."""

    @pytest.mark.parametrize("name", cases)
    @pytest.mark.parametrize("check", [pytest.param(f, id=f.__name__, marks=marks) for f, marks in CHECKS])
    def test(check: Callable[[Case], None], name: str) -> None:
        case = cases[name]
        assert set(case.without) <= {f.__name__ for f, _ in CHECKS}
        if check.__name__ in case.without:
            pytest.skip(case.without[check.__name__])
        check(case)

    return test


# ---- the checks ----


def agrees_with_its_oracle(case: Case) -> None:
    """Float64, forward and gradients, at several sizes; with nothing there at all it gives nothing."""
    if case.oracle is None:
        pytest.skip("there is no oracle")
    layer = case.layer()
    for time in (7, 1, 97):
        ours, truth = case.arguments(time=time), case.arguments(time=time)
        compare(results(layer, ours), results(lambda *x: case.oracle(layer, *x), truth, layer), 1e-10)


def takes_any_size(case: Case) -> None:
    layer = case.layer()
    for batch, time in ((3, 0), (3, 1), (2, 97), (1, 7), (0, 7)):
        outputs, gradients = results(layer, case.arguments(batch, time))
        assert all(x.isfinite().all() for x in (*outputs, *gradients))
        if time == 0:
            assert all((out == case.nothing(layer)).all() for out in outputs)


def has_the_gradients_of_finite_differences(case: Case) -> None:
    layer, arguments = case.layer(), case.arguments(2, 3)
    names = [name for name, _ in layer.named_parameters()]
    where = [i for i, x in enumerate(arguments) if floats(x)]

    def run(*values: Tensor) -> Any:
        given = list(arguments)
        for i, value in zip(where, values, strict=False):
            given[i] = value
        return torch.func.functional_call(layer, dict(zip(names, values[len(where) :], strict=True)), tuple(given))

    assert torch.autograd.gradcheck(run, [arguments[i] for i in where] + list(layer.parameters()))


def gives_nothing_for_an_empty_row(case: Case) -> None:
    if case.lengths is None:
        pytest.skip("it takes no lengths")
    layer, arguments = case.layer(), case.arguments()
    arguments[case.lengths][0] = 0
    outputs, gradients = results(layer, arguments)
    assert all(x.isfinite().all() for x in (*outputs, *gradients))
    for out in outputs:
        assert (out[0] == case.nothing(layer)).all()
    of_arguments = gradients[: len([x for x in arguments if floats(x)])]
    assert all((gradient[0] == 0).all() for gradient in of_arguments)
    assert not of_arguments or any((gradient[1] != 0).any() for gradient in of_arguments)


def never_reads_what_lies_beyond_the_lengths(case: Case) -> None:
    """NaN, infinity and other numbers beyond the lengths change no bit, forward or in any gradient."""
    if case.lengths is None:
        pytest.skip("it takes no lengths")
    layer, found = case.layer(), []
    for filler in (0.0, math.nan, math.inf, 7.0):
        arguments = case.arguments()
        arguments[case.lengths] = torch.tensor([7, 3, 1])
        for i in case.padded:
            with torch.no_grad():
                arguments[i][case.beyond(arguments, i)] = filler
        outputs, gradients = results(layer, arguments)
        for i in case.padded:
            assert (arguments[i].grad[case.beyond(arguments, i)] == 0).all()
        with torch.no_grad():
            alone = tensors(layer(*arguments))
        found.append((*outputs, *alone, *gradients))
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            assert torch.equal(a, b)


def gives_each_row_what_it_gives_it_alone(case: Case) -> None:
    """A batch of one equals a row of a batch, also where the row is cut to its length: masking is deletion."""
    layer, arguments = case.layer(), case.arguments()
    together = tensors(layer(*arguments))
    for row in range(3):
        one = [x[row : row + 1] if isinstance(x, Tensor) else x for x in arguments]
        for cut in (False, True) if case.lengths is not None else (False,):
            for i in case.padded if cut else ():
                one[i] = one[i][:, : int(one[case.lengths])]
            for alone, whole in zip(tensors(layer(*one)), together, strict=True):
                same_part = whole[row][tuple(slice(0, size) for size in alone.shape[1:])]
                torch.testing.assert_close(alone[0], same_part, rtol=1e-12, atol=1e-12)


def takes_strided_and_expanded_tensors(case: Case) -> None:
    layer, plain = case.layer(), case.arguments()
    strided = [as_leaf(x.mT.contiguous()).mT if floats(x) and x.ndim > 1 else x for x in plain]
    compare((tensors(layer(*strided)), []), (tensors(layer(*plain)), []), 1e-12)
    expanded = [x[:1].expand_as(x) if isinstance(x, Tensor) else x for x in plain]
    copied = [x.contiguous() if isinstance(x, Tensor) else x for x in expanded]
    compare((tensors(layer(*expanded)), []), (tensors(layer(*copied)), []), 1e-12)


def errs_little_in_low_precision(case: Case) -> None:
    """At most twice the plain computation's own error, root mean square over draws, outputs and gradients.

    Plain is the layer on the reference kernel, and the oracle in the same format: the layer keeps to both.
    """
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        squares: dict[tuple[str, int], float] = {}
        for seed in range(case.draws):
            rounded = case.layer(dtype)
            exact = copy.deepcopy(rounded).double()  # the same numbers
            given = case.arguments(16, 13, dtype, seed)  # of many rows: the worst of a few is chance
            truth = flat(results(exact, [as_leaf(x.detach().double()) if floats(x) else x for x in given]))
            found = {"layer": flat(results(rounded, copied(given)))}
            with kernel("reference"):
                found["reference"] = flat(results(rounded, copied(given)))
            if case.oracle is not None:
                found["oracle"] = flat(results(lambda *x, of=rounded: case.oracle(of, *x), copied(given), rounded))
            for who, all_of_it in found.items():
                for i, (a, b) in enumerate(zip(all_of_it, truth, strict=True)):
                    assert a.dtype == dtype
                    squares[who, i] = squares.get((who, i), 0.0) + rms(a.double() - b) ** 2
        for i in range(len(truth)):
            floor = torch.finfo(dtype).eps * rms(truth[i]) / 4
            for plain in set(found) - {"layer"}:
                ours, theirs = math.sqrt(squares["layer", i]), math.sqrt(squares[plain, i])
                assert ours <= 2 * theirs + floor, f"{dtype}, output or gradient {i}, {ours / theirs:.2f} of {plain}"


def works_under_autocast(case: Case) -> None:
    layer, arguments = case.layer(torch.float32), case.arguments(dtype=torch.float32)
    exact = flat(results(layer, arguments))
    with torch.autocast("cpu", torch.bfloat16):
        outputs, gradients = results(layer, case.arguments(dtype=torch.float32))
    assert all(gradient.dtype == torch.float32 for gradient in gradients)
    typical = sum(rms(x) for x in exact) / len(exact)  # the gradient of a key's bias is 0 up to rounding
    for a, b in zip((*outputs, *gradients), exact, strict=True):
        assert rms(a.double() - b.double()) <= 0.05 * max(rms(b), typical)


def takes_mixed_dtypes_under_autocast(case: Case) -> None:
    """One argument in bfloat16, as what stands before the layer gave it, the others and the parameters in float32."""
    layer, arguments = case.layer(torch.float32), case.arguments(dtype=torch.float32)
    exact = tensors(layer(*arguments))
    typical = sum(rms(x) for x in exact) / len(exact)
    for i in (i for i, x in enumerate(arguments) if floats(x)):
        given = case.arguments(dtype=torch.float32)
        given[i] = as_leaf(given[i].bfloat16())
        with torch.autocast("cpu", torch.bfloat16):
            outputs, gradients = results(layer, given)
        assert given[i].grad.dtype == torch.bfloat16
        assert all(gradient.isfinite().all() for gradient in gradients)
        for a, b in zip(outputs, exact, strict=True):
            assert rms(a.double() - b.double()) <= 0.05 * max(rms(b), typical)


def compiles_whole(case: Case) -> None:
    layer = case.layer()
    torch.compiler.reset()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    compare(results(compiled, case.arguments(), layer), results(layer, case.arguments()), 1e-10)


def exports(case: Case) -> None:
    layer, arguments = case.layer(), case.arguments()
    exported = torch.export.export(layer, tuple(arguments)).module()
    compare((tensors(exported(*arguments)), []), (tensors(layer(*arguments)), []), 1e-10)


def is_saved_and_loaded(case: Case) -> None:
    layer, other = case.layer(), case.make().double().eval()
    other.load_state_dict(layer.state_dict())
    compare((tensors(other(*case.arguments())), []), (tensors(layer(*case.arguments())), []), 0)


def is_copied_and_cast(case: Case) -> None:
    layer = case.layer()
    twin = copy.deepcopy(layer)
    compare(results(twin, case.arguments()), results(layer, case.arguments()), 0)
    assert not {id(x) for x in twin.parameters()} & {id(x) for x in layer.parameters()}
    for dtype in (torch.float32, torch.bfloat16):
        moved = copy.deepcopy(layer).to(device="cpu", dtype=dtype)
        assert all(out.dtype == dtype for out in tensors(moved(*case.arguments(dtype=dtype))))


def computes_where_it_is(case: Case) -> None:
    """On the device "meta", which holds no numbers but minds where they are: what a layer makes is made there."""
    layer, arguments = case.layer(), case.arguments()
    moved = copy.deepcopy(layer).to("meta")
    there = moved(*(x.to("meta") if isinstance(x, Tensor) else x for x in arguments))
    for ours, here in zip(tensors(there), tensors(layer(*arguments)), strict=True):
        assert ours.device.type == "meta"
        assert ours.shape == here.shape
        assert ours.dtype == here.dtype


def names_a_wrong_dtype(case: Case) -> None:
    """One argument in whole numbers, or in another format than the others and the parameters, is a ValueError."""
    layer, arguments = case.layer(), case.arguments()
    for i, x in enumerate(arguments):
        if floats(x):
            for other in (x.detach().long(), x.detach().float()):
                if other.is_floating_point() and len([y for y in (*arguments, *layer.parameters()) if floats(y)]) == 1:
                    continue
                with pytest.raises(ValueError, match=f"expected.*{other.dtype}"):
                    layer(*arguments[:i], other, *arguments[i + 1 :])


def names_a_wrong_device(case: Case) -> None:
    """One argument elsewhere than the others and the parameters is a ValueError that says where it is."""
    layer, arguments = case.layer(), case.arguments()
    if len([x for x in (*arguments, *layer.parameters()) if floats(x)]) == 1:
        return
    for i, x in enumerate(arguments):
        if floats(x):
            with pytest.raises(ValueError, match=r"expected.*\b(cpu|meta)\b"):
                layer(*arguments[:i], x.detach().to("meta"), *arguments[i + 1 :])


CHECKS: list[tuple[Callable[[Case], None], Any]] = [
    (agrees_with_its_oracle, ()),
    (takes_any_size, ()),
    (has_the_gradients_of_finite_differences, ()),
    (gives_nothing_for_an_empty_row, ()),
    (never_reads_what_lies_beyond_the_lengths, ()),
    (gives_each_row_what_it_gives_it_alone, ()),
    (takes_strided_and_expanded_tensors, ()),
    (errs_little_in_low_precision, ()),
    (works_under_autocast, ()),
    (takes_mixed_dtypes_under_autocast, ()),
    (compiles_whole, pytest.mark.plain),
    (exports, pytest.mark.plain),
    (is_saved_and_loaded, ()),
    (is_copied_and_cast, ()),
    (computes_where_it_is, ()),
    (names_a_wrong_dtype, pytest.mark.plain),
    (names_a_wrong_device, pytest.mark.plain),
]


# ---- what they are made of ----


def floats(x: object) -> bool:
    return isinstance(x, Tensor) and x.is_floating_point()


def as_leaf(x: Tensor) -> Tensor:
    return x.detach().requires_grad_()


def copied(arguments: list) -> list:
    return [as_leaf(x.detach().clone()) if floats(x) else x for x in arguments]


def tensors(result: Any) -> tuple[Tensor, ...]:
    """A layer's result as a tuple."""
    return (result,) if isinstance(result, Tensor) else tuple(result)


def results(
    layer: Callable, arguments: list, owner: nn.Module | None = None
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Outputs, and the gradients of a fixed random sum of them: of arguments (kept in `.grad` too), of parameters.

    `owner` has the parameters where `layer` is a function.
    """
    owner = owner or layer
    outputs = tensors(layer(*arguments))
    leaves = [x for x in arguments if floats(x)]
    generator = torch.Generator().manual_seed(5)
    seeds = [torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x.dtype) for x in outputs]
    gradients = torch.autograd.grad(
        outputs, [*leaves, *owner.parameters()], seeds, allow_unused=True, materialize_grads=True
    )
    for leaf, gradient in zip(leaves, gradients, strict=False):
        leaf.grad = gradient
    return tuple(x.detach() for x in outputs), gradients


def flat(found: tuple[tuple[Tensor, ...], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    return (*found[0], *found[1])


def compare(ours: tuple, truth: tuple, tolerance: float) -> None:
    for a, b in zip((*ours[0], *ours[1]), (*truth[0], *truth[1]), strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def rms(x: Tensor) -> float:
    return x.double().square().mean().sqrt().item() if x.numel() else 0.0
