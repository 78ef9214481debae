"""How much travels: the finest picture of every head that fits the page's size, the same fineness for all.

Every head brings its statistics and its strongest weights; its matrix comes whole where there is room, else pooled into
cells (means over the pairs the mask allows), as fine as fits. The page says which.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from regard.observe.report.calls import Call
from regard.observe.report.codes import Coded, coded, planes, sixteen, written

FINENESS = ((10**9, 8), (512, 8), (256, 8), (128, 8), (96, 8), (96, 5), (64, 5), (48, 4), (32, 3), (16, 2), (8, 1))
"""Cells along an axis, and strongest weights of each query; from the finest to what is always accepted."""
THUMBNAIL = 32
MATRIX, POOLED = 2, 4  # exponents of the levels


def packed(calls: Sequence[Call], room: float) -> dict[str, Any]:
    """The calls as the page reads them, and all their thumbnails; together about `room` characters at most."""
    small = [[_thumbnail(call, head) for head in range(len(call.heads))] for call in calls]
    thumbnails = written(b"".join(one.levels.tobytes() for of_call in small for one in of_call))
    described = [_described(call, of_call) for call, of_call in zip(calls, small, strict=True)]
    room -= len(thumbnails) + len(json.dumps(described))
    for side, k in _fineness(calls):
        last = (side, k) == FINENESS[-1]
        travelling = _all(calls, side, k, np.inf if last else room)
        if travelling is not None:
            break
    assert travelling is not None
    for one, (shape, heads) in zip(described, travelling, strict=True):
        one.update(shape)
        for head, more in zip(one["heads"], heads, strict=True):
            head.update(more)
    return {"calls": described, "thumbnails": thumbnails, "pooledExponent": POOLED}


def _fineness(calls: Sequence[Call]) -> list[tuple[int, int]]:
    """The levels that differ for these calls: as they are, then only what is coarser."""
    pictures = [call.mean if call.weights is None else call.weights for call in calls]
    finest = max((max(one.shape[1:]) for one in pictures if one is not None), default=0)
    return [FINENESS[0], *(level for level in FINENESS[1:] if level[0] < finest or level[1] < FINENESS[0][1])]


Travelling = tuple[dict[str, Any], list[dict[str, Any]]]


def _all(calls: Sequence[Call], side: int, k: int, room: float) -> list[Travelling] | None:
    """Every call at this fineness; None as soon as they take more room."""
    found: list[Travelling] = []
    for call in calls:
        grid, largest, cell = _grid(call, side)
        shape = _shape(call, grid, largest, cell, k)
        heads = []
        for head in range(len(call.heads)):
            heads.append(_head(call, head, grid, largest, shape))
            room -= len(heads[-1]["data"]) + 300
            if room < 0:
                return None
        found.append((shape, heads))
    return found


def _shape(
    call: Call, grid: np.ndarray | None, largest: np.ndarray | None, cell: tuple[int, int], k: int
) -> dict[str, Any]:
    """What all heads of a call have in common: the order and the sizes of what travels."""
    return {
        "grid": None if grid is None else {"rows": grid.shape[1], "columns": grid.shape[2], "cell": list(cell)},
        "exponent": MATRIX if cell == (1, 1) else POOLED,
        "largest": largest is not None,
        "k": 0 if call.strongest is None else min(k, call.strongest.shape[-1]),
        "bytes": next(count for count in (1, 2, 3, 4) if call.keys < 256**count),
        "strips": [name for name in ("entropy", "mass", "distance") if getattr(call, name) is not None],
    }


def _head(
    call: Call, head: int, grid: np.ndarray | None, largest: np.ndarray | None, shape: dict[str, Any]
) -> dict[str, Any]:
    """One head's data: matrix or cells, then the strongest weights, then the strips, deflated as one."""
    parts: list[bytes] = []
    said: dict[str, Any] = {"tops": {}}
    for name, pooled in (("grid", grid), ("largest", largest)):
        if pooled is not None:
            code = coded(pooled[head], shape["exponent"])
            parts.append(code.levels.tobytes())
            said["tops"][name] = code.top
            said["error"] = max(code.error, said.get("error", 0.0))
    if shape["k"]:
        assert call.positions is not None
        assert call.strongest is not None
        positions, strongest = _by_position(call.positions[head], call.strongest[head], shape["k"], call.keys)
        steps = np.diff(positions, axis=-1, prepend=0)
        weights, said["tops"]["strongest"] = sixteen(strongest)
        parts += [planes(steps.T, shape["bytes"]), weights]
    for name in shape["strips"]:
        values, said["tops"][name] = sixteen(getattr(call, name)[head])
        parts.append(values)
    return {**said, "data": written(b"".join(parts))}


