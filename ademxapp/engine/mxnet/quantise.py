"""Networks in fewer bits, for testing on CPUs: bfloat16, and INT8 with ranges that were measured on images.

What is bound for testing on CPUs, MXNet 1.9.1 fuses by itself: convolution, BN and ReLU become one operator of oneDNN,
and so do convolution and sum. What is made here is bound and run in the same way, by `Predictor`.
"""
import importlib
import json
import re
from typing import Any, Dict, Iterator, List, Tuple

import numpy as np

from ademxapp.engine.mxnet.backend import mx
from ademxapp.engine.mxnet.runtime import as_mxnet
from ademxapp.weights.parameters import Parameters

_FUSION = "MKLDNN_QUANTIZE"  # the fusions that come before INT8
_TOP = re.compile(r"(\w+_)?linear\d+")
_CONVOLUTION, _FC = "_sg_mkldnn_conv", "_sg_mkldnn_fully_connected"


def in_bfloat16(symbol: mx.sym.Symbol, parameters: Parameters) -> Tuple[mx.sym.Symbol, Parameters]:
    """A network in bfloat16: convolutions, sums and BN; the softmax is float32. Its arrays are MXNet's.

    Input and output remain float32. ValueError for networks that MXNet cannot convert: at two scales (-2s), the
    Inceptions, rn-cifar110.
    """
    amp = importlib.import_module("mxnet.contrib.amp")
    try:
        symbol, args, auxs = amp.convert_model(symbol, as_mxnet(parameters.args), as_mxnet(parameters.auxs),
                                               target_dtype="bfloat16", cast_optional_params=True)
    except mx.base.MXNetError:
        raise ValueError("MXNet 1.9.1 cannot convert this network to bfloat16: test it in float32 or int8") from None
    return symbol, Parameters(args, auxs)


class Int8Network:
    """A network on its way to INT8: first its ranges are measured, then it is quantised.

    Weights have a scale per output channel, maps one for all; maps that are nowhere negative have no sign. BN that
    follows no convolution (after the sums) becomes a convolution of one weight per channel, which oneDNN does together
    with the ReLU behind it, into such a map: the next convolution is then a quarter faster. What remains float32: the
    classifier, fully connected or convolution; what stands between it and the last convolution; the convolutions whose
    sum goes through a ReLU (ResNets, version 1).

    Parameters
    ----------
    symbol : Symbol
    parameters : Parameters

    Attributes
    ----------
    symbol, parameters : Symbol, Parameters
        The network in float32, to measure ranges on; its outputs are those of the original.
    measured : frozenset of str
        The maps whose ranges are needed.
    left : tuple of str
        Layers that remain in float32.
    """

    def __init__(self, symbol: mx.sym.Symbol, parameters: Parameters) -> None:
        symbol, self.parameters = _scaling_by_convolutions(*_untied(symbol, parameters))
        self.symbol = symbol.get_backend_symbol(_FUSION)
        operators = [node for node in json.loads(self.symbol.tojson())["nodes"] if node["op"] != "null"]
        excluded = [node["name"] for node in operators if not _quantisable(node)]
        self.left = tuple(name for node in operators if node["name"] in excluded for name in _layers(node))
        self._quantised, *self._parameters, self._collector = mx.contrib.quantization.quantize_graph(
            self.symbol, as_mxnet(self.parameters.args), as_mxnet(self.parameters.auxs),
            excluded_sym_names=excluded, calib_mode="naive", quantized_dtype="auto", quantize_mode="smart",
            quantize_granularity="channel-wise")
        self.measured = frozenset(self._collector.include_layer)

    def quantised(self, ranges: Dict[str, Tuple[float, float]]) -> Tuple[mx.sym.Symbol, Parameters]:
        """The network in INT8, its arrays MXNet's, with `ranges`: {map: (lowest, highest)} of all `measured`."""
        self._collector.min_max_dict = {name: tuple(ranges[name]) for name in self.measured}
        symbol, args, auxs = mx.contrib.quantization.calib_graph(
            self._quantised, *self._parameters, self._collector, calib_mode="naive", quantized_dtype="auto",
            logger=None)
        return symbol.get_backend_symbol(_FUSION), Parameters(args, auxs)


