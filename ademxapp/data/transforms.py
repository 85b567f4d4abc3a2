"""What is done to pixels: crops, changes of colour, normalisation, and resizing.

Brightness, contrast, saturation, lighting and normalisation are affine maps of a pixel's colour. They are composed
into one matrix and one offset first, and applied to the pixels once. Images are resized with the original's choice of
filter, or near to it, for less work, by OpenCV.
"""
import functools
import math
from typing import List, Optional, Sequence, Tuple

import cv2
import numpy as np
from PIL import Image
from PIL.Image import Resampling

from ademxapp.data.images import ImageFile

Box = Tuple[int, int, int, int]  # left, top, right, bottom, in pixels
ColourMap = Tuple[np.ndarray, np.ndarray]  # a matrix (3, 3) and an offset (3,)

GREY = np.array([0.299, 0.587, 0.114])
_GREY_OF_ALL = np.tile(GREY, (3, 1))
# Principal components of the colours of ILSVRC's images (Krizhevsky et al. 2012): values, and vectors in columns.
LIGHTING_VALUES = np.array([0.2175, 0.0188, 0.0045])
LIGHTING_VECTORS = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])
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
_STEPS = 64  # of scales in 1, for which there are taps
_SAMPLES = 16  # of a kernel in a pixel
_SUM = 100.0  # weight of the condition that the taps' sum is 1, beside one sample


def random_sized_crop(rng: np.random.Generator, size: Tuple[int, int], areas: Tuple[float, float] = (0.08, 1.0),
                      aspects: Tuple[float, float] = (3 / 4, 4 / 3)) -> Box:
    """A random part of an image of `size` (h, w): a share of its area within `areas`, of an aspect within `aspects`.

    After ten attempts that do not fit, the largest centred square.
    """
    height, width = size
    for _ in range(10):
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


def choose_filter(source: Tuple[float, float], target: Tuple[int, int], interpolation: str = "adaptive") -> Resampling:
    """One of `FILTERS`, or the original's adaptive filter for sizes (h, w).

    That is Lanczos where both sides shrink, bicubic where both grow, bilinear where one shrinks and the other grows, or
    one stays.
    """
    if interpolation != "adaptive":
        return FILTERS[interpolation]
    changes = [(t > s) - (t < s) for s, t in zip(source, target)]
    return {-2: Resampling.LANCZOS, 2: Resampling.BICUBIC}.get(sum(changes), Resampling.BILINEAR)


def resize(image: Image.Image, size: Tuple[int, int], interpolation: str = "adaptive") -> Image.Image:
    """Resize a PIL image to `size` (h, w), by `choose_filter`. One that has the size already is returned as it is."""
    source = (image.height, image.width)
    if source == tuple(size):
        return image
    return image.resize((size[1], size[0]), choose_filter(source, size, interpolation))


def resize_part(file: ImageFile, box: Tuple[float, float, float, float], size: Tuple[int, int],
                interpolation: str = "adaptive", near: bool = False) -> np.ndarray:
    """A part of an image, resized to `size` (h, w): (h, w, 3) uint8 RGB.

    The part, `box` (left, top, right, bottom), is in pixels of the whole image, int or float. The image is decoded at
    the smallest size that has pixels enough (`RESERVE`). With `near`, parts with whole edges are shrunk and enlarged by
    `shrink` and `grow`, where they have Pillow's filter: crops of photographs differ by 0.6 grey levels on average. The
    result has the bits that Pillow's resizing of the whole image gives where that is not reduced, and `near` has no
    part in it; else it is close to them.
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
    inner, method = (left - x, top - y, right - x, bottom - y), choose_filter(source, size, interpolation)
    whole = near and all(edge.is_integer() for edge in inner)
    if whole and method == Resampling.LANCZOS and all(t < s <= MOST_SCALE * t for s, t in zip(source, size)):
        return shrink(part, inner, size)
    if whole and method == Resampling.BICUBIC and all(s < t for s, t in zip(source, size)):
        return grow(part, inner, size)
    return np.asarray(Image.fromarray(part).resize((size[1], size[0]), method, inner))


def size_of(pixels: np.ndarray) -> Tuple[int, int]:
    """(h, w) of an array (H, W, …)."""
    return pixels.shape[0], pixels.shape[1]


def scaled_size(size: Tuple[int, int], target: int, longer: bool) -> Tuple[int, int]:
    """(h, w) in the proportions of `size`, with its longer (or shorter) side equal to `target`, at least 1 pixel."""
    side = max(size) if longer else min(size)
    height, width = (target if s == side else max(1, round(s * target / side)) for s in size)
    return height, width


def shrink(pixels: np.ndarray, inner: Tuple[float, float, float, float], size: Tuple[int, int]) -> np.ndarray:
    """The part `inner` (left, top, right, bottom) of `pixels` (h, w, 3) uint8, shrunk to `size` (h, w), as by Lanczos.

    Its edges are whole, both sides must shrink. `pixels` should go on beyond it, where the image does, by `LOBES` times
    the scale.
    """
    left, top, right, bottom = map(int, inner)
    across, down = (_taps(round(_STEPS * source / target))
                    for source, target in zip((right - left, bottom - top), size[::-1]))
    smooth = cv2.sepFilter2D(pixels, -1, across, down, borderType=cv2.BORDER_REFLECT)[top:bottom, left:right]
    return cv2.resize(smooth, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)


def grow(pixels: np.ndarray, inner: Tuple[float, float, float, float], size: Tuple[int, int]) -> np.ndarray:
    """The part `inner` of `pixels`, as of `shrink`, enlarged to `size` (h, w) near to Pillow's bicubic filter.

    That is Keys' kernel with a = -1/2: two thirds of OpenCV's, with a = -3/4, and a third of the kernel with a = 0, to
    which linear interpolation is close.
    """
    left, top, right, bottom = map(int, inner)
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
    pairs = [(cubic(x - i) + cubic(x + i)) / (1 + (i == 0)) for i in range(count + 1)]
    share = [_SUM * (1 + (i > 0)) for i in range(count + 1)]
    half = np.linalg.lstsq(np.vstack([np.stack(pairs, 1), share]), np.append(wanted, _SUM), rcond=None)[0]
    taps = np.concatenate([half[:0:-1], half])
    return (taps / taps.sum()).astype(np.float32)


def cubic(x: np.ndarray, free: float = -0.75) -> np.ndarray:
    """The cubic kernel of Keys (1981), by its free parameter, of which OpenCV has -3/4 and Pillow -1/2."""
    x = np.abs(x)
    near = ((free + 2) * x - (free + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * free
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))
