"""What training sees: the samples of a list, and the crops that the drivers make of them."""
import os

import numpy as np

from ademxapp.cli import UsageError, number, numbers
from ademxapp.data.images import decode_rgb, read_bytes, stem, write_png
from ademxapp.data.lists import read_classification_list, read_segmentation_list
from ademxapp.data.loader import Loader
from ademxapp.evaluation.pictures import at_height, captioned_grid, class_colours, labels_over
from ademxapp.symbol import network
from iclass.data import TrainImages
from iclass.datasets import DATASETS as CLASSIFICATION
from issegm.data import TrainCrops, read_pair
from issegm.datasets import DATASETS as SEGMENTATION
from issegm.datasets import IGNORE

ANY_CLASS = 10 ** 9  # classes of a dataset that has no record


def add_arguments(parser):
    """The arguments of `report.py data`; those of the drivers have the drivers' names and defaults."""
    parser.add_argument("list", metavar="LIST", help="list of samples, of either task")
    parser.add_argument("--root", metavar="DIR", help="where list paths start (default: data/<dataset>)")
    parser.add_argument("--dataset", metavar="NAME", help="(default: the name of the list's folder)")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of pairs.png (or images.png) and crops.png")
    parser.add_argument("--images", type=number(int, 1), default=12, metavar="N", help="the first so many of the epoch")
    parser.add_argument("--seed", type=number(int, 0), default=0, help="of the training")
    parser.add_argument("--epoch", type=number(int, 1), default=1, metavar="E", help="of the training, counted from 1")
    parser.add_argument("--height", type=number(int, 32), default=240, metavar="PIXELS", help="of each picture")
    parser.add_argument("--network", default="rna-a1", help="whose normalisation, crop and filter are used")
    parser.add_argument("--crop-size", type=number(int, 1), metavar="PIXELS", help="(default: the network's / 500)")
    parser.add_argument("--crop-area-range", type=range_of(0.001, 1), default=(0.08, 1.0),
                        metavar="LOW,HIGH", help="classification: share of an image's area that a crop takes")
    parser.add_argument("--origin-size", type=number(int, 1), metavar="PIXELS", help="segmentation: as the driver's "
                        "(default: the dataset's largest side)")
    parser.add_argument("--scale-rate-range", type=range_of(0.05), default=(0.7, 1.3),
                        metavar="LOW,HIGH", help="segmentation: of the scales")
    parser.add_argument("--stride", type=number(int, 1), default=8, metavar="PIXELS", help="segmentation: the "
                        "network's, side of a cell of the labels")


def range_of(minimum, maximum=None):
    """An argparse type: LOW,HIGH within bounds, the smaller first."""
    def convert(text):
        low, high = numbers(float, minimum, count=2)(text)
        number(float, low, maximum)(high)
        return low, high
    return convert


def run(args):
    """Write the sheets."""
    try:
        settings = network(args.network).input
    except ValueError as error:
        raise UsageError(str(error)) from None
    args.dataset = args.dataset or os.path.basename(os.path.dirname(os.path.abspath(args.list)))
    args.root = args.root or os.path.join("data", args.dataset)
    (show_classification if is_classification(args.list) else show_segmentation)(args, settings)


def is_classification(path):
    """Whether a list is one of classification, by its first line: `index<TAB>class<TAB>image`."""
    with open(path, encoding="utf-8") as lines:
        return next((line.count("\t") == 2 for line in lines if line.strip()), False)


def show_classification(args, settings):
    """Write images.png and crops.png, with the classes' names under the pictures."""
    record = CLASSIFICATION.get(args.dataset)
    names = record.class_names if record else ()
    samples = read_classification_list(args.list, args.root, len(names) or ANY_CLASS)
    dataset = TrainImages(samples, args.crop_size or settings.train_crop, settings, settings.interpolation,
                          args.crop_area_range)
    images, crops, captions = [], [], []
    for index, crop, class_id in seen(dataset, args, settings):
        path = samples[index].image_path
        images.append(at_height(decode_rgb(read_bytes(path), path), args.height))
        crops.append(at_height(crop, args.height))
        captions.append(f"{int(class_id)} {names[int(class_id)] if names else ''}")
    columns = min(6, args.images)
    save(args, "images", captioned_grid(images, captions, columns))
    save(args, "crops", captioned_grid(crops, captions, columns))
    print(f"{len(images)} of {len(samples)} images, as in epoch {args.epoch} with seed {args.seed}")


def show_segmentation(args, settings):
    """Write pairs.png and crops.png: image, labels over it, labels alone; white or hatched where none counts."""
    record = SEGMENTATION.get(args.dataset)
    if record is None:
        raise UsageError(f"dataset {args.dataset!r} is not known: --dataset names one of "
                         f"{', '.join(sorted(SEGMENTATION))}")
    samples = [sample for sample in read_segmentation_list(args.list, args.root) if sample.label_image]
    crop = -(-(args.crop_size or 500) // args.stride) * args.stride
    dataset = TrainCrops(samples, record, settings, args.stride, crop, args.origin_size or record.largest_side,
                         args.scale_rate_range)
    pairs, crops, names = [], [], []
    for index, pixels, cells in seen(dataset, args, settings):
        pairs.append(read_pair(samples[index], record))
        crops.append((pixels, cells.reshape(crop // args.stride, -1).astype(np.uint8)))
        names.append(stem(samples[index].image))
    save(args, "pairs", labelled_sheet(pairs, names, record, args.height))
    save(args, "crops", labelled_sheet(crops, names, record, args.height))
    print(f"{len(pairs)} of {len(samples)} images, as in epoch {args.epoch} with seed {args.seed}")


def seen(dataset, args, settings):
    """What training gets, in its order: (index, crop (H, W, 3) uint8, label) of the first samples of an epoch."""
    with Loader(dataset, 1, shuffle=True, seed=args.seed) as loader:
        loader.start(args.epoch - 1)
        for _ in range(min(args.images, len(dataset))):
            batch = loader.next()
            yield int(batch.index[0]), pixels_of(batch.data[0].asnumpy()[0], settings), batch.label[0].asnumpy()[0]


def pixels_of(data, settings):
    """A network's input (3, H, W) float32 as pixels (H, W, 3) uint8; colours outside of 0 … 255 are cut off."""
    colours = data.transpose(1, 2, 0) * np.asarray(settings.std) + np.asarray(settings.mean)
    return np.clip(np.round(colours * 255), 0, 255).astype(np.uint8)


def labelled_sheet(pairs, names, record, height):
    """A sheet of images and their classes, (H, W, 3) and (h, w) uint8: both, over each other, and classes alone."""
    colours, pictures, captions, found = class_colours(record.palette, record.label_ids), [], [], set()
    for (image, classes), name in zip(pairs, names):
        image = at_height(image, height)
        pictures += [image, labels_over(image, classes, colours), at_height(colours[classes], height)]
        captions += [name, "labels over it", "labels"]
        found.update(np.unique(classes).tolist())
    legend = [(colours[index], record.class_names[index]) for index in sorted(found - {IGNORE})]
    return captioned_grid(pictures, captions, 6 if len(pairs) > 1 else 3, legend)


def save(args, name, sheet):
    """Write a sheet, and say so."""
    path = os.path.join(args.out, f"{name}.png")
    write_png(path, sheet)
    print(path)
