"""Pictures: correctness, labels drawn over images, sheets as in the paper's Figures 5 to 11, and captioned grids.

Pillow's own font has Latin-1 alone; other letters come from matplotlib's font and the system's.
"""
import functools
import logging
import os
import unicodedata
from typing import FrozenSet, List, Optional, Sequence, Tuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.Image import Resampling

from ademxapp import IGNORE_LABEL

Colour = Tuple[int, int, int]
RIGHT, WRONG = 127, 0
GAP, CAPTION = 6, 16
GROUND = (225, 225, 225)  # not white: that stands for what does not count
HATCH = 8  # pixels from one line to the next where labels do not count
FONT_SIZE = 11  # about that of Pillow's own font


def correct_picture(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """(H, W) uint8: 127 where the prediction is right, 0 where it is wrong, 255 where the truth does not count."""
    picture = np.where(truth == predicted, RIGHT, WRONG).astype(np.uint8)
    picture[truth >= classes] = IGNORE_LABEL
    return picture


def class_colours(palette: np.ndarray, label_ids: Sequence[int]) -> np.ndarray:
    """Colours of class indices, (256, 3) uint8: the palette's at the classes' label ids, white for all others."""
    colours = np.full((256, 3), 255, np.uint8)
    colours[:len(label_ids)] = np.asarray(palette)[list(label_ids)]
    return colours


def labels_over(image: np.ndarray, classes: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Labels drawn half transparent over an image (H, W, 3) uint8, hatched where they do not count.

    `classes` are (h, w) class indices, 255 where none counts, and enlarged to the image without mixing; `colours`
    (256, 3) uint8, by class index.
    """
    height, width = image.shape[:2]
    classes = np.asarray(Image.fromarray(classes.astype(np.uint8)).resize((width, height), Resampling.NEAREST))
    picture = (image.astype(np.uint16) + colours[classes] + 1) // 2
    ignored = classes == IGNORE_LABEL
    lines = (np.arange(height)[:, None] + np.arange(width)) % HATCH < 2
    picture[ignored] = np.where(lines[..., None], 255, image)[ignored]
    return picture.astype(np.uint8)


def contact_sheet(rows: List[List[np.ndarray]], captions: Sequence[str], height: int = 180) -> np.ndarray:
    """A sheet, (H, W, 3) uint8, with a row of pictures for each example, and captions of the columns.

    Pictures, (H, W, 3) or (H, W) uint8, are scaled as by `at_height`.
    """
    pictures = [[Image.fromarray(at_height(picture, height)) for picture in row] for row in rows]
    widths = [max(picture.width for picture in column) for column in zip(*pictures)]
    size = sum(widths) + GAP * (len(widths) + 1), CAPTION + (height + GAP) * len(rows) + GAP
    sheet = Image.new("RGB", size, "white")
    draw, left = ImageDraw.Draw(sheet), GAP
    for column, (width, caption) in enumerate(zip(widths, captions)):
        _write(draw, (left, 2), caption)
        for row, line in enumerate(pictures):
            sheet.paste(line[column], (left, CAPTION + GAP + row * (height + GAP)))
        left += width + GAP
    return np.asarray(sheet)


def captioned_grid(pictures: List[np.ndarray], captions: Sequence[str], columns: int,
                   legend: Sequence[Tuple[Colour, str]] = (), foot: Optional[int] = None) -> np.ndarray:
    """Pictures in rows of `columns`, each with a caption under it, and a legend of colours at the foot: (H, W, 3).

    Pictures are (H, W, 3) or (H, W) uint8, all of one height; captions that are wider than their column are cut off,
    and so is the legend where it is higher than `foot`, in pixels, if that is given.
    """
    widths = [max(picture.shape[1] for picture in pictures[column::columns])
              for column in range(min(columns, len(pictures)))]
    line, rows = pictures[0].shape[0] + CAPTION + GAP, -(-len(pictures) // columns)
    width = sum(widths) + GAP * (len(widths) + 1)
    places, height = _legend_places([name for _, name in legend], width)
    foot = height if foot is None else foot
    sheet = Image.new("RGB", (width, GAP + rows * line + foot), GROUND)
    draw = ImageDraw.Draw(sheet)
    for index, (picture, caption) in enumerate(zip(pictures, captions)):
        row, column = divmod(index, columns)
        left, top = GAP + sum(widths[:column]) + GAP * column, GAP + row * line
        sheet.paste(Image.fromarray(picture).convert("RGB"), (left, top))
        _write(draw, (left, top + line - CAPTION - GAP + 1), _fitting(draw, caption, widths[column]))
    for (colour, name), (left, top) in zip(legend, places):
        top += GAP + rows * line
        draw.rectangle((left, top, left + CAPTION, top + CAPTION - 4), fill=tuple(map(int, colour)), outline="black")
        _write(draw, (left + CAPTION + GAP, top), name)
    return np.asarray(sheet)


def at_height(picture: np.ndarray, height: int) -> np.ndarray:
    """A picture, (H, W, 3) or (H, W) uint8, scaled to `height` pixels, without mixing colours where they are few."""
    image = Image.fromarray(picture).convert("RGB")
    method = Resampling.LANCZOS if image.getcolors(64) is None else Resampling.NEAREST
    return np.asarray(image.resize((max(1, round(image.width * height / image.height)), height), method))


def legend_height(names: Sequence[str], picture_width: int) -> int:
    """What a legend of `names` needs under one picture, in pixels."""
    return _legend_places(names, picture_width + 2 * GAP)[1]


def _legend_places(names: Sequence[str], width: int) -> Tuple[List[Tuple[int, int]], int]:
    """Where each entry of a legend starts, (left, top), in lines no wider than `width`; and its height: pixels."""
    draw, places, left, top = ImageDraw.Draw(Image.new("RGB", (1, 1))), [], GAP, 0
    for name in names:
        needed = CAPTION + 4 * GAP + int(_length(draw, name))
        if left > GAP and left + needed > width:
            left, top = GAP, top + CAPTION + 2
        places.append((left, top))
        left += needed
    return places, top + CAPTION + GAP if places else 0


def _fitting(draw: ImageDraw.ImageDraw, text: str, width: int) -> str:
    """A text that is at most `width` pixels wide; its end goes where it is longer."""
    if _length(draw, text) <= width:
        return text
    while text and _length(draw, text + "..") > width:
        text = text[:-1]
    return text + ".."


def _write(draw: ImageDraw.ImageDraw, place: Tuple[int, int], text: str) -> None:
    text, font = drawable(text)
    draw.text(place, text, fill="black", font=font)


def _length(draw: ImageDraw.ImageDraw, text: str) -> float:
    text, font = drawable(text)
    return draw.textlength(text, font=font)


def drawable(text: str) -> Tuple[str, Optional[ImageFont.FreeTypeFont]]:
    """A text as pictures can have it, and the font to draw it with; None: Pillow's own.

    Letters that no font here has are written as their numbers, which is told as a warning, once for a script.
    """
    text = unicodedata.normalize("NFC", text)
    foreign = [letter for letter in text if ord(letter) > 255]
    if not foreign:
        return text, None
    own = _bundled()
    beyond = next((letter for letter in foreign if ord(letter) not in _letters(own)), None)
    path = own if beyond is None else _font_with(beyond) or own
    lost = [letter for letter in foreign if ord(letter) not in _letters(path)]
    if lost:
        _tell(unicodedata.name(lost[0], "some").split()[0])
        text = "".join(letter.encode("ascii", "backslashreplace").decode() if letter in lost else letter
                       for letter in text)
    return text, ImageFont.truetype(path, FONT_SIZE)


def _bundled() -> str:
    import matplotlib  # not needed for most pictures
    return os.path.join(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")


@functools.lru_cache(maxsize=8)
def _letters(path: str) -> FrozenSet[int]:
    """The numbers of the letters that a font has; none of a file that is no font."""
    from matplotlib.ft2font import FT2Font
    try:
        return frozenset(FT2Font(path).get_charmap())
    except (RuntimeError, OSError):
        return frozenset()


@functools.lru_cache(maxsize=64)
def _font_with(letter: str) -> Optional[str]:
    """A font of the system's that has a letter, or else None."""
    return next((path for path in _system_fonts() if ord(letter) in _letters(path)), None)


@functools.lru_cache(maxsize=1)
def _system_fonts() -> Tuple[str, ...]:
    from matplotlib.font_manager import findSystemFonts
    return tuple(sorted(findSystemFonts()))


@functools.lru_cache(maxsize=64)
def _tell(script: str) -> None:
    logging.getLogger("ademxapp").warning(
        "pictures: no font here has %s letters: they are written as their numbers, as \\u6811; install one that has, "
        "such as Noto Sans CJK", script)
