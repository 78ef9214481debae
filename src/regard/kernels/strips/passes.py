"""Forward and backward over a call's strips, head by head."""

import torch
from torch import Tensor

from regard.kernels.learned import Gathered
from regard.kernels.strips.part import Work
from regard.kernels.strips.scratch import Scratch


def context(work: Work, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """(B, H, Tq, Dv) of q, k, v in one dtype, float32 or float64; 0 for queries that no strip has."""
    out = q.new_zeros(*q.shape[:3], v.shape[3])
    group = q.shape[1] // k.shape[1]
    scratch = Scratch(work.strips, q, max(k.shape[3], v.shape[3]))
    for part in work.parts():
        strip, b = part.strip, part.b
        for h in part.heads:
            keys, values = scratch.keys(strip, k[b, h // group], v[b, h // group])
            p = part.weights(strip.of(q[b, h]), keys, h, scratch)
            strip.product(part.dropped(p, h, scratch), values, 1.0, out[b, h])
    return out


def gradients(work: Work, q: Tensor, k: Tensor, v: Tensor, gradient: Tensor) -> tuple[Tensor | None, ...]:
    """Of q, k, v and the sink, and of every tensor that bias and factor learn."""
    dq, dk, dv = (torch.zeros(x.shape, dtype=x.dtype) for x in (q, k, v))
    sinks = None if work.sink is None else torch.zeros(work.sink.shape, dtype=torch.float64)
    group = q.shape[1] // k.shape[1]
    scratch = Scratch(work.strips, q, max(k.shape[3], v.shape[3]))
    rules = Gathered(work.bias), Gathered(work.after)
    for part in work.parts():
        strip, b = part.strip, part.b
        for h in part.heads:
            queries, g = strip.of(q[b, h]), strip.of(gradient[b, h])
            keys, values = scratch.keys(strip, k[b, h // group], v[b, h // group])
            p = part.weights(queries, keys, h, scratch, keep=True)
            used = part.dropped(p, h, scratch)
            strip.keys.add_product(used, g, 1.0, dv[b, h // group], scratch.rows(strip, v))
            dp = torch.bmm(g, values.mT, out=scratch("dp", strip))
            if part.after is not None and rules[1].wanted:
                rules[1].add(part.kept(dp * p, h), part.after, part.place(part.after, h))
            dp = part.factored(dp, h)
            if sinks is not None:
                assert part.missed is not None
                sinks[h] -= ((p * dp).sum(-1, keepdim=True) * part.missed).sum()
            ds = torch._softmax_backward_data(dp, p, -1, p.dtype, grad_input=dp)
            if part.bias is not None and rules[0].wanted:
                rules[0].add(ds, part.bias, part.place(part.bias, h))
            if work.cap is not None:
                torch.ops.aten.tanh_backward.grad_input(ds, scratch("tanh", strip), grad_input=ds)
            strip.product(ds, keys, work.scale, dq[b, h])
            strip.keys.add_product(ds, queries, work.scale, dk[b, h // group], scratch.rows(strip, k))
        for of_rule in rules:
            of_rule.flow(part.grid)
    return dq, dk, dv, sinks, *rules[0].gradients(), *rules[1].gradients()
