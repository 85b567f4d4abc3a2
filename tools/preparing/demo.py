"""The small dataset of `make demo`: drawn here, scenes to segment and patches of single objects to classify."""
import os

from tqdm import tqdm

from ademxapp.cli import number
from ademxapp.data import scenes
from ademxapp.data.lists import Sample
from iclass.datasets import DATASETS as CLASSIFICATION
from issegm.datasets import DATASETS as SEGMENTATION

from .common import Split
from .images import Images
from .pairs import Pairs

SCENES = {"train": 360, "val": 60}
PATCHES = {"train": 400, "val": 40}
PATCH = 48


def add_arguments(parser):
    """The seed of the drawing; what was just drawn is not decoded."""
    parser.add_argument("--seed", type=number(int, 0), default=0, help="of the drawn dataset")
    parser.set_defaults(no_decode=True)


def splits(args):
    """Draw the dataset below the root; the splits of `demo` and of `demo-cls`."""
    bars = []

    def progress(done, total):
        if done <= 1 or not bars:
            bars.append(tqdm(total=total, unit="image", desc=("drawing scenes", "drawing patches")[len(bars) % 2],
                             disable=None))
        bars[-1].update(done - bars[-1].n)

    os.makedirs(args.root, exist_ok=True)
    drawn = scenes.write_demo(args.root, SEGMENTATION["demo"].palette, SCENES, PATCHES, PATCH, args.seed, progress)
    for bar in bars:
        bar.close()
    for name, pairs in drawn.scenes.items():
        samples = [Sample(args.root, image, label_image=label) for image, label in pairs]
        yield Split("demo", name, samples, Pairs(SEGMENTATION["demo"]))
    for name, rows in drawn.patches.items():
        samples = [Sample(args.root, image, class_id) for _, class_id, image in rows]
        yield Split("demo-cls", name, samples, Images(CLASSIFICATION["demo-cls"].class_names))
