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
from typing import TYPE_CHECKING, Any, Callable, Iterator, Protocol, Sequence

if TYPE_CHECKING:
    import logging

    import numpy as np

    from ademxapp.data.loader import Batch
    from ademxapp.training.distributed import Alone
    from ademxapp.weights.parameters import Parameters

ENGINES = ("mxnet", "torch")  # where none is asked for, the first that is installed; each is called as what it runs on


def usual() -> str | None:
    """The name of the engine that this process runs or, at first, of the one that it runs where none is asked for."""
    return next((one for one in ENGINES if one in sys.modules), None) or next(filter(util.find_spec, ENGINES), None)


def load(name: str | None = None) -> Engine:
    """The engine of that name; without one, that of this process or, at first, MXNet where installed, else PyTorch.

    A program loads the one that it is asked for before it builds a network.

    Raises
    ------
    ImportError
        If it cannot be used here; the message says what to install.
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


class Symbol(Protocol):
    """A network's graph: MXNet's, or what `ademxapp.symbol` records where MXNet is not there."""

    def tojson(self) -> str:
        """The graph in MXNet's JSON."""

    def list_arguments(self) -> list[str]:
        """Names of inputs and trained parameters."""

    def list_auxiliary_states(self) -> list[str]:
        """Names of BN's moving statistics."""

    def list_outputs(self) -> list[str]:
        """Names of its outputs."""

    def infer_shape(self, **inputs: tuple[int, ...]) -> tuple[list[tuple[int, ...]], ...]:
        """Shapes of arguments, outputs and auxiliary states."""

    def get_internals(self) -> Symbol:
        """The outputs of all nodes."""

    def __getitem__(self, output: str) -> Symbol:
        """One of its outputs, by its name."""


class Device(Protocol):
    """Where an engine computes; `str` gives "cpu(0)", "gpu(1)"."""

    device_type: str  # "cpu" or "gpu"
    device_id: int


class Batches(Protocol):
    """What a Module is trained on: a `Loader`, or another that gives batches."""

    data_shape: tuple[int, ...]  # of a batch: (N, 3, H, W)
    label_shape: tuple[int, ...]  # of a batch: (N, …)

    def __iter__(self) -> Iterator[Batch]:
        """The rest of the epoch; a batch's arrays stay as they are until the next one is asked for."""

    def reset(self) -> None:
        """Go to the next epoch."""


class Metric(Protocol):
    """What counts right and wrong while a Module is trained."""

    def update(self, label: np.ndarray, prob: np.ndarray) -> None:
        """Count one device's part of a batch: labels (N, …), probabilities (N, C, …)."""


class Module(Protocol):
    """A network that is trained on one or several devices, which divide every batch among them.

    Gradients are added up over the devices (and workers). BN's moving statistics are those of the first device or,
    with `average_auxs`, the mean of all. `optimizer` is "sgd", "torchnesterov" or "stackedadam"; `optimizer_params`
    are MXNet's: learning_rate, lr_scheduler (a function of the update's number, the first being 1), wd, rescale_grad,
    begin_num_update (updates done before), momentum, and for Adam states_from (updates done when its states were 0).
    `__lr_mult__` and `__wd_mult__` of the symbol's variables count.

    Attributes
    ----------
    restored_states, restored_statistics : dict
        As `optimizer_states` and `device_statistics` gave them; `init_optimizer` takes them over, where set.
    learning_rate : float
        Of the last update.
    """

    restored_states: dict[str, np.ndarray] | None
    restored_statistics: dict[str, np.ndarray]
    learning_rate: float

    def __init__(self, symbol: Symbol, devices: Sequence[Device], average_auxs: bool, logger: logging.Logger,
                 workers: Alone | None = None, dtype: str = "float32", compiled: bool = False) -> None: ...

    def bind(self, data_shape: tuple[int, ...], label_shape: tuple[int, ...]) -> None:
        """Make ready for whole batches of these shapes."""

    def init_params(self, parameters: Parameters) -> None:
        """Start from these."""

    def init_optimizer(self, optimizer: str, optimizer_params: dict[str, Any], kvstore: str = "device") -> None:
        """Make ready for updates; `kvstore` "device" or "local" says where gradients are added up."""

    def forward(self, data: np.ndarray, label: np.ndarray | None = None, is_train: bool = True) -> None:
        """Run the network on a batch."""

    def backward(self) -> None:
        """Compute the gradients of the batch's loss."""

    def update(self) -> None:
        """One step of the optimiser."""

    def get_outputs(self) -> list[np.ndarray]:
        """The network's outputs of the last forward pass, of all devices."""

    def get_params(self) -> Parameters:
        """A copy of the parameters as they are now; all workers ask together."""

    def fit(self, batches: Batches, metric: Metric, parameters: Parameters, optimizer: str,
            optimizer_params: dict[str, Any], kvstore: str, begin_epoch: int, num_epoch: int,
            after_batch: Callable[[int, int, np.ndarray | None], None],
            after_epoch: Callable[[int, Parameters], None]) -> None:
        """Train from `parameters`, from `begin_epoch` to `num_epoch`, which are numbers of epochs done.

        After every batch, `after_batch(epoch, number, index)`: epochs done, its number in this call's part of the
        epoch, from 0, and its `Batch.index`. After every epoch, `after_epoch(epoch, parameters)`, `epoch` as before,
        and then `batches.reset()`.
        """

    def optimizer_states(self) -> dict[str, np.ndarray]:
        """A copy of the optimiser's state of every parameter: MXNet's SGD has m = mu m - lr g, Nesterov -m.

        Adam's are (2, …): the means of the gradient and of that squared.
        """

    def device_statistics(self) -> dict[str, np.ndarray]:
        """BN's statistics of every device, {"<name>:<device>": array}; none of a single one, or if they are fixed."""


class Predictor(Protocol):
    """A network ready for testing; batches (N, 3, H, W) of any shape are divided among the devices."""

    def __init__(self, symbol: Symbol, parameters: Parameters, devices: Sequence[Device], dtype: str = "float32",
                 compiled: bool = False) -> None: ...

    def __call__(self, data: np.ndarray) -> np.ndarray:
        """The outputs (N, …) of a batch."""

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
        """Whether this process is one of several that tools/launch.py has started to train together.

        UsageError where `kvstore` asks for others.
        """

    def workers(self) -> Alone:
        """All processes that train together, as this one sees them, once all are there."""

    def input_gradient(self, symbol: Symbol, parameters: Parameters, shapes: dict[str, tuple[int, ...]],
                       device: Device | None = None) -> Callable[..., np.ndarray]:
        """A function of the inputs, arrays by name, that gives the gradient of the summed loss at `data`."""
