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
from dataclasses import dataclass, replace
from typing import List, Optional

import numpy as np
import yaml

from ademxapp.cli import UsageError, existing_file, number
from ademxapp.data.class_folders import class_folders, some
from ademxapp.data.dataset_file import read_dataset_file
from ademxapp.files import write_text
from ademxapp.flags import flag
from iclass.datasets import DATASETS, ClassificationDataset

from .common import OwnPreparation, Split, dataset_name, in_class_folders, in_folder


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
    one_set = not asked.has("train")
    if one_set and not asked.val_share:
        raise UsageError(f"--root {asked.root} has no folder train: --val-share 0.1 takes a tenth of every class for "
                         "val, and the rest for train")
    record = find_record(name, class_folders(os.path.join(asked.root, "" if one_set else "train")), asked.dataset_file)
    record = replace(record, splits={})  # those of a built-in dataset of that name may be others
    if one_set:
        found = divided(asked, record)
    else:
        found = [in_class_folders(asked.root, split, record) for split in ("train", "val") if asked.has(split)]
        if asked.has("test"):
            flat = not class_folders(os.path.join(asked.root, "test"))
            found.append((in_folder if flat else in_class_folders)(asked.root, "test", record))
    if asked.dataset_file is None:
        path = os.path.join(asked.out, name, f"{name}.yaml")
        folders = {} if record.folders == record.class_names else {"folders": list(record.folders)}
        description = {"name": name, "class_names": list(record.class_names), **folders}
        write_text(path, yaml.safe_dump(description, allow_unicode=True, sort_keys=False))
        print(f"{path}: names of {len(record.class_names)} classes")
    return found


def find_record(name: str, folders: List[str], dataset_file: Optional[str]) -> ClassificationDataset:
    """The record that numbers the folders: the file's, else the built-in one of that name, else by sorted names."""
    if dataset_file is not None:
        return read_dataset_file(dataset_file, ClassificationDataset, name)
    known = DATASETS.get(name)
    if known is None:
        return ClassificationDataset(name, tuple(folders))
    if sorted(known.folders) != folders:
        raise UsageError(f"{name} is a built-in dataset with other classes, {some(known.folders[:3])} …, not "
                         f"{some(folders)}: give this one another --name")
    return known


def divided(asked: Settings, record: ClassificationDataset) -> List[Split]:
    """Train and val, chosen from each class's images."""
    whole, rng, chosen = in_class_folders(asked.root, "", record), np.random.default_rng(asked.seed), set()
    for _, group in itertools.groupby(whole.samples, lambda sample: sample.class_id):
        own = list(group)
        chosen.update(own[i] for i in rng.permutation(len(own))[:round(asked.val_share * len(own))])
    return [replace(whole, name="train", samples=[sample for sample in whole.samples if sample not in chosen]),
            Split("val", record, [sample for sample in whole.samples if sample in chosen])]
