"""The forward pass of a network over batches of any shape, on one or several devices."""
import collections
import warnings
from typing import Callable, Sequence, Tuple

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
