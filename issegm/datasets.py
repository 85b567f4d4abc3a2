"""Datasets for segmentation, one record each."""
import glob
import logging
import os
from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, Iterator, Optional, Tuple

import cv2
import numpy as np
import yaml

from ademxapp import IGNORE_LABEL
from ademxapp.data.dataset_file import full_palette, read_dataset_file, record_of, voc_palette
from ademxapp.data.scenes import CLASSES as DEMO_CLASSES
from ademxapp.paper import published
from ademxapp.weights.description import Description

LOG = logging.getLogger("ademxapp")
_NO_CLASS = IGNORE_LABEL - 1  # while labels are mapped: above every class


@dataclass(frozen=True)
class Instances:
    """Images of instances beside the label images: label id x 1000 + number, or a label id alone where none is.

    Attributes
    ----------
    label_end, instance_end : str
        How the names of both end.
    sizes : dict
        {class: mean pixels of an instance} of the classes that have instances.
    """

    label_end: str
    instance_end: str
    sizes: Dict[str, float]


@dataclass(frozen=True)
class SegmentationDataset:
    """A dataset.

    Attributes
    ----------
    name : str
    class_names : tuple of str
    label_ids : tuple of int
        What each class is in label files; by default its index.
    ignored_ids : tuple of int
        What does not count, in label files.
    colours : tuple of (r, g, b), optional
        Of the label files' values; VOC's unless given.
    largest_side : int
        What the longer side of an image is resized to in training, times the random scale: `--origin-size`.
    same_size : bool
        All images have one size.
    splits : dict
        {split: images} of the whole dataset.
    evaluation : str
        How the benchmark counts, where that is not the mean IoU over the classes.
    categories : dict
        {category: its classes}, where the benchmark scores those too.
    instances : Instances, optional
        Where the benchmark scores them.
    paper_table : (str, str), optional
        The paper's table that has scores on val, and the part of it.
    """

    name: str
    class_names: Tuple[str, ...]
    label_ids: Tuple[int, ...] = ()
    ignored_ids: Tuple[int, ...] = (IGNORE_LABEL,)
    colours: Optional[Tuple[Tuple[int, int, int], ...]] = None
    largest_side: int = 500
    same_size: bool = False
    splits: Dict[str, int] = field(default_factory=dict)
    evaluation: str = ""
    categories: Dict[str, Tuple[str, ...]] = field(default_factory=dict)
    instances: Optional[Instances] = field(default=None, metadata={"in_file": False})
    paper_table: Optional[Tuple[str, str]] = field(default=None, metadata={"in_file": False})

    def __post_init__(self) -> None:
        if not self.label_ids:
            object.__setattr__(self, "label_ids", tuple(range(len(self.class_names))))
        self._require(len(self.class_names) > 0, "class_names", "none")
        self._require(len(set(self.class_names)) == self.classes, "class_names", "a name stands twice")
        self._require(len(self.label_ids) == self.classes, "label_ids",
                      f"{len(self.label_ids)} values for {self.classes} classes")
        ids = (*self.label_ids, *self.ignored_ids)
        self._require(all(0 <= value <= 255 for value in ids), "label_ids and ignored_ids", "wanted values in 0 … 255")
        twice = [value for value in ids if ids.count(value) > 1]
        self._require(not twice, "label_ids and ignored_ids", f"a value stands twice: {twice[:1]}; ignored_ids are "
                      f"[{IGNORE_LABEL}] unless given, and [] if every value is a class's")
        self._require(self.classes < IGNORE_LABEL, "class_names",
                      f"{self.classes} classes, wanted fewer than {IGNORE_LABEL}")
        members = [name for group in self.categories.values() for name in group]
        self._require(not members or sorted(members) == sorted(self.class_names), "categories",
                      "wanted every class in one of them")
        self._require(self.largest_side > 0, "largest_side", f"{self.largest_side}, wanted pixels")
        self._require(len(self.colours or ()) <= 256, "colours", f"{len(self.colours or ())}, wanted at most 256")
        self._require(all(0 <= value <= 255 for colour in self.colours or () for value in colour), "colours",
                      "wanted values in 0 … 255")

    def _require(self, good: bool, name: str, wrong: str) -> None:
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

    def indices(self, names: Iterable[str]) -> Tuple[int, ...]:
        """Class indices (tuple of int) of class names."""
        return tuple(self.class_names.index(name) for name in names)

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


def _shipped() -> Iterator[SegmentationDataset]:
    """The datasets that come with the program, from files as --dataset-file takes them, with what benchmarks score."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where PyYAML was built with it
    for path in sorted(glob.glob(os.path.join(os.path.dirname(__file__), "records", "*.yaml"))):
        with open(path, "rb") as source:
            yield record_of(yaml.load(source, loader), SegmentationDataset, path)
    yield SegmentationDataset("demo", DEMO_CLASSES, largest_side=168)


# A dataset may be here several times, with different numbers of classes, which its label tells; the first is the usual.
RECORDS = tuple(_shipped())
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
    """The record of the dataset that weights have the classes of: of the file or the other dataset that is named, else
    as is known of the weights.
    """
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
