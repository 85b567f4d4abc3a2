"""Resizing of images with the original's choice of filter."""
import math
from typing import Callable, Optional, Tuple

import numpy as np
from PIL import Image
from PIL.Image import Resampling

from ademxapp.data.fast_resize import MOST_SCALE, grow, shrink
from ademxapp.data.images import ImageFile

FILTERS = {"bilinear": Resampling.BILINEAR, "bicubic": Resampling.BICUBIC, "lanczos": Resampling.LANCZOS}
# Pixels for each wanted one, along a side, in an image decoded at reduced size: with 1 crops of photographs differ by
# 2.5 grey levels on average from those of the whole image, with 1.5 by 1.0.
RESERVE = 1.5
_SUPPORT = 3  # pixels to either side that the widest filter sees, times the factor by which the image shrinks


def choose_filter(source: Tuple[float, float], target: Tuple[int, int]) -> Resampling:
    """The original's adaptive filter for sizes (h, w): Lanczos where both sides shrink, bicubic where both grow.

    Returns bilinear where one shrinks and the other grows, or one stays.
    """
    changes = [(t > s) - (t < s) for s, t in zip(source, target)]
    if changes == [-1, -1]:
        return Resampling.LANCZOS
    return Resampling.BICUBIC if changes == [1, 1] else Resampling.BILINEAR


def resize(image: Image.Image, size: Tuple[int, int], interpolation: str = "adaptive") -> Image.Image:
    """Resize a PIL image to `size` (h, w). An image that has the size already is returned as it is.

    `interpolation` is "adaptive" (`choose_filter`) or one of `FILTERS`.
    """
    source = (image.height, image.width)
    if source == tuple(size):
        return image
    return image.resize((size[1], size[0]), _method(source, size, interpolation))


def resize_part(file: ImageFile, box: Tuple[float, float, float, float], size: Tuple[int, int],
                interpolation: str = "adaptive", near: bool = False) -> np.ndarray:
    """A part of an image, resized; the image is decoded at the smallest size that has pixels enough (`RESERVE`).

    Parameters
    ----------
    file : ImageFile
    box : (left, top, right, bottom)
        The part, in pixels of the whole image, int or float.
    size : (int, int)
        Wanted height and width.
    interpolation : str
        As of `resize`.
    near : bool
        Shrink and enlarge parts with whole edges by the functions of `ademxapp.data.fast_resize`, where they have
        Pillow's filter: crops of photographs differ by 0.6 grey levels on average.

    Returns
    -------
    ndarray
        (h, w, 3) uint8, RGB: the bits that Pillow's resizing of the whole image gives where that is not reduced, and
        `near` has no part in it; else close to them.
    """
    left, top, right, bottom = box
    source = (bottom - top, right - left)
    reduce = max(factor for factor in file.reductions
                 if factor == 1 or all(RESERVE * t * factor <= s for s, t in zip(source, size)))
    height, width = (math.ceil(side / reduce) for side in file.size)
    left, top, right, bottom = (float(np.float32(edge / reduce)) for edge in box)  # as Pillow would round them
    margin = math.ceil(_SUPPORT * max(1, *(s / t / reduce for s, t in zip(source, size)))) + 1
    x, y = max(0, int(left) - margin), max(0, int(top) - margin)
    part = file.part((x, y, min(width, math.ceil(right) + margin), min(height, math.ceil(bottom) + margin)), reduce)
    inner, method = (left - x, top - y, right - x, bottom - y), _method(source, size, interpolation)
    faster = _near(method, source, size) if near and all(edge.is_integer() for edge in inner) else None
    if faster:
        x0, y0, x1, y1 = map(int, inner)
        return faster(part, (x0, y0, x1, y1), size)
    return np.asarray(Image.fromarray(part).resize((size[1], size[0]), method, inner))


def _near(method: Resampling, source: Tuple[float, float], target: Tuple[int, int]
         ) -> Optional[Callable[[np.ndarray, Tuple[int, int, int, int], Tuple[int, int]], np.ndarray]]:
    """What does about the same as a filter of Pillow's, or None."""
    if method == Resampling.LANCZOS and all(t < s <= MOST_SCALE * t for s, t in zip(source, target)):
        return shrink
    return grow if method == Resampling.BICUBIC and all(s < t for s, t in zip(source, target)) else None


def _method(source: Tuple[float, float], target: Tuple[int, int], interpolation: str) -> Resampling:
    return choose_filter(source, target) if interpolation == "adaptive" else FILTERS[interpolation]


def size_of(pixels: np.ndarray) -> Tuple[int, int]:
    """(h, w) of an array (H, W, …)."""
    return pixels.shape[0], pixels.shape[1]


def scaled_size(size: Tuple[int, int], target: int, longer: bool) -> Tuple[int, int]:
    """(h, w) in the proportions of `size`, with its longer (or shorter) side equal to `target`, at least 1 pixel."""
    side = max(size) if longer else min(size)
    height, width = (target if s == side else max(1, round(s * target / side)) for s in size)
    return height, width
