"""The ranges of a network's maps, measured on images."""
import ctypes

from ademxapp.backend import mx
from ademxapp.evaluation.predictor import Predictor


class RangeRecorder(Predictor):
    """A `Predictor` that keeps the lowest and highest number of every map that it is asked to watch.

    Parameters
    ----------
    symbol, parameters, contexts
        As of `Predictor`.
    watched : collection of str
        Names of maps.

    Attributes
    ----------
    ranges : dict
        {map: (lowest, highest)} so far.
    """

    def __init__(self, symbol, parameters, contexts, watched):
        super().__init__(symbol, parameters, contexts)
        self._watched, self.ranges = watched, {}

    def _bound(self, shape):
        known = shape in self._modules
        module = super()._bound(shape)
        if not known:
            module.install_monitor(self)
        return module

    def install(self, executor):
        """What MXNet calls for every executor of a module, as of its `Monitor`."""
        executor.set_monitor_callback(self._record, monitor_all=True)

    def _record(self, name, handle):
        name = name.decode() if isinstance(name, bytes) else name
        if name not in self._watched:
            return
        values = mx.nd.NDArray(ctypes.cast(handle, mx.base.NDArrayHandle), writable=False).asnumpy()
        lowest, highest = self.ranges.get(name, (0.0, 0.0))
        self.ranges[name] = min(lowest, float(values.min())), max(highest, float(values.max()))
