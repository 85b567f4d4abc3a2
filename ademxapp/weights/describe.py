"""Which network is in a file of weights, and what is wrong with it.

Its description tells; where it has none, as the released files, the name tells the label, the last layer the rest.
"""
import dataclasses
import os
import re
from typing import Iterator, List, Mapping, Optional, Tuple

import numpy as np

from ademxapp.errors import one_line
from ademxapp.symbol import (
    Label,
    classification_symbol,
    label_stem,
    network,
    output_stride,
    parse_label,
    segmentation_symbol,
)
from ademxapp.weights.description import (
    CLASSIFICATION,
    SEGMENTATION,
    Description,
    description_path,
    kept_description,
    onnx_properties,
    read_properties,
)
from ademxapp.weights.formats import read_weights
from ademxapp.weights.parameters import Parameters, differences, parameter_shapes, shortened
from ademxapp.weights.params_files import by_kind
from ademxapp.weights.released import BY_FILE, md5_of

_TOP = re.compile(r"(?:arg:)?linear\d+_weight")
_HIDDEN = "conv6a_weight"
Shapes = Mapping[str, Tuple[int, ...]]  # of parameters, by name


def describe(path: str, label: Optional[str] = None, shapes: Optional[Shapes] = None) -> Description:
    """The `Description` of a file of weights, of any format, or of an ONNX file.

    Parameters
    ----------
    path : str
    label : str, optional
        That the user gives, where the name has none.
    shapes : mapping, optional
        {name: shape} of its parameters, if they are known; else the file is read where nothing else tells.

    Raises
    ------
    ValueError
        If nothing tells the label or the task, or an ONNX file does not describe itself.
    OSError
        If it cannot be read.
    """
    if path.endswith(".onnx"):
        return read_properties(dict(onnx_properties(path)), path)
    kept, note = kept_description(path)
    if kept is None:
        return dataclasses.replace(_by_name(path, label, shapes), note=note)
    return kept if label is None else _of_label(kept, parse_label(label))


def run_label(path: str) -> str:
    """The label of what is done with weights: the name of their file or, where that names another network than their
    description or none, that of the description. ValueError if neither tells one.
    """
    name, (kept, _) = label_stem(path), kept_description(path)
    try:
        named = parse_label(name)
    except ValueError:
        if kept is None:
            raise ValueError(_nameless(path)) from None
        return kept.label
    if kept is None:
        return name
    of_run = parse_label(kept.label)
    return name if dataclasses.replace(named, tag=of_run.tag) == of_run else kept.label


def _nameless(path: str) -> str:
    return (f"{path}: nothing tells which network this is: the name is no label, <dataset>_<network>_cls<N>[_s<stride>]"
            "[_<tag>], and there is no description of it beside it, "
            f"{os.path.basename(description_path(path))}. Give the file its old name")


def _of_label(known: Description, label: Label) -> Description:
    return dataclasses.replace(known, label=str(label), classes=label.classes, stride=output_stride(label))


def _by_name(path: str, text: Optional[str], shapes: Optional[Shapes]) -> Description:
    """The description of weights that have none: of their name, and their parameters."""
    try:
        label = parse_label(text or path)
    except ValueError:
        if text is not None:
            raise
        raise ValueError(_nameless(path)) from None
    if shapes is None:
        shapes = {name: array.shape for name, array in read_weights(path).items()}
    task, head = task_and_head(path, shapes)
    settings = network(label.network).input
    dense = task == SEGMENTATION
    return Description(str(label), task, label.classes, output_stride(label), settings.mean, settings.std,
                       settings.interpolation, 0 if dense else settings.test_crop, head)


def task_and_head(path: str, shapes: Shapes) -> Tuple[str, str]:
    """The task of weights, and the head where they segment ("" else); ValueError unless they have a classifier."""
    tops = [shape for name, shape in shapes.items() if _TOP.fullmatch(name)]
    if not tops:
        raise ValueError(f"{path} has no classifier, linear<classes>_weight: wanted weights of one of the drivers")
    if len(tops[0]) != 4:
        return CLASSIFICATION, ""
    return SEGMENTATION, "2conv" if {_HIDDEN, f"arg:{_HIDDEN}"} & set(shapes) else "1conv"


def problems(path: str) -> List[str]:
    """What is wrong with a file, as a list of texts; none: it has all that its label's network needs, and no more.

    OSError if it cannot be read.
    """
    released = BY_FILE.get(os.path.basename(path))
    md5 = md5_of(path)
    found = [f"its MD5 is {md5}, the released file's {released.md5}"] if released and md5 != released.md5 else []
    try:
        parameters = Parameters(*by_kind(read_weights(path), path))
        wrong = [*differences(parameters, network_shapes(path, parameters)), *wrong_numbers(parameters)]
        return found + shortened(wrong)
    except (ValueError, ImportError) as error:
        return found + [one_line(error).replace(f"{path} ", "", 1)]


def wrong_numbers(parameters: Parameters) -> Iterator[Tuple[str, str]]:
    """`(name, what is wrong)` for every parameter whose numbers no network can have: NumPy arrays."""
    for name, array in parameters.all.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            yield name, "has numbers that are not finite"
        elif name.endswith("_moving_var") and array.min() < 0:
            yield name, f"has variances below 0, down to {array.min():.3g}"


def network_shapes(path: str, parameters: Parameters) -> Tuple[Shapes, Shapes]:
    """Shapes of the parameters that the network of a file's label has: (arguments, auxiliary states).

    What does not describe itself tells by `parameters` whether it segments, and with which head; without a classifier,
    by its name.
    """
    shapes = {name: value.shape for name, value in parameters.args.items()}
    if not any(name.startswith("linear") for name in shapes):
        label = parse_label(path)
        shapes[f"linear{label.classes}_weight"] = (label.classes, 1) if label.stride is None else (1, 1, 1, 1)
    known = describe(path, shapes=shapes)
    label = parse_label(known.label)
    symbol = (segmentation_symbol(label, head=known.head, loss="softmax") if known.task == SEGMENTATION
              else classification_symbol(label))
    side = network(label.network).input.test_crop
    return parameter_shapes(symbol, data=(1, 3, side, side))
