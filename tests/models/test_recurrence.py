"""The GRU whose gradient is written out gives what torch's gives on packed sentences, forward and backward."""

import copy
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from regard.models import gru_step
from regard.models.recurrence import gru

LENGTHS = torch.tensor([3, 7, 1, 5])


def packed(rnn: nn.GRU, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    output, last = rnn(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))
    return pad_packed_sequence(output, batch_first=True, total_length=x.shape[1])[0], last


@pytest.mark.parametrize("lengths", [LENGTHS, torch.full((4,), 7)], ids=["ragged", "full"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_states_and_gradients_are_torchs(bidirectional: bool, layers: int, lengths: Tensor) -> None:
    rnn = nn.GRU(5, 6, layers, bidirectional=bidirectional, batch_first=True).double()
    x = torch.randn(4, 7, 5).double().requires_grad_()
    leaves, found = [x, *rnn.parameters()], []
    for run in (gru, packed):
        states, last = run(rnn, x, lengths)
        torch.manual_seed(1)
        total = (states * torch.randn_like(states)).sum() + (last * torch.randn_like(last)).sum()
        found.append((states, last, *torch.autograd.grad(total, leaves)))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-10)


def test_a_gradient_for_the_last_state_alone_and_for_the_states_alone() -> None:
    rnn, x = nn.GRU(3, 4, bidirectional=True, batch_first=True).double(), torch.randn(4, 7, 3).double().requires_grad_()
    for which in (0, 1):
        ours, theirs = (torch.autograd.grad(run(rnn, x, LENGTHS)[which].sum(), x) for run in (gru, packed))
        torch.testing.assert_close(ours, theirs)


def test_what_lies_beyond_a_sentence_is_never_read() -> None:
    rnn, x = nn.GRU(3, 4, bidirectional=True, batch_first=True), torch.randn(4, 7, 3)
    beyond = (torch.arange(7) >= LENGTHS[:, None])[..., None]
    results = []
    for fill in (0.0, float("nan")):
        filled = x.masked_fill(beyond, fill).requires_grad_()
        states, last = gru(rnn, filled, LENGTHS)
        results.append((states, last, *torch.autograd.grad(states.sum() + last.sum(), [filled, *rnn.parameters()])))
    for clean, dirty in zip(*results, strict=True):
        assert torch.equal(clean, dirty)


def test_under_autocast_states_are_half_and_close() -> None:
    rnn, x = nn.GRU(8, 16, bidirectional=True, batch_first=True), torch.randn(4, 7, 8)
    exact, _ = packed(rnn, x, LENGTHS)
    with torch.autocast("cpu", torch.bfloat16):
        states, last = gru(rnn, x, LENGTHS)
    states.float().sum().backward()
    assert states.dtype == last.dtype == torch.bfloat16
    assert rnn.weight_hh_l0.grad.dtype == torch.float32
    torch.testing.assert_close(states.float(), exact, atol=0.02, rtol=0.02)


@pytest.mark.skipif(gru_step._loops() is None, reason="numba is not installed")
@pytest.mark.parametrize("half", [False, True])
def test_steps_in_loops_are_as_exact(monkeypatch: pytest.MonkeyPatch, half: bool) -> None:
    torch.manual_seed(1)
    rnn, x = nn.GRU(8, 32, 2, bidirectional=True, batch_first=True), torch.randn(4, 7, 8)

    def run(dtype: torch.dtype) -> list[Tensor]:
        of_it, leaf = copy.deepcopy(rnn).to(dtype), x.to(dtype).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=half and dtype == torch.float32):
            states, last = gru(of_it, leaf, LENGTHS)
        (states * like(states)).sum().add((last * like(last)).sum()).backward()
        return [states.detach(), last.detach(), leaf.grad, *(p.grad for p in of_it.parameters())]

    exact, plain = run(torch.float64), run(torch.float32)
    monkeypatch.setattr(gru_step, "FEW", 1)
    steps = []
    for name in ("forward", "backward"):
        monkeypatch.setattr(gru_step, name, partial(counted, getattr(gru_step, name), name, steps))
    for loop, theirs, truth in zip(run(torch.float32), plain, exact, strict=True):
        assert (loop.double() - truth).norm() <= 2 * (theirs.double() - truth).norm()
    assert steps.count("forward") == steps.count("backward") == 2 * 2 * 7  # layers, directions, positions


def counted(step: Callable, name: str, steps: list[str], *arguments: Tensor) -> None:
    """The step, noted."""
    steps.append(name)
    step(*arguments)


def like(x: Tensor) -> Tensor:
    """The same random numbers in every format."""
    return torch.randn(x.shape, generator=torch.Generator().manual_seed(2)).to(x.dtype)
