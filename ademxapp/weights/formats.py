"""Weights in files of several formats; the extension tells which.

    .params        MXNet's own
    .npz           NumPy's, not compressed; names as in .params, `arg:…` and `aux:…`
    .safetensors   names without `arg:` and `aux:`; the metadata has the list of the full ones, in order
    .pth           a PyTorch state dict, in the layout that weakly supervised segmentation uses for these networks

Weights are {`arg:<name>` or `aux:<name>`: ndarray} everywhere here. No code in a file is run: PyTorch's are read with
`weights_only`.

PSA (AffinityNet), SEAM and what follows them (their `network/resnet38d.py`) name the parameters of Model A1 so:

    conv1a_weight                  conv1a.weight
    res2a_branch2a_weight          b2.conv_branch2a.weight        first unit of B2
    res2b1_branch2b1_weight        b2_1.conv_branch2b1.weight     the unit b1 of B2; B1 has b1_1, b1_2, …
    bn2a_branch2b1_gamma, _beta    b2.bn_branch2b1.weight, .bias
    …_moving_mean, _moving_var     ….running_mean, .running_var
    bn7_gamma                      bn7.weight
    linear1000_weight              linear1000.weight

They leave the classifier out when they load the released file, and call their own `fc8`; here it keeps its name, which
tells the number of classes. A layer outside of a unit keeps its name in both directions, so every network's parameters
have names in this layout. No number changes.
"""
import importlib
import json
import math
import os
import re
import warnings
import zipfile
from collections import OrderedDict
from typing import Any, Callable, Dict, Mapping, Tuple, cast

import numpy as np

from ademxapp.files import replacing
from ademxapp.weights.parameters import by_kind, read_params, write_params

Weights = Dict[str, np.ndarray]  # by `arg:<name>` or `aux:<name>`
SAFE_TORCH = (2, 6)  # from which on `weights_only` runs no code
_NAMES = "parameters"  # key in the metadata of .safetensors
_WRAPPED = "module."
_PLAIN = ("weight", "bias")
_BN = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_var": "running_var"}
_OF_BN = {torch: mine for mine, torch in _BN.items()}
_KEY = re.compile(rf"(arg|aux):([^.]+)_({'|'.join((*_PLAIN, *_BN))})")
_UNIT = re.compile(r"(res|bn)(\d)(?:a|b(\d+))_(branch\w+)")
_TORCH_UNIT = re.compile(r"b(\d)(?:_(\d+))?\.(conv|bn)_(branch\w+)")
_COUNTER = "num_batches_tracked"  # PyTorch's, of no use here


def read_weights(path: str) -> Weights:
    """Weights of a file, in its order, in the format that the extension tells.

    ValueError if it is not whole or holds anything else, ImportError if the format's library is not installed.
    """
    weights = _format(path)[0](path)
    by_kind(weights, path)
    return weights


def write_weights(path: str, weights: Weights) -> None:
    """Write weights in the format that the extension tells, read them back, and compare: whole and the same, or none.

    ValueError if the format cannot hold them, ImportError if its library is not installed.
    """
    write = _format(path)[1]
    with replacing(path) as temporary:
        write(temporary, weights)
        if not same_weights(read_weights(temporary), weights):
            raise ValueError(f"{path}: what was written reads back as something else")


def same_weights(one: Weights, other: Weights) -> bool:
    """Whether names, their order, types, shapes and every bit agree."""
    return list(one) == list(other) and all(
        mine.dtype == theirs.dtype and mine.shape == theirs.shape and mine.tobytes() == theirs.tobytes()
        for mine, theirs in zip(one.values(), other.values()))


def is_format(path: str) -> bool:
    """Whether the extension is that of a format."""
    return os.path.splitext(path)[1] in FORMATS


def _format(path: str) -> Tuple[Callable[[str], Weights], Callable[[str, Weights], None]]:
    if not is_format(path):
        raise ValueError(f"{path}: the extension must be one of {', '.join(FORMATS)}")
    return FORMATS[os.path.splitext(path)[1]]


