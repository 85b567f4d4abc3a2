"""Overlapping windows, for inputs that are too large to go through the network at once; and whether they are.

That is by the engine's own plan, and the free memory.
"""
import math
from typing import Callable, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np

from ademxapp import engine
from ademxapp.inspection.costs import MEMORY_SHARE, MIB
from ademxapp.inspection.graph import parameter_counts
from ademxapp.symbol import whole_cells

OVERLAP = 1 / 3  # of a window's side, at least
SMALLER = 3 / 4  # from one window that is tried to the next
LEAST_CELLS = 8  # of a window's side
BEYOND = 2 ** 62  # bytes: more than any machine has
LARGEST_MAP = 2 ** 31  # numbers: MXNet's builds count no further


def predict_in_windows(predict: Callable[[np.ndarray], np.ndarray], inputs: np.ndarray,
                       window: Union[int, Tuple[int, int]], stride: int) -> np.ndarray:
    """The same grid of cells as `predict(inputs)`, from overlapping windows.

    Where windows overlap, a cell is the mean of theirs, weighted by its distance from each window's border: what lies
    beyond that border is unknown to the network. An input that fits into a window goes through it as it is.

    Parameters
    ----------
    predict : callable
        Inputs (N, 3, H, W) float32 to probabilities (N, C, H / stride, W / stride) float32.
    inputs : ndarray
        (N, 3, H, W) float32, sides multiples of `stride`.
    window : int or (int, int)
        Pixels, multiples of `stride`: of both sides, or height and width.

    Returns
    -------
    ndarray
        (N, C, H / stride, W / stride) float32.
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
            weight = np.outer(*(_distances(side) for side in part.shape[2:]))
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


def _distances(cells: int) -> np.ndarray:
    """Cells from each of a row to the nearer end, both included."""
    places = np.arange(1, cells + 1, dtype=np.float32)
    return np.minimum(places, places[::-1])


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
        Bytes; found out, when a size is new, if not given: by then other networks have what they need.
    runs : str, optional
        The engine, by its name; by default this process's.

    Attributes
    ----------
    chosen : dict
        {(H, W) of inputs: side of their windows}, of those that do not fit.
    """

    def __init__(self, symbol: "engine.Symbol", contexts: Sequence["engine.Device"], batch: int, stride: int,
                 asked: Optional[int] = None, say: Callable[[str], None] = print, free: Optional[int] = None,
                 runs: Optional[str] = None) -> None:
        self._symbol, self._stride, self._say = symbol, stride, say
        self._asked = whole_cells(asked or 0, stride)
        self._devices, on_cards = contexts, contexts[0].device_type == "gpu"
        self._batch = -(-batch // len(contexts)) if on_cards else batch  # the memory of the CPU is that of all devices
        self._given, self._held, self._runs = free, 0, runs
        self._known: Dict[Tuple[int, int], int] = {}
        self.chosen: Dict[Tuple[int, int], int] = {}

    def __call__(self, size: Tuple[int, int]) -> int:
        """The side of the windows for inputs of (H, W) pixels; 0 where they go through as they are.

        ValueError if not even the smallest window fits.
        """
        if self._asked:
            return self._asked if self._asked < max(size) else 0
        if size not in self._known:
            free = self._free()
            self._known[size] = 0 if free is None else self._largest_fitting(size, free)
        return self._known[size]

    def _free(self) -> Optional[int]:
        """Bytes that the network can have now: what is free, and what it holds for other sizes."""
        if self._given:
            return self._given
        free = engine.load(self._runs).free_bytes(self._devices)
        return None if free is None else free + self._held

    def _largest_fitting(self, size: Tuple[int, int], free: int) -> int:
        fitting = needed = self._needed(size)
        side, least = max(size), LEAST_CELLS * self._stride
        while fitting > MEMORY_SHARE * free:
            side = int(side * SMALLER) // self._stride * self._stride
            if side < least:
                raise ValueError(f"inputs of {size[1]}x{size[0]} pixels do not fit into the free memory "
                                 f"({free // MIB:,} MiB), and windows of {least} neither: free some of it")
            fitting = self._needed((min(side, size[0]), min(side, size[1])))
        self._held = max(self._held, fitting)
        if side == max(size):
            return 0
        self.chosen[size] = side
        words = f"{needed // MIB:,} MiB" if needed < BEYOND else "more than there can be"
        self._say(f"inputs of {size[1]}x{size[0]} pixels need {words}, {free // MIB:,} MiB are free: they are "
                  f"predicted in overlapping windows of {side} pixels (--window chooses others)")
        return side

    def _needed(self, size: Tuple[int, int]) -> int:
        """Bytes of the maps and the parameters; more than there can be where there are too many numbers."""
        shape = (self._batch, 3, *size)
        _, shapes, _ = self._symbol.get_internals().infer_shape(data=shape)
        if max(math.prod(one) for one in (shape, *shapes)) >= LARGEST_MAP:
            return BEYOND
        try:
            planned = planned_bytes(self._symbol, shape, False, self._runs)
            return planned + 4 * sum(parameter_counts(self._symbol, shape))
        except ValueError:
            return BEYOND


def planned_bytes(symbol: "engine.Symbol", shape: Tuple[int, ...], training: bool, runs: Optional[str] = None) -> int:
    """What an engine, by default that of this process, plans for the maps of a network."""
    return engine.load(runs).planned_bytes(symbol, shape, training)
