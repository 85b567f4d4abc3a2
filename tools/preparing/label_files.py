"""Labels as they are not read in training: in colours, or in MATLAB's files; and palettes, held against colours."""
from typing import Dict, Optional, Tuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from ademxapp.data.images import decode_rgb, read_bytes
from issegm.datasets import SegmentationDataset

Colour = Tuple[int, int, int]
_IN_COLOURS = ("RGB", "RGBA")


def is_coloured(path: str) -> bool:
    """Whether a label image has colours and no indices, by its header; False where it cannot be read."""
    try:
        with Image.open(path) as image:
            return image.mode in _IN_COLOURS and image.format != "JPEG"
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError):
        return False


def read_palette(path: str) -> Optional[np.ndarray]:
    """The palette of a label image, (values, 3) uint8, or None where it has none."""
    with Image.open(path) as image:
        found = image.getpalette() if image.mode == "P" else None
    return None if found is None else np.array(found, np.uint8).reshape(-1, 3)


def other_colour(palette: np.ndarray, found: np.ndarray, record: SegmentationDataset, name: str
                 ) -> Optional[Tuple[int, Colour]]:
    """A class's value that a palette shows in another colour than the dataset's `colours`, with that colour; or None.

    `found` are indices of the classes in the label. Raises ValueError that has `name` where it is another class's
    colour, in a palette that keeps classes apart: the numbers would be other classes'.
    """
    values = [record.label_ids[index] for index in found]
    shown = {value: tuple(map(int, palette[value])) for value in values if value < len(palette)}
    known = {value: tuple(record.colours[value]) for value in record.label_ids if value < len(record.colours)}
    wrong = {value: colour for value, colour in shown.items() if value in known and colour != known[value]}
    for value, colour in wrong.items():
        others = [other for other, own in known.items() if own == colour]
        if others and len(set(shown.values())) == len(shown):
            index, other = (record.class_names[record.label_ids.index(one)] for one in (value, others[0]))
            raise ValueError(f"{name} has {colour} as the colour of its value {value}, {index}, which the dataset's "
                             f"colours have for {others[0]}, {other}: are they numbered otherwise there? Mend "
                             "label_ids or colours; a label saved in RGB is converted by its colours")
    return next(iter(wrong.items()), None)


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


def values_of_colours(path: str, record: SegmentationDataset) -> np.ndarray:
    """The label map of an image in the dataset's colours, (H, W) uint8.

    Raises ValueError that names the first pixel of another colour, or that is transparent.
    """
    data = read_bytes(path)
    pixels, known = decode_rgb(data, path), colour_values(record)
    _require_opaque(path)
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


def _require_opaque(path: str) -> None:
    with Image.open(path) as image:
        alpha = np.array(image.getchannel("A")) if image.mode == "RGBA" else None
    if alpha is not None and alpha.min() < 255:
        row, column = np.argwhere(alpha < 255)[0]
        raise ValueError(f"{path} is transparent at column {column}, row {row}: labels have a colour everywhere")


def read_matrix(path: str, *fields: str) -> np.ndarray:
    """The matrix under `fields`, names one inside the other, of a .mat file (up to version 7): (H, W) integers.

    ValueError if there is none; OSError if there is no file.
    """
    from scipy.io import loadmat  # not needed for most datasets

    with open(path, "rb") as source:
        try:
            value = loadmat(source, variable_names=fields[:1])
            for field in fields:
                value = value[field]
                while value.dtype == object:
                    value = value.flat[0]
        except Exception as error:  # of many kinds
            raise ValueError(f"{path} has no {'.'.join(fields)}: {error}") from None
    if value.ndim != 2 or value.dtype.kind not in "iuf":
        raise ValueError(f"{path}: {'.'.join(fields)} is no label map: wanted a matrix of numbers, got {value.ndim} "
                         f"dimensions of {value.dtype}")
    return value.astype(np.int64)
