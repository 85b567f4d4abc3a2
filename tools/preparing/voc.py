"""PASCAL VOC 2012: 20 classes and background; train+ with SBD's labels, train++ with COCO's images too.

    <root>/
      VOC2012/
        JPEGImages/*.jpg
        SegmentationClass/*.png
        SegmentationClassAug/*.png     [optional] SBD's labels as images; made from --sbd
        SegmentationClassCOCO/*.png    [optional] made from --coco
        ImageSets/Segmentation/
          train.txt
          val.txt
          trainval.txt     [optional]
          test.txt         [optional] of the test set's download; its images have no labels

    <sbd>/
      cls/*.mat            GTcls.Segmentation
      img/*.jpg            [optional] taken where VOC's JPEGImages lacks one
      train.txt
      val.txt

    <coco>/
      train2017/*.jpg
      val2017/*.jpg        [optional]
      annotations/
        instances_train2017.json
        instances_val2017.json         [with val2017]

--sbd is the folder `dataset` of SBD's benchmark_RELEASE, or one above it. train+ is VOC's train, SBD's train and SBD's
val, less VOC's val: 10,582 images, all of them VOC's own. Without --sbd, labels that are in SegmentationClassAug count
as SBD's. train++ is train+ and COCO's images that show one of the 20 classes, labelled as `prepare.py coco` does it,
with other classes as background, also where they are in front of one of the 20. Where images of COCO or SBD are not
below the root, <root>/COCO or <root>/SBD becomes a link to them.
"""
import os
from dataclasses import dataclass
from functools import partial
from typing import Iterator, List, Optional

import numpy as np

from ademxapp.cli import UsageError
from ademxapp.data.images import stem
from ademxapp.flags import flag
from issegm.datasets import DATASETS

from .coco import CATEGORIES, instance_splits
from .common import Candidate, Preparation, Split, image_names, lines_of, read_matrix

RECORD = DATASETS["voc"]
IMAGES, LABELS = "VOC2012/JPEGImages/{}.jpg", "VOC2012/SegmentationClass/{}.png"
SBD_LABELS, COCO_LABELS = "VOC2012/SegmentationClassAug/{}.png", "VOC2012/SegmentationClassCOCO/{}.png"
SETS = "VOC2012/ImageSets/Segmentation"
# What COCO calls those of VOC's classes that it calls otherwise.
COCO_NAMES = {"aeroplane": "airplane", "diningtable": "dining table", "motorbike": "motorcycle",
              "pottedplant": "potted plant", "sofa": "couch", "tvmonitor": "tv"}


def sbd_folder(text: str) -> str:
    """An argparse type: SBD's folder `dataset`, in DIR or DIR/benchmark_RELEASE or DIR itself."""
    below = (os.path.join(text, name) for name in ("benchmark_RELEASE/dataset", "dataset"))
    return next((path for path in below if os.path.isdir(path)), text)


@dataclass(frozen=True)
class Settings(Preparation):
    """The datasets that VOC is augmented with."""

    sbd: Optional[str] = flag("Semantic Boundaries Dataset, for train+", type=sbd_folder, metavar="DIR")
    coco: Optional[str] = flag("COCO 2017, for train++; needs train+", metavar="DIR")


def splits(asked: Settings) -> Iterator[Split]:
    """The splits of the image sets, then train+ and train++."""
    for name in ("train", "val", "trainval", "test"):
        if asked.has(f"{SETS}/{name}.txt"):
            yield Split(name, RECORD, [Candidate(
                asked.root, IMAGES.format(image), label_image=None if name == "test" else LABELS.format(image),
                origin=origin) for image, origin in lines_of(asked.root, f"{SETS}/{name}.txt")])
    extra = sbd_samples(asked)
    plus = [Candidate(asked.root, IMAGES.format(image), label_image=LABELS.format(image), origin=origin)
            for image, origin in dict(lines_of(asked.root, f"{SETS}/train.txt")).items()] + extra
    if extra or asked.sbd is not None:
        yield Split("train+", RECORD, plus)
    elif asked.coco is not None:
        raise ValueError("train++ is train+ and COCO: give --sbd too, or the labels in VOC2012/SegmentationClassAug")
    if asked.coco is not None:
        values = {**dict.fromkeys(CATEGORIES.values(), 0), **{CATEGORIES[COCO_NAMES.get(name, name)]: value
                                                              for value, name in enumerate(RECORD.class_names[1:], 1)}}
        folder = path_below(asked.root, asked.coco, "--coco", "COCO")
        yield Split("train++", RECORD, [
            *plus, *(sample for split in instance_splits(asked.root, folder, values, COCO_LABELS, some=True)
                     for sample in split.samples)])


def sbd_samples(asked: Settings) -> List[Candidate]:
    """What SBD adds to VOC's train; images that VOC lacks are taken from SBD's folder, if they are there."""
    if asked.sbd is not None:
        origins = dict(lines_of(asked.sbd, "train.txt") + lines_of(asked.sbd, "val.txt"))
    else:
        folder = os.path.dirname(os.path.join(asked.root, SBD_LABELS))
        found = image_names(folder)[0] if os.path.isdir(folder) else ()
        origins = {stem(name): os.path.join(folder, name) for name in found}
    for name in ("train", "val"):
        for image, _ in lines_of(asked.root, f"{SETS}/{name}.txt"):
            origins.pop(image, None)
    copies = {name for name in origins if asked.sbd is not None and not asked.has(IMAGES.format(name))
              and os.path.isfile(os.path.join(asked.sbd, "img", f"{name}.jpg"))}
    folder, samples = path_below(asked.root, asked.sbd, "--sbd", "SBD") if copies else "", []
    for name, origin in origins.items():
        image = os.path.join(folder, "img", f"{name}.jpg") if name in copies else IMAGES.format(name)
        make = None if asked.sbd is None else partial(sbd_label, os.path.join(asked.sbd, "cls", f"{name}.mat"))
        samples.append(Candidate(asked.root, image, label_image=SBD_LABELS.format(name), origin=origin, make=make))
    return samples


def path_below(root: str, folder: str, option: str, link: str) -> str:
    """The path of `folder` below `root`, where lists start; by a link <root>/<link> if it lies elsewhere."""
    for resolved in (os.path.abspath, os.path.realpath):
        path = os.path.relpath(resolved(folder), resolved(root))
        if path.split(os.sep)[0] != os.pardir:
            return path
    outside = f"{option} {folder} is not below --root {root}, where the paths in lists start"
    place = os.path.join(root, link)
    if not os.path.lexists(place):
        try:
            os.symlink(os.path.abspath(folder), place)
        except OSError as error:
            raise UsageError(f"{outside}, and cannot be linked there: {error.strerror}; move it there") from None
        print(f"{place} is now a link to {folder}: the paths in lists start at --root")
    if not os.path.samefile(place, folder):
        raise UsageError(f"{outside}, and {place} is something else: move one of them")
    return link


def sbd_label(path: str) -> np.ndarray:
    """The label map of one of SBD's files, (H, W) uint8."""
    label = read_matrix(path, "GTcls", "Segmentation")
    RECORD.to_classes(label, path)
    return label.astype(np.uint8)
