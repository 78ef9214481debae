"""Scores against oracles that this project did not write: Keras' layers and SDPA; and what preparing keys must keep."""

import math

import keras
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from regard.attend import attend, attend_with_weights
from regard.equation.masks import causal, dense, padding
from regard.equation.scores import Additive, Cosine, Dot, General, Score, as_score

B, H, Tq, Tk, D, A = 3, 2, 5, 7, 4, 6
MATMUL = 1e-5  # Keras on PyTorch multiplies float64 matrices in float32


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def random_mask(*shape: int) -> Tensor:
    """Really random: each query sees some keys and not others."""
    mask = torch.rand(*shape) > 0.4
    mask[..., 0] |= ~mask.any(-1)
    assert mask.any(-1).all()
    assert not mask.all()
    return mask


def test_additive_is_keras_additive_attention_of_projected_queries_and_keys() -> None:
    q, k, v = random(B, 1, Tq, D), random(B, 1, Tk, D), random(B, 1, Tk, 3)
    score = Additive(random(A), random(A, D), random(A, D))
    visible = random_mask(B, Tk)
    layer = keras.layers.AdditiveAttention(use_scale=True, dtype="float64")  # it has no projections of its own
    inputs = [(q @ score.w_query.mT)[:, 0], v[:, 0], (k @ score.w_key.mT)[:, 0]]
    layer.build([tuple(x.shape) for x in inputs])
    layer.scale.assign(score.v.detach().numpy())
    context, weights = layer(inputs, mask=[None, visible], return_attention_scores=True)
    ours = attend_with_weights(q, k, v, score=score, mask=dense(visible[:, None, None]))
    torch.testing.assert_close(ours.weights[:, 0], weights, atol=1e-10, rtol=0)
    torch.testing.assert_close(ours.context[:, 0].float(), context, atol=MATMUL, rtol=0)
    seed = torch.randn_like(weights)
    gradients = (torch.autograd.grad(w, (q, k), seed) for w in (ours.weights[:, 0], weights))
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, atol=1e-10, rtol=0)


def test_luongs_dot_is_keras_attention() -> None:
    q, k, v = random(B, 1, Tq, D), random(B, 1, Tk, D), random(B, 1, Tk, 3)
    visible = random_mask(B, Tk)
    layer = keras.layers.Attention(score_mode="dot", use_scale=False, dtype="float64")
    context, weights = layer([q[:, 0], v[:, 0], k[:, 0]], mask=[None, visible], return_attention_scores=True)
    ours = attend_with_weights(q, k, v, score=Dot(1.0), mask=dense(visible[:, None, None]))
    torch.testing.assert_close(ours.context[:, 0].float(), context, atol=MATMUL, rtol=0)
    torch.testing.assert_close(ours.weights[:, 0].float(), weights.float(), atol=MATMUL, rtol=0)


def test_general_is_keras_attention_of_projected_keys() -> None:
    q, k, v, w = random(B, 1, Tq, D), random(B, 1, Tk, 6), random(B, 1, Tk, 3), random(D, 6)
    layer = keras.layers.Attention(score_mode="dot", use_scale=False, dtype="float64")
    context = layer([q[:, 0], v[:, 0], (k @ w.mT)[:, 0]])
    ours = attend(q, k, v, score=General(w))
    torch.testing.assert_close(ours[:, 0].float(), context, atol=MATMUL, rtol=0)
    with_identity = attend(q, k[..., :D], v, score=General(torch.eye(D, dtype=torch.float64)))
    torch.testing.assert_close(with_identity, attend(q, k[..., :D], v, score=Dot(1.0)))


