"""What a training report says of the batches since the last one."""
from typing import TYPE_CHECKING, Any, Dict, Optional, Tuple

import numpy as np

if TYPE_CHECKING:
    from ademxapp.training.distributed import Alone


class TrainingMetric:
    """Loss (mean cross-entropy), accuracy, and the most predicted class, over the labels that count.

    `top_class_share` of the predictions, and `top_class_true_share` of the labels, are that class. `ignore_label` does
    not count. With `ohem` = (thresh, min_kept), also the share of cells that online bootstrapping keeps (`kept`).
    Every device's batch is seen on its own.
    """

    def __init__(self, classes: int, ignore_label: Optional[int] = None,
                 ohem: Optional[Tuple[float, int]] = None) -> None:
        self.classes, self.ignore_label, self.ohem = classes, ignore_label, ohem
        self.reset()

    def reset(self) -> None:
        """Start a new report."""
        self.count, self.loss, self.right, self.kept = 0, 0.0, 0, 0
        self.predicted, self.true = np.zeros((2, self.classes), np.int64)

    @property
    def state(self) -> Dict[str, Any]:
        """What was counted since `reset`, as JSON takes it."""
        return {"count": self.count, "loss": self.loss, "right": self.right, "kept": self.kept,
                "predicted": self.predicted.tolist(), "true": self.true.tolist()}

    @state.setter
    def state(self, state: Dict[str, Any]) -> None:
        self.count, self.loss, self.right, self.kept = (state[name] for name in ("count", "loss", "right", "kept"))
        self.predicted, self.true = (np.array(state[name], np.int64) for name in ("predicted", "true"))

    def move_to_first(self, workers: "Alone") -> None:
        """Add up what all `workers` have counted in the first one's metric, and start the others' anew."""
        sums = workers.total("metric", [self.count, self.loss, self.right, self.kept, *self.predicted, *self.true])
        self.reset()
        if workers.rank == 0:
            self.loss = float(sums[1])
            self.count, self.right, self.kept = (int(sums[place]) for place in (0, 2, 3))
            self.predicted, self.true = sums[4:].astype(np.int64).reshape(2, -1)

    def update(self, label: np.ndarray, prob: np.ndarray) -> None:
        """Count the labels (N, …) and probabilities (N, C, …) of one device's batch."""
        label, pred = label.reshape(-1).astype(np.int64), prob.reshape(*prob.shape[:2], -1)
        best = pred.argmax(axis=1).reshape(-1)
        counts = np.ones(len(label), bool) if self.ignore_label is None else label != self.ignore_label
        image, cell = np.divmod(np.flatnonzero(counts), pred.shape[2])
        true_prob = pred[image, label[counts], cell]
        self.count += int(counts.sum())
        self.loss -= float(np.log(np.maximum(true_prob, 1e-30), dtype=np.float64).sum())
        self.right += int((best[counts] == label[counts]).sum())
        self.predicted += np.bincount(best[counts], minlength=self.classes)
        self.true += np.bincount(label[counts], minlength=self.classes)
        if self.ohem:
            self.kept += hard_cells(true_prob, *self.ohem)

    def report(self) -> Dict[str, Any]:
        """{name: value} of the batches since `reset`; None where no label counted."""
        top = int(self.predicted.argmax())
        values = {"loss": self.loss, "accuracy": self.right}
        if self.ignore_label is not None:
            values["kept"] = self.kept if self.ohem else self.count
        values.update(top_class_share=int(self.predicted[top]), top_class_true_share=int(self.true[top]))
        return {"top_class": top, **{name: value / self.count if self.count else None
                                     for name, value in values.items()}}


def hard_cells(true_prob: np.ndarray, thresh: float, min_kept: int) -> int:
    """How many of the true classes' probabilities (1-D) online bootstrapping keeps (see `losses.ohem_softmax`)."""
    if len(true_prob) <= min_kept:
        return len(true_prob)
    kth = np.partition(true_prob, min_kept - 1)[min_kept - 1] if min_kept > 0 else 0.0
    return int((true_prob <= max(thresh, kth)).sum())
