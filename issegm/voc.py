"""Train and test semantic segmentation networks.

Fine-tune a classification network of the same features on CamVid, then test it:

    python tools/prepare.py camvid --root $ADEMXAPP_DATA/camvid
    python issegm/voc.py --phase train --model camvid_rna-a1-w0.125_cls11_s8 --data-root $ADEMXAPP_DATA/camvid \\
        --weights models/imagenette128_rna-a1-w0.125_cls10_ep-0050.params --crop-size 256 --origin-size 640 \\
        --batch-images 8 --optimizer adam --base-lr 0.0005 --lr-type linear --lr-warmup 1 --to-epoch 76
    python issegm/voc.py --phase val --weights output/camvid_rna-a1-w0.125_cls11_s8_ep-0076.params \\
        --data-root $ADEMXAPP_DATA/camvid --split val --test-scales 640

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

from dataclasses import replace
from itertools import islice
from logging import Logger
from typing import Callable, Dict, List, Mapping, Optional, Sequence

import numpy as np

from ademxapp import IGNORE_LABEL, driver
from ademxapp.cli import make_parser
from ademxapp.data.images import stem
from ademxapp.data.lists import Sample
from ademxapp.driver import training
from ademxapp.engine import Device, load
from ademxapp.errors import UsageError, usage_errors
from ademxapp.evaluation.dense import Labels
from ademxapp.evaluation.pictures import class_colours, contact_sheet, correct_picture
from ademxapp.flags import Decides
from ademxapp.symbol import Label, SymbolOptions, network, output_stride, parse_label, segmentation_symbol, whole_cells
from ademxapp.symbol.losses import OHEM_MIN_KEPT, OHEM_THRESH
from ademxapp.symbol.options import InputSettings
from ademxapp.training.progress import Board, TrainingMetric
from ademxapp.weights.describe import symbol_to_test
from ademxapp.weights.description import SEGMENTATION, Description, only
from ademxapp.weights.parameters import Parameters
from issegm.datasets import SegmentationDataset, TrainCrops, dataset_record, described_record, open_labelled
from issegm.scoring import Scores
from issegm.segmenter import Segmenter
from issegm.settings import SegmentationSettings
from issegm.testing import crf_settings, dense_test, labelled, of_shard, run_test, score_samples

CROP = 500  # pixels, of training
SHOWN = 4  # of the first validation images


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Parse the arguments and run the phase that they name."""
    settings = SegmentationSettings.from_args(make_parser(__doc__, SegmentationSettings).parse_args(argv))
    asked = driver.named_run(settings)
    load(asked.engine)
    label = parse_label(asked.model)
    with usage_errors():
        stride, inputs = output_stride(label), network(label.network).input
        known = driver.tested_weights(asked, SEGMENTATION)
        record = (described_record(known, asked.dataset, asked.dataset_file) if known else
                  dataset_record(asked.dataset, label.classes, asked.dataset_file))
    if asked.phase == "train":
        train(asked, label, record, inputs, stride)
    else:
        val(asked, label, record, stride)


def train(asked: SegmentationSettings, label: Label, record: SegmentationDataset, inputs: InputSettings, stride: int
          ) -> None:
    """Fine-tune a network with fixed BN statistics, on crops of whole cells."""
    asked = driver.checked_training(asked)
    if asked.scale_rate_range[0] > asked.scale_rate_range[1]:
        raise UsageError("--scale-rate-range {},{}: the first is larger than the second".format(
            *asked.scale_rate_range))
    crop, class_weights = asked.crop_size or CROP, asked.class_weights
    settings = replace(asked, batch_images=asked.batch_images or 16, crop_size=whole_cells(crop, stride),
                       origin_size=asked.origin_size or record.largest_side)
    if class_weights and len(class_weights) != label.classes:
        raise UsageError(f"--class-weights has {len(class_weights)} numbers, and the network {label.classes} "
                         "classes: give one number for each")
    samples = driver.find_samples(settings, SEGMENTATION)
    if any(sample.label_image is None for sample in samples):
        raise ValueError("the list names images without labels: training needs image<TAB>label on every line")
    workers = driver.join(settings)
    log = driver.open_log(settings, workers.rank)
    say_before_training(settings, label, stride, crop, log)
    dataset = TrainCrops(samples, record, inputs, stride, settings.crop_size, settings.origin_size,
                         settings.scale_rate_range, settings.colour_jitter or 0, settings.class_crops or 0)
    options = SymbolOptions(bn_use_global_stats=True, lr_type="alex", recompute=settings.backward_do_mirror)
    symbol = segmentation_symbol(label, options, settings.head, settings.loss, class_weights)
    metric = TrainingMetric(label.classes, IGNORE_LABEL,
                            (OHEM_THRESH, OHEM_MIN_KEPT) if settings.loss == "ohem" else None)
    run = driver.Identity.of(Decides.TRAINING, settings, SEGMENTATION, samples, record)
    about = Description(  # weights are tested as they are validated
        str(label), SEGMENTATION, label.classes, stride, inputs.mean, inputs.std, inputs.interpolation,
        only(settings.test_scales) or settings.origin_size, settings.head, crop_size=settings.crop_size,
        origin_size=settings.origin_size, **record.described())
    training.train(settings, run, workers, symbol, dataset, metric, log, about,
                   lambda contexts, board: validation(settings, record, about, contexts, board))


