"""PASCAL-Context: VOC 2010's images, 59 classes and background.

    <root>/
      VOC2010/
        JPEGImages/*.jpg
        ImageSets/Main/
          train.txt
          val.txt
        SegmentationClassContext/*.png     [optional] the labels as images; made here
      trainval/*.mat       [unless VOC2010/SegmentationClassContext/*.png] LabelMap, with 459 labels

The 59 most frequent of the 459 labels are the classes 1 … 59, in the order of their names; all others are background,
0. With 60 classes in the run's label (pascal-context_…_cls60_s8) background is a class, as in the paper; with 59 it
does not count.
"""
import os
from functools import partial
from typing import Iterator

import numpy as np

from issegm.datasets import DATASETS

from .common import Candidate, Preparation, Split, lines_of, read_matrix

LABELS = 459
# What the 59 classes are among them.
CLASSES = (2, 9, 18, 19, 22, 23, 25, 31, 33, 34, 44, 45, 46, 59, 65, 68, 72, 80, 85, 98, 104, 105, 113, 115, 144,
           158, 159, 162, 187, 189, 207, 220, 232, 258, 259, 260, 284, 295, 296, 308, 324, 326, 347, 349, 354, 355,
           360, 366, 368, 397, 415, 416, 420, 424, 427, 440, 445, 454, 458)


def splits(asked: Preparation) -> Iterator[Split]:
    """Train and val of VOC 2010's main image sets."""
    for name in ("train", "val"):
        yield Split(name, DATASETS["pascal-context"], [
            Candidate(asked.root, f"VOC2010/JPEGImages/{image}.jpg", origin=origin,
                      label_image=f"VOC2010/SegmentationClassContext/{image}.png",
                      make=partial(context_label, os.path.join(asked.root, "trainval", f"{image}.mat")))
            for image, origin in lines_of(asked.root, f"VOC2010/ImageSets/Main/{name}.txt")])


def context_label(path: str) -> np.ndarray:
    """The label map of one of PASCAL-Context's files, (H, W) uint8: 0 background, 1 … 59 classes."""
    label = read_matrix(path, "LabelMap")
    if label.size and not 0 <= label.min() <= label.max() <= LABELS:
        raise ValueError(f"{path}: LabelMap has values {label.min()} to {label.max()}, wanted 0 to {LABELS}")
    table = np.zeros(LABELS + 1, np.uint8)
    table[list(CLASSES)] = range(1, len(CLASSES) + 1)
    return table[label]
