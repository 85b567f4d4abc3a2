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
from collections import defaultdict
from functools import partial
from typing import Any, Dict, Iterator, List, NamedTuple, Sequence, Tuple, Union

import numpy as np

from ademxapp import IGNORE_LABEL
from ademxapp.data.images import stem
from issegm.datasets import DATASETS

from .common import Candidate, Preparation, Split, images_of

RECORD = DATASETS["coco"]
CATEGORIES = dict(zip(RECORD.class_names[1:], RECORD.label_ids[1:]))  # without the background


class Instance(NamedTuple):
    """One outline: the value of its category in the label, whether it is a crowd, its area, COCO's segmentation."""

    value: int
    crowd: bool
    area: float
    outline: Union[List[List[float]], Dict[str, Any]]


def splits(asked: Preparation) -> Iterator[Split]:
    """The years' splits."""
    values = {value: value for value in CATEGORIES.values()}
    yield from instance_splits(asked.root, "", values, "semantic/{split}2017/{}.png")
    if asked.has("test2017"):
        yield Split("test", RECORD, images_of(asked.root, "test2017"))


def instance_splits(root: str, folder: str, values: Dict[int, int], labels: str, some: bool = False) -> Iterator[Split]:
    """The splits of COCO in <root>/<folder>, train and, where it is there, val, with what makes their labels.

    `values` is {category id: value in the label}, 0 for categories that cover others and are background themselves;
    `labels` a path below the root with {} for the image's number; with `some`, only images that show one of a value.
    """
    try:
        import pycocotools.mask  # noqa: F401
    except ImportError:
        raise ImportError("COCO's outlines are drawn by pycocotools: pip install pycocotools") from None
    for name in ("train", "val"):
        if not os.path.isdir(os.path.join(root, folder, f"{name}2017")):
            continue
        path, samples = os.path.join(root, folder, "annotations", f"instances_{name}2017.json"), []
        for file_name, height, width, instances in read_instances(path, values):
            if not some or any(instance.value and not instance.crowd for instance in instances):
                samples.append(Candidate(
                    root, os.path.join(folder, f"{name}2017", file_name), origin=path, label_image=labels.format(
                        stem(file_name), split=name), make=partial(draw_instances, instances, height, width, path)))
        yield Split(name, RECORD, samples)


def read_instances(path: str, values: Dict[int, int]) -> List[Tuple[str, int, int, List[Instance]]]:
    """`(file name, height, width, instances)` of each image of an annotation file, by id; ValueError if not COCO's."""
    try:
        with open(path, "rb") as source:  # json tells UTF-8, with a mark or without, and UTF-16
            content = json.load(source)
        shown = defaultdict(list)
        for found in content["annotations"]:
            if found["category_id"] not in values:
                raise ValueError(f"category {found['category_id']} is none of COCO's")
            shown[found["image_id"]].append(Instance(
                values[found["category_id"]], bool(found["iscrowd"]), found["area"], found["segmentation"]))
        images = sorted((one["id"], one["file_name"], one["height"], one["width"]) for one in content["images"])
        named = {category["id"]: category["name"] for category in content.get("categories", ())}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no annotation file of instances: {error!r}") from None
    if not images:
        raise ValueError(f"{path} names no image")
    known = {number: name for name, number in CATEGORIES.items()}
    for number, name in named.items():
        if known.get(number) != name:
            raise ValueError(f"{path}: category {number} is {name!r}, COCO's is {known.get(number, 'none')!r}: this is "
                             "another dataset; draw its outlines as label images, for `prepare.py own`")
    return [(*image, shown[number]) for number, *image in images]


def draw_instances(instances: Sequence[Instance], height: int, width: int, name: str) -> np.ndarray:
    """The label map of an image, (H, W) uint8: crowds behind, then instances from the largest to the smallest."""
    from pycocotools import mask

    label = np.zeros((height, width), np.uint8)
    for instance in sorted(instances, key=lambda instance: (not instance.crowd, -instance.area)):
        outline = instance.outline
        if isinstance(outline, list):
            outline = [polygon for polygon in outline if len(polygon) >= 6]  # fewer than three corners have no area
            if not outline:
                continue
        try:
            encoded = mask.frPyObjects(outline, height, width)
            filled = mask.decode(mask.merge(encoded) if isinstance(encoded, list) else encoded)
        except Exception as error:  # of many kinds
            raise ValueError(f"{name}: an outline cannot be drawn: {error}") from None
        label[filled > 0] = IGNORE_LABEL if instance.crowd and instance.value else instance.value
    return label
