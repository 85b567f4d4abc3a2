"""Gradients along single paths: gates that change nothing forward, and paths that add up."""
from itertools import product

import numpy as np
import pytest

from ademxapp.backend import mx
from ademxapp.engine.mxnet.runtime import as_mxnet
from ademxapp.inspection.paths import (
    PathGradients,
    expected_contributions,
    gated_units,
    measure,
    norm_per_example,
    sample_path,
    spread_lengths,
)
from ademxapp.symbol import SymbolOptions, classification_symbol
from ademxapp.symbol.layers import Scope, fc, path_gates
from ademxapp.weights.parameters import Parameters, parameter_shapes, start_afresh

NETWORKS = {"rna-56-0-1-1-1-1-1-1-w0.05": 6, "rna-112-1-1-1-1-1-1-1-c-w0.05": 7, "rn-50-w0.1": 16, "rnp-152-w0.03": 50,
            "rn-cifar110-w0.2": 54, "inception-resnet-v2-w0.05": 40}


def network(name, gates, fixed=True):
    return classification_symbol(f"any_{name}_cls5", SymbolOptions(bn_use_global_stats=fixed, path_gates=gates))


def batch(count, side):
    rng = np.random.default_rng(0)
    return rng.normal(size=(count, 3, side, side)).astype(np.float32), np.arange(count, dtype=np.float32) % 5


def random_parameters(symbol, data_shape):
    """Initial parameters; gammas that keep the maps of many units in range."""
    parameters = start_afresh(parameter_shapes(symbol, data=data_shape), 0)
    for name, array in parameters.args.items():
        if name.endswith("_gamma"):
            array[:] = 0.6
    return parameters


@pytest.mark.parametrize("name, units", NETWORKS.items())
def test_gates_change_no_bit_of_the_forward_pass(name, units):
    side = 75 if "inception" in name else 32
    data, _ = batch(2, side)
    plain, gated = network(name, False), network(name, True)
    parameters = random_parameters(plain, data.shape)
    assert len(gated_units(gated)) == units
    assert [name for name in gated.list_arguments() if not name.startswith("gate")] == plain.list_arguments()
    outputs = []
    for symbol, gates in ((plain, ()), (gated, gated_units(gated))):
        mx.random.seed(0)  # of Inception-ResNet's dropout
        executor = symbol.simple_bind(mx.cpu(), data=data.shape, **{f"gate{unit}": (2,) for unit in gates})
        executor.copy_params_from(as_mxnet(parameters.args), as_mxnet(parameters.auxs))
        for i, unit in enumerate(gates):
            executor.arg_dict[f"gate{unit}"][:] = i % 2
        outputs.append(executor.forward(is_train=True, data=mx.nd.array(data))[0].asnumpy())
    assert np.isfinite(outputs[0]).all() and outputs[0].std() > 0
    assert outputs[0].tobytes() == outputs[1].tobytes()


def linear_network(gates, units=5):
    """Units of one fully connected layer each, the second with a projection, on 7, then 6 numbers."""
    scope = Scope(SymbolOptions(path_gates=gates))
    out = mx.sym.Variable("data")
    for i in range(units):
        shortcut = fc(scope, out, f"shortcut{i}", 6) if i == 1 else out
        mapping, shortcut = path_gates(scope, str(i), fc(scope, out, f"mapping{i}", 7 if i == 0 else 6), shortcut)
        out = mapping + shortcut
    return mx.sym.MakeLoss(fc(scope, out, "top", 1))


