"""Dense prediction: from an image to score maps, and from score maps to labels.

The steps are the original's: scale, shift, forward (and mirrored), interleave, enlarge, crop, resize, argmax. From
enlarging to resizing they are linear and work on each axis alone, so that they are one matrix for the rows and one for
the columns, which do what Pillow's filters do to float images.

CRFs are fully connected conditional random fields, by pydensecrf, over averaged scores (Krähenbühl and Koltun 2011).
The energy of a labelling has a term per pixel, -log of the averaged probability, and two terms per pair of pixels of
different classes: one falls with their distance, the other with their distance and the difference of their colours.
"""
import contextlib
import functools
import importlib.util
import itertools
from dataclasses import dataclass
from typing import Any, Callable, Iterator, List, Optional, Sequence, Tuple

import cv2
import numpy as np
from PIL import Image
from PIL.Image import Resampling

from ademxapp.data import transforms
from ademxapp.data.transforms import choose_filter, resize, scaled_size, size_of
from ademxapp.evaluation.windows import predict_in_windows
from ademxapp.machine import MainMemory, processors
from ademxapp.processes import Processes
from ademxapp.symbol import whole_cells

CHUNK_VALUES = 4_000_000  # scores at image size of each map that are made at a time
TILE_ROWS, TILE_VALUES = 32, 2 ** 19  # pixels; scores at image size that a processor's cache holds
PILLOWS_CUBIC = -0.5  # free parameter of the cubic kernel
SUPPORT = {Resampling.BILINEAR: 1, Resampling.BICUBIC: 2, Resampling.LANCZOS: 3}  # of its kernels, to either side
LEAST_PROBABILITY = 1e-5  # pydensecrf's own: a class that the network rules out can still come back
BYTES_PER_SCORE = 40  # of a pixel and class at pydensecrf's peak (measured: 36)

Size = Tuple[int, int]  # height, width
Predict = Callable[[np.ndarray], np.ndarray]  # inputs (N, 3, H, W) to probabilities (N, C, H / stride, W / stride)


@dataclass(frozen=True)
class DenseSettings:
    """How images are tested."""

    mean: Tuple[float, ...]  # normalisation of RGB / 255
    std: Tuple[float, ...]
    stride: int  # of the network's output
    steps: int = 1  # shifts per direction, in parts of the stride
    flipping: bool = False  # average with the mirrored input
    square: bool = True  # inputs are squares of the scale; else of the scaled image, for images that have all one size
    batch: int = 1  # inputs per forward pass
    interpolation: str = "adaptive"  # how images are scaled (see `ademxapp.data.transforms`)
    window: int = 0  # side of the overlapping windows in which larger inputs go through the network; 0 for none

    def __post_init__(self) -> None:
        if self.stride % self.steps:
            raise ValueError(f"{self.steps} test steps do not divide the stride {self.stride}")
        if self.window % self.stride:
            raise ValueError(f"windows of {self.window} pixels are no whole number of cells of {self.stride}")

    @property
    def cell(self) -> int:
        """Pixels between the cells of the score map."""
        return self.stride // self.steps

    def scaled_pixels(self, image: np.ndarray, scale: int) -> np.ndarray:
        """An image (H, W, 3) uint8 RGB with its longer side equal to `scale`, normalised: (3, h, w) float32."""
        size = scaled_size(size_of(image), scale, longer=True)
        scaled = np.asarray(resize(Image.fromarray(image), size, interpolation=self.interpolation))
        planes = np.empty((3, *size), np.float32)
        tables = _normalised_levels(tuple(self.mean), tuple(self.std))
        for source, table, plane in zip(cv2.split(scaled), tables, planes):
            cv2.LUT(source, table, plane)
        return planes

    def input_size(self, scaled: Size, scale: int) -> Size:
        """(H, W) of the network's input: whole cells that hold an image as scaled."""
        height, width = (scale, scale) if self.square else scaled
        return whole_cells(height, self.stride), whole_cells(width, self.stride)


@dataclass(frozen=True)
class ScoreMap:
    """Scores of an image on a grid of cells."""

    scores: np.ndarray  # (C, h, w) float32
    cell: int  # scaled pixels from one cell to the next
    scaled: Size  # of the image as scaled for the network
    size: Size  # and as it is


