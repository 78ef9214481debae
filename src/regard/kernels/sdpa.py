"""Everything that reduces to PyTorch's `scaled_dot_product_attention`: dot-product scores, any mask, any added bias.

What it is told apart from: causality is a flag only where every query has its own key (with fewer queries than keys
SDPA aligns the first query with the first key, we the last with the last); other masks become bool tensors, biases
additive ones. On CPU its fused path wants Dv = D and contiguous features, so those are padded and copied; and half
formats that want gradients are computed in float32, as its own gradients err too much in them (`_in_float32`).
"""

import math
from collections.abc import Callable
from contextlib import nullcontext
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor

from regard.equation.looking import may_look
from regard.equation.mask import Mask
from regard.equation.precision import no_autocast
from regard.equation.prepare import any_of, ready
from regard.equation.scores import Dot
from regard.kernels.kernel import Compute, Kernel, not_softmax_of_dots
from regard.kernels.problem import Call, Problem

_NOTHING = nullcontext()
FEW = 2**15
"""Numbers of a context that are added up sooner than a part of them is picked out."""


class Sdpa(Kernel):
    """`torch.nn.functional.scaled_dot_product_attention`."""

    name = "sdpa"

    def refusals(self, problem: Problem) -> list[str]:
        """See `Kernel.refusals`."""
        reasons = not_softmax_of_dots(problem)
        if problem.after:
            reasons.append("it takes no factor on the weights")
        if problem.empty:
            reasons.append("a size is 0")
        return reasons

    def flops(self, problem: Problem) -> int:
        """Forward: seen pairs * 2 (D + Dv), half of the pairs where causal; backward 2.5 times that (it recomputes)."""
        pairs = problem.pairs // 2 if _causal_flag(problem) else problem.pairs
        return int(pairs * 2 * (problem.D + problem.Dv) * (3.5 if problem.grad else 1))

    def bytes(self, problem: Problem) -> int:
        """Inputs and context once, a mask or bias once in full; backward two and a half times that.

        With dropout or a learned bias PyTorch's CPU path is not fused: scores and weights are written and read too.
        """
        numbers = 0
        if problem.bias or needs_tensor(problem):
            numbers += problem.pairs * (problem.dtype.itemsize if problem.bias else 1)
        if problem.dropout or problem.bias_grad:
            numbers += 4 * problem.pairs * problem.dtype.itemsize
        return int((problem.io_bytes + numbers) * (3.5 if problem.grad else 1))

    def bind(self, problem: Problem) -> Compute:
        """See `Kernel.bind`."""
        causal, is_dot = _causal_flag(problem), problem.score_key == Dot.key
        masked, precise = needs_tensor(problem), torch.promote_types(problem.dtype, torch.float32)
        # Without gradient, hidden numbers that do harm show in the context: 0 * NaN, inf - inf; and with dropout,
        # computing again would draw again.
        few = problem.B * problem.H * problem.Tq * problem.Dv < FEW
        shows = masked and not (problem.grad or problem.dropout) and may_look(problem.device)

        def bare(call: Call) -> Tensor:
            q, k, v = _packed(call.q, call.keys, call.v)
            return F.scaled_dot_product_attention(
                q, k, v, None, call.dropout, causal, scale=call.score.factor(problem.D)
            )

        def general(call: Call) -> Tensor:
            allowed, added = tensors(call)
            if shows and allowed is not None:
                context = once(call, None, added)
                if _hides_nothing_whole(call.mask, allowed):
                    return context
                # A hidden key or query that is not tame spoils whole rows, a value the same feature of all rows.
                looked = (context,) if few else (context[..., 0], context[..., 0, :])
                if all(math.isfinite(x.sum().item()) for x in looked):
                    return context
            return once(call, allowed, added)

        def tensors(call: Call) -> tuple[Tensor | None, Tensor | None]:
            """Which pairs may attend, where that takes a tensor, and what SDPA is given: that, or numbers with -inf."""
            size = (problem.B, problem.H, problem.Tq, problem.Tk, call.q.device)
            allowed = call.mask.dense(*size) if masked and call.mask is not None else None
            if call.bias is None:
                return allowed, allowed
            added = call.bias.dense(*size)
            if added.dtype != precise:
                added = added.to(precise)
            return allowed, added if allowed is None else torch.where(allowed, added, -math.inf)

        alone = fused(problem)

        def once(call: Call, hidden: Tensor | None, added: Tensor | None) -> Tensor:
            if is_dot and hidden is None:
                return alone(call, call.q, call.keys, call.v, added, causal)
            return alone(call, *ready(call.q, call.k, call.v, call.score, hidden), added, causal)

        alike = problem.Dv == problem.D and problem.Hk == problem.H and not problem.autocast
        as_it_is = is_dot and alike and not _in_float32(problem)
        return bare if as_it_is and not (masked or problem.bias) else general