def test_scaled_dot_is_keras_multi_head_attention_with_a_random_mask() -> None:
    x, y = random(B, Tq, D), random(B, Tk, D)
    layer = keras.layers.MultiHeadAttention(num_heads=H, key_dim=3, dtype="float64")
    visible = random_mask(B, Tq, Tk)
    context, weights = layer(x, y, attention_mask=visible, return_attention_scores=True)
    project = dict(zip(("wq", "bq", "wk", "bk", "wv", "bv", "wo", "bo"), (w.value for w in layer.weights), strict=True))
    q, k, v = (
        torch.einsum("btd,dhf->bhtf", t, project[f"w{n}"]) + project[f"b{n}"][:, None]
        for n, t in (("q", x), ("k", y), ("v", y))
    )
    ours = attend_with_weights(q, k, v, mask=visible[:, None])
    torch.testing.assert_close(ours.weights, weights, atol=1e-10, rtol=0)
    out = torch.einsum("bhtf,hfd->btd", ours.context, project["wo"]) + project["bo"]
    torch.testing.assert_close(out, context, atol=1e-10, rtol=0)


def test_scaled_dot_is_sdpa() -> None:
    q, k, v = random(B, H, Tq, D), random(B, H, Tk, D), random(B, H, Tk, D)
    visible = random_mask(B, H, Tq, Tk)
    truth = F.scaled_dot_product_attention(q, k, v, attn_mask=visible)
    torch.testing.assert_close(attend(q, k, v, mask=visible), truth, atol=1e-12, rtol=0)
    torch.testing.assert_close(attend_with_weights(q, k, v, mask=visible).context, truth, atol=1e-12, rtol=0)
    square = F.scaled_dot_product_attention(q, k[:, :, :Tq], v[:, :, :Tq], is_causal=True, scale=0.3)
    ours = attend(q, k[:, :, :Tq], v[:, :, :Tq], mask=causal(), score=Dot(0.3))
    torch.testing.assert_close(ours, square, atol=1e-12, rtol=0)


def test_a_soft_cap_is_the_capped_dot_product_before_bias_and_mask() -> None:
    q, k, v = random(B, H, Tq, D), random(B, H, Tk, D), random(B, H, Tk, D)
    bias = random(1, H, Tq, Tk)
    e = 1.5 * torch.tanh(0.7 * q @ k.mT / 1.5) + bias
    ours = attend_with_weights(q, k, v, score=Dot(0.7, cap=1.5), bias=bias, mask=causal())
    seen = causal().dense(B, H, Tq, Tk)
    torch.testing.assert_close(ours.scores, e.masked_fill(~seen, -math.inf), atol=1e-12, rtol=0)
    torch.testing.assert_close(ours.context, torch.softmax(ours.scores, -1) @ v, atol=1e-12, rtol=0)
    assert torch.equal(ours.context, attend(q, k, v, score=Dot(0.7, cap=1.5), bias=bias, mask=causal()))
    scale = D**-0.5
    large = attend_with_weights(1e4 * q, k, v, score=Dot(cap=1.5))
    torch.testing.assert_close(large.scores, 1.5 * torch.tanh(1e4 * scale * q @ k.mT / 1.5), atol=1e-9, rtol=0)
    wide = attend_with_weights(q, k, v, score=Dot(cap=1e6)).scores  # far from the cap it does nothing
    torch.testing.assert_close(wide, q @ k.mT * scale, atol=1e-8, rtol=0)


def test_concat_is_additive() -> None:
    q, k, v = random(B, 1, Tq, D), random(B, 1, Tk, D), random(B, 1, Tk, 3)
    vector, both = random(A), random(A, 2 * D)
    pairs = torch.cat([q[:, :, :, None].expand(B, 1, Tq, Tk, D), k[:, :, None].expand(B, 1, Tq, Tk, D)], -1)
    concat = torch.tanh(pairs @ both.mT) @ vector
    got = attend_with_weights(q, k, v, score=Additive(vector, both[:, :D], both[:, D:])).scores
    torch.testing.assert_close(got, concat, atol=1e-12, rtol=0)


