"""Resizing with what OpenCV has, for less work than Pillow's and near to it.

OpenCV has no Lanczos filter that widens with the scale. To shrink, a short symmetric filter goes over the pixels, and
OpenCV's cubic interpolation takes the samples. The filter's taps are those with which both together come closest to the
Lanczos kernel of three lobes at the scale, by least squares.
"""
import functools
import math
from typing import Tuple

import cv2
import numpy as np

LOBES = 3
MOST_SCALE = 4  # of what is shrunk here: with it grows the share of the borders, which Pillow treats otherwise
_CUBIC = -0.75  # OpenCV's parameter of the cubic kernel (Keys 1981)
_STEPS = 64  # of scales in 1, for which there are taps
_SAMPLES = 16  # of a kernel in a pixel
_SUM = 100.0  # weight of the condition that the taps' sum is 1, beside one sample


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
