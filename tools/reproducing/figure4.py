"""Figure 4: how large a gradient arrives at the input along paths of every length (paper section 6.3).

    python tools/reproduce.py figure4 --weights output/figure4/cifar10_rn-cifar110_cls10_ep-0003.params \\
        --untrained cifar10_rn-cifar110_cls10 --data $ADEMXAPP_DATA --out docs/results/figure4.json

Every network, trained or not, is measured on images of its label's dataset, <data>/<dataset>. For every path length k,
some batches of images go forward through the whole network, and back along one path each: through the mappings of k
units drawn at random, and the shortcuts of the others. What was measured is kept in --output; it is measured again only
where weights, images or settings are others. Weights that are not there are named.
"""
import functools
import glob
import hashlib
import logging
import os
import sys
from dataclasses import dataclass
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from tqdm import tqdm

from ademxapp import driver
from ademxapp.cli import LOG, Parser, UsageError, number, table
from ademxapp.engine import Device
from ademxapp.files import Values, digest, kept, replacing, write_json
from ademxapp.inspection.paths import PathGradients, measure, read_off, spread_lengths
from ademxapp.settings import Data, Devices
from ademxapp.symbol import Label, SymbolOptions, classification_symbol, label_epoch, label_stem, network, parse_label
from ademxapp.weights.parameters import load_parameters, parameter_shapes, require_exact, start_afresh
from iclass.data import TestImages

from .keep import read_json
from .steps import add_data_argument, require_data

STATISTICS = ("moving", "batch")
KEPT = "docs/results/figure4/figure4.json"
COLUMNS = ("network", "dataset", "parameters", "top-1 error, %", "units n", "k = 0", "n/4", "n/2", "3n/4", "k = n",
           "long over short", "longest over shortest", "per mapping", "95 % of contributions")
PANELS = ("norm per image", "norm per image", "share, times number of paths")


def add_arguments(parser: Parser) -> None:
    """Add the arguments of `reproduce.py figure4`."""
    parser.description = __doc__
    for flag, what, text in (("--weights", "FILE", "trained networks, with spaces or commas between them"),
                             ("--untrained", "LABEL", "networks with the parameters that a training would start from")):
        parser.add_argument(flag, metavar=what, nargs="+", action="extend", default=[], help=text)
    add_data_argument(parser)
    parser.add_argument("--split", default="val", help="where the images are from")
    parser.add_argument("--crop-size", type=number(int, 1), metavar="PIXELS", help="side of the images (default: as "
                        "the network was trained, by the snapshot beside its weights; else the network's)")
    parser.add_argument("--lengths", type=number(int, 5), default=21, metavar="N", help="path lengths, evenly spread "
                        "from 0 to all units; all of a network that has no more")
    parser.add_argument("--paths", type=number(int, 2), default=10, metavar="N", help="for every length, each with a "
                        "batch of its own")
    parser.add_argument("--batch-images", type=number(int, 1), default=16, metavar="N", help="images per batch")
    parser.add_argument("--statistics", choices=STATISTICS, help="of batch normalisation (default: the moving ones, as "
                        "in testing, of trained networks; those of the batch, of untrained ones)")
    parser.add_argument("--seed", type=number(int, 0), default=0, help="of images, paths and initial parameters")
    parser.add_argument("--gpu", type=number(int, 0), metavar="N", help="card (default: the first, if any)")
    parser.add_argument("--output", default=os.path.join("output", "figure4"), metavar="DIR", help="folder of what was "
                        "measured")
    parser.add_argument("--out", metavar="FILE", help="JSON file of all of it, for the page")


@dataclass(frozen=True)
class Asked:
    """A network to be measured: `weights` (a path) or None, the side of its images, what statistics normalise it."""

    label: Label
    stem: str
    weights: Optional[str]
    crop: int
    statistics: str
    epochs: Optional[Tuple[Optional[int], Optional[int]]]  # that the weights have seen, and those of their schedule

    @property
    def name(self) -> str:
        """What tells it from others."""
        return os.path.splitext(os.path.basename(self.weights))[0] if self.weights else f"{self.stem}_untrained"


class Sample(NamedTuple):
    """The images and the paths that all networks are measured with; fields as the flags."""

    split: str
    most_lengths: int
    paths: int
    batch_images: int
    seed: int


def run(weights: Sequence[str], untrained: Sequence[str], data: Optional[str], split: str, crop_size: Optional[int],
        lengths: int, paths: int, batch_images: int, statistics: Optional[str], seed: int, gpu: Optional[int],
        output: str, out: Optional[str]) -> int:
    """Measure the networks that are there; print, and write, what was measured."""
    weights, untrained = ([name for name in ",".join(names).split(",") if name] for names in (weights, untrained))
    if not weights and not untrained:
        raise UsageError("no network is named: give --weights FILE, or --untrained LABEL")
    if out and not out.endswith(".json"):
        raise UsageError(f"--out {out}: wanted a JSON file; pages are written by people, and filled by "
                         "`python tools/reproduce.py pages`")
    data, sample = require_data(data), Sample(split, lengths, paths, batch_images, seed)
    device, = driver.devices(Devices(gpus=None if gpu is None else (gpu,)), logging.getLogger(LOG))
    missing = [path for path in weights if not os.path.isfile(path)]
    asked = [ask(path, path, crop_size, statistics) for path in weights if path not in missing]
    crops = {item.stem: item.crop for item in asked}
    asked += [ask(label, None, crop_size or crops.get(label_stem(label)), statistics) for label in untrained]
    for path in missing:
        print(f"needs {path}: there is no such file")
    if not asked:
        raise ValueError(f"none of the networks is there to be measured: there is no file {missing[0]}")
    records = [measured(item, sample, os.path.join(data, item.label.dataset), device, output) for item in asked]
    print(summary_table(records, markdown=False))
    if out:
        write_json(out, {"needs": [os.path.basename(path) for path in missing], "networks": records})
    return 0


