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
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Callable, Dict, Optional, Sequence, Tuple

import numpy as np

from ademxapp import driver
from ademxapp.cli import existing_file, make_parser, number, numbers
from ademxapp.data.class_folders import folder_names
from ademxapp.data.images import decode_rgb, stem
from ademxapp.data.lists import Sample
from ademxapp.driver import training
from ademxapp.engine import Device, load
from ademxapp.errors import UsageError, usage_errors
from ademxapp.evaluation.pictures import at_height, captioned_grid
from ademxapp.flags import Decides, flag
from ademxapp.settings import DriverSettings
from ademxapp.symbol import Label, SymbolOptions, classification_symbol, network, output_stride, parse_label
from ademxapp.symbol.options import POOL_STYLES, InputSettings
from ademxapp.training.progress import Board, TrainingMetric
from ademxapp.weights.describe import run_label
from ademxapp.weights.description import CLASSIFICATION, Description, only
from ademxapp.weights.parameters import Parameters, parameter_shapes
from iclass.classifier import Classifier, mean_of_passes, top_errors, write_entry, write_predictions
from iclass.datasets import ClassificationDataset, TrainImages, Views, dataset_record, described_record, server_numbers

SHOWN, PICTURE_HEIGHT = 8, 160  # of the first validation images: how many, pixels


def existing_files(text: str) -> Tuple[str, ...]:
    """An argparse type: paths of files, separated by commas."""
    return tuple(existing_file(path) for path in text.split(","))


