"""Whether an input fits into the free memory, by MXNet's own plan, and the windows for those that do not."""
import math

from ademxapp import engine
from ademxapp.inspection.graph import parameter_counts
from ademxapp.inspection.memory import MIB, planned_bytes
from ademxapp.inspection.speed import MEMORY_SHARE
from ademxapp.symbol import whole_cells

SMALLER = 3 / 4  # from one window that is tried to the next
LEAST_CELLS = 8  # of a window's side
BEYOND = 2 ** 62  # bytes: more than any machine has
LARGEST_MAP = 2 ** 31  # numbers: MXNet's builds count no further


class WindowChoice:
    """The side of the windows in which inputs go through a network.

    Parameters
    ----------
    symbol : Symbol
    contexts : list of Device
    batch : int
        Inputs at a time, over all devices.
    stride : int
    asked : int, optional
        A side that the user wants, in pixels; it is rounded up to whole cells. Without it windows are chosen only for
        inputs whose planned memory does not fit.
    say : callable
        Takes the text that tells of a choice.
    free : int, optional
        Bytes; found out if not given.

    Attributes
    ----------
    chosen : dict
        {(H, W) of inputs: side of their windows}, of those that do not fit.
    """

    def __init__(self, symbol, contexts, batch, stride, asked=None, say=print, free=None):
        self._symbol, self._stride, self._say = symbol, stride, say
        self._asked = whole_cells(asked or 0, stride)
        on_cards = contexts[0].device_type == "gpu"
        self._batch = -(-batch // len(contexts)) if on_cards else batch  # the memory of the CPU is that of all devices
        self._free = free or engine.load().free_bytes(contexts)
        self._known, self.chosen = {}, {}

    def __call__(self, size):
        """The side of the windows for inputs of (H, W) pixels; 0 where they go through as they are.

        ValueError if not even the smallest window fits.
        """
        if self._asked or self._free is None:
            return self._asked if self._asked < max(size) else 0
        if size not in self._known:
            self._known[size] = self._largest_fitting(size)
        return self._known[size]

    def _largest_fitting(self, size):
        needed, side = self._needed(size), max(size)
        if needed <= MEMORY_SHARE * self._free:
            return 0
        least = LEAST_CELLS * self._stride
        while self._needed(tuple(min(side, whole) for whole in size)) > MEMORY_SHARE * self._free:
            side = int(side * SMALLER) // self._stride * self._stride
            if side < least:
                raise ValueError(f"inputs of {size[1]}x{size[0]} pixels do not fit into the free memory "
                                 f"({self._free // MIB:,} MiB), and windows of {least} neither: free some of it")
        self.chosen[size] = side
        needed = f"{needed // MIB:,} MiB" if needed < BEYOND else "more than there can be"
        self._say(f"inputs of {size[1]}x{size[0]} pixels need {needed}, {self._free // MIB:,} MiB are free: they are "
                  f"predicted in overlapping windows of {side} pixels (--window chooses others)")
        return side

    def _needed(self, size):
        """Bytes of the maps and the parameters; more than there can be where there are too many numbers."""
        shape = (self._batch, 3, *size)
        _, shapes, _ = self._symbol.get_internals().infer_shape(data=shape)
        if max(math.prod(one) for one in (shape, *shapes)) >= LARGEST_MAP:
            return BEYOND
        try:
            return planned_bytes(self._symbol, shape, training=False) + 4 * sum(parameter_counts(self._symbol, shape))
        except ValueError:
            return BEYOND