def fused(problem: Problem) -> Callable[[Call, Tensor, Tensor, Tensor, Tensor | None, bool], Tensor]:
    """SDPA on prepared queries, keys and values: alike in dtype, in features and in memory, as its fused path wants."""
    grouped, autocast, in_float32 = problem.Hk != problem.H, problem.autocast, _in_float32(problem)

    def compute(call: Call, q: Tensor, k: Tensor, v: Tensor, added: Tensor | None, causal: bool) -> Tensor:
        with no_autocast(q.device) if autocast else _NOTHING:
            if not q.dtype == k.dtype == v.dtype:
                q, k, v = _alike(q, k, v)
            if problem.Dv != problem.D:
                q, k, v = (_padded(x, max(problem.D, problem.Dv)) for x in (q, k, v))
            q, k, v = _packed(q, k, v)
            if in_float32:
                q, k, v = q.float(), k.float(), v.float()
            context = F.scaled_dot_product_attention(
                q, k, v, added, call.dropout, causal, scale=call.score.factor(problem.D), enable_gqa=grouped
            )
            if problem.Dv < problem.D:
                context = context[..., : problem.Dv]
            return context if context.dtype == call.v.dtype else context.to(call.v.dtype)

    return compute


def _in_float32(problem: Problem) -> bool:
    """Whether SDPA is asked in float32: for half formats with gradients, on CPU.

    In the format its backward pass starts from the rounded context, which costs peaked weights digits, and rounds the
    gradients of keys and values anew with every block of 64 or 256 queries that it adds to them, those of queries with
    every 512 keys: they err up to four times as much as the reference's, and the more the longer the rows. What that
    costs: 1.4 to 1.7 times the time at heads of 64 and 512 keys or more, where the processor multiplies matrices of
    bfloat16; elsewhere float32 is faster.
    """
    return problem.grad and problem.device == "cpu" and problem.dtype in (torch.bfloat16, torch.float16)


_whole: WeakKeyDictionary[Mask, tuple[object, bool | None]] = WeakKeyDictionary()


def _hides_nothing_whole(mask: Mask | None, allowed: Tensor) -> bool:
    """Whether every query sees a key and every key is seen: then nothing hidden is there to do harm to all.

    Found out when a mask comes a second time (in the next layer, say), for it takes as long as looking at the context.
    """
    if mask is None or any(tensor.is_inference() for tensor in mask.tensors):  # these do not count what is written
        return False
    now = (allowed.shape, *(tensor._version for tensor in mask.tensors))
    before, found = _whole.get(mask, (None, None))
    if before != now:
        _whole[mask] = (now, None)
        return False
    if found is None:
        found = all(bool(any_of(allowed, axis).all()) for axis in (2, 3))
        _whole[mask] = (now, found)
    return found


def _causal_flag(problem: Problem) -> bool:
    """Whether the mask is causality with a key for every query, and no more: SDPA's own flag (not beside a bias)."""
    s = problem.structure
    if s is None or problem.bias or not s.exact or s.lengths or s.block is not None or problem.Tq != problem.Tk:
        return False
    return s.right == 0 and (s.left is None or s.left >= problem.Tk - 1)


def needs_tensor(problem: Problem) -> bool:
    """Whether the mask hides something that the causal flag does not say."""
    s = problem.structure
    if s is None or _causal_flag(problem):
        return False
    sees_all_before = s.left is None or s.left >= problem.Tk - 1
    sees_all_after = s.right is None or s.right >= problem.Tq - 1
    return not (s.exact and not s.lengths and s.block is None and sees_all_before and sees_all_after)


def _packed(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Features next to each other in memory, as the fused path wants them."""
    if q.stride(-1) == k.stride(-1) == v.stride(-1) == 1:
        return q, k, v
    return q.contiguous(), k.contiguous(), v.contiguous()


def _padded(x: Tensor, width: int) -> Tensor:
    """Zero features up to `width`: they add nothing to a dot product."""
    return x if x.shape[-1] == width else F.pad(x, (0, width - x.shape[-1]))


def _alike(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """All three in the widest of their dtypes."""
    dtype = torch.promote_types(torch.promote_types(q.dtype, k.dtype), v.dtype)
    return q.to(dtype), k.to(dtype), v.to(dtype)
