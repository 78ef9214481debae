"""Additive attention that never builds the (Tq, Tk, hidden) tensor, forward or backward, on a CPU.

The loops stand in `additive_loops/` and want numba (`pip install 'regard[fast]'`); without it `reference` computes
the same. The backward pass makes each pair's reciprocal again. A plain softmax and its context are part of the loops;
any other normaliser, a bias, dropout, or weights that are asked for follow the scores as in the reference.

Keys that were prepared keep what the loops made of them, for the next step of a decoder. In training it asks them at
every step of `unrolled()`: then the keys' gradient and v's grow in one place, and the values' is one product at the
end, dV = Σ_t α_tᵀ g_t = [α_1; …; α_T]ᵀ [g_1; …; g_T].
"""

import ctypes
from dataclasses import dataclass, field
from functools import cache, partial
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from regard.equation.normalisers import Softmax
from regard.equation.precision import full, no_autocast
from regard.equation.prepare import Keys, ready
from regard.equation.reference import Attended, from_scores, per_query_head
from regard.equation.unrolled import gathering
from regard.kernels.kernel import Compute, Kernel
from regard.kernels.problem import Call, Problem
from regard.machine import team

FEW = 2**18
"""Hidden features over all pairs below which the plain computation takes less than a millisecond, and no import."""
FEW_TO_TRAIN = 2**16
"""The same where gradients are wanted, of which plain autograd takes many passes, and no call comes alone."""

_SOFTMAX = Softmax()


class Additive(Kernel):
    """vᵀ tanh(W_q q + W_k k + b), and for a plain softmax the context too, fused."""

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
        few = problem.pairs * problem.D < (FEW_TO_TRAIN if problem.grad else FEW)
        return ["so few pairs take the plain computation less than a millisecond"] if few else []

    def flops(self, problem: Problem) -> int:
        """Forward: pairs * (score + 2 Dv); backward: the score again, and twice its operations and the context's."""
        again = 3 * problem.pair_flops + 4 * problem.Dv if problem.grad else 0
        return problem.pairs * (problem.pair_flops + 2 * problem.Dv + again)

    def bytes(self, problem: Problem) -> int:
        """Inputs and context once; weights once, scores and masked scores too where not fused; backward twice that."""
        tables = 1 if _is_fused(problem) else 3
        return (problem.io_bytes + tables * problem.pairs * 4) * (3 if problem.grad else 1)

    def bind(self, problem: Problem) -> Compute:
        """See `Kernel.bind`."""
        if missing := _missing():  # asked for by name
            raise ValueError(f"kernel {self.name} was asked for and cannot take this call: {missing}")
        if _is_fused(problem):
            return _fused
        return _attended if problem.weights else _context


def _is_fused(problem: Problem) -> bool:
    """Whether softmax and context are part of the loops."""
    return problem.softmax and not (problem.bias or problem.after or problem.dropout or problem.weights)


def _fused(call: Call) -> Tensor:
    q, k, v, values, made, sums, allowed = _inputs(call)
    with no_autocast(q.device):
        if not torch.is_grad_enabled():  # a decoder's step, where what autograd asks before it computes counts
            return _weights_and_context(q, v, values, made, allowed)[1].to(call.v.dtype)
        return _Context.apply(q, k, v, values, made, sums, allowed).to(call.v.dtype)


def _attended(call: Call) -> Attended:
    q, k, v, values, made, sums, allowed = _inputs(call)
    size = (*call.q.shape[:3], call.v.shape[2], call.q.device)
    with no_autocast(q.device):
        e = _Scores.apply(q, k, v, made, sums)
        values = per_query_head(values, q.shape[1])
        add_up = torch.matmul if sums is None else partial(_AddUp.apply, sums)
        return from_scores(
            e, values, size, allowed, call.bias, call.normaliser, call.after, call.dropout, call.v.dtype, add_up
        )


def _context(call: Call) -> Tensor:
    return _attended(call).context


@dataclass(eq=False)
class _Made:
    """What the loops made of the keys of every n, a batch row and key head: see `additive_loops`."""

    arrays: dict[str, Tensor]
    all_n: int
    keys: int
    width: int
    told: list[int]
    """What the loops are told of these, in the order of `NAMES`; the rest is 0."""


