"""Dense prediction: from an image to score maps, and from score maps to labels.

The steps are the original's: scale, shift, forward (and mirrored), interleave, enlarge, crop, resize, argmax.
"""
import functools
from dataclasses import dataclass
from typing import Callable, Iterator, List, Optional, Sequence, Tuple

import cv2
import numpy as np
from PIL import Image
from PIL.Image import Resampling

from ademxapp.data import transforms
from ademxapp.data.resize import choose_filter, resize, scaled_size, size_of
from ademxapp.evaluation.resample import Axis, resize_matrix, resize_rows
from ademxapp.evaluation.windows import predict_in_windows
from ademxapp.symbol import whole_cells

CHUNK_VALUES = 4_000_000  # scores at image size that are held at a time
TILE_ROWS, TILE_VALUES = 32, 2 ** 19  # pixels; scores at image size that a processor's cache holds
AXES_KEPT = 16

Size = Tuple[int, int]  # height, width
Predict = Callable[[np.ndarray], np.ndarray]  # inputs (N, 3, H, W) to probabilities (N, C, H / stride, W / stride)


@dataclass(frozen=True)
class DenseSettings:
    """How images are tested.

    Attributes
    ----------
    mean, std : 3 floats
        Normalisation of RGB / 255.
    stride : int
        Output stride of the network.
    steps : int
        Shifts per direction, in parts of the stride.
    flipping : bool
        Average with the mirrored input.
    square : bool
        Pad inputs to a square of the scale; else to the scaled image (for datasets whose images have all one size).
    batch : int
        Inputs per forward pass.
    interpolation : str
        How images are scaled (see `ademxapp.data.resize`).
    window : int
        Pixels, a multiple of the stride: larger inputs go through the network in overlapping windows of this side; 0
        for none.
    """

    mean: Tuple[float, ...]
    std: Tuple[float, ...]
    stride: int
    steps: int = 1
    flipping: bool = False
    square: bool = True
    batch: int = 1
    interpolation: str = "adaptive"
    window: int = 0

    def __post_init__(self) -> None:
        if self.stride % self.steps:
            raise ValueError(f"{self.steps} test steps do not divide the stride {self.stride}")
        if self.window % self.stride:
            raise ValueError(f"windows of {self.window} pixels are no whole number of cells of {self.stride}")

    @property
    def cell(self) -> int:
        """Pixels between the cells of the score map."""
        return self.stride // self.steps


@dataclass(frozen=True)
class ScoreMap:
    """Scores of an image on a grid of cells.

    Attributes
    ----------
    scores : ndarray
        (C, h, w) float32.
    cell : int
        Scaled pixels from one cell to the next.
    scaled, size : (int, int)
        (h, w) of the image as scaled for the network, and as it is.
    """

    scores: np.ndarray
    cell: int
    scaled: Size
    size: Size


def predict_dense(predict: Predict, image: np.ndarray, scale: int, settings: DenseSettings,
                  pixels: Optional[np.ndarray] = None) -> ScoreMap:
    """The score map of one image at one scale.

    Parameters
    ----------
    predict : Predict
        float32 both.
    image : ndarray
        (H, W, 3) uint8, RGB.
    scale : int
        Length of the longer side, in pixels.
    settings : DenseSettings
    pixels : ndarray, optional
        `scaled_pixels` of the image, if they were made before.

    Returns
    -------
    ScoreMap
    """
    if pixels is None:
        pixels = scaled_pixels(image, scale, settings)
    scaled = size_of(pixels[0])
    inputs = shifted_inputs(pixels, input_size(scaled, scale, settings), settings)
    if settings.flipping:
        inputs = np.concatenate([inputs, transforms.flip(inputs)])
    batches = (inputs[i:i + settings.batch] for i in range(0, len(inputs), settings.batch))
    outputs = np.concatenate([_forward(predict, batch, settings) for batch in batches])
    if settings.flipping:
        plain, mirrored = np.split(outputs, 2)
        outputs = (plain + transforms.flip(mirrored)) / 2
    return ScoreMap(interleave(outputs, settings.steps), settings.cell, scaled, size_of(image))


def _forward(predict: Predict, inputs: np.ndarray, settings: DenseSettings) -> np.ndarray:
    if settings.window:
        return predict_in_windows(predict, inputs, settings.window, settings.stride)
    return predict(inputs)


def scaled_pixels(image: np.ndarray, scale: int, settings: DenseSettings) -> np.ndarray:
    """The image with its longer side equal to `scale`, normalised: (3, h, w) float32."""
    size = scaled_size(size_of(image), scale, longer=True)
    scaled = np.asarray(resize(Image.fromarray(image), size, interpolation=settings.interpolation))
    tables = _normalised_levels(tuple(settings.mean), tuple(settings.std))
    planes = np.empty((3, *size), np.float32)
    for source, table, plane in zip(cv2.split(scaled), tables, planes):
        cv2.LUT(source, table, plane)
    return planes


