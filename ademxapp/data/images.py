"""Decoding and writing of images and label maps."""
import contextlib
import io
import os
import struct
import threading
import zlib
from typing import Any, Iterator, List, Optional, Tuple, Union

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from ademxapp.files import replacing

inflating: Any
try:
    from isal import isal_zlib as inflating
except ImportError:  # it is three times as fast, and does the same
    inflating = zlib

_ENDS = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}  # of whole files of the formats that OpenCV decodes faster
_UNKNOWN = {"transparency", "default_image", "icc_profile"}  # in PNGs; on profiles it remarks on stderr
_CV_FLAGS = {reduce: flag | cv2.IMREAD_IGNORE_ORIENTATION for reduce, flag in (
    (1, cv2.IMREAD_COLOR), (2, cv2.IMREAD_REDUCED_COLOR_2), (4, cv2.IMREAD_REDUCED_COLOR_4),
    (8, cv2.IMREAD_REDUCED_COLOR_8))}
_PIXELS = 2 ** 24  # an image that says it has more must have a byte for so many of them, as whole files have:
_OF_A_BYTE, _OF_A_BYTE_OF_JPEG = 10_000, 600
_PNG_BITS = 24  # the byte of a PNG file that has the bits per channel
_ORIENTATION = 0x0112  # EXIF's tag
_LARGE = threading.Lock()  # held while Pillow's own limit of pixels is off: it is one for all threads
_NOT_BUILT_IN = {b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIC", b"msf1": "HEIC", b"avif": "AVIF", b"avis": "AVIF"}
_HINTS = {"HEIC": "HEIC needs pillow-heif: pip install pillow-heif", "AVIF": "AVIF needs Pillow 11.3 or later"}
_WORDS = ("PNG", "PPM")  # formats whose mode "I" is of 16 bits
_SIGNATURE, _NUMBER, _CHUNK = b"\x89PNG\r\n\x1a\n", struct.Struct(">I"), struct.Struct(">I4s")  # of PNGs
_HEADER = struct.Struct(">IIBBBBB")  # a PNG's width, height, bits, colours …
_BLOCK = 65535  # bytes that a block of deflate holds at most that is not compressed
_PLAIN_RGB = (8, 2, 0, 0, 0)  # bits, colours, compression, filters, interlacing


def read_bytes(path: str) -> bytes:
    """The bytes of a file."""
    with open(path, "rb") as source:
        return source.read()


class ImageFile:
    """An image file's bytes, of which only the header is read until the pixels are asked for.

    `size` is (H, W) in pixels; `reductions` is what `rgb` can divide the sides by: a JPEG's transform gives smaller
    images for less work. Raises ValueError, with `name`, if the bytes are no image.
    """

    def __init__(self, data: bytes, name: str) -> None:
        self._data, self._name, self._image = data, name, _open(data, name)
        self.size = self._image.height, self._image.width
        end = _ENDS.get(self._image.format or "")
        unknown = self._image.format == "PNG" and self._image.info.keys() & _UNKNOWN
        whole = end is not None and not unknown and data.rstrip(b"\0").endswith(end)
        self._fast = self._image.mode == "RGB" and whole  # for OpenCV, which knows all that is in them
        self.reductions = tuple(_CV_FLAGS) if self._fast and self._image.format == "JPEG" else (1,)

    @property
    def orientation(self) -> int:
        """EXIF's, 1 … 8: how the pixels lie, 1: as they are shown; nothing here turns them.

        It is 1 where there is none that can be read, and of TIFFs, which Pillow turns itself.
        """
        if self._image.format == "TIFF":
            return 1
        try:
            found = self._image.getexif().get(_ORIENTATION, 1)
        except Exception:  # of damaged EXIF data
            return 1
        return found if found in range(1, 9) else 1

    def rgb(self, reduce: int = 1) -> np.ndarray:
        """The pixels, (ceil(H / reduce), ceil(W / reduce), 3) uint8 RGB; ValueError if the bytes are no whole image.

        `reduce` is one of `reductions`: a pixel stands for a square of this side. EXIF orientation is ignored; grey,
        CMYK and palette images become RGB: of grey with 16 bits, the higher eight; other grey as of `bytes_of_grey`. Of
        animations, the first picture.
        """
        pixels = self._by_opencv(reduce)
        if pixels is not None:
            return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, pixels)
        image = self._image
        with _naming(self._name):
            image.load()
            if image.mode[0] in "IF":  # which Pillow would cut off at 255
                image = Image.fromarray(bytes_of_grey(np.array(image), image.mode != "I" or image.format in _WORDS))
            return np.array(image if image.mode == "RGB" else image.convert("RGB"))

    def part(self, box: Tuple[int, int, int, int], reduce: int = 1) -> np.ndarray:
        """The pixels in `box` (left, top, right, bottom), of the image as `rgb` gives it: (h, w, 3) uint8, RGB.

        Of a PNG, what is below the part or to its right is not decoded; what is wrong there is not found, except a
        missing end.
        """
        left, top, right, bottom = box
        pixels = upper_left(self._data, right, bottom) if self._fast and self._image.format == "PNG" else None
        if pixels is None:
            pixels = self._by_opencv(reduce)
        if pixels is None:
            return self.rgb(reduce)[top:bottom, left:right]
        return cv2.cvtColor(pixels[top:bottom, left:right], cv2.COLOR_BGR2RGB)

    def _by_opencv(self, reduce: int) -> Optional[np.ndarray]:
        """The pixels, BGR; None if Pillow has to decode them, or to tell what is wrong."""
        if not self._fast:
            return None
        try:
            return cv2.imdecode(np.frombuffer(self._data, np.uint8), _CV_FLAGS[reduce])
        except cv2.error as error:  # short of memory, for instance
            raise ValueError(f"{self._name} cannot be decoded: {error.err}") from None


