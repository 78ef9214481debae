"""Linear attention against its explicit (Tq, Tk) form."""

import math

import pytest
import torch
import torch.nn.functional as F
from cases import Case, must_hold

from regard.layers import LinearAttention, linear_attend
from regard.layers.linear_sums import CHUNK

E, S = 12, 10


def lengths_of(batch, time):
    return torch.randint(1, time + 1, (batch,)) if time else torch.zeros(batch).long()


def itself(batch, time):
    return torch.randn(batch, time, E), None, lengths_of(batch, time)


def across(batch, time):
    return torch.randn(batch, 5, E), torch.randn(batch, time, S), lengths_of(batch, time)


def phi(x):
    return torch.where(x > 0, x + 1, x.clamp(max=0).exp())


def explicitly(q, k, v, causal=False, lengths=None):
    """The weights as a matrix, and their product with the values."""
    pairs = torch.einsum("bhid,bhjd->bhij", phi(q), phi(k))
    distance = torch.arange(k.shape[2]) - torch.arange(q.shape[2])[:, None] - (k.shape[2] - q.shape[2])
    allowed = torch.ones_like(pairs).bool()
    if causal:
        allowed = allowed & (distance <= 0)
    if lengths is not None:
        allowed = allowed & (torch.arange(k.shape[2]) < lengths[:, None])[:, None, None]
    pairs = torch.where(allowed, pairs, 0)
    total = pairs.sum(-1, keepdim=True)
    return (pairs / torch.where(total == 0, 1, total)) @ v


def plainly(layer, query, memory, lengths):
    own = memory is None
    memory = query if own else memory
    maps = [layer.joint] if layer.joint is not None else [layer.query, layer.key, layer.value]
    weight = [w for m in maps for w in m.weight.split(m.widths)]
    biases = [b for m in maps for b in m.bias.split(m.widths)]
    q, k, v = (
        F.linear(x, w, b).unflatten(2, (layer.heads, -1)).transpose(1, 2)
        for x, w, b in zip((query, memory, memory), weight, biases, strict=True)
    )
    y = explicitly(q, k, v, layer.causal, lengths).transpose(1, 2).flatten(2)
    y = y if layer.output is None else F.linear(y, layer.output.weight, layer.output.bias)
    return y.masked_fill((torch.arange(y.shape[1]) >= lengths[:, None])[..., None], 0) if own else y


test_what_must_hold = must_hold(
    {
        "own": Case(lambda: LinearAttention(E, 2), itself, plainly, lengths=2, padded=(0,)),
        "causal": Case(lambda: LinearAttention(E, 3, causal=True), itself, plainly, lengths=2, padded=(0,)),
        "across": Case(
            lambda: LinearAttention(E, 2, key=S),
            across,
            plainly,
            lengths=2,
            padded=(1,),
            nothing=lambda layer: layer.output.bias,
        ),
        "across, causal": Case(
            lambda: LinearAttention(E, 2, key=S, causal=True, output=False),
            across,
            plainly,
            lengths=2,
            padded=(1,),
            without={"gives_each_row_what_it_gives_it_alone": "the last query stands on the last key, padding or not"},
        ),
    }
)


def leaves(*shapes, dtype=torch.float64):
    return [torch.randn(*shape, dtype=dtype, requires_grad=True) for shape in shapes]


SIZES = [(0, 0), (0, 5), (5, 0), (1, 1), (1, 97), (97, 1), (97, 97), (97, 111), (111, 97), (2 * CHUNK, 2 * CHUNK)]


@pytest.mark.parametrize("lengths", [None, [0, 60]], ids=["whole", "padded"])
@pytest.mark.parametrize("causal", [False, True], ids=["both ways", "causal"])
@pytest.mark.parametrize(("queries", "keys"), SIZES)
def test_it_is_the_mean_by_the_explicit_weights(queries, keys, causal, lengths):
    q, k, v = leaves((2, 3, queries, 8), (2, 3, keys, 8), (2, 3, keys, 5))
    lengths = None if lengths is None else torch.tensor(lengths)
    ours = linear_attend(q, k, v, causal=causal, lengths=lengths)
    truth = explicitly(q, k, v, causal, lengths)
    along = torch.randn_like(truth)
    torch.testing.assert_close(ours, truth, atol=1e-12, rtol=1e-10)
    for a, b in zip(*(torch.autograd.grad(x, (q, k, v), along) for x in (ours, truth)), strict=True):
        torch.testing.assert_close(a, b, atol=1e-12, rtol=1e-9)


