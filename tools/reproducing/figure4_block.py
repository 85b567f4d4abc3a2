"""The table and the figure of Figure 4, of the records of what was measured."""
from typing import Sequence

from ademxapp.files import Values, replacing
from ademxapp.inspection.paths import read_off
from ademxapp.text_tables import table

from .keep import read_json

KEPT = "docs/results/figure4/figure4.json"
COLUMNS = ("network", "dataset", "parameters", "top-1 error, %", "units n", "k = 0", "n/4", "n/2", "3n/4", "k = n",
           "long over short", "longest over shortest", "per mapping", "95 % of contributions")
PANELS = ("norm per image", "norm per image", "share, times number of paths")


def block() -> str:
    """A line for every network that is kept."""
    return summary_table(read_json(KEPT)["networks"], markdown=True)


def summary_table(records: Sequence[Values], markdown: bool) -> str:
    """A line for every network, as text."""
    rows = []
    for record in records:
        found, error = read_off(record["norms"], record["lengths"], record["units"]), record["top1_error"]
        rows.append((record["network"], record["label"].split("_")[0], kind_of(record),
                     "–" if error is None else f"{error:.2f}", record["units"],
                     *(f"{mean:.2g}" for mean in found["quarter_means"]), f"{found['long_over_short']:.2g}",
                     f"{found['longest_over_shortest']:.2g}", f"{found['factor_per_mapping']:.3f}",
                     "{} … {}".format(*found["covered_lengths"])))
    return table(COLUMNS, rows, markdown)


def kind_of(record: Values) -> str:
    """Whether a record's network was trained, and how long."""
    if not record["weights"]:
        return "untrained"
    return "trained, {} of {} epochs".format(*record["epochs"]) if all(record["epochs"]) else "trained"


def draw(path: str) -> None:
    """Norms, linear and logarithmic, and expected contributions against path length; a column for each network."""
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
