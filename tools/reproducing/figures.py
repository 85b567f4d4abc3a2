"""The sheets of Figures 5 to 11: image, truth, prediction and difference of a segmentation test's images.

    python tools/reproduce.py figures5-11 --data data
    python tools/reproduce.py figures5-11 --run output/camvid_rna-a1_cls11_s8_ep-0030 --out-dir sheets

Each figure is of its recipe's test, or of that of the released weights, once it has been made; which `reproduce.py
run` makes it is told. With --run, two sheets of any test: results.png, from the worst image to the best, and
failures.png, the worst. Differences: grey is right, black wrong, white does not count. Figure 4 stands in its page:
`report.py paths` measures it.
"""
import os
from typing import Optional

from ademxapp import paper
from ademxapp.cli import Parser, number
from ademxapp.files import replacing
from ademxapp.inspection.paths import read_off
from ademxapp.yaml_files import read_yaml

from .. import report
from ..reporting.paths import kind_of, summary_table
from .keep import read_json
from .paper_tables import scores_of
from .steps import add_data_argument

KEPT = "docs/results/figure4/figure4.json"
PANELS = ("norm per image", "norm per image", "share, times number of paths")
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


def figure4() -> str:
    """The block of Figure 4: a line for every network that is kept."""
    return summary_table(read_json(KEPT)["networks"], markdown=True)


def draw_figure4(path: str) -> None:
    """Draw Figure 4: norms, linear and logarithmic, and expected contributions by path length; a column a network."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # here: it takes a second to import
    from matplotlib.figure import Figure

    records = read_json(KEPT)["networks"]
    columns = list(dict.fromkeys((record["label"], record["crop"]) for record in records))
    figure = Figure(figsize=(1 + 2.9 * len(columns), 7.6), tight_layout=True)
    FigureCanvasAgg(figure)
    axes = figure.subplots(3, len(columns), squeeze=False)
    for record in records:
        found, lengths = read_off(record["norms"], record["lengths"], record["units"]), record["lengths"]
        linear, logarithmic, shares = axes[:, columns.index((record["label"], record["crop"]))]
        colour = "tab:blue" if record["weights"] else "tab:orange"
        for panel in (linear, logarithmic):
            panel.plot(lengths, found["means"], color=colour, linewidth=1.2, label=kind_of(record))
            panel.fill_between(lengths, found["lowest"], found["highest"], color=colour, alpha=0.25, linewidth=0)
        logarithmic.set_yscale("log")
        shares.plot(range(record["units"] + 1), found["expected_contributions"], color=colour, linewidth=1.2)
        linear.set_title(f"{record['label'].split('_')[0]}\n{record['network']}, {record['crop']} pixels", fontsize=10)
        linear.legend(fontsize="small", frameon=False)
        shares.set_xlabel("path length k, mappings")
    for row, text in zip(axes, PANELS):
        row[0].set_ylabel(text)
        for panel in row:
            panel.grid(alpha=0.3)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=80, format="png")
