"""Scaled dot products over part of the keys: queries in strips, and for each strip only the keys it is given.

What `banded` and `blocksparse` share. A strip (`strip.py`) is some tiles of neighbouring queries with as many keys for
each tile, so few numbers that the scores stay in a core's own cache. Forward and backward (`passes.py`) are batched
matrix products over a strip; backward computes the weights (`part.py`) again. Nothing (Tq, Tk) in size is built, and
nothing of that size is kept. A plain softmax in float32 goes by compiled loops (`loops.py`), tile by tile (`jobs.py`).

    S = scale Q Kᵀ + bias, hidden where the mask hides;   P = softmax(S);   O = (P ∘ F) V,   F = after ∘ dropout
    dV = (P ∘ F)ᵀ dO;   dP = F ∘ dO Vᵀ;   dS = P ∘ (dP − Σ P ∘ dP);   dQ = scale dS K;   dK = scale dSᵀ Q

With a soft cap S = cap t + bias, t = tanh(scale Q Kᵀ / cap), and what flows through it is dS ∘ (1 − t²). With a sink
P = softmax(S) / (1 + e^{sink − lse}), dS is the same formula, and d sink = −Σ (Σ P ∘ dP) / (1 + e^{lse − sink}).
"""

from regard.kernels.strips.attend import attend as attend
from regard.kernels.strips.limits import cost as cost
from regard.kernels.strips.limits import doubts as doubts
from regard.kernels.strips.limits import flops as flops
from regard.kernels.strips.limits import refusals as refusals
from regard.kernels.strips.strip import Blocks as Blocks
from regard.kernels.strips.strip import Strip as Strip
from regard.kernels.strips.strip import Window as Window
from regard.kernels.strips.strip import per_strip as per_strip
