"""Numbers made small enough to travel in a page: 8-bit weights, 16-bit statistics, deflated and written as text.

A weight α ≤ m travels as the level q = round(254 · (α / m)^(1/p)) and is read back as m · (q / 254)^p; level 255 says
that there is no weight, because the mask hides the pair. With p = 2 a level near the top is m / 127 wide and one near
zero far narrower; means over many pairs span more decades and take p = 4. What that costs is measured, not estimated,
and stands on the page.
"""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass

import numpy as np

HIDDEN = 255
LEVELS = 254


@dataclass(frozen=True)
class Coded:
    """Weights as levels, and what is needed to read them back."""

    levels: np.ndarray
    top: float
    """m, the largest weight."""
    error: float
    """The largest difference between a weight and what is read back."""


def coded(weights: np.ndarray, exponent: float) -> Coded:
    """Non-negative weights as uint8 levels of their own shape; NaN, a pair that is hidden, becomes 255.

    Raises ValueError for a negative weight.
    """
    weights = np.asarray(weights)
    hidden = np.isnan(weights)
    seen = np.where(hidden, 0.0, weights)
    if (least := float(seen.min(initial=0.0))) < 0:
        raise ValueError(f"a page shows weights of 0 and more, got {least:.3g}: draw differences with matplotlib")
    top = float(seen.max(initial=0.0)) or 1.0
    levels = np.rint(LEVELS * (seen / top) ** (1 / exponent)).astype(np.uint8)
    back = (top * (np.arange(LEVELS + 1) / LEVELS) ** exponent)[levels]
    error = float(np.abs(back - seen).max(initial=0.0))
    levels[hidden] = HIDDEN
    return Coded(levels, top, error)


def sixteen(values: np.ndarray) -> tuple[bytes, float]:
    """Non-negative values as 16-bit shares of their largest, which is returned; NaN becomes 0."""
    values = np.nan_to_num(np.asarray(values, dtype=np.float64), nan=0.0)
    top = float(values.max(initial=0.0)) or 1.0
    return planes(np.rint(values / top * 65535), 2), top


def planes(values: np.ndarray, count: int) -> bytes:
    """Whole numbers as bytes, all the highest bytes first: alike stands beside alike, which deflates better."""
    whole = np.ascontiguousarray(values, dtype=">u4").view(np.uint8).reshape(-1, 4)
    return np.ascontiguousarray(whole[:, 4 - count :].T).tobytes()


def written(data: bytes) -> str:
    """Deflated, as base64 text."""
    return base64.b64encode(zlib.compress(data, 6)).decode("ascii")
