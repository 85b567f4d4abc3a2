"""MXNet's Module, with parameters and optimiser states that come back with the same bits."""
import json
import logging
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from ademxapp.data.loader import Batch
from ademxapp.engine import Batches, Metric
from ademxapp.engine.mxnet.backend import mx
from ademxapp.engine.mxnet.runtime import as_mxnet, as_numpy, require_dtype, require_uncompiled
from ademxapp.training.distributed import Alone
from ademxapp.weights.parameters import Parameters


def with_seeded_dropout(symbol: mx.sym.Symbol) -> mx.sym.Symbol:
    """The same graph, whose dropout on cards is drawn by MXNet's generators: no seed reaches those of cuDNN."""
    graph = json.loads(symbol.tojson())
    for node in graph["nodes"]:
        if node["op"] == "Dropout":
            node["attrs"]["cudnn_off"] = "True"
    return mx.sym.load_json(json.dumps(graph))


class Module:
    """`ademxapp.engine.Module` on MXNet's own."""

    def __init__(self, symbol: mx.sym.Symbol, devices: Sequence[mx.Context], average_auxs: bool, logger: logging.Logger,
                 workers: Optional[Alone] = None, dtype: str = "float32", compiled: bool = False) -> None:
        require_uncompiled(compiled)
        if dtype != "float32":
            require_dtype(dtype, training=True, cards=False)
        if devices[0].device_type == "gpu":
            symbol = with_seeded_dropout(symbol)
        self._module = _Module(symbol, devices, average_auxs, logger, workers or Alone())

    restored_states = property(lambda self: self._module.restored_states,
                               lambda self, states: setattr(self._module, "restored_states", states))
    restored_statistics = property(lambda self: self._module.restored_statistics,
                                   lambda self, found: setattr(self._module, "restored_statistics", found))
    learning_rate = property(lambda self: self._module._optimizer.learning_rate)

    def bind(self, data_shape: Tuple[int, ...], label_shape: Tuple[int, ...]) -> None:
        """Make ready for whole batches of these shapes."""
        self._module.bind([("data", data_shape)], [("softmax_label", label_shape)])

    def init_params(self, parameters: Parameters) -> None:
        """Start from these."""
        self._module.init_params(arg_params=as_mxnet(parameters.args), aux_params=as_mxnet(parameters.auxs))

    def init_optimizer(self, optimizer: str, optimizer_params: Dict[str, Any], kvstore: str = "device") -> None:
        """Make ready for updates; takes over `restored_states` and `restored_statistics`, where given."""
        self._module.init_optimizer(self._module.workers.store or kvstore, optimizer, optimizer_params)

    def forward(self, data: np.ndarray, label: Optional[np.ndarray] = None, is_train: bool = True) -> None:
        """Run the network on a batch."""
        self._module.forward(mx.io.DataBatch([mx.nd.array(data)], None if label is None else [mx.nd.array(label)]),
                             is_train=is_train)

    def backward(self) -> None:
        """Compute the gradients of the batch's loss."""
        self._module.backward()

    def update(self) -> None:
        """One step of the optimiser."""
        self._module.update()

    def get_outputs(self) -> List[np.ndarray]:
        """The network's outputs of the last forward pass, of all devices."""
        return [output.asnumpy() for output in self._module.get_outputs()]

    def get_params(self) -> Parameters:
        """A copy of the parameters as they are now; all workers ask together."""
        return Parameters(*map(as_numpy, self._module.get_params()))

    def fit(self, batches: Batches, metric: Metric, parameters: Parameters, optimizer: str,
            optimizer_params: Dict[str, Any], kvstore: str, begin_epoch: int, num_epoch: int,
            after_batch: Callable[[int, int, Optional[np.ndarray]], None],
            after_epoch: Callable[[int, Parameters], None]) -> None:
        """Train from `parameters`, as `ademxapp.engine.Module.fit` says, by MXNet's own."""
        self._module.fit(
            _Batches(batches), eval_metric=_Metric(metric), kvstore=self._module.workers.store or kvstore,
            optimizer=optimizer, optimizer_params=optimizer_params,
            arg_params=as_mxnet(parameters.args), aux_params=as_mxnet(parameters.auxs),
            begin_epoch=begin_epoch, num_epoch=num_epoch,
            batch_end_callback=lambda state: after_batch(state.epoch, state.nbatch, state.locals["data_batch"].index),
            epoch_end_callback=lambda epoch, _, args, auxs: after_epoch(
                epoch, Parameters(as_numpy(args), as_numpy(auxs))))

    def optimizer_states(self) -> Dict[str, np.ndarray]:
        """A copy of the optimiser's state of every parameter, as `restored_states` takes them."""
        return self._module.optimizer_states()

    def device_statistics(self) -> Dict[str, np.ndarray]:
        """BN's statistics of every device, {<name>:<device>: array}; none of a single one, or if they are fixed.

        The devices of worker 0 come first, then those of worker 1, and so on; all workers ask together.
        """
        return self._module.device_statistics()


