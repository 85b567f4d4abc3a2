"""Model A1 in turns with the same network as a plain PyTorch module: in several types, and the PyTorch engine's graph.

MXNet, which computes in bfloat16 and INT8, is imported where it is needed: the graph is measured without it.
"""
import copy
import time
import timeit
from functools import partial
from types import ModuleType
from typing import Any, Callable, Dict, List, Tuple

import numpy as np

from ademxapp import engine
from ademxapp.cli import UsageError, number
from ademxapp.flags import flag
from ademxapp.inspection.costs import layers, random_parameters
from ademxapp.machine import can_compute, processor_flags
from ademxapp.symbol import SymbolOptions, classification_symbol, segmentation_symbol
from ademxapp.weights.formats import to_torch
from ademxapp.weights.parameters import Parameters, parameter_shapes, start_afresh

from .comparison import Comparison, in_turns

NETWORK = "a1"
CLASSES, STRIDE, HEAD = 21, 8, "2conv"
GRAPH_ASKED = 0.97
ASKED = {"float32": 1.1, "bfloat16": 1.7, "int8": 4.0}
NEEDED = {"float32": set(), "bfloat16": {"avx512_vnni", "avx512_bf16"}, "int8": {"avx512_vnni", "avx512_bf16"}}
CLASSIFIED = 1000
PRODUCTS = (1024, 2048, 3072)  # sides of the square matrices that the peak is measured with
AGREES = 1e-4  # probabilities


def import_torch() -> ModuleType:
    """PyTorch; UsageError where it is not installed."""
    try:
        import torch
    except ImportError:
        raise UsageError("PyTorch is not installed: pip install 'ademxapp[bench]'") from None
    return torch


def torch_network(parameters: Parameters, width: float, classes: int, segments: bool) -> Any:
    """Model A1, a `torch.nn.Module`, with the parameters of its MXNet form."""
    from ademxapp.deploy.torch_rna import Rna
    net, torch = Rna(NETWORK, classes, *((STRIDE, HEAD) if segments else (None, None)), width), import_torch()
    state = to_torch({**{f"arg:{name}": value for name, value in parameters.args.items()},
                      **{f"aux:{name}": value for name, value in parameters.auxs.items()}})
    net.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    return net


def graph(width: float = flag("of Model A1", 0.25, type=number(float, 0.001)),
          crop: int = flag("side of the images", 160, type=number(int, 8), metavar="PIXELS"),
          batch: int = flag("images in a batch", 2, type=number(int, 1)),
          seconds: float = flag("to measure each of both", 60, type=number(float, 0))) -> List[Comparison]:
    """Measure with the processors' time, on the CPU; dropout is off in both."""
    torch = import_torch()
    from ademxapp.engine.torch.graph import Graph, Pass
    symbol = segmentation_symbol(f"bench_rna-{NETWORK}-w{width:g}_cls{CLASSES}_s{STRIDE}",
                                 SymbolOptions(bn_use_global_stats=True), HEAD, "softmax")
    start = start_afresh(parameter_shapes(symbol, data=(batch, 3, crop, crop)), 0)
    net = torch_network(start, width, CLASSES, True).eval()
    values = {name: torch.tensor(value).requires_grad_(name in start.args) for name, value in start.all.items()}
    weights = [value for value in values.values() if value.requires_grad]
    data, cells = torch.randn(batch, 3, crop, crop), crop // STRIDE
    labels, cpu = torch.randint(0, CLASSES, (batch, cells, cells)), torch.device("cpu")
    inputs = {**values, "data": data, "softmax_label": labels.float().flatten(1)}
    training, testing = Graph(symbol.tojson()), Graph(symbol.tojson(), training=False)

    def graph_step() -> None:
        prob = training(inputs, Pass(True, cpu))[0][0]
        torch.autograd.grad(prob, weights, torch.ones_like(prob))

    def plain_step() -> None:
        torch.autograd.grad(torch.nn.functional.cross_entropy(net(data), labels), list(net.parameters()))

    tests = [torch.inference_mode()(lambda: testing(inputs, Pass(False, cpu))),
             torch.inference_mode()(lambda: torch.softmax(net(data), 1))]
    remark = f"PyTorch {torch.__version__} with {torch.get_num_threads()} threads"
    return [Comparison(f"{what}, A1 of width {width:g}, {batch}x{crop}x{crop}", "plain PyTorch module",
                       *in_turns(runs, batch, seconds), GRAPH_ASKED, remark)
            for what, runs in (("step of fine-tuning", [graph_step, plain_step]), ("forward pass", tests))]


