"""What pictures are painted with, and backgrounds: functions of (rng, height, width) that return float32 (H, W, 3)."""
import colorsys
from typing import Sequence, Tuple

import cv2
import numpy as np


def draw_colour(rng: np.random.Generator, away_from: Sequence[np.ndarray] = (), gap: float = 70,
                hues: Tuple[float, float] = (0.0, 1.0), saturations: Tuple[float, float] = (0.25, 0.95),
                values: Tuple[float, float] = (0.3, 0.97)) -> np.ndarray:
    """An RGB colour (float32 in 0..255), if possible `gap` away from each of the given ones."""
    for _ in range(20):
        hsv = rng.uniform(*hues) % 1.0, rng.uniform(*saturations), rng.uniform(*values)
        colour = np.array(colorsys.hsv_to_rgb(*hsv), np.float32) * 255
        if all(np.linalg.norm(colour - other) >= gap for other in away_from):
            break
    return colour


def noise(rng: np.random.Generator, height: int, width: int, *cells: Tuple[float, float]) -> np.ndarray:
    """Smooth noise of about unit variance: the sum of one octave per cell, each (rows, columns) in pixels."""
    total = np.zeros((height, width), np.float32)
    for rows, columns in cells:
        grid = rng.standard_normal((int(height / rows) + 2, int(width / columns) + 2), np.float32)
        total += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    return total / np.sqrt(len(cells))


def bands(phase: np.ndarray, sharpness: float = 4.0) -> np.ndarray:
    """Antialiased stripes in 0..1 of period 1 in `phase`, dark and light equally wide."""
    return np.clip(0.5 + sharpness * np.sin(2 * np.pi * phase), 0, 1)


def joints(x: np.ndarray, y: np.ndarray, rows: float, columns: float, width: float) -> np.ndarray:
    """Lines in 0..1 between the bricks of a wall; without columns, between its boards."""
    course = np.floor(y * rows)
    lines = np.abs(y * rows - course - 0.5) > 0.5 - width
    if columns:
        across = (x * columns + 0.5 * (course % 2)) % 1.0
        lines |= np.abs(across - 0.5) > 0.5 - width * columns / rows
    return lines.astype(np.float32)


def _landscape(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    horizon = height * rng.uniform(0.25, 0.75)
    sky = draw_colour(rng, saturations=(0.1, 0.6), values=(0.55, 0.97))
    haze = 0.5 * sky + 0.5 * rng.uniform(170, 245)
    ground = draw_colour(rng, [haze], saturations=(0.1, 0.6), values=(0.25, 0.8))
    y = np.arange(height, dtype=np.float32)[:, None]
    depth = np.clip(y / horizon, 0, 1)[..., None]
    clouds = np.clip(noise(rng, height, width, (12, 30), (6, 12)), 0, 2)[..., None]
    above = sky + (haze - sky) * depth + 14 * clouds
    grass = noise(rng, height, width, (3, 5), (9, 25))[..., None]
    below = ground * (0.85 + 0.3 * np.clip((y - horizon) / height, 0, 1)[..., None] + 0.11 * grass)
    ridge = noise(rng, 1, width, (1, rng.uniform(15, 50))) * rng.uniform(0, 4)
    edge = np.clip(y - horizon - ridge, 0, 1)[..., None]
    return above + (below - above) * edge


def _wall(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    colour = draw_colour(rng, saturations=(0.05, 0.45))
    image = colour * (1 + 0.09 * noise(rng, height, width, (3, 3), (10, 10), (40, 40))[..., None])
    y, x = np.mgrid[:height, :width].astype(np.float32)
    kind = rng.integers(4)
    if kind == 0:
        rows = 1 / rng.uniform(7, 16)
        lines = joints(x, y, rows, rows * rng.uniform(0.4, 0.6), 0.1)
    elif kind == 1:
        lines = joints(y, x, 1 / rng.uniform(8, 25), 0, 0.08)
    elif kind == 2:
        angle = rng.uniform(0, np.pi)
        lines = 0.6 * bands((x * np.cos(angle) + y * np.sin(angle)) / rng.uniform(9, 30), 1.5)
    else:
        return image
    return image * (1 + float(rng.choice([-1, 1])) * rng.uniform(0.12, 0.28) * lines[..., None])


def _clutter(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    colour = draw_colour(rng, saturations=(0.05, 0.5), values=(0.35, 0.85))
    image = np.empty((height, width, 3), np.uint8)
    image[:] = colour
    for _ in range(int(height * width / rng.uniform(150, 450))):
        tint = np.clip(colour + rng.normal(0, 24, 3), 0, 255).tolist()
        x, y = rng.integers(0, width), rng.integers(0, height)
        reach = rng.uniform(2, 8, 2)
        kind = rng.integers(3)
        if kind == 0:
            box = (float(x), float(y)), tuple((1.6 * reach).tolist()), rng.uniform(0, 180)
            cv2.ellipse(image, box, tint, -1, cv2.LINE_AA)
        else:
            corners = np.sort(rng.uniform(0, 2 * np.pi, 3 + kind))
            shape = np.stack([x + reach[0] * np.cos(corners), y + reach[1] * np.sin(corners)], 1)
            cv2.fillPoly(image, [np.round(shape * 16).astype(np.int32)], tint, cv2.LINE_AA, shift=4)
    return image * (1 + 0.06 * noise(rng, height, width, (3, 3), (30, 30))[..., None])


def background(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    draw = (_landscape, _wall, _clutter)[rng.integers(3)]
    return np.clip(draw(rng, height, width), 0, 255).astype(np.float32)
