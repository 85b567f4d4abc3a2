"""Graphs without MXNet: the calls of `mx.sym` that the networks use, recorded; `tojson()` is MXNet's, node for node.

Operators are called as in `mx.sym` (`recorder.Convolution(data, num_filter=8, kernel=(3, 3), name="conv")`) and give a
`Symbol` with the methods of MXNet's that this project uses. A node without a name is named by its place in the graph.
"""
import ast
import contextlib
import json
import sys
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property, partial
from math import prod
from types import ModuleType
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, Union

from ademxapp.engine.mxnet.backend import BackendError, load

Shape = Tuple[int, ...]
Known = List[Any]  # Shape, or None where it is not known
Found = Tuple[Known, Optional[Shape]]  # of the inputs, which may follow from the others; of the output
Attributes = Dict[str, Any]

SYNONYMS = {"concat": "Concat", "reshape": "Reshape", "maximum": "_maximum",
            "BilinearResize2D": "_contrib_BilinearResize2D"}
ANY_NUMBER = ("Concat", "add_n")
INPUTS = {  # of the operators that have others than "data"
    "Convolution": ("data", "weight", "bias"), "FullyConnected": ("data", "weight", "bias"),
    "BatchNorm": ("data", "gamma", "beta", "moving_mean", "moving_var"), "SoftmaxOutput": ("data", "label"),
    "where": ("condition", "x", "y"), "_ones": (), "_contrib_BilinearResize2D": ("data", "like"),
    "pick": ("data", "index"),
    **dict.fromkeys(("elemwise_add", "elemwise_sub", "elemwise_mul", "_maximum", "broadcast_lesser_equal",
                     "reshape_like"), ("lhs", "rhs")),
}
OUTPUTS = {"BatchNorm": 3, "Dropout": 2, "sort": 2, "topk": 2}  # that nodes have; a Symbol shows the first
INITIAL = {"moving_mean": '["zero", {}]', "moving_var": '["one", {}]'}  # of what BN keeps: its auxiliary states


@dataclass(eq=False)
class Node:
    """An operator or, with `op` "null", a variable; `inputs` are (node, its output, version of an auxiliary state)."""

    op: str
    name: Optional[str] = None
    attrs: Dict[str, str] = field(default_factory=dict)
    inputs: List[Tuple["Node", int, int]] = field(default_factory=list)
    version: int = 0  # of an auxiliary state: how many nodes change it


