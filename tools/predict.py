"""Segment or classify photographs: the network says which.

    python tools/predict.py street.jpg --weights models/cityscapes_rna-a1_cls19_s8_ep-0001.params --test-flipping
    python tools/predict.py holiday/ 'more/*.jpg' --weights models/ilsvrc-cls_rna-a1_cls1000_ep-0001.params --out seen
    python tools/predict.py street.jpg --model cityscapes.onnx
    python tools/predict.py street.jpg --weights models/cityscapes_rna-a1_cls19_s8_ep-0001.params --dtype int8

The third, with a file that tools/weights.py export wrote, needs onnxruntime and no MXNet. The fourth needs the ranges
that an earlier test with --dtype int8 at this scale keeps beside the weights, or images to measure them on.

Segmentation writes <out>/<image>.png, the dataset's label ids in its colours, and <out>/<image>_overlay.jpg, the
classes over the photograph, and prints the classes' shares of the pixels. Classification prints the most probable
classes and writes <out>/predictions.tsv. An image that cannot be used is named, and the others go on.

Photographs are turned as their cameras noted (EXIF orientation), as viewers show them, and so are the results; training
and tests take pixels as they are stored. Of animations the first picture counts. HEIC needs pillow-heif (the extra
heic), AVIF Pillow 11.3. What a folder has besides images is told.
"""
if __name__ == "__main__":  # run as a script: import from the repository, and report errors in one line
    import pathlib
    import sys
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])
    from ademxapp.cli import run
    run("tools.predict", needs_mxnet=False)

import contextlib
import logging
import os
from importlib import import_module
from typing import Dict, Iterator, List, Sequence, Tuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from ademxapp.cli import (
    UsageError,
    existing_file,
    make_parser,
    number,
    numbers,
    one_line,
)
from ademxapp.data import transforms
from ademxapp.data.class_folders import some
from ademxapp.data.images import stem, write_png
from ademxapp.data.lists import Sample
from ademxapp.data.photographs import find_photographs, read_upright
from ademxapp.evaluation.classification import best_classes, write_predictions
from ademxapp.evaluation.dense import label_map
from ademxapp.evaluation.pictures import captioned_grid, class_colours, labels_over
from ademxapp.evaluation.pipeline import overlapped
from ademxapp.files import replacing
from ademxapp.logs import start_log
from ademxapp.settings import Devices, Precision
from iclass.data import TestImages

TOLD = 0.005  # smallest share of the pixels of a class that is printed
LONGEST_SIDE = 65_000  # of a JPEG, less the overlay's border


def main(argv=None):
    """Predict all images, and end with an error if some could not be used."""
    args = build_parser().parse_args(argv)
    # Only what runs the network is imported: MXNet need not be there for ONNX files.
    network = import_module(f"tools.predicting.with_{'onnx' if args.model else 'mxnet'}").open_network(args)
    segmentation = network.task == "segmentation"
    if args.window and not segmentation:
        raise UsageError("--window is for segmentation; this network classifies")
    samples, notes = find_images(args.images)
    twins = twins_of(samples, args.out) if segmentation else {}
    log = start_log(os.path.join(args.out, "predict.log"), network.versions, args.debug)
    for note in notes:
        log.info("%s", note)
    items = Items(log)
    for sample, reason in twins.items():
        with items.told(sample):
            raise ValueError(reason)
    (segment if segmentation else classify)(args, network, [one for one in samples if one not in twins], log, items)
    log.info("%d images, written to %s", len(samples) - len(items.failed), args.out)
    if items.failed:
        raise ValueError(f"{len(items.failed)} of {len(samples)} images could not be used, as told above: "
                         f"{some(items.failed)}")


class Items:
    """What is told of single items that cannot be read or written, while the others go on; `failed`: their paths."""

    def __init__(self, log: logging.Logger):
        self.failed: List[str] = []
        self._log = log

    @contextlib.contextmanager
    def told(self, sample: Sample) -> Iterator[None]:
        """Log a ValueError or an OSError of the block, and go on behind it."""
        try:
            yield
        except (ValueError, OSError) as error:
            self._log.error("left out: %s", one_line(error))
            self.failed.append(sample.image_path)


def build_parser():
    """The program's arguments."""
    parser = make_parser(__doc__)
    parser.add_argument("images", nargs="+", metavar="IMAGE|FOLDER|GLOB", help="what to predict")
    network = parser.add_mutually_exclusive_group(required=True)
    network.add_argument("--weights", type=existing_file, metavar="FILE", help=".params file, named by its label")
    network.add_argument("--model", type=existing_file, metavar="ONNX", help="file that tools/weights.py export wrote: "
                         "runs without MXNet")
    parser.add_argument("--out", default="predicted", metavar="DIR", help="folder of what is written")
    parser.add_argument("--dataset", help="whose classes the network has (default: from the label)")
    parser.add_argument("--dataset-file", type=existing_file, metavar="YAML", help="a dataset that is not built in")
    parser.add_argument("--test-scales", type=numbers(int, 1, distinct=True), metavar="N,N,…", help="lengths of the "
                        "images' longer (segmentation) or shorter side (default: the dataset's largest side, or the "
                        "network's test crop)")
    parser.add_argument("--test-flipping", action="store_true", help="average with the mirrored image")
    parser.add_argument("--window", type=number(int, 1), metavar="PIXELS", help="segmentation: as of issegm/voc.py; an "
                        "ONNX file for one size has windows of that size")
    parser.add_argument("--pool-top-infer-style", choices=("caffe", "full"),
                        help="classification: as of iclass/ilsvrc.py")
    parser.add_argument("--top", type=number(int, 1), default=5, metavar="N", help="classification: classes to print")
    parser.add_argument("--debug", action="store_true", help="MXNet's naive engine, and tracebacks of errors")
    Devices.add_to(parser)
    Precision.add_to(parser)
    parser.add_argument("--data-root", metavar="DIR", help="with --dtype int8: where that list's paths start (default: "
                       "data/<dataset>)")
    parser.set_defaults(test_steps=1)
    return parser


