"""What the drivers of both tasks share: from what was asked for to settings with nothing left open, samples, a log …"""
import logging
import os
import time
from dataclasses import replace
from typing import Any, List, Optional, Sequence, Tuple, TypeVar, Union

from ademxapp.cli import library_versions, start_log
from ademxapp.data.class_folders import scan_tree
from ademxapp.data.lists import Sample, read_classification_list, read_segmentation_list
from ademxapp.data.records import read_records
from ademxapp.driver.identity import Identity, read_record, read_result, require_one_test, test_folder, write_result  # noqa
from ademxapp.engine import Device, load
from ademxapp.errors import UsageError, usage_errors
from ademxapp.network import LEAST_IMAGES, RangeImages, evenly
from ademxapp.settings import DTYPES, CalibrationData, Data, Devices, DriverSettings, Precision, TrainingDevices
from ademxapp.symbol import label_epoch, label_stem, parse_label
from ademxapp.training.shared import Alone, Watchdog
from ademxapp.weights.describe import run_label
from ademxapp.weights.description import CLASSIFICATION, Description, kept_description

D = TypeVar("D", bound=DriverSettings)
P = TypeVar("P", bound=Precision)


def named_run(asked: D) -> D:
    """With model, dataset, data root and output, as they follow from the label of --model or --weights."""
    if not asked.model and not asked.weights:
        raise UsageError("neither --model nor --weights is given: one of them says which network to use")
    with usage_errors():
        model = label_stem(asked.model) if asked.model else run_label(asked.weights or "")
        label = parse_label(model)
    weights, dataset = asked.weights and os.path.normpath(asked.weights), asked.dataset or label.dataset
    usual = "output" if asked.phase == "train" else os.path.dirname(weights or "") or "."
    return replace(asked, model=model, weights=weights, dataset=dataset, data_root=asked.data_root or os.path.join(
        "data", dataset), output=usual if asked.output is None else asked.output)


def tested_weights(asked: DriverSettings, task: str) -> Optional[Description]:
    """What is known of the weights that are to be tested, None in training; UsageError if they are of another task."""
    known = kept_description(asked.weights)[0] if asked.weights and asked.phase != "train" else None
    if known and known.task != task:
        raise UsageError(f"{asked.weights} does not fit: it is of a network for {known.task}, wanted one for {task}")
    return known


def checked_dtype(asked: P) -> P:
    """With None for float32, as if it were not given; UsageError unless --dtype goes with the other flags."""
    dtype = None if asked.dtype == DTYPES[0] else asked.dtype
    if asked.calibrate_list and dtype != "int8":
        raise UsageError("--calibrate-list without --dtype int8: there is nothing to calibrate")
    if dtype:
        assert isinstance(asked, Devices)
        training = getattr(asked, "phase", "test") == "train"
        load(asked.engine).require_dtype(dtype, training, cards=asked.gpus is not None)
    return replace(asked, dtype=dtype)


def checked_training(asked: D) -> D:
    """With the epochs of a training that is to be, and how long it may stall; UsageError unless the settings agree."""
    asked = checked_dtype(asked)
    if asked.to_epoch is None:
        raise UsageError("--phase train needs --to-epoch, the number of epochs of the schedule")
    if bool(asked.lr_steps) != (asked.lr_type == "step"):
        raise UsageError(f"--lr-steps {asked.lr_steps or 'not given'} does not go with --lr-type {asked.lr_type}: "
                         "give both --lr-type step and --lr-steps, or neither")
    first, stop = asked.from_epoch, asked.stop_epoch or asked.to_epoch
    if first is None:
        weights = asked.weights or ""
        first = (label_epoch(weights) or 0) if label_stem(weights) == asked.model else 0
    if not first < stop <= asked.to_epoch:
        raise UsageError(f"epochs do not follow each other: --from-epoch {first}, --stop-epoch {stop}, --to-epoch "
                         f"{asked.to_epoch}; wanted from < stop <= to")
    usual = 60 if load(asked.engine).launched(asked.kvstore) else 0
    return replace(asked, from_epoch=first, stop_epoch=stop,
                   stall_minutes=usual if asked.stall_minutes is None else asked.stall_minutes)


def checked_testing(asked: D, default_scales: Optional[Tuple[int, ...]] = None) -> D:
    """With the scales of a test, if not given those that the weights were trained for; UsageError if there are none."""
    asked = checked_dtype(asked)
    if not asked.weights:
        raise UsageError(f"--phase {asked.phase} needs --weights FILE")
    known = kept_description(asked.weights)[0]
    scales = asked.test_scales or ((known.test_scale,) if known else default_scales)
    if not scales:
        raise UsageError(f"--phase {asked.phase} needs --test-scales, for instance --test-scales 500")
    return replace(asked, test_scales=scales)


