"""What goes wrong in a training, noticed while it runs, and what to do about it."""
import math
from logging import Logger
from typing import Any, Callable, Dict

import numpy as np

from ademxapp.training.progress import REPORTS_PER_EPOCH
from ademxapp.weights.parameters import Parameters

COLLAPSED, MIXED = 0.98, 0.9  # shares: of the predictions in one class, of the truth in it
MIN_BATCHES = 50  # before a collapse is told from a beginning
LATE = 0.5  # share of late batches from which reading is the bottleneck
IN_A_ROW = 2  # reports
LABELS = ("tools/report.py data shows the labels as they are read; label_ids and ignored_ids in a --dataset-file say "
          "which values are classes")
DIVERGED = ("the training has diverged. A lower --base-lr may help, from the start with --overwrite, or from a "
            "checkpoint, as --weights, with another tag in --model; --resume takes the same --base-lr only")


class Watch:
    """Warns of labels that teach nothing, predictions that have collapsed to one class, and a loader that starves the
    network.

    `reports` are looked at in turn; each trouble is told when it has stood in some reports in a row, and told again
    only after it has gone.
    """

    def __init__(self, log: Logger) -> None:
        self._log, self._batches = log, 0
        self._times: Dict[str, int] = {}

    def report(self, report: Dict[str, Any]) -> None:
        """Look at a report of `Progress`; ValueError where there was nothing to learn for as many as an epoch has."""
        self._batches += report["batches"]
        share, true_share = report["top_class_share"], report["top_class_true_share"]
        self._tell("void", share is None, lambda: f"no label counts: all of the last {report['batches']} batches are "
                   f"void. {LABELS}", 1)
        if self._times["void"] == REPORTS_PER_EPOCH:
            raise ValueError(f"no label counts in {REPORTS_PER_EPOCH} reports in a row: there is nothing to learn. "
                             f"{LABELS}")
        self._tell("one class", true_share == 1, lambda: f"every label that counts is class {report['top_class']}: "
                   f"there is nothing to tell apart, and scores say nothing. {LABELS}", REPORTS_PER_EPOCH)
        collapsed = share is not None and share >= COLLAPSED and true_share <= MIXED and self._batches >= MIN_BATCHES
        self._tell("collapse", collapsed, lambda: (
            f"the predictions have collapsed: {_percent(share)} are class {report['top_class']}, as are "
            f"{_percent(true_share)} of the labels. A lower --base-lr, or --weights of a trained network, may help; "
            "tools/report.py data shows whether the labels are right"))
        self._tell("late", report["late"] > LATE, lambda: (
            f"reading is slower than the network: {_percent(report['late'])} of the batches were late. More "
            "--prefetch-threads, --prefetcher process, smaller images or RecordIO (tools/pack.py) may help"))

    def _tell(self, trouble: str, present: bool, text: Callable[[], str], in_a_row: int = IN_A_ROW) -> None:
        self._times[trouble] = self._times.get(trouble, 0) + 1 if present else 0
        if self._times[trouble] == in_a_row:
            self._log.warning("warning: %s", text())


def require_finite_loss(loss: float, where: str, images: str) -> None:
    """ValueError that names the batch unless the `loss` is a finite number."""
    if not math.isfinite(loss):
        raise ValueError(f"the loss is {loss} {where} ({images}): {DIVERGED}")


def require_finite_parameters(parameters: Parameters, where: str) -> None:
    """ValueError that names a parameter unless all of them are finite."""
    for name, value in parameters.all.items():
        if not np.isfinite(value).all():
            raise ValueError(f"{name} is not finite {where}: {DIVERGED}")


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
