"""Optimisers, schedules, starting points, and whole runs of the training loop with a small network."""
import importlib
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from reference import golden_parameters
from small_runs import LOG, NESTEROV, SEGMENTATION, SYM, TASKS, Batches, plan, random_batches, same_bits, two_layers

from ademxapp import engine
from ademxapp.files import replacing, write_json
from ademxapp.settings import DriverSettings
from ademxapp.symbol import classification_symbol, segmentation_symbol
from ademxapp.symbol.heads import TOP
from ademxapp.training.fit import Plan, fit
from ademxapp.training.progress import TrainingMetric, read_reports
from ademxapp.training.shared import ADAM, Schedule
from ademxapp.training.snapshots import Snapshot, load_snapshot, save_snapshot
from ademxapp.weights.parameters import (
    Parameters,
    initial_parameters,
    load_parameters,
    parameter_shapes,
    read_params,
    require_exact,
    save_parameters,
    start_afresh,
    start_from,
    write_params,
)

# Optimisers and schedules


def torch_nesterov(weight, grads, lrs, momentum, wd, rescale, clip):
    """BEHAVIOUR.md's formula, step by step in float64."""
    weight, m = weight.astype(float), np.zeros(weight.shape)
    for grad, lr in zip(grads, lrs):
        g = rescale * grad.astype(float)
        if clip is not None:
            g = np.clip(g, -clip, clip)
        m = momentum * m
        g = g + wd * weight
        m = m + g
        weight = weight - lr * (g + momentum * m)
    return weight


@pytest.mark.parametrize("momentum, clip", [(0.9, None), (0.9, 0.05), (0.0, None)])
@pytest.mark.parametrize("name, wd_mult, lr_mult", [("fc_weight", 1, 1), ("fc_gamma", 1, 1), ("fc_bias", 0, 1),
                                                    ("fc_beta", 0, 1), ("slow_weight", 3, 0.5)])
def test_nesterov_is_torchs(momentum, clip, name, wd_mult, lr_mult):
    mx = pytest.importorskip("mxnet")
    importlib.import_module("ademxapp.engine.mxnet.module")  # MXNet finds ours by name
    rng = np.random.default_rng(0)
    weight, grads = rng.normal(size=(3, 4)).astype(np.float32), rng.normal(size=(5, 3, 4)).astype(np.float32)
    optimizer = mx.optimizer.create(NESTEROV, learning_rate=0.1, momentum=momentum, wd=0.01, rescale_grad=0.25,
                                    clip_gradient=clip, param_idx2name={0: name},
                                    lr_scheduler=Schedule("linear", 0.1, 1, 9))
    if name == "slow_weight":
        optimizer.set_wd_mult({name: wd_mult})
        optimizer.set_lr_mult({name: lr_mult})
    updater, array = mx.optimizer.get_updater(optimizer), mx.nd.array(weight)
    for grad in grads:
        updater(0, mx.nd.array(grad), array)
    lrs = [lr_mult * 0.1 * (1 - n / 10) for n in range(1, 6)]  # updates are counted from 1
    wanted = torch_nesterov(weight, grads, lrs, momentum, 0.01 * wd_mult, 0.25, clip)
    np.testing.assert_allclose(array.asnumpy(), wanted, rtol=1e-5, atol=1e-6)


def test_schedules():
    linear = Schedule("linear", 0.1, 90, 100, stop_lr=1e-6)
    assert linear(1) == pytest.approx(0.1 * (1 - 1 / 9001))
    assert linear(4500) == pytest.approx(0.1 * (1 - 4500 / 9001))
    assert linear(9000) == pytest.approx(0.1 / 9001) and linear(9001) == linear(20000) == 1e-6
    steps = Schedule("step", 0.1, 9, 10, lr_steps=(3, 5))
    assert [round(steps(n), 9) for n in (1, 30, 31, 50, 51, 90)] == [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]
    fixed = Schedule("fixed", 0.1, 9, 10)
    assert fixed(1) == fixed(90) == 0.1
    rising = Schedule("linear", 0.1, 90, 100, warmup=1.5)
    assert rising(75) == pytest.approx(linear(75) / 2) and rising(150) == linear(150) and rising(151) == linear(151)
    with pytest.raises(ValueError, match="'cosine'; known are fixed, step, linear"):
        Schedule("cosine", 0.1, 9, 10)