def _quantisable(node: Dict[str, Any]) -> bool:
    """Whether a node of the fused graph is computed in INT8."""
    if node["op"] == _CONVOLUTION:
        if node.get("attrs", {}).get("with_postsum_act") == "true":  # MXNet 1.9.1 computes something else of it
            return False
        return not any(_TOP.fullmatch(name) for name in _layers(node))
    if node["op"] == "Pooling":
        return node.get("attrs", {}).get("pool_type", "max") == "max"
    return node["op"] == "Activation"


def _layers(node: Dict[str, Any]) -> List[str]:
    """Names of the original layers with parameters, or poolings, that a node of the fused graph holds."""
    if node["op"] in (_CONVOLUTION, _FC):
        return [inner["name"] for graph in node["subgraphs"] for inner in graph["nodes"]
                if inner["op"] in ("Convolution", "FullyConnected")]
    return [node["name"]] if node["op"] in ("BatchNorm", "Pooling") else []


def _untied(symbol: mx.sym.Symbol, parameters: Parameters) -> Tuple[mx.sym.Symbol, Parameters]:
    """The same network with parameters of its own for every layer: MXNet cannot convert those that layers share."""
    graph, args, auxs = json.loads(symbol.tojson()), dict(parameters.args), dict(parameters.auxs)
    nodes, copies, taken = graph["nodes"], [], set()
    for node in nodes:
        for entry in node["inputs"]:
            name = nodes[entry[0]]["name"]
            if name in taken:
                copies.append(dict(nodes[entry[0]], name=f"{node['name']}_{name}"))
                kind = args if name in args else auxs
                kind[copies[-1]["name"]] = kind[name].copy()
                entry[0] = -len(copies)
            elif name in parameters.all:
                taken.add(name)
    if not copies:
        return symbol, parameters
    for entry in [*graph["heads"], *(entry for node in nodes for entry in node["inputs"])]:
        entry[0] = entry[0] + len(copies) if entry[0] >= 0 else -1 - entry[0]  # the copies come first
    graph.update(nodes=copies + nodes, arg_nodes=[], node_row_ptr=[])
    graph["arg_nodes"] = [number for number, node in enumerate(graph["nodes"]) if node["op"] == "null"]
    return mx.sym.load_json(json.dumps(graph)), Parameters(args, auxs)


def _scaling_by_convolutions(symbol: mx.sym.Symbol, parameters: Parameters) -> Tuple[mx.sym.Symbol, Parameters]:
    """The same network with convolutions of one weight per channel for BN between no convolution and one."""
    graph, args = json.loads(symbol.tojson()), dict(parameters.args)
    nodes = graph["nodes"]
    for node in _normalisations(nodes):
        gamma, beta, mean, var = (nodes[number]["name"] for number, *_ in node["inputs"][1:])
        weight, bias = (gamma[:-len("gamma")] + part for part in ("weight", "bias"))
        scale = args.pop(gamma) / np.sqrt(parameters.auxs[var] + float(node["attrs"]["eps"]))
        args[bias] = args.pop(beta) - parameters.auxs[mean] * scale
        args[weight] = scale.reshape(-1, 1, 1, 1)
        nodes[node["inputs"][1][0]]["name"], nodes[node["inputs"][2][0]]["name"] = weight, bias
        node.update(op="Convolution", inputs=node["inputs"][:3], attrs={
            "kernel": "(1, 1)", "num_filter": str(len(scale)), "num_group": str(len(scale)), "no_bias": "False"})
    symbol = mx.sym.load_json(json.dumps(graph))
    kept = symbol.list_auxiliary_states()
    return symbol, Parameters(args, {name: value for name, value in parameters.auxs.items() if name in kept})


def _normalisations(nodes: List[Dict[str, Any]]) -> Iterator[Dict[str, Any]]:
    """The BN nodes that no convolution stands before, with nobody else at its output, but one (or more) behind."""
    users: List[List[Dict[str, Any]]] = [[] for _ in nodes]
    for node in nodes:
        for number, *_ in node["inputs"]:
            users[number].append(node)
    for number, node in enumerate(nodes):
        if node["op"] != "BatchNorm":
            continue
        before = node["inputs"][0][0]
        folded = nodes[before]["op"] == "Convolution" and len(users[before]) == 1
        behind = users[number]
        if [one["op"] for one in behind] == ["Activation"]:
            behind = users[nodes.index(behind[0])]
        if not folded and any(one["op"] == "Convolution" for one in behind):
            yield node
