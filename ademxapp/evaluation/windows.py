"""Overlapping windows, for inputs that are too large to go through the network at once."""
import numpy as np

OVERLAP = 1 / 3  # of a window's side, at least


def predict_in_windows(predict, inputs, window, stride):
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
    total, weights = None, np.zeros((height // stride, width // stride), np.float32)
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
    return total / weights


def window_starts(side, window, stride):
    """First pixels (list of int, multiples of `stride`) of the windows along a side, evenly spread."""
    cells, wide = side // stride, window // stride
    if cells <= wide:
        return [0]
    step = max(1, wide - max(1, round(wide * OVERLAP)))
    count = -(-(cells - wide) // step) + 1
    return [int(start) * stride for start in np.linspace(0, cells - wide, count).round()]


def _distances(cells):
    """Cells from each of a row to the nearer end, both included."""
    places = np.arange(1, cells + 1, dtype=np.float32)
    return np.minimum(places, places[::-1])
