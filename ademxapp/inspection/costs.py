"""The costs of one labelled network, for a batch of given size; and images per second in testing, measured."""
import time
from dataclasses import dataclass, field, replace
from importlib import util
from typing import Any, List, Optional, Sequence, Tuple

import numpy as np

from ademxapp import engine
from ademxapp.engine import Symbol
from ademxapp.inspection import graph
from ademxapp.inspection.graph import parameter_counts
from ademxapp.symbol import (
    SymbolOptions,
    classification_symbol,
    network,
    output_stride,
    segmentation_symbol,
    whole_cells,
)
from ademxapp.symbol.labels import Label, parse_label
from ademxapp.weights.parameters import Parameters, parameter_shapes

MIB = 2 ** 20
TRAINING_COPIES = 3  # of the parameters: values, gradients, momentum
TASKS = ("classification", "segmentation")
SEGMENTATION_CROP, SEGMENTATION_IMAGES = 500, 4  # of one device in fine-tuning (paper section 5)
CLASSIFICATION_IMAGES = 64  # of one device of four in training
MEMORY_SHARE = 0.8  # of the free memory, at most, for parameters and maps


def can_plan() -> bool:
    """Whether MXNet, which alone plans the memory of trainings, is installed."""
    return util.find_spec("mxnet") is not None


def planned_bytes(symbol: Symbol, data_shape: Tuple[int, ...], training: bool = True) -> int:
    """What MXNet or, for testing and without MXNet, this process's engine plans for the maps between the layers: bytes.

    When `training`, for their gradients too.
    """
    return engine.load("mxnet" if training else None).planned_bytes(symbol, data_shape, training)


def training_bytes(planned: int, parameters: int) -> int:
    """Planned bytes plus those of the parameters in training: values, gradients and momentum, float32."""
    return planned + TRAINING_COPIES * 4 * parameters


@dataclass(frozen=True)
class Setting:
    """What is asked of a network: task, images of one device, crop (pixels), head and loss of segmentation."""

    task: str
    images: int
    crop: int
    head: str = "2conv"
    loss: str = "softmax"

    @property
    def data_shape(self) -> Tuple[int, int, int, int]:
        """Shape of the network's `data`."""
        return self.images, 3, self.crop, self.crop


@dataclass(frozen=True)
class Group:
    """Equal units in a row, or one layer that belongs to none: what `summary.py` prints as a line."""

    level: str
    units: Tuple[str, ...]
    layers: Tuple[graph.Layer, ...]  # of the first unit
    parameters: int
    multiply_adds: int


@dataclass(frozen=True)
class Costs:
    """What a label's network costs.

    Attributes
    ----------
    depth, longest_path : int
        As the paper counts the layers of the classification network; layers on the longest path of this one, with
        its top.
    parameters, statistics : int
        Trained numbers; moving means and variances of BN.
    multiply_adds : int
        Of one image.
    training_bytes, recomputed_bytes, testing_bytes : int
        Plans, without parameters: MXNet's of training as is, and with `SymbolOptions.recompute`, None where it is not
        installed; of testing, None where no engine is.
    """

    label: str
    setting: Setting
    depth: int
    longest_path: int
    parameters: int
    statistics: int
    multiply_adds: int
    training_bytes: Optional[int]
    recomputed_bytes: Optional[int]
    testing_bytes: Optional[int]
    groups: List[Group] = field(default_factory=list)
    layers: List[graph.Layer] = field(default_factory=list)


def read_label(text: str) -> Label:
    """The `Label` of a text; a network alone stands for its ILSVRC classifier."""
    try:
        return parse_label(text)
    except ValueError:
        if "_" in text:
            raise
        network(text)
        return Label("ilsvrc-cls", text, 1000)


def default_setting(label: Label, task: Optional[str] = None, images: Optional[int] = None, crop: Optional[int] = None,
                    head: str = "2conv", loss: str = "softmax") -> Setting:
    """The setting of a label in the paper, with what is given instead.

    Without a task, a label with a stride is for segmentation.
    """
    task = task or (TASKS[0] if label.stride is None else TASKS[1])
    if task == "classification":
        return Setting(task, images or CLASSIFICATION_IMAGES, crop or network(label.network).input.train_crop)
    stride = output_stride(label)
    crop = whole_cells(crop or SEGMENTATION_CROP, stride)
    return Setting(task, images or SEGMENTATION_IMAGES, crop, head, loss)


