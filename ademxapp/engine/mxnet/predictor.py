"""The forward pass of a network over batches of any shape, on one or several devices; and the ranges of its maps."""
import collections
import ctypes
import warnings
from typing import Any, Callable, Collection, Dict, Sequence, Tuple, Union

import numpy as np

from ademxapp.engine.mxnet.backend import mx
from ademxapp.engine.mxnet.quantise import in_bfloat16
from ademxapp.engine.mxnet.runtime import as_mxnet, require_uncompiled
from ademxapp.weights.parameters import Parameters

SHAPES_KEPT = 8


class Predictor:
    """A network with its parameters, ready for testing.

    Parameters
    ----------
    symbol : Symbol
        One output; input `data`, and perhaps `softmax_label`, which is not needed.
    parameters : Parameters
    devices : list of mx.Context
        Batches are divided among them.
    dtype : {"float32", "bfloat16"}
        What it computes in.
    """

    def __init__(self, symbol: mx.sym.Symbol, parameters: Parameters, devices: Sequence[mx.Context],
                 dtype: str = "float32", compiled: bool = False) -> None:
        require_uncompiled(compiled)
        if dtype == "bfloat16":
            symbol, parameters = in_bfloat16(symbol, parameters)
        self._symbol, self._parameters, self._devices = symbol, parameters, list(devices)
        self._modules: collections.OrderedDict[Tuple[int, ...], mx.mod.Module] = collections.OrderedDict()

    def __call__(self, data: np.ndarray) -> np.ndarray:
        """Outputs (N, …) float32 for inputs (N, 3, H, W): NumPy arrays both."""
        return self.begin(data)()

    def begin(self, data: np.ndarray) -> Callable[[], np.ndarray]:
        """Begin what a call does: a function that waits for the outputs. Passes that are begun run one after another.

        Each keeps a copy of its inputs until it has run.
        """
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
                module.init_params(arg_params=as_mxnet(self._parameters.args),
                                   aux_params=as_mxnet(self._parameters.auxs))
            self._modules[shape] = module
            if len(self._modules) > SHAPES_KEPT:  # never the first: the others were bound to share its parameters
                del self._modules[list(self._modules)[1]]
        return self._modules[shape]


class RangeRecorder(Predictor):
    """A `Predictor` that keeps the lowest and highest number of every map that it is asked to watch.

    Parameters
    ----------
    symbol, parameters, devices
        As of `Predictor`.
    watched : collection of str
        Names of maps.

    Attributes
    ----------
    ranges : dict
        {map: (lowest, highest)} so far.
    """

    def __init__(self, symbol: mx.sym.Symbol, parameters: Parameters, devices: Sequence[mx.Context],
                 watched: Collection[str]) -> None:
        super().__init__(symbol, parameters, devices)
        self._watched = watched
        self.ranges: Dict[str, Tuple[float, float]] = {}

    def _bound(self, shape: Tuple[int, ...]) -> mx.mod.Module:
        known = shape in self._modules
        module = super()._bound(shape)
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
