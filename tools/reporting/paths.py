"""Gradients along paths: how large one arrives at the input along paths of every length (paper section 6.3, Fig. 4)."""
import functools
import hashlib
import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

import numpy as np
from tqdm import tqdm

from ademxapp import driver
from ademxapp.cli import LOG, UsageError, number, require_data, table
from ademxapp.data.images import stem
from ademxapp.engine import Device
from ademxapp.errors import usage_errors
from ademxapp.files import Values, digest, kept, read_json, replacing, write_json
from ademxapp.flags import Settings, flag
from ademxapp.inspection.paths import PathGradients, measure, read_off, spread_lengths
from ademxapp.settings import Data, Devices
from ademxapp.symbol import Label, SymbolOptions, classification_symbol, label_epoch, label_stem, network, parse_label
from ademxapp.weights.parameters import load_parameters, parameter_shapes, require_exact, start_afresh
from iclass.datasets import TestImages

COLUMNS = ("network", "dataset", "parameters", "top-1 error, %", "units n", "k = 0", "n/4", "n/2", "3n/4", "k = n",
           "long over short", "longest over shortest", "per mapping", "95 % of contributions")


@dataclass(frozen=True)
class Paths(Settings):
    """What `report.py paths` is asked for."""

    weights: Optional[Sequence[str]] = flag("trained networks, with spaces or commas between them", metavar="FILE",
                                            nargs="+", action="extend")
    untrained: Optional[Sequence[str]] = flag("networks with the parameters that a training would start from",
                                              metavar="LABEL", nargs="+", action="extend")
    data: Optional[str] = flag("folder of the datasets (default: $ADEMXAPP_DATA)", metavar="DIR")
    split: str = flag("where the images are from", "val")
    crop_size: Optional[int] = flag("side of the images (default: as the network was trained, by the snapshot beside "
                                    "its weights; else the network's)", type=number(int, 1), metavar="PIXELS")
    lengths: int = flag("path lengths, evenly spread from 0 to all units; all of a network that has no more", 21,
                        type=number(int, 5), metavar="N")
    paths: int = flag("for every length, each with a batch of its own", 10, type=number(int, 2), metavar="N")
    batch_images: int = flag("images per batch", 16, type=number(int, 1), metavar="N")
    statistics: Optional[str] = flag("of batch normalisation (default: the moving ones, as in testing, of trained "
                                     "networks; those of the batch, of untrained ones)", choices=("moving", "batch"))
    seed: int = flag("of images, paths and initial parameters", 0, type=number(int, 0))
    gpu: Optional[int] = flag("card (default: the first, if any)", type=number(int, 0), metavar="N")
    output: str = flag("folder of what was measured", os.path.join("output", "figure4"), metavar="DIR")
    out: Optional[str] = flag("JSON file of all of it", metavar="FILE")


@dataclass(frozen=True)
class Subject:
    """A network to be measured: `weights` (a path) or None, the side of its images, what statistics normalise it."""

    label: Label
    name: str  # what tells it from others
    weights: Optional[str]
    crop: int
    statistics: str
    epochs: Optional[Tuple[Optional[int], Optional[int]]]  # that the weights have seen, and those of their schedule


def run(asked: Paths) -> None:
    """Measure the networks that are there; print, and write, what was measured."""
    weights, untrained = ([name for name in ",".join(names or ()).split(",") if name]
                          for names in (asked.weights, asked.untrained))
    if not weights and not untrained:
        raise UsageError("no network is named: give --weights FILE, or --untrained LABEL")
    if asked.out and not asked.out.endswith(".json"):
        raise UsageError(f"--out {asked.out}: wanted a JSON file; pages are written by people, and filled by "
                         "`python tools/reproduce.py pages`")
    data = require_data(asked.data)
    device, = driver.devices(Devices(gpus=None if asked.gpu is None else (asked.gpu,)), logging.getLogger(LOG))
    missing = [path for path in weights if not os.path.isfile(path)]
    subjects = [subject(path, path, asked.crop_size, asked.statistics) for path in weights if path not in missing]
    crops = {label_stem(one.weights): one.crop for one in subjects}
    subjects += [subject(label, None, asked.crop_size or crops.get(label_stem(label)), asked.statistics)
                 for label in untrained]
    for path in missing:
        print(f"needs {path}: there is no such file")
    if not subjects:
        raise ValueError(f"none of the networks is there to be measured: there is no file {missing[0]}")
    records = [measured(one, asked, os.path.join(data, one.label.dataset), device) for one in subjects]
    print(summary_table(records, markdown=False))
    if asked.out:
        write_json(asked.out, {"needs": [os.path.basename(path) for path in missing], "networks": records})


