"""A page of a test: scores, confusion matrix, learning curves, images; or of a training: its curves so far.

It opens without a server.
"""
import json
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np
from PIL import Image
from tqdm import tqdm

from ademxapp.cli import UsageError, number
from ademxapp.data.images import decode_rgb
from ademxapp.data.lists import Sample
from ademxapp.driver import find_samples, read_result
from ademxapp.errors import one_line
from ademxapp.evaluation.confusion import Confusion
from ademxapp.evaluation.pictures import class_colours, correct_picture
from ademxapp.files import replacing, write_text
from ademxapp.flags import Settings, flag
from ademxapp.symbol import parse_label
from ademxapp.training.progress import REPORTS_PER_EPOCH, clock, plot_curves, read_reports
from ademxapp.weights.description import CLASSIFICATION, SEGMENTATION
from iclass.classifier import read_predictions
from iclass.datasets import ClassificationDataset
from iclass.datasets import dataset_record as classification_record
from iclass.ilsvrc import ClassificationSettings
from issegm.datasets import SegmentationDataset, read_pair
from issegm.datasets import dataset_record as segmentation_record
from issegm.settings import SegmentationSettings
from issegm.testing import label_path, of_shard, read_labels

PICTURES = ("image", "truth", "prediction", "difference")
ADE20K_SCORE = "mean_of_pixel_acc_and_mean_iou"
SCORES = {  # of result.json, in the order of the page
    "mean_iou": "mean IoU", "pixel_acc": "pixel accuracy", "mean_acc": "mean accuracy",
    ADE20K_SCORE: "mean of pixel accuracy and mean IoU",
    "frequency_weighted_iou": "frequency-weighted IoU", "mean_iou_of_categories": "mean IoU of categories",
    "mean_iiou": "mean iIoU", "mean_iiou_of_categories": "mean iIoU of categories", "top1_error": "top-1 error",
    "top5_error": "top-5 error"}
ARGUMENTS = ("also", "dtype", "calibrate_list", "predictions", "weights_of", "tag", "shard", "list", "records",
             "dataset_file")  # that the page tells
REPORTED = {"loss": "loss", "accuracy": "accuracy", "lr": "learning rate", "images_per_s": "images per second"}
END, VALIDATIONS = ".jsonl", "_val"  # of a training's files


@dataclass(frozen=True)
class Page(Settings):
    """What `report.py run` is asked for."""

    folder: str = flag("folder of a test, or of a training, running or ended; or its <label>.jsonl", positional=True)
    out: Optional[str] = flag("folder of index.html and its pictures (default: page, in the test's; "
                             "<label>_page beside a training's)", metavar="DIR")
    images: int = flag("in the gallery: the worst", 500, type=number(int, 0), metavar="N")
    height: int = flag("of the pictures", 240, type=number(int, 16), metavar="PIXELS")
    data_root: Optional[str] = flag("where list paths start (default: as in the test)", metavar="DIR")


@dataclass(frozen=True)
class Run:
    """A test that was run: its folder, its `result.json` and settings, the dataset's record, and samples."""

    folder: str
    result: Dict[str, Any]
    arguments: Union[ClassificationSettings, SegmentationSettings]
    segmentation: bool  # else classification
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

    def labels(self, sample: Sample) -> Tuple[np.ndarray, Optional[np.ndarray], np.ndarray]:
        """Image (H, W, 3), true and predicted class indices (H, W) uint8; the truth is None where there is none."""
        image, truth = read_pair(sample, self.record)
        return image, truth, read_labels(label_path(self.folder, sample), self.record, image.shape[:2])

    def pictures(self, sample: Sample) -> Dict[str, np.ndarray]:
        """Image, coloured truth, coloured prediction and difference, (H, W, 3) or (H, W) uint8 each.

        What does not count is white. Without a truth, image and coloured prediction; of classification the image alone.
        """
        if not self.segmentation:
            return {"image": decode_rgb(sample.read()[0], sample.image_path)}
        image, truth, predicted = self.labels(sample)
        colours = class_colours(self.record.palette, self.record.label_ids)
        if truth is None:
            return {"image": image, "prediction": colours[predicted]}
        return {"image": image, "truth": colours[truth], "prediction": colours[predicted],
                "difference": correct_picture(truth, predicted, self.record.classes)}


