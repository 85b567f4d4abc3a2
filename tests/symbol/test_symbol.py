"""The networks against the original's names, shapes and numbers."""
import json
from pathlib import Path

import numpy as np
import pytest
from reference import class_weights, golden_parameters, weighted_gradient

from ademxapp.backend import mx
from ademxapp.symbol import SymbolOptions, classification_symbol, network, parse_label, segmentation_symbol
from ademxapp.symbol.losses import ohem_softmax

GOLDEN = Path(__file__).parents[1] / "golden"
PARAMETERS = json.loads((GOLDEN / "parameters.json").read_text())
OHEM = json.loads((GOLDEN / "ohem.json").read_text())
FIXED = SymbolOptions(bn_use_global_stats=True)


def forward(symbol, data, args, auxs):
    """Outputs of a symbol, as NumPy arrays."""
    executor = symbol.simple_bind(mx.cpu(), grad_req="null", data=data.shape)
    executor.copy_params_from({k: mx.nd.array(v) for k, v in args.items()},
                              {k: mx.nd.array(v) for k, v in auxs.items()})
    return [out.asnumpy() for out in executor.forward(is_train=False, data=mx.nd.array(data))]


@pytest.mark.parametrize("key, symbol", [
    ("rna_model_a1_1000", classification_symbol("ilsvrc-cls_rna-a1_cls1000")),
    ("rna_model_a_1000", classification_symbol("ilsvrc-cls_rna-a_cls1000")),
    ("fcrna_model_a1_21_s8", segmentation_symbol("voc_rna-a1_cls21_s8")),
    ("fcrna_model_a1_21_s8", segmentation_symbol("voc_rna-a1_cls21_s8", loss="softmax")),
])
def test_parameters_are_the_originals(key, symbol):
    golden = PARAMETERS[key]
    arg_shapes, _, aux_shapes = symbol.infer_shape(data=(1, 3, 224, 224))
    assert symbol.list_arguments() == golden["arguments"]
    assert symbol.list_auxiliary_states() == golden["auxiliary_states"]
    assert symbol.list_outputs() == golden["outputs"] == ["softmax_output"]
    shapes = dict(zip(symbol.list_arguments(), arg_shapes))
    wanted = {name: tuple(shape) for name, shape in _by_name(golden["arg_shapes"], golden["arguments"]).items()}
    assert {name: shapes[name] for name in wanted if name != "softmax_label"} == \
        {name: shape for name, shape in wanted.items() if name != "softmax_label"}
    assert sum(int(np.prod(shape)) for name, shape in shapes.items() if name not in ("data", "softmax_label")) \
        == golden["param_count"]
    assert sum(int(np.prod(shape)) for shape in aux_shapes) == golden["aux_count"]


def _by_name(shapes, names):
    return shapes if isinstance(shapes, dict) else dict(zip(names, shapes))


