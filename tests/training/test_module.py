"""The Module of training: its optimiser's states."""

import numpy as np
import pytest

from ademxapp import engine
from ademxapp.backend import mx
from ademxapp.engine.mxnet.module import with_seeded_dropout
from ademxapp.weights.parameters import Parameters, parameter_shapes

DATA, LABEL = (np.arange(24).reshape(4, 6) / 24).astype(np.float32), np.float32([0, 1, 2, 0])


def started(devices, kvstore, parameters=None, states=None):
    """A bound Module of a small network, ready for updates with momentum."""
    hidden = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=5, name="hidden")
    symbol = mx.sym.SoftmaxOutput(mx.sym.FullyConnected(hidden, num_hidden=3, name="top"), name="softmax")
    ones = Parameters({name: np.full(shape, 0.5, np.float32) for name, shape in
                       parameter_shapes(symbol, data=DATA.shape)[0].items()}, {})
    module = engine.load().Module(symbol, engine.load().devices(cpus=devices), True)
    module.restored_states = states
    module.bind(DATA.shape, LABEL.shape)
    module.init_params(parameters or ones)
    module.init_optimizer("sgd", {"learning_rate": 0.1, "momentum": 0.9}, kvstore)
    return module


def update(module, times):
    """Do some updates: the parameters."""
    for _ in range(times):
        module.forward(DATA, LABEL)
        module.backward()
        module.update()
    return module.get_params()


@pytest.mark.parametrize("before, after", [(1, 2), (2, 1), (2, 2)])
@pytest.mark.parametrize("on_kvstore", ["1", "0"])
def test_momentum_goes_on_with_another_number_of_devices(monkeypatch, before, after, on_kvstore):
    monkeypatch.setenv("MXNET_UPDATE_ON_KVSTORE", on_kvstore)
    module = started(before, "device")
    parameters, states = update(module, 2), module.optimizer_states()
    assert set(states) == set(parameters.args)
    wanted = update(module, 2)
    found = update(started(after, "device", parameters, states), 2)
    for name in wanted.args:
        np.testing.assert_allclose(found.args[name], wanted.args[name], rtol=1e-5, atol=1e-6)


def test_states_of_another_network_are_refused():
    with pytest.raises(ValueError, match="no optimiser state of hidden_bias"):
        started(1, "device", states={"other": np.zeros(1, np.float32)})


def test_statistics_are_those_after_the_whole_backward_pass():
    """It writes them last, those of the first layer, and MXNet's engine does not know."""
    data = mx.sym.BatchNorm(mx.sym.Variable("data"), fix_gamma=False, momentum=0.5, name="bn")
    for i in range(3):
        data = mx.sym.FullyConnected(data, num_hidden=800, name=f"hidden{i}")
    symbol, rng = mx.sym.SoftmaxOutput(data, name="softmax"), np.random.default_rng(0)
    start = Parameters(*({name: rng.uniform(-0.01, 0.01, shape).astype(np.float32) if name.endswith("weight") else
                          np.full(shape, name.endswith(("gamma", "var")), np.float32) for name, shape in kind.items()}
                         for kind in parameter_shapes(symbol, data=(128, 400))))
    module = engine.load().Module(symbol, engine.load().devices(cpus=2), True)
    module.bind((128, 400), (128,))
    module.init_params(start)
    module.init_optimizer("sgd", {"learning_rate": 0.0})
    for value in (1, 2, 3):
        module.forward(np.full((128, 400), value, np.float32), np.zeros(128, np.float32))
        module.backward()
        module.update()
        mean = module.get_params().auxs["bn_moving_mean"]
        np.testing.assert_allclose(mean, {1: 0.5, 2: 1.25, 3: 2.125}[value], rtol=1e-6)


def test_dropout_on_cards_is_mxnets_own_which_seeds_reach():
    """Here for what it changes; no card is needed. (cuDNN's is not seeded by `mx.random.seed`.)"""
    data = mx.sym.Dropout(mx.sym.Variable("data"), p=0.3, name="drop")
    symbol = mx.sym.Activation(mx.sym.Dropout(data, p=0.5, name="again"), act_type="relu", name="top")
    before, seeded = symbol.tojson(), with_seeded_dropout(symbol)
    assert {name: attrs.get("cudnn_off") for name, attrs in seeded.attr_dict().items()} == {
        "drop": "True", "again": "True", "top": None}
    assert symbol.tojson() == before
    found = []
    for one in (symbol, seeded):
        executor = one.simple_bind(mx.cpu(), data=(500,))
        executor.arg_dict["data"][:] = 1
        engine.load().seed(7)
        found.append(executor.forward(is_train=True)[0].asnumpy())
    np.testing.assert_array_equal(*found)
