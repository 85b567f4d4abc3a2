"""Letters in pictures: Pillow's own font has Latin-1 alone; others come from matplotlib's font and the system's."""
import functools
import logging
import os
import unicodedata
from typing import FrozenSet, Optional, Tuple

from PIL import ImageFont

SIZE = 11  # about that of Pillow's own font


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
        text = "".join(_number(letter) if letter in lost else letter for letter in text)
    return text, ImageFont.truetype(path, SIZE)


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


def _number(letter: str) -> str:
    return letter.encode("ascii", "backslashreplace").decode()
