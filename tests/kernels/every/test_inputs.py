"""Inputs of every kernel: large scores, any batch, strided and expanded tensors."""

import pytest
import torch
from kernel_cases import NAMES, told

from regard.attend import attend
from regard.equation.masks import causal, padding
from regard.kernels.plan import kernel


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("magnitude", [1e2, 1e4])
def test_large_scores_overflow_nowhere(name: str, magnitude: float) -> None:
    q, k, v = (torch.randn(1, 2, 9, 4, requires_grad=True) for _ in range(3))
    with kernel(name):
        out = attend(q * magnitude, k, v, mask=told(causal(), name))
    assert out.isfinite().all()
    assert all(g.isfinite().all() for g in torch.autograd.grad(out.sum(), (q, k, v)))
    exact = attend(*(x.double() for x in (q * magnitude, k, v)), mask=causal())
    torch.testing.assert_close(out, exact.float(), atol=magnitude * 1e-5, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_a_row_does_not_depend_on_its_batch(name: str) -> None:
    q, k, v = (torch.randn(5, 2, 7, 8, dtype=torch.float64) for _ in range(3))
    lengths = torch.tensor([7, 1, 4, 0, 6])
    with kernel(name):
        whole = attend(q, k, v, mask=told(causal() & padding(lengths), name))
        order = torch.tensor([3, 1, 4, 0, 2])
        shuffled = attend(q[order], k[order], v[order], mask=told(causal() & padding(lengths[order]), name))
        for b, n in enumerate(lengths.tolist()):
            row = attend(q[b : b + 1], k[b : b + 1], v[b : b + 1], mask=told(causal() & padding([n]), name))
            torch.testing.assert_close(row[0], whole[b], atol=1e-12, rtol=0)
    torch.testing.assert_close(shuffled, whole[order], atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_strided_and_expanded_inputs(name: str) -> None:
    x = torch.randn(2, 7, 4, 8, dtype=torch.float64)  # (batch, time, heads, features), as a layer has it
    q, expanded = x.transpose(1, 2), torch.randn(1, 1, 7, 8, dtype=torch.float64).expand(2, 4, 7, 8)
    apart = torch.randn(2, 4, 8, 7, dtype=torch.float64).mT  # features lie apart in memory
    with kernel(name):
        got = attend(q, expanded, apart, mask=told(causal(), name))
        expected = attend(q.contiguous(), expanded.contiguous(), apart.contiguous(), mask=told(causal(), name))
    torch.testing.assert_close(got, expected, atol=1e-12, rtol=0)
