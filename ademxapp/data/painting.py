"""What pictures are painted with: backgrounds, and the five objects.

Backgrounds are functions of (rng, height, width) that return float32 (H, W, 3); objects are functions of (rng, size,
colours behind) that return the pixels of the sheet that they are painted on.
"""
import colorsys
from typing import Sequence, Tuple, Union

import cv2
import numpy as np


def draw_colour(rng: np.random.Generator, away_from: Sequence[np.ndarray] = (), gap: float = 70,
                hues: Tuple[float, float] = (0.0, 1.0), saturations: Tuple[float, float] = (0.25, 0.95),
                values: Tuple[float, float] = (0.3, 0.97)) -> np.ndarray:
    """An RGB colour (float32 in 0..255), if possible `gap` away from each of the given ones; hue 0 and 1 are red."""
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
    image = np.full((height, width, 3), colour, np.uint8)
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
    """A landscape, a wall or clutter."""
    draw = (_landscape, _wall, _clutter)[rng.integers(3)]
    return np.clip(draw(rng, height, width), 0, 255).astype(np.float32)


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


def _ball(rng: np.random.Generator, size: float, behind: Sequence[np.ndarray]) -> np.ndarray:
    sheet = Sheet(size, rng.uniform(0, 2 * np.pi))
    colour = draw_colour(rng, behind, hues=(-0.06, 0.03))
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
    frame = draw_colour(rng, behind, hues=(0.06, 0.11))
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
    sheet.shade(1 + 0.06 * noise(rng, *sheet.x.shape, (2, 12)))
    return sheet.rgba


def _house(rng: np.random.Generator, size: float, behind: Sequence[np.ndarray]) -> np.ndarray:
    sheet = Sheet(1.05 * size, rng.uniform(-0.1, 0.1), rng.random() < 0.5)
    wall = draw_colour(rng, behind, hues=(0.72, 0.94), saturations=(0.1, 0.8))
    roof = draw_colour(rng, [*behind, wall], gap=90)
    half, eaves, ridge = rng.uniform(0.62, 0.75), rng.uniform(-0.2, 0.0), rng.uniform(0.0, 0.45)
    sheet.box(-half, eaves - 0.02, half, 0.9, wall)
    sheet.shade(1 - 0.3 * joints(sheet.x, sheet.y, *((5, 3, 0.13) if rng.random() < 0.5 else (4, 0, 0.1))))
    if rng.random() < 0.6:
        sheet.box(0.3, -0.88, 0.5, eaves, 0.75 * wall)
    sheet.polygon([(-half - 0.2, eaves), (-ridge, -0.9), (ridge, -0.9), (half + 0.2, eaves)], roof)
    sheet.shade(1 - 0.25 * ((sheet.y < eaves) * joints(sheet.x, sheet.y, 6, 0, 0.2)))
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
    colour = draw_colour(rng, behind, hues=(0.13, 0.18))
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
    crown = draw_colour(rng, behind, hues=(0.24, 0.42))
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
            sheet.polygon([(-half, bottom), (0, bottom - 0.68), (half, bottom)], (0.82 + 0.14 * tier) * crown)
    leaves = noise(rng, *sheet.x.shape, (2.5, 2.5), (5, 5))
    sheet.shade(np.where(sheet.y < 0.5, 1 + 0.3 * leaves - 0.3 * (sheet.y + 0.35) - 0.2 * sheet.x, 1))
    return sheet.rgba


DRAW = {"ball": _ball, "crate": _crate, "house": _house, "star": _star, "tree": _tree}
