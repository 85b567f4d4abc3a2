"""Reading for training: images per second, and lists of ILSVRC's length.

The straightforward way that the images are read beside is Pillow, and NumPy in float64: with the same random numbers it
(`PlainImages`, `PlainCrops`) gives the crops of `iclass.datasets` and `issegm.datasets`, to within rounding: a
reference for their speed and their contents. Lists have as many lines, and records as many images, as ILSVRC's training
set; the files that the lines name are few, and the records hold images of a few pixels: what is measured is what comes
before and around their decoding.
"""
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from functools import partial
from itertools import count, islice, product
from pathlib import Path
from typing import Iterator, List, Optional, Sequence, Tuple, Union

import cv2
import numpy as np
from PIL import Image

from ademxapp import IGNORE_LABEL
from ademxapp.cli import UsageError, existing_file, number
from ademxapp.data.images import read_bytes, write_png
from ademxapp.data.lists import IMAGE_EXTENSIONS, Sample, read_classification_list, read_segmentation_list
from ademxapp.data.loader import BatchMemory, Loader, load_sample
from ademxapp.data.records import HEADER, contents_record, frame, index_text, read_records
from ademxapp.data.transforms import GREY, LIGHTING_VALUES, LIGHTING_VECTORS, choose_filter, random_sized_crop
from ademxapp.flags import flag
from ademxapp.symbol import network
from iclass.datasets import TrainImages
from issegm.datasets import DATASETS, TrainCrops

from .comparison import Comparison, in_turns

ASKED = {"classification": 3.5, "segmentation": 3.0}
CROPS = {"classification": 224, "segmentation": 504}
STRIDE = 8
PHOTOGRAPHS, SCENES = "ilsvrc_samples", "cityscapes"  # below ADEMXAPP_DATA
TURN = {"classification": 83, "segmentation": 4}  # images; a turn takes about a second
GREY_LEVELS = 1.0  # that crops may differ by, on average
Dataset = Union[TrainImages, TrainCrops]
JITTER, LIGHTING = 0.4, 0.1
ROOT = Path(__file__).resolve().parents[2]
LINES, CLASSES, IMAGES = 1_281_167, 1000, 100  # of lists
WORKERS, BATCH, SEED = 8, 256, 0
SIDE = 8  # pixels of the images in records
PEAK = "self/status", "VmHWM"  # of memory; resource's figure would be that of the process that started this one
LIST_SECONDS, LIST_MIB, BATCH_SECONDS, PROCESSES_MIB = 3.0, 250, 5.0, 2048


def reading(task: Optional[str] = flag("what is read (both)", choices=sorted(ASKED)),
            root: Optional[str] = flag("where the list's paths start (the samples below ADEMXAPP_DATA)", metavar="DIR"),
            list: Optional[str] = flag("list of images; with --task", type=existing_file, metavar="FILE"),
            dataset: str = flag("whose labels they are, in segmentation; its largest side is the size to which the "
                                "images are resized", "cityscapes", choices=sorted(DATASETS)),
            crop: Optional[int] = flag("side of the crops (224; 504)", type=number(int, 8), metavar="PIXELS"),
            seconds: float = flag("to measure each task", 30, type=number(float, 0))) -> List[Comparison]:
    """Images per second of processor time that training's samples take, beside a straightforward way with Pillow and
    NumPy that makes the same crops; both in turns, on one core.
    """
    if (list is None) != (root is None) or (list and task is None):
        raise UsageError("--list, --root and --task go together")
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        return [compare(one, samples_of(one, list, root), dataset, crop or CROPS[one], seconds)
                for one in ([task] if task else sorted(ASKED))]
    finally:
        cv2.setNumThreads(threads)


def compare(task: str, samples: Sequence[Sample], dataset: str, crop: int, seconds: float) -> Comparison:
    """The `Comparison` of the dataset that training uses for a task with the plain one."""
    settings, record = network("rna-a1").input, DATASETS[dataset]
    if task == "classification":
        what, kinds, given = "", (TrainImages, PlainImages), (samples, crop, settings)
    else:
        crop = crop // STRIDE * STRIDE
        what, kinds = f"{record.name}, ", (TrainCrops, PlainCrops)
        given = samples, record, settings, STRIDE, crop, record.largest_side
    fast, plain = (kind(*given) for kind in kinds)
    rates = in_turns([partial(read, one, TURN[task], count()) for one in (fast, plain)], TURN[task], seconds)
    levels, labels = differences(fast, plain, min(len(fast), TURN[task]))
    remark = (f"on average crops differ by {levels.mean():.2f} grey levels (promised: {GREY_LEVELS:g}), the worst by "
              f"{levels.max():.2f}")
    if task == "segmentation":
        remark += f", labels in {100 * labels.mean():.2f} % of the cells"
    return Comparison(f"reading for {task}, {len(samples)} images, {what}crops of {crop}",
                      "Pillow and NumPy in float64", *rates, ASKED[task], remark)


