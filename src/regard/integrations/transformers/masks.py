"""Masks between transformers and us: rules told to them as tensors, and what they hand over read as rules.

Their models make one mask a forward pass, by a function registered under the name of the attention. Ours makes it a
rule where it is known exactly (causal, a window, padding), so that a kernel finds work to skip; the rule travels in
the shape of the dense tensor that they expect, and becomes one as soon as anything is computed with it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import and_
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from regard.equation.mask import Mask
from regard.equation.masks import causal, dense, padding, window
from regard.equation.rules import Grid


class Told(Tensor):
    """A rule in the place of a bool tensor (B, 1, Tq, Tk): nothing is in memory until something is computed with it."""

    rule: Mask

    def plain(self) -> Tensor:
        """The dense tensor."""
        B, H, Tq, Tk = self.shape
        return self.rule.dense(B, H, Tq, Tk, self.device).expand(self.shape)

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        args, kwargs = tree_map(lambda x: x.plain() if isinstance(x, cls) else x, (args, kwargs or {}))
        return function(*args, **kwargs)

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"Told({self.rule}, {tuple(self.shape)})"


def told(rule: Mask, shape: tuple[int, int, int, int], device: torch.device | str = "cpu") -> Told:
    """A rule in the shape of the tensor it stands for."""
    tensor = Told._make_wrapper_subclass(Told, shape, dtype=torch.bool, device=torch.device(device))
    tensor.rule = rule
    return tensor


class Standing(Mask):
    """A rule where the first query stands on key `first`, not the last query on the last key."""

    def __init__(self, rule: Mask, first: int) -> None:
        self.rule, self.first = rule, first
        self.key = ("standing", rule.key, first)
        self.tensors = rule.tensors

    def at(self, grid: Grid) -> Tensor:
        """See `Rule.at`."""
        return self.rule.at(grid._replace(shift=self.first))

    def __repr__(self) -> str:
        return f"{self.rule} from key {self.first}"


class Asked(Mask):
    """A FlexAttention mask: a function of (batch, head, query, key), each counted from its first."""

    def __init__(self, allows: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]) -> None:
        self.allows = allows
        self.key = ("asked",)

    def at(self, grid: Grid) -> Tensor:
        """See `Rule.at`."""
        return self.allows(grid.batch, grid.head, grid.row, grid.key)

    def __repr__(self) -> str:
        return "a FlexAttention mask"


def mask(
    batch_size: int,
    *,
    kv_length: int,
    kv_offset: int = 0,
    mask_function: Callable | None = None,
    attention_mask: Tensor | None = None,
    allow_is_causal_skip: bool = True,
    allow_is_bidirectional_skip: bool = False,
    use_vmap: bool = False,
    **others: Any,
) -> Tensor | None:
    """The mask function registered beside our attention: `Told` where the rule is known, else their dense tensor.

    Causality is always told, and never left to a flag that may be lost.
    """
    from transformers import masking_utils

    mask_function = mask_function or masking_utils.causal_mask_function
    placed = _placed(others)
    may_be_a_rule = (allow_is_causal_skip or allow_is_bidirectional_skip) and not use_vmap
    rules = _rules(mask_function) if may_be_a_rule and placed is not None else None
    if placed is None or rules is None:
        return masking_utils.sdpa_mask(
            batch_size=batch_size,
            kv_length=kv_length,
            kv_offset=kv_offset,
            mask_function=mask_function,
            attention_mask=attention_mask,
            allow_is_causal_skip=False,
            allow_is_bidirectional_skip=allow_is_bidirectional_skip,
            use_vmap=use_vmap,
            **others,
        )
    q_length, q_offset, device = placed
    if q_offset + q_length != kv_offset + kv_length:
        rules = [Standing(rule, q_offset - kv_offset) for rule in rules]
    elif q_length == 1:
        rules = [rule for rule in rules if rule is not _CAUSAL]  # the last query sees all before it
    if attention_mask is not None and (there := _there(attention_mask, kv_length, kv_offset)) is not None:
        rules.append(there)
    if not rules:
        return None
    return told(reduce(and_, rules), (batch_size, 1, q_length, kv_length), device)


def _placed(others: dict[str, Any]) -> tuple[int, int, torch.device | str] | None:
    """How many queries, the first one's position, and the device; None where numbers may not be looked at."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return None
    if (positions := others.get("cache_position")) is not None:  # before 5.4
        return len(positions), int(positions[0]), positions.device
    return int(others["q_length"]), int(others.get("q_offset", 0)), others.get("device", "cpu")


_CAUSAL = causal()


def _rules(mask_function: Callable) -> list[Mask] | None:
    """The rules, all of which must allow a pair, that a mask function of transformers is; None for one not known."""
    from transformers import masking_utils

    if mask_function is masking_utils.causal_mask_function:
        return [_CAUSAL]
    if mask_function is masking_utils.bidirectional_mask_function:
        return []
    if getattr(mask_function, "__module__", None) != masking_utils.__name__:
        return None
    if mask_function.__qualname__ != "and_masks.<locals>.and_mask":
        return None
    parts = {part.__qualname__.split(".")[0]: _held(part) for part in _held(mask_function)["mask_functions"]}
    if set(parts) == {"sliding_window_overlay", "causal_mask_function"}:
        return [window(parts["sliding_window_overlay"]["sliding_window"] - 1, 0)]
    if set(parts) == {"sliding_window_bidirectional_overlay", "bidirectional_mask_function"}:
        reach = parts["sliding_window_bidirectional_overlay"]["sliding_window"]
        return [window(reach, reach)]
    return None


def _held(function: Callable) -> dict[str, Any]:
    """What a nested function holds of its surroundings, by name."""
    cells = function.__closure__ or ()
    return dict(zip(function.__code__.co_freevars, (cell.cell_contents for cell in cells), strict=True))


def _there(attention_mask: Tensor, kv_length: int, kv_offset: int) -> Mask | None:
    """Which keys are no padding, of a mask (B, positions): as lengths where padding stands at the end; None for all."""
    keys = attention_mask[:, kv_offset : kv_offset + kv_length].bool()
    if (missing := kv_length - keys.shape[1]) > 0:
        keys = torch.nn.functional.pad(keys, (0, missing))
    if keys.all():
        return None
    lengths = keys.sum(-1)
    if bool((keys == (torch.arange(kv_length, device=keys.device) < lengths[:, None])).all()):
        return padding(lengths)
    return dense(keys[:, None, None])
