"""`regard.watch`: exact statistics of all attention in a model, while it does what it does anyway.

    with regard.watch(model) as seen:
        model(x)
    seen.show()

A watch stands on sources, each of which knows one way in which attention is computed and reports the calls
(`observe/listening.py`); hooks tell which module runs (`observe/running.py`); statistics are taken at once, so nothing
(Tq, Tk) in size is kept that was not asked for (`observe/statistics.py`).
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from itertools import pairwise
from types import TracebackType

from torch import nn

from regard.attend import overheard
from regard.integrations import torch_nn
from regard.kernels.problem import Call
from regard.observe.choosing import Layers, chooser, of_heads, picked
from regard.observe.gradients import Context, awaits
from regard.observe.listening import computed, listening
from regard.observe.record import Observe, Products
from regard.observe.running import Modules
from regard.observe.seen import Look, Seen
from regard.observe.statistics import statistics

_READ = "regard.attend, scaled_dot_product_attention, nn.MultiheadAttention, Hugging Face's attention interface"


def watch(
    model: nn.Module,
    *,
    topk: int = 8,
    entropy: bool = True,
    mass: bool = True,
    distance: bool = False,
    map: int = 0,
    weights: bool = False,
    gradient: bool = False,
    layers: Layers = None,
    heads: int | Sequence[int] | None = None,
) -> AbstractContextManager[Seen]:
    """Watch a model attend: within the `with`, in this thread, every call of attention in it is looked at.

    It changes nothing: outputs, gradients and random numbers are those without it. The one exception is torch's fused
    encoder, which does not say what it attends to: under a watch `nn.TransformerEncoder` takes its plain path, which
    agrees with the other within 1e-6.

    Args:
        model: Of this package, of `torch.nn`, of Hugging Face, or any that calls `scaled_dot_product_attention`.
        topk: How many of the largest weights of each query to keep, with their positions.
        entropy: −Σ α ln α of each query, in nats.
        mass: The weight each key got, summed over the queries.
        distance: The mean distance to what was read, Σ α_i |i − the query's position|, in positions.
        map: Pool the matrix into at most so many cells along each axis; 0 for no map.
        weights: Keep the matrices themselves: B · H · Tq · Tk numbers a call.
        gradient: Gradient × attention, what each weight did to a loss (`Products`), with as many of its largest and
            such a map as of the weights. It is there once the loss has come back (`loss.backward()`, within the `with`
            or after it), and is the last loss's; dropout is left out of it.
        layers: Which modules: a path in the model or a glob, with all inside it; a number, of the layer (−1 the last);
            several of these; or a test of paths. None: all.
        heads: Which heads of each; None: all.

    Returns:
        A context manager that gives `Seen`: a `Look` for each call, in their order, per batch row and head, detached,
        on the CPU. `seen.unread` names attention that could not be read, and why; if nothing was seen, a warning says
        what to do.

    Raises:
        ValueError: No model, or layers or heads that it does not have.
    """
    if not isinstance(model, nn.Module):
        inside = ": watch its .model" if isinstance(getattr(model, "model", None), nn.Module) else ""
        raise ValueError(f"model: expected a torch.nn.Module, got {type(model).__name__}{inside}")
    request = Observe(topk=topk, entropy=entropy, mass=mass, distance=distance, map=map, weights=weights)
    request = replace(request, gradient=gradient)
    of = None if heads is None else (heads,) if isinstance(heads, int) else tuple(heads)
    return _Watch(model, request, layers, of)


class _Watch:
    """One watch: the context manager, and the listener of `observe/listening.py`."""

    def __init__(self, model: nn.Module, request: Observe, layers: Layers, heads: tuple[int, ...] | None) -> None:
        self.model, self.request, self.heads = model, request, heads
        self.modules = Modules(model)
        self.chosen = chooser(layers, self.modules.paths | self.modules.compiled)
        self.seen = Seen()
        self.left_out: dict[str, None] = {}
        """Calls that `layers` did not choose."""
        self.crossing: dict[str, list[int]] = {}
        """Looks, by name, of which no source said whether they cross from one sequence to another."""
        self.used = False
        self.opened = ExitStack()

    def __enter__(self) -> Seen:
        if self.used:
            raise ValueError("a watch is opened once: call regard.watch again")
        self.used = True
        with ExitStack() as opening:
            opening.enter_context(listening(self))
            opening.enter_context(self.modules.followed())
            opening.enter_context(overheard(computed))
            for source in _sources(self.model):
                opening.enter_context(source(self.model))
            self.opened = opening.pop_all()
        return self.seen

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.opened.__exit__(kind, error, trace)
        self._tell_crossing()
        self._name_unread()
        if not self.seen.looks and kind is None:
            warnings.warn(self._why_nothing(), stacklevel=2)

    def wants(self, module: nn.Module | None) -> bool:
        """See `Listener.wants`."""
        path = self._path(module)
        if path is None:
            return False
        if not self.chosen(path):
            self.left_out[self._name(path)] = None
            return False
        return True

    def heard(self, call: Call, module: nn.Module | None, cross: bool | None, context: Context | None) -> None:
        """See `Listener.heard`."""
        if module not in self.modules.paths:
            module = None
        running = self.modules.innermost(module)
        if running is None:
            assert module is not None, "`wants` was asked"
            running = self.modules.enter(module)
        running.looked += 1
        name = self._name(running.path) + (f"#{running.looked}" if running.looked > 1 else "")
        cut, to_pick = (call, None) if self.heads is None else of_heads(call, self.heads)
        try:
            observed = picked(statistics(cut, replace(self.request, gradient=False)), to_pick)
        except Exception as error:  # the model's call must not fail because somebody looks
            self.seen.unread[name] = f"{type(error).__name__}: {error}"
            return
        if cross is None:
            self.crossing.setdefault(name, []).append(len(self.seen.looks))
        self.seen.looks.append(Look(name, running.call, observed, bool(cross), self.heads))
        if self.request.gradient:
            self._await_gradient(call, context, name)

    def _await_gradient(self, call: Call, context: Context | None, name: str) -> None:
        """Once a loss has come back, the last look has gradient × attention too."""
        seen, place = self.seen, len(self.seen.looks) - 1  # not the watch: it would keep the model alive

        def take(products: Products) -> None:
            look = seen.looks[place]
            seen.looks[place] = replace(look, observed=replace(look.observed, gradient=products))

        def fail(why: str) -> None:
            seen.unread[name] = f"its gradient: {why}"

        awaits(call, context, self.request, self.heads, take, fail)

    def missed(self, module: nn.Module | str | None, why: str) -> None:
        """See `Listener.missed`."""
        path = module if isinstance(module, str) else self._path(module)
        if path is not None and self.chosen(path):
            self.seen.unread[self._name(path)] = why

    def _path(self, module: nn.Module | None) -> str | None:
        """Where the module is in the model, or the innermost that runs; None where it is not of this model."""
        if module is not None and module in self.modules.paths:
            return self.modules.paths[module]
        running = self.modules.innermost()
        return None if running is None else running.path

    def _name(self, path: str) -> str:
        return path or type(self.model).__name__

    def _tell_crossing(self) -> None:
        """Where no source knew, sizes tell: a sequence that attends to itself has its own length, or grows."""
        for places in self.crossing.values():
            sizes = [self.seen.looks[place].observed.size[2:] for place in places]
            grows = len(sizes) > 1 and all(keys - before == queries for (_, before), (queries, keys) in pairwise(sizes))
            if not grows and any(queries != keys for queries, keys in sizes):
                for place in places:
                    self.seen.looks[place] = replace(self.seen.looks[place], cross=True)
        self.crossing.clear()

    def _name_unread(self) -> None:
        """Modules that are compiled, and modules that are called attention and ran, but reported none."""
        for module, path in self.modules.compiled.items():
            if self.chosen(path) and _may_attend(module):
                self.seen.unread[self._name(path)] = (
                    "it runs compiled, and its inside cannot be watched: watch the model before it is compiled"
                )
        known = [name.partition("#")[0] for name in (*self.seen.names, *self.seen.unread, *self.left_out)]
        silent = [
            path
            for module, path in self.modules.paths.items()
            if self.modules.calls[module] and _is_called_attention(module) and self.chosen(path)
        ]
        for path in silent:
            name = self._name(path)
            if not any(_within(other, name) or _within(name, other) for other in known) and not any(
                _within(other, path) for other in silent if other != path
            ):
                self.seen.unread[name] = f"it ran, but not through {_READ}"

    def _why_nothing(self) -> str:
        """What a user should know who saw nothing."""
        told = f"regard.watch saw no attention in {type(self.model).__name__}"
        if self.left_out:
            return f"{told}: `layers` chose none of those that attended: {', '.join(self.left_out)}"
        if self.seen.unread:
            return f"{told}. " + "; ".join(f"{name}: {why}" for name, why in self.seen.unread.items())
        if not any(self.modules.calls.values()):
            return (
                f"{told}: none of its modules ran inside the `with` in this thread. Call the model itself there, "
                "model(...): not a copy, not a compiled version of it, not another of its methods, and no worker"
            )
        return f"{told}: it ran, but not through {_READ}"


def _sources(model: nn.Module) -> list[Callable[[nn.Module], AbstractContextManager[None]]]:
    """Those that this model may need, beside `attend`'s own."""
    sources: list[Callable[[nn.Module], AbstractContextManager[None]]] = [torch_nn.listening_to]
    if "transformers" in sys.modules:  # else the model is none of theirs
        from regard.integrations import transformers

        if transformers.belongs(model):
            sources.append(transformers.listening_to)
    return sources


def _within(path: str, other: str) -> bool:
    """Whether a module's path is another's, or inside it."""
    return path == other or path.startswith(other + ".")


def _is_called_attention(module: nn.Module) -> bool:
    name = type(module).__name__.lower()
    return "attention" in name or "attn" in name


def _may_attend(module: nn.Module) -> bool:
    """Whether something inside may attend: not where all of it is torch's own and none of that is attention."""
    attending = (nn.MultiheadAttention, nn.Transformer, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)
    return any(
        isinstance(inside, attending) or not type(inside).__module__.startswith(("torch.nn.", "torch._dynamo."))
        for inside in module.modules()
    )
