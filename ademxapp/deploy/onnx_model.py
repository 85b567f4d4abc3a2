"""A network in an ONNX file: written after a comparison with the engine, and run by onnxruntime without one.

The file holds what one must know to use it, as texts in JSON: the fields of `Description` in its metadata.
"""
import os
from typing import Any, Callable, NamedTuple, Optional, Tuple

import numpy as np

from ademxapp import engine
from ademxapp.data import transforms
from ademxapp.data.scenes import draw_scene, picture_rng
from ademxapp.errors import UsageError
from ademxapp.evaluation.windows import predict_in_windows
from ademxapp.files import replacing
from ademxapp.machine import processors
from ademxapp.symbol import whole_cells
from ademxapp.weights.description import Description, read_properties
from ademxapp.weights.parameters import INPUTS, Parameters, parameter_shapes, require_exact

DATA, OUTPUT = INPUTS[0], "softmax_output"  # names of the file's input and output
PIXEL_TYPES = ("uint8", "float32")
INSTALL = "pip install 'ademxapp[onnx]' (in a clone of the project: pip install -e '.[onnx]')"
TOLERANCE = 1e-5  # of probabilities
LARGEST_CHECK = 320  # pixels, of a network that takes any size
FILE_LIMIT = 2 ** 31 - 2 ** 20  # bytes of a protocol buffer, less those of the graph


class OnnxModel(engine.Predictor):
    """A network in an ONNX file, ready for testing.

    `size` is (H, W) of the inputs, where the file takes no others, else None. ValueError for a file that cannot be
    used, ImportError where onnxruntime is missing.
    """

    def __init__(self, path: str) -> None:
        try:
            import onnxruntime as runtime
        except ImportError as error:
            raise ImportError(f"ONNX files need onnxruntime ({error}): {INSTALL}") from None
        with open(path, "rb"):  # an OSError that names the file
            pass
        options = runtime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = processors(), 3
        try:
            self._session = runtime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions have no common ancestor but this
            raise ValueError(f"{path} cannot be read by onnxruntime: {_reason(error)}") from None
        self.path, self._input = path, self._session.get_inputs()[0]
        self.description = read_properties(self._session.get_modelmeta().custom_metadata_map, path)
        sides = self._input.shape[2:]
        self.size = tuple(sides) if all(isinstance(side, int) for side in sides) else None

    def begin(self, data: np.ndarray) -> Callable[[], np.ndarray]:
        """Probabilities (N, …), float32, for normalised inputs (N, 3, H, W); the file has run when this returns."""
        self.require_size(data.shape[2:])
        pixels = self.description.pixels
        if pixels:  # the file normalises RGB in 0 … 255 itself
            mean, std = (255 * np.asarray(values).reshape(3, 1, 1)
                         for values in (self.description.mean, self.description.std))
            data = data * std + mean
            data = (np.clip(np.round(data), 0, 255) if pixels == "uint8" else data).astype(pixels)
        at_once = self._input.shape[0] if isinstance(self._input.shape[0], int) else len(data)
        try:
            outputs = np.concatenate([
                self._session.run([OUTPUT], {DATA: np.ascontiguousarray(data[start:start + at_once])})[0]
                for start in range(0, len(data), at_once)])
        except Exception as error:
            raise ValueError(f"{self.path} cannot be run: {_reason(error)}") from None
        return lambda: outputs

    def require_size(self, size: Tuple[int, ...]) -> None:
        """ValueError unless the file takes inputs of (H, W) pixels."""
        if self.size and tuple(size) != self.size:
            raise ValueError("{} takes inputs of {}x{} pixels only, not {}x{}: export it with --dynamic for others"
                             .format(self.path, *self.size[::-1], *size[::-1]))


def of_any_size(model: OnnxModel) -> Callable[[np.ndarray], np.ndarray]:
    """A segmenting `OnnxModel` for any number of whole cells; one that takes one size runs in windows of that."""
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
    """UsageError for an argument that cannot change anything of an ONNX file."""
    idle = [name for name, value in given.items() if value is not None]
    if idle:
        raise UsageError(f"{', '.join(idle)} with {path}: an ONNX file says itself what its classes are, and runs on "
                         "the CPU")


