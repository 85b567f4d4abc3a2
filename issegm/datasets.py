"""Datasets for segmentation: one record each; their images, in training as crops with labels on the grid of cells."""
import logging
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Dict, Iterable, Optional, Sequence, Tuple

import cv2
import numpy as np

from ademxapp import IGNORE_LABEL
from ademxapp.data import transforms
from ademxapp.data.dataset_file import full_palette, read_dataset_file, shipped, voc_palette
from ademxapp.data.images import ImageFile, decode_label
from ademxapp.data.lists import Sample
from ademxapp.data.loader import Dataset
from ademxapp.data.scenes import CLASSES as DEMO_CLASSES
from ademxapp.data.transforms import resize_part
from ademxapp.paper import published
from ademxapp.weights.description import Description

if TYPE_CHECKING:  # reading workers import this module, and need no more
    from ademxapp.symbol.options import InputSettings

LOG = logging.getLogger("ademxapp")
_NO_CLASS = IGNORE_LABEL - 1  # while labels are mapped: above every class


@dataclass(frozen=True)
class Instances:
    """Images of instances beside the label images: label id x 1000 + number, or a label id alone where none is."""

    label_end: str  # how the names of both end
    instance_end: str
    sizes: Dict[str, float]  # mean pixels of an instance, of the classes that have instances


@dataclass(frozen=True)
class SegmentationDataset:
    """A dataset."""

    name: str
    class_names: Tuple[str, ...]
    label_ids: Tuple[int, ...] = ()  # what each class is in label files; by default its index
    ignored_ids: Tuple[int, ...] = (IGNORE_LABEL,)  # what does not count, in label files
    colours: Optional[Tuple[Tuple[int, int, int], ...]] = None  # of the label files' values; VOC's unless given
    largest_side: int = 500  # of an image in training, times the random scale: `--origin-size`
    same_size: bool = False  # all images have one size
    splits: Dict[str, int] = field(default_factory=dict)  # images of the whole dataset
    evaluation: str = ""  # how the benchmark counts, where that is not the mean IoU over the classes
    categories: Dict[str, Tuple[str, ...]] = field(default_factory=dict)  # of classes, where the benchmark scores them
    instances: Optional[Instances] = field(default=None, metadata={"in_file": False})  # where it scores those
    # The paper's table that has scores on val, and the part of it
    paper_table: Optional[Tuple[str, str]] = field(default=None, metadata={"in_file": False})

    def __post_init__(self) -> None:
        if not self.label_ids:
            object.__setattr__(self, "label_ids", tuple(range(len(self.class_names))))
        ids, colours = (*self.label_ids, *self.ignored_ids), self.colours or ()
        twice = [value for value in ids[:257] if ids.count(value) > 1]  # of more, two must be the same
        members = [name for group in self.categories.values() for name in group]
        for good, name, wrong in (
                (self.class_names, "class_names", "none"),
                (len(set(self.class_names)) == self.classes, "class_names", "a name stands twice"),
                (len(self.label_ids) == self.classes, "label_ids",
                 f"{len(self.label_ids)} values for {self.classes} classes"),
                (all(0 <= value <= 255 for value in ids), "label_ids and ignored_ids", "wanted values in 0 … 255"),
                (not twice, "label_ids and ignored_ids", f"a value stands twice: {twice[:1]}; ignored_ids are "
                 f"[{IGNORE_LABEL}] unless given, and [] if every value is a class's"),
                (self.classes < IGNORE_LABEL, "class_names",
                 f"{self.classes} classes, wanted fewer than {IGNORE_LABEL}"),
                (not members or sorted(members) == sorted(self.class_names), "categories",
                 "wanted every class in one of them"),
                (self.largest_side > 0, "largest_side", f"{self.largest_side}, wanted pixels"),
                (len(colours) <= 256, "colours", f"{len(colours)}, wanted at most 256"),
                (all(0 <= value <= 255 for one in colours for value in one), "colours", "wanted values in 0 … 255")):
            if not good:
                raise ValueError(f"{name}: {wrong}")

    @property
    def classes(self) -> int:
        """Number of classes (int)."""
        return len(self.class_names)

    @property
    def paper(self) -> Dict[Tuple[str, Optional[str], str], Dict[str, float]]:
        """{(network, head, split): {score: percent}} as published."""
        rows = published(*self.paper_table) if self.paper_table else {}
        return {(*key, "val"): scores for key, scores in rows.items()}

    @property
    def palette(self) -> np.ndarray:
        """Colours of a label file's values, (256, 3) uint8."""
        return voc_palette() if self.colours is None else full_palette(self.colours)

    def described(self) -> Dict[str, Any]:
        """What a `Description` of weights says of the dataset, by its names."""
        return {"class_names": self.class_names, "label_ids": self.label_ids, "ignored_ids": self.ignored_ids,
                "palette": tuple(map(tuple, self.palette.tolist())), "same_size": self.same_size}

    def to_classes(self, label: np.ndarray, name: str) -> np.ndarray:
        """A label file's values as class indices, uint8, 255 where they do not count.

        Raises ValueError that has `name` for a value that is neither a class's nor ignored.
        """
        table = np.full(256, _NO_CLASS, np.uint8)
        table[list(self.ignored_ids)] = IGNORE_LABEL
        table[list(self.label_ids)] = range(self.classes)
        values = np.asarray(label)
        if values.dtype == np.uint8:  # many pixels, with numbers for a table: OpenCV is three times as fast as NumPy
            indices = cv2.LUT(values, table).reshape(values.shape)
        else:
            indices = np.where((values < 0) | (values > 255), _NO_CLASS, table[np.clip(values, 0, 255)])
        if _NO_CLASS in indices:
            found = ", ".join(map(str, np.unique(values[indices == _NO_CLASS])[:5]))
            raise ValueError(f"{name} has label {found}, which is no class of {self.name} (known: "
                             f"{_ranges(self.label_ids)}; ignored: {_ranges(self.ignored_ids)})")
        return indices

    def to_label_ids(self, indices: np.ndarray) -> np.ndarray:
        """Class indices as the values of the dataset's label files, uint8."""
        return np.asarray(self.label_ids, np.uint8)[indices]


