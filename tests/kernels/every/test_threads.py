"""Threads of every kernel: one or two give the same numbers, and calls at once do not meet."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from kernel_cases import NAMES
from torch import Tensor

from regard.attend import attend
from regard.equation.mask import Mask
from regard.equation.masks import padding, window
from regard.kernels import tiles
from regard.kernels.plan import kernel


def large(mask: Mask | None = None, seed: int = 0) -> list[Tensor]:
    """A context and its gradients, at a size that threads share."""
    torch.manual_seed(seed)
    q, k, v = (torch.randn(2, 4, 130, 32, requires_grad=True) for _ in range(3))
    out = attend(q, k, v, mask=mask)
    return [out.detach(), *torch.autograd.grad(out, (q, k, v), torch.randn_like(out))]


@pytest.mark.parametrize("name", NAMES)
def test_two_threads_give_the_numbers_of_one_and_the_same_ones_each_time(
    name: str, two_threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask = window(50, 20) & padding([130, 77])
    monkeypatch.setattr(tiles, "FEWEST", 50)  # threads wait for each other at every operation
    with kernel(name):
        both, again = large(mask), large(mask)
        torch.set_num_threads(1)
        one = large(mask)
    for a, b, c in zip(both, again, one, strict=True):
        assert torch.equal(a, b)
        torch.testing.assert_close(a, c, atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("name", NAMES)
def test_calls_from_several_threads_at_once_do_not_meet(name: str) -> None:
    def ask(width: int) -> list[Tensor]:
        q, k, v = (torch.randn(2, 4, 40, 8, generator=torch.Generator().manual_seed(width)) for _ in range(3))
        q.requires_grad_()
        with kernel(name):
            out = attend(q, k, v, mask=window(width, 3), dropout=0.0)
        return [out.detach(), *torch.autograd.grad(out.square().sum(), q)]

    alone = [ask(width) for width in range(8)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(ask, list(range(8)) * 4))
    for i, found in enumerate(together):
        assert all(torch.equal(a, b) for a, b in zip(found, alone[i % 8], strict=True))
