"""Training: `ademxapp.engine.Module` on PyTorch."""
import logging
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

from ademxapp.engine import Batches, Metric, Symbol
from ademxapp.engine.torch.graph import Graph, Statistics
from ademxapp.engine.torch.operators import Pass
from ademxapp.engine.torch.optimizers import OPTIMIZERS, Optimizer
from ademxapp.engine.torch.runtime import (
    Device,
    as_array,
    as_tensor,
    checked_dtype,
    computing,
    random_mask,
    told_in_one_line,
)
from ademxapp.symbol.recorder import load_json
from ademxapp.training.distributed import Alone
from ademxapp.weights.parameters import INPUTS, Parameters

DATA, LABEL = INPUTS


class Replica:
    """The parameters on one device, and what a forward pass leaves for the backward pass."""

    def __init__(self, device: torch.device, weights: Dict[str, Tensor], statistics: Dict[str, Tensor]) -> None:
        self.device, self.weights, self.statistics = device, weights, statistics
        self.output: Tensor  # of the last forward pass
        self.seen: Statistics = {}

    def backward(self) -> List[Tensor]:
        """The gradients of the weights, zeros where the loss does not depend on them; BN's statistics move."""
        grads = torch.autograd.grad(self.output, list(self.weights.values()), torch.ones_like(self.output),
                                    allow_unused=True)
        with torch.no_grad():
            for name, (value, momentum) in self.seen.items():
                self.statistics[name].mul_(momentum).add_(value, alpha=1 - momentum)
        self.seen = {}
        return [torch.zeros_like(weight) if grad is None else grad
                for grad, weight in zip(grads, self.weights.values())]


