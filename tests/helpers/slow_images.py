"""Datasets for the tests of the loader. Reading processes import this file: no MXNet here."""
import os
import sys
import time

import numpy as np

import iclass.datasets  # noqa: F401 (what the drivers' datasets bring along)
import issegm.datasets  # noqa: F401


class SlowImages:
    """Images of one value, each of which takes some seconds; the files in `folder` tell which process reads which."""

    data_shape, label_shape = (1, 300, 300), ()

    def __init__(self, folder, seconds):
        self.folder, self.seconds = str(folder), seconds

    def __len__(self):
        return 40

    def describe(self, index):
        return f"image-{index:03d}"

    def load(self, index, rng):
        with open(os.path.join(self.folder, str(os.getpid())), "w") as out:
            out.write(self.describe(index))
        time.sleep(self.seconds)
        return np.full(self.data_shape, index, np.float32), np.float32(index)


class FailingImages(SlowImages):
    """The sixth raises something that no dataset should."""

    def load(self, index, rng):
        if index == 5:
            raise KeyError("surprise")
        return super().load(index, rng)


class GrowingImages(SlowImages):
    """The seventh has another shape, which NumPy would repeat to fill the room of an image."""

    def load(self, index, rng):
        data, label = super().load(index, rng)
        return (data[:, :1] if index == 6 else data), label


class UnevenImages(SlowImages):
    """Only the 33rd is slow."""

    def load(self, index, rng):
        time.sleep(self.seconds if index == 32 else 0)
        return np.full(self.data_shape, index, np.float32), np.float32(index)


class TellingImages(SlowImages):
    """Their class is 1 where MXNet was imported, else 0."""

    def load(self, index, rng):
        data, _ = super().load(index, rng)
        return data, np.float32("mxnet" in sys.modules)
