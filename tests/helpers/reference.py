"""Parameters and inputs of the golden numbers (golden/README.md), and small references in plain NumPy."""
import zlib

import numpy as np


def golden_parameter(name, shape):
    """The value of one parameter, a function of its name and shape alone."""
    rng = np.random.RandomState(zlib.crc32(name.encode()) & 0xffffffff)
    if name.endswith("_weight"):
        value = rng.normal(0, np.sqrt(1 / np.prod(shape[1:])), size=shape)
    elif name.endswith(("_bias", "_beta", "_moving_mean")):
        value = 0.1 * rng.normal(size=shape)
    elif name.endswith("_gamma"):
        value = 1 + 0.1 * rng.normal(size=shape)
    elif name.endswith("_moving_var"):
        value = 1 + 0.1 * np.abs(rng.normal(size=shape))
    else:
        raise ValueError(f"no golden rule for {name}")
    return value.astype(np.float32)


def golden_parameters(symbol, **inputs):
    """All parameters of a symbol: (arguments, auxiliary states), dictionaries of float32 arrays."""
    arg_shapes, _, aux_shapes = symbol.infer_shape(**inputs)
    args = {name: golden_parameter(name, shape) for name, shape in zip(symbol.list_arguments(), arg_shapes)
            if name not in ("data", "softmax_label")}
    auxs = {name: golden_parameter(name, shape) for name, shape in zip(symbol.list_auxiliary_states(), aux_shapes)}
    return args, auxs


def class_weights(classes):
    """Of that many classes, no two alike."""
    return tuple(0.5 + 0.25 * np.arange(classes))


def weighted_gradient(grad, label, weights):
    """A gradient (N, C, …), multiplied by the weight of the class of every cell of label (N, cells); 255 has none."""
    if weights is None:
        return grad
    of_cells = np.append(weights, np.zeros(256 - len(weights)))[label.astype(int)]
    return grad * of_cells.reshape(len(grad), 1, *grad.shape[2:])
