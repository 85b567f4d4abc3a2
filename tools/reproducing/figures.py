"""The sheets of Figures 5 to 11: image, truth, prediction and difference of a segmentation test's images.

    python tools/reproduce.py figures5-11 --data data
    python tools/reproduce.py figures5-11 --run output/camvid_rna-a1_cls11_s8_ep-0030 --out-dir sheets

Each figure is made of its recipe's test, or of the published one of the released weights: where it has not been made
and all that it needs is there, it is made first. With --run, two sheets of any test: results.png, from the worst image
to the best, and failures.png, the worst. Differences: grey is right, black wrong, white does not count.
"""
import os
import sys

from ademxapp import paper
from ademxapp.cli import number
from ademxapp.settings import Devices
from ademxapp.yaml_files import read_yaml
from tools import report
from tools.reproducing.paper_table import device_words
from tools.reproducing.stages import add_data_argument
from tools.reproducing.tested import scores_of

SHEETS_OF_RUN = (("results.png", "spread"), ("failures.png", "worst"))


def add_arguments(parser):
    """Add the arguments of `reproduce.py figures5-11`."""
    parser.description = __doc__
    add_data_argument(parser)
    parser.add_argument("--output", default="output", metavar="DIR", help="folder of the recipes' runs")
    parser.add_argument("--run", metavar="DIR", help="folder of a segmentation test, of which to make sheets instead")
    parser.add_argument("--out-dir", metavar="DIR", help="where the sheets go (default: tables in --output)")
    parser.add_argument("--images", type=number(int, 1), metavar="N", help="images of a sheet (6)")
    parser.add_argument("--dry-run", action="store_true", help="only tell what can be made now")
    Devices.add_to(parser)


def run(args):
    """Make the sheets that can be made, and tell what the others need."""
    args.data, args.devices = args.data or "data", device_words(args)
    described = read_yaml(os.path.join(paper.FOLDER, "figures5-11.yaml"))
    folder, images = args.out_dir or os.path.join(args.output, "tables"), args.images or described["images"]
    if args.run:
        for name, pick in SHEETS_OF_RUN:
            out = os.path.join(folder, name)
            if args.dry_run:
                print(f"{out} can be made now")
            else:
                sheet(args.run, out, pick, images)
        return
    for figure in described["figures"]:
        name, found = f"Figure {figure['figure']} ({figure['about']})", scores_of(figure["tests"], args)
        if found.needs:
            missing = "; ".join(f"{need.place} ({need.how})" for need in found.needs)
            print(f"{name} needs {missing}")
        elif args.dry_run:
            print(f"{name} can be made now{f', after {found.what}' if found.make else ''}")
        else:
            if found.make:
                found.make()
            sheet(found.folder, os.path.join(folder, f"figure{figure['figure']}.png"), figure["pick"], images)
            sys.stdout.flush()


def sheet(tested, out, pick, images):
    """Write the sheet of a test's folder."""
    report.main(["sheet", tested, "--out", out, "--pick", pick, "--images", str(images)])
