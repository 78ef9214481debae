import pytest
import torch
from torch import nn

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
