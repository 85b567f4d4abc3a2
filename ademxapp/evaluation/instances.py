"""Instance-level scores of a labeling by class: iIoU, as the Cityscapes benchmark defines it (Cordts et al. 2016)."""
from typing import Mapping, Sequence

import numpy as np


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
