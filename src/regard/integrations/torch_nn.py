"""The source that tells of torch's own attention: `F.scaled_dot_product_attention` wherever it is called in the
thread, and `F.multi_head_attention_forward`, through which `nn.MultiheadAttention` and `nn.Transformer*` pass.

A torch function mode sees the calls; it is the thread's own, and calls that are not attention pass through it. While
it is open torch does not take its encoder's fused fast path: numbers may then differ by 1e-6, and what the fast path
leaves out of padded rows is left out here.
"""

from __future__ import annotations

import threading
import types
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack, _pop_mode, _push_mode

from regard.integrations import sdpa
from regard.observe.gradients import Context
from regard.observe.listening import claimed, wanted
from regard.observe.running import is_wrapped


@contextmanager
def listening_to(model: nn.Module) -> Iterator[None]:
    """The source: within it, in this thread, calls of torch's attention are reported."""
    ear = _Ear(model)
    with ExitStack() as opened:
        for module in model.modules():
            if isinstance(module, nn.TransformerEncoder):
                opened.enter_context(_padding_as_ever(module))
            elif is_wrapped(module):
                opened.enter_context(ear.away_from(module))
        opened.callback(setattr, _local, "ears", _local.ears)
        _local.ears = (*_local.ears, ear)
        opened.enter_context(ear)
        yield


class _Local(threading.local):
    ears: tuple[_Ear, ...] = ()


_local = _Local()


class _Ear(TorchFunctionMode):
    """Passes every call on; tells of attention. Nothing is heard of what is being compiled."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        ours = (module for module in model.modules() if isinstance(module, nn.MultiheadAttention))
        self.modules = {id(module.out_proj.weight): module for module in ours}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch.compiler.is_compiling():
            return func(*args, **(kwargs or {}))
        tell = _TOLD.get(func)
        if tell is None:
            return func(*args, **(kwargs or {}))
        return tell(func, args, kwargs or {})

    @contextmanager
    def away_from(self, module: nn.Module) -> Iterator[None]:
        """While this compiled module runs, the mode is not on the stack: it would have to be compiled anew."""
        thread, places = threading.get_ident(), list[int]()

        def before(module: nn.Module, arguments: Any) -> None:
            if not torch.compiler.is_compiling() and threading.get_ident() == thread:
                places.append(_taken_off(self))

        def after(module: nn.Module, arguments: Any, result: Any) -> None:
            if not torch.compiler.is_compiling() and threading.get_ident() == thread and places:
                _put_on(self, places.pop())

        handles = [
            module.register_forward_pre_hook(before),
            module.register_forward_hook(after, prepend=True, always_call=True),
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def _taken_off(mode: TorchFunctionMode) -> int:
    """Take the mode off this thread's stack; its place there, −1 if it has none."""
    stack = _get_current_function_mode_stack()
    place = next((i for i, one in enumerate(stack) if one is mode), -1)
    if place >= 0:
        for _ in stack[place:]:
            _pop_mode()
        for above in stack[place + 1 :]:
            _push_mode(above)
    return place


def _put_on(mode: TorchFunctionMode, place: int) -> None:
    """Put it back in its place."""
    if place >= 0:
        above = _get_current_function_mode_stack()[place:]
        for _ in above:
            _pop_mode()
        for one in (mode, *above):
            _push_mode(one)


