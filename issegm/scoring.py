"""The scores of a test: of classes, categories and instances, as the dataset's benchmark counts them.

They follow from one confusion matrix; iIoU is by instances, as Cityscapes has it (Cordts et al. 2016).
"""
import copy
import os
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ademxapp.data.images import decode_label, read_bytes
from ademxapp.data.lists import Sample
from issegm.datasets import SegmentationDataset

INSTANCE_BASE = 1000  # pixels of an instance have its label id times this, plus its number
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


class Scores:
    """Counts over the images of a test, and the scores that follow from them.

    `samples` are all that will be scored. Instances are where their images lie beside the labels of all samples;
    ValueError where they lie beside some of them.
    """

    def __init__(self, record: SegmentationDataset, samples: Sequence[Sample] = ()) -> None:
        self.record, self.confusion = record, Confusion(record.classes)
        self.groups = [tuple(map(record.class_names.index, names)) for names in record.categories.values()]
        self.instances: Optional[InstanceCounts] = None
        found = [os.path.isfile(instance_path(sample, record) or "") for sample in samples] if record.instances else []
        if any(found) and not all(found):
            raise ValueError(f"there are images of instances, but none of {samples[found.index(False)].image}: bring "
                             "it, or take all of them away to score without instances")
        if record.instances and any(found):
            sizes = {record.class_names.index(name): size for name, size in record.instances.sizes.items()}
            self.instances = InstanceCounts(sizes, self.groups)

    def add(self, sample: Sample, truth: np.ndarray, predicted: np.ndarray) -> "Scores":
        """Count an image: its `Sample`, and class indices (H, W) that are true and predicted."""
        try:
            self.confusion.add(truth, predicted)
            if self.instances:
                self.instances.add(*read_instances(sample, self.record), predicted)
        except ValueError as error:
            raise ValueError(f"{sample.image_path} cannot be scored: {error}") from None
        return self

    def empty(self) -> "Scores":
        """Scores of the same kind, of no image yet."""
        other = copy.copy(self)
        other.confusion = Confusion(self.record.classes)
        other.instances = self.instances and InstanceCounts(self.instances.sizes, self.groups)
        return other

    def merge(self, other: "Scores") -> "Scores":
        """Add the counts of other images, scored in the same way."""
        if (self.instances is None) != (other.instances is None):
            raise ValueError("scores with instances and without them cannot be added up")
        self.confusion.merge(other.confusion)
        if self.instances and other.instances:
            self.instances.merge(other.instances)
        return self

    def result(self) -> Dict[str, Any]:
        """What `result.json` has of them, in percent; None where a score is not defined."""
        scores = self.confusion.scores(self.record.class_names)
        if self.groups:
            grouped = self.confusion.grouped(self.groups)
            scores.update(self._of_categories("iou", grouped.class_iou))
        if self.instances:
            class_iiou = self.instances.iiou(self.confusion.counts)
            scores.update(class_iiou=listed(class_iiou), mean_iiou=mean_or_none(class_iiou))
            scores.update(self._of_categories("iiou", self.instances.iiou(grouped.counts, categories=True)))
        return scores

    def _of_categories(self, name: str, values: np.ndarray) -> Dict[str, Any]:
        return {f"category_{name}": dict(zip(self.record.categories, listed(values))),
                f"mean_{name}_of_categories": mean_or_none(values)}


def score_lines(record: SegmentationDataset, scores: Dict[str, Any]) -> Iterator[str]:
    """Lines about a `Scores.result()`: of classes, categories, the means, and the most frequent class everywhere."""
    iiou = scores.get("class_iiou")
    for index, name in enumerate(record.class_names):
        yield (f"{name:<20} IoU {percent(scores['class_iou'][index])}  accuracy {percent(scores['class_acc'][index])}"
               + (f"  iIoU {percent(iiou[index])}" if iiou else ""))
    for name, value in scores.get("category_iou", {}).items():
        yield f"{name:<20} IoU {percent(value)}" + (f"  iIoU {percent(scores['category_iiou'][name])}" if iiou else "")
    yield "  ".join(f"{title} {percent(scores[key])}" for title, key in (
        ("mean IoU", "mean_iou"), ("pixel accuracy", "pixel_acc"), ("mean accuracy", "mean_acc"),
        ("frequency-weighted IoU", "frequency_weighted_iou"))).rstrip()
    further = [f"{title} {percent(scores[key])}" for title, key in (
        ("mean IoU of categories", "mean_iou_of_categories"), ("mean iIoU", "mean_iiou"),
        ("mean iIoU of categories", "mean_iiou_of_categories")) if key in scores]
    if further:
        yield "  ".join(further)
    if record.instances and not iiou:
        yield "no images of instances beside the labels: iIoU is not scored"
    if record.name == "ade20k":
        yield f"mean of pixel accuracy and mean IoU {percent(scores['mean_of_pixel_acc_and_mean_iou'])}"
    counts = np.array(scores["confusion"])
    acc, iou = most_frequent_class_scores(counts)
    yield f"the most frequent class everywhere: pixel accuracy {percent(acc)}, mean IoU {percent(iou)}"
    true = np.flatnonzero(counts.sum(1))
    if len(true) == 1 < record.classes:
        yield (f"warning: every pixel that counts is {record.class_names[true[0]]}: these scores say nothing; "
               "label_ids and ignored_ids in a --dataset-file say which values are classes")


def percent(value: Optional[float]) -> str:
    """A score as text of one width; a line where it is None or NaN."""
    return "   -  " if value is None or value != value else f"{value:5.2f}%"


def read_instances(sample: Sample, record: SegmentationDataset) -> Tuple[np.ndarray, np.ndarray]:
    """Class indices (H, W) uint8 and numbers (H, W) int32 of the instances, -1 where there is none."""
    path = instance_path(sample, record)
    if path is None:
        raise ValueError("there is no image of its instances")
    values = decode_label(read_bytes(path), path).astype(np.int32)
    inside = values >= INSTANCE_BASE
    classes = record.to_classes(np.where(inside, values // INSTANCE_BASE, record.ignored_ids[0]), path)
    return classes, np.where(inside, values, -1)


def instance_path(sample: Sample, record: SegmentationDataset) -> Optional[str]:
    """Where the image of a sample's instances would be, or None."""
    ends = record.instances
    if ends is None or sample.label_image is None or not sample.label_path.endswith(ends.label_end):
        return None
    return sample.label_path[:-len(ends.label_end)] + ends.instance_end


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