class Module:
    """A network that is trained on one device or several, which divide every batch among them.

    Parameters
    ----------
    symbol : Symbol
        One output; inputs `data` and `softmax_label`.
    average_auxs : bool
        BN's statistics are trained, and are the mean of all devices'; else those of the first.
    dtype : {"float32", "bfloat16"}
        What convolutions and products are computed in.
    compiled : bool
        By `torch.compile`.
    """

    def __init__(self, symbol: Symbol, devices: Sequence[Device], average_auxs: bool, logger: logging.Logger,
                 workers: Optional[Alone] = None, dtype: str = "float32", compiled: bool = False) -> None:
        self._symbol, self._devices, self._average_auxs = load_json(symbol.tojson()), list(devices), average_auxs
        self._workers, self._dtype = workers or Alone(), checked_dtype(dtype)
        self._train, self._test = Graph(symbol.tojson()), Graph(symbol.tojson(), training=False)
        self._run = torch.compile(self._train, fullgraph=True, dynamic=False) if compiled else self._train
        self._replicas: List[Replica] = []
        self._gradients: List[Tensor] = []
        self._optimizer: Optimizer  # once there is one
        self.restored_states: Optional[Dict[str, np.ndarray]] = None
        self.restored_statistics: Dict[str, np.ndarray] = {}

    @property
    def learning_rate(self) -> float:
        """Of the last update."""
        return self._optimizer.learning_rate

    def bind(self, data_shape: Tuple[int, ...], label_shape: Tuple[int, ...]) -> None:
        """Make ready for whole batches of these shapes; ValueError where they cannot be divided, or are too small."""
        if data_shape[0] % len(self._devices):
            raise ValueError(f"batches of {data_shape[0]} cannot be divided among {len(self._devices)} devices")
        inside = self._symbol.get_internals()
        shard = (data_shape[0] // len(self._devices), *data_shape[1:])
        shapes = dict(zip(inside.list_outputs(), inside.infer_shape(data=shard)[1]))
        self._shape = shard
        self._dropouts = {name: (rate, shapes[f"{name}_output"]) for name, rate in self._train.dropouts.items() if rate}

    def init_params(self, parameters: Parameters) -> None:
        """Start from these. Devices of one place share the weights."""
        states = set(self._symbol.list_auxiliary_states())
        names = [name for name in self._symbol.list_arguments() if name not in INPUTS]
        missing = [name for name in [*names, *states] if name not in parameters.all]
        if missing:
            raise ValueError(f"the parameters lack {missing[0]}, which the network has")
        shared: Dict[torch.device, Dict[str, Tensor]] = {}
        self._replicas = []
        for device in (device.torch for device in self._devices):
            if device not in shared:
                shared[device] = {name: as_tensor(parameters.all[name], device).requires_grad_() for name in names}
            self._replicas.append(Replica(device, shared[device], {
                name: as_tensor(parameters.all[name], device) for name in self._symbol.list_auxiliary_states()}))

    def init_optimizer(self, optimizer: str, optimizer_params: Dict[str, Any], kvstore: str = "device") -> None:
        """Make ready for updates; takes over `restored_states` and `restored_statistics`, where given."""
        first = self._replicas[0]
        self._optimizer = OPTIMIZERS[optimizer](first.weights, self._symbol.attr_dict(), **optimizer_params)
        if self.restored_states:
            missing = sorted(set(first.weights) - set(self.restored_states))
            if missing:
                raise ValueError(f"the snapshot has no optimiser state of {missing[0]}: start without --resume")
            for name, state in self._optimizer.states.items():
                state.copy_(torch.tensor(self.restored_states[name]))
        for place, replica in enumerate(self._replicas, self._workers.rank * len(self._replicas)):
            for name, value in replica.statistics.items():
                if f"{name}:{place}" in self.restored_statistics:
                    value.copy_(torch.tensor(self.restored_statistics[f"{name}:{place}"]))
        self.restored_states, self.restored_statistics = None, {}

    def forward(self, data: np.ndarray, label: Optional[np.ndarray] = None, is_train: bool = True) -> None:
        """Run the network on a batch."""
        draw = int(torch.randint(2 ** 62, ())) if is_train and self._dropouts else 0
        size = len(data) // len(self._replicas)
        for place, replica in enumerate(self._replicas):
            rows = slice(place * size, (place + 1) * size)
            values = {**replica.weights, **replica.statistics, DATA: as_tensor(data[rows], replica.device)}
            if label is not None:
                values[LABEL] = as_tensor(label[rows], replica.device)
            masks = {name: random_mask((draw, name, place), shape, rate, replica.device)
                     for name, (rate, shape) in self._dropouts.items()} if is_train else {}
            how = Pass(is_train, replica.device, masks)
            with told_in_one_line(self._shape, str(self._devices[place])), torch.set_grad_enabled(is_train), \
                    computing(replica.device, self._dtype):
                (replica.output,), replica.seen = (self._run if is_train else self._test)(values, how)

    def backward(self) -> None:
        """Compute the gradients of the batch's loss, added up over the devices and the workers."""
        for place, replica in enumerate(self._replicas):
            with told_in_one_line(self._shape, str(self._devices[place])):
                grads = replica.backward()
            if place == 0:
                self._gradients = grads
            else:
                torch._foreach_add_(self._gradients, [grad.to(self._replicas[0].device) for grad in grads])
        if self._workers.store:
            self._workers.store.add_up(self._gradients)

    def update(self) -> None:
        """One step of the optimiser."""
        self._optimizer.step(self._gradients)
        self._gradients = []
        first = self._replicas[0].weights
        with torch.no_grad():
            for replica in self._replicas[1:]:
                if replica.weights is not first:
                    torch._foreach_copy_(list(replica.weights.values()), list(first.values()))

    def get_outputs(self) -> List[np.ndarray]:
        """The network's outputs of the last forward pass, of all devices."""
        return [np.concatenate([as_array(replica.output) for replica in self._replicas])]

    def get_params(self) -> Parameters:
        """A copy of the parameters as they are now; all workers ask together."""
        first, auxs = self._replicas[0], {}
        for name in first.statistics:
            copies = [as_array(replica.statistics[name]) for replica in self._replicas]
            value = copies[0]
            if self._average_auxs and len(copies) > 1:
                value = sum(copies[1:], copies[0]) / np.float32(len(copies))
            if self._average_auxs and self._workers.count > 1:
                value = (self._workers.total(f"mean:{name}", value) / self._workers.count).astype(np.float32)
            auxs[name] = value
        return Parameters({name: as_array(weight) for name, weight in first.weights.items()}, auxs)

    def optimizer_states(self) -> Dict[str, np.ndarray]:
        """A copy of the optimiser's state of every parameter, as `restored_states` takes them."""
        return {name: as_array(state) for name, state in self._optimizer.states.items()}

    def device_statistics(self) -> Dict[str, np.ndarray]:
        """BN's statistics of every device, {<name>:<device>: array}; none of a single one, or if they are fixed.

        The devices of worker 0 come first, then those of worker 1, and so on; all workers ask together.
        """
        if not self._average_auxs or len(self._replicas) * self._workers.count == 1:
            return {}
        found = {}
        for name, value in self._replicas[0].statistics.items():
            copies = np.stack([as_array(replica.statistics[name]) for replica in self._replicas])
            for device, copy in enumerate(self._workers.gather(f"all:{name}", copies).reshape(-1, *value.shape)):
                found[f"{name}:{device}"] = copy
        return found

    def fit(self, batches: Batches, metric: Metric, parameters: Parameters, optimizer: str,
            optimizer_params: Dict[str, Any], kvstore: str, begin_epoch: int, num_epoch: int,
            after_batch: Callable[[int, int, Optional[np.ndarray]], None],
            after_epoch: Callable[[int, Parameters], None]) -> None:
        """Train from `parameters`, as `ademxapp.engine.Module.fit` says, in the order of MXNet's own."""
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
                batch = next(coming, None)  # while a card computes
                for rows, replica in zip(np.split(label, len(self._replicas)), self._replicas):
                    metric.update(rows, as_array(replica.output))
                after_batch(epoch, number, index)
                number += 1
            result = self.get_params()
            for replica in self._replicas:
                for name, value in replica.statistics.items():
                    value.copy_(torch.tensor(result.auxs[name]))
            after_epoch(epoch, result)
            batches.reset()