def find_samples(data: Data, task: str, classes: Optional[int] = None, unknown: bool = False,
                 folders: Sequence[str] = (), flags: str = "--list FILE or --records PREFIX") -> Sequence[Sample]:
    """Samples of a split: of --list or --records, else data/<dataset>/<split>.lst, else, of classes, class folders.

    Of a classification, `classes` are those that there are, which need not be known of each sample where they may be
    `unknown`, and `folders` what the dataset's record calls theirs. `flags` could have named other samples.
    """
    path = data.list or os.path.join("data", data.dataset, f"{data.split}.lst")
    if data.list and not os.path.isfile(path):
        raise UsageError(f"there is no list {path}")
    if data.records and not data.list:
        missing = [name for name in (f"{data.records}.rec", f"{data.records}.idx") if not os.path.isfile(name)]
        if missing:
            raise UsageError(f"there is no file {missing[0]}: --records wants what stands before .rec and .idx")
        return read_records(data.records, classes if task == CLASSIFICATION else None, unknown)
    if os.path.isfile(path):
        if task == CLASSIFICATION:
            return read_classification_list(path, data.data_root, None if unknown else classes)
        return read_segmentation_list(path, data.data_root)
    folder = os.path.join(data.data_root, data.split)
    if task == CLASSIFICATION and classes is not None and os.path.isdir(folder):
        samples = scan_tree(data.data_root, data.split, classes, folders)
        if not samples:
            raise ValueError(f"there is no image in the class folders of {folder}")
        return samples
    places = [f"the list {path}"] + ([f"class folders in {folder}"] if task == CLASSIFICATION else [])
    raise UsageError(f"no samples found: looked for {' and '.join(places)}; {flags} names others")


def validation_samples(settings: DriverSettings, task: str, classes: Optional[int] = None, folders: Sequence[str] = ()
                       ) -> Sequence[Sample]:
    """The samples that `--val-every` tests on, as `find_samples` finds them."""
    split = replace(settings, split="val", list=settings.val_list, records=None)
    return find_samples(split, task, classes, folders=folders, flags="--val-list FILE")


def calibration_images(settings: Union[DriverSettings, CalibrationData], task: str, classes: int, count: int,
                       folders: Sequence[str] = ()) -> Optional[RangeImages]:
    """For the ranges of --dtype int8: up to `count` samples of --calibrate-list or the train split, evenly chosen."""
    if settings.dtype != "int8":
        return None
    train = replace(settings, split="train", list=settings.calibrate_list, records=None)
    try:
        samples = find_samples(train, task, classes, unknown=True, folders=folders)
    except UsageError as error:
        found = str(error).partition("; --list")[0]
        return RangeImages(missing=f"--dtype int8 needs images to measure ranges on, and {found}: --calibrate-list "
                                   "FILE names some")
    if len(samples) < LEAST_IMAGES:
        return RangeImages(missing=f"--dtype int8 measures ranges on images of {train.list or 'the train split'}, "
                                   f"which has {len(samples)}: wanted at least {LEAST_IMAGES}")
    return RangeImages(evenly(samples, count))


def devices(asked: Devices, log: logging.Logger) -> List[Device]:
    """The devices that are asked for, logged."""
    found = load(asked.engine).devices(asked.gpus, asked.cpus)
    log.info("devices: %s", ", ".join(map(str, found)))
    return found


def join(asked: TrainingDevices) -> Alone:
    """The workers that this process trains with, once all are there: those of tools/launch.py; else it is alone."""
    engine = load(asked.engine)
    if not engine.launched(asked.kvstore):
        return Alone()
    with Watchdog(asked.stall_minutes or 0, "the other workers, the servers and the scheduler"):
        return engine.workers()


def open_log(settings: Any, rank: int = 0) -> logging.Logger:
    """A log to stderr and to `--log-file` or `<output>/<label>.log`, which workers behind the first number as theirs.

    Its first lines say what runs, and warn where what is scored is, most likely, what was trained on: --split is train
    unless given. `settings` are a driver's, or tools/msctest.py's.
    """
    path = settings.log_file or os.path.join(settings.output, f"{settings.model}.log")
    if rank:
        path = f"-worker{rank}".join(os.path.splitext(path))
    log = start_log(path, library_versions(), settings.debug)
    scores = getattr(settings, "phase", "test") == "val"
    if scores and settings.split == "train" and not (settings.list or settings.records):
        log.warning("warning: these are scores of the TRAIN split, which networks are trained on: give --split val for "
                    "the val split")
    return log


class Stopwatch:
    """Seconds since it was made: by the clock, on the processors, and there of processes started here, once ended."""

    def __init__(self) -> None:
        self._start = _times()

    seconds = property(lambda self: _times()[0] - self._start[0])
    cpu_seconds = property(lambda self: _times()[1] - self._start[1])
    children_cpu_seconds = property(lambda self: _times()[2] - self._start[2])


def _times() -> Tuple[float, float, float]:
    used = os.times()
    return time.monotonic(), time.process_time(), used.children_user + used.children_system
