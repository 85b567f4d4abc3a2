"""What can be read off a Symbol: layers, depth, parameters, multiply-adds. Nothing is computed or allocated."""
import ast
import json
import re
from dataclasses import dataclass
from typing import Any, Dict, List, Tuple

import numpy as np

from ademxapp.engine import Symbol
from ademxapp.weights.parameters import parameter_shapes

WEIGHTED = ("Convolution", "FullyConnected")
_BRANCH = re.compile(r"(?P<scale>half_)?(?:res|conv_|pool_)(?P<unit>.+?)_(?:branch.+|up)")
_NUMBERED = re.compile(r"(?P<scale>half_)?(?P<unit>conv\d+)_\d+")


@dataclass(frozen=True)
class Layer:
    """A convolution, a fully connected layer or a pooling.

    Attributes
    ----------
    name, op, unit : str
        Of the node; of MXNet's operator; of the unit (`2a`, `conv3`, …) that it belongs to.
    shape : tuple of int
        (channels, rows, columns) of one image's output; (units,) of a fully connected layer.
    kernel, stride, dilation : (int, int)
    dropout : float
        Rate of the dropout just before it.
    parameters, multiply_adds : int
        Of one image; the weights' products, without biases, BN and pooling.
    """

    name: str
    op: str
    unit: str
    shape: Tuple[int, ...]
    kernel: Tuple[int, int] = (1, 1)
    stride: Tuple[int, int] = (1, 1)
    dilation: Tuple[int, int] = (1, 1)
    dropout: float = 0.0
    parameters: int = 0
    multiply_adds: int = 0

    @property
    def level(self) -> str:
        """The unit without its place on the level: `2` of `2b1`, `stem` of `stem3`."""
        unit = self.unit[5:] if self.unit.startswith("half_") else self.unit
        return re.findall(r"\d+|conv\d+|[a-z_]*[a-z]|.+", unit)[0]


def layers(symbol: Symbol, data_shape: Tuple[int, ...]) -> List[Layer]:
    """The layers of a network in the order of the graph.

    Parameters
    ----------
    symbol : Symbol
    data_shape : tuple of int
        (N, 3, H, W) of `data`.

    Returns
    -------
    list of Layer
    """
    nodes = json.loads(symbol.tojson())["nodes"]
    shapes = _output_shapes(symbol, data_shape)
    found = []
    for index, node in enumerate(nodes):
        if node["op"] in WEIGHTED + ("Pooling",):
            found.append(_layer(node, nodes, shapes))
        elif node["op"] == "Pad":
            readers = sum(entry[0] == index for other in nodes for entry in other["inputs"])
            found.append(_composed_pooling(node, readers, shapes[nodes[node["inputs"][0][0]]["name"]]))
    return found


def depth(symbol: Symbol) -> int:
    """Convolutions and fully connected layers on the longest path from the image to the scores (int)."""
    longest: List[int] = []
    for node in json.loads(symbol.tojson())["nodes"]:
        before = max((longest[entry[0]] for entry in node["inputs"]), default=0)
        longest.append(before + (node["op"] in WEIGHTED))
    return max(longest)


def parameter_counts(symbol: Symbol, data_shape: Tuple[int, ...]) -> Tuple[int, int]:
    """Numbers in the parameters, and in BN's moving statistics: (int, int)."""
    trained, moving = (sum(int(np.prod(shape)) for shape in shapes.values())
                       for shapes in parameter_shapes(symbol, data=tuple(data_shape)))
    return trained, moving


def _output_shapes(symbol: Symbol, data_shape: Tuple[int, ...]) -> Dict[str, Tuple[int, ...]]:
    """First output's shape by node name, of variables too."""
    internals = symbol.get_internals()
    _, shapes, _ = internals.infer_shape(data=tuple(data_shape))
    found: Dict[str, Tuple[int, ...]] = {}
    for name, shape in zip(internals.list_outputs(), shapes):
        node = re.sub(r"_output\d*$", "", name)
        found.setdefault(node, shape)
    return found


def _layer(node: Dict[str, Any], nodes: List[Dict[str, Any]], shapes: Dict[str, Tuple[int, ...]]) -> Layer:
    attributes = node.get("attrs", {})
    inputs = [nodes[entry[0]] for entry in node["inputs"]]
    shape = tuple(shapes[node["name"]][1:])
    kernel, stride, dilation = (ast.literal_eval(attributes.get(key, "(1, 1)")) for key in
                                ("kernel", "stride", "dilate"))
    if attributes.get("global_pool", "False") == "True":
        rows, columns = shapes[inputs[0]["name"]][2:]
        kernel = rows, columns
    parameters, multiply_adds = 0, 0
    if node["op"] in WEIGHTED:
        weight = int(np.prod(shapes[inputs[1]["name"]]))
        parameters = sum(int(np.prod(shapes[variable["name"]])) for variable in inputs[1:])
        multiply_adds = weight * int(np.prod(shape[1:]))
    dropout = float(inputs[0]["attrs"]["p"]) if inputs[0]["op"] == "Dropout" else 0.0
    return Layer(node["name"], node["op"], unit_of(node["name"]), shape, kernel, stride, dilation, dropout, parameters,
                 multiply_adds)


def _composed_pooling(pad: Dict[str, Any], kernel: int, shape: Tuple[int, ...]) -> Layer:
    """The pooling of stride 1 that starts with a padding, whose output `kernel` shifted copies read (`layers.py`)."""
    reach = sum(ast.literal_eval(pad["attrs"]["pad_width"])[4:6])
    name = pad["name"][:-len("_pad")]
    dilation = reach // (kernel - 1)
    return Layer(name, "Pooling", unit_of(name), tuple(shape[1:]), (kernel, kernel), dilation=(dilation, dilation))


def unit_of(name: str) -> str:
    """The unit that a layer's name tells: `2a` of `res2a_branch2b1`, `conv3` of `conv3_2`; else the name itself."""
    found = _BRANCH.fullmatch(name) or _NUMBERED.fullmatch(name)
    return (found["scale"] or "") + found["unit"] if found else name
