"""Cityscapes: street scenes, 2048x1024, 19 of 34 labels count; train+ with the coarse labels.

    <root>/
      leftImg8bit/
        train/<city>/*_leftImg8bit.png
        val/<city>/*_leftImg8bit.png           [optional]
        test/<city>/*_leftImg8bit.png          [optional] without labels
        train_extra/<city>/*_leftImg8bit.png   [--coarse]
      gtFine/
        train/<city>/*_gtFine_labelIds.png
        val/<city>/*_gtFine_labelIds.png       [with leftImg8bit/val]
      gtCoarse/            [--coarse]
        train_extra/<city>/*_gtCoarse_labelIds.png

The label images are the official ones, by id: the record maps them to the 19 training ids, and predictions back. train+
is train and train_extra: 22,973 images. (One image of train_extra, troisdorf_000000_000073, was published broken:
--skip-broken.)
"""
import glob
import os
from dataclasses import dataclass
from typing import Iterator, List, Optional

from ademxapp.flags import flag
from issegm.datasets import DATASETS

from .common import Candidate, Preparation, Split

RECORD = DATASETS["cityscapes"]


@dataclass(frozen=True)
class Settings(Preparation):
    """Whether to take the coarse labels."""

    coarse: bool = flag("also write train+, with the coarsely labelled images", False)


def splits(asked: Settings) -> Iterator[Split]:
    """Train, then what there is of val and test, and train+ if asked for."""
    train = samples(asked.root, "train", "gtFine")
    yield Split("train", RECORD, train)
    for name, labels in (("val", "gtFine"), ("test", None)):
        if asked.has(f"leftImg8bit/{name}"):
            yield Split(name, RECORD, samples(asked.root, name, labels))
    if asked.coarse:
        yield Split("train+", RECORD, train + samples(asked.root, "train_extra", "gtCoarse"))


def samples(root: str, split: str, labels: Optional[str]) -> List[Candidate]:
    """The images of all cities of a split, in the order of their names, with the labels of `labels`, if any."""
    pattern = os.path.join(glob.escape(root), f"leftImg8bit/{split}/*/*_leftImg8bit.png")
    images = sorted(os.path.relpath(path, root) for path in glob.iglob(pattern))
    return [Candidate(root, image, label_image=labels and image.replace("leftImg8bit/", f"{labels}/", 1).replace(
        "_leftImg8bit.png", f"_{labels}_labelIds.png")) for image in images]
