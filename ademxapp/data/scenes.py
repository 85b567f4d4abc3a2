"""The generated dataset `demo`: drawn scenes with labels as in PASCAL VOC, and patches to classify.

It exists so that the whole path, from a list to a mean IoU, runs on a laptop within minutes without a
download. Colours are drawn anew for every object: the main one is of its class's hues, but those of its parts, and
of the backgrounds, are of any hue, so that a network has to learn shapes and textures too.

Every picture is a function of (seed, split, index) alone, given the versions of NumPy and OpenCV.

    rng = picture_rng(seed=0, split="val", index=3)
    image, label = draw_scene(rng)
    pairs = write_scenes("data/demo", palette, {"train": 360, "val": 60})
"""
import contextlib
import json
import os
import zlib
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

import cv2
import numpy as np
from PIL import Image
from tqdm import tqdm

from ademxapp import IGNORE_LABEL
from ademxapp.data.painting import DRAW, background
from ademxapp.files import read_json, replacing, write_json

# In alphabetical order, so that a folder-per-class tree yields the same class indices.
CLASSES = ("background", "ball", "crate", "house", "star", "tree")
SCENE_SIDES = (120, 168)  # shortest and longest side of a scene, in pixels
DRAWING_VERSION = 4  # in the stamps of written sets: to be raised with any change of a picture


def _window(start: int, length: int, limit: int) -> Tuple[slice, slice]:
    """The part of start..start+length within 0..limit, in the outer and in the inner frame."""
    low, high = max(start, 0), min(start + length, limit)
    return slice(low, high), slice(low - start, high - start)


def place(rng: np.random.Generator, image: np.ndarray, instances: np.ndarray, number: int, class_id: int, x: float,
          y: float, size: float) -> None:
    """Draw an object of about `size` pixels around (x, y) into the image and the map of instances."""
    half = size / 3.0
    near = image[max(int(y - half), 0):int(y + half) + 1, max(int(x - half), 0):int(x + half) + 1]
    rgba = DRAW[CLASSES[class_id]](rng, size, [near.mean((0, 1))])
    side = len(rgba)
    rows, from_rows = _window(int(round(y - side / 2)), side, instances.shape[0])
    columns, from_columns = _window(int(round(x - side / 2)), side, instances.shape[1])
    # A soft shadow to the lower right, then the object over it.
    shift = max(1, int(0.04 * size))
    shadow = np.roll(rgba[..., 3], (shift, shift), (0, 1))
    shadow = cv2.GaussianBlur(shadow, (0, 0), 0.03 * size + 1)[from_rows, from_columns, None]
    part = rgba[from_rows, from_columns]
    alpha = part[..., 3:] / np.float32(255)
    target = image[rows, columns]
    target *= (1 - alpha) * (1 - shadow * np.float32(0.4 / 255))
    target += part[..., :3]
    instances[rows, columns][alpha[..., 0] > 0.5] = number


