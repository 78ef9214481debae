"""`torch.nn.GRU` over sentences of different length, with its gradient written out: for training on a CPU.

PyTorch's own gives every step's gradient a tensor as large as all steps' and adds them up, which costs a tenth of a
translator's training. Here each step writes its own rows, and each weight's gradient is one product at the end. The
equations and the weights are torch's (`cells.py` has the former); the tests hold it to torch's numbers.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from regard.machine.rows import FEW, filled, linear
from regard.models import gru_step


def gru(
    rnn: nn.GRU, x: Float[Tensor, "batch time features"], lengths: Int[Tensor, " batch"]
) -> tuple[Float[Tensor, "batch time states"], Float[Tensor, "layers_directions batch hidden"]]:
    """What `rnn` gives for the packed sentences: a state per position, 0 beyond a sentence's length, and the last."""
    lengths, order = lengths.cpu().sort(descending=True, stable=True)
    within = lengths > torch.arange(x.shape[1])[:, None]
    counts = within.sum(1).tolist()  # sentences that reach each position
    x = torch.where(within[..., None], x[order].transpose(0, 1), 0)
    last = []
    for layer in range(rnn.num_layers):
        if layer:
            x = F.dropout(x, rnn.dropout, rnn.training)
        directions = []
        for back in range(1 + rnn.bidirectional):
            of = f"l{layer}{'_reverse' * back}"
            w_ih, w_hh, b_ih, b_hh = (
                getattr(rnn, f"{kind}_{of}") for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            states, h = _GRU.apply(linear(x, w_ih, b_ih), w_hh, b_hh, counts, bool(back))
            directions.append(states)
            last.append(h)
        x = torch.cat(directions, -1)
    back_in_order = order.argsort()
    return x.transpose(0, 1)[back_in_order], torch.stack(last)[:, back_in_order]


class _GRU(torch.autograd.Function):
    """States (time, batch, hidden) and the last, given W_ih x + b_ih; the first counts[t] rows reach step t."""

    @staticmethod
    def forward(ctx: Any, gates: Tensor, w: Tensor, b: Tensor, counts: list[int], back: bool) -> tuple[Tensor, Tensor]:
        ctx.order = list(enumerate(counts))[::-1] if back else list(enumerate(counts))
        ctx.back = back
        steps, batch, H = len(counts), gates.shape[1], w.shape[1]
        precise = torch.promote_types(gates.dtype, torch.float32)
        half, bias = w.to(gates.dtype), b.to(gates.dtype)
        h = gates.new_zeros(batch, H, dtype=precise)
        states = gates.new_zeros(steps, batch, H, dtype=precise)
        kept = gates.new_empty(steps, batch, 4 * H, dtype=precise)  # r, z, n, and W_hn h + b_hn
        in_loops = gru_step.takes(gates, h, trains=True)
        for t, n in ctx.order:
            recurrent = torch.addmm(bias, h[: _few(n)].to(gates.dtype), half.mT)[:n]
            if in_loops:
                gru_step.forward(gates[t, :n], None, recurrent, h[:n], states[t, :n], kept[t, :n])
                h[:n] = states[t, :n]
                continue
            recurrent = recurrent.to(precise)
            r, z, new, of_h = kept[t, :n].split(H, 1)
            torch.add(gates[t, :n, : 2 * H], recurrent[:, : 2 * H], out=kept[t, :n, : 2 * H]).sigmoid_()
            of_h.copy_(recurrent[:, 2 * H :])
            torch.addcmul(gates[t, :n, 2 * H :].to(precise), r, of_h, out=new).tanh_()
            states[t, :n] = h[:n] = torch.lerp(new, h[:n], z)
        ctx.save_for_backward(half, states, kept)
        ctx.dtypes = gates.dtype, w.dtype, b.dtype
        return states.to(gates.dtype, copy=True), h.to(gates.dtype)

    @staticmethod
    def backward(ctx: Any, of_states: Tensor, of_last: Tensor) -> tuple:
        w, states, kept = ctx.saved_tensors
        dtype, w_dtype, b_dtype = ctx.dtypes
        steps, batch, H = states.shape
        first = states.new_zeros(1, batch, H)
        before = torch.cat([states[1:], first] if ctx.back else [first, states[:-1]])
        dh = of_last.to(states.dtype, copy=True)
        of_gates = w.new_zeros(steps, batch, 3 * H)  # of W_ih x + b_ih; and of W_hh h + b_hh:
        of_recurrent = w.new_zeros(steps, batch, 3 * H)
        in_loops = gru_step.takes(of_gates, dh, trains=True)
        for t, n in reversed(ctx.order):
            if in_loops:
                d = dh[:n] + of_states[t, :n]
                gru_step.backward(d, kept[t, :n], before[t, :n], of_gates[t, :n], of_recurrent[t, :n], dh[:n])
                dh[:n] += (of_recurrent[t, : _few(n)] @ w)[:n]
                continue
            r, z, new, of_h = kept[t, :n].split(H, 1)
            d = dh[:n].add_(of_states[t, :n])
            of_new = d * (1 - z) * (1 - new * new)
            of_r, of_z = of_new * of_h * r * (1 - r), d * (before[t, :n] - new) * z * (1 - z)
            of_gates[t, :n] = torch.cat([of_r, of_z, of_new], 1)
            of_recurrent[t, :n] = torch.cat([of_r, of_z, of_new * r], 1)
            dh[:n] = d * z + (of_recurrent[t, : _few(n)] @ w)[:n]  # rows beyond n are 0 yet
        rows = of_recurrent.flatten(0, 1)
        of_w = filled(rows).mT @ filled(before.flatten(0, 1).to(dtype))
        return of_gates, of_w.to(w_dtype), rows.sum(0, dtype=states.dtype).to(b_dtype), None, None


def _few(n: int) -> int:
    """So many rows or a few more: a size that comes again, see `machine/rows.py`."""
    return n + -n % FEW
