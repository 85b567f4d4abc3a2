"""Pictures of a segmentation test: image, truth, prediction, difference."""
from typing import Optional, Tuple

import numpy as np

from ademxapp.data.images import decode_label, read_bytes
from ademxapp.data.lists import Sample
from ademxapp.evaluation.pictures import RIGHT, WRONG, class_colours, correct_picture
from issegm.data import read_pair
from issegm.datasets import SegmentationDataset
from issegm.outputs import label_path, read_labels


def labels_of(sample: Sample, folder: str, record: SegmentationDataset
              ) -> Tuple[np.ndarray, Optional[np.ndarray], np.ndarray]:
    """Image (H, W, 3), true and predicted class indices (H, W) uint8; the truth is None where there is none."""
    image, truth = read_pair(sample, record)
    return image, truth, read_labels(label_path(folder, sample), record, image.shape[:2])


def pictures(image: np.ndarray, truth: Optional[np.ndarray], predicted: np.ndarray, record: SegmentationDataset
             ) -> Tuple[np.ndarray, ...]:
    """Image, coloured truth, coloured prediction and difference, (H, W, 3) or (H, W) uint8 each.

    Without a truth, image and coloured prediction.
    """
    if truth is None:
        return image, coloured(predicted, record)
    return (image, coloured(truth, record), coloured(predicted, record),
            correct_picture(truth, predicted, record.classes))


def right_share(correct: np.ndarray) -> float:
    """Share of right pixels in a picture of correctness, of those that count; 0 where none does."""
    right, wrong = (correct == RIGHT).sum(), (correct == WRONG).sum()
    return right / max(1, right + wrong)


def coloured(classes: np.ndarray, record: SegmentationDataset) -> np.ndarray:
    """Class indices (H, W) in the dataset's colours, white where they do not count: (H, W, 3) uint8."""
    return np.ascontiguousarray(class_colours(record.palette, record.label_ids)[classes])


def read_label(path: str) -> np.ndarray:
    """The values of a label image's file."""
    return decode_label(read_bytes(path), path)
