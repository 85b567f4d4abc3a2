"""Testing: images per second of networks, in turns with a reference, and score maps to labels, beside Pillow."""
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import repeat
from typing import Callable, Iterable, Iterator, List, Optional, Sequence, Tuple

import numpy as np
from PIL import Image

from ademxapp.cli import UsageError, number
from ademxapp.data.transforms import choose_filter, scaled_size
from ademxapp.engine import load
from ademxapp.errors import usage_errors
from ademxapp.evaluation.dense import ScoreMap, label_map, scores_at_image_size
from ademxapp.flags import flag
from ademxapp.inspection.costs import fitting_images, random_parameters, read_label
from ademxapp.machine import free_bytes
from ademxapp.paper import read_table
from ademxapp.processes import Processes
from ademxapp.symbol import SymbolOptions, classification_symbol, network

from .comparison import Comparison, in_turns

PROCESSES = 2
STRIDE = 8
MAPS = {  # name: classes, (h, w) of the image, the longer side as scaled for the network
    "Cityscapes": (19, (1024, 2048), 2048), "Cityscapes at three quarters": (19, (1024, 2048), 1536),
    "ADE20K": (150, (512, 683), 576)}
ASKED, TOLERANCE = 3.0, 1e-4


def networks(names: Sequence[str] = flag("networks, or labels (those of Table 1)", positional=True, nargs="*",
                                         metavar="NETWORK"),
             reference: str = flag("network or label of the same kind", "rn-101", metavar="NETWORK"),
             batch: int = flag("images in a batch", 10, type=number(int, 1)),
             crop: Optional[int] = flag("side of the images (the network's test crop)", type=number(int, 1)),
             crop_share: float = flag("of the network's test crop", 1, type=number(float, 0.01)),
             rounds: int = flag("batches, of which the fastest counts", 3, type=number(int, 1)),
             gpus: Optional[int] = flag("the card to run on, instead of the CPU", type=number(int, 0), metavar="N")
             ) -> List[Comparison]:
    """Images per second in testing, at each network's test crop in batches of ten as in Table 1, fewer where ten do
    not fit into the memory, in turns with a reference.
    """
    try:
        card = None if gpus is None else load().devices([gpus])[0]
    except UsageError as error:
        raise UsageError(f"{error} (without --gpus it runs on the CPU)") from None
    names = names or list(dict.fromkeys(row.network for row in reversed(read_table("table1").rows)))[::-1]
    with usage_errors():
        labels = {name: read_label(name) for name in (reference, *names)}

    def runner(name: str) -> Tuple[Callable[[], object], Tuple[int, ...]]:
        """What runs a batch of random images through the network with random parameters, and the batch's shape."""
        symbol = classification_symbol(labels[name], SymbolOptions(bn_use_global_stats=True))
        side = crop or round(network(labels[name].network).input.test_crop * crop_share)
        images = batch if card is not None else fitting_images(symbol, batch, side, free_bytes())
        shape, rng = (images, 3, side, side), np.random.default_rng(0)
        parameters = random_parameters(symbol, shape, rng)
        predictor = load().Predictor(symbol, parameters, [card or load().devices(cpus=1)[0]])
        return partial(predictor, rng.standard_normal(shape, np.float32)), shape

    (run_other, (other_images, *_)), found = runner(reference), []
    for name in names:
        run, (images, _, side, _) = runner(name)
        rates, other_rates = in_turns([run, run_other], 1, 0, time.perf_counter, turns=rounds)
        speed, other_speed = images * max(rates), other_images * max(other_rates)
        print(f"{name}: {speed:.3g} images/s, {reference}: {other_speed:.3g} images/s", file=sys.stderr)
        less = f" instead of {batch}, which do not fit into the free memory" if images < batch else ""
        found.append(Comparison(name, reference, (speed,), (other_speed,), None, f"{images} x {side}x{side}{less}"))
    return found


def scores(seconds: float = flag("to measure each of three comparisons", 15, type=number(float, 0))
           ) -> List[Comparison]:
    """Labels from score maps, beside Pillow's resizing of every class in a pool of processes."""
    with Processes(pillow_plane, PROCESSES, "processes", niceness=0) as plane, ThreadPoolExecutor(PROCESSES) as threads:
        def planes(score_map: ScoreMap) -> Iterator[np.ndarray]:
            return threads.map(partial(plane, "a class"), score_map.scores, repeat(score_map.cell),
                               repeat(score_map.scaled), repeat(score_map.size))

        return [labels(name, planes, seconds) for name in MAPS]


def labels(name: str, planes: Callable[[ScoreMap], Iterator[np.ndarray]], seconds: float) -> Comparison:
    """Labels from one score map by the clock on the wall: `planes`, Pillow's of each class, uses all its processes."""
    classes, (height, width), _ = MAPS[name]
    score_map = score_map_like(*MAPS[name])
    rates = in_turns([lambda: label_map([score_map]), lambda: plain_labels(planes(score_map))], 1, seconds,
                     time.monotonic, times=3)
    difference = max(np.abs(plane - scores).max() for plane, scores in zip(
        planes(score_map), scores_at_image_size([score_map])))
    return Comparison(f"score map to labels, {name}: {width}x{height} pixels, {classes} classes",
                      f"Pillow class by class in {PROCESSES} processes, and NumPy's argmax", *rates, ASKED,
                      f"scores differ by at most {difference:.1e} (promised: {TOLERANCE:.0e})")


def score_map_like(classes: int, size: Tuple[int, int], scale: int, seed: int = 0) -> ScoreMap:
    """A `ScoreMap` of random probabilities, of an image of `size` (h, w) with its longer side scaled to `scale`."""
    scaled = scaled_size(size, scale, longer=True)
    values = np.exp(np.random.default_rng(seed).normal(0, 2, (classes, *(-(-side // STRIDE) for side in scaled))))
    return ScoreMap((values / values.sum(0)).astype(np.float32), STRIDE, scaled, size)


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