def perceptron_gradients(weights, x, label):
    """Of the cross-entropy of `two_layers`, {name: ndarray}, summed over the samples."""
    hidden = x @ weights["hidden_weight"].T + weights["hidden_bias"]
    scores = np.maximum(hidden, 0) @ weights["linear3_weight"].T + weights["linear3_bias"]
    d_scores = np.exp(scores) / np.exp(scores).sum(1, keepdims=True) - np.eye(3)[label.astype(int)]
    d_hidden = d_scores @ weights["linear3_weight"] * (hidden > 0)
    return {"hidden_weight": d_hidden.T @ x, "hidden_bias": d_hidden.sum(0),
            "linear3_weight": d_scores.T @ np.maximum(hidden, 0), "linear3_bias": d_scores.sum(0)}


def nesterov_steps(gradient):
    """Of one parameter, by its gradient; the rate is 0.1."""
    m = np.zeros(gradient.shape)
    while True:
        m = 0.9 * m + gradient
        gradient = yield 0.1 * (gradient + 0.9 * m)


def adam_steps(gradient):
    """As the paper's algorithm has it, bias-corrected means first; the rate is 0.1."""
    m, v, t = np.zeros(gradient.shape), np.zeros(gradient.shape), 0
    while True:
        m, v, t = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient ** 2, t + 1
        gradient = yield 0.1 * (m / (1 - 0.9 ** t)) / (np.sqrt(v / (1 - 0.999 ** t)) + 1e-12)


@pytest.mark.parametrize("optimizer, steps, from_epoch", [(NESTEROV, nesterov_steps, 0), (ADAM, adam_steps, 0),
                                                          (ADAM, adam_steps, 2)])
@pytest.mark.parametrize("devices", [1, 2])
def test_fit_updates_with_the_optimiser_that_is_asked_for(tmp_path, devices, optimizer, steps, from_epoch):
    """Three updates of a two-layer perceptron, against the same in NumPy; plain SGD gives something else."""
    rng = np.random.default_rng(0)
    data, label = rng.normal(size=(12, 5)).astype(np.float32), rng.integers(0, 3, 12).astype(np.float32)
    symbol = two_layers()
    start = start_afresh(parameter_shapes(symbol, data=(4, 5)), 1)
    wanted, running = {name: value.astype(float) for name, value in start.args.items()}, {}
    how = plan(tmp_path, "x", optimizer, from_epoch + 1, from_epoch=from_epoch, wd=0.01, rescale_grad=0.25)
    found = fit(how, engine.load(), symbol, Batches(data, label, 4), start, TrainingMetric(3),
                engine.load().devices(cpus=devices), LOG)
    for rows in (slice(0, 4), slice(4, 8), slice(8, 12)):
        for name, grad in perceptron_gradients(wanted, data[rows], label[rows]).items():
            grad = 0.25 * grad + (0.01 * wanted[name] if name.endswith("_weight") else 0)
            if name in running:
                step = running[name].send(grad)
            else:
                running[name] = steps(grad)
                step = next(running[name])
            wanted[name] = wanted[name] - step
    atol = 5e-4 if optimizer == ADAM else 1e-6  # Adam's steps are of 0.1, for gradients of rounding's size too
    for name, value in found.args.items():
        np.testing.assert_allclose(value, wanted[name], rtol=1e-4, atol=atol, err_msg=name)


# Starting points


def test_initialisation():
    shapes = {"conv_weight": (200, 50, 3, 3), "linear10_weight": (10, 400), "linear10_bias": (10,),
              "conv6a_bias": (512,), "conv6a_weight": (8, 8, 3, 3), "bn_gamma": (5,), "bn_beta": (5,),
              "bn_moving_mean": (5,), "bn_moving_var": (5,)}
    values = initial_parameters(shapes, seed=3)
    assert {name: value.shape for name, value in values.items()} == shapes
    assert all(value.dtype == np.float32 for value in values.values())
    conv = values["conv_weight"]  # 90,000 normal numbers: the mean and variance are known to 1 %
    assert conv.var() == pytest.approx(2 / 450, rel=0.02) and abs(conv.mean()) < 0.01 * conv.std()
    assert (conv ** 4).mean() / conv.var() ** 2 == pytest.approx(3, rel=0.05)
    half_width = np.sqrt(1 / 400)
    for name in ("linear10_weight", "linear10_bias"):
        assert np.abs(values[name]).max() <= half_width and values[name].std() > 0.3 * half_width
    assert np.abs(values["linear10_weight"]).max() > 0.99 * half_width
    for name, constant in (("bn_gamma", 1), ("bn_moving_var", 1), ("bn_beta", 0), ("bn_moving_mean", 0),
                           ("conv6a_bias", 0)):
        assert (values[name] == constant).all()
    np.testing.assert_array_equal(initial_parameters({"conv_weight": (200, 50, 3, 3)}, 3)["conv_weight"], conv)
    assert (initial_parameters(shapes, 4)["conv_weight"] != conv).any()
    with pytest.raises(ValueError, match="no rule to initialise parameter strange"):
        initial_parameters({"strange": (3,)}, 0)


