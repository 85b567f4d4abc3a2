"""Training: `ademxapp.engine.training.Module` on MXNet's own, optimisers, and several workers over a parameter server.

The servers add up the workers' gradients and do nothing else: every worker runs the optimiser itself, on the same sums.
So all have the same parameters and momenta, bit for bit, and those of worker 0 are the run's. What else the workers
must know of each other goes the same way (`Workers.gather`).
"""
import json
import os
import signal
from typing import Any, Dict, List, Optional, Sequence, Set, Tuple, Type

import numpy as np

from ademxapp.engine import training
from ademxapp.engine.mxnet.backend import mx
from ademxapp.engine.mxnet.runtime import as_mxnet, require_dtype, require_uncompiled
from ademxapp.errors import UsageError, answered_by
from ademxapp.training.shared import ADAM_BETA2, ADAM_EPSILON, Alone, adam_correction
from ademxapp.weights.parameters import Parameters


def with_seeded_dropout(symbol: mx.sym.Symbol) -> mx.sym.Symbol:
    """The same graph, whose dropout on cards is drawn by MXNet's generators: no seed reaches those of cuDNN."""
    graph = json.loads(symbol.tojson())
    for node in graph["nodes"]:
        if node["op"] == "Dropout":
            node["attrs"]["cudnn_off"] = "True"
    return mx.sym.load_json(json.dumps(graph))


class Module(training.Module):
    """A `mx.mod.Module` whose parameters and optimiser states come back with the same bits."""

    def __init__(self, symbol: mx.sym.Symbol, devices: Sequence[mx.Context], average_auxs: bool,
                 workers: Optional[Alone] = None, dtype: str = "float32", compiled: bool = False) -> None:
        require_uncompiled(compiled)
        if dtype != "float32":
            require_dtype(dtype, training=True, cards=False)
        if devices[0].device_type == "gpu":
            symbol = with_seeded_dropout(symbol)
        super().__init__(symbol, devices, average_auxs, workers)
        self._module = mx.mod.Module(symbol, context=self._devices)

    @property
    def learning_rate(self) -> float:
        return self._module._optimizer.learning_rate

    def bind(self, data_shape: Tuple[int, ...], label_shape: Tuple[int, ...]) -> None:
        self._module.bind([("data", data_shape)], [("softmax_label", label_shape)])

    def init_params(self, parameters: Parameters) -> None:
        self._module.init_params(arg_params=as_mxnet(parameters.args), aux_params=as_mxnet(parameters.auxs))

    def forward(self, data: np.ndarray, label: Optional[np.ndarray] = None, is_train: bool = True) -> None:
        self._module.forward(mx.io.DataBatch([mx.nd.array(data)], None if label is None else [mx.nd.array(label)]),
                             is_train=is_train)

    def backward(self) -> None:
        self._module.backward()

    def update(self) -> None:
        self._module.update()

    def optimizer_states(self) -> Dict[str, np.ndarray]:
        states, found = self._updater().states, {}
        for key, name in self._state_keys():
            if states.get(key) is not None and name not in found:
                found[name] = states[key].asnumpy()
        return found

    def _start_optimizer(self, optimizer: str, optimizer_params: Dict[str, Any], kvstore: str,
                         states: Dict[str, np.ndarray]) -> None:
        self._module.init_optimizer(self._workers.store or kvstore, optimizer, optimizer_params)
        if states:
            updater = self._updater()
            updater.states = {key: mx.nd.array(states[name]) for key, name in self._state_keys()}
            updater.states_synced = dict.fromkeys(updater.states, False)

    def _state_keys(self) -> List[Tuple[Any, str]]:
        """`(MXNet's key, parameter's name)` of every state; one for each device where each updates its own copy."""
        if self._module._update_on_kvstore:
            return [(name, name) for name in self._weights]
        return sorted(self._module._optimizer.idx2name.items())

    def _updater(self) -> Any:
        updater = (self._module._kvstore if self._module._update_on_kvstore else self._module)._updater
        return getattr(updater, "__self__", updater)

    def _outputs(self) -> List[np.ndarray]:
        return [output.asnumpy() for output in self._module.get_outputs(merge_multi_context=False)[0]]

    def _arguments(self) -> Dict[str, np.ndarray]:
        group = self._module._exec_group
        return {name: copies[0].asnumpy() for name, copies in zip(group.param_names, group.param_arrays)}

    def _statistics(self) -> Dict[str, List[np.ndarray]]:
        mx.nd.waitall()  # the backward pass writes BN's statistics, and MXNet's engine takes it for a reader of them
        group = self._module._exec_group
        return {name: [copy.asnumpy() for copy in copies] for name, copies in zip(group.aux_names, group.aux_arrays)}

    def _set_statistics(self, device: int, statistics: Dict[str, np.ndarray]) -> None:
        group = self._module._exec_group
        for name, copies in zip(group.aux_names, group.aux_arrays):
            if name in statistics:
                copies[device][:] = statistics[name]


