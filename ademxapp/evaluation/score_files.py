"""Score maps in HDF5 files: a dataset `scores` (C, h, w) float16 of probabilities on the grid of cells.

Attributes of it: `scale` (the longer side of the image as the network saw it, in pixels), `flip` (whether it is the
average with the mirrored image), `steps` (shifts per direction), `pred_stride` (scaled pixels from one cell to the
next), `input_size` and `image_size` ((h, w) in pixels: of the network's input, whose cells the grid has, and of the
image), `weights` (the network's file), `identity` (of the test that made it; older files lack it) and, where the input
went through the network in windows, `window` (their side).

The files are of HDF5's version 1.8, whose headers have checksums: libhdf5 can go on for ever with a damaged one.
"""
import reprlib
from typing import Any, Dict, Optional, Sequence, Tuple

import h5py
import numpy as np

from ademxapp.data.transforms import scaled_size
from ademxapp.evaluation.dense import DenseSettings, ScoreMap
from ademxapp.files import replacing

DATASET = "scores"
ATTRIBUTES = ("scale", "flip", "steps", "pred_stride", "input_size", "image_size", "weights")
_NUMBERS, _SIZES = ("scale", "steps", "pred_stride"), ("input_size", "image_size")
_VERSION, _START = ("v108", "v108"), b"\x89HDF\r\n\x1a\n\x02"
_LARGEST = 2 ** 20  # pixels of a side


def write_scores(path: str, score_map: ScoreMap, scale: int, settings: DenseSettings, weights: str, identity: str = ""
                 ) -> None:
    """Write the `ScoreMap` of an image at a scale, made with `settings`, whole or not at all."""
    cells = score_map.scores.shape[1:]
    with replacing(path) as temporary, h5py.File(temporary, "w", libver=_VERSION) as out:
        stored = out.create_dataset(DATASET, data=score_map.scores.astype(np.float16))
        stored.attrs.update({
            "scale": scale, "flip": settings.flipping, "steps": settings.steps, "pred_stride": score_map.cell,
            "input_size": [side * score_map.cell for side in cells], "image_size": score_map.size, "weights": weights})
        if identity:
            stored.attrs["identity"] = identity
        if settings.window:
            stored.attrs["window"] = settings.window


def read_scores(path: str, size: Optional[Tuple[int, int]] = None, classes: Optional[int] = None
                ) -> Tuple[ScoreMap, Dict[str, Any]]:
    """The `ScoreMap` of a file, and its attributes.

    OSError if there is no such file; ValueError if it is not whole, is no score file, or does not agree with itself, or
    with the `size` (h, w) of the image or the number of `classes`, where these are given.
    """
    with open(path, "rb") as source:
        start = source.read(len(_START))
    if start != _START:
        raise ValueError(f"{path} is no whole score file: it is no HDF5 file with checksums; predict it again")
    try:
        with h5py.File(path, "r") as source:
            scores, attributes = _read(source)
    except (OSError, KeyError, RuntimeError, TypeError, ValueError, OverflowError, MemoryError) as error:
        raise ValueError(f"{path} is no whole score file: {' '.join(str(error).split())}; predict it again") from None
    missing = [name for name in ATTRIBUTES if name not in attributes]
    wrong = [f"it has no attribute {', '.join(missing)}"] if missing else [
        f"its scores have the shape {scores.shape}"] if scores.ndim != 3 else [
        f"its attribute {name} is {reprlib.repr(attributes[name])}" for name in ATTRIBUTES
        if not _is_usable(name, attributes[name])]
    if wrong:
        raise ValueError(f"{path} is no score file of this program: {wrong[0]}")
    _require_fit(path, scores.shape, attributes, size, classes)
    if not np.isfinite(scores).all():
        raise ValueError(f"{path} has scores that are not finite: tools/weights.py check tells whether the weights "
                         "are; predict it again")
    height, width = attributes["image_size"]
    scaled = scaled_size((height, width), attributes["scale"], longer=True)
    return ScoreMap(scores.astype(np.float32), attributes["pred_stride"], scaled, (height, width)), attributes


def _read(source: h5py.File) -> Tuple[np.ndarray, Dict[str, Any]]:
    """Scores and attributes of an open file; nothing larger than the file is made room for."""
    stored, size = source[DATASET], source.id.get_filesize()
    if not isinstance(stored, h5py.Dataset) or stored.dtype.kind != "f":
        raise ValueError("its scores are no array of floats")
    if stored.nbytes > size:
        raise ValueError(f"its scores would be {stored.nbytes} bytes, the file has {size}")
    attributes = {}
    for name in (*ATTRIBUTES, "window", "identity"):
        if name in stored.attrs:
            if stored.attrs.get_id(name).get_storage_size() > size:
                raise ValueError(f"its attribute {name} is larger than the file")
            value = stored.attrs[name]
            attributes[name] = value.decode() if isinstance(value, bytes) else (
                value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value)
    return stored[()], attributes


def _is_usable(name: str, value: Any) -> bool:
    if name in _NUMBERS:
        return isinstance(value, (int, float)) and 0 < value <= _LARGEST
    if name in _SIZES:
        return isinstance(value, list) and len(value) == 2 and all(
            isinstance(side, int) and 0 < side <= _LARGEST for side in value)
    return isinstance(value, str if name == "weights" else (bool, int))


def _require_fit(path: str, shape: Tuple[int, ...], attributes: Dict[str, Any], size: Optional[Tuple[int, int]],
                 classes: Optional[int]) -> None:
    cell, of_file = attributes["pred_stride"], tuple(attributes["image_size"])
    grid = tuple(side // cell for side in attributes["input_size"]) if cell > 0 else ()
    scaled = scaled_size(of_file, attributes["scale"], longer=True)
    if shape[1:] != grid or any(side > cells * cell for side, cells in zip(scaled, grid)):
        raise ValueError(f"{path}: {shape[1]}x{shape[2]} cells do not fit an input of {_by(attributes['input_size'])} "
                         f"pixels, cells of {cell} and an image of {_by(scaled)}")
    if size is not None and of_file != tuple(size):
        raise ValueError(f"{path} is of an image of {_by(of_file)} pixels, the image has {_by(size)}")
    if classes is not None and shape[0] != classes:
        raise ValueError(f"{path} has {shape[0]} classes, wanted {classes}")


def _by(size: Sequence[int]) -> str:
    """(h, w) as text, width first."""
    return f"{size[1]}x{size[0]}"
