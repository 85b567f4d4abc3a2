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
from typing import Iterator

from issegm.datasets import DATASETS

from .common import Preparation, Split, images_of, lines_of

RECORD = DATASETS["ade20k"]
BASE, TEST = "ADEChallengeData2016", "release_test/testing"


def splits(asked: Preparation) -> Iterator[Split]:
    """Train and val, and test where it is there."""
    objects = f"{BASE}/objectInfo150.txt"
    rows = lines_of(asked.root, objects)[1:] if asked.has(objects) else ()
    for (line, origin), name in zip(rows, RECORD.class_names):
        fields = line.split("\t")
        if fields[-1].split(",")[0].strip() != name:
            raise ValueError(f"{origin}: class {fields[0]} is {fields[-1]!r}, that of the 150 classes is {name!r}: is "
                             "it the scene parsing challenge's?")
    for name, part in (("train", "training"), ("val", "validation")):
        yield Split(name, RECORD, images_of(asked.root, f"{BASE}/images/{part}", f"{BASE}/annotations/{part}/{{}}.png"))
    if asked.has(TEST):
        yield Split("test", RECORD, images_of(asked.root, TEST))