def subject(text: str, weights: Optional[str], crop: Optional[int], statistics: Optional[str]) -> Subject:
    """A network of a label or a checkpoint; UsageError if it is none for classification."""
    with usage_errors():
        label = parse_label(text)
        settings = network(label.network).input
    if label.stride is not None:
        raise UsageError(f"{text} is for segmentation: Figure 4 is of networks for classification")
    if not weights:
        name = f"{label_stem(text)}_untrained"
        return Subject(label, name, None, crop or settings.train_crop, statistics or "batch", None)
    states = sorted(Path(os.path.dirname(weights), f"{label_stem(weights)}_snapshot").glob("[!.]*/state.json"))
    training = read_json(str(states[-1])).get("arguments", {}) if states else {}
    crop = crop or training.get("crop_size")
    if not crop:
        print(f"{weights}: no snapshot beside it tells the crops of its training: its images have "
              f"{settings.train_crop} pixels here, unless --crop-size says otherwise", file=sys.stderr)
    name = stem(weights)
    return Subject(label, name, weights, crop or settings.train_crop, statistics or "moving",
                   (label_epoch(weights), training.get("to_epoch")))


def measured(one: Subject, asked: Paths, root: str, device: Device) -> Values:
    """The record of a network: how it was measured, and `norms`, by path length and batch."""
    batches = read_batches(one, asked, root)
    how = {"name": one.name, "label": str(one.label), "network": one.label.network,
           "weights": one.weights and os.path.basename(one.weights),
           "weights_sha256": one.weights and digest(one.weights), "crop": one.crop,
           "statistics": one.statistics, "split": asked.split, "most_lengths": asked.lengths,
           "paths": asked.paths, "batch_images": asked.batch_images, "seed": asked.seed,
           "images_sha256": hashlib.sha256(b"".join(data.tobytes() for data, _ in batches)).hexdigest()}

    def make() -> Values:
        shape = asked.batch_images, 3, one.crop, one.crop
        plain, gated = (classification_symbol(one.label, SymbolOptions(
            bn_use_global_stats=one.statistics == "moving", path_gates=gates)) for gates in (False, True))
        shapes = parameter_shapes(plain, data=shape)
        parameters = load_parameters(one.weights) if one.weights else start_afresh(shapes, asked.seed)
        require_exact(parameters, shapes, one.weights or "")
        gradients = PathGradients(gated, parameters, shape, device)
        lengths = spread_lengths(len(gradients.units), asked.lengths)
        bar = functools.partial(tqdm, unit="path", desc=one.name, disable=None)
        norms = measure(gradients, batches, lengths, asked.seed, bar)
        return {"units": len(gradients.units), "lengths": lengths,
                "norms": [[float(f"{norm:.5g}") for norm in row] for row in norms]}

    found = kept(os.path.join(asked.output, f"{one.name}_paths.json"), how, make)
    tested = os.path.join(os.path.splitext(one.weights or "")[0], "result.json")  # a test of these weights left it
    error = driver.read_result(tested).get("top1_error") if one.weights and os.path.exists(tested) else None
    return {**how, "epochs": one.epochs, "top1_error": error, **found}


def read_batches(one: Subject, asked: Paths, root: str) -> List[Tuple[np.ndarray, np.ndarray]]:
    """Batches (data, labels) of images of the split, drawn at random; ValueError if it has too few."""
    label, settings = one.label, network(one.label.network).input
    samples = driver.find_samples(Data(dataset=label.dataset, split=asked.split, data_root=root), "classification",
                                  label.classes)
    wanted = asked.paths * asked.batch_images
    if len(samples) < wanted:
        raise ValueError(f"{root} has {len(samples)} images in {asked.split}, wanted {asked.paths} x "
                         f"{asked.batch_images} = {wanted}: give fewer --paths or --batch-images")
    chosen = np.random.default_rng(asked.seed).choice(len(samples), wanted, replace=False)
    images = TestImages([samples[index] for index in chosen], one.crop, settings, interpolation=settings.interpolation)
    data, labels = zip(*(images.load(index, None) for index in range(wanted)))
    return list(zip(np.split(np.concatenate(data), asked.paths), np.split(np.array(labels), asked.paths)))


def summary_table(records: Sequence[Values], markdown: bool) -> str:
    """A line for every network."""
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


def draw_paths(records: Sequence[Values], path: str) -> None:
    """Draw norms, linear and logarithmic, and expected contributions by path length (Figure 4); a column a network."""
    from matplotlib.figure import Figure  # here: it takes a second to import

    columns = list(dict.fromkeys((record["label"], record["crop"]) for record in records))
    figure = Figure(figsize=(1 + 2.9 * len(columns), 7.6), tight_layout=True)
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
    for row, text in zip(axes, ("norm per image", "norm per image", "share, times number of paths")):
        row[0].set_ylabel(text)
        for panel in row:
            panel.grid(alpha=0.3)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=80, format="png")
