"""The generated dataset `demo`: drawn scenes with labels as in PASCAL VOC, and patches to classify.

It exists so that the whole path, from a list to a mean IoU, runs on a laptop within minutes without a
download. Colours are drawn anew for every object: the main one is of its class's hues, but those of its parts, and
of the backgrounds, are of any hue, so that a network has to learn shapes and textures too.

Every picture is a function of (seed, split, index) alone, given the versions of NumPy and OpenCV.

    rng = picture_rng(seed=0, split="val", index=3)
    image, label = draw_scene(rng)
    demo = write_demo("data/demo", palette, progress=lambda done, total: None)
"""

import colorsys
import json
import os
import zlib
from collections import namedtuple

import cv2
import numpy as np
from PIL import Image

# In alphabetical order, so that a folder-per-class tree yields the same class indices.
CLASSES = ("background", "ball", "crate", "house", "star", "tree")
VOID = 255
SCENE_SIDES = (120, 168)  # shortest and longest side of a scene, in pixels

# Of the wheel of 0..1 that begins and ends with red.
_HUES = {"ball": (-0.06, 0.03), "crate": (0.06, 0.11), "house": (0.72, 0.94), "star": (0.13, 0.18),
         "tree": (0.24, 0.42)}
# Names the drawings in the stamps of written sets: to be raised with any change of a picture.
_DRAWING_VERSION = 4
_JPEG_QUALITY = 92

Demo = namedtuple("Demo", "scenes patches")
Demo.__doc__ = """What `write_demo` has written, with paths relative to its root and "/" as separator.

Attributes
----------
scenes : dict of str to list of (image path, label path), by split
patches : dict of str to list of (index, class in 0..4, image path), by split
"""


# Colours and textures

def _colour(rng, away_from=(), gap=70, hues=(0.0, 1.0), saturations=(0.25, 0.95), values=(0.3, 0.97)):
    """An RGB colour (float32 in 0..255), if possible `gap` away from each of the given ones."""
    for _ in range(20):
        hsv = rng.uniform(*hues) % 1.0, rng.uniform(*saturations), rng.uniform(*values)
        colour = np.array(colorsys.hsv_to_rgb(*hsv), np.float32) * 255
        if all(np.linalg.norm(colour - other) >= gap for other in away_from):
            break
    return colour


def _class_colour(rng, name, behind, **ranges):
    """The main colour of an object, of its class's hues."""
    return _colour(rng, behind, hues=_HUES[name], **ranges)


def _noise(rng, height, width, *cells):
    """Smooth noise of about unit variance: the sum of one octave per cell, each (rows, columns) in pixels."""
    total = np.zeros((height, width), np.float32)
    for rows, columns in cells:
        grid = rng.standard_normal((int(height / rows) + 2, int(width / columns) + 2), np.float32)
        total += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    return total / np.sqrt(len(cells))


def _bands(phase, sharpness=4.0):
    """Antialiased stripes in 0..1 of period 1 in `phase`, dark and light equally wide."""
    return np.clip(0.5 + sharpness * np.sin(2 * np.pi * phase), 0, 1)


def _joints(x, y, rows, columns, width):
    """Lines in 0..1 between the bricks of a wall; without columns, between its boards."""
    course = np.floor(y * rows)
    lines = np.abs(y * rows - course - 0.5) > 0.5 - width
    if columns:
        across = (x * columns + 0.5 * (course % 2)) % 1.0
        lines |= np.abs(across - 0.5) > 0.5 - width * columns / rows
    return lines.astype(np.float32)


# Objects

