"""Videos, frame by frame, as OpenCV reads and writes them."""
import os
from typing import Any, Iterator, Optional, Tuple

import cv2
import numpy as np

# Extension and code of what is written, the first that OpenCV's build has: MPEG-4, or JPEGs one after another.
FORMATS = ((".mp4", "mp4v"), (".avi", "MJPG"))
_FRAMES_PER_SECOND = 25.0  # where a file does not say, or says what cannot be


class Video:
    """A video file. Iterating gives (seconds from its start, pixels (H, W, 3) uint8 RGB), turned as its file says.

    Attributes
    ----------
    frames : int
        As its file says, or 0: it may have fewer, or more.
    rate : float
        Frames per second, on average.

    Raises ValueError, which names the file, if it is no video that can be read.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        with open(path, "rb"):  # OpenCV would not say what is wrong
            pass
        self._capture = cv2.VideoCapture(path)
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate = rate if 0 < rate < 1000 else _FRAMES_PER_SECOND
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


class VideoWriter:
    """A video that is written frame by frame, under its final name once it is whole.

    Until then it is `<stem>.unfinished.<extension>`. It stays under that name, playable, where the block ends by an
    exception, such as an interruption; without any frame it goes.

    Parameters
    ----------
    stem : str
        Path without the extension, which is the first of `FORMATS` that can be written.
    rate : float
        Frames per second.

    Raises OSError if none can be written.
    """

    def __init__(self, stem: str, rate: float) -> None:
        self._stem, self._rate = stem, rate
        self._writer: Any = None
        self._extension, self._written = "", 0

    def __enter__(self) -> "VideoWriter":
        return self

    @property
    def path(self) -> str:
        """The final name; known once there is a frame."""
        return self._stem + self._extension

    @property
    def unfinished(self) -> str:
        """The name until then."""
        return f"{self._stem}.unfinished{self._extension}"

    def write(self, pixels: np.ndarray) -> None:
        """Add a frame, (H, W, 3) uint8 RGB; all have one size. Odd sides get one more pixel: codecs want even ones."""
        pixels = np.pad(pixels, [(0, pixels.shape[0] % 2), (0, pixels.shape[1] % 2), (0, 0)], "edge")
        if self._writer is None:
            self._open(pixels.shape[1], pixels.shape[0])
        self._writer.write(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
        self._written += 1

    def _open(self, width: int, height: int) -> None:
        os.makedirs(os.path.dirname(os.path.abspath(self._stem)), exist_ok=True)
        for self._extension, code in FORMATS:
            self._writer = cv2.VideoWriter(self.unfinished, cv2.VideoWriter.fourcc(*code), self._rate, (width, height))
            if self._writer.isOpened():
                return
        raise OSError(f"{self._stem}{FORMATS[0][0]} cannot be written: OpenCV opens no video of {width}x{height} "
                      f"pixels there, as {' or '.join(code for _, code in FORMATS)}")

    def __exit__(self, kind: Any, *_: Any) -> None:
        if self._writer is not None:
            self._writer.release()
        if kind is None and self._written:
            os.replace(self.unfinished, self.path)
        elif not self._written and os.path.isfile(self.unfinished):
            os.unlink(self.unfinished)
