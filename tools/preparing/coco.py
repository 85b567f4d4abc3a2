"""COCO 2017, instances as semantic classes: 80 classes and background.

    <root>/
      train2017/*.jpg
      val2017/*.jpg        [optional]
      test2017/*.jpg       [optional] without labels
      annotations/
        instances_train2017.json
        instances_val2017.json         [with val2017]
      semantic/            [optional] the labels, made here
        train2017/*.png
        val2017/*.png

A pixel's label is the id of the category of the instance on it (1 … 90, with gaps), 0 where there is none. Where
instances overlap, the smallest is in front. Crowds, whose outlines are rough, do not count (255) where no instance is
on them.
"""
import json
import os
from functools import partial

import numpy as np

from ademxapp.data.images import stem
from ademxapp.data.lists import Sample
from issegm.datasets import DATASETS, IGNORE
from issegm.tables import COCO
from tools.preparing.common import Split
from tools.preparing.images import image_names
from tools.preparing.pairs import Pairs


def splits(args):
    """The years' splits."""
    yield from instance_splits(args.root, "", {value: value for value in COCO.values()})
    if os.path.isdir(os.path.join(args.root, "test2017")):
        images, _ = image_names(os.path.join(args.root, "test2017"))
        yield Split("coco", "test", [Sample(args.root, f"test2017/{name}") for name in images],
                    Pairs(DATASETS["coco"]))


def instance_splits(root, folder, values, labels=None, some=False):
    """The splits of COCO in <root>/<folder>, train and, where it is there, val, with what makes their labels.

    `values` is {category id: value in the label}; `labels` a path below the root with {} for the image's number; with
    `some`, only images that show one of the categories.
    """
    require_pycocotools()
    for name in ("train", "val"):
        if not os.path.isdir(os.path.join(root, folder, f"{name}2017")):
            continue
        path = os.path.join(root, folder, "annotations", f"instances_{name}2017.json")
        images, shown = read_instances(path, values)
        samples, makers = [], {}
        for number, file_name, height, width in images:
            instances = shown.get(number, ())
            if some and all(value == IGNORE for value, _, _ in instances):
                continue
            label = (labels or f"semantic/{name}2017/{{}}.png").format(stem(file_name))
            samples.append(Sample(root, os.path.join(folder, f"{name}2017", file_name), label_image=label))
            makers[label] = partial(draw_instances, instances, height, width, path)
        yield Split("coco", name, samples, Pairs(DATASETS["coco"]), [path] * len(samples), makers)


def require_pycocotools():
    """ImportError that says what to install."""
    try:
        import pycocotools.mask  # noqa: F401
    except ImportError:
        raise ImportError("COCO's outlines are drawn by pycocotools: pip install pycocotools") from None


def read_instances(path, values):
    """What an annotation file has of the categories in `values`.

    Returns its images, sorted [(id, file name, height, width), …], and {image id: [(value, area, outline), …]}; the
    value of crowds is 255.
    """
    try:
        with open(path, encoding="utf-8") as source:
            content = json.load(source)
        shown = {}
        for found in content["annotations"]:
            value = values.get(found["category_id"])
            if value is not None:
                shown.setdefault(found["image_id"], []).append(
                    (IGNORE if found["iscrowd"] else value, found["area"], found["segmentation"]))
        images = sorted((image["id"], image["file_name"], image["height"], image["width"])
                        for image in content["images"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no annotation file of instances: {error!r}") from None
    if not images:
        raise ValueError(f"{path} names no image")
    return images, shown


def draw_instances(instances, height, width, name):
    """The label map of an image, (H, W) uint8: crowds behind, then instances from the largest to the smallest."""
    from pycocotools import mask

    label = np.zeros((height, width), np.uint8)
    for value, _, outline in sorted(instances, key=lambda instance: (instance[0] != IGNORE, -instance[1])):
        if isinstance(outline, list):
            outline = [polygon for polygon in outline if len(polygon) >= 6]  # fewer than three corners have no area
            if not outline:
                continue
        try:
            encoded = mask.frPyObjects(outline, height, width)
            filled = mask.decode(mask.merge(encoded) if isinstance(encoded, list) else encoded)
        except Exception as error:  # of many kinds
            raise ValueError(f"{name}: an outline cannot be drawn: {error}") from None
        label[filled > 0] = value
    return label
