"""Where outputs leave a network: what is no number is never taken for a class."""
from typing import Callable

import numpy as np


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
