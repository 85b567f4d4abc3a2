"""The small dataset of `make demo`: drawn here, scenes to segment and patches of single objects to classify."""
from dataclasses import dataclass
from typing import Iterator

from ademxapp.cli import number
from ademxapp.data import scenes
from ademxapp.flags import flag
from iclass.datasets import DATASETS as CLASSIFICATION
from issegm.datasets import DATASETS as SEGMENTATION

from .common import Candidate, Preparation, Split

SCENES = {"train": 360, "val": 60}
PATCHES = {"train": 400, "val": 40}


@dataclass(frozen=True)
class Settings(Preparation):
    """The seed of the drawing."""

    seed: int = flag("of the drawn dataset", 0, type=number(int, 0))


def splits(asked: Settings) -> Iterator[Split]:
    """Draw the dataset below the root; the splits of `demo` and of `demo-cls`."""
    drawn = scenes.write_scenes(asked.root, SEGMENTATION["demo"].palette, SCENES, asked.seed)
    patches = scenes.write_patches(asked.root, PATCHES, 48, asked.seed)
    for name, pairs in drawn.items():
        samples = [Candidate(asked.root, image, label_image=label) for image, label in pairs]
        yield Split(name, SEGMENTATION["demo"], samples, drawn=True)
    for name, rows in patches.items():
        samples = [Candidate(asked.root, image, class_id) for class_id, image in rows]
        yield Split(name, CLASSIFICATION["demo-cls"], samples, drawn=True)
