"""Additive attention whose scores never build the (Tq, Tk, hidden) tensor, forward or backward, on a CPU.

The loops stand in `additive_loops.py` and want numba (`pip install 'regard[fast]'`); without it `reference` computes
the same. The backward pass computes tanh again. What follows the scores is the reference's, (Tq, Tk) in size.

A decoder asks the same keys at every step of `unrolled()`: then the keys' gradient grows in one place, and the values'
is one product at the end, dV = Σ_t α_tᵀ g_t = [α_1; …; α_T]ᵀ [g_1; …; g_T].
"""

from dataclasses import dataclass, field
from functools import cache, partial
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from regard.equation.precision import full, no_autocast
from regard.equation.prepare import Keys, ready
from regard.equation.reference import Attended, from_scores, per_query_head
from regard.equation.unrolled import gathering
from regard.kernels.kernel import Compute, Kernel
from regard.kernels.problem import Call, Problem

FEW = 2**18
"""Hidden features over all pairs below which the plain computation takes less than a millisecond, and no import."""


class Additive(Kernel):
    """vᵀ tanh(W_q q + W_k k + b), fused; softmax and context as in the reference."""

    name = "additive"

    def refusals(self, problem: Problem) -> list[str]:
        """See `Kernel.refusals`."""
        if not problem.is_additive:
            return [f"the score {problem.score} is not additive"]
        reasons = []
        if problem.device != "cpu":
            reasons.append(f"it computes on cpu, not on {problem.device}")
        if problem.dtype == torch.float64:
            reasons.append("it computes in float32, not in float64")
        if torch.compiler.is_compiling():
            reasons.append("torch.compile cannot look into it")
        if problem.empty:
            reasons.append("a size is 0")
        if not reasons and not self.doubts(problem):  # few pairs must not wait for an import
            reasons += [missing] if (missing := _missing()) else []
        return reasons

    def doubts(self, problem: Problem) -> list[str]:
        """See `Kernel.doubts`."""
        few = problem.pairs * problem.D < FEW
        return ["so few pairs take the plain computation less than a millisecond"] if few else []

    def flops(self, problem: Problem) -> int:
        """Forward: pairs * (score + 2 Dv); backward: the score again, and twice its operations and the context's."""
        again = 3 * problem.pair_flops + 4 * problem.Dv if problem.grad else 0
        return problem.pairs * (problem.pair_flops + 2 * problem.Dv + again)

    def bytes(self, problem: Problem) -> int:
        """Inputs and context once; scores, masked scores and weights once each; backward twice all that."""
        return (problem.io_bytes + 3 * problem.pairs * 4) * (3 if problem.grad else 1)

    def bind(self, problem: Problem) -> Compute:
        """See `Kernel.bind`."""
        if missing := _missing():  # asked for by name
            raise ValueError(f"kernel {self.name} was asked for and cannot take this call: {missing}")
        return _attended if problem.weights else _context


def _attended(call: Call) -> Attended:
    size = (*call.q.shape[:3], call.v.shape[2], call.q.device)
    allowed = None if call.mask is None else call.mask.dense(*size)
    q, k, values = ready(call.q, call.k, call.v, call.score, allowed)
    v = call.score.tensors[0]
    with no_autocast(q.device):
        k, values, sums = _shared(call.k, k, values) or (full(k), full(values), None)
        e = _Scores.apply(full(q), k, full(v), sums)
        values = per_query_head(values, q.shape[1])
        add_up = torch.matmul if sums is None else partial(_Context.apply, sums)
        return from_scores(
            e, values, size, allowed, call.bias, call.normaliser, call.after, call.dropout, call.v.dtype, add_up
        )


def _context(call: Call) -> Tensor:
    return _attended(call).context


