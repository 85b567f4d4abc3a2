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
from dataclasses import dataclass
from functools import partial
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np

from ademxapp import IGNORE_LABEL
from ademxapp.data.images import stem
from ademxapp.data.lists import Sample
from issegm.datasets import DATASETS

from .common import Preparation, Split
from .images import image_names
from .pairs import Pairs

RECORD = DATASETS["coco"]
CATEGORIES = dict(zip(RECORD.class_names[1:], RECORD.label_ids[1:]))  # without the background


def splits(asked: Preparation) -> Iterator[Split]:
    """The years' splits."""
    yield from instance_splits(asked.root, "", {value: value for value in CATEGORIES.values()})
    if os.path.isdir(os.path.join(asked.root, "test2017")):
        images, _ = image_names(os.path.join(asked.root, "test2017"))
        yield Split("coco", "test", [Sample(asked.root, f"test2017/{name}") for name in images], Pairs(RECORD))


def instance_splits(root: str, folder: str, values: Dict[int, int], labels: Optional[str] = None, some: bool = False
                    ) -> Iterator[Split]:
    """The splits of COCO in <root>/<folder>, train and, where it is there, val, with what makes their labels.

    `values` is {category id: value in the label}, 0 for categories that cover others and are background themselves;
    `labels` a path below the root with {} for the image's number; with `some`, only images that show one of a value.
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
            if some and not any(instance.value and not instance.crowd for instance in instances):
                continue
            label = (labels or f"semantic/{name}2017/{{}}.png").format(stem(file_name))
            samples.append(Sample(root, os.path.join(folder, f"{name}2017", file_name), label_image=label))
            makers[label] = partial(draw_instances, instances, height, width, path)
        yield Split("coco", name, samples, Pairs(RECORD), [path] * len(samples), makers)


def require_pycocotools() -> None:
    """ImportError that says what to install."""
    try:
        import pycocotools.mask  # noqa: F401
    except ImportError:
        raise ImportError("COCO's outlines are drawn by pycocotools: pip install pycocotools") from None


@dataclass(frozen=True)
class Instance:
    """One outline: the value of its category in the label, whether it is a crowd, its area, COCO's segmentation."""

    value: int
    crowd: bool
    area: float
    outline: Union[List[List[float]], Dict[str, Any]]


def read_instances(path: str, values: Dict[int, int]
                   ) -> Tuple[List[Tuple[int, str, int, int]], Dict[int, List[Instance]]]:
    """What an annotation file has of the categories in `values`.

    Returns its images, sorted [(id, file name, height, width), …], and {image id: instances}. Raises ValueError where
    the file is none, or numbers other categories than COCO's.
    """
    try:
        with open(path, "rb") as source:  # json tells UTF-8, with a mark or without, and UTF-16
            content = json.load(source)
        shown: Dict[int, List[Instance]] = {}
        for found in content["annotations"]:
            if found["category_id"] not in values:
                raise ValueError(f"category {found['category_id']} is none of COCO's")
            shown.setdefault(found["image_id"], []).append(Instance(
                values[found["category_id"]], bool(found["iscrowd"]), found["area"], found["segmentation"]))
        images = sorted((image["id"], image["file_name"], image["height"], image["width"])
                        for image in content["images"])
        named = {category["id"]: category["name"] for category in content.get("categories", ())}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no annotation file of instances: {error!r}") from None
    if not images:
        raise ValueError(f"{path} names no image")
    _require_cocos(named, path)
    return images, shown


def _require_cocos(named: Dict[int, str], path: str) -> None:
    """ValueError where an annotation file calls its categories otherwise than COCO."""
    known = {number: name for name, number in CATEGORIES.items()}
    for number, name in named.items():
        if known.get(number) != name:
            raise ValueError(f"{path}: category {number} is {name!r}, COCO's is {known.get(number, 'none')!r}: this is "
                             "another dataset; draw its outlines as label images, for `prepare.py own`")


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