@mx.optimizer.register
class TorchNesterov(mx.optimizer.Optimizer):
    """Stochastic gradient descent with Nesterov's momentum as Torch has it: the learning rate outside the momentum.

    With gradient g (rescaled, clipped where asked), weight w, momentum m: g += wd w; m = mu m + g; w -= lr (g + mu m).
    It derives from MXNet's Optimizer, not from its SGD, whose own update MXNet 1.9.1 would run instead of this one.
    """

    def __init__(self, momentum: float = 0.9, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.momentum = momentum

    def create_state(self, index: Any, weight: mx.nd.NDArray) -> Optional[mx.nd.NDArray]:
        """Minus the momentum of one parameter, zeros in its shape; None without momentum."""
        return mx.nd.zeros(weight.shape, weight.context, dtype=weight.dtype) if self.momentum else None

    def update(self, index: Any, weight: mx.nd.NDArray, grad: mx.nd.NDArray, state: Optional[mx.nd.NDArray]) -> None:
        self._update_count(index)
        lr, wd = self._get_lr(index), self._get_wd(index)
        gradient = {"rescale_grad": self.rescale_grad, "clip_gradient": self.clip_gradient or -1.0}
        if state is not None:  # holds -m, so that MXNet's fused operators do: of the first, only the state is wanted
            mx.nd.sgd_mom_update(weight, grad, state, out=mx.nd.empty(weight.shape, weight.context, weight.dtype),
                                 lr=1.0, wd=wd, momentum=self.momentum, **gradient)
        mx.nd.sgd_update(weight, grad, out=weight, lr=lr, wd=wd, **gradient)
        if state is not None:
            mx.nd.sgd_update(weight, state, out=weight, lr=-lr * self.momentum, wd=0.0)


@mx.optimizer.register
class StackedAdam(mx.optimizer.Optimizer):
    """Adam (Kingma and Ba, 2015, algorithm 1), as MXNet has it, but that a parameter's state is one array.

    With gradient g (rescaled), weight w, means m and v of g and g², of which update t since they were zero:
    g += wd w; m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g²; w -= lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + eps).
    b1 is the momentum.
    """

    def __init__(self, momentum: float = 0.9, states_from: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.momentum, self.states_from = momentum, states_from

    def create_state(self, index: Any, weight: mx.nd.NDArray) -> mx.nd.NDArray:
        """m and v of one parameter: (2, …) zeros."""
        return mx.nd.zeros((2, *weight.shape), weight.context, dtype=weight.dtype)

    def update(self, index: Any, weight: mx.nd.NDArray, grad: mx.nd.NDArray, state: mx.nd.NDArray) -> None:
        self._update_count(index)
        rate = self._get_lr(index) * adam_correction(
            self._index_update_count[index] - self.states_from, self.momentum)
        mx.nd.adam_update(weight, grad, state[0], state[1], out=weight, lr=rate, wd=self._get_wd(index),
                          rescale_grad=self.rescale_grad, beta1=self.momentum, beta2=ADAM_BETA2, epsilon=ADAM_EPSILON)


class Workers(Alone, mx.kv.KVStoreBase):
    """All workers of a training, as one of them sees them; also the kvstore that MXNet's Module adds gradients up with.

    Making it waits until every worker, server and the scheduler are there; ValueError if two workers have the same
    number. Its methods are called by all workers in the same order, and wait for each other.
    """

    def __init__(self) -> None:
        with answered_by(signal.SIG_DFL):  # no Python runs while it waits
            self._store = mx.kv.create("dist_sync")
        self._gathered: Set[str] = set()
        self.count = self._store.num_workers
        self.rank = int(os.environ.get("DMLC_WORKER_ID", self._store.rank))
        if not 0 <= self.rank < self.count or (self.gather("ranks", np.array([1], np.uint16)) != 1).any():
            raise ValueError(f"this worker's number is {self.rank}: wanted 0 … {self.count - 1}, each for one worker. "
                             "Check the --index that tools/launch.py was given on each machine")

    store = property(lambda self: self)
    num_workers = property(lambda self: self.count)
    type = "dist_sync"

    def gather(self, name: str, values: np.ndarray) -> np.ndarray:
        values, key = np.asarray(values), f"gathered:{name}"
        words = np.frombuffer(values.tobytes(), np.uint16)  # MXNet's servers add in float32, which holds them exactly
        if key not in self._gathered:
            self._store.init(key, mx.nd.zeros((self.count, words.size)))
            self._gathered.add(key)
        slots = mx.nd.zeros((self.count, words.size))
        slots[self.rank] = words  # each fills in its own: the sum has all
        self._store.pushpull(key, slots)
        return np.frombuffer(slots.asnumpy().astype(np.uint16).tobytes(), values.dtype).reshape(-1, *values.shape)

    def init(self, key: Any, value: Any) -> None:
        self._store.init(key, value)

    def pushpull(self, key: Any, value: Any, out: Any = None, priority: int = 0) -> None:
        self._store.pushpull(key, value, out, priority)

    @staticmethod
    def is_capable(_: str) -> bool:
        """Nothing more: the optimiser does not run on the servers."""
        return False

    def __exit__(self, error: Optional[Type[BaseException]], *_: Any) -> None:
        if error is None:
            self._store = None  # waits for all; then the servers end


def launched(kvstore: str) -> bool:
    """Whether this process is a worker of tools/launch.py; UsageError unless `kvstore` says so too."""
    distributed = kvstore == "dist_sync"
    if distributed != ("DMLC_ROLE" in os.environ):
        raise UsageError(f"--kvstore {kvstore} {'without' if distributed else 'under'} tools/launch.py, which "
                         "starts workers for --kvstore dist_sync: wanted both or neither")
    return distributed


workers = Workers
