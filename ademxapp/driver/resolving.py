"""From what was asked for to what is done: settings with nothing left open, or a UsageError."""
import os
from dataclasses import replace
from typing import Optional, Tuple, TypeVar

from ademxapp.engine import load
from ademxapp.errors import UsageError
from ademxapp.settings import DTYPES, Devices, DriverSettings, Precision
from ademxapp.symbol import label_epoch, label_stem, parse_label
from ademxapp.weights.describe import run_label
from ademxapp.weights.description import Description, kept_description

D = TypeVar("D", bound=DriverSettings)
P = TypeVar("P", bound=Precision)


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
