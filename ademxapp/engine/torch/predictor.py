"""Testing: the forward pass of a network over batches of any shape, on one or several devices."""
import json
from concurrent.futures import ThreadPoolExecutor
from math import prod
from typing import Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

from ademxapp.engine import Symbol
from ademxapp.engine.torch.graph import Graph
from ademxapp.engine.torch.operators import Pass
from ademxapp.engine.torch.runtime import Device, as_array, as_tensor, checked_dtype, computing
from ademxapp.errors import UsageError
from ademxapp.symbol.recorder import load_json
from ademxapp.weights.parameters import INPUTS, Parameters


class Predictor:
    """A network with its parameters, ready for testing.

    Parameters
    ----------
    symbol : Symbol
        One output; input `data`, and `softmax_label`, which is not needed.
    devices : list of Device
        Batches are divided among the cards; several CPUs are one, as they are the same processors.
    dtype : {"float32", "bfloat16"}
        What convolutions and products are computed in.
    compiled : bool
        By `torch.compile`, anew for every shape.
    """

    def __init__(self, symbol: Symbol, parameters: Parameters, devices: Sequence[Device], dtype: str = "float32",
                 compiled: bool = False) -> None:
        graph, self._dtype = Graph(symbol.tojson(), training=False), checked_dtype(dtype)
        self._run = torch.compile(graph, fullgraph=True, dynamic=False) if compiled else graph
        places = dict.fromkeys(device.torch for device in devices)
        self._values: Dict[torch.device, Dict[str, Tensor]] = {device: {
            name: as_tensor(value, device) for name, value in parameters.all.items() if name in graph.variables}
            for device in places}
        self._thread = ThreadPoolExecutor(1, "forward")  # one pass after another, while the caller does other things

    def __call__(self, data: np.ndarray) -> np.ndarray:
        """Outputs (N, …) float32 for inputs (N, 3, H, W): NumPy arrays both."""
        return self.begin(data)()

    def begin(self, data: np.ndarray) -> Callable[[], np.ndarray]:
        """Begin what a call does, with a copy of `data`: a function that waits for the outputs."""
        parts = np.array_split(np.array(data, np.float32), min(len(self._values), len(data)))
        return self._thread.submit(self._forward, parts).result

    def _forward(self, parts: Sequence[np.ndarray]) -> np.ndarray:
        outputs: List[Tensor] = []
        with torch.inference_mode():
            for part, (device, values) in zip(parts, self._values.items()):
                with computing(device, self._dtype):
                    outputs += self._run({**values, INPUTS[0]: as_tensor(part, device)}, Pass(False, device))[0]
            return np.concatenate([as_array(output) for output in outputs])


def planned_bytes(symbol: Symbol, data_shape: Tuple[int, ...], training: bool = True) -> int:
    """The most that the maps between the layers take at a time in testing, without what convolutions use themselves.

    UsageError for training: what PyTorch keeps for the backward pass, it does not plan.
    """
    if training:
        raise UsageError("the memory of a training is planned by MXNet alone: --engine mxnet, where it is installed")
    nodes = json.loads(symbol.tojson())["nodes"]
    inside = load_json(symbol.tojson()).get_internals()
    sizes = [4 * prod(shape) for shape in inside.infer_shape(data=tuple(data_shape))[1]]
    last = {place: index for index, node in enumerate(nodes) for place, *_ in node["inputs"]}
    held = most = 0
    for index, node in enumerate(nodes):
        if node["op"] == "null" and node["name"] != INPUTS[0]:
            continue
        held += sizes[index]
        most = max(most, held)
        held -= sum(sizes[place] for place in {place for place, *_ in node["inputs"]} if last[place] == index and (
            nodes[place]["op"] != "null" or nodes[place]["name"] == INPUTS[0]))
    return most


def input_gradient(symbol: Symbol, parameters: Parameters, shapes: Dict[str, Tuple[int, ...]],
                   device: Optional[Device] = None) -> Callable[..., np.ndarray]:
    """A function of the inputs, arrays by name, that gives the gradient of the summed loss at `data`."""
    graph, place = Graph(symbol.tojson()), (device or Device("cpu", 0)).torch
    constants = {name: as_tensor(value, place) for name, value in parameters.all.items() if name in graph.variables}

    def gradient(**inputs: np.ndarray) -> np.ndarray:
        values = {**constants, **{name: as_tensor(value, place) for name, value in inputs.items()}}
        data = values["data"].requires_grad_()
        (output,), _ = graph(values, Pass(True, place))
        return as_array(torch.autograd.grad(output, data, torch.ones_like(output))[0])
    return gradient
