"""Images with label maps: how they are checked, listed and summed up.

Labels come also as training does not read them: in colours, held against palettes, or in MATLAB's files.
"""
from collections import Counter
from dataclasses import dataclass
from typing import Dict, Iterator, Optional, Sequence, Tuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from ademxapp import IGNORE_LABEL
from ademxapp.data.images import decode_rgb, read_bytes
from ademxapp.data.lists import Sample, write_segmentation_list
from issegm.data import open_pair
from issegm.datasets import SegmentationDataset

Colour = Tuple[int, int, int]
_IN_COLOURS = ("RGB", "RGBA")


def is_coloured(path: str) -> bool:
    """Whether a label image has colours and no indices, by its header; False where it cannot be read."""
    try:
        with Image.open(path) as image:
            return image.mode in _IN_COLOURS and image.format != "JPEG"
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError):
        return False


def read_palette(path: str) -> Optional[np.ndarray]:
    """The palette of a label image, (values, 3) uint8, or None where it has none."""
    with Image.open(path) as image:
        found = image.getpalette() if image.mode == "P" else None
    return None if found is None else np.array(found, np.uint8).reshape(-1, 3)


def other_colour(palette: np.ndarray, found: np.ndarray, record: SegmentationDataset, name: str
                 ) -> Optional[Tuple[int, Colour]]:
    """A class's value that a palette shows in another colour than the dataset's `colours`, with that colour; or None.

    `found` are indices of the classes in the label. Raises ValueError that has `name` where it is another class's
    colour, in a palette that keeps classes apart: the numbers would be other classes'.
    """
    values = [record.label_ids[index] for index in found]
    shown = {value: tuple(map(int, palette[value])) for value in values if value < len(palette)}
    known = {value: tuple(record.colours[value]) for value in record.label_ids if value < len(record.colours)}
    wrong = {value: colour for value, colour in shown.items() if value in known and colour != known[value]}
    for value, colour in wrong.items():
        others = [other for other, own in known.items() if own == colour]
        if others and len(set(shown.values())) == len(shown):
            index, other = (record.class_names[record.label_ids.index(one)] for one in (value, others[0]))
            raise ValueError(f"{name} has {colour} as the colour of its value {value}, {index}, which the dataset's "
                             f"colours have for {others[0]}, {other}: are they numbered otherwise there? Mend "
                             "label_ids or colours; a label saved in RGB is converted by its colours")
    return next(iter(wrong.items()), None)


def colour_values(record: SegmentationDataset) -> Dict[Colour, int]:
    """{colour: label value} of the classes and of what does not count; ValueError where colours do not tell classes."""
    if record.colours is not None and len(record.colours) <= max(record.label_ids):
        raise ValueError(f"colours: {len(record.colours)}, but label_ids go up to {max(record.label_ids)}: labels in "
                         "colours are converted by the colour of each label id, counted from 0")
    found: Dict[Colour, int] = {}
    for value in (*record.label_ids, *record.ignored_ids):
        colour = tuple(map(int, record.palette[value]))
        if colour in found and value in record.label_ids:
            raise ValueError(f"colours: {colour} is that of the label ids {found[colour]} and {value}: labels in "
                             "colours cannot be told apart")
        found.setdefault(colour, value)
    return found


def values_of_colours(path: str, record: SegmentationDataset) -> np.ndarray:
    """The label map of an image in the dataset's colours, (H, W) uint8.

    Raises ValueError that names the first pixel of another colour, or that is transparent.
    """
    data = read_bytes(path)
    pixels, known = decode_rgb(data, path), colour_values(record)
    _require_opaque(path)
    codes = pixels.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)
    table = np.array(sorted(((r << 16) + (g << 8) + b, value) for (r, g, b), value in known.items()))
    places = np.searchsorted(table[:, 0], codes).clip(0, len(table) - 1)
    wrong = np.argwhere(table[places, 0] != codes)
    if len(wrong):
        row, column = wrong[0]
        raise ValueError(f"{path} has the colour {tuple(map(int, pixels[row, column]))} at column {column}, row {row}, "
                         f"which no class has ({len(wrong):,} such pixels in all): labels must have exactly the "
                         "dataset's colours, without smooth edges")
    return table[places, 1].astype(np.uint8)


def _require_opaque(path: str) -> None:
    with Image.open(path) as image:
        alpha = np.array(image.getchannel("A")) if image.mode == "RGBA" else None
    if alpha is not None and alpha.min() < 255:
        row, column = np.argwhere(alpha < 255)[0]
        raise ValueError(f"{path} is transparent at column {column}, row {row}: labels have a colour everywhere")


def read_matrix(path: str, *fields: str) -> np.ndarray:
    """The matrix under `fields`, names one inside the other, of a .mat file (up to version 7): (H, W) integers.

    ValueError if there is none; OSError if there is no file.
    """
    from scipy.io import loadmat  # not needed for most datasets

    with open(path, "rb") as source:
        try:
            value = loadmat(source, variable_names=fields[:1])
            for field in fields:
                value = value[field]
                while value.dtype == object:
                    value = value.flat[0]
        except Exception as error:  # of many kinds
            raise ValueError(f"{path} has no {'.'.join(fields)}: {error}") from None
    if value.ndim != 2 or value.dtype.kind not in "iuf":
        raise ValueError(f"{path}: {'.'.join(fields)} is no label map: wanted a matrix of numbers, got {value.ndim} "
                         f"dimensions of {value.dtype}")
    return value.astype(np.int64)


