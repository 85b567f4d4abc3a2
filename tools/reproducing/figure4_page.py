"""The page, the figure and the numbers of Figure 4. All of them come from the records of what was measured."""
import os

import numpy as np

from ademxapp.files import replacing, write_json, write_text
from ademxapp.inspection.paths import TINY, expected_contributions
from ademxapp.text_tables import table

COLUMNS = ("network", "parameters", "top-1 error, %", "units n", "k = 0", "n/4", "n/2", "3n/4", "k = n",
           "long over short", "per mapping", "95 % of contributions")
COVERED = 0.95  # of the expected contributions, for the column of path lengths
DRAWN = ("means", "lowest", "highest", "expected_contributions")  # lists that follow from the norms
DEEP, WIDE = ("rn-101", "rn-152", "rn-cifar110"), ("rna-a", "rna-a1", "rna-a2")


def derived(record):
    """What is read off a record's norms: a dictionary of plain numbers and lists."""
    norms, lengths, units = np.array(record["norms"]), np.array(record["lengths"]), record["units"]
    means, logs = norms.mean(1), np.log(np.maximum(norms, TINY)).mean(1)
    quarters = [int(np.abs(lengths - units * quarter / 4).argmin()) for quarter in range(5)]
    contributions = expected_contributions(lengths, means, units)
    covered = np.cumsum(contributions)
    return {"means": means.tolist(), "lowest": norms.min(1).tolist(), "highest": norms.max(1).tolist(),
            "quarter_means": means[quarters].tolist(), "longest_over_shortest": float(means[-1] / means[0]),
            "long_over_short": float(np.exp(logs[lengths >= units * 3 / 4].mean() - logs[lengths <= units / 4].mean())),
            "factor_per_mapping": float(np.exp(np.polyfit(lengths, logs, 1)[0])),
            "expected_contributions": contributions.tolist(),
            "covered_lengths": [int(np.searchsorted(covered, (1 - COVERED) / 2)),
                                int(np.searchsorted(covered, (1 + COVERED) / 2))]}


def summary_table(records, markdown):
    """A line for every network, as text."""
    return table(COLUMNS, [_row(record, derived(record)) for record in records], markdown)


def _row(record, found):
    error = record["top1_error"]
    return (record["network"], _kind(record), "–" if error is None else f"{error:.2f}", record["units"],
            *(f"{mean:.2g}" for mean in found["quarter_means"]), f"{found['long_over_short']:.2g}",
            f"{found['factor_per_mapping']:.3f}", "{} … {}".format(*found["covered_lengths"]))


def write_page(args, records, missing):
    """Write the page `args.out`, and beside it the figure (.png) and the numbers (.json)."""
    stem = os.path.splitext(args.out)[0]
    command = reproducing_command(args)
    records = [{**record, "norms": [[float(f"{norm:.5g}") for norm in row] for row in record["norms"]]}
               for record in records]
    draw(records, f"{stem}.png")
    write_json(f"{stem}.json", {"command": command, "needs": [_place(path) for path in missing], "networks": [
        {**record, **{name: value for name, value in derived(record).items() if name not in DRAWN}}
        for record in records]})
    needs = [f"Not measured: {', '.join(f'`{_place(path)}`' for path in missing)} (no such file when the page was "
             "made)."] if missing else []
    write_text(args.out, "\n\n".join([
        "# Figure 4: gradients along paths of every length",
        f"Made by\n\n```\n{command}\n```", *needs,
        f"{METHOD.format(args=args)} {STATISTICS[args.statistics]}",
        f"![gradients against path length]({os.path.basename(stem)}.png)",
        PANELS, summary_table(records, markdown=True), COLUMNS_TEXT,
        "## What is seen", verdict(records),
        "\n".join(f"- {_sentence(record, derived(record))}" for record in records)]) + "\n")


METHOD = (
    "As in section 6.3 of the paper: {args.batch_images} images go forward through the whole network; on the way back, "
    "in k units drawn at random the gradient goes through the mapping only, in the others through the shortcut only "
    "(projections are shortcuts). What is measured is the Euclidean norm of the gradient of the summed loss at the "
    "batch's input, divided by {args.batch_images}. For each of up to {args.lengths} lengths k, from 0 to all units, "
    "there are {args.paths} paths, each with another batch, of images of the {args.split} split, at the size that the "
    "figure names; the batches are the same for every k and every network of that dataset and size.")
STATISTICS = {
    None: "Batch normalisation has its moving statistics, as in testing, in trained networks, so that no image's "
          "gradient depends on another; in untrained ones it has those of the batch, as the moving ones are not set "
          "yet, and the gradient goes through them.",
    "moving": "Batch normalisation has its moving statistics, as in testing.",
    "batch": "Batch normalisation has the statistics of the batch, as in training, and the gradient goes through them.",
}
PANELS = (
    "Above, on a linear scale as in the paper, and in the middle, on a logarithmic one: the mean norm over the paths "
    "of each length, and the range from the smallest to the largest. Below: the mean times the number of paths of that "
    "length, n over k, as shares of their sum (the right part of Veit et al., Fig. 6).")