@pytest.fixture(scope="module")
def classifier():
    """Shapes and parameters of the network for classification that SEGMENTATION has features of."""
    shapes = parameter_shapes(classification_symbol("x_rna-a1-w0.04_cls5"), data=(1, 3, 224, 224))
    return start_afresh(shapes, 1)


def segmentation_shapes(label=SEGMENTATION, head="2conv"):
    return parameter_shapes(segmentation_symbol(label, head=head), data=(1, 3, 64, 64))


@pytest.mark.parametrize("head, started", [
    ("2conv", {"conv6a_weight", "conv6a_bias", "linear6_weight", "linear6_bias"}),
    ("1conv", {"linear6_weight", "linear6_bias"})])
def test_the_top_starts_afresh_and_the_old_top_is_left(classifier, head, started):
    parameters, transfer = start_from(classifier, segmentation_shapes(head=head), TOP, 2, "w.params")
    assert set(transfer.started) == started and set(transfer.left) == {"linear5_weight", "linear5_bias"}
    assert set(transfer.taken) == set(classifier.all) - {"linear5_weight", "linear5_bias"}
    assert set(parameters.all) == set(transfer.taken) | started
    for name in transfer.taken:
        np.testing.assert_array_equal(parameters.all[name], classifier.all[name])
    assert parameters.args["linear6_weight"].std() > 0
    assert all(name in str(transfer) for name in (*started, "linear5_weight"))


def test_a_top_of_the_same_name_and_another_shape_starts_afresh():
    segmenter = start_afresh(segmentation_shapes(head="1conv"), 0)
    _, transfer = start_from(segmenter, segmentation_shapes(head="2conv"), TOP, 0, "w.params")
    # The bias has the same name and shape in both, and is taken.
    assert {"conv6a_weight", "conv6a_bias", "linear6_weight"} <= set(transfer.started) and not transfer.left


def test_what_fits_is_taken_as_a_whole():
    segmenter = start_afresh(segmentation_shapes(), 0)
    _, transfer = start_from(segmenter, segmentation_shapes(), TOP, 0, "w.params")
    assert not transfer.started and not transfer.left


def without(parameters, name):
    return Parameters({key: value for key, value in parameters.args.items() if key != name},
                      {key: value for key, value in parameters.auxs.items() if key != name})


@pytest.mark.parametrize("name", ["conv1a_weight", "bn7_gamma", "bn7_moving_var"])
def test_any_other_difference_is_an_error_that_names_it(classifier, name):
    with pytest.raises(ValueError, match=f"w.params does not fit the network: {name} is missing"):
        start_from(without(classifier, name), segmentation_shapes(), TOP, 0, "w.params")
    more = Parameters({**classifier.args, "strange_weight": np.ones(2, np.float32)}, classifier.auxs)
    with pytest.raises(ValueError, match="strange_weight is not in the network"):
        start_from(more, segmentation_shapes(), TOP, 0, "w.params")
    wide = segmentation_shapes("demo_rna-a1-w0.06_cls6_s8")
    with pytest.raises(ValueError, match=r"conv1a_weight has shape 3x3x3x3, wanted 4x3x3x3.*and \d+ more.*label"):
        start_from(classifier, wide, TOP, 0, "w.params")


def test_testing_and_resuming_take_nothing_but_the_same_parameters(classifier):
    shapes = segmentation_shapes()
    segmenter = start_afresh(shapes, 0)
    require_exact(segmenter, shapes, "w.params")
    for parameters in (without(segmenter, "linear6_bias"), without(segmenter, "bn7_moving_mean"), classifier,
                       Parameters({**segmenter.args, "more_bias": np.ones(1, np.float32)}, segmenter.auxs)):
        with pytest.raises(ValueError, match="w.params does not fit the network"):
            require_exact(parameters, shapes, "w.params")