def _read_npz(path: str) -> Weights:
    """An .npz, member by member; unlike `numpy.load` it allocates no more than the file holds."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {member.filename[:-len(".npy")]: _read_member(archive, member, os.path.getsize(path))
                    for member in archive.infolist()}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        raise ValueError(f"{path} is no whole .npz file as numpy.savez writes it ({error})") from None


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, limit: int) -> np.ndarray:
    if member.compress_type != zipfile.ZIP_STORED or member.file_size > limit:
        raise ValueError(f"{member.filename} is compressed, or its size wrong")
    with archive.open(member) as stream:
        if np.lib.format.read_magic(stream) != (1, 0):
            raise ValueError(f"{member.filename} is not in version 1.0 of NumPy's format")
        shape, columns_first, dtype = np.lib.format.read_array_header_1_0(stream)
        data = bytearray(stream.read())  # to the end, where the checksum is compared
    size = math.prod(shape) * dtype.itemsize
    if dtype.hasobject or size != len(data):
        raise ValueError(f"{member.filename} announces {size:,} bytes of {dtype}, which it has not")
    return np.ndarray(shape, dtype, data, order="F" if columns_first else "C")


def _read_safetensors(path: str) -> Weights:
    library = _library("safetensors")
    try:
        with library.safe_open(path, framework="np") as source:
            arrays = {name: source.get_tensor(name) for name in source.keys()}  # noqa: SIM118
            metadata = source.metadata() or {}
        if _NAMES not in metadata:
            return from_torch(arrays)
        keys = json.loads(metadata[_NAMES])
        if sorted(key.partition(":")[2] for key in keys) != sorted(arrays):
            raise ValueError("its metadata names other parameters")
    except (library.SafetensorError, ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no whole .safetensors file of weights ({error})") from None
    return {key: arrays[key.partition(":")[2]] for key in keys}


def _write_safetensors(path: str, weights: Weights) -> None:
    _library("safetensors")
    arrays = {key.partition(":")[2]: np.ascontiguousarray(array) for key, array in weights.items()}
    if len(arrays) < len(weights):
        raise ValueError(f"{path} cannot hold an arg: and an aux: of the same name")
    mode = os.stat(path).st_mode
    importlib.import_module("safetensors.numpy").save_file(arrays, path, {_NAMES: json.dumps(list(weights))})
    os.chmod(path, mode)  # the library's is for the owner alone


def _read_torch(path: str) -> Weights:
    torch = _library("torch")
    with open(path, "rb") as source:
        start = source.read(16)
    if tuple(map(int, torch.__version__.split(".")[:2])) < SAFE_TORCH:
        raise ValueError(f"{path}: PyTorch {torch.__version__} may run code that is in such a file (CVE-2025-32434): "
                         "pip install 'torch>={}.{}'".format(*SAFE_TORCH))
    try:
        with warnings.catch_warnings():  # of old and odd files, where the error says enough
            warnings.simplefilter("ignore")
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # of many kinds, for a damaged or hostile file; their advice is to run what is in it
        raise ValueError(f"{path} is no whole PyTorch file with nothing in it but tensors: it starts with {start!r}"
                         ) from None
    try:
        return from_torch(_arrays(state))
    except (ValueError, TypeError) as error:  # NumPy has no bfloat16
        raise ValueError(f"{path} is no whole PyTorch state dict of these networks ({error})") from None


def _arrays(state: Any) -> Dict[str, np.ndarray]:
    """The tensors of a state dict, or of a training's file that has one as "state_dict"; without what `DataParallel`
    puts before names."""
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(hasattr(value, "detach") for value in state.values()):
        raise ValueError('wanted tensors by their names, or such as "state_dict" of a dictionary')
    wrapped = all(str(name).startswith(_WRAPPED) for name in state)
    return {str(name)[len(_WRAPPED) if wrapped else 0:]: value.detach().numpy() for name, value in state.items()}


def _write_torch(path: str, weights: Weights) -> None:
    torch = _library("torch")
    tensors = ((name, torch.from_numpy(np.array(array))) for name, array in to_torch(weights).items())
    torch.save(OrderedDict(tensors), path)


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f"{name} cannot be imported ({error}): pip install {name}") from None


def to_torch(weights: Mapping[str, Any]) -> Dict[str, Any]:
    """{name in the PyTorch layout: array} for {`arg:…` or `aux:…`: array}, in order; ValueError where there is none."""
    state = {}
    for key, array in weights.items():
        found = _KEY.fullmatch(key)
        if not found or (found[1] == "aux") != found[3].startswith("moving_"):
            raise ValueError(f"{key} has no name in the PyTorch layout")
        _, layer, end = found.groups()
        unit = _UNIT.fullmatch(layer)
        if unit:
            form, level, number, branch = unit.groups()
            layer = f"b{level}{'_' + number if number else ''}.{'conv' if form == 'res' else form}_{branch}"
        state[f"{layer}.{_BN.get(end, end)}"] = array
    return state


def from_torch(state: Mapping[str, Any]) -> Dict[str, Any]:
    """{`arg:…` or `aux:…`: array} for {name in the PyTorch layout: array}, in order, but the counters of batches."""
    weights = {}
    normalisations = {name.rpartition(".")[0] for name in state if name.endswith(".running_mean")}
    for name, array in state.items():
        if name.endswith(_COUNTER):
            continue
        layer, _, end = name.rpartition(".")
        unit, is_bn = _TORCH_UNIT.fullmatch(layer), layer in normalisations
        if not layer or ("." in layer and not unit) or end not in (_OF_BN if is_bn else _PLAIN):
            raise ValueError(f"{name} is no name of the PyTorch layout, such as b2.conv_branch2a.weight")
        if unit:
            level, number, form, branch = unit.groups()
            layer = f"{'res' if form == 'conv' else form}{level}{'b' + number if number else 'a'}_{branch}"
        weights[f"{'aux' if end.startswith('running_') else 'arg'}:{layer}_{_OF_BN[end] if is_bn else end}"] = array
    return weights


FORMATS = {
    ".params": (read_params, write_params),
    ".npz": (_read_npz, lambda path, weights: np.savez(path, **cast(Dict[str, Any], weights))),
    ".safetensors": (_read_safetensors, _write_safetensors),
    ".pth": (_read_torch, _write_torch),
}
