"""What training sees: the samples of a list, and the crops that the drivers make of them."""
import os
import sys
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Callable, Iterator, Optional, Sequence, Tuple, Type, TypeVar, Union

import numpy as np

from ademxapp import IGNORE_LABEL
from ademxapp.cli import UsageError, existing_file, number, numbers
from ademxapp.data.dataset_file import read_dataset_file
from ademxapp.data.images import decode_rgb, stem, write_png
from ademxapp.data.lists import Sample, list_task, read_classification_list, read_segmentation_list
from ademxapp.data.loader import Loader
from ademxapp.data.records import RecordFile, read_contents, read_records
from ademxapp.evaluation.pictures import at_height, captioned_grid, class_colours, labels_over
from ademxapp.flags import Settings, changed, flag
from ademxapp.settings import Run, Training
from ademxapp.symbol import Label, network, output_stride, parse_label, whole_cells
from ademxapp.symbol.networks import InputSettings
from iclass import datasets as classification
from iclass.data import TrainImages
from issegm import datasets as segmentation
from issegm.data import TrainCrops, read_pair
from issegm.settings import SegmentationTraining

NETWORK, STRIDE = "rna-a1", 8  # unless --model says otherwise
R = TypeVar("R", classification.ClassificationDataset, segmentation.SegmentationDataset)
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


def run(asked: DataSheets) -> None:
    """Write the sheets."""
    if (asked.list is None) == (asked.records is None):
        raise UsageError("wanted a LIST or --records PREFIX, and not both")
    try:
        label = parse_label(asked.model) if asked.model else None
        inputs = network(label.network if label else NETWORK).input
        stride = output_stride(label) if label else STRIDE
    except ValueError as error:
        raise UsageError(str(error)) from None
    folder = os.path.basename(os.path.dirname(os.path.abspath(asked.list or asked.records)))
    dataset = asked.dataset or (label.dataset if label else folder)
    asked = replace(asked, dataset=dataset, root=asked.root or os.path.join("data", dataset))
    if task(asked) == "classification":
        show_classification(asked, label, inputs)
    else:
        show_segmentation(asked, label, inputs, stride)


def task(asked: DataSheets) -> str:
    """Of the samples: "classification" or "segmentation"."""
    if asked.list:
        return list_task(asked.list)
    contents = read_contents(RecordFile(f"{asked.records}.rec"))
    return contents[0]["task"] if contents else "classification"  # none: a file of MXNet's im2rec


def record_of(asked: DataSheets, label: Optional[Label], task: ModuleType, kind: Type[R]) -> Optional[R]:
    """The dataset's record, of the number of classes that the label says, if there is one; None if there is none."""
    try:
        if label:
            return task.dataset_record(asked.dataset, label.classes, asked.dataset_file)
        if asked.dataset_file:
            return read_dataset_file(asked.dataset_file, kind, asked.dataset)
    except ValueError as error:
        raise UsageError(str(error)) from None
    return task.DATASETS.get(asked.dataset)


def show_classification(asked: DataSheets, label: Optional[Label], inputs: InputSettings) -> None:
    """Write images.png and crops.png, with the classes under the pictures."""
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
    save(asked, "images", captioned_grid(images, captions, columns))
    save(asked, "crops", captioned_grid(crops, captions, columns))
    tell(asked, len(images), samples)


def show_segmentation(asked: DataSheets, label: Optional[Label], inputs: InputSettings, stride: int) -> None:
    """Write pairs.png and crops.png: image, labels over it, labels alone; hatched or white where none counts."""
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
    save(asked, "pairs", labelled_sheet(pairs, names, record, asked.height))
    save(asked, "crops", labelled_sheet(crops, names, record, asked.height))
    tell(asked, len(pairs), samples)


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


def save(asked: DataSheets, name: str, sheet: np.ndarray) -> None:
    """Write a sheet, and say so."""
    path = os.path.join(asked.out, f"{name}.png")
    write_png(path, sheet)
    print(path)


def tell(asked: DataSheets, count: int, samples: Sequence[Sample]) -> None:
    """Say which samples are shown."""
    print(f"{count} of {len(samples)} images, the first of epoch {asked.epoch} with seed {asked.seed}")
