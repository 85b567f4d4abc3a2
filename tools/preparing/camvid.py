"""CamVid as SegNet's authors share it: 480x360, 11 classes.

    <root>/
      train.txt        lines `image label`, separated by a space; paths below <root>
      val.txt
      test.txt         [optional]
"""
from typing import Iterator

from issegm.datasets import DATASETS

from .common import Candidate, Preparation, Split, lines_of


def splits(asked: Preparation) -> Iterator[Split]:
    """The splits that the text files name."""
    for name in ("train", "val", "test"):
        if name == "test" and not asked.has("test.txt"):
            continue
        samples = []
        for line, origin in lines_of(asked.root, f"{name}.txt"):
            fields = line.split()
            if len(fields) != 2:
                raise ValueError(f"{origin}: wanted an image and a label, separated by a space")
            samples.append(Candidate(asked.root, fields[0], label_image=fields[1], origin=origin))
        yield Split(name, DATASETS["camvid"], samples)
