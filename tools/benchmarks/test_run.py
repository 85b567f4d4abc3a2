"""Whole test runs of both drivers, beside what of them cannot go: start-up, and the forward passes alone."""
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional, Tuple

from ademxapp.cli import Parser, UsageError, existing_file, number
from ademxapp.data.class_folders import scan_tree
from ademxapp.data.lists import Sample, write_classification_list, write_segmentation_list
from ademxapp.symbol import SymbolOptions, classification_symbol, parse_label, segmentation_symbol
from ademxapp.weights.parameters import parameter_shapes, save_parameters, start_afresh

from .comparison import Comparison
from .reading import data_folder

PARTS = f"{__package__}.test_run_parts"
ROOT = Path(__file__).resolve().parents[2]
ASKED = 1 / 1.25
SECONDS_TO_START = 4.0
TESTING = SymbolOptions(bn_use_global_stats=True)


@dataclass(frozen=True)
class Task:
    """A driver's test: its module, the weights' file, the dataset below ADEMXAPP_DATA, the size, images per batch."""

    module: str
    weights: str
    dataset: str
    scale: int
    batch: int


TASKS = {
    "segmentation": Task("issegm.voc", "camvid_rna-a1-w0.125_cls11_s8_ep-0055.params", "camvid", 600, 1),
    "classification": Task("iclass.ilsvrc", "imagenette128_rna-a1-w0.125_cls10_ep-0040.params", "imagenette128", 128,
                           10)}


def add_arguments(command: Parser) -> None:
    """The arguments of `test-run`."""
    command.add_argument("--task", choices=sorted(TASKS), help="which driver (both)")
    command.add_argument("--images", type=number(int, 1), help="in a test of segmentation; classification has 25 times "
                         "as many (default: all of val)")
    command.add_argument("--turns", type=number(int, 1), default=3, help="tests, each with its start-up and forward "
                         "passes alone, after one that does not count")
    command.add_argument("--weights", type=existing_file, metavar="FILE", help="of the task's network (those of "
                         "output/first-run, or random ones, which take as long)")


def measure(task: Optional[str], images: Optional[int], turns: int, weights: Optional[str]) -> List[Comparison]:
    """Measure the tasks."""
    if weights and not task:
        raise UsageError("--weights are of one network: give its --task too")
    return [one for name in ([task] if task else sorted(TASKS, reverse=True))
            for one in compare(name, images and images * (1 if name == "segmentation" else 25), turns, weights)]


def compare(name: str, most: Optional[int], turns: int, weights: Optional[str]) -> List[Comparison]:
    """Two `Comparison`s of a task: of the whole run, and of its start."""
    task = TASKS[name]
    images = len(samples_of(name)[:most])
    with tempfile.TemporaryDirectory() as folder:
        command = command_of(name, images, weights, folder)
        measured = [(whole_seconds(command), *parts_seconds(command, -(-images // task.batch)))
                    for _ in range(turns + 1)][1:]
    wholes, starts, forwards = zip(*measured)
    what = f"{name}: test of {images} images of {task.dataset}"
    return [
        Comparison(f"{what}, from the command to its end", "start-up to the first batch, and the forward passes alone",
                   tuple(images / whole for whole in wholes),
                   tuple(images / (start + forward) for start, forward in zip(starts, forwards)), ASKED,
                   "asked is at most 1.25 times the time; whole {:.1f} s, start-up {:.1f} s, forward {:.1f} s".format(
                       *map(statistics.median, (wholes, starts, forwards)))),
        Comparison(f"{what}: start-up to the first batch", f"{SECONDS_TO_START:g} seconds",
                   tuple(1 / start for start in starts), (1 / SECONDS_TO_START,) * len(starts), 1.0)]


def command_of(name: str, images: int, weights: Optional[str], folder: str) -> List[str]:
    """The test's command: module and arguments. Its list, its output and random weights are in `folder`."""
    task = TASKS[name]
    path, trained = os.path.join(folder, f"{name}.lst"), ROOT / "output" / "first-run" / task.weights
    write = write_segmentation_list if name == "segmentation" else write_classification_list
    write(path, samples_of(name)[:images])
    weights = weights or (str(trained) if trained.is_file() else random_weights(name, folder))
    return [task.module, "--phase", "val", "--weights", weights, "--data-root", str(data_folder(task.dataset)),
            "--split", "val", "--list", path, "--output", folder, "--overwrite", "--test-scales", str(task.scale),
            "--batch-images", str(task.batch)]


def samples_of(name: str) -> List[Sample]:
    """The val samples of a task; of classification, those of all classes in turns."""
    root = data_folder(TASKS[name].dataset)
    if name == "segmentation":
        pairs = (line.split() for line in (root / "val.txt").read_text().splitlines())
        return [Sample(str(root), image, label_image=label) for image, label in pairs]
    samples = scan_tree(str(root), "val", parse_label(TASKS[name].weights).classes)
    return sorted(samples, key=lambda sample: os.path.basename(sample.image)[::-1])


def random_weights(name: str, folder: str) -> str:
    """A file of random weights of the task's network."""
    path, label = os.path.join(folder, TASKS[name].weights), parse_label(TASKS[name].weights)
    symbol = segmentation_symbol(label, TESTING) if name == "segmentation" else classification_symbol(label, TESTING)
    save_parameters(path, start_afresh(parameter_shapes(symbol, data=(1, 3, 128, 128)), 0))
    return path


def whole_seconds(command: List[str]) -> float:
    """Seconds that a driver's process takes with a command, by the clock on the wall."""
    start = time.monotonic()
    run(["-c", f"from ademxapp.cli import run; run({command[0]!r})", *command[1:]])
    return time.monotonic() - start


def parts_seconds(command: List[str], batches: int) -> Tuple[float, float]:
    """Seconds from the start of a driver's process to its first batch, and of its forward passes alone.

    The process (`test_run_parts`) gets as far as the first batch, which then goes through its module again and again,
    from the binding on.
    """
    start = time.monotonic()
    found = json.loads(run(["-m", PARTS, str(batches), *command]).splitlines()[-1])
    return found["first_batch"] - start, found["forward"]


def run(words: List[str]) -> str:
    """What a Python process in the repository prints; ValueError with its errors if it fails."""
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(f"a test run failed: {' '.join(done.stderr.split())[-500:]}")
    return done.stdout
