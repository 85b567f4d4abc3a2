"""Every network of the registry: structure, names, strides, training, and the layers made for them."""
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from reference import golden_parameters

from ademxapp.backend import mx
from ademxapp.inspection import costs
from ademxapp.paper import read_table
from ademxapp.symbol import (
    SymbolOptions,
    classification_symbol,
    inception,
    known_networks,
    layers,
    network,
    segmentation_symbol,
)
from ademxapp.symbol.layers import Scope
from ademxapp.weights.parameters import INPUTS, parameter_shapes

STORED = json.loads((Path(__file__).parents[1] / "golden" / "networks.json").read_text())
NETWORKS = known_networks()
DENSE = [name for name in NETWORKS if network(name).dense_features]
FIXED = SymbolOptions(bn_use_global_stats=True)


def bind(symbol, shape, seed=0):
    """An executor for training, with He's initialisation and random images and labels."""
    wanted = {name: "null" if name in INPUTS else "write" for name in symbol.list_arguments()}
    executor = symbol.simple_bind(mx.cpu(), grad_req=wanted, data=shape)
    rng = np.random.RandomState(seed)
    for name, array in sorted(executor.arg_dict.items()):
        if name == "softmax_label":
            array[:] = rng.randint(0, 3, size=array.shape)
        elif name.endswith(("weight", "data")):
            fan_in = np.prod(array.shape[1:]) if name != "data" else 2
            array[:] = rng.normal(0, np.sqrt(2 / fan_in), size=array.shape)
        else:
            array[:] = 0.5 if name.endswith("gamma") else 0
    for name, array in executor.aux_dict.items():
        array[:] = 0 if name.endswith("mean") else 1
    return executor


def step(executor, seed=0):
    """One forward and backward pass: (output, gradients, moving statistics), NumPy arrays."""
    mx.random.seed(seed)
    output = executor.forward(is_train=True)[0]
    executor.backward()
    mx.nd.waitall()
    return (output.asnumpy(), {key: value.asnumpy() for key, value in executor.grad_dict.items() if value is not None},
            {key: value.asnumpy() for key, value in executor.aux_dict.items()})


def small_size(name):
    """Pixels that are enough for a network's layers without padding."""
    return 107 if name.startswith("inception") else 32 if "cifar" in name else 64


@pytest.mark.parametrize("name", NETWORKS)
def test_parameters_are_the_stored(name):
    crop = network(name).input.train_crop
    symbol = classification_symbol(f"x_{name}_cls{10 if crop == 32 else 1000}")
    names = symbol.list_arguments() + symbol.list_auxiliary_states()
    assert len(set(names)) == len(names)
    arguments, statistics = parameter_shapes(symbol, data=(1, 3, crop, crop))
    assert {key: list(shape) for key, shape in {**arguments, **statistics}.items()} == STORED[name]