def photograph(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Light, colour cast, blur and noise of a camera; float32 in 0..255 -> uint8."""
    height, width = image.shape[:2]
    angle, slope = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.3)
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    light = rng.uniform(0.7, 1.12) * (1 + slope * (np.cos(angle) * x + np.sin(angle) * y))
    cast = rng.uniform(0.92, 1.08, 3)
    image = image * (light[..., None] * cast).astype(np.float32)
    image = cv2.GaussianBlur(image, (5, 5), rng.uniform(0.2, 0.75))
    image += rng.uniform(2, 8) * rng.standard_normal(image.shape, np.float32)
    return np.clip(image + 0.5, 0, 255).astype(np.uint8)


def picture_rng(seed: int, split: str, *index: int) -> np.random.Generator:
    """The generator of one picture; numbers are not negative."""
    return np.random.default_rng([seed, zlib.crc32(split.encode()), *index])


def draw_scene(rng: np.random.Generator, size: Optional[Tuple[int, int]] = None) -> Tuple[np.ndarray, np.ndarray]:
    """Draw a scene of one to four objects of different classes, and its label.

    `size` is its height and width in pixels; by default each is drawn from `SCENE_SIDES`. Returns the image, (height,
    width, 3) uint8 RGB, and the label, (height, width) uint8: indices into `CLASSES`, or `IGNORE_LABEL` in a border of
    two pixels around every object.
    """
    height, width = rng.integers(*SCENE_SIDES, 2, endpoint=True).tolist() if size is None else size
    image = background(rng, height, width)
    count = int(rng.integers(1, 5))
    placed: List[Tuple[float, float, float, float, int]] = []  # foot, y, x, extent, class
    for class_id in 1 + rng.permutation(len(CLASSES) - 1)[:count]:
        for _ in range(12):
            extent = min(height, width) * rng.uniform(0.3, 0.74 - 0.06 * count)
            x = rng.uniform(0.38 * extent, width - 0.38 * extent)
            y = rng.uniform(0.38 * extent, height - 0.38 * extent)
            # Objects half the sum of their extents apart just touch: some are hidden in part, none wholly.
            if all(np.hypot(x - p[2], y - p[1]) > 0.37 * (extent + p[3]) for p in placed):
                placed.append((y + extent / 2, y, x, extent, class_id))
                break
    placed.sort()  # what stands lower stands in front
    instances = np.zeros((height, width), np.uint8)
    for number, (_, y, x, extent, class_id) in enumerate(placed, 1):
        place(rng, image, instances, number, class_id, x, y, extent)
    label = np.array([0] + [p[4] for p in placed], np.uint8)[instances]
    window = np.ones((3, 3), np.uint8)
    label[cv2.dilate(instances, window) != cv2.erode(instances, window)] = IGNORE_LABEL
    return photograph(rng, image), label


def cut_object(rng: np.random.Generator, class_id: int, size: int = 64) -> np.ndarray:
    """Draw a patch that one object dominates, a sample for classification: (size, size, 3) uint8 RGB.

    `class_id` is an index into `CLASSES`; ValueError if it is that of no object.
    """
    if not 1 <= class_id < len(CLASSES):
        raise ValueError(f"class_id is {class_id}, want 1 to {len(CLASSES) - 1}")
    image = background(rng, size, size)
    instances = np.zeros((size, size), np.uint8)
    x, y = size * rng.uniform(0.4, 0.6, 2)
    jobs = [(class_id, x, y, size * rng.uniform(0.6, 1.0))]
    if rng.random() < 0.5:  # part of another object, centred on the edge of the patch
        other = 1 + (class_id + rng.integers(len(CLASSES) - 2)) % (len(CLASSES) - 1)
        along, across = rng.uniform(0, 1), rng.integers(2)
        x, y = (along, across) if rng.random() < 0.5 else (across, along)
        jobs.insert(int(rng.random() < 0.3), (other, x * size, y * size, size * rng.uniform(0.4, 0.7)))
    for number, job in enumerate(jobs, 1):
        place(rng, image, instances, number, *job)
    return photograph(rng, image)


def write_scenes(root: str, palette: np.ndarray, counts: Dict[str, int], seed: int = 0
                 ) -> Dict[str, List[Tuple[str, str]]]:
    """Write scenes to segment: `images/<split>/00000.jpg`, `labels/<split>/00000.png` (8 bit, with the palette).

    A complete set of the same parameters is left as it is; otherwise its files are written over. Files of an earlier,
    larger set stay, so read what is returned rather than the folder.

    `palette` is (256, 3) uint8; ValueError if not. Returns {split: [(image path, label path), …]}, relative to `root`.
    """
    palette = np.asarray(palette, np.uint8)
    if palette.shape != (256, 3):
        raise ValueError(f"palette has shape {palette.shape}, want (256, 3)")

    def draw(split: str, index: int) -> Tuple[Image.Image, Image.Image]:
        image, values = draw_scene(picture_rng(seed, split, index))
        label = Image.fromarray(values)
        label.putpalette(palette.ravel().tolist())
        return Image.fromarray(image), label

    pairs = {split: [(f"images/{split}/{index:05}.jpg", f"labels/{split}/{index:05}.png") for index in range(count)]
             for split, count in counts.items()}
    stamp = {"drawing": DRAWING_VERSION, "counts": counts, "seed": seed, "palette": zlib.crc32(palette.tobytes())}
    files = {paths: (split, index) for split in pairs for index, paths in enumerate(pairs[split])}
    _write_set(root, "scenes", stamp, files, draw)
    return pairs


def write_patches(root: str, counts: Dict[str, int], size: int, seed: int = 0) -> Dict[str, List[Tuple[int, str]]]:
    """Write patches to classify, of `size` pixels: `patches/<split>/<class name>/00000.jpg`; {split: of each class}.

    What holds for `write_scenes` on complete and on larger sets holds here. Returns {split: [(class: that in `CLASSES`
    less one, path relative to `root`), …]}.
    """
    def draw(split: str, class_id: int, index: int) -> Tuple[Image.Image]:
        # Not the split alone: NumPy pads keys with zeros, so that scene i would share its numbers with (i, 0).
        rng = picture_rng(seed, "patches/" + split, class_id, index)
        return Image.fromarray(cut_object(rng, class_id, size)),

    stamp = {"drawing": DRAWING_VERSION, "counts": counts, "seed": seed, "size": size}
    files = {(f"patches/{split}/{CLASSES[class_id]}/{index:05}.jpg",): (split, class_id, index)
             for split, count in counts.items() for class_id in range(1, len(CLASSES)) for index in range(count)}
    _write_set(root, "patches", stamp, files, draw)
    return {split: [(class_id - 1, path) for (path,), (own, class_id, _) in files.items() if own == split]
            for split in counts}


def _write_set(root: str, name: str, stamp: Dict[str, Any], files: Mapping[Any, Tuple[Any, ...]],
               draw: Callable[..., Tuple[Image.Image, ...]]) -> None:
    """Write what is not there of a set: {paths of files: what `draw` takes to give their images}.

    The stamp holds what the files depend on; it is removed before the first file changes and written after the last.
    """
    place, known = os.path.join(root, f"{name}.json"), False
    with contextlib.suppress(FileNotFoundError, ValueError):
        known = read_json(place) == json.loads(json.dumps(stamp))
    todo = [paths for paths in files if not (known and all(os.path.exists(os.path.join(root, path)) for path in paths))]
    if not todo:
        return
    if os.path.exists(place):
        os.remove(place)
    for paths in tqdm(todo, unit="image", desc=f"drawing {name}", disable=None):
        for path, image in zip(paths, draw(*files[paths])):
            with replacing(os.path.join(root, path)) as temporary:
                image.save(temporary, quality=92)  # of JPEGs
    write_json(place, stamp)
