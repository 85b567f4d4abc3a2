"""Losses over class scores; each returns probabilities in the forward pass."""
from ademxapp.engine.mxnet.backend import mx

IGNORE_LABEL = 255
OHEM_THRESH, OHEM_MIN_KEPT = 0.6, 256


def softmax(scores, dense=False):
    """Softmax and its cross-entropy gradient, output `softmax_output`, label variable `softmax_label`.

    `dense`: scores (N, C, H, W) and labels (N, H x W) in row order; cells labelled 255 do not count, and the
    gradient is divided by the number of those that do. Else scores (N, C) and labels (N,).
    """
    if not dense:
        return mx.sym.SoftmaxOutput(scores, name="softmax")
    return _dense_softmax(scores, mx.sym.Variable("softmax_label"), IGNORE_LABEL)


def ohem_softmax(scores, ignore_label=IGNORE_LABEL, thresh=OHEM_THRESH, min_kept=OHEM_MIN_KEPT, margin=-1):
    """Softmax over the hardest cells: online bootstrapping (paper section 5, reference [29]).

    Of the cells whose label counts, those stay whose true class has a probability of at most `thresh`, and at least
    the `min_kept` hardest. With a positive `margin`, those of them stay whose true class leads the second best class
    by at most `margin`, again at least the `min_kept` hardest. The gradient is that of the cross-entropy at the
    cells that stay, divided by their number (at least 1). The choice is over the whole batch of one device.

    Parameters
    ----------
    scores : Symbol
        (N, C, any spatial sizes), float32.
    ignore_label : int
        Label of cells that do not count.

    Returns
    -------
    Symbol
        Probabilities in the shape of `scores`, output `softmax_output`; label variable `softmax_label` (N, cells).
    """
    prob = mx.sym.softmax(mx.sym.BlockGrad(mx.sym.reshape(scores, shape=(0, 0, -1))), axis=1)
    label = _label_of_cells(prob)
    valid = label != ignore_label
    true_prob = mx.sym.pick(prob, mx.sym.where(valid, label, mx.sym.zeros_like(label)), axis=1)
    kept = _hardest(true_prob, valid, thresh, min_kept)
    if margin > 0:
        second = mx.sym.reshape(mx.sym.slice_axis(mx.sym.topk(prob, axis=1, k=2, ret_typ="value"),
                                                  axis=1, begin=1, end=2), shape=(0, -1))
        kept = _hardest(true_prob - second, kept, margin, min_kept)
    hard_label = mx.sym.where(kept, label, mx.sym.ones_like(label) * ignore_label)
    return _dense_softmax(scores, mx.sym.BlockGrad(hard_label), ignore_label)


def _label_of_cells(prob):
    """The label variable, (N, cells). Its shape follows from that of `prob`, so that testing needs no labels."""
    first_class = mx.sym.reshape(mx.sym.slice_axis(prob, axis=1, begin=0, end=1), shape=(0, -1))
    return mx.sym.elemwise_add(mx.sym.zeros_like(first_class), mx.sym.Variable("softmax_label"))


def _hardest(value, candidates, thresh, min_kept):
    """Mask (0 or 1, in the shape of `value`) of the candidates with value <= the threshold, or the lowest min_kept.

    Where there are no more than `min_kept` candidates, all of them stay.
    """
    above_all = mx.sym.ones_like(value) * 1e30
    ranked = mx.sym.sort(mx.sym.reshape(mx.sym.where(candidates, value, above_all), shape=(-1,)), axis=0)
    threshold = mx.sym.ones(shape=(1,)) * thresh
    if min_kept > 0:  # with fewer candidates than that, the k-th lowest is 1e30: all of them stay
        padded = mx.sym.concat(ranked, mx.sym.ones(shape=(min_kept,)) * 1e30, dim=0)
        kth = mx.sym.slice_axis(padded, axis=0, begin=min_kept - 1, end=min_kept)
        threshold = mx.sym.maximum(kth, threshold)
    low = mx.sym.broadcast_lesser_equal(value, mx.sym.reshape(threshold, shape=(1, 1)))
    return low * candidates


def _dense_softmax(scores, label, ignore_label):
    return mx.sym.SoftmaxOutput(scores, label, multi_output=True, use_ignore=True, ignore_label=ignore_label,
                                normalization="valid", name="softmax")
