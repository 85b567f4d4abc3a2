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
from dataclasses import replace
from itertools import islice
from logging import Logger
from typing import Callable, Dict, List, Optional, Sequence

import numpy as np

from ademxapp import driver
from ademxapp.cli import Parser, UsageError, make_parser
from ademxapp.data.images import decode_rgb
from ademxapp.data.lists import Sample
from ademxapp.engine import Device, load
from ademxapp.evaluation.classification import mean_of_passes, top_errors, write_entry, write_predictions
from ademxapp.evaluation.pictures import at_height, captioned_grid
from ademxapp.flags import Decides
from ademxapp.symbol import Label, SymbolOptions, classification_symbol, network, output_stride, parse_label
from ademxapp.symbol.networks import InputSettings
from ademxapp.training.curves import Board
from ademxapp.training.metrics import TrainingMetric
from ademxapp.weights.describe import run_label
from ademxapp.weights.description import CLASSIFICATION, Description, only
from ademxapp.weights.parameters import Parameters, parameter_shapes
from iclass.classifier import Classifier
from iclass.data import TrainImages, Views
from iclass.datasets import (
    DEVKIT,
    SYNSETS,
    ClassificationDataset,
    dataset_record,
    described_record,
    kit_numbers,
    named_by_folders,
)
from iclass.settings import ClassificationSettings

SHOWN, PICTURE_HEIGHT = 8, 160  # of the first validation images: how many, pixels


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Parse the arguments and run the phase that they name."""
    asked = driver.named_run(parse(argv))
    load(asked.engine)
    label = parse_label(asked.model)
    try:
        inputs = network(label.network).input
        known = driver.tested_weights(asked, CLASSIFICATION)
        record = (described_record(known, asked.dataset, asked.dataset_file) if known else
                  dataset_record(asked.dataset, label.classes, asked.dataset_file))
    except ValueError as error:
        raise UsageError(str(error)) from None
    if asked.phase == "train":
        train(training_settings(asked, inputs), label, inputs, record)
    else:
        val(testing_settings(asked, inputs), label, record)


def parse(argv: Optional[Sequence[str]] = None) -> ClassificationSettings:
    """What is asked for."""
    return ClassificationSettings.from_args(build_parser().parse_args(argv))


def build_parser() -> Parser:
    """The driver's arguments."""
    return make_parser(__doc__, ClassificationSettings)


def training_settings(asked: ClassificationSettings, inputs: InputSettings) -> ClassificationSettings:
    """With what a training does where nothing is asked for."""
    asked = driver.checked_training(asked)
    if not asked.crop_area_range[0] <= asked.crop_area_range[1] <= 1:
        raise UsageError("--crop-area-range {},{}: wanted the smaller share first, and none over 1".format(
            *asked.crop_area_range))
    return replace(asked, batch_images=asked.batch_images or 256, crop_size=asked.crop_size or inputs.train_crop)


def testing_settings(asked: ClassificationSettings, inputs: InputSettings) -> ClassificationSettings:
    """With what a test does where nothing is asked for."""
    asked = driver.checked_testing(asked, (inputs.test_crop,))
    return replace(asked, batch_images=asked.batch_images or 10,
                   also=asked.also and tuple(os.path.normpath(path) for path in asked.also))


def train(settings: ClassificationSettings, label: Label, inputs: InputSettings, record: ClassificationDataset) -> None:
    """Train a network."""
    samples = find_samples(settings, label, record)
    record = named_by_folders(record, samples, label.classes)
    workers = driver.join(settings)
    log = driver.open_log(settings.log_file, settings.output, settings.model, settings.debug, workers.rank)
    dataset = TrainImages(samples, settings.crop_size, inputs, interpolation(settings, inputs),
                          settings.crop_area_range)
    symbol = classification_symbol(label, options(settings, training=True))
    run = driver.identity_of(Decides.TRAINING, settings, CLASSIFICATION, samples, record)
    driver.train(settings, run, workers, symbol, dataset, TrainingMetric(label.classes), driver.CLASSIFICATION, log,
                 description(settings, label, inputs, record),
                 lambda contexts, board: validation(settings, label, inputs, record, contexts, board))


