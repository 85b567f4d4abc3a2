"""The ranges of a network's maps, measured on images."""
import ctypes
from typing import Any, Collection, Dict, Sequence, Tuple, Union

from ademxapp.engine.mxnet.backend import mx
from ademxapp.engine.mxnet.predictor import Predictor
from ademxapp.weights.parameters import Parameters


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
