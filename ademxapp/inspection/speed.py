"""Images per second of networks in testing, on one device."""
import time
from typing import List, Optional, Sequence, Tuple

import numpy as np

from ademxapp import engine
from ademxapp.inspection.costs import planned_bytes
from ademxapp.inspection.graph import parameter_counts
from ademxapp.weights.parameters import Parameters, parameter_shapes

MEMORY_SHARE = 0.8  # of the free memory, at most, for parameters and maps


def fitting_images(symbol: engine.Symbol, images: int, crop: int, free: Optional[int]) -> int:
    """The batch halved until the plan of testing and the parameters fit into `free` bytes (int, at least 1)."""
    parameters = 4 * sum(parameter_counts(symbol, (1, 3, crop, crop)))
    while images > 1 and free and parameters + planned_bytes(symbol, (images, 3, crop, crop), training=False) \
            > MEMORY_SHARE * free:
        images //= 2
    return images


class Runner:
    """A network ready for testing, with random images and parameters, that runs a batch when asked.

    The parameters keep the maps in range: denormal numbers would be slow.
    """

    def __init__(self, symbol: engine.Symbol, images: int, crop: int, device: Optional[engine.Device] = None) -> None:
        self.images, self.crop = images, crop
        runs, rng = engine.load(), np.random.default_rng(0)
        shapes = parameter_shapes(symbol, data=(1, 3, crop, crop))
        parameters = Parameters(*({name: _value(name, shape, rng) for name, shape in kind.items()} for kind in shapes))
        self._predictor = runs.Predictor(symbol, parameters, [device or runs.devices(cpus=1)[0]])
        self._data = rng.standard_normal((images, 3, crop, crop), np.float32)

    def seconds(self) -> float:
        """Run a batch: the time that it took (float)."""
        start = time.perf_counter()
        self._predictor(self._data)
        return time.perf_counter() - start


def _value(name: str, shape: Tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    if name.endswith("_weight"):
        return rng.standard_normal(shape, np.float32) * np.float32(np.sqrt(2 / np.prod(shape[1:])))
    return np.full(shape, 0.5 if name.endswith("_gamma") else float(name.endswith("_var")), np.float32)


def race(runners: Sequence[Runner], rounds: int) -> List[float]:
    """Images per second of each `Runner` in its best batch of `rounds`, run in turns after one to warm up.

    In turns, what else the machine does slows all of them alike.
    """
    best = [np.inf] * len(runners)
    for turn in range(rounds + 1):
        for i, runner in enumerate(runners):
            seconds = runner.seconds()
            best[i] = min(best[i], seconds) if turn else np.inf
    return [runner.images / seconds for runner, seconds in zip(runners, best)]
