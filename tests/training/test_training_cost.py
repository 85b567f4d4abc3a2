"""What keeps training cheap, held to the plain way; and the measurements of training."""
import json
import threading
import time

import numpy as np
import pytest
from small_runs import LOG, batches, run

from ademxapp.cli import UsageError
from ademxapp.training import fit as fit_module
from ademxapp.training import progress
from ademxapp.training.progress import TrainingMetric, read_reports
from ademxapp.training.snapshots import Background
from tools import bench
from tools.benchmarks import beside_torch
from tools.benchmarks.training import comparisons

# The metric


@pytest.mark.parametrize("ohem", [None, (0.6, 0), (0.1, 20), (0.1, 99)])
@pytest.mark.parametrize("shape, ignore", [((7,), None), ((3, 5, 4), 255)])
def test_the_metric_is_that_of_loops_over_the_cells(shape, ignore, ohem):
    """Counts to the last; the loss, a sum in another order, to 1e-12."""
    rng, classes = np.random.default_rng(0), 4
    prob = rng.dirichlet(np.ones(classes), shape).astype(np.float32)
    prob.reshape(-1, classes)[0] = 0.25  # of equal classes, the first is predicted
    label = rng.integers(0, classes, shape).astype(np.float32)
    if ignore:
        label[rng.random(shape) < 0.3] = ignore
    metric = TrainingMetric(classes, ignore, ohem)
    metric.update(label.reshape(shape[0], -1) if ignore else label, np.moveaxis(prob, -1, 1))
    true, predicted, true_probs = [], [], []
    for place in np.ndindex(*shape):
        if label[place] != ignore:
            true.append(int(label[place]))
            predicted.append(list(prob[place]).index(max(prob[place])))
            true_probs.append(prob[place][true[-1]])
    assert metric.count == len(true) and metric.right == sum(map(int.__eq__, true, predicted))
    assert metric.loss == pytest.approx(-sum(np.log(np.float64(value)) for value in true_probs), rel=1e-12)
    assert metric.true.tolist() == [true.count(i) for i in range(classes)]
    assert metric.predicted.tolist() == [predicted.count(i) for i in range(classes)]
    easy = sum(value > np.float32(ohem[0]) for value in true_probs) if ohem else 0
    assert metric.kept == (min(len(true), max(len(true) - easy, ohem[1])) if ohem else 0)


# Writing in the background


def test_what_runs_in_the_background_keeps_its_order_and_tells_its_errors():
    done, gate = [], threading.Event()

    def fail():
        raise OSError("disk full")

    with Background(LOG) as background:
        background.start(gate.wait, 60)
        background.check()  # does not wait
        gate.set()
        background.start(done.append, 1)
        background.start(fail)
        with pytest.raises(OSError, match="disk full"):
            background.start(done.append, 2)
        background.start(done.append, 3)
        background.wait()
    assert done == [1, 3]
    with pytest.raises(OSError, match="disk full"), Background(LOG) as background:
        background.start(fail)


def test_an_error_in_the_background_does_not_hide_that_of_the_run(caplog):
    with pytest.raises(ValueError, match="diverged"), Background(LOG) as background:
        background.start(int, "no number")
        raise ValueError("diverged")
    assert "error: invalid literal" in caplog.text


def bytes_of(snapshot):
    return [{name: value.tobytes() for name, value in arrays.items()}
            for arrays in (snapshot.parameters.all, snapshot.optimizer_states)], snapshot.state


def test_snapshots_written_behind_the_training_are_those_written_at_once(tmp_path, monkeypatch):
    """The writing is late: by then the training has gone on. Equal bits of parameters, momenta and metrics."""
    found = {}
    for name in ("at once", "late"):
        found[name] = []
        with monkeypatch.context() as patch:
            if name == "at once":
                patch.setattr(Background, "start", lambda _, function, *args: function(*args))
            patch.setattr(fit_module, "save_snapshot", lambda _, snapshot, __, name=name: (
                time.sleep(0.02 * (name == "late")), found[name].append(bytes_of(snapshot))))
            run(tmp_path / name, batches(40), epochs=2, snapshot_minutes=0)
    assert len(found["late"]) == 20 and found["late"] == found["at once"]


def test_a_checkpoint_that_cannot_be_written_ends_the_run(tmp_path, monkeypatch):
    def full(*_):
        raise OSError("disk full")
    monkeypatch.setattr(fit_module, "save_checkpoint", full)
    with pytest.raises(OSError, match="disk full"):
        run(tmp_path, batches(), epochs=3)
    assert len(read_reports(str(tmp_path / "x"))) < 16 and not list(tmp_path.glob("x_snapshot/0*"))


# Curves


@pytest.mark.parametrize("seconds, often", [(0, 24), (60, 0)])
def test_curves_are_drawn_now_and_then_and_at_the_end_where_there_is_something_new(tmp_path, monkeypatch, seconds,
                                                                                   often):
    drawn = []
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_CURVES", seconds)
    monkeypatch.setattr(progress, "plot_curves", lambda reports, validations, *_: drawn.append(
        (len(reports), len(validations))))
    run(tmp_path / "plain", batches(), epochs=3)
    assert drawn[-1] == (24, 0) and len(drawn) == max(often, 1)
    drawn.clear()
    run(tmp_path / "validated", batches(), epochs=3, val_every=3, validate=lambda _: {"score": 1.0})
    assert drawn[-1] == (24, 1) and len(drawn) == often + 1


# Measurements


@pytest.mark.parametrize("task, loss", [("classification", "softmax"), ("segmentation", "softmax"),
                                        ("segmentation", "ohem")])
def test_a_step_of_each_task_can_be_taken_again(task, loss):
    run = beside_torch.stepper("mxnet", task, loss, 0.02, 32, 2)
    run()
    run()


def test_bench_step(capsys):
    pytest.importorskip("torch")
    bench.main("step --width 0.02 --crop 32 --batch 2 --seconds 0 --format json".split())
    records = json.loads(capsys.readouterr().out)
    assert [(record["what"].split(", ")[1], record["against"][:7]) for record in records] == [
        ("classification", "the PyT"), ("segmentation", "the PyT"), ("segmentation", "softmax")]
    assert [record["asked"] for record in records] == [0.9, 0.9, 0.91]


def test_the_share_of_an_epochs_end_is_told_apart_from_that_of_its_batches():
    epochs = [{"parts": [(8, 4.0, 2.0), (8, 4.0, 4.0)], "end": 2.0},
              {"parts": [(8, 2.0, 4.0), (8, 4.0, 3.0)], "end": 1.0}]
    parts, whole = (comparison.record() for comparison in comparisons(epochs, "x", 10))
    assert parts["rates"] == (20, 20, 40, 20) and parts["other_rates"] == pytest.approx((40, 20, 20, 80 / 3))
    assert whole["rates"] == pytest.approx((16, 160 / 7)) and whole["other_rates"] == pytest.approx((80 / 3, 160 / 7))
    assert parts["ratio"] == pytest.approx(0.875) and whole["ratio"] == pytest.approx(0.8)


def test_bench_training(capsys):
    bench.main("training --network rna-b1-w0.02 --crop 32 --batch 2 --batches 16 --epochs 2 --format json".split())
    parts, whole = json.loads(capsys.readouterr().out)
    assert len(parts["rates"]) == 4 and len(whole["rates"]) == 1 and parts["asked"] == whole["asked"] == 0.97
    assert whole["remark"].startswith("an epoch is 16 batches in")
    with pytest.raises(UsageError, match="--batches 10: wanted a multiple of 4"):
        bench.main(["training", "--batches", "10"])
