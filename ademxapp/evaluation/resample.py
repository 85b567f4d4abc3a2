"""Resampling as matrices: what Pillow's filters do to one axis of a float image.

Resizing is linear and works on each axis alone, so that any chain of enlarging, cropping and resizing is one matrix
for the rows and one for the columns. Score maps go to image size by two products, whatever the chain.
"""
import numpy as np
from PIL import Image

CUBIC = -0.5  # Pillow's free parameter of the cubic kernel


def _bilinear(x):
    return np.maximum(0.0, 1.0 - np.abs(x))


def _bicubic(x):
    x = np.abs(x)
    near = ((CUBIC + 2) * x - (CUBIC + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * CUBIC
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def _lanczos(x):
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0.0)


KERNELS = {Image.BILINEAR: (_bilinear, 1), Image.BICUBIC: (_bicubic, 2), Image.LANCZOS: (_lanczos, 3)}


def resize_matrix(source, target, method):
    """The matrix (target, source), float64, that resizes one axis as Pillow's filter `method` does.

    Each row holds the weights of one target pixel; they add up to 1. When shrinking, the kernel is widened.
    """
    kernel, support = KERNELS[method]
    scale = source / target
    stretch = max(scale, 1.0)
    centres = (np.arange(target) + 0.5) * scale
    first = np.maximum(np.floor(centres - support * stretch + 0.5), 0)[:, None]
    last = np.minimum(np.floor(centres + support * stretch + 0.5), source)[:, None]
    places = np.arange(source)[None, :]
    weights = kernel((places - centres[:, None] + 0.5) / stretch)
    weights = np.where((places >= first) & (places < last), weights, 0.0)
    return weights / weights.sum(1, keepdims=True)
