"""Images and labels of one's own, described by a --dataset-file.

    <root>/
      images/
        train/*
        val/*              [optional] and test, which needs no labels
      labels/
        train/*.png
        val/*.png          [with images/val]

A label is a PNG with one index per pixel, grey or with a palette, named as its image. The file is YAML:

    class_names: [grass, path, plant]
    label_ids: [1, 2, 3]                                  # in the label images; by default 0, 1, 2
    ignored_ids: [0, 255]                                 # by default 255
    colours: [[0, 0, 0], [0, 200, 0], [90, 90, 90], [200, 0, 0]]   # of the values 0, 1, …; by default VOC's
    largest_side: 640                                     # by default 500

The dataset is called as the root's folder is, in small letters and with '-' for what no label can have (My_Garden:
my-garden), or as --name says; so are its lists' folder and the runs' labels.
"""
import os

from ademxapp.cli import existing_file
from ademxapp.data.class_folders import class_folders
from ademxapp.data.dataset_file import read_dataset_file
from ademxapp.data.images import stem
from ademxapp.data.lists import Sample
from issegm.datasets import SegmentationDataset
from tools.preparing.common import Split, add_name_argument, dataset_name
from tools.preparing.images import image_names, no_images
from tools.preparing.pairs import Pairs


def add_arguments(parser):
    """The description of the dataset, and its name."""
    add_name_argument(parser)
    parser.add_argument("--dataset-file", required=True, type=existing_file, metavar="YAML", help="the dataset's "
                        "classes, label ids, colours")


def splits(args):
    """A split for each folder of images."""
    dataset = dataset_name(args)
    kind = Pairs(read_dataset_file(args.dataset_file, SegmentationDataset, dataset))
    for name in class_folders(os.path.join(args.root, "images")):
        images, others = image_names(os.path.join(args.root, "images", name))
        labelled = os.path.isdir(os.path.join(args.root, "labels", name))
        samples = [Sample(args.root, f"images/{name}/{image}",
                          label_image=f"labels/{name}/{stem(image)}.png" if labelled else None) for image in images]
        notes = no_images(others) + (labels_alone(args.root, name, samples) if labelled else [])
        yield Split(dataset, name, samples, kind, notes=notes)


def labels_alone(root, name, samples):
    """A note about labels that have no image: a list of none or one."""
    used = {sample.label_image for sample in samples}
    alone = [f"labels/{name}/{label}" for label in image_names(os.path.join(root, "labels", name))[0]]
    alone = [label for label in alone if label not in used]
    return [f"labels that have no image: {len(alone)}, the first {alone[0]}"] if alone else []
