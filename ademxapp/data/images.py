"""Decoding and writing of images and label maps."""
import io
import os
import threading
from typing import Optional, Tuple

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from ademxapp.data.png_corner import upper_left
from ademxapp.files import replacing

_DECODING_ERRORS = Exception  # damaged files make Pillow's decoders raise all kinds, TypeError and KeyError too
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
_BYTE, _WORD = 255, 65535
_WORDS = ("PNG", "PPM")  # formats whose mode "I" is of 16 bits


def read_bytes(path: str) -> bytes:
    """The bytes of a file."""
    with open(path, "rb") as source:
        return source.read()


class ImageFile:
    """An image file's bytes, of which only the header is read until the pixels are asked for.

    Attributes
    ----------
    size : (int, int)
        (H, W) in pixels.
    orientation : int
        EXIF's, 1 … 8: how the pixels lie; 1: as they are shown. Nothing here turns them.
    reductions : tuple of int
        What `rgb` can divide the sides by: a JPEG's transform gives smaller images for less work.

    Raises ValueError, with `name`, if the bytes are no image.
    """

    def __init__(self, data: bytes, name: str) -> None:
        self._data, self._name, self._image = data, name, _open(data, name)
        self.size = self._image.height, self._image.width
        self._fast = self._image.mode == "RGB" and _suits_opencv(data, self._image)
        self.reductions = tuple(_CV_FLAGS) if self._fast and self._image.format == "JPEG" else (1,)

    @property
    def orientation(self) -> int:
        """EXIF's orientation, 1 where there is none that can be read; also of TIFFs, which Pillow turns itself."""
        if self._image.format == "TIFF":
            return 1
        try:
            found = self._image.getexif().get(_ORIENTATION, 1)
        except _DECODING_ERRORS:  # of damaged EXIF data
            return 1
        return found if found in range(1, 9) else 1

    def rgb(self, reduce: int = 1) -> np.ndarray:
        """The pixels; EXIF orientation is ignored; grey, CMYK and palette images become RGB.

        Of grey with 16 bits, the higher eight; other grey as of `bytes_of_grey`. Of animations, the first picture.

        Parameters
        ----------
        reduce : int
            One of `reductions`: a pixel stands for a square of this side.

        Returns
        -------
        ndarray
            (ceil(H / reduce), ceil(W / reduce), 3) uint8, RGB.

        Raises
        ------
        ValueError
            If the bytes are no whole image; the message has the name.
        """
        pixels = self._by_opencv(reduce)
        if pixels is not None:
            return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, pixels)
        image = _loaded(self._image, self._name)
        try:
            if image.mode[0] in "IF":  # which Pillow would cut off at 255
                image = Image.fromarray(bytes_of_grey(np.array(image), image.mode != "I" or image.format in _WORDS))
            return np.array(image if image.mode == "RGB" else image.convert("RGB"))
        except _DECODING_ERRORS as error:
            raise ValueError(f"{self._name} cannot be decoded: {_reason(error)}") from None

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


def bytes_of_grey(values: np.ndarray, words: bool) -> np.ndarray:
    """Grey values of more than 8 bits as uint8: the higher byte of 16 bits, floats in 0 … 1 times 255.

    With `words` integers have 16 bits. Others, of 32 bits, are taken as bytes or as 16 bits if all lie in their range,
    and floats beyond 1 as bytes, if some are beyond 15 (between, they may be either).

    Raises ValueError for others.
    """
    low, high = values.min(), values.max()
    if values.dtype.kind == "f":
        if 0 <= low and high <= 1:
            return (values * _BYTE + 0.5).astype(np.uint8)
        if 0 <= low and 15 < high <= _BYTE:
            return (values + 0.5).astype(np.uint8)
        raise ValueError(f"its pixels are floats from {low:g} to {high:g}, wanted 0 … 1 or 0 … {_BYTE}: scale them")
    if words or (0 <= low and _BYTE < high <= _WORD):
        return (values >> 8).astype(np.uint8)
    if 0 <= low and high <= _BYTE:
        return values.astype(np.uint8)
    raise ValueError(f"its pixels are integers of 32 bits beyond 0 … {_WORD}: save it with 8 or 16 bits")


def decode_rgb(data: bytes, name: str) -> np.ndarray:
    """The pixels of an image file's bytes, as of `ImageFile`: (H, W, 3) uint8; ValueError, with `name`, if damaged."""
    return ImageFile(data, name).rgb()


def decode_label(data: bytes, name: str) -> np.ndarray:
    """Decode a label map: the indices of a palette image, or the values of a grey one.

    Returns
    -------
    ndarray
        (H, W) uint8 or, for 16-bit files, int32.

    Raises
    ------
    ValueError
        If the bytes are no whole image, or have no index per pixel; the message has `name`.
    """
    image = _open(data, name)
    if image.mode not in ("P", "L", "I", "I;16", "1"):
        raise ValueError(f"{name} is no label map: it has {image.mode} pixels, wanted one index per pixel")
    if image.format in ("JPEG", "WEBP"):
        raise ValueError(f"{name} is no label map: {image.format} does not keep values, wanted PNG")
    values = np.array(_loaded(image, name))
    if image.mode == "L" and image.format == "PNG":
        values //= {2: 85, 4: 17}.get(data[_PNG_BITS], 1)  # Pillow spreads the values of 2 and 4 bits over 0 … 255
    return values.astype(np.int32 if image.mode.startswith("I") else np.uint8, copy=False)


def _suits_opencv(data: bytes, image: Image.Image) -> bool:
    """Whether OpenCV may decode the bytes: they end as their format wants it, and it knows all that is in them."""
    end = _ENDS.get(image.format or "")
    unknown = image.format == "PNG" and image.info.keys() & _UNKNOWN
    return end is not None and not unknown and data.rstrip(b"\0").endswith(end)


def _open(data: bytes, name: str) -> Image.Image:
    try:
        image = _opened(data)
    except _DECODING_ERRORS as error:
        raise ValueError(f"{name} cannot be decoded: {_reason(error, data)}") from None
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
        if _not_built_in(data) != "HEIC":
            raise
        try:
            from pillow_heif import HeifImageFile
        except ImportError:
            raise UnidentifiedImageError from None
        return HeifImageFile(io.BytesIO(data))


def _not_built_in(data: bytes) -> Optional[str]:
    """The format of an image that not every Pillow reads, or None."""
    return _NOT_BUILT_IN.get(data[8:12]) if data[4:8] == b"ftyp" else None


def _loaded(image: Image.Image, name: str) -> Image.Image:
    try:
        image.load()
    except _DECODING_ERRORS as error:
        raise ValueError(f"{name} cannot be decoded: {_reason(error)}") from None
    return image


def _reason(error: Exception, data: Optional[bytes] = None) -> str:
    if data == b"":
        return "the file is empty"
    if isinstance(error, MemoryError):
        return "there is too little memory"
    if isinstance(error, UnidentifiedImageError):
        return _HINTS.get(_not_built_in(data or b"") or "", "no known image format")
    return " ".join(str(error).split()) or type(error).__name__


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
