"""Real training processes that are killed or asked to stop, at any moment, and go on with the same bits."""
import fcntl
import json
import os
import pty
import random
import select
import shlex
import signal
import subprocess
import sys
import termios
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from worlds import write_data

from ademxapp.training.snapshots import load_snapshot
from ademxapp.weights.parameters import load_parameters

EPOCHS = 3
RUNS = {
    "ilsvrc": ("iclass/ilsvrc.py", "tiny_rna-b1-w0.02_cls2", "--list tiny.lst --data-root data/tiny --crop-size 32 "
               "--cpus 2 --base-lr 0.001"),
    "voc": ("issegm/voc.py", "demo_rna-b1-w0.02_cls6_s8", "--list demo.lst --data-root data/demo --crop-size 32 "
            "--origin-size 40 --cpus 1 --base-lr 1e-7"),
}
SHARED = f"--batch-images 4 --to-epoch {EPOCHS} --lr-type linear --check-start {EPOCHS}"
SLOW_MOMENTS = 20  # for each task
REPORTS = 15  # of a run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Data, and in `undisturbed/` what both runs leave."""
    folder = tmp_path_factory.mktemp("survival")
    write_data(folder)
    images = [f"{i}\t{i % 2}\ttrain/{('cat', 'dog')[i % 2]}/{i % 4}.png\n" for i in range(40)]
    (folder / "tiny.lst").write_text("".join(images))
    (folder / "demo.lst").write_text((folder / "data" / "demo" / "train.lst").read_text() * 5)
    for program in RUNS:
        assert start(folder, program, "undisturbed").wait(280) == 0
    return folder


def start(folder, program, output, more="", **options):
    """A training in a process, and a group, of its own."""
    script, label, arguments = RUNS[program]
    with open(folder / f"{output}.err", "a") as err:
        return subprocess.Popen([sys.executable, str(ROOT / script), "--model", label, "--output", output,
                                 *shlex.split(f"{arguments} {SHARED} {more}")],
                                **{"cwd": folder, "stderr": err, "start_new_session": True, **options})


def same_end(folder, program, output):
    """Assert that a run ended as the undisturbed one: parameters, momentum, logged losses, to the bit."""
    label = RUNS[program][1]
    ends = [folder / name / label for name in (output, "undisturbed")]
    found, wanted = (load_parameters(f"{end}_ep-{EPOCHS:04d}.params").all for end in ends)
    same_arrays(found, wanted)
    found, wanted = (load_snapshot(f"{end}_snapshot").optimizer_states for end in ends)
    same_arrays(found, wanted)
    timeless = [[{name: value for name, value in json.loads(line).items()
                  if name not in ("images_per_s", "seconds_left", "late", "batches")}
                 for line in Path(f"{end}.jsonl").read_text().splitlines()] for end in ends]
    assert timeless[0] == timeless[1]


def same_arrays(found, wanted):
    assert set(found) == set(wanted)
    for name, value in wanted.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def wait_for(condition, process):
    """Wait until it holds, or the process has ended."""
    until = time.monotonic() + 240
    while not condition() and process.poll() is None:
        assert time.monotonic() < until
        time.sleep(0.0005)


def go_on(folder, program, output, more=""):
    """Resume a run, or start it again where it left nothing, until its end."""
    label = RUNS[program][1]
    whole = list((folder / output / f"{label}_snapshot").glob("0*/state.json"))
    assert start(folder, program, output, f"{more} {'--resume' if whole else ''}").wait(280) == 0
    same_end(folder, program, output)


def ended(folder, program, output):
    """Whether a run has written all that it ends with: its last snapshot comes behind its last checkpoint."""
    run = folder / output / RUNS[program][1]
    snapshot = load_snapshot(f"{run}_snapshot") if Path(f"{run}_ep-{EPOCHS:04d}.params").exists() else None
    return snapshot is not None and snapshot.state["epoch"] == EPOCHS


def lines(path):
    return len(path.read_bytes().splitlines()) if path.exists() else 0


def reported(path, reports):
    """Whether a run has so many reports."""
    return lines(path) >= reports


def moments(folder, program, output):
    """{name: condition}: moments at which to kill."""
    run = folder / output / RUNS[program][1]
    return {
        "inside an epoch": lambda: lines(Path(f"{run}.jsonl")) >= 7,
        "while a snapshot is written": lambda: lines(Path(f"{run}.jsonl")) >= 3 and any(
            Path(f"{run}_snapshot").glob(".part-*/parameters.params")),
        "at the start": lambda: Path(f"{run}.log").exists(),
    }


@pytest.mark.parametrize("program, kind, moment", [
    ("ilsvrc", "thread", "inside an epoch"), ("voc", "process", "while a snapshot is written"),
    ("ilsvrc", "process", "at the start")])
