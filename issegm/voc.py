"""Train and test semantic segmentation networks.

Fine-tune a classification network of the same features on CamVid, then test it:

    python tools/prepare.py camvid --root $ADEMXAPP_DATA/camvid
    python issegm/voc.py --phase train --model camvid_rna-a1-w0.125_cls11_s8 --data-root $ADEMXAPP_DATA/camvid \\
        --weights output/imagenette128_rna-a1-w0.125_cls10_ep-0040.params --crop-size 240 --origin-size 600 \\
        --batch-images 8 --lr-type linear --base-lr 0.01 --to-epoch 55
    python issegm/voc.py --phase val --weights output/camvid_rna-a1-w0.125_cls11_s8_ep-0055.params \\
        --data-root $ADEMXAPP_DATA/camvid --split val --test-scales 600

The released Model A1 on PASCAL VOC:

    python issegm/voc.py --phase val --weights models/voc_rna-a1_cls21_s8_ep-0001.params --split val \\
        --data-root data/VOCdevkit --output output --test-scales 500 --test-flipping --gpus 0

A fourth of a test split at several scales, with a CRF, taken up where it was broken off:

    python issegm/voc.py --phase test --weights models/voc_rna-a1_cls21_s8_ep-0001.params --split test \\
        --data-root data/VOCdevkit --output output --test-scales 375,500,625 --test-flipping --crf \\
        --shard 1/4 --skip-done
"""
if __name__ == "__main__":  # run as a script: import from the repository, and report errors in one line
    import pathlib
    import sys
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])
    from ademxapp.cli import run
    run("issegm.voc")

from ademxapp import driver
from ademxapp.cli import UsageError, make_parser, number, numbers
from ademxapp.data.lists import read_segmentation_list
from ademxapp.evaluation.fitting import WindowChoice
from ademxapp.evaluation.labelling import BestClasses
from ademxapp.evaluation.predictor import Predictor
from ademxapp.symbol import SymbolOptions, network, output_stride, segmentation_symbol
from ademxapp.symbol.heads import HEADS
from ademxapp.symbol.losses import OHEM_MIN_KEPT, OHEM_THRESH
from ademxapp.symbol.zoo import SEGMENTATION_LOSSES
from ademxapp.training.metrics import TrainingMetric
from ademxapp.weights.description import SEGMENTATION, Description, only
from issegm.data import TrainCrops
from issegm.datasets import IGNORE, dataset_record
from issegm.outputs import Outputs, made_from, require_distinct_names
from issegm.scoring import Scores
from issegm.sources import Network, dense_settings, load_weights, make_network, test_symbol, windows_chosen
from issegm.testing import (
    add_testing_arguments,
    crf_settings,
    labelled,
    make_labeller,
    of_shard,
    report,
    score_samples,
    shard_name,
    timing,
)


def main(argv=None):
    """Parse the arguments and run the phase that they name."""
    args = build_parser().parse_args(argv)
    label = driver.run_label(args)
    try:
        stride, settings = output_stride(label), network(label.network).input
        record = dataset_record(args.dataset, label.classes, args.dataset_file)
    except ValueError as error:
        raise UsageError(str(error)) from None
    if args.phase == "train":
        train(args, label, record, settings, stride)
    else:
        val(args, label, record, stride)


def build_parser():
    """The driver's arguments."""
    parser = make_parser(__doc__)
    driver.add_shared_arguments(parser, base_lr=0.0016, weight_decay=5e-4, check_step=4)
    group = parser.add_argument_group("segmentation")
    group.add_argument("--origin-size", type=number(int, 1), metavar="PIXELS", help="training: the longer side is "
                       "resized to this times a factor of --scale-rate-range (default: the dataset's largest side)")
    group.add_argument("--scale-rate-range", type=numbers(float, 0.05, count=2), default=(0.7, 1.3), metavar="LOW,HIGH",
                       help="of the scales in training")
    group.add_argument("--cache-images", type=number(int, 0, 1), default=1, metavar="0|1", help="training: keep the "
                       "files' bytes in memory")
    group.add_argument("--head", choices=HEADS, default=HEADS[0], help="layers behind the features; when testing, the "
                       "weights tell")
    group.add_argument("--loss", choices=SEGMENTATION_LOSSES, default=SEGMENTATION_LOSSES[0], help="online "
                       "bootstrapping, or plain softmax")
    group = add_testing_arguments(parser)
    group.add_argument("--skip-done", action="store_true", help="do not predict images again whose files are there "
                       "from the same arguments and weights; they are scored as they are")
    group.add_argument("--save-predictions", action="store_true", help="keep the score maps, for tools/msctest.py: "
                       "scores/<image>.h5 or, with several scales, scores/scale-<N>/<image>.h5")
    return parser


