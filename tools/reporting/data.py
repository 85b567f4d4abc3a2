"""Before a training: the samples of a list as it sees them, and what the cells of its network can hold of them."""
import os
import sys
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Callable, Dict, Iterator, Optional, Sequence, Tuple, Type, TypeVar, Union

import numpy as np

from ademxapp import IGNORE_LABEL
from ademxapp.cli import UsageError, existing_file, number, numbers, table
from ademxapp.data.dataset_file import read_dataset_file
from ademxapp.data.images import decode_rgb, stem, write_png
from ademxapp.data.lists import Sample, list_task, read_classification_list, read_segmentation_list
from ademxapp.data.loader import Loader
from ademxapp.data.records import RecordFile, read_contents, read_records
from ademxapp.data.transforms import scaled_size
from ademxapp.errors import usage_errors
from ademxapp.evaluation.dense import ScoreMap, label_map
from ademxapp.evaluation.pictures import at_height, captioned_grid, class_colours, labels_over
from ademxapp.files import write_json
from ademxapp.flags import Settings, changed, flag
from ademxapp.settings import Run, Training
from ademxapp.symbol import Label, network, output_stride, parse_label, whole_cells
from ademxapp.symbol.options import InputSettings
from iclass import datasets as classification
from iclass.datasets import TrainImages
from issegm import datasets as segmentation
from issegm.datasets import TrainCrops, open_labelled, read_pair
from issegm.scoring import Scores
from issegm.settings import SegmentationTraining

NETWORK, STRIDE = "rna-a1", 8  # unless --model says otherwise
R = TypeVar("R", classification.ClassificationDataset, segmentation.SegmentationDataset)
Sheets = Tuple[Sequence[Sample], Dict[str, np.ndarray]]  # all samples; the sheets of the first, by name
WIDTH = 2400  # of a sheet, in pixels, where that can be kept


def range_of(minimum: float, maximum: Optional[float] = None) -> Callable[[str], Tuple[float, float]]:
    """An argparse type: LOW,HIGH within bounds, the smaller first."""
    def convert(text: str) -> Tuple[float, float]:
        low, high = numbers(float, minimum, count=2)(text)
        number(float, low, maximum)(high)
        return low, high
    return convert


@dataclass(frozen=True)
class DataSheets(Settings):
    """What `report.py data` is asked for; flags of the drivers have the drivers' names and defaults."""

    list: Optional[str] = flag("list of samples, of either task", positional=True, nargs="?", type=existing_file,
                               metavar="LIST")
    records: Optional[str] = flag("samples packed by tools/pack.py, instead of a list", metavar="PREFIX")
    root: Optional[str] = flag("where list paths start (default: data/<dataset>)", metavar="DIR")
    model: Optional[str] = flag("a run's label: its dataset, and its network's normalisation, filter, crop and stride "
                                f"(default: those of {NETWORK}, stride {STRIDE})", metavar="LABEL")
    dataset: Optional[str] = flag("(default: from the label, else the name of the list's folder)", metavar="NAME")
    dataset_file: Optional[str] = flag("a dataset that is not built in", type=existing_file, metavar="YAML")
    out: str = flag("folder of pairs.png (or images.png) and crops.png", required=True, metavar="DIR")
    images: int = flag("the first so many of the epoch", 12, type=number(int, 1), metavar="N")
    seed: int = changed(Run, "seed", 0)
    epoch: int = flag("of the training, counted from 1", 1, type=number(int, 1), metavar="E")
    height: int = flag("of each picture", 240, type=number(int, 32), metavar="PIXELS")
    crop_size: Optional[int] = changed(Training, "crop_size", None)
    crop_area_range: Tuple[float, float] = flag("classification: share of an image's area that a crop takes",
                                                (0.08, 1.0), type=range_of(0.001, 1), metavar="LOW,HIGH")
    origin_size: Optional[int] = flag("segmentation: what the longer side is resized to, times the scale (default: the "
                                      "dataset's)", type=number(int, 1), metavar="PIXELS")
    scale_rate_range: Tuple[float, float] = flag("segmentation: of the scales", (0.7, 1.3), type=range_of(0.05),
                                                 metavar="LOW,HIGH")
    colour_jitter: Optional[float] = changed(SegmentationTraining, "colour_jitter", None)
    class_crops: Optional[float] = changed(SegmentationTraining, "class_crops", None)


