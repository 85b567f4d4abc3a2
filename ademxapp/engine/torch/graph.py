"""A network's graph, as MXNet writes it, as a function of tensors; and testing, which needs no more than that.

`RULES[operator](attributes)`, with MXNet's numbers and gradients, gives what a node does: a function of a `Pass` and of
the node's inputs. The name is one of the attributes.
"""
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial, reduce
from itertools import groupby
from math import prod
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from ademxapp import engine
from ademxapp.engine import Symbol
from ademxapp.engine.torch.runtime import Device, as_array, as_tensor, computing, require_dtype
from ademxapp.errors import UsageError
from ademxapp.symbol.recorder import load_json, read_graph
from ademxapp.weights.parameters import INPUTS, Parameters

Attributes = Dict[str, Any]
Normalised = Tuple[Tensor, Optional[Tensor], Optional[Tensor]]  # maps and, in training, the batch's means and variances
Slot = Union[int, str]  # a node's place or, of BN's moving statistics, the name: what the batch gives for it
Slots = Dict[Slot, Any]
Statistics = Dict[str, Tuple[Tensor, float]]  # of BN's moving ones: the batch's, and how much of the old ones stays


@dataclass(frozen=True)
class Pass:
    """What a forward pass is: in training or not, where, and which numbers every dropout keeps, by its name."""

    train: bool
    device: torch.device
    masks: Dict[str, Tensor] = field(default_factory=dict)


Run = Callable[..., Union[Tensor, Tuple[Optional[Tensor], ...]]]


class _SoftmaxOutput(torch.autograd.Function):
    """Softmax over axis 1; backwards the gradient of the cross-entropy, whatever comes from behind."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, label: Tensor, attrs: Attributes) -> Tensor:
        """Probabilities, float32, in the shape of `scores`."""
        prob = torch.softmax(scores.float(), 1)
        ctx.save_for_backward(prob, label)
        ctx.attrs, ctx.dtype = attrs, scores.dtype
        return prob

    @staticmethod
    def backward(ctx: Any, _: Tensor) -> Tuple[Tensor, None, None]:
        """(p - 1 of the true class), times `grad_scale`, over what `normalization` says; 0 where labels are ignored."""
        prob, label = ctx.saved_tensors
        attrs, label = ctx.attrs, label.reshape(prob.shape[0], *prob.shape[2:])
        ignored = label == attrs.get("ignore_label", -1.0) if attrs.get("use_ignore") else label != label
        true = torch.where(ignored, 0, label).long().unsqueeze(1)
        grad = prob.scatter_add(1, true, torch.full_like(true, -1, dtype=prob.dtype))
        grad = torch.where(ignored.unsqueeze(1), 0, grad)
        kind, scale = attrs.get("normalization", "null"), attrs.get("grad_scale", 1.0)
        if kind == "valid":
            return (grad * (scale / (~ignored).sum().clamp(min=1))).to(ctx.dtype), None, None
        cells = prob[0, 0].numel() if attrs.get("multi_output") else 1
        return (grad * (scale / cells / (len(prob) if kind == "batch" else 1))).to(ctx.dtype), None, None


def _convolution(attrs: Attributes) -> Run:
    sides = len(attrs["kernel"])
    how = [attrs.get("stride", (1,) * sides), attrs.get("pad", (0,) * sides), attrs.get("dilate", (1,) * sides),
           attrs.get("num_group", 1)]
    return lambda _, data, weight, bias=None: F.conv2d(data, weight, bias, *how)


def _batch_norm(attrs: Attributes) -> Run:
    """In training with the batch's statistics, the biased variance as MXNet has it in the moving one."""
    eps, fixed, ones = attrs.get("eps", 1e-3), attrs.get("use_global_stats", False), attrs.get("fix_gamma", True)

    def run(how: Pass, data: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, var: Tensor) -> Normalised:
        gamma = torch.ones_like(gamma) if ones else gamma
        if fixed or not how.train:
            return F.batch_norm(data, mean, var, gamma, beta, False, 0.0, eps), None, None
        out, batch_mean, deviation = torch.native_batch_norm(data, gamma, beta, None, None, True, 0.0, eps)
        return out, batch_mean.detach(), deviation.detach() ** -2 - eps
    return run


