"""CamVid as SegNet's authors share it: 480x360, 11 classes.

    <root>/
      train.txt        lines `image label`, separated by a space; paths below <root>
      val.txt
      test.txt         [optional]
"""
import os
from typing import Iterator

from ademxapp.data.lists import Sample
from issegm.datasets import DATASETS

from .common import Preparation, Split, lines_of
from .pairs import Pairs


def splits(asked: Preparation) -> Iterator[Split]:
    """The splits that the text files name."""
    for name in ("train", "val", "test"):
        if name == "test" and not os.path.isfile(os.path.join(asked.root, "test.txt")):
            continue
        samples, origins = [], []
        for line, origin in lines_of(asked.root, f"{name}.txt"):
            fields = line.split()
            if len(fields) != 2:
                raise ValueError(f"{origin}: wanted an image and a label, separated by a space")
            samples.append(Sample(asked.root, fields[0], label_image=fields[1]))
            origins.append(origin)
        yield Split("camvid", name, samples, Pairs(DATASETS["camvid"]), origins)
