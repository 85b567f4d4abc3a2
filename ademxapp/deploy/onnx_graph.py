"""A network's graph as the nodes of an ONNX graph, operator by operator.

The graph comes as MXNet's JSON (`symbol.tojson()`), from whichever library wrote it; of ONNX, operator set 13 is used.
"""
import ast
import json
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Set

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

LAST = np.iinfo(np.int64).max  # as the end of a slice: that of the axis


class Graph:
    """The nodes and the constants of an ONNX graph in the making."""

    def __init__(self) -> None:
        self.nodes: List[NodeProto] = []
        self.constants: List[TensorProto] = []

    def add(self, operator: str, inputs: List[str], output: str, **attributes: Any) -> str:
        """Append a node with one output, and give the output's name."""
        self.nodes.append(helper.make_node(operator, inputs, [output], output, **attributes))
        return output

    def constant(self, name: str, values: Any, dtype: type = np.int64) -> str:
        """Add a constant, and give its name."""
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name


@dataclass(frozen=True)
class Node:
    """A node of the network: its name, its attributes as the JSON has them, and the ONNX values that it reads."""

    name: str
    attributes: Dict[str, str]
    inputs: List[str]

    def get(self, key: str, default: Any = None) -> Any:
        """An attribute's value; texts that are no Python literals stay texts."""
        text = self.attributes.get(key)
        if text is None:
            return default
        try:
            return ast.literal_eval(text)
        except (SyntaxError, ValueError):
            return text


def add_scores(graph: Graph, graph_json: str, parameters: Dict[str, np.ndarray], data: str) -> str:
    """Add the scores that a network's loss is computed of.

    Parameters
    ----------
    graph : Graph
    graph_json : str
        Of a network that ends in `SoftmaxOutput`.
    parameters : dict
        {name: ndarray}; those that are used become constants, float32, of the same names.
    data : str
        The ONNX value that is the network's `data`.

    Returns
    -------
    str
        Name of the scores' value.

    Raises
    ------
    ValueError
        For an operator that has no rule here; the message names it.
    """
    content = json.loads(graph_json)
    nodes = content["nodes"]
    last = nodes[content["heads"][0][0]]
    if last["op"] != "SoftmaxOutput":
        raise ValueError(f"the network ends in {last['op']} {last['name']}, wanted SoftmaxOutput")
    _skip_reshaping(nodes)
    scores = last["inputs"][0][0]
    values: Dict[int, str] = {}
    for index in sorted(_ancestors(nodes, scores)):
        node = nodes[index]
        if node["op"] != "null":
            rule = _RULES.get(node["op"])
            if rule is None:
                raise ValueError(f"{node['op']} (node {node['name']}) cannot be written as ONNX; there are rules for "
                                 f"{', '.join(sorted(_RULES))}")
            values[index] = rule(graph, Node(node["name"], node.get("attrs", {}),
                                             [values[entry[0]] for entry in node["inputs"]]))
        elif node["name"] == "data":
            values[index] = data
        else:
            values[index] = graph.constant(node["name"], parameters[node["name"]], np.float32)
    return values[scores]


def _skip_reshaping(nodes: List[Dict[str, Any]]) -> None:
    """Let what gives maps an axis of length 1 and takes it again, for oneDNN's sake, do nothing; in place."""
    for node in nodes:
        source = nodes[node["inputs"][0][0]] if node["inputs"] else node
        if (node["op"], source["op"]) == ("squeeze", "expand_dims") and node["attrs"] == source["attrs"]:
            node["op"], node["inputs"] = "BlockGrad", source["inputs"]


def _ancestors(nodes: List[Dict[str, Any]], last: int) -> Set[int]:
    """Indices of a node and of all that it is computed of."""
    found, waiting = set(), [last]
    while waiting:
        index = waiting.pop()
        if index not in found:
            found.add(index)
            waiting += [entry[0] for entry in nodes[index]["inputs"]]
    return found


def _as_it_is(operator: str, **attributes: Any) -> Callable[[Graph, Node], str]:
    """The rule of an operator that ONNX has under a name of its own."""
    return lambda graph, node: graph.add(operator, node.inputs, node.name, **attributes)


def _convolution(graph: Graph, node: Node) -> str:
    return graph.add("Conv", node.inputs, node.name, kernel_shape=node.get("kernel"),
                     strides=node.get("stride", (1, 1)), pads=2 * node.get("pad", (0, 0)),
                     dilations=node.get("dilate", (1, 1)), group=node.get("num_group", 1))