def read_run(folder: str, data_root: Optional[str] = None, whole: bool = False) -> Run:
    """The `Run` of a test's folder; `data_root` is where list paths start, if not where they did in the test.

    Of a shard, its samples or, of the `whole` test, all.
    """
    path = os.path.join(folder, "result.json")
    if not os.path.isfile(path):
        raise UsageError(f"there is no {path}: wanted the folder of a test that has ended")
    result = read_result(path)
    segmentation = result.get("task", "" if "test_3crops" in result["arguments"] else SEGMENTATION) == SEGMENTATION
    kind, task, make_record = ((SegmentationSettings, SEGMENTATION, segmentation_record) if segmentation else
                               (ClassificationSettings, CLASSIFICATION, classification_record))
    arguments = kind.from_recorded(result["arguments"])
    arguments = replace(arguments, data_root=data_root or arguments.data_root)
    # Label images alone may have been scored: they have no label.
    classes = parse_label(result["label"]).classes if result.get("label") else None
    try:
        record = make_record(arguments.dataset, classes or len(result["class_iou"]), arguments.dataset_file)
        samples = find_samples(arguments, task, classes, unknown=True, folders=getattr(record, "folders", ()))
    except (UsageError, OSError) as error:
        raise UsageError(f"{path}: {one_line(error).partition(';')[0]}. A test's paths start where it was run: run "
                         "this there; --data-root says where the images are now") from None
    if segmentation and not whole:
        samples = of_shard(samples, arguments.shard)
    return Run(folder, result, arguments, segmentation, record, samples)


def run(asked: Page) -> None:
    """Write the page."""
    training = training_in(asked.folder)
    if training:
        out = asked.out or f"{training}_page"
        print(f"{write_page(out, training_page(training, out))}: the training so far")
        return
    tested = read_run(asked.folder, asked.data_root)
    out = asked.out or os.path.join(asked.folder, "page")
    make = segmentation_page if tested.segmentation else classification_page
    page = {"title": tested.name, "segmentation": tested.segmentation, "facts": facts(tested),
            "scores": [(title, tested.result[key]) for key, title in SCORES.items() if key in tested.result
                       and (key != ADE20K_SCORE or tested.record.name == "ade20k")],
            "categories": categories(tested.result), "curves": curves(tested, out), **make(tested, asked, out),
            "orders": [("worst", "worst first"), ("best", "best first"), ("list", "as in the list")]}
    print(f"{write_page(out, page)}: {len(tested.samples)} images, {len(page['images'])} of them shown")


def write_page(out: str, page: Dict[str, Any]) -> str:
    """Write the page of some data; its path."""
    template = Path(__file__).with_name("run.html").read_text(encoding="utf-8")
    path = os.path.join(out, "index.html")
    write_text(path, template.replace("/*DATA*/", json.dumps(page).replace("<", "\\u003c")))  # no tag, no comment
    return path


def facts(tested: Run) -> List[Tuple[str, str]]:
    """What was tested, and how: (name, text)."""
    result, arguments = tested.result, tested.result["arguments"]
    told = [("weights", ", ".join(tested.weights)), ("dataset", f"{arguments['dataset']} {result.get('split')}"),
            ("images", result.get("images")), ("images per second", result.get("images_per_second"))]
    told += [(name.replace("_", " "), "yes" if value is True else ", ".join(map(str, value)) if isinstance(value, list)
              else value) for name, value in arguments.items()
             if value not in (None, False, []) and (name.startswith(("test_", "crf", "window")) or name in ARGUMENTS)]
    paper = ", ".join(f"{SCORES.get(name, name)} {value}" for name, value in (result.get("paper") or {}).items())
    return [(name, str(value)) for name, value in [*told, ("in the paper", paper)] if value not in (None, "")]


def categories(result: Dict[str, Any]) -> List[List]:
    """Rows of the table of categories, with its head; none where there are no categories."""
    if "category_iou" not in result:
        return []
    instances = result.get("category_iiou")
    return [["category", "IoU", *(["iIoU"] if instances else [])]] + [
        [name, value, *([instances[name]] if instances else [])] for name, value in result["category_iou"].items()]


def curves(tested: Run, out: str) -> Optional[str]:
    """The name of a copy of the training's curves in the page's folder; None if there are none beside the weights."""
    path = os.path.join(os.path.dirname((tested.weights or [""])[0]), f"{tested.name}.png")
    if not os.path.isfile(path):
        return None
    with replacing(os.path.join(out, "curves.png")) as temporary:
        shutil.copyfile(path, temporary)
    return "curves.png"