class Symbol:
    """One output, or several, of a graph's nodes."""

    def __init__(self, outputs: Sequence[Tuple[Node, int]]) -> None:
        self._outputs = list(outputs)

    @cached_property
    def _nodes(self) -> List[Node]:
        """The nodes that the outputs need, inputs first, as MXNet visits them."""
        found: Dict[Node, None] = {}
        visited, stack = set(), [(head, iter(head.inputs)) for head, _ in reversed(self._outputs)]
        while stack:
            node, inputs = stack[-1]
            visited.add(node)
            ahead = next((entry[0] for entry in inputs if entry[0] not in visited), None)
            if ahead is None:
                found[node] = None
                stack.pop()
            else:
                stack.append((ahead, iter(ahead.inputs)))
        return list(found)

    @cached_property
    def _names(self) -> Dict[Node, str]:
        numbers: Counter = Counter()
        names = {}
        for node in self._nodes:
            names[node] = node.name or f"{node.op.lower()}{numbers[node.op]}"
            numbers[node.op] += node.name is None
        return names

    def tojson(self) -> str:
        """The graph as MXNet writes it."""
        place = {node: index for index, node in enumerate(self._nodes)}
        nodes, row_ptr = [], [0]
        for node in self._nodes:
            attrs = {"attrs": dict(sorted(node.attrs.items()))} if node.attrs else {}
            nodes.append({"op": node.op, "name": self._names[node], **attrs,
                          "inputs": [[place[other], index, version] for other, index, version in node.inputs]})
            pools = node.op == "Pooling" and node.attrs["pool_type"] == "max"  # keeps where the largest values were
            row_ptr.append(row_ptr[-1] + OUTPUTS.get(node.op, 2 if pools else 1))
        return json.dumps({"nodes": nodes, "arg_nodes": [place[node] for node in self._nodes if node.op == "null"],
                           "node_row_ptr": row_ptr, "heads": [[place[node], index, 0] for node, index in self._outputs],
                           "attrs": {"mxnet_version": ["int", 10901]}}, indent=2)

    def list_arguments(self) -> List[str]:
        """Names of the variables, in the order of the graph, without the auxiliary states."""
        states = self._states()
        return [self._names[node] for node in self._nodes if node.op == "null" and node not in states]

    def list_auxiliary_states(self) -> List[str]:
        """Names of BN's moving statistics."""
        states = self._states()
        return [self._names[node] for node in self._nodes if node in states]

    def list_outputs(self) -> List[str]:
        """`<node>_output`; of a variable its name."""
        return [self._names[node] + ("" if node.op == "null" else "_output") for node, _ in self._outputs]

    def attr_dict(self) -> Dict[str, Dict[str, str]]:
        """Attributes of the nodes that have some, by name."""
        return {self._names[node]: dict(node.attrs) for node in self._nodes if node.attrs}

    def get_internals(self) -> "Symbol":
        """The outputs of all nodes, in the order of the graph."""
        return Symbol([(node, 0) for node in self._nodes])

    def infer_shape(self, **inputs: Shape) -> Tuple[List[Shape], List[Shape], List[Shape]]:
        """Shapes of the arguments, outputs and auxiliary states; ValueError if they cannot be, or not be told."""
        shapes: Dict[Node, Any] = {}  # a Shape; None of a variable as long as it is not known
        for node, name in self._names.items():
            if node.op == "null":
                shapes[node] = tuple(inputs[name]) if name in inputs else None
                continue
            if node.op not in RULES:
                raise ValueError(f"node {name} has the operator {node.op}, which has no rule for shapes")
            before = [shapes[source] for source, *_ in node.inputs]
            try:
                after, shape = RULES[node.op](before, values_of(node.attrs))
            except (TypeError, IndexError):  # of None or of too few numbers
                raise ValueError(f"the shape of {name} ({node.op}) does not follow from inputs of {before}") from None
            for (source, *_), known, found in zip(node.inputs, before, after):
                if known is not None and found is not None and known != found:
                    raise ValueError(f"{self._names[source]} has shape {known}, and {name} ({node.op}) wants {found}")
                shapes[source] = shapes[source] or found
            if shape is None or min(shape, default=1) < 1:
                raise ValueError(f"the output of {name} ({node.op}) would have shape {shape} for inputs of {before}")
            shapes[node] = shape
        unknown = [self._names[node] for node, shape in shapes.items() if shape is None]
        if unknown:
            raise ValueError(f"the shape of {unknown[0]} does not follow from those of {', '.join(inputs)}")
        by_name = {name: shapes[node] for node, name in self._names.items()}
        return ([by_name[name] for name in self.list_arguments()], [shapes[node] for node, _ in self._outputs],
                [by_name[name] for name in self.list_auxiliary_states()])

    def _states(self) -> List[Node]:
        return [entry[0] for node in self._nodes if node.op == "BatchNorm" for entry in node.inputs[3:]]

    def __getitem__(self, name: str) -> "Symbol":
        found = [output for output, one in zip(self._outputs, self.list_outputs()) if one == name]
        if len(found) != 1:
            raise ValueError(f"the graph has {len(found)} outputs {name!r}, wanted one")
        return Symbol(found)

    def __mul__(self, other: Union["Symbol", float]) -> "Symbol":
        return _record("elemwise_mul", self, other) if isinstance(other, Symbol) else _record(
            "_mul_scalar", self, scalar=other)

    def __add__(self, other: "Symbol") -> "Symbol":
        return _record("elemwise_add", self, other)

    def __sub__(self, other: "Symbol") -> "Symbol":
        return _record("elemwise_sub", self, other)

    def __ne__(self, other: float) -> "Symbol":  # type: ignore[override]
        return _record("_not_equal_scalar", self, scalar=other)


def Variable(name: str, attr: Optional[Dict[str, str]] = None) -> Symbol:
    """An input or a parameter."""
    return Symbol([(Node("null", name, dict(attr or {})), 0)])


def ones(shape: Shape, dtype: str = "float32") -> Symbol:
    """Ones of a shape that is known."""
    return _record("_ones", shape=shape, dtype=dtype)


def values_of(attrs: Dict[str, str]) -> Dict[str, Any]:
    """A node's attributes as values; texts that are no literals stay texts."""
    values: Dict[str, Any] = dict(attrs)
    for key, text in attrs.items():
        with contextlib.suppress(SyntaxError, ValueError):
            values[key] = ast.literal_eval(text)
    return values