# Images


def find_images(names: Sequence[str]) -> Tuple[List[Sample], List[str]]:
    """Samples of what `find_photographs` finds, and its notes."""
    paths, notes = find_photographs(names)
    return [Sample("", path) for path in paths], notes


def outputs(sample: Sample, folder: str) -> Tuple[str, str]:
    """The files that segmentation writes for a sample: label image, overlay."""
    path = os.path.join(folder, stem(sample.image))
    return f"{path}.png", f"{path}_overlay.jpg"


def twins_of(samples: Sequence[Sample], folder: str) -> Dict[Sample, str]:
    """The samples whose results would replace those of an earlier one, each with the reason.

    UsageError if a result would replace one of the images.
    """
    images, taken, twins = {os.path.realpath(sample.image_path) for sample in samples}, {}, {}
    for sample in samples:
        paths = [os.path.realpath(path) for path in outputs(sample, folder)]
        for path in paths:
            if path in images:
                raise UsageError(f"the result of {sample.image_path} would replace the image {path}: --out DIR names "
                                 "another folder")
        other = next((taken[path] for path in paths if path in taken), None)
        if other is None:
            taken.update(dict.fromkeys(paths, sample.image_path))
        else:
            twins[sample] = (f"the results of {other} and {sample.image_path} would be one file: predict the second "
                             "apart, with an --out of its own")
    return twins


def read_image(sample: Sample) -> np.ndarray:
    """An image's pixels, upright, (H, W, 3) uint8; ValueError or OSError, which names it, if it cannot be used."""
    try:
        sample.image_path.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{sample.image_path!r}: the name is not UTF-8, and cannot stand in results: rename it"
                         ) from None
    return read_upright(sample.image_path)


# Tasks


def segment(args, network, samples: Sequence[Sample], log: logging.Logger, items: Items) -> None:
    """Write label images and overlays, and print the classes' shares."""
    source, record = network.segmenter(log), network.record
    colours = class_colours(record.palette, record.label_ids)

    def read(sample):
        with items.told(sample):
            image = read_image(sample)
            if max(image.shape) > LONGEST_SIDE:
                raise ValueError(f"{sample.image_path} has {image.shape[1]}x{image.shape[0]} pixels, wanted sides of "
                                 f"at most {LONGEST_SIDE}: cut it first")
            return sample, image, source.prepare(sample, image)

    def forward(item):
        return item and (*item[:2], source.score_maps(*item))

    def finish(item):
        if item is None:
            return None
        sample, image, score_maps = item
        with items.told(sample):
            labels = label_map(score_maps)
            write_segmented(sample, image, labels, record, colours, args.out)
            return sample, np.bincount(labels.ravel(), minlength=record.classes) / labels.size

    results = overlapped(samples, read, forward, finish)
    for result in tqdm(results, total=len(samples), unit="image", desc="segmenting", disable=None):
        if result is not None:
            sample, shares = result
            told = [f"{record.class_names[index]} {100 * shares[index]:.1f} %" for index in np.argsort(-shares)
                    if shares[index] >= TOLD]
            tqdm.write(f"{sample.image_path}: {', '.join(told)}")


def write_segmented(sample, image, labels, record, colours, folder):
    """Write a label image and an overlay with the classes' names."""
    label_path, overlay_path = outputs(sample, folder)
    write_png(label_path, record.to_label_ids(labels), record.palette)
    legend = [(colours[index], record.class_names[index]) for index in np.unique(labels)]
    overlay = captioned_grid([labels_over(image, labels, colours)], [stem(sample.image)], 1, legend)
    with replacing(overlay_path) as temporary:
        Image.fromarray(overlay).save(temporary, format="JPEG", quality=92)


def classify(args, network, samples: Sequence[Sample], log: logging.Logger, items: Items) -> None:
    """Print the best classes of every image, and write all of them."""
    predict = network.classifier(log)
    views = [TestImages([], scale, network.settings, interpolation=network.settings.interpolation).views
             for scale in sorted(network.scales, reverse=True)]

    def read(sample):
        with items.told(sample):
            image = read_image(sample)
            crops = [of_scale(image, sample.image_path) for of_scale in views]
            return sample, crops + [transforms.flip(crop) for crop in crops] if args.test_flipping else crops

    def forward(item):
        return item and (item[0], np.mean([predict(crop)[0] for crop in item[1]], 0))

    results = tqdm(overlapped(samples, read, forward, lambda item: item), total=len(samples), unit="image",
                   desc="classifying", disable=None)
    found = [result for result in results if result is not None]
    if not found:
        return
    used, probs = [sample for sample, _ in found], np.stack([row for _, row in found])
    write_predictions(os.path.join(args.out, "predictions.tsv"), used, probs)
    names = network.record.class_names or [f"class {index}" for index in range(probs.shape[1])]
    for sample, row, order in zip(used, probs, best_classes(probs)[:, :args.top]):
        print(sample.image_path)
        for index in order:
            print(f"  {100 * row[index]:5.1f} %  {names[index]}")
