"""Shapes in a graph, from those of its inputs: what MXNet's `infer_shape` gives, for the operators of the networks."""
import ast
from math import prod
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

Shape = Tuple[int, ...]
Known = List[Any]  # Shape, or None where it is not known
Found = Tuple[Known, Optional[Shape]]  # of the inputs, which may follow from the others; of the output


def infer(nodes: Sequence[Tuple[str, str, Dict[str, str], List[int]]], inputs: Dict[str, Shape]) -> List[Shape]:
    """Shapes of the nodes' (first) outputs.

    Parameters
    ----------
    nodes : sequence of (operator, name, attributes, places of the input nodes)
        Inputs first; variables have the operator "null".
    inputs : dict
        Shapes of variables, by name.

    Raises
    ------
    ValueError
        For an operator without a rule, inputs that do not fit, and a variable whose shape does not follow.
    """
    shapes: Known = []
    for op, name, attrs, places in nodes:
        if op == "null":
            shapes.append(tuple(inputs[name]) if name in inputs else None)
            continue
        if op not in RULES:
            raise ValueError(f"node {name} has the operator {op}, which has no rule for shapes")
        before = [shapes[place] for place in places]
        try:
            after, shape = RULES[op](before, {key: _value(text) for key, text in attrs.items()})
        except (TypeError, IndexError):  # of None or of too few numbers
            raise ValueError(f"the shape of {name} ({op}) does not follow from inputs of {before}") from None
        for place, known, found in zip(places, before, after):
            if known is not None and found is not None and known != found:
                raise ValueError(f"{nodes[place][1]} has shape {known}, and {name} ({op}) wants {found}")
            shapes[place] = shapes[place] or found
        if shape is None or min(shape, default=1) < 1:
            raise ValueError(f"the output of {name} ({op}) would have shape {shape} for inputs of {before}")
        shapes.append(shape)
    unknown = [nodes[place][1] for place, shape in enumerate(shapes) if shape is None]
    if unknown:
        raise ValueError(f"the shape of {unknown[0]} does not follow from those of {', '.join(inputs)}")
    return shapes


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _same(shapes: Known, _: Dict[str, Any]) -> Found:
    shape = next((shape for shape in shapes if shape is not None), None)
    return [shape] * len(shapes), shape


