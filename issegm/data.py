"""Images for segmentation: scaled crops with labels on the grid of the network's cells."""
import math
from typing import TYPE_CHECKING, Optional, Sequence, Tuple

import cv2
import numpy as np

from ademxapp import IGNORE_LABEL
from ademxapp.data import transforms
from ademxapp.data.images import ImageFile, decode_label
from ademxapp.data.lists import Sample
from ademxapp.data.resize import resize_part
from issegm.datasets import SegmentationDataset

if TYPE_CHECKING:  # reading workers import this module, and need no more
    from ademxapp.symbol.networks import InputSettings


class TrainCrops:
    """A random-access dataset of crops of scaled images, and their labels at the cells' centres (paper section 5).

    Parameters
    ----------
    samples : list of Sample
    record : SegmentationDataset
    settings : InputSettings
    stride : int
        Of the network.
    crop : int
        Pixels, a multiple of the stride.
    origin_size : int
        The longer side of an image is resized to this times a factor within `rates`.
    rates : (float, float)
    jitter : float
        Brightness, contrast and saturation each change by a factor in 1 ± this.
    class_crops : float
        Share of the crops that are put over a pixel of a class drawn evenly among the image's classes; the others'
        places are drawn evenly.
    """

    def __init__(self, samples: Sequence[Sample], record: SegmentationDataset, settings: "InputSettings", stride: int,
                 crop: int, origin_size: int, rates: Tuple[float, float] = (0.7, 1.3), jitter: float = 0,
                 class_crops: float = 0) -> None:
        self.samples, self.record, self.stride, self.crop = samples, record, stride, crop
        self.origin_size, self.rates, self.jitter, self.class_crops = origin_size, rates, jitter, class_crops
        self.mean, self.std, self.interpolation = settings.mean, settings.std, settings.interpolation
        self.data_shape, self.label_shape = (3, crop, crop), ((crop // stride) ** 2,)

    def __len__(self) -> int:
        return len(self.samples)

    def describe(self, index: int) -> str:
        """The image's path."""
        return self.samples[index].image_path

    def load(self, index: int, rng: np.random.Generator) -> Tuple[np.ndarray, np.ndarray]:
        """A crop (3, crop, crop) float32 and the classes of its cells in row order, float32, 255 where none counts."""
        file, label = open_labelled(self.samples[index], self.record)
        longer = self.origin_size * rng.uniform(*self.rates)
        rate = max(1.0, round(longer)) / max(label.shape)
        over = self._pixel(rng, label)
        top, left = (self._start(rng, side * rate, pixel * rate) for side, pixel in zip(label.shape, over))
        pixels = self._crop_image(file, rate, top, left)
        cells = self._crop_label(label, rate, top, left)
        if rng.integers(2) == 0:
            pixels, cells = cv2.flip(pixels, 1), cells[:, ::-1]
        colours = transforms.normalisation(self.mean, self.std)
        if self.jitter:
            colours = transforms.jittered_normalisation(rng, pixels, self.mean, self.std, self.jitter, lighting=0)
        return transforms.apply_colour_map(pixels, *colours), cells.reshape(-1).astype(np.float32)

    def _pixel(self, rng: np.random.Generator, label: np.ndarray) -> Tuple[float, float]:
        """The pixel (row, column) that the crop has to lie over; NaN where it may lie anywhere."""
        if not self.class_crops or rng.random() >= self.class_crops:
            return math.nan, math.nan
        counts = np.bincount(label.reshape(-1), minlength=IGNORE_LABEL + 1)[:IGNORE_LABEL]
        if not counts.any():
            return math.nan, math.nan
        chosen = rng.choice(np.flatnonzero(counts))
        row, column = divmod(int(np.flatnonzero(label == chosen)[rng.integers(counts[chosen])]), label.shape[1])
        return row + 0.5, column + 0.5

    def _start(self, rng: np.random.Generator, side: float, pixel: float) -> int:
        """First pixel of the crop along a side: from half a cell before the image to half a cell behind its end.

        A side that the crop holds whole still moves by up to a cell, so that the cells see all of it. With a `pixel`
        (not NaN), of these the crops that hold it.
        """
        border = max(1, self.stride // 2)
        spread = max(int(round(side)) + 2 * border - self.crop, self.stride)
        if math.isnan(pixel):
            return int(rng.integers(spread + 1)) - border
        first = min(max(0, math.floor(pixel) + border + 1 - self.crop), spread)
        last = max(first, min(spread, math.floor(pixel) + border))
        return int(rng.integers(first, last + 1)) - border

    def _crop_image(self, file: ImageFile, rate: float, top: int, left: int) -> np.ndarray:
        """The crop's pixels, (crop, crop, 3) uint8; the mean colour where there is no image."""
        rows, y0, y1 = self._visible(top, file.size[0], rate)
        columns, x0, x1 = self._visible(left, file.size[1], rate)
        size = (rows.stop - rows.start, columns.stop - columns.start)
        if size == (self.crop, self.crop):
            return resize_part(file, (x0, y0, x1, y1), size, self.interpolation)
        canvas = np.empty((self.crop, self.crop, 3), np.uint8)
        canvas[:] = (np.asarray(self.mean) * 255).astype(np.uint8)
        if min(size) > 0:
            canvas[rows, columns] = resize_part(file, (x0, y0, x1, y1), size, self.interpolation)
        return canvas

    def _visible(self, start: int, side: int, rate: float) -> Tuple[slice, float, float]:
        """Where along the crop an image is seen (slice), and from where to where in its own pixels (floats)."""
        first, last = max(0, -start), min(self.crop, int(round(side * rate)) - start)
        last = max(first, last)
        return slice(first, last), (first + start) / rate, min(side, (last + start) / rate)

    def _crop_label(self, label: np.ndarray, rate: float, top: int, left: int) -> np.ndarray:
        """Classes at the centres of the cells (nearest neighbour), (cells, cells) uint8."""
        centres = np.arange(self.stride // 2, self.crop, self.stride) + 0.5
        rows = np.floor((centres + top) / rate).astype(int)
        columns = np.floor((centres + left) / rate).astype(int)
        inside = ((rows >= 0) & (rows < label.shape[0]))[:, None] & ((columns >= 0) & (columns < label.shape[1]))
        found = label[np.clip(rows, 0, label.shape[0] - 1)[:, None], np.clip(columns, 0, label.shape[1] - 1)]
        return np.where(inside, found, IGNORE_LABEL)



def read_pair(sample: Sample, record: SegmentationDataset) -> Tuple[np.ndarray, Optional[np.ndarray]]:
    """An image (H, W, 3) uint8 and its classes (H, W) uint8, or None where the list names no label.

    What is raised is as of `open_pair`.
    """
    image, label = open_pair(sample, record)
    return image.rgb(), label


def open_labelled(sample: Sample, record: SegmentationDataset) -> Tuple[ImageFile, np.ndarray]:
    """As `open_pair`; ValueError where the list names no label."""
    image, label = open_pair(sample, record)
    if label is None:
        raise ValueError(f"the list names no label of {sample.image_path}")
    return image, label


def open_pair(sample: Sample, record: SegmentationDataset) -> Tuple[ImageFile, Optional[np.ndarray]]:
    """An image's `ImageFile` and its classes (H, W) uint8, or None where the list names no label.

    Raises ValueError if they cannot be decoded, differ in size, or the label has values outside the dataset's.
    """
    image_bytes, label_bytes = sample.read()
    image = ImageFile(image_bytes, sample.image_path)
    if label_bytes is None:
        return image, None
    label = record.to_classes(decode_label(label_bytes, sample.label_path), sample.label_path)
    if label.shape != image.size:
        lies = (f": the label fits it as viewers show it, turned by its EXIF orientation {image.orientation}, but "
                "pixels are taken as they are stored: store the image turned, or draw the label on it as it is"
                ) if image.orientation > 4 and label.shape == image.size[::-1] else ""
        raise ValueError(f"{sample.label_path} has {label.shape[1]}x{label.shape[0]} pixels, its image "
                         f"{image.size[1]}x{image.size[0]}{lies}")
    return image, label
