"""Train and test semantic segmentation networks.

Fine-tune a classification network of the same features on CamVid, then test it:

    python tools/prepare.py camvid --root $ADEMXAPP_DATA/camvid
    python issegm/voc.py --phase train --model camvid_rna-a1-w0.125_cls11_s8 --data-root $ADEMXAPP_DATA/camvid \\
        --weights models/imagenette128_rna-a1-w0.125_cls10_ep-0050.params --crop-size 256 --origin-size 768 \\
        --batch-images 8 --lr-type linear --base-lr 0.01 --to-epoch 46
    python issegm/voc.py --phase val --weights output/camvid_rna-a1-w0.125_cls11_s8_ep-0076.params \\
        --data-root $ADEMXAPP_DATA/camvid --split val --test-scales 768

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

import os
from dataclasses import replace
from logging import Logger
from typing import Callable, Dict, List, Optional, Sequence

from ademxapp import IGNORE_LABEL, driver
from ademxapp.cli import Parser, UsageError, make_parser
from ademxapp.engine import Device, load
from ademxapp.evaluation.crf import BestClasses
from ademxapp.flags import Decides
from ademxapp.symbol import Label, SymbolOptions, network, output_stride, parse_label, segmentation_symbol, whole_cells
from ademxapp.symbol.losses import OHEM_MIN_KEPT, OHEM_THRESH
from ademxapp.symbol.networks import InputSettings
from ademxapp.training.curves import Board
from ademxapp.training.metrics import TrainingMetric
from ademxapp.weights.description import SEGMENTATION, Description, only
from ademxapp.weights.parameters import Parameters
from issegm.data import TrainCrops
from issegm.datasets import SegmentationDataset, dataset_record, described_record
from issegm.scoring import Scores
from issegm.segmenter import Segmenter, test_symbol
from issegm.settings import SegmentationSettings
from issegm.testing import (
    FirstImages,
    crf_settings,
    dense_test,
    labelled,
    of_shard,
    run_test,
    score_samples,
    shard_name,
)

CROP = 500  # pixels, of training


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Parse the arguments and run the phase that they name."""
    asked = driver.named_run(parse(argv))
    load(asked.engine)
    label = parse_label(asked.model)
    try:
        stride, inputs = output_stride(label), network(label.network).input
        known = driver.tested_weights(asked, SEGMENTATION)
        record = (described_record(known, asked.dataset, asked.dataset_file) if known else
                  dataset_record(asked.dataset, label.classes, asked.dataset_file))
    except ValueError as error:
        raise UsageError(str(error)) from None
    if asked.phase == "train":
        train(training_settings(asked, record), label, record, inputs, stride)
    else:
        val(testing_settings(asked, stride), label, record)


def parse(argv: Optional[Sequence[str]] = None) -> SegmentationSettings:
    """What is asked for."""
    return SegmentationSettings.from_args(build_parser().parse_args(argv))


def build_parser() -> Parser:
    """The driver's arguments."""
    return make_parser(__doc__, SegmentationSettings)


def training_settings(asked: SegmentationSettings, record: SegmentationDataset) -> SegmentationSettings:
    """With what a training does where nothing is asked for."""
    asked = driver.checked_training(asked)
    if asked.scale_rate_range[0] > asked.scale_rate_range[1]:
        raise UsageError("--scale-rate-range {},{}: the first is larger than the second".format(
            *asked.scale_rate_range))
    return replace(asked, batch_images=asked.batch_images or 16, crop_size=asked.crop_size or CROP,
                   origin_size=asked.origin_size or record.largest_side)


def testing_settings(asked: SegmentationSettings, stride: int) -> SegmentationSettings:
    """With what a test does where nothing is asked for."""
    asked = driver.checked_testing(asked)
    if stride % asked.test_steps:
        raise UsageError(f"--test-steps {asked.test_steps} does not divide the stride {stride}")
    if asked.skip_done and asked.no_save_results:
        raise UsageError("--skip-done goes by the label images, which --no-save-results does not write: give one of "
                         "them")
    return replace(asked, batch_images=asked.batch_images or 1)