class _Scores(torch.autograd.Function):
    """e (B, H, Tq, Tk) = v · tanh(q + k), of float32 q (B, H, Tq, A) and k (B, Hk, Tk, A)."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, sums: "_Sums | None") -> Tensor:
        q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
        ctx.save_for_backward(q, k, v)
        ctx.sums = sums
        e = q.new_empty(*q.shape[:3], k.shape[2])
        _loops().scores(*_arrays(k.shape, q, k), v.detach().numpy(), *_arrays(k.shape, e))
        return e

    @staticmethod
    def backward(ctx: Any, de: Tensor) -> tuple:
        q, k, v = ctx.saved_tensors
        if torch.is_grad_enabled():  # a gradient of this gradient is wanted: the plain way has one
            hidden = q.unsqueeze(-2) + per_query_head(k, q.shape[1]).unsqueeze(-3)
            return *torch.autograd.grad(hidden.tanh() @ v, (q, k, v), de, create_graph=True), None
        sums: _Sums | None = ctx.sums
        if sums is None:
            dk = torch.zeros_like(k)
        else:
            dk = sums.dk = torch.zeros_like(k) if sums.dk is None else sums.dk
        dq, dv = torch.zeros_like(q), v.new_zeros(k.shape[0] * k.shape[1], len(v))
        arrays = _arrays(k.shape, de.contiguous(), q, k), _arrays(k.shape, dq, dk)
        _loops().add_gradients(*arrays[0], v.detach().numpy(), *arrays[1], dv.numpy())
        return dq, dk if sums is None else None, dv.sum(0), None


def _arrays(key_shape: torch.Size, *tensors: Tensor) -> list[Any]:
    """Tensors (B, H or Hk, rows, columns) as arrays (B Hk, rows of all heads in the group, columns)."""
    heads = key_shape[0] * key_shape[1]
    return [x.detach().view(heads, -1, x.shape[-1]).numpy() for x in tensors]


@dataclass(eq=False)
class _Sums:
    """What the steps of one loop leave for the end: the keys' gradient so far, and what makes the values'."""

    dk: Tensor | None = None
    weights: list[Tensor] = field(default_factory=list)
    gradients: list[Tensor] = field(default_factory=list)


def _shared(keys: Tensor | Keys, k: Tensor, values: Tensor) -> tuple[Tensor, Tensor, _Sums] | None:
    """Keys and values for this step, if they are prepared ones whose gradients this loop over time gathers."""
    gathered = gathering()
    if gathered is None or not isinstance(keys, Keys) or not (k.requires_grad or values.requires_grad):
        return None
    of = (id(k), id(values))
    if of not in gathered:
        sums = _Sums()
        gathered[of] = (*_Gather.apply(k, values, sums), sums, k, values)  # held, so that their ids stay theirs
    return gathered[of][:3]


class _Gather(torch.autograd.Function):
    """Hands out keys and values in float32; backward runs after all steps' and makes one gradient of them."""

    @staticmethod
    def forward(ctx: Any, k: Tensor, values: Tensor, sums: _Sums) -> tuple[Tensor, Tensor]:
        ctx.sums, ctx.shape, ctx.dtypes = sums, values.shape, (k.dtype, values.dtype)
        ctx.set_materialize_grads(False)
        return k.to(torch.float32, copy=True), values.to(torch.float32, copy=True)

    @staticmethod
    def backward(ctx: Any, *_: None) -> tuple:
        sums: _Sums = ctx.sums
        dk, dv = sums.dk, None
        if sums.weights:
            dv = torch.cat(sums.weights, 2).mT @ torch.cat(sums.gradients, 2)
            dv = dv.sum(1, keepdim=True).to(ctx.dtypes[1])
        sums.dk, sums.weights, sums.gradients = None, [], []
        return None if dk is None else dk.to(ctx.dtypes[0]), dv, None


class _Context(torch.autograd.Function):
    """Weights times values; leaves the values' gradient to the end."""

    @staticmethod
    def forward(ctx: Any, sums: _Sums, weights: Tensor, values: Tensor) -> Tensor:
        ctx.save_for_backward(weights, values)
        ctx.sums = sums
        return weights @ values

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple:
        weights, values = ctx.saved_tensors
        ctx.sums.weights.append(weights)
        ctx.sums.gradients.append(gradient)
        return None, gradient @ values.mT, None


def _loops() -> ModuleType:
    """The compiled loops, told how many threads PyTorch computes with."""
    from regard.kernels import additive_loops

    additive_loops.use_threads(torch.get_num_threads())
    return additive_loops


@cache
def _missing() -> str | None:
    """Why the loops cannot run here, if so: found out by running them once."""
    try:
        _loops().scores(*(torch.zeros(shape).numpy() for shape in ((1, 1, 1), (1, 1, 1), (1,), (1, 1, 1))))
    except ImportError:
        return "numba is not installed: pip install 'regard[fast]'"
    except Exception as error:  # whatever keeps a compiler from working must not keep attention from it
        return f"numba does not work here: {type(error).__name__}: {error}"
    return None
