"""Training on an engine: the Module, with all of it that does not ask what runs the graph."""
from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Callable, Sequence

import numpy as np

from ademxapp.training.shared import Alone
from ademxapp.weights.parameters import INPUTS, Parameters

if TYPE_CHECKING:
    from ademxapp.data.loader import Loader
    from ademxapp.engine import Symbol
    from ademxapp.training.progress import TrainingMetric


class Module(ABC):
    """A network that is trained on one or several devices, which divide every batch among them.

    Gradients are added up over the devices (and workers). BN's moving statistics are those of the first device or,
    with `average_auxs`, the mean of all. `optimizer` is "sgd", "torchnesterov" or "stackedadam"; `optimizer_params`
    are MXNet's: learning_rate, lr_scheduler (a function of the update's number, the first being 1), wd, rescale_grad,
    begin_num_update (updates done before), momentum, and for Adam states_from (updates done when its states were 0).
    `__lr_mult__` and `__wd_mult__` of the symbol's variables count. `restored_states` and `restored_statistics`, as
    `optimizer_states` and `device_statistics` gave them, are taken over by `init_optimizer`, where set.
    """

    def __init__(self, symbol: Symbol, devices: Sequence[Any], average_auxs: bool, workers: Alone | None = None,
                 dtype: str = "float32", compiled: bool = False) -> None:
        self._symbol: Any = symbol
        self._devices, self._average_auxs, self._workers = list(devices), average_auxs, workers or Alone()
        self._weights = [name for name in symbol.list_arguments() if name not in INPUTS]
        self.restored_states: dict[str, np.ndarray] | None = None
        self.restored_statistics: dict[str, np.ndarray] = {}

    @property
    @abstractmethod
    def learning_rate(self) -> float:
        """Of the last update."""

    @abstractmethod
    def bind(self, data_shape: tuple[int, ...], label_shape: tuple[int, ...]) -> None:
        """Make ready for whole batches of these shapes."""

    @abstractmethod
    def init_params(self, parameters: Parameters) -> None:
        """Start from these."""

    def init_optimizer(self, optimizer: str, optimizer_params: dict[str, Any], kvstore: str = "device") -> None:
        """Make ready for updates; `kvstore` "device" or "local" says where gradients are added up."""
        missing = sorted(set(self._weights) - set(self.restored_states or self._weights))
        if missing:
            raise ValueError(f"the snapshot has no optimiser state of {missing[0]}: start without --resume")
        self._start_optimizer(optimizer, optimizer_params, kvstore, self.restored_states or {})
        for device in range(len(self._devices)):
            place = self._workers.rank * len(self._devices) + device
            self._set_statistics(device, {
                name: self.restored_statistics[f"{name}:{place}"] for name in self._symbol.list_auxiliary_states()
                if f"{name}:{place}" in self.restored_statistics})
        self.restored_states, self.restored_statistics = None, {}

    @abstractmethod
    def forward(self, data: np.ndarray, label: np.ndarray | None = None, is_train: bool = True) -> None:
        """Run the network on a batch."""

    @abstractmethod
    def backward(self) -> None:
        """Compute the gradients of the batch's loss."""

    @abstractmethod
    def update(self) -> None:
        """One step of the optimiser."""

    def get_outputs(self) -> list[np.ndarray]:
        """The network's outputs of the last forward pass, of all devices."""
        return [np.concatenate(self._outputs())]

    def get_params(self) -> Parameters:
        """A copy of the parameters as they are now; all workers ask together."""
        auxs = {}
        for name, copies in self._statistics().items():
            value = copies[0]
            if self._average_auxs and len(copies) > 1:
                value = sum(copies[1:], value) / np.float32(len(copies))
            if self._average_auxs and self._workers.count > 1:
                value = (self._workers.total(f"mean:{name}", value) / self._workers.count).astype(np.float32)
            auxs[name] = value
        return Parameters(self._arguments(), auxs)

    def fit(self, batches: Loader, metric: TrainingMetric, parameters: Parameters, optimizer: str,
            optimizer_params: dict[str, Any], kvstore: str, begin_epoch: int, num_epoch: int,
            after_batch: Callable[[int, int, np.ndarray | None], None],
            after_epoch: Callable[[int, Parameters], None]) -> None:
        """Train from `parameters`, from `begin_epoch` to `num_epoch`, which are numbers of epochs done.

        After every batch, `after_batch(epoch, number, index)`: epochs done, its number in this call's part of the
        epoch, from 0, and its `Batch.index`. After every epoch, `after_epoch(epoch, parameters)`, `epoch` as before,
        and then `batches.reset()`.
        """
        self.bind(batches.data_shape, batches.label_shape)
        self.init_params(parameters)
        self.init_optimizer(optimizer, optimizer_params, kvstore)
        for epoch in range(begin_epoch, num_epoch):
            coming = iter(batches)
            batch, number = next(coming, None), 0
            while batch is not None:
                label, index = batch.label.copy(), batch.index  # the arrays are the next batch's once that is asked for
                self.forward(batch.data, label)
                self.backward()
                self.update()
                batch = next(coming, None)  # while the devices compute
                for prob in self._outputs():
                    metric.update(label[:len(prob)], prob)
                    label = label[len(prob):]
                after_batch(epoch, number, index)
                number += 1
            result = self.get_params()
            for device in range(len(self._devices)):
                self._set_statistics(device, result.auxs)
            after_epoch(epoch, result)
            batches.reset()

    @abstractmethod
    def optimizer_states(self) -> dict[str, np.ndarray]:
        """A copy of the optimiser's state of every parameter: MXNet's SGD has m = mu m - lr g, Nesterov -m.

        Adam's are (2, …): the means of the gradient and of that squared.
        """

    def device_statistics(self) -> dict[str, np.ndarray]:
        """BN's statistics of every device, {"<name>:<device>": array}; none of a single one, or if they are fixed.

        The devices of worker 0 come first, then those of worker 1, and so on; all workers ask together.
        """
        if not self._average_auxs or len(self._devices) * self._workers.count == 1:
            return {}
        return {f"{name}:{device}": value for name, copies in self._statistics().items() for device, value in enumerate(
            self._workers.gather(f"all:{name}", np.stack(copies)).reshape(-1, *copies[0].shape))}

    @abstractmethod
    def _start_optimizer(self, optimizer: str, optimizer_params: dict[str, Any], kvstore: str,
                         states: dict[str, np.ndarray]) -> None:
        """Make ready for updates that go on from the states, where there are some."""

    @abstractmethod
    def _outputs(self) -> list[np.ndarray]:
        """Of every device."""

    @abstractmethod
    def _arguments(self) -> dict[str, np.ndarray]:
        """A copy of the first device's."""

    @abstractmethod
    def _statistics(self) -> dict[str, list[np.ndarray]]:
        """A copy of BN's, of every device."""

    @abstractmethod
    def _set_statistics(self, device: int, statistics: dict[str, np.ndarray]) -> None:
        """Of one device, by its place."""