def _convolution(shapes: Known, attrs: Dict[str, Any]) -> Found:
    batch, channels, *sides = shapes[0]
    kernel, count = attrs["kernel"], attrs["num_filter"]
    every = (1,) * len(kernel)
    steps = zip(sides, kernel, attrs.get("stride", every), attrs.get("pad", (0,) * len(kernel)),
                attrs.get("dilate", every))
    sides = [(side + 2 * pad - dilation * (cells - 1) - 1) // stride + 1
             for side, cells, stride, pad, dilation in steps]
    weight = (count, channels // attrs.get("num_group", 1), *kernel)
    return [shapes[0], weight, (count,)][:len(shapes)], (batch, count, *sides)


def _fully_connected(shapes: Known, attrs: Dict[str, Any]) -> Found:
    batch, *rest = shapes[0]
    units = attrs["num_hidden"]
    return [shapes[0], (units, prod(rest)), (units,)][:len(shapes)], (batch, units)


def _batch_norm(shapes: Known, _: Dict[str, Any]) -> Found:
    return [shapes[0]] + [(shapes[0][1],)] * 4, shapes[0]


def _pooling(shapes: Known, attrs: Dict[str, Any]) -> Found:
    batch, channels, *sides = shapes[0]
    if attrs.get("global_pool"):
        return shapes, (batch, channels, *[1] * len(sides))
    kernel = attrs["kernel"]
    up = attrs.get("pooling_convention") == "full"
    steps = zip(sides, kernel, attrs.get("stride", (1,) * len(kernel)), attrs.get("pad", (0,) * len(kernel)))
    return shapes, (batch, channels, *[(side + 2 * pad - cells + up * (stride - 1)) // stride + 1
                                       for side, cells, stride, pad in steps])


def _concat(shapes: Known, attrs: Dict[str, Any]) -> Found:
    axis = attrs.get("dim", 1)
    first = shapes[0]
    if any(shape[:axis] + shape[axis + 1:] != first[:axis] + first[axis + 1:] for shape in shapes):
        raise ValueError(f"maps of {shapes} cannot be concatenated along axis {axis}")
    return shapes, (*first[:axis], sum(shape[axis] for shape in shapes), *first[axis + 1:])


def _reshape(shapes: Known, attrs: Dict[str, Any]) -> Found:
    whole = [shapes[0][axis] if side == 0 else side for axis, side in enumerate(attrs["shape"])]
    rest = prod(shapes[0]) // max(1, prod(side for side in whole if side > 0))
    return shapes, tuple(rest if side == -1 else side for side in whole)


def _slice_axis(shapes: Known, attrs: Dict[str, Any]) -> Found:
    axis = attrs["axis"]
    begin, end, _ = slice(attrs["begin"], attrs["end"]).indices(shapes[0][axis])
    return shapes, (*shapes[0][:axis], end - begin, *shapes[0][axis + 1:])


def _pad(shapes: Known, attrs: Dict[str, Any]) -> Found:
    width = attrs["pad_width"]
    return shapes, tuple(side + width[2 * axis] + width[2 * axis + 1] for axis, side in enumerate(shapes[0]))


def _broadcast(shapes: Known, _: Dict[str, Any]) -> Found:
    return shapes, tuple(max(sides) for sides in zip(*shapes))


def _softmax_output(shapes: Known, attrs: Dict[str, Any]) -> Found:
    batch, _, *sides = shapes[0]
    return [shapes[0], (batch, prod(sides)) if attrs.get("multi_output") else (batch,)], shapes[0]


def _on_axis(size: Callable[[Dict[str, Any]], Tuple[int, ...]]) -> Callable[[Known, Dict[str, Any]], Found]:
    """A rule that puts `size(attributes)` in the place of the axis."""
    def rule(shapes: Known, attrs: Dict[str, Any]) -> Found:
        axis = attrs["axis"]
        return shapes, (*shapes[0][:axis], *size(attrs), *shapes[0][axis + 1:])
    return rule


RULES: Dict[str, Callable[[Known, Dict[str, Any]], Found]] = {
    **dict.fromkeys(("Activation", "BlockGrad", "Dropout", "_mul_scalar", "_not_equal_scalar", "ones_like", "relu",
                     "softmax", "sort", "zeros_like", "elemwise_add", "elemwise_sub", "elemwise_mul", "_maximum",
                     "add_n"), _same),
    "Convolution": _convolution, "FullyConnected": _fully_connected, "BatchNorm": _batch_norm, "Pooling": _pooling,
    "Concat": _concat, "Reshape": _reshape, "slice_axis": _slice_axis, "Pad": _pad,
    "broadcast_lesser_equal": _broadcast, "SoftmaxOutput": _softmax_output,
    "Flatten": lambda shapes, _: (shapes, (shapes[0][0], prod(shapes[0][1:]))),
    "_ones": lambda shapes, attrs: (shapes, tuple(attrs["shape"])),
    "_contrib_BilinearResize2D": lambda shapes, _: (shapes, shapes[0][:2] + shapes[1][2:]),
    "where": lambda shapes, _: (shapes, shapes[1]), "reshape_like": lambda shapes, _: (shapes, shapes[1]),
    "expand_dims": lambda shapes, attrs: (shapes, (*shapes[0][:attrs["axis"]], 1, *shapes[0][attrs["axis"]:])),
    "squeeze": _on_axis(lambda attrs: ()), "pick": _on_axis(lambda attrs: ()),
    "topk": _on_axis(lambda attrs: (attrs["k"],)),
}