@dataclass(eq=False)
class _Sums:
    """What the steps of one loop leave for the end: gradients of keys and v so far, and what makes the values'."""

    dk: Tensor | None = None
    dv: Tensor | None = None
    weights: list[Tensor] = field(default_factory=list)
    gradients: list[Tensor] = field(default_factory=list)


def _inputs(call: Call) -> tuple[Tensor, Tensor, Tensor, Tensor, _Made, _Sums | None, Tensor | None]:
    """Projected queries and keys, v and values in float32, what is made of the keys, and which pairs are allowed."""
    size = (*call.q.shape[:3], call.v.shape[2], call.q.device)
    allowed = None if call.mask is None else call.mask.dense(*size)
    q, k, values = ready(call.q, call.k, call.v, call.score, allowed)
    v = call.score.tensors[0]
    with no_autocast(q.device):
        made = _made(call, k, allowed)
        shared = _shared(call.k, k, v, values)
        if shared is None:
            return full(q), full(k), full(v), full(values), made, None, allowed
        k, v, values, sums = shared
        return full(q), k, v, values, made, sums, allowed


def _made(call: Call, k: Tensor, allowed: Tensor | None) -> _Made:
    """What the loops want of the keys: kept with prepared ones, so that the next step finds it."""
    if not isinstance(call.k, Keys) or (allowed is not None and call.k.mask is None):
        return _make(full(k), None if allowed is None else _seen(allowed, k))
    version = 0 if k.is_inference() else k._version
    kept = call.k.made.get("additive")
    if kept is None or kept[0] != version:
        mask = call.k.mask
        seen = None if mask is None else _seen(mask.dense(k.shape[0], 1, 1, k.shape[2], k.device), k)
        kept = call.k.made["additive"] = version, _make(full(k), seen)
    return kept[1]


def _seen(allowed: Tensor, k: Tensor) -> Tensor:
    """Which keys some query may see, (B, Hk, Tk), 0 or 1."""
    seen = allowed.view(torch.uint8).amax(2)
    if seen.shape[1] not in (1, k.shape[1]):
        seen = seen.unflatten(1, (k.shape[1], -1)).amax(2)
    return seen.expand(k.shape[:3])


