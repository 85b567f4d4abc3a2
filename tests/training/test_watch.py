"""Training that one can watch: warnings, validation, the best checkpoint, and what stops a run."""
import errno
import json
import logging
import os
import socket
import time
from types import SimpleNamespace

import numpy as np
import pytest
import small_runs
from small_runs import batches, run, same_bits, two_layers

from ademxapp import files
from ademxapp.backend import mx
from ademxapp.data.loader import Loader
from ademxapp.training import progress
from ademxapp.training.fit import batch_seed
from ademxapp.training.progress import Watch, read_reports
from ademxapp.training.snapshots import load_snapshot, only_run
from ademxapp.weights.parameters import load_parameters, parameter_shapes, start_afresh

LOG = logging.getLogger("test")


def warnings(caplog):
    return [record.message for record in caplog.records if record.message.startswith("warning: ")]


# Warnings


def test_a_collapse_to_one_class_is_told_once(tmp_path, caplog):
    start = start_afresh(parameter_shapes(two_layers(), data=(4, 5)), 1)
    start.args["linear3_bias"][1] = 100
    run(tmp_path, batches(), lr=0, epochs=4, start=start)
    (text,) = warnings(caplog)
    assert "100 % are class 1, as are 31 % of the labels" in text and "--base-lr" in text


@pytest.mark.parametrize("lr", [0, 0.01])
def test_other_runs_are_not_warned_of(tmp_path, caplog, lr):
    start = start_afresh(parameter_shapes(two_layers(), data=(4, 5)), 1)
    run(tmp_path, batches(), lr, epochs=4, start=start)
    assert not warnings(caplog)


def test_labels_of_one_class_are_told_as_that_and_are_no_collapse(tmp_path, caplog):
    loader = batches()
    loader.label[:] = 1
    start = start_afresh(parameter_shapes(two_layers(), data=(4, 5)), 1)
    start.args["linear3_bias"][1] = 100
    run(tmp_path, loader, lr=0, epochs=4, start=start)
    (text,) = warnings(caplog)
    assert "every label that counts is class 1: there is nothing to tell apart" in text and "label_ids" in text


def test_labels_that_are_all_void_are_told_at_the_first_report_and_end_the_run_at_the_eighth(caplog):
    watch = Watch(LOG)
    void = {"batches": 3, "late": 0.0, "top_class": 0, "top_class_share": None, "top_class_true_share": None}
    for _ in range(7):
        watch.report(void)
    (text,) = warnings(caplog)
    assert "no label counts: all of the last 3 batches are void" in text and "tools/report.py data" in text
    with pytest.raises(ValueError, match="no label counts in 8 reports in a row: there is nothing to learn"):
        watch.report(void)


def test_a_trouble_that_comes_again_is_told_again(caplog):
    watch = Watch(LOG)
    for share in (1.0, 1.0, 1.0, 0.5, 1.0, 1.0):
        watch.report({"batches": 30, "late": 0.0, "top_class": 0, "top_class_share": share,
                      "top_class_true_share": 0.3})
    assert len(warnings(caplog)) == 2


class Slow:
    """A dataset that takes its time."""

    data_shape, label_shape = (5,), ()

    def __init__(self, seconds):
        self._seconds = seconds

    def __len__(self):
        return 64

    def describe(self, index):
        return f"image {index}"

    def load(self, index, rng):
        time.sleep(self._seconds)
        return rng.normal(size=5).astype(np.float32), np.float32(index % 3)


