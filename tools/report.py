"""Pictures and pages of results.

    python tools/report.py sheet output/voc_rna-a1_cls21_s8_ep-0001 --out sheet.png
    python tools/report.py sheet output/camvid_rna-a1_cls11_s8_ep-0030 --images 4 --pick spread --out sheet.png
    python tools/report.py data data/camvid/train.lst --root $ADEMXAPP_DATA/camvid --crop-size 240 --out seen/camvid
    python tools/report.py data data/cifar10/train.lst --root data/cifar10 --model cifar10_rn-cifar110_cls10 --out seen

`data` shows the first samples of an epoch as training with the same seed gets them: look at it before training.
"""
if __name__ == "__main__":  # run as a script: import from the repository, and report errors in one line
    import pathlib
    import sys
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])
    from ademxapp.cli import run
    run("tools.report")

import os
from argparse import Namespace

import numpy as np

from ademxapp.cli import Formatter, make_parser, number
from ademxapp.data.images import decode_label, read_bytes, stem, write_png
from ademxapp.data.lists import read_segmentation_list
from ademxapp.driver import find_samples, read_result
from ademxapp.evaluation.pictures import RIGHT, WRONG, class_colours, contact_sheet, correct_picture
from issegm.data import read_pair
from issegm.datasets import dataset_record
from tools.reporting import data

CAPTIONS = ("image", "truth", "prediction", "difference")
PICKS = ("first", "spread", "worst", "best")


def main(argv=None):
    """Run the subcommand that the arguments name."""
    parser = make_parser(__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command = commands.add_parser("sheet", help="image, truth, prediction and difference of a test's images, one PNG")
    command.add_argument("folder", help="folder of a segmentation test")
    command.add_argument("--out", required=True, metavar="PNG", help="file to write")
    command.add_argument("--images", type=number(int, 1), default=6, help="how many")
    command.add_argument("--pick", choices=PICKS, default="spread", help="which: the first, some evenly from worst to "
                         "best, the worst, the best")
    command.set_defaults(run=sheet)
    command = commands.add_parser("data", help="what training sees: samples of a list and the crops made of them, PNG",
                                  formatter_class=Formatter, allow_abbrev=False)
    data.add_arguments(command)
    command.set_defaults(run=data.run)
    args = parser.parse_args(argv)
    args.run(args)


def sheet(args):
    """Write a sheet as in the paper's Figures 5 to 11: difference in grey where right, black where wrong."""
    result = read_result(os.path.join(args.folder, "result.json"))
    arguments = Namespace(**{"records": None, "dataset_file": None, **result["arguments"]})
    record = dataset_record(arguments.dataset, len(result["class_iou"]), arguments.dataset_file)
    samples = find_samples(arguments, None, lambda path: read_segmentation_list(path, arguments.data_root))
    samples = [sample for sample in samples if sample.label_image]
    chosen = pick(samples, args.folder, args.pick, args.images)
    write_png(args.out, contact_sheet([pictures(sample, args.folder, record) for sample in chosen], CAPTIONS))
    print(f"{args.out}: {len(chosen)} of {len(samples)} images")


def pick(samples, folder, how, count):
    """`count` of the samples (list of Sample), by the share of right pixels for all but "first"."""
    if how == "first":
        return samples[:count]
    order = sorted(samples, key=lambda sample: right_share(folder, sample))
    if how == "spread":
        return [order[i] for i in sorted(set(np.linspace(0, len(order) - 1, count).round().astype(int)))]
    return order[:count] if how == "worst" else order[::-1][:count]


def right_share(folder, sample):
    """Share of an image's pixels that the test has right, of those that count."""
    correct = _label(os.path.join(folder, "correct", f"{stem(sample.image)}.png"))
    right, wrong = (correct == RIGHT).sum(), (correct == WRONG).sum()
    return right / max(1, right + wrong)


def pictures(sample, folder, record):
    """Image, coloured truth, coloured prediction and difference, (H, W, 3) or (H, W) uint8 each."""
    image, truth = read_pair(sample, record)
    path = os.path.join(folder, f"{stem(sample.image)}.png")
    predicted = record.to_classes(_label(path), path)
    difference = correct_picture(truth, predicted, record.classes)
    return image, coloured(truth, record), coloured(predicted, record), difference


def coloured(classes, record):
    """Class indices (H, W) in the dataset's colours, white where they do not count: (H, W, 3) uint8."""
    return class_colours(record.palette, record.label_ids)[classes]


def _label(path):
    return decode_label(read_bytes(path), path)