def upper_left(data: bytes, width: int, height: int) -> Optional[np.ndarray]:
    """The first `width` pixels of the first `height` rows of a PNG file's bytes: (height, width, 3) uint8 BGR.

    Every row of a PNG is told by the pixels to the left, above and between: neither the rows below a part nor the
    pixels to its right are needed. What is needed is inflated by ISA-L and handed to OpenCV as a smaller, uncompressed
    PNG. None if the file is no PNG of 8-bit RGB in rows from top to bottom, or is damaged so that these cannot be told.
    """
    try:
        columns, rows, *form = _HEADER.unpack_from(data, len(_SIGNATURE) + _CHUNK.size)
        if tuple(form) != _PLAIN_RGB or width > columns or height > rows:
            return None
        lines = _inflate(data, height * (1 + 3 * columns))
        if lines is None:
            return None
        corner = np.ascontiguousarray(lines.reshape(height, -1)[:, :1 + 3 * width])  # each with its filter's number
        smaller = b"".join((_SIGNATURE, *_chunk(b"IHDR", _HEADER.pack(width, height, *_PLAIN_RGB)),
                            *_chunk(b"IDAT", _stored(corner.reshape(-1).data)), *_chunk(b"IEND", b"")))
        return cv2.imdecode(np.frombuffer(smaller, np.uint8), cv2.IMREAD_COLOR)
    except (struct.error, inflating.error, cv2.error):
        return None


def _inflate(data: bytes, size: int) -> Optional[np.ndarray]:
    """The first `size` bytes of what the image's chunks hold, as an array; None if there are fewer, or damaged ones."""
    data, place, inflater = memoryview(data), len(_SIGNATURE), inflating.decompressobj()
    found, count = np.empty(size, np.uint8), 0
    while count < size and place < len(data) and not inflater.eof:
        length, kind = _CHUNK.unpack_from(data, place)
        place += _CHUNK.size
        if kind == b"IDAT":
            if _NUMBER.unpack_from(data, place + length)[0] != inflating.crc32(data[place - len(kind):place + length]):
                return None
            part = inflater.decompress(data[place:place + length], size - count)
            found[count:count + len(part)] = np.frombuffer(part, np.uint8)
            count += len(part)
        place += length + _NUMBER.size  # behind the checksum
    return found if count == size else None


def _stored(data: memoryview) -> bytes:
    """What zlib makes of bytes that it does not compress; its own level 0 takes several times as long."""
    blocks: List[Union[bytes, memoryview]] = [b"\x78\x01"]
    for start in range(0, len(data), _BLOCK):
        block = data[start:start + _BLOCK]
        blocks += struct.pack("<BHH", start + _BLOCK >= len(data), len(block), _BLOCK ^ len(block)), block
    return b"".join((*blocks, _NUMBER.pack(inflating.adler32(data))))


def _chunk(kind: bytes, body: bytes) -> Tuple[bytes, ...]:
    return _NUMBER.pack(len(body)), kind, body, _NUMBER.pack(inflating.crc32(body, inflating.crc32(kind)))


