"""Networks as ONNX files that are known to compute what MXNet computes.

What MXNet's own exporter (`mx.onnx`, for onnx 1.16.2 to 1.18.0) leaves to do is done here: a softmax in the place of
the loss, parameters that are constants and not inputs, an old operator set that every runtime knows, normalisation,
and the description of inputs and classes.
"""
import contextlib
from dataclasses import dataclass

import numpy as np

from ademxapp.backend import mx
from ademxapp.data import transforms
from ademxapp.data.scenes import draw_scene, picture_rng
from ademxapp.deploy.onnx_model import DATA, INSTALL, OUTPUT, OnnxModel
from ademxapp.evaluation.predictor import Predictor
from ademxapp.files import replacing
from ademxapp.weights.parameters import parameter_shapes, require_exact

OPSET, IR_VERSION = 13, 7  # of ONNX 1.8: every operator is as MXNet writes it
TOLERANCE = 1e-5  # of probabilities
LARGEST_CHECK = 320  # pixels, of a network that takes any size
FILE_LIMIT = 2 ** 31 - 2 ** 20  # bytes of a protocol buffer, less those of the graph


@dataclass(frozen=True)
class Agreement:
    """How close onnxruntime came to MXNet: the largest difference of probabilities, over how many decisions."""

    largest: float
    decisions: int


def export_onnx(path, symbol, parameters, description, size=None):
    """Write a network as ONNX, whole or not at all, after a comparison with MXNet.

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
        If the network cannot be written as ONNX, or onnxruntime's probabilities differ from MXNet's by more than
        `TOLERANCE`.
    """
    onnx = _onnx()
    _require_possible(symbol, parameters, description, size)
    with replacing(path) as temporary:
        _write_graph(temporary, symbol, parameters, size or 2 * (_side(description),), dynamic=size is None)
        model = onnx.load(temporary)
        _finish(onnx, model, description)
        onnx.checker.check_model(model)
        onnx.save(model, temporary)
        return compare(OnnxModel(temporary), symbol, parameters)


def compare(model, symbol, parameters, images=None):
    """Run an `OnnxModel` and MXNet on the same images.

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
    predictor, largest, decisions = Predictor(symbol, parameters, [mx.cpu()]), 0.0, 0
    colours = transforms.normalisation(model.description.mean, model.description.std)
    for batch in images or check_images(model):
        data = np.stack([transforms.apply_colour_map(image, *colours) for image in batch])
        wanted, got = predictor(data), model(data)
        if wanted.shape != got.shape or not np.isfinite(got).all():
            raise ValueError(f"onnxruntime gives other probabilities than MXNet: {got.shape}, wanted {wanted.shape}, "
                             "all of them finite")
        largest = max(largest, float(abs(wanted - got).max()))
        second, best = np.partition(wanted, -2, axis=1)[:, -2:].swapaxes(0, 1)
        clear = best - second > 2 * TOLERANCE
        if largest > TOLERANCE or (wanted.argmax(1) != got.argmax(1))[clear].any():
            raise ValueError(f"onnxruntime's probabilities differ from MXNet's by {largest:.2g}, at most {TOLERANCE:g} "
                             f"is right: nothing was written for {model.description.label}")
        decisions += clear.size
    return Agreement(largest, decisions)


def check_images(model):
    """Batches of drawn scenes, (N, H, W, 3) uint8 each, of the size of the model or of two sizes."""
    if model.size:
        sizes = [(1, model.size), (1, model.size)]
    else:
        side, stride = _side(model.description), model.description.stride
        sizes = [(2, (side, side)), (1, (side, side + stride * max(1, side // stride // 4)))]
    return [np.stack([draw_scene(picture_rng(0, "check", number, image), size)[0] for image in range(count)])
            for number, (count, size) in enumerate(sizes)]


def _side(description):
    """Pixels of a typical input, whole cells."""
    side = description.test_scale
    if description.task == "segmentation":
        side = -(-min(side, LARGEST_CHECK) // description.stride) * description.stride
    return side


def _require_possible(symbol, parameters, description, size):
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


def _write_graph(path, symbol, parameters, size, dynamic):
    """MXNet's own export of the scores that the loss is computed of."""
    scores = symbol.get_children()[0]
    try:
        with _two_scales():
            mx.onnx.export_model(scores, parameters.all, [(1, 3, *size)], np.float32, path, dynamic=dynamic,
                                 dynamic_input_shapes=[("batch", 3, "height", "width")] if dynamic else None)
    except (AttributeError, NotImplementedError) as error:
        raise ValueError(f"MXNet cannot write this network as ONNX: {error}") from None