class Clock:
    """A clock for `progress.time` that goes on as it is told."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


class Counted:
    """A metric that counts what was trained since it was reset."""

    def __init__(self):
        self.batches = 0

    def reset(self):
        self.batches = 0

    def report(self):
        return {"loss": float(self.batches), "accuracy": None}


@pytest.mark.parametrize("seconds", [0.1, 20, 400])
def test_the_log_tells_of_a_long_epoch_and_no_report_depends_on_the_clock(tmp_path, caplog, monkeypatch, seconds):
    caplog.set_level(logging.INFO)
    clock, metric = Clock(), Counted()
    monkeypatch.setattr(progress, "time", clock)
    loader = SimpleNamespace(batches=80, batch_size=4, late=0)
    run, told = progress.Progress(str(tmp_path / "run"), LOG, metric, 0, 1, loader), [clock.now]
    for _ in range(80):
        clock.now += seconds
        metric.batches += 1
        before = len(caplog.records)
        run.step(0.1)
        told += [clock.now] * (len(caplog.records) - before)
    assert [(report["batch"], report["loss"]) for report in read_reports(str(tmp_path / "run"))] == [
        (batch, 10.0) for batch in range(10, 81, 10)]
    lines = [record.message for record in caplog.records]
    assert lines[0] == (f"epoch 1 batch {1 + (seconds == 20)}/80  {4 / seconds:.1f} images/s  remaining "
                        f"{progress.clock((80 - 1 - (seconds == 20)) * seconds)}") or seconds == 0.1
    assert told[1] - told[0] <= max(60, seconds)
    assert max(b - a for a, b in zip(told, told[1:])) <= max(200, seconds)


def test_batches_that_follow_each_other_drop_other_values():
    """MXNet has 1,024 generators, of which each draws one row here; seeds that are near each other share them."""
    def rows(epoch, batch, rank):
        mx.random.seed(batch_seed(0, epoch, batch, rank))
        with mx.autograd.train_mode():
            return {row.tobytes() for row in mx.nd.Dropout(mx.nd.ones((1024, 64)), 0.5).asnumpy() > 0}

    masks = [rows(epoch, batch, rank) for epoch in (3, 4) for batch in (0, 1, 2, 3) for rank in (0, 1)]
    assert all(len(mask) == 1024 for mask in masks) and len(set().union(*masks)) == 1024 * len(masks)
    assert batch_seed(10 ** 30, 0, 0, 0) < 2 ** 31


def test_a_loader_that_starves_the_network_is_told(tmp_path, caplog):
    with Loader(Slow(0.02), 4) as loader:
        run(tmp_path, loader)
    text, *_ = warnings(caplog)  # told again where a quick stretch came between, as on a busy machine
    assert "of the batches were late" in text and "--prefetch-threads" in text and "tools/pack.py" in text


# What stops a run


@pytest.fixture
def one_layer(monkeypatch):
    """A network without ReLU, of which oneDNN's, on some processors, makes 0 of what is no number."""
    scores = small_runs.SYM.FullyConnected(small_runs.SYM.Variable("data"), num_hidden=3, name="linear3")
    monkeypatch.setattr(small_runs, "two_layers", lambda: small_runs.SYM.SoftmaxOutput(scores, name="softmax"))


def test_a_loss_that_is_not_finite_stops_the_run_and_leaves_the_last_good_snapshot(tmp_path, one_layer):
    loader = batches()
    loader.data[50:] = np.inf
    with pytest.raises(ValueError, match=r"the loss is nan at epoch 1, batch 13 .*--base-lr.*--resume"):
        run(tmp_path, loader, snapshot_minutes=0, keep=1)
    snapshot = load_snapshot(str(tmp_path / "x_snapshot"))
    assert (snapshot.state["epoch"], snapshot.state["batch"]) == (0, 12)
    assert all(np.isfinite(value).all() for value in snapshot.parameters.all.values())


def test_the_batch_with_a_loss_that_is_not_finite_is_named_with_its_images(tmp_path, one_layer):
    class Broken(Slow):
        def load(self, index, rng):
            return np.full(5, np.nan if index == 9 else 0, np.float32), np.float32(0)
    with Loader(Broken(0), 4) as loader, pytest.raises(ValueError, match=r"batch 3 \(images image 8, image 9, …\)"):
        run(tmp_path, loader)


def test_parameters_are_looked_at_with_every_report(tmp_path, monkeypatch):
    """oneDNN's ReLU makes 0 of what is no number, so that the loss stays finite."""
    sym = small_runs.SYM
    hidden = sym.FullyConnected(sym.Variable("data"), num_hidden=6, name="hidden")
    scores = sym.FullyConnected(sym.Activation(hidden, act_type="relu", name="relu"), num_hidden=3, name="linear3")
    monkeypatch.setattr(small_runs, "two_layers", lambda: sym.SoftmaxOutput(scores, name="softmax"))
    start = start_afresh(parameter_shapes(two_layers(), data=(4, 5)), 1)
    start.args["hidden_weight"][:] = np.nan
    with pytest.raises(ValueError, match="hidden_weight is not finite at epoch 1, batch 4: the training has "
                       "diverged.* --overwrite.* --resume takes the same --base-lr only"):
        run(tmp_path, batches(), start=start)


