"""What training sees: the samples of a list, and the crops that the drivers make of them."""
import os
import sys

import numpy as np

from ademxapp import IGNORE_LABEL
from ademxapp.cli import UsageError, existing_file, number, numbers
from ademxapp.data.dataset_file import read_dataset_file
from ademxapp.data.images import decode_rgb, stem, write_png
from ademxapp.data.lists import list_task, read_classification_list, read_segmentation_list
from ademxapp.data.loader import Loader
from ademxapp.data.records import RecordFile, read_contents, read_records
from ademxapp.evaluation.pictures import at_height, captioned_grid, class_colours, labels_over
from ademxapp.symbol import network, output_stride, parse_label, whole_cells
from iclass import datasets as classification
from iclass.data import TrainImages
from issegm import datasets as segmentation
from issegm.data import TrainCrops, read_pair

NETWORK, STRIDE = "rna-a1", 8  # unless --model says otherwise
WIDTH = 2400  # of a sheet, in pixels, where that can be kept


def add_arguments(parser):
    """The arguments of `report.py data`; those of the drivers have the drivers' names and defaults."""
    parser.add_argument("list", nargs="?", type=existing_file, metavar="LIST", help="list of samples, of either task")
    parser.add_argument("--records", metavar="PREFIX", help="samples packed by tools/pack.py, instead of a list")
    parser.add_argument("--root", metavar="DIR", help="where list paths start (default: data/<dataset>)")
    parser.add_argument("--model", metavar="LABEL", help="a run's label: its dataset, and its network's normalisation, "
                        f"filter, crop and stride (default: those of {NETWORK}, stride {STRIDE})")
    parser.add_argument("--dataset", metavar="NAME", help="(default: from the label, else the name of the list's "
                        "folder)")
    parser.add_argument("--dataset-file", type=existing_file, metavar="YAML", help="a dataset that is not built in")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of pairs.png (or images.png) and crops.png")
    parser.add_argument("--images", type=number(int, 1), default=12, metavar="N", help="the first so many of the epoch")
    parser.add_argument("--seed", type=number(int, 0), default=0, help="of the training")
    parser.add_argument("--epoch", type=number(int, 1), default=1, metavar="E", help="of the training, counted from 1")
    parser.add_argument("--height", type=number(int, 32), default=240, metavar="PIXELS", help="of each picture")
    parser.add_argument("--crop-size", type=number(int, 1), metavar="PIXELS", help="(default: the network's / 500)")
    parser.add_argument("--crop-area-range", type=range_of(0.001, 1), default=(0.08, 1.0), metavar="LOW,HIGH",
                        help="classification: share of an image's area that a crop takes")
    parser.add_argument("--origin-size", type=number(int, 1), metavar="PIXELS", help="segmentation: what the longer "
                        "side is resized to, times the scale (default: the dataset's)")
    parser.add_argument("--scale-rate-range", type=range_of(0.05), default=(0.7, 1.3), metavar="LOW,HIGH",
                        help="segmentation: of the scales")


def range_of(minimum, maximum=None):
    """An argparse type: LOW,HIGH within bounds, the smaller first."""
    def convert(text):
        low, high = numbers(float, minimum, count=2)(text)
        number(float, low, maximum)(high)
        return low, high
    return convert


def run(args):
    """Write the sheets."""
    if (args.list is None) == (args.records is None):
        raise UsageError("wanted a LIST or --records PREFIX, and not both")
    try:
        label = args.model and parse_label(args.model)
        settings = network(label.network if label else NETWORK).input
        stride = output_stride(label) if label else STRIDE
    except ValueError as error:
        raise UsageError(str(error)) from None
    folder = os.path.basename(os.path.dirname(os.path.abspath(args.list or args.records)))
    args.dataset = args.dataset or (label.dataset if label else folder)
    args.root = args.root or os.path.join("data", args.dataset)
    if task(args) == "classification":
        show_classification(args, label, settings)
    else:
        show_segmentation(args, label, settings, stride)


def task(args):
    """Of the samples: "classification" or "segmentation"."""
    if args.list:
        return list_task(args.list)
    contents = read_contents(RecordFile(f"{args.records}.rec"))
    return contents[0]["task"] if contents else "classification"  # none: a file of MXNet's im2rec


