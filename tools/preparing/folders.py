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
from typing import List, Optional

import numpy as np
import yaml

from ademxapp.cli import UsageError, existing_file, number
from ademxapp.data.class_folders import class_folders, some
from ademxapp.data.dataset_file import read_dataset_file
from ademxapp.data.lists import Sample
from ademxapp.files import write_text
from iclass.datasets import DATASETS, ClassificationDataset
from tools.preparing.common import Split, add_name_argument, dataset_name
from tools.preparing.images import UNKNOWN, Images, image_names, in_class_folders, no_images

SPLITS = ("train", "val", "test")


def add_arguments(parser):
    """The dataset's name, and how one set of images is divided."""
    add_name_argument(parser)
    parser.add_argument("--dataset-file", type=existing_file, metavar="YAML", help="class_names and folders in the "
                        "order of the classes (default: written here, in the order of the names)")
    parser.add_argument("--val-share", type=number(float, 0, 1), metavar="SHARE", help="where there is no train: this "
                        "part of each class becomes val")
    parser.add_argument("--seed", type=number(int, 0), default=0, help="of the choice for val")


def splits(args):
    """The splits that have folders; or train and val out of one set."""
    name = dataset_name(args)
    one_set = not os.path.isdir(os.path.join(args.root, "train"))
    if one_set and not args.val_share:
        raise UsageError(f"--root {args.root} has no folder train: --val-share 0.1 takes a tenth of every class for "
                         "val, and the rest for train")
    record = find_record(name, class_folders(args.root if one_set else os.path.join(args.root, "train")),
                         args.dataset_file)
    kind, ids = Images(record.class_names), {folder: class_id for class_id, folder in enumerate(record.folders)}
    found = list(divided(args, ids) if one_set else in_folders(args.root, ids))  # all are found before one is decoded
    if args.dataset_file is None:
        path = os.path.join(args.out, name, f"{name}.yaml")
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


def in_folders(root, ids):
    """(split, samples, notes) of every split that has a folder."""
    for split in SPLITS:
        folder = os.path.join(root, split)
        if os.path.isdir(folder) and (split != "test" or class_folders(folder)):
            yield (split, *in_class_folders(root, split, ids))
        elif os.path.isdir(folder):
            names, others = image_names(folder)
            yield (split, [Sample(root, os.path.join(split, name), UNKNOWN) for name in names],
                   no_images([os.path.join(split, name) for name in others]))


def divided(args, ids):
    """(split, samples, notes) of train and val, chosen from each class's images."""
    samples, notes = in_class_folders(args.root, "", ids)
    chosen, rng = set(), np.random.default_rng(args.seed)
    for _, group in itertools.groupby(samples, lambda sample: sample.class_id):
        own = list(group)
        chosen.update(own[i] for i in rng.permutation(len(own))[:round(args.val_share * len(own))])
    yield "train", [sample for sample in samples if sample not in chosen], notes
    yield "val", [sample for sample in samples if sample in chosen], ()