class _Module(mx.mod.Module):
    """A Module whose parameters are read from its first device, and BN statistics too unless they are trained.

    MXNet averages them over the devices; the mean of three equal float32 numbers need not be that number. Statistics
    that are trained are averaged over the devices of all `workers`, which then ask for the parameters together.
    """

    def __init__(self, symbol: mx.sym.Symbol, context: Sequence[mx.Context], average_auxs: bool, logger: logging.Logger,
                 workers: Alone) -> None:
        super().__init__(symbol, context=list(context), logger=logger)
        self._average_auxs, self.workers = average_auxs, workers
        self.restored_states: Optional[Dict[str, np.ndarray]] = None
        self.restored_statistics: Dict[str, np.ndarray] = {}

    def get_params(self) -> Tuple[Dict[str, mx.nd.NDArray], ...]:
        """As MXNet's; what is given stays as it is while the training goes on."""
        return tuple(map(dict, super().get_params()))

    def _sync_params_from_devices(self) -> None:
        mx.nd.waitall()  # the backward pass writes BN's statistics, and MXNet's engine takes it for a reader of them
        group = self._exec_group
        for name, copies in zip(self._param_names, group.param_arrays):
            self._arg_params[name] = copies[0].copyto(mx.cpu())
        for name, copies in zip(self._aux_names, group.aux_arrays):
            total = copies[0].copyto(mx.cpu())
            if self._average_auxs and len(copies) > 1:
                total = sum((copy.as_in_context(mx.cpu()) for copy in copies[1:]), total) / len(copies)
            if self._average_auxs and self.workers.count > 1:
                total = self.workers.total(f"mean:{name}", total.asnumpy()) / self.workers.count
                total = mx.nd.array(total, dtype=np.float32)
            self._aux_params[name] = total
        self._params_dirty = False

    def init_optimizer(self, *args: Any, **kwargs: Any) -> None:
        """As MXNet's; then takes over `restored_states` and `restored_statistics`, where given."""
        super().init_optimizer(*args, **kwargs)
        if self.restored_states:
            missing = sorted(set(self._param_names) - set(self.restored_states))
            if missing:
                raise ValueError(f"the snapshot has no optimiser state of {missing[0]}: start without --resume")
            updater = self._state_holder()
            updater.states = {key: mx.nd.array(self.restored_states[name]) for key, name in self._state_keys()}
            updater.states_synced = dict.fromkeys(updater.states, False)
        for name, copies in zip(self._aux_names, self._exec_group.aux_arrays):
            for device, copy in enumerate(copies, self.workers.rank * len(copies)):
                if f"{name}:{device}" in self.restored_statistics:
                    copy[:] = self.restored_statistics[f"{name}:{device}"]
        self.restored_states, self.restored_statistics = None, {}

    def device_statistics(self) -> Dict[str, np.ndarray]:
        """As `Module.device_statistics`."""
        devices, workers = len(self._context), self.workers
        if not self._average_auxs or devices * workers.count == 1:
            return {}
        mx.nd.waitall()  # as above
        found = {}
        for name, copies in zip(self._aux_names, self._exec_group.aux_arrays):
            values = workers.gather(f"all:{name}", np.stack([copy.asnumpy() for copy in copies]))
            for device, value in enumerate(values.reshape((-1, *copies[0].shape))):
                found[f"{name}:{device}"] = value
        return found

    def optimizer_states(self) -> Dict[str, np.ndarray]:
        """As `Module.optimizer_states`."""
        states, found = self._state_holder().states, {}
        for key, name in self._state_keys():
            if states.get(key) is not None and name not in found:
                found[name] = states[key].asnumpy()
        return found

    def _state_keys(self) -> List[Tuple[Any, str]]:
        """`(MXNet's key, parameter's name)` of every state; one for each device where each updates its own copy."""
        if self._update_on_kvstore:
            return [(name, name) for name in self._param_names]
        return sorted(self._optimizer.idx2name.items())

    def _state_holder(self) -> Any:
        updater = self._kvstore._updater if self._update_on_kvstore else self._updater
        return getattr(updater, "__self__", updater)


class _Batches(mx.io.DataIter):
    """Batches of NumPy arrays as MXNet's Module takes them."""

    def __init__(self, batches: Batches) -> None:
        super().__init__(batches.data_shape[0])
        self._batches = batches
        self.provide_data = [mx.io.DataDesc("data", batches.data_shape)]
        self.provide_label = [mx.io.DataDesc("softmax_label", batches.label_shape)]

    def reset(self) -> None:
        """Go to the next epoch."""
        self._batches.reset()

    def __iter__(self) -> Iterator[mx.io.DataBatch]:
        return map(self._convert, self._batches)

    def _convert(self, batch: Batch) -> mx.io.DataBatch:
        return mx.io.DataBatch([mx.nd.array(batch.data)], [mx.nd.array(batch.label)], pad=batch.pad, index=batch.index,
                               provide_data=self.provide_data, provide_label=self.provide_label)


class _Metric(mx.metric.EvalMetric):
    """Hands each device's labels and outputs to a metric, in NumPy: MXNet's operators would hold up the backward pass,
    which is under way, and its threads. It is not reset at the end of an epoch."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric
        super().__init__("training", output_names=["softmax_output"], label_names=["softmax_label"])

    def update(self, labels: List[mx.nd.NDArray], preds: List[mx.nd.NDArray]) -> None:
        """Count one device's batch."""
        for label, pred in zip(labels, preds):
            self._metric.update(label.asnumpy(), pred.asnumpy())

    def reset(self) -> None:
        """Nothing."""

    def get(self) -> Tuple[List[str], List[float]]:
        """Nothing to print."""
        return [], []