def _reason(error: Exception) -> str:
    """The first line of what onnxruntime says."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


class Agreement(NamedTuple):
    """How close onnxruntime came to an engine: the largest difference of probabilities, over how many decisions."""

    largest: float
    decisions: int
    engine: str


def export_onnx(path: str, symbol: engine.Symbol, parameters: Parameters, description: Description,
                size: Optional[Tuple[int, int]] = None) -> Agreement:
    """Write a network as ONNX, whole or not at all, after a comparison with the engine.

    The file's input is `data`, its output `softmax_output`, both (N, …); its metadata has the fields of the
    description, whose `pixels` says whether normalisation is a part of the network. Inputs of `size`, (H, W), come one
    by one; without it they are of any number and size. The symbol is `classification_symbol`'s or
    `segmentation_symbol`'s.

    ValueError if the network cannot be written as ONNX, does not take such inputs, is too large for a file, or
    onnxruntime's probabilities differ from the engine's by more than `TOLERANCE`.
    """
    try:
        import onnx
        import onnxruntime  # noqa: F401  for the comparison

        from ademxapp.deploy.onnx_graph import make_model
    except ImportError as error:
        raise ImportError(f"exporting needs onnx and onnxruntime ({error}): {INSTALL}") from None
    height, width = size or 2 * (_side(description),)
    require_exact(parameters, parameter_shapes(symbol, data=(1, 3, height, width)), description.label)
    if size is None:
        try:
            larger = parameter_shapes(symbol, data=(1, 3, height, width + description.stride))
            require_exact(parameters, larger, description.label)
        except ValueError:
            raise ValueError(f"the network of {description.label} takes inputs of one size only: export it with "
                             f"--size {height} instead of --dynamic") from None
    bytes_needed = sum(4 * value.size for value in parameters.all.values())
    if bytes_needed > FILE_LIMIT:
        raise ValueError(f"the parameters of {description.label} take {bytes_needed:,} bytes; an ONNX file holds "
                         f"{FILE_LIMIT:,}")
    with replacing(path) as temporary:
        model = make_model(symbol, parameters, description, (height, width), dynamic=size is None)
        onnx.checker.check_model(model)
        onnx.save(model, temporary)
        del model  # as large as the parameters
        return _compared(OnnxModel(temporary), symbol, parameters)


def _compared(model: OnnxModel, symbol: engine.Symbol, parameters: Parameters) -> Agreement:
    """The model and the engine on drawn scenes, of its size or of two; ValueError where they do not agree."""
    runs, largest, decisions = engine.load(), 0.0, 0
    called = engine.ENGINES[runs.NAME]
    predictor = runs.Predictor(symbol, parameters, runs.devices(cpus=1))
    colours = transforms.normalisation(model.description.mean, model.description.std)
    side, stride = _side(model.description), model.description.stride
    sizes = 2 * [(1, model.size)] if model.size else [
        (2, (side, side)), (1, (side, side + stride * max(1, side // stride // 4)))]
    for number, (count, size) in enumerate(sizes):
        scenes = [draw_scene(picture_rng(0, "check", number, image), size)[0] for image in range(count)]
        data = np.stack([transforms.apply_colour_map(scene, *colours) for scene in scenes])
        wanted, got = predictor(data), model(data)
        if not np.isfinite(wanted).all():
            raise ValueError(f"{called} gives probabilities that are not finite: tools/weights.py check tells whether "
                             "the weights are; nothing was written")
        if wanted.shape != got.shape or not np.isfinite(got).all():
            raise ValueError(f"onnxruntime gives other probabilities than {called}: {got.shape}, wanted "
                             f"{wanted.shape}, all of them finite")
        largest = max(largest, float(abs(wanted - got).max()))
        second, best = np.partition(wanted, -2, axis=1)[:, -2:].swapaxes(0, 1)
        clear = best - second > 2 * TOLERANCE
        if largest > TOLERANCE or (wanted.argmax(1) != got.argmax(1))[clear].any():
            raise ValueError(f"onnxruntime's probabilities differ from {called}'s by {largest:.2g}, at most "
                             f"{TOLERANCE:g} is right: nothing was written for {model.description.label}")
        decisions += clear.size
    return Agreement(largest, decisions, called)


def _side(description: Description) -> int:
    """Pixels of a typical input, whole cells."""
    if description.task == "segmentation":
        return whole_cells(min(description.test_scale, LARGEST_CHECK), description.stride)
    return description.test_scale
