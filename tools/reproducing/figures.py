"""The sheets of Figures 5 to 11: image, truth, prediction and difference of a segmentation test's images.

    python tools/reproduce.py figures5-11 --data data
    python tools/reproduce.py figures5-11 --run output/camvid_rna-a1_cls11_s8_ep-0030 --out-dir sheets

Each figure is made of its recipe's test, or of the published one of the released weights: where it has not been made
and all that it needs is there, it is made first. With --run, two sheets of any test: results.png, from the worst image
to the best, and failures.png, the worst. Differences: grey is right, black wrong, white does not count.
"""
import os
import sys
from typing import Optional, Sequence

from ademxapp import paper
from ademxapp.cli import Parser, number
from ademxapp.settings import Devices
from ademxapp.yaml_files import read_yaml
from tools import report
from tools.reproducing.paper_tables import device_settings
from tools.reproducing.steps import add_data_argument
from tools.reproducing.tested import Places, make, scores_of

SHEETS_OF_RUN = (("results.png", "spread"), ("failures.png", "worst"))


def add_arguments(parser: Parser) -> None:
    """Add the arguments of `reproduce.py figures5-11`."""
    parser.description = __doc__
    add_data_argument(parser)
    parser.add_argument("--output", default="output", metavar="DIR", help="folder of the recipes' runs")
    parser.add_argument("--run", metavar="DIR", help="folder of a segmentation test, of which to make sheets instead")
    parser.add_argument("--out-dir", metavar="DIR", help="where the sheets go (default: tables in --output)")
    parser.add_argument("--images", type=number(int, 1), default=6, metavar="N", help="images of a sheet")
    parser.add_argument("--dry-run", action="store_true", help="only tell what can be made now")
    Devices.add_to(parser)


def run(data: Optional[str], output: str, run: Optional[str], out_dir: Optional[str], images: int, dry_run: bool,
        gpus: Optional[Sequence[int]], cpus: Optional[int]) -> int:
    """Make the sheets that can be made, and tell what the others need."""
    folder = out_dir or os.path.join(output, "tables")
    places = Places(data or "data", output, device_settings(gpus, cpus))
    for name, pick in SHEETS_OF_RUN if run else ():
        if dry_run:
            print(f"{os.path.join(folder, name)} can be made now")
        else:
            sheet(run, os.path.join(folder, name), pick, images)
    figures = read_yaml(os.path.join(paper.FOLDER, "figures5-11.yaml"))["figures"]
    for figure in figures if not run else ():
        name, found = f"Figure {figure['figure']} ({figure['about']})", scores_of(figure["tests"], places)
        if found.needs:
            print(f"{name} needs {'; '.join(f'{need.place} ({need.how})' for need in found.needs)}")
        elif dry_run:
            print(f"{name} can be made now{f', after {found.how}' if found.can_be_made else ''}")
        else:
            found = make(found) if found.can_be_made else found
            sheet(found.test.folder, os.path.join(folder, f"figure{figure['figure']}.png"), figure["pick"], images)
            sys.stdout.flush()
    return 0


def sheet(tested: str, out: str, pick: str, images: int) -> None:
    """Write the sheet of a test's folder."""
    report.main(["sheet", tested, "--out", out, "--pick", pick, "--images", str(images)])
