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
from dataclasses import dataclass, replace
from typing import Callable, Dict, List, Optional

from ademxapp.cli import UsageError, existing_file
from ademxapp.data.class_folders import class_folders
from ademxapp.data.images import stem
from ademxapp.flags import flag
from iclass.datasets import DATASETS, DEVKIT, kit_synsets

from .common import Preparation, Split, in_class_folders, in_folder, lines_of

KNOWN = DATASETS["ilsvrc-cls"]
RECORD = replace(KNOWN, class_names=tuple(f"{synset} {names.split(',')[0]}"
                                          for synset, names in zip(KNOWN.folders, KNOWN.class_names)))
IDS = {synset: class_id for class_id, synset in enumerate(KNOWN.folders)}
TRUTH = "data/ILSVRC2012_validation_ground_truth.txt"


@dataclass(frozen=True)
class Settings(Preparation):
    """Where the classes of val are."""

    devkit: Optional[str] = flag(f"development kit (default: <root>/{DEVKIT}, if it is there)", metavar="DIR")
    val_labels: Optional[str] = flag("lines `image class`, the class as a synset or a number in 0 to 999, instead "
                                     "of the development kit", type=existing_file, metavar="FILE")


def splits(asked: Settings) -> List[Split]:
    """What there is of the splits train, val, in the order of its images' numbers, and test."""
    found = [in_class_folders(asked.root, "train", RECORD)] if asked.has("train") else []
    if asked.has("val") and class_folders(os.path.join(asked.root, "val")):
        val = in_class_folders(asked.root, "val", RECORD)
        found.append(replace(val, samples=sorted(val.samples, key=lambda sample: os.path.basename(sample.image))))
    elif asked.has("val"):
        found.append(in_folder(asked.root, "val", RECORD, val_classes(asked)))
    return found + ([in_folder(asked.root, "test", RECORD)] if asked.has("test") else [])


def val_classes(asked: Settings) -> Callable[[str], int]:
    """A function from the name of an image of val to its class; UsageError if nothing tells the classes."""
    devkit = asked.devkit or os.path.join(asked.root, DEVKIT)
    if not asked.val_labels and not os.path.isdir(devkit):
        raise UsageError(f"{os.path.join(asked.root, 'val')} has no folders of synsets, so the classes must come from "
                         f"the development kit, --devkit DIR ({DEVKIT}), or from --val-labels FILE with lines "
                         "`image class`")
    classes = listed_classes(asked.val_labels) if asked.val_labels else devkit_classes(devkit)

    def class_of(name: str) -> int:
        stem = os.path.splitext(name)[0] if asked.val_labels else name.partition(".")[0]
        if stem not in classes:
            raise ValueError(f"{asked.val_labels} has no class of {name}" if asked.val_labels else
                             f"val/{name} is no image of {os.path.join(devkit, TRUTH)}: wanted "
                             f"ILSVRC2012_val_00000001.JPEG to ILSVRC2012_val_{len(classes):08}.JPEG")
        return classes[stem]

    return class_of


def listed_classes(path: str) -> Dict[str, int]:
    """{name of an image, without extension: class} of a list of `image class`."""
    classes = {}
    for line, origin in lines_of("", path):
        fields = line.split()
        class_id = IDS.get(fields[-1], int(fields[-1]) if fields[-1].isdecimal() else None)
        if len(fields) != 2 or class_id is None or class_id >= len(IDS):
            raise ValueError(f"{origin}: {line!r}, wanted the name of an image and its class, a synset such as "
                             f"{KNOWN.folders[0]} or a number in 0 to {len(IDS) - 1}")
        classes[stem(fields[0])] = class_id
    return classes


def devkit_classes(devkit: str) -> Dict[str, int]:
    """The same of a development kit: line n has image n's class, by the kit's own number, which meta.mat translates."""
    synsets, classes = kit_synsets(devkit), {}
    for number, (line, origin) in enumerate(lines_of(devkit, TRUTH), 1):
        synset = synsets.get(int(line)) if line.isdecimal() else None
        if synset not in IDS:
            raise ValueError(f"{origin}: {line!r} is none of the kit's numbers of the {len(IDS):,} classes")
        classes[f"ILSVRC2012_val_{number:08}"] = IDS[synset]
    return classes
