"""Reading aids: what stands beside the weights when one asks what a token's representation is made of.

Weights say where information was read in one layer and head. Rollout follows it through the layers; norms tell how much
there was to read; zeroing a token's value tells what was lost without it; an ablation curve tells whether what is
called important is, more than what chance picks. None of them averages heads but rollout, whose definition it is.

Gradient × attention, what each weight did to a loss, is an aid too; as it is read off the calls themselves, a watch
takes it: `regard.watch(model, gradient=True)`, `gradients.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from regard.observe.record import Map, Observed, Products


def rollout(
    weights: Sequence[Float[Tensor, "batch heads positions positions"]], *, own: float = 0.5
) -> Float[Tensor, "batch positions positions"]:
    """Attention rollout: the share of each input position in each position's representation after the last layer.

        A_l = own · I + (1 - own) · mean over the heads of α_l, its rows scaled to sum to 1;   A_L … A_2 A_1

    Args:
        weights: Of every layer in order, (B, H, T, T); the heads of a layer are averaged, as the method says.
        own: The share that the residual connection is taken to carry.

    Returns:
        (B, T, T), rows sum to 1.

    Raises:
        ValueError: No layer, or layers of different sizes.

    Source: Abnar and Zuidema 2020 (arXiv 2005.00928).
    """
    if not weights:
        raise ValueError("rollout: expected the weights of one layer or more, got none")
    total: Tensor | None = None
    for layer in weights:
        if (
            layer.ndim != 4
            or layer.shape[2] != layer.shape[3]
            or (total is not None and len(layer[0, 0]) != len(total[0]))
        ):
            raise ValueError(
                "rollout: expected self-attention weights (batch, heads, positions, positions) of one size in every "
                f"layer, got {[tuple(x.shape) for x in weights]}"
            )
        mixed = (1 - own) * layer.mean(1) + own * torch.eye(layer.shape[-1], dtype=layer.dtype, device=layer.device)
        mixed = mixed / mixed.sum(-1, keepdim=True)  # a query that may attend to nothing keeps all of its own
        total = mixed if total is None else mixed @ total
    assert total is not None
    return total


def norm_weighted(
    weights: Float[Tensor, "batch heads queries keys"],
    values: Float[Tensor, "batch heads keys value_features"],
    w_out: Float[Tensor, "features heads_value_features"],
) -> Float[Tensor, "batch heads queries keys"]:
    """‖α_i W_h v_i‖: how much each key brought, not only how much it was looked at. A large weight on a small value is
    little.

    Args:
        weights: α (B, H, Tq, Tk), or the rows of some queries.
        values: What α multiplies (B, H, Tk, Dv), each head of queries with its own.
        w_out: The output projection (E, H·Dv), as `nn.Linear` holds it; W_h are its columns for head h.

    Returns:
        (B, H, Tq, Tk), in the units of the layer's output.

    Raises:
        ValueError: A projection that does not fit the values.

    Source: Kobayashi et al. 2020 (arXiv 2004.10102).
    """
    heads, features = values.shape[1], values.shape[3]
    if w_out.shape[1] != heads * features:
        raise ValueError(
            f"norm_weighted: expected w_out (features, {heads} heads x {features}), got {tuple(w_out.shape)}"
        )
    of_heads = w_out.unflatten(1, (heads, features)).movedim(1, 0)  # (H, E, Dv)
    norms = torch.linalg.vector_norm(values @ of_heads.mT, dim=-1)
    return weights.abs() * norms.unsqueeze(-2)


def value_zeroing(output: Callable[[int | None], Tensor], positions: int) -> Float[Tensor, "batch queries keys"]:
    """Value zeroing: how far each position's output turns when one position's value is 0, all else being equal.

        d_tj = 1 - cos(output without j at t, output at t),   scaled so that each row sums to 1

    Args:
        output: Gives a layer's output (B, Tq, E) with the value of the position it is given set to 0 in all heads, and
            untouched for None.
        positions: How many positions have values.

    Returns:
        (B, Tq, positions); a row that nothing changes is 0.

    Source: Mohebbi et al. 2023 (arXiv 2301.12971).
    """
    with torch.no_grad():
        whole = output(None)
        turned = [1 - torch.cosine_similarity(output(j), whole, dim=-1) for j in range(positions)]
    if not turned:
        return whole.new_zeros(*whole.shape[:2], 0)
    distances = torch.stack(turned, -1).clamp(min=0)
    total = distances.sum(-1, keepdim=True)
    return distances / total.masked_fill(total == 0, 1)


@dataclass(frozen=True)
class AblationCurve:
    """What is left of a model's score as positions are taken away: the first number is that with all of them."""

    removed: list[int]
    """How many positions were taken away at each step."""
    by_importance: list[float]
    """The score when the most important ones went first."""
    at_random: list[float]
    """The mean over random orders: what taking away any so many positions costs."""
    random_low: list[float]
    random_high: list[float]