def test_parameter_files_come_back_with_the_same_bits(tmp_path, classifier):
    path = str(tmp_path / "x.params")
    save_parameters(path, classifier)
    same_bits(load_parameters(path), classifier)
    assert set(read_params(path)) == {*(f"arg:{name}" for name in classifier.args),
                                     *(f"aux:{name}" for name in classifier.auxs)}


def test_parameter_files_that_are_not_whole_are_errors(tmp_path, classifier):
    path = tmp_path / "x.params"
    save_parameters(str(path), classifier)
    whole = path.read_bytes()
    for content in (b"", b"no parameters", whole[:100], whole[:-3], whole[:len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="x.params"):
            load_parameters(str(path))
    write_params(str(path), {"conv1a_weight": np.ones(1, np.float32)})
    with pytest.raises(ValueError, match="'conv1a_weight' is neither arg:… nor aux:…"):
        load_parameters(str(path))
    with pytest.raises(FileNotFoundError):
        load_parameters(str(tmp_path / "missing.params"))


# Runs


def train(folder, task, batches, devices=1, dropout=False, epochs=1, **rest):
    """A run: its starting and its final parameters."""
    symbol, _, classes, optimizer, rescale = TASKS[task]
    if not dropout:
        symbol = SYM.load_json(re.sub(r'"p": "0.\d+"', '"p": "0.0"', symbol.tojson()))
    start = Parameters(*({name: np.float32(value) for name, value in values.items()}
                         for values in golden_parameters(symbol, data=(1, 3, 48, 48))))
    metric = TrainingMetric(classes, 255 if task == "segmentation" else None)
    how = plan(folder, task, optimizer, epochs, fixed=True, wd=5e-4, rescale_grad=rescale(devices, batches.batch_size),
               **rest)
    return start, fit(how, engine.load(), symbol, batches, start, metric, engine.load().devices(cpus=devices), LOG)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("devices", [2, 3])
def test_devices_give_the_mean_of_their_shards_gradients(tmp_path, task, devices):
    """The first update is linear in the gradient, so that it is the mean of the updates by each shard alone.

    Numbers of about 1 in float32, added up in another order: 1e-5 of the largest change, at least 1e-6.
    """
    batches, size = random_batches(task, 6, 6), 6 // devices
    start, together = train(tmp_path / "all", task, batches, devices)
    shards = [train(tmp_path / str(i), task, Batches(batches.data[i:i + size], batches.label[i:i + size], size))[1]
              for i in range(0, 6, size)]
    moved = 0
    for name, before in start.args.items():
        change, *alone = (run.args[name] - before for run in (together, *shards))
        tolerance = max(1e-6, 1e-5 * np.abs(change).max())
        np.testing.assert_allclose(change, np.mean(alone, 0), rtol=0, atol=tolerance, err_msg=name)
        moved += np.abs(change).max() > 20 * tolerance and np.abs(alone[0] - change).max() > 20 * tolerance
    assert moved > 0.3 * len(start.args)  # the tolerance would tell sums from means, and one shard from all


@pytest.mark.parametrize("devices", [1, 2, 3])
def test_fine_tuning_leaves_moving_statistics_bit_for_bit(tmp_path, devices):
    batches = random_batches("segmentation", 12, 6)
    start, done = train(tmp_path, "segmentation", batches, devices, dropout=True, epochs=2)
    for name, before in start.auxs.items():
        np.testing.assert_array_equal(done.auxs[name], before, err_msg=name)
    written = load_parameters(str(tmp_path / "segmentation_ep-0002.params"))
    same_bits(written, done)
    for name in ("bn7_gamma", "bn7_beta", "conv1a_weight"):
        assert (done.args[name] != start.args[name]).any(), name


@pytest.mark.parametrize("devices", [1, 2])
def test_a_seeded_run_repeats_bit_for_bit_with_dropout(tmp_path, devices):
    runs = [train(tmp_path / str(i), "segmentation", random_batches("segmentation", 12, 6), devices, dropout=True,
                  seed=seed)[1] for i, seed in enumerate((1, 1, 2))]
    same_bits(runs[0], runs[1])
    assert (runs[0].args["linear6_weight"] != runs[2].args["linear6_weight"]).any()
    losses = [[report["loss"] for report in read_reports(str(tmp_path / str(i) / "segmentation"))] for i in range(3)]
    assert losses[0] == losses[1] != losses[2]


def test_kept_checkpoints_are_those_asked_for():
    kept = {}
    for start, step in ((1, 4), (1, 1), (3, 3), (20, 1)):
        how = Plan(DriverSettings(stop_epoch=10, check_start=start, check_step=step), "sgd", {})
        kept[start, step] = [epoch for epoch in range(1, 11) if how.keeps(epoch)]
    assert kept == {(1, 4): [1, 5, 9, 10], (1, 1): list(range(1, 11)), (3, 3): [3, 6, 9, 10], (20, 1): [10]}


# Files


def snapshot(epoch, value=1.0):
    return Snapshot(Parameters({"x_weight": np.float32([value])}, {}), {"int:0": np.float32([value])},
                    {"epoch": epoch, "batch": 0})


def test_the_newest_whole_snapshot_is_taken(tmp_path):
    folder = str(tmp_path / "snapshots")
    assert load_snapshot(folder) is None
    save_snapshot(folder, snapshot(9))
    save_snapshot(folder, snapshot(10, 2.0))
    assert os.listdir(folder) == ["0010-000000"]
    found = load_snapshot(folder)
    assert found.state["epoch"] == 10 and found.optimizer_states["int:0"][0] == 2.0
    (tmp_path / "snapshots" / "0011-000000").mkdir()  # of another program, or cut short
    assert load_snapshot(folder).state["epoch"] == 10


def test_snapshots_of_an_earlier_longer_run_do_not_outlive_those_of_a_new_one(tmp_path):
    save_snapshot(str(tmp_path), snapshot(20))
    save_snapshot(str(tmp_path), snapshot(1))
    assert load_snapshot(str(tmp_path)).state["epoch"] == 1


PROGRAM = """
import resource, signal, sys
sys.path.insert(0, {root!r})
from ademxapp.data.images import write_png
from ademxapp.files import write_json
from ademxapp.weights.parameters import Parameters, save_parameters
from ademxapp.training.snapshots import Snapshot, save_snapshot
import numpy as np
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
noise = np.random.default_rng(0).integers(0, 256, (300, 300)).astype(np.uint8)
parameters = Parameters({{"x_weight": np.ones(1000, np.float32)}}, {{}})
for limit in (100, 2000, 4050):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, 10 ** 9))
    for write in (lambda: save_parameters("x.params", parameters), lambda: write_png("x.png", noise),
                  lambda: write_json("x.json", ["word"] * 1000),
                  lambda: save_snapshot("snapshots", Snapshot(parameters, {{}}, {{"epoch": 1, "batch": 0}}))):
        try:
            write()
        except OSError as error:
            assert str(error)
        else:
            sys.exit("no error")
"""


def test_nothing_is_left_where_writing_fails(tmp_path):
    """Files may grow to some bytes only, as on a full disk. What was there before stays."""
    for name in ("x.params", "x.png", "x.json"):
        (tmp_path / name).write_text("before")
    done = subprocess.run([sys.executable, "-c", PROGRAM.format(root=str(ROOT))], cwd=tmp_path, capture_output=True,
                          text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    found = {path.relative_to(tmp_path).as_posix(): path.is_file() and path.read_text() for path in tmp_path.rglob("*")}
    assert found == {"x.params": "before", "x.png": "before", "x.json": "before", "snapshots": False}


def test_files_get_the_users_permissions(tmp_path):
    before = os.umask(0o027)
    try:
        write_json(str(tmp_path / "new" / "x.json"), {})
    finally:
        os.umask(before)
    assert (tmp_path / "new" / "x.json").stat().st_mode & 0o777 == 0o640


def test_an_error_amid_writing_leaves_the_old_file(tmp_path):
    (tmp_path / "x.txt").write_text("old")
    with pytest.raises(KeyError), replacing(str(tmp_path / "x.txt")) as temporary:
        with open(temporary, "w") as out:
            out.write("new")
        raise KeyError
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("x.txt", "old")]


def test_reports_survive_a_line_that_was_cut_short(tmp_path):
    (tmp_path / "x.jsonl").write_text(json.dumps({"epoch": 1, "batch": 1}) + '\n{"epoch": 1, "ba')
    assert read_reports(str(tmp_path / "x")) == [{"epoch": 1, "batch": 1}]
