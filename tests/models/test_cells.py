import copy
from functools import partial

import pytest
import torch
from torch import nn

from regard.models import gru_step
from regard.models.cells import CELLS


@pytest.mark.parametrize(("kind", "oracle"), [("gru", nn.GRUCell), ("lstm", nn.LSTMCell)])
@pytest.mark.parametrize("fed", [0, 3])
def test_a_step_is_torchs_with_its_input_weights_side_by_side(kind, oracle, fed):
    cell = CELLS[kind](4, fed, 5).double()
    torchs = oracle(4 + fed, 5).double()
    feed = [cell.feed.weight] if fed else []
    torchs.weight_ih = nn.Parameter(torch.cat([cell.known.weight, *feed], 1))
    torchs.weight_hh, torchs.bias_ih, torchs.bias_hh = cell.recur.weight, cell.known.bias, cell.recur.bias
    x, back = torch.randn(6, 4).double(), torch.randn(6, fed).double()
    state = tuple(torch.randn(6, 5).double() for _ in range(cell.parts))
    wanted = torchs(torch.cat([x, back], 1), state if kind == "lstm" else state[0])
    found = cell(cell.known(x), back if fed else None, state)
    for a, b in zip(found, wanted if kind == "lstm" else (wanted,), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.skipif(gru_step._loops() is None, reason="numba is not installed")
@pytest.mark.parametrize("fed", [0, 3])
@pytest.mark.parametrize("scale", [1.0, 100.0])
@pytest.mark.parametrize("half", [False, True])
def test_many_states_step_in_a_loop_as_exactly(monkeypatch, fed, scale, half):
    cell = CELLS["gru"](4, fed, 48)
    x, h = scale * torch.randn(19, 5, 4), torch.randn(19, 5, 48)
    back = torch.randn(19, 5, fed) if fed else None
    exact = copy.deepcopy(cell).double()
    wanted = exact(exact.known(x.double()), None if back is None else back.double(), (h.double(),))[0]
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=half):
        plain = cell(cell.known(x), back, (h,))[0]
        monkeypatch.setattr(gru_step, "MANY", 1)
        found = cell(cell.known(x), back, (h,))[0]
    assert found.dtype == torch.float32
    assert found.shape == h.shape
    assert (found - wanted).abs().max() <= 2 * (plain.double() - wanted).abs().max()


@pytest.mark.skipif(gru_step._loops() is None, reason="numba is not installed")
@pytest.mark.parametrize("fed", [0, 3])
@pytest.mark.parametrize("scale", [1.0, 100.0])
@pytest.mark.parametrize("half", [False, True])
def test_a_step_in_a_loop_has_gradients_as_exact(monkeypatch, fed, scale, half):
    squares: dict = {}
    for seed in range(4):  # root mean square over draws: a maximum over few numbers is chance
        torch.manual_seed(seed)
        cell = CELLS["gru"](4, fed, 48)
        x, h, grad = scale * torch.randn(19, 5, 4), torch.randn(19, 1, 48), torch.randn(19, 1, 48).bfloat16()
        back = torch.randn(19, 1, fed) if fed else None
        run = partial(step_and_gradients, cell, x, back, h, grad)
        exact = run(torch.float64, half=False)
        with monkeypatch.context() as patch:
            found = {"plain": run(torch.float32, half=half)}
            patch.setattr(gru_step, "FEW", 1)
            found["loop"] = run(torch.float32, half=half)
        for who, parts in found.items():
            for i, (a, b) in enumerate(zip(parts, exact, strict=True)):
                squares[who, i] = squares.get((who, i), 0.0) + float((a.double() - b).square().sum())
    for (who, i), error in squares.items():
        assert who == "plain" or error <= 4 * squares["plain", i], f"output or gradient {i}"


def step_and_gradients(cell, x, back, h, grad, dtype, *, half):
    """The state after a step whose known part is one of several steps', and the gradients of everything."""
    cell = copy.deepcopy(cell).to(dtype)
    leaves = [x.to(dtype).requires_grad_() for x in (x, h, back) if x is not None]
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        known = cell.known(leaves[0]).split(1, 1)[2]
        (new,) = cell(known, leaves[2] if back is not None else None, (leaves[1],))
    new.backward(grad.to(new.dtype))
    return [new.detach(), *(x.grad for x in (*leaves, *cell.parameters()))]