class _Sheet:
    """A transparent square sheet on which one object is drawn, in units of half the object's size.

    `rgba` is uint8 with premultiplied alpha: painting an antialiased opaque polygon with OpenCV on all four
    channels then is the usual "over" operator, whatever lies below.
    """

    def __init__(self, size, angle=0.0, mirror=False):
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

    def polygon(self, points, colour):
        """Paint a filled polygon; `points` is (n, 2)."""
        pixels = np.asarray(points, np.float32) @ self.axes * self.scale + self.centre
        fixed = np.round(pixels * 16).astype(np.int32)
        cv2.fillPoly(self.rgba, [fixed], tuple(map(float, colour)) + (255.0,), cv2.LINE_AA, shift=4)

    def box(self, left, top, right, bottom, colour):
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], colour)

    def ellipse(self, x, y, radius_x, radius_y, colour):
        turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
        self.polygon(np.stack([x + radius_x * np.cos(turn), y + radius_y * np.sin(turn)], 1), colour)

    def mix(self, field, colour):
        """Move what is painted towards `colour` by `field` (in 0..1, one value per pixel)."""
        rgb, alpha = self.rgba[..., :3].astype(np.float32), self.rgba[..., 3:] / np.float32(255)
        rgb += (colour * alpha - rgb) * field[..., None]
        self.rgba[..., :3] = np.clip(rgb, 0, self.rgba[..., 3:])

    def shade(self, field):
        """Multiply what is painted by `field`."""
        rgb = self.rgba[..., :3] * field[..., None]
        self.rgba[..., :3] = np.clip(rgb, 0, self.rgba[..., 3:])


def _ball(rng, size, behind):
    sheet = _Sheet(size, rng.uniform(0, 2 * np.pi))
    colour = _class_colour(rng, "ball", behind)
    sheet.ellipse(0, 0, 0.92, 0.92, colour)
    if rng.random() < 0.5:  # stripes, else the wedges of a beach ball
        pattern = _bands(sheet.x * rng.uniform(1.3, 2.2) + rng.random())
    else:
        middle = rng.uniform(-0.35, 0.35, 2)
        turn = np.arctan2(sheet.y - middle[1], sheet.x - middle[0]) / (2 * np.pi)
        pattern = _bands(turn * int(rng.integers(3, 5)))
    sheet.mix(pattern, _colour(rng, [*behind, colour], gap=110))
    # Lit from above, whichever way the pattern is turned.
    side = np.linspace(-1.5, 1.5, len(sheet.rgba), dtype=np.float32)
    light = (side[None, :] + 0.35) ** 2 + (side[:, None] + 0.4) ** 2
    sheet.shade(1.12 - 0.3 * light)
    sheet.mix(0.75 * np.exp(-light / 0.03), np.float32(255))
    return sheet.rgba


def _crate(rng, size, behind):
    sheet = _Sheet(size, rng.uniform(-0.35, 0.35), rng.random() < 0.5)
    half_width, half_height = 0.85, rng.uniform(0.62, 0.85)
    frame = _class_colour(rng, "crate", behind)
    board = _colour(rng, [*behind, frame], gap=60)
    sheet.box(-half_width, -half_height, half_width, half_height, board)
    along, across = (sheet.x, sheet.y) if rng.random() < 0.5 else (sheet.y, sheet.x)
    sheet.shade(1 - 0.5 * _joints(along, across, rng.uniform(2.0, 3.0), 0, 0.12))
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
    grain = _noise(rng, *sheet.x.shape, (2, 12))
    sheet.shade(1 + 0.06 * grain)
    return sheet.rgba


def _house(rng, size, behind):
    sheet = _Sheet(1.05 * size, rng.uniform(-0.1, 0.1), rng.random() < 0.5)
    wall = _class_colour(rng, "house", behind, saturations=(0.1, 0.8))
    roof = _colour(rng, [*behind, wall], gap=90)
    half, eaves, ridge = rng.uniform(0.62, 0.75), rng.uniform(-0.2, 0.0), rng.uniform(0.0, 0.45)
    sheet.box(-half, eaves - 0.02, half, 0.9, wall)
    sheet.shade(1 - 0.3 * _joints(sheet.x, sheet.y, *((5, 3, 0.13) if rng.random() < 0.5 else (4, 0, 0.1))))
    if rng.random() < 0.6:
        sheet.box(0.3, -0.88, 0.5, eaves, 0.75 * wall)
    sheet.polygon([(-half - 0.2, eaves), (-ridge, -0.9), (ridge, -0.9), (half + 0.2, eaves)], roof)
    tiles = (sheet.y < eaves) * _joints(sheet.x, sheet.y, 6, 0, 0.2)
    sheet.shade(1 - 0.25 * tiles)
    pane = _colour(rng, [wall], gap=110, saturations=(0.05, 0.6))
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