def table(names: Sequence[str], rows: Sequence[Sequence]) -> Dict[str, List]:
    """A table of the page: percentages, but for the first column and numbers of images."""
    return {"columns": [{"name": name, "percent": bool(place) and name != "images"}
                        for place, name in enumerate(names)], "rows": [{"cells": list(row)} for row in rows]}


def entries(counts: np.ndarray) -> List[List[int]]:
    """The counts of a confusion matrix that are not 0: [true, predicted, count]."""
    return [[int(i), int(j), int(counts[i, j])] for i, j in zip(*np.nonzero(counts))]


def show_worst(tested: Run, images: List[Dict[str, Any]], asked: Page, out: str) -> Tuple[List[Dict[str, Any]], str]:
    """What the gallery tells of the worst images, with the files that are written of each; and a note of the others."""
    order = sorted(range(len(images)), key=lambda index: (images[index]["score"] is None, images[index]["score"] or 0))
    chosen = sorted(order[:asked.images])
    for index in tqdm(chosen, unit="image", desc="pictures", disable=None):
        images[index]["files"] = [write_picture(out, index, name, picture, asked.height)
                                  for name, picture in tested.pictures(tested.samples[index]).items()]
    note = "" if len(chosen) == len(images) else f"The worst {len(chosen)} of {len(images)} images."
    return [images[index] for index in chosen], note


def write_picture(out: str, index: int, name: str, picture: np.ndarray, height: int) -> str:
    """Write a picture, no higher than `height`, and return its file's name: photographs as JPEG, others as PNG.

    Only photographs get mixed colours.
    """
    photograph, image = name == PICTURES[0], Image.fromarray(picture)
    if image.height > height:
        size = max(1, round(image.width * height / image.height)), height
        image = image.resize(size, Image.LANCZOS if photograph else Image.NEAREST)
    file = f"{index:05d}-{name}.{'jpg' if photograph else 'png'}"
    with replacing(os.path.join(out, file)) as temporary:
        image.save(temporary, **({"format": "JPEG", "quality": 88} if photograph else {"format": "PNG"}))
    return file


# Segmentation


def segmentation_page(tested: Run, asked: Page, out: str) -> Dict[str, Any]:
    """What the page has of a segmentation test."""
    result, record, samples = tested.result, tested.record, tested.samples
    counts = np.asarray(result.get("confusion", np.zeros((0, 0))))
    page = {"names": record.class_names, "classes": class_table(result, record, counts), "confusion": entries(counts),
            "unit": "pixels", "images": [], "note": ""}
    there = [os.path.isfile(label_path(tested.folder, sample)) for sample in samples]
    if not any(there):
        return page
    if not all(there):
        raise ValueError(f"there is no {label_path(tested.folder, samples[there.index(False)])}: "
                         f"{there.count(False)} of {len(there)} label images are missing")

    scored = [image_scores(tested, sample) for sample in tqdm(samples, unit="image", desc="scoring", disable=None)]
    images, note = show_worst(tested, scored, asked, out)
    note += " Difference: grey is right, black is wrong, white does not count. A picture opens by a click."
    return {**page, "images": images, "note": note.lstrip()}


def class_table(result: Dict[str, Any], record: SegmentationDataset, counts: np.ndarray) -> Dict[str, List]:
    """Columns and rows of the table of classes; no rows where the test was not scored."""
    scores = {"IoU": result.get("class_iou"), "accuracy": result.get("class_acc"), "iIoU": result.get("class_iiou"),
              "share of the pixels": (100 * counts.sum(1) / max(1, counts.sum())).tolist()}
    scores = {name: values for name, values in scores.items() if values}
    found = table(("class", *scores), list(zip(record.class_names, *scores.values())) if scores else [])
    colours = class_colours(record.palette, record.label_ids)
    return {**found, "rows": [{"colour": "rgb({},{},{})".format(*colour), **row}
                              for row, colour in zip(found["rows"], colours)]}


def image_scores(tested: Run, sample: Sample) -> Dict[str, Any]:
    """What the gallery tells of an image: share of right pixels, and IoU by class, in percent."""
    _, truth, predicted = tested.labels(sample)
    if truth is None:
        return {"name": sample.image, "score": None, "lines": [], "of": {}, "classes": np.unique(predicted).tolist()}
    confusion = Confusion(tested.record.classes).add(truth, predicted)
    iou, counted = confusion.class_iou, int(confusion.counts.sum())
    share = 100 * int(np.trace(confusion.counts)) / counted if counted else None
    classes = np.flatnonzero(np.isfinite(iou)).tolist()
    words = ["nothing counts"] if share is None else [f"{share:.2f} % right", f"mean IoU {np.nanmean(iou):.2f} %"]
    return {"name": sample.image, "score": share, "lines": words, "classes": classes,
            "of": {str(index): round(float(iou[index]), 2) for index in classes}}