@contextlib.contextmanager
def _two_scales():
    """Within, MXNet can export what networks with two scales have: the enlarging of a map to another's size."""
    from mxnet.onnx.mx2onnx._export_onnx import MXNetGraph
    operator = "_contrib_BilinearResize2D"
    MXNetGraph.register(operator, OPSET)(_enlarge_like)
    try:
        yield
    finally:
        del MXNetGraph.registry_[OPSET][operator]


def _enlarge_like(node, outputs_lookup, initializer, **_):
    """The ONNX nodes of a BilinearResize2D with mode "like"; its corners stay where they are."""
    from onnx import helper, numpy_helper
    name = node["name"]
    data, like = (outputs_lookup[index][output].name for index, output, *_ in node["inputs"])
    for part, axes in (("outer", [0, 1]), ("inner", [2, 3])):
        initializer.append(numpy_helper.from_array(np.array(axes, np.int64), f"{name}_{part}_axes"))
    nodes = []
    for part, source in (("outer", data), ("inner", like)):
        nodes += [helper.make_node("Shape", [source], [f"{name}_{part}_shape"]),
                  helper.make_node("Gather", [f"{name}_{part}_shape", f"{name}_{part}_axes"], [f"{name}_{part}"])]
    return [*nodes, helper.make_node("Concat", [f"{name}_outer", f"{name}_inner"], [f"{name}_size"], axis=0),
            helper.make_node("Resize", [data, "", "", f"{name}_size"], [name], mode="linear",
                             coordinate_transformation_mode="align_corners")]


def _finish(onnx, model, description):
    """Bring a graph as MXNet writes it into the form that `export_onnx` promises, in place."""
    graph = model.graph
    used = {name for node in graph.node for name in node.input}
    constants = [tensor.name for tensor in graph.initializer]
    for index in reversed(range(len(constants))):
        if constants[index] not in used:
            del graph.initializer[index]
    inputs = [value for value in graph.input if value.name not in constants]  # else no runtime folds them
    del graph.input[:]
    graph.input.extend(inputs)
    graph.node.append(onnx.helper.make_node("Softmax", [graph.output[0].name], [OUTPUT], axis=1))
    graph.output[0].name = OUTPUT
    shape = graph.output[0].type.tensor_type.shape
    if inputs[0].type.tensor_type.shape.dim[0].dim_param:
        for dim, name in zip(shape.dim, ("batch", "", "cells_high", "cells_wide")):
            dim.dim_param = name
        shape.dim[1].dim_value = description.classes
    if description.pixels:
        _normalise_inside(onnx, graph, description)
    graph.name = description.label
    model.opset_import[0].version, model.ir_version = OPSET, IR_VERSION
    model.producer_name = "ademxapp"
    onnx.helper.set_model_props(model, description.properties())


def _normalise_inside(onnx, graph, description):
    """Put the normalisation before the first layer: input `data` becomes RGB in 0 … 255."""
    matrix, offset = transforms.normalisation(description.mean, description.std)
    normalised = f"{DATA}_normalised"
    for node in graph.node:
        node.input[:] = [normalised if name == DATA else name for name in node.input]
    graph.input[0].type.tensor_type.elem_type = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(description.pixels))
    make = onnx.helper.make_node
    nodes = [make("Cast", [DATA], [f"{DATA}_float"], to=onnx.TensorProto.FLOAT),
             make("Mul", [f"{DATA}_float", f"{DATA}_factor"], [f"{DATA}_scaled"]),
             make("Add", [f"{DATA}_scaled", f"{DATA}_offset"], [normalised])]
    for place, node in enumerate(nodes):
        graph.node.insert(place, node)
    for name, values in (("factor", matrix.diagonal()), ("offset", offset)):
        values = np.asarray(values, np.float32).reshape(1, 3, 1, 1)
        graph.initializer.append(onnx.numpy_helper.from_array(values, f"{DATA}_{name}"))


def _onnx():
    try:
        import onnx
        import onnxruntime  # noqa: F401  for the comparison
    except ImportError as error:
        raise ImportError(f"exporting needs onnx and onnxruntime ({error}): {INSTALL}") from None
    version = tuple(int(part) for part in onnx.__version__.split(".")[:2])
    if not (1, 16) <= version <= (1, 18):
        raise ImportError(f"MXNet exports with onnx 1.16.2 to 1.18.0, not {onnx.__version__}: {INSTALL}")
    return onnx
