"""ADE20K as the scene parsing challenge of 2016 has it: 150 classes.

    <root>/
      ADEChallengeData2016/
        images/
          training/*.jpg
          validation/*.jpg
        annotations/
          training/*.png
          validation/*.png
      release_test/testing/*.jpg     [optional] without labels

In the label images, class k (0 … 149) is k + 1, and 0 does not count.
"""
import os

from ademxapp.data.images import stem
from ademxapp.data.lists import Sample
from issegm.datasets import DATASETS
from tools.preparing.common import Split
from tools.preparing.images import image_names
from tools.preparing.pairs import Pairs

FOLDERS = {"train": "training", "val": "validation"}
KIND = Pairs(DATASETS["ade20k"])


def splits(args):
    """Train and val, and test where it is there."""
    for name, folder in FOLDERS.items():
        base = "ADEChallengeData2016/{}/" + folder
        yield Split("ade20k", name, [
            Sample(args.root, f"{base.format('images')}/{image}",
                   label_image=f"{base.format('annotations')}/{stem(image)}.png")
            for image in image_names(os.path.join(args.root, base.format("images")))[0]], KIND)
    if os.path.isdir(os.path.join(args.root, "release_test/testing")):
        images, _ = image_names(os.path.join(args.root, "release_test/testing"))
        yield Split("ade20k", "test", [Sample(args.root, f"release_test/testing/{image}") for image in images], KIND)