# Classification


def classification_page(tested: Run, asked: Page, out: str) -> Dict[str, Any]:
    """What the page has of a classification test: from its file of predictions, where there is one."""
    path = os.path.join(tested.folder, "predictions.tsv")
    rows = read_predictions(path) if os.path.isfile(path) else []
    if rows and [row[0] for row in rows] != [sample.image for sample in tested.samples]:
        raise ValueError(f"{path} is not of the images of the test's list: was the list changed?")
    names = tested.record.class_names or [str(index) for index in range(1 + max(
        (index for row in rows for index in (row[1], *(one for one, _ in row[3]))), default=-1))]
    counts = np.zeros((len(names), len(names)), np.int64)
    hits = [[] for _ in names]  # by true class, of every image: whether the best is right, whether one of five is
    found = []
    for image, truth, probability, best in rows:
        order = [index for index, _ in best]
        lines = [f"{place}. {names[index]} {100 * value:.1f} %" for place, (index, value) in enumerate(best, 1)]
        found.append({"name": image, "score": 100 * (best[0][1] if probability is None else probability),
                      "lines": lines, "classes": sorted({order[0], truth} - {-1})})
        if truth >= 0:
            lines.insert(0, f"{names[truth]}: {100 * probability:.1f} %")
            counts[truth, order[0]] += 1
            hits[truth].append((order[0] == truth, truth in order))
    images, note = show_worst(tested, found, asked, out)
    cells = [[name, *(100 * (1 - np.mean(one, axis=0)) if one else (None, None)), len(one)]
             for name, one in zip(names, hits)] if any(hits) else []
    return {"names": names, "classes": table(("class", "top-1 error", "top-5 error", "images"), cells),
            "confusion": entries(counts), "unit": "images", "images": images,
            "note": f"Score: the true class's probability, or the best class's where the truth is not known. {note}"}


# Training


def training_in(path: str) -> Optional[str]:
    """What the files of a training start with, by a folder that has one, or its <label>.jsonl; None for a test's.

    UsageError for a folder with several.
    """
    if path.endswith(END):
        return path[:-len(END)]
    if not os.path.isdir(path) or os.path.isfile(os.path.join(path, "result.json")):
        return None
    names = sorted(name for name in os.listdir(path) if name.endswith(END) and not name.endswith(VALIDATIONS + END))
    if len(names) > 1:
        raise UsageError(f"{path} has {len(names)} trainings: name one, {', '.join(names)}")
    return os.path.join(path, names[0][:-len(END)]) if names else None


def training_page(training: str, out: str) -> Dict[str, Any]:
    """The page's data; the curves are drawn into its folder. UsageError before the first report."""
    reports, validations = read_reports(training), read_reports(training + VALIDATIONS)
    if not reports:
        raise UsageError(f"there is no report in {training}{END} yet")
    last, batches = reports[-1], max(report["batch"] for report in reports)
    if last["epoch"] <= reports[0]["epoch"]:  # none has ended: the reports' distance tells how long it is
        batches = max(REPORTS_PER_EPOCH * reports[0]["batch"], last["batch"])
    plot_curves(reports, validations, os.path.join(out, "curves.png"), batches)
    told = [(title, f"{last[name]:.4g}") for name, title in REPORTED.items() if last[name] is not None]
    left = clock(last["seconds_left"]) if last["seconds_left"] else "none: it has ended"
    scores = [name for name in (validations[-1] if validations else {}) if name not in ("epoch", "seconds")]
    return {"title": os.path.basename(training), "segmentation": "kept" in last, "names": [], "categories": [],
            "facts": [("last report", f"epoch {last['epoch']}, batch {last['batch']}"), ("time left", left), *told],
            "scores": [(name.replace("_", " "), validations[-1][name]) for name in scores],
            "classes": table(["epoch", *(name.replace("_", " ") for name in scores)], [
                (f"after epoch {row['epoch']}", *(row.get(name) for name in scores)) for row in validations]),
            "heading": "Validations", "confusion": [], "unit": "", "images": [], "note": "", "orders": [],
            "curves": "curves.png"}
