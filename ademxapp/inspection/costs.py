"""The costs of a network: what its graph tells, and what is planned for it. Nothing is computed or allocated."""
import re
from dataclasses import dataclass, replace
from importlib import util
from itertools import groupby
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from ademxapp import engine
from ademxapp.symbol import Label, SymbolOptions, parse_label, whole_cells
from ademxapp.symbol.recorder import read_graph
from ademxapp.symbol.zoo import classification_symbol, network, output_stride, segmentation_symbol
from ademxapp.weights.description import CLASSIFICATION, SEGMENTATION
from ademxapp.weights.parameters import Parameters, parameter_shapes

WEIGHTED = ("Convolution", "FullyConnected")
_BRANCH = re.compile(r"(?P<scale>half_)?(?:res|conv_|pool_)(?P<unit>.+?)_(?:branch.+|up)")
_NUMBERED = re.compile(r"(?P<scale>half_)?(?P<unit>conv\d+)_\d+")
MIB = 2 ** 20
SEGMENTATION_CROP, SEGMENTATION_IMAGES = 500, 4  # of one device in fine-tuning (paper section 5)
CLASSIFICATION_IMAGES = 64  # of one device of four in training
MEMORY_SHARE = 0.8  # of the free memory, at most, for parameters and maps


@dataclass(frozen=True)
class Layer:
    """A convolution, a fully connected layer or a pooling."""

    name: str
    op: str  # MXNet's operator
    unit: str  # that it belongs to: `2a`, `conv3`, …
    shape: Tuple[int, ...]  # (channels, rows, columns) of one image's output; (units,) of a fully connected layer
    kernel: Tuple[int, int] = (1, 1)
    stride: Tuple[int, int] = (1, 1)
    dilation: Tuple[int, int] = (1, 1)
    dropout: float = 0.0  # rate of the dropout just before it
    parameters: int = 0
    multiply_adds: int = 0  # of one image: the weights' products, without biases, BN and pooling

    @property
    def level(self) -> str:
        """The unit without its place on the level: `2` of `2b1`, `stem` of `stem3`."""
        unit = self.unit[5:] if self.unit.startswith("half_") else self.unit
        return re.findall(r"\d+|conv\d+|[a-z_]*[a-z]|.+", unit)[0]


def layers(symbol: engine.Symbol, data_shape: Tuple[int, ...]) -> List[Layer]:
    """The layers of a network in the order of the graph; `data_shape` is (N, 3, H, W)."""
    nodes, _ = read_graph(symbol.tojson())
    internals = symbol.get_internals()
    shapes: Dict[str, Tuple[int, ...]] = {}  # first output's by node name, of variables too
    for name, shape in zip(internals.list_outputs(), internals.infer_shape(data=tuple(data_shape))[1]):
        shapes.setdefault(re.sub(r"_output\d*$", "", name), shape)
    found = []
    for index, node in enumerate(nodes):
        inputs = [nodes[place] for place in node["inputs"]]
        if node["op"] in (*WEIGHTED, "Pooling"):
            found.append(_layer(node, inputs, shapes))
        elif node["op"] == "Pad":  # of a pooling of stride 1; as many shifted copies as its kernel is wide read it
            kernel = sum(other["inputs"].count(index) for other in nodes)
            dilation = sum(node["attrs"]["pad_width"][4:6]) // (kernel - 1)
            name = node["name"][:-len("_pad")]
            found.append(Layer(name, "Pooling", unit_of(name), tuple(shapes[inputs[0]["name"]][1:]), (kernel, kernel),
                               dilation=(dilation, dilation)))
    return found


def _layer(node: Dict[str, Any], inputs: List[Dict[str, Any]], shapes: Dict[str, Tuple[int, ...]]) -> Layer:
    before, *variables = inputs
    attrs, shape = node["attrs"], tuple(shapes[node["name"]][1:])
    kernel, stride, dilation = (attrs.get(key, (1, 1)) for key in ("kernel", "stride", "dilate"))
    if attrs.get("global_pool"):
        rows, columns = shapes[before["name"]][2:]
        kernel = rows, columns
    sizes = [int(np.prod(shapes[variable["name"]])) for variable in variables]
    return Layer(node["name"], node["op"], unit_of(node["name"]), shape, kernel, stride, dilation,
                 before["attrs"]["p"] if before["op"] == "Dropout" else 0.0, sum(sizes),
                 sizes[0] * int(np.prod(shape[1:])) if sizes else 0)


def unit_of(name: str) -> str:
    """The unit that a layer's name tells: `2a` of `res2a_branch2b1`, `conv3` of `conv3_2`; else the name itself."""
    found = _BRANCH.fullmatch(name) or _NUMBERED.fullmatch(name)
    return (found["scale"] or "") + found["unit"] if found else name


def depth(symbol: engine.Symbol) -> int:
    """Convolutions and fully connected layers on the longest path from the image to the scores (int)."""
    longest: List[int] = []
    for node in read_graph(symbol.tojson())[0]:
        before = max((longest[place] for place in node["inputs"]), default=0)
        longest.append(before + (node["op"] in WEIGHTED))
    return max(longest)


def parameter_counts(symbol: engine.Symbol, data_shape: Tuple[int, ...]) -> Tuple[int, int]:
    """Numbers in the parameters, and in BN's moving statistics: (int, int)."""
    trained, moving = (sum(int(np.prod(shape)) for shape in shapes.values())
                       for shapes in parameter_shapes(symbol, data=tuple(data_shape)))
    return trained, moving


