"""The page of the miniature, of the rows done so far: both tables, what shows of the paper's claims, plots, curves."""
import itertools
import os
from dataclasses import dataclass

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from matplotlib.transforms import Bbox

from ademxapp.files import replacing, write_text
from ademxapp.inspection.memory import MIB
from tools.reproducing.miniature import add_results_arguments, read_rows, row_names
from tools.reproducing.miniature_again import read_again
from tools.reproducing.miniature_tables import as_table, classifiers, segmenters
from tools.reproducing.recipes import read_recipe


@dataclass(frozen=True)
class Claim:
    """What the paper says of two networks: `first` is better than `second`, or no better, or no worse (`relation`).

    A network is (name, head), head None for classification; the paper's figures are in percent, of the score that
    `score` names.
    """

    text: str
    first: tuple
    second: tuple
    score: str
    paper: tuple
    relation: str = "better"


CLAIMS = (
    Claim("Model A classifies better than the much deeper ResNet-152", ("rna-a", None), ("rn-152", None),
          "top1_error", (19.2, 21.8)),
    Claim("Model B, of 20 layers, classifies better than ResNet-101", ("rna-b", None), ("rn-101", None), "top1_error",
          (21.0, 22.1)),
    Claim("Model D, at half the crop and so at less cost, classifies about as well as ResNet-152", ("rna-d", None),
          ("rn-152", None), "top1_error", (22.1, 21.8), "no worse"),
    Claim("16 wide layers classify as well as the 101 of ResNet-101, at its speed", ("rna-224-0-1-1-1-1-1-1", None),
          ("rn-101", None), "top1_error", (22.0, 22.1), "no worse"),
    Claim("ResNet-152 segments no better than ResNet-101", ("rn-152", "1conv"), ("rn-101", "1conv"), "mean_iou",
          (75.37, 75.35), "no better"),
    Claim("Model A (strided) segments better than ResNet-152", ("rna-a1", "1conv"), ("rn-152", "1conv"), "mean_iou",
          (78.76, 75.37)),
    Claim("Model D segments no worse than ResNet-152", ("rna-d1", "1conv"), ("rn-152", "1conv"), "mean_iou",
          (75.66, 75.37), "no worse"),
    Claim("Model B segments worse than ResNet-101, though it classifies better", ("rn-101", "1conv"),
          ("rna-b1", "1conv"), "mean_iou", (75.35, 73.37)),
    Claim("a second convolution in the top helps Model A", ("rna-a1", "2conv"), ("rna-a1", "1conv"), "mean_iou",
          (80.84, 78.76)),
    Claim("strides serve segmentation better than poolings do (the paper's figures are of ADE20K)",
          ("rna-a1", "1conv"), ("rna-a", "1conv"), "mean_iou", (43.09, 41.24)),
)
PLACES = ((1, 0), (-1, 0), (0, 10), (0, -10), (1, 10), (1, -10), (-1, 10), (-1, -10))  # of names beside their dots
DOT = 4  # pixels, half of a dot
COLOURS = [*(f"C{number}" for number in range(10)), "black"]
ANSWERS = {"yes": "Of what the paper says, this shows here", "no:": "This does not", "no difference": "The seeds leave "
           "this open", "not trained": "Rows that are not done leave this open"}  # by how verdicts begin


def add_arguments(parser):
    """Add the arguments of mini-page."""
    parser.description = __doc__
    add_results_arguments(parser)
    parser.add_argument("--out", default="docs/results/miniature.md", metavar="FILE", help="Markdown file; its "
                        "pictures go into a folder of the same name (default: %(default)s)")