@pytest.mark.parametrize("name", NETWORKS)
def test_trains_saves_and_loads(name, tmp_path):
    """At 1/32 of the width: finite probabilities and gradients of every parameter; the same outputs once loaded."""
    symbol = classification_symbol(f"x_{name}-w0.03125_cls5")
    size = small_size(name)
    executor = bind(symbol, (2, 3, size, size))
    output, gradients, _ = step(executor)
    np.testing.assert_allclose(output.sum(1), 1, rtol=1e-4)
    assert set(gradients) == set(symbol.list_arguments()) - set(INPUTS)
    assert all(np.isfinite(gradient).all() for gradient in gradients.values())
    assert np.mean([np.abs(gradient).max() > 0 for gradient in gradients.values()]) > 0.9
    mx.model.save_checkpoint(str(tmp_path / "net"), 1, symbol, {
        key: value for key, value in executor.arg_dict.items() if key not in INPUTS}, executor.aux_dict)
    loaded, arguments, statistics = mx.model.load_checkpoint(str(tmp_path / "net"), 1)
    again = loaded.simple_bind(mx.cpu(), grad_req="null", data=(2, 3, size, size))
    again.copy_params_from(arguments, statistics)
    before = executor.forward(is_train=False)[0].asnumpy()
    after = again.forward(is_train=False, data=executor.arg_dict["data"])[0].asnumpy()
    np.testing.assert_allclose(after, before, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_stride_of_either_task(name):
    net, size = network(name), 96
    for stride in net.strides if net.dense_features else ():
        for head in ("1conv", "2conv"):
            symbol = segmentation_symbol(f"x_{name}-w0.03125_cls5_s{stride}", FIXED, head)
            assert symbol.infer_shape(data=(1, 3, size, size))[1] == [(1, 5, size // stride, size // stride)]
    for stride in net.strides:
        symbol = classification_symbol(f"x_{name}-w0.03125_cls5_s{stride}")
        assert symbol.infer_shape(data=(2, 3, size, size))[1] == [(2, 5)]


@pytest.mark.parametrize("name", ["vgg-16", "rn-50", "rnp-152"])
def test_segmentation_trains(name):
    _, gradients, _ = step(bind(segmentation_symbol(f"x_{name}-w0.03125_cls5_s8", FIXED), (1, 3, 64, 64)))
    assert all(np.isfinite(gradient).all() for gradient in gradients.values())
    assert np.abs(gradients["conv1_1_weight" if name == "vgg-16" else "conv1_weight"]).max() > 0


@pytest.mark.parametrize("name", NETWORKS)
def test_last_maps_at_the_training_crop(name):
    """7x7; the networks for CIFAR and of the Inception papers end in 8x8."""
    net = network(name)
    maps = net.features(Scope(), mx.sym.Variable("data"), net.native_stride)
    crop = net.input.train_crop
    side = 7 if net.dense_features else 8
    assert maps.infer_shape(data=(1, 3, crop, crop))[1][0][2:] == (side, side)


@pytest.mark.parametrize("row", read_table("table1").rows, ids=lambda row: row.method)
def test_depth_and_crop_are_the_papers(row):
    net = network(row.network)
    assert (net.depth, net.input.train_crop) == (row.paper["depth"], row.paper["input"])
    if row.network != "inception-resnet-v2":
        assert costs.depth(classification_symbol(f"x_{row.network}_cls1000")) == row.paper["depth"]


def test_depth_of_inception_resnet_v2_is_that_of_its_papers_figures():
    """5, 10 and 5 units behind the stem of Inception-v4 have 96 layers; the released network has 176."""
    units = {block.name: block for block in inception.RESNET_V2}
    figures = [*inception.V4[:4], replace(units["a"], count=5), units["reduction_a"], replace(units["b"], count=10),
               units["reduction_b"], replace(units["c"], count=5)]
    features = inception.inception_features(Scope(), mx.sym.Variable("data"), 32, figures)
    assert features.infer_shape(data=(1, 3, 299, 299))[1] == [(1, 2144, 8, 8)]
    assert costs.depth(features) + 1 == 96
    assert costs.depth(classification_symbol("x_inception-resnet-v2_cls1000")) == 176


@pytest.mark.parametrize("name, millions", [
    ("rn-50", 25.56), ("rn-101", 44.55), ("rn-152", 60.19), ("vgg-16", 138.36), ("inception-v4", 42.68),
    ("inception-resnet-v2", 55.84), ("rnp-200", 64.67), ("rn-cifar110", 1.73)])
def test_parameter_counts_are_the_published(name, millions):
    count = sum(int(np.prod(shape)) for key, shape in STORED[name].items() if "_moving_" not in key)
    assert round(count / 1e6, 2) == millions


def test_width_multiplies_channels_but_not_classes():
    shapes = parameter_shapes(classification_symbol("x_rn-50-w0.25_cls7"), data=(1, 3, 64, 64))[0]
    assert shapes["conv1_weight"] == (16, 3, 7, 7)
    assert shapes["res5c_branch2c_weight"] == (512, 128, 1, 1)
    assert shapes["linear7_weight"] == (7, 512)


def test_input_settings_travel_with_the_network():
    settings = network("inception-v4-w0.5").input
    assert (settings.train_crop, settings.test_crop, settings.mean, settings.std) == (299, 299, (0.5,) * 3, (0.5,) * 3)
    assert (network("rn-101").input.train_crop, network("rn-101").input.test_crop) == (224, 320)
    assert network("rna-f").input.test_crop == 80
    assert network("rn-cifar110").input.test_crop == 32
    assert all(network(name).input.interpolation for name in NETWORKS)


@pytest.mark.parametrize("name", ["rn-50", "rnp-152", "vgg-16"])
def test_dilated_features_hold_the_strided_ones(name):
    data = np.random.RandomState(0).normal(size=(1, 3, 64, 96)).astype(np.float32)
    maps = {}
    for stride in (8, 16, 32):
        symbol = network(name).features(Scope(FIXED, width=0.0625), mx.sym.Variable("data"), stride)
        executor = symbol.simple_bind(mx.cpu(), grad_req="null", data=data.shape)
        arguments, statistics = golden_parameters(symbol, data=data.shape)
        executor.copy_params_from({key: mx.nd.array(value) for key, value in arguments.items()},
                                  {key: mx.nd.array(value) for key, value in statistics.items()})
        maps[stride] = executor.forward(is_train=False, data=mx.nd.array(data))[0].asnumpy()
    tolerance = 1e-4 * np.abs(maps[32]).max()
    assert maps[8].shape[2:] == (8, 12)
    np.testing.assert_allclose(maps[8][:, :, ::4, ::4], maps[32], atol=tolerance)
    np.testing.assert_allclose(maps[8][:, :, ::2, ::2], maps[16], atol=tolerance)


def dropouts(label):
    return {layer.name: layer.dropout for layer in costs.layers(segmentation_symbol(label), (1, 3, 64, 64))
            if layer.dropout}


def test_dropout_is_where_the_paper_has_it():
    assert dropouts("x_rn-101_cls21_s8") == {f"res5{unit}_branch2c": 0.3 for unit in "abc"}
    assert dropouts("x_rnp-200-w0.1_cls21_s8") == {f"res5{unit}_branch2b2": 0.3 for unit in ("a", "b1", "b2")}
    assert dropouts("x_rna-a1_cls21_s8") == {"res6a_branch2b2": 0.3, "res7a_branch2b2": 0.5}
    assert dropouts("x_vgg-16_cls21_s8") == {"fc7": 0.5, "conv6a": 0.5}


def test_vgg_for_segmentation_is_deeplabs():
    found = {layer.name: layer for layer in costs.layers(segmentation_symbol("x_vgg-16_cls21_s8", head="1conv"),
                                                         (1, 3, 64, 64))}
    assert (found["fc6"].shape[0], found["fc6"].kernel, found["fc6"].dilation) == (1024, (3, 3), (12, 12))
    assert (found["fc7"].shape[0], found["fc7"].kernel) == (1024, (1, 1))
    assert found["conv5_3"].dilation == (2, 2) and found["conv4_3"].dilation == (1, 1)


@pytest.mark.parametrize("build, words", [
    (lambda: segmentation_symbol("x_inception-v4_cls21"), "only classifies; for segmentation there are rna-a"),
    (lambda: network("inception-v4-2s"), "one scale"), (lambda: network("rn-34"), "rn-50, rn-101, rn-152, rnp-152"),
    (lambda: segmentation_symbol("x_rn-101_cls21_s4"), "cannot have stride 4; it has 8, 16, 32"),
    (lambda: classification_symbol("x_inception-v4_cls21_s8"), "it has 32"),
    (lambda: network("rna-224-0-3-3"), "rna-<notation>"), (lambda: network("vgg-16-w"), "known are")])
def test_refusals_name_what_is_known(build, words):
    with pytest.raises(ValueError, match=words):
        build()


def max_pool_reference(data, grad, kernel, dilation, centred):
    """Values, and gradients that go to the first of equal maxima in row order."""
    reach = (kernel - 1) * dilation
    before = reach // 2 if centred else 0
    padded = np.pad(data, ((0, 0), (0, 0), (before, reach - before), (before, reach - before)),
                    constant_values=-np.inf)
    rows, columns = data.shape[2:]
    offsets = [(i * dilation, j * dilation) for i in range(kernel) for j in range(kernel)]
    shifted = np.stack([padded[:, :, y:y + rows, x:x + columns] for y, x in offsets])
    first, back = shifted.argmax(0), np.zeros_like(padded)
    for k, (y, x) in enumerate(offsets):
        back[:, :, y:y + rows, x:x + columns] += grad * (first == k)
    return shifted.max(0), back[:, :, before:before + rows, before:before + columns]


@pytest.mark.parametrize("kernel, dilation, centred", [
    (3, 1, True), (3, 2, True), (3, 4, True), (3, 2, False), (2, 1, False), (2, 2, False)])
def test_dilated_max_pooling_is_numpys(kernel, dilation, centred):
    rng = np.random.RandomState(0)
    data = rng.randint(-3, 3, size=(2, 3, 9, 11)).astype(np.float32)  # few values: many ties
    grad = rng.normal(size=data.shape).astype(np.float32)
    symbol = layers.dilated_max_pool(Scope(), mx.sym.Variable("data"), "pool", dilation, centred, kernel)
    executor = symbol.simple_bind(mx.cpu(), data=data.shape)
    output = executor.forward(is_train=True, data=data)[0].asnumpy()
    executor.backward(mx.nd.array(grad))
    values, gradients = max_pool_reference(data, grad, kernel, dilation, centred)
    np.testing.assert_array_equal(output, values)
    np.testing.assert_allclose(executor.grad_dict["data"].asnumpy(), gradients, atol=1e-5)


@pytest.mark.parametrize("label", ["x_rna-a1-w0.03125_cls5", "x_rna-b-w0.03125_cls5", "x_rn-50-w0.0625_cls5",
                                   "x_vgg-16-w0.0625_cls5", "x_inception-v4-w0.0625_cls5"])
def test_recomputing_changes_no_number_in_training(label):
    """Gradients equal; moving statistics updated once; the dropout of VGG and Inception drawn once."""
    size = small_size(label.split("_")[1])
    plain, recomputed = (step(bind(classification_symbol(label, SymbolOptions(recompute=recompute)),
                                   (2, 3, size, size))) for recompute in (False, True))
    for one, two in zip(plain[1:], recomputed[1:]):
        assert set(one) == set(two)
        for key in one:
            np.testing.assert_allclose(two[key], one[key], rtol=1e-4, atol=1e-6 * max(1, np.abs(one[key]).max()))
    means = [value for key, value in plain[2].items() if key.endswith("moving_mean")]
    assert "vgg" in label or max(np.abs(value).max() for value in means) > 0


@pytest.mark.parametrize("name", ["rna-a1", "rna-a", "rn-50", "vgg-16"])
def test_recomputing_changes_no_number_in_fine_tuning(name):
    """With BN's fixed statistics, dropout and online bootstrapping."""
    label = f"x_{name}-w0.03125_cls5_s8"
    plain, recomputed = (step(bind(segmentation_symbol(label, SymbolOptions(
        bn_use_global_stats=True, recompute=recompute)), (1, 3, 64, 64)), seed=7) for recompute in (False, True))
    for key, gradient in plain[1].items():
        np.testing.assert_allclose(recomputed[1][key], gradient, rtol=1e-4,
                                   atol=1e-6 * max(1, np.abs(gradient).max()))
    for key, statistic in recomputed[2].items():
        np.testing.assert_array_equal(statistic, 0 if key.endswith("mean") else 1)


@pytest.mark.parametrize("width", [0.05, 0.125, 0.25])
@pytest.mark.parametrize("name", ["inception-v4", "inception-resnet-v2"])
def test_concatenations_train_at_any_width(name, width):
    """oneDNN's gradient of a concatenation fails where parts are no multiples of its blocks."""
    _, gradients, _ = step(bind(classification_symbol(f"x_{name}-w{width}_cls5"), (1, 3, 107, 107)))
    assert all(np.isfinite(gradient).all() for gradient in gradients.values())
