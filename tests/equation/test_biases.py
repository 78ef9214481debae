"""Biases against loops over indices, their algebra, and gradients into what they hold."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from regard.attend import attend, attend_with_weights
from regard.equation.biases import alibi, as_bias, gaussian, relative
from regard.equation.rules import Grid


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def test_alibi_is_press_table_of_slopes() -> None:
    # Press 2022: 8 heads have slopes 1/2, 1/4, ..., 1/256
    slopes = [2.0 ** -(h + 1) for h in range(8)]
    values = alibi(8).dense(1, 8, 3, 5)
    for h in range(8):
        for i in range(3):
            for j in range(5):
                assert values[0, h, i, j] == -slopes[h] * abs(j - (i + 2))  # the last query stands on the last key
    # between powers of two: those of the power below, then every second one of the power above
    six = -alibi(6).dense(1, 6, 1, 2)[0, :, 0, 0]
    assert (1 / six).tolist() == pytest.approx([4, 16, 64, 256, 2, 8])


def t5_bucket(distance: int, buckets: int, furthest: int, bidirectional: bool) -> int:
    """T5's table in words: near distances have their own bucket, far ones share logarithmically wider ones."""
    first = 0
    if bidirectional:
        buckets //= 2
        first = buckets if distance > 0 else 0
        steps = abs(distance)
    else:
        steps = max(-distance, 0)
    exact = buckets // 2
    if steps < exact:
        return first + steps
    far = exact + math.floor(math.log(steps / exact) / math.log(furthest / exact) * (buckets - exact) + 1e-9)
    return first + min(far, buckets - 1)


@given(st.sampled_from([(32, 128), (8, 20), (9, 50)]), st.booleans(), st.integers(1, 40), st.integers(1, 40))
def test_relative_is_t5s_table(shape: tuple[int, int], both_ways: bool, Tq: int, Tk: int) -> None:
    buckets, furthest = shape
    table = torch.arange(buckets * 2.0, dtype=torch.float64).view(buckets, 2)
    values = relative(table, bidirectional=both_ways, furthest=furthest).dense(1, 2, Tq, Tk)
    for i in range(0, Tq, 3):
        for j in range(Tk):
            bucket = t5_bucket(j - (i + Tk - Tq), buckets, furthest, both_ways)
            assert values[0, :, i, j].tolist() == table[bucket].tolist()


def test_gaussian_is_its_formula_and_exp_makes_it_a_factor() -> None:
    centre, sigma = random(2, 3), 1.5
    values = gaussian(centre, sigma).dense(2, 4, 3, 5).detach()
    assert values.shape == (2, 1, 3, 5)
    for b in range(2):
        for i in range(3):
            for j in range(5):
                assert math.isclose(values[b, 0, i, j], -((j - centre[b, i].item()) ** 2) / (2 * sigma**2))
    torch.testing.assert_close(gaussian(centre, sigma).exp().dense(2, 4, 3, 5), values.exp())


def test_a_bias_before_the_softmax_is_a_factor_after_it_up_to_normalising() -> None:
    q, k, v, centre = random(2, 4, 3, 8), random(2, 4, 5, 8), random(2, 4, 5, 8), random(2, 3)
    before = attend_with_weights(q, k, v, bias=gaussian(centre, 2.0)).weights
    after = attend_with_weights(q, k, v, after=gaussian(centre, 2.0).exp())
    torch.testing.assert_close(after.weights / after.weights.sum(-1, keepdim=True), before)
    torch.testing.assert_close(after.weights @ v, after.context)  # the weights are those that meet the values
    torch.testing.assert_close(after.log_prob.exp().sum(-1), torch.ones(2, 4, 3).double())  # before the factor


def test_sums_of_biases_and_tensors_from_either_side() -> None:
    tensor = torch.randn(1, 4, 3, 5)
    expected = alibi(4).dense(2, 4, 3, 5) + tensor
    for both in (alibi(4) + tensor, tensor + alibi(4), as_bias(tensor) + alibi(4)):
        torch.testing.assert_close(both.dense(2, 4, 3, 5), expected)
    with pytest.raises(TypeError):
        alibi(4) + 1  # type: ignore[operator]


def test_a_rule_gives_the_same_on_a_part_of_the_grid() -> None:
    full = Grid.full(2, 4, 6, 7)
    part = full._replace(batch=full.batch[1:], head=full.head[:, 1:2], row=full.row[:, :, 2:4], key=full.key[..., ::3])
    rules = (alibi(4), relative(random(8, 4)), gaussian(random(2, 4, 6), random(4, 1, 1)), as_bias(random(2, 1, 6, 7)))
    for rule in (*rules, rules[1] + rules[2], rules[2].exp()):
        whole = rule.dense(2, 4, 6, 7).expand(2, 4, 6, 7)
        torch.testing.assert_close(rule.at(part).expand(1, 1, 2, 3), whole[1:, 1:2, 2:4, ::3])


def test_gradients_reach_tables_centres_widths_and_tensors() -> None:
    q, k, v = random(2, 2, 3, 4), random(2, 2, 5, 4), random(2, 2, 5, 3)

    def biased(table: torch.Tensor, centre: torch.Tensor, sigma: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
        before = relative(table) + tensor
        return attend(q, k, v, bias=before, after=gaussian(centre, sigma).exp())

    held = (random(8, 2), random(2, 2, 3), random(2, 1, 1), random(1, 2, 3, 5))
    assert torch.autograd.gradcheck(biased, held)
    assert all(g.abs().sum() > 0 for g in torch.autograd.grad(biased(*held).square().sum(), held))


@pytest.mark.plain
def test_what_does_not_fit_is_named() -> None:
    q = torch.zeros(2, 4, 3, 8)
    for says, call in {
        "alibi: expected 1 or more heads, got 0": lambda: alibi(0),
        "alibi: made for 3 heads, but the queries have 4": lambda: attend(q, q, q, bias=alibi(3)),
        "relative: made for 3 heads, but the queries have 4": lambda: attend(q, q, q, bias=relative(torch.zeros(8, 3))),
        r"table \(buckets, heads\).*got \(2, 3\)": lambda: relative(torch.zeros(2, 3)),
        "furthest must lie beyond the exact buckets, got 8 for 32": lambda: relative(torch.zeros(32, 4), furthest=8),
        r"gaussian: centre must be.*torch.int64 of shape \(2, 3\)": lambda: gaussian(torch.zeros(2, 3).long(), 1.0),
        r"\(2, 4, 3, 1\), got \(2, 1, 5, 1\)": lambda: attend(q, q, q, bias=gaussian(torch.zeros(2, 5), 1.0)),
        "floating point, got torch.bool; a bool tensor is a mask": lambda: attend(
            q, q, q, bias=torch.ones(3, 3).bool()
        ),
        r"bias: expected a shape.*\(2, 4, 3, 3\), got \(1, 1, 3, 4\)": lambda: attend(q, q, q, bias=torch.ones(3, 4)),
        "bias: expected a tensor or a rule.*got 'alibi'": lambda: attend(q, q, q, bias="alibi"),  # type: ignore[arg-type]
    }.items():
        with pytest.raises(ValueError, match=says):
            call()
