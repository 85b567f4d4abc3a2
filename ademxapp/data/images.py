"""Decoding and writing of images and label maps."""
import io
import os
import struct

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from ademxapp.files import replacing

_DECODING_ERRORS = (UnidentifiedImageError, OSError, SyntaxError, struct.error, EOFError,
                    Image.DecompressionBombError, ValueError)


def read_bytes(path):
    """The bytes of a file."""
    with open(path, "rb") as source:
        return source.read()


def decode_rgb(data, name):
    """Decode an image file's bytes.

    EXIF orientation is ignored; grey, CMYK and palette images become RGB.

    Returns
    -------
    ndarray
        (H, W, 3) uint8, RGB.

    Raises
    ------
    ValueError
        If the bytes are no whole image; the message has `name`.
    """
    image = _open(data, name)
    if image.format == "JPEG" and image.mode == "RGB":
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        if bgr is not None and data.rstrip(b"\0")[-2:] == b"\xff\xd9":  # else Pillow tells what is wrong
            return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    image = _loaded(image, name)
    if image.mode.startswith("I"):  # 16 bits of grey, which Pillow would cut off at 255
        image = Image.fromarray((np.array(image) >> 8).astype(np.uint8))
    return np.array(image.convert("RGB"))


def decode_label(data, name):
    """Decode a label map: the indices of a palette image, or the values of a grey one.

    Returns
    -------
    ndarray
        (H, W) uint8 or, for 16-bit files, int32.
    """
    image = _open(data, name)
    if image.mode not in ("P", "L", "I", "I;16", "1"):
        raise ValueError(f"{name} is no label map: it has {image.mode} pixels, wanted one index per pixel")
    values = np.array(_loaded(image, name))
    return values if values.dtype == np.uint8 else values.astype(np.int32)


def _open(data, name):
    try:
        return Image.open(io.BytesIO(data))
    except _DECODING_ERRORS as error:
        raise ValueError(f"{name} cannot be decoded: {_reason(error, data)}") from None


def _loaded(image, name):
    try:
        image.load()
    except _DECODING_ERRORS as error:
        raise ValueError(f"{name} cannot be decoded: {error}") from None
    return image


def _reason(error, data):
    if not data:
        return "the file is empty"
    return "no known image format" if isinstance(error, UnidentifiedImageError) else error


def write_png(path, array, palette=None):
    """Write a PNG, whole or not at all: (H, W, 3) RGB, or (H, W) grey or, with a (256, 3) uint8 `palette`, indexed."""
    image = Image.fromarray(np.ascontiguousarray(array))
    if palette is not None:
        image.putpalette(np.asarray(palette, np.uint8).tobytes())
    with replacing(path) as temporary:
        image.save(temporary, format="PNG")


def stem(path):
    """A path's file name without its extension."""
    return os.path.splitext(os.path.basename(path))[0]
