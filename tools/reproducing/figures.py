"""The sheets of Figures 5 to 11: image, truth, prediction and difference of a segmentation test's images.

    python tools/reproduce.py figures5-11 --data data
    python tools/reproduce.py figures5-11 --run output/camvid_rna-a1_cls11_s8_ep-0030 --out-dir sheets

Each figure is of its recipe's test, or of that of the released weights, once it has been made; which `reproduce.py
run` makes it is told. With --run, two sheets of any test: results.png, from the worst image to the best, and
failures.png, the worst. Differences: grey is right, black wrong, white does not count.
"""
import os
from typing import Optional

from ademxapp import paper
from ademxapp.cli import Parser, number
from ademxapp.yaml_files import read_yaml

from .. import report
from .paper_tables import scores_of
from .steps import add_data_argument

SHEETS_OF_RUN = (("results.png", "spread"), ("failures.png", "worst"))


def add_arguments(parser: Parser) -> None:
    """Add the arguments of `reproduce.py figures5-11`."""
    parser.description = __doc__
    add_data_argument(parser)
    parser.add_argument("--output", default="output", metavar="DIR", help="folder of the recipes' runs")
    parser.add_argument("--run", metavar="DIR", help="folder of a segmentation test, of which to make sheets instead")
    parser.add_argument("--out-dir", metavar="DIR", help="where the sheets go (default: tables in --output)")
    parser.add_argument("--images", type=number(int, 1), default=6, metavar="N", help="images of a sheet")


def run(data: Optional[str], output: str, run: Optional[str], out_dir: Optional[str], images: int) -> int:
    """Make the sheets that can be made, and tell what the others need."""
    folder = out_dir or os.path.join(output, "tables")
    for name, pick in SHEETS_OF_RUN if run else ():
        sheet(run, os.path.join(folder, name), pick, images)
    figures = read_yaml(os.path.join(paper.FOLDER, "figures5-11.yaml"))["figures"]
    for figure in figures if not run else ():
        found = scores_of(figure["tests"], data or "data", output)
        if found.scores is None:
            needs = "; ".join(f"{place} ({how})" for place, how in found.lacks.items())
            print(f"Figure {figure['figure']} ({figure['about']}) needs {needs}")
        else:
            sheet(os.path.dirname(found.step.makes), os.path.join(folder, f"figure{figure['figure']}.png"),
                  figure["pick"], images)
    return 0


def sheet(tested: str, out: str, pick: str, images: int) -> None:
    """Write the sheet of a test's folder."""
    report.main(["sheet", tested, "--out", out, "--pick", pick, "--images", str(images)])