def _ranges(ids: Iterable[int]) -> str:
    ids = sorted(ids)
    return f"{ids[0]} … {ids[-1]}" if len(ids) > 2 and ids[-1] - ids[0] == len(ids) - 1 else ", ".join(map(str, ids))


# A dataset may be here several times, with different numbers of classes, which its label tells; the first is the usual.
RECORDS = (*shipped(SegmentationDataset, __file__), SegmentationDataset("demo", DEMO_CLASSES, largest_side=168))
DATASETS = {record.name: record for record in reversed(RECORDS)}


def dataset_record(name: str, classes: int, dataset_file: Optional[str] = None) -> SegmentationDataset:
    """The record of a dataset, of `dataset_file` (YAML, the fields of SegmentationDataset) if given.

    Raises ValueError if there is none, or none with as many classes as the label says.
    """
    if dataset_file is not None:
        records = [read_dataset_file(dataset_file, SegmentationDataset, name)]
    else:
        records = [record for record in RECORDS if record.name == name]
    if not records:
        raise ValueError(f"dataset {name!r} is not known; known are {', '.join(sorted(DATASETS))}; --dataset-file adds "
                         "another")
    found = [record for record in records if record.classes == classes]
    if not found:
        known = " or ".join(str(record.classes) for record in records)
        raise ValueError(f"dataset {name} has {known} classes, the label says {classes}")
    return found[0]


def described_record(known: Description, dataset: Optional[str] = None, dataset_file: Optional[str] = None
                     ) -> SegmentationDataset:
    """The record of the dataset whose classes weights have: of the file or other dataset named, else as they tell."""
    label = known.label.partition("_")[0]
    if dataset not in (None, label) or dataset_file or not known.class_names:
        other = dataset_record(dataset or label, known.classes, dataset_file)
        known.require_order(other.class_names, dataset_file or other.name)
        if other.class_names == known.class_names and other.label_ids != known.label_ids:
            LOG.warning("warning: %s has other label_ids, %s, than the weights were trained with, %s: right only where "
                        "these label images have other numbers for the same classes", dataset_file or other.name,
                        list(other.label_ids), list(known.label_ids))
        return other
    own = SegmentationDataset(
        label, known.class_names, known.label_ids, known.ignored_ids or (IGNORE_LABEL,), known.palette or None,
        known.origin_size or known.test_scale or SegmentationDataset.largest_side, known.same_size)
    same = (record for record in RECORDS if record.name == label and record.described() == own.described())
    return next(same, own)


class TrainCrops(Dataset):
    """A random-access dataset of crops of scaled images, and their labels at the cells' centres (paper section 5).

    `crop` is in pixels, a multiple of the network's `stride`. The longer side of an image is resized to `origin_size`
    times a factor within `rates`. Brightness, contrast and saturation each change by a factor in 1 ± `jitter`.
    `class_crops` is the share of the crops that are put over a pixel of a class drawn evenly among the image's classes;
    the others' places are drawn evenly.
    """

    def __init__(self, samples: Sequence[Sample], record: SegmentationDataset, settings: "InputSettings", stride: int,
                 crop: int, origin_size: int, rates: Tuple[float, float] = (0.7, 1.3), jitter: float = 0,
                 class_crops: float = 0) -> None:
        self.samples, self.record, self.stride, self.crop = samples, record, stride, crop
        self.origin_size, self.rates, self.jitter, self.class_crops = origin_size, rates, jitter, class_crops
        self.mean, self.std, self.interpolation = settings.mean, settings.std, settings.interpolation
        self.data_shape, self.label_shape = (3, crop, crop), ((crop // stride) ** 2,)

    def load(self, index: int, rng: np.random.Generator) -> Tuple[np.ndarray, np.ndarray]:
        """A crop (3, crop, crop) float32 and the classes of its cells in row order, float32, 255 where none counts."""
        file, label = open_labelled(self.samples[index], self.record)
        longer = self.origin_size * rng.uniform(*self.rates)
        rate = max(1.0, round(longer)) / max(label.shape)
        over = self._pixel(rng, label)
        top, left = (self._start(rng, side * rate, pixel * rate) for side, pixel in zip(label.shape, over))
        pixels, cells = self._crop_image(file, rate, top, left), self._crop_label(label, rate, top, left)
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
        if min(size) == self.crop:
            return resize_part(file, (x0, y0, x1, y1), size, self.interpolation)
        canvas = np.full((self.crop, self.crop, 3), (np.asarray(self.mean) * 255).astype(np.uint8))
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
        rows, columns = (np.floor((centres + start) / rate).astype(int) for start in (top, left))
        inside = ((rows >= 0) & (rows < label.shape[0]))[:, None] & ((columns >= 0) & (columns < label.shape[1]))
        found = label[np.clip(rows, 0, label.shape[0] - 1)[:, None], np.clip(columns, 0, label.shape[1] - 1)]
        return np.where(inside, found, IGNORE_LABEL)


def read_pair(sample: Sample, record: SegmentationDataset) -> Tuple[np.ndarray, Optional[np.ndarray]]:
    """As `open_pair`, with the image's pixels, (H, W, 3) uint8."""
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
