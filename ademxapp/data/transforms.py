"""Augmentation and normalisation: small functions over arrays and a `numpy.random.Generator`.

Brightness, contrast, saturation, lighting and normalisation are affine maps of a pixel's colour. They are composed
into one matrix and one offset first, and applied to the pixels once.
"""
import math
from typing import List, Optional, Sequence, Tuple

import cv2
import numpy as np

Box = Tuple[int, int, int, int]  # left, top, right, bottom, in pixels
ColourMap = Tuple[np.ndarray, np.ndarray]  # a matrix (3, 3) and an offset (3,)

GREY = np.array([0.299, 0.587, 0.114])
_GREY_OF_ALL = np.tile(GREY, (3, 1))
# Principal components of the colours of ILSVRC's images (Krizhevsky et al. 2012): values, and vectors in columns.
LIGHTING_VALUES = np.array([0.2175, 0.0188, 0.0045])
LIGHTING_VECTORS = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])
CROP_ATTEMPTS = 10


def random_sized_crop(rng: np.random.Generator, size: Tuple[int, int], areas: Tuple[float, float] = (0.08, 1.0),
                      aspects: Tuple[float, float] = (3 / 4, 4 / 3)) -> Box:
    """A random part of an image of `size` (h, w): a share of its area within `areas`, of an aspect within `aspects`.

    Returns
    -------
    (left, top, right, bottom) in pixels; after ten attempts that do not fit, the largest centred square.
    """
    height, width = size
    for _ in range(CROP_ATTEMPTS):
        area = rng.uniform(*areas) * height * width
        aspect = rng.uniform(*aspects)
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if rng.random() < 0.5:
            w, h = h, w
        if 0 < h <= height and 0 < w <= width:
            top, left = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
            return left, top, left + w, top + h
    return centre_box(size, min(size))


def centre_box(size: Tuple[int, int], crop: int) -> Box:
    """The centred square of side `crop`; where the sides' parities differ, one pixel further to the right and below.

    Raises ValueError if the image is smaller than the crop.
    """
    height, width = size
    if min(size) < crop:
        raise ValueError(f"an image of {height}x{width} pixels is smaller than the crop of {crop}")
    top, left = -(-(height - crop) // 2), -(-(width - crop) // 2)
    return left, top, left + crop, top + crop


def three_boxes(size: Tuple[int, int], crop: int) -> List[Box]:
    """Three squares of side `crop` along the longer side: at its start, in the centre, at its end."""
    left, top, _, _ = centre_box(size, crop)
    height, width = size
    places = [(0, top), (left, top), (width - crop, top)] if width >= height else \
             [(left, 0), (left, top), (left, height - crop)]
    return [(x, y, x + crop, y + crop) for x, y in places]


def five_boxes(size: Tuple[int, int], crop: int) -> List[Box]:
    """Five squares of side `crop`: in the corners, from the top left on, and in the centre."""
    height, width = size
    corners = [(x, y) for y in (0, height - crop) for x in (0, width - crop)]
    return [(x, y, x + crop, y + crop) for x, y in corners] + [centre_box(size, crop)]


def normalisation(mean: Sequence[float], std: Sequence[float]) -> ColourMap:
    """The map from pixels in 0 … 255 to a network's input: (matrix (3, 3), offset (3,))."""
    std = np.asarray(std, float)
    return np.diag(1 / (255 * std)), -np.asarray(mean, float) / std


def jittered_normalisation(rng: np.random.Generator, pixels: np.ndarray, mean: Sequence[float], std: Sequence[float],
                           jitter: float = 0.4, lighting: float = 0.1) -> ColourMap:
    """`normalisation` after random changes of colour, those of the ResNets of Gross and Wilber.

    Brightness, contrast and saturation each change by a factor in 1 ± `jitter`; then light is added along the principal
    components with standard deviation `lighting`. The three have a random order there. As nothing is clipped in between
    and each keeps grey grey, it makes no difference, except which change gets which random number.
    """
    order, factors = rng.permutation(3), 1 + rng.uniform(-jitter, jitter, 3)
    brightness, contrast, saturation = factors[np.argsort(order)].tolist()
    mean_grey = GREY @ [cv2.mean(plane)[0] for plane in cv2.split(pixels)]  # faster than the mean of all at once
    matrix = brightness * contrast / 255 * (saturation * np.eye(3) + (1 - saturation) * _GREY_OF_ALL)
    offset = brightness * (1 - contrast) * mean_grey / 255
    offset = offset + LIGHTING_VECTORS @ (rng.normal(0, lighting, 3) * LIGHTING_VALUES)
    scale = 1 + lighting  # as the original does
    std = np.asarray(std, float)
    return matrix / (scale * std)[:, None], (offset / scale - np.asarray(mean, float)) / std


def apply_colour_map(pixels: np.ndarray, matrix: np.ndarray, offset: np.ndarray, planes: Optional[np.ndarray] = None
                    ) -> np.ndarray:
    """(H, W, 3) pixels through an affine map of colours, as (3, H, W) float32; in `planes`, if given."""
    colours = cv2.transform(pixels.astype(np.float32), np.column_stack([matrix, offset]))
    if planes is None:
        planes = np.empty((3,) + colours.shape[:2], np.float32)
    for i, plane in enumerate(planes):
        cv2.extractChannel(colours, i, plane)
    return planes


def flip(array: np.ndarray) -> np.ndarray:
    """Mirror an array left-right (its last axis)."""
    return np.ascontiguousarray(array[..., ::-1])
