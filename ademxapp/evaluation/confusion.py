"""Scores of segmentation, from one confusion matrix; iIoU by instances, as Cityscapes has it (Cordts et al. 2016)."""
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

import numpy as np

_BYTES = 256  # values of a byte


class Confusion:
    """Counts of pixels by true class (rows) and predicted class (columns).

    A class is absent where it is neither in the truth nor predicted.
    """

    def __init__(self, classes: int) -> None:
        self.counts = np.zeros((classes, classes), np.int64)

    def add(self, truth: np.ndarray, predicted: np.ndarray) -> "Confusion":
        """Count an image: arrays of one shape with class indices, 0 … 255; truths outside the classes do not count.

        ValueError if a prediction is outside of the classes where the truth counts, or the shapes differ.
        """
        if truth.shape != predicted.shape:
            raise ValueError(f"the truth has {truth.shape} pixels, the prediction {predicted.shape}")
        classes = len(self.counts)
        pairs = _bytes(truth).astype(np.uint16)  # counting all pairs of bytes is quicker than choosing pixels first
        pairs *= _BYTES
        pairs += _bytes(predicted)
        counts = np.bincount(pairs.ravel(), minlength=_BYTES ** 2).reshape(_BYTES, _BYTES)[:classes]
        if counts[:, classes:].any():
            raise ValueError(f"the prediction has class {np.flatnonzero(counts.any(0))[-1]}, wanted 0 … {classes - 1}")
        self.counts += counts[:, :classes]
        return self

    def merge(self, other: "Confusion") -> "Confusion":
        """Add the counts of another matrix."""
        self.counts += other.counts
        return self

    def grouped(self, groups: Sequence[Sequence[int]]) -> "Confusion":
        """The matrix of categories, which are tuples of class indices; a class is in one of them."""
        group_of = np.empty(len(self.counts), int)
        for number, group in enumerate(groups):
            group_of[list(group)] = number
        grouped = Confusion(len(groups))
        np.add.at(grouped.counts, (group_of[:, None], group_of), self.counts)
        return grouped

    @property
    def absent(self) -> np.ndarray:
        """Mask of the absent classes."""
        return (self.counts.sum(0) + self.counts.sum(1)) == 0

    @property
    def class_acc(self) -> np.ndarray:
        """Right pixels of each class over its true pixels, percent; NaN where the truth has none."""
        return _percent(np.diag(self.counts), self.counts.sum(1))

    @property
    def class_iou(self) -> np.ndarray:
        """Intersection over union of each class, percent; NaN where it is absent."""
        right = np.diag(self.counts)
        return _percent(right, self.counts.sum(0) + self.counts.sum(1) - right)

    def scores(self, class_names: Sequence[str]) -> Dict[str, Any]:
        """Scores in percent, as `result.json` has them; what is not defined is None.

        `mean_acc` is over the classes in the truth, `mean_iou` over those not absent; `mean_iou_original` counts
        absent classes as 0. `frequency_weighted_iou` weights a class by its share of the true pixels (Long et al.
        2015); `mean_of_pixel_acc_and_mean_iou` is what the ADE20K benchmark ranks by.
        """
        iou, acc = self.class_iou, self.class_acc
        pixel_acc, mean_iou = _percent(np.trace(self.counts), self.counts.sum()), _mean(iou)
        return {
            "pixel_acc": _number(pixel_acc), "mean_acc": _mean(acc), "mean_iou": mean_iou,
            "frequency_weighted_iou": _number((np.nan_to_num(iou) * self.counts.sum(1)).sum() / self.counts.sum())
            if self.counts.any() else None,
            "mean_of_pixel_acc_and_mean_iou": None if mean_iou is None else (float(pixel_acc) + mean_iou) / 2,
            "class_acc": [_number(value) for value in acc], "class_iou": [_number(value) for value in iou],
            "classes_absent": [name for name, absent in zip(class_names, self.absent) if absent],
            "mean_iou_original": float(np.nan_to_num(iou).mean()),
            "confusion": self.counts.tolist(),
        }


def most_frequent_class_scores(counts: np.ndarray) -> Tuple[float, Optional[float]]:
    """`(pixel accuracy, mean IoU)` in percent of predicting the most frequent true class everywhere."""
    frequent = int(counts.sum(1).argmax())
    constant = Confusion(len(counts))
    constant.counts[:, frequent] = counts.sum(1)
    return float(_percent(np.trace(constant.counts), counts.sum())), _mean(constant.class_iou)


