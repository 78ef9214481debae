"""A source for `regard.watch`: whatever attention function a model of transformers is handed tells of its calls.

`AttentionInterface.get_interface` says which function computes; while a watch is open it hands out the same function,
wrapped. It computes as before; afterwards the watch is told what it was given. Names, masks and the model's own code
stay as they are, and whoever does not watch, in this thread or another, is not heard.

What a function was given need not be all that it does. So each call is held against its own last query: computed from
the parts that are told, it must be what the model got. Where it is not, the call is named as not read.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import torch
from torch import Tensor, nn

from regard.attend import attend
from regard.equation.masks import dense
from regard.equation.rules import Part
from regard.integrations.transformers.arguments import equation, hides
from regard.integrations.transformers.attention import NAME
from regard.observe.gradients import Context
from regard.observe.listening import claimed, report, unread, wanted

_lock = threading.Lock()
_open = 0
_before: list[tuple[Any, str, Any, Any]] = []
"""What stood where before, while a watch is open: owner, name, ours, theirs."""


class _Local(threading.local):
    def __init__(self) -> None:
        self.paths: dict[nn.Module, str] = {}


_local = _Local()
READ = ("eager", "sdpa", "flex_attention", NAME)


def belongs(model: nn.Module) -> bool:
    """Whether some module of the model is written for transformers' attention interface; imports nothing."""
    return any(_is_theirs(type(module)) for module in model.modules())


@contextmanager
def listening_to(model: nn.Module) -> Iterator[None]:
    """Within it, in this thread, a watch is told what this model's attention functions compute."""
    _begin(model)
    before, _local.paths = _local.paths, {**_local.paths, **{module: path for path, module in model.named_modules()}}
    try:
        yield
    finally:
        _local.paths = before
        _end()


# ---- what is handed out while a watch is open ----


def _begin(model: nn.Module) -> None:
    global _open
    from transformers import AttentionInterface

    with _lock:
        _open += 1
        if hasattr(AttentionInterface, "get_interface"):
            _put(AttentionInterface, "get_interface", _handing_out)
            return
        # Before get_interface: functions were looked up by name, and each model's file had its own for "eager".
        _put(AttentionInterface, "__getitem__", _looking_up)
        for name in {type(module).__module__ for module in model.modules() if _is_theirs(type(module))}:
            if hasattr(sys.modules[name], "eager_attention_forward"):
                _put(sys.modules[name], "eager_attention_forward", lambda theirs: _told("eager", theirs))


def _put(owner: Any, name: str, wrap: Callable[[Any], Any]) -> None:
    theirs = getattr(owner, name)
    if all((o, n) != (owner, name) for o, n, _, _ in _before):
        ours = wrap(theirs)
        _before.append((owner, name, ours, owner.__dict__.get(name)))
        setattr(owner, name, ours)


def _end() -> None:
    global _open
    with _lock:
        _open -= 1
        if _open:
            return
        for owner, name, ours, theirs in reversed(_before):
            if owner.__dict__.get(name) is not ours:
                continue  # somebody else has wrapped it meanwhile, and takes it away
            if theirs is None:
                delattr(owner, name)  # it was inherited
            else:
                setattr(owner, name, theirs)
        _before.clear()


def _handing_out(theirs: Callable) -> Callable:
    @wraps(theirs)
    def get_interface(self: Any, attn_implementation: str, default: Callable) -> Callable:
        return _told(attn_implementation, theirs(self, attn_implementation, default))

    return get_interface


def _looking_up(theirs: Callable) -> Callable:
    @wraps(theirs)
    def __getitem__(self: Any, key: str) -> Callable:
        return _told(key, theirs(self, key))

    return __getitem__


def _told(implementation: str | None, function: Callable) -> Callable:
    """The same function, which tells whoever watches this module in this thread."""
    if torch.compiler.is_compiling() or not callable(function):
        return function

    @wraps(function)
    def told(
        module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, **arguments: Any
    ) -> Any:
        if torch.compiler.is_compiling():
            return function(module, query, key, value, attention_mask, **arguments)
        with claimed():
            result = function(module, query, key, value, attention_mask, **arguments)
        if wanted(module):
            _tell(implementation or "eager", module, query, key, value, attention_mask, result, arguments)
        return result

    return told


