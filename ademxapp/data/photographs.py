"""People's own pictures: found by names, in folders, by patterns; read as viewers show them, videos frame by frame."""
import contextlib
import glob
import os
from typing import Any, Iterable, Iterator, List, Optional, Sequence, Tuple, Union, cast

import cv2
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
Images = Union[ImageLike, Sequence[ImageLike]]  # one, or a list or tuple of them
# What turns pixels (H, W, 3) as EXIF's orientation says.
_TURNS = {1: lambda x: x, 2: lambda x: x[:, ::-1], 3: lambda x: x[::-1, ::-1], 4: lambda x: x[::-1],
          5: lambda x: x.swapaxes(0, 1), 6: lambda x: x.swapaxes(0, 1)[:, ::-1],
          7: lambda x: x.swapaxes(0, 1)[::-1, ::-1], 8: lambda x: x.swapaxes(0, 1)[::-1]}
# Extension and code of what is written, the first that OpenCV's build has: MPEG-4, or JPEGs one after another.
FORMATS = ((".mp4", "mp4v"), (".avi", "MJPG"))


def read_upright(path: str) -> np.ndarray:
    """The pixels of an image file, (H, W, 3) uint8 RGB, turned as its EXIF orientation says.

    Raises ValueError, which names the file, if it cannot be decoded; OSError if it cannot be read.
    """
    file = ImageFile(read_bytes(path), path)
    return np.ascontiguousarray(_TURNS[file.orientation](file.rgb()))


def each_image(images: Images) -> Tuple[List[ImageLike], bool]:
    """One image or several, as a list, and whether there are several."""
    several = isinstance(images, (list, tuple))
    return list(cast(Sequence[ImageLike], images)) if several else [cast(ImageLike, images)], several


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
        else:
            matching = [name] if os.path.isfile(name) else glob.glob(name, recursive=True)
            found, left = sorted(filter(os.path.isfile, matching)), []
        if not found:
            raise UsageError(f"there is no image {name}, nor a folder of images, nor any that such a pattern matches"
                             + "".join(f"; {note}" for note in left))
        paths += found
        notes += left
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


class Video:
    """A video file. Iterating gives (seconds from its start, pixels (H, W, 3) uint8 RGB), turned as its file says.

    `frames` is as its file says, or 0: it may have fewer, or more; `rate` is frames per second, on average. Raises
    ValueError, which names the file, if it is no video that can be read.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        open(path, "rb").close()  # OpenCV would not say what is wrong
        self._capture = cv2.VideoCapture(path)
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate = rate if 0 < rate < 1000 else 25.0  # where the file does not say, or says what cannot be
        self.frames = max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        self._start = 0.0  # OpenCV's versions count from this frame or from the next
        self._first = self._next()
        if self._first is None:
            raise ValueError(f"{path} cannot be read as a video: no frame can be decoded")
        self._start, self._first = self._first[0], (0.0, self._first[1])

    def __iter__(self) -> Iterator[Tuple[float, np.ndarray]]:
        frame, size = self._first, None
        while frame is not None:
            if size not in (None, frame[1].shape):
                raise ValueError(f"{self.path}: the frames' size changes from {size[1]}x{size[0]} to "
                                 f"{frame[1].shape[1]}x{frame[1].shape[0]} after {frame[0]:.2f} s: cut it there")
            size = frame[1].shape
            yield frame
            frame = self._next()

    def _next(self) -> Optional[Tuple[float, np.ndarray]]:
        good, pixels = self._capture.read()
        seconds = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000 - self._start
        return (seconds, cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)) if good else None


class VideoWriter(contextlib.AbstractContextManager):
    """A video that is written frame by frame, under its final name once it is whole.

    Until then it is `<stem>.unfinished.<extension>`. It stays under that name, playable, where the block ends by an
    exception, such as an interruption; without any frame it goes. The extension is the first of `FORMATS` that can be
    written; OSError if none can. `rate` is frames per second; `path` is the final name, once there is a frame.
    """

    def __init__(self, stem: str, rate: float) -> None:
        self._stem, self._rate, self._written = stem, rate, 0
        self._writer: Any = None
        self.path = self._unfinished = ""

    def write(self, pixels: np.ndarray) -> None:
        """Add a frame, (H, W, 3) uint8 RGB; all have one size. Odd sides get one more pixel: codecs want even ones."""
        pixels = np.pad(pixels, [(0, pixels.shape[0] % 2), (0, pixels.shape[1] % 2), (0, 0)], "edge")
        if self._writer is None:
            self._open(pixels.shape[1], pixels.shape[0])
        self._writer.write(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
        self._written += 1

    def _open(self, width: int, height: int) -> None:
        os.makedirs(os.path.dirname(os.path.abspath(self._stem)), exist_ok=True)
        for extension, code in FORMATS:
            self.path, self._unfinished = self._stem + extension, f"{self._stem}.unfinished{extension}"
            self._writer = cv2.VideoWriter(self._unfinished, cv2.VideoWriter.fourcc(*code), self._rate, (width, height))
            if self._writer.isOpened():
                return
        raise OSError(f"{self._stem}{FORMATS[0][0]} cannot be written: OpenCV opens no video of {width}x{height} "
                      f"pixels there, as {' or '.join(code for _, code in FORMATS)}")

    def __exit__(self, kind: Any, *_: Any) -> None:
        if self._writer is not None:
            self._writer.release()
        if kind is None and self._written:
            os.replace(self._unfinished, self.path)
        elif not self._written and os.path.isfile(self._unfinished):
            os.unlink(self._unfinished)
