"""A network with its weights, and how it is tested: what iclass.Classifier and issegm.Segmenter have in common.

INT8 needs ranges of the maps, measured on images in the way that the network will be tested. They are kept beside the
weights, `<weights>_int8.json`: {"origin": what they stem from, "ranges": {map: [lowest, highest]}}.
"""
import hashlib
import logging
import os
from dataclasses import dataclass, replace
from typing import Any, Callable, ClassVar, Collection, Dict, Iterable, List, Optional, Sequence, Tuple, Type, TypeVar

import numpy as np
from tqdm import tqdm

import ademxapp
from ademxapp.data.images import read_bytes
from ademxapp.data.lists import Sample
from ademxapp.deploy.onnx_model import OnnxModel, require_none
from ademxapp.engine import Device, Symbol
from ademxapp.engine import load as load_engine
from ademxapp.errors import UsageError, one_line
from ademxapp.files import read_json, write_json
from ademxapp.machine import slow_because
from ademxapp.weights.describe import describe, symbol_to_test
from ademxapp.weights.description import Description
from ademxapp.weights.parameters import Parameters, load_parameters, parameter_shapes, require_exact

N = TypeVar("N", bound="Network")
LEAST_IMAGES = 4
LARGEST = 3.4e38  # of a float32
USUAL = {"test_steps": 1}  # values of inputs that say nothing, besides None and False
Ranges = Dict[str, Tuple[float, float]]  # lowest and highest number, by map
LOG = logging.getLogger("ademxapp")


@dataclass(frozen=True)
class RangeImages:
    """What INT8's ranges are measured on: samples or, where there are none, why, and what to do."""

    samples: Sequence[Sample] = ()
    missing: str = ""


