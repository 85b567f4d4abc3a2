"""From an image's score maps to its labels: the best classes, or what a CRF makes of the scores."""
from typing import Any, List, Optional, Sequence

import numpy as np

from ademxapp.data.resize import size_of
from ademxapp.evaluation.crf import CrfSettings, crf_label_maps, needed_bytes
from ademxapp.evaluation.dense import ScoreMap, label_map
from ademxapp.machine import MainMemory, processors
from ademxapp.processes import Processes


class BestClasses:
    """Labels are the best classes of the weighted mean scores, in whichever thread asks for them.

    `count` and `threads` are as of `CrfLabels`.
    """

    count = 1

    def __init__(self, weights: Optional[Sequence[float]] = None) -> None:
        self._weights, self.threads = weights, processors()

    def __enter__(self) -> "BestClasses":
        return self

    def __exit__(self, *exception: Any) -> None:
        pass

    def __call__(self, name: str, score_maps: Sequence[ScoreMap], image: np.ndarray) -> List[np.ndarray]:
        """Label maps of an image, a list of (H, W) uint8: here of one."""
        return [label_map(score_maps, self._weights)]


class CrfLabels:
    """Labels are those of a CRF over the weighted mean scores, one map for each of `settings`, in processes.

    As many images at a time as fit into the free memory.

    Attributes
    ----------
    count : int
        Label maps of an image.
    threads : int
        How many may ask at the same time.
    """

    def __init__(self, settings: Sequence[CrfSettings], processes: int,
                 weights: Optional[Sequence[float]] = None) -> None:
        self._settings, self._weights = tuple(settings), weights
        self.count, self.threads = len(self._settings), processes
        self._processes, self._memory = Processes(crf_label_maps, processes, "--crf-workers"), MainMemory()

    def __enter__(self) -> "CrfLabels":
        return self

    def __exit__(self, *exception: Any) -> None:
        self._processes.close()

    def __call__(self, name: str, score_maps: Sequence[ScoreMap], image: np.ndarray) -> List[np.ndarray]:
        """Label maps of an image, a list of (H, W) uint8; messages call it `name`.

        ValueError if it is too large for the free memory.
        """
        try:
            with self._memory.part(needed_bytes(score_maps, size_of(image), self._settings)):
                return self._processes("the CRF of " + name, score_maps, self._weights, image, self._settings)
        except MemoryError as error:
            raise ValueError(f"{name}: a CRF over {image.shape[1]}x{image.shape[0]} pixels and "
                             f"{len(score_maps[0].scores)} classes needs {error}: test this image without --crf, or "
                             "made smaller") from None
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