def _bytes(classes: np.ndarray) -> np.ndarray:
    """Class indices as uint8; ValueError for those that are none."""
    if classes.dtype != np.uint8 and classes.size and not 0 <= classes.min() <= classes.max() < _BYTES:
        raise ValueError(f"class indices go from {classes.min()} to {classes.max()}, wanted 0 … {_BYTES - 1}")
    return classes.astype(np.uint8, copy=False)


def _percent(part: Any, whole: Any) -> Any:  # arrays, or numbers of NumPy
    with np.errstate(invalid="ignore", divide="ignore"):
        return 100.0 * part / whole


def _mean(values: np.ndarray) -> Optional[float]:
    return float(np.nanmean(values)) if np.isfinite(values).any() else None


def _number(value: float) -> Optional[float]:
    return float(value) if np.isfinite(value) else None


class InstanceCounts:
    """Pixels of true instances, right and wrong, each weighted by its class's mean size over its instance's.

    A small instance thus counts as much as a large one. False positives belong to no instance: they come unweighted
    from the confusion matrix.

    Parameters
    ----------
    sizes : dict
        {class index: mean pixels of an instance}, of the classes that have instances.
    groups : list of tuple of int
        Class indices of each category.
    """

    def __init__(self, sizes: Mapping[int, float], groups: Sequence[Sequence[int]]) -> None:
        classes = 1 + max(max(group) for group in groups)
        self.sizes, self.groups = dict(sizes), [tuple(group) for group in groups]
        self.group_of = np.full(classes, -1)
        for number, group in enumerate(self.groups):
            self.group_of[list(group)] = number
        self.by_class, self.by_group = np.zeros((2, classes)), np.zeros((2, len(groups)))  # right, wrong

    def add(self, classes: np.ndarray, instances: np.ndarray, predicted: np.ndarray) -> "InstanceCounts":
        """Count an image: arrays of one shape.

        Parameters
        ----------
        classes : ndarray
            Class index of each instance's pixels; only classes with instances count.
        instances : ndarray
            A number for each instance, negative where there is none.
        predicted : ndarray
            Predicted class indices.
        """
        if not classes.shape == instances.shape == predicted.shape:
            raise ValueError(f"the instances have {instances.shape} pixels, their classes {classes.shape}, the "
                             f"prediction {predicted.shape}")
        inside = (instances >= 0) & np.isin(classes, list(self.sizes))
        truth, predicted = classes[inside], predicted[inside]
        _, first, places, pixels = np.unique(instances[inside], return_index=True, return_inverse=True,
                                             return_counts=True)
        of, group_of = truth[first], self.group_of
        weights = np.array([self.sizes[index] for index in of]) / pixels
        for totals, rows, same in ((self.by_class, of, predicted == truth),
                                   (self.by_group, group_of[of], group_of[predicted] == group_of[truth])):
            right = np.bincount(places, same, len(pixels))
            np.add.at(totals[0], rows, weights * right)
            np.add.at(totals[1], rows, weights * (pixels - right))
        return self

    def merge(self, other: "InstanceCounts") -> "InstanceCounts":
        """Add the counts of other images."""
        self.by_class += other.by_class
        self.by_group += other.by_group
        return self

    def class_iiou(self, counts: np.ndarray) -> np.ndarray:
        """iIoU of every class, percent, NaN where there are no instances; `counts` is the confusion matrix."""
        scores = _iiou(self.by_class[0], self.by_class[1], counts)
        scores[[index for index in range(len(scores)) if index not in self.sizes]] = np.nan
        return scores

    def group_iiou(self, counts: np.ndarray) -> np.ndarray:
        """iIoU of every category, percent, NaN where not all of its classes have instances.

        `counts` is the confusion matrix of the categories.
        """
        scores = _iiou(self.by_group[0], self.by_group[1], counts)
        scores[[number for number, group in enumerate(self.groups) if not set(group) <= set(self.sizes)]] = np.nan
        return scores


def _iiou(right: np.ndarray, wrong: np.ndarray, counts: np.ndarray) -> np.ndarray:
    false_positives = counts.sum(0) - np.diag(counts)
    with np.errstate(invalid="ignore", divide="ignore"):
        return 100.0 * right / (right + false_positives + wrong)
