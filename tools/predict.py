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
"""
if __name__ == "__main__":  # run as a script: import from the repository, and report errors in one line
    import pathlib
    import sys
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])
    from ademxapp.cli import run
    run("tools.predict", needs_mxnet=False)

import glob
import os
from importlib import import_module

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
from ademxapp.data.images import decode_rgb, stem, write_png
from ademxapp.data.lists import IMAGE_EXTENSIONS, Sample
from ademxapp.evaluation.classification import best_classes, write_predictions
from ademxapp.evaluation.dense import label_map
from ademxapp.evaluation.pictures import captioned_grid, class_colours, labels_over
from ademxapp.evaluation.pipeline import overlapped
from ademxapp.files import replacing
from ademxapp.logs import start_log
from ademxapp.settings import Devices, Precision
from iclass.data import TestImages, testing_size

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
    samples = find_images(args.images)
    if segmentation:
        require_free_names(samples, args.out)
    log = start_log(os.path.join(args.out, "predict.log"), network.versions, args.debug)
    scale = 0 if segmentation else max(network.scales)
    good = [sample for sample in tqdm(samples, unit="image", desc="reading", disable=None)
            if usable(sample, scale, log)]
    if good:
        (segment if segmentation else classify)(args, network, good, log)
        log.info("%d images, written to %s", len(good), args.out)
    if len(good) < len(samples):
        raise ValueError(f"{len(samples) - len(good)} of {len(samples)} images could not be used, as told above")


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


def find_images(names):
    """Samples of image files, of folders' images, and of what patterns match; UsageError where there is none."""
    paths = []
    for name in names:
        if os.path.isdir(name):
            found = [os.path.join(name, entry) for entry in sorted(os.listdir(name))
                     if entry.lower().endswith(IMAGE_EXTENSIONS) and not entry.startswith(".")]
        else:
            found = [name] if os.path.isfile(name) else sorted(filter(os.path.isfile, glob.glob(name, recursive=True)))
        if not found:
            raise UsageError(f"there is no image {name}, nor a folder of images, nor any that such a pattern matches")
        paths += found
    return [Sample("", path) for path in dict.fromkeys(map(os.path.normpath, paths))]


def outputs(sample, folder):
    """The files that segmentation writes for a sample: label image, overlay."""
    path = os.path.join(folder, stem(sample.image))
    return f"{path}.png", f"{path}_overlay.jpg"


def require_free_names(samples, folder):
    """UsageError if a result would replace one of the images, or another image's result."""
    images, taken = {os.path.realpath(sample.image_path) for sample in samples}, {}
    for sample in samples:
        for path in map(os.path.realpath, outputs(sample, folder)):
            if path in images:
                raise UsageError(f"the result of {sample.image_path} would replace the image {path}: --out DIR names "
                                 "another folder")
            if path in taken:
                raise UsageError(f"the results of {taken[path]} and {sample.image_path} would be one file: predict "
                                 "them apart, each with an --out of its own")
            taken[path] = sample.image_path


def usable(sample, scale, log):
    """Whether an image can be decoded and is not too large; logged if not.

    `scale`: pixels that its shorter side will have for a classifier, 0 for segmentation.
    """
    try:
        size = decode_rgb(sample.read()[0], sample.image_path).shape[:2]
        if not scale and max(size) > LONGEST_SIDE:
            raise ValueError(f"{sample.image_path} has {size[1]}x{size[0]} pixels, wanted sides of at most "
                             f"{LONGEST_SIDE}: cut it first")
        if scale:
            testing_size(size, scale, sample.image_path)
    except (ValueError, OSError) as error:
        log.error("left out: %s", one_line(error))
        return False
    return True


# Tasks


def segment(args, network, samples, log):
    """Write label images and overlays, and print the classes' shares."""
    source, record = network.segmenter(log), network.record
    colours = class_colours(record.palette, record.label_ids)

    def read(sample):
        image = decode_rgb(sample.read()[0], sample.image_path)
        return sample, image, source.prepare(sample, image)

    def forward(item):
        return (*item[:2], source.score_maps(*item))

    def finish(item):
        sample, image, score_maps = item
        labels = label_map(score_maps)
        write_segmented(sample, image, labels, record, colours, args.out)
        return sample, np.bincount(labels.ravel(), minlength=record.classes) / labels.size

    results = overlapped(samples, read, forward, finish)
    for sample, shares in tqdm(results, total=len(samples), unit="image", desc="segmenting", disable=None):
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


def classify(args, network, samples, log):
    """Print the best classes of every image, and write all of them."""
    predict = network.classifier(log)

    def read(sample):
        crops = [TestImages([sample], scale, network.settings, interpolation=network.settings.interpolation)
                 .load(0, None)[0] for scale in sorted(network.scales, reverse=True)]
        return crops + [transforms.flip(crop) for crop in crops] if args.test_flipping else crops

    results = overlapped(samples, read, lambda crops: np.mean([predict(crop)[0] for crop in crops], 0), np.asarray)
    probs = np.stack(list(tqdm(results, total=len(samples), unit="image", desc="classifying", disable=None)))
    write_predictions(os.path.join(args.out, "predictions.tsv"), samples, probs)
    names = network.record.class_names or [f"class {index}" for index in range(probs.shape[1])]
    for sample, row, order in zip(samples, probs, best_classes(probs)[:, :args.top]):
        print(sample.image_path)
        for index in order:
            print(f"  {100 * row[index]:5.1f} %  {names[index]}")
