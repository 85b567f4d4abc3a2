"""Whole trainings on the PyTorch engine: killed and resumed, with several workers, the loss that MXNet logs."""
import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

if importlib.util.find_spec("mxnet"):
    pytest.skip("a process has one engine: run these where MXNet is not installed", allow_module_level=True)
pytest.importorskip("torch", reason="PyTorch is not installed")

from ademxapp.weights.parameters import load_parameters  # noqa: E402

ROOT = Path(__file__).parents[2]
LABEL = "tiny_rna-b1-w0.03_cls2"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two classes of small images, a folder each."""
    root, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for split, kind in ((split, kind) for split in ("train", "val") for kind in range(2)):
        folder = root / split / f"class{kind}"
        folder.mkdir(parents=True)
        for number in range(10):
            pixels = rng.integers(0, 128, (36, 36, 3)).astype(np.uint8) + np.uint8(100 * kind)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    return root


def command(data, output, *more):
    return [sys.executable, "iclass/ilsvrc.py", "--engine", "torch", "--data-root", str(data), "--output", str(output),
            "--model", LABEL, "--crop-size", "32", "--batch-images", "4", "--to-epoch", "3", "--base-lr", "0.01", *more]


def ended(words, status=0):
    """What a program writes to stderr; it must end with this status."""
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
                          timeout=280)
    assert done.returncode == status, done.stderr
    return done.stderr


def trained(output):
    return load_parameters(str(output / f"{LABEL}_ep-0003.params")).all


@pytest.fixture(scope="module")
def undisturbed(data, tmp_path_factory):
    output = tmp_path_factory.mktemp("whole")
    ended(command(data, output, "--cpus", "2"))
    return output


def test_a_killed_run_resumes_to_the_same_bits(data, undisturbed, tmp_path):
    words = command(data, tmp_path, "--cpus", "2", "--snapshot-minutes", "0")
    running = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
    until = time.monotonic() + 200
    while not list(tmp_path.glob(f"{LABEL}_snapshot/0001-*")) and time.monotonic() < until:
        assert running.poll() is None
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert "going on from the snapshot after epoch" in ended([*words, "--resume"])
    found, wanted = trained(tmp_path), trained(undisturbed)
    assert set(found) == set(wanted)
    for name, value in wanted.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_workers_of_one_job_train_together(data, tmp_path):
    """Their numbers are held in test_torch_engine.py."""
    launch = [sys.executable, "tools/launch.py", "-n", "2"]
    told = ended(launch + command(data, tmp_path, "--cpus", "1", "--stop-epoch", "1")[1:])
    assert "worker 1 of 2, counted from 0: 2 images of every batch" in told
    assert "going on from the snapshot after epoch 1" in ended(launch + command(data, tmp_path, "--cpus", "1",
                                                                                "--resume")[1:])
    assert all(np.isfinite(value).all() for value in trained(tmp_path).values())


def test_a_job_ends_with_the_worker_that_was_killed(data, tmp_path):
    words = [sys.executable, "tools/launch.py", "-n", "2", *command(
        data, tmp_path, "--cpus", "1", "--snapshot-minutes", "0", "--to-epoch", "500")[1:]]
    job = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, text=True,
                           env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        until = time.monotonic() + 200
        while not list(tmp_path.glob(f"{LABEL}_snapshot/0*")) and time.monotonic() < until:
            assert job.poll() is None
            time.sleep(0.05)
        found = subprocess.check_output(["pgrep", "-f", "--", f"--output {tmp_path}"], text=True).split()
        os.kill(next(int(worker) for worker in found if int(worker) != job.pid), signal.SIGKILL)
        assert "was killed by SIGKILL; without it the others cannot go on" in job.communicate(timeout=60)[1]
        assert job.returncode == 128 + signal.SIGKILL
    finally:
        job.terminate()
        job.wait()


def test_the_parameter_servers_are_mxnets(data, tmp_path):
    assert "--kvstore dist_sync: the parameter servers are --engine mxnet's" in ended(
        command(data, tmp_path, "--kvstore", "dist_sync"), 2)