def sheets(asked: DataSheets) -> None:
    """Write the sheets."""
    if (asked.list is None) == (asked.records is None):
        raise UsageError("wanted a LIST or --records PREFIX, and not both")
    with usage_errors():
        label = parse_label(asked.model) if asked.model else None
        inputs = network(label.network if label else NETWORK).input
        stride = output_stride(label) if label else STRIDE
    folder = os.path.basename(os.path.dirname(os.path.abspath(asked.list or asked.records)))
    dataset = asked.dataset or (label.dataset if label else folder)
    asked = replace(asked, dataset=dataset, root=asked.root or os.path.join("data", dataset))
    if asked.list:
        task = list_task(asked.list)
    else:
        contents = read_contents(RecordFile(f"{asked.records}.rec"))
        task = contents[0]["task"] if contents else "classification"  # none: a file of MXNet's im2rec
    samples, found = (classification_sheets(asked, label, inputs) if task == "classification" else
                      segmentation_sheets(asked, label, inputs, stride))
    for name, sheet in found.items():
        path = os.path.join(asked.out, f"{name}.png")
        write_png(path, sheet)
        print(path)
    print(f"{min(asked.images, len(samples))} of {len(samples)} images, the first of epoch {asked.epoch} with seed "
          f"{asked.seed}")


def record_of(asked: DataSheets, label: Optional[Label], task: ModuleType, kind: Type[R]) -> Optional[R]:
    """The dataset's record, of the number of classes that the label says, if there is one; None if there is none."""
    with usage_errors():
        if label:
            return task.dataset_record(asked.dataset, label.classes, asked.dataset_file)
        if asked.dataset_file:
            return read_dataset_file(asked.dataset_file, kind, asked.dataset)
    return task.DATASETS.get(asked.dataset)


def classification_sheets(asked: DataSheets, label: Optional[Label], inputs: InputSettings) -> Sheets:
    """Of images and crops, with the classes under the pictures."""
    record = record_of(asked, label, classification, classification.ClassificationDataset)
    names = record.class_names if record else ()
    samples = read_records(asked.records, len(names) or sys.maxsize) if asked.records else \
        read_classification_list(asked.list, asked.root, len(names) or None)
    dataset = TrainImages(samples, asked.crop_size or inputs.train_crop, inputs, inputs.interpolation,
                          asked.crop_area_range)
    images, crops, captions = [], [], []
    for index, crop, class_id in seen(dataset, asked, inputs):
        images.append(at_height(decode_rgb(samples[index].read()[0], samples[index].image_path), asked.height))
        crops.append(at_height(crop, asked.height))
        folder = os.path.basename(os.path.dirname(samples[index].image))
        captions.append(f"{int(class_id)} {names[int(class_id)] if names else folder}")
    columns = min(6, asked.images)
    return samples, {"images": captioned_grid(images, captions, columns),
                     "crops": captioned_grid(crops, captions, columns)}