def say_before_training(settings: SegmentationSettings, label: Label, stride: int, crop: int, log: Logger) -> None:
    """Log what is done otherwise than asked, and warnings of what makes fine-tuning fail, or its result poor."""
    if not settings.weights and not settings.resume:
        log.warning("warning: no --weights: with fixed BN statistics a network hardly learns from random numbers. Give "
                    "--weights of a classification network of the same kind (iclass/ilsvrc.py trains one)")
    if label.stride is None and stride > 8:
        log.warning("warning: the label %s has no _s8: the network keeps its own stride of %d pixels, and its "
                    "predictions are coarse. The paper's networks have 8: --model %s_%s_cls%d_s8", settings.model,
                    stride, label.dataset, label.network, label.classes)
    if settings.crop_size != crop:
        log.info("crops of %d pixels: %d rounded up to a multiple of the stride %d", settings.crop_size, crop, stride)
    if settings.cache_images:
        log.info("--cache-images: the system keeps the files that fit into the free memory, for all readers; this "
                 "program keeps none besides")


def validation(settings: SegmentationSettings, record: SegmentationDataset, about: Description,
               contexts: Sequence[Device], board: Optional[Board]) -> Callable[[Parameters], Dict[str, float]]:
    """What training is scored with: a function from `Parameters` to scores on the val split, as in phase val."""
    if settings.crf:
        raise UsageError("--crf is for --phase val: a training's validations go without")
    samples = labelled(driver.validation_samples(settings, SEGMENTATION))
    testing = replace(settings, test_scales=settings.test_scales or (settings.origin_size,))
    symbol, shown = symbol_to_test(about), list(islice(samples, SHOWN if board else 0))
    network = Segmenter(about, record, dense_test(testing, len(contexts)), symbol=symbol, devices=contexts)

    def validate(parameters: Parameters) -> Dict[str, float]:
        scores, kept = Scores(record), {}

        def keep(sample: Sample, truth: np.ndarray, labels: np.ndarray, score_maps: object) -> None:
            if sample in shown:
                kept[sample.image_path] = labels

        predictor = load(settings.engine).Predictor(symbol, parameters, contexts)
        score_samples([scores], samples, record, [replace(network, predictor=predictor)], Labels(),
                      settings.prefetch_threads, save=keep)
        if board:
            board.picture("images", first_images(shown, record, kept))
        found = {name: scores.result()[name] for name in ("mean_iou", "mean_acc", "pixel_acc")}
        if None in found.values():
            raise ValueError("the validation has no scores: every pixel of its labels is one that does not count")
        return found

    return validate


def first_images(samples: Sequence[Sample], record: SegmentationDataset, labels: Mapping[str, np.ndarray]
                 ) -> np.ndarray:
    """Image, truth, prediction and difference of each, by the labels of their paths: (H, W, 3) uint8."""
    rows, colours = [], class_colours(record.palette, record.label_ids)
    for sample in samples:
        (file, truth), predicted = open_labelled(sample, record), labels[sample.image_path]
        rows.append([file.rgb(), colours[truth], colours[predicted], correct_picture(truth, predicted, record.classes)])
    return contact_sheet(rows, ("image", "truth", "prediction", "difference"))


def val(asked: SegmentationSettings, label: Label, record: SegmentationDataset, stride: int) -> None:
    """Test a network: labels and correctness pictures of every image and, in phase val, scores."""
    asked = driver.checked_testing(asked)
    if stride % asked.test_steps:
        raise UsageError(f"--test-steps {asked.test_steps} does not divide the stride {stride}")
    if asked.skip_done and asked.no_save_results:
        raise UsageError("--skip-done goes by the label images, which --no-save-results does not write: give one of "
                         "them")
    settings, crfs = crf_settings(replace(asked, batch_images=asked.batch_images or 1))
    weights = settings.weights
    assert weights, "as driver.checked_testing wants it"
    samples = driver.find_samples(settings, SEGMENTATION)
    network = Segmenter.read(weights, settings.model, record, **vars(dense_test(settings, settings.batch_images)))
    settings = replace(settings, head=network.description.head)
    images = driver.calibration_images(settings, SEGMENTATION, label.classes, network.CALIBRATION_IMAGES)
    test = driver.Identity.of(Decides.TEST, settings, SEGMENTATION, samples, record, [weights])

    def open_sources(log: Logger) -> List[Segmenter]:
        return [network.on(driver.devices(settings, log), settings.dtype, images, settings.engine, settings.compile)]

    run_test(settings, test, stem(weights), record, of_shard(samples, settings.shard), crfs, open_sources,
             settings.phase == "val", paper=record.paper.get((label.network, settings.head, settings.split)))
