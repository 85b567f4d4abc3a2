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

from ademxapp.data.lists import Sample
from issegm.datasets import DATASETS

from .common import Split
from .pairs import Pairs

KIND = Pairs(DATASETS["cityscapes"])


def add_arguments(parser):
    """Whether to take the coarse labels."""
    parser.add_argument("--coarse", action="store_true", help="also write train+, with the coarsely labelled images")


def splits(args):
    """Train, then what there is of val and test, and train+ if asked for."""
    train = samples(args.root, "train", "gtFine")
    yield Split("cityscapes", "train", train, KIND)
    for name, labels in (("val", "gtFine"), ("test", None)):
        if os.path.isdir(os.path.join(args.root, "leftImg8bit", name)):
            yield Split("cityscapes", name, samples(args.root, name, labels), KIND)
    if args.coarse:
        yield Split("cityscapes", "train+", train + samples(args.root, "train_extra", "gtCoarse"), KIND)


def samples(root, split, labels):
    """The images of all cities of a split, in the order of their names, with the labels of `labels`, if any."""
    pattern = os.path.join(f"leftImg8bit/{split}", "*", "*_leftImg8bit.png")
    images = sorted(os.path.relpath(path, root) for path in glob.iglob(os.path.join(glob.escape(root), pattern)))
    return [Sample(root, image, label_image=labels and image.replace("leftImg8bit/", f"{labels}/", 1).replace(
        "_leftImg8bit.png", f"_{labels}_labelIds.png")) for image in images]
