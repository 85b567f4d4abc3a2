"""Images of your own in a folder for each class; the folders' sorted names are the classes, unless a file says more.

    <root>/
      train/<class>/            [unless */*.*] or <root>/<class>/*.jpg, which --val-share divides
      val/<class>/              [optional]
      test/                     [optional] images of unknown class, or folders as in train

Beside the lists stands <name>.yaml with the classes' names, which --dataset-file of the programs takes. Hidden folders
and those of systems (__MACOSX, @eaDir, …) are no classes.
"""
import itertools
import os
from dataclasses import dataclass
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np
import yaml

from ademxapp.cli import UsageError, existing_file, number
from ademxapp.data.class_folders import class_folders, some
from ademxapp.data.dataset_file import read_dataset_file
from ademxapp.data.lists import Sample
from ademxapp.files import write_text
from ademxapp.flags import flag
from iclass.datasets import DATASETS, ClassificationDataset

from .common import OwnPreparation, Split, dataset_name
from .images import UNKNOWN, Images, image_names, in_class_folders, no_images

SPLITS = ("train", "val", "test")
Found = Tuple[str, List[Sample], Sequence[str]]  # a split, its samples, notes


@dataclass(frozen=True)
class Settings(OwnPreparation):
    """The dataset's name and classes, and how one set of images is divided."""

    dataset_file: Optional[str] = flag("class_names and folders in the order of the classes (default: written here, in "
                                       "the order of the names)", type=existing_file, metavar="YAML")
    val_share: Optional[float] = flag("where there is no train: this part of each class becomes val",
                                      type=number(float, 0, 1), metavar="SHARE")
    seed: int = flag("of the choice for val", 0, type=number(int, 0))


def splits(asked: Settings) -> List[Split]:
    """The splits that have folders; or train and val out of one set."""
    name = dataset_name(asked)
    one_set = not os.path.isdir(os.path.join(asked.root, "train"))
    if one_set and not asked.val_share:
        raise UsageError(f"--root {asked.root} has no folder train: --val-share 0.1 takes a tenth of every class for "
                         "val, and the rest for train")
    record = find_record(name, class_folders(asked.root if one_set else os.path.join(asked.root, "train")),
                         asked.dataset_file)
    kind, ids = Images(record.class_names), {folder: class_id for class_id, folder in enumerate(record.folders)}
    found = list(divided(asked, ids) if one_set else in_folders(asked.root, ids))  # all are found before one is decoded
    if asked.dataset_file is None:
        path = os.path.join(asked.out, name, f"{name}.yaml")
        folders = {} if record.folders == record.class_names else {"folders": list(record.folders)}
        description = {"name": name, "class_names": list(record.class_names), **folders}
        write_text(path, yaml.safe_dump(description, allow_unicode=True, sort_keys=False))
        print(f"{path}: names of {len(record.class_names)} classes")
    return [Split(name, split, samples, kind, notes=notes) for split, samples, notes in found]


def find_record(name: str, folders: List[str], dataset_file: Optional[str]) -> ClassificationDataset:
    """The record that numbers the folders: the file's, else the built-in one of that name, else by the sorted names.

    UsageError where the built-in dataset of that name has other folders: drivers would name its classes.
    """
    if dataset_file is not None:
        return read_dataset_file(dataset_file, ClassificationDataset, name)
    known = DATASETS.get(name)
    if known is None:
        return ClassificationDataset(name, tuple(folders))
    if sorted(known.folders) != folders:
        raise UsageError(f"{name} is a built-in dataset with other classes, {some(known.folders[:3])} …, not "
                         f"{some(folders)}: give this one another --name")
    return known


def in_folders(root: str, ids: Dict[str, int]) -> Iterator[Found]:
    """(split, samples, notes) of every split that has a folder."""
    for split in SPLITS:
        folder = os.path.join(root, split)
        if os.path.isdir(folder) and (split != "test" or class_folders(folder)):
            yield (split, *in_class_folders(root, split, ids))
        elif os.path.isdir(folder):
            names, others = image_names(folder)
            yield (split, [Sample(root, os.path.join(split, name), UNKNOWN) for name in names],
                   no_images([os.path.join(split, name) for name in others]))


def divided(asked: Settings, ids: Dict[str, int]) -> Iterator[Found]:
    """(split, samples, notes) of train and val, chosen from each class's images."""
    samples, notes = in_class_folders(asked.root, "", ids)
    chosen, rng = set(), np.random.default_rng(asked.seed)
    for _, group in itertools.groupby(samples, lambda sample: sample.class_id):
        own = list(group)
        chosen.update(own[i] for i in rng.permutation(len(own))[:round(asked.val_share * len(own))])
    yield "train", [sample for sample in samples if sample not in chosen], notes
    yield "val", [sample for sample in samples if sample in chosen], ()
