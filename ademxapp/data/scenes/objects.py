"""The five objects: functions of (rng, size, colours behind) that return the pixels of a sheet they are painted on."""
from typing import Any, Sequence, Tuple, Union

import cv2
import numpy as np

from ademxapp.data.scenes.backgrounds import bands, draw_colour, joints, noise


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


# Of the wheel of 0..1 that begins and ends with red.
_HUES = {"ball": (-0.06, 0.03), "crate": (0.06, 0.11), "house": (0.72, 0.94), "star": (0.13, 0.18),
         "tree": (0.24, 0.42)}


def _class_colour(rng: np.random.Generator, name: str, behind: Sequence[np.ndarray], **ranges: Any) -> np.ndarray:
    """The main colour of an object, of its class's hues."""
    return draw_colour(rng, behind, hues=_HUES[name], **ranges)


def _ball(rng: np.random.Generator, size: float, behind: Sequence[np.ndarray]) -> np.ndarray:
    sheet = Sheet(size, rng.uniform(0, 2 * np.pi))
    colour = _class_colour(rng, "ball", behind)
    sheet.ellipse(0, 0, 0.92, 0.92, colour)
    if rng.random() < 0.5:  # stripes, else the wedges of a beach ball
        pattern = bands(sheet.x * rng.uniform(1.3, 2.2) + rng.random())
    else:
        middle = rng.uniform(-0.35, 0.35, 2)
        turn = np.arctan2(sheet.y - middle[1], sheet.x - middle[0]) / (2 * np.pi)
        pattern = bands(turn * int(rng.integers(3, 5)))
    sheet.mix(pattern, draw_colour(rng, [*behind, colour], gap=110))
    # Lit from above, whichever way the pattern is turned.
    side = np.linspace(-1.5, 1.5, len(sheet.rgba), dtype=np.float32)
    light = (side[None, :] + 0.35) ** 2 + (side[:, None] + 0.4) ** 2
    sheet.shade(1.12 - 0.3 * light)
    sheet.mix(0.75 * np.exp(-light / 0.03), np.float32(255))
    return sheet.rgba


def _crate(rng: np.random.Generator, size: float, behind: Sequence[np.ndarray]) -> np.ndarray:
    sheet = Sheet(size, rng.uniform(-0.35, 0.35), rng.random() < 0.5)
    half_width, half_height = 0.85, rng.uniform(0.62, 0.85)
    frame = _class_colour(rng, "crate", behind)
    board = draw_colour(rng, [*behind, frame], gap=60)
    sheet.box(-half_width, -half_height, half_width, half_height, board)
    along, across = (sheet.x, sheet.y) if rng.random() < 0.5 else (sheet.y, sheet.x)
    sheet.shade(1 - 0.5 * joints(along, across, rng.uniform(2.0, 3.0), 0, 0.12))
    thick = rng.uniform(0.15, 0.22)
    inner_x, inner_y = half_width - thick, half_height - thick
    bars = [[(-inner_x, inner_y - thick), (inner_x - thick, -inner_y), (inner_x, -inner_y),
             (inner_x, thick - inner_y), (thick - inner_x, inner_y), (-inner_x, inner_y)]]
    if rng.random() < 0.5:  # a cross instead of one brace
        bars.append([(-x, y) for x, y in bars[0]])
    for bar in bars:
        sheet.polygon(np.array(bar) * 1.03, 0.45 * frame)
        sheet.polygon(bar, 0.92 * frame)
    for sign in (-1, 1):
        edge = sorted((sign * inner_x, sign * half_width))
        sheet.box(edge[0], -half_height, edge[1], half_height, (1 + 0.08 * sign) * 0.9 * frame)
        edge = sorted((sign * inner_y, sign * half_height))
        sheet.box(-half_width, edge[0], half_width, edge[1], (1 - 0.08 * sign) * 0.9 * frame)
    grain = noise(rng, *sheet.x.shape, (2, 12))
    sheet.shade(1 + 0.06 * grain)
    return sheet.rgba


