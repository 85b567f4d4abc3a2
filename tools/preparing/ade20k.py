"""ADE20K as the scene parsing challenge of 2016 has it: 150 classes.

    <root>/
      ADEChallengeData2016/
        images/
          training/*.jpg
          validation/*.jpg
        annotations/
          training/*.png
          validation/*.png
        objectInfo150.txt            [optional] the classes' names, which must be those that are known here
      release_test/testing/*.jpg     [optional] without labels

In the label images, class k (0 … 149) is k + 1, and 0 does not count.
"""
import os
from typing import Iterator

from ademxapp.data.images import stem
from ademxapp.data.lists import Sample
from issegm.datasets import DATASETS

from .common import Preparation, Split, lines_of
from .images import image_names
from .pairs import Pairs

FOLDERS = {"train": "training", "val": "validation"}
KIND = Pairs(DATASETS["ade20k"])
OBJECTS = "ADEChallengeData2016/objectInfo150.txt"


def splits(asked: Preparation) -> Iterator[Split]:
    """Train and val, and test where it is there."""
    require_names(asked.root)
    for name, folder in FOLDERS.items():
        base = "ADEChallengeData2016/{}/" + folder
        yield Split("ade20k", name, [
            Sample(asked.root, f"{base.format('images')}/{image}",
                   label_image=f"{base.format('annotations')}/{stem(image)}.png")
            for image in image_names(os.path.join(asked.root, base.format("images")))[0]], KIND)
    if os.path.isdir(os.path.join(asked.root, "release_test/testing")):
        images, _ = image_names(os.path.join(asked.root, "release_test/testing"))
        yield Split("ade20k", "test", [Sample(asked.root, f"release_test/testing/{image}") for image in images], KIND)


def require_names(root: str) -> None:
    """ValueError where objectInfo150.txt, if it is there, names other classes than the record."""
    if not os.path.isfile(os.path.join(root, OBJECTS)):
        return
    rows = [(line.split("\t"), origin) for line, origin in lines_of(root, OBJECTS)[1:]]
    for (fields, origin), name in zip(rows, KIND.record.class_names):
        if fields[-1].split(",")[0].strip() != name:
            raise ValueError(f"{origin}: class {fields[0]} is {fields[-1]!r}, that of the 150 classes is {name!r}: is "
                             "it the scene parsing challenge's?")
