"""A page of a test: scores, confusion matrix, learning curves, images; or of a training: its curves so far.

It opens without a server.
"""
import json
import os
import shutil
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from ademxapp.cli import number
from ademxapp.data.images import decode_rgb
from ademxapp.data.lists import Sample
from ademxapp.evaluation.classification import read_predictions
from ademxapp.evaluation.confusion import Confusion
from ademxapp.evaluation.pictures import RIGHT, WRONG, class_colours, correct_picture
from ademxapp.files import replacing, write_text
from ademxapp.flags import Settings, flag
from issegm.datasets import SegmentationDataset
from issegm.outputs import label_path

from .runs import Run, labels_of, pictures, read_run, training_in, training_page

TEMPLATE = os.path.join(os.path.dirname(__file__), "run.html")
PICTURES = ("image", "truth", "prediction", "difference")
QUALITY = 88  # of the photographs' JPEGs
ADE20K_SCORE = "mean_of_pixel_acc_and_mean_iou"
SCORES = {  # of result.json, in the order of the page
    "mean_iou": "mean IoU", "pixel_acc": "pixel accuracy", "mean_acc": "mean accuracy",
    ADE20K_SCORE: "mean of pixel accuracy and mean IoU",
    "frequency_weighted_iou": "frequency-weighted IoU", "mean_iou_of_categories": "mean IoU of categories",
    "mean_iiou": "mean iIoU", "mean_iiou_of_categories": "mean iIoU of categories", "top1_error": "top-1 error",
    "top5_error": "top-5 error"}
TOLD = ("also", "dtype", "calibrate_list", "predictions", "weights_of", "tag", "shard", "list", "records",
        "dataset_file")  # of the arguments
DIFFERENCE = "Difference: grey is right, black is wrong, white does not count. A picture opens by a click."


@dataclass(frozen=True)
class Page(Settings):
    """What `report.py run` is asked for."""

    folder: str = flag("folder of a test, or of a training, running or ended; or its <label>.jsonl", positional=True)
    out: Optional[str] = flag("folder of index.html and its pictures (default: page, in the test's; "
                             "<label>_page beside a training's)", metavar="DIR")
    images: int = flag("in the gallery: the worst", 500, type=number(int, 0), metavar="N")
    height: int = flag("of the pictures", 240, type=number(int, 16), metavar="PIXELS")
    data_root: Optional[str] = flag("where list paths start (default: as in the test)", metavar="DIR")


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
            "categories": categories(tested.result), "pictures": PICTURES, "curves": curves(tested, out),
            **make(tested, asked, out)}
    print(f"{write_page(out, page)}: {len(tested.samples)} images, {len(page['images'])} of them shown")


def write_page(out: str, page: Dict[str, Any]) -> str:
    """Write the page of some data; its path."""
    with open(TEMPLATE, encoding="utf-8") as source:
        template = source.read()
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
             if value not in (None, False, []) and (name.startswith(("test_", "crf", "window")) or name in TOLD)]
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


def entries(counts: np.ndarray) -> List[List[int]]:
    """The counts of a confusion matrix that are not 0: [true, predicted, count]."""
    return [[int(i), int(j), int(counts[i, j])] for i, j in zip(*np.nonzero(counts))]


def colour_of(colour: Sequence[int]) -> str:
    """An (r, g, b) as CSS has it."""
    return "rgb({},{},{})".format(*map(int, colour))


# Segmentation


def segmentation_page(tested: Run, asked: Page, out: str) -> Dict[str, Any]:
    """What the page has of a segmentation test."""
    result, record = tested.result, tested.record
    counts = np.asarray(result.get("confusion", np.zeros((0, 0))))
    images, note = segmentation_images(tested, asked, out)
    return {"names": record.class_names, "classes": class_table(result, record, counts), "confusion": entries(counts),
            "unit": "pixels", "images": images, "note": note,
            "orders": [("worst", "worst first"), ("best", "best first"), ("list", "as in the list")]}


def class_table(result: Dict[str, Any], record: SegmentationDataset, counts: np.ndarray) -> Dict[str, List]:
    """Columns and rows of the table of classes; no rows where the test was not scored."""
    columns = [("class", False), ("IoU", True), ("accuracy", True), ("iIoU", True), ("share of the pixels", True)]
    scores = [result.get("class_iou"), result.get("class_acc"), result.get("class_iiou"),
              (100 * counts.sum(1) / max(1, counts.sum())).tolist()]
    there = [0] + [place for place, values in enumerate(scores, 1) if values]
    colours = class_colours(record.palette, record.label_ids)
    rows = [{"colour": colour_of(colours[index]), "cells": [name, *(scores[place - 1][index] for place in there[1:])]}
            for index, name in enumerate(record.class_names)] if len(there) > 1 else []
    return {"columns": [{"name": columns[place][0], "percent": columns[place][1]} for place in there], "rows": rows}


