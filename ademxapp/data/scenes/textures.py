"""Colours, noise, stripes and joints: what objects and backgrounds are painted with."""
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
