"""MXNet's Module, with parameters and optimiser states that come back with the same bits."""
import numpy as np

from ademxapp.backend import mx
from ademxapp.training.distributed import Alone


class Module(mx.mod.Module):
    """A Module whose parameters are read from its first device, and BN statistics too unless they are trained.

    MXNet averages them over the devices; the mean of three equal float32 numbers need not be that number. Statistics
    that are trained are averaged over the devices of all `workers`, which then ask for the parameters together.
    """

    def __init__(self, symbol, context, average_auxs, logger, workers=None):
        super().__init__(symbol, context=context, logger=logger)
        self._average_auxs, self._workers = average_auxs, workers or Alone()
        self.restored_states, self.restored_statistics = None, {}

    def get_params(self):
        """As MXNet's; what is given stays as it is while the training goes on."""
        return tuple(map(dict, super().get_params()))

    def _sync_params_from_devices(self):
        mx.nd.waitall()  # the backward pass writes BN's statistics, and MXNet's engine takes it for a reader of them
        group = self._exec_group
        for name, copies in zip(self._param_names, group.param_arrays):
            self._arg_params[name] = copies[0].copyto(mx.cpu())
        for name, copies in zip(self._aux_names, group.aux_arrays):
            total = copies[0].copyto(mx.cpu())
            if self._average_auxs and len(copies) > 1:
                total = sum((copy.as_in_context(mx.cpu()) for copy in copies[1:]), total) / len(copies)
            if self._average_auxs and self._workers.count > 1:
                total = self._workers.total(f"mean:{name}", total.asnumpy()) / self._workers.count
                total = mx.nd.array(total, dtype=np.float32)
            self._aux_params[name] = total
        self._params_dirty = False

    def init_optimizer(self, *args, **kwargs):
        """As MXNet's; then takes over `restored_states` and `restored_statistics`, where given."""
        super().init_optimizer(*args, **kwargs)
        if self.restored_states:
            missing = sorted(set(self._param_names) - set(self.restored_states))
            if missing:
                raise ValueError(f"the snapshot has no optimiser state of {missing[0]}: start without --resume")
            updater = self._state_holder()
            updater.states = {key: self.restored_states[name].copy() for key, name in self._state_keys()}
            updater.states_synced = dict.fromkeys(updater.states, False)
        for name, copies in zip(self._aux_names, self._exec_group.aux_arrays):
            for device, copy in enumerate(copies, self._workers.rank * len(copies)):
                if f"{name}:{device}" in self.restored_statistics:
                    self.restored_statistics[f"{name}:{device}"].copyto(copy)
        self.restored_states, self.restored_statistics = None, {}

    def device_statistics(self):
        """BN's statistics of every device, {<name>:<device>: NDArray}; none of a single one, or if they are fixed.

        The devices of worker 0 come first, then those of worker 1, and so on; all workers ask together.
        """
        devices, workers = len(self._context), self._workers
        if not self._average_auxs or devices * workers.count == 1:
            return {}
        mx.nd.waitall()  # as above
        found = {}
        for name, copies in zip(self._aux_names, self._exec_group.aux_arrays):
            values = workers.gather(f"all:{name}", [copy.asnumpy() for copy in copies])
            for device, value in enumerate(values.reshape((-1, *copies[0].shape))):
                found[f"{name}:{device}"] = mx.nd.array(value)
        return found

    def optimizer_states(self):
        """A copy of the optimiser's state of every parameter: {name: NDArray}, as `restored_states` takes them."""
        states, found = self._state_holder().states, {}
        for key, name in self._state_keys():
            if states.get(key) is not None and name not in found:
                found[name] = states[key].copyto(mx.cpu())
        return found

    def _state_keys(self):
        """`(MXNet's key, parameter's name)` of every state; one for each device where each updates its own copy."""
        if self._update_on_kvstore:
            return [(name, name) for name in self._param_names]
        return sorted(self._optimizer.idx2name.items())

    def _state_holder(self):
        updater = self._kvstore._updater if self._update_on_kvstore else self._updater
        return getattr(updater, "__self__", updater)
