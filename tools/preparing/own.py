"""Images and labels of one's own, described by a --dataset-file.

    <root>/
      images/
        train/*
        val/*              [optional] and test, which needs no labels
      labels/
        train/*.png
        val/*.png          [with images/val]

A label is a PNG with one index per pixel, grey or with a palette, named as its image; one in RGB is converted by the
colours, exactly, below <root>/labels-by-colours. Pixels are taken as they are stored: images that cameras noted to be
turned (EXIF orientation) are told. The file is YAML:

    class_names: [grass, path, plant]
    label_ids: [1, 2, 3]                                  # in the label images; by default 0, 1, 2
    ignored_ids: [0, 255]                                 # by default 255
    colours: [[0, 0, 0], [0, 200, 0], [90, 90, 90], [200, 0, 0]]   # of the values 0, 1, …; by default VOC's
    largest_side: 640                                     # by default 500

The dataset is called as the root's folder is, in small letters and with '-' for what no label can have (My_Garden:
my-garden), or as --name says; so are its lists' folder and the runs' labels.
"""
import os
from dataclasses import dataclass, replace
from functools import partial
from typing import Callable, Dict, Iterator, List, Optional, Sequence

import numpy as np

from ademxapp.cli import existing_file
from ademxapp.data.class_folders import class_folders, composed
from ademxapp.data.dataset_file import read_dataset_file
from ademxapp.data.images import stem
from ademxapp.data.lists import Sample
from ademxapp.flags import flag
from ademxapp.yaml_files import read_yaml
from issegm.datasets import SegmentationDataset

from .common import OwnPreparation, Split, dataset_name
from .images import image_names, no_images, note
from .pairs import Pairs, colour_values, is_coloured, values_of_colours

CONVERTED = "labels-by-colours"


@dataclass(frozen=True)
class Settings(OwnPreparation):
    """The description of the dataset, and its name."""

    dataset_file: str = flag("the dataset's classes, label ids, colours", required=True, type=existing_file,
                             metavar="YAML")


def splits(asked: Settings) -> Iterator[Split]:
    """A split for each folder of images."""
    dataset = dataset_name(asked, name_in(asked.dataset_file))
    record = read_dataset_file(asked.dataset_file, SegmentationDataset, dataset)
    for name in class_folders(os.path.join(asked.root, "images")):
        images, others = image_names(os.path.join(asked.root, "images", name))
        labels = find_labels(asked.root, name)
        samples = [Sample(asked.root, f"images/{name}/{image}", label_image=label_of(image, name, labels))
                   for image in images]
        makers = {} if asked.no_decode else convert_colours(asked.root, name, samples, record)
        notes = colour_notes(record) + no_images(others)
        if labels is not None:
            require_own_labels(asked.root, samples)
            used = {sample.label_image for sample in samples}
            notes += note("labels that have no image", [label for label in labels.values() if label not in used])
            every = [f"labels/{name}/{one}" for one in image_names(os.path.join(asked.root, "labels", name))[0]]
            notes += note("labels of the same name as another, left out", sorted(set(every) - set(labels.values())))
        if makers:
            notes.append(f"labels in colours, made indices in {CONVERTED}/{name}: {len(makers)}")
            samples = [replace(sample, label_image=converted(sample)) if converted(sample) in makers else sample
                       for sample in samples]
        yield Split(dataset, name, samples, Pairs(record), makers=makers, notes=notes, afresh=True)


def name_in(path: str) -> Optional[str]:
    """The name that a dataset file gives, if any."""
    values = read_yaml(path)
    return values.get("name") if isinstance(values, dict) else None


def find_labels(root: str, split: str) -> Optional[Dict[str, str]]:
    """{stem: label path below the root}, or None without labels; accents may be written in one letter or in two."""
    folder = os.path.join(root, "labels", split)
    if not os.path.isdir(folder):
        return None
    names = sorted(image_names(folder)[0], key=lambda name: name.lower().endswith(".png"))  # a PNG wins
    return {composed(stem(name)): f"labels/{split}/{name}" for name in names}


def label_of(image: str, split: str, labels: Optional[Dict[str, str]]) -> Optional[str]:
    """The label of an image: that with its stem, or the PNG that is missing."""
    return labels and labels.get(composed(stem(image)), f"labels/{split}/{stem(image)}.png")


def require_own_labels(root: str, samples: Sequence[Sample]) -> None:
    """ValueError where two images have one label."""
    seen: Dict[str, str] = {}
    for sample in samples:
        other = seen.setdefault(sample.label_image, sample.image)
        if other != sample.image:
            raise ValueError(f"{os.path.join(root, other)} and {os.path.basename(sample.image)} have one label, "
                             f"{sample.label_image}: rename one of them, and give it a label of its own")


def converted(sample: Sample) -> str:
    """Where the indices of a label in colours are written, below the root."""
    return f"{CONVERTED}/{os.path.splitext(sample.label_image)[0].partition('/')[2]}.png" if sample.label_image else ""


def convert_colours(root: str, split: str, samples: Sequence[Sample], record: SegmentationDataset
                    ) -> Dict[str, Callable[[], np.ndarray]]:
    """What makes the indices of the split's labels in colours, by the paths to write; ValueError if colours cannot."""
    coloured = [sample for sample in samples if sample.label_image and is_coloured(sample.label_path)]
    if coloured:
        colour_values(record)
    return {converted(sample): partial(values_of_colours, sample.label_path, record) for sample in coloured}


def colour_notes(record: SegmentationDataset) -> List[str]:
    """A note where colours are fewer than the label images' values need: a list of none or one."""
    if record.colours is None or len(record.colours) > max(record.label_ids):
        return []
    return [f"colours: {len(record.colours)}, of the values 0 … {len(record.colours) - 1}, but label_ids go up to "
            f"{max(record.label_ids)}: colours are those of the label images' values, counted from 0; VOC's follow"]
