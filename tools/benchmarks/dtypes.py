"""Images per second of a network in testing, in float32, bfloat16 and INT8, in turns with PyTorch's in float32."""
import time
from types import ModuleType
from typing import Callable, Dict, List, Optional, Tuple

import numpy as np

from ademxapp.cli import Parser, number
from ademxapp.engine.mxnet.backend import mx
from ademxapp.engine.mxnet.predictor import Predictor, RangeRecorder
from ademxapp.engine.mxnet.quantise import Int8Network
from ademxapp.inspection.graph import layers
from ademxapp.machine import can_compute, processor_flags
from ademxapp.symbol import SymbolOptions, classification_symbol
from ademxapp.weights.parameters import Parameters, parameter_shapes

from .comparison import Comparison, in_turns
from .graph import import_torch, torch_network

ASKED = {"float32": 1.1, "bfloat16": 1.7, "int8": 4.0}
NEEDED = {"float32": set(), "bfloat16": {"avx512_vnni", "avx512_bf16"}, "int8": {"avx512_vnni", "avx512_bf16"}}
CLASSES = 1000
PRODUCTS = (1024, 2048, 3072)  # sides of the square matrices that the peak is measured with
REPEATS = 5
AGREES = 1e-4  # probabilities


def add_arguments(command: Parser) -> None:
    """The arguments of `dtypes`."""
    command.add_argument("--width", type=number(float, 0.001), default=1, help="of Model A1")
    command.add_argument("--crop", type=number(int, 32), default=224, metavar="PIXELS", help="side of the images")
    command.add_argument("--batch", type=number(int, 1), default=2, help="images in a batch")
    command.add_argument("--seconds", type=number(float, 0), default=60, help="to measure")


def measure(width: float, crop: int, batch: int, seconds: float) -> List[Comparison]:
    """Measure all ways by the clock on the wall, for a network uses all processors."""
    torch, label = import_torch(), f"bench_rna-a1-w{width:g}_cls{CLASSES}"
    symbol = classification_symbol(label, SymbolOptions(bn_use_global_stats=True))
    rng, shape = np.random.default_rng(0), (batch, 3, crop, crop)
    parameters, data = random_parameters(symbol, shape, rng), rng.normal(size=shape).astype(np.float32)
    predictors = make_predictors(symbol, parameters, data)
    other = fastest_torch(TorchNetwork(parameters, data, width))
    require_same(predictors["float32"](data), other.probabilities())
    ways = [lambda _, predict=predict: len(predict(data)) for predict in predictors.values()]
    *rates, other_rates = in_turns([*ways, lambda _: other()], seconds, time.monotonic)
    operations = 2 * sum(layer.multiply_adds for layer in layers(symbol, shape))
    peaks = {dtype: matrix_peak(torch, dtype) for dtype in predictors}
    what = f"A1{'' if width == 1 else f' of width {width:g}'}, {batch}x{crop}x{crop}"
    return [Comparison(f"testing in {dtype}, {what}", f"PyTorch, float32, {other.format}", one, other_rates,
                       asked(dtype), remark(dtype, np.median(one) * operations / 1e9, peaks))
            for dtype, one in zip(predictors, rates)]


def asked(dtype: str) -> Optional[float]:
    """The ratio that is asked for on this processor."""
    return None if NEEDED[dtype] - processor_flags() else ASKED[dtype]


def remark(dtype: str, reached: float, peaks: Dict[str, float]) -> str:
    """What share of the matrix product's peak is reached (billion operations a second), and what is asked elsewhere."""
    peak = peaks[dtype]
    said = (f"{reached:.0f} billion operations a second, {100 * reached / peak:.0f} % of the {peak:.0f} that a "
              f"product of {dtype} matrices reaches here in PyTorch")
    if dtype != "float32":
        said += f" ({peak / peaks['float32']:.2f} times float32's)"
    lacking = NEEDED[dtype] - processor_flags()
    if lacking:
        said += f"; {ASKED[dtype]} is asked of processors with {' and '.join(sorted(lacking))}"
    return said


def random_parameters(symbol: mx.sym.Symbol, shape: Tuple[int, ...], rng: np.random.Generator) -> Parameters:
    """Parameters that keep the maps in range: denormal numbers would be slow."""
    def values(name: str, shape: Tuple[int, ...]) -> np.ndarray:
        if name.endswith("_weight"):
            return rng.standard_normal(shape, np.float32) * np.float32(np.sqrt(2 / np.prod(shape[1:])))
        return np.full(shape, 0.5 if name.endswith("_gamma") else float(name.endswith("_var")), np.float32)

    shapes = parameter_shapes(symbol, data=shape)
    return Parameters(*({name: values(name, one) for name, one in kind.items()} for kind in shapes))


def make_predictors(symbol: mx.sym.Symbol, parameters: Parameters, data: np.ndarray) -> Dict[str, Predictor]:
    """{type: Predictor}, of the types that this machine computes in."""
    contexts = [mx.cpu()]
    int8 = Int8Network(symbol, parameters)
    recorder = RangeRecorder(int8.symbol, int8.parameters, contexts, int8.measured)
    recorder(data)
    found = {"float32": Predictor(symbol, parameters, contexts)}
    if can_compute("bfloat16"):
        found["bfloat16"] = Predictor(symbol, parameters, contexts, "bfloat16")
    return {**found, "int8": Predictor(*int8.quantised(recorder.ranges), contexts)}


class TorchNetwork:
    """The same network in PyTorch, as its users run it; call it to run the batch.

    Attributes
    ----------
    format : str
        How its maps lie in memory.
    """

    def __init__(self, parameters: Parameters, data: np.ndarray, width: float) -> None:
        self._torch, self.format = import_torch(), "contiguous"
        self._net = torch_network(parameters, CLASSES, None, None, width).eval()
        self._data = self._torch.from_numpy(data)

    def lay_out(self, name: str) -> None:
        """Change `format`: "contiguous" or "channels_last"."""
        memory_format = getattr(self._torch, {"contiguous": "contiguous_format"}.get(name, name))
        self._net, self.format = self._net.to(memory_format=memory_format), name
        self._data = self._data.contiguous(memory_format=memory_format)

    def __call__(self) -> int:
        with self._torch.inference_mode():
            return len(self._net(self._data))

    def probabilities(self) -> np.ndarray:
        """(N, classes) float32."""
        with self._torch.inference_mode():
            return self._net(self._data).softmax(1).numpy()


def fastest_torch(network: TorchNetwork) -> TorchNetwork:
    """The network in the format in which it is faster."""
    seconds = {}
    for name in ("contiguous", "channels_last"):
        network.lay_out(name)
        seconds[name] = best_seconds(network, 2)
    network.lay_out(min(seconds, key=seconds.get))
    return network


def require_same(found: np.ndarray, wanted: np.ndarray) -> None:
    """ValueError unless both ways compute the same."""
    if not np.abs(found - wanted).max() < AGREES:
        raise ValueError(f"MXNet and PyTorch differ by {np.abs(found - wanted).max():.1g} in the probabilities")


def matrix_peak(torch: ModuleType, dtype: str) -> float:
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


def best_seconds(run: Callable[[], object], repeats: int) -> float:
    """Of the fastest run after one that does not count."""
    run()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return min(seconds)
