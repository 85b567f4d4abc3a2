"""What is wrong with a file of weights: its MD5 if it bears a released file's name, its parameters, its numbers."""
import os

import numpy as np

from ademxapp.deploy.formats import read_weights
from ademxapp.deploy.registry import BY_FILE, md5_of
from ademxapp.symbol import classification_symbol, network, parse_label, segmentation_symbol
from ademxapp.training.parameters import Parameters, differences, parameter_shapes

_SHOWN = 4


def problems(path):
    """What is wrong with a file, as a list of texts; none: it has all that its label's network needs, and no more.

    ValueError for a file that cannot be read as weights, or whose name is no label; OSError if there is none.
    """
    released = BY_FILE.get(os.path.basename(path))
    found = []
    if released:
        md5 = md5_of(path)
        if md5 != released.md5:
            found.append(f"its MD5 is {md5}, the released file's {released.md5}")
    weights = read_weights(path)
    parameters = by_kind(weights)
    wrong = [f"{name} {problem}" for name, problem in differences(parameters, network_shapes(path, parameters))]
    wrong += [f"{key.partition(':')[2]} has numbers that are not finite" for key, array in weights.items()
              if array.dtype.kind == "f" and not np.isfinite(array).all()]
    return found + wrong[:_SHOWN] + ([f"{len(wrong) - _SHOWN} more differences"] if len(wrong) > _SHOWN else [])


def by_kind(weights):
    """`Parameters` of weights as `read_weights` gives them: NumPy arrays."""
    parts = {"arg": {}, "aux": {}}
    for key, array in weights.items():
        kind, _, name = key.partition(":")
        parts[kind][name] = array
    return Parameters(parts["arg"], parts["aux"])


def network_shapes(path, parameters):
    """Shapes of the parameters that the network of a file's label has: (arguments, auxiliary states).

    Whether it segments, and with which head, is read from `parameters`; if they do not tell, from the label.
    """
    label = parse_label(path)
    scores = parameters.args.get(f"linear{label.classes}_weight")
    dense = label.stride is not None if scores is None else scores.ndim == 4
    head = "2conv" if "conv6a_weight" in parameters.args else "1conv"
    symbol = segmentation_symbol(label, head=head, loss="softmax") if dense else classification_symbol(label)
    side = network(label.network).input.test_crop
    return parameter_shapes(symbol, data=(1, 3, side, side))
