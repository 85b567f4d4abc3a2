"""CIFAR-10: 60,000 images of 32x32 pixels in 10 classes, as the binary version or as folders of images.

    <root>/                     cifar-10-batches-bin, as cifar-10-binary.tar.gz unpacks,
      data_batch_1.bin          [unless train or data_batch_1] to data_batch_5.bin
      test_batch.bin            [unless train or data_batch_1]
      batches.meta.txt          [optional]
      train/<class>/            [unless data_batch_1.bin or data_batch_1] or folders of images: airplane to truck
      val/<class>/              [unless data_batch_1.bin or data_batch_1]

The binary version is written as PNG files below <root>/png first. The test batch is the split val.
"""
import os
import shutil
from typing import Iterable, List, Sequence

import numpy as np
from PIL import Image
from tqdm import tqdm

from ademxapp.cli import UsageError
from ademxapp.data.images import read_bytes
from ademxapp.data.lists import Sample
from iclass.datasets import DATASETS

from .common import Preparation, Split, lines_of
from .images import Images, in_class_folders

RECORD = DATASETS["cifar10"]
BATCHES = {"train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)), "val": ("test_batch.bin",)}
SIDE = 32
BYTES = 1 + 3 * SIDE * SIDE  # of an image: its class, then its red, green and blue rows


def splits(asked: Preparation) -> List[Split]:
    """The splits train and val."""
    kind, found = Images(RECORD.class_names, RECORD.splits), []
    if not os.path.isfile(os.path.join(asked.root, "data_batch_1.bin")):
        require_no_pickles(asked.root)
        ids = {name: class_id for class_id, name in enumerate(RECORD.class_names)}
        for name in BATCHES:
            samples, notes = in_class_folders(asked.root, name, ids)
            found.append(Split("cifar10", name, samples, kind, notes=notes))
        return found
    require_class_names(asked.root)
    for name, files in BATCHES.items():
        images = np.concatenate([read_batch(os.path.join(asked.root, file)) for file in files])
        paths = png_paths(name, images[:, 0])
        write_images(asked.root, name, paths, images)
        samples = [Sample(asked.root, path, int(class_id)) for path, class_id in zip(paths, images[:, 0])]
        found.append(Split("cifar10", name, samples, kind))
    return found


def require_no_pickles(root: str) -> None:
    """UsageError for the Python version, which is made of pickles: those can run anything when they are opened."""
    if os.path.isfile(os.path.join(root, "data_batch_1")) and not os.path.isdir(os.path.join(root, "train")):
        raise UsageError(f"--root {root} is the Python version of CIFAR-10, whose files are pickles and are not opened "
                         "here: download the binary version, cifar-10-binary.tar.gz")


def require_class_names(root: str) -> None:
    """ValueError if batches.meta.txt, where there is one, has other names than CIFAR-10's."""
    if os.path.isfile(os.path.join(root, "batches.meta.txt")):
        names = tuple(line for line, _ in lines_of(root, "batches.meta.txt"))
        if names != RECORD.class_names:
            raise ValueError(f"{os.path.join(root, 'batches.meta.txt')} has the classes {', '.join(names)}; those of "
                             f"CIFAR-10 are {', '.join(RECORD.class_names)}")


def read_batch(path: str) -> np.ndarray:
    """A file's images, (images, 3073) uint8: the class, then 32x32 pixels of each channel."""
    data = np.frombuffer(read_bytes(path), np.uint8)
    if not data.size or data.size % BYTES:
        raise ValueError(f"{path} has {data.size:,} bytes, wanted {BYTES:,} for each image (10,000 images: "
                         f"{10000 * BYTES:,} bytes): download it again")
    images = data.reshape(-1, BYTES)
    wrong = np.flatnonzero(images[:, 0] >= len(RECORD.class_names))
    if wrong.size:
        raise ValueError(f"{path}: image {wrong[0]} is of class {images[wrong[0], 0]}, wanted 0 to 9: is it CIFAR-10's "
                         "binary version?")
    return images


def png_paths(split: str, class_ids: Iterable[int]) -> List[str]:
    """Paths below the root of images of these classes: numbered within each class, in the order of the batches."""
    counts, paths = [0] * len(RECORD.class_names), []
    for class_id in class_ids:
        paths.append(f"png/{split}/{RECORD.class_names[class_id]}/{counts[class_id]:04}.png")
        counts[class_id] += 1
    return paths


def write_images(root: str, split: str, paths: Sequence[str], images: np.ndarray) -> None:
    """Write a split's images, unless they are there; its folder appears with all of them."""
    final = os.path.join(root, "png", split)
    if os.path.isdir(final):
        return
    temporary = os.path.join(root, "png", f".part-{split}")
    shutil.rmtree(temporary, ignore_errors=True)  # of a run that was broken off
    for name in RECORD.class_names:
        os.makedirs(os.path.join(temporary, name))
    for path, image in zip(tqdm(paths, unit="image", desc=f"writing {split}", disable=None), images):
        pixels = image[1:].reshape(3, SIDE, SIDE).transpose(1, 2, 0)
        Image.fromarray(np.ascontiguousarray(pixels)).save(os.path.join(temporary, *path.split("/")[2:]))
    os.rename(temporary, final)
