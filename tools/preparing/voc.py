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
from dataclasses import replace
from functools import partial

import numpy as np

from ademxapp.data.images import stem
from ademxapp.data.lists import Sample
from issegm.datasets import DATASETS
from issegm.tables import COCO, COCO_OF_VOC
from tools.preparing.coco import instance_splits
from tools.preparing.common import Split, lines_of, path_below
from tools.preparing.images import image_names
from tools.preparing.mat import read_matrix
from tools.preparing.pairs import Pairs

RECORD = DATASETS["voc"]
IMAGES, LABELS = "VOC2012/JPEGImages/{}.jpg", "VOC2012/SegmentationClass/{}.png"
SBD_LABELS, COCO_LABELS = "VOC2012/SegmentationClassAug/{}.png", "VOC2012/SegmentationClassCOCO/{}.png"
SETS = "VOC2012/ImageSets/Segmentation"


def add_arguments(parser):
    """The datasets that VOC is augmented with."""
    parser.add_argument("--sbd", type=sbd_folder, metavar="DIR", help="Semantic Boundaries Dataset, for train+")
    parser.add_argument("--coco", metavar="DIR", help="COCO 2017, for train++; needs train+")


def splits(args):
    """The splits of the image sets, then train+ and train++."""
    for name in ("train", "val", "trainval", "test"):
        if os.path.isfile(os.path.join(args.root, SETS, f"{name}.txt")):
            rows = lines_of(args.root, f"{SETS}/{name}.txt")
            names = [image for image, _ in rows]
            labels = [None if name == "test" else LABELS.format(image) for image in names]
            yield Split("voc", name, samples(args.root, names, labels), Pairs(RECORD), [origin for _, origin in rows])
    plus = augmented(args)
    if plus is not None:
        yield plus
    if args.coco is not None:
        yield augmented_twice(args, plus)


def augmented(args):
    """train+, or None where there is nothing of SBD."""
    train, val = (dict(lines_of(args.root, f"{SETS}/{name}.txt")) for name in ("train", "val"))
    if args.sbd is not None:
        extra = dict(lines_of(args.sbd, "train.txt") + lines_of(args.sbd, "val.txt"))
    else:
        folder = os.path.dirname(os.path.join(args.root, SBD_LABELS))
        found = image_names(folder)[0] if os.path.isdir(folder) else ()
        extra = {stem(name): os.path.join(folder, name) for name in found}
    extra = {name: origin for name, origin in extra.items() if name not in train and name not in val}
    if args.sbd is None and not extra:
        return None
    found = samples(args.root, train, map(LABELS.format, train))
    found += with_sbd_images(args, samples(args.root, extra, map(SBD_LABELS.format, extra)))
    makers = {} if args.sbd is None else {
        SBD_LABELS.format(name): partial(sbd_label, os.path.join(args.sbd, "cls", f"{name}.mat")) for name in extra}
    return Split("voc", "train+", found, Pairs(RECORD), [*train.values(), *extra.values()], makers)


def with_sbd_images(args, found):
    """The samples, with the images that are not among VOC's from SBD's own folder, if they are there."""
    copies = {sample: os.path.join(args.sbd, "img", os.path.basename(sample.image)) for sample in found
              if args.sbd is not None and not os.path.isfile(sample.image_path)}
    if not any(map(os.path.isfile, copies.values())):
        return found
    folder = path_below(args.root, args.sbd, "--sbd", "SBD")
    return [replace(sample, image=os.path.join(folder, "img", os.path.basename(sample.image)))
            if os.path.isfile(copies.get(sample, "")) else sample for sample in found]


def augmented_twice(args, plus):
    """train++: train+ and COCO's images with one of VOC's classes."""
    if plus is None:
        raise ValueError("train++ is train+ and COCO: give --sbd too, or the labels in VOC2012/SegmentationClassAug")
    values = {**dict.fromkeys(COCO.values(), 0), **{COCO[name]: value for value, name in
                                                    enumerate(COCO_OF_VOC.values(), 1)}}
    folder = path_below(args.root, args.coco, "--coco", "COCO")
    found, origins, makers = plus.samples[:], plus.origins[:], dict(plus.makers)
    for coco in instance_splits(args.root, folder, values, COCO_LABELS, some=True):
        found += coco.samples
        origins += coco.origins
        makers.update(coco.makers)
    return Split("voc", "train++", found, Pairs(RECORD), origins, makers)


def samples(root, names, labels):
    """Samples of VOC's images."""
    return [Sample(root, IMAGES.format(name), label_image=label) for name, label in zip(names, labels)]


def sbd_folder(text):
    """An argparse type: SBD's folder `dataset`, in DIR or DIR/benchmark_RELEASE or DIR itself."""
    below = (os.path.join(text, name) for name in ("benchmark_RELEASE/dataset", "dataset"))
    return next((path for path in below if os.path.isdir(path)), text)


def sbd_label(path):
    """The label map of one of SBD's files, (H, W) uint8."""
    label = read_matrix(path, "GTcls", "Segmentation")
    RECORD.to_classes(label, path)
    return label.astype(np.uint8)
