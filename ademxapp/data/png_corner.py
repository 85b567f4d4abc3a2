"""The upper left corner of a PNG, for less work than the whole.

Every row of a PNG is told by the pixels to the left, above and between, so that neither the rows below a part nor the
pixels to its right are needed. What is needed is inflated by ISA-L and handed to OpenCV as a smaller, uncompressed PNG.
"""
import functools
import struct
from typing import Any, List, Optional, Sequence, Tuple, Union

import cv2
import numpy as np

zlib: Any
try:
    from isal import isal_zlib as zlib
except ImportError:  # it is three times as fast, and does the same
    import zlib

Buffer = Union[bytes, memoryview]
_SIGNATURE, _NUMBER, _START = b"\x89PNG\r\n\x1a\n", struct.Struct(">I"), struct.Struct(">I4s")
_HEADER = struct.Struct(">8sI4sIIBBBBB")  # signature, IHDR's length and name, width, height, bits, colours …
_PLAIN_RGB = (8, 2, 0, 0, 0)  # bits, colours, compression, filters, interlacing
_BLOCK = 65535  # bytes that an uncompressed block of deflate holds at most


def upper_left(data: bytes, width: int, height: int) -> Optional[np.ndarray]:
    """The first `width` pixels of the first `height` rows of a PNG file's bytes.

    Returns
    -------
    ndarray or None
        (height, width, 3) uint8, in OpenCV's order, BGR; None if the file is no PNG of 8-bit RGB in rows from top to
        bottom, or is damaged so that these pixels cannot be told.
    """
    if len(data) < _HEADER.size:
        return None
    _, _, _, columns, rows, *form = _HEADER.unpack_from(data)
    if tuple(form) != _PLAIN_RGB or width > columns or height > rows:
        return None
    try:
        lines = _inflate(data, height * (1 + 3 * columns))
        if lines is None:
            return None
        lines = np.ascontiguousarray(lines.reshape(height, -1)[:, :1 + 3 * width])
        smaller = np.frombuffer(_uncompressed(lines.reshape(-1), width, height), np.uint8)
        return cv2.imdecode(smaller, cv2.IMREAD_COLOR)
    except (struct.error, zlib.error, cv2.error):
        return None


def _inflate(data: bytes, size: int) -> Optional[np.ndarray]:
    """The first `size` bytes of what the image's chunks hold, as an array; None if there are fewer, or damaged ones."""
    data, place, inflater = memoryview(data), len(_SIGNATURE), zlib.decompressobj()
    found, count = np.empty(size, np.uint8), 0
    while count < size and place < len(data) and not inflater.eof:
        length, kind = _START.unpack_from(data, place)
        place += _START.size
        if kind == b"IDAT":
            if _NUMBER.unpack_from(data, place + length)[0] != zlib.crc32(data[place - len(kind):place + length]):
                return None
            part = inflater.decompress(data[place:place + length], size - count)
            found[count:count + len(part)] = np.frombuffer(part, np.uint8)
            count += len(part)
        place += length + _NUMBER.size  # behind the checksum
    return found if count == size else None


def _uncompressed(lines: np.ndarray, width: int, height: int) -> bytes:
    """The bytes of a PNG of RGB with the given lines, each a filter's number and the filtered pixels."""
    blocks: List[Buffer] = [b"\x78\x01"]
    view = lines.data
    for start in range(0, len(view), _BLOCK):
        block = view[start:start + _BLOCK]
        blocks += struct.pack("<BHH", start + _BLOCK >= len(view), len(block), _BLOCK ^ len(block)), block
    blocks.append(_NUMBER.pack(zlib.adler32(view)))
    size = struct.pack(">IIBBBBB", width, height, *_PLAIN_RGB)
    return b"".join([_SIGNATURE, *_chunk(b"IHDR", [size]), *_chunk(b"IDAT", blocks), *_chunk(b"IEND", [])])


def _chunk(kind: bytes, parts: Sequence[Buffer]) -> Tuple[Buffer, ...]:
    checksum = functools.reduce(lambda found, part: zlib.crc32(part, found), [kind, *parts], 0)
    return _NUMBER.pack(sum(map(len, parts))), kind, *parts, _NUMBER.pack(checksum)