def _house(rng: np.random.Generator, size: float, behind: Sequence[np.ndarray]) -> np.ndarray:
    sheet = Sheet(1.05 * size, rng.uniform(-0.1, 0.1), rng.random() < 0.5)
    wall = _class_colour(rng, "house", behind, saturations=(0.1, 0.8))
    roof = draw_colour(rng, [*behind, wall], gap=90)
    half, eaves, ridge = rng.uniform(0.62, 0.75), rng.uniform(-0.2, 0.0), rng.uniform(0.0, 0.45)
    sheet.box(-half, eaves - 0.02, half, 0.9, wall)
    sheet.shade(1 - 0.3 * joints(sheet.x, sheet.y, *((5, 3, 0.13) if rng.random() < 0.5 else (4, 0, 0.1))))
    if rng.random() < 0.6:
        sheet.box(0.3, -0.88, 0.5, eaves, 0.75 * wall)
    sheet.polygon([(-half - 0.2, eaves), (-ridge, -0.9), (ridge, -0.9), (half + 0.2, eaves)], roof)
    tiles = (sheet.y < eaves) * joints(sheet.x, sheet.y, 6, 0, 0.2)
    sheet.shade(1 - 0.25 * tiles)
    pane = draw_colour(rng, [wall], gap=110, saturations=(0.05, 0.6))
    trim = np.clip(1.35 * wall, 0, 255) if wall.mean() < 150 else 0.45 * wall
    door = rng.uniform(-0.15, 0.15)
    sheet.box(door - 0.14, 0.38, door + 0.14, 0.9, trim)
    sheet.box(door - 0.1, 0.42, door + 0.1, 0.9, 0.8 * roof)
    for x in (-0.42, 0.42):
        top = eaves + 0.16
        sheet.box(x - 0.17, top - 0.03, x + 0.17, top + 0.37, trim)
        sheet.box(x - 0.13, top + 0.01, x + 0.13, top + 0.33, pane)
        sheet.box(x - 0.02, top, x + 0.02, top + 0.33, trim)
    sheet.shade(1 - 0.12 * sheet.x)
    return sheet.rgba


def _star(rng: np.random.Generator, size: float, behind: Sequence[np.ndarray]) -> np.ndarray:
    sheet = Sheet(1.12 * size)
    colour = _class_colour(rng, "star", behind)
    points = int(rng.integers(5, 7))
    turn = rng.uniform(0, 2 * np.pi) + np.arange(2 * points) * np.pi / points
    radius = np.where(np.arange(2 * points) % 2, rng.uniform(0.44, 0.52), 0.98)
    rim = np.stack([np.cos(turn), np.sin(turn)], 1) * radius[:, None]
    sheet.polygon(rim, colour)
    # Facets, as on a barn star: each ray has a light and a dark half.
    darker = rng.uniform(0.45, 0.65)
    for i in range(0, 2 * points, 2):
        sheet.polygon([(0, 0), rim[i], rim[i - 1]], darker * colour)
    if rng.random() < 0.5:
        dot = draw_colour(rng, [colour], gap=90)
        sheet.ellipse(0, 0, 0.2, 0.2, dot)
        for x, y in rim[::2] * 0.55:
            sheet.ellipse(x, y, 0.07, 0.07, dot)
    sheet.shade(1.05 - 0.15 * sheet.y)
    return sheet.rgba


def _tree(rng: np.random.Generator, size: float, behind: Sequence[np.ndarray]) -> np.ndarray:
    sheet = Sheet(1.05 * size, rng.uniform(-0.1, 0.1), rng.random() < 0.5)
    crown = _class_colour(rng, "tree", behind)
    trunk = draw_colour(rng, [*behind, crown], values=(0.2, 0.65), saturations=(0.15, 0.7))
    width = rng.uniform(0.09, 0.15)
    sheet.polygon([(-width, -0.1), (width, -0.1), (1.3 * width, 0.95), (-1.3 * width, 0.95)], trunk)
    sheet.shade(1 - 0.35 * bands(sheet.x * 6 + 0.6 * np.sin(4 * sheet.y), 1.0))
    if rng.random() < 0.6:
        turn = rng.uniform(0, 2 * np.pi) + np.arange(8) * np.pi / 4
        for x, y in np.stack([0.42 * np.cos(turn), 0.34 * np.sin(turn) - 0.35], 1):
            radius = rng.uniform(0.24, 0.36)
            sheet.ellipse(x, y, radius, radius, crown)
        sheet.ellipse(0, -0.35, 0.4, 0.36, crown)
    else:  # a fir
        for tier in range(3):
            bottom, half = 0.5 - 0.42 * tier, 0.7 - 0.16 * tier
            sheet.polygon([(-half, bottom), (0, bottom - 0.68), (half, bottom)],
                          (0.82 + 0.14 * tier) * crown)
    leaves = noise(rng, *sheet.x.shape, (2.5, 2.5), (5, 5))
    above = sheet.y < 0.5
    sheet.shade(np.where(above, 1 + 0.3 * leaves - 0.3 * (sheet.y + 0.35) - 0.2 * sheet.x, 1))
    return sheet.rgba


DRAW = {"ball": _ball, "crate": _crate, "house": _house, "star": _star, "tree": _tree}