def ablation_curve(
    score: Callable[[Tensor], float],
    importance: Float[Tensor, " positions"],
    *,
    steps: int = 10,
    orders: int = 10,
    seed: int = 0,
) -> AblationCurve:
    """Take positions away, the most important first, and look whether that costs more than taking any.

    Args:
        score: The model's score (a likelihood, a logit) given which positions are kept, bool (positions,).
        importance: One number a position; of equal ones the first goes first.
        steps: In how many steps all of them are taken away.
        orders: How many random orders the baseline has.
        seed: Of those orders.

    Source: DeYoung et al. 2020 (arXiv 1911.03429), comprehensiveness.
    """
    positions = len(importance)
    removed = sorted({round(positions * step / steps) for step in range(steps + 1)})
    generator = torch.Generator().manual_seed(seed)

    def along(order: Tensor) -> list[float]:
        found = []
        for many in removed:
            kept = torch.ones(positions, dtype=torch.bool)
            kept[order[:many]] = False
            found.append(float(score(kept)))
        return found

    chance = [along(torch.randperm(positions, generator=generator)) for _ in range(orders)]
    columns = list(zip(*chance, strict=True))
    return AblationCurve(
        removed,
        along(importance.cpu().argsort(descending=True, stable=True)),
        [sum(column) / len(column) for column in columns],
        [min(column) for column in columns],
        [max(column) for column in columns],
    )


def difference(first: Observed, second: Observed) -> Observed:
    """What `second` has more of than `first`, number by number: of two models, or of two inputs of one length.

    Each statistic that both have, the second's less the first's; 0 where both are -inf (a log-sum-exp of nothing), NaN
    in cells that allow no pair. The largest weights, whose positions differ, are left out. As differences fall below 0
    they are no weights, and a report does not show them.

    Raises:
        ValueError: Observations of different sizes, or of which different queries, keys or cells were asked.
    """
    if first.size != second.size:
        raise ValueError(f"difference: expected two observations of one size, got {first.size} and {second.size}")
    return Observed(
        first.size,
        _less(first.lse, second.lse),
        entropy=_less(first.entropy, second.entropy),
        mass=_less(first.mass, second.mass),
        distance=_less(first.distance, second.distance),
        map=_map_less(first.map, second.map),
        rows=_less(first.rows, second.rows),
        columns=_less(first.columns, second.columns),
        weights=_less(first.weights, second.weights),
        allowed=None if first.allowed is None or second.allowed is None else first.allowed | second.allowed,
        gradient=_products_less(first.gradient, second.gradient),
    )


def _less(first: Any, second: Any) -> Any:
    """The second less the first, 0 where they are equal (-inf too); None where one is not there."""
    if first is None or second is None:
        return None
    if first.shape != second.shape:
        raise ValueError(f"difference: expected the same to be asked of both, got {first.shape} and {second.shape}")
    return torch.where(first == second, 0, second - first)


def _map_less(first: Map | None, second: Map | None) -> Map | None:
    if first is None or second is None:
        return None
    mean, largest = _less(first.mean, second.mean), _less(first.largest, second.largest)
    return Map(mean, largest, first.cell_rows, first.cell_columns)


def _products_less(first: Products | None, second: Products | None) -> Products | None:
    if first is None or second is None:
        return None
    queries, keys = _less(first.queries, second.queries), _less(first.keys, second.keys)
    return Products(queries, keys, None, _map_less(first.map, second.map))
