"""What a reading process runs. It imports neither MXNet nor the program that started it."""
import signal

import cv2
import numpy as np

_state = {}


def sample_rng(seed, epoch, index):
    """The random numbers of one sample in one epoch."""
    return np.random.default_rng([seed, epoch, index])


def initialise(dataset):
    """Ready this process to read `dataset`. The main process alone answers Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    _state["dataset"] = dataset


def load_sample(seed, epoch, index):
    """The arrays of one sample of this process's dataset."""
    return _state["dataset"].load(index, sample_rng(seed, epoch, index))