def read_graph(text: str) -> Tuple[List[Dict[str, Any]], List[int]]:
    """The nodes in a symbol's JSON, of any version of MXNet, and the places of its outputs among them.

    A node's "inputs" are places, its "attrs" `values_of` what stands there.
    """
    content = json.loads(text)
    for node in content["nodes"]:
        node["inputs"] = [place for place, *_ in node["inputs"]]
        node["attrs"] = values_of(_attributes(node))
    return content["nodes"], [place for place, *_ in content["heads"]]


def _attributes(entry: Dict[str, Any]) -> Dict[str, str]:
    """A node's, under the names that they have had in MXNet's versions."""
    return {**entry.get("param", {}), **entry.get("attr", {}), **entry.get("attrs", {})}


def load_json(text: str) -> Symbol:
    """The graph that `tojson` has written, MXNet's of any version too; ValueError if the text is no graph."""
    try:
        graph = json.loads(text)
        nodes: List[Node] = []
        for entry in graph["nodes"]:
            inputs = [(nodes[index], output, *(rest or [0])[:1]) for index, output, *rest in entry["inputs"]]
            nodes.append(Node(entry["op"], entry["name"], _attributes(entry), inputs))
        return Symbol([(nodes[index], output) for index, output, *_ in graph["heads"]])
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ValueError(f"this is no graph of MXNet's ({type(error).__name__}: {error}): wanted the text of a "
                         "-symbol.json") from None


def calls(symbol: Optional[Any] = None) -> ModuleType:
    """What to build a graph with: what built `symbol`; without one, `mx.sym` where MXNet runs, else this module.

    Where PyTorch was imported first, importing MXNet would end the process sooner or later.
    """
    if isinstance(symbol, Symbol) or (symbol is None and "torch" in sys.modules and "mxnet" not in sys.modules):
        return sys.modules[__name__]
    try:
        return load().sym
    except BackendError:
        return sys.modules[__name__]


def __getattr__(name: str) -> Callable[..., Symbol]:
    operator = SYNONYMS.get(name, name)
    if operator not in RULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return partial(_record, operator)


def _record(operator: str, *symbols: Symbol, name: Optional[str] = None, attr: Optional[Dict[str, str]] = None,
            **values: Any) -> Symbol:
    """A node of an operator; inputs that are parameters and not given become variables named after it."""
    parts: Any = range(len(symbols)) if operator in ANY_NUMBER else INPUTS.get(operator, ("data",))
    if len(symbols) > len(parts):
        raise ValueError(f"{operator} has {len(symbols)} inputs, and INPUTS of {__name__} knows {', '.join(parts)}")
    given: Dict[Any, Symbol] = dict(zip(parts, symbols))
    given.update({key: values.pop(key) for key in list(values) if isinstance(values[key], Symbol)})
    attrs = {key: str(value) for key, value in values.items()}
    if operator in ANY_NUMBER:
        attrs["num_args"] = str(len(given))
    node = Node(operator, name, {**attrs, **{f"__{key.strip('_')}__": value for key, value in (attr or {}).items()}})
    for part in parts:
        if part == "bias" and attrs.get("no_bias") == "True":
            continue
        if part not in given and name is None:
            raise ValueError(f"a node of {operator} has no {part}, and no name to call it after: give it one")
        (source, index), = given[part]._outputs if part in given else [(Node("null", f"{name}_{part}"), 0)]
        if part in INITIAL:
            source.version += 1
            source.attrs.setdefault("__init__", INITIAL[part])
        node.inputs.append((source, index, source.version))
    return Symbol([(node, 0)])


# Shapes of the inputs, which may follow from each other, and of the output, as in MXNet's `infer_shape`


def _same(shapes: Known, _: Attributes) -> Found:
    shape = next((shape for shape in shapes if shape is not None), None)
    return [shape] * len(shapes), shape


def _swept(sides: Sequence[int], attrs: Attributes, up: bool = False) -> List[int]:
    """How often a kernel fits along each side, rounded down or up."""
    kernel = attrs["kernel"]
    every, nothing = (1,) * len(kernel), (0,) * len(kernel)
    return [(side + 2 * pad - dilation * (cells - 1) - 1 + up * (stride - 1)) // stride + 1
            for side, cells, stride, pad, dilation in zip(sides, kernel, attrs.get("stride", every),
                                                          attrs.get("pad", nothing), attrs.get("dilate", every))]