def _tell(
    implementation: str,
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Any,
    result: tuple[Tensor, Tensor | None],
    arguments: dict[str, Any],
) -> None:
    """Report a call in the equation's terms, if they give the last query what the model got."""
    if implementation not in READ:
        unread(f"attn_implementation={implementation!r} is not read; load the model with 'sdpa' or 'eager'", module)
        return
    with claimed(), torch.no_grad(), torch._C.DisableTorchFunction():
        try:
            by_flag = implementation in ("sdpa", NAME)
            parts = equation(module, query, key, attention_mask, causal_without_mask=by_flag, **arguments)
            dropped = bool(module.training and arguments.get("dropout"))  # then what is left cannot be compared
            if implementation == "eager":
                weights = None if dropped else result[1]
                query, parts = _alike_where_all_is_hidden(query, key, attention_mask, parts, weights)
            why = None if dropped else _disagreement(query, key, value, parts, result[0])
        except (ValueError, RuntimeError) as error:
            why = str(error)
    if why is None:
        context = Context(result[0], heads_last=True)
        report(query, key, value, module=module, cross=_cross(module), context=context, **parts)
    else:
        unread(why, module)


def _alike_where_all_is_hidden(
    query: Tensor, key: Tensor, attention_mask: Any, parts: dict[str, Any], weights: Tensor | None
) -> tuple[Tensor, dict[str, Any]]:
    """In their eager attention a query that may see nothing sees every key alike: scores drown in what hides them.

    A query of zeros that may see everything does the same (or all that got a weight: an old GPT-2 hides what is
    later twice over). Beside a sink it sees nothing, as it should.
    """
    added = isinstance(attention_mask, Tensor) and attention_mask.is_floating_point()
    if not added or parts["normalise"].sink is not None:
        return query, parts
    hidden = hides(attention_mask[..., : key.shape[2]])
    blind = hidden.all(-1, keepdim=True)
    if not blind.any():
        return query, parts
    bias = parts["bias"]
    return torch.where(blind, 0, query), parts | {
        "mask": dense(~hidden | (blind if weights is None else blind & (weights > 0))),
        "bias": None if bias is None else torch.where(blind, 0, bias),
    }


def _disagreement(query: Tensor, key: Tensor, value: Tensor, parts: dict[str, Any], context: Tensor) -> str | None:
    """What the parts do not tell of a call that gave `context` (B, Tq, H, Dv), as far as its last query shows it.

    Both may err by some units of the scores, which are at most |q| |k|.
    """
    B, H, Tq, _ = query.shape
    if 0 in (*query.shape, *value.shape):
        return None
    last, one = slice(Tq - 1, Tq), query[:, :, -1:]
    mask, bias = parts["mask"], parts["bias"]
    seen = None if mask is None else mask.dense(B, H, Tq, key.shape[2], query.device, Part(rows=last))
    at_last = parts | {
        "mask": seen,
        "bias": bias if bias is None or bias.shape[2] == 1 else bias[:, :, last],
    }
    ours = attend(one, key, value, **at_last)[:, :, 0].float()
    theirs = context[:, -1].float()
    if ours.shape != theirs.shape:
        return f"its context has the shape {tuple(context.shape)}, expected (batch, queries, heads, features)"
    longest_q, longest_k = (float(torch.linalg.vector_norm(x, dim=-1, dtype=ours.dtype).amax()) for x in (one, key))
    units = 8 + parts["score"].factor(query.shape[3]) * longest_q * longest_k
    allowed = units * torch.finfo(value.dtype).eps * float(torch.linalg.vector_norm(value, ord=float("inf")))
    difference = float((ours - theirs).abs().amax())
    if difference <= allowed:
        return None
    return f"it computes something else than its arguments say: at the last query the two differ by {difference:.3g}"


# ---- what is whose ----


def _is_theirs(kind: type[nn.Module]) -> bool:
    """Whether a class of modules comes from transformers, or from a file that uses its attention interface."""
    written_in = sys.modules.get(kind.__module__)
    return kind.__module__.startswith("transformers.") or hasattr(written_in, "ALL_ATTENTION_FUNCTIONS")


_CROSS = re.compile(r"cross|encoder_attn|enc_?dec_?att", re.IGNORECASE)
_SELF = re.compile(r"self|(^|\.)(attn|attention)(\.|$)", re.IGNORECASE)


def _cross(module: nn.Module) -> bool | None:
    """Whether it attends to another sequence, as its name in the model says; None where that says nothing."""
    is_cross = getattr(module, "is_cross_attention", None)
    if is_cross is not None:
        return bool(is_cross)
    path = _local.paths.get(module, "")
    return True if _CROSS.search(path) else False if _SELF.search(path) else None
