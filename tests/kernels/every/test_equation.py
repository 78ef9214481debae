"""One set of cases over every kernel, against the equation written out in float64; outputs and gradients."""

import math

import pytest
import torch
from kernel_cases import (
    CASES,
    EQUAL,
    NAMES,
    ODD,
    SHORT,
    Case,
    by_kernel,
    draw,
    plainly,
    refusal,
    rms,
    with_gradients,
)
from torch import Tensor

from regard.attend import plan
from regard.equation.masks import causal, padding
from regard.equation.scores import Dot


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_kernel_agrees_with_the_equation_in_float64_or_says_why_not(case: Case, name: str) -> None:
    x = draw(case, torch.float64, torch.float64)
    if reason := refusal(case, name):
        with pytest.raises(ValueError, match=f"kernel {name} was asked for.*{reason}"):
            by_kernel(case, x, name)
        return
    got = with_gradients(by_kernel(case, x, name), x)
    expected = with_gradients(plainly(case, x), x)
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-10, rtol=1e-10)


SHAPES = (EQUAL, SHORT, ODD, (1, 2, 2, 97, 111, 16, 16), (1, 2, 2, 111, 111, 8, 8), (2, 4, 2, 5, 7, 8, 13))
SHAPED = [name for name, case in CASES.items() if case.sizes in SHAPES]
ROUNDING = [name for name in NAMES if name != "flex"]  # on a CPU that is not what computes on CUDA: see test_flex.py
TAKEN = [(name, known) for name in SHAPED for known in ROUNDING if not refusal(CASES[name], known)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize(("of", "name"), TAKEN, ids=[" ".join(pair) for pair in TAKEN])
def test_a_kernel_errs_at_most_twice_as_much_as_the_plain_computation(of: str, name: str, dtype: torch.dtype) -> None:
    case = CASES[of]
    squares: dict[tuple[str, int], float] = {}
    few = min(x.numel() for x in draw(case, dtype, dtype).leaves)
    for seed in range(4 if few > 4 else 8):  # root mean square over draws: a maximum over few numbers is chance
        exact, rounded = draw(case, torch.float64, dtype, seed), draw(case, dtype, dtype, seed)
        truth = with_gradients(plainly(case, exact), exact)
        outs = {"fast": by_kernel(case, rounded, name), "plain": plainly(case, rounded)}
        if name != "reference":
            outs["reference"] = by_kernel(case, rounded, "reference")
        for who, out in outs.items():
            for i, (a, b) in enumerate(zip(with_gradients(out, rounded), truth, strict=True)):
                squares[who, i] = squares.get((who, i), 0.0) + rms(a.double() - b) ** 2
    for i, exactly in enumerate(truth):
        floor = torch.finfo(dtype).eps * rms(exactly) / 4
        for plain in set(outs) - {"fast"}:
            fast, theirs = math.sqrt(squares["fast", i]), math.sqrt(squares[plain, i])
            assert fast <= 2 * theirs + floor, f"output or gradient {i}: {fast / theirs:.2f} of {plain}"


LONG_ROWS = {
    "512 keys": Case((1, 2, 1, 512, 512, 16, 16)),
    "1000 keys, other values": Case((1, 2, 2, 1000, 1000, 16, 24)),
    "1030 keys, causal": Case((1, 1, 1, 700, 1030, 16, 16), mask=causal),
    "600 keys, padded": Case((2, 1, 1, 500, 600, 16, 16), mask=lambda: padding([600, 555])),
    "512 keys, no scale": Case((1, 2, 2, 512, 512, 16, 16), lambda r: Dot(1.0), plain_score=lambda q, k: q @ k.mT),
}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("case", LONG_ROWS.values(), ids=LONG_ROWS.keys())
def test_long_rows_cost_half_formats_no_digits(case: Case, dtype: torch.dtype) -> None:
    """SDPA itself, in the format, rounds its gradients anew with every block that it adds to them."""
    exact, rounded = draw(case, torch.float64, dtype), draw(case, dtype, dtype)
    truth = with_gradients(plainly(case, exact), exact)
    for name in ("sdpa", "reference"):
        found = with_gradients(by_kernel(case, rounded, name), rounded)
        with torch.no_grad():
            found.append(by_kernel(case, rounded, name))
        errors = [rms(a.double() - b) for a, b in zip(found, (*truth, truth[0]), strict=True)]
        if name == "sdpa":
            ours = errors
    for i, (fast, plain) in enumerate(zip(ours, errors, strict=True)):
        assert fast <= 2 * plain, f"output or gradient {i}: {fast / plain:.2f} of the reference"


def test_every_case_runs_on_some_kernel_but_the_reference_where_nothing_is_refused() -> None:
    for name, case in CASES.items():
        x = draw(case, torch.float32, torch.float32)
        k = x.score.prepare(x.k) if case.prepared else x.k
        chosen = plan(x.q, k, x.v, score=x.score, mask=x.mask, bias=x.bias, after=x.after, normalise=x.normalise)
        assert chosen.kernel == ("reference" if "sdpa" in case.refused else "sdpa"), name


HIDE_NOTHING = {"one query", "no rows"}  # a causal query that stands on the last key; no pair at all


def test_every_mask_of_a_case_hides_something_and_not_everything() -> None:
    for name, case in CASES.items():
        mask = case.mask()
        if mask is None or name in HIDE_NOTHING:
            continue
        B, H, _, Tq, Tk, _, _ = case.sizes
        allowed = mask if isinstance(mask, Tensor) else mask.dense(B, H, Tq, Tk)
        assert 0 < allowed.double().mean() < 1, name