def can_plan() -> bool:
    """Whether MXNet, which alone plans the memory of trainings, is installed."""
    return util.find_spec("mxnet") is not None


def planned_bytes(symbol: engine.Symbol, data_shape: Tuple[int, ...], training: bool = True) -> int:
    """Bytes that MXNet or, for testing, this process's engine plans for the maps; in training for gradients too."""
    return engine.load("mxnet" if training else None).planned_bytes(symbol, data_shape, training)


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
    layers: Tuple[Layer, ...]  # of the first unit
    parameters: int
    multiply_adds: int


@dataclass(frozen=True)
class Costs:
    """What a label's network costs; the plans, in bytes, are without the parameters."""

    label: str
    setting: Setting
    depth: int  # as the paper counts the layers of the classification network
    longest_path: int  # layers on it, of this network with its top
    parameters: int  # trained numbers
    statistics: int  # moving means and variances of BN
    multiply_adds: int  # of one image
    training_bytes: Optional[int]  # MXNet's plan, None where it is not installed
    recomputed_bytes: Optional[int]  # the same with `SymbolOptions.recompute`
    testing_bytes: Optional[int]  # None where no engine is
    groups: List[Group]
    layers: List[Layer]


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
    """The setting of a label in the paper, with what is given instead; without a task, a stride tells segmentation."""
    task = task or (CLASSIFICATION if label.stride is None else SEGMENTATION)
    if task == CLASSIFICATION:
        return Setting(task, images or CLASSIFICATION_IMAGES, crop or network(label.network).input.train_crop)
    crop = whole_cells(crop or SEGMENTATION_CROP, output_stride(label))
    return Setting(task, images or SEGMENTATION_IMAGES, crop, head, loss)


def build(label: Label, setting: Setting, training: bool, recompute: bool = False) -> engine.Symbol:
    """The network as it is trained or tested: BN's statistics are those of the batch in training a classifier only."""
    fixed = setting.task == SEGMENTATION or not training
    options = SymbolOptions(bn_use_global_stats=fixed, recompute=recompute)
    if setting.task == CLASSIFICATION:
        return classification_symbol(label, options)
    return segmentation_symbol(label, options, setting.head, setting.loss if training else "softmax")


def costs(label: Label, setting: Setting) -> Costs:
    """The `Costs` of a label."""
    symbol, shape = build(label, setting, training=True), setting.data_shape
    found = layers(symbol, shape)
    training = recomputed = testing = None
    if can_plan():
        training = planned_bytes(symbol, shape)
        recomputed = planned_bytes(build(label, setting, training=True, recompute=True), shape)
    if engine.usual():
        testing = planned_bytes(build(label, setting, training=False), shape, training=False)
    return Costs(str(label), setting, network(label.network).depth, depth(symbol),
                 *parameter_counts(symbol, shape), sum(layer.multiply_adds for layer in found), training, recomputed,
                 testing, group_units(found), found)


def group_units(layers: Sequence[Layer]) -> List[Group]:
    """Consecutive layers as units, and equal consecutive units of a level as one `Group`."""
    def look(unit: Sequence[Layer]) -> Tuple[str, List[Layer]]:
        return unit[0].level, [replace(layer, name="", unit="", parameters=0, multiply_adds=0) for layer in unit]

    units = [tuple(members) for _, members in groupby(layers, key=lambda layer: layer.unit)]
    equal = [list(members) for _, members in groupby(units, key=look)]
    return [Group(members[0][0].level, tuple(unit[0].unit for unit in members), members[0],
                  sum(layer.parameters for unit in members for layer in unit),
                  sum(layer.multiply_adds for unit in members for layer in unit)) for members in equal]


def training_memory(label: Label, setting: Setting, recompute: bool = False) -> int:
    """Bytes of one device in training: MXNet's plan, and values, gradients and momentum of the parameters."""
    symbol = build(label, setting, training=True, recompute=recompute)
    return planned_bytes(symbol, setting.data_shape) + 3 * 4 * parameter_counts(symbol, setting.data_shape)[0]


def fitting_images(symbol: engine.Symbol, images: int, crop: int, free: Optional[int]) -> int:
    """The batch halved until the plan of testing and the parameters fit into `free` bytes (int, at least 1)."""
    parameters = 4 * sum(parameter_counts(symbol, (1, 3, crop, crop)))
    while images > 1 and free and parameters + planned_bytes(symbol, (images, 3, crop, crop), training=False) \
            > MEMORY_SHARE * free:
        images //= 2
    return images


def random_parameters(symbol: engine.Symbol, data_shape: Tuple[int, ...], rng: np.random.Generator) -> Parameters:
    """Parameters that keep the maps in range: denormal numbers would be slow."""
    def value(name: str, shape: Tuple[int, ...]) -> np.ndarray:
        if name.endswith("_weight"):
            return rng.standard_normal(shape, np.float32) * np.float32(np.sqrt(2 / np.prod(shape[1:])))
        return np.full(shape, 0.5 if name.endswith("_gamma") else float(name.endswith("_var")), np.float32)

    shapes = parameter_shapes(symbol, data=data_shape)
    return Parameters(*({name: value(name, shape) for name, shape in kind.items()} for kind in shapes))