def _by_position(positions: np.ndarray, weights: np.ndarray, k: int, keys: int) -> tuple[np.ndarray, np.ndarray]:
    """The k strongest of each query, ordered by position (neighbours deflate better), those missing last; weights
    one rank after the other."""
    places = np.where(positions[:, :k] < 0, keys, positions[:, :k]).astype(np.int64)
    order = np.argsort(places, axis=-1, kind="stable")
    return np.take_along_axis(places, order, -1), np.take_along_axis(weights[:, :k], order, -1).T


def _grid(call: Call, side: int) -> tuple[np.ndarray | None, np.ndarray | None, tuple[int, int]]:
    """The picture in at most `side` cells along each axis: means, largest (where nothing else tells), pairs a cell."""
    if call.weights is not None:
        rows, columns = _pairs_a_cell(call.queries, side), _pairs_a_cell(call.keys, side)
        return pooled(call.weights, rows, columns), None, (rows, columns)
    if call.mean is None:
        return None, None, (1, 1)
    rows, columns = _pairs_a_cell(call.mean.shape[1], side), _pairs_a_cell(call.mean.shape[2], side)
    cell = (call.cell[0] * rows, call.cell[1] * columns)
    largest = None if call.strongest is not None or call.largest is None else pooled(call.largest, rows, columns, True)
    return pooled(call.mean, rows, columns), largest, cell


def _pairs_a_cell(size: int, side: int) -> int:
    return max(1, -(-size // side))


def pooled(matrix: np.ndarray, rows: int, columns: int, largest: bool = False) -> np.ndarray:
    """Means (or the largest) of what is not NaN in cells of rows × columns; NaN where nothing is."""
    if (rows, columns) == (1, 1) or not matrix.size:
        return matrix
    there = ~np.isnan(matrix)
    if largest:
        most = _reduced(np.maximum, np.where(there, matrix, -1.0), rows, columns)
        return np.where(most < 0, np.nan, most)
    counts = _reduced(np.add, there.astype(np.float64), rows, columns)
    sums = _reduced(np.add, np.where(there, matrix, 0.0), rows, columns)
    return np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)


def _reduced(operation: np.ufunc, matrix: np.ndarray, rows: int, columns: int) -> np.ndarray:
    by_row = operation.reduceat(matrix, np.arange(0, matrix.shape[1], rows), axis=1)
    return operation.reduceat(by_row, np.arange(0, matrix.shape[2], columns), axis=2)


def _described(call: Call, thumbnails: Sequence[Coded]) -> dict[str, Any]:
    """What the overview needs of a call: names, sizes, and a few figures of each head."""
    kind = re.sub(r"\d+", "*", call.name)
    return {
        "name": call.name,
        "kind": kind,
        "numbers": [int(number) for number in re.findall(r"\d+", call.name)][:8],
        "call": call.number,
        "cross": call.cross,
        "queries": call.queries,
        "keys": call.keys,
        "first": call.first,
        "steps": call.steps,
        "heads": [
            {"number": call.heads[head], "side": list(one.levels.shape), "thumbnailTop": one.top} | _figures(call, head)
            for head, one in enumerate(thumbnails)
        ],
    }


def _figures(call: Call, head: int) -> dict[str, Any]:
    said: dict[str, Any] = {}
    if call.entropy is not None and call.queries:
        said["entropy"] = float(np.nanmean(call.entropy[head]))
    if call.distance is not None and call.queries:
        said["distance"] = float(np.nanmean(call.distance[head]))
    if call.strongest is not None and call.strongest.size:
        said["strongest"] = float(call.strongest[head].max(-1).mean())
    if call.mass is not None and call.keys:
        said["sink"] = float(call.share()[head].max())
        said["sinks"] = call.sinks(head).tolist()
    return said


def _thumbnail(call: Call, head: int) -> Coded:
    """Levels of a picture of at most 32 × 32 cells, each the mean over its pairs; of the strongest alone if need be."""
    grid, _, _ = _grid(_only(call, head), THUMBNAIL)
    if grid is None and call.positions is not None and call.strongest is not None and call.queries:
        grid = _scattered(call.positions[head], call.strongest[head], call.keys)[None]
    return coded(np.zeros((0, 0)) if grid is None or not grid.size else grid[0], POOLED)


def _only(call: Call, head: int) -> Call:
    one = slice(head, head + 1)
    return replace(
        call,
        weights=None if call.weights is None else call.weights[one],
        mean=None if call.mean is None else call.mean[one],
        largest=None,
    )


def _scattered(positions: np.ndarray, weights: np.ndarray, keys: int) -> np.ndarray:
    """The strongest weights in at most 32 × 32 cells, the largest of each."""
    rows, columns = _pairs_a_cell(len(positions), THUMBNAIL), _pairs_a_cell(keys, THUMBNAIL)
    cells = np.zeros((-(-len(positions) // rows), -(-keys // columns)))
    query, rank = np.nonzero(positions >= 0)
    np.maximum.at(cells, (query // rows, positions[query, rank] // columns), weights[query, rank])
    return cells