def build(label: Label, setting: Setting, training: bool, recompute: bool = False) -> Symbol:
    """The network as it is trained or tested: BN's statistics are those of the batch in training a classifier only."""
    fixed = setting.task == "segmentation" or not training
    options = SymbolOptions(bn_use_global_stats=fixed, recompute=recompute)
    if setting.task == "classification":
        return classification_symbol(label, options)
    return segmentation_symbol(label, options, setting.head, setting.loss if training else "softmax")


def costs(label: Label, setting: Setting) -> Costs:
    """The `Costs` of a label."""
    symbol = build(label, setting, training=True)
    shape = setting.data_shape
    layers = graph.layers(symbol, shape)
    parameters, statistics = graph.parameter_counts(symbol, shape)
    plans = can_plan()
    training = planned_bytes(symbol, shape) if plans else None
    recomputed = planned_bytes(build(label, setting, training=True, recompute=True), shape) if plans else None
    testing = planned_bytes(build(label, setting, training=False), shape, training=False) if engine.usual() else None
    return Costs(
        str(label), setting, network(label.network).depth, graph.depth(symbol), parameters, statistics,
        sum(layer.multiply_adds for layer in layers), training, recomputed, testing,
        group_units(layers), layers)


def group_units(layers: Sequence[graph.Layer]) -> List[Group]:
    """Consecutive layers as units, and equal consecutive units of a level as one `Group`."""
    units: List[List[graph.Layer]] = []
    for layer in layers:
        if units and units[-1][-1].unit == layer.unit:
            units[-1].append(layer)
        else:
            units.append([layer])
    groups: List[Tuple[Any, List[List[graph.Layer]]]] = []
    for unit in units:
        like = [replace(layer, name="", unit="", parameters=0, multiply_adds=0) for layer in unit]
        if groups and groups[-1][0] == (unit[0].level, like):
            groups[-1][1].append(unit)
        else:
            groups.append(((unit[0].level, like), [unit]))
    return [Group(level, tuple(unit[0].unit for unit in members), tuple(members[0]),
                  sum(layer.parameters for unit in members for layer in unit),
                  sum(layer.multiply_adds for unit in members for layer in unit))
            for (level, _), members in groups]


def training_memory(label: Label, setting: Setting, recompute: bool = False) -> int:
    """Bytes of one device in training: MXNet's plan, and values, gradients and momentum of the parameters."""
    symbol, shape = build(label, setting, training=True, recompute=recompute), setting.data_shape
    return training_bytes(planned_bytes(symbol, shape), graph.parameter_counts(symbol, shape)[0])


def fitting_images(symbol: engine.Symbol, images: int, crop: int, free: Optional[int]) -> int:
    """The batch halved until the plan of testing and the parameters fit into `free` bytes (int, at least 1)."""
    parameters = 4 * sum(parameter_counts(symbol, (1, 3, crop, crop)))
    while images > 1 and free and parameters + planned_bytes(symbol, (images, 3, crop, crop), training=False) \
            > MEMORY_SHARE * free:
        images //= 2
    return images


class Runner:
    """A network ready for testing, with random images and parameters, that runs a batch when asked.

    The parameters keep the maps in range: denormal numbers would be slow.
    """

    def __init__(self, symbol: engine.Symbol, images: int, crop: int, device: Optional[engine.Device] = None) -> None:
        self.images, self.crop = images, crop
        runs, rng = engine.load(), np.random.default_rng(0)
        shapes = parameter_shapes(symbol, data=(1, 3, crop, crop))
        parameters = Parameters(*({name: _value(name, shape, rng) for name, shape in kind.items()} for kind in shapes))
        self._predictor = runs.Predictor(symbol, parameters, [device or runs.devices(cpus=1)[0]])
        self._data = rng.standard_normal((images, 3, crop, crop), np.float32)

    def seconds(self) -> float:
        """Run a batch: the time that it took (float)."""
        start = time.perf_counter()
        self._predictor(self._data)
        return time.perf_counter() - start


def _value(name: str, shape: Tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    if name.endswith("_weight"):
        return rng.standard_normal(shape, np.float32) * np.float32(np.sqrt(2 / np.prod(shape[1:])))
    return np.full(shape, 0.5 if name.endswith("_gamma") else float(name.endswith("_var")), np.float32)


def race(runners: Sequence[Runner], rounds: int) -> List[float]:
    """Images per second of each `Runner` in its best batch of `rounds`, run in turns after one to warm up.

    In turns, what else the machine does slows all of them alike.
    """
    best = [np.inf] * len(runners)
    for turn in range(rounds + 1):
        for i, runner in enumerate(runners):
            seconds = runner.seconds()
            best[i] = min(best[i], seconds) if turn else np.inf
    return [runner.images / seconds for runner, seconds in zip(runners, best)]
