"""Train and test image classification networks.

Train Model A1 at an eighth of its width on a folder tree <data-root>/train/<class>/<image>, then test it:

    python iclass/ilsvrc.py --model imagenette128_rna-a1-w0.125_cls10 --data-root $ADEMXAPP_DATA/imagenette128 \\
        --crop-size 96 --crop-area-range 0.25,1 --batch-images 64 --lr-type linear --base-lr 0.06 --to-epoch 40
    python iclass/ilsvrc.py --phase val --weights output/imagenette128_rna-a1-w0.125_cls10_ep-0040.params \\
        --data-root $ADEMXAPP_DATA/imagenette128 --split val --test-scales 128

The released Model A1 on ILSVRC 2012:

    python iclass/ilsvrc.py --phase val --weights models/ilsvrc-cls_rna-a1_cls1000_ep-0001.params --split val \\
        --data-root data/ilsvrc12 --output output --batch-images 10 --test-scales 320 --no-choose-interp-method --gpus 0

Averages over sizes, ten crops and two networks; and an entry for ILSVRC's test server, entry.txt in the test's folder:

    python iclass/ilsvrc.py --phase val --weights models/ilsvrc-cls_rna-a1_cls1000_ep-0001.params --split val \\
        --also models/ilsvrc-cls_rna-a_cls1000_ep-0001.params --test-scales 256,320 --test-10crops
    python iclass/ilsvrc.py --phase test --weights models/ilsvrc-cls_rna-a1_cls1000_ep-0001.params --split test \\
        --data-root data/ilsvrc12 --test-scales 320 --devkit data/ILSVRC2012_devkit_t12
"""
if __name__ == "__main__":  # run as a script: import from the repository, and report errors in one line
    import pathlib
    import sys
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])
    from ademxapp.cli import run
    run("iclass.ilsvrc")

import os

import numpy as np

from ademxapp import driver
from ademxapp.cli import UsageError, existing_file, make_parser, number, numbers
from ademxapp.data.lists import read_classification_list
from ademxapp.evaluation.classification import top_errors, write_entry, write_predictions
from ademxapp.evaluation.predictor import Predictor
from ademxapp.symbol import SymbolOptions, classification_symbol, network, output_stride
from ademxapp.symbol.options import POOL_STYLES
from ademxapp.training.metrics import TrainingMetric
from ademxapp.weights.description import CLASSIFICATION, Description, only
from ademxapp.weights.parameters import parameter_shapes
from iclass.data import TrainImages
from iclass.datasets import SYNSETS, dataset_record
from iclass.devkit import DEVKIT, kit_numbers
from iclass.testing import Views, load_networks, make_predictor, probabilities


def main(argv=None):
    """Parse the arguments and run the phase that they name."""
    args = build_parser().parse_args(argv)
    label = driver.run_label(args)
    try:
        settings = network(label.network).input
        record = dataset_record(args.dataset, label.classes, args.dataset_file)
    except ValueError as error:
        raise UsageError(str(error)) from None
    if args.phase == "train":
        train(args, label, settings, record)
    else:
        val(args, label, settings, record)


def build_parser():
    """The driver's arguments."""
    parser = make_parser(__doc__)
    driver.add_shared_arguments(parser, base_lr=0.1, weight_decay=1e-4, check_step=1)
    group = parser.add_argument_group("classification")
    group.add_argument("--crop-area-range", type=numbers(float, 0.001, count=2), default=(0.08, 1.0),
                       metavar="LOW,HIGH", help="training: share of an image's area that a crop takes")
    group.add_argument("--also", type=existing_files, metavar="FILE,FILE,…", help="testing: weights of more networks, "
                       "of the same classes; probabilities are averaged over all, each at all sizes")
    crops = group.add_mutually_exclusive_group()
    crops.add_argument("--test-3crops", action="store_true", help="average three crops along the longer side")
    crops.add_argument("--test-10crops", action="store_true", default=None, help="average the crops in the corners and "
                       "the centre, and their mirror images")
    group.add_argument("--test-crop-size", type=number(int, 1), metavar="PIXELS", help="testing: side of the crops "
                       "(default: the size, or with --test-10crops 224/256 of it)")
    group.add_argument("--devkit", metavar="DIR", help="--phase test on ILSVRC: its development kit, with the server's "
                       f"numbers of the classes (default: <data-root>/{DEVKIT})")
    group.add_argument("--no-choose-interp-method", action="store_true", help="resize always with the bicubic filter "
                       "(default: as the network's record says, Lanczos down and bicubic up for the paper's)")
    group.add_argument("--pool-top-infer-style", choices=[style for style in POOL_STYLES if style],
                       help="pooling without padding, sizes rounded down (caffe, as the released Model A wants) or up")
    return parser


def existing_files(text):
    """An argparse type: paths of files, separated by commas, as a list."""
    return [existing_file(path) for path in text.split(",")]


def train(args, label, settings, record):
    """Train a network."""
    driver.check_training_arguments(args)
    if not args.crop_area_range[0] <= args.crop_area_range[1] <= 1:
        raise UsageError("--crop-area-range {},{}: wanted the smaller share first, and none over 1".format(
            *args.crop_area_range))
    args.batch_images = args.batch_images or 256
    args.crop_size = args.crop_size or settings.train_crop
    samples = find_samples(args, label, record)
    workers = driver.join(args)
    log = driver.open_log(args, workers.rank)
    dataset = TrainImages(samples, args.crop_size, settings, interpolation(args, settings), args.crop_area_range)
    symbol = classification_symbol(label, options(args, training=True))
    driver.train(args, workers, symbol, dataset, TrainingMetric(label.classes), driver.CLASSIFICATION, log,
                 description(args, label, settings, record),
                 lambda contexts: validation(args, label, settings, record, contexts))


