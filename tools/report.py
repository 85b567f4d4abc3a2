"""Pictures and pages of results.

    python tools/report.py sheet output/voc_rna-a1_cls21_s8_ep-0001 --out sheet.png
    python tools/report.py sheet output/camvid_rna-a1_cls11_s8_ep-0030 --images 4 --pick spread --out sheet.png
    python tools/report.py run output/camvid_rna-a1_cls11_s8_ep-0030
    python tools/report.py data data/camvid/train.lst --root $ADEMXAPP_DATA/camvid --crop-size 240 --out seen/camvid
    python tools/report.py data data/cifar10/train.lst --root data/cifar10 --model cifar10_rn-cifar110_cls10 --out seen

`run` makes a page, page/index.html in the test's folder, that opens in any browser without a server; of a training,
running or ended (its --output folder, or <label>.jsonl), its curves so far.
`data` shows the first samples of an epoch as training with the same seed gets them: look at it before training.
"""
if __name__ == "__main__":  # run as a script: import from the repository, and report errors in one line
    import pathlib
    import sys
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])
    from ademxapp.cli import run
    run("tools.report")

import os

import numpy as np

from ademxapp.cli import Formatter, UsageError, make_parser, number
from ademxapp.data.images import stem, write_png
from ademxapp.evaluation.pictures import contact_sheet

from .reporting import data, run_page
from .reporting.gallery import labels_of, pictures, read_label, right_share
from .reporting.runs import read_run

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
    command = commands.add_parser("run", help="a page of a test: scores, confusion matrix, curves, worst images first",
                                  formatter_class=Formatter, allow_abbrev=False)
    run_page.add_arguments(command)
    command.set_defaults(run=run_page.run)
    args = parser.parse_args(argv)
    args.run(args)


def sheet(args):
    """Write a sheet as in the paper's Figures 5 to 11: difference in grey where right, black where wrong."""
    tested = read_run(args.folder)
    if not tested.segmentation:
        raise UsageError(f"{args.folder} is of a classification test: report.py run shows it")
    samples = [sample for sample in tested.samples if sample.label_image]
    chosen = pick(samples, args.folder, args.pick, args.images)
    rows = [pictures(*labels_of(sample, args.folder, tested.record), tested.record) for sample in chosen]
    write_png(args.out, contact_sheet(rows, CAPTIONS))
    print(f"{args.out}: {len(chosen)} of {len(samples)} images")


def pick(samples, folder, how, count):
    """`count` of the samples (list of Sample), by the share of right pixels for all but "first"."""
    if how == "first":
        return samples[:count]
    order = sorted(samples, key=lambda sample: right_share(read_label(
        os.path.join(folder, "correct", f"{stem(sample.image)}.png"))))
    if how == "spread":
        return [order[i] for i in sorted(set(np.linspace(0, len(order) - 1, count).round().astype(int)))]
    return order[:count] if how == "worst" else order[::-1][:count]