def description(settings: ClassificationSettings, label: Label, inputs: InputSettings, record: ClassificationDataset
                ) -> Description:
    """What testing needs to know of the weights: they are tested as they are validated."""
    usual = inputs.test_crop if settings.crop_size == inputs.train_crop else settings.crop_size
    return Description(
        str(label), CLASSIFICATION, label.classes, output_stride(label), inputs.mean, inputs.std,
        interpolation(settings, inputs), only(settings.test_scales) or usual,
        pool_style=settings.pool_top_infer_style or "", crop_size=settings.crop_size, class_names=record.class_names,
        folders=() if record.folders == record.class_names else record.folders)


def validation(settings: ClassificationSettings, label: Label, inputs: InputSettings, record: ClassificationDataset,
               contexts: Sequence[Device], board: Optional[Board]) -> Callable[[Parameters], Dict[str, float]]:
    """What training is scored with: a function from `Parameters` to accuracies on the val split, as in phase val."""
    testing = replace(driver.validation_data(settings, 10 * len(contexts)),
                      test_scales=settings.test_scales or (settings.crop_size,))
    samples = find_samples(testing, label, record, flags=driver.VALIDATION)
    symbol = classification_symbol(label, options(settings, training=False))
    network = Classifier(description(settings, label, inputs, record), record, test_views(testing), symbol=symbol,
                         devices=contexts)
    trained = parameter_shapes(symbol, data=(1, 3, settings.crop_size, settings.crop_size))
    for side in view_sides(network.views):
        if parameter_shapes(symbol, data=(1, 3, side, side)) != trained:
            raise UsageError(f"{label.network} takes one size of crops: a validation with crops of {side} pixels does "
                             f"not go with a training with {settings.crop_size}")

    def validate(parameters: Parameters) -> Dict[str, float]:
        probs = network.probabilities(samples, load(settings.engine).Predictor(symbol, parameters, contexts))
        if board:
            board.picture("images", first_images(samples, probs, network.class_names))
        top1, top5 = top_errors(probs, [sample.class_id for sample in samples])
        return {"top1_accuracy": 100 - top1, "top5_accuracy": 100 - top5}

    return validate