def _make(k: Tensor, seen: Tensor | None) -> _Made:
    loops = _loops()
    k = _padded(k.detach(), loops.BLOCK)
    all_n, keys, width = k.shape[0] * k.shape[1], k.shape[2], k.shape[3]
    arrays = {
        "k": k,
        "factors": torch.empty_like(k),
        "tanhs": torch.empty_like(k),
        "middles": k.new_empty(all_n, width),
        "spreads": k.new_empty(all_n, width // loops.BLOCK),
        "until": k.new_empty(all_n, dtype=torch.long),
    }
    told = [0] * len(loops.NAMES)
    made = _Made(arrays, all_n, keys, width, told)
    _tell(told, **arrays, keys=keys, W=width, span=loops.scratch(width))
    _run(loops.prepare, all_n * width // loops.BLOCK, made, 1, seen=None if seen is None else seen.contiguous())
    return made


def _tell(told: list[int], **fields: Tensor | int | None) -> None:
    place = _places()
    for name, x in fields.items():
        told[place[name]] = x.data_ptr() if isinstance(x, Tensor) else (x or 0)


@cache
def _places() -> dict[str, int]:
    return {name: place for place, name in enumerate(_loops().NAMES)}


def _run(task: Any, places: int, made: _Made, rows: int, **more: Tensor | int | None) -> None:
    """A task of the loops over so many places, with these arrays and sizes."""
    loops, told = _loops(), made.told.copy()
    threads = min(torch.get_num_threads(), places) if made.all_n * rows * made.keys * made.width > FEW else 1
    scratch = made.arrays["k"].new_empty(threads * loops.scratch(made.width))
    _tell(told, places=places, rows=rows, scratch=scratch, **more)
    data = (ctypes.c_int64 * len(told))(*told)
    team.run(loops.compiled(task), ctypes.addressof(data), threads)


def _padded(x: Tensor, multiple: int = 16) -> Tensor:
    """With zeros up to a multiple of so many features, and contiguous."""
    over = -x.shape[-1] % multiple
    return F.pad(x, (0, over)) if over else x.contiguous()


class _Scores(torch.autograd.Function):
    """e (B, H, Tq, Tk) = v · tanh(q + k), of float32 q (B, H, Tq, A) and k (B, Hk, Tk, A)."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, made: _Made, sums: _Sums | None) -> Tensor:
        ctx.save_for_backward(q, k, v)
        ctx.made, ctx.sums = made, sums
        e = q.new_empty(*q.shape[:3], made.keys)
        _forward(made, q, v, e)
        return e

    @staticmethod
    def backward(ctx: Any, de: Tensor) -> tuple:
        q, k, v = ctx.saved_tensors
        if torch.is_grad_enabled():  # a gradient of this gradient is wanted: the plain way has one
            return *torch.autograd.grad(_plain_scores(q, k, v), (q, k, v), de, create_graph=True), None, None
        de = de.contiguous()
        dq, dk, dv = _backward(ctx.made, q, k, v, de, ctx.sums)
        return dq, dk, dv, None, None


class _Context(torch.autograd.Function):
    """softmax(v · tanh(q + k)) times the values (B, Hk, Tk, Dv), as a context (B, H, Tq, Dv); all float32."""

    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        values: Tensor,
        made: _Made,
        sums: _Sums | None,
        allowed: Tensor | None,
    ) -> Tensor:
        weights, context = _weights_and_context(q, v, values, made, allowed)
        ctx.save_for_backward(q, k, v, values, weights)
        ctx.made, ctx.sums, ctx.allowed = made, sums, allowed
        return context

    @staticmethod
    def backward(ctx: Any, dc: Tensor) -> tuple:
        q, k, v, values, weights = ctx.saved_tensors
        if torch.is_grad_enabled():
            e = _plain_scores(q, k, v)
            e = e if ctx.allowed is None else torch.where(ctx.allowed, e, -torch.inf)
            context = _SOFTMAX.weights(e) @ per_query_head(values, q.shape[1])
            grads = torch.autograd.grad(context, (q, k, v, values), dc, create_graph=True, allow_unused=True)
            return *grads, None, None, None
        de = torch.empty_like(weights)
        of_context = weights, _padded(values), _padded(dc)
        dq, dk, dv = _backward(ctx.made, q, k, v, de, ctx.sums, of_context)
        d_values = None
        if ctx.sums is not None:
            ctx.sums.weights.append(weights[..., : ctx.made.keys])
            ctx.sums.gradients.append(dc)
        elif ctx.needs_input_grad[3]:
            grouped = (*values.shape[:2], -1)
            d_values = weights[..., : ctx.made.keys].reshape(*grouped, ctx.made.keys).mT @ dc.reshape(
                *grouped, dc.shape[3]
            )
        return dq, dk, dv, d_values, None, None, None


def _weights_and_context(
    q: Tensor, v: Tensor, values: Tensor, made: _Made, allowed: Tensor | None
) -> tuple[Tensor, Tensor]:
    """softmax(v · tanh(q + k)) in rows of a multiple of 16, and times the values."""
    padded = _padded(values)
    weights = q.new_empty(*q.shape[:3], made.keys + -made.keys % 16)
    context = q.new_empty(*q.shape[:3], padded.shape[3])
    _forward(made, q, v, weights, allowed, padded, context)
    return weights, context if padded is values else context[..., : values.shape[3]]


def _plain_scores(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q.unsqueeze(-2) + per_query_head(k, q.shape[1]).unsqueeze(-3)).tanh() @ v


def _forward(
    made: _Made,
    q: Tensor,
    v: Tensor,
    e: Tensor,
    allowed: Tensor | None = None,
    values: Tensor | None = None,
    context: Tensor | None = None,
) -> None:
    """Fills e with scores or, where there are values, with weights, and the context."""
    loops = _loops()
    key_heads = made.all_n // q.shape[0]
    group = q.shape[1] // key_heads
    rows = group * q.shape[2]
    fields: dict[str, Any] = {"q": _padded(q, loops.BLOCK), "v": _padded(v, loops.BLOCK), "e": e, "P": e.shape[3]}
    if context is not None:
        fields |= {"fused": 1, "values": values, "context": context, "Dv": context.shape[3]}
    if allowed is not None:
        allowed = allowed.expand(*allowed.shape[:3], made.keys).contiguous()
        strides = [0 if size == 1 else stride for size, stride in zip(allowed.shape, allowed.stride(), strict=True)]
        fields |= {"masked": 1, "allowed": allowed, "key_heads": key_heads, "group": group, "steps": q.shape[2]}
        fields |= dict(zip(("of_batch", "of_head", "of_step"), strides[:3], strict=True))
    _run(loops.forward, made.all_n * -(-rows // loops.ROWS_AT_ONCE), made, rows, **fields)


def _backward(
    made: _Made,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    de: Tensor,
    sums: _Sums | None,
    of_context: tuple[Tensor, Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Gradients of q, k and v; the latter two None where `sums` gathers them. `of_context`: weights, values and dc."""
    loops = _loops()
    rows = q.shape[1] * q.shape[2] * q.shape[0] // made.all_n
    dq = q.new_empty(*q.shape[:3], made.width)
    adds = sums is not None and sums.dk is not None and sums.dv is not None
    if sums is not None and sums.dk is not None and sums.dv is not None:
        dk, dv = sums.dk, sums.dv
    else:
        dk, dv = q.new_empty(*k.shape[:3], made.width), q.new_empty(made.all_n, made.width)
        if sums is not None:
            sums.dk, sums.dv = dk, dv
    fields: dict[str, Any] = {"de": de, "P": de.shape[3], "fused": int(of_context is not None)}
    if of_context is not None:
        weights, values, dc = of_context
        fields |= {"e": weights, "values": values, "dc": dc, "Dv": dc.shape[3]}
        _run(loops.through_softmax, made.all_n * -(-rows // loops.ROWS_AT_ONCE), made, rows, **fields)
    fields |= {"q": _padded(q, loops.BLOCK), "v": _padded(v, loops.BLOCK), "dq": dq, "dk": dk, "dv": dv, "adds": adds}
    blocks = made.all_n * made.width // loops.BLOCK
    few = blocks < 4 * torch.get_num_threads()  # too few to share them out evenly
    fields["strips"] = 1 if few else loops.STRIPS
    _run(loops.gradients, blocks * loops.STRIPS // fields["strips"], made, rows, **fields)
    A = q.shape[-1]
    if sums is not None:
        return dq[..., :A], None, None
    return dq[..., :A], dk[..., :A], dv.sum(0)[:A]


def _shared(keys: Tensor | Keys, k: Tensor, v: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor, _Sums] | None:
    """Keys, v and values for this step, if they are prepared ones whose gradients this loop over time gathers."""
    gathered = gathering()
    if gathered is None or not isinstance(keys, Keys) or not (k.requires_grad or values.requires_grad):
        return None
    of = (id(k), id(v), id(values))
    if of not in gathered:
        sums = _Sums()
        gathered[of] = (*_Gather.apply(k, v, values, sums), sums, k, v, values)  # held, so that their ids stay theirs
    return gathered[of][:4]


class _Gather(torch.autograd.Function):
    """Hands out keys, v and values in float32; backward runs after all steps' and makes one gradient of them."""

    @staticmethod
    def forward(ctx: Any, k: Tensor, v: Tensor, values: Tensor, sums: _Sums) -> tuple[Tensor, Tensor, Tensor]:
        ctx.sums, ctx.features, ctx.dtypes = sums, k.shape[-1], (k.dtype, v.dtype, values.dtype)
        ctx.set_materialize_grads(False)
        k, v, values = (x.to(torch.float32, copy=True) for x in (k, v, values))
        return k, v, values

    @staticmethod
    def backward(ctx: Any, *_: None) -> tuple:
        sums: _Sums = ctx.sums
        dk = dv = d_values = None
        if sums.dk is not None and sums.dv is not None:
            dk = sums.dk[..., : ctx.features].to(ctx.dtypes[0])
            dv = sums.dv.sum(0)[: ctx.features].to(ctx.dtypes[1])
        if sums.weights:
            d_values = torch.cat(sums.weights, 2).mT @ torch.cat(sums.gradients, 2)
            d_values = d_values.sum(1, keepdim=True).to(ctx.dtypes[2])
        sums.dk, sums.dv, sums.weights, sums.gradients = None, None, [], []
        return dk, dv, d_values, None


class _AddUp(torch.autograd.Function):
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
    from regard.kernels import additive_loops

    return additive_loops


@cache
def _missing() -> str | None:
    """Why the loops cannot run here, if so: found out by running them once."""
    try:
        _make(torch.zeros(1, 1, 1, 1), None)
    except ImportError:
        return "numba is not installed: pip install 'regard[fast]'"
    except Exception as error:  # whatever keeps a compiler from working must not keep attention from it
        return f"numba does not work here: {type(error).__name__}: {error}"
    return None
