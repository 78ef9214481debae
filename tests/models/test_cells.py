import copy

import pytest
import torch
from torch import nn

from regard.models import cells
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


@pytest.mark.skipif(cells._loops() is None, reason="numba is not installed")
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
        monkeypatch.setattr(cells, "MANY", 1)
        found = cell(cell.known(x), back, (h,))[0]
    assert found.dtype == torch.float32
    assert found.shape == h.shape
    assert (found - wanted).abs().max() <= 2 * (plain.double() - wanted).abs().max()