@dataclass(frozen=True)
class ClassificationSettings(DriverSettings):
    """What classification has of its own."""

    GROUP = "classification"
    crop_area_range: Tuple[float, float] = flag("training: share of an image's area that a crop takes", (0.08, 1.0),
                                                Decides.TRAINING, type=numbers(float, 0.001, count=2),
                                                metavar="LOW,HIGH")
    also: Optional[Tuple[str, ...]] = flag("testing: weights of more networks, of the same classes; probabilities are "
                                           "averaged over all, each at all sizes", None, Decides.TEST, contents=True,
                                           type=existing_files, metavar="FILE,FILE,…")
    test_3crops: bool = flag("average three crops along the longer side", False, Decides.TEST, one_of="crops")
    test_10crops: Optional[bool] = flag("average the crops in the corners and the centre, and their mirror images",
                                        None, Decides.TEST, one_of="crops", action="store_true")
    test_crop_size: Optional[int] = flag("testing: side of the crops (default: the size, or with --test-10crops "
                                         "224/256 of it)", None, Decides.TEST, type=number(int, 1), metavar="PIXELS")
    devkit: Optional[str] = flag("--phase test on ILSVRC: its development kit, with the server's numbers of the "
                                 "classes (default: <data-root>/ILSVRC2012_devkit_t12)", recorded=True, metavar="DIR")
    no_choose_interp_method: bool = flag("resize always with the bicubic filter (default: as the network's record "
                                         "says, Lanczos down and bicubic up for the paper's)", False, Decides.BOTH)
    pool_top_infer_style: Optional[str] = flag("pooling without padding, sizes rounded down (caffe, as the released "
                                               "Model A wants) or up", None, Decides.BOTH,
                                               choices=tuple(style for style in POOL_STYLES if style))


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Parse the arguments and run the phase that they name."""
    settings = ClassificationSettings.from_args(make_parser(__doc__, ClassificationSettings).parse_args(argv))
    asked = driver.named_run(settings)
    load(asked.engine)
    label = parse_label(asked.model)
    with usage_errors():
        inputs = network(label.network).input
        known = driver.tested_weights(asked, CLASSIFICATION)
        record = (described_record(known, asked.dataset, asked.dataset_file) if known else
                  dataset_record(asked.dataset, label.classes, asked.dataset_file))
    (train if asked.phase == "train" else val)(asked, label, inputs, record)


def train(asked: ClassificationSettings, label: Label, inputs: InputSettings, record: ClassificationDataset) -> None:
    """Train a network."""
    asked = driver.checked_training(asked)
    if not asked.crop_area_range[0] <= asked.crop_area_range[1] <= 1:
        raise UsageError("--crop-area-range {},{}: wanted the smaller share first, and none over 1".format(
            *asked.crop_area_range))
    settings = replace(asked, batch_images=asked.batch_images or 256, crop_size=asked.crop_size or inputs.train_crop)
    samples = driver.find_samples(settings, CLASSIFICATION, label.classes, folders=record.folders)
    if not record.class_names:
        record = replace(record, class_names=folder_names(samples, label.classes), folders=())
    workers = driver.join(settings)
    log = driver.open_log(settings, workers.rank)
    usual = inputs.test_crop if settings.crop_size == inputs.train_crop else settings.crop_size
    about = Description(  # weights are tested as they are validated
        str(label), CLASSIFICATION, label.classes, output_stride(label), inputs.mean, inputs.std,
        "bicubic" if settings.no_choose_interp_method else inputs.interpolation, only(settings.test_scales) or usual,
        pool_style=settings.pool_top_infer_style or "", crop_size=settings.crop_size, class_names=record.class_names,
        folders=() if record.folders == record.class_names else record.folders)
    dataset = TrainImages(samples, settings.crop_size, inputs, about.interpolation, settings.crop_area_range)
    options = SymbolOptions(pool_top_infer_style=settings.pool_top_infer_style, recompute=settings.backward_do_mirror)
    run = driver.Identity.of(Decides.TRAINING, settings, CLASSIFICATION, samples, record)
    training.train(settings, run, workers, classification_symbol(label, options), dataset,
                   TrainingMetric(label.classes), log, about, partial(validation, settings, label, record, about))


def validation(settings: ClassificationSettings, label: Label, record: ClassificationDataset, about: Description,
               contexts: Sequence[Device], board: Optional[Board]) -> Callable[[Parameters], Dict[str, float]]:
    """What training is scored with: a function from `Parameters` to accuracies on the val split, as in phase val."""
    samples = driver.validation_samples(settings, CLASSIFICATION, label.classes, record.folders)
    views = test_views(replace(settings, batch_images=10 * len(contexts),
                               test_scales=settings.test_scales or (settings.crop_size,)))
    options = SymbolOptions(bn_use_global_stats=True, pool_top_infer_style=settings.pool_top_infer_style)
    symbol = classification_symbol(label, options)
    network = Classifier(about, record, views, symbol=symbol, devices=contexts)
    trained = parameter_shapes(symbol, data=(1, 3, settings.crop_size, settings.crop_size))
    for side in views.sides:
        if parameter_shapes(symbol, data=(1, 3, side, side)) != trained:
            raise UsageError(f"{label.network} takes one size of crops: a validation with crops of {side} pixels does "
                             f"not go with a training with {settings.crop_size}")

    def validate(parameters: Parameters) -> Dict[str, float]:
        predictor = load(settings.engine).Predictor(symbol, parameters, contexts)
        probs = replace(network, predictor=predictor).probabilities(samples)
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


def val(asked: ClassificationSettings, label: Label, inputs: InputSettings, record: ClassificationDataset) -> None:
    """Test networks: errors of the averaged probabilities or, in phase test, the predictions alone."""
    asked = driver.checked_testing(asked, (inputs.test_crop,))
    settings = replace(asked, batch_images=asked.batch_images or 10,
                       also=asked.also and tuple(os.path.normpath(path) for path in asked.also))
    assert settings.weights, "as driver.checked_testing wants it"
    paths, views = [settings.weights, *(settings.also or ())], test_views(settings)
    of_server = server_numbers(record, settings.devkit, settings.data_root) if settings.phase == "test" else None
    samples = driver.find_samples(settings, CLASSIFICATION, label.classes, settings.phase == "test", record.folders)
    labels = [label]
    for path in paths[1:]:
        with usage_errors():
            labels.append(parse_label(run_label(path)))
        if labels[-1].classes != label.classes:
            raise UsageError(f"{path} has {labels[-1].classes} classes, {paths[0]} {label.classes}: only networks "
                             "of the same classes can be averaged")
    networks = [Classifier.read(path, str(one), record, settings.pool_top_infer_style, **vars(views))
                for path, one in zip(paths, labels)]
    images = driver.calibration_images(settings, CLASSIFICATION, label.classes, Classifier.CALIBRATION_IMAGES,
                                       record.folders)
    test = driver.Identity.of(Decides.TEST, settings, CLASSIFICATION, samples, record, paths)
    folder = driver.test_folder(settings, stem(paths[0]))
    test.holds_in(folder)
    log = driver.open_log(settings)
    contexts = driver.devices(settings, log)
    networks = [one.on(contexts, settings.dtype, images, settings.engine, settings.compile) for one in networks]
    test.claim(folder)
    watch = driver.Stopwatch()
    probs = mean_of_passes(([networks.pop(0).probabilities(samples)] for _ in paths),
                           len(samples))  # a network goes when it has been tested, and its memory is the next one's
    seconds = watch.seconds
    write_predictions(os.path.join(folder, "predictions.tsv"), samples, probs)
    paper, scores, words = None, {}, "not scored"
    if settings.phase == "val":
        top1, top5 = top_errors(probs, [sample.class_id for sample in samples])
        scores, words = {"top1_error": top1, "top5_error": top5}, f"top-1 error {top1:.2f} %, top-5 error {top5:.2f} %"
        published = record.paper.get((label.network, settings.split))
        paper = dict(zip(scores, published)) if published else None
    elif of_server:
        order = sorted(range(len(samples)), key=lambda index: os.path.basename(samples[index].image))
        write_entry(os.path.join(folder, "entry.txt"), probs[order], of_server)
        log.info("entry.txt is for the server%s", "" if len(samples) == record.splits["test"] else
                 f", but of {len(samples):,} images: the test set has {record.splits['test']:,}")
    driver.write_result(folder, test.record(), len(samples), seconds, paper, scores)
    log.info("%d images, %s, %.1f images/s; written to %s", len(samples), words, len(samples) / seconds, folder)


def test_views(settings: ClassificationSettings) -> Views:
    """What is averaged for an image; UsageError where crops are larger than the images."""
    crops = "five" if settings.test_10crops else "three" if settings.test_3crops else "centre"
    views = Views(settings.test_scales, crops, settings.test_crop_size,
                  bool(settings.test_flipping or settings.test_10crops),
                  "bicubic" if settings.no_choose_interp_method else None, settings.batch_images,
                  settings.prefetch_threads, settings.prefetcher)
    with usage_errors():
        views.sides  # noqa: B018 (looks at them)
    return views
