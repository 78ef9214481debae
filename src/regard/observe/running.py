"""Which module of a model runs in a thread: a stack of module calls, kept by hooks while a watch is open.

The hooks do nothing but keep the stack, in the thread that opened it; other threads run the model as ever. What is
compiled gets no hooks: they would be compiled along, or ignored. Nor does torch's encoder layer: with hooks it leaves
its fast path, in every thread.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

FRAMES = 24  # how far up a module is looked for: past `attend`, its helpers and a checker of shapes


@dataclass
class Running:
    """A call of a module that has begun and not ended."""

    module: nn.Module
    path: str
    call: int
    """Which call of this module it is, from 0."""
    looked: int = 0
    """How often it has attended so far."""


class Modules:
    """The modules of a model by path, which of them have run, and which run."""

    def __init__(self, model: nn.Module) -> None:
        self.paths: dict[nn.Module, str] = {}
        self.compiled: dict[nn.Module, str] = {}
        """What is compiled, outermost first; nothing inside is known."""
        self.calls: Counter[nn.Module] = Counter()
        self._hooked: list[nn.Module] = []
        self._stack: list[Running] = []
        self._thread = 0
        self._find(model, "", True)

    def _find(self, module: nn.Module, path: str, hooked: bool) -> None:
        if module in self.paths or module in self.compiled:
            return
        if is_compiled(module):
            self.compiled[module] = path
            return
        self.paths[module] = path
        hooked = hooked and type(module).forward is not nn.TransformerEncoderLayer.forward
        if hooked:
            self._hooked.append(module)
        for name, child in module.named_children():
            self._find(child, f"{path}.{name}" if path else name, hooked)

    def enter(self, module: nn.Module) -> Running:
        """A call of a module that has no hooks, known by what it did."""
        running = Running(module, self.paths[module], self.calls[module])
        self.calls[module] += 1
        return running

    def innermost(self, module: nn.Module | None = None) -> Running | None:
        """The innermost call that runs now, or the innermost of `module`; None where there is none."""
        if module is None:
            return self._stack[-1] if self._stack else None
        return next((running for running in reversed(self._stack) if running.module is module), None)

    @contextmanager
    def followed(self) -> Iterator[None]:
        """Within it, the stack is kept, in this thread."""
        self._thread = threading.get_ident()
        before, after = self._hooks()
        handles: list[RemovableHandle] = []
        try:
            for module in self._hooked:
                handles.append(module.register_forward_pre_hook(before, prepend=True))
                handles.append(module.register_forward_hook(after, always_call=True))
            yield
        finally:
            for handle in handles:
                handle.remove()
            self._stack.clear()

    def _hooks(self) -> tuple[Callable[..., None], Callable[..., None]]:
        """Before and after a module's forward; functions, so that a model copied meanwhile copies nothing of ours."""

        def before(module: nn.Module, arguments: Any) -> None:
            if torch.compiler.is_compiling() or threading.get_ident() != self._thread or module not in self.paths:
                return
            self._stack.append(self.enter(module))

        def after(module: nn.Module, arguments: Any, result: Any) -> None:
            if torch.compiler.is_compiling() or threading.get_ident() != self._thread or not self.innermost(module):
                return
            while self._stack.pop().module is not module:
                pass

        return before, after


def is_compiled(module: nn.Module) -> bool:
    """Whether the module runs compiled or scripted: then its inside runs none of the Python that it was written in."""
    return is_wrapped(module) or module._compiled_call_impl is not None or isinstance(module, torch.jit.ScriptModule)


def is_wrapped(module: nn.Module) -> bool:
    """Whether it is what `torch.compile(module)` returns; the compiler takes seconds to import, so not by its class."""
    return hasattr(module, "_torchdynamo_orig_callable")


def asking() -> nn.Module | None:
    """The module whose method has called, as the innermost frames tell: also a method that is not its forward."""
    frame = sys._getframe(1)
    for _ in range(FRAMES):
        if frame is None:
            return None
        if frame.f_code.co_varnames[:1] == ("self",) and isinstance(found := frame.f_locals.get("self"), nn.Module):
            return found
        frame = frame.f_back  # type: ignore[assignment]
    return None