def segmentation_images(tested: Run, asked: Page, out: str) -> Tuple[List[Dict[str, Any]], str]:
    """The gallery's images, their pictures written, and a note; those with the smallest share of right pixels."""
    there = [os.path.isfile(label_path(tested.folder, sample)) for sample in tested.samples]
    if not any(there):
        return [], ""
    if not all(there):
        raise ValueError(f"there is no {label_path(tested.folder, tested.samples[there.index(False)])}: "
                         f"{there.count(False)} of {len(there)} label images are missing")
    scored = [image_scores(tested, sample) for sample in tqdm(tested.samples, unit="image", desc="scoring",
                                                              disable=None)]
    order = sorted(range(len(scored)), key=lambda index: (scored[index]["score"] is None, scored[index]["score"] or 0))
    chosen = sorted(order[:asked.images])
    for index in tqdm(chosen, unit="image", desc="pictures", disable=None):
        drawn = pictures(*labels_of(tested.samples[index], tested.folder, tested.record), tested.record)
        names = PICTURES if len(drawn) == 4 else (PICTURES[0], PICTURES[2])
        scored[index]["files"] = [write_picture(out, f"{index:05d}-{name}", picture, asked.height)
                                  for name, picture in zip(names, drawn)]
    left_out = "" if len(chosen) == len(scored) else f"The worst {len(chosen)} of {len(scored)} images. "
    return [scored[index] for index in chosen], left_out + DIFFERENCE


def image_scores(tested: Run, sample: Sample) -> Dict[str, Any]:
    """What the gallery tells of an image: share of right pixels, and IoU by class, in percent."""
    record = tested.record
    _, truth, predicted = labels_of(sample, tested.folder, record)
    if truth is None:
        return {"name": sample.image, "score": None, "lines": [], "of": {},
                "classes": np.unique(predicted).tolist()}
    confusion = Confusion(record.classes).add(truth, predicted)
    iou, correct = confusion.class_iou, correct_picture(truth, predicted, record.classes)
    right, wrong = int((correct == RIGHT).sum()), int((correct == WRONG).sum())
    share = 100 * right / (right + wrong) if right + wrong else None
    classes = np.flatnonzero(np.isfinite(iou)).tolist()
    words = ["nothing counts"] if share is None else [f"{share:.2f} % right", f"mean IoU {np.nanmean(iou):.2f} %"]
    return {"name": sample.image, "score": share, "lines": words, "classes": classes,
            "of": {str(index): round(float(iou[index]), 2) for index in classes}}


def write_picture(out: str, name: str, picture: np.ndarray, height: int) -> str:
    """Write a picture, no higher than `height`, and return its file's name: photographs as JPEG, others as PNG.

    Only photographs get mixed colours.
    """
    photograph, image = name.endswith(PICTURES[0]), Image.fromarray(picture)
    if image.height > height:
        size = max(1, round(image.width * height / image.height)), height
        image = image.resize(size, Image.LANCZOS if photograph else Image.NEAREST)
    file = f"{name}.jpg" if photograph else f"{name}.png"
    with replacing(os.path.join(out, file)) as temporary:
        image.save(temporary, **({"format": "JPEG", "quality": QUALITY} if photograph else {"format": "PNG"}))
    return file


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
    for _, truth, _, best in rows:
        if truth >= 0:
            counts[truth, best[0][0]] += 1
    images = [classified_image(row, names) for row in rows]
    order = sorted(range(len(rows)), key=lambda index: images[index]["score"])
    chosen = order[:asked.images]
    for index in tqdm(chosen, unit="image", desc="pictures", disable=None):
        sample = tested.samples[index]
        image = decode_rgb(sample.read()[0], sample.image_path)
        images[index]["files"] = [write_picture(out, f"{index:05d}-image", image, asked.height)]
    return {"names": names, "classes": errors_by_class(rows, names), "confusion": entries(counts), "unit": "images",
            "images": [images[index] for index in sorted(chosen)], "note": "Score: the true class's probability, or "
            "the best class's where the truth is not known. " + ("" if len(chosen) == len(rows) else
                                                                 f"The worst {len(chosen)} of {len(rows)} images."),
            "orders": [("worst", "worst first"), ("best", "best first"), ("list", "as in the list")]}


def classified_image(row: Tuple, names: Sequence[str]) -> Dict[str, Any]:
    """What the gallery tells of an image."""
    image, truth, probability, best = row
    lines = [] if truth < 0 else [f"{names[truth]}: {100 * probability:.1f} %"]
    lines += [f"{place}. {names[index]} {100 * value:.1f} %" for place, (index, value) in enumerate(best, 1)]
    return {"name": image, "score": 100 * (best[0][1] if probability is None else probability), "lines": lines,
            "classes": sorted({best[0][0]} | ({truth} if truth >= 0 else set()))}


def errors_by_class(rows: Sequence[Tuple], names: Sequence[str]) -> Dict[str, List]:
    """The table of classes; no rows where no class is known."""
    hits = [[[] for _ in names] for _ in range(2)]
    for _, truth, _, best in rows:
        if truth >= 0:
            order = [index for index, _ in best]
            hits[0][truth].append(order[0] == truth)
            hits[1][truth].append(truth in order)
    table = [{"cells": [name, *(100 * (1 - float(np.mean(one))) if one else None for one in (first, five)),
                        len(first)]} for name, first, five in zip(names, *hits)]
    return {"columns": [{"name": name, "percent": percent} for name, percent in (
        ("class", False), ("top-1 error", True), ("top-5 error", True), ("images", False))],
        "rows": table if any(hits[0]) else []}
