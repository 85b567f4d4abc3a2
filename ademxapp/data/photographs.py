"""People's own pictures: found by names, in folders, by patterns; and read as viewers show them."""
import glob
import os
from typing import Iterable, List, Tuple, Union

import numpy as np
from PIL import Image

from ademxapp.data.class_folders import is_system, some
from ademxapp.data.images import ImageFile, read_bytes
from ademxapp.data.lists import IMAGE_EXTENSIONS
from ademxapp.errors import UsageError

# What Pillow reads and people have, beyond the extensions that count in datasets.
EXTENSIONS = IMAGE_EXTENSIONS + (".jfif", ".jpe", ".mpo", ".jp2", ".gif", ".apng", ".avif", ".heic", ".heif", ".hif",
                                 ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".ico", ".dib", ".pcx", ".qoi")
VIDEO_EXTENSIONS = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv")
ImageLike = Union[str, "os.PathLike[str]", Image.Image, np.ndarray]  # a path, or the pixels: (H, W, 3) uint8, RGB
_TURNS = {1: lambda x: x, 2: lambda x: x[:, ::-1], 3: lambda x: x[::-1, ::-1], 4: lambda x: x[::-1],
          5: lambda x: x.swapaxes(0, 1), 6: lambda x: x.swapaxes(0, 1)[:, ::-1],
          7: lambda x: x.swapaxes(0, 1)[::-1, ::-1], 8: lambda x: x.swapaxes(0, 1)[::-1]}


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """An array (H, W, …) as EXIF's orientation (1 … 8) says that it is to be shown."""
    return np.ascontiguousarray(_TURNS[orientation](pixels))


def read_upright(path: str) -> np.ndarray:
    """The pixels of an image file, (H, W, 3) uint8 RGB, turned as its EXIF orientation says.

    Raises ValueError, which names the file, if it cannot be decoded; OSError if it cannot be read.
    """
    file = ImageFile(read_bytes(path), path)
    return turned(file.rgb(), file.orientation)


def rgb_of(image: ImageLike) -> np.ndarray:
    """The pixels (H, W, 3) uint8 of a path, as of `read_upright`, a PIL image, or such an array; else ValueError."""
    if isinstance(image, (str, os.PathLike)):
        return read_upright(os.fspath(image))
    if isinstance(image, Image.Image):
        return np.array(image.convert("RGB"))
    array = isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3
    if array and image.shape[2] == 3 and image.size:
        return image
    got = f"an array of {image.dtype}, {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
    raise ValueError(f"{got} is no image: wanted a path, a PIL image, or (H, W, 3) uint8, RGB")


def find_photographs(names: Iterable[str]) -> Tuple[List[str], List[str]]:
    """Paths of the image and other files that are named, of folders' images, and of what patterns match, each once.

    Returns them, and a line for each folder about what was left out there, hidden files aside. UsageError where a name
    gives nothing.
    """
    paths, notes = [], []
    for name in names:
        if os.path.isdir(name):
            found, left = _of_folder(name)
            notes += left
        else:
            found = [name] if os.path.isfile(name) else sorted(filter(os.path.isfile, glob.glob(name, recursive=True)))
        if not found:
            raise UsageError(f"there is no image {name}, nor a folder of images, nor any that such a pattern matches"
                             + "".join(f"; {note}" for note in (left if os.path.isdir(name) else ())))
        paths += found
    return list(dict.fromkeys(map(os.path.normpath, paths))), notes


def is_video(path: str) -> bool:
    """Whether a file is a video by its name."""
    return path.lower().endswith(VIDEO_EXTENSIONS)


def _of_folder(folder: str) -> Tuple[List[str], List[str]]:
    """A folder's images, and lines about the rest."""
    names = sorted(name for name in os.listdir(folder) if not is_system(name))
    folders = [name for name in names if os.path.isdir(os.path.join(folder, name))]
    images = [name for name in names if name.lower().endswith(EXTENSIONS) and name not in folders]
    videos = [name for name in names if is_video(name) and name not in folders]
    others = [name for name in names if name not in {*images, *videos, *folders}]
    notes = [f"{folder}: {what}: {some(left)}" for what, left in (
        ("no images by their names, left out", others), ("videos, left out unless they are named", videos),
        ("folders, not looked into", folders)) if left]
    return [os.path.join(folder, name) for name in images], notes