def _star(rng, size, behind):
    sheet = _Sheet(1.12 * size)
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
        dot = _colour(rng, [colour], gap=90)
        sheet.ellipse(0, 0, 0.2, 0.2, dot)
        for x, y in rim[::2] * 0.55:
            sheet.ellipse(x, y, 0.07, 0.07, dot)
    sheet.shade(1.05 - 0.15 * sheet.y)
    return sheet.rgba


def _tree(rng, size, behind):
    sheet = _Sheet(1.05 * size, rng.uniform(-0.1, 0.1), rng.random() < 0.5)
    crown = _class_colour(rng, "tree", behind)
    trunk = _colour(rng, [*behind, crown], values=(0.2, 0.65), saturations=(0.15, 0.7))
    width = rng.uniform(0.09, 0.15)
    sheet.polygon([(-width, -0.1), (width, -0.1), (1.3 * width, 0.95), (-1.3 * width, 0.95)], trunk)
    sheet.shade(1 - 0.35 * _bands(sheet.x * 6 + 0.6 * np.sin(4 * sheet.y), 1.0))
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
    leaves = _noise(rng, *sheet.x.shape, (2.5, 2.5), (5, 5))
    above = sheet.y < 0.5
    sheet.shade(np.where(above, 1 + 0.3 * leaves - 0.3 * (sheet.y + 0.35) - 0.2 * sheet.x, 1))
    return sheet.rgba


_DRAW = {"ball": _ball, "crate": _crate, "house": _house, "star": _star, "tree": _tree}


# Backgrounds: functions of (rng, height, width) that return float32 (height, width, 3) in 0..255

def _landscape(rng, height, width):
    horizon = height * rng.uniform(0.25, 0.75)
    sky = _colour(rng, saturations=(0.1, 0.6), values=(0.55, 0.97))
    haze = 0.5 * sky + 0.5 * rng.uniform(170, 245)
    ground = _colour(rng, [haze], saturations=(0.1, 0.6), values=(0.25, 0.8))
    y = np.arange(height, dtype=np.float32)[:, None]
    depth = np.clip(y / horizon, 0, 1)[..., None]
    clouds = np.clip(_noise(rng, height, width, (12, 30), (6, 12)), 0, 2)[..., None]
    above = sky + (haze - sky) * depth + 14 * clouds
    grass = _noise(rng, height, width, (3, 5), (9, 25))[..., None]
    below = ground * (0.85 + 0.3 * np.clip((y - horizon) / height, 0, 1)[..., None] + 0.11 * grass)
    ridge = _noise(rng, 1, width, (1, rng.uniform(15, 50))) * rng.uniform(0, 4)
    edge = np.clip(y - horizon - ridge, 0, 1)[..., None]
    return above + (below - above) * edge


def _wall(rng, height, width):
    colour = _colour(rng, saturations=(0.05, 0.45))
    image = colour * (1 + 0.09 * _noise(rng, height, width, (3, 3), (10, 10), (40, 40))[..., None])
    y, x = np.mgrid[:height, :width].astype(np.float32)
    kind = rng.integers(4)
    if kind == 0:
        rows = 1 / rng.uniform(7, 16)
        lines = _joints(x, y, rows, rows * rng.uniform(0.4, 0.6), 0.1)
    elif kind == 1:
        lines = _joints(y, x, 1 / rng.uniform(8, 25), 0, 0.08)
    elif kind == 2:
        angle = rng.uniform(0, np.pi)
        lines = 0.6 * _bands((x * np.cos(angle) + y * np.sin(angle)) / rng.uniform(9, 30), 1.5)
    else:
        return image
    return image * (1 + float(rng.choice([-1, 1])) * rng.uniform(0.12, 0.28) * lines[..., None])


def _clutter(rng, height, width):
    colour = _colour(rng, saturations=(0.05, 0.5), values=(0.35, 0.85))
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
    return image * (1 + 0.06 * _noise(rng, height, width, (3, 3), (30, 30))[..., None])


def _background(rng, height, width):
    draw = (_landscape, _wall, _clutter)[rng.integers(3)]
    return np.clip(draw(rng, height, width), 0, 255).astype(np.float32)