@pytest.mark.parametrize("causal", [False, True])
def test_the_gradient_of_the_gradient(causal):
    x = leaves(*[(1, 2, 4, 3)] * 3)
    assert torch.autograd.gradgradcheck(lambda q, k, v: linear_attend(q, k, v, causal=causal), x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("causal", [False, True])
def test_low_precision_is_added_up_in_float32(dtype, causal):
    x = [y.detach() for y in leaves((1, 2, 1500, 16), (1, 2, 1500, 16), (1, 2, 1500, 16), dtype=dtype)]
    truth = explicitly(*(y.double() for y in x), causal)
    ours = linear_attend(*x, causal=causal)
    assert ours.dtype == dtype
    rounding = (truth.to(dtype).double() - truth).square().mean().sqrt()  # of the result alone
    assert (ours.double() - truth).square().mean().sqrt() <= 1.5 * rounding + 3e-7


@pytest.mark.parametrize("low", [0.0, -20.0, -60.0])
def test_small_features_keep_their_digits_and_a_zero_has_the_slope_one(low):
    q, k, v = leaves((1, 2, 9, 4), (1, 2, 9, 4), (1, 2, 9, 4), dtype=torch.float32)
    with torch.no_grad():
        q[:, :, ::2], k[:, :, ::3] = 0, low
        k.clamp_(max=low)
    wide = [x.detach().double().requires_grad_() for x in (q, k, v)]
    ours, truth = linear_attend(q, k, v), explicitly(*wide)
    torch.testing.assert_close(ours.double(), truth, atol=1e-5, rtol=1e-5)
    for a, b in zip(torch.autograd.grad(ours.sum(), (q, k, v)), torch.autograd.grad(truth.sum(), wide), strict=True):
        torch.testing.assert_close(a.double(), b, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("size", [1e2, 1e4])
def test_large_features_overflow_nowhere(size, causal):
    q, k, v = leaves(*[(2, 2, 90, 4)] * 3, dtype=torch.float32)
    out = linear_attend(q * size, k * size, v, causal=causal)
    assert out.isfinite().all()
    assert out.abs().max() <= v.abs().max() * 1.001  # a mean
    assert all(x.isfinite().all() for x in torch.autograd.grad(out.square().sum(), (q, k, v)))


def test_features_too_small_for_their_digits_give_nothing_and_no_nan():
    q, k, v = leaves(*[(1, 1, 3, 4)] * 3, dtype=torch.float32)
    for low in (-80.0, -95.0, -1e4, -math.inf):
        out = linear_attend(q, k.clamp(max=0) + low, v)
        assert (out == 0).all()
        assert all((x == 0).all() for x in torch.autograd.grad(out.sum(), (q, k, v)))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("causal", [False, True])
def test_beyond_the_lengths_nothing_is_read(bad, causal):
    q, k, v = (x.detach() for x in leaves(*[(2, 2, 70, 4)] * 3))
    lengths, found = torch.tensor([66, 0]), []
    beyond = (torch.arange(70) >= lengths[:, None])[:, None, :, None]
    for filler in (0.0, bad):
        x = [q.clone().requires_grad_(), *(y.masked_fill(beyond, filler).requires_grad_() for y in (k, v))]
        out = linear_attend(*x, causal=causal, lengths=lengths)
        found.append((out, *torch.autograd.grad(out, x, torch.ones_like(out))))
    for clean, dirty in zip(*found, strict=True):
        assert torch.equal(clean, dirty)
    assert all((x[1] == 0).all() for x in found[1])


def test_sums_that_grow_step_by_step_give_what_causality_gives():
    layer, x = LinearAttention(E, 3, causal=True).double(), torch.randn(2, 9, E, dtype=torch.float64)
    whole, sums = layer(x), None
    for t in range(9):
        step = x[:, t : t + 1]
        sums = layer.prepare(step, after=sums)
        torch.testing.assert_close(layer(step, sums)[:, 0], whole[:, t], atol=1e-12, rtol=1e-12)
    assert sums.s.shape == (2, 3, 4, 4)  # as after one step
    rows = torch.tensor([1, 1, 0])
    torch.testing.assert_close(layer(step[rows], sums.select(rows))[:, 0], whole[rows, -1], atol=1e-12, rtol=1e-12)


def test_a_source_may_be_summed_up_before_it_is_asked():
    layer = LinearAttention(E, 3, key=S, value=4).double()
    query, states, values = (torch.randn(2, n, f, dtype=torch.float64) for n, f in ((5, E), (8, S), (8, 4)))
    lengths = torch.tensor([8, 3])
    at_once = layer(query, states, lengths, values=values)
    torch.testing.assert_close(layer(query, layer.prepare(states, lengths, values=values)), at_once)


@pytest.mark.parametrize("causal", [False, True])
def test_the_weights_are_what_mixes_the_values(causal):
    layer = LinearAttention(E, 2, causal=causal, output=False, bias=False).double()
    x, lengths = torch.randn(2, 7, E, dtype=torch.float64), torch.tensor([7, 4])
    weights = layer.weights(x, lengths=lengths)
    v = F.linear(x, layer.joint.weight[2 * E :]).unflatten(2, (2, -1)).transpose(1, 2)
    torch.testing.assert_close((weights @ v).transpose(1, 2).flatten(2), layer(x, lengths=lengths))
    sums = weights.sum(-1)
    torch.testing.assert_close(sums[0], torch.ones_like(sums[0]))
    assert (sums[1, :, 4:] == 0).all()
    assert not causal or (weights.triu(1) == 0).all()


def test_nothing_grows_faster_than_the_time():
    """Numbers that autograd keeps, in the causal form: as many per position at twice the length."""
    kept = []
    for T in (512, 1024):
        q, k, v = leaves(*[(1, 1, T, 16)] * 3, dtype=torch.float32)
        counted = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x, to=counted: to.append(x.numel()) or x, lambda x: x):
            linear_attend(q, k, v, causal=True)
        kept.append(sum(counted) / T)
    assert kept[1] == pytest.approx(kept[0], rel=0.01)


@pytest.mark.plain
def test_what_does_not_fit_is_named():
    q, k, v = (torch.randn(2, 3, 5, 4) for _ in range(3))
    wrong = {
        r"q: expected \(batch, heads": (q[0], k, v),
        r"k: expected \(2, 3\) rows and heads and 4 features": (q, k[:, :1], v),
        r"v: expected \(2, 3, 5\) rows, heads and keys": (q, k, v[:, :, :4]),
    }
    for message, given in wrong.items():
        with pytest.raises(ValueError, match=message):
            linear_attend(*given)
    with pytest.raises(ValueError, match="lengths: expected 2 whole numbers"):
        linear_attend(q, k, v, lengths=torch.tensor([1, 2, 3]))
    layer, x = LinearAttention(E, 3, causal=True), torch.randn(2, 5, E)
    sums = layer.prepare(x)
    with pytest.raises(ValueError, match=r"query: .* one step at a time; expected \(batch, 1, features\)"):
        layer(x, sums)
    with pytest.raises(ValueError, match="lengths: the memory was prepared with its lengths already"):
        layer(x[:, :1], sums, torch.tensor([5, 5]))
    with pytest.raises(ValueError, match="memory: expected 1 batch rows"):
        layer(x[:1, :1], sums)
    with pytest.raises(ValueError, match="memory: expected 1 batch rows"):
        layer(x[:1], x)
    with pytest.raises(ValueError, match="values: they belong to a memory"):
        layer(x, values=x)
    with pytest.raises(ValueError, match=r"values: expected \(2, 5, features\)"):
        layer(x, x, values=x[:, :4])
    with pytest.raises(ValueError, match="cannot be its own memory"):
        LinearAttention(E, 3, key=S)(x)
    with pytest.raises(ValueError, match="heads: expected a divisor of the 12 features"):
        LinearAttention(E, 5)
