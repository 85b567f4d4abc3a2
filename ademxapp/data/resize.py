"""Resizing of images with the original's choice of filter, and near to it, for less work, by OpenCV."""
import functools
import math
from typing import Callable, Optional, Tuple

import cv2
import numpy as np
from PIL import Image
from PIL.Image import Resampling

from ademxapp.data.images import ImageFile

FILTERS = {"bilinear": Resampling.BILINEAR, "bicubic": Resampling.BICUBIC, "lanczos": Resampling.LANCZOS}
# Pixels for each wanted one, along a side, in an image decoded at reduced size: with 1 crops of photographs differ by
# 2.5 grey levels on average from those of the whole image, with 1.5 by 1.0.
RESERVE = 1.5
_SUPPORT = 3  # pixels to either side that the widest filter sees, times the factor by which the image shrinks

# OpenCV has no Lanczos filter that widens with the scale. To shrink, a short symmetric filter goes over the pixels, and
# OpenCV's cubic interpolation takes the samples. The filter's taps are those with which both together come closest to
# the Lanczos kernel of three lobes at the scale, by least squares.
LOBES = 3
MOST_SCALE = 4  # of what is shrunk here: with it grows the share of the borders, which Pillow treats otherwise
_CUBIC = -0.75  # OpenCV's parameter of the cubic kernel (Keys 1981)
_STEPS = 64  # of scales in 1, for which there are taps
_SAMPLES = 16  # of a kernel in a pixel
_SUM = 100.0  # weight of the condition that the taps' sum is 1, beside one sample


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
        Shrink and enlarge parts with whole edges by `shrink` and `grow`, where they have Pillow's
        filter: crops of photographs differ by 0.6 grey levels on average.

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


def shrink(pixels: np.ndarray, inner: Tuple[int, int, int, int], size: Tuple[int, int]) -> np.ndarray:
    """The part `inner` (left, top, right, bottom) of `pixels` (h, w, 3) uint8, shrunk to `size` (h, w), as by Lanczos.

    Both sides must shrink. `pixels` should go on beyond the part, where the image does, by `LOBES` times the scale.
    """
    left, top, right, bottom = inner
    across, down = (_taps(round(_STEPS * source / target))
                    for source, target in zip((right - left, bottom - top), size[::-1]))
    smooth = cv2.sepFilter2D(pixels, -1, across, down, borderType=cv2.BORDER_REFLECT)[top:bottom, left:right]
    return cv2.resize(smooth, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)


def grow(pixels: np.ndarray, inner: Tuple[int, int, int, int], size: Tuple[int, int]) -> np.ndarray:
    """The part `inner` of `pixels`, as of `shrink`, enlarged to `size` (h, w) near to Pillow's bicubic filter.

    That is Keys' kernel with a = -1/2: two thirds of OpenCV's, with a = -3/4, and a third of the kernel with a = 0, to
    which linear interpolation is close.
    """
    left, top, right, bottom = inner
    cubic, linear = (cv2.resize(pixels[top:bottom, left:right], (size[1], size[0]), interpolation=method)
                     for method in (cv2.INTER_CUBIC, cv2.INTER_LINEAR))
    return cv2.addWeighted(cubic, 2 / 3, linear, 1 / 3, 0)


@functools.lru_cache(maxsize=1024)
def _taps(steps: int) -> np.ndarray:
    """The filter for a scale of `steps` / _STEPS, (taps,) float32."""
    scale = steps / _STEPS
    count = math.ceil(LOBES * scale) - 1  # of taps to either side
    width = max(LOBES * scale, count + 2)
    x = np.arange(-math.ceil(width * _SAMPLES), math.ceil(width * _SAMPLES) + 1) / _SAMPLES
    wanted = np.where(abs(x) < LOBES * scale, np.sinc(x / scale) * np.sinc(x / scale / LOBES), 0) / scale
    pairs = [(_cubic(x - i) + _cubic(x + i)) / (1 + (i == 0)) for i in range(count + 1)]
    share = [_SUM * (1 + (i > 0)) for i in range(count + 1)]
    half = np.linalg.lstsq(np.vstack([np.stack(pairs, 1), share]), np.append(wanted, _SUM), rcond=None)[0]
    taps = np.concatenate([half[:0:-1], half])
    return (taps / taps.sum()).astype(np.float32)


def _cubic(x: np.ndarray) -> np.ndarray:
    x = abs(x)
    inner, outer = ((_CUBIC + 2) * x - _CUBIC - 3) * x * x + 1, (((x - 5) * x + 8) * x - 4) * _CUBIC
    return np.where(x < 1, inner, np.where(x < 2, outer, 0))
