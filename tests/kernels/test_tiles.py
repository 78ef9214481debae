"""A call's parts, put together, are the whole; and what no query may see does no harm, though no mask is ever built."""

import math

import pytest
import torch
from torch import Tensor

from regard.equation.biases import Bias, alibi, as_bias, gaussian, relative
from regard.equation.mask import Mask
from regard.equation.masks import blocks, causal, dense, documents, padding, tokens, window
from regard.equation.normalisers import as_normaliser
from regard.equation.patterns import bigbird, strided
from regard.equation.reference import Attended, reference
from regard.equation.rules import Part, Rule
from regard.equation.scores import Additive, Cosine, General, as_score
from regard.kernels.problem import Call
from regard.kernels.tiles import Tiles

B, H, Tq, Tk = 2, 4, 23, 29


def holes(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1)) > 0.5


MASKS = {
    "none": None,
    "causal": causal(),
    "padding": padding([29, 11]),
    "padding of both": padding([29, 11], queries=[23, 5]),
    "an empty row": padding([0, 7]) & causal(),
    "window": window(3, 2),
    "the sentence": causal() & padding([5, 29]) & (window(2, 0) | tokens([0, 3])),
    "negated": ~window(3, 2),
    "documents": documents(torch.arange(29) // 10),
    "blocks": blocks(holes(6, 8), 4),
    "dense": dense(holes(2, 1, 23, 29)),
    "dense over keys": dense(holes(1, 4, 1, 29)),
    "dense over queries": dense(holes(2, 1, 23, 1)),
    "strided": strided(4),
    "bigbird": bigbird(4),
}
RULES = {
    "alibi": alibi(4),
    "relative": relative(torch.randn(8, 4)),
    "gaussian": gaussian(torch.rand(2, 23) * 29, 2.0),
    "gaussian of learned widths": gaussian(torch.rand(2, 4, 23) * 29, torch.rand(2, 4, 23, 1) + 1),
    "sum": alibi(4) + as_bias(torch.randn(1, 1, 23, 29)),
    "exp": alibi(4).exp(),
    **{name: mask for name, mask in MASKS.items() if mask is not None},
}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_a_rule_asked_for_a_part_gives_that_part_of_the_whole(rule: Rule) -> None:
    size = (B, H, Tq, Tk)
    whole = rule.dense(*size).expand(size)
    for part in (
        Part(),
        Part(slice(1, 2), slice(3, 11), slice(5, 29)),
        Part(rows=slice(22, 23)),
        Part(keys=slice(9, 9)),
    ):
        expected = whole[part.batch, :, part.rows, part.keys]
        assert torch.equal(rule.dense(*size, None, part).expand(expected.shape), expected)


def example(
    mask: Mask | None = None,
    score: object = None,
    bias: Bias | None = None,
    normalise: str = "softmax",
    after: Bias | None = None,
) -> Call:
    q, k, v = (torch.randn(*shape, dtype=torch.float64) for shape in ((B, H, Tq, 8), (B, 2, Tk, 8), (B, 2, Tk, 5)))
    return Call(q, k, v, as_score(score), mask, bias, as_normaliser(normalise), after, 0.0, True)


def plainly(call: Call) -> Attended:
    parts = {"score": call.score, "mask": call.mask, "bias": call.bias, "after": call.after}
    return reference(call.q, call.k, call.v, normaliser=call.normaliser, **parts)


@pytest.mark.parametrize("numbers", [1, 4 * 29 * 17, 10**9])
@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS.keys())
def test_parts_put_together_are_the_whole(mask: Mask | None, numbers: int) -> None:
    call = example(mask, bias=alibi(4), normalise="entmax", after=gaussian(torch.rand(2, 23) * 29, 2.0).exp())
    whole, tiles = plainly(call), Tiles.of(call)
    context, scores, weights = (torch.full_like(x, math.nan) for x in (whole.context, whole.scores, whole.weights))
    for part in tiles.parts(numbers):
        at = (part.batch, slice(None), part.rows)
        found = tiles.attended(part)
        context[at] = found.context
        scores[at], weights[at] = -math.inf, 0.0  # of keys beyond the part's, which no query of it may see
        scores[(*at, part.keys)], weights[(*at, part.keys)] = tiles.scores(part), found.weights
    torch.testing.assert_close(context, whole.context, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(scores, whole.scores, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(weights, whole.weights, rtol=1e-13, atol=1e-13)


def test_every_score_takes_parts_of_queries_and_of_keys() -> None:
    r = lambda *shape: torch.randn(*shape, dtype=torch.float64)  # noqa: E731
    for score in (General(r(8, 8)), Cosine(r(4, 1, 1)), Additive(r(6), r(6, 8), r(6, 8), r(6)), lambda q, k: q @ k.mT):
        call = example(score=score)
        part = Part(slice(1, 2), slice(2, 9), slice(4, 29))
        expected = plainly(call).scores[part.batch, :, part.rows, part.keys]
        torch.testing.assert_close(Tiles.of(call).scores(part), expected, rtol=1e-13, atol=1e-13)


def test_a_band_is_read_in_few_parts_that_hold_little_beside_it() -> None:
    T = 4096
    q = torch.zeros(1, 1, T, 1)
    tiles = Tiles.of(example(window(64, 63))._replace(q=q, k=q, v=q))
    parts = list(tiles.parts())
    assert sum((p.rows.stop - p.rows.start) * (p.keys.stop - p.keys.start) for p in parts) < 8 * T * 128
    assert len(parts) <= 32
    few_keys = example()._replace(q=torch.zeros(1, 1, T, 1), k=q[:, :, :9], v=q[:, :, :9])
    assert len(list(Tiles.of(few_keys).parts())) == 1


@pytest.mark.parametrize("mask", [m for m in MASKS.values() if m is not None], ids=[m for m in MASKS if m != "none"])
def test_what_no_query_may_see_does_no_harm(mask: Mask) -> None:
    call = example(mask)
    allowed = mask.dense(B, H, Tq, Tk).expand(B, H, Tq, Tk)
    hidden_query, hidden_key = ~allowed.any(3), ~allowed.any(2).unflatten(1, (2, 2)).any(2)
    bad = call._replace(
        q=call.q.masked_fill(hidden_query[..., None], math.nan),
        k=call.keys.masked_fill(hidden_key[..., None], math.inf),
        v=call.v.masked_fill(hidden_key[..., None], math.nan),
    )
    assert torch.equal(Tiles.of(bad).attended().context, Tiles.of(call).attended().context)


def test_half_formats_are_read_in_float32() -> None:
    call = example(causal())
    tiles = Tiles.of(call._replace(q=call.q.bfloat16(), k=call.keys.bfloat16(), v=call.v.bfloat16()))
    assert tiles.q.dtype == tiles.k.dtype == tiles.values.dtype == tiles.scores().dtype == torch.float32
    assert tiles.attended().context.dtype == torch.bfloat16