def predict_dense(predict: Predict, image: np.ndarray, scale: int, settings: DenseSettings,
                  pixels: Optional[np.ndarray] = None) -> ScoreMap:
    """The score map of an image (H, W, 3) uint8 RGB whose longer side is scaled to `scale` pixels.

    `pixels`: its `scaled_pixels`, if they were made before.
    """
    if pixels is None:
        pixels = settings.scaled_pixels(image, scale)
    if settings.window:
        predict = functools.partial(predict_in_windows, predict, window=settings.window, stride=settings.stride)
    scaled = size_of(pixels[0])
    inputs = shifted_inputs(pixels, settings.input_size(scaled, scale), settings)
    if settings.flipping:
        inputs = np.concatenate([inputs, transforms.flip(inputs)])
    outputs = np.concatenate([predict(inputs[i:i + settings.batch]) for i in range(0, len(inputs), settings.batch)])
    if settings.flipping:
        plain, mirrored = np.split(outputs, 2)
        outputs = (plain + transforms.flip(mirrored)) / 2
    steps, (_, classes, height, width) = settings.steps, outputs.shape
    grid = outputs.reshape(steps, steps, classes, height, width).transpose(2, 3, 1, 4, 0)  # column shifts go first
    scores = np.ascontiguousarray(grid.reshape(classes, height * steps, width * steps))
    return ScoreMap(scores, settings.cell, scaled, size_of(image))


@functools.lru_cache(maxsize=1)
def _normalised_levels(mean: Tuple[float, ...], std: Tuple[float, ...]) -> np.ndarray:
    """What each of 256 levels of red, green and blue is for the network: (3, 256) float32."""
    levels = np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], 3, 2)
    return np.ascontiguousarray(transforms.apply_colour_map(levels, *transforms.normalisation(mean, std))[..., 0])


