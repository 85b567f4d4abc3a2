"""Parameters: whether they fit a network, what to start from, and MXNet's `.params` files, which need no MXNet here.

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
import zlib
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Mapping, Optional, Pattern, Sequence, Tuple

import numpy as np

from ademxapp.engine import Symbol
from ademxapp.files import replacing, write_text
from ademxapp.weights.description import write_description

Shape = Tuple[int, ...]
Shapes = Tuple[Mapping[str, Shape], Mapping[str, Shape]]  # of arguments and of auxiliary states, by name

INPUTS = ("data", "softmax_label")
SHOWN = 4  # of many problems
_LIST, _VERSION_1, _VERSION_2 = 0x112, 0xF993FAC8, 0xF993FAC9
_DENSE, _CPU = 0, (1, 0)
_TYPES = {0: "<f4", 1: "<f8", 2: "<f2", 3: "u1", 4: "<i4", 5: "i1", 6: "<i8", 7: "?"}
_FLAGS = {np.dtype(name): flag for flag, name in _TYPES.items()}
_MOST_DIMENSIONS = 32  # NumPy's limit


@dataclass(frozen=True)
class Parameters:
    """A network's arguments (trained) and auxiliary states (BN's moving statistics), float32, by name."""

    args: Dict[str, np.ndarray]
    auxs: Dict[str, np.ndarray]

    @property
    def all(self) -> Dict[str, np.ndarray]:
        """Both in one dictionary."""
        return {**self.args, **self.auxs}


@dataclass(frozen=True)
class Transfer:
    """What became of each parameter when a network started from another's weights: names."""

    taken: Tuple[str, ...]
    started: Tuple[str, ...]
    left: Tuple[str, ...]

    def __str__(self) -> str:
        return (f"{len(self.taken)} parameters taken; started afresh: {', '.join(self.started) or 'none'}; "
                f"left aside: {', '.join(self.left) or 'none'}")


def parameter_shapes(symbol: Symbol, **inputs: Shape) -> Shapes:
    """Shapes of a symbol's (arguments, auxiliary states) for such inputs; ValueError where they are too small."""
    try:
        arg_shapes, _, aux_shapes = symbol.infer_shape(**inputs)
    except (RuntimeError, ValueError) as error:  # MXNet's own is a RuntimeError
        sizes = ", ".join(f"{name} {_shape(shape)}" for name, shape in inputs.items())
        reason = str(error).rpartition("Check failed: ")[2]
        raise ValueError(f"the network cannot take inputs of this size ({sizes}): {reason}") from None
    args = dict(zip(symbol.list_arguments(), arg_shapes))
    return ({name: shape for name, shape in args.items() if name not in INPUTS},
            dict(zip(symbol.list_auxiliary_states(), aux_shapes)))


def load_parameters(path: str) -> Parameters:
    """Read a `.params` file. OSError if there is none, ValueError if it is not whole."""
    return Parameters(*({name: value.astype(np.float32, copy=False) for name, value in kind.items()}
                        for kind in by_kind(read_params(path), path)))


def save_parameters(path: str, parameters: Parameters) -> None:
    """Write a `.params` file, whole or not at all."""
    write_params(path, {**{f"arg:{name}": value for name, value in parameters.args.items()},
                        **{f"aux:{name}": value for name, value in parameters.auxs.items()}})


def save_checkpoint(folder: str, label: str, epoch: int, symbol: Symbol, parameters: Parameters,
                    about: Optional[Dict[str, Any]] = None) -> str:
    """Write `<label>_ep-NNNN.params`, with `about` beside it, and `<label>_ep-symbol.json`; the path of the former."""
    write_text(os.path.join(folder, f"{label}_ep-symbol.json"), symbol.tojson())
    path = os.path.join(folder, f"{label}_ep-{epoch:04d}.params")
    save_parameters(path, parameters)
    if about:
        write_description(path, {"epoch": epoch, **about})
    return path


def require_exact(parameters: Parameters, shapes: Shapes, source: str) -> None:
    """ValueError unless `parameters` are those of `shapes`: none missing, none more, none of another shape."""
    _require_none(list(differences(parameters, shapes)), source)


def start_from(parameters: Parameters, shapes: Shapes, top: Pattern[str], seed: int,
               source: str) -> Tuple[Parameters, Transfer]:
    """Parameters for a network that starts from another label's weights, and what became of each.

    The parameters of the top, those whose names match the pattern `top`, are initialised where the source lacks them
    or has them in another shape; the source's own top is left aside. ValueError for any other difference.
    """
    found = dict(differences(parameters, shapes))
    _require_none([(name, problem) for name, problem in found.items() if not top.fullmatch(name)], source)
    known, wanted = parameters.all, {**shapes[0], **shapes[1]}
    start = Parameters(*({name: _initial(name, wanted, seed) if name in found else known[name] for name in part}
                         for part in shapes))
    return start, Transfer(tuple(name for name in wanted if name not in found),
                           tuple(name for name in wanted if name in found),
                           tuple(name for name in found if name not in wanted))


def start_afresh(shapes: Shapes, seed: int) -> Parameters:
    """Initial parameters of a network."""
    return Parameters(*(initial_parameters(part, seed) for part in shapes))


def differences(parameters: Parameters, shapes: Shapes) -> Iterator[Tuple[str, str]]:
    """`(name, what is wrong)` for every parameter that is missing, too many, or of another shape."""
    for have, want in zip((parameters.args, parameters.auxs), shapes):
        for name, shape in want.items():
            if name not in have:
                yield name, "is missing"
            elif tuple(have[name].shape) != tuple(shape):
                yield name, f"has shape {_shape(have[name].shape)}, wanted {_shape(shape)}"
        for name in have:
            if name not in want:
                yield name, "is not in the network"


