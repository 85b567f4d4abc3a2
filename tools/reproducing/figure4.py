"""Figure 4: how large a gradient arrives at the input along paths of every length (paper section 6.3).

    python tools/reproduce.py figure4 --weights output/figure4/cifar10_rn-cifar110_cls10_ep-0003.params \\
        --untrained cifar10_rn-cifar110_cls10 --data $ADEMXAPP_DATA --out docs/results/figure4.md

Every network, trained or not, is measured on images of its label's dataset, <data>/<dataset>. For every path length k,
some batches of images go forward through the whole network, and back along one path each: through the mappings of k
units drawn at random, and the shortcuts of the others. What was measured is kept in --output; it is measured again only
where weights, images or settings are others. Weights that are not there are named on the page.
"""
import argparse
import glob
import hashlib
import json
import logging
import os
import sys

import numpy as np
from tqdm import tqdm

from ademxapp import driver
from ademxapp.cli import LOG, UsageError, number
from ademxapp.files import digest, write_json
from ademxapp.inspection.paths import PathGradients, measure, spread_lengths
from ademxapp.settings import Data, Devices
from ademxapp.symbol import SymbolOptions, classification_symbol, label_epoch, label_stem, network, parse_label
from ademxapp.weights.parameters import load_parameters, parameter_shapes, require_exact, start_afresh
from iclass.data import TestImages
from tools.reproducing.figure4_page import summary_table, write_page
from tools.reproducing.stages import add_data_argument, require_data

STATISTICS = ("moving", "batch")
BESIDE = ("epochs", "top1_error")  # of a record: what the norms do not depend on


def add_arguments(parser):
    """Add the arguments of `reproduce.py figure4`."""
    parser.add_argument("--weights", metavar="FILE", nargs="+", action=Names, default=[], help="trained networks, with "
                        "spaces or commas between them")
    parser.add_argument("--untrained", metavar="LABEL", nargs="+", action=Names, default=[], help="networks with the "
                        "parameters that a training would start from")
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
    parser.add_argument("--out", metavar="FILE", help="Markdown page; FILE with .png and .json are its figure and "
                        "numbers")


class Names(argparse.Action):
    """One list of what is given, with spaces or commas in between."""

    def __call__(self, parser, namespace, values, option_string=None):
        setattr(namespace, self.dest, [name for value in values for name in value.split(",") if name])


def run(args):
    """Measure the networks that are there, and write the page and the figure."""
    if not args.weights and not args.untrained:
        raise UsageError("no network is named: give --weights FILE, or --untrained LABEL")
    require_data(args)
    missing = [path for path in args.weights if not os.path.isfile(path)]
    asked = [Asked(args, path, path) for path in args.weights if path not in missing]
    crops = {item.stem: item.crop for item in asked}
    asked += [Asked(args, label, None, crops.get(label)) for label in args.untrained]
    for path in missing:
        print(f"needs {path}: there is no such file")
    if not asked:
        raise ValueError(f"none of the networks is there to be measured: there is no file {missing[0]}")
    results = [measured(args, item) for item in asked]
    print(summary_table(results, markdown=False))
    if args.out:
        write_page(args, results, missing)


class Asked:
    """A network to be measured: a label, with weights (a path) or None, and the side of its images in pixels."""

    def __init__(self, args, text, weights, crop=None):
        try:
            self.label = parse_label(text)
            self.settings = network(self.label.network).input
        except ValueError as error:
            raise UsageError(str(error)) from None
        if self.label.stride is not None:
            raise UsageError(f"{text} is for segmentation: Figure 4 is of networks for classification")
        self.stem, self.weights = label_stem(text), weights
        training = training_arguments(weights)
        self.epochs = [label_epoch(weights), training.get("to_epoch")] if weights else None
        self.crop = args.crop_size or crop or training.get("crop_size") or self.settings.train_crop
        self.statistics = args.statistics or STATISTICS[weights is None]
        if weights and not (args.crop_size or training.get("crop_size")):
            print(f"{weights}: no snapshot beside it tells the crops of its training: its images have {self.crop} "
                  "pixels here, unless --crop-size says otherwise", file=sys.stderr)

    @property
    def name(self):
        """What tells it from others (str)."""
        return os.path.splitext(os.path.basename(self.weights))[0] if self.weights else f"{self.stem}_untrained"


