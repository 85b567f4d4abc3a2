"""A network in an ONNX file, run by onnxruntime: no MXNet is needed.

The file holds what one must know to use it, as texts in JSON: the fields of `Description` in its metadata.
"""
import os
from typing import Any, Callable, Optional, Tuple

import numpy as np

from ademxapp.evaluation.windows import predict_in_windows
from ademxapp.machine import processors
from ademxapp.weights.description import read_properties

DATA, OUTPUT = "data", "softmax_output"  # names of the file's input and output
PIXEL_TYPES = ("uint8", "float32")
INSTALL = "pip install 'ademxapp[onnx]' (in a clone of the project: pip install -e '.[onnx]')"


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

    def __init__(self, path: str, threads: Optional[int] = None) -> None:
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
        self.description = read_properties(self._session.get_modelmeta().custom_metadata_map, path)
        sides = self._input.shape[2:]
        self.size = tuple(sides) if all(isinstance(side, int) for side in sides) else None

    def __call__(self, data: np.ndarray) -> np.ndarray:
        """Probabilities (N, …) float32 for normalised inputs (N, 3, H, W) float32; ValueError for another size."""
        self.require_size(data.shape[2:])
        if self.description.pixels:
            data = self._to_pixels(data)
        at_once = self._input.shape[0] if isinstance(self._input.shape[0], int) else len(data)
        return np.concatenate([self._run(data[start:start + at_once]) for start in range(0, len(data), at_once)])

    def require_size(self, size: Tuple[int, ...]) -> None:
        """ValueError unless the file takes inputs of (H, W) pixels."""
        if self.size and tuple(size) != self.size:
            raise ValueError("{} takes inputs of {}x{} pixels only, not {}x{}: export it with --dynamic for others"
                             .format(self.path, *self.size[::-1], *size[::-1]))

    def begin(self, data: np.ndarray) -> Callable[[], np.ndarray]:
        """As of `Predictor`; it has run when this returns."""
        outputs = self(data)
        return lambda: outputs

    def _run(self, data: np.ndarray) -> np.ndarray:
        try:
            return self._session.run([OUTPUT], {DATA: np.ascontiguousarray(data)})[0]
        except Exception as error:
            raise ValueError(f"{self.path} cannot be run: {_reason(error)}") from None

    def _to_pixels(self, data: np.ndarray) -> np.ndarray:
        """Normalised inputs as RGB in 0 … 255: the file normalises them itself."""
        mean, std = (255 * np.asarray(values).reshape(3, 1, 1) for values in
                     (self.description.mean, self.description.std))
        pixels = data * std + mean
        if self.description.pixels == "uint8":
            pixels = np.clip(np.round(pixels), 0, 255)
        return pixels.astype(self.description.pixels)


def of_any_size(model: OnnxModel) -> Callable[[np.ndarray], np.ndarray]:
    """A segmenting `OnnxModel` that takes inputs of any number of whole cells.

    If the file is for one size, larger inputs go through it in overlapping windows of that size, and smaller ones
    with the mean colour beside them.
    """
    if model.size is None:
        return model
    cell, size = model.description.stride, model.size

    def predict(data: np.ndarray) -> np.ndarray:
        height, width = data.shape[2:]
        beside = [(0, max(0, own - side)) for own, side in zip(size, (height, width))]
        scores = predict_in_windows(model, np.pad(data, ((0, 0), (0, 0), *beside)), size, cell)
        return scores[:, :, :height // cell, :width // cell]
    return predict


def require_none(path: str, **given: Any) -> None:
    """ValueError for an argument that cannot change anything of an ONNX file."""
    idle = [name for name, value in given.items() if value is not None]
    if idle:
        raise ValueError(f"{', '.join(idle)} with {path}: an ONNX file says itself what its classes are, and runs on "
                         "the CPU")


def _runtime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError(f"ONNX files need onnxruntime ({error}): {INSTALL}") from None
    return onnxruntime


def _reason(error: Exception) -> str:
    """The first line of what onnxruntime says."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]

