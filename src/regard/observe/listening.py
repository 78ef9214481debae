"""Who listens, and who tells: the protocol between a watch and its sources.

A *source* knows one way in which attention is computed (our own `attend`, torch's functions, Hugging Face's)
and is a context manager, `source(model)`, open as long as a watch is. In that thread it then tells of every call:

    with claimed():                        # what this calls in its turn is not told again
        result = the_call_as_it_was()
    report(q, k, v, mask=..., module=module, context=Context(result))

It changes nothing of the call, not even where random numbers stand. A *listener* is one watch: `listening(listener)`
makes it hear, in this thread, what is reported. Several may listen; each knows by `module` whether a call is its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes

from regard.attend import call
from regard.equation.biases import Bias
from regard.equation.mask import Mask
from regard.equation.normalisers import Gumbel, Normaliser, Sample
from regard.equation.prepare import Keys
from regard.equation.reference import Attended
from regard.equation.scores import Score
from regard.kernels.problem import Call
from regard.observe.gradients import Context
from regard.observe.running import asking


class Listener(Protocol):
    """One watch."""

    def wants(self, module: nn.Module | None) -> bool:
        """Whether a call of this module (None: of the innermost module that runs) is one it was asked to watch."""

    def heard(self, call: Call, module: nn.Module | None, cross: bool | None, context: Context | None) -> None:
        """Take what was asked for from a call; its context, if it is at hand, leads to its gradient."""

    def missed(self, module: nn.Module | str | None, why: str) -> None:
        """Note that a call could not be read."""


class _Local(threading.local):
    listeners: tuple[Listener, ...] = ()
    claims: int = 0


_local = _Local()


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Within it, in this thread, `listener` hears what is reported."""
    before = _local.listeners
    _local.listeners = (*before, listener)
    try:
        yield
    finally:
        _local.listeners = before


@contextmanager
def claimed() -> Iterator[None]:
    """Within it, in this thread, nothing is wanted: whoever opened it reports the whole."""
    _local.claims += 1
    try:
        yield
    finally:
        _local.claims -= 1


def wanted(module: nn.Module | None = None) -> bool:
    """Whether a report on a call of this module would be heard: a source that prepares much for one asks first.

    None stands for the innermost module that runs. Not within `claimed()`, and not when a backward pass runs a
    checkpointed part of the forward pass again.
    """
    if not _local.listeners or _local.claims or torch._C._current_graph_task_id() != -1:
        return False
    return any(listener.wants(module) for listener in _local.listeners)


def report(
    q: Tensor,
    k: Tensor | Keys,
    v: Tensor,
    *,
    score: Score | Callable[[Tensor, Tensor], Tensor] | None = None,
    mask: Mask | Tensor | None = None,
    bias: Bias | Tensor | None = None,
    normalise: str | Normaliser = "softmax",
    after: Bias | Tensor | None = None,
    module: nn.Module | None = None,
    cross: bool | None = None,
    context: Context | None = None,
) -> None:
    """Tell whoever listens in this thread of a call, in the terms of `attend` (dropout is of no concern).

    `module` is the one that attends; None stands for the innermost that runs. `cross` says whether queries and keys
    are positions of two different sequences; None: not known. `context` is what the model got.
    """
    if wanted(module):
        tell(call(q, k, v, score, mask, bias, normalise, after, 0.0, False), module, cross, context)


def tell(
    call: Call, module: nn.Module | None = None, cross: bool | None = None, context: Context | None = None
) -> None:
    """`report`, of a call that is at hand as one."""
    if not wanted(module):
        return
    if why := no_numbers(call.q):
        unread(why, module)
        return
    with claimed(), _aside():
        for listener in _local.listeners:
            if listener.wants(module):
                listener.heard(call, module, cross, context)


def no_numbers(q: Tensor) -> str | None:
    """Why there is nothing to look at, where a call's tensors stand for others; None where they are what they are."""
    if torch.jit.is_tracing():
        return "it was traced, not run"
    if torch._C._functorch.peek_interpreter_stack() is not None:
        return "it ran inside torch.func (vmap, grad): watch the model outside"
    if q.is_meta:
        return "its tensors hold no numbers (device meta)"
    return None


@contextmanager
def _aside() -> Iterator[None]:
    """Statistics are not the model's business: no gradient, and none of the user's modes hears of them."""
    with ExitStack() as stack:
        for one in (torch.inference_mode(False), torch.no_grad(), torch._C.DisableTorchFunction()):
            stack.enter_context(one)
        if torch._C._len_torch_dispatch_stack():
            stack.enter_context(_disable_current_modes())
        yield


def unread(why: str, module: nn.Module | str | None = None) -> None:
    """Tell whoever listens in this thread of a call that cannot be read exactly, and why; the call runs as it is.

    `module` may be its path in the model, where that is known.
    """
    if not _local.claims:
        for listener in _local.listeners:
            listener.missed(module, why)


def computed(call: Call, compute: Callable[[Call], Any]) -> Any:
    """The source of our own layers: `attend` hands its calls to this one (`regard.attend.overheard`)."""
    generator = _generator(call.q.device) if isinstance(call.normaliser, Gumbel | Sample) else None
    before = generator.get_state() if generator else None
    with claimed():
        result = compute(call)
    module = asking()
    context = Context(result.context if isinstance(result, Attended) else result)
    if generator is None or before is None or not wanted(module):
        tell(call, module, context=context)
        return result
    after = generator.get_state()
    generator.set_state(before)  # what is looked at is the draw that was made, and not another one
    try:
        tell(call, module, context=context)
    finally:
        generator.set_state(after)
    return result


def _generator(device: torch.device) -> torch.Generator:
    if device.type != "cuda":
        return torch.default_generator
    return torch.cuda.default_generators[torch.cuda.current_device() if device.index is None else device.index]