def shifted_inputs(pixels: np.ndarray, size: Size, settings: DenseSettings) -> np.ndarray:
    """Inputs (steps², 3, H, W): the image shifted by parts of the stride, on zeros (the mean colour).

    Column shifts are the outer loop, row shifts the inner one.
    """
    inputs = np.zeros((settings.steps ** 2, 3) + tuple(size), np.float32)
    shifts = [settings.cell // 2 + k * settings.cell - settings.stride // 2 for k in range(settings.steps)]
    for place, (left, top) in zip(inputs, itertools.product(shifts, shifts)):
        (to_rows, rows), (to_columns, columns) = map(_moved, pixels.shape[1:], (top, left))
        place[:, to_rows, to_columns] = pixels[:, rows, columns]
    return inputs


def _moved(side: int, shift: int) -> Tuple[slice, slice]:
    """Where the pixels of a side come to lie that are moved towards its start, and which those are: slices."""
    return slice(max(0, -shift), max(0, min(side, side - shift))), slice(max(0, shift), max(0, min(side, side + shift)))


# From score maps to labels


def scores_at_image_size(score_maps: Sequence[ScoreMap], weights: Optional[Sequence[float]] = None) -> np.ndarray:
    """Mean scores (C, H, W) float32 of one image over its maps, at image size.

    Every map is enlarged by its cell (bicubic), cropped to the scaled image and resized to the image (adaptive).
    `weights` (a float per map) says how much each counts; all the same unless given.
    """
    classes, width = len(score_maps[0].scores), score_maps[0].size[1]
    tiles = _tiles(score_maps, weights, max(1, CHUNK_VALUES // (classes * width)), width)
    return np.concatenate([scores for _, scores in tiles], 1)


def label_map(score_maps: Sequence[ScoreMap], weights: Optional[Sequence[float]] = None) -> np.ndarray:
    """The best class of every pixel, of scores as of `scores_at_image_size`: (H, W) uint8 class indices."""
    labels = np.empty(score_maps[0].size, np.uint8)
    width = max(1, TILE_VALUES // (len(score_maps[0].scores) * TILE_ROWS))
    for place, scores in _tiles(score_maps, weights, TILE_ROWS, width):
        labels[place] = first_best(scores)
    return labels


def first_best(scores: np.ndarray) -> np.ndarray:
    """`scores.argmax(0)` of (C, …) float32 scores, at most 256 classes, as uint8.

    NumPy's goes from pixel to pixel; this goes from class to class, which processors do many times as fast.
    """
    best, labels = scores[0].copy(), np.zeros(scores.shape[1:], np.uint8)
    better, label = np.empty(best.shape, bool), np.empty_like(labels)
    for index in range(1, len(scores)):
        np.greater(scores[index], best, out=better)
        np.maximum(scores[index], best, out=best)
        np.multiply(better.view(np.uint8), np.uint8(index), out=label)
        np.maximum(labels, label, out=labels)
    return labels


def _tiles(score_maps: Sequence[ScoreMap], weights: Optional[Sequence[float]], height: int, width: int
           ) -> Iterator[Tuple[Tuple[slice, slice], np.ndarray]]:
    """Rows and columns of tiles of at most (height, width) pixels, and their mean scores (C, rows, columns) float32."""
    axes = []
    for one in score_maps:
        sides, method = zip(one.scores.shape[1:], one.scaled, one.size), choose_filter(one.scaled, one.size)
        axes.append([_axis(cells, one.cell, scaled, size, method) for cells, scaled, size in sides])
    shares = [np.float32(weight / sum(weights)) for weight in weights] if weights else None
    for left in range(0, score_maps[0].size[1], width):
        columns = slice(left, left + width)
        widened = [score_map.scores[:, :, cells] @ matrix.T for score_map, (cells, matrix) in
                   zip(score_maps, (across.part(columns) for _, across in axes))]
        for top in range(0, score_maps[0].size[0], height):
            rows = slice(top, top + height)
            parts = [matrix @ wide[:, cells] for wide, (cells, matrix) in
                     zip(widened, (down.part(rows) for down, _ in axes))]
            yield (rows, columns), sum(part * share for part, share in zip(parts, shares)) if shares else (
                sum(parts) / len(parts) if len(parts) > 1 else parts[0])


class _Axis:
    """From source to target places of an axis: a matrix (target, source) float32 of few neighbouring weights a row."""

    def __init__(self, matrix: np.ndarray) -> None:
        used, self._matrix = matrix != 0, np.ascontiguousarray(matrix, np.float32)
        self._first, self._last = used.argmax(1), matrix.shape[1] - used[:, ::-1].argmax(1)

    def part(self, targets: slice) -> Tuple[slice, np.ndarray]:
        """The source places that some target places are made of, and the weights between them."""
        sources = slice(self._first[targets].min(), self._last[targets].max())
        return sources, self._matrix[targets, sources]


@functools.lru_cache(maxsize=16)
def _axis(cells: int, cell: int, scaled: int, size: int, method: Resampling) -> _Axis:
    matrix = resize_rows(np.eye(cells), cells * cell, Resampling.BICUBIC)[:scaled]
    return _Axis(matrix if size == scaled else resize_rows(matrix, size, method))


def resize_rows(matrix: np.ndarray, target: int, method: Resampling) -> np.ndarray:
    """A matrix (target, N) whose rows are those of `matrix` (source, N), float64, resized by Pillow's `method`.

    When shrinking, the kernel is widened. Rows beyond the ends do not count.
    """
    source, support = len(matrix), SUPPORT[method]
    scale = source / target
    stretch = max(scale, 1.0)
    centres = (np.arange(target) + 0.5) * scale
    first = np.maximum(np.floor(centres - support * stretch + 0.5), 0).astype(int)[:, None]
    last = np.minimum(np.floor(centres + support * stretch + 0.5), source).astype(int)[:, None]
    places = first + np.arange((last - first).max())
    weights = np.where(places < last, _kernel(method, (places - centres[:, None] + 0.5) / stretch), 0.0)
    weights /= weights.sum(1, keepdims=True)
    return sum(weight[:, None] * matrix[place] for place, weight in zip(np.minimum(places, source - 1).T, weights.T))


def _kernel(method: Resampling, x: np.ndarray) -> np.ndarray:
    x = np.abs(x)
    if method == Resampling.BILINEAR:
        return np.maximum(0.0, 1.0 - x)
    if method == Resampling.LANCZOS:
        return np.where(x < 3, np.sinc(x) * np.sinc(x / 3), 0.0)
    return transforms.cubic(x, PILLOWS_CUBIC)


# Labels by a CRF


@dataclass(frozen=True)
class CrfSettings:
    """The weights and widths of a CRF. The defaults are those of DeepLab with ResNet-101 on PASCAL VOC.

    Chen et al. (ICLR 2015; TPAMI 40(4), 2018) fix 10 iterations and a Gaussian term of weight 3 and width 3, and search
    the others on 100 images of val: weight 3 to 10, width 30 to 100 pixels, colours 3 to 10. The released settings of
    the network named above are 4, 67 and 3.
    """

    iterations: int = 10  # of the mean-field approximation
    gaussian_weight: float = 3.0  # of the term of distance alone
    gaussian_width: float = 3.0  # standard deviation, in pixels
    bilateral_weight: float = 4.0  # of the term of distance and colour
    bilateral_width: float = 67.0  # pixels
    bilateral_colour: float = 3.0  # levels of 0 … 255

    @property
    def pairwise(self) -> bool:
        """Whether pixels matter to each other."""
        return self.iterations > 0 and (self.gaussian_weight != 0 or self.bilateral_weight != 0)


def crf_available() -> bool:
    """Whether pydensecrf is installed."""
    return importlib.util.find_spec("pydensecrf") is not None


def crf_label_maps(score_maps: Sequence[ScoreMap], weights: Optional[Sequence[float]], image: np.ndarray,
                   settings: Sequence[CrfSettings]) -> List[np.ndarray]:
    """Labels of an image (H, W, 3) uint8 after a CRF: (H, W) uint8 class indices for each of `settings`.

    `weights` say how much each of the image's score maps counts. Where pixels do not matter to each other, labels are
    the best classes.
    """
    if not any(one.pairwise for one in settings):
        return [label_map(score_maps, weights) for _ in settings]
    scores = scores_at_image_size(score_maps, weights)
    return [refined(scores, image, one) if one.pairwise else label_map(score_maps, weights) for one in settings]


def refined(probabilities: np.ndarray, image: np.ndarray, settings: CrfSettings) -> np.ndarray:
    """The labels (H, W) uint8 that a CRF finds for probabilities (C, H, W) float32 and an image (H, W, 3) uint8."""
    from pydensecrf.densecrf import DenseCRF2D
    classes, height, width = probabilities.shape
    field = DenseCRF2D(width, height, classes)
    field.setUnaryEnergy(-np.log(np.clip(probabilities, LEAST_PROBABILITY, 1)).reshape(classes, -1))
    if settings.gaussian_weight:
        field.addPairwiseGaussian(sxy=settings.gaussian_width, compat=settings.gaussian_weight)
    if settings.bilateral_weight:
        field.addPairwiseBilateral(sxy=settings.bilateral_width, srgb=settings.bilateral_colour,
                                   rgbim=np.ascontiguousarray(image), compat=settings.bilateral_weight)
    refined_probabilities = np.asarray(field.inference(settings.iterations))
    if not np.isfinite(refined_probabilities).all():
        raise ValueError(f"the CRF gives probabilities that are not finite, with {settings}")
    return refined_probabilities.argmax(0).astype(np.uint8).reshape(height, width)


class Labels(contextlib.AbstractContextManager):
    """An image's label maps from its score maps, each of which counts as `weights` says.

    One of the best classes, in whichever thread asks for it; or one for each of `crfs`, in so many `processes`, of as
    many images at a time as fit into the free memory. A context manager ends the processes. `threads`: how many may
    ask at the same time.
    """

    def __init__(self, crfs: Sequence[CrfSettings] = (), processes: Optional[int] = None,
                 weights: Optional[Sequence[float]] = None) -> None:
        self._crfs, self._weights, self._memory = tuple(crfs), weights, MainMemory()
        self.threads = processes if crfs and processes else processors()
        self._processes = Processes(crf_label_maps, self.threads, "--crf-workers") if crfs else None

    def __exit__(self, *exception: Any) -> None:
        if self._processes:
            self._processes.close()

    def __call__(self, name: str, score_maps: Sequence[ScoreMap], image: np.ndarray) -> List[np.ndarray]:
        """Label maps of an image, a list of (H, W) uint8; messages call it `name`.

        ValueError if it is too large for a CRF in the free memory.
        """
        if not self._processes:
            return [label_map(score_maps, self._weights)]
        height, width, classes = *image.shape[:2], len(score_maps[0].scores)
        needed = classes * height * width * BYTES_PER_SCORE if any(one.pairwise for one in self._crfs) else 0
        try:
            with self._memory.part(needed):
                return self._processes("the CRF of " + name, score_maps, self._weights, image, self._crfs)
        except MemoryError as error:
            raise ValueError(f"{name}: a CRF over {width}x{height} pixels and {classes} classes needs {error}: test "
                             "this image without --crf, or made smaller") from None
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