def training_arguments(weights):
    """The arguments of the training that made these weights, by a snapshot beside them; {} if there is none."""
    if weights is None:
        return {}
    folder = os.path.join(os.path.dirname(weights), f"{label_stem(weights)}_snapshot")
    states = sorted(glob.glob(os.path.join(glob.escape(folder), "*", "state.json")))
    return _read(states[-1]).get("arguments", {}) if states else {}


def measured(args, asked):
    """The record (dict) of a network: how it was measured, and `norms`, by path length and batch."""
    batches = read_batches(args, asked)
    how = {"name": asked.name, "label": str(asked.label), "network": asked.label.network,
           "weights": asked.weights and os.path.basename(asked.weights),
           "weights_sha256": asked.weights and digest(asked.weights), "epochs": asked.epochs,
           "top1_error": tested_error(asked.weights), "split": args.split, "crop": asked.crop,
           "most_lengths": args.lengths, "paths": args.paths, "batch_images": args.batch_images,
           "statistics": asked.statistics, "seed": args.seed,
           "images_sha256": hashlib.sha256(b"".join(data.tobytes() for data, _ in batches)).hexdigest()}
    path = os.path.join(args.output, f"{asked.name}_paths.json")
    before = _read(path)
    if "norms" in before and {**before, **how} == {**before, **{name: how[name] for name in BESIDE}}:
        return {**before, **how}
    context = driver.devices(Devices(gpus=None if args.gpu is None else (args.gpu,)),
                             logging.getLogger(LOG))[0]
    gradients = bound(asked, (args.batch_images, 3, asked.crop, asked.crop), args.seed, context)
    lengths = spread_lengths(len(gradients.units), args.lengths)
    record = {**how, "units": len(gradients.units), "lengths": lengths, "norms": measure(
        gradients, batches, lengths, args.seed, lambda paths: tqdm(paths, unit="path", desc=asked.name, disable=None))}
    write_json(path, record)
    return record


def bound(asked, shape, seed, context):
    """The `PathGradients` of a network."""
    plain, gated = (classification_symbol(asked.label, SymbolOptions(
        bn_use_global_stats=asked.statistics == "moving", path_gates=gates)) for gates in (False, True))
    shapes = parameter_shapes(plain, data=shape)
    if asked.weights is None:
        return PathGradients(gated, start_afresh(shapes, seed), shape, context)
    parameters = load_parameters(asked.weights)
    require_exact(parameters, shapes, asked.weights)
    return PathGradients(gated, parameters, shape, context)


def read_batches(args, asked):
    """Batches (data, labels) of images of the split, drawn at random; ValueError if it has too few."""
    root = os.path.join(args.data, asked.label.dataset)
    where = Data(dataset=asked.label.dataset, split=args.split, data_root=root)
    samples = driver.find_samples(where, "classification", asked.label.classes)
    wanted = args.paths * args.batch_images
    if len(samples) < wanted:
        raise ValueError(f"{root} has {len(samples)} images in {args.split}, wanted {args.paths} x "
                         f"{args.batch_images} = {wanted}: give fewer --paths or --batch-images")
    chosen = np.random.default_rng(args.seed).choice(len(samples), wanted, replace=False)
    images = TestImages([samples[index] for index in chosen], asked.crop, asked.settings,
                        interpolation=asked.settings.interpolation)
    data, labels = zip(*(images.load(index, None) for index in range(wanted)))
    return list(zip(np.split(np.concatenate(data), args.paths), np.split(np.array(labels), args.paths)))


def tested_error(weights):
    """The top-1 error, in percent, that a test of these weights left beside them; else None."""
    return _read(os.path.join(os.path.splitext(weights)[0], "result.json")).get("top1_error") if weights else None


def _read(path):
    try:
        with open(path, encoding="utf-8") as source:
            return json.load(source)
    except (OSError, ValueError):
        return {}
