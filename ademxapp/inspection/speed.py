"""Images per second of networks in testing, on one device."""
import time
from dataclasses import dataclass

import numpy as np

from ademxapp.backend import mx
from ademxapp.inspection.graph import INPUTS, parameter_counts
from ademxapp.inspection.memory import planned_bytes

MEMORY_SHARE = 0.8  # of the free memory, at most, for parameters and maps


@dataclass(frozen=True)
class Speed:
    """Images per second in the best round, and what was run: images in a batch, side of the images in pixels."""

    network: str
    images: int
    crop: int
    images_per_second: float
    rounds: int


def free_bytes():
    """Main memory that can be had without swapping, or None where the system does not tell."""
    try:
        with open("/proc/meminfo") as lines:
            fields = dict(line.split(":", 1) for line in lines)
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):
        return None


def fitting_images(symbol, images, crop, free):
    """The batch halved until the plan of testing and the parameters fit into `free` bytes (int, at least 1)."""
    parameters = 4 * sum(parameter_counts(symbol, (1, 3, crop, crop)))
    while images > 1 and free and parameters + planned_bytes(symbol, (images, 3, crop, crop), training=False) \
            > MEMORY_SHARE * free:
        images //= 2
    return images


def bind_for_testing(symbol, data_shape, context, seed=0):
    """An executor with random parameters that keep the maps in range (denormal numbers would be slow)."""
    executor = symbol.simple_bind(context, grad_req="null", data=tuple(data_shape))
    rng = np.random.RandomState(seed)
    for name, array in executor.arg_dict.items():
        if name.endswith("_weight"):
            scale = np.sqrt(2 / np.prod(array.shape[1:]))
            array[:] = mx.nd.random.normal(0, float(scale), shape=array.shape, ctx=context)
        elif name not in INPUTS:
            array[:] = 0.5 if name.endswith("_gamma") else 0
    for name, array in executor.aux_dict.items():
        array[:] = 1 if name.endswith("_var") else 0
    executor.arg_dict["data"][:] = rng.normal(size=data_shape).astype(np.float32)
    mx.nd.waitall()
    return executor


def images_per_second(symbol, name, images, crop, rounds=3, context=None):
    """The `Speed` of a network: batches are run one after another, once to warm up, then `rounds` times."""
    executor = bind_for_testing(symbol, (images, 3, crop, crop), context or mx.cpu())
    best = np.inf
    for turn in range(rounds + 1):
        start = time.perf_counter()
        executor.forward(is_train=False)[0].wait_to_read()
        if turn:
            best = min(best, time.perf_counter() - start)
    return Speed(name, images, crop, images / best, rounds)
