"""Overlapping windows, against the whole image."""
import numpy as np
import pytest
from scipy.ndimage import correlate

from ademxapp import machine
from ademxapp.backend import mx
from ademxapp.engine import load
from ademxapp.evaluation import dense, windows
from ademxapp.evaluation.windows import OVERLAP, predict_in_windows, window_starts
from ademxapp.symbol import SymbolOptions, segmentation_symbol

STRIDE, REACH = 8, 2  # a cell sees 2 cells around it


class Network:
    """A small network whose cells see 5x5 cells, zeros beyond the input; it keeps the sizes of its inputs."""

    def __init__(self):
        self.kernel, self.sizes = np.random.default_rng(0).random((5, 5)).astype(np.float32), []

    def __call__(self, data):
        self.sizes.append(data.shape)
        cells = data.reshape(*data.shape[:2], data.shape[2] // STRIDE, STRIDE, -1, STRIDE).mean((3, 5))
        return np.stack([[correlate(plane, self.kernel, mode="constant") for plane in one] for one in cells])


@pytest.mark.parametrize("side, window", [(504, 200), (504, 16), (504, 8), (208, 200), (1024, 504), (72, 64)])
def test_windows_cover_a_side_and_overlap(side, window):
    starts = window_starts(side, window, STRIDE)
    assert starts[0] == 0 and starts[-1] + window == side
    assert all(start % STRIDE == 0 for start in starts)
    overlaps = [before + window - after for before, after in zip(starts, starts[1:])]
    assert window == STRIDE or min(overlaps) >= max(STRIDE, round(OVERLAP * window / STRIDE) * STRIDE)
    assert all(overlap < window for overlap in overlaps)


@pytest.mark.parametrize("shape", [(160, 240), (64, 240), (240, 64), (168, 168)])
def test_windows_agree_with_the_whole_away_from_their_borders(shape):
    """The cells that see nothing beyond the border of any of their windows; the others differ."""
    inputs = np.random.default_rng(1).normal(size=(2, 3, *shape)).astype(np.float32)
    network, window = Network(), 96
    whole = network(inputs)
    parts = predict_in_windows(network, inputs, window, STRIDE)
    assert {size[2:] for size in network.sizes[1:]} == {tuple(min(side, window) for side in shape)}
    near = np.zeros(whole.shape[2:], bool)
    for axis, side in enumerate(shape):
        starts = window_starts(side, window, STRIDE)
        borders = [cell // STRIDE for cell in starts[1:]] + [(start + window) // STRIDE for start in starts[:-1]]
        for border in borders:
            place = [slice(None), slice(None)]
            place[axis] = slice(max(0, border - REACH), border + REACH)
            near[tuple(place)] = True
    assert 0.15 < near.mean() < 0.95
    difference = np.abs(whole - parts).max((0, 1))
    assert difference[~near].max() < 1e-5  # rounding of the means
    assert difference[near].max() > 0.01


def test_inputs_that_fit_into_a_window_go_through_bit_for_bit():
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3)).astype(np.uint8)
    maps = [dense.predict_dense(Network(), image, 120, dense.DenseSettings(
        (0, 0, 0), (1, 1, 1), STRIDE, 2, True, window=window)) for window in (0, 120, 200)]
    for score_map in maps[1:]:
        np.testing.assert_array_equal(score_map.scores, maps[0].scores)


def test_probabilities_still_add_up_to_one():
    rng = np.random.default_rng(0)

    def predict(data):
        scores = rng.random((len(data), 4, data.shape[2] // STRIDE, data.shape[3] // STRIDE)).astype(np.float32)
        return scores / scores.sum(1, keepdims=True)

    found = predict_in_windows(predict, np.zeros((1, 3, 120, 200), np.float32), 64, STRIDE)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-6)


def test_windows_are_whole_cells():
    with pytest.raises(ValueError, match="100 pixels are no whole number of cells of 8"):
        dense.DenseSettings((0, 0, 0), (1, 1, 1), STRIDE, window=100)


def test_free_memory_is_measured_when_a_size_is_new(monkeypatch):
    """By then a training is bound, or the networks before this one; what it holds itself is its own."""
    options, free = SymbolOptions(bn_use_global_stats=True), [0]
    symbol = segmentation_symbol("demo_rna-b1-w0.02_cls6_s8", options, "1conv", "softmax")
    monkeypatch.setattr(machine, "free_bytes", lambda: free[0])
    monkeypatch.setattr(load(), "planned_bytes", lambda symbol, shape, *_: 1000 * shape[2] * shape[3])
    first, second = (windows.WindowChoice(symbol, [mx.cpu()], 1, 8) for _ in range(2))
    free[0] = 2 * (4 * sum(windows.parameter_counts(symbol, (1, 3, 96, 96))) + 1000 * 96 * 96)
    assert first((96, 96)) == 0
    free[0] = 1000
    assert first((64, 64)) == first((96, 96)) == 0
    with pytest.raises(ValueError, match="do not fit into the free memory"):
        second((96, 96))
