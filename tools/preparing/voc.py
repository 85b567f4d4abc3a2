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
from dataclasses import dataclass, replace
from functools import partial
from typing import Iterable, Iterator, List, Optional

import numpy as np

from ademxapp.data.images import stem
from ademxapp.data.samples import Sample
from ademxapp.flags import flag
from issegm.datasets import DATASETS

from .coco import CATEGORIES, instance_splits
from .common import Preparation, Split, lines_of, path_below
from .images import image_names
from .pairs import Pairs, read_matrix

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
        if os.path.isfile(os.path.join(asked.root, SETS, f"{name}.txt")):
            rows = lines_of(asked.root, f"{SETS}/{name}.txt")
            names = [image for image, _ in rows]
            labels = [None if name == "test" else LABELS.format(image) for image in names]
            yield Split("voc", name, samples(asked.root, names, labels), Pairs(RECORD), [origin for _, origin in rows])
    plus = augmented(asked)
    if plus is not None:
        yield plus
    if asked.coco is not None:
        yield augmented_twice(asked, plus)


def augmented(asked: Settings) -> Optional[Split]:
    """train+, or None where there is nothing of SBD."""
    train, val = (dict(lines_of(asked.root, f"{SETS}/{name}.txt")) for name in ("train", "val"))
    if asked.sbd is not None:
        extra = dict(lines_of(asked.sbd, "train.txt") + lines_of(asked.sbd, "val.txt"))
    else:
        folder = os.path.dirname(os.path.join(asked.root, SBD_LABELS))
        found = image_names(folder)[0] if os.path.isdir(folder) else ()
        extra = {stem(name): os.path.join(folder, name) for name in found}
    extra = {name: origin for name, origin in extra.items() if name not in train and name not in val}
    if asked.sbd is None and not extra:
        return None
    found = samples(asked.root, train, map(LABELS.format, train))
    found += with_sbd_images(asked, samples(asked.root, extra, map(SBD_LABELS.format, extra)))
    makers = {} if asked.sbd is None else {
        SBD_LABELS.format(name): partial(sbd_label, os.path.join(asked.sbd, "cls", f"{name}.mat")) for name in extra}
    return Split("voc", "train+", found, Pairs(RECORD), [*train.values(), *extra.values()], makers)


def with_sbd_images(asked: Settings, found: List[Sample]) -> List[Sample]:
    """The samples, with the images that are not among VOC's from SBD's own folder, if they are there."""
    copies = {sample: os.path.join(asked.sbd, "img", os.path.basename(sample.image)) for sample in found
              if asked.sbd is not None and not os.path.isfile(sample.image_path)}
    if not any(map(os.path.isfile, copies.values())):
        return found
    folder = path_below(asked.root, asked.sbd, "--sbd", "SBD")
    return [replace(sample, image=os.path.join(folder, "img", os.path.basename(sample.image)))
            if os.path.isfile(copies.get(sample, "")) else sample for sample in found]


def augmented_twice(asked: Settings, plus: Optional[Split]) -> Split:
    """train++: train+ and COCO's images with one of VOC's classes."""
    if plus is None:
        raise ValueError("train++ is train+ and COCO: give --sbd too, or the labels in VOC2012/SegmentationClassAug")
    values = {**dict.fromkeys(CATEGORIES.values(), 0), **{CATEGORIES[COCO_NAMES.get(name, name)]: value
                                                          for value, name in enumerate(RECORD.class_names[1:], 1)}}
    folder = path_below(asked.root, asked.coco, "--coco", "COCO")
    found, origins, makers = plus.samples[:], plus.origins[:], dict(plus.makers)
    for coco in instance_splits(asked.root, folder, values, COCO_LABELS, some=True):
        found += coco.samples
        origins += coco.origins
        makers.update(coco.makers)
    return Split("voc", "train++", found, Pairs(RECORD), origins, makers)


def samples(root: str, names: Iterable[str], labels: Iterable[Optional[str]]) -> List[Sample]:
    """Samples of VOC's images."""
    return [Sample(root, IMAGES.format(name), label_image=label) for name, label in zip(names, labels)]


def sbd_label(path: str) -> np.ndarray:
    """The label map of one of SBD's files, (H, W) uint8."""
    label = read_matrix(path, "GTcls", "Segmentation")
    RECORD.to_classes(label, path)
    return label.astype(np.uint8)
