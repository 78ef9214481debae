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
def normalisers(logits: Array, found: Array, highest: Array) -> None:
    """found = log Σ_v exp logit_v, row by row; the largest is taken off first. highest: as `maxima` writes it."""
    rows = found.shape[0]
    words, strips = logits.shape[0] // rows, highest.shape[0] // rows
    whole = words - words % STRIP
    for row in prange(rows):
        first = row * words
        most = _maxima(logits, first, first + words, highest, row * strips)
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


@njit(parallel=True, nogil=True, error_model="numpy", cache=True)
def maxima(logits: Array, rows: int, highest: Array) -> None:
    """highest = the largest logit of each strip, row by row."""
    words, strips = logits.shape[0] // rows, highest.shape[0] // rows
    for row in prange(rows):
        _maxima(logits, row * words, (row + 1) * words, highest, row * strips)


@part()
def _maxima(logits: Array, start: int, end: int, highest: Array, at: int) -> Any:
    """The largest logit, and that of each strip."""
    most = -_INFINITE
    for j in range(start, end, STRIP):
        highest[at] = _highest(logits, j, end)
        most = max(most, highest[at])
        at += 1
    return most


@part()
def _power(x: Any, least: Any) -> Any:
    return where_above(x, least, exponential(at_least(x, least)))


@njit(parallel=True, nogil=True, error_model="numpy", cache=True)
def best(offsets: Array, logits: Array, highest: Array, totals: Array, places: Array) -> None:
    """The best of offset + logit in each sentence, best first, and hypothesis · vocabulary + word of each.

    offsets: (sentences, hypotheses) float64. highest: as `maxima` writes it, of logits that may have become less since.
    totals, places: (sentences, count) float64 and int64, written over; −∞ and place 0 where there are no more above −∞.
    """
    sentences, beams = offsets.shape
    words, strips = logits.shape[0] // (sentences * beams), highest.shape[0] // (sentences * beams)
    for i in prange(sentences):
        of_logits, of_highest = i * beams * words, i * beams * strips
        if not _search(offsets[i], logits, of_logits, words, highest, of_highest, strips, totals[i], places[i]):
            for beam in range(beams):
                first = of_logits + beam * words
                _maxima(logits, first, first + words, highest, of_highest + beam * strips)
            _search(offsets[i], logits, of_logits, words, highest, of_highest, strips, totals[i], places[i])


@part()
def _search(
    offsets: Array,
    logits: Array,
    of_logits: int,
    words: int,
    highest: Array,
    of_highest: int,
    strips: int,
    found: Array,
    places: Array,
) -> bool:
    """One sentence's best; False where logits became so much less that better ones may have been passed over.

    As many strips as are wanted hold a word each that is as good as the last of their largest: only strips that reach
    it are looked into.
    """
    found[:] = -np.inf
    for beam in range(len(offsets)):
        row = highest[of_highest + beam * strips : of_highest + (beam + 1) * strips]
        for strip in range(strips):
            x = offsets[beam] + np.float64(row[strip])
            if x > found[-1]:
                _insert(found, places, x, 0)
    bar = found[-1]
    found[:], places[:] = -np.inf, 0
    for beam in range(len(offsets)):
        row = highest[of_highest + beam * strips : of_highest + (beam + 1) * strips]
        for strip in range(strips):
            if offsets[beam] + np.float64(row[strip]) >= bar:
                for word in range(strip * STRIP, min((strip + 1) * STRIP, words)):
                    x = offsets[beam] + np.float64(widened(logits[of_logits + beam * words + word]))
                    if x > found[-1]:
                        _insert(found, places, x, beam * words + word)
    return found[-1] >= bar


@part()
def _highest(logits: Array, start: int, end: int) -> Any:
    """The largest of a strip's logits."""
    if start + STRIP <= end:
        high = same(-_INFINITE)  # a NaN is passed over
        for j in range(start, start + STRIP, LANES):
            high = at_least(high, load(logits, j))
        return largest(high)
    most = -_INFINITE
    for j in range(start, end):
        most = max(most, widened(logits[j]))
    return most


@part()
def _insert(found: Array, places: Array, x: float, place: int) -> None:
    """Put a number above the last of the best so far where it belongs, behind its equals."""
    at = len(found) - 1
    while at and x > found[at - 1]:
        found[at], places[at] = found[at - 1], places[at - 1]
        at -= 1
    found[at], places[at] = x, place
