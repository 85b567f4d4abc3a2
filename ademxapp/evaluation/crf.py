"""From an image's score maps to its labels: the best classes, or what a CRF makes of the scores.

CRFs are fully connected conditional random fields, by pydensecrf, over averaged scores (Krähenbühl and Koltun 2011).

The energy of a labelling has a term per pixel, -log of the averaged probability, and two terms per pair of pixels of
different classes: one falls with their distance, the other with their distance and the difference of their colours.
"""
import importlib.util
from dataclasses import dataclass
from typing import Any, List, Optional, Sequence, Tuple

import numpy as np

from ademxapp.data.resize import size_of
from ademxapp.evaluation.dense import ScoreMap, label_map, scores_at_image_size
from ademxapp.machine import MainMemory, processors
from ademxapp.processes import Processes

INSTALL = "the CRF needs pydensecrf, which is not installed: pip install pydensecrf2==1.1 (or pip install -e '.[crf]')"
LEAST_PROBABILITY = 1e-5  # pydensecrf's own: a class that the network rules out can still come back
BYTES_PER_SCORE = 40  # of a pixel and class at pydensecrf's peak (measured: 36)


@dataclass(frozen=True)
class CrfSettings:
    """The weights and widths of a CRF. The defaults are those of DeepLab with ResNet-101 on PASCAL VOC.

    Chen et al. (ICLR 2015; TPAMI 40(4), 2018) fix 10 iterations and a Gaussian term of weight 3 and width 3, and search
    the others on 100 images of val: weight 3 to 10, width 30 to 100 pixels, colours 3 to 10. The released settings of
    the network named above are 4, 67 and 3.

    Attributes
    ----------
    iterations : int
        Of the mean-field approximation.
    gaussian_weight, gaussian_width : float
        Of the term of distance alone; width (standard deviation) in pixels.
    bilateral_weight, bilateral_width, bilateral_colour : float
        Of the term of distance, in pixels, and colour, in levels of 0 … 255.
    """

    iterations: int = 10
    gaussian_weight: float = 3.0
    gaussian_width: float = 3.0
    bilateral_weight: float = 4.0
    bilateral_width: float = 67.0
    bilateral_colour: float = 3.0

    @property
    def pairwise(self) -> bool:
        """Whether pixels matter to each other."""
        return self.iterations > 0 and (self.gaussian_weight != 0 or self.bilateral_weight != 0)


def available() -> bool:
    """Whether pydensecrf is installed."""
    return importlib.util.find_spec("pydensecrf") is not None


def crf_label_maps(score_maps: Sequence[ScoreMap], weights: Optional[Sequence[float]], image: np.ndarray,
                   settings: Sequence[CrfSettings]) -> List[np.ndarray]:
    """Labels of an image after a CRF.

    Parameters
    ----------
    score_maps : list of ScoreMap
        All of the image.
    weights : list of float or None
        How much each of them counts.
    image : ndarray
        (H, W, 3) uint8, RGB.
    settings : sequence of CrfSettings

    Returns
    -------
    list of ndarray
        (H, W) uint8 class indices for each of `settings`; the best class of every pixel where pixels do not matter to
        each other.
    """
    probabilities = None
    if any(one.pairwise for one in settings):
        probabilities = np.concatenate([part for _, part in scores_at_image_size(score_maps, weights)], 1)
    return [refined(probabilities, image, one) if one.pairwise and probabilities is not None else
            label_map(score_maps, weights) for one in settings]


def refined(probabilities: np.ndarray, image: np.ndarray, settings: CrfSettings) -> np.ndarray:
    """The labels (H, W) uint8 that a CRF finds for probabilities (C, H, W) float32 and an image (H, W, 3) uint8."""
    from pydensecrf.densecrf import DenseCRF2D
    classes, height, width = probabilities.shape
    field = DenseCRF2D(width, height, classes)
    field.setUnaryEnergy(-np.log(np.clip(probabilities, LEAST_PROBABILITY, 1)).reshape(classes, -1))
    if settings.gaussian_weight:
        field.addPairwiseGaussian(sxy=settings.gaussian_width, compat=settings.gaussian_weight)
    if settings.bilateral_weight:
        field.addPairwiseBilateral(sxy=settings.bilateral_width, srgb=settings.bilateral_colour,
                                   rgbim=np.ascontiguousarray(image), compat=settings.bilateral_weight)
    refined_probabilities = np.asarray(field.inference(settings.iterations))
    if not np.isfinite(refined_probabilities).all():
        raise ValueError(f"the CRF gives probabilities that are not finite, with {settings}")
    return refined_probabilities.argmax(0).astype(np.uint8).reshape(height, width)


def needed_bytes(score_maps: Sequence[ScoreMap], size: Tuple[int, int], settings: Sequence[CrfSettings]) -> int:
    """Main memory that `crf_label_maps` needs at its peak for an image of `size` (H, W)."""
    pairwise = any(one.pairwise for one in settings)
    return len(score_maps[0].scores) * size[0] * size[1] * BYTES_PER_SCORE if pairwise else 0


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
