"""What a network with its weights is tested in; INT8's ranges, measured on images in the way that it will be tested.

They are kept beside the weights, `<weights>_int8.json`: {"origin": what they stem from, "ranges": {map: [lowest,
highest]}}.
"""
import hashlib
import json
import logging
import os
from dataclasses import dataclass
from typing import Any, Callable, Collection, Dict, Iterable, List, Optional, Protocol, Sequence, Tuple

import numpy as np
from tqdm import tqdm

import ademxapp
from ademxapp.data.images import read_bytes
from ademxapp.data.lists import Sample
from ademxapp.engine import Device, Predictor, Symbol, load
from ademxapp.errors import UsageError, one_line
from ademxapp.files import write_json
from ademxapp.machine import slow_because
from ademxapp.weights.parameters import Parameters

LEAST_IMAGES = 4
LARGEST = 3.4e38  # of a float32
USUAL = {"test_steps": 1}  # values of inputs that say nothing, besides None and False
Ranges = Dict[str, Tuple[float, float]]  # lowest and highest number, by map
LOG = logging.getLogger("ademxapp")


class Network(Protocol):
    """A network with its weights: iclass.Classifier, issegm.Segmenter."""

    @property
    def weights(self) -> str:
        """Their file."""

    @property
    def symbol(self) -> Optional[Symbol]:
        """Its graph; None of a file that runs as it is."""

    @property
    def parameters(self) -> Optional[Parameters]:
        """Those of the graph."""

    @property
    def devices(self) -> Sequence[Device]:
        """Where it is to run."""

    def score_with(self, forward: Predictor, sample: Sample) -> None:
        """Give a `Predictor` what the network is given of a sample in the test."""


@dataclass(frozen=True)
class Images:
    """What ranges are measured on: samples or, where there are none, why, and what to do."""

    samples: Sequence[Sample] = ()
    missing: str = ""

    @classmethod
    def of_files(cls, paths: Sequence[str]) -> "Images":
        """Those of the files."""
        return cls([Sample("", os.fspath(path)) for path in paths])


def evenly(samples: Sequence[Sample], count: int) -> List[Sample]:
    """Up to `count` of the samples, evenly chosen."""
    return [samples[i] for i in np.unique(np.linspace(0, len(samples) - 1, count).round().astype(int))]


def make_predictor(network: Network, dtype: Optional[str], inputs: Dict[str, Any], images: Optional[Images] = None,
                   engine: Optional[str] = None, compiled: bool = False) -> Predictor:
    """The `Predictor` of a network in a dtype; None is float32.

    Parameters
    ----------
    inputs : dict
        What the network is given of an image, of JSON's types: ranges of other inputs do not fit.
    images : Images, optional
        What INT8's ranges are measured on; without it those that are kept beside the weights are taken.
    engine, compiled : str, bool
        What runs the network, as `ademxapp.engine.load` and the engine's `Predictor` take them.
    """
    runs, dtype, on_cards = load(engine), dtype or "float32", network.devices[0].device_type == "gpu"
    if dtype != "float32":
        runs.require_dtype(dtype, training=False, cards=on_cards)
        slow = not on_cards and slow_because(dtype)
        if slow:
            LOG.warning("%s: %s: it will not be faster than float32", dtype, slow)
    if network.symbol is None or network.parameters is None:
        raise ValueError(f"{network.weights} runs as it is: it takes neither devices nor a dtype")
    if dtype != "int8":
        return runs.Predictor(network.symbol, network.parameters, network.devices, dtype, compiled)
    quantised = _mxnet().Int8Network(network.symbol, network.parameters)
    LOG.info("int8: %s remain in float32", ", ".join(quantised.left) or "no layers")
    images = images or Images(missing=f"there are no ranges of the maps that fit, beside {network.weights}, and no "
                                      "images to measure them on")
    symbol, parameters = quantised.quantised(find_ranges(network, quantised, inputs, images))
    return runs.Predictor(symbol, parameters, network.devices)


def _mxnet() -> Any:
    """The engine that computes in INT8, for what it alone has."""
    return load("mxnet")


