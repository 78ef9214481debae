"""Dual-stage attention against Qin's equations, written down one series, one step and one example at a time."""

import pytest
import torch
from cases import Case, must_hold

from regard.layers import DualStageAttention

N, T, M, P = 3, 5, 4, 6


def lstm(cell, x, h, c):
    gates = cell.weight_ih @ x + cell.bias_ih + cell.weight_hh @ h + cell.bias_hh
    into, keep, new, out = gates.chunk(4)
    c = torch.sigmoid(keep) * c + torch.sigmoid(into) * torch.tanh(new)
    return torch.sigmoid(out) * torch.tanh(c), c


def additive(layer, query, keys):
    e = [layer.v @ torch.tanh(layer.query.weight @ query + layer.key.weight @ key) for key in keys]
    return torch.softmax(torch.stack(e), 0)


def one(layer, x, y):
    """x (T, N), y (T - 1,): forecast, α, β."""
    h = s = x.new_zeros(M)
    states, alphas, betas = [], [], []
    for t in range(T):
        alpha = additive(layer.over_series, torch.cat([h, s]), [x[:, k] for k in range(N)])
        h, s = lstm(layer.encoder, alpha * x[t], h, s)
        states.append(h)
        alphas.append(alpha)
    d = s = x.new_zeros(P)
    contexts, before = [], (d, s)
    for t in range(T):
        if t:
            before = (d, s)
            fed = layer.feed.weight @ torch.cat([y[t - 1, None], contexts[-1]]) + layer.feed.bias
            d, s = lstm(layer.decoder, fed, d, s)
        betas.append(additive(layer.over_steps, torch.cat(before), states))
        contexts.append(sum(b * state for b, state in zip(betas[-1], states, strict=True)))
    first, second = layer.out
    hidden = first.weight @ torch.cat([d, contexts[-1]]) + first.bias
    return (second.weight @ hidden + second.bias)[0], torch.stack(alphas), torch.stack(betas)


def draw(batch, time):
    return torch.randn(batch, T, N), torch.randn(batch, T - 1)


def plainly(layer, driving, history):
    return torch.stack([one(layer, x, y)[0] for x, y in zip(driving, history, strict=True)])


test_what_must_hold = must_hold(
    {
        "dual stage": Case(
            lambda: DualStageAttention(N, T, M, P),
            draw,
            plainly,
            without={"takes_any_size": "its window is fixed"},
        )
    }
)


def test_the_weights_of_both_stages():
    layer, (driving, history) = DualStageAttention(N, T, M, P).double(), draw(2, T)
    driving, history = driving.double(), history.double()
    forecast, alpha, beta = layer.attended(driving, history)
    for row in range(2):
        wanted = one(layer, driving[row], history[row])
        for found, truth in zip((forecast, alpha, beta), wanted, strict=True):
            torch.testing.assert_close(found[row], truth, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(layer.weights(driving, history), (alpha, beta))


@pytest.mark.plain
def test_wrong_shapes_are_named():
    layer = DualStageAttention(N, T, M, P)
    with pytest.raises(ValueError, match=r"driving: expected \(batch, 5 steps, 3 series\), got \(2, 4, 3\)"):
        layer(torch.randn(2, 4, N), torch.randn(2, 4))
    with pytest.raises(ValueError, match=r"history: expected \(2, 4\), the target before the last step, got \(2, 5\)"):
        layer(torch.randn(2, T, N), torch.randn(2, T))
    with pytest.raises(ValueError, match="window: expected 1 or more, got 0"):
        DualStageAttention(N, 0, M, P)