def samples_of(task: str, path: Optional[str], root: Optional[str]) -> List[Sample]:
    """The samples of a list, or those below ADEMXAPP_DATA: photographs, or street scenes in Cityscapes' layout."""
    if task == "classification":
        if path:
            return read_classification_list(path, root)
        folder = data_folder(PHOTOGRAPHS)
        return [Sample(str(folder), path.name, 0) for path in sorted(folder.iterdir())
                if path.suffix.lower() in IMAGE_EXTENSIONS]
    if path:
        return [sample for sample in read_segmentation_list(path, root) if sample.label_image]
    folder = data_folder(SCENES)
    images = sorted(path.relative_to(folder) for path in folder.glob("leftImg8bit/*/*/*_leftImg8bit.png"))
    return [Sample(str(folder), str(image), label_image=str(Path(
        "gtFine", *image.parts[1:-1], image.name.replace("leftImg8bit", "gtFine_labelIds")))) for image in images]


def data_folder(name: str) -> Path:
    """A folder of sample images."""
    folder = Path(os.environ.get("ADEMXAPP_DATA", "")) / name
    if "ADEMXAPP_DATA" not in os.environ or not folder.is_dir():
        raise UsageError(f"no images to read: set the environment variable ADEMXAPP_DATA to a folder with {name}, or "
                         "give --task, --root and --list")
    return folder


