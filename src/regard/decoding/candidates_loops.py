"""The loops of `candidates.py`, compiled by numba: a hypothesis' logits are read where they lie, in whichever format.

Arrays are flat and C order: `logits` (sentences, hypotheses, vocabulary) as float32, or as bfloat16's bits in uint16.
What a row gives depends on nothing but the row, and equal totals stand in the order of hypotheses and words.
"""

from typing import Any

import numpy as np
from numba import njit, prange

from regard.machine.compiling import part
from regard.machine.lanes import LANES, at_least, exponential, largest, load, same, total, where_above, widened
from regard.machine.threads import use_threads as use_threads

Array = np.ndarray
STRIP = 4 * LANES  # words looked at together
_VANISHED = np.float32(-87)  # e to this is 0 beside 1
_INFINITE = np.float32(np.inf)


@njit(parallel=True, nogil=True, error_model="numpy", cache=True)
def normalisers(logits: Array, found: Array) -> None:
    """found = log Σ_v exp logit_v, row by row; the largest is taken off first."""
    rows = found.shape[0]
    words = logits.shape[0] // rows
    whole = words - words % STRIP
    for row in prange(rows):
        first = row * words
        high = same(-_INFINITE)
        for j in range(first, first + whole, LANES):
            high = at_least(high, load(logits, j))
        most = largest(high)
        for j in range(first + whole, first + words):
            most = max(most, widened(logits[j]))
        if abs(most) == _INFINITE:
            found[row] = most
            continue
        off, least = same(most), same(_VANISHED)
        a = b = c = d = same(np.float32(0))
        for j in range(first, first + whole, STRIP):
            a = a + _power(load(logits, j) - off, least)
            b = b + _power(load(logits, j + LANES) - off, least)
            c = c + _power(load(logits, j + 2 * LANES) - off, least)
            d = d + _power(load(logits, j + 3 * LANES) - off, least)
        added = total((a + b) + (c + d))
        for j in range(first + whole, first + words):
            added += np.exp(widened(logits[j]) - most)
        found[row] = most + np.log(added)


@part()
def _power(x: Any, least: Any) -> Any:
    return where_above(x, least, exponential(at_least(x, least)))


@njit(parallel=True, nogil=True, error_model="numpy", cache=True)
def best(offsets: Array, logits: Array, totals: Array, places: Array) -> None:
    """The best of offset + logit in each sentence, best first, and hypothesis · vocabulary + word of each.

    offsets: (sentences, hypotheses) float64. totals, places: (sentences, count) float64 and int64, written over; −∞
    and place 0 where there are no more above −∞. As many strips as are wanted hold a word each that is as good as the
    last of their largest: only strips that reach it are looked into.
    """
    sentences, beams = offsets.shape
    words = logits.shape[0] // (sentences * beams)
    strips = (words + STRIP - 1) // STRIP
    for i in prange(sentences):
        highest = np.empty(beams * strips)
        found, at = totals[i], places[i]
        found[:], at[:] = -np.inf, 0
        for beam in range(beams):
            first = (i * beams + beam) * words
            for strip in range(strips):
                high = _highest(logits, first + strip * STRIP, first + words)
                highest[beam * strips + strip] = offsets[i, beam] + np.float64(high)
                _insert(found, at, highest[beam * strips + strip], 0)
        bar = found[-1]
        found[:], at[:] = -np.inf, 0
        for strip in range(beams * strips):
            if highest[strip] >= bar:
                beam, start = strip // strips, strip % strips * STRIP
                first = (i * beams + beam) * words
                for j in range(start, min(start + STRIP, words)):
                    x = np.float64(widened(logits[first + j]))
                    _insert(found, at, offsets[i, beam] + x, beam * words + j)


@part()
def _highest(logits: Array, start: int, end: int) -> Any:
    """The largest of a strip's logits."""
    if start + STRIP <= end:
        high = at_least(load(logits, start), load(logits, start + LANES))
        return largest(at_least(high, at_least(load(logits, start + 2 * LANES), load(logits, start + 3 * LANES))))
    most = -_INFINITE
    for j in range(start, end):
        most = max(most, widened(logits[j]))
    return most


@part()
def _insert(found: Array, places: Array, x: float, place: int) -> None:
    """Put a number where it belongs among the best so far, behind its equals."""
    at = len(found) - 1
    if not x > found[at]:
        return
    while at and x > found[at - 1]:
        found[at], places[at] = found[at - 1], places[at - 1]
        at -= 1
    found[at], places[at] = x, place
