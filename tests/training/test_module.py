"""The Module of training: its optimiser's states."""
import logging

import numpy as np
import pytest

from ademxapp.backend import mx
from ademxapp.training.module import Module

BATCH = mx.io.DataBatch([mx.nd.array(np.arange(24).reshape(4, 6) / 24)], [mx.nd.array([0, 1, 2, 0])])


def started(devices, kvstore, parameters=None, states=None):
    """A bound Module of a small network, ready for updates with momentum."""
    hidden = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=5, name="hidden")
    symbol = mx.sym.SoftmaxOutput(mx.sym.FullyConnected(hidden, num_hidden=3, name="top"), name="softmax")
    module = Module(symbol, [mx.cpu(i) for i in range(devices)], True, logging.getLogger("test"))
    module.restored_states = states
    module.bind([("data", (4, 6))], [("softmax_label", (4,))])
    module.init_params(mx.init.One(), arg_params=parameters)
    module.init_optimizer(kvstore, "sgd", {"learning_rate": 0.1, "momentum": 0.9})
    return module


def update(module, times):
    """Do some updates: the parameters, {name: ndarray}."""
    for _ in range(times):
        module.forward_backward(BATCH)
        module.update()
    return {name: value.asnumpy() for name, value in module.get_params()[0].items()}


@pytest.mark.parametrize("before, after", [(1, 2), (2, 1), (2, 2)])
@pytest.mark.parametrize("on_kvstore", ["1", "0"])
def test_momentum_goes_on_with_another_number_of_devices(monkeypatch, before, after, on_kvstore):
    monkeypatch.setenv("MXNET_UPDATE_ON_KVSTORE", on_kvstore)
    module = started(before, "device")
    update(module, 2)
    parameters, states = module.get_params()[0], module.optimizer_states()
    assert set(states) == set(parameters)
    copies = [{name: value.copy() for name, value in values.items()} for values in (parameters, states)]
    wanted = update(module, 2)
    found = update(started(after, "device", *copies), 2)
    for name in wanted:
        np.testing.assert_allclose(found[name], wanted[name], rtol=1e-5, atol=1e-6)


def test_states_of_another_network_are_refused():
    with pytest.raises(ValueError, match="no optimiser state of hidden_bias"):
        started(1, "device", states={"other": mx.nd.zeros((1,))})


def test_statistics_are_those_after_the_whole_backward_pass():
    """It writes them last, those of the first layer, and MXNet's engine does not know."""
    data = mx.sym.BatchNorm(mx.sym.Variable("data"), fix_gamma=False, momentum=0.5, name="bn")
    for i in range(3):
        data = mx.sym.FullyConnected(data, num_hidden=800, name=f"hidden{i}")
    module = Module(mx.sym.SoftmaxOutput(data, name="softmax"), [mx.cpu(0), mx.cpu(1)], True, logging.getLogger("test"))
    module.bind([("data", (128, 400))], [("softmax_label", (128,))])
    module.init_params(mx.init.Uniform(0.01))
    module.init_optimizer("device", "sgd", {"learning_rate": 0.0})
    for value in (1, 2, 3):
        module.forward_backward(mx.io.DataBatch([mx.nd.full((128, 400), value)], [mx.nd.zeros((128,))]))
        module.update()
        mean = module.get_params()[1]["bn_moving_mean"].asnumpy()
        np.testing.assert_allclose(mean, {1: 0.5, 2: 1.25, 3: 2.125}[value], rtol=1e-6)