@functools.lru_cache(maxsize=1)
def _normalised_levels(mean: Tuple[float, ...], std: Tuple[float, ...]) -> np.ndarray:
    """What each of 256 levels of red, green and blue is for the network: (3, 256) float32."""
    levels = np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], 3, 2)
    return np.ascontiguousarray(transforms.apply_colour_map(levels, *transforms.normalisation(mean, std))[..., 0])


def input_size(scaled: Size, scale: int, settings: DenseSettings) -> Size:
    """(H, W) of the network's input: whole cells that hold a scaled image."""
    height, width = (scale, scale) if settings.square else scaled
    return whole_cells(height, settings.stride), whole_cells(width, settings.stride)


def shifted_inputs(pixels: np.ndarray, size: Size, settings: DenseSettings) -> np.ndarray:
    """Inputs (steps², 3, H, W): the image shifted by parts of the stride, on zeros (the mean colour).

    Column shifts are the outer loop, row shifts the inner one.
    """
    inputs = np.zeros((settings.steps ** 2, 3) + tuple(size), np.float32)
    shifts = [settings.cell // 2 + k * settings.cell - settings.stride // 2 for k in range(settings.steps)]
    for place, (left, top) in zip(inputs, ((x, y) for x in shifts for y in shifts)):
        (to_rows, rows), (to_columns, columns) = (_moved(side, shift) for side, shift in
                                                  zip(pixels.shape[1:], (top, left)))
        place[:, to_rows, to_columns] = pixels[:, rows, columns]
    return inputs


def _moved(side: int, shift: int) -> Tuple[slice, slice]:
    """Where the pixels of a side come to lie that are moved towards its start, and which those are: slices."""
    return slice(max(0, -shift), max(0, min(side, side - shift))), slice(max(0, shift), max(0, min(side, side + shift)))


def interleave(outputs: np.ndarray, steps: int) -> np.ndarray:
    """One grid (C, h x steps, w x steps) from the outputs (steps², C, h, w) of `shifted_inputs`."""
    _, classes, height, width = outputs.shape
    grid = outputs.reshape(steps, steps, classes, height, width)  # column shift, row shift, …
    return np.ascontiguousarray(grid.transpose(2, 3, 1, 4, 0).reshape(classes, height * steps, width * steps))


def scores_at_image_size(score_maps: Sequence[ScoreMap], weights: Optional[Sequence[float]] = None
                         ) -> Iterator[Tuple[slice, np.ndarray]]:
    """Mean scores of one image over its maps, at image size, from the top down.

    Every map is enlarged by its cell (bicubic), cropped to the scaled image and resized to the image (adaptive).
    `weights` (a float per map) says how much each counts; all the same unless given.

    Yields
    ------
    slice, ndarray
        Rows of the image, and their scores (C, rows, W) float32.
    """
    classes, width = len(score_maps[0].scores), score_maps[0].size[1]
    for (rows, _), scores in _tiles(score_maps, weights, max(1, CHUNK_VALUES // (classes * width)), width):
        yield rows, scores


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
    """Mean scores of one image, as of `scores_at_image_size`, in tiles of at most (height, width) pixels.

    Yields
    ------
    (slice, slice), ndarray
        Rows and columns of the image, and their scores (C, rows, columns) float32.
    """
    axes = [_axes(score_map) for score_map in score_maps]
    shares = [np.float32(weight / sum(weights)) for weight in weights] if weights else None
    for columns in _slices(score_maps[0].size[1], width):
        widened = [score_map.scores[:, :, cells] @ matrix.T for score_map, (cells, matrix) in
                   zip(score_maps, (across.part(columns) for _, across in axes))]
        for rows in _slices(score_maps[0].size[0], height):
            parts = [matrix @ wide[:, cells] for wide, (cells, matrix) in
                     zip(widened, (down.part(rows) for down, _ in axes))]
            yield (rows, columns), sum(part * share for part, share in zip(parts, shares)) if shares else (
                sum(parts) / len(parts) if len(parts) > 1 else parts[0])


def _slices(length: int, step: int) -> List[slice]:
    return [slice(start, min(start + step, length)) for start in range(0, length, step)]


def _axes(score_map: ScoreMap) -> Tuple[Axis, Axis]:
    """From cells to image pixels: the `Axis` of the rows, and that of the columns."""
    method = choose_filter(score_map.scaled, score_map.size)
    down, across = (_axis(cells, score_map.cell, scaled, size, method) for cells, scaled, size in
                    zip(score_map.scores.shape[1:], score_map.scaled, score_map.size))
    return down, across


@functools.lru_cache(maxsize=AXES_KEPT)
def _axis(cells: int, cell: int, scaled: int, size: int, method: Resampling) -> Axis:
    matrix = resize_matrix(cells, cells * cell, Resampling.BICUBIC)[:scaled]
    return Axis.of(matrix if size == scaled else resize_rows(matrix, size, method))
