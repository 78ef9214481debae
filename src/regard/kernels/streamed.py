"""Any score, mask, bias, factor and normaliser in blocks of queries over their keys: memory O(T).

Each block is the reference's own computation. The context is all that stays of it: backward computes the block again,
with autograd, and adds its gradients to the others'. What was drawn (dropout, "sample", "gumbel") is drawn again from
the same seed, one for each block. Where a mask has bounds, such as a window's, a block reads only the keys within.
"""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from regard.equation.noise import drawn_from
from regard.equation.rules import Part
from regard.equation.scores import Custom
from regard.kernels.kernel import Compute, Kernel
from regard.kernels.learned import in_full, learned, total
from regard.kernels.problem import Call, Problem
from regard.kernels.tiles import Tiles

FEW = 2**22
"""Pairs below which the plain computation's matrices take 16 MB each, or less, and no more time than blocks."""


class Streamed(Kernel):
    """The reference in blocks of queries, computed again for the gradient."""

    name = "streamed"

    def refusals(self, problem: Problem) -> list[str]:
        """See `Kernel.refusals`."""
        reasons = []
        if problem.weights:
            reasons.append("it does not return weights")
        if torch.compiler.is_compiling():
            reasons.append("torch.compile cannot look into it")
        return reasons

    def doubts(self, problem: Problem) -> list[str]:
        """See `Kernel.doubts`."""
        reasons = []
        if problem.score_key == Custom.key:
            reasons.append("it cannot know whether a callable scores a pair by that pair alone, and takes it to be so")
        if problem.pairs < FEW:
            reasons.append("matrices so small are no burden")
        return reasons

    def flops(self, problem: Problem) -> int:
        """Forward: pairs within the mask's bounds * (score + 2 Dv); backward computes them again, and twice as much."""
        return _pairs(problem) * (problem.pair_flops + 2 * problem.Dv) * (4 if problem.grad else 1)

    def bytes(self, problem: Problem) -> int:
        """Inputs and context once; backward three times that: the scores stay in the processor's caches."""
        return problem.io_bytes * (4 if problem.grad else 1)

    def bind(self, problem: Problem) -> Compute:
        """See `Kernel.bind`."""
        return _context


def _context(call: Call) -> Tensor:
    tiles = replace(Tiles.of(call), call=in_full(call))
    draws = call.dropout > 0 or getattr(call.normaliser, "draws", False)
    seed = int(torch.randint(2**62, ())) if draws else None
    return _Streamed.apply(tiles, seed, tiles.q, tiles.k, tiles.values, *_parameters(tiles))


class _Streamed(torch.autograd.Function):
    """The context, of queries, keys and values and of the parameters that every block reads."""

    @staticmethod
    def forward(ctx: Any, tiles: Tiles, seed: int | None, *inputs: Tensor) -> Tensor:
        ctx.save_for_backward(*inputs)
        ctx.tiles, ctx.seed = tiles, seed
        context = tiles.call.v.new_empty(*tiles.size[:3], tiles.values.shape[3])
        for part, noise in _blocks(tiles, seed):
            with noise:
                part.of_queries(context).copy_(tiles.attended(part).context)
        return context

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple:
        inputs, needed = ctx.saved_tensors, ctx.needs_input_grad[2:]
        tiles = replace(ctx.tiles, q=inputs[0], k=inputs[1], values=inputs[2])
        if torch.is_grad_enabled():
            return None, None, *_differentiable(tiles, ctx.seed, inputs, needed, gradient)
        sums = _zeros(inputs, needed)
        for part, noise in _blocks(tiles, ctx.seed):
            places = (part.of_queries, part.of_keys, part.of_keys)
            into = [None if x is None else place(x) for x, place in zip(sums, places, strict=False)] + sums[3:]
            own = [x.detach().requires_grad_(need) for x, need in zip(tiles.inputs(part), needed, strict=False)]
            with torch.enable_grad(), noise:
                context = tiles.attended(part, own).context
            _add_gradients(context, part.of_queries(gradient), [*own, *inputs[3:]], into)
        return None, None, *_rounded(sums, inputs)


