"""Reading samples, here or in processes of their own, into memory that all of them see. No MXNet here."""
import copy
import math
import mmap
import os
import tempfile
from multiprocessing.reduction import DupFd
from typing import Any, Mapping, Optional, Protocol, Sequence, Tuple, Union

import numpy as np


class Dataset(Protocol):
    """What a `Loader` reads. For workers that are processes it must be picklable, and not of the main script.

    Where it has `samples`, such workers hold it without them, and every request brings the one that it is of.
    """

    @property
    def data_shape(self) -> Tuple[int, ...]:
        """Of one sample's data."""

    @property
    def label_shape(self) -> Tuple[int, ...]:
        """Of one sample's label."""

    def __len__(self) -> int:
        """Samples."""

    def load(self, index: int, rng: np.random.Generator) -> Tuple[np.ndarray, Union[np.ndarray, np.floating]]:
        """Data and label of a sample, float32."""

    def describe(self, index: int) -> str:
        """The names of a sample's files."""


class BatchMemory:
    """Room for batches: `data` and `labels`, (batches, batch_size) + a sample's shape, float32.

    Pickled for a process that is being started, it is the same memory there. It has no name, so that nothing is left
    of it when its last user has ended, however that comes about.
    """

    def __init__(self, batches: int, batch_size: int, data_shape: Sequence[int], label_shape: Sequence[int],
                 handle: Optional[Any] = None) -> None:
        self._setting = batches, batch_size, tuple(data_shape), tuple(label_shape)
        shapes = [(batches, batch_size) + shape for shape in self._setting[2:]]
        sizes = [math.prod(shape) for shape in shapes]
        self._handle = _nameless() if handle is None else handle.detach()
        if handle is None:
            os.ftruncate(self._handle, 4 * sum(sizes))
        values = np.frombuffer(mmap.mmap(self._handle, 4 * sum(sizes)), np.float32)
        self.data, self.labels = (part.reshape(shape) for part, shape in zip(np.split(values, sizes[:1]), shapes))

    def __reduce__(self) -> Tuple:
        return BatchMemory, self._setting + (DupFd(self._handle),)

    def __del__(self) -> None:
        if hasattr(self, "_handle"):
            os.close(self._handle)


def _nameless() -> int:
    """The descriptor of an empty file that has no name: in main memory, or where the system (no Linux) has no such."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("batches")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def sample_rng(seed: int, epoch: int, index: int) -> np.random.Generator:
    """The random numbers of one sample in one epoch."""
    return np.random.default_rng([seed, epoch, index])


def with_samples(dataset: Dataset, samples: Mapping[int, Any]) -> Dataset:
    """A dataset that reads as another does, with samples of its own."""
    other: Any = copy.copy(dataset)
    other.samples = samples
    return other


def load_request(dataset: Dataset, memory: BatchMemory, batch: int, place: int, seed: int, epoch: int, index: int,
                 sample: Any) -> None:
    """`load_sample` for a dataset that has no samples: the request brings its own."""
    load_sample(with_samples(dataset, {index: sample}), memory, batch, place, seed, epoch, index)


def load_sample(dataset: Dataset, memory: BatchMemory, batch: int, place: int, seed: int, epoch: int,
                index: int) -> None:
    """Read one sample into its place of a batch. What a dataset does not foresee is a RuntimeError with its name."""
    try:
        arrays = dataset.load(index, sample_rng(seed, epoch, index))
        for room, array in zip((memory.data, memory.labels), arrays):
            if np.shape(array) != room.shape[2:]:
                raise TypeError(f"an array has the shape {np.shape(array)}, not {room.shape[2:]}")
            room[batch, place] = array
    except (ValueError, OSError):
        raise
    except Exception as error:
        raise RuntimeError(f"{dataset.describe(index)} could not be read: {error!r}") from error
