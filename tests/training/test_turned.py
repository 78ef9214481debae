import pytest
import torch

from regard.training import turned
from regard.training.turned import both_ways, turned_back

HALF = torch.bfloat16


def strange(rows, columns):
    """Numbers of all sizes, with what is not a number and not finite among them."""
    x = torch.randn(rows, columns) * torch.logspace(-30, 30, columns)
    x[0, :3] = torch.tensor([float("nan"), float("inf"), -float("inf")])
    return x


@pytest.mark.parametrize("shape", [(513, 512), (8000, 48), (16384, 16), (700, 400), (500, 600), (5, 7)])
@pytest.mark.parametrize("kinds", [(torch.float32, HALF), (torch.float64, torch.float64), (torch.float32, torch.half)])
def test_a_matrix_both_ways_and_back_is_torchs(shape, kinds):
    wide, narrow = kinds
    x = strange(*shape).to(wide)
    same, other = both_ways(x, narrow)
    assert same.is_contiguous()
    assert other.is_contiguous()
    torch.testing.assert_close(same, x.to(narrow), rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(other, x.to(narrow).mT, rtol=0, atol=0, equal_nan=True)
    back = turned_back(other, torch.tensor(0.3), wide)
    assert back.is_contiguous()
    torch.testing.assert_close(back, x.to(narrow).to(wide) * torch.tensor(0.3).to(wide), rtol=0, atol=0, equal_nan=True)


def test_a_view_is_read_as_it_stands():
    pytest.importorskip("numba")
    x = torch.randn(512, 1024)
    same, other = both_ways(x.mT, HALF)
    assert torch.equal(same, x.mT.to(HALF))
    assert torch.equal(other, x.to(HALF))


def test_large_matrices_take_the_loops():
    pytest.importorskip("numba")
    assert turned._loops_for(torch.empty(1024, 512), torch.float32, HALF) is turned._loops()
    assert turned._loops() is not None
