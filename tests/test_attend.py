"""The door: weights and statistics, empty rows, precision, what is refused and how, and several threads at once."""

import math
import threading
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from regard.attend import _plans, attend, attend_with_weights
from regard.equation.biases import alibi
from regard.equation.masks import causal, dense, padding, window
from regard.equation.prepare import Keys
from regard.equation.scores import Additive, Cosine, Dot, General


def random(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=dtype, requires_grad=True)


def test_weights_scores_and_statistics_are_what_their_names_say() -> None:
    q, k, v = random(2, 4, 5, 8), random(2, 2, 7, 8), random(2, 2, 7, 3)
    mask, bias = padding([7, 4]) & window(3, 1), alibi(4)
    out = attend_with_weights(q, k, v, mask=mask, bias=bias)
    e = q @ k.repeat_interleave(2, 1).mT / math.sqrt(8) + bias.dense(2, 4, 5, 7)
    e = e.masked_fill(~mask.dense(2, 4, 5, 7), -math.inf)
    torch.testing.assert_close(out.scores, e)
    torch.testing.assert_close(out.weights, torch.softmax(e, -1))
    torch.testing.assert_close(out.lse, torch.logsumexp(e, -1))
    torch.testing.assert_close(out.log_prob, torch.log_softmax(e, -1))
    torch.testing.assert_close(out.context, attend(q, k, v, mask=mask, bias=bias))
    assert out.weights.shape == (2, 4, 5, 7)  # heads are never averaged


def test_an_empty_row_has_zero_weights_and_no_gradient_whatever_is_asked_of_it() -> None:
    q, k, v = random(2, 2, 3, 4), random(2, 2, 5, 4), random(2, 2, 5, 4)
    for score in (Dot(), Cosine(), Additive(random(6), random(6, 4), random(6, 4)), General(random(4, 4))):
        out = attend_with_weights(q, k, v, score=score, mask=padding([0, 5]))
        assert (out.context[0] == 0).all()
        assert (out.weights[0] == 0).all()
        assert (out.lse[0] == -math.inf).all()
        assert (out.log_prob[0] == -math.inf).all()
        for asked in (out.context, out.weights, out.lse, out.log_prob):
            of_q, of_k, of_v = torch.autograd.grad(
                asked, (q, k, v), torch.ones_like(asked), retain_graph=True, allow_unused=True, materialize_grads=True
            )
            for gradient in (of_q, of_k, of_v):
                assert (gradient[0] == 0).all()
                assert gradient.isfinite().all()


def test_no_keys_at_all() -> None:
    out = attend_with_weights(random(2, 2, 3, 4), random(2, 2, 0, 4), random(2, 2, 0, 5))
    assert torch.equal(out.context, torch.zeros(2, 2, 3, 5).double())
    assert out.weights.shape == (2, 2, 3, 0)
    assert (out.lse == -math.inf).all()


def test_statistics_are_taken_before_dropout_and_the_context_after() -> None:
    q, k, v = random(2, 2, 8, 4), random(2, 2, 8, 4), torch.eye(8).double().expand(2, 2, 8, 8)
    whole, dropped = (attend_with_weights(q, k, v, dropout=p) for p in (0.0, 0.5))
    for name in ("weights", "scores", "lse", "log_prob"):
        assert torch.equal(getattr(whole, name), getattr(dropped, name))
    assert (dropped.context == 0).any()


def test_causal_and_an_explicit_mask_both_hold() -> None:
    q = random(1, 1, 6, 4)
    explicit = torch.rand(6, 6) > 0.3
    weights = attend_with_weights(q, q, q, mask=causal() & dense(explicit)).weights[0, 0]
    allowed = explicit & torch.ones(6, 6).tril().bool()
    assert ((weights > 0) == allowed).all()


def test_true_means_may_attend() -> None:
    q, k, v = random(1, 1, 1, 4), random(1, 1, 3, 4), random(1, 1, 3, 4)
    only = torch.tensor([[False, True, False]])
    torch.testing.assert_close(attend(q, k, v, mask=only), v[:, :, 1:2])
    # nn.MultiheadAttention means the opposite: True there is dropped
    layer = torch.nn.MultiheadAttention(4, 1, batch_first=True, dtype=torch.float64, bias=False)
    with torch.no_grad():
        layer.in_proj_weight.copy_(torch.eye(4).repeat(3, 1))
        layer.out_proj.weight.copy_(torch.eye(4))
    theirs, _ = layer(q[0], k[0], v[0], attn_mask=~only)
    torch.testing.assert_close(theirs, attend(q, k, v, mask=only)[0])


def test_no_output_depends_on_a_later_input_where_causal() -> None:
    x = random(1, 2, 9, 4)
    out = attend(x, x, x, mask=causal())
    for t in (0, 4, 8):
        (gradient,) = torch.autograd.grad(out[:, :, t].sum(), x, retain_graph=True)
        assert (gradient[:, :, t + 1 :] == 0).all()


