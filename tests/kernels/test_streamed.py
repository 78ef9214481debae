"""What the streamed kernel does beside the common cases: draws again what was drawn, any callable, its gradients."""

import pytest
import torch
from torch import Tensor

from regard.attend import attend, explain, plan
from regard.equation.biases import gaussian, relative
from regard.equation.masks import causal, padding, window
from regard.equation.normalisers import Gumbel, Sample
from regard.equation.scores import Additive, Score
from regard.kernels import tiles
from regard.kernels.plan import kernel


@pytest.fixture
def many_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "NUMBERS", 60)
    monkeypatch.setattr(tiles, "FEWEST", 2)


def inputs(T: int = 9, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    return [torch.randn(2, 2, T, 4, dtype=dtype, requires_grad=True) for _ in range(3)]


def test_it_takes_what_is_large_and_no_other_kernel_takes() -> None:
    x, small = torch.empty(1, 8, 2048, 64, device="meta"), torch.empty(1, 8, 128, 64, device="meta")
    assert plan(x, x, x, normalise="entmax").kernel == "streamed"
    assert plan(x, x, x).kernel == "sdpa"
    assert plan(small, small, small, normalise="entmax").kernel == "reference"
    assert plan(x, x, x, score=lambda q, k: q @ k.mT).kernel == "reference"
    assert plan(x, x, x, normalise="entmax", weights=True).kernel == "reference"
    assert "it cannot know whether a callable scores a pair by that pair alone" in explain(
        x, x, x, score=lambda q, k: q @ k.mT
    )
    banded = plan(x, x, x, normalise="entmax", mask=window(100, 27))
    assert banded.flops == 8 * 2048 * 128 * 4 * 64


@pytest.mark.parametrize("straight_through", [False, True])
def test_gumbel_noise_is_the_same_in_the_gradient(straight_through: bool, many_parts: None) -> None:
    q, k, _ = inputs()
    v = torch.eye(9, dtype=torch.float64).repeat(2, 2, 1, 1).requires_grad_()  # the context is the weights
    along = torch.randn(2, 2, 9, 9, dtype=torch.float64)
    with kernel("streamed"):
        drawn = attend(q, k, v, normalise=Gumbel(0.7, straight_through))
        again = attend(q, k, v, normalise=Gumbel(0.7, straight_through))
    assert not torch.equal(drawn, again)
    of_q, of_v = torch.autograd.grad(drawn, (q, v), along)
    weights = drawn.detach()
    torch.testing.assert_close(of_v, weights.mT @ along)
    if not straight_through:  # de = w (g - sum w g) / temperature, and e = q . k / 2
        of_e = weights * (along - (weights * along).sum(-1, keepdim=True)) / 0.7
        torch.testing.assert_close(of_q, of_e @ k.detach() / 2)


def test_a_sample_is_drawn_by_its_chance_and_blocks_draw_apart(many_parts: None) -> None:
    q, k = torch.zeros(1, 1, 4000, 1), torch.tensor([0.0, 1.0, 2.0]).view(1, 1, 3, 1)
    v = torch.eye(3)[None, None]
    with kernel("streamed"):
        drawn = attend(q + 1, k, v, normalise=Sample())
    torch.testing.assert_close(drawn.mean(2)[0, 0], k.flatten().softmax(0), atol=0.03, rtol=0)
    assert len(drawn[0, 0, :40].unique(dim=0)) > 1


def test_other_draws_do_not_meddle_and_seeds_repeat(many_parts: None) -> None:
    q, k, v = inputs()
    found = []
    for meddle in (False, True):
        torch.manual_seed(3)
        with kernel("streamed"):
            out = attend(q, k, v, dropout=0.5)
        if meddle:
            torch.randn(100)
        found.append([out, *torch.autograd.grad(out.square().sum(), (q, k, v))])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    state = torch.get_rng_state()
    with kernel("streamed"):
        attend(q, k, v)  # draws nothing
    assert torch.equal(state, torch.get_rng_state())


def test_what_a_callable_has_captured_gets_its_gradient(many_parts: None) -> None:
    q, k, v = inputs()
    log_scale = torch.randn(2, 1, 1, dtype=torch.float64, requires_grad=True)
    found = []
    for name in ("streamed", "reference"):
        scale = log_scale.exp()  # a graph of its own, which every block goes through
        with kernel(name):
            out = attend(q, k, v, score=lambda q, k, scale=scale: scale * (q @ k.mT).tanh(), mask=causal())
        found.append(torch.autograd.grad(out.square().sum(), (q, k, v, log_scale)))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


class Distance(Score):
    """A score of a reader's own, by its parameter."""

    def __init__(self, width: Tensor) -> None:
        self.width, self.tensors, self.key = width, (width,), ("distance",)

    def compare(self, q: Tensor, k: Tensor) -> Tensor:
        """-width |q - k|²."""
        return -self.width * (q[..., :, None, :] - k[..., None, :, :]).square().sum(-1)


def test_gradients_are_those_of_finite_differences_and_so_are_theirs(many_parts: None) -> None:
    q, k, v = inputs(5)
    width, table = (torch.rand(*s, dtype=torch.float64, requires_grad=True) for s in ((1,), (8, 2)))
    centre = (4 * torch.rand(2, 5, dtype=torch.float64)).requires_grad_()

    def run(q: Tensor, k: Tensor, v: Tensor, width: Tensor, table: Tensor, centre: Tensor) -> Tensor:
        parts = {"bias": relative(table), "after": gaussian(centre, 2.0).exp(), "mask": causal() & padding([5, 3])}
        with kernel("streamed"):
            return attend(q, k, v, score=Distance(width), **parts)

    assert torch.autograd.gradcheck(run, (q, k, v, width, table, centre))
    assert torch.autograd.gradgradcheck(run, (q, k, v, width, table, centre), atol=1e-4)


def test_only_what_needs_a_gradient_gets_one(many_parts: None) -> None:
    q, k, v = inputs()
    with kernel("streamed"):
        hard = attend(q, k, v, normalise="hard")
        assert all((x == 0).all() for x in torch.autograd.grad(hard.sum(), (q, k)))
        assert not attend(q, k, v.detach(), normalise="hard").detach().isnan().any()
        (of_k,) = torch.autograd.grad(attend(q.detach(), k, v.detach()).sum(), k)
        assert attend(q.detach(), k.detach(), v.detach()).grad_fn is None
    with kernel("reference"):
        torch.testing.assert_close(of_k, torch.autograd.grad(attend(q, k, v).sum(), k)[0])


def test_additive_scores_without_a_compiler(many_parts: None) -> None:
    q, k, v = inputs()
    of = [torch.randn(*s, dtype=torch.float64, requires_grad=True) for s in ((6,), (6, 4), (6, 4), (6,))]
    found = []
    for name in ("streamed", "reference"):
        with kernel(name):
            out = attend(q, k, v, score=Additive(*of), mask=padding([9, 4]))
        found.append([out, *torch.autograd.grad(out.square().sum(), (q, k, v, *of))])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