def dtypes(width: float = flag("of Model A1", 1, type=number(float, 0.001)),
           crop: int = flag("side of the images", 224, type=number(int, 32), metavar="PIXELS"),
           batch: int = flag("images in a batch", 2, type=number(int, 1)),
           seconds: float = flag("to measure", 60, type=number(float, 0))) -> List[Comparison]:
    """Measure all ways by the clock on the wall, for a network uses all processors."""
    engine.load("mxnet")  # before PyTorch: the network is to be built for it
    torch = import_torch()
    symbol = classification_symbol(f"bench_rna-a1-w{width:g}_cls{CLASSIFIED}", SymbolOptions(bn_use_global_stats=True))
    rng, shape = np.random.default_rng(0), (batch, 3, crop, crop)
    parameters, data = random_parameters(symbol, shape, rng), rng.normal(size=shape).astype(np.float32)
    predictors = make_predictors(symbol, parameters, data)
    net = torch_network(parameters, width, CLASSIFIED, False).eval()
    layout, other = fastest_torch(torch, net, torch.from_numpy(data))
    apart = np.abs(predictors["float32"](data) - other().softmax(1).numpy()).max()
    if not apart < AGREES:
        raise ValueError(f"MXNet and PyTorch differ by {apart:.1g} in the probabilities")
    *rates, other_rates = in_turns([*(partial(predict, data) for predict in predictors.values()), other], batch,
                                   seconds, time.monotonic)
    operations = 2 * sum(layer.multiply_adds for layer in layers(symbol, shape))
    peaks = {dtype: matrix_peak(torch, dtype) for dtype in predictors}
    what = f"A1{'' if width == 1 else f' of width {width:g}'}, {batch}x{crop}x{crop}"
    return [Comparison(f"testing in {dtype}, {what}", f"PyTorch, float32, {layout}", one, other_rates,
                       None if NEEDED[dtype] - processor_flags() else ASKED[dtype],
                       remark(dtype, np.median(one) * operations / 1e9, peaks))
            for dtype, one in zip(predictors, rates)]


def remark(dtype: str, reached: float, peaks: Dict[str, float]) -> str:
    """What share of the matrix product's peak is reached (billion operations a second), and what is asked elsewhere."""
    peak, lacking = peaks[dtype], NEEDED[dtype] - processor_flags()
    said = (f"{reached:.0f} billion operations a second, {100 * reached / peak:.0f} % of the {peak:.0f} that a "
            f"product of {dtype} matrices reaches here in PyTorch")
    if dtype != "float32":
        said += f" ({peak / peaks['float32']:.2f} times float32's)"
    if lacking:
        said += f"; {ASKED[dtype]} is asked of processors with {' and '.join(sorted(lacking))}"
    return said


def make_predictors(symbol: engine.Symbol, parameters: Parameters, data: np.ndarray) -> Dict[str, Callable[..., Any]]:
    """{type: Predictor}, of the types that this machine computes in."""
    from ademxapp.engine.mxnet.backend import mx
    from ademxapp.engine.mxnet.runtime import Int8Network, Predictor, RangeRecorder
    contexts, int8 = [mx.cpu()], Int8Network(symbol, parameters)
    recorder = RangeRecorder(int8.symbol, int8.parameters, contexts, int8.measured)
    recorder(data)
    found = {"float32": Predictor(symbol, parameters, contexts)}
    if can_compute("bfloat16"):
        found["bfloat16"] = Predictor(symbol, parameters, contexts, "bfloat16")
    return {**found, "int8": Predictor(*int8.quantised(recorder.ranges), contexts)}


def fastest_torch(torch: ModuleType, net: Any, data: Any) -> Tuple[str, Callable[[], Any]]:
    """How maps lie in memory where a network is faster in PyTorch, and the network so, as its users run it."""
    ways = {}
    for layout, memory_format in (("contiguous", torch.contiguous_format), ("channels_last", torch.channels_last)):
        one = copy.deepcopy(net).to(memory_format=memory_format)
        ways[layout] = torch.inference_mode()(partial(one, data.contiguous(memory_format=memory_format)))
    fastest = min(ways, key=lambda layout: best_seconds(ways[layout], 2))
    return fastest, ways[fastest]


def matrix_peak(torch: ModuleType, dtype: str) -> float:
    """Billion operations a second of the best product of two square matrices."""
    found = []
    for side in PRODUCTS:
        pair = [torch.randn(side, side, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)]
        pair = [(30 * one if dtype == "int8" else one).to(getattr(torch, dtype)) for one in pair]
        multiply = torch.inference_mode()(partial(torch._int_mm if dtype == "int8" else torch.mm, *pair))
        found.append(2 * side ** 3 / best_seconds(multiply, 5) / 1e9)
    return max(found)


def best_seconds(run: Callable[[], object], repeats: int) -> float:
    """Of the fastest run after one that does not count."""
    return min(timeit.repeat(run, number=1, repeat=repeats + 1)[1:])