def run(args):
    """Write the page and its pictures."""
    recipe, rows = read_recipe(args.recipe), read_rows(args.results, args.recipe)
    folder = os.path.splitext(args.out)[0]
    os.makedirs(folder, exist_ok=True)
    first, second = classifiers(args), segmenters(args)
    draw_costs(first, "top1_error", "multiply_adds", 1e6, ("multiply-adds of a test image (M)", "top-1 error (%)"),
               os.path.join(folder, "table1.png"))
    draw_costs(second, "mean_iou", "memory", MIB, ("planned memory of training (MiB)", "mean IoU (%)"),
               os.path.join(folder, "table2.png"))
    draw_curves(rows, os.path.join(folder, "curves.png"))
    names = row_names(recipe)
    waiting = [name for name in names if name not in rows]
    place = os.path.basename(folder)
    write_text(args.out, "\n\n".join(part for part in [
        f"# {recipe['title']}", " ".join(recipe["about"].split()),
        f"Rows that are done: {len(rows)} of {len(names)}." + (f" Not yet: {', '.join(waiting)}." if waiting else ""),
        *budget(rows, recipe.get("minutes")), *repeated(read_again(args.results, rows)),
        "## Table 1", as_table(first, True), f"![error against multiply-adds]({place}/table1.png)",
        "## Table 2", as_table(second, True), f"![mean IoU against memory]({place}/table2.png)",
        "## What shows of the paper's claims", summary(first + second), claims_table(first + second),
        " ".join(recipe.get("notes", "").split()),
        "## Training", f"![curves of all trainings]({place}/curves.png)",
        "## How this was made", f"`python tools/reproduce.py mini --data $ADEMXAPP_DATA` trains and tests the rows of "
        f"`{args.recipe}` that are not done, and keeps what came of them in `{args.results}`; "
        "`python tools/reproduce.py mini-table1 --speed` measures the speeds; `python tools/reproduce.py mini-page` "
        "made this page."] if part) + "\n")


def budget(rows, allowed):
    """Sentences about the time that the rows took; `allowed` are so many minutes of two cores for each, or None."""
    if rows:
        minutes = {name: row["processor_minutes"] for name, row in rows.items()}
        longest, tests = max(minutes, key=minutes.get), max(row["test_minutes"] for row in rows.values())
        yield (f"Each row computes in one thread, and two go side by side on two cores. A row's trainings took "
               f"{min(minutes.values()):.1f} to {minutes[longest]:.1f} minutes of processor time (the longest is "
               f"{longest}), {sum(minutes.values()):.0f} in all; its tests at most {tests:.1f} minutes by the clock.")
    if rows and allowed:
        over = [name for name, row in rows.items() if row["processor_minutes"] / 2 + row["test_minutes"] > allowed]
        yield f"Allowed are {allowed} minutes of two cores for a row; longer took {', '.join(over) or 'none'}."


def repeated(again):
    """Sentences about the rows that were trained once more."""
    for name, found in again.items():
        same = "all are the same" if not found["different"] else f"{found['different']} are others"
        yield (f"`python tools/reproduce.py mini-again {name}` trained and tested row {name} a second time: of its "
               f"{found['numbers']} scores, losses and accuracies {same}.")


def compared(networks):
    """(claim, its first network, its second one, each None if it is not there) of every claim."""
    found = {(network.name, network.head): network for network in networks}
    return [(claim, found.get(claim.first), found.get(claim.second)) for claim in CLAIMS]


def summary(networks):
    """The claims that show, those that do not, and those that are open."""
    texts = {begin: [claim.text for claim, *pair in compared(networks) if verdict(claim, *pair).startswith(begin)]
             for begin in ANSWERS}
    return "\n\n".join(f"{ANSWERS[begin]}: {'; '.join(found)}." for begin, found in texts.items() if found)


def claims_table(networks):
    """Claims, the paper's figures and those here, and what they say."""
    lines = ["| the paper says | its figures | here | cost here | shows here |", "|---|---:|---:|---:|---|"]
    for claim, first, second in compared(networks):
        here = "–"
        if first and second and claim.score in first.scores and claim.score in second.scores:
            here = " / ".join(f"{network.mean(claim.score):.2f}" for network in (first, second))
        lines.append(f"| {claim.text} | {claim.paper[0]:g} / {claim.paper[1]:g} | {here} | "
                     f"{costs_text(first, second)} | {verdict(claim, first, second)} |")
    return "\n".join(lines)


def costs_text(first, second):
    """What two networks cost, in words: multiply-adds of a test image in Table 1, planned memory in Table 2."""
    if not first or not second:
        return "–"
    name, unit, what = ("memory", MIB, "MiB") if first.head else ("multiply_adds", 1e6, "M multiply-adds")
    return " / ".join(f"{network.costs[name] / unit:.0f}" for network in (first, second)) + f" {what}"


