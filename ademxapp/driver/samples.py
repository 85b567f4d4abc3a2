"""Where the samples of a split come from."""
import os
from dataclasses import replace
from typing import Optional, Sequence, TypeVar, Union

from ademxapp.data.class_folders import scan_tree
from ademxapp.data.lists import Sample, read_classification_list, read_segmentation_list
from ademxapp.data.records import read_records
from ademxapp.errors import UsageError
from ademxapp.evaluation import int8
from ademxapp.settings import CalibrationData, Data, DriverSettings

VALIDATION = "--val-list FILE"
D = TypeVar("D", bound=DriverSettings)


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