def _dropout(attrs: Attributes) -> Run:
    name, scale = attrs["name"], 1 / (1 - attrs.get("p", 0.5))
    return lambda how, data: data * how.masks[name] * scale if how.train and name in how.masks else data


def _pooling(attrs: Attributes) -> Run:
    largest = attrs["pool_type"] == "max"
    if attrs.get("global_pool"):
        return lambda _, data: data.amax((2, 3), True) if largest else data.mean((2, 3), True)
    size, stride, beside = attrs["kernel"], attrs.get("stride", (1, 1)), attrs.get("pad", (0, 0))
    up = attrs.get("pooling_convention", "valid") == "full"
    if largest:
        return lambda _, data: F.max_pool2d(data, size, stride, beside, ceil_mode=up)
    padding = attrs.get("count_include_pad", True)
    return lambda _, data: F.avg_pool2d(data, size, stride, beside, ceil_mode=up, count_include_pad=padding)


def _pad(attrs: Attributes) -> Run:
    width, value = attrs["pad_width"], attrs.get("constant_value", 0.0)
    pairs = [side for axis in reversed(range(len(width) // 2)) for side in width[2 * axis:2 * axis + 2]]
    return lambda _, data: F.pad(data, pairs, value=value)


def _softmax_output(attrs: Attributes) -> Run:
    def run(how: Pass, scores: Tensor, label: Optional[Tensor] = None) -> Tensor:
        if label is None or not how.train:
            return torch.softmax(scores.float(), 1)
        return _SoftmaxOutput.apply(scores, label, attrs)
    return run


def _plain(function: Run) -> Callable[[Attributes], Run]:
    """A rule without attributes."""
    return lambda _: function


RULES: Dict[str, Callable[[Attributes], Run]] = {
    "Activation": lambda attrs: {"relu": lambda _, data: F.relu(data)}[attrs["act_type"]],
    "BatchNorm": _batch_norm,
    "BlockGrad": _plain(lambda _, data: data.detach()),
    "Concat": lambda attrs: lambda _, *parts: torch.cat(parts, attrs.get("dim", 1)),
    "Convolution": _convolution,
    "Dropout": _dropout,
    "Flatten": _plain(lambda _, data: data.flatten(1)),
    "FullyConnected": _plain(lambda _, data, weight, bias=None: F.linear(data.flatten(1), weight, bias)),
    "Pad": _pad,
    "Pooling": _pooling,
    "Reshape": lambda attrs: lambda _, data: data.reshape([side or data.shape[axis]
                                                           for axis, side in enumerate(attrs["shape"])]),
    "SoftmaxOutput": _softmax_output,
    "_contrib_BilinearResize2D": _plain(lambda _, data, like: F.interpolate(
        data, like.shape[2:], mode="bilinear", align_corners=True)),
    "_maximum": _plain(lambda _, one, other: torch.where(one >= other, one, other)),  # of equals the first's gradient
    "_mul_scalar": lambda attrs: lambda _, data: data * attrs["scalar"],
    "_not_equal_scalar": lambda attrs: lambda _, data: (data != attrs["scalar"]).to(data.dtype),
    "_ones": lambda attrs: lambda how: torch.ones(attrs["shape"], device=how.device),
    "add_n": _plain(lambda _, *parts: reduce(torch.add, parts)),
    "broadcast_lesser_equal": _plain(lambda _, one, other: (one <= other).to(one.dtype)),
    "elemwise_add": _plain(lambda _, one, other: one + other),
    "elemwise_mul": _plain(lambda _, one, other: one * other),
    "elemwise_sub": _plain(lambda _, one, other: one - other),
    "expand_dims": lambda attrs: lambda _, data: data.unsqueeze(attrs["axis"]),
    "ones_like": _plain(lambda _, data: torch.ones_like(data)),
    "pick": _plain(lambda _, data, index: data.gather(
        1, index.long().clamp(0, data.shape[1] - 1).unsqueeze(1)).squeeze(1)),  # of each cell, the class of its index
    "relu": _plain(lambda _, data: F.relu(data)),
    "reshape_like": _plain(lambda _, data, like: data.reshape(like.shape)),
    "slice_axis": lambda attrs: lambda _, data: data[
        (slice(None),) * attrs["axis"] + (slice(attrs["begin"], attrs["end"]),)],
    "softmax": lambda attrs: lambda _, data: torch.softmax(data.float(), attrs.get("axis", -1)),
    "sort": lambda attrs: lambda _, data: torch.sort(data, attrs.get("axis", -1)).values,
    "squeeze": lambda attrs: lambda _, data: data.squeeze(attrs["axis"]),
    "topk": lambda attrs: lambda _, data: torch.topk(data, attrs["k"], attrs.get("axis", -1)).values,
    "where": _plain(lambda _, condition, x, y: torch.where(  # one number for each image chooses for all of it
        condition.reshape(condition.shape + (1,) * (x.dim() - condition.dim())) != 0, x, y)),
    "zeros_like": _plain(lambda _, data: torch.zeros_like(data)),
}


def rule(operator: str, name: str, attrs: Attributes) -> Run:
    """What the node does; ValueError for an operator that has no rule."""
    if operator not in RULES:
        raise ValueError(f"node {name} has the operator {operator}, which the PyTorch engine cannot run; it knows "
                         f"{', '.join(sorted(RULES))}")
    try:
        return RULES[operator]({"name": name, **attrs})
    except KeyError as error:
        raise ValueError(f"node {name} ({operator}) has no or another {error.args[0]} than the PyTorch engine can run: "
                         f"{attrs}") from None


class Step(NamedTuple):
    """A node, or several in a row: what it does, reads and gives, and what nobody reads afterwards."""

    run: Run
    inputs: Sequence[Slot]
    outputs: Sequence[Slot]
    ended: Sequence[Slot]


class Graph:
    """The outputs of a network, from what its symbol's `tojson()` gives; in testing without what comes of the labels.

    `variables` are the names of the inputs and parameters that it reads, `dropouts` the rates of nodes, by name.
    """

    def __init__(self, text: str, training: bool = True) -> None:
        nodes, self._heads = read_graph(text)
        for node in nodes:
            if node["op"] == "SoftmaxOutput" and not training:
                del node["inputs"][1:]
        last: Dict[Slot, float] = dict.fromkeys(self._heads, float("inf"))  # the place of the last reader
        for place in reversed(range(len(nodes))):
            if place in last:
                for other in nodes[place]["inputs"]:
                    last.setdefault(other, place)
        needed = [(place, nodes[place]) for place in range(len(nodes)) if place in last]
        self._variables = {node["name"]: place for place, node in needed if node["op"] == "null"}
        self.variables = tuple(self._variables)
        self.dropouts = {node["name"]: node["attrs"].get("p", 0.5) for _, node in needed if node["op"] == "Dropout"}
        self._momenta: Dict[str, float] = {}
        self._steps: List[Step] = []
        for again, group in groupby((one for one in needed if one[1]["op"] != "null"),
                                    lambda one: bool(one[1]["attrs"].get("__force_mirroring__"))):
            steps = []
            for place, node in group:
                outputs: List[Slot] = [place]
                if node["op"] == "BatchNorm":
                    moving = [nodes[other]["name"] for other in node["inputs"][3:]]
                    self._momenta.update(dict.fromkeys(moving, node["attrs"].get("momentum", 0.9)))
                    outputs += moving
                ended = [other for other in dict.fromkeys(node["inputs"]) if last[other] == place]
                steps.append(Step(rule(node["op"], node["name"], node["attrs"]), node["inputs"], outputs, ended))
            self._steps += [_recomputed(steps)] if again else steps

    def __call__(self, values: Dict[str, Tensor], how: Pass) -> Tuple[List[Tensor], Statistics]:
        """The outputs for the variables' values, and the batch's statistics where `how` is training with them."""
        slots: Slots = {place: values[name] for name, place in self._variables.items()}
        _run(self._steps, slots, how)
        return [slots[place] for place in self._heads], {
            name: (slots[name], momentum) for name, momentum in self._momenta.items() if slots[name] is not None}


def _run(steps: Sequence[Step], slots: Slots, how: Pass) -> None:
    for step in steps:
        result = step.run(how, *[slots[slot] for slot in step.inputs])
        slots.update(zip(step.outputs, result if isinstance(result, tuple) else (result,)))
        for slot in step.ended:
            del slots[slot]


def _recomputed(steps: Sequence[Step]) -> Step:
    """Nodes in a row that the backward pass runs again, together, and of which it keeps the inputs alone."""
    made = [slot for step in steps for slot in step.outputs]
    ended = {slot for step in steps for slot in step.ended}
    inputs = sorted({slot for step in steps for slot in step.inputs} - set(made))
    outputs = [slot for slot in made if slot not in ended]

    def run_once(how: Pass, *values: Tensor) -> Tuple[Tensor, ...]:
        slots: Slots = dict(zip(inputs, values))
        _run(steps, slots, how)
        return tuple(slots[slot] for slot in outputs)

    def run(how: Pass, *values: Tensor) -> Tuple[Tensor, ...]:
        if how.train and torch.is_grad_enabled():
            return checkpoint(partial(run_once, how), *values, use_reentrant=False, preserve_rng_state=False)
        return run_once(how, *values)
    return Step(run, inputs, outputs, [slot for slot in inputs if slot in ended])


class Predictor(engine.Predictor):
    """A network of one output. Several CPUs are one device, as they are the same processors.

    Convolutions and products are computed in `dtype`; `compiled` is by `torch.compile`, anew for every shape.
    """

    def __init__(self, symbol: Symbol, parameters: Parameters, devices: Sequence[Device], dtype: str = "float32",
                 compiled: bool = False) -> None:
        graph, self._dtype = Graph(symbol.tojson(), training=False), require_dtype(dtype)
        self._run = torch.compile(graph, fullgraph=True, dynamic=False) if compiled else graph
        self._values = {place: _constants(graph, parameters, place)
                        for place in dict.fromkeys(device.torch for device in devices)}
        self._thread = ThreadPoolExecutor(1, "forward")  # one pass after another, while the caller does other things

    def begin(self, data: np.ndarray) -> Callable[[], np.ndarray]:
        parts = np.array_split(np.array(data, np.float32), min(len(self._values), len(data)))
        return self._thread.submit(self._forward, parts).result

    def _forward(self, parts: Sequence[np.ndarray]) -> np.ndarray:
        outputs: List[Tensor] = []
        with torch.inference_mode():
            for part, (device, values) in zip(parts, self._values.items()):
                with computing(device, self._dtype):
                    outputs += self._run({**values, INPUTS[0]: as_tensor(part, device)}, Pass(False, device))[0]
            return np.concatenate([as_array(output) for output in outputs])


def _constants(graph: Graph, parameters: Parameters, place: torch.device) -> Dict[str, Tensor]:
    return {name: as_tensor(value, place) for name, value in parameters.all.items() if name in graph.variables}


def planned_bytes(symbol: Symbol, data_shape: Tuple[int, ...], training: bool = True) -> int:
    """The most that the maps take at a time in testing, without what convolutions use; UsageError for training."""
    if training:
        raise UsageError("the memory of a training is planned by MXNet alone: --engine mxnet, where it is installed")
    nodes, _ = read_graph(symbol.tojson())
    inside = load_json(symbol.tojson()).get_internals()
    sizes = [0 if node["op"] == "null" and node["name"] != INPUTS[0] else 4 * prod(shape)
             for node, shape in zip(nodes, inside.infer_shape(data=tuple(data_shape))[1])]
    last = {place: index for index, node in enumerate(nodes) for place in node["inputs"]}
    held = most = 0
    for index, node in enumerate(nodes):
        held += sizes[index]
        most = max(most, held)
        held -= sum(sizes[place] for place in set(node["inputs"]) if last[place] == index)
    return most


def input_gradient(symbol: Symbol, parameters: Parameters, shapes: Dict[str, Tuple[int, ...]],
                   device: Optional[Device] = None) -> Callable[..., np.ndarray]:
    """A function of the inputs, arrays by name, that gives the gradient of the summed loss at `data`."""
    graph, place = Graph(symbol.tojson()), (device or Device("cpu", 0)).torch
    constants = _constants(graph, parameters, place)

    def gradient(**inputs: np.ndarray) -> np.ndarray:
        values = {**constants, **{name: as_tensor(value, place) for name, value in inputs.items()}}
        data = values["data"].requires_grad_()
        (output,), _ = graph(values, Pass(True, place))
        return as_array(torch.autograd.grad(output, data, torch.ones_like(output))[0])
    return gradient