def _batch_norm(graph: Graph, node: Node) -> str:
    if node.get("fix_gamma", True):
        raise ValueError(f"BatchNorm {node.name} has fix_gamma, which no network here has")
    return graph.add("BatchNormalization", node.inputs, node.name, epsilon=node.get("eps", 1e-3))


def _activation(graph: Graph, node: Node) -> str:
    if node.get("act_type") != "relu":
        raise ValueError(f"Activation {node.name} is {node.get('act_type')}, wanted relu")
    return graph.add("Relu", node.inputs, node.name)


def _pooling(graph: Graph, node: Node) -> str:
    kind = {"max": "MaxPool", "avg": "AveragePool"}[node.get("pool_type", "max")]
    if node.get("global_pool", False):
        return graph.add(f"Global{kind}", node.inputs, node.name)
    own = {"count_include_pad": int(node.get("count_include_pad", True))} if kind == "AveragePool" else {}
    return graph.add(kind, node.inputs, node.name, kernel_shape=node.get("kernel"),
                     strides=node.get("stride", (1, 1)), pads=2 * node.get("pad", (0, 0)),
                     ceil_mode=int(node.get("pooling_convention", "valid") == "full"), **own)


def _pad(graph: Graph, node: Node) -> str:
    width = node.get("pad_width")  # before and after each axis; ONNX has all before, then all after
    pads = graph.constant(f"{node.name}_pads", width[::2] + width[1::2])
    value = graph.constant(f"{node.name}_value", node.get("constant_value", 0.0), np.float32)
    return graph.add("Pad", [*node.inputs, pads, value], node.name)


def _slice_axis(graph: Graph, node: Node) -> str:
    end = node.get("end")
    parts = {"start": node.get("begin"), "end": LAST if end is None else end, "axis": node.get("axis")}
    return graph.add("Slice", node.inputs + [graph.constant(f"{node.name}_{part}", [value])
                                             for part, value in parts.items()], node.name)


def _fully_connected(graph: Graph, node: Node) -> str:
    """Over (N, units): all networks flatten their maps before, once."""
    return graph.add("Gemm", node.inputs, node.name, transB=1)


def _times(graph: Graph, node: Node) -> str:
    factor = graph.constant(f"{node.name}_factor", node.get("scalar", 0.0), np.float32)  # zeros_like has none
    return graph.add("Mul", [node.inputs[0], factor], node.name)


def _enlarge_like(graph: Graph, node: Node) -> str:
    """Bilinear, to the size of another map; the corners stay where they are."""
    if node.get("mode") != "like":
        raise ValueError(f"BilinearResize2D {node.name} has mode {node.get('mode')}, wanted like")
    sizes = []
    for source, part, axes in zip(node.inputs, ("outer", "inner"), ([0, 1], [2, 3])):
        shape = graph.add("Shape", [source], f"{node.name}_{part}_shape")
        sizes.append(graph.add("Gather", [shape, graph.constant(f"{node.name}_{part}_axes", axes)],
                               f"{node.name}_{part}"))
    size = graph.add("Concat", sizes, f"{node.name}_size", axis=0)
    return graph.add("Resize", [node.inputs[0], "", "", size], node.name, mode="linear",
                     coordinate_transformation_mode="align_corners")


def _nothing(_: Graph, node: Node) -> str:
    """What does nothing in testing: the value is that of its input."""
    return node.inputs[0]


_RULES: Dict[str, Callable[[Graph, Node], str]] = {
    "Activation": _activation,
    "BatchNorm": _batch_norm,
    "BlockGrad": _nothing,
    "Concat": lambda graph, node: graph.add("Concat", node.inputs, node.name, axis=node.get("dim", 1)),
    "Convolution": _convolution,
    "Dropout": _nothing,
    "Flatten": _as_it_is("Flatten", axis=1),
    "FullyConnected": _fully_connected,
    "Pad": _pad,
    "Pooling": _pooling,
    "_contrib_BilinearResize2D": _enlarge_like,
    "_maximum": _as_it_is("Max"),
    "_mul_scalar": _times,
    "add_n": _as_it_is("Sum"),
    "elemwise_add": _as_it_is("Add"),
    "slice_axis": _slice_axis,
    "zeros_like": _times,
}