def test_parameters_that_are_not_finite_are_never_kept(tmp_path):
    """The last update of an epoch may spoil them, after the last loss that is seen."""
    loader = batches(4, 4)
    loader.data *= 1e4
    with pytest.raises(ValueError, match=r"_(weight|bias) is not finite after epoch 1"):
        run(tmp_path, loader, lr=3e38)
    assert not list(tmp_path.glob("*.params")) and not list(tmp_path.glob("x_snapshot/0*"))


def test_where_files_have_no_locks_a_file_stands_for_one(tmp_path, caplog, monkeypatch):
    def refused(*_):
        raise OSError(errno.ENOLCK, "No locks available")
    monkeypatch.setattr(files.fcntl, "flock", refused)
    held = tmp_path / ".lock.held"
    with only_run(str(tmp_path)):
        assert f"no locks of files for {tmp_path}/.lock: " in warnings(caplog)[0]
        with pytest.raises(ValueError, match=f"is training into {tmp_path}: .* remove {held}"), only_run(str(tmp_path)):
            pass
    assert not held.exists()
    held.write_text(f"1 another-{socket.gethostname()}")  # which cannot be asked
    with pytest.raises(ValueError, match="if process 1 on another-.* has ended, remove"), only_run(str(tmp_path)):
        pass
    held.write_text(f"{2 ** 22 + 1} {socket.gethostname()}")  # a number that no process has
    with only_run(str(tmp_path)):
        assert held.read_text().split() == [str(os.getpid()), socket.gethostname()]
    monkeypatch.setattr(files.fcntl, "flock", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "I/O error")))
    with pytest.raises(OSError, match="I/O error"), only_run(str(tmp_path)):
        pass


def test_without_flock_a_file_stands_for_a_lock(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "fcntl", None)
    with only_run(str(tmp_path)), pytest.raises(ValueError, match="is training into"), only_run(str(tmp_path)):
        pass
    assert not (tmp_path / ".lock.held").exists()


def test_two_runs_do_not_write_into_one_folder(tmp_path):
    with only_run(str(tmp_path)):
        with pytest.raises(ValueError, match="another process is training into"), only_run(str(tmp_path)):
            pass
    with only_run(str(tmp_path)):
        pass


# Validation


def test_the_best_checkpoint_is_kept(tmp_path):
    seen, scores = [], iter([10.0, 30.0, 20.0])

    def validate(parameters):
        seen.append(parameters)
        return {"score": next(scores), "other": -len(seen)}

    run(tmp_path, batches(), epochs=6, val_every=2, validate=validate, check_start=1)
    rows = read_reports(str(tmp_path / "x_val"))
    assert [(row["epoch"], row["score"], row["other"]) for row in rows] == [(2, 10, -1), (4, 30, -2), (6, 20, -3)]
    assert json.loads((tmp_path / "x_best.json").read_text())["epoch"] == 4
    same_bits(load_parameters(str(tmp_path / "x_best.params")), load_parameters(str(tmp_path / "x_ep-0004.params")))


def test_the_last_epoch_is_validated_and_validation_changes_nothing(tmp_path):
    plain = run(tmp_path / "plain", batches(), epochs=3)
    validated = run(tmp_path / "validated", batches(), epochs=3, val_every=2, validate=lambda _: {"score": 1.0})
    same_bits(validated, plain)
    assert [row["epoch"] for row in read_reports(str(tmp_path / "validated" / "x_val"))] == [2, 3]


def test_a_validation_that_was_missed_is_made_up_for(tmp_path):
    def killed(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, batches(), epochs=2, val_every=1, validate=killed)
    snapshot = load_snapshot(str(tmp_path / "x_snapshot"))
    run(tmp_path, batches(), epochs=2, from_epoch=1, start=snapshot.parameters, snapshot=snapshot, val_every=1,
        validate=lambda _: {"score": 1.0})
    assert [row["epoch"] for row in read_reports(str(tmp_path / "x_val"))] == [1, 2]


def test_a_validation_behind_a_line_cut_short_has_a_line_of_its_own(tmp_path):
    run(tmp_path, batches(), epochs=1, val_every=1, validate=lambda _: {"score": 2.0})
    snapshot, lines = load_snapshot(str(tmp_path / "x_snapshot")), tmp_path / "x_val.jsonl"
    lines.write_text(lines.read_text() + '{"epoch": 2, "sco')
    run(tmp_path, batches(), epochs=2, from_epoch=1, start=snapshot.parameters, snapshot=snapshot, val_every=1,
        validate=lambda _: {"score": 1.0})
    assert [json.loads(line)["epoch"] for line in lines.read_text().splitlines()] == [1, 2]