def train(asked: SegmentationSettings, label: Label, record: SegmentationDataset, inputs: InputSettings, stride: int
          ) -> None:
    """Fine-tune a network with fixed BN statistics, on crops of whole cells."""
    settings = replace(asked, crop_size=whole_cells(asked.crop_size, stride))
    class_weights = settings.class_weights
    if class_weights and len(class_weights) != label.classes:
        raise UsageError(f"--class-weights has {len(class_weights)} numbers, and the network {label.classes} "
                         "classes: give one number for each")
    samples = driver.find_samples(settings, "segmentation")
    if any(sample.label_image is None for sample in samples):
        raise ValueError("the list names images without labels: training needs image<TAB>label on every line")
    workers = driver.join(settings)
    log = driver.open_log(settings.log_file, settings.output, settings.model, settings.debug, workers.rank)
    warn_of_poor_starts(settings, label, stride, log)
    if settings.crop_size != asked.crop_size:
        log.info("crops of %d pixels: %d rounded up to a multiple of the stride %d", settings.crop_size,
                 asked.crop_size, stride)
    if settings.cache_images:
        log.info("--cache-images: the system keeps the files that fit into the free memory, for all readers; this "
                 "program keeps none besides")
    dataset = TrainCrops(samples, record, inputs, stride, settings.crop_size, settings.origin_size,
                         settings.scale_rate_range, settings.colour_jitter or 0, settings.class_crops or 0)
    options = SymbolOptions(bn_use_global_stats=True, lr_type="alex", recompute=settings.backward_do_mirror)
    symbol = segmentation_symbol(label, options, settings.head, settings.loss, class_weights)
    ohem = (OHEM_THRESH, OHEM_MIN_KEPT) if settings.loss == "ohem" else None
    metric = TrainingMetric(label.classes, IGNORE_LABEL, ohem)
    run = driver.identity_of(Decides.TRAINING, settings, SEGMENTATION, samples, record)
    driver.train(settings, run, workers, symbol, dataset, metric, driver.SEGMENTATION, log,
                 description(settings, label, record, inputs, stride),
                 lambda contexts, board: validation(settings, label, record, inputs, stride, contexts, board))


def description(settings: SegmentationSettings, label: Label, record: SegmentationDataset, inputs: InputSettings,
                stride: int) -> Description:
    """What testing needs to know of the weights: they are tested as they are validated."""
    return Description(
        str(label), SEGMENTATION, label.classes, stride, inputs.mean, inputs.std, inputs.interpolation,
        only(settings.test_scales) or settings.origin_size, settings.head, crop_size=settings.crop_size,
        origin_size=settings.origin_size, **record.described())


def warn_of_poor_starts(settings: SegmentationSettings, label: Label, stride: int, log: Logger) -> None:
    """Log warnings of what makes fine-tuning fail, or its result poor."""
    if not settings.weights and not settings.resume:
        log.warning("warning: no --weights: with fixed BN statistics a network hardly learns from random numbers. Give "
                    "--weights of a classification network of the same kind (iclass/ilsvrc.py trains one)")
    if label.stride is None and stride > 8:
        log.warning("warning: the label %s has no _s8: the network keeps its own stride of %d pixels, and its "
                    "predictions are coarse. The paper's networks have 8: --model %s_%s_cls%d_s8", settings.model,
                    stride, label.dataset, label.network, label.classes)


def validation(settings: SegmentationSettings, label: Label, record: SegmentationDataset, inputs: InputSettings,
               stride: int, contexts: Sequence[Device], board: Optional[Board]
               ) -> Callable[[Parameters], Dict[str, float]]:
    """What training is scored with: a function from `Parameters` to scores on the val split, as in phase val."""
    if settings.crf:
        raise UsageError("--crf is for --phase val: a training's validations go without")
    samples = labelled(driver.find_samples(driver.validation_data(settings, len(contexts)), "segmentation",
                                           flags=driver.VALIDATION))
    testing = replace(settings, test_scales=settings.test_scales or (settings.origin_size,))
    symbol = test_symbol(label, settings.head)
    network = Segmenter(description(settings, label, record, inputs, stride), record,
                        dense_test(testing, len(contexts)), symbol=symbol, devices=contexts)

    def validate(parameters: Parameters) -> Dict[str, float]:
        scores, forward = Scores(record), load(settings.engine).Predictor(symbol, parameters, contexts)
        first = FirstImages(record, samples) if board else None
        score_samples([scores], samples, record, [replace(network, forward=forward)], BestClasses(),
                      settings.prefetch_threads, first)
        if board and first:
            board.picture("images", first.sheet())
        found = {name: scores.result()[name] for name in ("mean_iou", "mean_acc", "pixel_acc")}
        if None in found.values():
            raise ValueError("the validation has no scores: every pixel of its labels is one that does not count")
        return found

    return validate


def val(asked: SegmentationSettings, label: Label, record: SegmentationDataset) -> None:
    """Test a network: labels and correctness pictures of every image and, in phase val, scores."""
    settings, crfs = crf_settings(asked)
    weights = settings.weights
    assert weights, "as driver.checked_testing wants it"
    samples = driver.find_samples(settings, SEGMENTATION)
    network = Segmenter.read(weights, settings.model, record,
                             **vars(dense_test(settings, settings.batch_images)))
    settings = replace(settings, head=network.description.head)
    images = driver.calibration_images(settings, SEGMENTATION, label.classes, network.CALIBRATION_IMAGES)
    test = driver.identity_of(Decides.TEST, settings, SEGMENTATION, samples, record, [weights])
    folder = driver.test_folder(settings.output, os.path.splitext(os.path.basename(weights))[0],
                                None if settings.split == "val" else settings.split, settings.tag,
                                shard_name(settings.shard))

    def open_sources(log: Logger) -> List[Segmenter]:
        driver.warn_of_train_split(settings, log)
        return [network.on(driver.devices(settings, log), settings.dtype, images, settings.engine,
                           settings.compile)]

    run_test(settings, test, folder, record, of_shard(samples, settings.shard), crfs, open_sources,
             settings.phase == "val", paper=record.paper.get((label.network, settings.head, settings.split)))