def _with_axis(shape: Shape, axis: int, *sides: int) -> Shape:
    """The shape with these sides in the place of the axis."""
    return (*shape[:axis], *sides, *shape[axis + 1:])


def _convolution(shapes: Known, attrs: Attributes) -> Found:
    batch, channels, *sides = shapes[0]
    count = attrs["num_filter"]
    weight = (count, channels // attrs.get("num_group", 1), *attrs["kernel"])
    return [shapes[0], weight, (count,)][:len(shapes)], (batch, count, *_swept(sides, attrs))


def _fully_connected(shapes: Known, attrs: Attributes) -> Found:
    batch, *rest = shapes[0]
    units = attrs["num_hidden"]
    return [shapes[0], (units, prod(rest)), (units,)][:len(shapes)], (batch, units)


def _pooling(shapes: Known, attrs: Attributes) -> Found:
    batch, channels, *sides = shapes[0]
    if attrs.get("global_pool"):
        return shapes, (batch, channels, *[1] * len(sides))
    return shapes, (batch, channels, *_swept(sides, attrs, attrs.get("pooling_convention") == "full"))


def _concat(shapes: Known, attrs: Attributes) -> Found:
    axis = attrs.get("dim", 1)
    if len({_with_axis(shape, axis) for shape in shapes}) > 1:
        raise ValueError(f"maps of {shapes} cannot be concatenated along axis {axis}")
    return shapes, _with_axis(shapes[0], axis, sum(shape[axis] for shape in shapes))


def _reshape(shapes: Known, attrs: Attributes) -> Found:
    whole = [shapes[0][axis] if side == 0 else side for axis, side in enumerate(attrs["shape"])]
    rest = prod(shapes[0]) // max(1, prod(side for side in whole if side > 0))
    return shapes, tuple(rest if side == -1 else side for side in whole)


def _slice_axis(shapes: Known, attrs: Attributes) -> Found:
    begin, end, _ = slice(attrs["begin"], attrs["end"]).indices(shapes[0][attrs["axis"]])
    return shapes, _with_axis(shapes[0], attrs["axis"], end - begin)


def _pad(shapes: Known, attrs: Attributes) -> Found:
    width = attrs["pad_width"]
    return shapes, tuple(side + width[2 * axis] + width[2 * axis + 1] for axis, side in enumerate(shapes[0]))


def _softmax_output(shapes: Known, attrs: Attributes) -> Found:
    batch, _, *sides = shapes[0]
    return [shapes[0], (batch, prod(sides)) if attrs.get("multi_output") else (batch,)], shapes[0]


RULES: Dict[str, Callable[[Known, Attributes], Found]] = {
    **dict.fromkeys(("Activation", "BlockGrad", "Dropout", "_mul_scalar", "_not_equal_scalar", "ones_like", "relu",
                     "softmax", "sort", "zeros_like", "elemwise_add", "elemwise_sub", "elemwise_mul", "_maximum",
                     "add_n"), _same),
    "Convolution": _convolution, "FullyConnected": _fully_connected, "Pooling": _pooling, "Concat": _concat,
    "Reshape": _reshape, "slice_axis": _slice_axis, "Pad": _pad, "SoftmaxOutput": _softmax_output,
    "BatchNorm": lambda shapes, _: ([shapes[0]] + [(shapes[0][1],)] * 4, shapes[0]),
    "broadcast_lesser_equal": lambda shapes, _: (shapes, tuple(max(sides) for sides in zip(*shapes))),
    "Flatten": lambda shapes, _: (shapes, (shapes[0][0], prod(shapes[0][1:]))),
    "_ones": lambda shapes, attrs: (shapes, tuple(attrs["shape"])),
    "_contrib_BilinearResize2D": lambda shapes, _: (shapes, shapes[0][:2] + shapes[1][2:]),
    "where": lambda shapes, _: (shapes, shapes[1]), "reshape_like": lambda shapes, _: (shapes, shapes[1]),
    "expand_dims": lambda shapes, attrs: (shapes, (*shapes[0][:attrs["axis"]], 1, *shapes[0][attrs["axis"]:])),
    **dict.fromkeys(("squeeze", "pick"), lambda shapes, attrs: (shapes, _with_axis(shapes[0], attrs["axis"]))),
    "topk": lambda shapes, attrs: (shapes, _with_axis(shapes[0], attrs["axis"], attrs["k"])),
}
contrib = _internal = sys.modules[__name__]  # inner modules of `mx.sym`
