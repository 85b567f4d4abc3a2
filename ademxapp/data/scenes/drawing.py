"""Pictures: objects before a background, photographed."""
import zlib
from typing import List, Optional, Tuple

import cv2
import numpy as np

from ademxapp import IGNORE_LABEL
from ademxapp.data.scenes.backgrounds import background
from ademxapp.data.scenes.objects import DRAW

# In alphabetical order, so that a folder-per-class tree yields the same class indices.
CLASSES = ("background", "ball", "crate", "house", "star", "tree")
SCENE_SIDES = (120, 168)  # shortest and longest side of a scene, in pixels


def _window(start: int, length: int, limit: int) -> Tuple[slice, slice]:
    """The part of start..start+length within 0..limit, in the outer and in the inner frame."""
    low, high = max(start, 0), min(start + length, limit)
    return slice(low, high), slice(low - start, high - start)


def place(rng: np.random.Generator, image: np.ndarray, instances: np.ndarray, number: int, class_id: int, x: float,
          y: float, size: float) -> None:
    """Draw an object of about `size` pixels around (x, y) into the image and the map of instances."""
    height, width = instances.shape
    half = size / 3.0
    near = image[max(int(y - half), 0):int(y + half) + 1, max(int(x - half), 0):int(x + half) + 1]
    rgba = DRAW[CLASSES[class_id]](rng, size, [near.mean((0, 1))])
    side = len(rgba)
    left, top = int(round(x - side / 2)), int(round(y - side / 2))
    columns, from_columns = _window(left, side, width)
    rows, from_rows = _window(top, side, height)
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
    sigma = rng.uniform(0.2, 0.75)
    image = cv2.GaussianBlur(image, (5, 5), sigma)
    image += rng.uniform(2, 8) * rng.standard_normal(image.shape, np.float32)
    return np.clip(image + 0.5, 0, 255).astype(np.uint8)


def picture_rng(seed: int, split: str, *index: int) -> np.random.Generator:
    """The generator of one picture.

    Parameters
    ----------
    seed : int, not negative
    split : str
    index : ints, not negative

    Returns
    -------
    numpy.random.Generator
    """
    return np.random.default_rng([seed, zlib.crc32(split.encode()), *index])


def draw_scene(rng: np.random.Generator, size: Optional[Tuple[int, int]] = None) -> Tuple[np.ndarray, np.ndarray]:
    """Draw a scene of one to four objects of different classes, and its label.

    Parameters
    ----------
    rng : numpy.random.Generator
    size : (int, int), optional
        Height and width in pixels; by default each is drawn from `SCENE_SIDES`.

    Returns
    -------
    image : numpy.ndarray, uint8, (height, width, 3), RGB
    label : numpy.ndarray, uint8, (height, width)
        Index into `CLASSES`, or `IGNORE_LABEL` in a border of two pixels around every object.
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
    """Draw a patch that one object dominates: a sample for classification.

    Parameters
    ----------
    rng : numpy.random.Generator
    class_id : int
        Index into `CLASSES`, from 1.
    size : int
        Height and width in pixels.

    Returns
    -------
    numpy.ndarray, uint8, (size, size, 3), RGB

    Raises
    ------
    ValueError
        If there is no such object.
    """
    if not 1 <= class_id < len(CLASSES):
        raise ValueError("class_id is {}, want 1 to {}".format(class_id, len(CLASSES) - 1))
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
