"""The ranges of a network's maps, measured on images, and the file that keeps them."""
import ctypes
import json
import os

from ademxapp.backend import mx
from ademxapp.evaluation.predictor import Predictor
from ademxapp.files import write_json


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


def kept_ranges(path, origin, watched):
    """The ranges in a file, {map: (lowest, highest)}, and None; or None and why it does not fit (str).

    `origin` is what they must stem from (a dictionary of JSON's types); where it has None, anything will do.
    """
    try:
        with open(path, encoding="utf-8") as source:
            kept = json.load(source)
        ranges = {name: tuple(map(float, kept["ranges"][name])) for name in watched}
        before = dict(kept["origin"])
    except FileNotFoundError:
        return None, "there is no such file"
    except (ValueError, TypeError, KeyError, OSError):
        return None, "it cannot be used"
    other = [name for name, value in origin.items()
             if value is not None and _given(before.get(name)) != _given(value)]
    if other or any(len(pair) != 2 or not pair[0] <= pair[1] for pair in ranges.values()):
        return None, f"it is of another {', '.join(other)}" if other else "it cannot be used"
    return ranges, None


def _given(value):
    """A dictionary without what is not given in it: other programs, and older ones, have other flags."""
    return {name: one for name, one in value.items() if one} if isinstance(value, dict) else value


def keep_ranges(path, origin, ranges):
    """Write the file, whole or not at all."""
    write_json(path, {"origin": origin, "ranges": {name: ranges[name] for name in sorted(ranges)}})


def ranges_path(weights):
    """Where the ranges of a file of weights are kept: beside it."""
    return os.path.splitext(weights)[0] + "_int8.json"