# Scenes

def _window(start, length, limit):
    """The part of start..start+length within 0..limit, in the outer and in the inner frame."""
    low, high = max(start, 0), min(start + length, limit)
    return slice(low, high), slice(low - start, high - start)


def _place(rng, image, instances, number, class_id, x, y, size):
    """Draw an object of about `size` pixels around (x, y) into the image and the map of instances."""
    height, width = instances.shape
    half = size / 3.0
    near = image[max(int(y - half), 0):int(y + half) + 1, max(int(x - half), 0):int(x + half) + 1]
    rgba = _DRAW[CLASSES[class_id]](rng, size, [near.mean((0, 1))])
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


def _photograph(rng, image):
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


def picture_rng(seed, split, *index):
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


def draw_scene(rng, size=None):
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
        Index into `CLASSES`, or `VOID` in a border of two pixels around every object.
    """
    height, width = rng.integers(*SCENE_SIDES, 2, endpoint=True).tolist() if size is None else size
    image = _background(rng, height, width)
    count = int(rng.integers(1, 5))
    placed = []
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
        _place(rng, image, instances, number, class_id, x, y, extent)
    label = np.array([0] + [p[4] for p in placed], np.uint8)[instances]
    window = np.ones((3, 3), np.uint8)
    label[cv2.dilate(instances, window) != cv2.erode(instances, window)] = VOID
    return _photograph(rng, image), label


def cut_object(rng, class_id, size=64):
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
    image = _background(rng, size, size)
    instances = np.zeros((size, size), np.uint8)
    x, y = size * rng.uniform(0.4, 0.6, 2)
    jobs = [(class_id, x, y, size * rng.uniform(0.6, 1.0))]
    if rng.random() < 0.5:  # part of another object, centred on the edge of the patch
        other = 1 + (class_id + rng.integers(len(CLASSES) - 2)) % (len(CLASSES) - 1)
        along, across = rng.uniform(0, 1), rng.integers(2)
        x, y = (along, across) if rng.random() < 0.5 else (across, along)
        jobs.insert(int(rng.random() < 0.3), (other, x * size, y * size, size * rng.uniform(0.4, 0.7)))
    for number, job in enumerate(jobs, 1):
        _place(rng, image, instances, number, *job)
    return _photograph(rng, image)


# Files

def _save(root, path, image, **options):
    target = os.path.join(root, path)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    # A name of its own, so that neither an interruption nor a second process leaves half a file.
    temporary = "{}.{}.tmp".format(target, os.getpid())
    image.save(temporary, **options)
    os.replace(temporary, target)


def _write_set(root, stamp_name, parameters, list_files, write_one, progress):
    """Write the files of one set unless they are there.

    The stamp holds the parameters of the files; it is removed before the first file changes and written after
    the last. `list_files(parameters)` yields (arguments of `write_one`, paths).
    """
    stamp_path = os.path.join(root, stamp_name)
    # As read back from the file: tuples become lists.
    parameters = json.loads(json.dumps(parameters))
    try:
        with open(stamp_path) as stamp:
            written = json.load(stamp)
    except (FileNotFoundError, ValueError):
        written = None
    files = list(list_files(parameters))
    if written == parameters:
        todo = [f for f in files if not all(os.path.exists(os.path.join(root, path)) for path in f[1])]
    else:
        todo = files
    if not todo:
        return files
    if os.path.exists(stamp_path):
        os.remove(stamp_path)
    for done, (arguments, paths) in enumerate(todo, 1):
        write_one(*arguments, *paths)
        if progress is not None:
            progress(done, len(todo))
    temporary = "{}.{}.tmp".format(stamp_path, os.getpid())
    with open(temporary, "w") as stamp:
        json.dump(parameters, stamp, indent=1, sort_keys=True)
    os.replace(temporary, stamp_path)
    return files


def _list_scenes(parameters):
    for split, count in sorted(parameters["counts"].items()):
        for index in range(count):
            name = "{}/{:05d}".format(split, index)
            yield (split, index), ("images/" + name + ".jpg", "labels/" + name + ".png")


def _list_patches(parameters):
    for split, count in sorted(parameters["counts"].items()):
        for class_id in range(1, len(CLASSES)):
            for index in range(count):
                path = "patches/{}/{}/{:05d}.jpg".format(split, CLASSES[class_id], index)
                yield (split, class_id, index), (path,)


def write_scenes(root, palette, counts, seed=0, progress=None):
    """Write scenes and labels: `images/<split>/00000.jpg`, `labels/<split>/00000.png` (8 bit, with palette).

    A complete set of the same parameters is left as it is; otherwise its files are written over. Files of an
    earlier, larger set stay, so read what is returned rather than the folder.

    Parameters
    ----------
    root : str
    palette : array_like of uint8, (256, 3)
    counts : dict of str to int
        Number of scenes by split.
    seed : int, not negative
    progress : callable, optional
        Called with (files done, files to do) after each scene.

    Returns
    -------
    dict of str to list of (str, str)
        By split: paths of image and label, relative to `root`.

    Raises
    ------
    ValueError
        If the palette is of another shape.
    """
    palette = np.asarray(palette, np.uint8)
    if palette.shape != (256, 3):
        raise ValueError("palette has shape {}, want (256, 3)".format(palette.shape))
    colours = palette.ravel().tolist()

    def write_one(split, index, image_path, label_path):
        image, label = draw_scene(picture_rng(seed, split, index))
        label = Image.fromarray(label)
        label.putpalette(colours)
        _save(root, image_path, Image.fromarray(image), format="JPEG", quality=_JPEG_QUALITY)
        _save(root, label_path, label, format="PNG")

    parameters = {"drawing": _DRAWING_VERSION, "counts": counts, "seed": seed,
                  "palette": zlib.crc32(palette.tobytes())}
    files = _write_set(root, "scenes.json", parameters, _list_scenes, write_one, progress)
    pairs = {split: [] for split in counts}
    for (split, _), paths in files:
        pairs[split].append(paths)
    return pairs


def write_patches(root, counts, size=64, seed=0, progress=None):
    """Write patches to classify: `patches/<split>/<class name>/00000.jpg`.

    What holds for `write_scenes` on complete and on larger sets holds here.

    Parameters
    ----------
    root : str
    counts : dict of str to int
        Number of patches of each class by split.
    size : int
        Height and width in pixels.
    seed : int, not negative
    progress : callable, optional
        Called with (files done, files to do) after each patch.

    Returns
    -------
    dict of str to list of (int, int, str)
        By split: running index, class (index into `CLASSES` less one) and path relative to `root`.
    """
    def write_one(split, class_id, index, path):
        # Not the split alone: NumPy pads keys with zeros, so that scene i would share its numbers with (i, 0).
        patch = cut_object(picture_rng(seed, "patches/" + split, class_id, index), class_id, size)
        _save(root, path, Image.fromarray(patch), format="JPEG", quality=_JPEG_QUALITY)

    parameters = {"drawing": _DRAWING_VERSION, "counts": counts, "seed": seed, "size": size}
    files = _write_set(root, "patches.json", parameters, _list_patches, write_one, progress)
    samples = {split: [] for split in counts}
    for (split, class_id, _), (path,) in files:
        samples[split].append((len(samples[split]), class_id - 1, path))
    return samples


def write_demo(root, palette, scenes=None, patches=None, patch_size=64, seed=0, progress=None):
    """Write the dataset `demo`: scenes to segment and patches to classify; see `write_scenes`, `write_patches`.

    Parameters
    ----------
    root : str
    palette : array_like of uint8, (256, 3)
    scenes : dict of str to int, optional
        Number of scenes by split; by default 400 for train and 100 for val.
    patches : dict of str to int, optional
        Number of patches of each class by split; by default 400 for train and 50 for val.
    patch_size : int
    seed : int, not negative
    progress : callable, optional
        Called with (files done, files to do), once through for the scenes, then for the patches.

    Returns
    -------
    Demo
    """
    scenes = {"train": 400, "val": 100} if scenes is None else scenes
    patches = {"train": 400, "val": 50} if patches is None else patches
    return Demo(scenes=write_scenes(root, palette, scenes, seed, progress),
                patches=write_patches(root, patches, patch_size, seed, progress))
