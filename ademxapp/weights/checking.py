"""What is wrong with a file of weights: its MD5 if it bears a released file's name, its parameters, its numbers."""
import os
from typing import Dict, Iterator, List, Tuple

import numpy as np

from ademxapp.errors import one_line
from ademxapp.symbol import classification_symbol, network, parse_label, segmentation_symbol
from ademxapp.weights.describe import describe
from ademxapp.weights.description import SEGMENTATION
from ademxapp.weights.formats import read_weights
from ademxapp.weights.parameters import Parameters, differences, parameter_shapes, shortened
from ademxapp.weights.params_files import by_kind
from ademxapp.weights.released import BY_FILE, md5_of

Shapes = Dict[str, Tuple[int, ...]]


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