def train(args, label, record, settings, stride):
    """Fine-tune a network with fixed BN statistics."""
    driver.check_training_arguments(args)
    args.batch_images = args.batch_images or 16
    asked = args.crop_size or 500
    args.crop_size = -(-asked // stride) * stride
    args.origin_size = args.origin_size or record.largest_side
    if args.scale_rate_range[0] > args.scale_rate_range[1]:
        raise UsageError("--scale-rate-range {},{}: the first is larger than the second".format(*args.scale_rate_range))
    samples = find_samples(args, label)
    if any(sample.label_image is None for sample in samples):
        raise ValueError("the list names images without labels: training needs image<TAB>label on every line")
    workers = driver.join(args)
    log = driver.open_log(args, workers.rank)
    warn_of_poor_starts(args, label, stride, log)
    if args.crop_size != asked:
        log.info("crops of %d pixels: %d rounded up to a multiple of the stride %d", args.crop_size, asked, stride)
    dataset = TrainCrops(samples, record, settings, stride, args.crop_size, args.origin_size, args.scale_rate_range,
                         bool(args.cache_images))
    options = SymbolOptions(bn_use_global_stats=True, lr_type="alex", recompute=args.backward_do_mirror)
    symbol = segmentation_symbol(label, options, args.head, args.loss)
    ohem = (OHEM_THRESH, OHEM_MIN_KEPT) if args.loss == "ohem" else None
    metric = TrainingMetric(label.classes, IGNORE, ohem)
    driver.train(args, workers, symbol, dataset, metric, driver.SEGMENTATION, log,
                 description(args, label, record, settings, stride),
                 lambda contexts: validation(args, label, record, settings, stride, contexts, log))


def description(args, label, record, settings, stride):
    """What testing needs to know of the weights: they are tested as they are validated."""
    return Description(
        str(label), SEGMENTATION, label.classes, stride, settings.mean, settings.std, settings.interpolation,
        only(args.test_scales) or args.origin_size, args.head, crop_size=args.crop_size, origin_size=args.origin_size,
        **record.described())


def warn_of_poor_starts(args, label, stride, log):
    """Log warnings of what makes fine-tuning fail, or its result poor."""
    if not args.weights and not args.resume:
        log.warning("warning: no --weights: with fixed BN statistics a network hardly learns from random numbers. Give "
                    "--weights of a classification network of the same kind (iclass/ilsvrc.py trains one)")
    if label.stride is None and stride > 8:
        log.warning("warning: the label %s has no _s8: the network keeps its own stride of %d pixels, and its "
                    "predictions are coarse. The paper's networks have 8: --model %s_%s_cls%d_s8", args.model, stride,
                    label.dataset, label.network, label.classes)


def validation(args, label, record, settings, stride, contexts, log):
    """What training is scored with: a function from `Parameters` to scores on the val split, as in phase val."""
    if args.crf:
        raise UsageError("--crf is for --phase val: a training's validations go without")
    samples = labelled(find_samples(driver.validation_arguments(args, len(contexts)), label))
    symbol, scales = test_symbol(label, args.head), args.test_scales or (args.origin_size,)
    dense = dense_settings(args, record, settings, stride, len(contexts))
    window = WindowChoice(symbol, contexts, len(contexts), stride, args.window, log.info)

    def validate(parameters):
        scores = Scores(record)
        network = Network(Predictor(symbol, parameters, contexts), scales, dense, window=window)
        score_samples([scores], samples, record, [network], BestClasses(), args.prefetch_threads)
        found = {name: scores.result()[name] for name in ("mean_iou", "mean_acc", "pixel_acc")}
        if None in found.values():
            raise ValueError("the validation has no scores: every pixel of its labels is one that does not count")
        return found

    return validate


def val(args, label, record, stride):
    """Test a network: labels and correctness pictures of every image and, in phase val, scores."""
    check_testing_arguments(args, stride)
    crfs = crf_settings(args)
    samples = of_shard(find_samples(args, label), args.shard)
    scores = [Scores(record, labelled(samples))] if args.phase == "val" else []
    require_distinct_names(samples, args.save_predictions, not args.no_save_results)
    weights = load_weights(args.weights, label)
    args.head = weights.head
    folder = driver.test_folder(args, shard_name(args.shard))
    log = driver.open_log(args)
    source = make_network(args, weights, record, driver.devices(args, log), log, args.batch_images)
    outputs = Outputs(folder, record, not args.no_save_results, source if args.save_predictions else None)
    origin = made_from(args, [args.weights])
    outputs.start(samples, origin, args.skip_done, log)
    watch = driver.Stopwatch()
    with make_labeller(args, crfs) as labeller:
        score_samples(scores, samples, record, [source], labeller, args.prefetch_threads, outputs)
    about = {"weights_sha256": origin["weights_sha256"], **windows_chosen([source]), **timing(outputs, samples, watch)}
    paper = record.paper.get((label.network, args.head, args.split))
    report(args, folder, record, scores, len(samples), watch.seconds, about, log, paper)
    outputs.finish()


def check_testing_arguments(args, stride):
    """UsageError unless the arguments of testing agree with each other; sets those that follow from others."""
    driver.require_testing_arguments(args)
    if stride % args.test_steps:
        raise UsageError(f"--test-steps {args.test_steps} does not divide the stride {stride}")
    if args.skip_done and args.no_save_results:
        raise UsageError("--skip-done goes by the label images, which --no-save-results does not write: give one of "
                         "them")
    args.batch_images = args.batch_images or 1


def find_samples(args, label):
    """The samples of the split."""
    return driver.find_samples(args, label, lambda path: read_segmentation_list(path, args.data_root))