@pytest.mark.parametrize("key, symbol", [
    ("rna_model_a1_1000_64x64", classification_symbol("ilsvrc-cls_rna-a1_cls1000", FIXED)),
    ("fcrna_a1_21_s8_plain_64x64", segmentation_symbol("voc_rna-a1_cls21_s8", FIXED, loss="softmax")),
    ("fcrna_a1_21_s8_plain_64x64", segmentation_symbol("voc_rna-a1_cls21_s8", FIXED, loss="ohem")),
])
def test_forward_numbers_are_the_originals(key, symbol):
    golden = np.load(GOLDEN / "forward.npz")
    data = np.random.RandomState(0).normal(size=(1, 3, 64, 64)).astype(np.float32)
    inside = symbol.get_internals()
    logits, = (name for name in inside.list_outputs() if name.startswith("linear") and name.endswith("_output"))
    parameters = golden_parameters(symbol, data=data.shape)
    (softmax,), (scores,) = (forward(one, data, *parameters) for one in (symbol, inside[logits]))
    np.testing.assert_allclose(softmax, golden[f"{key}/softmax"], rtol=1e-4)
    np.testing.assert_allclose(scores, golden[f"{key}/logits"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("case", OHEM, ids=[case["name"] for case in OHEM])
def test_ohem_is_the_originals(case, weighted):
    """With weights of classes too, which multiply the gradient cell by cell and change nothing else."""
    golden = np.load(GOLDEN / "ohem.npz")
    scores, label = golden[f"{case['name']}/scores"], golden[f"{case['name']}/label"]
    weights = class_weights(scores.shape[1]) if weighted else None
    symbol = ohem_softmax(mx.sym.Variable("scores"), **case["kwargs"], class_weights=weights)
    executor = symbol.simple_bind(mx.cpu(), scores=scores.shape, grad_req={"scores": "write", "softmax_label": "null"})
    assert executor.arg_dict["softmax_label"].shape == label.shape  # so that it tests without labels
    prob = executor.forward(is_train=True, scores=scores, softmax_label=label)[0].asnumpy()
    executor.backward()
    grad = executor.grad_dict["scores"].asnumpy()
    np.testing.assert_allclose(prob, golden[f"{case['name']}/prob"], atol=1e-6)
    np.testing.assert_allclose(grad, weighted_gradient(golden[f"{case['name']}/grad"], label, weights), atol=1e-6)
    assert int(np.abs(grad).sum(1).astype(bool).sum()) == case["pixels_with_nonzero_grad"]


@pytest.mark.parametrize("name, depth", [
    ("rna-a", 38), ("rna-b", 20), ("rna-224-0-1-1-1-1-1-1", 16), ("rna-c", 42), ("rna-d", 34), ("rna-e", 26),
    ("rna-f", 34)])
def test_depth_is_the_papers(name, depth):
    assert network(name).depth == depth


@pytest.mark.parametrize("name", ["rna-a", "rna-a1", "rna-b1", "rna-c", "rna-d1", "rna-e", "rna-f", "rna-f1"])
def test_last_maps_are_7x7_at_the_training_crop(name):
    symbol = classification_symbol(f"x_{name}-w0.02_cls5")
    features = symbol.get_internals()["relu7_output"]
    crop = network(name).input.train_crop
    assert features.infer_shape(data=(1, 3, crop, crop))[1] == [(1, round(4096 * 0.02), 7, 7)]


@pytest.mark.parametrize("name", ["rna-a", "rna-a1", "rna-c", "rna-c1"])
def test_dilated_features_hold_the_strided_ones(name):
    """bn7 at stride 8, every fourth cell, is bn7 at the network's own stride, with the same parameters."""
    data = np.random.RandomState(0).normal(size=(1, 3, 64, 96)).astype(np.float32)
    native = network(name).native_stride
    features = {}
    for stride in (8, native):
        symbol = classification_symbol(f"x_{name}-w0.05_cls5_s{stride}", FIXED).get_internals()["bn7_output"]
        features[stride] = forward(symbol, data, *golden_parameters(symbol, data=data.shape))[0]
    step = native // 8
    np.testing.assert_allclose(features[8][:, :, ::step, ::step], features[native], rtol=1e-4, atol=1e-5)


def test_two_scales_share_every_parameter():
    one = segmentation_symbol("voc_rna-a1-w0.02_cls21_s8")
    two = segmentation_symbol("voc_rna-a1-2s-w0.02_cls21_s8")
    assert two.list_arguments() == one.list_arguments()
    assert two.infer_shape(data=(1, 3, 72, 72))[1] == [(1, 21, 9, 9)]


def test_biases_and_betas_learn_twice_as_fast_in_fine_tuning():
    attributes = segmentation_symbol("voc_rna-a1_cls21_s8", SymbolOptions(lr_type="alex")).attr_dict()
    for name in ("conv6a_bias", "bn2a_branch2a_beta"):
        assert (float(attributes[name]["__lr_mult__"]), float(attributes[name]["__wd_mult__"])) == (2, 0)
    assert "__lr_mult__" not in attributes.get("bn2a_branch2a_gamma", {})


@pytest.mark.parametrize("text, parts", [
    ("ilsvrc-cls_rna-a1_cls1000", ("ilsvrc-cls", "rna-a1", 1000, None, None)),
    ("cityscapes_rna-a1_cls19_s8_x1-140", ("cityscapes", "rna-a1", 19, 8, "x1-140")),
    ("models/voc_rna-a1-w0.125_cls21_s8_coco_ep-0001.params", ("voc", "rna-a1-w0.125", 21, 8, "coco")),
    ("a/b_rn-50_cls2_ep-0010-symbol.json", None),
])
def test_labels(text, parts):
    label = parse_label(text)
    if parts:
        assert (label.dataset, label.network, label.classes, label.stride, label.tag) == parts
    assert parse_label(str(label)) == label


@pytest.mark.parametrize("text", ["", "voc", "voc_rna-a1", "voc_rna-a1_cls", "VOC_rna-a1_cls21", "voc_rna-a1_cls0"])
def test_what_is_no_label_is_refused(text):
    with pytest.raises(ValueError, match="no label"):
        parse_label(text)


@pytest.mark.parametrize("label, words", [
    ("voc_rna-z_cls21_s8", "known are rna-a"), ("voc_rna-a1_cls21_s64", "cannot have stride 64; it has 8, 16, 32"),
    ("voc_rna-f_cls21_s16", "it has 8"), ("voc_rna-224-0-3-3-6-3-1_cls21", "known are"),
    ("voc_rna-224-0-3-0-6-3-1-1_cls21", "at least one unit"), ("voc_rna-a-w0_cls21", "known are")])
def test_unknown_networks_name_the_known(label, words):
    with pytest.raises(ValueError, match=words):
        segmentation_symbol(label)


@pytest.mark.parametrize("field", ["lr_type", "pool_top_infer_style"])
def test_unknown_options_name_the_known(field):
    with pytest.raises(ValueError, match="known are"):
        SymbolOptions(**{field: "none of them"})
