"""Colours of classes."""
from typing import Sequence, Tuple

import numpy as np


def voc_palette() -> np.ndarray:
    """PASCAL VOC's colours, (256, 3) uint8: the bits of an index, three at a time, from the highest bit of R, G, B."""
    index = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= (((index >> (3 * bit + channel)) & 1) << (7 - bit)).astype(np.uint8)
    return colours


def full_palette(colours: Sequence[Tuple[int, int, int]]) -> np.ndarray:
    """A (256, 3) uint8 palette that starts with `colours` and goes on with VOC's; 255 is white unless given."""
    palette = voc_palette()
    palette[255] = 255
    palette[:len(colours)] = colours
    return palette
