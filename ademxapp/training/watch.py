"""What goes wrong in a training, noticed while it runs, and what to do about it."""
import math

import numpy as np

COLLAPSED, MIXED = 0.98, 0.9  # shares: of the predictions in one class, of the truth in it
MIN_BATCHES = 50  # before a collapse is told from a beginning
LATE = 0.5  # share of late batches from which reading is the bottleneck
IN_A_ROW = 2  # reports


class Watch:
    """Warns of predictions that have collapsed to one class, and of a loader that starves the network.

    `reports` are looked at in turn; each trouble is told when it has stood in two reports in a row, and told again
    only after it has gone.
    """

    def __init__(self, log):
        self._log, self._batches, self._times = log, 0, {}

    def report(self, report):
        """Look at a report of `Progress`."""
        self._batches += report["batches"]
        share, true_share = report["top_class_share"], report["top_class_true_share"]
        collapsed = share is not None and share >= COLLAPSED and true_share <= MIXED and self._batches >= MIN_BATCHES
        self._tell("collapse", collapsed, lambda: (
            f"the predictions have collapsed: {_percent(share)} are class {report['top_class']}, as are "
            f"{_percent(true_share)} of the labels. A lower --base-lr, or --weights of a trained network, may help; "
            "tools/report.py data shows whether the labels are right"))
        self._tell("late", report["late"] > LATE, lambda: (
            f"reading is slower than the network: {_percent(report['late'])} of the batches were late. More "
            "--prefetch-threads, --prefetcher process, smaller images or RecordIO (tools/pack.py) may help"))

    def _tell(self, trouble, present, text):
        self._times[trouble] = self._times.get(trouble, 0) + 1 if present else 0
        if self._times[trouble] == IN_A_ROW:
            self._log.warning("warning: %s", text())


def require_finite_loss(loss, where, images):
    """ValueError that names the batch unless the `loss` is a finite number."""
    if not math.isfinite(loss):
        raise ValueError(f"the loss is {loss} {where} ({images}): the training has diverged. A lower --base-lr may "
                         "help; --resume goes on from the last snapshot, which is from before")


def require_finite_parameters(parameters, where):
    """ValueError that names a parameter unless all of them are finite."""
    for name, value in parameters.all.items():
        if not np.isfinite(value).all():
            raise ValueError(f"{name} is not finite {where}: the training has diverged. A lower --base-lr may help; "
                             "--resume goes on from the last snapshot, which is from before")


def _percent(share):
    return f"{100 * share:.0f} %"