def _many_heads(function: Callable[..., Any], arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """`F.multi_head_attention_forward`: torch's own code runs, and its inner call of attention is listened to."""
    inner = _Inner(*arguments, **named)
    if not wanted(inner.module):
        with claimed():
            return function(*arguments, **named)
    if named.get("need_weights", True):  # then torch multiplies matrices in the place of calling attention
        with claimed():
            result = function(*arguments, **named)
            inner.only_listen()
    else:
        result = inner.run()
    inner.tell()
    return result


class _Inner:
    """The call of `scaled_dot_product_attention` inside of a call of `F.multi_head_attention_forward`."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self.outer = arguments, named
        self.arguments: tuple[Any, ...] = ()
        self.context: Context | None = None
        # Which module it is, its weight tells: a hook would make torch's encoder leave its fast path, in all threads.
        weight = id(arguments[11])
        self.module = next((ear.modules[weight] for ear in _local.ears if weight in ear.modules), None)

    def run(self) -> Any:
        """torch's function, as it is."""

        def listen(*inner: Any) -> Tensor:
            self.arguments = inner
            result = F.scaled_dot_product_attention(*inner)
            self.context = Context(result)
            return result

        arguments, named = self.outer
        with claimed():
            return _with(listen)(*arguments, **named)

    def only_listen(self) -> None:
        """What it would be called with; nothing beyond that is computed, and nothing is drawn."""

        def listen(*inner: Any) -> Tensor:
            self.arguments = inner
            raise _Heard

        arguments, named = self.outer
        # Where weights are returned, `is_causal` is a hint that torch does not use: the mask beside it counts.
        with torch.no_grad(), suppress(_Heard):
            _with(listen)(*arguments, **{**named, "need_weights": False, "is_causal": False})

    def tell(self) -> None:
        """Report it."""
        query, key = self.outer[0][:2]
        sdpa.tell(*self.arguments, module=self.module, cross=query is not key, context=self.context)


class _Heard(Exception):
    """Enough was heard."""


def _with(attention: Callable[..., Tensor]) -> Callable[..., Any]:
    """torch's `multi_head_attention_forward`, the code that is installed, with another function under one name.

    Modes that others have opened below this one see the operations inside, not the function.
    """
    whole = F.multi_head_attention_forward
    names = {
        **whole.__globals__,
        "scaled_dot_product_attention": attention,
        "has_torch_function": lambda tensors: False,
    }
    copy = types.FunctionType(whole.__code__, names, whole.__name__, whole.__defaults__, whole.__closure__)
    copy.__kwdefaults__ = whole.__kwdefaults__
    return copy


_TOLD: dict[Any, Callable[[Any, Any, Any], Any]] = {
    F.scaled_dot_product_attention: sdpa.told,
    F.multi_head_attention_forward: _many_heads,
}


@contextmanager
def _padding_as_ever(encoder: nn.TransformerEncoder) -> Iterator[None]:
    """Where torch's fast path would have made nested tensors of padded rows, and zeros of what lies beyond them, so do
    we: before the last norm if there is one, else of the result.
    """
    thread = threading.get_ident()
    beyond: list[Tensor | None] = [None]

    def note(module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        if not torch.compiler.is_compiling() and threading.get_ident() == thread:
            beyond[0] = _left_out(encoder, *arguments, **named)

    def blank(x: Tensor) -> Tensor | None:
        if torch.compiler.is_compiling() or threading.get_ident() != thread or beyond[0] is None:
            return None
        return x.masked_fill(beyond[0][..., None], 0.0)

    def before(module: nn.Module, arguments: tuple[Any, ...]) -> Tensor | None:
        return blank(arguments[0])

    def after(module: nn.Module, arguments: Any, result: Tensor) -> Tensor | None:
        return blank(result)

    handles = [encoder.register_forward_pre_hook(note, with_kwargs=True)]
    if encoder.norm is None:
        handles.append(encoder.register_forward_hook(after))
    else:
        handles.append(encoder.norm.register_forward_pre_hook(before))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _left_out(
    encoder: nn.TransformerEncoder,
    src: Tensor,
    mask: Tensor | None = None,
    src_key_padding_mask: Tensor | None = None,
    is_causal: bool | None = None,
) -> Tensor | None:
    """The padding that the fast path would leave out (B, T), by the conditions `nn.TransformerEncoder` has for it."""
    if src_key_padding_mask is None or mask is not None or src.dim() != 3 or src.is_nested:
        return None
    padding = src_key_padding_mask if src_key_padding_mask.dtype == torch.bool else src_key_padding_mask != 0
    first = encoder.layers[0]
    learns = torch.is_grad_enabled() and any(x.requires_grad for x in (src, *first.parameters()))
    taken = torch.backends.mha.get_fastpath_enabled() and getattr(encoder, "use_nested_tensor", False)
    if not taken or first.training or learns or torch.is_autocast_enabled():
        return None
    if getattr(encoder, "mask_check", True) and not torch._nested_tensor_from_mask_left_aligned(src, ~padding):
        return None
    return padding
