"""Lists of ILSVRC's length: time and memory to read them, and to the first batch with threads and with processes.

Lines and records are as many as ILSVRC's training set has; the files that the lines name are few, and the records hold
images of a few pixels: what is measured is what comes before and around their decoding.
"""
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Dict, Iterator, List

import numpy as np
from PIL import Image

from ademxapp.cli import Parser, number
from ademxapp.data.images import read_bytes, write_png
from ademxapp.data.lists import read_classification_list
from ademxapp.data.loader import Loader
from ademxapp.data.records import HEADER, contents_record, frame, index_text, read_records
from ademxapp.symbol import network
from iclass.data import TrainImages

from .comparison import Comparison

ROOT = Path(__file__).resolve().parents[2]
LINES, CLASSES, IMAGES = 1_281_167, 1000, 100
WORKERS, BATCH, SEED = 8, 256, 0
SIDE = 8  # pixels of the images in records
LIST_SECONDS, LIST_MIB, BATCH_SECONDS, PROCESSES_MIB = 3.0, 250, 5.0, 2048


def add_arguments(command: Parser) -> None:
    """The arguments of `lists`."""
    command.add_argument("--lines", type=number(int, BATCH), default=LINES, help="of the list")
    command.add_argument("--turns", type=number(int, 1), default=3, help="of each measurement")


def measure(lines: int, turns: int) -> List[Comparison]:
    """Measure reading and first batches, of a list and of records, each in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        write_list(folder, lines)
        write_records(folder, lines)
        return [one for source in ("list", "records") for one in of_source(source, folder, lines, turns)]


def of_source(source: str, folder: str, lines: int, turns: int) -> Iterator[Comparison]:
    """The `Comparison`s of a list or of records with the promised times; the remarks have the memory."""
    for kind in ("thread", "process"):
        found = [in_own_process(source, folder, kind) for _ in range(turns)]
        if kind == "thread":
            most = max(one["list_mib"] for one in found)
            yield promised(f"{source} of {lines:,} images: read", LIST_SECONDS, [one["list_seconds"] for one in found],
                           f"takes {most:.0f} MiB at its peak (asked: {LIST_MIB})")
        seconds = [one["batch_seconds"] for one in found]
        yield promised(f"{source} of {lines:,} images: first batch of {BATCH}, {WORKERS} {kind}"
                       f"{'es' if kind == 'process' else 's'}", BATCH_SECONDS, seconds,
                       f"the program and its processes have {max(one['all_mib'] for one in found):.0f} MiB then "
                       f"(asked: {PROCESSES_MIB})")


def promised(what: str, most: float, seconds: List[float], remark: str) -> Comparison:
    """A `Comparison` of how often per second something can be done with what is asked for."""
    took = f"{min(seconds):.2f} … {max(seconds):.2f} s"
    return Comparison(what, f"{most:g} seconds", tuple(1 / one for one in seconds), (1 / most,) * len(seconds), 1.0,
                      f"{took}; {remark}")


def in_own_process(source: str, folder: str, kind: str) -> Dict[str, float]:
    """What `first_batch` measures, in a new Python."""
    code = f"from tools.benchmarks.lists import first_batch; first_batch({source!r}, {folder!r}, {kind!r})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, stdout=subprocess.PIPE, encoding="utf-8")
    return json.loads(done.stdout)


def first_batch(source: str, folder: str, kind: str) -> None:
    """Read the list or the records, and a batch of them; print seconds and MiB."""
    before, start = peak_mib(), time.perf_counter()
    if source == "list":
        samples = read_classification_list(os.path.join(folder, "train.lst"), folder, CLASSES)
    else:
        samples = read_records(os.path.join(folder, "train"), CLASSES)
    found = {"list_seconds": time.perf_counter() - start, "list_mib": peak_mib() - before}
    start = time.perf_counter()
    dataset = TrainImages(samples, 224, network("rna-a1").input)
    with Loader(dataset, BATCH, shuffle=True, drop_last=True, seed=SEED, workers=WORKERS, kind=kind) as loader:
        next(loader)
        found["batch_seconds"] = time.perf_counter() - start
        found["all_mib"] = family_mib()
    print(json.dumps(found))


def peak_mib() -> float:
    """The most memory that this process has had."""  # resource's figure would be that of the process that started it
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def family_mib() -> float:
    """Memory of this process and its children: what several share counts once."""
    own = os.getpid()
    pids = [own, *map(int, Path(f"/proc/{own}/task/{own}/children").read_text().split())]
    rolled = [Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines() for pid in pids]
    return sum(int(line.split()[1]) for lines in rolled for line in lines if line.startswith("Pss:")) / 1024


def write_list(folder: str, lines: int) -> None:
    """A list of so many lines, with paths as long as ILSVRC's, that name few images of its size."""
    rng = np.random.default_rng(0)
    names = [f"train/n{image:08d}/n{image:08d}_{image:04d}.JPEG" for image in range(IMAGES)]
    for name in names:
        os.makedirs(os.path.join(folder, os.path.dirname(name)))
        pixels = rng.integers(0, 256, (24, 32, 3)).astype(np.uint8)
        Image.fromarray(pixels).resize((500, 375)).save(os.path.join(folder, name))
    with open(os.path.join(folder, "train.lst"), "w", encoding="utf-8") as out:
        out.writelines(f"{i}\t{i * CLASSES // lines}\t{names[i % IMAGES]}\n" for i in range(lines))


def write_records(folder: str, lines: int) -> None:
    """Records of so many images, all of the same few pixels."""
    path = os.path.join(folder, "pixels.png")
    write_png(path, np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8))
    image = read_bytes(path)
    record = frame(HEADER.pack(0, 0, 0, len(image)) + image)
    kind = np.dtype([("frame", "V12"), ("class", "<f4"), ("number", "<u8"), ("rest", f"V{len(record) - 24}")])
    records = np.repeat(np.frombuffer(record, kind), lines)
    records["number"], classes = np.arange(lines), np.arange(lines) * CLASSES // lines
    records["class"] = classes
    places = range(0, lines * len(record), len(record))
    rows = [(place, (str(class_id), f"train/n{class_id:08d}/n{class_id:08d}_{number}.JPEG"))
            for number, (place, class_id) in enumerate(zip(places, classes.tolist()))]
    with open(os.path.join(folder, "train.rec"), "wb") as out:
        out.write(records.tobytes())
        out.write(frame(contents_record({"task": "classification"}, rows, lines * len(record))))
    with open(os.path.join(folder, "train.idx"), "w", encoding="ascii") as out:
        out.write(index_text(places))
