"""The small dataset of `make demo`: drawn here, scenes to segment and patches of single objects to classify."""
import os
from dataclasses import dataclass
from typing import Any, Iterator, List

from tqdm import tqdm

from ademxapp.cli import number
from ademxapp.data import scenes
from ademxapp.data.lists import Sample
from ademxapp.flags import flag
from iclass.datasets import DATASETS as CLASSIFICATION
from issegm.datasets import DATASETS as SEGMENTATION

from .common import Preparation, Split
from .images import Images
from .pairs import Pairs

SCENES = {"train": 360, "val": 60}
PATCHES = {"train": 400, "val": 40}
PATCH = 48


@dataclass(frozen=True)
class Settings(Preparation):
    """The seed of the drawing."""

    seed: int = flag("of the drawn dataset", 0, type=number(int, 0))


def splits(asked: Settings) -> Iterator[Split]:
    """Draw the dataset below the root; the splits of `demo` and of `demo-cls`."""
    bars: List[Any] = []

    def progress(done: int, total: int) -> None:
        if done <= 1 or not bars:
            bars.append(tqdm(total=total, unit="image", desc=("drawing scenes", "drawing patches")[len(bars) % 2],
                             disable=None))
        bars[-1].update(done - bars[-1].n)

    os.makedirs(asked.root, exist_ok=True)
    drawn = scenes.write_demo(asked.root, SEGMENTATION["demo"].palette, SCENES, PATCHES, PATCH, asked.seed, progress)
    for bar in bars:
        bar.close()
    for name, pairs in drawn.scenes.items():
        samples = [Sample(asked.root, image, label_image=label) for image, label in pairs]
        yield Split("demo", name, samples, Pairs(SEGMENTATION["demo"]), drawn=True)
    for name, rows in drawn.patches.items():
        samples = [Sample(asked.root, image, class_id) for _, class_id, image in rows]
        yield Split("demo-cls", name, samples, Images(CLASSIFICATION["demo-cls"].class_names), drawn=True)
