"""Dense prediction: from an image to score maps, and from score maps to labels.

The steps are the original's: scale, shift, forward (and mirrored), interleave, enlarge, crop, resize, argmax.
"""
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ademxapp.data import transforms
from ademxapp.data.resize import choose_filter, resize, scaled_size
from ademxapp.evaluation.resample import resize_matrix
from ademxapp.evaluation.windows import predict_in_windows

CHUNK_VALUES = 4_000_000  # scores at image size that are held at a time


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

    mean: tuple
    std: tuple
    stride: int
    steps: int = 1
    flipping: bool = False
    square: bool = True
    batch: int = 1
    interpolation: str = "adaptive"
    window: int = 0

    def __post_init__(self):
        if self.stride % self.steps:
            raise ValueError(f"{self.steps} test steps do not divide the stride {self.stride}")
        if self.window % self.stride:
            raise ValueError(f"windows of {self.window} pixels are no whole number of cells of {self.stride}")

    @property
    def cell(self):
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
    scaled: tuple
    size: tuple


def predict_dense(predict, image, scale, settings):
    """The score map of one image at one scale.

    Parameters
    ----------
    predict : callable
        Inputs (N, 3, H, W) float32 to probabilities (N, C, H / stride, W / stride) float32.
    image : ndarray
        (H, W, 3) uint8, RGB.
    scale : int
        Length of the longer side, in pixels.
    settings : DenseSettings

    Returns
    -------
    ScoreMap
    """
    pixels = scaled_pixels(image, scale, settings)
    inputs = shifted_inputs(pixels, input_size(pixels.shape[1:], scale, settings), settings)
    if settings.flipping:
        inputs = np.concatenate([inputs, transforms.flip(inputs)])
    batches = (inputs[i:i + settings.batch] for i in range(0, len(inputs), settings.batch))
    outputs = np.concatenate([_forward(predict, batch, settings) for batch in batches])
    if settings.flipping:
        plain, mirrored = np.split(outputs, 2)
        outputs = (plain + transforms.flip(mirrored)) / 2
    return ScoreMap(interleave(outputs, settings.steps), settings.cell, pixels.shape[1:], image.shape[:2])


def _forward(predict, inputs, settings):
    if settings.window:
        return predict_in_windows(predict, inputs, settings.window, settings.stride)
    return predict(inputs)


def scaled_pixels(image, scale, settings):
    """The image with its longer side equal to `scale`, normalised: (3, h, w) float32."""
    size = scaled_size(image.shape[:2], scale, longer=True)
    scaled = np.asarray(resize(Image.fromarray(image), size, interpolation=settings.interpolation))
    return transforms.apply_colour_map(scaled, *transforms.normalisation(settings.mean, settings.std))


def input_size(scaled, scale, settings):
    """(H, W) of the network's input: whole cells that hold a scaled image."""
    sides = (scale, scale) if settings.square else scaled
    return tuple(-(-side // settings.stride) * settings.stride for side in sides)


def shifted_inputs(pixels, size, settings):
    """Inputs (steps², 3, H, W): the image shifted by parts of the stride, on zeros (the mean colour).

    Column shifts are the outer loop, row shifts the inner one.
    """
    height, width = pixels.shape[1:]
    margin = settings.stride // 2
    canvas = np.pad(pixels, ((0, 0), (margin, settings.stride - margin), (margin, settings.stride - margin)))
    starts = [settings.cell // 2 + k * settings.cell for k in range(settings.steps)]
    inputs = np.zeros((settings.steps ** 2, 3) + tuple(size), np.float32)
    for place, (left, top) in zip(inputs, ((x, y) for x in starts for y in starts)):
        place[:, :height, :width] = canvas[:, top:top + height, left:left + width]
    return inputs


def interleave(outputs, steps):
    """One grid (C, h x steps, w x steps) from the outputs (steps², C, h, w) of `shifted_inputs`."""
    _, classes, height, width = outputs.shape
    grid = outputs.reshape(steps, steps, classes, height, width)  # column shift, row shift, …
    return np.ascontiguousarray(grid.transpose(2, 3, 1, 4, 0).reshape(classes, height * steps, width * steps))


def scores_at_image_size(score_maps, weights=None):
    """Mean scores of one image over its maps, at image size, from the top down.

    Every map is enlarged by its cell (bicubic), cropped to the scaled image and resized to the image (adaptive).
    `weights` (a float per map) says how much each counts; all the same unless given.

    Yields
    ------
    slice, ndarray
        Rows of the image, and their scores (C, rows, W) float32.
    """
    height, width = score_maps[0].size
    rows_and_columns = [_axes(score_map) for score_map in score_maps]
    widened = [score_map.scores @ columns.T for score_map, (_, columns) in zip(score_maps, rows_and_columns)]
    step = max(1, CHUNK_VALUES // (len(score_maps[0].scores) * width))
    for top in range(0, height, step):
        rows = slice(top, min(top + step, height))
        parts = [matrix[rows] @ wide for wide, (matrix, _) in zip(widened, rows_and_columns)]
        if weights is None:
            yield rows, sum(parts) / len(parts)
        else:
            yield rows, sum(part * np.float32(weight / sum(weights)) for part, weight in zip(parts, weights))


def label_map(score_maps, weights=None):
    """The best class of every pixel, of scores as of `scores_at_image_size`: (H, W) uint8 class indices."""
    labels = np.empty(score_maps[0].size, np.uint8)
    for rows, scores in scores_at_image_size(score_maps, weights):
        labels[rows] = scores.argmax(0)
    return labels


def _axes(score_map):
    """Matrices (float32) from cells to image pixels: of the rows, of the columns."""
    method = choose_filter(score_map.scaled, score_map.size)
    return tuple(_axis(cells, score_map.cell, scaled, size, method) for cells, scaled, size in
                 zip(score_map.scores.shape[1:], score_map.scaled, score_map.size))


def _axis(cells, cell, scaled, size, method):
    matrix = resize_matrix(cells, cells * cell, Image.BICUBIC)[:scaled]
    if size != scaled:
        matrix = resize_matrix(scaled, size, method) @ matrix
    return matrix.astype(np.float32)
