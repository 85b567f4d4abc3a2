"""Testing of classification networks: probabilities averaged over crops, mirror images, sizes and networks."""
from dataclasses import dataclass
from typing import Optional

import numpy as np
from tqdm import tqdm

from ademxapp import driver
from ademxapp.cli import UsageError
from ademxapp.data import transforms
from ademxapp.data.loader import Loader
from ademxapp.evaluation.classification import average_views
from ademxapp.symbol import SymbolOptions, classification_symbol, network, parse_label
from ademxapp.weights.parameters import load_parameters, parameter_shapes, require_exact
from iclass.data import TestImages

CALIBRATION_IMAGES = 64
TEN_CROPS_OF = 256 / 224  # the shorter side over that of the crops (Krizhevsky et al. 2012)


@dataclass(frozen=True)
class Views:
    """What is averaged for an image.

    Attributes
    ----------
    scales : tuple of int
        Lengths of the shorter side, in pixels.
    crops : str
        One of `iclass.data.CROPS`.
    crop : int, optional
        Side of the crops; by default the scale, or for "five" 224/256 of it.
    flipping : bool
        The mirrored crops too.
    interpolation : str, optional
        How images are resized; by default as the network's record says.
    batch : int
        Crops per forward pass.
    readers, kind : int, str
        Workers that read, and their kind.
    """

    scales: tuple
    crops: str = "centre"
    crop: Optional[int] = None
    flipping: bool = False
    interpolation: Optional[str] = None
    batch: int = 1
    readers: int = 1
    kind: str = "thread"

    def side(self, scale):
        """Side of the crops at a scale; ValueError if it is larger."""
        side = self.crop or (round(scale / TEN_CROPS_OF) if self.crops == "five" else scale)
        if side > scale:
            raise ValueError(f"crops of {side} pixels are larger than the images' shorter side at size {scale}")
        return side


@dataclass(frozen=True)
class Network:
    """A network with its weights, not yet on any device."""

    path: str
    label: object
    settings: object
    symbol: object
    parameters: object


def load_network(path, label=None, pool_style=None, sides=()):
    """The `Network` of a file of weights, of `label` or that of its name.

    ValueError unless the parameters are exactly the network's, and it takes crops of `sides` pixels.
    """
    label = label or parse_label(path)
    symbol = classification_symbol(label, SymbolOptions(bn_use_global_stats=True, pool_top_infer_style=pool_style))
    parameters = load_parameters(path)
    for side in sides or (network(label.network).input.test_crop,):
        require_exact(parameters, parameter_shapes(symbol, data=(1, 3, side, side)), path)
    return Network(path, label, network(label.network).input, symbol, parameters)


def load_networks(paths, label, pool_style, sides):
    """The `Network` of every file; UsageError unless all of them tell apart as many classes as `label`'s."""
    networks = [load_network(paths[0], label, pool_style, sides)]
    for path in paths[1:]:
        try:
            other = parse_label(path)
        except ValueError as error:
            raise UsageError(str(error)) from None
        if other.classes != label.classes:
            raise UsageError(f"{path} has {other.classes} classes, {paths[0]} {label.classes}: only networks of the "
                             "same classes can be averaged")
        networks.append(load_network(path, other, pool_style, sides))
    return networks


def make_predictor(settings, network, views, contexts, log):
    """The `Predictor` of a `Network`, in the --dtype of the settings (`Precision` with `Data`)."""
    def find_images():
        return driver.calibration_samples(settings, "classification", network.label.classes, CALIBRATION_IMAGES)

    def run(predictor, samples):
        probabilities(predictor, samples, network.settings, views)

    return driver.make_predictor(settings, network, contexts, log, find_images, run)


def probabilities(predictor, samples, settings, views):
    """Probabilities (images, classes) float32 of one network, averaged over sizes, the largest first."""
    return np.mean([scale_probabilities(predictor, samples, settings, views, scale)
                    for scale in sorted(set(views.scales), reverse=True)], 0)


def scale_probabilities(predictor, samples, settings, views, scale):
    """Probabilities (images, classes) at one size, averaged over crops and, if asked, the mirrored crops."""
    dataset = TestImages(samples, scale, settings, views.crops, views.interpolation or settings.interpolation,
                         views.side(scale))

    def begin(data):
        plain = predictor.begin(data)
        if not views.flipping:
            return plain
        mirrored = predictor.begin(transforms.flip(data))
        return lambda: (plain() + mirrored()) / 2

    with Loader(dataset, views.batch, workers=views.readers, kind=views.kind) as loader:
        batches = tqdm(loader.arrays(), total=loader.batches, unit="batch", desc=f"size {scale}", disable=None)
        return average_views(begin, (data for data, _ in batches), views.batch)
