"""Images per second of reading for training, in turns with the straightforward way of `plain_reading`."""
import os
from pathlib import Path

import cv2
import numpy as np

from ademxapp.cli import UsageError, existing_file, number
from ademxapp.data.lists import IMAGE_EXTENSIONS, Sample, read_classification_list, read_segmentation_list
from ademxapp.data.worker import BatchMemory, load_sample
from ademxapp.symbol import network
from iclass.data import TrainImages
from issegm.data import TrainCrops
from issegm.datasets import DATASETS
from tools.benchmarks.comparison import Comparison, in_turns, show
from tools.benchmarks.plain_reading import PlainCrops, PlainImages

ASKED = {"classification": 3.5, "segmentation": 3.0}
AGAINST = "Pillow and NumPy in float64"
CROPS = {"classification": 224, "segmentation": 504}
STRIDE = 8
PHOTOGRAPHS, SCENES = "ilsvrc_samples", "cityscapes"  # below ADEMXAPP_DATA
TURN = {"classification": 83, "segmentation": 4}  # images; a turn takes about a second
GREY_LEVELS = 1.0  # that crops may differ by, on average


def add_arguments(command):
    """The arguments of `reading`."""
    command.add_argument("--task", choices=sorted(ASKED), help="what is read (both)")
    command.add_argument("--root", metavar="DIR", help="where the list's paths start (the samples below ADEMXAPP_DATA)")
    command.add_argument("--list", type=existing_file, metavar="FILE", help="list of images; with --task")
    command.add_argument("--dataset", default="cityscapes", choices=sorted(DATASETS), help="whose labels they are, in "
                         "segmentation; its largest side is the size to which the images are resized")
    command.add_argument("--crop", type=number(int, 8), metavar="PIXELS", help="side of the crops (224; 504)")
    command.add_argument("--seconds", type=number(float, 0), default=30, help="to measure each task")


def measure(args):
    """Measure the tasks, and hold the crops against the reference's."""
    if (args.list is None) != (args.root is None) or (args.list and args.task is None):
        raise UsageError("--list, --root and --task go together")
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        found = [compare(task, args) for task in ([args.task] if args.task else sorted(ASKED))]
    finally:
        cv2.setNumThreads(threads)
    show(found, args)


def compare(task, args):
    """The `Comparison` of one task."""
    what, fast, plain = make_datasets(task, args)
    rates = in_turns([reader(fast, TURN[task]), reader(plain, TURN[task])], args.seconds)
    levels, labels = differences(fast, plain, min(len(fast), TURN[task]))
    remark = (f"on average crops differ by {levels.mean():.2f} grey levels (promised: {GREY_LEVELS:g}), the worst by "
              f"{levels.max():.2f}")
    if task == "segmentation":
        remark += f", labels in {100 * labels.mean():.2f} % of the cells"
    return Comparison(what, AGAINST, *rates, ASKED[task], remark)


def make_datasets(task, args):
    """What is measured (str), the dataset that training uses, and the plain one."""
    settings, crop = network("rna-a1").input, args.crop or CROPS[task]
    if task == "classification":
        samples = read_classification_list(args.list, args.root) if args.list else photographs()
        return (f"reading for classification, {len(samples)} images, crops of {crop}",
                TrainImages(samples, crop, settings), PlainImages(samples, crop, settings))
    samples = read_segmentation_list(args.list, args.root) if args.list else scenes()
    samples = [sample for sample in samples if sample.label_image]
    record = DATASETS[args.dataset]
    common = samples, record, settings, STRIDE, crop // STRIDE * STRIDE, record.largest_side
    return (f"reading for segmentation, {len(samples)} images, {record.name}, crops of {crop // STRIDE * STRIDE}",
            TrainCrops(*common), PlainCrops(*common))


def photographs():
    """Samples of photographs, below ADEMXAPP_DATA."""
    folder = data_folder(PHOTOGRAPHS)
    return [Sample(str(folder), path.name, 0) for path in sorted(folder.iterdir())
            if path.suffix.lower() in IMAGE_EXTENSIONS]


def scenes():
    """Samples of street scenes in the layout of Cityscapes, below ADEMXAPP_DATA."""
    folder = data_folder(SCENES)
    images = sorted(path.relative_to(folder) for path in folder.glob("leftImg8bit/*/*/*_leftImg8bit.png"))
    return [Sample(str(folder), str(image), label_image=str(Path(
        "gtFine", *image.parts[1:-1], image.name.replace("leftImg8bit", "gtFine_labelIds")))) for image in images]


def data_folder(name):
    """A folder of sample images."""
    folder = Path(os.environ.get("ADEMXAPP_DATA", "")) / name
    if "ADEMXAPP_DATA" not in os.environ or not folder.is_dir():
        raise UsageError(f"no images to read: set the environment variable ADEMXAPP_DATA to a folder with {name}, or "
                         "give --task, --root and --list")
    return folder


def reader(dataset, images):
    """A way for `in_turns`: reads `images` samples into a batch, others in each turn, and returns how many."""
    memory = BatchMemory(1, 1, dataset.data_shape, dataset.label_shape)

    def read(turn):
        for i in range(turn * images, (turn + 1) * images):
            load_sample(dataset, memory, 0, 0, 0, i // len(dataset), i % len(dataset))
        return images
    return read


def differences(fast, plain, images, epochs=3):
    """Mean absolute difference of each crop, in grey levels, and the share of its labels that differ (arrays)."""
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
