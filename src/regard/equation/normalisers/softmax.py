"""Softmax, over every key or over the best few: each key seen has a weight above 0."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from regard.equation.looking import may_look
from regard.equation.normalisers.rows import empty_rows
from regard.equation.precision import full


class Softmax:
    """weights_i = exp(e_i) / sum_j exp(e_j).

    With a sink s, a logit for each head that joins the denominator only,

        weights_i = exp(e_i) / (exp(s) + sum_j exp(e_j))

    so that a head may look nowhere: a row sums to less than 1. A row's log-sum-exp stays that of its scores, without
    the sink. Source: Xiao et al. 2023 (arXiv 2309.17453); GPT-OSS (arXiv 2508.10925).

    Args:
        sink: s (H,), with gradient; None for no sink.
    """

    def __init__(self, sink: Float[Tensor, " heads"] | None = None) -> None:
        if sink is not None and (not isinstance(sink, Tensor) or sink.ndim != 1 or not sink.is_floating_point()):
            raise ValueError(f"Softmax: sink must be a floating-point tensor (heads,), got {_kind(sink)}")
        self.sink = sink
        self.tensors = () if sink is None else (sink,)
        self.name = "softmax" if sink is None else f"softmax with a sink for each of {len(sink)} heads"

    def weights(self, e: Tensor) -> Tensor:
        """See `Normaliser.weights`; where there is a sink, e is (..., H, Tq, Tk)."""
        e = full(e)
        if self.sink is not None:
            return torch.softmax(self._beside_the_sink(e), -1)[..., :-1]
        empty = empty_rows(e)
        if may_look(empty.device.type) and not empty.any():
            return torch.softmax(e, -1)
        return torch.softmax(e.masked_fill(empty, 0), -1).masked_fill(empty, 0)

    def log_prob(self, e: Tensor) -> Tensor:
        """See `Normaliser.log_prob`."""
        e = full(e)
        if self.sink is None:
            log_prob = torch.log_softmax(e.masked_fill(empty_rows(e), 0), -1)
        else:
            log_prob = torch.log_softmax(self._beside_the_sink(e), -1)[..., :-1]
        return log_prob.masked_fill(e == -math.inf, -math.inf)

    def _beside_the_sink(self, e: Tensor) -> Tensor:
        """(..., H, Tq, Tk + 1): the sink, kept finite, as one key more; so no row is empty."""
        assert self.sink is not None
        largest = torch.finfo(e.dtype).max
        sink = full(self.sink).to(e.dtype).clamp(-largest, largest)
        return torch.cat([e, sink[:, None, None].expand(*e.shape[:-1], 1)], -1)

    def __repr__(self) -> str:
        return "Softmax()" if self.sink is None else f"Softmax(sink=<{len(self.sink)}>)"


def _kind(thing: object) -> str:
    return f"{thing.dtype} of shape {tuple(thing.shape)}" if isinstance(thing, Tensor) else repr(thing)


class TopK:
    """Softmax over the k best keys of each query, weight 0 on the others; ties go to the lowest index.

    Rows that see no more than k keys are softmax's. The choice of keys carries no gradient.
    Source: Gupta et al. 2021 (arXiv 2106.06899); Zhao et al. 2019 (arXiv 1912.11637).
    """

    def __init__(self, k: int) -> None:
        if not isinstance(k, int) or isinstance(k, bool) or k < 1:
            raise ValueError(f"TopK: k must be a whole number of keys, 1 or more, got {k!r}")
        self.k = k
        self.name = f"top-{k}"

    def weights(self, e: Tensor) -> Tensor:
        """See `Normaliser.weights`."""
        return _SOFTMAX.weights(best(full(e), self.k))

    def log_prob(self, e: Tensor) -> Tensor:
        """See `Normaliser.log_prob`."""
        return _SOFTMAX.log_prob(best(full(e), self.k))

    def __repr__(self) -> str:
        return f"TopK({self.k})"


def best(e: Tensor, k: int) -> Tensor:
    """The scores with -inf in the place of all but the k highest of each row; of equal ones the first are kept."""
    if k >= e.shape[-1]:
        return e
    last = e.detach().topk(k).values[..., -1:]  # the k-th highest
    above, level = e > last, e == last
    room = k - above.sum(-1, keepdim=True)
    return e.masked_fill(~(above | level & (level.cumsum(-1) <= room)), -math.inf)


_SOFTMAX = Softmax()
