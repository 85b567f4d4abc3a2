"""Score maps to labels, beside Pillow class by class in processes, as the original does it."""
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Callable, Iterable, Iterator, List, Tuple

import numpy as np
from PIL import Image

from ademxapp.cli import Parser, number
from ademxapp.data.resize import choose_filter, scaled_size
from ademxapp.evaluation.dense import ScoreMap, label_map, scores_at_image_size
from ademxapp.processes import Processes

from .comparison import Comparison, Way, in_turns

PROCESSES = 2
STRIDE = 8
MAPS = {  # name: classes, (h, w) of the image, the longer side as scaled for the network
    "Cityscapes": (19, (1024, 2048), 2048), "Cityscapes at three quarters": (19, (1024, 2048), 1536),
    "ADE20K": (150, (512, 683), 576)}
ASKED, TOLERANCE = 3.0, 1e-4


def add_arguments(command: Parser) -> None:
    """The arguments of `scores`."""
    command.add_argument("--seconds", type=number(float, 0), default=15, help="to measure each of three comparisons")


def measure(seconds: float) -> List[Comparison]:
    """Measure each kind of score map, and compare what came out."""
    with Processes(pillow_plane, PROCESSES, "processes", niceness=0) as plane, ThreadPoolExecutor(PROCESSES) as threads:
        run = partial(threads.map, partial(plane, "a class"))
        return [labels(name, run, seconds) for name in MAPS]


def labels(name: str, run: Callable[..., Iterator[np.ndarray]], seconds: float) -> Comparison:
    """The `Comparison` of labels from one score map, by the clock on the wall: `run` uses all its processes."""
    score_map = score_map_like(*MAPS[name])
    rates = in_turns([repeated(lambda: label_map([score_map])),
                      repeated(lambda: plain_labels(pillow_planes(score_map, run)))], seconds, time.monotonic)
    difference = max(np.abs(plane - scores).max() for plane, scores in zip(
        pillow_planes(score_map, run), np.concatenate([part for _, part in scores_at_image_size([score_map])], 1)))
    classes, (height, width), _ = MAPS[name]
    return Comparison(f"score map to labels, {name}: {width}x{height} pixels, {classes} classes",
                      f"Pillow class by class in {PROCESSES} processes, and NumPy's argmax", *rates, ASKED,
                      f"scores differ by at most {difference:.1e} (promised: {TOLERANCE:.0e})")


def repeated(action: Callable[[], object], times: int = 3) -> Way:
    """A way for `in_turns`."""
    def run(_: int) -> int:
        for _ in range(times):
            action()
        return times
    return run


def score_map_like(classes: int, size: Tuple[int, int], scale: int, seed: int = 0) -> ScoreMap:
    """A `ScoreMap` of random probabilities, of an image of `size` (h, w) with its longer side scaled to `scale`."""
    scaled = scaled_size(size, scale, longer=True)
    values = np.exp(np.random.default_rng(seed).normal(0, 2, (classes, *(-(-side // STRIDE) for side in scaled))))
    return ScoreMap((values / values.sum(0)).astype(np.float32), STRIDE, scaled, size)


# The plain way


def pillow_planes(score_map: ScoreMap, run: Callable[..., Iterator[np.ndarray]]) -> Iterator[np.ndarray]:
    """Scores (H, W) float32 at image size of every class in turn, by processes."""
    classes = len(score_map.scores)
    return run(score_map.scores, *([value] * classes for value in (
        score_map.cell, score_map.scaled, score_map.size)))


def pillow_plane(scores: np.ndarray, cell: int, scaled: Tuple[int, int], size: Tuple[int, int]) -> np.ndarray:
    """One class's scores (h, w) at image size, (H, W) float32: enlarged by the cell, cropped, resized to the image."""
    plane = Image.fromarray(scores)
    plane = plane.resize([side * cell for side in plane.size], Image.BICUBIC).crop((0, 0, scaled[1], scaled[0]))
    if scaled != size:
        plane = plane.resize(size[::-1], choose_filter(scaled, size))
    return np.asarray(plane)


def plain_labels(planes: Iterable[np.ndarray]) -> np.ndarray:
    """The best class of every pixel, (H, W), of its scores (H, W) for each class."""
    return np.stack(list(planes)).argmax(0)