def test_cosine_is_torchs_and_a_zero_vector_matches_nothing_with_a_finite_gradient() -> None:
    q, k, v = random(1, 1, 2, D), random(1, 1, 3, D), random(1, 1, 3, D)
    e = attend_with_weights(q, k, v, score=Cosine(2.0)).scores
    truth = 2 * torch.cosine_similarity(q[:, :, :, None], k[:, :, None], dim=-1)
    torch.testing.assert_close(e, truth, atol=1e-12, rtol=0)
    zero = torch.zeros_like(q).requires_grad_()
    out = attend_with_weights(zero, k, v, score=Cosine(2.0))
    assert (out.scores == 0).all()
    (gradient,) = torch.autograd.grad(out.context.sum(), zero)
    assert gradient.abs().max() < 100


def scores() -> list[Score]:
    return [
        Dot(),
        Dot(0.7),
        Dot(0.7, cap=0.5),
        General(random(D, D)),
        Additive(random(A), random(A, D), random(A, D), random(A)),
        Additive(random(A), random(A, D), random(A, D)),
        Cosine(random(H, 1, 1)),
    ]


@pytest.mark.parametrize("score", scores(), ids=repr)
def test_keys_prepared_once_give_the_same_numbers_and_gradients(score: Score) -> None:
    q, k, v = random(B, H, Tq, D), random(B, H, Tk, D), random(B, H, Tk, D)
    mask = padding([7, 3, 0])
    keys = score.prepare(k, v, mask)
    for how in (attend, lambda *a, **n: attend_with_weights(*a, **n).context):
        direct, prepared = how(q, k, v, score=score, mask=mask), how(q, keys, keys.values)
        torch.testing.assert_close(prepared, direct, atol=1e-12, rtol=0)
        step_by_step = torch.cat([how(q[:, :, t : t + 1], keys, keys.values, score=score) for t in range(Tq)], 2)
        torch.testing.assert_close(step_by_step, direct, atol=1e-12, rtol=0)
        leaves = [q, k, v, *score.tensors]
        seed = torch.randn_like(direct)
        for a, b in zip(
            torch.autograd.grad(prepared, leaves, seed, retain_graph=True),
            torch.autograd.grad(direct, leaves, seed),
            strict=True,
        ):
            torch.testing.assert_close(a, b, atol=1e-10, rtol=0)


