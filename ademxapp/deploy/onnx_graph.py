"""A network's graph as an ONNX graph, operator by operator, whose parameters are constants and not inputs.

The graph comes as MXNet's JSON (`symbol.tojson()`), from whichever library wrote it; of ONNX, operator set 13 is used,
an old one that every runtime knows. No runtime folds parameters that are inputs.
"""
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from ademxapp.data import transforms
from ademxapp.deploy.onnx_model import DATA, OUTPUT
from ademxapp.engine import Symbol
from ademxapp.symbol.recorder import read_graph
from ademxapp.weights.description import Description
from ademxapp.weights.parameters import Parameters

OPSET, IR_VERSION = 13, 7  # of ONNX 1.8
LAST = np.iinfo(np.int64).max  # as the end of a slice: that of the axis


class Writer(NamedTuple):
    """An ONNX graph in the making, and a node of the network that goes there: `inputs` are the values that it reads."""

    nodes: List[NodeProto]
    constants: List[TensorProto]
    name: str = ""
    attrs: Dict[str, Any] = {}
    inputs: List[str] = []

    def add(self, operator: str, inputs: Optional[List[str]] = None, part: str = "", **attributes: Any) -> str:
        """Append a node that reads what this one does, or other inputs, and give its output's name."""
        output = self.name + part
        inputs = self.inputs if inputs is None else inputs
        self.nodes.append(helper.make_node(operator, inputs, [output], output, **attributes))
        return output

    def constant(self, part: str, values: Any, dtype: type = np.int64) -> str:
        """Add a constant, and give its name."""
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), self.name + part))
        return self.name + part


def make_model(symbol: Symbol, parameters: Parameters, description: Description, size: Tuple[int, int],
               dynamic: bool) -> ModelProto:
    """A network that ends in a softmax in the place of the loss, for inputs of `size`, or of any number and size."""
    graph, data = Writer([], []), DATA
    if description.pixels:  # RGB in 0 … 255
        matrix, offset = transforms.normalisation(description.mean, description.std)
        constants = [graph.constant(f"{DATA}_{name}", values.reshape(1, 3, 1, 1), np.float32)
                     for name, values in (("factor", matrix.diagonal()), ("offset", offset))]
        data = graph.add("Cast", [DATA], f"{DATA}_float", to=TensorProto.FLOAT)
        data = graph.add("Mul", [data, constants[0]], f"{DATA}_scaled")
        data = graph.add("Add", [data, constants[1]], f"{DATA}_normalised")
    graph.add("Softmax", [add_scores(graph, symbol.tojson(), parameters.all, data)], OUTPUT, axis=1)
    input_shape = ("batch", 3, "height", "width") if dynamic else (1, 3, *size)
    output_shape = symbol.infer_shape(data=(1, 3, *size))[1][0]
    if dynamic:
        output_shape = ("batch", description.classes, "cells_high", "cells_wide")[:len(output_shape)]
    pixels = helper.np_dtype_to_tensor_dtype(np.dtype(description.pixels or np.float32))
    made = helper.make_model(
        helper.make_graph(graph.nodes, description.label, [helper.make_tensor_value_info(DATA, pixels, input_shape)],
                          [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, output_shape)], graph.constants),
        opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="ademxapp")
    helper.set_model_props(made, description.properties())
    return made


def add_scores(graph: Writer, graph_json: str, parameters: Dict[str, np.ndarray], data: str) -> str:
    """Add the scores that a network's loss is computed of, and give the name of their value.

    The network ends in `SoftmaxOutput`; `data` is the ONNX value that is its `data`. The parameters, {name: ndarray},
    that are used become constants, float32, of the same names. ValueError for an operator that has no rule here.
    """
    nodes, heads = read_graph(graph_json)
    last = nodes[heads[0]]
    if last["op"] != "SoftmaxOutput":
        raise ValueError(f"the network ends in {last['op']} {last['name']}, wanted SoftmaxOutput")
    for node in nodes:  # what gives maps an axis of length 1 and takes it again, for oneDNN's sake, does nothing
        source = nodes[node["inputs"][0]] if node["inputs"] else node
        if (node["op"], source["op"]) == ("squeeze", "expand_dims") and node["attrs"] == source["attrs"]:
            node.update(op="BlockGrad", inputs=source["inputs"])
    scores = last["inputs"][0]
    needed = {scores}
    for place in reversed(range(len(nodes))):
        if place in needed:
            needed.update(nodes[place]["inputs"])
    values: Dict[int, str] = {}
    for place in sorted(needed):
        op, name, attrs, inputs = (nodes[place][key] for key in ("op", "name", "attrs", "inputs"))
        if op == "null":
            values[place] = data if name == DATA else graph.constant(name, parameters[name], np.float32)
        elif op in _RULES:
            values[place] = _RULES[op](graph._replace(
                name=name, attrs=attrs, inputs=[values[other] for other in inputs]))
        else:
            raise ValueError(f"{op} (node {name}) cannot be written as ONNX; there are rules for "
                             f"{', '.join(sorted(_RULES))}")
    return values[scores]


