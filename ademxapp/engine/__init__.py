"""What runs the graphs: an engine. `load` gives one, and `Engine` is all that the rest of the house asks of it.

There are two: `ademxapp.engine.mxnet`, the reference, and `ademxapp.engine.torch`. A third is a module of this package
with the names that `Engine` lists, and an entry in `ENGINES`. Arrays are NumPy's on this side of an engine, float32
unless they say otherwise; a symbol is read through its `tojson()`. A process has one engine: MXNet and PyTorch do not
bear each other. What an engine cannot do raises UsageError, in one line that names what can.
"""
from __future__ import annotations

import importlib
import sys
from importlib import util
from typing import TYPE_CHECKING, Any, Callable, Protocol, Sequence

if TYPE_CHECKING:
    import numpy as np

    from ademxapp.engine.training import Module
    from ademxapp.symbol.recorder import Symbol  # a network's graph: this, or MXNet's with the same methods
    from ademxapp.training.shared import Alone
    from ademxapp.weights.parameters import Parameters
else:
    Symbol = Any

# What each runs on has the same name in Python. Where none is asked for, the first that is installed.
ENGINES = {"mxnet": "MXNet", "torch": "PyTorch"}


def usual() -> str | None:
    """The name of the engine that this process runs or, at first, of the one that it runs where none is asked for."""
    return next((one for one in ENGINES if one in sys.modules), None) or next(filter(util.find_spec, ENGINES), None)


def load(name: str | None = None) -> Engine:
    """The engine of that name; without one, that of this process or, at first, MXNet where installed, else PyTorch.

    A program loads the one that it is asked for before it builds a network. ImportError if it cannot be used here; the
    message says what to install.
    """
    name = name or usual()
    if name is None:
        raise ImportError("neither MXNet nor PyTorch is installed: pip install 'ademxapp[cpu]' or 'ademxapp[torch]' "
                          "(in a clone of the project: pip install -e '.[cpu]' or '.[torch]')")
    engine = importlib.import_module(f"{__name__}.{name}")
    engine.ERRORS  # noqa: B018 (imports what it runs on)
    return engine


def errors() -> tuple[type[Exception], ...]:
    """The own exceptions of the engine that this process runs, once it does."""
    return sum((importlib.import_module(f"{__name__}.{one}").ERRORS for one in ENGINES if one in sys.modules), ())


class Device(Protocol):
    """Where an engine computes; `str` gives "cpu(0)", "gpu(1)"."""

    device_type: str  # "cpu" or "gpu"
    device_id: int


class Predictor(Protocol):
    """A network ready for testing; batches (N, 3, H, W) of any shape are divided among the devices."""

    def __init__(self, symbol: Symbol, parameters: Parameters, devices: Sequence[Device], dtype: str = "float32",
                 compiled: bool = False) -> None: ...

    def __call__(self, data: np.ndarray) -> np.ndarray:
        """The outputs (N, …) of a batch, float32."""
        return self.begin(data)()

    def begin(self, data: np.ndarray) -> Callable[[], np.ndarray]:
        """Begin what a call does, with a copy of `data`: a function that waits for the outputs."""


class Engine(Protocol):
    """What a module of this package has."""

    NAME: str
    ERRORS: tuple[type[Exception], ...]  # its own: out of memory, for instance; told in one line
    Module: type[Module]
    Predictor: type[Predictor]

    def versions(self) -> dict[str, str]:
        """Of what it runs on, for logs and results."""

    def devices(self, gpus: Sequence[int] | None = None, cpus: int | None = None) -> list[Device]:
        """Those asked for; with neither, the first card where there is one, else one CPU.

        UsageError that names --cpus for a card that is not there or that it cannot run on.
        """

    def free_bytes(self, devices: Sequence[Device]) -> int | None:
        """Memory that can be had on the device with the least; None where nobody tells."""

    def planned_bytes(self, symbol: Symbol, data_shape: tuple[int, ...], training: bool = True) -> int:
        """What it plans for the maps between the layers of a network; ValueError if that is more than can be had."""

    def seed(self, number: int) -> None:
        """Make what it draws from now on (dropout) a function of `number`."""

    def require_dtype(self, dtype: str, training: bool, cards: bool) -> None:
        """UsageError unless it can train or test in this type, which is not float32, on cards or CPUs."""

    def launched(self, kvstore: str) -> bool:
        """Whether tools/launch.py started this to train with others; UsageError where `kvstore` says otherwise."""

    def workers(self) -> Alone:
        """All processes that train together, as this one sees them, once all are there."""

    def input_gradient(self, symbol: Symbol, parameters: Parameters, shapes: dict[str, tuple[int, ...]],
                       device: Device | None = None) -> Callable[..., np.ndarray]:
        """A function of the inputs, arrays by name, that gives the gradient of the summed loss at `data`."""
