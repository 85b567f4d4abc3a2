"""Images per second of networks in testing, on one device."""
import time

import numpy as np

from ademxapp.backend import mx
from ademxapp.inspection.graph import parameter_counts
from ademxapp.inspection.memory import planned_bytes
from ademxapp.weights.parameters import INPUTS

MEMORY_SHARE = 0.8  # of the free memory, at most, for parameters and maps


def fitting_images(symbol, images, crop, free):
    """The batch halved until the plan of testing and the parameters fit into `free` bytes (int, at least 1)."""
    parameters = 4 * sum(parameter_counts(symbol, (1, 3, crop, crop)))
    while images > 1 and free and parameters + planned_bytes(symbol, (images, 3, crop, crop), training=False) \
            > MEMORY_SHARE * free:
        images //= 2
    return images


class Runner:
    """A network bound for testing, with random images and parameters, that runs a batch when asked.

    The parameters keep the maps in range: denormal numbers would be slow.
    """

    def __init__(self, symbol, images, crop, context=None):
        self.images, self.crop = images, crop
        context = context or mx.cpu()
        self._executor = symbol.simple_bind(context, grad_req="null", data=(images, 3, crop, crop))
        for name, array in self._executor.arg_dict.items():
            if name == "data" or name.endswith("_weight"):
                scale = 1.0 if name == "data" else float(np.sqrt(2 / np.prod(array.shape[1:])))
                array[:] = mx.nd.random.normal(0, scale, shape=array.shape, ctx=context)
            elif name not in INPUTS:
                array[:] = 0.5 if name.endswith("_gamma") else 0
        for name, array in self._executor.aux_dict.items():
            array[:] = 1 if name.endswith("_var") else 0
        mx.nd.waitall()

    def seconds(self):
        """Run a batch: the time that it took (float)."""
        start = time.perf_counter()
        self._executor.forward(is_train=False)[0].wait_to_read()
        return time.perf_counter() - start


def race(runners, rounds):
    """Images per second of each `Runner` in its best batch of `rounds`, run in turns after one to warm up.

    In turns, what else the machine does slows all of them alike.
    """
    best = [np.inf] * len(runners)
    for turn in range(rounds + 1):
        for i, runner in enumerate(runners):
            seconds = runner.seconds()
            best[i] = min(best[i], seconds) if turn else np.inf
    return [runner.images / seconds for runner, seconds in zip(runners, best)]