def read(dataset: Dataset, images: int, places: Iterator[int]) -> None:
    """Read the samples of so many next places into a batch."""
    memory = BatchMemory(1, 1, dataset.data_shape, dataset.label_shape)
    for i in islice(places, images):
        load_sample(dataset, memory, 0, 0, 0, i // len(dataset), i % len(dataset))


def differences(fast: Dataset, plain: Dataset, images: int, epochs: int = 3) -> Tuple[np.ndarray, np.ndarray]:
    """Mean absolute difference of each crop, in grey levels, and the share of its labels that differ."""
    scale = 255 * np.asarray(plain.std)[:, None, None]
    levels, labels = [], []
    for epoch, index in np.ndindex(epochs, images):
        (data, label), (other_data, other_label) = (one.load(index, np.random.default_rng([1, epoch, index]))
                                                    for one in (fast, plain))
        levels.append((np.abs(data - other_data) * scale).mean())
        labels.append(np.mean(label != other_label))
    return np.array(levels), np.array(labels)


class PlainImages(TrainImages):
    """The same crops, to within rounding."""

    def load(self, index: int, rng: np.random.Generator) -> Tuple[np.ndarray, np.float32]:
        """A crop (3, crop, crop) float32 and its class id."""
        image = Image.open(self.samples[index].image_path).convert("RGB")
        box = random_sized_crop(rng, (image.height, image.width), self.areas)
        source = box[3] - box[1], box[2] - box[0]
        target = self.crop, self.crop
        image = image.resize(target, choose_filter(source, target, self.interpolation), box)
        pixels = np.asarray(image, np.float64) / 255
        for change in rng.permutation(3):
            factor = 1 + rng.uniform(-JITTER, JITTER)
            if change == 0:  # brightness
                other = np.zeros_like(pixels)
            elif change == 1:  # contrast
                other = np.full_like(pixels, grey_of(pixels).mean())
            else:  # saturation
                other = np.repeat(grey_of(pixels), 3, axis=2)
            pixels = factor * pixels + (1 - factor) * other
        pixels = pixels + (LIGHTING_VECTORS * LIGHTING_VALUES * rng.normal(0, LIGHTING, 3)).sum(1)
        pixels = (pixels / (1 + LIGHTING) - np.array(self.mean)) / np.array(self.std)
        if rng.integers(2) == 0:
            pixels = pixels[:, ::-1]
        return pixels.transpose(2, 0, 1).astype(np.float32), np.float32(self.samples[index].class_id)


class PlainCrops(TrainCrops):
    """The same crops, to within rounding, without jitter and crops over classes; files are not kept."""

    def load(self, index: int, rng: np.random.Generator) -> Tuple[np.ndarray, np.ndarray]:
        """A crop (3, crop, crop) float32 and the classes of its cells, float32."""
        image = Image.open(self.samples[index].image_path).convert("RGB")
        table, mean, std = np.full(256, IGNORE_LABEL), np.array(self.mean), np.array(self.std)
        table[list(self.record.label_ids)] = range(self.record.classes)
        classes = table[np.array(Image.open(self.samples[index].label_path))].astype(np.uint8)
        rate = round(self.origin_size * rng.uniform(*self.rates)) / max(image.size)
        width, height = round(image.width * rate), round(image.height * rate)
        image = image.resize((width, height), choose_filter(image.size, (width, height), self.interpolation))
        classes = np.asarray(Image.fromarray(classes).resize((width, height), Image.NEAREST))
        border, half = max(1, self.stride // 2), self.stride // 2
        spreads = [max(side + 2 * border - self.crop, self.stride) for side in (height, width)]
        top, left = (int(rng.integers(spread + 1)) for spread in spreads)
        shape = [spread + self.crop for spread in spreads]
        pixels, labels = np.empty((*shape, 3), np.float32), np.full(shape, IGNORE_LABEL, np.uint8)
        pixels[:] = np.floor(mean * 255)
        pixels[border:border + height, border:border + width] = image
        labels[border:border + height, border:border + width] = classes
        pixels = pixels[top:top + self.crop, left:left + self.crop]
        cells = labels[top:top + self.crop, left:left + self.crop][half::self.stride, half::self.stride]
        if rng.integers(2) == 0:
            pixels, cells = pixels[:, ::-1], cells[:, ::-1]
        pixels = (pixels.astype(np.float64) / 255 - mean) / std
        return pixels.transpose(2, 0, 1).astype(np.float32), cells.reshape(-1).astype(np.float32)


def grey_of(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3) as (H, W, 1)."""
    return (pixels * GREY).sum(2, keepdims=True)


def lists(lines: int = flag("of the list", LINES, type=number(int, BATCH)),
          turns: int = flag("of each measurement", 3, type=number(int, 1))) -> List[Comparison]:
    """Time and memory to read a list, and records, as long as ILSVRC's, and to the first batch of them, each in its own
    process.
    """
    comparisons = []
    with tempfile.TemporaryDirectory() as folder:
        write_list(folder, lines)
        write_records(folder, lines)
        for source, kind in product(("list", "records"), ("thread", "process")):
            code = f"from tools.benchmarks.reading import first_batch; first_batch({source!r}, {folder!r}, {kind!r})"
            texts = [subprocess.check_output([sys.executable, "-c", code], cwd=ROOT) for _ in range(turns)]
            found = {key: [json.loads(text)[key] for text in texts] for key in json.loads(texts[0])}
            what = f"{source} of {lines:,} images"
            if kind == "thread":
                comparisons.append(promised(f"{what}: read", LIST_SECONDS, found["list_seconds"], (
                    f"takes {max(found['list_mib']):.0f} MiB at its peak (asked: {LIST_MIB})")))
            comparisons.append(promised(
                f"{what}: first batch of {BATCH}, {WORKERS} {kind}{'es' if kind == 'process' else 's'}", BATCH_SECONDS,
                found["batch_seconds"], f"the program and its processes have {max(found['all_mib']):.0f} MiB then "
                                        f"(asked: {PROCESSES_MIB})"))
    return comparisons


def promised(what: str, most: float, seconds: Sequence[float], remark: str) -> Comparison:
    """A `Comparison` of how often per second something can be done with what is asked for."""
    took = f"{min(seconds):.2f} … {max(seconds):.2f} s"
    return Comparison(what, f"{most:g} seconds", tuple(1 / one for one in seconds), (1 / most,) * len(seconds), 1.0,
                      f"{took}; {remark}")


def first_batch(source: str, folder: str, kind: str) -> None:
    """Read the list or the records, and a batch of them; print seconds and MiB: what processes share counts once."""
    before, start = kibibytes(*PEAK), time.perf_counter()
    path = os.path.join(folder, "train")
    samples = (read_classification_list(f"{path}.lst", folder, CLASSES) if source == "list"
               else read_records(path, CLASSES))
    found = {"list_seconds": time.perf_counter() - start, "list_mib": (kibibytes(*PEAK) - before) / 1024}
    start = time.perf_counter()
    dataset = TrainImages(samples, 224, network("rna-a1").input)
    with Loader(dataset, BATCH, shuffle=True, drop_last=True, seed=SEED, workers=WORKERS, kind=kind) as loader:
        next(loader)
        found["batch_seconds"] = time.perf_counter() - start
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        found["all_mib"] = sum(kibibytes(f"{pid}/smaps_rollup", "Pss") for pid in ("self", *children)) / 1024
    print(json.dumps(found))


def kibibytes(path: str, name: str) -> int:
    """What a file of the system has under a name."""
    return int(re.search(rf"^{name}:\s+(\d+) kB", Path("/proc", path).read_text(), re.MULTILINE)[1])


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