COLUMNS_TEXT = (
    "*k = 0* to *k = n*: mean norm at the path length nearest to that. *Long over short*: geometric mean of the norms "
    "of the longest quarter of the lengths over that of the shortest quarter. *Per mapping*: what one more mapping "
    "multiplies the norm by, fitted to the logarithms of all norms. *95 % of contributions*: path lengths that hold "
    "the middle 95 % of the lower panels' shares; between the measured lengths these are interpolated. A name "
    "that ends in -w and a number is that of a network of so many times the width. Epochs are those of a training's "
    "own schedule: `recipes/figure4.yaml` tells how the networks of this project's page were trained, and ResNet-110 "
    "on how many of the images.")


def _sentence(record, found):
    return (f"{_named(record)}, {_kind(record)}, {record['units']} units: the gradients of the longest quarter of the "
            f"path lengths have {_times(found['long_over_short'])} the norm of those of the shortest quarter; the "
            f"longest path's has {_times(found['longest_over_shortest'])} that of the shortest. 95 % of the expected "
            "contributions come from paths of {} to {} mappings.".format(*found["covered_lengths"]))


def verdict(records):
    """Whether the paper's observation shows in the trained networks, in words."""
    trained = [(record, derived(record)["long_over_short"]) for record in records if record["weights"]]
    deep, wide = ([(_named(record), ratio) for record, ratio in trained if _base(record) in names]
                  for names in (DEEP, WIDE))
    if not deep or not wide:
        return "No comparison of the paper's yet: it needs a trained deep ResNet and a trained Model A."
    said = [f"{name} {_times(ratio)}" for name, ratio in deep + wide]
    less = max(ratio for _, ratio in deep) < min(ratio for _, ratio in wide)
    apart = sorted(max(ratio, 1 / max(ratio, TINY)) for _, ratio in wide)
    veit = [derived(record)["covered_lengths"] for record, _ in trained if _base(record) == "rn-cifar110"]
    return (
        "The paper sees much smaller gradients from long than from short paths in the deep ResNets, and more "
        "comparable ones in Model A. Here, the longest quarter of the lengths against the shortest: "
        f"{', '.join(said)}. So "
        + ("every deep ResNet loses more towards its long paths than Model A does" if less else
           "it does not hold that every deep ResNet loses more towards its long paths than Model A does")
        + ("; Model A's stay within a factor of three of each other." if apart[-1] <= 3 else
           f"; but Model A's, too, are apart, by a factor of {' and '.join(f'{times:,.0f}' for times in apart)}.")
        + "".join(" Veit et al. found that most gradients in a 110-layer ResNet go through up to seventeen units; here "
                  "95 % of its expected contributions come from paths of {} to {}.".format(*found) for found in veit))


def draw(records, path):
    """Norms, linear and logarithmic, and expected contributions against path length; a column for each network."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # here: it takes a second to import
    from matplotlib.figure import Figure

    columns = list(dict.fromkeys((record["label"], record["crop"]) for record in records))
    figure = Figure(figsize=(1 + 2.9 * len(columns), 7.6), tight_layout=True)
    FigureCanvasAgg(figure)
    axes = figure.subplots(3, len(columns), squeeze=False)
    for record in records:
        found, (linear, logarithmic, shares) = derived(record), axes[:, columns.index((record["label"],
                                                                                       record["crop"]))]
        lengths, colour = record["lengths"], "tab:blue" if record["weights"] else "tab:orange"
        for panel in (linear, logarithmic):
            panel.plot(lengths, found["means"], color=colour, linewidth=1.2, label=_kind(record))
            panel.fill_between(lengths, found["lowest"], found["highest"], color=colour, alpha=0.25, linewidth=0)
        logarithmic.set_yscale("log")
        shares.plot(range(record["units"] + 1), found["expected_contributions"], color=colour, linewidth=1.2)
        linear.set_title(f"{record['label'].split('_')[0]}\n{record['network']}, {record['crop']} pixels",
                         fontsize="medium")
        linear.legend(fontsize="small", frameon=False)
        shares.set_xlabel("path length k, mappings")
    for panel in axes.flat:
        panel.grid(alpha=0.3)
    for row, text in enumerate(("norm per image", "norm per image", "share, times number of paths")):
        axes[row][0].set_ylabel(text)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=80, format="png")


def reproducing_command(args):
    """The command that makes the page, without places of this machine."""
    parts = ["python tools/reproduce.py figure4"]
    parts += [f"--weights {' '.join(map(_place, args.weights))}"] if args.weights else []
    parts += [f"--untrained {' '.join(args.untrained)}"] if args.untrained else []
    parts += ["--data $ADEMXAPP_DATA"]
    for name, default in (("split", "val"), ("crop_size", None), ("lengths", 21), ("paths", 10), ("batch_images", 16),
                          ("statistics", None), ("seed", 0)):
        value = getattr(args, name)
        parts += [f"--{name.replace('_', '-')} {value}"] if value != default else []
    return " ".join(parts + [f"--out {_place(args.out)}"])


def _place(path):
    relative = os.path.relpath(path)
    return f"…/{os.path.basename(path)}" if relative.startswith("..") else relative


def _kind(record):
    if not record["weights"]:
        return "untrained"
    return "trained, {} of {} epochs".format(*record["epochs"]) if all(record["epochs"]) else "trained"


def _base(record):
    return record["network"].partition("-w")[0]


def _named(record):
    return f"{record['network']} ({record['label'].split('_')[0]})"


def _times(ratio):
    return f"{ratio:.2g} times"
