"""ILSVRC 2012 classification: 1,000 classes (synsets), numbered in the sorted order of their ids.

    <root>/
      train/<synset>/           [unless val] what each n01440764.tar of ILSVRC2012_img_train.tar holds, in such a folder
      val/                      [unless train] *.JPEG, or <synset>/*.JPEG
      test/*.JPEG               [optional]

Where val has no folders of synsets, its classes come from the development kit or from --val-labels:

    <devkit>/                   ILSVRC2012_devkit_t12, looked for in <root> unless --devkit says otherwise
      data/
        ILSVRC2012_validation_ground_truth.txt
        meta.mat
"""
import os
import re
from dataclasses import dataclass
from typing import Callable, List, Optional, Tuple

from ademxapp.cli import UsageError, existing_file
from ademxapp.data.class_folders import class_folders
from ademxapp.data.lists import Sample
from ademxapp.flags import flag
from iclass.datasets import DATASETS, DEVKIT, kit_synsets

from .common import Preparation, Split, lines_of
from .images import UNKNOWN, Images, image_names, in_class_folders, no_images

RECORD = DATASETS["ilsvrc-cls"]
IDS = {synset: class_id for class_id, synset in enumerate(RECORD.folders)}
KIND = Images(tuple(f"{synset} {names.split(',')[0]}" for synset, names in zip(RECORD.folders, RECORD.class_names)),
              RECORD.splits)
ClassOf = Callable[[str], int]  # the class of an image, by its name
TRUTH = "data/ILSVRC2012_validation_ground_truth.txt"


@dataclass(frozen=True)
class Settings(Preparation):
    """Where the classes of val are."""

    devkit: Optional[str] = flag(f"development kit (default: <root>/{DEVKIT}, if it is there)", metavar="DIR")
    val_labels: Optional[str] = flag("lines `image class`, the class as a synset or a number in 0 to 999, instead "
                                     "of the development kit", type=existing_file, metavar="FILE")


def splits(asked: Settings) -> List[Split]:
    """What there is of the splits train, val and test."""
    found = []
    for name in ("train", "val", "test"):
        if os.path.isdir(os.path.join(asked.root, name)):
            samples, notes = split_samples(asked, name)
            found.append(Split("ilsvrc-cls", name, samples, KIND, notes=notes))
    return found


def split_samples(asked: Settings, split: str) -> Tuple[List[Sample], List[str]]:
    """Samples of a split, and notes."""
    if split == "test":
        return flat_samples(asked.root, split, lambda name: UNKNOWN)
    if split == "val" and not class_folders(os.path.join(asked.root, split)):
        return flat_samples(asked.root, split, val_classes(asked))
    samples, notes = in_class_folders(asked.root, split, IDS)
    if split == "val":
        samples.sort(key=lambda sample: os.path.basename(sample.image))  # the order of the images' numbers
    return samples, notes


def flat_samples(root: str, split: str, class_of: ClassOf) -> Tuple[List[Sample], List[str]]:
    """Samples of the images in <root>/<split>, with the class that `class_of(name)` says; and notes."""
    names, others = image_names(os.path.join(root, split))
    samples = [Sample(root, os.path.join(split, name), class_of(name)) for name in names]
    return samples, no_images([os.path.join(split, name) for name in others])


def val_classes(asked: Settings) -> ClassOf:
    """A function from an image's name to its class; UsageError if nothing tells the classes of val."""
    if asked.val_labels:
        return listed_classes(asked.val_labels)
    devkit = asked.devkit or os.path.join(asked.root, DEVKIT)
    if not os.path.isdir(devkit):
        raise UsageError(f"{os.path.join(asked.root, 'val')} has no folders of synsets, so the classes must come from "
                         f"the development kit, --devkit DIR ({DEVKIT}), or from --val-labels FILE with lines "
                         "`image class`")
    return devkit_classes(devkit)


def listed_classes(path: str) -> ClassOf:
    """The function from names to classes that a list of `image class` gives."""
    classes = {}
    for line, origin in lines_of("", path):
        fields = line.split()
        class_id = IDS.get(fields[-1], int(fields[-1]) if fields[-1].isdecimal() else None)
        if len(fields) != 2 or class_id is None or class_id >= len(IDS):
            raise ValueError(f"{origin}: {line!r}, wanted the name of an image and its class, a synset such as "
                             f"{RECORD.folders[0]} or a number in 0 to {len(IDS) - 1}")
        classes[os.path.splitext(os.path.basename(fields[0]))[0]] = class_id

    def class_of(name: str) -> int:
        stem = os.path.splitext(name)[0]
        if stem not in classes:
            raise ValueError(f"{path} has no class of {name}")
        return classes[stem]

    return class_of


def devkit_classes(devkit: str) -> ClassOf:
    """The function from names such as ILSVRC2012_val_00000001.JPEG to classes that a development kit gives.

    The kit's line n is the class of image n, in a numbering of the kit's own, which meta.mat translates into synsets.
    """
    path = os.path.join(devkit, TRUTH)
    synsets, classes = kit_synsets(devkit), []
    for line, origin in lines_of(devkit, TRUTH):
        synset = synsets.get(int(line)) if line.isdecimal() else None
        if synset not in IDS:
            raise ValueError(f"{origin}: {line!r} is none of the kit's numbers of the {len(IDS):,} classes")
        classes.append(IDS[synset])

    def class_of(name: str) -> int:
        number = re.match(r"ILSVRC2012_val_(\d{8})\.", name)
        if not number or not 1 <= int(number.group(1)) <= len(classes):
            raise ValueError(f"val/{name} is no image of {path}: wanted ILSVRC2012_val_00000001.JPEG to "
                             f"ILSVRC2012_val_{len(classes):08}.JPEG")
        return classes[int(number.group(1)) - 1]

    return class_of