def shortened(problems: Sequence[Tuple[str, str]]) -> List[str]:
    """The first of many `(name, what is wrong)` as texts, and how many more there are."""
    more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
    return [f"{name} {problem}" for name, problem in problems[:SHOWN]] + more


def _require_none(problems: Sequence[Tuple[str, str]], source: str) -> None:
    if problems:
        raise ValueError(f"{source} does not fit the network: {'; '.join(shortened(problems))}. Check its label, "
                         "--model where that is given, against the weights")


def _shape(shape: Shape) -> str:
    return "x".join(map(str, shape))


def initial_parameters(shapes: Mapping[str, Shape], seed: int) -> Dict[str, np.ndarray]:
    """Starting values, float32, of all parameters: {name: ndarray} for {name: shape}.

    Convolutions are normal with variance 2 / fan_in and without bias (He et al. 2015); fully connected layers uniform
    within ± sqrt(1 / fan_in), as is their bias. Gammas and variances are 1, the rest 0.
    """
    return {name: _initial(name, shapes, seed) for name in shapes}


def _initial(name: str, shapes: Mapping[str, Shape], seed: int) -> np.ndarray:
    """The starting value of one of the parameters."""
    shape, (layer, _, kind) = shapes[name], name.rpartition("_")
    if kind in ("weight", "bias"):
        weight = shapes.get(f"{layer}_weight", ())
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        if len(weight) == 2:  # fully connected
            bound = np.sqrt(1 / weight[1])
            return rng.uniform(-bound, bound, shape).astype(np.float32)
        if kind == "weight":
            return rng.normal(0, np.sqrt(2 / math.prod(shape[1:])), shape).astype(np.float32)
    if name.endswith(("_gamma", "_moving_var")):
        return np.ones(shape, np.float32)
    if name.endswith(("_bias", "_beta", "_moving_mean")):
        return np.zeros(shape, np.float32)
    raise ValueError(f"no rule to initialise parameter {name}")


# Files


def read_params(path: str) -> Dict[str, np.ndarray]:
    """{name: ndarray} of a `.params` file, in its order; names of networks' parameters start with `arg:` or `aux:`.

    No more is ever allocated than the file holds. OSError if it cannot be read, ValueError if it is not such a file,
    not a whole one, or holds what a network's parameters cannot be.
    """
    with open(path, "rb") as stream:
        try:
            return _read_list(_Fields(stream))
        except ValueError as damage:
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

    ValueError for an array without elements or dimensions, or of a type that MXNet does not have.
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


class _Fields:
    """Takes fields off a file; ValueError for one that reaches beyond its end."""

    def __init__(self, stream: io.BufferedIOBase) -> None:
        self._stream = stream
        self.left = os.fstat(stream.fileno()).st_size

    def take(self, form: str) -> Tuple[int, ...]:
        """Numbers in `struct`'s notation."""
        return struct.unpack("<" + form, self.bytes(struct.calcsize("<" + form)).data)

    def bytes(self, count: int) -> np.ndarray:
        """The next `count` bytes, (count,) uint8."""
        if count > self.left:
            raise ValueError(f"{count:,} bytes are announced where {self.left:,} are left")
        self.left -= count
        taken = np.empty(count, np.uint8)
        got = self._stream.readinto(taken.data)
        if got != count:  # the file has become shorter
            raise ValueError(f"{got:,} bytes came where {count:,} were left")
        return taken


def _read_list(fields: _Fields) -> Dict[str, np.ndarray]:
    magic, _, count = fields.take("3Q")
    if magic != _LIST:
        raise ValueError("its first bytes are others")
    arrays = []
    for number in range(count):  # of which every one takes some bytes, so that a wrong count soon meets the end
        try:
            arrays.append(_read_array(fields))
        except ValueError as damage:
            raise ValueError(f"array {number + 1} of {count}: {damage}") from None
    names = []
    named, = fields.take("Q")
    if named != count:
        raise ValueError(f"it has {named} names for {count} arrays")
    for _ in arrays:
        length, = fields.take("Q")
        try:
            names.append(fields.bytes(length).tobytes().decode())
        except UnicodeDecodeError:
            raise ValueError("a name is no UTF-8") from None
    if fields.left:
        raise ValueError(f"{fields.left:,} bytes too many")
    if len(set(names)) < len(names):
        raise ValueError("a name stands there twice")
    return dict(zip(names, arrays))


def _read_array(fields: _Fields) -> np.ndarray:
    version, = fields.take("I")
    if version == _VERSION_2 and fields.take("i") != (_DENSE,):
        raise ValueError("it is sparse")
    old = version not in (_VERSION_1, _VERSION_2)
    dimensions = version if old else fields.take("I")[0]
    if not 1 <= dimensions <= _MOST_DIMENSIONS:
        raise ValueError(f"it has {dimensions} dimensions")
    shape = fields.take(f"{dimensions}{'I' if old else 'q'}")
    if min(shape) < 1:
        raise ValueError(f"its shape is {shape}")
    _, _, flag = fields.take("3i")
    if flag not in _TYPES:
        raise ValueError(f"its numbers are of type {flag}, where {', '.join(map(str, _TYPES))} can be read")
    dtype = np.dtype(_TYPES[flag])
    return fields.bytes(math.prod(shape) * dtype.itemsize).view(dtype).reshape(shape)
