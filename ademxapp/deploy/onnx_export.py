"""Networks as ONNX files that are known to compute what the engine computes.

A file ends in a softmax in the place of the loss, its parameters are constants and not inputs (else no runtime folds
them), its operator set is an old one that every runtime knows.
"""
from dataclasses import dataclass
from typing import TYPE_CHECKING, List, Optional, Sequence, Tuple

import numpy as np

from ademxapp import engine
from ademxapp.data import transforms
from ademxapp.data.scenes import draw_scene, picture_rng
from ademxapp.deploy.onnx_model import DATA, INSTALL, OUTPUT, OnnxModel
from ademxapp.files import replacing
from ademxapp.symbol import whole_cells
from ademxapp.weights.description import Description
from ademxapp.weights.parameters import Parameters, parameter_shapes, require_exact

if TYPE_CHECKING:
    from onnx import ModelProto

    from ademxapp.deploy.onnx_graph import Graph
    from ademxapp.engine import Symbol

OPSET, IR_VERSION = 13, 7  # of ONNX 1.8
TOLERANCE = 1e-5  # of probabilities
CALLED = {"mxnet": "MXNet", "torch": "PyTorch"}  # the engines
LARGEST_CHECK = 320  # pixels, of a network that takes any size
FILE_LIMIT = 2 ** 31 - 2 ** 20  # bytes of a protocol buffer, less those of the graph


@dataclass(frozen=True)
class Agreement:
    """How close onnxruntime came to an engine: the largest difference of probabilities, over how many decisions."""

    largest: float
    decisions: int
    engine: str


def export_onnx(path: str, symbol: "Symbol", parameters: Parameters, description: Description,
                size: Optional[Tuple[int, int]] = None) -> Agreement:
    """Write a network as ONNX, whole or not at all, after a comparison with the engine.

    The file's input is `data`, its output `softmax_output`, both (N, …); its metadata has the fields of
    `ademxapp.weights.description.Description`.

    Parameters
    ----------
    path : str
    symbol : Symbol
        As `classification_symbol` and `segmentation_symbol` give it.
    parameters : Parameters
    description : Description
        Normalisation becomes a part of the network if its `pixels` says so.
    size : (int, int), optional
        (H, W) of the inputs, which come one by one; without it they are of any number and size.

    Returns
    -------
    Agreement

    Raises
    ------
    ValueError
        If the network cannot be written as ONNX, or onnxruntime's probabilities differ from the engine's by more
        than `TOLERANCE`.
    """
    _require_packages()
    import onnx
    _require_possible(symbol, parameters, description, size)
    with replacing(path) as temporary:
        model = _model(symbol, parameters, description, size)
        onnx.checker.check_model(model)
        onnx.save(model, temporary)
        del model  # as large as the parameters
        return compare(OnnxModel(temporary), symbol, parameters)


def compare(model: OnnxModel, symbol: "Symbol", parameters: Parameters,
            images: Optional[Sequence[np.ndarray]] = None) -> Agreement:
    """Run an `OnnxModel` and the engine on the same images.

    Parameters
    ----------
    images : list of ndarray, optional
        (N, H, W, 3) uint8 each; by default drawn scenes.

    Returns
    -------
    Agreement

    Raises ValueError if probabilities differ by more than `TOLERANCE`, or the best class where the second best is
    not as close.
    """
    runs, largest, decisions = engine.load(), 0.0, 0
    called = CALLED[runs.NAME]
    predictor = runs.Predictor(symbol, parameters, runs.devices(cpus=1))
    colours = transforms.normalisation(model.description.mean, model.description.std)
    for batch in images or check_images(model):
        data = np.stack([transforms.apply_colour_map(image, *colours) for image in batch])
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


def check_images(model: OnnxModel) -> List[np.ndarray]:
    """Batches of drawn scenes, (N, H, W, 3) uint8 each, of the size of the model or of two sizes."""
    if model.size:
        sizes = [(1, model.size), (1, model.size)]
    else:
        side, stride = _side(model.description), model.description.stride
        sizes = [(2, (side, side)), (1, (side, side + stride * max(1, side // stride // 4)))]
    return [np.stack([draw_scene(picture_rng(0, "check", number, image), size)[0] for image in range(count)])
            for number, (count, size) in enumerate(sizes)]


def _side(description: Description) -> int:
    """Pixels of a typical input, whole cells."""
    side = description.test_scale
    if description.task == "segmentation":
        side = whole_cells(min(side, LARGEST_CHECK), description.stride)
    return side


def _require_possible(symbol: "Symbol", parameters: Parameters, description: Description,
                      size: Optional[Tuple[int, int]]) -> None:
    """ValueError unless the network takes inputs of the size, or of several sizes, and its file is not too large."""
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


def _model(symbol: "Symbol", parameters: Parameters, description: Description,
           size: Optional[Tuple[int, int]]) -> "ModelProto":
    """The network as an `onnx.ModelProto`."""
    from onnx import TensorProto, helper

    from ademxapp.deploy.onnx_graph import Graph, add_scores
    graph = Graph()
    data = _normalise_inside(graph, description) if description.pixels else DATA
    graph.add("Softmax", [add_scores(graph, symbol.tojson(), parameters.all, data)], OUTPUT, axis=1)
    input_shape = ("batch", 3, "height", "width") if size is None else (1, 3, *size)
    output_shape = symbol.infer_shape(data=(1, 3, *(size or 2 * (_side(description),))))[1][0]
    if size is None:
        output_shape = ("batch", description.classes, "cells_high", "cells_wide")[:len(output_shape)]
    pixels = helper.np_dtype_to_tensor_dtype(np.dtype(description.pixels or np.float32))
    made = helper.make_model(
        helper.make_graph(graph.nodes, description.label, [helper.make_tensor_value_info(DATA, pixels, input_shape)],
                          [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, output_shape)], graph.constants),
        opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="ademxapp")
    helper.set_model_props(made, description.properties())
    return made


def _normalise_inside(graph: "Graph", description: Description) -> str:
    """Add the normalisation of RGB in 0 … 255; the name of what it gives."""
    matrix, offset = transforms.normalisation(description.mean, description.std)
    factor, offset = (graph.constant(f"{DATA}_{name}", values.reshape(1, 3, 1, 1), np.float32)
                      for name, values in (("factor", matrix.diagonal()), ("offset", offset)))
    pixels = graph.add("Cast", [DATA], f"{DATA}_float", to=1)  # float32
    return graph.add("Add", [graph.add("Mul", [pixels, factor], f"{DATA}_scaled"), offset], f"{DATA}_normalised")


def _require_packages() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401  for the comparison
    except ImportError as error:
        raise ImportError(f"exporting needs onnx and onnxruntime ({error}): {INSTALL}") from None
