"""Products filled up to sizes that come again give the same numbers."""

import pytest
import torch
import torch.nn.functional as F

from regard.machine import rows


@pytest.mark.parametrize("shape", [(1,), (0,), (97,), (128,), (111, 3), (2, 64), (5, 1, 60)])
@pytest.mark.parametrize("bias", [False, True])
def test_it_is_a_linear_map_forward_and_backward(shape: tuple[int, ...], bias: bool) -> None:
    x = torch.randn(*shape, 16).bfloat16().requires_grad_()
    leaves = [torch.randn(8, 16).bfloat16().requires_grad_()] + [torch.randn(8).bfloat16().requires_grad_()] * bias
    exact = [leaf.detach().double().requires_grad_() for leaf in (x, *leaves)]
    truth = F.linear(*exact)
    weights = torch.randn(*truth.shape)
    wanted = (truth, *torch.autograd.grad((truth * weights).sum(), exact))
    results = []
    for run in (rows.linear, F.linear):
        y = run(x, *leaves)
        assert y.shape == truth.shape
        assert y.dtype == torch.bfloat16
        results.append((y, *torch.autograd.grad((y * weights).sum(), (x, *leaves))))
    for ours, torchs, exactly in zip(*results, wanted, strict=True):
        assert (ours - exactly).norm() <= 2 * (torchs - exactly).norm() + 1e-6


def test_only_what_is_compiled_is_filled_up() -> None:
    for x, length in (
        (torch.ones(130, 4), 130),
        (torch.ones(130, 4).bfloat16(), 256),
        (torch.ones(128, 4).bfloat16(), 128),
        (torch.ones(17, 4).bfloat16(), 17),
    ):
        assert len(rows.filled(x)) == length
    with torch.autocast("cpu", torch.bfloat16):
        assert len(rows.filled(torch.ones(130, 4))) == 256