@dataclass(frozen=True)
class Network:
    """A network, its weights, and how it is tested. Each task has a class of its own, with what is of its kind."""

    TASK: ClassVar[str]
    OTHER: ClassVar[str]  # what a file of another task is told to be, and who takes it
    HOW: ClassVar[Callable[..., Any]]  # from `scales` and other names to how it is tested
    RECORD: ClassVar[Callable[..., Any]]  # from a `Description`, a dataset's name and its file to the record

    description: Description  # of the weights
    record: Any  # of the dataset whose classes it has
    test: Any  # what holds where `predict` is not asked for something else
    predictor: Any = None  # a `Predictor`, inputs (N, 3, H, W) to probabilities (N, …), once `on` devices
    weights: str = ""  # the file
    symbol: Optional[Symbol] = None  # what runs, and by which engine; none for an ONNX file
    parameters: Optional[Parameters] = None
    devices: Sequence[Device] = ()
    engine: Optional[str] = None

    @classmethod
    def load(cls: Type[N], path: str, engine: Optional[str] = None, devices: Optional[Sequence[Device]] = None,
             dataset_file: Optional[str] = None, dtype: Optional[str] = None, images: Optional[Sequence[str]] = None,
             **test: Any) -> N:
        """The network of a `.params` file, or of an ONNX file that tools/weights.py export wrote.

        The `engine` is one of `ademxapp.engine.ENGINES`, by default the one that is installed, and has `devices` of its
        own; `dataset_file` the YAML file of a dataset that is neither built in nor told by the weights' own
        description. CPUs compute in a `dtype` "float32", "bfloat16" or "int8", whose ranges are measured on the files
        `images`; without them those that are kept beside the weights are taken. `test`: fields of `DenseTest` or
        `Views`, by default at the size that the weights were trained for or, of segmenters where that is not known, the
        dataset's. ValueError if the file cannot be used so.
        """
        if str(path).endswith(".onnx"):
            require_none(path, engine=engine, devices=devices, dataset_file=dataset_file, dtype=dtype, images=images)
            return cls.of_onnx(OnnxModel(path), **test)
        backend = load_engine(engine)  # before the network is built
        network = cls.read(str(path), dataset_file=dataset_file, **test)
        measured_on = RangeImages([Sample("", os.fspath(image)) for image in images]) if images else None
        return network.on(devices or backend.devices(), dtype, measured_on, engine)

    @classmethod
    def read(cls: Type[N], path: str, label: Optional[str] = None, record: Any = None, pool_style: Optional[str] = None,
             dataset: Optional[str] = None, dataset_file: Optional[str] = None, **test: Any) -> N:
        """The network of a `.params` file, which is on no device yet.

        The network's `label`, a classifier's `pool_style` and the dataset's `record` are found out if not given; the
        last by the names of a `dataset` or its file, where given. Other arguments are as of `load`. ValueError unless
        the parameters are exactly the network's, and it takes inputs of such sizes.
        """
        parameters = load_parameters(path)
        known = describe(path, label, {name: value.shape for name, value in parameters.args.items()})
        if known.note:
            LOG.warning("%s", known.note)
        known = replace(known, pool_style=pool_style or known.pool_style)
        network = cls._described(known, path, test, record, dataset, dataset_file)
        symbol = symbol_to_test(known)
        for side in network.input_sides:
            require_exact(parameters, parameter_shapes(symbol, data=(1, 3, side, side)), path)
        return replace(network, symbol=symbol, parameters=parameters)

    @classmethod
    def of_onnx(cls: Type[N], model: OnnxModel, **test: Any) -> N:
        """That of an `OnnxModel`."""
        raise NotImplementedError

    @classmethod
    def _described(cls: Type[N], known: Description, path: str, test: Dict[str, Any], record: Any = None,
                  *named: Optional[str]) -> N:
        """What is known of a file, with nothing yet that runs."""
        if known.task != cls.TASK:
            raise ValueError(f"{path} is a network that {cls.OTHER}")
        record = record or cls.RECORD(known, *named)
        scale = known.test_scale or getattr(record, "largest_side", 0)
        return cls(known, record, cls.HOW(**{**test, "scales": test.get("scales") or (scale,)}), weights=path)

    def on(self: N, devices: Sequence[Device], dtype: Optional[str] = None, images: Optional[RangeImages] = None,
           engine: Optional[str] = None, compiled: bool = False) -> N:
        """The same, ready to run on devices in a dtype (None is float32), by an engine; `compiled` as of `Predictor`.

        INT8's ranges are measured on `images`; without them those that are kept beside the weights are taken.
        """
        runs, dtype, on_cards = load_engine(engine), dtype or "float32", devices[0].device_type == "gpu"
        if dtype != "float32":
            runs.require_dtype(dtype, training=False, cards=on_cards)
            slow = not on_cards and slow_because(dtype)
            if slow:
                LOG.warning("%s: %s: it will not be faster than float32", dtype, slow)
        if self.symbol is None or self.parameters is None:
            raise ValueError(f"{self.weights} runs as it is: it takes neither devices nor a dtype")
        network = replace(self, devices=devices, engine=engine)
        if dtype != "int8":
            return replace(network, predictor=runs.Predictor(self.symbol, self.parameters, devices, dtype, compiled))
        mxnet: Any = runs  # the only engine that has this type
        quantised = mxnet.Int8Network(self.symbol, self.parameters)
        LOG.info("int8: %s remain in float32", ", ".join(quantised.left) or "no layers")
        images = images or RangeImages(missing="there are no ranges of the maps that fit, beside "
                                               f"{self.weights}, and no images to measure them on")
        symbol, parameters = quantised.quantised(find_ranges(network, quantised, images, mxnet))
        return replace(network, predictor=mxnet.Predictor(symbol, parameters, devices))

    def tested(self: N, **test: Any) -> N:
        """The same, tested otherwise: the fields of `test` that differ."""
        return replace(self, test=replace(self.test, **test)) if test else self

    @property
    def class_names(self) -> Tuple[str, ...]:
        """Of what is predicted."""
        return self.record.class_names or tuple(f"class {index}" for index in range(self.description.classes))

    @property
    def ready(self) -> Any:
        """The predictor; ValueError where there is none yet."""
        if self.predictor is None:
            raise ValueError(f"{self.weights} is on no device yet: wanted on(devices) before it is tested")
        return self.predictor

    # What each task has of its own

    @property
    def input_sides(self) -> Sequence[int]:
        """Sides of square inputs that the network has to take; any will do where all its layers are convolutions."""
        return [2 * self.description.stride]

    def inputs(self) -> Dict[str, Any]:
        """What the network is given of an image, by the flags' names, in JSON's types."""
        raise NotImplementedError

    def see(self, sample: Sample) -> None:
        """Give the network what it is given of a sample in the test."""
        raise NotImplementedError


