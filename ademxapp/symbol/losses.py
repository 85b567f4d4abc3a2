"""Losses over class scores; each returns probabilities in the forward pass."""
from types import ModuleType
from typing import Optional, Sequence

from ademxapp import IGNORE_LABEL
from ademxapp.symbol.recorder import Symbol, calls

OHEM_THRESH, OHEM_MIN_KEPT = 0.6, 256


def softmax(scores: Symbol, dense: bool = False, class_weights: Optional[Sequence[float]] = None) -> Symbol:
    """Softmax and its cross-entropy gradient, output `softmax_output`, label variable `softmax_label`.

    `dense`: scores (N, C, H, W) and labels (N, H x W) in row order; cells labelled 255 do not count, and the
    gradient is divided by the number of those that do; `class_weights` are as of `ohem_softmax`. Else scores (N, C) and
    labels (N,).
    """
    sym = calls(scores)
    if not dense:
        return sym.SoftmaxOutput(scores, name="softmax")
    label = sym.Variable("softmax_label")
    if class_weights:
        label = _label_of_cells(sym, sym.reshape(scores, shape=(0, 0, -1)))
        scores = _weighted(sym, scores, label, class_weights)
    return _dense_softmax(sym, scores, label, IGNORE_LABEL)


def ohem_softmax(scores: Symbol, ignore_label: int = IGNORE_LABEL, thresh: float = OHEM_THRESH,
                 min_kept: int = OHEM_MIN_KEPT, margin: float = -1,
                 class_weights: Optional[Sequence[float]] = None) -> Symbol:
    """Softmax over the hardest cells: online bootstrapping (paper section 5, reference [29]).

    Of the cells whose label counts, those stay whose true class has a probability of at most `thresh`, and at least
    the `min_kept` hardest. With a positive `margin`, those of them stay whose true class leads the second best class
    by at most `margin`, again at least the `min_kept` hardest. The gradient is that of the cross-entropy at the
    cells that stay, divided by their number (at least 1). The choice is over the whole batch of one device.

    `scores` are (N, C, any spatial sizes), float32; cells labelled `ignore_label` do not count. `class_weights` has, of
    every class, what the gradient is multiplied by at cells of that class; neither the choice of cells nor the number
    that the gradient is divided by depends on it. Output `softmax_output`, in the shape of the scores; label variable
    `softmax_label`, (N, cells).
    """
    sym = calls(scores)
    prob = sym.softmax(sym.BlockGrad(sym.reshape(scores, shape=(0, 0, -1))), axis=1)
    label = _label_of_cells(sym, prob)
    valid = label != ignore_label
    true_prob = sym.pick(prob, sym.where(valid, label, sym.zeros_like(label)), axis=1)
    kept = _hardest(sym, true_prob, valid, thresh, min_kept)
    if margin > 0:
        second = sym.reshape(sym.slice_axis(sym.topk(prob, axis=1, k=2, ret_typ="value"),
                                            axis=1, begin=1, end=2), shape=(0, -1))
        kept = _hardest(sym, true_prob - second, kept, margin, min_kept)
    if class_weights:
        scores = _weighted(sym, scores, label, class_weights)
    hard_label = sym.where(kept, label, sym.ones_like(label) * ignore_label)
    return _dense_softmax(sym, scores, sym.BlockGrad(hard_label), ignore_label)


def _label_of_cells(sym: ModuleType, prob: Symbol) -> Symbol:
    """The label variable, (N, cells). Its shape follows from that of `prob`, so that testing needs no labels."""
    first_class = sym.reshape(sym.slice_axis(prob, axis=1, begin=0, end=1), shape=(0, -1))
    return sym.elemwise_add(sym.zeros_like(first_class), sym.Variable("softmax_label"))


def _hardest(sym: ModuleType, value: Symbol, candidates: Symbol, thresh: float, min_kept: int) -> Symbol:
    """Mask (0 or 1, in the shape of `value`) of the candidates with value <= the threshold, or the lowest min_kept."""
    above_all = sym.ones_like(value) * 1e30
    ranked = sym.sort(sym.reshape(sym.where(candidates, value, above_all), shape=(-1,)), axis=0)
    threshold = sym.ones(shape=(1,)) * thresh
    if min_kept > 0:  # with fewer candidates than that, the k-th lowest is 1e30: all of them stay
        padded = sym.concat(ranked, sym.ones(shape=(min_kept,)) * 1e30, dim=0)
        kth = sym.slice_axis(padded, axis=0, begin=min_kept - 1, end=min_kept)
        threshold = sym.maximum(kth, threshold)
    low = sym.broadcast_lesser_equal(value, sym.reshape(threshold, shape=(1, 1)))
    return low * candidates


def _weighted(sym: ModuleType, scores: Symbol, label: Symbol, class_weights: Sequence[float]) -> Symbol:
    """The scores (N, C, …); their gradient is multiplied by the weight of a cell's class, by its `label` (N, cells)."""
    weight = sym.ones_like(label) * float(sum(class_weights))
    for index, each in enumerate(class_weights):
        weight = weight - (label != index) * float(each)
    over_classes = sym.concat(*[sym.expand_dims(weight, axis=1)] * len(class_weights), dim=1)
    learning = scores * sym.reshape_like(over_classes, scores)
    return learning + sym.BlockGrad(scores - learning)


def _dense_softmax(sym: ModuleType, scores: Symbol, label: Symbol, ignore_label: int) -> Symbol:
    return sym.SoftmaxOutput(scores, label, multi_output=True, use_ignore=True, ignore_label=ignore_label,
                             normalization="valid", name="softmax")
