"""Overlapping windows, for inputs that are too large to go through the network at once; and whether they are.

That is by the engine's own plan, and the free memory.
"""
import logging
import math
from typing import Callable, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np

from ademxapp.engine import Device, Symbol, load
from ademxapp.inspection.costs import MEMORY_SHARE, MIB, parameter_counts
from ademxapp.symbol import whole_cells

OVERLAP = 1 / 3  # of a window's side, at least
SMALLER = 3 / 4  # from one window that is tried to the next
LEAST_CELLS = 8  # of a window's side
BEYOND = 2 ** 62  # bytes: more than any machine has
LARGEST_MAP = 2 ** 31  # numbers: MXNet's builds count no further
LOG = logging.getLogger("ademxapp")


def predict_in_windows(predict: Callable[[np.ndarray], np.ndarray], inputs: np.ndarray,
                       window: Union[int, Tuple[int, int]], stride: int) -> np.ndarray:
    """The same grid of cells as `predict(inputs)`, from overlapping windows.

    Where windows overlap, a cell is the mean of theirs, weighted by its distance from each window's border: what lies
    beyond that border is unknown to the network. An input that fits into a window goes through it as it is.

    `predict` goes from inputs (N, 3, H, W) to probabilities (N, C, H / stride, W / stride), both float32; all sides are
    multiples of `stride`. `window` is one side, in pixels, or height and width.
    """
    height, width = inputs.shape[2:]
    high, wide = window if isinstance(window, tuple) else (window, window)
    rows, columns = window_starts(height, high, stride), window_starts(width, wide, stride)
    if len(rows) == len(columns) == 1:
        return predict(inputs)
    total: Optional[np.ndarray] = None
    weights = np.zeros((height // stride, width // stride), np.float32)
    for top in rows:
        for left in columns:
            part = predict(np.ascontiguousarray(inputs[:, :, top:top + high, left:left + wide]))
            if total is None:
                total = np.zeros(part.shape[:2] + weights.shape, np.float32)
            places = (np.arange(1, side + 1, dtype=np.float32) for side in part.shape[2:])
            weight = np.outer(*(np.minimum(place, place[::-1]) for place in places))
            down = slice(top // stride, top // stride + part.shape[2])
            across = slice(left // stride, left // stride + part.shape[3])
            total[:, :, down, across] += part * weight
            weights[down, across] += weight
    assert total is not None
    return total / weights


def window_starts(side: int, window: int, stride: int) -> List[int]:
    """First pixels (list of int, multiples of `stride`) of the windows along a side, evenly spread."""
    cells, wide = side // stride, window // stride
    if cells <= wide:
        return [0]
    step = max(1, wide - max(1, round(wide * OVERLAP)))
    count = -(-(cells - wide) // step) + 1
    return [int(start) * stride for start in np.linspace(0, cells - wide, count).round()]


class WindowChoice:
    """The side of the windows in which inputs go through a network, `batch` at a time over all devices.

    `asked` is a side that the user wants, in pixels, rounded up to whole cells; without it windows are chosen only for
    inputs whose planned memory does not fit into what is free when a size is new: by then other networks have what they
    need. Without a `symbol` there is no plan. `runs` names the engine, by default this process's. `chosen`: {(H, W)
    of inputs: side of their windows}, of those that do not fit.
    """

    def __init__(self, symbol: Optional[Symbol], contexts: Sequence[Device], batch: int, stride: int,
                 asked: Optional[int] = None, runs: Optional[str] = None) -> None:
        self._symbol, self._stride = symbol, stride
        self._asked = whole_cells(asked or 0, stride)
        self._devices, on_cards = contexts, bool(contexts) and contexts[0].device_type == "gpu"
        self._batch = -(-batch // len(contexts)) if on_cards else batch  # the memory of the CPU is that of all devices
        self._runs, self._held = runs, 0  # bytes that it needs for other sizes
        self._known: Dict[Tuple[int, int], int] = {}
        self.chosen: Dict[Tuple[int, int], int] = {}

    def __call__(self, size: Tuple[int, int]) -> int:
        """The side of the windows for inputs of (H, W) pixels; 0 where they go through as they are.

        ValueError if not even the smallest window fits.
        """
        if self._asked or self._symbol is None:
            return self._asked if self._asked < max(size) else 0
        if size not in self._known:
            free = load(self._runs).free_bytes(self._devices)
            self._known[size] = 0 if free is None else self._largest_fitting(self._symbol, size, free + self._held)
        return self._known[size]

    def _largest_fitting(self, symbol: Symbol, size: Tuple[int, int], free: int) -> int:
        fitting = needed = self._needed(symbol, size)
        side, least = max(size), LEAST_CELLS * self._stride
        while fitting > MEMORY_SHARE * free:
            side = int(side * SMALLER) // self._stride * self._stride
            if side < least:
                raise ValueError(f"inputs of {size[1]}x{size[0]} pixels do not fit into the free memory "
                                 f"({free // MIB:,} MiB), and windows of {least} neither: free some of it")
            fitting = self._needed(symbol, (min(side, size[0]), min(side, size[1])))
        self._held = max(self._held, fitting)
        if side == max(size):
            return 0
        self.chosen[size] = side
        words = f"{needed // MIB:,} MiB" if needed < BEYOND else "more than there can be"
        LOG.info(f"inputs of {size[1]}x{size[0]} pixels need {words}, {free // MIB:,} MiB are free: they are "
                 f"predicted in overlapping windows of {side} pixels (--window chooses others)")
        return side

    def _needed(self, symbol: Symbol, size: Tuple[int, int]) -> int:
        """Bytes of the maps and the parameters; more than there can be where there are too many numbers."""
        shape = (self._batch, 3, *size)
        _, shapes, _ = symbol.get_internals().infer_shape(data=shape)
        if max(math.prod(one) for one in (shape, *shapes)) >= LARGEST_MAP:
            return BEYOND
        try:
            planned = load(self._runs).planned_bytes(symbol, shape, False)
            return planned + 4 * sum(parameter_counts(symbol, shape))
        except ValueError:
            return BEYOND