def _cells(node: Writer) -> Dict[str, Any]:
    """What convolution and pooling have in common."""
    return {"kernel_shape": node.attrs["kernel"], "strides": node.attrs.get("stride", (1, 1)),
            "pads": 2 * node.attrs.get("pad", (0, 0))}


def _batch_norm(node: Writer) -> str:
    if node.attrs.get("fix_gamma", True):
        raise ValueError(f"BatchNorm {node.name} has fix_gamma, which no network here has")
    return node.add("BatchNormalization", epsilon=node.attrs.get("eps", 1e-3))


def _activation(node: Writer) -> str:
    if node.attrs.get("act_type") != "relu":
        raise ValueError(f"Activation {node.name} is {node.attrs.get('act_type')}, wanted relu")
    return node.add("Relu")


def _pooling(node: Writer) -> str:
    kind = {"max": "MaxPool", "avg": "AveragePool"}[node.attrs.get("pool_type", "max")]
    if node.attrs.get("global_pool"):
        return node.add(f"Global{kind}")
    how = {**_cells(node), "ceil_mode": int(node.attrs.get("pooling_convention", "valid") == "full")}
    if kind == "AveragePool":
        how["count_include_pad"] = int(node.attrs.get("count_include_pad", True))
    return node.add(kind, **how)


def _pad(node: Writer) -> str:
    width = node.attrs["pad_width"]  # before and after each axis; ONNX has all before, then all after
    pads = node.constant("_pads", width[::2] + width[1::2])
    value = node.constant("_value", node.attrs.get("constant_value", 0.0), np.float32)
    return node.add("Pad", [*node.inputs, pads, value])


def _slice_axis(node: Writer) -> str:
    begin, end, axis = (node.attrs.get(key) for key in ("begin", "end", "axis"))
    parts = {"_start": begin, "_end": LAST if end is None else end, "_axis": axis}
    return node.add("Slice", node.inputs + [node.constant(part, [value]) for part, value in parts.items()])


def _times(node: Writer) -> str:
    factor = node.constant("_factor", node.attrs.get("scalar", 0.0), np.float32)  # zeros_like has none
    return node.add("Mul", [node.inputs[0], factor])


def _enlarge_like(node: Writer) -> str:
    """Bilinear, to the size of another map; the corners stay where they are."""
    if node.attrs.get("mode") != "like":
        raise ValueError(f"BilinearResize2D {node.name} has mode {node.attrs.get('mode')}, wanted like")
    sizes = []
    for source, part, axes in zip(node.inputs, ("_outer", "_inner"), ([0, 1], [2, 3])):
        shape = node.add("Shape", [source], f"{part}_shape")
        sizes.append(node.add("Gather", [shape, node.constant(f"{part}_axes", axes)], part))
    size = node.add("Concat", sizes, "_size", axis=0)
    return node.add("Resize", [node.inputs[0], "", "", size], mode="linear",
                    coordinate_transformation_mode="align_corners")


_RULES: Dict[str, Callable[[Writer], str]] = {
    "Activation": _activation,
    "BatchNorm": _batch_norm,
    "BlockGrad": lambda node: node.inputs[0],  # does nothing in testing
    "Concat": lambda node: node.add("Concat", axis=node.attrs.get("dim", 1)),
    "Convolution": lambda node: node.add("Conv", **_cells(node), dilations=node.attrs.get("dilate", (1, 1)),
                                         group=node.attrs.get("num_group", 1)),
    "Dropout": lambda node: node.inputs[0],
    "Flatten": lambda node: node.add("Flatten", axis=1),
    "FullyConnected": lambda node: node.add("Gemm", transB=1),  # over (N, units): all networks flatten before, once
    "Pad": _pad,
    "Pooling": _pooling,
    "_contrib_BilinearResize2D": _enlarge_like,
    "_maximum": lambda node: node.add("Max"),
    "_mul_scalar": _times,
    "add_n": lambda node: node.add("Sum"),
    "elemwise_add": lambda node: node.add("Add"),
    "slice_axis": _slice_axis,
    "zeros_like": _times,
}
