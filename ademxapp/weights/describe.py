"""Which network is in a file of weights, and what is wrong with it.

Its description tells; where it has none, as the released files, the name tells the label, the last layer the rest.
"""
import dataclasses
import os
import re
from typing import List, Mapping, Optional, Tuple

import numpy as np

from ademxapp.engine import Symbol
from ademxapp.errors import one_line
from ademxapp.files import digest
from ademxapp.symbol import SymbolOptions, classification_symbol, network, output_stride, segmentation_symbol
from ademxapp.symbol.options import Label, label_stem, parse_label
from ademxapp.weights import description
from ademxapp.weights.description import CLASSIFICATION, SEGMENTATION, Description
from ademxapp.weights.formats import read_weights
from ademxapp.weights.parameters import Parameters, by_kind, differences, parameter_shapes, shortened
from ademxapp.weights.released import BY_FILE

_TOP = re.compile(r"(?:arg:)?linear\d+_weight")
_HIDDEN = "conv6a_weight"
Shapes = Mapping[str, Tuple[int, ...]]  # of parameters, by name


def describe(path: str, label: Optional[str] = None, shapes: Optional[Shapes] = None) -> Description:
    """The `Description` of a file of weights, of any format, or of an ONNX file.

    `label` is the user's, where the name has none; `shapes` {name: shape} of the parameters, if they are known: else
    the file is read where nothing else tells. ValueError if nothing tells the label or the task, or an ONNX file does
    not describe itself; OSError if it cannot be read.
    """
    if path.endswith(".onnx"):
        return description.read_properties(description.onnx_properties(path), path)
    kept, note = description.kept_description(path)
    if kept is None:
        return dataclasses.replace(_by_name(path, label, shapes), note=note)
    if label is None:
        return kept
    asked = parse_label(label)
    return dataclasses.replace(kept, label=str(asked), classes=asked.classes, stride=output_stride(asked))


def run_label(path: str) -> str:
    """The label of what is done with weights: the name of their file or, where that names another network than their
    description or none, that of the description. ValueError if neither tells one.
    """
    kept, _ = description.kept_description(path)
    try:
        named = _named(path)
    except ValueError:
        if kept is None:
            raise
        return kept.label
    if kept is None:
        return label_stem(path)
    of_run = parse_label(kept.label)
    return label_stem(path) if dataclasses.replace(named, tag=of_run.tag) == of_run else kept.label


def _named(path: str) -> Label:
    """The label in a file's name."""
    try:
        return parse_label(path)
    except ValueError:
        beside = os.path.basename(description.description_path(path))
        raise ValueError(f"{path}: nothing tells which network this is: the name is no label, "
                         "<dataset>_<network>_cls<N>[_s<stride>][_<tag>], and there is no description of it beside it, "
                         f"{beside}. Give the file its old name") from None


def _by_name(path: str, text: Optional[str], shapes: Optional[Shapes]) -> Description:
    """The description of weights that have none: of their name, and their parameters."""
    label = _named(path) if text is None else parse_label(text)
    if shapes is None:
        shapes = {name: array.shape for name, array in read_weights(path).items()}
    top = next((shape for name, shape in shapes.items() if _TOP.fullmatch(name)), None)
    if top is None:
        raise ValueError(f"{path} has no classifier, linear<classes>_weight: wanted weights of one of the drivers")
    settings = network(label.network).input
    task, test_scale, head = CLASSIFICATION, settings.test_crop, ""
    if len(top) == 4:
        task, test_scale, head = SEGMENTATION, 0, "2conv" if {_HIDDEN, f"arg:{_HIDDEN}"} & set(shapes) else "1conv"
    return Description(str(label), task, label.classes, output_stride(label), settings.mean, settings.std,
                       settings.interpolation, test_scale, head)


def problems(path: str) -> List[str]:
    """What is wrong with a file, as texts; none: it has what its network needs, and no more. OSError if unreadable."""
    released = BY_FILE.get(os.path.basename(path))
    md5 = digest(path, "md5")
    found = [f"its MD5 is {md5}, the released file's {released.md5}"] if released and md5 != released.md5 else []
    try:
        parameters = Parameters(*by_kind(read_weights(path), path))
        wrong = list(differences(parameters, network_shapes(path, parameters)))
        for name, array in parameters.all.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                wrong.append((name, "has numbers that are not finite"))
            elif name.endswith("_moving_var") and array.min() < 0:
                wrong.append((name, f"has variances below 0, down to {array.min():.3g}"))
    except (ValueError, ImportError) as error:
        return found + [one_line(error).replace(f"{path} ", "", 1)]
    return found + shortened(wrong)


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
    side = network(parse_label(known.label).network).input.test_crop
    return parameter_shapes(symbol_to_test(known), data=(1, 3, side, side))


def symbol_to_test(known: Description) -> Symbol:
    """The network for testing weights that are so described."""
    label = parse_label(known.label)
    if known.task == SEGMENTATION:
        return segmentation_symbol(label, SymbolOptions(bn_use_global_stats=True), known.head, "softmax")
    options = SymbolOptions(bn_use_global_stats=True, pool_top_infer_style=known.pool_style or None)
    return classification_symbol(label, options)
