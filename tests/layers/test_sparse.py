"""Sparse attention against dense SDPA with the same mask, and what the literal form leaks."""

import pytest
import torch
import torch.nn.functional as F
from cases import Case, must_hold

from regard.equation.masks import blocks, causal, padding, tokens, window
from regard.equation.patterns import bigbird, fixed, strided
from regard.layers.sparse import SparseAttention

D, T = 6, 5
LAYOUT = torch.rand(40, 40, generator=torch.Generator().manual_seed(2)) > 0.4
PATTERNS = {
    "strided": strided(3),
    "fixed": fixed(4, 2),
    "window and global": window(2, 1) | tokens([0, 3]),
    "bigbird": bigbird(2, near=0, drawn=1),
    "top-3": None,
}


def draw(batch, time):
    """A sequence attends to itself."""
    lengths = torch.randint(1, time + 1, (batch,)) if time else torch.zeros(batch).long()
    return torch.randn(batch, time, D), torch.randn(batch, time, D), lengths


def allowed(layer, query, states, lengths):
    """(B, 1, Tq, Tk) bool: the pattern and the padding."""
    within = (torch.arange(states.shape[1]) < lengths[:, None])[:, None, None]
    if layer.rule is None:
        e = ((query @ states.mT).detach()[:, None]).masked_fill(~within, -torch.inf)
        best = e.topk(min(layer.best.k, e.shape[-1])).indices
        return within & torch.zeros_like(within).expand_as(e).scatter(-1, best, True)
    return within & layer.rule.dense(states.shape[0], 1, query.shape[1], states.shape[1])


def sdpa(layer, query, states, lengths):
    """0 where a query may see nothing: SDPA's answer there is left out."""
    mask = allowed(layer, query, states, lengths)
    q, k = query[:, None], states[:, None]
    some = mask.any(-1, keepdim=True)
    return torch.where(some, F.scaled_dot_product_attention(q, k, k, mask | ~some), 0)[:, 0]


def literally(layer, query, states, lengths):
    """softmax(M ⊙ QKᵀ) V, the padding removed."""
    m = layer.rule.dense(states.shape[0], 1, query.shape[1], states.shape[1])[:, 0].to(query.dtype)
    within = torch.arange(states.shape[1]) < lengths[:, None, None]
    return torch.softmax((m * (query @ states.mT)).masked_fill(~within, -torch.inf), -1) @ states


def make(pattern):
    return SparseAttention(top_k=3) if pattern is None else SparseAttention(pattern)


class Sequence(torch.nn.Module):
    """A sequence attends to itself, its padding to nothing."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, query, states, lengths):
        return self.layer(query, states, lengths, mask=padding(lengths, queries=lengths))


def real_queries(oracle):
    def of_sequence(layer, query, states, lengths):
        real = torch.arange(query.shape[1]) < lengths[:, None]
        return torch.where(real[..., None], oracle(layer.layer, query, states, lengths), 0)

    return of_sequence


test_what_must_hold = must_hold(
    {
        name: Case(lambda pattern=pattern: Sequence(make(pattern)), draw, real_queries(sdpa), lengths=2, padded=(0, 1))
        for name, pattern in PATTERNS.items()
    }
    | {
        "literal": Case(
            lambda: Sequence(SparseAttention(strided(2), literal=True)),
            draw,
            real_queries(literally),
            lengths=2,
            padded=(0, 1),
        )
    }
)


@pytest.mark.parametrize("pattern", [LAYOUT[:11, :11], LAYOUT[:11, :11][None, None], blocks(LAYOUT[:3, :3], 4)])
def test_any_layout_and_bool_tensor(pattern):
    layer, (query, states, lengths) = SparseAttention(pattern), draw(3, 11)
    torch.testing.assert_close(layer(query, states, lengths), sdpa(layer, query, states, lengths))


def test_a_pattern_holds_beside_another_mask_and_top_k_among_what_it_admits():
    query, states, lengths = draw(3, 9)
    together = SparseAttention(window(2, 2))(query, states, lengths, mask=causal())
    torch.testing.assert_close(together, SparseAttention(window(2, 2) & causal())(query, states, lengths))
    weights = SparseAttention(window(2, 2), top_k=2).weights(query, states)
    assert (weights > 0).sum(-1).eq(2).all()
    assert (weights[:, ~window(2, 2).dense(1, 1, 9, 9)[0, 0]] == 0).all()


def test_values_may_be_others_than_the_keys():
    query, states, _ = draw(2, 7)
    values = torch.randn(2, 7, 3)
    weights = SparseAttention(strided(2)).weights(query, states)
    torch.testing.assert_close(SparseAttention(strided(2))(query, states, values=values), weights @ values)


def test_the_literal_form_leaks_to_every_pair_it_means_to_remove():
    """A removed pair scores 0 and keeps the weight exp(0) / Z; the field's form gives it nothing."""
    query, states, _ = draw(2, 12)
    pattern = strided(4) & ~window(0, 0)
    removed = ~pattern.dense(1, 1, 12, 12)[0, 0]
    literal, field = (SparseAttention(pattern, literal=flag).weights(query, states) for flag in (True, False))
    assert (literal[:, removed] > 0).all()
    assert (field[:, removed] == 0).all()
    leak = (literal * removed).sum(-1)  # the mass on removed pairs, a query
    kept = ~removed
    exact = removed.sum(-1) / (torch.exp(query @ states.mT) * kept + removed).sum(-1)
    torch.testing.assert_close(leak, exact)
    torch.testing.assert_close(leak[:, 0], torch.ones(2))  # all was removed: the field's form gives context 0 there
    # and a removed pair outweighs every kept pair whose score is below 0
    below = kept & (query @ states.mT < 0)
    assert below.any()
    assert (literal[below] < literal[:, removed].min()).any()


def test_the_literal_form_has_no_scale():
    query, states, _ = draw(1, 4)
    everything = window(9, 9)
    weights = SparseAttention(everything, literal=True).weights(query, states)
    torch.testing.assert_close(weights, torch.softmax(query @ states.mT, -1))


def test_a_bool_tensor_moves_with_the_layer_and_is_no_part_of_its_state():
    layer = SparseAttention(LAYOUT)
    assert not layer.state_dict()
    assert layer.to("meta").pattern().device.type == "meta"


@pytest.mark.plain
def test_what_does_not_fit_is_named():
    with pytest.raises(
        ValueError, match=r"expected a mask such as strided\(8\), a bool tensor, or top_k=..., got neit"
    ):
        SparseAttention()
    for wrong in ({"top_k": 3}, {"scale": 1.0}):
        with pytest.raises(ValueError, match="literal: it is softmax"):
            SparseAttention(strided(2), literal=True, **wrong)
    with pytest.raises(ValueError, match="literal: it is softmax"):
        SparseAttention(top_k=2, literal=True)
    with pytest.raises(ValueError, match="expected a rule such as causal"):
        SparseAttention("strided")
    with pytest.raises(ValueError, match="k must be a whole number"):
        SparseAttention(top_k=0)