def test_the_last_query_is_aligned_with_the_last_key() -> None:
    q, k, v = random(1, 1, 6, 4), random(1, 1, 6, 4), random(1, 1, 6, 4)
    whole = attend(q, k, v, mask=causal())
    for step in range(6):  # decoding with a cache: one query, all keys so far
        now = attend(q[:, :, step : step + 1], k[:, :, : step + 1], v[:, :, : step + 1], mask=causal())
        torch.testing.assert_close(now, whole[:, :, step : step + 1])
    torch.testing.assert_close(attend(q[:, :, 4:], k, v, mask=causal()), whole[:, :, 4:])


def test_grouped_heads_are_repeated_heads() -> None:
    q, k, v = random(2, 6, 5, 4), random(2, 2, 7, 4), random(2, 2, 7, 3)
    for how in (attend, lambda *x: attend_with_weights(*x).context):
        grouped, repeated = how(q, k, v), how(q, k.repeat_interleave(3, 1), v.repeat_interleave(3, 1))
        torch.testing.assert_close(grouped, repeated)
        seed = torch.randn_like(grouped)
        for a, b in zip(
            torch.autograd.grad(grouped, (q, k, v), seed), torch.autograd.grad(repeated, (q, k, v), seed), strict=True
        ):
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize("parts", [{}, {"score": Cosine(2.0)}, {"score": lambda q, k: q @ k.mT}, {"bias": alibi(2)}])
def test_under_autocast_scores_weights_and_statistics_are_float32(parts: dict[str, Any]) -> None:
    q, k, v = (random(2, 2, 9, 16, dtype=torch.float32) for _ in range(3))
    exact = attend_with_weights(q, k, v, mask=causal(), **parts)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = attend_with_weights(q, k, v, mask=causal(), **parts)
        mixed = attend_with_weights(q, k.bfloat16(), v.bfloat16(), mask=causal(), **parts)
        context = attend(q, k, v, mask=causal(), **parts)
        assert attend(q, k.bfloat16(), v.bfloat16(), mask=causal(), **parts).dtype == torch.bfloat16
    for name in ("weights", "scores", "lse", "log_prob"):
        assert getattr(out, name).dtype == getattr(mixed, name).dtype == torch.float32
        torch.testing.assert_close(getattr(out, name), getattr(exact, name), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(context, exact.context, atol=1e-6, rtol=0)


def test_under_autocast_only_the_projections_of_a_score_are_rounded() -> None:
    q, k, v = (random(2, 1, 9, 16, dtype=torch.float32) for _ in range(3))
    score = Additive(*(random(*shape, dtype=torch.float32) for shape in ((8,), (8, 16), (8, 16))))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        keys = score.prepare(k, v)
        out = attend_with_weights(q, keys, v)
        of_q = score.query(q)
    assert out.weights.dtype == out.scores.dtype == torch.float32
    assert of_q.dtype == torch.bfloat16
    assert keys.k.dtype == torch.float32  # widened once, not at every step
    expected = torch.tanh(of_q.float()[..., :, None, :] + keys.k.float()[..., None, :, :]) @ score.v
    torch.testing.assert_close(out.scores, expected, atol=1e-5, rtol=0)


def test_half_precision_keeps_weights_in_float32_and_returns_the_values_dtype() -> None:
    q = torch.randn(1, 2, 5, 8, dtype=torch.bfloat16)
    out = attend_with_weights(q, q, q)
    assert (out.weights.dtype, out.context.dtype) == (torch.float32, torch.bfloat16)
    assert attend(q, q, q).dtype == torch.bfloat16


def test_calls_of_one_kind_share_a_plan_and_numbers_are_no_part_of_it() -> None:
    _plans.clear()
    for n in range(5):
        q = torch.randn(2, 2, 5, 4)
        attend(q, q, q, mask=padding(torch.tensor([n, 5])) & causal(), score=Dot(float(n + 1)), bias=torch.randn(5, 5))
    assert len(_plans) == 1
    attend(q, q, q, score=Dot(2.0))
    torch.testing.assert_close(
        attend(q, q, q, score=Dot(0.5)), F.scaled_dot_product_attention(q, q, q, scale=0.5)
    )  # another scale, the same plan
    assert len(_plans) == 2


def test_parts_of_ones_own_share_no_plan_with_others() -> None:
    class Twice(Dot):
        is_dot = False

        def compare(self, q: Tensor, k: Tensor) -> Tensor:
            return 2 * super().compare(q, k)

    class Even:
        name = "softmax"  # not the one it says

        def weights(self, e: Tensor) -> Tensor:
            return torch.full_like(e, 1 / e.shape[-1])

        def log_prob(self, e: Tensor) -> Tensor:
            return self.weights(e).log()

    q = torch.randn(2, 2, 5, 4)
    attend(q, q, q)
    torch.testing.assert_close(attend(q, q, q, score=Twice()), attend(q, q, q, score=Dot(1.0)))
    torch.testing.assert_close(attend(q, q, q, normalise=Even()), q.mean(2, keepdim=True).expand_as(q))


def test_several_threads_at_once() -> None:
    shapes = [(1, 2, t, 4) for t in (3, 5, 7, 9)]
    inputs = [torch.randn(s) for s in shapes]
    expected = [attend(x, x, x, mask=causal() & padding([s[2] - 1])) for x, s in zip(inputs, shapes, strict=True)]
    failures: list[object] = []

    def work(which: int) -> None:
        try:
            for _ in range(30):
                _plans.clear()  # plans come and go under the others' hands
                x, n = inputs[which].clone().requires_grad_(), shapes[which][2]
                out = attend(x, x, x, mask=causal() & padding([n - 1]))
                out.sum().backward()
                torch.testing.assert_close(out, expected[which])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n % 4,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def q_of(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.zeros(*shape, dtype=dtype)


Q, K, V = q_of(2, 4, 3, 8), q_of(2, 2, 5, 8), q_of(2, 2, 5, 6)
META = torch.zeros(2, 2, 5, 8, device="meta")
REFUSED = {
    r"q: expected 4 axes .*, got shape \(2, 3, 8\); for .* insert a head axis: q.unsqueeze\(1\)": lambda: attend(
        Q[:, 0], K, V
    ),
    r"q: expected a tensor .*, got \[1, 2\]": lambda: attend([1, 2], K, V),
    r"v: expected a tensor .*, got None": lambda: attend(Q, K, None),
    r"k: expected floating point, got torch.int64": lambda: attend(Q, K.long(), V),
    r"k: expected torch.float32, as q has, got torch.float64": lambda: attend(Q, K.double(), V.double()),
    r"k: expected on cpu, where q is, got on meta": lambda: attend(Q, META, V),
    r"k: expected 2 batch rows, as q has, got 1": lambda: attend(Q, K[:1], V),
    r"v: expected 2 heads and 5 keys, as k has, got 2 and 4": lambda: attend(Q, K, V[:, :, :4]),
    r"k: expected a number of heads that divides q's 4 .*, got 3": lambda: attend(
        Q, q_of(2, 3, 5, 8), q_of(2, 3, 5, 6)
    ),
    r"k: Dot\(\) expects 8 features, got 7": lambda: attend(Q, K[..., :7], V),
    r"dropout: expected a probability, 0 or more and below 1, got 1.5": lambda: attend(Q, K, V, dropout=1.5),
    r"mask: expected a rule such as causal\(\) or a bool tensor, got True": lambda: attend(Q, K, V, mask=True),
    r"dense: expected a bool tensor .*, got a torch.float32 tensor; numbers .* bias=": lambda: attend(
        Q, K, V, mask=torch.zeros(3, 5)
    ),
    r"dense: expected a shape that broadcasts to .* = \(2, 4, 3, 5\), got \(1, 1, 3, 4\)": lambda: attend(
        Q, K, V, mask=torch.ones(3, 4).bool()
    ),
    r"mask: holds a tensor on meta, expected cpu": lambda: attend(Q, K, V, mask=META[:1, :1, :3, :5].bool()),
    r"bias: holds a tensor on meta, expected cpu": lambda: attend(Q, K, V, bias=META[:1, :1, :3, :5]),
    r"score: General\(<8x8>\) holds tensors on meta, expected cpu": lambda: attend(
        Q, K, V, score=General(META[0, 0, 0].expand(8, 8))
    ),
    r"after: expected a tensor or a rule such as .*, got 3.0": lambda: attend(Q, K, V, after=3.0),
    r"after: expected a shape that .*, got \(1, 1, 2, 5\)": lambda: attend(Q, K, V, after=torch.ones(2, 5)),
    r"normalise: expected one of entmax, .*, softmax, sparsemax, got 'soft'": lambda: attend(Q, K, V, normalise="soft"),
    r"padding: expected one of lengths per batch row, 2, got 3": lambda: attend(Q, K, V, mask=padding([1, 2, 3])),
}


@pytest.mark.plain
@pytest.mark.parametrize("says", REFUSED)
def test_a_mistake_raises_value_error_that_names_it(says: str) -> None:
    for _ in range(2):  # also the second time: a refused call leaves no plan behind
        with pytest.raises(ValueError, match=says):
            REFUSED[says]()


@pytest.mark.plain
def test_a_mistake_in_a_call_like_a_good_one_is_still_found() -> None:
    attend(Q, K, V)
    attend(Q, Dot().prepare(K), V)
    with pytest.raises(ValueError, match="k: expected on cpu"):
        attend(Q, META, V)
    with pytest.raises(ValueError, match="dropout"):
        attend(Q, K, V, dropout=-0.1)
    with pytest.raises(ValueError, match=r"v: expected torch\.float32"):
        attend(Q, K, V.double())
    with pytest.raises(ValueError, match=r"v: expected torch\.float32"):
        attend(Q, Dot().prepare(K), V.double())
    with pytest.raises(ValueError, match="the keys were prepared for"):
        attend(Q, Keys(K, Dot()), V, score=Cosine())
