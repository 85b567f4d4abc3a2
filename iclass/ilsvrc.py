"""Train and test image classification networks.

Train Model A1 at an eighth of its width on a folder tree <data-root>/train/<class>/<image>, then test it:

    python iclass/ilsvrc.py --model imagenette128_rna-a1-w0.125_cls10 --data-root $ADEMXAPP_DATA/imagenette128 \\
        --crop-size 96 --batch-images 64 --lr-type linear --base-lr 0.1 --to-epoch 20
    python iclass/ilsvrc.py --phase val --weights output/imagenette128_rna-a1-w0.125_cls10_ep-0020.params \\
        --data-root $ADEMXAPP_DATA/imagenette128 --split val --test-scales 128

The released Model A1 on ILSVRC 2012:

    python iclass/ilsvrc.py --phase val --weights models/ilsvrc-cls_rna-a1_cls1000_ep-0001.params --split val \\
        --data-root data/ilsvrc12 --output output --batch-images 10 --test-scales 320 --no-choose-interp-method --gpus 0
"""
if __name__ == "__main__":  # run as a script: import from the repository, and report errors in one line
    import pathlib
    import sys
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])
    from ademxapp.cli import run
    run("iclass.ilsvrc")

import numpy as np
from tqdm import tqdm

from ademxapp import driver
from ademxapp.cli import UsageError, make_parser, numbers
from ademxapp.data import transforms
from ademxapp.data.lists import read_classification_list
from ademxapp.data.loader import Loader
from ademxapp.evaluation.classification import average_views, top_errors
from ademxapp.evaluation.predictor import Predictor
from ademxapp.symbol import SymbolOptions, classification_symbol, network
from ademxapp.symbol.options import POOL_STYLES
from ademxapp.training.metrics import TrainingMetric
from iclass.data import TestImages, TrainImages
from iclass.datasets import dataset_record


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
        train(args, label, settings)
    else:
        val(args, label, settings, record)


def build_parser():
    """The driver's arguments."""
    parser = make_parser(__doc__)
    driver.add_shared_arguments(parser, base_lr=0.1, weight_decay=1e-4, check_step=1)
    group = parser.add_argument_group("classification")
    group.add_argument("--crop-area-range", type=numbers(float, 0.001, count=2), default=(0.08, 1.0),
                       metavar="LOW,HIGH", help="training: share of an image's area that a crop takes")
    group.add_argument("--test-3crops", action="store_true", help="average three crops along the longer side")
    group.add_argument("--no-choose-interp-method", action="store_true", help="resize always with the bicubic filter "
                       "(default: as the network's record says, Lanczos down and bicubic up for the paper's)")
    group.add_argument("--pool-top-infer-style", choices=[style for style in POOL_STYLES if style],
                       help="pooling without padding, sizes rounded down (caffe, as the released Model A wants) or up")
    return parser


def train(args, label, settings):
    """Train a network."""
    driver.check_training_arguments(args)
    if not args.crop_area_range[0] <= args.crop_area_range[1] <= 1:
        raise UsageError("--crop-area-range {},{}: wanted the smaller share first, and none over 1".format(
            *args.crop_area_range))
    args.batch_images = args.batch_images or 256
    args.crop_size = args.crop_size or settings.train_crop
    samples = find_samples(args, label)
    workers = driver.join(args)
    log = driver.open_log(args, workers.rank)
    dataset = TrainImages(samples, args.crop_size, settings, interpolation(args, settings), args.crop_area_range)
    symbol = classification_symbol(label, options(args, training=True))
    driver.train(args, workers, symbol, dataset, TrainingMetric(label.classes), driver.CLASSIFICATION, log,
                 lambda contexts: validation(args, label, settings, contexts))


def validation(args, label, settings, contexts):
    """What training is scored with: a function from `Parameters` to accuracies on the val split, as in phase val."""
    testing = driver.validation_arguments(args, 10 * len(contexts))
    samples = find_samples(testing, label)
    symbol, scales = classification_symbol(label, options(args, training=False)), args.test_scales or (args.crop_size,)

    def validate(parameters):
        top1, top5 = errors(testing, Predictor(symbol, parameters, contexts), samples, scales, settings)
        return {"top1_accuracy": 100 - top1, "top5_accuracy": 100 - top5}

    return validate


def val(args, label, settings, record):
    """Test a network: errors of the probabilities averaged over crops, then flips, then sizes."""
    driver.require_testing_arguments(args, (settings.test_crop,))
    if args.phase == "test":
        raise UsageError("classification has no --phase test: --phase val scores a split that has labels")
    args.batch_images = args.batch_images or 10
    samples = find_samples(args, label)
    symbol = classification_symbol(label, options(args, training=False))
    parameters = driver.exact_parameters(args, symbol, (1, 3, min(args.test_scales), min(args.test_scales)))
    folder = driver.test_folder(args)
    log = driver.open_log(args)
    predictor = Predictor(symbol, parameters, driver.devices(args, log))
    driver.discard_result(folder)
    watch = driver.Stopwatch()
    top1, top5 = errors(args, predictor, samples, args.test_scales, settings)
    paper = record.paper.get((label.network, args.split))
    driver.write_result(folder, args, len(samples), watch.seconds,
                        paper and dict(zip(("top1_error", "top5_error"), paper)),
                        {"top1_error": top1, "top5_error": top5})
    log.info("%d images, top-1 error %.2f %%, top-5 error %.2f %%, %.1f images/s; written to %s", len(samples), top1,
             top5, len(samples) / watch.seconds, folder)


def errors(args, predictor, samples, scales, settings):
    """Top-1 and top-5 errors, percent, of the probabilities averaged over the sizes."""
    probs = np.mean([scale_probabilities(args, predictor, samples, scale, settings)
                     for scale in sorted(set(scales), reverse=True)], 0)
    return top_errors(probs, [sample.class_id for sample in samples])


def scale_probabilities(args, predictor, samples, scale, settings):
    """Probabilities (images, classes) at one size, averaged over crops and, if asked, the mirrored crops."""
    dataset = TestImages(samples, scale, settings, args.test_3crops, interpolation(args, settings))

    def predict(data):
        plain = predictor(data)
        return (plain + predictor(transforms.flip(data))) / 2 if args.test_flipping else plain

    with Loader(dataset, args.batch_images, workers=args.prefetch_threads, kind=args.prefetcher) as loader:
        batches = tqdm(loader, total=loader.batches, unit="batch", desc=f"size {scale}", disable=None)
        arrays = (batch.data[0].asnumpy()[:loader.batch_size - batch.pad] for batch in batches)
        return average_views(predict, arrays, dataset.views)


def find_samples(args, label):
    """The samples of the split."""
    return driver.find_samples(args, label, tree=True, read_list=lambda path: read_classification_list(
        path, args.data_root, label.classes))


def interpolation(args, settings):
    """How images are resized: as the network's record says, or always bicubic."""
    return "bicubic" if args.no_choose_interp_method else settings.interpolation


def options(args, training):
    """The network's options: statistics of the batch in training, the moving ones in testing."""
    return SymbolOptions(bn_use_global_stats=not training, pool_top_infer_style=args.pool_top_infer_style,
                         recompute=training and args.backward_do_mirror)
