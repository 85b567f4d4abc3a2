"""A network in an ONNX file, run by onnxruntime: no MXNet is needed.

The file holds what one must know to use it, as texts in JSON: the fields of `Description` in its metadata.
"""
import dataclasses
import json
import os
import typing
from dataclasses import dataclass
from typing import Tuple

import numpy as np

from ademxapp.machine import processors

DATA, OUTPUT = "data", "softmax_output"  # names of the file's input and output
PIXEL_TYPES = ("uint8", "float32")
INSTALL = "pip install 'ademxapp[onnx]' (in a clone of the project: pip install -e '.[onnx]')"


@dataclass(frozen=True)
class Description:
    """What is known of an exported network.

    Attributes
    ----------
    label : str
        Of the run that it comes from.
    task : str
        "classification": probabilities (N, classes); "segmentation": (N, classes, H / stride, W / stride).
    classes, stride : int
        Number of classes; pixels from one cell to the next.
    mean, std : 3 floats
        Of RGB / 255, by which inputs are normalised.
    interpolation : str
        How images are scaled (see `ademxapp.data.resize`).
    test_scale : int
        Pixels of the shorter side in classification, of the longer one in segmentation.
    class_names : tuple of str
        None where they are not known.
    label_ids : tuple of int
        Segmentation: what each class is in label images.
    palette : tuple of (r, g, b)
        Segmentation: colours of label images' values, 0 … 255.
    same_size : bool
        Segmentation: all images of the dataset have one size.
    pixels : str
        "uint8" or "float32" where normalisation is a part of the network: inputs are RGB in 0 … 255. Else "".
    """

    label: str
    task: str
    classes: int
    stride: int
    mean: Tuple[float, float, float]
    std: Tuple[float, float, float]
    interpolation: str
    test_scale: int
    class_names: Tuple[str, ...] = ()
    label_ids: Tuple[int, ...] = ()
    palette: Tuple[Tuple[int, int, int], ...] = ()
    same_size: bool = False
    pixels: str = ""

    def properties(self):
        """The fields as {name: JSON}."""
        return {name: json.dumps(value, ensure_ascii=False) for name, value in dataclasses.asdict(self).items()}


def read_description(properties, path):
    """The `Description` in {name: JSON}; ValueError, which names `path`, if it is not there or not whole."""
    hints = typing.get_type_hints(Description)
    try:
        found = Description(**{name: _tuples(json.loads(properties[name])) for name in hints})
        good = all(isinstance(getattr(found, name), typing.get_origin(hint) or hint) for name, hint in hints.items())
        if good and found.classes > 0 and found.stride > 0 and len(found.mean) == len(found.std) == 3 and (
                len(found.class_names) in (0, found.classes)):
            return found
    except (KeyError, TypeError, ValueError):
        pass
    raise ValueError(f"{path} does not say what its inputs and classes are: wanted a file that tools/weights.py export "
                     "wrote")


class OnnxModel:
    """A network in an ONNX file, ready for testing.

    Called, it gives probabilities, float32, for normalised inputs (N, 3, H, W) float32, as `Predictor` does.

    Attributes
    ----------
    description : Description
    size : (int, int) or None
        (H, W) of the inputs, where the file takes no others.

    Raises ValueError for a file that cannot be used, ImportError where onnxruntime is missing.
    """

    def __init__(self, path, threads=None):
        runtime = _runtime()
        with open(path, "rb"):  # an OSError that names the file
            pass
        options = runtime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads or processors(), 3
        try:
            self._session = runtime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions have no common ancestor but this
            raise ValueError(f"{path} cannot be read by onnxruntime: {_reason(error)}") from None
        self.path, self._input = path, self._session.get_inputs()[0]
        self.description = read_description(self._session.get_modelmeta().custom_metadata_map, path)
        sides = self._input.shape[2:]
        self.size = tuple(sides) if all(isinstance(side, int) for side in sides) else None

    def __call__(self, data):
        """Probabilities (N, …) float32 for normalised inputs (N, 3, H, W) float32; ValueError for another size."""
        if self.size and data.shape[2:] != self.size:
            raise ValueError("{} takes inputs of {}x{} pixels only, not {}x{}: export it with --dynamic for others"
                             .format(self.path, *self.size[::-1], *data.shape[:1:-1]))
        if self.description.pixels:
            data = self._to_pixels(data)
        at_once = self._input.shape[0] if isinstance(self._input.shape[0], int) else len(data)
        return np.concatenate([self._run(data[start:start + at_once]) for start in range(0, len(data), at_once)])

    def _run(self, data):
        try:
            return self._session.run([OUTPUT], {DATA: np.ascontiguousarray(data)})[0]
        except Exception as error:
            raise ValueError(f"{self.path} cannot be run: {_reason(error)}") from None

    def _to_pixels(self, data):
        """Normalised inputs as RGB in 0 … 255: the file normalises them itself."""
        mean, std = (255 * np.asarray(values).reshape(3, 1, 1) for values in
                     (self.description.mean, self.description.std))
        pixels = data * std + mean
        if self.description.pixels == "uint8":
            pixels = np.clip(np.round(pixels), 0, 255)
        return pixels.astype(self.description.pixels)


def _runtime():
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError(f"ONNX files need onnxruntime ({error}): {INSTALL}") from None
    return onnxruntime


def _reason(error):
    """The first line of what onnxruntime says."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _tuples(value):
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
