"""Reading, forward pass and what follows it, side by side; what is no number is never taken for a class."""
import collections
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Callable, Deque, Generator, Iterable, TypeVar

import numpy as np

R = TypeVar("R")


def overlapped(items: Iterable[Any], read: Callable[[Any], Any], forward: Callable[[Any], Any],
               finish: Callable[[Any], R], workers: int = 1, finishers: int = 1) -> Generator[R, None, None]:
    """`finish(forward(read(item)))` of every item, in order.

    `read` and `finish` run in threads (`workers`, `finishers`), ahead of and behind `forward`, which runs here: the
    network is not thread safe. An exception of any of them ends the iteration.
    """
    readers, others = ThreadPoolExecutor(workers), ThreadPoolExecutor(finishers)
    waiting = iter(items)
    reading: Deque[Future] = collections.deque()
    finishing: Deque[Future[R]] = collections.deque()
    try:
        while True:
            while len(reading) <= workers:
                item = next(waiting, readers)
                if item is readers:
                    break
                reading.append(readers.submit(read, item))
            if not reading:
                break
            finishing.append(others.submit(finish, forward(reading.popleft().result())))
            while len(finishing) > finishers + 1:
                yield finishing.popleft().result()
        while finishing:
            yield finishing.popleft().result()
    finally:
        for future in (*reading, *finishing):
            future.cancel()
        readers.shutdown()
        others.shutdown()


def require_finite(values: np.ndarray, weights: str, image: Callable[[int], str]) -> np.ndarray:
    """`values` (images, …); ValueError, which names the weights and the image, unless all of them are finite numbers.

    `image` gives the name of the image in a place.
    """
    finite = np.isfinite(values)
    if not finite.all():
        place = int(finite.reshape(len(values), -1).all(1).argmin())
        whose = weights or "the network"
        raise ValueError(f"{whose} gives {image(place)} probabilities that are not finite: tools/weights.py check "
                         "tells whether the weights are; a training that gives them has diverged")
    return values
