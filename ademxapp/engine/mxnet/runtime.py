"""MXNet's devices, random numbers, errors, gradients at the input, and its plan of memory; and testing.

Testing is the forward pass of a network, in float32, or in fewer bits on CPUs: bfloat16, and INT8 by measured ranges.
What is bound for testing on CPUs, MXNet 1.9.1 fuses by itself: convolution, BN and ReLU become one operator of oneDNN,
and so do convolution and sum. Networks in fewer bits are bound and run in the same way, by `Predictor`.
"""
import atexit
import contextlib
import ctypes
import importlib
import json
import re
import warnings
from typing import Any, Callable, Collection, Dict, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np

from ademxapp import engine, machine
from ademxapp.engine.mxnet.backend import check_card, mx
from ademxapp.errors import UsageError
from ademxapp.weights.parameters import INPUTS, Parameters

ERRORS = (mx.base.MXNetError,)
seed = mx.random.seed
SHAPES_KEPT = 8
_FUSION = "MKLDNN_QUANTIZE"  # the fusions that come before INT8
_TOP = re.compile(r"(\w+_)?linear\d+")
_CONVOLUTION, _FC = "_sg_mkldnn_conv", "_sg_mkldnn_fully_connected"


def _end() -> None:
    """Shut MXNet down. Failures of what nobody waits for any more, as after an error that was told, are passed over."""
    with contextlib.suppress(*ERRORS):
        mx.base._notify_shutdown()


atexit.unregister(mx.base._notify_shutdown)
atexit.register(_end)


def versions() -> Dict[str, str]:
    """MXNet's."""
    return {"mxnet": mx.__version__}


def require_dtype(dtype: str, training: bool, cards: bool) -> None:
    """UsageError unless MXNet can train or test in this type, which is not float32."""
    if training:
        raise UsageError(f"--dtype {dtype} is for testing, --phase val or test: training computes in float32")
    if cards:
        raise UsageError(f"--dtype {dtype} is for CPUs: give --cpus 1 and no --gpus")
    if not machine.can_compute(dtype):
        raise UsageError(f"--dtype {dtype} needs processors with AVX-512 (avx512bw): these compute in float32 and int8")


def require_uncompiled(compiled: bool) -> None:
    """UsageError where PyTorch's compiler is asked for."""
    if compiled:
        raise UsageError("--compile is for --engine torch: MXNet runs its graphs as it binds them")


def devices(gpus: Optional[Sequence[int]] = None, cpus: Optional[int] = None) -> List[mx.Context]:
    """As of `Engine`; of cards, those that MXNet has code for."""
    if gpus is None:
        gpus = (0,) if cpus is None and mx.context.num_gpus() else ()
    for index in gpus:
        try:
            check_card(index)
        except (ValueError, ImportError) as error:
            hint = "" if "--cpus" in str(error) else "; --cpus 1 runs on the CPU"
            raise UsageError(f"--gpus {','.join(map(str, gpus))}: {error}{hint}") from None
    return [mx.gpu(index) for index in gpus] or [mx.cpu(index) for index in range(cpus or 1)]


def free_bytes(devices: Sequence[mx.Context]) -> Optional[int]:
    """Memory that can be had on the device with the least; None where nobody tells."""
    if devices[0].device_type != "gpu":
        return machine.free_bytes()
    return min(mx.context.gpu_memory_info(device.device_id)[0] for device in devices)


def input_gradient(symbol: mx.sym.Symbol, parameters: Parameters, shapes: Dict[str, Tuple[int, ...]],
                   device: Optional[mx.Context] = None) -> Callable[..., np.ndarray]:
    """A function of the inputs, arrays by name, that gives the gradient of the summed loss at `data`."""
    wanted = {name: "write" if name == "data" else "null" for name in symbol.list_arguments()}
    executor = symbol.simple_bind(device or mx.cpu(), grad_req=wanted, **shapes)
    executor.copy_params_from(as_mxnet(parameters.args), as_mxnet(parameters.auxs))

    def gradient(**inputs: np.ndarray) -> np.ndarray:
        executor.forward(is_train=True, **inputs)
        executor.backward()
        return executor.grad_dict["data"].asnumpy()

    return gradient


def as_mxnet(arrays: Dict[str, np.ndarray]) -> Dict[str, mx.nd.NDArray]:
    """NumPy's arrays as MXNet's, of the same types; MXNet's own as they are."""
    return {name: value if isinstance(value, mx.nd.NDArray) else mx.nd.array(value, dtype=value.dtype)
            for name, value in arrays.items()}


