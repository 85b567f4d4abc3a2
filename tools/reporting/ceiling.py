"""The ceiling of the grid: what a network would score that is right at the centre of every cell."""
import json
from dataclasses import dataclass
from typing import Optional, Tuple

import numpy as np

from ademxapp.cli import UsageError, emit, existing_file, number, numbers, table
from ademxapp.data.lists import read_segmentation_list
from ademxapp.data.resize import scaled_size
from ademxapp.evaluation.dense import ScoreMap, label_map
from ademxapp.flags import Settings, flag
from ademxapp.symbol import output_stride, parse_label, whole_cells
from issegm.data import open_labelled
from issegm.datasets import dataset_record
from issegm.scoring import Scores


@dataclass(frozen=True)
class Ceiling(Settings):
    """What `report.py ceiling` is asked for."""

    list: str = flag("list of images with labels", positional=True, type=existing_file, metavar="LIST")
    model: str = flag("a run's label: its dataset, classes and stride", required=True, metavar="LABEL")
    test_scales: Tuple[int, ...] = flag("lengths of the images' longer side, each tried alone", required=True,
                                        type=numbers(int, 1, distinct=True), metavar="N,N,…")
    root: Optional[str] = flag("where list paths start (default: data/<dataset>)", metavar="DIR")
    dataset_file: Optional[str] = flag("a dataset that is not built in", type=existing_file, metavar="YAML")
    every: int = flag("only every N-th image", 1, type=number(int, 1), metavar="N")
    output: Optional[str] = flag("write the scores there, as JSON", metavar="FILE")


def run(asked: Ceiling) -> None:
    """Print the IoU of every class at every scale, and the means."""
    try:
        label = parse_label(asked.model)
        stride, record = output_stride(label), dataset_record(label.dataset, label.classes, asked.dataset_file)
    except ValueError as error:
        raise UsageError(str(error)) from None
    samples = read_segmentation_list(asked.list, asked.root or f"data/{label.dataset}")[::asked.every]
    scores = {scale: Scores(record) for scale in asked.test_scales}
    for sample in samples:
        _, truth = open_labelled(sample, record)
        for scale, counts in scores.items():
            counts.add(sample, truth, from_cells(truth, scale, stride, record.classes))
    found = {str(scale): counts.result() for scale, counts in scores.items()}
    rows = [(name, *(f"{one['class_iou'][index]:.1f}" if one["class_iou"][index] is not None else "–"
                     for one in found.values())) for index, name in enumerate(record.class_names)]
    rows.append(("mean", *(f"{one['mean_iou']:.1f}" for one in found.values())))
    print(f"IoU in %, of {len(samples)} images, stride {stride}, if every cell had the class at its centre:\n")
    print(table(("class", *(f"{scale} pixels" for scale in found)), rows))
    if asked.output:
        emit(json.dumps({"images": len(samples), "stride": stride, "classes": record.class_names, "scales": {
            scale: {"mean_iou": one["mean_iou"], "class_iou": one["class_iou"]} for scale, one in found.items()}},
            indent=1) + "\n", asked.output)


def from_cells(truth: np.ndarray, scale: int, stride: int, classes: int) -> np.ndarray:
    """The labels (H, W) uint8 that a test makes of the classes at the cells' centres; at void cells, of the others."""
    scaled = scaled_size(truth.shape, scale, longer=True)
    places = [((np.arange(whole_cells(side, stride) // stride) * stride + stride // 2 + 0.5) * size / side).astype(int)
              for side, size in zip(scaled, truth.shape)]
    rows, columns = (np.minimum(place, size - 1) for place, size in zip(places, truth.shape))
    cells = truth[rows[:, None], columns]
    one_hot = (cells == np.arange(classes)[:, None, None]).astype(np.float32)
    return label_map([ScoreMap(one_hot, stride, scaled, truth.shape)])
