"""A call's jobs by compiled loops: they are told where everything stands, and run.

They stand in `strips_loops/` and want numba (`pip install 'regard[fast]'`); without it `passes.py` computes the same.
"""

import ctypes
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from regard.kernels.strips.jobs import Jobs
from regard.kernels.strips.part import Work
from regard.machine import team
from regard.machine.loops import tried

LARGE = 2.9e38
"""Beside which a sink is infinite."""
MOST = 2**27
"""Numbers of all sums together: half a gigabyte."""


def context(work: Work, jobs: Jobs, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """(B, H, Tq, Dv); 0 for queries that no job has."""
    call = _Call(work, jobs, q, k, v)
    out = call.of_queries(call.v)
    call.pack("k")
    call.run(call.loops.forward, -(-8 * call.threads // call.heads), out=out)
    return out[..., : v.shape[3]]


def gradients(
    work: Work, jobs: Jobs, q: Tensor, k: Tensor, v: Tensor, gradient: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Of q, k, v and the sink."""
    call = _Call(work, jobs, q, k, v)
    parts = call.sums()
    dq = call.of_queries(call.q)
    dk, dv = (x.new_zeros(parts, *x.shape) for x in (call.k, call.v))
    call.pack("k", "v")
    missed = None if work.sink is None else q.new_zeros(len(jobs.table), *q.shape[:2])
    call.run(call.loops.backward, parts, g=_whole(gradient).contiguous(), dq=dq, dk=dk, dv=dv, missed=missed)
    dk, dv = (x[0] if parts == 1 else x.sum(0) for x in (dk, dv))
    of_sink = None if missed is None else -missed.sum((0, 1), dtype=torch.float64)
    return dq[..., : q.shape[3]], dk[..., : k.shape[3]], dv[..., : v.shape[3]], of_sink


class _Call:
    """What the loops are told of a call."""

    def __init__(self, work: Work, jobs: Jobs, q: Tensor, k: Tensor, v: Tensor) -> None:
        loops = ready()
        assert loops is not None
        self.loops, self.jobs, self.threads = loops, jobs, torch.get_num_threads()
        self.q, self.k, self.v = _whole(q), _whole(k), _whole(v)
        B, H, Tq, Tk = work.size
        self.heads, self.D, Hk = B * k.shape[1], self.q.shape[3], k.shape[1]
        sizes = {"B": B, "H": H, "group": H // Hk, "Hk": Hk, "Tq": Tq, "D": self.D, "Dv": self.v.shape[3]}
        self.told: dict[str, Any] = sizes | {
            "Tk": k.shape[2],  # which may be more than Tk, up to a whole block
            "jobs": jobs.table,
            "count": len(jobs.table),
            "height": jobs.height,
            "width": jobs.width,
            "scale": q.new_tensor(work.scale / (work.cap or 1)),
            "cap": None if work.cap is None else q.new_tensor(work.cap),
            "sinks": None if work.sink is None else work.sink.detach().to(q).clamp(-LARGE, LARGE).contiguous(),
        }
        if jobs.band is not None:
            left, right = jobs.band
            self.told |= {"banded": 1, "left": left, "right": right, "shift": Tk - Tq, "lengths": jobs.lengths}
        for name, x in (("q", self.q), ("k", self.k), ("v", self.v)):
            self.told |= {name: x} | {f"{name}_{of}": x.stride(i) for i, of in enumerate(("batch", "head", "row"))}

    def of_queries(self, like: Tensor) -> Tensor:
        """(B, H, Tq, ·), 0 where no job will write."""
        size = *self.q.shape[:3], like.shape[3]
        return self.q.new_zeros(size) if self.jobs.band is None else self.q.new_empty(size)

    def sums(self) -> int:
        """How many sums of its keys' gradients each head has, so that threads have as much to do, each its own."""
        if self.heads % self.threads == 0 or self.heads >= 4 * self.threads:
            return 1
        return max(1, min(self.threads, MOST // max(self.k.numel(), self.v.numel())))

    def pack(self, *which: str) -> None:
        """Make the panels of k, or of k and v; in a band threads make their own."""
        if self.jobs.band is not None:
            return
        for name in which:
            x: Tensor = self.told[name]
            self.told[f"{name}_panels"] = x.new_empty(*x.shape[:2], -(-x.shape[2] // 16), x.shape[3], 16)
        self.run(self.loops.pack, 1)

    def run(self, task: Any, parts: int, **more: Tensor | None) -> None:
        """A task over the heads of keys, in so many parts each."""
        places = self.heads * parts
        threads, jobs = min(self.threads, places), self.jobs
        span = self.loops.scratch(jobs.height, jobs.width, self.D, self.v.shape[3], jobs.band is not None)
        scratch = self.q.new_empty(threads * span)
        told = self.told | more | {"places": places, "parts": parts, "span": span, "scratch": scratch}
        of_all = (told.get(name) for name in self.loops.NAMES)
        numbers = [x.data_ptr() if isinstance(x, Tensor) else (x or 0) for x in of_all]
        data = (ctypes.c_int64 * len(numbers))(*numbers)
        team.run(self.loops.compiled(task), ctypes.addressof(data), threads)


def _whole(x: Tensor) -> Tensor:
    """With zeros up to a multiple of 16 features."""
    over = -x.shape[-1] % 16
    return F.pad(x, (0, over)) if over else x


@tried
def ready() -> ModuleType:
    """The compiled loops."""
    from regard.kernels import strips_loops

    nothing = (ctypes.c_int64 * len(strips_loops.NAMES))()  # no place, so nothing is looked at
    for task in (strips_loops.pack, strips_loops.forward, strips_loops.backward):
        team.run(strips_loops.compiled(task), ctypes.addressof(nothing), 1)
    return strips_loops
