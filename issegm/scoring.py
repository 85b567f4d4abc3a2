"""The scores of a test: of classes, categories and instances, as the dataset's benchmark counts them."""
import copy
import os
from typing import Any, Dict, Iterator, Optional, Sequence, Tuple

import numpy as np

from ademxapp.data.images import decode_label, read_bytes
from ademxapp.data.lists import Sample
from ademxapp.evaluation.confusion import Confusion, InstanceCounts, listed, mean_or_none, most_frequent_class_scores
from issegm.datasets import SegmentationDataset

INSTANCE_BASE = 1000  # pixels of an instance have its label id times this, plus its number


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
