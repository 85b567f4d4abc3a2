"""Images and labels of one's own, described by a --dataset-file.

    <root>/
      images/
        train/*
        val/*              [optional] and test, which needs no labels
      labels/
        train/*.png
        val/*.png          [with images/val]

A label is a PNG with one index per pixel, grey or with a palette, named as its image; one in RGB is converted by the
colours, exactly, below <root>/labels-by-colours. Pixels are taken as they are stored: images that cameras noted to be
turned (EXIF orientation) are told. The file is YAML:

    class_names: [grass, path, plant]
    label_ids: [1, 2, 3]                                  # in the label images; by default 0, 1, 2
    ignored_ids: [0, 255]                                 # by default 255
    colours: [[0, 0, 0], [0, 200, 0], [90, 90, 90], [200, 0, 0]]   # of the values 0, 1, …; by default VOC's
    largest_side: 640                                     # by default 500

The dataset is called as the root's folder is, in small letters and with '-' for what no label can have (My_Garden:
my-garden), or as --name says; so are its lists' folder and the runs' labels.
"""
import os
from dataclasses import dataclass, replace
from functools import partial
from typing import Dict, Iterator, Tuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from ademxapp.cli import existing_file
from ademxapp.data.class_folders import class_folders, composed
from ademxapp.data.dataset_file import read_dataset_file
from ademxapp.data.images import decode_rgb, read_bytes, stem
from ademxapp.files import read_yaml
from ademxapp.flags import flag
from issegm.datasets import SegmentationDataset

from .common import NO_IMAGES, OwnPreparation, Split, dataset_name, image_names, images_of, note

CONVERTED = "labels-by-colours"
Colour = Tuple[int, int, int]


@dataclass(frozen=True)
class Settings(OwnPreparation):
    """The description of the dataset, and its name."""

    dataset_file: str = flag("the dataset's classes, label ids, colours", required=True, type=existing_file,
                             metavar="YAML")


def splits(asked: Settings) -> Iterator[Split]:
    """A split for each folder of images."""
    values = read_yaml(asked.dataset_file)
    name = dataset_name(asked, values.get("name") if isinstance(values, dict) else None)
    record = read_dataset_file(asked.dataset_file, SegmentationDataset, name)
    for folder in class_folders(os.path.join(asked.root, "images")):
        yield split_of(asked, folder, record)


def split_of(asked: Settings, name: str, record: SegmentationDataset) -> Split:
    """The images in a folder, with the labels called as they are, if there are any; those in colours are converted."""
    samples, highest = images_of(asked.root, f"images/{name}"), max(record.label_ids)
    notes = note(NO_IMAGES, image_names(os.path.join(asked.root, "images", name))[1])
    if record.colours is not None and len(record.colours) <= highest:
        notes.insert(0, f"colours: {len(record.colours)}, of the values 0 … {len(record.colours) - 1}, but label_ids "
                     f"go up to {highest}: colours are those of the label images' values, counted from 0; VOC's follow")
    if not asked.has(f"labels/{name}"):
        return Split(name, record, samples, notes)
    files = [label.image for label in images_of(asked.root, f"labels/{name}")]
    labels = {composed(stem(file)): file for file in sorted(files, key=lambda file: file.lower().endswith(".png"))}
    samples = [replace(sample, label_image=labels.get(
        composed(stem(sample.image)), f"labels/{name}/{stem(sample.image)}.png")) for sample in samples]  # missing
    coloured = {sample.label_image for sample in samples if not asked.no_decode and is_coloured(sample.label_path)}
    known = colour_values(record) if coloured else {}
    used: Dict[str, str] = {}
    for sample in samples:
        other = used.setdefault(sample.label_image, sample.image)
        if other != sample.image:
            raise ValueError(f"{os.path.join(asked.root, other)} and {os.path.basename(sample.image)} have one label, "
                             f"{sample.label_image}: rename one of them, and give it a label of its own")
    notes += note("labels that have no image", [label for label in labels.values() if label not in used])
    notes += note("labels of the same name as another, left out", sorted(set(files) - set(labels.values())))
    if coloured:
        notes.append(f"labels in colours, made indices in {CONVERTED}/{name}: {len(coloured)}")
        samples = [replace(sample, label_image=f"{CONVERTED}/{name}/{stem(sample.label_image)}.png",
                           make=partial(values_of_colours, sample.label_path, known))
                   if sample.label_image in coloured else sample for sample in samples]
    return Split(name, record, samples, notes, afresh=True)


def is_coloured(path: str) -> bool:
    """Whether a label image has colours and no indices, by its header; False where it cannot be read."""
    try:
        with Image.open(path) as image:
            return image.mode in ("RGB", "RGBA") and image.format != "JPEG"
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError):
        return False


def colour_values(record: SegmentationDataset) -> Dict[Colour, int]:
    """{colour: label value} of the classes and of what does not count; ValueError where colours do not tell classes."""
    if record.colours is not None and len(record.colours) <= max(record.label_ids):
        raise ValueError(f"colours: {len(record.colours)}, but label_ids go up to {max(record.label_ids)}: labels in "
                         "colours are converted by the colour of each label id, counted from 0")
    found: Dict[Colour, int] = {}
    for value in (*record.label_ids, *record.ignored_ids):
        colour = tuple(map(int, record.palette[value]))
        if colour in found and value in record.label_ids:
            raise ValueError(f"colours: {colour} is that of the label ids {found[colour]} and {value}: labels in "
                             "colours cannot be told apart")
        found.setdefault(colour, value)
    return found


def values_of_colours(path: str, known: Dict[Colour, int]) -> np.ndarray:
    """The label map, (H, W) uint8, of an image in the colours of `known`; ValueError names the first other pixel."""
    pixels = decode_rgb(read_bytes(path), path)
    with Image.open(path) as image:
        clear = np.argwhere(np.array(image.getchannel("A")) < 255) if image.mode == "RGBA" else ()
    if len(clear):
        row, column = clear[0]
        raise ValueError(f"{path} is transparent at column {column}, row {row}: labels have a colour everywhere")
    codes = pixels.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)
    table = np.array(sorted(((r << 16) + (g << 8) + b, value) for (r, g, b), value in known.items()))
    places = np.searchsorted(table[:, 0], codes).clip(0, len(table) - 1)
    wrong = np.argwhere(table[places, 0] != codes)
    if len(wrong):
        row, column = wrong[0]
        raise ValueError(f"{path} has the colour {tuple(map(int, pixels[row, column]))} at column {column}, row {row}, "
                         f"which no class has ({len(wrong):,} such pixels in all): labels must have exactly the "
                         "dataset's colours, without smooth edges")
    return table[places, 1].astype(np.uint8)