def verdict(claim, first, second):
    """Whether two networks' scores are as the paper says, in words; differences within the seeds' spread are none."""
    if not first or not second or claim.score not in first.scores or claim.score not in second.scores:
        return "not trained yet"
    ahead = first.mean(claim.score) - second.mean(claim.score)
    ahead = -ahead if claim.score == "top1_error" else ahead
    seeds = [len(network.scores[claim.score]) for network in (first, second)]
    spread = max(first.spread(claim.score), second.spread(claim.score))
    sure = f"{abs(ahead):.1f} points, " + (f"seeds {spread:.1f} apart" if max(seeds) > 1 else "one seed")
    if claim.relation == "better" and abs(ahead) <= spread:
        return f"no difference beyond the seeds' ({sure})"
    holds = {"better": ahead > 0, "no better": ahead <= spread, "no worse": ahead >= -spread}[claim.relation]
    better = "the first" if ahead > 0 else "the second"
    return f"{'yes' if holds else 'no'}: {better if ahead else 'neither'} is better by {sure}"


def draw_costs(networks, score, cost, unit, titles, path):
    """Draw scores over costs: ResNets and the paper's networks in two colours, a dot for each seed, joined."""
    figure, (axes,) = _figure(1, (8, 5))
    drawn = [network for network in networks if score in network.scores]
    for network in drawn:
        colour = "tab:red" if network.name.startswith("rn-") else "tab:blue"
        axes.plot([network.costs[cost] / unit] * len(network.scores[score]), network.scores[score], color=colour,
                  marker="o", linewidth=1)
    axes.set(xlabel=titles[0], ylabel=titles[1], xscale="log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 4, 6, 8)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.margins(x=0.15)
    _name_dots(figure, axes, [(network.costs[cost] / unit, network.scores[score], network.method.replace(
        ", 1 conv.", "")) for network in drawn])
    _save(figure, path)


def _name_dots(figure, axes, named):
    """Write the names of (x, list of y, name) beside the dots, where they cover neither dots nor each other."""
    figure.canvas.draw()  # from now on places are known
    renderer = figure.canvas.get_renderer()
    taken = [Bbox.from_extents(x - DOT, y - DOT, x + DOT, y + DOT)
             for x, y in axes.transData.transform([(x, y) for x, scores, _ in named for y in scores])]
    for x, scores, name in named:
        for y, (right, up) in itertools.product((scores[0], scores[-1]), PLACES):
            text = axes.annotate(name, (x, y), (7 * right, up), textcoords="offset points", fontsize=8, va="center",
                                 ha={1: "left", 0: "center", -1: "right"}[right], in_layout=False)
            box = text.get_window_extent(renderer)
            inside = axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1
            if inside and not any(map(box.overlaps, taken)):
                break
            text.remove()
        else:
            text = axes.annotate(name, (x, scores[0]), (7, 0), textcoords="offset points", fontsize=8, in_layout=False)
        taken.append(text.get_window_extent(renderer))


def draw_curves(rows, path):
    """Draw loss and accuracy of all trainings over epochs: those for classification above, for segmentation below."""
    figure, axes = _figure((2, 2), (12, 8))
    colours = {}
    for row in rows.values():
        for training in row["trainings"]:
            place = 2 if training["label"].startswith("camvid") else 0
            network = training["label"].split("_")[1].rpartition("-w")[0]
            colour = colours.setdefault(network.replace("1", "") if network.startswith("rna-") and len(network) < 7
                                        else network, COLOURS[len(colours) % len(COLOURS)])
            style = ":" if "_2conv" in training["label"] else "--" if training["label"].endswith("1") else "-"
            for column, key in enumerate(("losses", "accuracies")):
                axes[place + column].plot(training["epochs"], training[key], color=colour, linestyle=style, linewidth=1,
                                          label=f"{network}{', 2 conv.' * (style == ':')}"
                                          if training["label"].endswith("0") else None)
    for place, title in enumerate(("classification: loss", "classification: accuracy on training crops",
                                   "segmentation: loss", "segmentation: accuracy on training crops")):
        axes[place].set(title=title, xlabel="epoch")
        if axes[place].get_legend_handles_labels()[0]:
            axes[place].legend(fontsize=7, ncol=2)
    _save(figure, path)


def _figure(grid, size):
    """A figure without a screen, and its axes in a list."""
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    rows, columns = grid if isinstance(grid, tuple) else (1, grid)
    axes = [figure.add_subplot(rows, columns, place + 1) for place in range(rows * columns)]
    for one in axes:
        one.grid(alpha=0.3)
    return figure, axes


def _save(figure, path):
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=90, format="png")
