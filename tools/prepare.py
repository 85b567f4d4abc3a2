"""Check a downloaded dataset and write its lists, data/<dataset>/<split>.lst.

    python tools/prepare.py camvid --root $ADEMXAPP_DATA/camvid
    python tools/prepare.py voc --root data/VOCdevkit
    python tools/prepare.py demo --root data/demo        (draws it first)

Paths in the lists are relative to --root, which is what the drivers call --data-root.
"""
if __name__ == "__main__":  # run as a script: import from the repository, and report errors in one line
    import pathlib
    import sys
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])
    from ademxapp.cli import run
    run("tools.prepare")

import os

from tqdm import tqdm

from ademxapp.cli import UsageError, make_parser, number
from ademxapp.data import scenes
from ademxapp.data.lists import Sample, write_classification_list, write_segmentation_list
from issegm.datasets import DATASETS

DEMO_SCENES = {"train": 360, "val": 60}
DEMO_PATCHES = {"train": 400, "val": 40}
DEMO_PATCH = 48


def main(argv=None):
    """Prepare the dataset that the arguments name."""
    parser = make_parser(__doc__)
    parser.add_argument("dataset", choices=sorted(PREPARERS), help="dataset")
    parser.add_argument("--root", required=True, metavar="DIR", help="folder of the downloaded dataset")
    parser.add_argument("--out", default="data", metavar="DIR", help="folder of the lists' folders")
    parser.add_argument("--seed", type=number(int, 0), default=0, help="of the drawn dataset")
    args = parser.parse_args(argv)
    for path, count in PREPARERS[args.dataset](args):
        print(f"{path}: {count} images")


def prepare_demo(args):
    """Draw the generated dataset: scenes with labels, and patches of single objects."""
    bars = []

    def progress(done, total):
        if done <= 1 or not bars:
            bars.append(tqdm(total=total, unit="image", desc=("drawing scenes", "drawing patches")[len(bars) % 2],
                             disable=None))
        bars[-1].update(done - bars[-1].n)

    drawn = scenes.write_demo(args.root, DATASETS["demo"].palette, DEMO_SCENES, DEMO_PATCHES, DEMO_PATCH, args.seed,
                              progress)
    for bar in bars:
        bar.close()
    for split, pairs in drawn.scenes.items():
        yield _write_pairs(args, "demo", split, pairs)
    for split, rows in drawn.patches.items():
        path = os.path.join(args.out, "demo-cls", f"{split}.lst")
        write_classification_list(path, [Sample(args.root, image, class_id) for _, class_id, image in rows])
        yield path, len(rows)


def prepare_camvid(args):
    """<root>/{train,val}.txt with lines `image label`, as SegNet's copy of CamVid has them."""
    for split in ("train", "val"):
        rows = [line.split() for line in _lines(args, f"{split}.txt")]
        wrong = [number for number, row in enumerate(rows, 1) if len(row) != 2]
        if wrong:
            raise ValueError(f"{os.path.join(args.root, split)}.txt, line {wrong[0]}: wanted an image and a label, "
                             "separated by a space")
        yield _write_pairs(args, "camvid", split, rows)


def prepare_voc(args):
    """<root>/VOC2012/{JPEGImages,SegmentationClass,ImageSets/Segmentation/{train,val}.txt}."""
    for split in ("train", "val"):
        names = _lines(args, f"VOC2012/ImageSets/Segmentation/{split}.txt")
        pairs = [(f"VOC2012/JPEGImages/{name}.jpg", f"VOC2012/SegmentationClass/{name}.png") for name in names]
        yield _write_pairs(args, "voc", split, pairs)


PREPARERS = {"camvid": prepare_camvid, "demo": prepare_demo, "voc": prepare_voc}


def _lines(args, name):
    path = os.path.join(args.root, name)
    if not os.path.isfile(path):
        raise UsageError(f"--root {args.root} has no {name}: wanted the tree that `python tools/prepare.py --help` and "
                         f"the dataset's own description show")
    with open(path, encoding="utf-8") as lines:
        return [line.strip() for line in lines if line.strip()]


def _write_pairs(args, dataset, split, pairs):
    """Write the list of a split; its path and length."""
    missing = [path for pair in pairs for path in pair if not os.path.isfile(os.path.join(args.root, path))]
    if missing:
        raise ValueError(f"{len(missing)} files of {dataset} {split} are missing below {args.root}, the first is "
                         f"{missing[0]}")
    path = os.path.join(args.out, dataset, f"{split}.lst")
    write_segmentation_list(path, [Sample(args.root, image, label_image=label) for image, label in pairs])
    return path, len(pairs)