@pytest.mark.parametrize("score", scores(), ids=repr)
def test_gradients_are_those_of_finite_differences_also_through_the_scores_own_tensors(score: Score) -> None:
    q, k, v = random(2, H, 3, D), random(2, 1, 4, D), random(2, 1, 4, 2)

    def weights_and_all(q: Tensor, k: Tensor, v: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        made = score if not tensors else type(score)(*tensors)
        out = attend_with_weights(q, k, v, score=made, mask=padding([4, 0]))
        return out.context, out.weights, out.lse[0], out.log_prob[0]

    assert torch.autograd.gradcheck(weights_and_all, (q, k, v, *score.tensors))
    assert torch.autograd.gradcheck(lambda *x: weights_and_all(*x)[0], (q, k, v, *score.tensors))


def test_the_mask_of_prepared_keys_stays_in_force() -> None:
    q, k, v = random(B, H, Tq, D), random(B, H, Tq, D), random(B, H, Tq, D)
    keys = Dot().prepare(k, v, padding([5, 3, 1]))
    both = attend(q, k, v, mask=padding([5, 3, 1]) & causal())
    torch.testing.assert_close(attend(q, keys, keys.values, mask=causal()), both)
    torch.testing.assert_close(attend(q, keys, v, mask=causal()), both)
    torch.testing.assert_close(attend(q, keys, v), attend(q, k, v, mask=padding([5, 3, 1])))


@pytest.mark.parametrize("score", scores(), ids=repr)
def test_preparing_makes_padding_harmless_down_to_the_scores_own_tensors(score: Score) -> None:
    results = []
    for fill in (0.0, math.nan):
        torch.manual_seed(1)
        q = random(B, H, Tq, D)
        k, v = (torch.randn(B, H, Tk, D).double() for _ in range(2))
        k[1, :, 3:] = v[1, :, 3:] = fill
        keys = score.prepare(k.requires_grad_(), v.requires_grad_(), padding([7, 3, 5]))
        out = attend_with_weights(q, keys, keys.values)
        results.append([out.context, *torch.autograd.grad(out.context.sum(), (q, k, v, *score.tensors))])
    for clean, dirty in zip(*results, strict=True):
        assert torch.equal(clean, dirty)


def test_prepared_keys_project_once() -> None:
    calls = []

    class Counting(Dot):
        def project(self, k: Tensor) -> Tensor:
            calls.append(k.shape)
            return k

    keys = Counting().prepare(random(1, 1, 4, D))
    for _ in range(3):
        attend(random(1, 1, 1, D), keys, random(1, 1, 4, D))
    assert len(calls) == 1


def test_a_score_of_ones_own_in_a_few_lines() -> None:
    class Distance(Score):
        def compare(self, q: Tensor, k: Tensor) -> Tensor:
            return -torch.cdist(q, k)

    q, k, v = random(B, H, Tq, D), random(B, H, Tk, D), random(B, H, Tk, D)
    expected = torch.softmax(-torch.cdist(q, k), -1) @ v
    torch.testing.assert_close(attend(q, k, v, score=Distance()), expected)
    torch.testing.assert_close(attend(q, k, v, score=lambda q, k: -torch.cdist(q, k)), expected)


@pytest.mark.plain
def test_what_does_not_fit_is_named() -> None:
    q, k, v = torch.zeros(1, 1, 2, 4), torch.zeros(1, 1, 3, 4), torch.zeros(1, 1, 3, 4)
    for says, call in {
        r"Dot: cap must be a number above 0, or None for no cap, got 0": lambda: Dot(cap=0),
        r"the keys were prepared for Dot\(cap=2\), got Dot\(\)": lambda: attend(
            q, Dot(cap=2.0).prepare(k), v, score=Dot()
        ),
        r"General: W: expected a matrix": lambda: General(torch.zeros(3)),
        r"w_query has 3 rows, so w_key must have 3, got \(2,\)": lambda: Additive(
            torch.zeros(3), torch.zeros(3, 4), torch.zeros(2, 4)
        ),
        r"so bias must have 3, got \(1, 3\)": lambda: Additive(
            torch.zeros(3), torch.zeros(3, 4), torch.zeros(3, 4), torch.zeros(1, 3)
        ),
        r"q: General\(<5x4>\) expects 5 features, got 4": lambda: attend(q, k, v, score=General(torch.zeros(5, 4))),
        r"k: General\(<4x5>\) expects 5 features, got 4": lambda: attend(q, k, v, score=General(torch.zeros(4, 5))),
        r"k: Dot\(\) expects 4 features, got 3": lambda: attend(q, k[..., :3], v),
        r"k: Additive\(<6>\) expects 6 prepared features, got 4": lambda: attend(
            q,
            Dot().prepare(k).__class__(k, s := Additive(torch.zeros(6), torch.zeros(6, 4), torch.zeros(6, 4))),
            v,
            score=s,
        ),
        r"score: the keys were prepared for Dot\(\), got Cosine\(1\)": lambda: attend(
            q, Dot().prepare(k), v, score=Cosine()
        ),
        r"score: expected Dot, General, Additive, Cosine or a callable.*got 'dot'": lambda: as_score("dot"),  # type: ignore[arg-type]
        r"callable to give \(B, H, Tq, Tk\) = \(1, 1, 2, 3\), got \(1, 1, 2\)": lambda: attend(
            q, k, v, score=lambda q, k: q.sum(-1)
        ),
        r"prepare: expected a mask over batch rows and keys.*got causal\(\)": lambda: Dot().prepare(k, v, causal()),
        r"holds torch.float64, got torch.float32": lambda: attend(q, k, v, score=General(torch.zeros(4, 4).double())),
    }.items():
        with pytest.raises(ValueError, match=says):
            call()