def _zeros(inputs: tuple[Tensor, ...], needed: tuple[bool, ...]) -> list[Tensor | None]:
    """What blocks add to: rows of the gradients of queries, keys and values, and shares of the parameters'."""
    makers = [torch.zeros_like] * 3 + [total] * (len(inputs) - 3)
    return [make(x) if need else None for make, x, need in zip(makers, inputs, needed, strict=True)]


def _rounded(sums: Iterable[Tensor | None], inputs: tuple[Tensor, ...]) -> Iterator[Tensor | None]:
    return (None if found is None else found.to(x.dtype) for found, x in zip(sums, inputs, strict=True))


def _add_gradients(context: Tensor, gradient: Tensor, inputs: list[Tensor], into: list[Tensor | None]) -> None:
    wanted = [(x, place) for x, place in zip(inputs, into, strict=True) if place is not None]
    if not context.requires_grad or not wanted:
        return
    # Kept: what a callable has captured may have a graph of its own, which the next block needs too.
    found = torch.autograd.grad(context, [x for x, _ in wanted], gradient, retain_graph=True, allow_unused=True)
    for (_, place), part in zip(wanted, found, strict=True):
        if part is not None:
            place += part


def _differentiable(
    tiles: Tiles, seed: int | None, inputs: tuple[Tensor, ...], needed: tuple[bool, ...], gradient: Tensor
) -> Iterator[Tensor | None]:
    """The gradients with a graph of their own, for who differentiates again: that keeps (Tq, Tk) matrices."""
    wanted = [x for x, need in zip(inputs, needed, strict=True) if need]
    sums = _zeros(inputs, needed)
    for part, noise in _blocks(tiles, seed):
        with noise:
            context = tiles.attended(part).context
        if context.requires_grad:
            found = torch.autograd.grad(
                context, wanted, part.of_queries(gradient), create_graph=True, allow_unused=True, materialize_grads=True
            )
            shares = iter(found)
            sums = [None if x is None else x + next(shares) for x in sums]
    return _rounded(sums, inputs)


def _blocks(tiles: Tiles, seed: int | None) -> Iterator[tuple[Part, AbstractContextManager[None]]]:
    """The parts, each with what its draws are made from."""
    for number, part in enumerate(tiles.parts()):
        if seed is None:
            yield part, nullcontext()
        else:
            yield part, drawn_from(torch.Generator(tiles.q.device).manual_seed(seed + number))


def _parameters(tiles: Tiles) -> list[Tensor]:
    """The tensors beside queries, keys and values that a gradient must reach through the blocks, each once."""
    if not torch.is_grad_enabled():
        return []
    call = tiles.call
    captured = _captured(tiles) if isinstance(call.score, Custom) else []
    found = [*learned(call.score, call.bias, call.after, call.normaliser), *captured]
    return list({id(x): x for x in found}.values())


def _captured(tiles: Tiles) -> list[Tensor]:
    """The leaves that a callable's scores depend on beside queries and keys, found from the score of one pair."""
    first = Part(slice(0, 1), slice(0, 1), slice(0, 1))
    q, k, _ = tiles.inputs(first)
    e = tiles.call.score.compare(q.detach(), k.detach())
    ahead, seen, leaves = [e.grad_fn], set(), []
    while ahead:
        node = ahead.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        leaves += [node.variable] if hasattr(node, "variable") else []
        ahead += [before for before, _ in node.next_functions]
    return leaves


def _pairs(problem: Problem) -> int:
    """How many pairs lie within the bounds of the mask."""
    s = problem.structure
    left = problem.Tk if s is None or s.left is None else s.left
    right = problem.Tk if s is None or s.right is None else s.right
    return problem.B * problem.H * problem.Tq * min(problem.Tk, left + right + 1)
