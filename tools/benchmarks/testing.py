"""Images per second of a network in testing, in float32, bfloat16 and INT8, in turns with PyTorch's in float32."""
import time

import numpy as np

from ademxapp.backend import mx
from ademxapp.cli import UsageError, number
from ademxapp.evaluation.predictor import Predictor
from ademxapp.evaluation.quantise import Int8Network, can_compute, in_bfloat16
from ademxapp.evaluation.ranges import RangeRecorder
from ademxapp.inspection.graph import layers
from ademxapp.machine import processor_flags
from ademxapp.settings import DTYPES
from ademxapp.symbol import SymbolOptions, classification_symbol
from ademxapp.weights.parameters import Parameters, parameter_shapes
from ademxapp.weights.torch_layout import to_torch
from tools.benchmarks.comparison import Comparison, in_turns, show

ASKED = {"float32": 1.1, "bfloat16": 1.7, "int8": 4.0}
NEEDED = {"float32": set(), "bfloat16": {"avx512_vnni", "avx512_bf16"}, "int8": {"avx512_vnni", "avx512_bf16"}}
CLASSES = 1000
PRODUCTS = (1024, 2048, 3072)  # sides of the square matrices that the peak is measured with
REPEATS = 5
AGREES = 1e-4  # probabilities


def add_arguments(command):
    """The arguments of `dtypes`."""
    command.add_argument("--width", type=number(float, 0.001), default=1, help="of Model A1")
    command.add_argument("--crop", type=number(int, 32), default=224, metavar="PIXELS", help="side of the images")
    command.add_argument("--batch", type=number(int, 1), default=2, help="images in a batch")
    command.add_argument("--seconds", type=number(float, 0), default=60, help="to measure")


def measure(args):
    """Measure all ways by the clock on the wall, for a network uses all processors."""
    try:
        import torch
    except ImportError:
        raise UsageError("PyTorch is not installed: pip install 'ademxapp[bench]'") from None
    label = f"bench_rna-a1-w{args.width:g}_cls{CLASSES}"
    symbol = classification_symbol(label, SymbolOptions(bn_use_global_stats=True))
    rng, shape = np.random.default_rng(0), (args.batch, 3, args.crop, args.crop)
    parameters, data = random_parameters(symbol, shape, rng), rng.normal(size=shape).astype(np.float32)
    predictors = make_predictors(symbol, parameters, data)
    other = fastest_torch(TorchNetwork(torch, parameters, data, args.width))
    require_same(predictors["float32"](data), other.probabilities())
    ways = [lambda _, predict=predict: len(predict(data)) for predict in predictors.values()]
    *rates, other_rates = in_turns([*ways, lambda _: other()], args.seconds, time.monotonic)
    operations = 2 * sum(layer.multiply_adds for layer in layers(symbol, shape))
    peaks = {dtype: matrix_peak(torch, dtype) for dtype in predictors}
    show([compared(dtype, args, one, other_rates, operations, peaks, other) for dtype, one in zip(predictors, rates)],
         args)


def compared(dtype, args, rates, other_rates, operations, peaks, other):
    """The `Comparison` of one type; its remark tells the share of the matrix product's peak."""
    reached, peak = np.median(rates) * operations / 1e9, peaks[dtype]
    remark = (f"{reached:.0f} billion operations a second, {100 * reached / peak:.0f} % of the {peak:.0f} that a "
              f"product of {dtype} matrices reaches here in PyTorch")
    if dtype != "float32":
        remark += f" ({peak / peaks['float32']:.2f} times float32's)"
    lacking = NEEDED[dtype] - processor_flags()
    if lacking:
        remark += f"; {ASKED[dtype]} is asked of processors with {' and '.join(sorted(lacking))}"
    width = "" if args.width == 1 else f" of width {args.width:g}"
    what = f"testing in {dtype}, A1{width}, {args.batch}x{args.crop}x{args.crop}"
    return Comparison(what, f"PyTorch, float32, {other.format}", rates, other_rates,
                      None if lacking else ASKED[dtype], remark)


