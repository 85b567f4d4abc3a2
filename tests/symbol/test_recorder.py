"""Graphs recorded without MXNet beside MXNet's: nodes, names, attributes, inputs, shapes."""
import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from ademxapp.backend import mx
from ademxapp.symbol import (
    SymbolOptions,
    classification_symbol,
    known_networks,
    network,
    recorder,
    segmentation_symbol,
    zoo,
)
from ademxapp.symbol.layers import Scope
from ademxapp.symbol.losses import ohem_softmax

TUNED = {"bn_use_global_stats": True, "lr_type": "alex"}


def both(monkeypatch, build):
    """What `build()` gives with MXNet's calls, and with the recorder's."""
    ours = build()
    monkeypatch.setattr(zoo, "Scope", partial(Scope, sym=recorder))
    recorded = build()
    monkeypatch.undo()
    assert isinstance(recorded, recorder.Symbol) and isinstance(ours, mx.sym.Symbol)
    return ours, recorded


def require_same(recorded, ours):
    """The graphs are equal, node for node; the names of nodes that were given none are not compared."""
    graphs = [json.loads(symbol.tojson()) for symbol in (recorded, ours)]
    for nodes in (graphs[0]["nodes"], graphs[1]["nodes"]):
        for node, made in zip(nodes, recorded._nodes):
            node["name"] = made.name and node["name"]
    assert graphs[0] == graphs[1]


def variants(name):
    """(label, head, loss, options, …) of the graphs that a network has; head None: the classifier."""
    net, label = network(name), f"x_{name}-w0.03_cls5"
    for options in ({}, {**TUNED, "recompute": True}, {"recompute": True, "path_gates": True}):
        yield label, None, None, options
    for style in ("caffe", "full"):
        yield label, None, None, {"pool_top_infer_style": style}
    if net.dense_features:
        yield f"{label}_s{max(net.strides)}", "2conv", "ohem", TUNED
        yield f"{label}_s8", "1conv", "softmax", {**TUNED, "recompute": True}
        yield f"{label}_s8", "1conv", "softmax", TUNED, (1, 2, 0.5, 1, 1)
        yield f"x_{name}-2s-w0.03_cls5_s8", "2conv", "ohem", {**TUNED, "recompute": True}


@pytest.mark.parametrize("name", known_networks())
def test_recorded_graphs_are_mxnets(monkeypatch, name):
    for label, head, loss, options, *weights in variants(name):
        options = SymbolOptions(**options)
        ours, recorded = both(monkeypatch, lambda: classification_symbol(label, options) if head is None  # noqa: B023
                              else segmentation_symbol(label, options, head, loss, *weights))  # noqa: B023
        require_same(recorded, ours)
        assert recorded.list_arguments() == ours.list_arguments()
        assert recorded.list_auxiliary_states() == ours.list_auxiliary_states()
        assert recorded.list_outputs() == ours.list_outputs() == ["softmax_output"]
        if not options.path_gates:
            size = 107 if name.startswith("inception") else 96
            inside, wanted = (symbol.get_internals().infer_shape(data=(2, 3, size, size))
                              for symbol in (recorded, ours))
            assert inside == wanted, (label, head, loss, options)


@pytest.mark.parametrize("margin", [-1, 0.2])
def test_online_bootstrapping_is_recorded(margin):
    ours, recorded = (ohem_softmax(sym.Variable("scores"), min_kept=10, margin=margin) for sym in (mx.sym, recorder))
    require_same(recorded, ours)
    shapes = recorded.infer_shape(scores=(2, 5, 6, 7))
    assert shapes == ours.infer_shape(scores=(2, 5, 6, 7))
    assert dict(zip(recorded.list_arguments(), shapes[0]))["softmax_label"] == (2, 42)


def test_a_recorded_graph_is_mxnets_once_it_is_read(tmp_path):
    symbol = segmentation_symbol("voc_rna-a1-w0.03_cls21_s8", SymbolOptions(**TUNED))
    read = recorder.load_json(symbol.tojson())
    assert json.loads(read.tojson()) == json.loads(symbol.tojson())
    assert read["softmax_output"].list_outputs() == ["softmax_output"]
    assert read.get_internals()["relu7_output"].infer_shape(data=(1, 3, 64, 64))[1] == [(1, 123, 8, 8)]
    assert read.attr_dict()["conv6a_bias"] == {"__lr_mult__": "2.", "__wd_mult__": "0."}
    assert mx.sym.load_json(read.tojson()).list_arguments() == symbol.list_arguments()


def test_graphs_of_old_versions_are_read():
    old = json.dumps({"nodes": [
        {"op": "null", "param": {}, "name": "data", "inputs": [], "backward_source_id": -1},
        {"op": "Flatten", "param": {}, "name": "flat", "inputs": [[0, 0]], "backward_source_id": -1,
         "attr": {"force_mirroring": "True"}}], "arg_nodes": [0], "heads": [[1, 0]]})
    assert recorder.load_json(old).infer_shape(data=(2, 3, 4, 4)) == ([(2, 3, 4, 4)], [(2, 48)], [])


@pytest.mark.parametrize("text", ["", "[]", '{"nodes": []}', '{"nodes": [{"op": "null"}], "heads": [[0, 0]]}'])
def test_what_is_no_graph_is_refused(text):
    with pytest.raises(ValueError, match="no graph of MXNet's"):
        recorder.load_json(text)


def test_what_has_no_shape_says_why():
    data = recorder.Variable("data")
    conv = recorder.Convolution(data, num_filter=2, kernel=(7, 7), no_bias=True, name="conv")
    with pytest.raises(ValueError, match=r"output of conv \(Convolution\) would have shape"):
        conv.infer_shape(data=(1, 3, 5, 5))
    with pytest.raises(ValueError, match=r"shape of conv \(Convolution\) does not follow"):
        conv.infer_shape()
    with pytest.raises(ValueError, match="conv_weight has shape .* and conv .* wants"):
        conv.infer_shape(data=(1, 3, 9, 9), conv_weight=(2, 4, 7, 7))
    with pytest.raises(AttributeError, match="no attribute 'Deconvolution'"):
        recorder.Deconvolution(data)
    with pytest.raises(ValueError, match="relu has 2 inputs, and INPUTS of .*recorder knows data"):
        recorder.relu(data, data, name="one")


def test_graphs_are_built_without_mxnet():
    """As in an environment where it is not installed."""
    code = ("import sys; sys.modules['mxnet'] = None\n"
            "from ademxapp.symbol import segmentation_symbol\n"
            "print(segmentation_symbol('voc_rna-a1-w0.03_cls21_s8').infer_shape(data=(1, 3, 64, 64))[1])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          cwd=Path(__file__).parents[2])
    assert done.stdout.strip() == "[(1, 21, 8, 8)]", done.stderr
