"""The forward pass of a network over batches of any shape, on one or several devices."""
import numpy as np

from ademxapp.backend import mx


class Predictor:
    """A network with its parameters, ready for testing.

    Parameters
    ----------
    symbol : Symbol
        One output; input `data`, and `softmax_label`, which is not needed.
    parameters : Parameters
    contexts : list of mx.Context
        Batches are divided among them.
    """

    def __init__(self, symbol, parameters, contexts):
        self._module = mx.mod.Module(symbol, label_names=None, context=contexts)
        self._parameters, self._devices, self._shape = parameters, len(contexts), None

    def __call__(self, data):
        """Outputs (N, …) float32 for inputs (N, 3, H, W): NumPy arrays both."""
        return self.start(data)()

    def start(self, data):
        """Start the forward pass of a batch; the function that is returned waits for its outputs."""
        count = len(data)
        missing = -count % self._devices
        if missing:
            data = np.concatenate([data, np.repeat(data[-1:], missing, 0)])
        self._bind(data.shape)
        self._module.forward(mx.io.DataBatch([mx.nd.array(data)]), is_train=False)
        outputs = self._module.get_outputs()[0]
        return lambda: outputs.asnumpy()[:count]

    def _bind(self, shape):
        if shape == self._shape:
            return
        self._module.bind([mx.io.DataDesc("data", shape)], for_training=False, force_rebind=self._shape is not None)
        self._module.init_params(arg_params=self._parameters.args, aux_params=self._parameters.auxs,
                                 allow_missing=False, force_init=True)
        self._shape = shape
