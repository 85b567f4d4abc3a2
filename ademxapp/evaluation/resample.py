"""Resampling as matrices: what Pillow's filters do to one axis of a float image.

Resizing is linear and works on each axis alone, so that any chain of enlarging, cropping and resizing is one matrix
for the rows and one for the columns. Score maps go to image size by two products, whatever the chain.
"""
from dataclasses import dataclass
from typing import Tuple

import numpy as np
from PIL.Image import Resampling

CUBIC = -0.5  # Pillow's free parameter of the cubic kernel


def _bilinear(x: np.ndarray) -> np.ndarray:
    return np.maximum(0.0, 1.0 - np.abs(x))


def _bicubic(x: np.ndarray) -> np.ndarray:
    x = np.abs(x)
    near = ((CUBIC + 2) * x - (CUBIC + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * CUBIC
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def _lanczos(x: np.ndarray) -> np.ndarray:
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0.0)


KERNELS = {Resampling.BILINEAR: (_bilinear, 1), Resampling.BICUBIC: (_bicubic, 2), Resampling.LANCZOS: (_lanczos, 3)}


@dataclass(frozen=True)
class Axis:
    """One axis's way from source to target places, as a matrix of few neighbouring weights in each row.

    Attributes
    ----------
    matrix : ndarray
        (target, source) float32.
    first, last : ndarray
        (target,) int: where each row's weights begin, and where they have ended.
    """

    matrix: np.ndarray
    first: np.ndarray
    last: np.ndarray

    @classmethod
    def of(cls, matrix: np.ndarray) -> "Axis":
        """The axis of a matrix with a weight in every row."""
        used = matrix != 0
        return cls(np.ascontiguousarray(matrix, np.float32), used.argmax(1),
                   matrix.shape[1] - used[:, ::-1].argmax(1))

    def part(self, targets: slice) -> Tuple[slice, np.ndarray]:
        """The source places (slice) that some target places (slice) are made of, and the weights between them."""
        sources = slice(self.first[targets].min(), self.last[targets].max())
        return sources, self.matrix[targets, sources]


def resize_taps(source: int, target: int, method: Resampling) -> Tuple[np.ndarray, np.ndarray]:
    """What resizing one axis as Pillow's filter `method` adds up for each target pixel.

    Returns
    -------
    ndarray, ndarray
        (target, taps): source pixels (int), and their weights, float64, which add up to 1 in each row. When shrinking,
        the kernel is widened. Weights of pixels beyond the ends are 0.
    """
    kernel, support = KERNELS[method]
    scale = source / target
    stretch = max(scale, 1.0)
    centres = (np.arange(target) + 0.5) * scale
    first = np.maximum(np.floor(centres - support * stretch + 0.5), 0).astype(int)[:, None]
    last = np.minimum(np.floor(centres + support * stretch + 0.5), source).astype(int)[:, None]
    places = first + np.arange((last - first).max())
    weights = np.where(places < last, kernel((places - centres[:, None] + 0.5) / stretch), 0.0)
    return np.minimum(places, source - 1), weights / weights.sum(1, keepdims=True)


def resize_matrix(source: int, target: int, method: Resampling) -> np.ndarray:
    """The matrix (target, source), float64, of `resize_taps`."""
    return resize_rows(np.eye(source), target, method)


def resize_rows(matrix: np.ndarray, target: int, method: Resampling) -> np.ndarray:
    """A matrix (target, N) whose rows are those of `matrix` (source, N), float64, resized by Pillow's `method`."""
    places, weights = resize_taps(len(matrix), target, method)
    return sum(weight[:, None] * matrix[place] for place, weight in zip(places.T, weights.T))