def segmentation_sheets(asked: DataSheets, label: Optional[Label], inputs: InputSettings, stride: int) -> Sheets:
    """Of pairs and crops: image, labels over it, labels alone; hatched or white where none counts."""
    record = record_of(asked, label, segmentation, segmentation.SegmentationDataset)
    if record is None:
        raise UsageError(f"dataset {asked.dataset!r} is not known: --dataset names one of "
                         f"{', '.join(sorted(segmentation.DATASETS))}; --dataset-file describes another")
    samples = read_records(asked.records) if asked.records else read_segmentation_list(asked.list, asked.root)
    if any(sample.label_image is None for sample in samples):
        raise ValueError("the list names images without labels: nothing is trained on them")
    crop = whole_cells(asked.crop_size or 500, stride)
    dataset = TrainCrops(samples, record, inputs, stride, crop, asked.origin_size or record.largest_side,
                         asked.scale_rate_range, asked.colour_jitter or 0, asked.class_crops or 0)
    pairs, crops, names = [], [], []
    for index, pixels, cells in seen(dataset, asked, inputs):
        pairs.append(read_pair(samples[index], record))
        crops.append((pixels, cells.reshape(crop // stride, -1).astype(np.uint8)))
        names.append(stem(samples[index].image))
    return samples, {"pairs": labelled_sheet(pairs, names, record, asked.height),
                     "crops": labelled_sheet(crops, names, record, asked.height)}


def seen(dataset: Union[TrainImages, TrainCrops], asked: DataSheets, inputs: InputSettings
         ) -> Iterator[Tuple[int, np.ndarray, np.ndarray]]:
    """What training gets, in its order: (index, crop (H, W, 3) uint8, label) of the first samples of an epoch."""
    with Loader(dataset, 1, shuffle=True, seed=asked.seed) as loader:
        loader.start(asked.epoch - 1)
        for _ in range(min(asked.images, len(dataset))):
            batch = next(loader)
            yield int(batch.index[0]), pixels_of(batch.data[0], inputs), batch.label[0].copy()


def pixels_of(data: np.ndarray, inputs: InputSettings) -> np.ndarray:
    """A network's input (3, H, W) float32 as pixels (H, W, 3) uint8; colours outside of 0 … 255 are cut off."""
    colours = data.transpose(1, 2, 0) * np.asarray(inputs.std) + np.asarray(inputs.mean)
    return np.clip(np.round(colours * 255), 0, 255).astype(np.uint8)


def labelled_sheet(pairs: Sequence[Tuple[np.ndarray, np.ndarray]], names: Sequence[str],
                   record: segmentation.SegmentationDataset, height: int) -> np.ndarray:
    """A sheet of images and their classes, (H, W, 3) and (h, w) uint8: image, classes over it, classes alone."""
    colours, pictures, captions, found = class_colours(record.palette, record.label_ids), [], [], set()
    for (image, classes), name in zip(pairs, names):
        image = at_height(image, height)
        pictures += [image, labels_over(image, classes, colours), at_height(colours[classes], height)]
        captions += [name, "labels over it", "labels"]
        found.update(np.unique(classes).tolist())
    legend = [(colours[index], record.class_names[index]) for index in sorted(found - {IGNORE_LABEL})]
    two_beside = len(pairs) > 1 and 6 * max(picture.shape[1] for picture in pictures) <= WIDTH
    return captioned_grid(pictures, captions, 6 if two_beside else 3, legend)


# The ceiling of the grid


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


def ceiling(asked: Ceiling) -> None:
    """Print what a network would score that is right at the centre of every cell: IoU by class and scale, and means."""
    with usage_errors():
        label = parse_label(asked.model)
        stride = output_stride(label)
        record = segmentation.dataset_record(label.dataset, label.classes, asked.dataset_file)
    samples = read_segmentation_list(asked.list, asked.root or f"data/{label.dataset}")[::asked.every]
    scores = {scale: Scores(record) for scale in asked.test_scales}
    for sample in samples:
        _, truth = open_labelled(sample, record)
        for scale, counts in scores.items():
            counts.add(sample, truth, from_cells(truth, scale, stride, record.classes))
    found = {str(scale): counts.result() for scale, counts in scores.items()}
    rows = [(name, *("–" if iou is None else f"{iou:.1f}" for iou in ious)) for name, *ious in zip(
        (*record.class_names, "mean"), *((*one["class_iou"], one["mean_iou"]) for one in found.values()))]
    print(f"IoU in %, of {len(samples)} images, stride {stride}, if every cell had the class at its centre:\n")
    print(table(("class", *(f"{scale} pixels" for scale in found)), rows))
    if asked.output:
        write_json(asked.output, {"images": len(samples), "stride": stride, "classes": record.class_names, "scales": {
            scale: {name: one[name] for name in ("mean_iou", "class_iou")} for scale, one in found.items()}})


def from_cells(truth: np.ndarray, scale: int, stride: int, classes: int) -> np.ndarray:
    """The labels (H, W) uint8 that a test makes of the classes at the cells' centres; at void cells, of the others."""
    scaled = scaled_size(truth.shape, scale, longer=True)
    places = [((np.arange(whole_cells(side, stride) // stride) * stride + stride // 2 + 0.5) * size / side).astype(int)
              for side, size in zip(scaled, truth.shape)]
    rows, columns = (np.minimum(place, size - 1) for place, size in zip(places, truth.shape))
    cells = truth[rows[:, None], columns]
    one_hot = (cells == np.arange(classes)[:, None, None]).astype(np.float32)
    return label_map([ScoreMap(one_hot, stride, scaled, truth.shape)])
