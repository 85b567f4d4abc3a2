"""Training: `ademxapp.engine.training.Module` on PyTorch, and the optimisers, over all parameters at once."""
import contextlib
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

from ademxapp.engine import Symbol, training
from ademxapp.engine.torch.graph import Graph, Pass, Statistics
from ademxapp.engine.torch.runtime import ERRORS, Device, as_array, as_tensor, computing, random_mask, require_dtype
from ademxapp.symbol.recorder import load_json
from ademxapp.training.shared import ADAM_BETA2, ADAM_EPSILON, Alone, adam_correction
from ademxapp.weights.parameters import INPUTS, Parameters

DATA, LABEL = INPUTS


class Optimizer:
    """What all have: rates and decays by name, as MXNet has them, and a state of every parameter: here, its momentum.

    `attributes` are those of the parameters in the graph, by name; the rest is as of `ademxapp.engine.training.Module`.
    Only parameters called `…_weight` and `…_gamma` decay, unless a `__wd_mult__` says otherwise.
    """

    def __init__(self, weights: Dict[str, Tensor], attributes: Dict[str, Dict[str, str]], learning_rate: float = 0.01,
                 lr_scheduler: Optional[Callable[[int], float]] = None, momentum: float = 0.0, wd: float = 0.0,
                 rescale_grad: float = 1.0, begin_num_update: int = 0) -> None:
        self.learning_rate, self.updates = learning_rate, begin_num_update
        self._weights, self._schedule, self._rescale = list(weights.values()), lr_scheduler, rescale_grad
        self.momentum = momentum
        self.states = {name: torch.zeros_like(weight) for name, weight in weights.items()} if momentum else {}
        of = [attributes.get(name, {}) for name in weights]
        self._rates = [float(each.get("__lr_mult__", 1)) for each in of]
        decays = [1.0 if name.endswith(("_weight", "_gamma")) else 0.0 for name in weights]
        self._decays = [wd * float(each.get("__wd_mult__", decay)) for each, decay in zip(of, decays)]

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor]) -> None:
        """Change the weights and the momenta."""
        self.updates += 1
        if self._schedule:
            self.learning_rate = self._schedule(self.updates)
        descents = torch._foreach_mul(list(gradients), self._rescale)
        torch._foreach_add_(descents, torch._foreach_mul(self._weights, self._decays))
        self._apply(list(descents), [self.learning_rate * rate for rate in self._rates])

    def _apply(self, descents: List[Tensor], rates: List[float]) -> None:
        raise NotImplementedError


class Sgd(Optimizer):
    """MXNet's: m = mu m - lr g; w += m."""

    def _apply(self, descents: List[Tensor], rates: List[float]) -> None:
        torch._foreach_mul_(descents, rates)
        if self.momentum:
            states = list(self.states.values())
            torch._foreach_mul_(states, self.momentum)
            torch._foreach_sub_(states, descents)
            torch._foreach_add_(self._weights, states)
        else:
            torch._foreach_sub_(self._weights, descents)


class TorchNesterov(Optimizer):
    """Torch's: m = mu m + g; w -= lr (g + mu m). The states hold -m, as MXNet's engine has them."""

    def _apply(self, descents: List[Tensor], rates: List[float]) -> None:
        if self.momentum:
            states = list(self.states.values())
            torch._foreach_mul_(states, self.momentum)
            torch._foreach_sub_(states, descents)
            torch._foreach_sub_(descents, states, alpha=self.momentum)
        torch._foreach_mul_(descents, rates)
        torch._foreach_sub_(self._weights, descents)


class StackedAdam(Optimizer):
    """MXNet's Adam; states are (2, …), means of gradient and square, that were 0 after `states_from` updates."""

    def __init__(self, weights: Dict[str, Tensor], *args: Any, states_from: int = 0, **kwargs: Any) -> None:
        super().__init__(weights, *args, **kwargs)
        self._states_from = states_from
        self.states = {name: torch.zeros((2, *weight.shape), device=weight.device) for name, weight in weights.items()}

    def _apply(self, descents: List[Tensor], rates: List[float]) -> None:
        means, squares = ([state[part] for state in self.states.values()] for part in (0, 1))
        for states, beta, values in zip((means, squares), (self.momentum, ADAM_BETA2),
                                        (descents, torch._foreach_mul(descents, descents))):
            torch._foreach_mul_(states, beta)
            torch._foreach_add_(states, values, alpha=1 - beta)
        lengths = torch._foreach_sqrt(squares)
        torch._foreach_add_(lengths, ADAM_EPSILON)
        steps = torch._foreach_div(means, lengths)
        correction = adam_correction(self.updates - self._states_from, self.momentum)
        torch._foreach_mul_(steps, [rate * correction for rate in rates])
        torch._foreach_sub_(self._weights, steps)


