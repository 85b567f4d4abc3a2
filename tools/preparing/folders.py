"""Images of your own in a folder for each class; the folders' sorted names are the classes.

    <root>/
      train/<class>/            [unless */*.*] or <root>/<class>/*.jpg, which --val-share divides
      val/<class>/              [optional]
      test/                     [optional] images of unknown class, or folders as in train

Beside the lists stands <name>.yaml with the classes' names, which --dataset-file of the programs takes.
"""
import itertools
import os

import numpy as np
import yaml

from ademxapp.cli import UsageError, number
from ademxapp.data.lists import Sample
from ademxapp.files import write_text
from iclass.datasets import DATASETS
from tools.preparing.common import Split, add_name_argument, dataset_name
from tools.preparing.images import UNKNOWN, Images, class_folders, image_names, in_class_folders, no_images

SPLITS = ("train", "val", "test")


def add_arguments(parser):
    """The dataset's name, and how one set of images is divided."""
    add_name_argument(parser)
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
    names = class_folders(args.root if one_set else os.path.join(args.root, "train"))
    ids = {folder: class_id for class_id, folder in enumerate(names)}
    known = DATASETS.get(name)
    if known and known.folders == tuple(names):
        names = list(known.class_names)
    kind = Images(tuple(names))
    found = list(divided(args, ids) if one_set else in_folders(args.root, ids))  # all are found before one is decoded
    path = os.path.join(args.out, name, f"{name}.yaml")
    description = {"name": name, "class_names": names, **({} if names == list(ids) else {"folders": list(ids)})}
    write_text(path, yaml.safe_dump(description, allow_unicode=True, sort_keys=False))
    print(f"{path}: names of {len(names)} classes")
    return [Split(name, split, samples, kind, notes=notes) for split, samples, notes in found]


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