def test_in_a_linear_network_every_path_is_a_product_and_their_sum_the_gradient():
    symbol, rng, count = linear_network(gates=True), np.random.default_rng(1), 3
    shapes = dict(zip(symbol.list_arguments(), symbol.infer_shape(data=(count, 7), **{
        f"gate{i}": (count,) for i in range(5)})[0]))
    values = {name: rng.normal(size=shape) for name, shape in shapes.items() if name.endswith(("weight", "bias"))}

    def gradient(symbol, gates=()):
        executor = symbol.simple_bind(mx.cpu(), data=(count, 7), type_dict=dict.fromkeys(shapes, np.float64), **{
            f"gate{i}": (count,) for i in range(len(gates))})
        executor.copy_params_from({name: mx.nd.array(value, dtype=np.float64) for name, value in values.items()})
        for i, gate in enumerate(gates):
            executor.arg_dict[f"gate{i}"][:] = gate
        executor.forward(is_train=True, data=mx.nd.ones((count, 7), dtype=np.float64))
        executor.backward()
        return executor.grad_dict["data"].asnumpy()

    total = 0
    for path in product((0, 1), repeat=5):
        row = values["top_weight"]
        for i in reversed(range(5)):
            weight = values[f"mapping{i}_weight"] if path[i] else values["shortcut1_weight"] if i == 1 else np.eye(
                row.shape[1])
            row = row @ weight
        found = gradient(symbol, path)
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, np.repeat(row, count, 0), rtol=1e-12, atol=1e-13)
        total += found
    np.testing.assert_allclose(total, gradient(linear_network(gates=False)), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("fixed", [True, False], ids=["moving statistics", "batch statistics"])
def test_the_paths_of_a_network_add_up_to_its_gradient(fixed):
    """At the values of the forward pass the backward pass is linear in every branch."""
    name = "rna-56-0-1-1-1-1-1-1-w0.05"
    data, labels = batch(4, 24)
    plain, gated = network(name, False, fixed), network(name, True, fixed)
    parameters = random_parameters(plain, data.shape)
    executor = plain.simple_bind(mx.cpu(), data=data.shape)
    executor.copy_params_from(as_mxnet(parameters.args), as_mxnet(parameters.auxs))
    executor.forward(is_train=True, data=mx.nd.array(data), softmax_label=mx.nd.array(labels))
    executor.backward()
    ordinary = executor.grad_dict["data"].asnumpy().astype(np.float64)
    gradients = PathGradients(gated, parameters, data.shape)
    paths = {path: gradients(data, labels, path) for path in product((False, True), repeat=6)}
    total = sum(gradient.astype(np.float64) for gradient in paths.values())
    # 64 sums of float32 numbers, each rounded to 6e-8 of the largest
    np.testing.assert_allclose(total, ordinary, rtol=0, atol=2e-5 * np.abs(ordinary).max())
    assert all(np.abs(gradient).max() > 0 for gradient in paths.values())


def test_gates_open_image_by_image():
    data, labels = batch(2, 24)
    symbol = network("rna-56-0-1-1-1-1-1-1-w0.05", True)
    parameters = random_parameters(network("rna-56-0-1-1-1-1-1-1-w0.05", False), data.shape)
    gradients = PathGradients(symbol, parameters, data.shape)
    first, second = (True,) * 3 + (False,) * 3, (False, True) * 3
    mixed = gradients(data, labels, np.transpose([first, second]))
    np.testing.assert_array_equal(mixed[0], gradients(data, labels, first)[0])
    np.testing.assert_array_equal(mixed[1], gradients(data, labels, second)[1])


def test_measuring_takes_a_path_of_every_length_for_every_batch_and_repeats():
    data, labels = batch(3, 24)
    parameters = random_parameters(network("rn-50-w0.05", False), data.shape)
    gradients = PathGradients(network("rn-50-w0.05", True), parameters, data.shape)
    batches = [(data, labels), (-data, labels)]
    lengths = spread_lengths(16, 5)
    assert lengths == [0, 4, 8, 12, 16]
    norms = measure(gradients, batches, lengths, seed=5)
    assert [len(row) for row in norms] == [2] * 5
    whole = gradients(-data, labels, [True] * 16).astype(np.float64)
    assert norms[4][1] == pytest.approx(np.sqrt((whole ** 2).sum()) / 3, rel=1e-12)
    assert norms == measure(gradients, batches, lengths, seed=5)
    assert norms[2] != measure(gradients, batches, lengths, seed=6)[2]


def test_paths_are_drawn_evenly():
    paths = np.array([sample_path(6, 2, 0, sample) for sample in range(600)])
    assert (paths.sum(1) == 2).all()
    assert (np.abs(paths.sum(0) - 200) < 5 * np.sqrt(600 * 1 / 3 * 2 / 3)).all()  # five standard deviations
    assert len({tuple(path) for path in paths}) == 15


def test_norms_and_contributions():
    assert norm_per_example(np.full((2, 1, 2, 2), 3, np.float32)) == pytest.approx(np.sqrt(8 * 9) / 2)
    np.testing.assert_allclose(expected_contributions([0, 1, 2, 3], [1, 1, 1, 1], 3), np.array([1, 3, 3, 1]) / 8)
    np.testing.assert_allclose(expected_contributions([0, 1, 2], [4, 1, 0], 2), np.array([4, 2, 0]) / 6, atol=1e-15)
    np.testing.assert_allclose(expected_contributions([0, 2], [4, 1], 2), np.array([4, 2 * 2, 1]) / 9)


def test_a_network_without_units_has_no_paths():
    symbol = network("vgg-16-w0.05", True)
    with pytest.raises(ValueError, match="no residual units"):
        PathGradients(symbol, Parameters({}, {}), (1, 3, 32, 32))
