"""From what was asked for to what is done: settings with nothing left open, and samples; or a UsageError."""
import os
from dataclasses import replace
from typing import Optional, Sequence, Tuple, TypeVar, Union

from ademxapp.data.class_folders import scan_tree
from ademxapp.data.lists import Sample, read_classification_list, read_segmentation_list
from ademxapp.data.records import read_records
from ademxapp.engine import load
from ademxapp.errors import UsageError
from ademxapp.evaluation import int8
from ademxapp.settings import DTYPES, CalibrationData, Data, Devices, DriverSettings, Precision
from ademxapp.symbol import label_epoch, label_stem, parse_label
from ademxapp.weights.describe import run_label
from ademxapp.weights.description import Description, kept_description

D = TypeVar("D", bound=DriverSettings)
P = TypeVar("P", bound=Precision)
VALIDATION = "--val-list FILE"


def named_run(asked: D) -> D:
    """With model, dataset, data root and output, as they follow from the label of --model or --weights."""
    if not asked.model and not asked.weights:
        raise UsageError("neither --model nor --weights is given: one of them says which network to use")
    try:
        model = label_stem(asked.model) if asked.model else run_label(asked.weights or "")
        label = parse_label(model)
    except ValueError as error:
        raise UsageError(str(error)) from None
    weights, dataset, output = asked.weights and os.path.normpath(asked.weights), asked.dataset or label.dataset, ""
    if asked.output is None:
        output = "output" if asked.phase == "train" else os.path.dirname(weights or "") or "."
    return replace(asked, model=model, weights=weights, dataset=dataset,
                   data_root=asked.data_root or os.path.join("data", dataset), output=output or asked.output)


def tested_weights(asked: DriverSettings, task: Optional[str] = None) -> Optional[Description]:
    """What is known of the weights that are to be tested, None in training; UsageError if they are of another task."""
    known = kept_description(asked.weights)[0] if asked.weights and asked.phase != "train" else None
    if known and task and known.task != task:
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
    """With the epochs of a training that is to be; UsageError unless the settings agree with each other."""
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
    return replace(asked, from_epoch=first, stop_epoch=stop)


def checked_testing(asked: D, default_scales: Optional[Tuple[int, ...]] = None) -> D:
    """With the scales of a test that is to be, those that the weights were trained for unless others are asked for.

    UsageError unless there is what testing needs.
    """
    asked = checked_dtype(asked)
    if not asked.weights:
        raise UsageError(f"--phase {asked.phase} needs --weights FILE")
    known = tested_weights(asked)
    scales = asked.test_scales or ((known.test_scale,) if known else default_scales)
    if not scales:
        raise UsageError(f"--phase {asked.phase} needs --test-scales, for instance --test-scales 500")
    return replace(asked, test_scales=scales)


def find_samples(data: Data, task: str, classes: Optional[int] = None, unknown: bool = False,
                 folders: Sequence[str] = (), flags: str = "--list FILE or --records PREFIX") -> Sequence[Sample]:
    """Samples of a split: of --list or --records, else data/<dataset>/<split>.lst, else, of classes, class folders.

    Parameters
    ----------
    task : {"classification", "segmentation"}
    classes : int, optional
        Of a classification: those that there are.
    unknown : bool
        The classes that lists and records say need not be known.
    folders : sequence of str
        The classes' of the dataset's record, if known.
    flags : str
        What could have named others.
    """
    default_list = os.path.join("data", data.dataset, f"{data.split}.lst")
    if data.list:
        if not os.path.isfile(data.list):
            raise UsageError(f"there is no list {data.list}")
        return _read_list(data, task, data.list, None if unknown else classes)
    if data.records:
        missing = [name for name in (f"{data.records}.rec", f"{data.records}.idx") if not os.path.isfile(name)]
        if missing:
            raise UsageError(f"there is no file {missing[0]}: --records wants what stands before .rec and .idx")
        return read_records(data.records, classes if task == "classification" else None, unknown)
    if os.path.isfile(default_list):
        return _read_list(data, task, default_list, None if unknown else classes)
    folder = os.path.join(data.data_root, data.split)
    if task == "classification" and classes is not None and os.path.isdir(folder):
        samples = scan_tree(data.data_root, data.split, classes, folders)
        if not samples:
            raise ValueError(f"there is no image in the class folders of {folder}")
        return samples
    places = [f"the list {default_list}"] + ([f"class folders in {folder}"] if task == "classification" else [])
    raise UsageError(f"no samples found: looked for {' and '.join(places)}; {flags} names others")


def _read_list(data: Data, task: str, path: str, classes: Optional[int]) -> Sequence[Sample]:
    if task == "segmentation":
        return read_segmentation_list(path, data.data_root)
    return read_classification_list(path, data.data_root, classes)


def validation_data(settings: D, batch_images: int) -> D:
    """The settings of the tests that `--val-every` asks for."""
    return replace(settings, split="val", list=settings.val_list, records=None, batch_images=batch_images)


def calibration_images(settings: Union[DriverSettings, CalibrationData], task: str, classes: int, count: int,
                       folders: Sequence[str] = ()) -> Optional[int8.Images]:
    """What INT8's ranges are measured on, where --dtype says int8: up to `count` samples, evenly chosen.

    They are of --calibrate-list or of the train split, as `find_samples` finds them.
    """
    if settings.dtype != "int8":
        return None
    train = replace(settings, split="train", list=settings.calibrate_list, records=None)
    try:
        samples = find_samples(train, task, classes, unknown=True, folders=folders)
    except UsageError as error:
        found = str(error).partition("; --list")[0]
        return int8.Images(missing=f"--dtype int8 needs images to measure ranges on, and {found}: --calibrate-list "
                                   "FILE names some")
    if len(samples) < int8.LEAST_IMAGES:
        return int8.Images(missing=f"--dtype int8 measures ranges on images of "
                                   f"{settings.calibrate_list or 'the train split'}, which has {len(samples)}: wanted "
                                   f"at least {int8.LEAST_IMAGES}")
    return int8.Images(int8.evenly(samples, count))
