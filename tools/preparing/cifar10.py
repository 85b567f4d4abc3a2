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
from collections import Counter
from typing import List

import numpy as np
from PIL import Image
from tqdm import tqdm

from ademxapp.cli import UsageError
from ademxapp.data.images import read_bytes
from iclass.datasets import DATASETS

from .common import Candidate, Preparation, Split, in_class_folders, lines_of

RECORD = DATASETS["cifar10"]
BATCHES = {"train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)), "val": ("test_batch.bin",)}
BYTES = 1 + 3 * 32 * 32  # of an image: its class, then its red, green and blue rows


def splits(asked: Preparation) -> List[Split]:
    """The splits train and val."""
    root, meta = asked.root, os.path.join(asked.root, "batches.meta.txt")
    if asked.has("data_batch_1.bin"):
        names = tuple(line for line, _ in lines_of("", meta)) if os.path.isfile(meta) else RECORD.class_names
        if names != RECORD.class_names:
            raise ValueError(f"{meta} has the classes {', '.join(names)}; those of CIFAR-10 are "
                             f"{', '.join(RECORD.class_names)}")
        return [unpacked(root, name) for name in BATCHES]
    if asked.has("data_batch_1") and not asked.has("train"):
        raise UsageError(f"--root {root} is the Python version of CIFAR-10, whose files are pickles and are not opened "
                         "here: download the binary version, cifar-10-binary.tar.gz")  # pickles can run anything
    return [in_class_folders(root, name, RECORD) for name in BATCHES]


def unpacked(root: str, name: str) -> Split:
    """A split of the binary version, written as images unless it is there; its folder appears with all of them."""
    images = np.concatenate([read_batch(os.path.join(root, file)) for file in BATCHES[name]])
    counts, paths = Counter(), []  # numbered within each class, in the order of the batches
    for class_id in images[:, 0]:
        paths.append(f"{RECORD.class_names[class_id]}/{counts[class_id]:04}.png")
        counts[class_id] += 1
    final, temporary = (os.path.join(root, "png", folder) for folder in (name, f".part-{name}"))
    if not os.path.isdir(final):
        shutil.rmtree(temporary, ignore_errors=True)  # of a run that was broken off
        for own in RECORD.class_names:
            os.makedirs(os.path.join(temporary, own))
        for path, image in zip(tqdm(paths, unit="image", desc=f"writing {name}", disable=None), images):
            pixels = image[1:].reshape(3, 32, 32).transpose(1, 2, 0)
            Image.fromarray(np.ascontiguousarray(pixels)).save(os.path.join(temporary, path))
        os.rename(temporary, final)
    return Split(name, RECORD, [Candidate(root, f"png/{name}/{path}", int(one[0])) for path, one in zip(paths, images)])


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
