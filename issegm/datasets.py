"""Datasets for segmentation, one record each."""
from dataclasses import dataclass, field
from typing import Optional, Tuple

import numpy as np

from ademxapp.data.palettes import full_palette, voc_palette
from ademxapp.data.scenes import CLASSES as DEMO_CLASSES

IGNORE = 255
TABLE2 = {  # (network, head): pixel accuracy, mean accuracy, mean IoU on VOC val
    ("vgg-16", "1conv"): (92.84, 77.52, 68.33), ("rn-101", "1conv"): (94.52, 82.17, 75.35),
    ("rn-152", "1conv"): (94.56, 82.12, 75.37), ("rna-f1", "1conv"): (92.91, 76.26, 68.36),
    ("rna-e1", "1conv"): (94.13, 80.84, 73.64), ("rna-d1", "1conv"): (94.59, 82.50, 75.66),
    ("rna-c1", "1conv"): (94.56, 82.01, 75.45), ("rna-b1", "1conv"): (93.94, 80.96, 73.37),
    ("rna-a1", "1conv"): (95.28, 85.23, 78.76), ("rna-a2", "1conv"): (95.16, 85.72, 78.14),
    ("rna-a1", "2conv"): (95.70, 86.26, 80.84)}


@dataclass(frozen=True)
class SegmentationDataset:
    """A dataset.

    Attributes
    ----------
    class_names : tuple of str
    label_ids : tuple of int
        What each class is in label files; by default its index.
    ignored_ids : tuple of int
        What does not count, in label files.
    colours : tuple of (r, g, b), optional
        Of the label files' values; VOC's unless given.
    largest_side : int
        Longest side of an image, in pixels: `--origin-size`.
    same_size : bool
        All images have one size.
    splits : dict
        {split: images} of the whole dataset.
    paper : dict
        {(network, head, split): {score: percent}} as published.
    """

    name: str
    class_names: Tuple[str, ...]
    label_ids: Tuple[int, ...] = ()
    ignored_ids: Tuple[int, ...] = (IGNORE,)
    colours: Optional[Tuple[Tuple[int, int, int], ...]] = None
    largest_side: int = 500
    same_size: bool = False
    splits: dict = field(default_factory=dict)
    paper: dict = field(default_factory=dict)

    def __post_init__(self):
        if not self.label_ids:
            object.__setattr__(self, "label_ids", tuple(range(len(self.class_names))))

    @property
    def classes(self):
        """Number of classes (int)."""
        return len(self.class_names)

    @property
    def palette(self):
        """Colours of a label file's values, (256, 3) uint8."""
        return voc_palette() if self.colours is None else full_palette(self.colours)

    def to_classes(self, label, name):
        """A label file's values as class indices, uint8, 255 where they do not count.

        Raises ValueError that has `name` for a value that is neither a class's nor ignored.
        """
        table = np.full(256, -1, np.int16)
        table[list(self.ignored_ids)] = IGNORE
        table[list(self.label_ids)] = range(self.classes)
        values = np.asarray(label)
        outside = (values < 0) | (values > 255)
        indices = table[np.where(outside, 0, values)]
        wrong = outside | (indices < 0)
        if wrong.any():
            found = ", ".join(map(str, np.unique(values[wrong])[:5]))
            raise ValueError(f"{name} has label {found}, which is no class of {self.name} (known: "
                             f"{_ranges(self.label_ids)}; ignored: {_ranges(self.ignored_ids)})")
        return indices.astype(np.uint8)

    def to_label_ids(self, indices):
        """Class indices as the values of the dataset's label files, uint8."""
        return np.asarray(self.label_ids, np.uint8)[indices]


def _ranges(ids):
    ids = sorted(ids)
    return f"{ids[0]} … {ids[-1]}" if len(ids) > 2 and ids[-1] - ids[0] == len(ids) - 1 else ", ".join(map(str, ids))


DATASETS = {record.name: record for record in (
    SegmentationDataset("voc", (
        "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
        "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
        largest_side=500, splits={"train": 1464, "val": 1449, "trainval": 2913, "test": 1456, "train+": 10582},
        paper={(network, head, "val"): dict(zip(("pixel_acc", "mean_acc", "mean_iou"), scores))
               for (network, head), scores in TABLE2.items()}),
    SegmentationDataset("camvid", (
        "sky", "building", "pole", "road", "pavement", "tree", "signsymbol", "fence", "car", "pedestrian", "bicyclist"),
        ignored_ids=(11,), largest_side=480, same_size=True, splits={"train": 367, "val": 101, "test": 233},
        colours=((128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (60, 40, 222), (128, 128, 0),
                 (192, 128, 128), (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192), (0, 0, 0))),
    SegmentationDataset("demo", DEMO_CLASSES, largest_side=168),
)}


def dataset_record(name, classes):
    """The record of a dataset; ValueError if there is none, or if the label has another number of classes."""
    if name not in DATASETS:
        raise ValueError(f"dataset {name!r} is not known; known are {', '.join(sorted(DATASETS))}")
    record = DATASETS[name]
    if record.classes != classes:
        raise ValueError(f"dataset {name} has {record.classes} classes, the label says {classes}")
    return record
