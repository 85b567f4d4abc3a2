"""What a test's folder holds: its result, the dataset's record, samples, their pictures; and what a training's does."""
import os
from dataclasses import dataclass, replace
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np

from ademxapp.cli import UsageError
from ademxapp.data.images import decode_label, read_bytes
from ademxapp.data.lists import Sample
from ademxapp.driver import find_samples, read_result
from ademxapp.errors import one_line
from ademxapp.evaluation.pictures import RIGHT, WRONG, class_colours, correct_picture
from ademxapp.symbol import parse_label
from ademxapp.training.curves import plot_curves
from ademxapp.training.progress import REPORTS_PER_EPOCH, clock, read_reports
from ademxapp.weights.description import CLASSIFICATION, SEGMENTATION
from iclass.datasets import ClassificationDataset
from iclass.datasets import dataset_record as classification_record
from iclass.settings import ClassificationSettings
from issegm.data import read_pair
from issegm.datasets import SegmentationDataset
from issegm.datasets import dataset_record as segmentation_record
from issegm.outputs import label_path, read_labels
from issegm.settings import SegmentationSettings
from issegm.testing import of_shard

_END, _VALIDATIONS = ".jsonl", "_val"
_TOLD = {"loss": "loss", "accuracy": "accuracy", "lr": "learning rate", "images_per_s": "images per second"}


@dataclass(frozen=True)
class Run:
    """A test that was run.

    Attributes
    ----------
    folder : str
    result : dict
        `result.json`.
    arguments : ClassificationSettings or SegmentationSettings
        The test's.
    segmentation : bool
        Else classification.
    record : SegmentationDataset or ClassificationDataset
    samples : sequence of Sample
    """

    folder: str
    result: Dict[str, Any]
    arguments: Union[ClassificationSettings, SegmentationSettings]
    segmentation: bool
    record: Union[ClassificationDataset, SegmentationDataset]
    samples: Sequence[Sample]

    @property
    def name(self) -> str:
        """The network's label or, of scored label images, which have none, what they are of."""
        return self.result.get("label") or f"{self.arguments.dataset} {self.arguments.split}"

    @property
    def weights(self) -> List[str]:
        """Paths of the networks' files."""
        weights = self.result.get("weights") or []
        return [weights] if isinstance(weights, str) else weights


def read_run(folder: str, data_root: Optional[str] = None, whole: bool = False) -> Run:
    """The `Run` of a test's folder; `data_root` is where list paths start, if not where they did in the test.

    Of a shard, its samples or, of the `whole` test, all.
    """
    path = os.path.join(folder, "result.json")
    if not os.path.isfile(path):
        raise UsageError(f"there is no {path}: wanted the folder of a test that has ended")
    result = read_result(path)
    segmentation = result.get("task", "" if "test_3crops" in result["arguments"] else SEGMENTATION) == SEGMENTATION
    kind = SegmentationSettings if segmentation else ClassificationSettings
    arguments = kind.from_recorded(result["arguments"])
    arguments = replace(arguments, data_root=data_root or arguments.data_root)
    label = parse_label(result["label"]) if result.get("label") else None  # label images alone may have been scored
    make_record = segmentation_record if segmentation else classification_record
    try:
        record = make_record(arguments.dataset, label.classes if label else len(result["class_iou"]),
                             arguments.dataset_file)
        samples = find_samples(arguments, SEGMENTATION if segmentation else CLASSIFICATION,
                               label.classes if label else None, unknown=True, folders=getattr(record, "folders", ()))
    except (UsageError, OSError) as error:
        raise UsageError(f"{path}: {one_line(error).partition(';')[0]}. A test's paths start where it was run: run "
                         "this there; --data-root says where the images are now") from None
    if segmentation and not whole:
        samples = of_shard(samples, arguments.shard)
    return Run(folder, result, arguments, segmentation, record, samples)


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


def training_in(path: str) -> Optional[str]:
    """What the files of a training start with, by a folder that has one, or its <label>.jsonl; None for a test's.

    UsageError for a folder with several.
    """
    if path.endswith(_END):
        return path[:-len(_END)]
    if not os.path.isdir(path) or os.path.isfile(os.path.join(path, "result.json")):
        return None
    names = sorted(name for name in os.listdir(path) if name.endswith(_END) and not name.endswith(_VALIDATIONS + _END))
    if len(names) > 1:
        raise UsageError(f"{path} has {len(names)} trainings: name one, {', '.join(names)}")
    return os.path.join(path, names[0][:-len(_END)]) if names else None


def training_page(run: str, out: str) -> Dict[str, Any]:
    """The page's data; the curves are drawn into its folder. UsageError before the first report."""
    reports, validations = read_reports(run), read_reports(run + _VALIDATIONS)
    if not reports:
        raise UsageError(f"there is no report in {run}{_END} yet")
    last, batches = reports[-1], epoch_batches(reports)
    plot_curves(reports, validations, os.path.join(out, "curves.png"), batches)
    told = [(title, f"{last[name]:.4g}") for name, title in _TOLD.items() if last[name] is not None]
    left = clock(last["seconds_left"]) if last["seconds_left"] else "none: it has ended"
    scores = [name for name in (validations[-1] if validations else {}) if name not in ("epoch", "seconds")]
    return {"title": os.path.basename(run), "segmentation": "kept" in last, "names": [], "categories": [],
            "facts": [("last report", f"epoch {last['epoch']}, batch {last['batch']}"), ("time left", left), *told],
            "scores": [(name.replace("_", " "), validations[-1][name]) for name in scores],
            "classes": {"columns": [{"name": name.replace("_", " "), "percent": bool(place)}
                                    for place, name in enumerate(["epoch", *scores])],
                        "rows": [{"cells": [f"after epoch {row['epoch']}", *(row.get(name) for name in scores)]}
                                 for row in validations]},
            "heading": "Validations", "confusion": [], "unit": "", "images": [], "note": "", "orders": [],
            "pictures": [], "curves": "curves.png"}


def epoch_batches(reports: List[Dict[str, Any]]) -> int:
    """Batches of an epoch; before the first has ended as its reports' distance tells."""
    if reports[-1]["epoch"] > reports[0]["epoch"]:
        return max(report["batch"] for report in reports)
    return max(REPORTS_PER_EPOCH * reports[0]["batch"], reports[-1]["batch"])