def description(args, label, settings, record):
    """What testing needs to know of the weights: they are tested as they are validated."""
    usual = settings.test_crop if args.crop_size == settings.train_crop else args.crop_size
    return Description(
        str(label), CLASSIFICATION, label.classes, output_stride(label), settings.mean, settings.std,
        interpolation(args, settings), only(args.test_scales) or usual, pool_style=args.pool_top_infer_style or "",
        crop_size=args.crop_size, class_names=record.class_names)


def validation(args, label, settings, record, contexts):
    """What training is scored with: a function from `Parameters` to accuracies on the val split, as in phase val."""
    testing = driver.validation_arguments(args, 10 * len(contexts))
    samples = find_samples(testing, label, record)
    symbol, scales = classification_symbol(label, options(args, training=False)), args.test_scales or (args.crop_size,)
    trained = parameter_shapes(symbol, data=(1, 3, args.crop_size, args.crop_size))
    for side in view_sides(test_views(testing, scales)):
        if parameter_shapes(symbol, data=(1, 3, side, side)) != trained:
            raise UsageError(f"{label.network} takes one size of crops: a validation with crops of {side} pixels does "
                             f"not go with a training with {args.crop_size}")

    def validate(parameters):
        top1, top5 = errors(testing, Predictor(symbol, parameters, contexts), samples, scales, settings)
        return {"top1_accuracy": 100 - top1, "top5_accuracy": 100 - top5}

    return validate


def val(args, label, settings, record):
    """Test networks: errors of the averaged probabilities or, in phase test, the predictions alone."""
    driver.require_testing_arguments(args, (settings.test_crop,))
    args.batch_images = args.batch_images or 10
    args.also = [os.path.normpath(path) for path in args.also] if args.also else None
    views = test_views(args)
    sides = view_sides(views)
    numbers = server_numbers(args, record)
    samples = find_samples(args, label, record)
    networks = load_networks([args.weights, *(args.also or ())], label, args.pool_top_infer_style, sides)
    folder = driver.test_folder(args)
    log = driver.open_log(args)
    contexts = driver.devices(args, log)
    predictors = [make_predictor(args, one, views, contexts, log) for one in networks]
    driver.discard_result(folder)
    watch = driver.Stopwatch()
    probs = np.mean([probabilities(predictors.pop(0), samples, one.settings, views) for one in networks], 0)
    report(args, folder, label, record, samples, probs, numbers, watch.seconds, log)


def report(args, folder, label, record, samples, probs, numbers, seconds, log):
    """Write and log what came out."""
    write_predictions(os.path.join(folder, "predictions.tsv"), samples, probs)
    paper, scores, words = None, {}, "not scored"
    if args.phase == "val":
        top1, top5 = top_errors(probs, [sample.class_id for sample in samples])
        scores, words = {"top1_error": top1, "top5_error": top5}, f"top-1 error {top1:.2f} %, top-5 error {top5:.2f} %"
        published = record.paper.get((label.network, args.split))
        paper = published and dict(zip(scores, published))
    elif numbers:
        order = sorted(range(len(samples)), key=lambda index: os.path.basename(samples[index].image))
        write_entry(os.path.join(folder, "entry.txt"), probs[order], numbers)
        log.info("entry.txt is for the server%s", "" if len(samples) == record.splits["test"] else
                 f", but of {len(samples):,} images: the test set has {record.splits['test']:,}")
    driver.write_result(folder, args, len(samples), seconds, paper, scores)
    log.info("%d images, %s, %.1f images/s; written to %s", len(samples), words, len(samples) / seconds, folder)


def server_numbers(args, record):
    """What the test server of ILSVRC calls our classes (list of int); None where there is no such server.

    UsageError without the development kit that tells.
    """
    if args.phase != "test" or record.folders != SYNSETS:
        return None
    devkit = args.devkit or os.path.join(args.data_root, DEVKIT)
    if not os.path.isdir(devkit):
        raise UsageError(f"--phase test needs the development kit, --devkit DIR ({DEVKIT}): the test server has its "
                         "own numbers of the classes")
    return kit_numbers(devkit, record.folders)


def test_views(args, scales=None):
    """The `Views` that the arguments ask for."""
    crops = "five" if args.test_10crops else "three" if args.test_3crops else "centre"
    return Views(scales or args.test_scales, crops, args.test_crop_size, bool(args.test_flipping or args.test_10crops),
                 "bicubic" if args.no_choose_interp_method else None, args.batch_images, args.prefetch_threads,
                 args.prefetcher)


def view_sides(views):
    """Sides of the crops at all scales, in pixels; UsageError where they are larger than the images."""
    try:
        return [views.side(scale) for scale in views.scales]
    except ValueError as error:
        raise UsageError(str(error)) from None


def errors(args, predictor, samples, scales, settings):
    """Top-1 and top-5 errors, percent, of one network."""
    probs = probabilities(predictor, samples, settings, test_views(args, scales))
    return top_errors(probs, [sample.class_id for sample in samples])


def find_samples(args, label, record):
    """The samples of the split; in phase test, their classes need not be known."""
    unknown = args.phase == "test"
    return driver.find_samples(args, label, lambda path: read_classification_list(
        path, args.data_root, None if unknown else label.classes), tree=True, unknown=unknown,
        folders=record.folders)


def interpolation(args, settings):
    """How images are resized: as the network's record says, or always bicubic."""
    return "bicubic" if args.no_choose_interp_method else settings.interpolation


def options(args, training):
    """The network's options: statistics of the batch in training, the moving ones in testing."""
    return SymbolOptions(bn_use_global_stats=not training, pool_top_infer_style=args.pool_top_infer_style,
                         recompute=training and args.backward_do_mirror)