def record_of(args, label, task, kind):
    """The dataset's record, of the number of classes that the label says, if there is one; None if there is none."""
    try:
        if label:
            return task.dataset_record(args.dataset, label.classes, args.dataset_file)
        if args.dataset_file:
            return read_dataset_file(args.dataset_file, kind, args.dataset)
    except ValueError as error:
        raise UsageError(str(error)) from None
    return task.DATASETS.get(args.dataset)


def show_classification(args, label, settings):
    """Write images.png and crops.png, with the classes under the pictures."""
    record = record_of(args, label, classification, classification.ClassificationDataset)
    names = record.class_names if record else ()
    samples = read_records(args.records, len(names) or sys.maxsize) if args.records else \
        read_classification_list(args.list, args.root, len(names) or None)
    dataset = TrainImages(samples, args.crop_size or settings.train_crop, settings, settings.interpolation,
                          args.crop_area_range)
    images, crops, captions = [], [], []
    for index, crop, class_id in seen(dataset, args, settings):
        images.append(at_height(decode_rgb(samples[index].read()[0], samples[index].image_path), args.height))
        crops.append(at_height(crop, args.height))
        folder = os.path.basename(os.path.dirname(samples[index].image))
        captions.append(f"{int(class_id)} {names[int(class_id)] if names else folder}")
    columns = min(6, args.images)
    save(args, "images", captioned_grid(images, captions, columns))
    save(args, "crops", captioned_grid(crops, captions, columns))
    tell(args, len(images), samples)


def show_segmentation(args, label, settings, stride):
    """Write pairs.png and crops.png: image, labels over it, labels alone; hatched or white where none counts."""
    record = record_of(args, label, segmentation, segmentation.SegmentationDataset)
    if record is None:
        raise UsageError(f"dataset {args.dataset!r} is not known: --dataset names one of "
                         f"{', '.join(sorted(segmentation.DATASETS))}; --dataset-file describes another")
    samples = read_records(args.records) if args.records else read_segmentation_list(args.list, args.root)
    if any(sample.label_image is None for sample in samples):
        raise ValueError("the list names images without labels: nothing is trained on them")
    crop = whole_cells(args.crop_size or 500, stride)
    dataset = TrainCrops(samples, record, settings, stride, crop, args.origin_size or record.largest_side,
                         args.scale_rate_range)
    pairs, crops, names = [], [], []
    for index, pixels, cells in seen(dataset, args, settings):
        pairs.append(read_pair(samples[index], record))
        crops.append((pixels, cells.reshape(crop // stride, -1).astype(np.uint8)))
        names.append(stem(samples[index].image))
    save(args, "pairs", labelled_sheet(pairs, names, record, args.height))
    save(args, "crops", labelled_sheet(crops, names, record, args.height))
    tell(args, len(pairs), samples)


def seen(dataset, args, settings):
    """What training gets, in its order: (index, crop (H, W, 3) uint8, label) of the first samples of an epoch."""
    with Loader(dataset, 1, shuffle=True, seed=args.seed) as loader:
        loader.start(args.epoch - 1)
        for _ in range(min(args.images, len(dataset))):
            batch = next(loader)
            yield int(batch.index[0]), pixels_of(batch.data[0], settings), batch.label[0].copy()


def pixels_of(data, settings):
    """A network's input (3, H, W) float32 as pixels (H, W, 3) uint8; colours outside of 0 … 255 are cut off."""
    colours = data.transpose(1, 2, 0) * np.asarray(settings.std) + np.asarray(settings.mean)
    return np.clip(np.round(colours * 255), 0, 255).astype(np.uint8)


def labelled_sheet(pairs, names, record, height):
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


def save(args, name, sheet):
    """Write a sheet, and say so."""
    path = os.path.join(args.out, f"{name}.png")
    write_png(path, sheet)
    print(path)


def tell(args, count, samples):
    """Say which samples are shown."""
    print(f"{count} of {len(samples)} images, the first of epoch {args.epoch} with seed {args.seed}")