OPTIMIZERS = {"sgd": Sgd, "torchnesterov": TorchNesterov, "stackedadam": StackedAdam}


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


@contextlib.contextmanager
def told_in_one_line(shape: Sequence[int], device: str) -> Iterator[None]:
    """Within, a card's lack of memory becomes a ValueError that says what to do."""
    try:
        yield
    except ERRORS:
        batch, _, *sides = shape
        raise ValueError(f"{device} has too little memory for a batch of {batch} images of "
                         f"{'x'.join(map(str, reversed(sides)))} pixels: a smaller --batch-images or --crop-size, or "
                         "--backward-do-mirror, needs less") from None


class Module(training.Module):
    """A network of one output, with the inputs `data` and `softmax_label`.

    Convolutions and products are computed in `dtype`, sums, BN and losses in float32; `compiled` is by `torch.compile`.
    """

    def __init__(self, symbol: Symbol, devices: Sequence[Device], average_auxs: bool,
                 workers: Optional[Alone] = None, dtype: str = "float32", compiled: bool = False) -> None:
        super().__init__(load_json(symbol.tojson()), devices, average_auxs, workers)
        self._dtype = require_dtype(dtype)
        self._train, self._test = Graph(symbol.tojson()), Graph(symbol.tojson(), training=False)
        self._run = torch.compile(self._train, fullgraph=True, dynamic=False) if compiled else self._train
        self._replicas: List[Replica] = []
        self._gradients: List[Tensor] = []
        self._optimizer: Optimizer  # once there is one

    @property
    def learning_rate(self) -> float:
        return self._optimizer.learning_rate

    def bind(self, data_shape: Tuple[int, ...], label_shape: Tuple[int, ...]) -> None:
        """ValueError where batches cannot be divided, or are too small."""
        if data_shape[0] % len(self._devices):
            raise ValueError(f"batches of {data_shape[0]} cannot be divided among {len(self._devices)} devices")
        inside = self._symbol.get_internals()
        self._shape = (data_shape[0] // len(self._devices), *data_shape[1:])
        shapes = dict(zip(inside.list_outputs(), inside.infer_shape(data=self._shape)[1]))
        self._dropouts = {name: (rate, shapes[f"{name}_output"]) for name, rate in self._train.dropouts.items() if rate}

    def init_params(self, parameters: Parameters) -> None:
        """Devices of one place share the weights."""
        states = self._symbol.list_auxiliary_states()
        missing = [name for name in [*self._weights, *states] if name not in parameters.all]
        if missing:
            raise ValueError(f"the parameters lack {missing[0]}, which the network has")
        places = [device.torch for device in self._devices]
        shared = {place: {name: as_tensor(parameters.all[name], place).requires_grad_() for name in self._weights}
                  for place in set(places)}
        self._replicas = [Replica(place, shared[place], {
            name: as_tensor(parameters.all[name], place) for name in states}) for place in places]

    def forward(self, data: np.ndarray, label: Optional[np.ndarray] = None, is_train: bool = True) -> None:
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
        self._optimizer.step(self._gradients)
        self._gradients = []
        first = self._replicas[0].weights
        with torch.no_grad():
            for replica in self._replicas[1:]:
                if replica.weights is not first:
                    torch._foreach_copy_(list(replica.weights.values()), list(first.values()))

    def optimizer_states(self) -> Dict[str, np.ndarray]:
        return {name: as_array(state) for name, state in self._optimizer.states.items()}

    def _start_optimizer(self, optimizer: str, optimizer_params: Dict[str, Any], kvstore: str,
                         states: Dict[str, np.ndarray]) -> None:
        self._optimizer = OPTIMIZERS[optimizer](self._replicas[0].weights, self._symbol.attr_dict(), **optimizer_params)
        if states:
            for name, state in self._optimizer.states.items():
                state.copy_(torch.tensor(states[name]))

    def _outputs(self) -> List[np.ndarray]:
        return [as_array(replica.output) for replica in self._replicas]

    def _arguments(self) -> Dict[str, np.ndarray]:
        return {name: as_array(weight) for name, weight in self._replicas[0].weights.items()}

    def _statistics(self) -> Dict[str, List[np.ndarray]]:
        return {name: [as_array(replica.statistics[name]) for replica in self._replicas]
                for name in self._symbol.list_auxiliary_states()}

    def _set_statistics(self, device: int, statistics: Dict[str, np.ndarray]) -> None:
        for name, value in statistics.items():
            self._replicas[device].statistics[name].copy_(torch.tensor(value))
