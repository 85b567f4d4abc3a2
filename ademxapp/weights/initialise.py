"""Parameters to start from, as functions of (seed, name, shape)."""
import math
import zlib
from typing import Dict, Mapping, Tuple

import numpy as np

Shape = Tuple[int, ...]


def initial_parameter(name: str, shape: Shape, seed: int) -> np.ndarray:
    """The starting value of one parameter, float32.

    Convolutions are normal with variance 2 / fan_in and without bias (He et al. 2015); fully connected layers uniform
    within ± sqrt(1 / fan_in), as is a bias given by `fully_connected_bias`. Gammas and variances are 1, the rest 0.
    """
    if name.endswith("_weight"):
        rng, fan_in = _rng(name, seed), math.prod(shape[1:])
        if len(shape) == 2:
            return _uniform(rng, shape, fan_in)
        return rng.normal(0, np.sqrt(2 / fan_in), shape).astype(np.float32)
    if name.endswith(("_gamma", "_moving_var")):
        return np.ones(shape, np.float32)
    if name.endswith(("_bias", "_beta", "_moving_mean")):
        return np.zeros(shape, np.float32)
    raise ValueError(f"no rule to initialise parameter {name}")


def initial_parameters(shapes: Mapping[str, Shape], seed: int) -> Dict[str, np.ndarray]:
    """Starting values of all parameters: {name: ndarray} for {name: shape}."""
    values = {name: initial_parameter(name, shape, seed) for name, shape in shapes.items()}
    for name in shapes:
        weight = shapes.get(name[:-len("_bias")] + "_weight", ()) if name.endswith("_bias") else ()
        if len(weight) == 2:
            values[name] = _uniform(_rng(name, seed), shapes[name], weight[1])
    return values


def _uniform(rng: np.random.Generator, shape: Shape, fan_in: int) -> np.ndarray:
    return rng.uniform(-np.sqrt(1 / fan_in), np.sqrt(1 / fan_in), shape).astype(np.float32)


def _rng(name: str, seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(name.encode())])
