"""Which layers and heads to watch: `layers=` as a test of module paths, and a call cut down to some of its heads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from torch import Tensor, nn

from regard.equation.normalisers import Gumbel, Sample
from regard.equation.prepare import Keys
from regard.equation.rules import Part, Rule
from regard.equation.scores import Additive, Dot, General
from regard.kernels.problem import Call, reads
from regard.observe.record import Observed

Layers = str | int | Callable[[str], bool] | Iterable[str | int] | None


def chooser(layers: Layers, paths: dict[nn.Module, str]) -> Callable[[str], bool]:
    """A test of paths, from what `regard.watch` takes as `layers`.

    Raises ValueError for a name or a number that stands for nothing in the model.
    """
    if layers is None:
        return lambda path: True
    if callable(layers):
        return layers
    wanted = [layers] if isinstance(layers, str | int) else list(layers)
    chosen: set[str] = set()
    for one in wanted:
        found = _numbered(one, paths) if isinstance(one, int) else _named(one, list(paths.values()))
        chosen.update(found)
    return chosen.__contains__


def _named(pattern: str, paths: Sequence[str]) -> list[str]:
    """The paths that the name or glob stands for, and all inside them."""
    tops = [path for path in paths if path == pattern or fnmatchcase(path, pattern)]
    if not tops:
        near = get_close_matches(pattern, paths, 3, 0.3)
        raise ValueError(
            f"layers: nothing in the model is called {pattern!r}"
            + (f"; the nearest are {', '.join(near)}" if near else "")
        )
    return [path for path in paths for top in tops if not top or path == top or path.startswith(top + ".")]


def _numbered(number: int, paths: dict[nn.Module, str]) -> list[str]:
    """The paths whose first number is this one; from the end where it is negative."""
    if isinstance(number, bool):
        raise ValueError(f"layers: expected names, numbers or a callable, got {number!r}")
    sizes = {path: len(list(module.children())) for module, path in paths.items()}
    found, most = [], 0
    for path in paths.values():
        parts = path.split(".")
        at = next((i for i, part in enumerate(parts) if part.isdigit()), None)
        if at is None:
            continue
        siblings = sizes[".".join(parts[:at])]
        most = max(most, siblings)
        if int(parts[at]) == (number if number >= 0 else siblings + number):
            found.append(path)
    if not found:
        raise ValueError(f"layers: {number} is not the number of a layer; expected {-most} to {most - 1}")
    return found


def of_heads(call: Call, heads: Sequence[int]) -> tuple[Call, Sequence[int] | None]:
    """The call of these heads alone; where its parts may know one head from another, the call and the heads to pick.

    Raises ValueError for a head that is not there.
    """
    H, keys = call.q.shape[1], call.keys
    for head in heads:
        if not 0 <= head < H:
            raise ValueError(f"heads: expected 0 to {H - 1}, got {head}")
    rules = [rule for rule in (call.mask, call.bias, call.after) if rule is not None]
    alike = type(call.score) in (Dot, General, Additive) and not reads(call.normaliser)
    alike = alike and not isinstance(call.normaliser, Gumbel | Sample)  # one draw for all heads
    if not alike or any(_knows_heads(rule, call) for rule in rules):
        return call, heads
    of_keys = [head * keys.shape[1] // H for head in heads]
    k = keys[:, of_keys]
    return call._replace(
        q=call.q[:, list(heads)], k=Keys(k, call.k.score) if isinstance(call.k, Keys) else k, v=call.v[:, of_keys]
    ), None


def _knows_heads(rule: Rule, call: Call) -> bool:
    """Whether the rule differs from head to head: asked of one pair, it then gives more than one number."""
    (B, H, Tq, _), Tk = call.q.shape, call.v.shape[2]
    first = slice(0, 1)
    return rule.dense(B, H, Tq, Tk, call.q.device, Part(first, first, first)).shape[1] > 1


def picked(observed: Observed, heads: Sequence[int] | None) -> Observed:
    """What was seen of these heads; None: as it is."""
    if heads is None:
        return observed
    H, index = observed.size[1], list(heads)

    def of(part: Any) -> Any:
        if isinstance(part, Tensor):
            return part[:, index] if part.ndim > 1 and part.shape[1] == H else part
        if hasattr(part, "__dataclass_fields__"):
            return replace(part, **{name: of(getattr(part, name)) for name in part.__dataclass_fields__})
        return part

    B, _, Tq, Tk = observed.size
    return replace(of(observed), size=(B, len(index), Tq, Tk))
