"""What is wrong with a file of weights: its MD5 if it bears a released file's name, its parameters, its numbers."""
import os

import numpy as np

from ademxapp.errors import one_line
from ademxapp.symbol import classification_symbol, network, parse_label, segmentation_symbol
from ademxapp.weights.describe import describe
from ademxapp.weights.description import SEGMENTATION
from ademxapp.weights.formats import read_weights
from ademxapp.weights.parameters import Parameters, differences, parameter_shapes
from ademxapp.weights.released import BY_FILE, md5_of

_SHOWN = 4


def problems(path):
    """What is wrong with a file, as a list of texts; none: it has all that its label's network needs, and no more.

    OSError if it cannot be read.
    """
    released = BY_FILE.get(os.path.basename(path))
    md5 = md5_of(path)
    found = [f"its MD5 is {md5}, the released file's {released.md5}"] if released and md5 != released.md5 else []
    try:
        weights = read_weights(path)
        return found + shortened(list(wrong_parameters(path, weights)))
    except (ValueError, ImportError) as error:
        return found + [one_line(error).replace(f"{path} ", "", 1)]


def wrong_parameters(path, weights):
    """A text for every parameter that is not as in the network of a file's label, or not finite."""
    parameters = by_kind(weights)
    for name, problem in differences(parameters, network_shapes(path, parameters)):
        yield f"{name} {problem}"
    for name, array in parameters.all.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            yield f"{name} has numbers that are not finite"


def shortened(texts):
    """The first texts, and how many more there are."""
    return texts[:_SHOWN] + ([f"{len(texts) - _SHOWN} more differences"] if len(texts) > _SHOWN else [])


def by_kind(weights):
    """`Parameters` of weights as `read_weights` gives them: NumPy arrays."""
    parts = {"arg": {}, "aux": {}}
    for key, array in weights.items():
        kind, _, name = key.partition(":")
        parts[kind][name] = array
    return Parameters(parts["arg"], parts["aux"])


def network_shapes(path, parameters):
    """Shapes of the parameters that the network of a file's label has: (arguments, auxiliary states).

    What does not describe itself tells by `parameters` whether it segments, and with which head.
    """
    known = describe(path, shapes={name: value.shape for name, value in parameters.args.items()})
    label = parse_label(known.label)
    symbol = (segmentation_symbol(label, head=known.head, loss="softmax") if known.task == SEGMENTATION
              else classification_symbol(label))
    side = network(label.network).input.test_crop
    return parameter_shapes(symbol, data=(1, 3, side, side))
