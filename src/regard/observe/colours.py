"""The colours that weights are painted in: even steps to the eye, for dark and for light paper.

Both run through the same hues. On dark paper lightness rises from near black to pale yellow (the scale of the
terminal); on light paper it falls from near white to indigo, so that a weight of nothing is nearly the paper's colour
on either. Anchors are joined in OKLab and spaced evenly along the curve (Ottosson 2020, "A perceptual color space for
image processing"), so equal steps of the scale look equal; as lightness never turns, no colour vision is needed.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from regard.observe.terminal import SCALE

LIGHT = (
    (251, 249, 244),
    (253, 226, 184),
    (251, 178, 130),
    (240, 122, 102),
    (209, 70, 108),
    (160, 42, 122),
    (108, 28, 122),
    (62, 18, 98),
    (24, 11, 60),
)
_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


@cache
def ramp(dark: bool) -> np.ndarray:
    """256 colours (256, 3), uint8, from weight 0 to 1, for dark or for light paper."""
    anchors = oklab(np.array(SCALE if dark else LIGHT, dtype=np.float64))
    fine = _joined(anchors, np.linspace(0, len(anchors) - 1, 4001))
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(fine, axis=0), axis=1))])
    even = np.searchsorted(along, np.linspace(0, along[-1], 256)).clip(0, len(fine) - 1)
    colours = _rgb(fine[even]).round().clip(0, 255).astype(np.uint8)
    colours.setflags(write=False)
    return colours


def oklab(rgb: np.ndarray) -> np.ndarray:
    """sRGB (…, 3) from 0 to 255 as OKLab lightness, a, b."""
    part = np.asarray(rgb, dtype=np.float64) / 255
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    return np.cbrt(linear @ _TO_LMS.T) @ _TO_LAB.T


def _rgb(lab: np.ndarray) -> np.ndarray:
    lms = (lab @ np.linalg.inv(_TO_LAB).T) ** 3
    linear = (lms @ np.linalg.inv(_TO_LMS).T).clip(0, 1)
    return 255 * np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


def _joined(anchors: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Anchors joined by straight lines, at these places along their numbering."""
    numbers = np.arange(len(anchors))
    return np.stack([np.interp(places, numbers, anchors[:, axis]) for axis in range(3)], axis=-1)
