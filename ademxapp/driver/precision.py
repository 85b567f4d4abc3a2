"""--dtype: what a test computes in, and the images that INT8's ranges are measured on."""
import hashlib
from dataclasses import replace
from logging import Logger
from typing import Any, Callable, Dict, Iterable, List, Sequence, Tuple, TypeVar, Union

import numpy as np
from tqdm import tqdm

import ademxapp
from ademxapp import engine
from ademxapp.data.images import read_bytes
from ademxapp.data.lists import Sample
from ademxapp.driver.samples import find_samples
from ademxapp.engine import Device, Predictor
from ademxapp.errors import UsageError, one_line
from ademxapp.evaluation.ranges import keep_ranges, kept_ranges, ranges_path
from ademxapp.machine import can_compute, slow_because
from ademxapp.settings import DTYPES, Data, Precision, Settings

LEAST_IMAGES = 4
P = TypeVar("P", bound=Precision)


def checked_dtype(asked: P) -> P:
    """With None for float32, as if it were not given; UsageError unless --dtype goes with the other flags."""
    dtype = None if asked.dtype == DTYPES[0] else asked.dtype
    if asked.calibrate_list and dtype != "int8":
        raise UsageError("--calibrate-list without --dtype int8: there is nothing to calibrate")
    if dtype and getattr(asked, "phase", "test") == "train":
        raise UsageError(f"--dtype {dtype} is for testing, --phase val or test: training computes in float32")
    if dtype and asked.gpus is not None:
        raise UsageError(_no_cards(dtype))
    if not can_compute(dtype):
        raise UsageError(f"--dtype {dtype} needs processors with AVX-512 (avx512bw): these compute in float32 and int8")
    return replace(asked, dtype=dtype)


def calibration_samples(settings: Union[Data, Precision], task: str, classes: int, count: int,
                        folders: Sequence[str] = ()) -> List[Sample]:
    """Up to `count` samples, evenly chosen of --calibrate-list or of the train split, as `find_samples` finds them.

    UsageError where there are none, or too few.
    """
    train = replace(settings, split="train", list=settings.calibrate_list, records=None)
    try:
        samples = find_samples(train, task, classes, unknown=True, folders=folders)
    except UsageError as error:
        found = str(error).partition("; --list")[0]
        raise UsageError(f"--dtype int8 needs images to measure ranges on, and {found}: --calibrate-list FILE names "
                         "some") from None
    if len(samples) < LEAST_IMAGES:
        raise UsageError(f"--dtype int8 measures ranges on images of {settings.calibrate_list or 'the train split'}, "
                         f"which has {len(samples)}: wanted at least {LEAST_IMAGES}")
    return [samples[i] for i in np.unique(np.linspace(0, len(samples) - 1, count).round().astype(int))]


def make_predictor(settings: Settings, network: Any, contexts: Sequence[Device], log: Logger,
                   find_images: Callable[[], List[Sample]],
                   run: Callable[[Predictor, Sequence[Sample]], None]) -> Predictor:
    """The `Predictor` of a network that computes in --dtype.

    Parameters
    ----------
    network : object
        With `path`, `symbol` and `parameters`.
    find_images : callable
        Gives the samples that INT8 is calibrated on, as `calibration_samples`.
    run : callable
        Takes a `Predictor` and samples, and gives it what it would be given of them in the test.
    """
    dtype = getattr(settings, "dtype", None)  # tools/msctest.py has none
    if not dtype:
        return engine.load().Predictor(network.symbol, network.parameters, contexts)
    if contexts[0].device_type == "gpu":
        raise UsageError(_no_cards(dtype))
    slow = slow_because(dtype)
    if slow:
        log.warning("%s: %s: it will not be faster than float32", dtype, slow)
    if dtype == "bfloat16":
        return engine.load().Predictor(network.symbol, network.parameters, contexts, "bfloat16")
    int8 = engine.load().Int8Network(network.symbol, network.parameters)
    log.info("int8: %s remain in float32", ", ".join(int8.left) or "no layers")
    ranges = find_ranges(settings, network.path, int8, contexts, log, find_images, run)
    return engine.load().Predictor(*int8.quantised(ranges), contexts)


def find_ranges(settings: Settings, path: str, int8: Any, contexts: Sequence[Device], log: Logger,
                find_images: Callable[[], List[Sample]],
                run: Callable[[Predictor, Sequence[Sample]], None]) -> Dict[str, Tuple[float, float]]:
    """The ranges of an `Int8Network` of the weights `path`: those that are kept if they fit, else measured ones."""
    origin = {"ademxapp": ademxapp.__version__, **engine.load().versions(),
              "weights_sha256": _digest([read_bytes(path)]),
              "arguments": settings.inputs(), "images_sha256": None}
    file = ranges_path(path)
    try:
        samples = find_images()
        origin["images_sha256"] = _digest(sample.read()[0] for sample in samples)
    except UsageError as error:
        samples, reason = None, error
    ranges, why = kept_ranges(file, origin, int8.measured)
    if ranges is None and samples is None:
        raise reason
    if samples is None:
        log.info("int8: ranges as kept in %s; the images that they are of were not looked at", file)
        return ranges
    words = f"{len(samples)} images, {samples[0].image} … {samples[-1].image}"
    if ranges is not None:
        log.info("int8: ranges as kept in %s, of %s", file, words)
        return ranges
    log.info("int8: measuring ranges on %s, as %s: %s", words, file, why)
    recorder = engine.load().RangeRecorder(int8.symbol, int8.parameters, contexts[:1], int8.measured)
    for sample in tqdm(samples, unit="image", desc="calibrating", disable=None):
        run(recorder, [sample])
    try:
        keep_ranges(file, {**origin, "images": [sample.image for sample in samples]}, recorder.ranges)
    except OSError as error:
        log.warning("int8: the ranges could not be kept, and will be measured again: %s", one_line(error))
    return recorder.ranges


def _no_cards(dtype: str) -> str:
    return f"--dtype {dtype} is for CPUs: give --cpus 1 and no --gpus"


def _digest(parts: Iterable[bytes]) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(hashlib.sha256(part).digest())
    return found.hexdigest()