def planned_bytes(symbol: mx.sym.Symbol, data_shape: Tuple[int, ...], training: bool = True) -> int:
    """What MXNet plans for the maps between the layers, and for their gradients when `training`.

    Whole MiB of `data` of this shape: MXNet rounds down. Parameters and their gradients are not part of it. The network
    is bound to memory that is reserved but never written, so that the system does not provide it; ValueError if it
    does not reserve as much.
    """
    arguments, _, auxiliary = ([mx.nd.empty(shape) for shape in shapes]
                               for shapes in symbol.infer_shape(data=tuple(data_shape)))
    gradients = {name: mx.nd.empty(argument.shape) for name, argument in zip(symbol.list_arguments(), arguments)
                 if training and name not in INPUTS}
    wanted = {name: "write" if name in gradients else "null" for name in symbol.list_arguments()}
    try:
        executor = symbol.bind(mx.cpu(), arguments, gradients, wanted, auxiliary)
    except mx.base.MXNetError as error:
        if "memory" not in str(error):
            raise
        raise ValueError(f"the plan for {data_shape} needs more memory than can be reserved here: "
                         "ask for a smaller batch or crop") from error
    return int(re.findall(r"^Total (\d+) MB allocated$", executor.debug_str(), re.MULTILINE)[0]) * 2 ** 20


class Predictor(engine.Predictor):
    """A network of one output, with the input `data` and perhaps `softmax_label`, in float32 or bfloat16."""

    def __init__(self, symbol: mx.sym.Symbol, parameters: Parameters, devices: Sequence[mx.Context],
                 dtype: str = "float32", compiled: bool = False) -> None:
        require_uncompiled(compiled)
        if dtype == "bfloat16":
            symbol, parameters = in_bfloat16(symbol, parameters)
        self._symbol, self._parameters, self._devices = symbol, parameters, list(devices)
        self._modules: Dict[Tuple[int, ...], mx.mod.Module] = {}

    def begin(self, data: np.ndarray) -> Callable[[], np.ndarray]:
        """Passes that are begun run one after another; each keeps a copy of its inputs until it has run."""
        count = len(data)
        missing = -count % len(self._devices)
        if missing:
            data = np.concatenate([data, np.repeat(data[-1:], missing, 0)])
        module = self._bound(data.shape)
        module.forward(mx.io.DataBatch([mx.nd.array(data)]), is_train=False)
        outputs = module.get_outputs()[0].copy()  # the module's own become those of the next pass
        return lambda: outputs.asnumpy()[:count]

    def _bound(self, shape: Tuple[int, ...]) -> mx.mod.Module:
        """The module for inputs of a shape (binding takes a second): all of them share one set of parameters."""
        if shape not in self._modules:
            if self._modules and np.prod(shape) > np.prod(next(iter(self._modules))):
                self._modules.clear()  # the first one's memory would stay beside that of the larger one
            labels = [name for name in self._symbol.list_arguments() if name == "softmax_label"]
            module = mx.mod.Module(self._symbol, label_names=labels, context=self._devices)
            shared = next(iter(self._modules.values()), None)
            with warnings.catch_warnings():  # that there are no labels is meant
                warnings.filterwarnings("ignore", message="Data provided by label_shapes")
                module.bind([mx.io.DataDesc("data", shape)], for_training=False, shared_module=shared)
            if shared is None:
                module.init_params(None, as_mxnet(self._parameters.args), as_mxnet(self._parameters.auxs))
            self._modules[shape] = module
            if len(self._modules) > SHAPES_KEPT:  # never the first: the others were bound to share its parameters
                del self._modules[list(self._modules)[1]]
        return self._modules[shape]


class RangeRecorder(Predictor):
    """A `Predictor` that keeps `ranges`, {map: (lowest, highest)}, of the maps that it is asked to watch."""

    def __init__(self, symbol: mx.sym.Symbol, parameters: Parameters, devices: Sequence[mx.Context],
                 watched: Collection[str]) -> None:
        super().__init__(symbol, parameters, devices)
        self._watched = watched
        self.ranges: Dict[str, Tuple[float, float]] = {}

    def _bound(self, shape: Tuple[int, ...]) -> mx.mod.Module:
        known, module = shape in self._modules, super()._bound(shape)
        if not known:
            module.install_monitor(self)
        return module

    def install(self, executor: Any) -> None:
        """What MXNet calls for every executor of a module, as of its `Monitor`."""
        executor.set_monitor_callback(self._record, monitor_all=True)

    def _record(self, name: Union[str, bytes], handle: Any) -> None:
        name = name.decode() if isinstance(name, bytes) else name
        if name not in self._watched:
            return
        values = mx.nd.NDArray(ctypes.cast(handle, mx.base.NDArrayHandle), writable=False).asnumpy()
        lowest, highest = self.ranges.get(name, (0.0, 0.0))
        self.ranges[name] = min(lowest, float(values.min())), max(highest, float(values.max()))


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

    Ranges are measured on `symbol` with `parameters`, float32, whose outputs are those of the original. `measured` are
    the maps whose ranges are needed, `left` the layers that remain in float32.
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
    attrs = node.get("attrs", {})
    if node["op"] == _CONVOLUTION:  # with a ReLU after the sum, MXNet 1.9.1 computes something else
        return attrs.get("with_postsum_act") != "true" and not any(map(_TOP.fullmatch, _layers(node)))
    return node["op"] == "Activation" or node["op"] == "Pooling" and attrs.get("pool_type", "max") == "max"


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
