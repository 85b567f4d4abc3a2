"""Pictures and pages of results.

    python tools/report.py sheet output/voc_rna-a1_cls21_s8_ep-0001 --out sheet.png
    python tools/report.py sheet output/camvid_rna-a1_cls11_s8_ep-0030 --images 4 --pick spread --out sheet.png
    python tools/report.py run output/camvid_rna-a1_cls11_s8_ep-0030
    python tools/report.py data data/camvid/train.lst --root $ADEMXAPP_DATA/camvid --crop-size 240 --out seen/camvid
    python tools/report.py data data/cifar10/train.lst --root data/cifar10 --model cifar10_rn-cifar110_cls10 --out seen
    python tools/report.py paths --weights output/figure4/cifar10_rn-cifar110_cls10_ep-0003.params \\
        --untrained cifar10_rn-cifar110_cls10 --data $ADEMXAPP_DATA --out figure4.json
    python tools/report.py ceiling data/camvid/val.lst --model camvid_rna-a1_cls11_s8 --test-scales 480,600,960

`run` makes a page, page/index.html in the test's folder, that opens in any browser without a server; of a training,
running or ended (its --output folder, or <label>.jsonl), its curves so far.
`data` shows the first samples of an epoch as training with the same seed gets them: look at it before training.
`paths` measures gradients along paths through residual networks, as Figure 4, on images of each label's dataset,
<data>/<dataset>. For every path length k, some batches go forward through the whole network, and back along one path
each: through the mappings of k units drawn at random, and the shortcuts of the others. What was measured is kept in
--output; it is measured again only where weights, images or settings are others.
`ceiling` tells what the cells of a stride cannot hold, at sizes to choose from: poles that lie between the centres.
"""
if __name__ == "__main__":  # run as a script: import from the repository, and report errors in one line
    import pathlib
    import sys
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])
    from ademxapp.cli import run
    run("tools.report")

import os
from dataclasses import dataclass
from typing import Optional, Sequence

import numpy as np

from ademxapp.cli import Formatter, UsageError, make_parser, number
from ademxapp.data.images import decode_label, read_bytes, stem, write_png
from ademxapp.evaluation.pictures import RIGHT, WRONG, contact_sheet
from ademxapp.flags import Settings, flag

from .reporting import data, paths, run
from .reporting.run import read_run

PICKS = ("first", "spread", "worst", "best")


@dataclass(frozen=True)
class Sheet(Settings):
    """What `sheet` is asked for."""

    folder: str = flag("folder of a segmentation test", positional=True)
    out: str = flag("file to write", required=True, metavar="PNG")
    images: int = flag("how many", 6, type=number(int, 1))
    pick: str = flag("which: the first, some evenly from worst to best, the worst, the best", "spread", choices=PICKS)


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Run the subcommand that the arguments name."""
    parser = make_parser(__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, asked, call, text in (
            ("sheet", Sheet, sheet, "image, truth, prediction and difference of a test's images, one PNG"),
            ("data", data.DataSheets, data.sheets,
             "what training sees: samples of a list and the crops made of them, PNG"),
            ("run", run.Page, run.run, "a page of a test: scores, confusion matrix, curves, worst images first"),
            ("paths", paths.Paths, paths.run, "how large a gradient arrives at the input along paths of every length"),
            ("ceiling", data.Ceiling, data.ceiling, "what a network would score that is right at every cell's "
             "centre: which size shows thin things")):
        command = commands.add_parser(name, help=text, formatter_class=Formatter, allow_abbrev=False)
        asked.add_to(command)
        command.set_defaults(call=call, asked=asked)
    args = parser.parse_args(argv)
    args.call(args.asked.from_args(args))


def sheet(asked: Sheet) -> None:
    """Write a sheet as in the paper's Figures 5 to 11: difference in grey where right, black where wrong.

    Without truths, of images and predictions alone.
    """
    tested = read_run(asked.folder)
    if not tested.segmentation:
        raise UsageError(f"{asked.folder} is of a classification test: report.py run shows it")
    labelled = [sample for sample in tested.samples if sample.label_image]
    samples = labelled or tested.samples
    if not labelled and asked.pick not in ("first", "spread"):
        raise UsageError(f"--pick {asked.pick} needs truths, and the test's list has none: wanted first or spread")
    order = samples if asked.pick == "first" or not labelled else sorted(samples, key=lambda sample: right_share(
        os.path.join(asked.folder, "correct", f"{stem(sample.image)}.png")))
    chosen = (order[::-1] if asked.pick == "best" else order)[:asked.images]
    if asked.pick == "spread":
        places = np.linspace(0, len(order) - 1, asked.images).round().astype(int)
        chosen = [order[place] for place in sorted(set(places))]
    rows = [list(tested.pictures(sample).values()) for sample in chosen]
    write_png(asked.out, contact_sheet(rows, run.PICTURES if labelled else run.PICTURES[::2]))
    print(f"{asked.out}: {len(chosen)} of {len(samples)} images")


def right_share(path: str) -> float:
    """Share of right pixels in a picture of correctness, of those that count; 0 where none does."""
    correct = decode_label(read_bytes(path), path)
    right, wrong = (correct == RIGHT).sum(), (correct == WRONG).sum()
    return right / max(1, right + wrong)
