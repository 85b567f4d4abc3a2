"""What an object is painted on."""
from typing import Sequence, Tuple, Union

import cv2
import numpy as np


class Sheet:
    """A transparent square sheet on which one object is drawn, in units of half the object's size.

    `rgba` is uint8 with premultiplied alpha: painting an antialiased opaque polygon with OpenCV on all four
    channels then is the usual "over" operator, whatever lies below.
    """

    def __init__(self, size: float, angle: float = 0.0, mirror: bool = False) -> None:
        side = int(np.ceil(1.5 * size))
        self.rgba = np.zeros((side, side, 4), np.uint8)
        self.scale = size / 2.0
        self.centre = (side - 1) / 2.0
        cos, sin = np.cos(angle), np.sin(angle)
        self.axes = np.array([[cos, sin], [-sin, cos]], np.float32)
        if mirror:
            self.axes[0] *= -1
        offsets = (np.arange(side, dtype=np.float32) - self.centre) / self.scale
        # Coordinates of the pixels in the object's frame: x to the right, y downwards.
        self.x = self.axes[0, 0] * offsets[None, :] + self.axes[0, 1] * offsets[:, None]
        self.y = self.axes[1, 0] * offsets[None, :] + self.axes[1, 1] * offsets[:, None]

    def polygon(self, points: Union[np.ndarray, Sequence[Tuple[float, float]]], colour: np.ndarray) -> None:
        """Paint a filled polygon; `points` is (n, 2)."""
        pixels = np.asarray(points, np.float32) @ self.axes * self.scale + self.centre
        fixed = np.round(pixels * 16).astype(np.int32)
        cv2.fillPoly(self.rgba, [fixed], tuple(map(float, colour)) + (255.0,), cv2.LINE_AA, shift=4)

    def box(self, left: float, top: float, right: float, bottom: float, colour: np.ndarray) -> None:
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], colour)

    def ellipse(self, x: float, y: float, radius_x: float, radius_y: float, colour: np.ndarray) -> None:
        turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
        self.polygon(np.stack([x + radius_x * np.cos(turn), y + radius_y * np.sin(turn)], 1), colour)

    def mix(self, field: np.ndarray, colour: Union[np.ndarray, np.floating]) -> None:
        """Move what is painted towards `colour` by `field` (in 0..1, one value per pixel)."""
        rgb, alpha = self.rgba[..., :3].astype(np.float32), self.rgba[..., 3:] / np.float32(255)
        rgb += (colour * alpha - rgb) * field[..., None]
        self.rgba[..., :3] = np.clip(rgb, 0, self.rgba[..., 3:])

    def shade(self, field: np.ndarray) -> None:
        """Multiply what is painted by `field`."""
        rgb = self.rgba[..., :3] * field[..., None]
        self.rgba[..., :3] = np.clip(rgb, 0, self.rgba[..., 3:])
