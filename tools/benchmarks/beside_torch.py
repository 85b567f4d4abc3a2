"""Model A1 beside PyTorch: training steps of both engines, testing in several types, and the PyTorch engine's graph.

Types and the graph are beside a plain PyTorch module. MXNet and PyTorch are imported where they are needed: training
steps of both in one process end in a corrupted heap on some processors, so that each engine has a process of its own.
"""
import copy
import functools
import time
import timeit
from functools import partial
from types import ModuleType
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np

from ademxapp import IGNORE_LABEL, engine
from ademxapp.cli import UsageError, number
from ademxapp.flags import flag
from ademxapp.inspection.costs import layers, random_parameters
from ademxapp.machine import can_compute, processor_flags, processors
from ademxapp.processes import Processes
from ademxapp.symbol import SymbolOptions, classification_symbol, segmentation_symbol, whole_cells
from ademxapp.training.shared import NESTEROV
from ademxapp.weights.description import SEGMENTATION, TASKS
from ademxapp.weights.formats import to_torch
from ademxapp.weights.parameters import Parameters, parameter_shapes, start_afresh

from .comparison import Comparison, in_turns

NETWORK, CLASSES, STRIDE, HEAD = "a1", 21, 8, "2conv"
GRAPH_ASKED, TORCH_ASKED, OHEM_ASKED = 0.97, 0.9, 0.91  # OHEM: at most 1.1 times as long
LR, IGNORED = 1e-7, 0.1  # a rate that no starting point diverges with; share of the cells
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


def step(task: Optional[str] = flag("what is trained (both)", choices=TASKS),
         width: float = flag("of Model A1", 0.25, type=number(float, 0.001)),
         crop: int = flag("side of the images", 240, type=number(int, 8), metavar="PIXELS"),
         batch: int = flag("images in a batch", 4, type=number(int, 1)),
         seconds: float = flag("to measure each task", 60, type=number(float, 0))) -> List[Comparison]:
    """Training steps of Model A1, beside the PyTorch engine's; with online bootstrapping, beside softmax."""
    threads, found = f"PyTorch {import_torch().__version__}, {processors()} threads each, not compiled", []
    for name in [task] if task else TASKS:
        with Processes(take_step, 1, "processes", 0) as mxnet, Processes(take_step, 1, "processes", 0) as torch:
            ways = [(mxnet, "mxnet", "softmax"), (torch, "torch", "softmax"), (mxnet, "mxnet", "ohem")]
            ours, theirs, *ohem = in_turns([
                partial(processes, f"a step on {one}", one, name, loss, width, crop, batch)
                for processes, one, loss in ways[:3 if name == SEGMENTATION else 2]], batch, seconds, time.monotonic)
        what = f"training step, {name}, A1 of width {width:g}, {batch}x{crop}x{crop}"
        found.append(Comparison(f"{what}, softmax", "the PyTorch engine", ours, theirs, TORCH_ASKED, threads))
        found += [Comparison(f"{what}, online bootstrapping", "softmax", one, ours, OHEM_ASKED,
                             "asked: at most 1.1 times as long") for one in ohem]
    return found


def take_step(*setting: Any) -> None:
    """A step of `stepper`, in a process of its engine."""
    stepper(*setting)()


@functools.lru_cache(maxsize=None)
def stepper(name: str, task: str, loss: str, width: float, crop: int, batch: int) -> Callable[[], None]:
    """What takes a training step of Model A1 on an engine, as the programs do."""
    runs, label, rng = engine.load(name), f"bench_rna-{NETWORK}-w{width:g}_cls{CLASSES}", np.random.default_rng(0)
    if task == SEGMENTATION:
        options = SymbolOptions(bn_use_global_stats=True, lr_type="alex")
        symbol = segmentation_symbol(f"{label}_s{STRIDE}", options, HEAD, loss)
        labels = rng.integers(0, CLASSES, (batch, (whole_cells(crop, STRIDE) // STRIDE) ** 2)).astype(np.float32)
        labels[rng.random(labels.shape) < IGNORED] = IGNORE_LABEL
    else:
        symbol, labels = classification_symbol(label), rng.integers(0, CLASSES, batch).astype(np.float32)
    images = rng.normal(size=(batch, 3, crop, crop)).astype(np.float32)
    module = runs.Module(symbol, runs.devices(cpus=1), average_auxs=task != SEGMENTATION)
    module.bind(images.shape, labels.shape)
    module.init_params(start_afresh(parameter_shapes(symbol, data=images.shape), 0))
    module.init_optimizer("sgd" if task == SEGMENTATION else NESTEROV, {
        "learning_rate": LR, "momentum": 0.9, "wd": 5e-4, "rescale_grad": 1 if task == SEGMENTATION else 1 / batch})

    def run() -> None:
        module.forward(images, labels)
        module.backward()
        module.update()
        module.get_params()  # waits for all of it, on either engine

    return run


def graph(width: float = flag("of Model A1", 0.25, type=number(float, 0.001)),
          crop: int = flag("side of the images", 160, type=number(int, 8), metavar="PIXELS"),
          batch: int = flag("images in a batch", 2, type=number(int, 1)),
          seconds: float = flag("to measure each of both", 60, type=number(float, 0))) -> List[Comparison]:
    """The PyTorch engine's graph of Model A1, beside the same network as a plain PyTorch module, by processor time."""
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
    """Images per second of Model A1 in testing, in float32, bfloat16 and INT8, beside PyTorch's in float32."""
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
