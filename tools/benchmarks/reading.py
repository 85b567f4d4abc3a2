"""Images per second of reading for training, in turns with a straightforward way: Pillow, and NumPy in float64.

With the same random numbers that (`PlainImages`, `PlainCrops`) gives the crops of `iclass.data` and `issegm.data`, to
within rounding: a reference for their speed and their contents.
"""
import os
from pathlib import Path
from typing import List, Optional, Sequence, Tuple, Union

import cv2
import numpy as np
from PIL import Image

from ademxapp import IGNORE_LABEL
from ademxapp.cli import Parser, UsageError, existing_file, number
from ademxapp.data.lists import IMAGE_EXTENSIONS, Sample, read_classification_list, read_segmentation_list
from ademxapp.data.resize import FILTERS, choose_filter
from ademxapp.data.transforms import GREY, LIGHTING_VALUES, LIGHTING_VECTORS, random_sized_crop
from ademxapp.data.worker import BatchMemory, load_sample
from ademxapp.symbol import network
from ademxapp.symbol.networks import InputSettings
from iclass.data import TrainImages
from issegm.data import TrainCrops
from issegm.datasets import DATASETS, SegmentationDataset

from .comparison import Comparison, Way, in_turns

ASKED = {"classification": 3.5, "segmentation": 3.0}
AGAINST = "Pillow and NumPy in float64"
CROPS = {"classification": 224, "segmentation": 504}
STRIDE = 8
PHOTOGRAPHS, SCENES = "ilsvrc_samples", "cityscapes"  # below ADEMXAPP_DATA
TURN = {"classification": 83, "segmentation": 4}  # images; a turn takes about a second
GREY_LEVELS = 1.0  # that crops may differ by, on average
Dataset = Union[TrainImages, TrainCrops, "PlainImages", "PlainCrops"]
JITTER, LIGHTING = 0.4, 0.1


def add_arguments(command: Parser) -> None:
    """The arguments of `reading`."""
    command.add_argument("--task", choices=sorted(ASKED), help="what is read (both)")
    command.add_argument("--root", metavar="DIR", help="where the list's paths start (the samples below ADEMXAPP_DATA)")
    command.add_argument("--list", type=existing_file, metavar="FILE", help="list of images; with --task")
    command.add_argument("--dataset", default="cityscapes", choices=sorted(DATASETS), help="whose labels they are, in "
                         "segmentation; its largest side is the size to which the images are resized")
    command.add_argument("--crop", type=number(int, 8), metavar="PIXELS", help="side of the crops (224; 504)")
    command.add_argument("--seconds", type=number(float, 0), default=30, help="to measure each task")


def measure(task: Optional[str], root: Optional[str], list: Optional[str], dataset: str, crop: Optional[int],
            seconds: float) -> List[Comparison]:
    """Measure the tasks, and hold the crops against the reference's."""
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
    """The `Comparison` of one task."""
    what, fast, plain = make_datasets(task, samples, DATASETS[dataset], crop)
    rates = in_turns([reader(fast, TURN[task]), reader(plain, TURN[task])], seconds)
    levels, labels = differences(fast, plain, min(len(fast), TURN[task]))
    remark = (f"on average crops differ by {levels.mean():.2f} grey levels (promised: {GREY_LEVELS:g}), the worst by "
              f"{levels.max():.2f}")
    if task == "segmentation":
        remark += f", labels in {100 * labels.mean():.2f} % of the cells"
    return Comparison(what, AGAINST, *rates, ASKED[task], remark)


def samples_of(task: str, path: Optional[str], root: Optional[str]) -> List[Sample]:
    """The samples of a list, or those below ADEMXAPP_DATA."""
    if task == "classification":
        return read_classification_list(path, root) if path else photographs()
    samples = read_segmentation_list(path, root) if path else scenes()
    return [sample for sample in samples if sample.label_image]


def make_datasets(task: str, samples: Sequence[Sample], record: SegmentationDataset, crop: int
                  ) -> Tuple[str, Dataset, Dataset]:
    """What is measured, the dataset that training uses, and the plain one."""
    settings = network("rna-a1").input
    if task == "classification":
        return (f"reading for classification, {len(samples)} images, crops of {crop}",
                TrainImages(samples, crop, settings), PlainImages(samples, crop, settings))
    common = samples, record, settings, STRIDE, crop // STRIDE * STRIDE, record.largest_side
    return (f"reading for segmentation, {len(samples)} images, {record.name}, crops of {crop // STRIDE * STRIDE}",
            TrainCrops(*common), PlainCrops(*common))


def photographs() -> List[Sample]:
    """Samples of photographs, below ADEMXAPP_DATA."""
    folder = data_folder(PHOTOGRAPHS)
    return [Sample(str(folder), path.name, 0) for path in sorted(folder.iterdir())
            if path.suffix.lower() in IMAGE_EXTENSIONS]


def scenes() -> List[Sample]:
    """Samples of street scenes in the layout of Cityscapes, below ADEMXAPP_DATA."""
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


