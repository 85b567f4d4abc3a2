"""Images with label maps: how they are checked, listed and summed up."""
from collections import Counter
from dataclasses import dataclass
from typing import Dict, Iterator, Optional, Sequence, Tuple

import numpy as np

from ademxapp import IGNORE_LABEL
from ademxapp.data.lists import Sample, write_segmentation_list
from issegm.data import open_pair
from issegm.datasets import SegmentationDataset

from .label_files import Colour, other_colour, read_palette


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