def require_finite(values: np.ndarray, weights: str, image: Callable[[int], str]) -> np.ndarray:
    """`values` (images, …); ValueError, which names the weights and the image, unless all of them are finite numbers.

    `image` gives the name of the image in a place.
    """
    finite = np.isfinite(values)
    if not finite.all():
        place = int(finite.reshape(len(values), -1).all(1).argmin())
        raise ValueError(f"{weights or 'the network'} gives {image(place)} probabilities that are not finite: tools/"
                         "weights.py check tells whether the weights are; a training that gives them has diverged")
    return values


def evenly(samples: Sequence[Sample], count: int) -> List[Sample]:
    """Up to `count` of the samples, evenly chosen."""
    return [samples[i] for i in np.unique(np.linspace(0, len(samples) - 1, count).round().astype(int))]


def find_ranges(network: Network, quantised: Any, images: RangeImages, mxnet: Any) -> Ranges:
    """The ranges of an `Int8Network` of a network: those that are kept if they fit, else measured ones."""
    file, samples = os.path.splitext(network.weights)[0] + "_int8.json", images.samples
    origin = {"ademxapp": ademxapp.__version__, **mxnet.versions(),
              "weights_sha256": _digest([read_bytes(network.weights)]), "arguments": network.inputs(),
              "images_sha256": _digest(one.read()[0] for one in samples) if samples else None}
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
    recorder = mxnet.RangeRecorder(quantised.symbol, quantised.parameters, network.devices[:1], quantised.measured)
    recorded = replace(network, predictor=recorder)
    for sample in tqdm(samples, unit="image", desc="calibrating", disable=None):
        recorded.see(sample)
    try:
        write_json(file, {"origin": {**origin, "images": [sample.image for sample in samples]},
                          "ranges": dict(sorted(recorder.ranges.items()))})
    except OSError as error:
        LOG.warning("int8: the ranges could not be kept, and will be measured again: %s", one_line(error))
    return recorder.ranges


def kept_ranges(path: str, origin: Dict[str, Any], watched: Collection[str]) -> Tuple[Optional[Ranges], str]:
    """The ranges in a file, or None; and why they do not fit `origin`, or cannot be used.

    `origin` is what they stem from; where it has None, anything will do.
    """
    try:
        kept = read_json(path)
        ranges = {name: _range(*kept["ranges"][name]) for name in watched}
        before = dict(kept["origin"])
    except FileNotFoundError:
        return None, "there is no such file"
    except (ValueError, TypeError, KeyError, OSError, RecursionError):
        return None, "it cannot be used"
    if ranges and not any(lowest < highest for lowest, highest in ranges.values()):
        return None, "it cannot be used"  # of no image
    other = []
    for name, value in origin.items():
        was, now = _said(before.get(name)), _said(value)
        if value is not None and was != now:
            differing = sorted(one for one in {*was, *now} if was.get(one) != now.get(one)) if (
                isinstance(was, dict) and isinstance(now, dict)) else ()
            other.append(f"{name} ({', '.join(differing)})" if differing else name)
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


def _digest(parts: Iterable[bytes]) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(hashlib.sha256(part).digest())
    return found.hexdigest()