@dataclass(frozen=True)
class Finding:
    """What an image and its label hold.

    Attributes
    ----------
    size : (int, int)
        Width, height.
    orientation : int
        EXIF's.
    pixels : ndarray
        (classes + 1,), of each class and, the last, those that do not count.
    odd_colour : (int, (r, g, b)), optional
        A value that the label's palette shows in another colour than the dataset's.
    """

    size: Tuple[int, int]
    orientation: int
    pixels: np.ndarray
    odd_colour: Optional[Tuple[int, Colour]] = None


@dataclass(frozen=True)
class Pairs:
    """The samples of a segmentation dataset."""

    record: SegmentationDataset

    @property
    def palette(self) -> np.ndarray:
        """Of label files, (256, 3) uint8."""
        return self.record.palette

    @property
    def sizes(self) -> Dict[str, int]:
        """{split: images} of the whole dataset."""
        return self.record.splits

    def inspect(self, sample: Sample) -> Finding:
        """A `Finding`; ValueError or OSError if image or label are broken or do not fit."""
        image, label = open_pair(sample, self.record)
        height, width, _ = image.rgb().shape
        pixels = np.zeros(self.record.classes + 1, np.int64)
        if label is not None:
            counts = np.bincount(label.ravel(), minlength=256)
            pixels[:-1], pixels[-1] = counts[:self.record.classes], counts[IGNORE_LABEL]
        return Finding((width, height), image.orientation, pixels, self._odd_colour(sample, pixels))

    def _odd_colour(self, sample: Sample, pixels: np.ndarray) -> Optional[Tuple[int, Colour]]:
        palette = read_palette(sample.label_path) if sample.label_image and self.record.colours else None
        if palette is None:
            return None
        return other_colour(palette, np.flatnonzero(pixels[:-1]), self.record, sample.label_path)

    def write_list(self, path: str, samples: Sequence[Sample]) -> None:
        """Write the list of `samples`."""
        write_segmentation_list(path, samples)

    def summary(self, samples: Sequence[Sample], findings: Optional[Sequence[Finding]]) -> Iterator[str]:
        """Lines about sizes, classes and oddities; none where no file was opened: `findings` is None."""
        if findings is None:
            return
        yield from size_lines([finding.size for finding in findings])
        if any(size != findings[0].size for size in (finding.size for finding in findings)) and self.record.same_size:
            yield f"odd: there are several sizes, where images of {self.record.name} have one"
        yield from turned_lines(samples, [finding.orientation for finding in findings])
        if samples[0].label_image is None:
            yield "no labels"
            return
        yield from self._class_lines(np.array([finding.pixels for finding in findings]))
        odd = [(sample, finding.odd_colour) for sample, finding in zip(samples, findings) if finding.odd_colour]
        if odd:
            sample, (value, colour) = odd[0]
            yield (f"odd: {len(odd)} labels show classes in other colours than the dataset's, the first "
                   f"{sample.label_image}: {value} is {colour} there")
        void = [sample.label_image for sample, finding in zip(samples, findings) if not finding.pixels[:-1].any()]
        if void:
            yield f"odd: {len(void)} labels have nothing that counts, the first {void[0]}"

    def _class_lines(self, pixels: np.ndarray) -> Iterator[str]:
        """A table of classes from their pixels in each image, (images, classes + 1)."""
        names = (*self.record.class_names, "(not counted)")
        width = max(map(len, names))
        yield f"{'class':{width}}  {'images':>7}  {'pixels':>15}  share"
        for name, images, count in zip(names, (pixels > 0).sum(0), pixels.sum(0)):
            yield f"{name:{width}}  {images:7,}  {count:15,}  {100 * count / pixels.sum():5.2f} %"
        never = [name for name, count in zip(self.record.class_names, pixels.sum(0)) if not count]
        if never:
            more = f", and {len(never) - 20} more" if len(never) > 20 else ""
            hint = (f"; if {', '.join(map(str, self.record.ignored_ids))} in the labels is a class's, say so in "
                    "label_ids and ignored_ids") if pixels[:, -1].any() and self.record.ignored_ids else ""
            yield f"odd: {len(never)} of {self.record.classes} classes never occur: {', '.join(never[:20])}{more}{hint}"


def turned_lines(samples: Sequence[Sample], orientations: Sequence[int]) -> Iterator[str]:
    """A line about images that viewers show otherwise than their pixels are stored; of EXIF's orientations."""
    turned = [(sample, value) for sample, value in zip(samples, orientations) if value != 1]
    if turned:
        sample, value = turned[0]
        labelled = "" if sample.label_image is None else ": look whether the labels lie so, too"
        yield (f"odd: {len(turned)} images are shown turned by their EXIF orientation, but training and tests take "
               f"pixels as they are stored{labelled}; the first {sample.image}, {value}")


def size_lines(sizes: Sequence[Tuple[int, int]]) -> Iterator[str]:
    """Lines about images' (width, height)."""
    counted = Counter(sizes)
    (width, height), most = counted.most_common(1)[0]
    if len(counted) == 1:
        yield f"all images have {width}x{height} pixels"
        return
    smallest, largest = min(counted, key=_area), max(counted, key=_area)
    yield (f"{len(counted)} sizes, from {smallest[0]}x{smallest[1]} to {largest[0]}x{largest[1]}, most often "
           f"{width}x{height} ({most} images)")


def _area(size: Tuple[int, int]) -> int:
    return size[0] * size[1]