def find_ranges(network: Network, quantised: Any, inputs: Dict[str, Any], images: Images) -> Ranges:
    """The ranges of an `Int8Network` of a network: those that are kept if they fit, else measured ones."""
    file, samples = ranges_path(network.weights), images.samples
    origin = origin_of(network.weights, inputs, samples)
    ranges, why = kept_ranges(file, origin, quantised.measured)
    if not samples:
        if ranges is None:
            raise UsageError(images.missing + (f"; what is kept in {file} does not do: {why}" if os.path.exists(file)
                                               else ""))
        LOG.info("int8: ranges as kept in %s; the images that they are of were not looked at", file)
        return ranges
    words = f"{len(samples)} images, {samples[0].image} … {samples[-1].image}"
    if ranges is not None:
        LOG.info("int8: ranges as kept in %s, of %s", file, words)
        return ranges
    LOG.info("int8: measuring ranges on %s, as %s: %s", words, file, why)
    ranges = calibrate(quantised, network.score_with, samples, network.devices)
    try:
        keep_ranges(file, {**origin, "images": [sample.image for sample in samples]}, ranges)
    except OSError as error:
        LOG.warning("int8: the ranges could not be kept, and will be measured again: %s", one_line(error))
    return ranges


def calibrate(quantised: Any, forward: Callable[[Predictor, Sample], None], images: Sequence[Sample],
              devices: Sequence[Device]) -> Ranges:
    """The ranges of an `Int8Network` on images; `forward(predictor, image)` gives it what a test gives of an image."""
    recorder = _mxnet().RangeRecorder(quantised.symbol, quantised.parameters, devices[:1], quantised.measured)
    for image in tqdm(images, unit="image", desc="calibrating", disable=None):
        forward(recorder, image)
    return recorder.ranges


def origin_of(weights: str, inputs: Dict[str, Any], samples: Sequence[Sample]) -> Dict[str, Any]:
    """What ranges stem from; where there is None, anything will do."""
    return {"ademxapp": ademxapp.__version__, **load("mxnet").versions(),
            "weights_sha256": _digest([read_bytes(weights)]),
            "arguments": inputs, "images_sha256": _digest(one.read()[0] for one in samples) if samples else None}


def kept_ranges(path: str, origin: Dict[str, Any], watched: Collection[str]) -> Tuple[Optional[Ranges], str]:
    """The ranges in a file, or None; and why they do not fit `origin`, or cannot be used."""
    try:
        with open(path, encoding="utf-8") as source:
            kept = json.load(source)
        ranges = {name: _range(*kept["ranges"][name]) for name in watched}
        before = dict(kept["origin"])
    except FileNotFoundError:
        return None, "there is no such file"
    except (ValueError, TypeError, KeyError, OSError, RecursionError):
        return None, "it cannot be used"
    if ranges and not any(lowest < highest for lowest, highest in ranges.values()):
        return None, "it cannot be used"  # of no image
    other = [name + _differing(before.get(name), value) for name, value in origin.items()
             if value is not None and _said(before.get(name)) != _said(value)]
    return (None, f"it is of another {', '.join(other)}") if other else (ranges, "")


def _range(lowest: float, highest: float) -> Tuple[float, float]:
    """Both as they can have been measured; 0 is in all ranges."""
    if not (isinstance(lowest, (int, float)) and isinstance(highest, (int, float))
            and -LARGEST < lowest <= 0 <= highest < LARGEST):
        raise ValueError
    return float(lowest), float(highest)


def _said(value: Any) -> Any:
    """A part of an origin; of arguments those that say something: programs have different ones."""
    if not isinstance(value, dict):
        return value
    return {name: one for name, one in value.items() if one not in (None, False) and one != USUAL.get(name)}


def _differing(before: Any, now: Any) -> str:
    """Which of the arguments differ, in brackets."""
    if not (isinstance(before, dict) and isinstance(now, dict)):
        return ""
    before, now = _said(before), _said(now)
    return f" ({', '.join(sorted(name for name in {*before, *now} if before.get(name) != now.get(name)))})"


def keep_ranges(path: str, origin: Dict[str, Any], ranges: Ranges) -> None:
    """Write the file, whole or not at all."""
    write_json(path, {"origin": origin, "ranges": {name: ranges[name] for name in sorted(ranges)}})


def ranges_path(weights: str) -> str:
    """Where the ranges of a file of weights are kept: beside it."""
    return os.path.splitext(weights)[0] + "_int8.json"


def _digest(parts: Iterable[bytes]) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(hashlib.sha256(part).digest())
    return found.hexdigest()