def ask(text: str, weights: Optional[str], crop: Optional[int], statistics: Optional[str]) -> Asked:
    """A network of a label or a checkpoint; UsageError if it is none for classification."""
    try:
        label = parse_label(text)
        settings = network(label.network).input
    except ValueError as error:
        raise UsageError(str(error)) from None
    if label.stride is not None:
        raise UsageError(f"{text} is for segmentation: Figure 4 is of networks for classification")
    training = training_arguments(weights) if weights else {}
    if weights and not (crop or training.get("crop_size")):
        print(f"{weights}: no snapshot beside it tells the crops of its training: its images have "
              f"{settings.train_crop} pixels here, unless --crop-size says otherwise", file=sys.stderr)
    return Asked(label, label_stem(text), weights, crop or training.get("crop_size") or settings.train_crop,
                 statistics or STATISTICS[weights is None],
                 (label_epoch(weights), training.get("to_epoch")) if weights else None)


def training_arguments(weights: str) -> Dict[str, Any]:
    """The arguments of the training that made these weights, by a snapshot beside them; {} if there is none."""
    folder = os.path.join(os.path.dirname(weights), f"{label_stem(weights)}_snapshot")
    states = sorted(glob.glob(os.path.join(glob.escape(folder), "*", "state.json")))
    return read_json(states[-1]).get("arguments", {}) if states else {}


def measured(asked: Asked, sample: Sample, root: str, device: Device, output: str) -> Values:
    """The record of a network: how it was measured, and `norms`, by path length and batch."""
    batches = read_batches(asked, sample, root)
    how = {"name": asked.name, "label": str(asked.label), "network": asked.label.network,
           "weights": asked.weights and os.path.basename(asked.weights),
           "weights_sha256": asked.weights and digest(asked.weights), "crop": asked.crop,
           "statistics": asked.statistics, **sample._asdict(),
           "images_sha256": hashlib.sha256(b"".join(data.tobytes() for data, _ in batches)).hexdigest()}

    def make() -> Values:
        gradients = bound(asked, (sample.batch_images, 3, asked.crop, asked.crop), sample.seed, device)
        lengths = spread_lengths(len(gradients.units), sample.most_lengths)
        bar = functools.partial(tqdm, unit="path", desc=asked.name, disable=None)
        norms = measure(gradients, batches, lengths, sample.seed, bar)
        return {"units": len(gradients.units), "lengths": lengths,
                "norms": [[float(f"{norm:.5g}") for norm in row] for row in norms]}

    found = kept(os.path.join(output, f"{asked.name}_paths.json"), how, make)
    return {**how, "epochs": asked.epochs, "top1_error": tested_error(asked.weights), **found}


def bound(asked: Asked, shape: Tuple[int, ...], seed: int, device: Device) -> PathGradients:
    """The `PathGradients` of a network."""
    plain, gated = (classification_symbol(asked.label, SymbolOptions(
        bn_use_global_stats=asked.statistics == "moving", path_gates=gates)) for gates in (False, True))
    shapes = parameter_shapes(plain, data=shape)
    if asked.weights is None:
        return PathGradients(gated, start_afresh(shapes, seed), shape, device)
    parameters = load_parameters(asked.weights)
    require_exact(parameters, shapes, asked.weights)
    return PathGradients(gated, parameters, shape, device)


def read_batches(asked: Asked, sample: Sample, root: str) -> List[Tuple[np.ndarray, np.ndarray]]:
    """Batches (data, labels) of images of the split, drawn at random; ValueError if it has too few."""
    label, settings = asked.label, network(asked.label.network).input
    samples = driver.find_samples(Data(dataset=label.dataset, split=sample.split, data_root=root), "classification",
                                  label.classes)
    wanted = sample.paths * sample.batch_images
    if len(samples) < wanted:
        raise ValueError(f"{root} has {len(samples)} images in {sample.split}, wanted {sample.paths} x "
                         f"{sample.batch_images} = {wanted}: give fewer --paths or --batch-images")
    chosen = np.random.default_rng(sample.seed).choice(len(samples), wanted, replace=False)
    images = TestImages([samples[index] for index in chosen], asked.crop, settings,
                        interpolation=settings.interpolation)
    data, labels = zip(*(images.load(index, None) for index in range(wanted)))
    return list(zip(np.split(np.concatenate(data), sample.paths), np.split(np.array(labels), sample.paths)))


def tested_error(weights: Optional[str]) -> Optional[float]:
    """The top-1 error, in percent, that a test of these weights left beside them."""
    path = os.path.join(os.path.splitext(weights or "")[0], "result.json")
    return read_json(path).get("top1_error") if weights and os.path.exists(path) else None


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