def reader(dataset: Dataset, images: int) -> Way:
    """A way for `in_turns`: reads `images` samples into a batch, others in each turn, and returns how many."""
    memory = BatchMemory(1, 1, dataset.data_shape, dataset.label_shape)

    def read(turn: int) -> int:
        for i in range(turn * images, (turn + 1) * images):
            load_sample(dataset, memory, 0, 0, 0, i // len(dataset), i % len(dataset))
        return images
    return read


def differences(fast: Dataset, plain: Dataset, images: int, epochs: int = 3) -> Tuple[np.ndarray, np.ndarray]:
    """Mean absolute difference of each crop, in grey levels, and the share of its labels that differ."""
    scale = 255 * np.asarray(plain.std)[:, None, None]
    levels, labels = [], []
    for i in range(images * epochs):
        pairs = []
        for dataset in (fast, plain):
            memory = BatchMemory(1, 1, dataset.data_shape, dataset.label_shape)
            load_sample(dataset, memory, 0, 0, 1, i // images, i % images)
            pairs.append((memory.data[0, 0], memory.labels[0, 0]))
        (data, label), (other_data, other_label) = pairs
        levels.append((np.abs(data - other_data) * scale).mean())
        labels.append((label != other_label).mean())
    return np.array(levels), np.array(labels)


class PlainImages:
    """As `iclass.data.TrainImages`, with the same parameters."""

    def __init__(self, samples: Sequence[Sample], crop: int, settings: InputSettings, interpolation: str = "adaptive",
                 areas: Tuple[float, float] = (0.08, 1.0)) -> None:
        self.samples, self.crop, self.interpolation, self.areas = samples, crop, interpolation, areas
        self.mean, self.std = np.array(settings.mean), np.array(settings.std)
        self.data_shape, self.label_shape = (3, crop, crop), ()

    def __len__(self) -> int:
        return len(self.samples)

    def describe(self, index: int) -> str:
        """The image's path."""
        return self.samples[index].image_path

    def load(self, index: int, rng: np.random.Generator) -> Tuple[np.ndarray, int]:
        """A crop (3, crop, crop) float32 and its class id."""
        image = Image.open(self.samples[index].image_path).convert("RGB")
        box = random_sized_crop(rng, (image.height, image.width), self.areas)
        source = box[3] - box[1], box[2] - box[0]
        image = image.resize((self.crop, self.crop), method(source, (self.crop, self.crop), self.interpolation), box)
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
        pixels = (pixels / (1 + LIGHTING) - self.mean) / self.std
        if rng.integers(2) == 0:
            pixels = pixels[:, ::-1]
        return pixels.transpose(2, 0, 1).astype(np.float32), self.samples[index].class_id


class PlainCrops:
    """As `issegm.data.TrainCrops`, with the same parameters; files are not kept."""

    def __init__(self, samples: Sequence[Sample], record: SegmentationDataset, settings: InputSettings, stride: int,
                 crop: int, origin_size: int, rates: Tuple[float, float] = (0.7, 1.3)) -> None:
        self.samples, self.stride, self.crop, self.origin_size, self.rates = samples, stride, crop, origin_size, rates
        self.mean, self.std, self.interpolation = np.array(settings.mean), np.array(settings.std), \
            settings.interpolation
        self.data_shape, self.label_shape = (3, crop, crop), ((crop // stride) ** 2,)
        self.table = np.full(256, IGNORE_LABEL)
        self.table[list(record.label_ids)] = range(record.classes)

    def __len__(self) -> int:
        return len(self.samples)

    def describe(self, index: int) -> str:
        """The image's path."""
        return self.samples[index].image_path

    def load(self, index: int, rng: np.random.Generator) -> Tuple[np.ndarray, np.ndarray]:
        """A crop (3, crop, crop) float32 and the classes of its cells, float32."""
        image = Image.open(self.samples[index].image_path).convert("RGB")
        classes = self.table[np.array(Image.open(self.samples[index].label_path))].astype(np.uint8)
        rate = round(self.origin_size * rng.uniform(*self.rates)) / max(image.size)
        width, height = round(image.width * rate), round(image.height * rate)
        image = image.resize((width, height), method(image.size, (width, height), self.interpolation))
        classes = np.asarray(Image.fromarray(classes).resize((width, height), Image.NEAREST))
        border = max(1, self.stride // 2)
        spreads = [max(side + 2 * border - self.crop, self.stride) for side in (height, width)]
        top, left = (int(rng.integers(spread + 1)) for spread in spreads)
        shape = [spread + self.crop for spread in spreads]
        pixels, labels = np.empty((*shape, 3), np.float32), np.full(shape, IGNORE_LABEL, np.uint8)
        pixels[:] = np.floor(self.mean * 255)
        pixels[border:border + height, border:border + width] = image
        labels[border:border + height, border:border + width] = classes
        pixels = pixels[top:top + self.crop, left:left + self.crop]
        cells = labels[top:top + self.crop, left:left + self.crop][self.stride // 2::self.stride,
                                                                  self.stride // 2::self.stride]
        if rng.integers(2) == 0:
            pixels, cells = pixels[:, ::-1], cells[:, ::-1]
        pixels = (pixels.astype(np.float64) / 255 - self.mean) / self.std
        return pixels.transpose(2, 0, 1).astype(np.float32), cells.reshape(-1).astype(np.float32)


def grey_of(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3) as (H, W, 1)."""
    return (pixels * GREY).sum(2, keepdims=True)


def method(source: Tuple[int, int], target: Tuple[int, int], interpolation: str) -> int:
    """Pillow's filter."""
    return choose_filter(source, target) if interpolation == "adaptive" else FILTERS[interpolation]
