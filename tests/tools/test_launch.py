"""Several workers: what they compute together, and jobs that live and die as a whole."""
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from small_runs import BATCH, IMAGES, SHARDS, network, random_batches, same_bits, shard, start, train
from worlds import write_data

from ademxapp import driver
from ademxapp.backend import mx
from ademxapp.cli import UsageError
from ademxapp.data.loader import Loader
from ademxapp.engine.mxnet.runtime import as_mxnet
from ademxapp.settings import TrainingDevices
from ademxapp.training.progress import read_reports
from ademxapp.weights.parameters import load_parameters
from tools import launch

LAUNCH = [sys.executable, str(ROOT / "tools" / "launch.py")]
MARK = "ADEMXAPP_TEST_JOB"  # an environment variable that all processes of a job inherit


# What workers compute


def one_after_another(task):
    """An epoch with the sum of the shards' gradients, computed one after another on one device."""
    symbol, _, optimizer, rescale, _ = network(task)
    values, shards = start(task), [list(shard(task, rank, SHARDS)) for rank in range(SHARDS)]
    executor = symbol.simple_bind(mx.cpu(), data=(BATCH // SHARDS, 3, 48, 48))
    executor.copy_params_from(as_mxnet(values.args), as_mxnet(values.auxs))
    names = list(values.args)
    update = mx.optimizer.get_updater(mx.optimizer.create(
        optimizer, sym=symbol, param_idx2name=dict(enumerate(names)), learning_rate=0.02, momentum=0.9, wd=5e-4,
        rescale_grad=rescale))
    for batches in zip(*shards):
        sums = {name: mx.nd.zeros(values.args[name].shape) for name in names}
        for batch in batches:
            executor.forward(True, data=batch.data, softmax_label=batch.label)
            executor.backward()
            for name in names:
                sums[name] += executor.grad_dict[name]
        for index, name in enumerate(names):
            update(index, sums[name], executor.arg_dict[name])
    return {name: executor.arg_dict[name].asnumpy() for name in names}


def run_job(folder, *command, workers=2, timeout=400):
    done = subprocess.run([*LAUNCH, "-n", str(workers), "-s", "1", *map(str, command)], cwd=folder, timeout=timeout,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


def assert_same_change(found, wanted, before):
    """Numbers of about 1 in float32, added up in another order: 1e-5 of the largest change, at least 1e-6."""
    for name, value in wanted.items():
        old = before[name]
        tolerance = max(1e-6, 1e-5 * np.abs(value - old).max())
        np.testing.assert_allclose(found[name], value, rtol=0, atol=tolerance, err_msg=name)


def test_two_workers_give_the_mean_of_their_shards_gradients(tmp_path):
    run_job(tmp_path, ROOT / "tests" / "helpers" / "dist_worker.py", "segmentation", tmp_path)
    first, second = (load_parameters(str(tmp_path / f"{rank}.params")) for rank in range(2))
    same_bits(second, first)
    before, wanted = start("segmentation"), one_after_another("segmentation")
    assert_same_change(first.args, wanted, before.args)
    assert max(np.abs(wanted[name] - value).max() for name, value in before.args.items()) > 1e-3
    for name, value in before.auxs.items():
        np.testing.assert_array_equal(first.auxs[name], value, err_msg=name)
    # Dropout is another one in each; the first alone writes, and reports what both have counted.
    random = [mx.nd.load(str(tmp_path / f"{rank}.random"))[0].asnumpy() for rank in range(2)]
    assert (random[0] != random[1]).all()
    assert not (tmp_path / "run1").exists()
    alone = train(str(tmp_path / "devices"), "segmentation", random_batches("segmentation", IMAGES, BATCH), 2)
    assert_same_change(first.args, alone.args, before.args)
    for one, other in zip(*(read_reports(str(tmp_path / run / "segmentation")) for run in ("run0", "devices"))):
        assert one["accuracy"] == pytest.approx(other["accuracy"]) and one["loss"] == pytest.approx(other["loss"], 1e-4)


@pytest.mark.slow
def test_trained_statistics_are_averaged_over_the_workers(tmp_path):
    """As over the devices of one process: those see the same shards."""
    run_job(tmp_path, ROOT / "tests" / "helpers" / "dist_worker.py", "classification", tmp_path)
    first, second = (load_parameters(str(tmp_path / f"{rank}.params")) for rank in range(2))
    same_bits(second, first)
    before = start("classification")
    wanted = train(str(tmp_path / "devices"), "classification", random_batches("classification", IMAGES, BATCH), 2)
    for kind in ("args", "auxs"):
        assert_same_change(getattr(first, kind), getattr(wanted, kind), getattr(before, kind))


class Numbers:
    """A dataset whose samples are their own index."""

    data_shape, label_shape = (1,), ()

    def __len__(self):
        return 53

    def load(self, index, _):
        return np.array([index], np.float32), np.float32(index)


@pytest.mark.parametrize("count", [2, 3])
def test_workers_share_the_batches_of_one(count):
    """What a batch holds, over all workers, does not depend on their number."""
    def epoch(part, parts):
        with Loader(Numbers(), 12 // parts, shuffle=True, drop_last=True, seed=1, part=part, parts=parts) as loader:
            return [set(batch.index.tolist()) for batch in loader]

    parts = [epoch(part, count) for part in range(count)]
    assert [set.union(*shares) for shares in zip(*parts)] == epoch(0, 1)


# Jobs


def processes(mark):
    """{process id: command line} of what runs with the mark in its environment."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
        except OSError:  # it has ended
            continue
    return found


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


WORKER = """
import os, signal, subprocess, sys, time
def stop(number, _):
    print("stopping", flush=True)
    sys.exit(128 + number)
signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGINT, stop)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)", "child of worker"])
print("worker", os.environ["DMLC_WORKER_ID"], "of", os.environ["DMLC_NUM_WORKER"], "is there", flush=True)
time.sleep(300)
"""


class Job:
    """A job of two workers that only wait; `output` is what it has written, a line each."""

    def __init__(self, folder, program=WORKER):
        script, self.mark, self._log = folder / "waiting_worker.py", str(folder), folder / "log"
        script.write_text(program)
        with open(self._log, "wb") as log:
            self.process = subprocess.Popen([*LAUNCH, "-n", "2", "-s", "1", "waiting_worker.py"], cwd=folder,
                                            stdout=log, stderr=subprocess.STDOUT, env={**os.environ, MARK: self.mark})
        wait_until(lambda: sum("is there" in line for line in self.output) == 2)

    @property
    def output(self):
        return self._log.read_text().splitlines()

    def find(self, text):
        """Process ids by a part of the command line, in the order in which they were started."""
        return sorted(pid for pid, command in processes(self.mark).items() if text in command)


@pytest.fixture
def job(tmp_path):
    job = Job(tmp_path)
    yield job
    for pid in processes(job.mark):
        os.kill(pid, signal.SIGKILL)
    job.process.wait()


@pytest.mark.parametrize("who, command", [("worker 1", "waiting_worker.py"), ("server 0", "--role server"),
                                          ("scheduler", "--role scheduler")])
def test_a_death_ends_the_job_and_is_named(job, who, command):
    pids = [pid for pid in job.find(command) if pid != job.process.pid]
    os.kill(pids[-1], signal.SIGKILL)
    assert job.process.wait(10) == 128 + signal.SIGKILL
    assert f"launch.py: error: {who} was killed by SIGKILL" in job.output[-1]
    assert processes(job.mark) == {}


def test_the_job_dies_with_its_launcher(job):
    os.kill(job.process.pid, signal.SIGKILL)
    job.process.wait()
    wait_until(lambda: not processes(job.mark), 10)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_reach_the_workers(job, number):
    job.process.send_signal(number)
    assert job.process.wait(20) == 128 + number
    assert sorted(line for line in job.output if "stopping" in line) == ["worker 0  | stopping", "worker 1  | stopping"]
    assert processes(job.mark) == {}


def test_the_status_is_that_of_the_worker_which_failed(tmp_path):
    (tmp_path / "worker.py").write_text("import os, sys, time\nif os.environ['DMLC_WORKER_ID'] == '1':\n"
                                        "    sys.exit('no such thing')\ntime.sleep(300)\n")
    done = subprocess.run([*LAUNCH, "-n", "2", "worker.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "worker 1  | no such thing" in done.stderr
    assert "launch.py: error: worker 1 ended with status 1; without it the others cannot go on" in done.stderr


def test_a_worker_that_waits_in_vain_ends_itself(tmp_path):
    """It is the only one of two, and there is no scheduler."""
    write_data(tmp_path)
    root = f"127.0.0.1:{launch.free_port('127.0.0.1')}"
    done = subprocess.run([*LAUNCH, "--role", "worker", "--root", root, "-n", "2", ROOT / "iclass" / "ilsvrc.py",
                           *"--kvstore dist_sync --model tiny_rna-b1-w0.02_cls2 --crop-size 32 --batch-images 4 "
                           "--cpus 1 --to-epoch 1 --stall-minutes 0.02".split()], cwd=tmp_path, capture_output=True,
                          text=True, timeout=100)
    assert done.returncode == 1
    assert "error: no progress for 0.02 minutes (--stall-minutes) while waiting for the other workers" in done.stderr


@pytest.mark.parametrize("arguments, message", [
    ("-n 2", "no COMMAND for the workers"),
    ("-n 2 --role server", "--role needs --root HOST:PORT"),
    ("-n 2 --role server --root host:9 x.py", "a server takes no COMMAND, got x.py"),
    ("-n 2 --root host:9 x.py", "--root and --index are for one --role alone"),
    ("-n 2 --role worker --root host x.py", "'host' is no HOST:PORT"),
    ("-n 0 x.py", "0 is out of range"),
    ("-n 2 --role worker --root host:9 x.py --engine torch", "PyTorch's workers .* --role worker needs --index"),
    ("-n 2 x.py --gpus 0,1,2", r"--gpus 0,1,2: 3 card\(s\) cannot be divided among 2 workers.* another -n"),
    ("-n 2 x.py --gpus=0", r"--gpus 0: 1 card\(s\) cannot be divided among 2 workers")])
def test_wrong_use_of_launch(arguments, message):
    with pytest.raises(UsageError, match=message):
        launch.main(arguments.split())


@pytest.mark.parametrize("command, wanted", [
    ("x.py --gpus 0,1,2,3 --seed 1", ["x.py --gpus 0,1 --seed 1", "x.py --gpus 2,3 --seed 1"]),
    ("x.py --gpus=5,3", ["x.py --gpus 5", "x.py --gpus 3"]), ("x.py --cpus 2", ["x.py --cpus 2"] * 2)])
def test_workers_on_one_machine_have_cards_of_their_own(command, wanted):
    assert [" ".join(words) for words in launch.with_own_cards(command.split(), 2)] == wanted


@pytest.mark.parametrize("command, engine", [
    ("x.py --engine torch", "torch"), ("x.py --engine=torch --cpus 1", "torch"), ("x.py --engine mxnet", "mxnet")])
def test_a_job_has_the_roles_of_the_engine_that_its_workers_ask_for(monkeypatch, command, engine):
    started = {}
    monkeypatch.setattr(launch, "Job", lambda commands, _: started.update(commands) or launch.argparse.Namespace(
        run=lambda: 0))
    assert launch.main(["-n", "2", *command.split()]) == 0
    workers = ["worker 0", "worker 1"]
    assert list(started) == (workers if engine == "torch" else ["scheduler", "server 0", *workers])


def test_dist_sync_and_launch_go_together(monkeypatch):
    monkeypatch.delenv("DMLC_ROLE", raising=False)
    with pytest.raises(UsageError, match="--kvstore dist_sync without tools/launch.py"):
        driver.join(TrainingDevices(kvstore="dist_sync"))
    monkeypatch.setenv("DMLC_ROLE", "worker")
    with pytest.raises(UsageError, match="--kvstore device under tools/launch.py"):
        driver.join(TrainingDevices())


# Whole runs

EPOCHS, BATCHES = 3, 5
LABEL = "tiny_rna-b1-w0.02_cls2"
TRAINING = (f"{ROOT}/iclass/ilsvrc.py --kvstore dist_sync --model {LABEL} --list tiny.lst --data-root data/tiny "
            f"--cpus 2 --crop-size 32 --batch-images 8 --base-lr 0.001 --lr-type linear --to-epoch {EPOCHS} "
            f"--check-start {EPOCHS} --prefetcher process --val-every 3 --val-list val.lst --test-scales 32").split()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with data, and with a run in `undisturbed/`."""
    folder = tmp_path_factory.mktemp("runs")
    write_data(folder)
    lines = [f"{i}\t{i % 2}\ttrain/{('cat', 'dog')[i % 2]}/{i % 4}.png\n" for i in range(40)]
    (folder / "tiny.lst").write_text("".join(lines))
    (folder / "val.lst").write_text("".join(lines[:4]))
    run_job(folder, *TRAINING, "--output", "undisturbed")
    return folder


@pytest.mark.slow
def test_the_first_worker_writes(runs):
    assert {path.name for path in (runs / "undisturbed").iterdir()} == {
        *(f"{LABEL}{end}" for end in (".log", "-worker1.log", ".jsonl", ".png", "_ep-0003.params", "_ep-0003.json",
                                      "_ep-symbol.json", "_val.jsonl", "_best.params", "_best.json", "_snapshot"))}
    reports = read_reports(str(runs / "undisturbed" / LABEL))
    assert [(report["epoch"], report["batch"]) for report in reports] == [
        (epoch, batch) for epoch in (1, 2, 3) for batch in range(1, BATCHES + 1)]


@pytest.mark.slow
@pytest.mark.parametrize("number, role", [(signal.SIGKILL, "worker"), (signal.SIGKILL, "server"),
                                          (signal.SIGKILL, "scheduler"), (signal.SIGTERM, "job")])
def test_runs_that_end_early_go_on_with_the_same_bits(runs, number, role):
    output = f"{number}-{role}"
    command = [*LAUNCH, "-n", "2", "-s", "1", *TRAINING, "--output", output, "--snapshot-minutes", "0.01"]
    process = subprocess.Popen(command, cwd=runs, env={**os.environ, MARK: output}, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: len(read_reports(str(runs / output / LABEL))) >= BATCHES + 2, 240)
    pattern = {"worker": "ilsvrc.py --kvstore", "job": "launch.py -n"}.get(role, f"--role {role}")
    pid = min(pid for pid, text in processes(output).items() if pattern in text and (
        pid == process.pid) == (role == "job"))
    os.kill(pid, number)
    _, errors = process.communicate(timeout=60 if role == "job" else 10)
    assert process.returncode == 128 + number
    wanted = {"job": "stopped by SIGTERM after epoch 2, batch"}.get(role, f"launch.py: error: {role}")
    assert wanted in errors and processes(output) == {}
    run_job(runs, *TRAINING, "--output", output, "--resume")
    same_bits(*(load_parameters(str(runs / name / f"{LABEL}_ep-0003.params")) for name in (output, "undisturbed")))
    for found, wanted in zip(*(read_reports(str(runs / name / LABEL)) for name in (output, "undisturbed"))):
        assert [found[key] for key in ("epoch", "batch", "lr")] == [wanted[key] for key in ("epoch", "batch", "lr")]
        assert found["loss"] == pytest.approx(wanted["loss"], 1e-12)


class Cluster:
    """A job whose roles are started one by one, as a cluster's scheduler does it: {name: process}."""

    def __init__(self, folder, indices, training):
        self.mark, root = str(folder), f"127.0.0.1:{launch.free_port('127.0.0.1')}"
        roles = {"scheduler": ["scheduler"], "server": ["server"]}
        roles.update((f"worker {place}", ["worker", "--index", str(index), *training])
                     for place, index in enumerate(indices))
        self.processes = {name: subprocess.Popen(
            [*LAUNCH, "-n", "2", "-s", "1", "--root", root, "--role", *role], cwd=folder, stderr=subprocess.PIPE,
            text=True, env={**os.environ, MARK: self.mark}) for name, role in roles.items()}

    def __enter__(self):
        return self.processes

    def __exit__(self, *_):
        for process in self.processes.values():
            process.kill()
            process.communicate()


@pytest.mark.slow
def test_roles_alone_make_a_job(runs):
    with Cluster(runs, (1, 0), [*TRAINING, "--output", "cluster"]) as processes:
        assert all(process.wait(240) == 0 for process in processes.values())
    same_bits(*(load_parameters(str(runs / name / f"{LABEL}_ep-0003.params")) for name in ("cluster", "undisturbed")))


@pytest.mark.slow
def test_a_worker_whose_partner_died_ends_itself(runs):
    with Cluster(runs, (0, 1), [*TRAINING, "--output", "stalled", "--stall-minutes", "0.5"]) as processes:
        wait_until(lambda: read_reports(str(runs / "stalled" / LABEL)), 240)
        processes["worker 1"].kill()
        _, errors = processes["worker 0"].communicate(timeout=120)
        assert processes["worker 0"].returncode == 1
        assert "error: no progress for 0.5 minutes (--stall-minutes) while waiting for the next batch" in errors


@pytest.mark.slow
def test_two_workers_of_one_number_are_refused(runs):
    with Cluster(runs, (1, 1), [*TRAINING, "--output", "twice"]) as processes:
        for name in ("worker 0", "worker 1"):
            _, errors = processes[name].communicate(timeout=120)
            assert processes[name].returncode == 1 and "error: this worker's number is 1: wanted 0 … 1, each" in errors


@pytest.mark.slow
def test_workers_with_different_commands_are_refused(runs):
    """The first has another seed."""
    (runs / "two_seeds.py").write_text(
        "import os, sys\nos.execv(sys.executable, [sys.executable, *sys.argv[1:], '--seed', "
        "os.environ['DMLC_WORKER_ID']])\n")
    done = subprocess.run([*LAUNCH, "-n", "2", "two_seeds.py", *TRAINING, "--output", "two-seeds"], cwd=runs, text=True,
                          capture_output=True, timeout=200)
    assert done.returncode == 1
    assert "error: the workers do not have the same arguments, parameters" in done.stderr