def first_images(samples: Sequence[Sample], probs: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """The first images with what the network takes them for, and whether they are: (H, W, 3) uint8."""
    pictures, captions = [], []
    for sample, row in zip(islice(samples, SHOWN), probs):
        best = int(row.argmax())
        pictures.append(at_height(decode_rgb(sample.read()[0], sample.image_path), PICTURE_HEIGHT))
        captions.append(f"{'' if best == sample.class_id else 'not '}{names[best]}, {100 * row[best]:.0f} %")
    return captioned_grid(pictures, captions, 4)


def val(settings: ClassificationSettings, label: Label, record: ClassificationDataset) -> None:
    """Test networks: errors of the averaged probabilities or, in phase test, the predictions alone."""
    view_sides(test_views(settings))
    numbers = server_numbers(settings, record)
    samples = find_samples(settings, label, record)
    networks = read_networks(settings, label, record)
    images = driver.calibration_images(settings, "classification", label.classes, Classifier.CALIBRATION_IMAGES,
                                       record.folders)
    paths = tested_files(settings)
    test = driver.identity_of(Decides.TEST, settings, CLASSIFICATION, samples, record, paths)
    folder = driver.test_folder(settings.output, os.path.splitext(os.path.basename(paths[0]))[0],
                                None if settings.split == "val" else settings.split, settings.tag)
    driver.holds_same(folder, test, settings.overwrite)
    log = driver.open_log(settings.log_file, settings.output, settings.model, settings.debug)
    driver.warn_of_train_split(settings, log)
    contexts = driver.devices(settings, log)
    networks = [one.on(contexts, settings.dtype, images, settings.engine, settings.compile) for one in networks]
    driver.claim_folder(folder, test, settings.overwrite, settings.files())
    watch = driver.Stopwatch()
    probs = mean_of_passes(([networks.pop(0).probabilities(samples)] for _ in range(len(networks))),
                           len(samples))  # a network goes when it has been tested, and its memory is the next one's
    report(settings, test, folder, label, record, samples, probs, numbers, watch.seconds, log)


def tested_files(settings: ClassificationSettings) -> List[str]:
    """Paths of the weights that are averaged, those of the label first."""
    assert settings.weights, "as driver.checked_testing wants it"
    return [settings.weights, *(settings.also or ())]


def read_networks(settings: ClassificationSettings, label: Label, record: ClassificationDataset) -> List[Classifier]:
    """The networks to average; UsageError unless all of them tell apart as many classes as `label`'s."""
    how = {"pool_style": settings.pool_top_infer_style, **vars(test_views(settings))}
    first, *others = tested_files(settings)
    networks = [Classifier.read(first, str(label), record, **how)]
    for path in others:
        try:
            other = parse_label(run_label(path))
        except ValueError as error:
            raise UsageError(str(error)) from None
        if other.classes != label.classes:
            raise UsageError(f"{path} has {other.classes} classes, {first} {label.classes}: only networks "
                             "of the same classes can be averaged")
        networks.append(Classifier.read(path, str(other), record, **how))
    return networks


def report(settings: ClassificationSettings, test: driver.Identity, folder: str, label: Label,
           record: ClassificationDataset, samples: Sequence[Sample], probs: np.ndarray, numbers: Optional[List[int]],
           seconds: float, log: Logger) -> None:
    """Write and log what came out."""
    write_predictions(os.path.join(folder, "predictions.tsv"), samples, probs)
    paper, scores, words = None, {}, "not scored"
    if settings.phase == "val":
        top1, top5 = top_errors(probs, [sample.class_id for sample in samples])
        scores, words = {"top1_error": top1, "top5_error": top5}, f"top-1 error {top1:.2f} %, top-5 error {top5:.2f} %"
        published = record.paper.get((label.network, settings.split))
        paper = dict(zip(scores, published)) if published else None
    elif numbers:
        order = sorted(range(len(samples)), key=lambda index: os.path.basename(samples[index].image))
        write_entry(os.path.join(folder, "entry.txt"), probs[order], numbers)
        log.info("entry.txt is for the server%s", "" if len(samples) == record.splits["test"] else
                 f", but of {len(samples):,} images: the test set has {record.splits['test']:,}")
    driver.write_result(folder, settings, test, len(samples), seconds, paper, scores)
    log.info("%d images, %s, %.1f images/s; written to %s", len(samples), words, len(samples) / seconds, folder)


def server_numbers(settings: ClassificationSettings, record: ClassificationDataset) -> Optional[List[int]]:
    """What the test server of ILSVRC calls our classes; None where there is no such server.

    UsageError without the development kit that tells.
    """
    if settings.phase != "test" or record.folders != SYNSETS:
        return None
    devkit = settings.devkit or os.path.join(settings.data_root, DEVKIT)
    if not os.path.isdir(devkit):
        raise UsageError(f"--phase test needs the development kit, --devkit DIR ({DEVKIT}): the test server has its "
                         "own numbers of the classes")
    return kit_numbers(devkit, record.folders)


def test_views(settings: ClassificationSettings) -> Views:
    """What is averaged for an image."""
    crops = "five" if settings.test_10crops else "three" if settings.test_3crops else "centre"
    return Views(settings.test_scales, crops, settings.test_crop_size,
                 bool(settings.test_flipping or settings.test_10crops),
                 "bicubic" if settings.no_choose_interp_method else None, settings.batch_images,
                 settings.prefetch_threads, settings.prefetcher)


def view_sides(views: Views) -> List[int]:
    """Sides of the crops at all scales, in pixels; UsageError where they are larger than the images."""
    try:
        return views.sides
    except ValueError as error:
        raise UsageError(str(error)) from None


def find_samples(settings: ClassificationSettings, label: Label, record: ClassificationDataset, **named: str
                 ) -> Sequence[Sample]:
    """The samples of the split; in phase test, their classes need not be known."""
    return driver.find_samples(settings, "classification", label.classes, settings.phase == "test", record.folders,
                               **named)


def interpolation(settings: ClassificationSettings, inputs: InputSettings) -> str:
    """How images are resized: as the network's record says, or always bicubic."""
    return "bicubic" if settings.no_choose_interp_method else inputs.interpolation


def options(settings: ClassificationSettings, training: bool) -> SymbolOptions:
    """The network's options: statistics of the batch in training, the moving ones in testing."""
    return SymbolOptions(bn_use_global_stats=not training, pool_top_infer_style=settings.pool_top_infer_style,
                         recompute=training and settings.backward_do_mirror)
