"""Scores of segmentation, from one confusion matrix; iIoU by instances, as Cityscapes has it (Cordts et al. 2016)."""
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

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
        grouped, group_of = Confusion(len(groups)), _group_of(groups)
        np.add.at(grouped.counts, (group_of[:, None], group_of), self.counts)
        return grouped

    @property
    def class_iou(self) -> np.ndarray:
        """Intersection over union of each class, percent; NaN where it is absent."""
        right = np.diag(self.counts)
        return _share(right, self.counts.sum(0) + self.counts.sum(1) - right)

    @property
    def mean_iou(self) -> Optional[float]:
        """Over the classes that are not absent, percent; None where all are."""
        return mean_or_none(self.class_iou)

    def scores(self, class_names: Sequence[str]) -> Dict[str, Any]:
        """Scores in percent, as `result.json` has them; what is not defined is None.

        `mean_acc` is over the classes in the truth, `mean_iou` over those not absent; `mean_iou_original` counts
        absent classes as 0. `frequency_weighted_iou` weights a class by its share of the true pixels (Long et al.
        2015); `mean_of_pixel_acc_and_mean_iou` is what the ADE20K benchmark ranks by.
        """
        iou, acc = self.class_iou, _share(np.diag(self.counts), self.counts.sum(1))
        pixel_acc, mean_iou = _share(np.trace(self.counts), self.counts.sum()), self.mean_iou
        return {
            "pixel_acc": number_or_none(pixel_acc), "mean_acc": mean_or_none(acc), "mean_iou": mean_iou,
            "frequency_weighted_iou": number_or_none(
                (np.nan_to_num(iou) * self.counts.sum(1)).sum() / self.counts.sum()) if self.counts.any() else None,
            "mean_of_pixel_acc_and_mean_iou": None if mean_iou is None else (float(pixel_acc) + mean_iou) / 2,
            "class_acc": listed(acc), "class_iou": listed(iou),
            "classes_absent": [name for name, value in zip(class_names, iou) if np.isnan(value)],
            "mean_iou_original": float(np.nan_to_num(iou).mean()),
            "confusion": self.counts.tolist(),
        }


def most_frequent_class_scores(counts: np.ndarray) -> Tuple[float, Optional[float]]:
    """`(pixel accuracy, mean IoU)` in percent of predicting the most frequent true class everywhere."""
    frequent = int(counts.sum(1).argmax())
    constant = Confusion(len(counts))
    constant.counts[:, frequent] = counts.sum(1)
    return float(_share(np.trace(constant.counts), counts.sum())), constant.mean_iou


class InstanceCounts:
    """Pixels of true instances, right and wrong, each weighted by its class's mean size over its instance's.

    A small instance thus counts as much as a large one. False positives belong to no instance: they come unweighted
    from the confusion matrix. `sizes` has the mean pixels of an instance, by the index of each class that has any;
    `groups` the class indices of each category.
    """

    def __init__(self, sizes: Mapping[int, float], groups: Sequence[Sequence[int]]) -> None:
        self.sizes, classes = sizes, [(index,) for index in range(len(_group_of(groups)))]
        self._levels = [(members, _group_of(members), np.zeros((2, len(members)))) for members in (classes, groups)]

    def add(self, classes: np.ndarray, instances: np.ndarray, predicted: np.ndarray) -> "InstanceCounts":
        """Count an image: arrays of one shape.

        `classes` has the class index of each instance's pixels, of which only classes with instances count;
        `instances` a number for each instance, negative where there is none; `predicted` class indices.
        """
        if not classes.shape == instances.shape == predicted.shape:
            raise ValueError(f"the instances have {instances.shape} pixels, their classes {classes.shape}, the "
                             f"prediction {predicted.shape}")
        inside = (instances >= 0) & np.isin(classes, list(self.sizes))
        truth, predicted = classes[inside], predicted[inside]
        _, first, places, pixels = np.unique(instances[inside], return_index=True, return_inverse=True,
                                             return_counts=True)
        of = truth[first]
        weights = np.array([self.sizes[index] for index in of]) / pixels
        for _, group_of, totals in self._levels:
            right = np.bincount(places, group_of[predicted] == group_of[truth], len(pixels))
            np.add.at(totals[0], group_of[of], weights * right)
            np.add.at(totals[1], group_of[of], weights * (pixels - right))
        return self

    def merge(self, other: "InstanceCounts") -> "InstanceCounts":
        """Add the counts of other images."""
        for (_, _, totals), (_, _, more) in zip(self._levels, other._levels):
            totals += more
        return self

    def iiou(self, counts: np.ndarray, categories: bool = False) -> np.ndarray:
        """iIoU of every class or category, percent, NaN where not all of its classes have instances.

        `counts` is the confusion matrix, of the categories where it is theirs.
        """
        members, _, (right, wrong) = self._levels[categories]
        scores = _share(right, right + (counts.sum(0) - np.diag(counts)) + wrong)
        return np.where([set(group) <= set(self.sizes) for group in members], scores, np.nan)


def mean_or_none(values: np.ndarray) -> Optional[float]:
    """The mean of those values that are defined, None where none is."""
    return float(np.nanmean(values)) if np.isfinite(values).any() else None


def listed(values: np.ndarray) -> List[Optional[float]]:
    """Values as JSON has them."""
    return [number_or_none(value) for value in values]


def number_or_none(value: float) -> Optional[float]:
    """A value as JSON has it: None where it is not defined."""
    return float(value) if np.isfinite(value) else None


def _bytes(classes: np.ndarray) -> np.ndarray:
    """Class indices as uint8; ValueError for those that are none."""
    if classes.dtype != np.uint8 and classes.size and not 0 <= classes.min() <= classes.max() < _BYTES:
        raise ValueError(f"class indices go from {classes.min()} to {classes.max()}, wanted 0 … {_BYTES - 1}")
    return classes.astype(np.uint8, copy=False)


def _group_of(groups: Sequence[Sequence[int]]) -> np.ndarray:
    """The category of each class, (classes,)."""
    found = np.full(1 + max(map(max, groups)), -1)
    for number, group in enumerate(groups):
        found[list(group)] = number
    return found


def _share(part: Any, whole: Any) -> Any:  # percent, of arrays or NumPy's numbers
    with np.errstate(invalid="ignore", divide="ignore"):
        return 100.0 * part / whole