def test_a_run_that_is_killed_ends_with_the_same_bits(folder, program, kind, moment):
    output, more = f"{program}-{kind}", f"--prefetcher {kind} --prefetch-threads 2 --snapshot-minutes 0"
    process = start(folder, program, output, more)
    wait_for(moments(folder, program, output)[moment], process)
    process.kill()
    assert process.wait(60) == -signal.SIGKILL
    go_on(folder, program, output, more)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", ["thread", "process"])
@pytest.mark.parametrize("program", sorted(RUNS))
def test_runs_killed_at_random_moments_end_with_the_same_bits(folder, program, kind):
    chance, killed = random.Random(f"{program} {kind}"), 0
    for number in range(SLOW_MOMENTS // 4):  # two kills each, with threads and with processes
        output, more = f"{program}-{kind}-{number}", f"--prefetcher {kind} --snapshot-minutes 0"
        for _ in range(2):  # the second time, the run that goes on is killed
            began = bool(list((folder / output).glob("*_snapshot/0*/state.json")))
            process = start(folder, program, output, more + (" --resume" if began else ""))
            reports = chance.choice((0, *range(REPORTS)))  # of this run and those before: the start counts twice
            wait_for(partial(reported, folder / output / f"{RUNS[program][1]}.jsonl", reports), process)
            time.sleep(chance.uniform(0, 0.3 if reports else 4))
            process.kill()
            killed += process.wait(60) == -signal.SIGKILL
            if ended(folder, program, output):
                break
        else:
            go_on(folder, program, output, more)
            continue
        same_end(folder, program, output)
    assert killed >= SLOW_MOMENTS // 4


@pytest.mark.parametrize("program, number, more", [
    ("voc", signal.SIGTERM, ""), ("ilsvrc", signal.SIGINT, ""), ("voc", signal.SIGHUP, ""),
    ("ilsvrc", signal.SIGTERM, "--prefetcher process --prefetch-threads 2")])
def test_a_signal_writes_a_snapshot_and_ends_the_run(folder, program, number, more):
    """Batch systems, `timeout` and terminals signal all processes of a group: those that read go on reading."""
    output = f"{program}-{number.name}{len(more)}"
    run = folder / output / RUNS[program][1]
    process = start(folder, program, output, more)
    wait_for(lambda: lines(Path(f"{run}.jsonl")) >= 7, process)  # the second of five reports of the second epoch
    os.killpg(process.pid, number)
    assert process.wait(60) == 128 + number
    said = (folder / f"{output}.err").read_text().splitlines()[-1]
    assert f"stopped by {number.name} after epoch 2" in said and "--resume" in said
    stopped_in_the_second_epoch(run)
    go_on(folder, program, output, more)


def stopped_in_the_second_epoch(run):
    """Assert where the snapshot of a run is."""
    state = load_snapshot(f"{run}_snapshot").state
    assert state["epoch"] == 1 and state["batch"] >= 4 or state["epoch"] == 2


def test_a_lost_terminal_writes_a_snapshot(folder):
    """A terminal that is closed sends SIGHUP, and what is written there afterwards is an error."""
    output, (ours, theirs) = "terminal", pty.openpty()
    run = folder / output / RUNS["voc"][1]
    process = start(folder, "voc", output, stdin=theirs, stdout=theirs, stderr=theirs,
                    preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
    os.close(theirs)
    reading = threading.Thread(target=read_to_the_end, args=(ours, lambda: lines(Path(f"{run}.jsonl")) >= 7))
    reading.start()
    reading.join(240)
    assert process.wait(60) == 128 + signal.SIGHUP
    stopped_in_the_second_epoch(run)
    assert "stopped by SIGHUP" in Path(f"{run}.log").read_text()


def read_to_the_end(terminal, enough):
    """Read what comes from a terminal until it is enough, then close it."""
    while not enough():
        if select.select([terminal], [], [], 0.01)[0]:
            os.read(terminal, 4096)
    os.close(terminal)


def test_a_snapshot_that_cannot_be_written_leaves_the_one_before(folder):
    """The folder refuses new files after the first epoch, as one on a full or read-only disk does."""
    output = "refused"
    run = folder / output / RUNS["ilsvrc"][1]
    process = start(folder, "ilsvrc", output, "--snapshot-minutes 0")
    snapshots = Path(f"{run}_snapshot")
    wait_for(lambda: lines(Path(f"{run}.jsonl")) >= 7, process)
    moved = folder / "moved"
    os.rename(snapshots, moved)
    snapshots.write_text("no folder")
    assert process.wait(60) == 1
    assert "_snapshot" in (folder / f"{output}.err").read_text().splitlines()[-1]
    snapshots.unlink()
    os.rename(moved, snapshots)
    go_on(folder, "ilsvrc", output)