def bytes_of_grey(values: np.ndarray, words: bool) -> np.ndarray:
    """Grey values of more than 8 bits as uint8: the higher byte of 16 bits, floats in 0 … 1 times 255.

    With `words` integers have 16 bits. Others, of 32 bits, are taken as bytes or as 16 bits if all lie in their range,
    and floats beyond 1 as bytes, if some are beyond 15 (between, they may be either).

    Raises ValueError for others.
    """
    low, high = values.min(), values.max()
    if values.dtype.kind == "f":
        if 0 <= low and high <= 1:
            return (values * 255 + 0.5).astype(np.uint8)
        if 0 <= low and 15 < high <= 255:
            return (values + 0.5).astype(np.uint8)
        raise ValueError(f"its pixels are floats from {low:g} to {high:g}, wanted 0 … 1 or 0 … 255: scale them")
    if words or (0 <= low and 255 < high <= 65535):
        return (values >> 8).astype(np.uint8)
    if 0 <= low and high <= 255:
        return values.astype(np.uint8)
    raise ValueError("its pixels are integers of 32 bits beyond 0 … 65535: save it with 8 or 16 bits")


def decode_rgb(data: bytes, name: str) -> np.ndarray:
    """The pixels of an image file's bytes, as of `ImageFile`: (H, W, 3) uint8; ValueError, with `name`, if damaged."""
    return ImageFile(data, name).rgb()


def decode_label(data: bytes, name: str) -> np.ndarray:
    """Decode a label map, the indices of a palette image, or the values of a grey one: (H, W) uint8, of 16 bits int32.

    ValueError, with `name`, if the bytes are no whole image, or have no index per pixel.
    """
    image = _open(data, name)
    if image.mode not in ("P", "L", "I", "I;16", "1"):
        raise ValueError(f"{name} is no label map: it has {image.mode} pixels, wanted one index per pixel")
    if image.format in ("JPEG", "WEBP"):
        raise ValueError(f"{name} is no label map: {image.format} does not keep values, wanted PNG")
    with _naming(name):
        image.load()
    values = np.array(image)
    if image.mode == "L" and image.format == "PNG":
        values //= {2: 85, 4: 17}.get(data[_PNG_BITS], 1)  # Pillow spreads the values of 2 and 4 bits over 0 … 255
    return values.astype(np.int32 if image.mode.startswith("I") else np.uint8, copy=False)


def _open(data: bytes, name: str) -> Image.Image:
    with _naming(name, data):
        image = _opened(data)
    pixels = image.width * image.height
    if pixels > max(_PIXELS, len(data) * (_OF_A_BYTE_OF_JPEG if image.format == "JPEG" else _OF_A_BYTE)):
        raise ValueError(f"{name} cannot be decoded: {len(data)} bytes hold no {image.width}x{image.height} pixels, as "
                         "it says of itself")
    return image


def _opened(data: bytes) -> Image.Image:
    """What Pillow opens, of any number of pixels; HEIC with pillow-heif."""
    try:
        return Image.open(io.BytesIO(data))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):  # people name their own files: let it
        with _LARGE:
            limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            try:
                return Image.open(io.BytesIO(data))
            finally:
                Image.MAX_IMAGE_PIXELS = limit
    except UnidentifiedImageError:
        with contextlib.suppress(ImportError):
            if _not_built_in(data) == "HEIC":
                from pillow_heif import HeifImageFile
                return HeifImageFile(io.BytesIO(data))
        raise


def _not_built_in(data: bytes) -> Optional[str]:
    """The format of an image that not every Pillow reads, or None."""
    return _NOT_BUILT_IN.get(data[8:12]) if data[4:8] == b"ftyp" else None


@contextlib.contextmanager
def _naming(name: str, data: Optional[bytes] = None) -> Iterator[None]:
    """Raise a ValueError that has `name` for whatever is raised: damaged files make decoders raise KeyError too."""
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        if data == b"":
            reason = "the file is empty"
        elif isinstance(error, MemoryError):
            reason = "there is too little memory"
        elif isinstance(error, UnidentifiedImageError):
            reason = _HINTS.get(_not_built_in(data or b"") or "", "no known image format")
        raise ValueError(f"{name} cannot be decoded: {reason}") from None


def write_png(path: str, array: np.ndarray, palette: Optional[np.ndarray] = None) -> None:
    """Write a PNG, whole or not at all: (H, W, 3) RGB, or (H, W) grey or, with a (256, 3) uint8 `palette`, indexed."""
    image = Image.fromarray(np.ascontiguousarray(array))
    if palette is not None:
        image.putpalette(np.asarray(palette, np.uint8).tobytes())
    with replacing(path) as temporary:
        image.save(temporary, format="PNG", compress_level=3)  # half the time of the default, a quarter larger


def stem(path: str) -> str:
    """A path's file name without its extension."""
    return os.path.splitext(os.path.basename(path))[0]