def random_parameters(symbol, shape, rng):
    """Parameters that keep the maps in range: denormal numbers would be slow."""
    def values(name, shape):
        if name.endswith("_weight"):
            return rng.standard_normal(shape, np.float32) * np.float32(np.sqrt(2 / np.prod(shape[1:])))
        return np.full(shape, 0.5 if name.endswith("_gamma") else 1 if name.endswith("_var") else 0)

    shapes = parameter_shapes(symbol, data=shape)
    return Parameters(*({name: mx.nd.array(values(name, one)) for name, one in kind.items()} for kind in shapes))


def make_predictors(symbol, parameters, data):
    """{type: Predictor}, of the types that this machine computes in."""
    contexts = [mx.cpu()]
    int8 = Int8Network(symbol, parameters)
    recorder = RangeRecorder(int8.symbol, int8.parameters, contexts, int8.measured)
    recorder(data)
    found = {"float32": (symbol, parameters), "int8": int8.quantised(recorder.ranges)}
    if can_compute("bfloat16"):
        found["bfloat16"] = in_bfloat16(symbol, parameters)
    return {dtype: Predictor(*found[dtype], contexts) for dtype in DTYPES if dtype in found}


class TorchNetwork:
    """The same network in PyTorch, as its users run it; call it to run the batch.

    Attributes
    ----------
    format : str
        How its maps lie in memory.
    """

    def __init__(self, torch, parameters, data, width):
        from ademxapp.deploy.torch_rna import Rna
        self._torch, self.format, self._net = torch, "contiguous", Rna("a1", CLASSES, width=width)
        state = to_torch({**{f"arg:{name}": value for name, value in parameters.args.items()},
                          **{f"aux:{name}": value for name, value in parameters.auxs.items()}})
        self._net.load_state_dict({name: torch.from_numpy(value.asnumpy()) for name, value in state.items()})
        self._net.eval()
        self._data = torch.from_numpy(data)

    def lay_out(self, name):
        """Change `format`: "contiguous" or "channels_last"."""
        memory_format = getattr(self._torch, {"contiguous": "contiguous_format"}.get(name, name))
        self._net, self.format = self._net.to(memory_format=memory_format), name
        self._data = self._data.contiguous(memory_format=memory_format)

    def __call__(self):
        with self._torch.inference_mode():
            return len(self._net(self._data))

    def probabilities(self):
        """(N, classes) float32."""
        with self._torch.inference_mode():
            return self._net(self._data).softmax(1).numpy()


def fastest_torch(network):
    """The network in the format in which it is faster."""
    seconds = {}
    for name in ("contiguous", "channels_last"):
        network.lay_out(name)
        seconds[name] = best_seconds(network, 2)
    network.lay_out(min(seconds, key=seconds.get))
    return network


def require_same(found, wanted):
    """ValueError unless both ways compute the same."""
    if not np.abs(found - wanted).max() < AGREES:
        raise ValueError(f"MXNet and PyTorch differ by {np.abs(found - wanted).max():.1g} in the probabilities")


def matrix_peak(torch, dtype):
    """Billion operations a second of the best product of two square matrices."""
    found = []
    for side in PRODUCTS:
        left, right = (torch.randn(side, side, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
        if dtype == "int8":
            left, right = (30 * left).to(torch.int8), (30 * right).to(torch.int8)
        else:
            left, right = left.to(getattr(torch, dtype)), right.to(getattr(torch, dtype))
        multiply = torch._int_mm if dtype == "int8" else torch.mm
        with torch.inference_mode():
            found.append(2 * side ** 3 / best_seconds(lambda: multiply(left, right), REPEATS) / 1e9)  # noqa: B023
    return max(found)


def best_seconds(run, repeats):
    """Of the fastest run after one that does not count."""
    run()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return min(seconds)
