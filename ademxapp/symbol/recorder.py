"""Graphs without MXNet: the calls of `mx.sym` that the networks use, recorded; `tojson()` is MXNet's, node for node.

Operators are called as in `mx.sym` (`recorder.Convolution(data, num_filter=8, kernel=(3, 3), name="conv")`) and give a
`Symbol` with the methods of MXNet's that this project uses. A node without a name is named by its place in the graph.
"""
import json
import sys
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property, partial
from types import ModuleType
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple, Union

from ademxapp.engine.mxnet.backend import BackendError, load
from ademxapp.symbol.shapes import Shape, infer

VERSION = ["int", 10901]
SYNONYMS = {"concat": "Concat", "reshape": "Reshape", "maximum": "_maximum",
            "BilinearResize2D": "_contrib_BilinearResize2D"}
ANY_NUMBER = ("Concat", "add_n")
INPUTS = {
    "Convolution": ("data", "weight", "bias"), "FullyConnected": ("data", "weight", "bias"),
    "BatchNorm": ("data", "gamma", "beta", "moving_mean", "moving_var"), "SoftmaxOutput": ("data", "label"),
    "where": ("condition", "x", "y"), "_ones": (), "_contrib_BilinearResize2D": ("data", "like"),
    "pick": ("data", "index"),
    **dict.fromkeys(("elemwise_add", "elemwise_sub", "elemwise_mul", "_maximum", "broadcast_lesser_equal",
                     "reshape_like"), ("lhs", "rhs")),
    **dict.fromkeys(("Activation", "BlockGrad", "Dropout", "Flatten", "Pad", "Pooling", "Reshape", "_mul_scalar",
                     "_not_equal_scalar", "expand_dims", "ones_like", "relu", "slice_axis", "softmax", "sort",
                     "squeeze", "topk", "zeros_like"), ("data",)),
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
        return _in_order([node for node, _ in self._outputs])

    @cached_property
    def _names(self) -> Dict[Node, str]:
        return _names(self._nodes)

    @property
    def name(self) -> Optional[str]:
        """Of the only output's node; None of several outputs."""
        return self._names[self._outputs[0][0]] if len(self._outputs) == 1 else None

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
                           "attrs": {"mxnet_version": VERSION}}, indent=2)

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

    def get_children(self) -> Optional["Symbol"]:
        """The inputs of the outputs' nodes; None where there are none."""
        inputs = [(node, index) for head, _ in self._outputs for node, index, _ in head.inputs]
        return Symbol(inputs) if inputs else None

    def infer_shape(self, **inputs: Shape) -> Tuple[List[Shape], List[Shape], List[Shape]]:
        """Shapes of the arguments, outputs and auxiliary states; ValueError if they cannot be, or not be told."""
        place = {node: index for index, node in enumerate(self._nodes)}
        shapes = infer([(node.op, self._names[node], node.attrs, [place[other] for other, *_ in node.inputs])
                        for node in self._nodes], inputs)
        by_name = dict(zip(self._names.values(), shapes))
        return ([by_name[name] for name in self.list_arguments()], [shapes[place[node]] for node, _ in self._outputs],
                [by_name[name] for name in self.list_auxiliary_states()])

    def _states(self) -> List[Node]:
        return [entry[0] for node in self._nodes if node.op == "BatchNorm" for entry in node.inputs[3:]]

    def __getitem__(self, which: Union[int, str]) -> "Symbol":
        if isinstance(which, str):
            found = [index for index, name in enumerate(self.list_outputs()) if name == which]
            if len(found) != 1:
                raise ValueError(f"the graph has {len(found)} outputs {which!r}, wanted one")
            which = found[0]
        return Symbol([self._outputs[which]])

    def __iter__(self) -> Iterator["Symbol"]:
        return (Symbol([output]) for output in self._outputs)

    def __len__(self) -> int:
        return len(self._outputs)

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


def Group(symbols: Sequence[Symbol]) -> Symbol:
    """The outputs of all the symbols."""
    return Symbol([output for symbol in symbols for output in symbol._outputs])


def ones(shape: Shape, dtype: str = "float32") -> Symbol:
    """Ones of a shape that is known."""
    return _record("_ones", shape=shape, dtype=dtype)


def load_json(text: str) -> Symbol:
    """The graph that `tojson` has written, MXNet's of any version too.

    Raises
    ------
    ValueError
        If the text is no graph.
    """
    try:
        graph = json.loads(text)
        nodes: List[Node] = []
        for entry in graph["nodes"]:
            attrs = {**entry.get("param", {}), **entry.get("attr", {}), **entry.get("attrs", {})}
            inputs = [(nodes[index], output, *(rest or [0])[:1]) for index, output, *rest in entry["inputs"]]
            nodes.append(Node(entry["op"], entry["name"], attrs, inputs))
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
    if operator not in INPUTS and operator not in ANY_NUMBER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return partial(_record, operator)


def _record(operator: str, *symbols: Symbol, name: Optional[str] = None, attr: Optional[Dict[str, str]] = None,
            **values: Any) -> Symbol:
    """A node of an operator; inputs that are parameters and not given become variables named after it."""
    given: Dict[Any, Symbol] = dict(zip(INPUTS.get(operator, range(len(symbols))), symbols))
    given.update({key: values.pop(key) for key in list(values) if isinstance(values[key], Symbol)})
    attrs = {key: str(value) for key, value in values.items()}
    if operator in ANY_NUMBER:
        attrs["num_args"] = str(len(given))
    node = Node(operator, name, {**attrs, **{f"__{key.strip('_')}__": value for key, value in (attr or {}).items()}})
    for part in INPUTS.get(operator, given):
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


def _in_order(heads: Sequence[Node]) -> List[Node]:
    """The nodes that the heads need, inputs first, as MXNet visits them."""
    found: Dict[Node, None] = {}
    visited, stack = set(), [(head, iter(head.inputs)) for head in reversed(heads)]
    while stack:
        node, inputs = stack[-1]
        if node in found:
            stack.pop()
            continue
        visited.add(node)
        ahead = next((entry[0] for entry in inputs if entry[0] not in visited), None)
        if ahead is None:
            found[node] = None
            stack.pop()
        else:
            stack.append((ahead, iter(ahead.inputs)))
    return list(found)


def _names(nodes: Sequence[Node]) -> Dict[Node, str]:
    numbers: Counter = Counter()
    names = {}
    for node in nodes:
        names[node] = node.name or f"{node.op.lower()}{numbers[node.op]}"
        numbers[node.op] += node.name is None
    return names


contrib = _internal = sys.modules[__name__]  # inner modules of `mx.sym`
