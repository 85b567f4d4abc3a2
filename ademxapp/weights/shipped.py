"""Weights that come with the program: in models/ of a clone, in ademxapp/models where it is installed."""
import os
from typing import Optional

import ademxapp

CLASSIFIER = "imagenette128_rna-a1-w0.125_cls10_ep-0050.params"  # ten classes of ImageNet, 128x128 pixels
STREETS = "camvid_rna-a1-w0.125_cls11_s8_ep-0050.params"  # CamVid's eleven classes of street scenes


def shipped_folder() -> str:
    """The folder of the weights, which may have been removed."""
    package = os.path.dirname(os.path.abspath(ademxapp.__file__))
    inside = os.path.join(package, "models")
    return inside if os.path.isdir(inside) else os.path.join(os.path.dirname(package), "models")


def shipped(name: str) -> Optional[str]:
    """The path of weights that come with the program; None where they are not."""
    path = os.path.join(shipped_folder(), name)
    return path if os.path.isfile(path) else None
