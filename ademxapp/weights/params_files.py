"""MXNet's `.params` files, read and written without MXNet.

A file is little-endian: uint64 0x112, uint64 0; uint64 count, then the arrays; uint64 count, then their names, each a
uint64 length and that many bytes. An array is, as MXNet writes it since 2017 (version 2),

    uint32 0xF993FAC9, int32 storage (0: dense), uint32 dimensions, int64 each of them, int32 device type,
    int32 device number, int32 type of the numbers, the numbers

Version 1 (0xF993FAC8) has no storage; still older files have no version either, and uint32 for each dimension
(MXNet 1.9.1, `src/ndarray/ndarray.cc`).
"""
import io
import math
import os
import struct
from typing import Any, Dict, Mapping, Tuple

import numpy as np

from ademxapp.files import replacing

_LIST, _VERSION_1, _VERSION_2 = 0x112, 0xF993FAC8, 0xF993FAC9
_DENSE, _CPU = 0, (1, 0)
_TYPES = {0: "<f4", 1: "<f8", 2: "<f2", 3: "u1", 4: "<i4", 5: "i1", 6: "<i8", 7: "?"}
_FLAGS = {np.dtype(name): flag for flag, name in _TYPES.items()}
_MOST_DIMENSIONS = 32  # NumPy's limit


def read_params(path: str) -> Dict[str, np.ndarray]:
    """Read a `.params` file.

    No more is ever allocated than the file holds.

    Returns
    -------
    dict
        {name: ndarray} in the file's order; names of networks' parameters start with `arg:` or `aux:`.

    Raises
    ------
    ValueError
        If it is not such a file, not a whole one, or holds what a network's parameters cannot be.
    OSError
        If it cannot be read.
    """
    with open(path, "rb") as stream:
        try:
            return _read_list(_Fields(stream))
        except _Damage as damage:
            raise ValueError(f"{path} is no whole .params file of MXNet ({damage}): get or write it again") from None


def by_kind(weights: Dict[str, Any], path: str) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    """(arguments, auxiliary states) of {`arg:<name>` or `aux:<name>`: array}, without `arg:` and `aux:`.

    ValueError, which names `path`, for any other key, or where there is no argument.
    """
    parts: Dict[str, Dict[str, Any]] = {"arg": {}, "aux": {}}
    for key, array in weights.items():
        kind, _, name = key.partition(":")
        if kind not in parts:
            raise ValueError(f"{path}: entry {key!r} is neither arg:… nor aux:…")
        parts[kind][name] = array
    if not parts["arg"]:
        raise ValueError(f"{path} names no parameter")
    return parts["arg"], parts["aux"]


def write_params(path: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Write {name: ndarray} as MXNet 1.9.1 does, byte by byte; the file is whole or not there.

    Raises
    ------
    ValueError
        For an array without elements or dimensions, or of a type that MXNet does not have.
    """
    with replacing(path) as temporary, open(temporary, "wb") as out:
        out.write(struct.pack("<3Q", _LIST, 0, len(arrays)))
        for name, array in arrays.items():
            if not array.size or not array.ndim or array.dtype not in _FLAGS:
                raise ValueError(f"{name} cannot be stored in {path}: {array.dtype} of shape {array.shape}")
            out.write(struct.pack("<IiI", _VERSION_2, _DENSE, array.ndim))
            out.write(struct.pack(f"<{array.ndim}q3i", *array.shape, *_CPU, _FLAGS[array.dtype]))
            out.write(np.ascontiguousarray(array).data)
        out.write(struct.pack("<Q", len(arrays)))
        for name in arrays:
            encoded = name.encode()
            out.write(struct.pack("<Q", len(encoded)) + encoded)


class _Damage(Exception):
    """What is wrong with a file."""


class _Fields:
    """Takes fields off a file; `_Damage` for one that reaches beyond its end."""

    def __init__(self, stream: io.BufferedIOBase) -> None:
        self._stream = stream
        self.left = os.fstat(stream.fileno()).st_size

    def take(self, form: str) -> Tuple[int, ...]:
        """Numbers in `struct`'s notation."""
        return struct.unpack("<" + form, self.bytes(struct.calcsize("<" + form)))

    def bytes(self, count: int) -> bytes:
        """The next `count` bytes."""
        self._reserve(count)
        taken = self._stream.read(count)
        self._require_all(len(taken), count)
        return taken

    def array(self, shape: Tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """An array; its size is checked before it is allocated."""
        count = math.prod(shape) * dtype.itemsize
        self._reserve(count)
        array = np.empty(shape, dtype)
        self._require_all(self._stream.readinto(array.reshape(-1).view(np.uint8).data), count)
        return array

    def _reserve(self, count: int) -> None:
        if count > self.left:
            raise _Damage(f"{count:,} bytes are announced where {self.left:,} are left")
        self.left -= count

    @staticmethod
    def _require_all(got: int, count: int) -> None:
        if got != count:  # the file has become shorter
            raise _Damage(f"{got:,} bytes came where {count:,} were left")


def _read_list(fields: _Fields) -> Dict[str, np.ndarray]:
    magic, _, count = fields.take("3Q")
    if magic != _LIST:
        raise _Damage("its first bytes are others")
    arrays = []
    for number in range(count):  # of which every one takes some bytes, so that a wrong count soon meets the end
        try:
            arrays.append(_read_array(fields))
        except _Damage as damage:
            raise _Damage(f"array {number + 1} of {count}: {damage}") from None
    names = [_read_name(fields) for _ in range(_name_count(fields, count))]
    if fields.left:
        raise _Damage(f"{fields.left:,} bytes too many")
    if len(set(names)) < len(names):
        raise _Damage("a name stands there twice")
    return dict(zip(names, arrays))


def _read_array(fields: _Fields) -> np.ndarray:
    version, = fields.take("I")
    if version == _VERSION_2 and fields.take("i") != (_DENSE,):
        raise _Damage("it is sparse")
    old = version not in (_VERSION_1, _VERSION_2)
    dimensions = version if old else fields.take("I")[0]
    if not 1 <= dimensions <= _MOST_DIMENSIONS:
        raise _Damage(f"it has {dimensions} dimensions")
    shape = fields.take(f"{dimensions}{'I' if old else 'q'}")
    if min(shape) < 1:
        raise _Damage(f"its shape is {shape}")
    _, _, flag = fields.take("3i")
    if flag not in _TYPES:
        raise _Damage(f"its numbers are of type {flag}, where {', '.join(map(str, _TYPES))} can be read")
    return fields.array(shape, np.dtype(_TYPES[flag]))


def _name_count(fields: _Fields, arrays: int) -> int:
    count, = fields.take("Q")
    if count != arrays:
        raise _Damage(f"it has {count} names for {arrays} arrays")
    return count


def _read_name(fields: _Fields) -> str:
    length, = fields.take("Q")
    try:
        return fields.bytes(length).decode()
    except UnicodeDecodeError:
        raise _Damage("a name is no UTF-8") from None
