"""PyTorch's rules for the operators of the graphs, with MXNet's numbers and gradients.

`RULES[operator](name, attributes)` gives what a node does: a function of a `Pass` and of the node's inputs.
"""
import ast
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Optional, Tuple, Union

import torch
from torch import Tensor
from torch.nn import functional as F

Attributes = Dict[str, Any]
Result = Union[Tensor, Tuple[Tensor, Tensor, Tensor]]  # of BN in training: maps, and the batch's means and variances


@dataclass(frozen=True)
class Pass:
    """What a forward pass is: in training or not, where, and which numbers every dropout keeps, by its name."""

    train: bool
    device: torch.device
    masks: Dict[str, Tensor] = field(default_factory=dict)


Run = Callable[..., Result]


class _SoftmaxOutput(torch.autograd.Function):
    """Softmax over axis 1; backwards the gradient of the cross-entropy, whatever comes from behind."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, label: Tensor, attrs: Attributes) -> Tensor:
        """Probabilities, float32, in the shape of `scores`."""
        prob = torch.softmax(scores.float(), 1)
        ctx.save_for_backward(prob, label)
        ctx.attrs, ctx.dtype = attrs, scores.dtype
        return prob

    @staticmethod
    def backward(ctx: Any, _: Tensor) -> Tuple[Tensor, None, None]:
        """(p - 1 of the true class), times `grad_scale`, over what `normalization` says; 0 where labels are ignored."""
        prob, label = ctx.saved_tensors
        attrs, label = ctx.attrs, label.reshape(prob.shape[0], *prob.shape[2:])
        ignored = label == attrs.get("ignore_label", -1.0) if attrs.get("use_ignore") else label != label
        true = torch.where(ignored, 0, label).long().unsqueeze(1)
        grad = prob.scatter_add(1, true, torch.full_like(true, -1, dtype=prob.dtype))
        grad = torch.where(ignored.unsqueeze(1), 0, grad)
        kind, scale = attrs.get("normalization", "null"), attrs.get("grad_scale", 1.0)
        if kind == "valid":
            return (grad * (scale / (~ignored).sum().clamp(min=1))).to(ctx.dtype), None, None
        cells = prob[0, 0].numel() if attrs.get("multi_output") else 1
        return (grad * (scale / cells / (len(prob) if kind == "batch" else 1))).to(ctx.dtype), None, None


def _convolution(_: str, attrs: Attributes) -> Run:
    sides = len(attrs["kernel"])
    how = [attrs.get("stride", (1,) * sides), attrs.get("pad", (0,) * sides), attrs.get("dilate", (1,) * sides),
           attrs.get("num_group", 1)]
    return lambda _, data, weight, bias=None: F.conv2d(data, weight, bias, *how)


def _fully_connected(_: str, attrs: Attributes) -> Run:
    return lambda _, data, weight, bias=None: F.linear(data.flatten(1), weight, bias)


def _batch_norm(_: str, attrs: Attributes) -> Run:
    """In training with the batch's statistics, the biased variance as MXNet has it in the moving one."""
    eps, fixed, ones = attrs.get("eps", 1e-3), attrs.get("use_global_stats", False), attrs.get("fix_gamma", True)

    def run(how: Pass, data: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, var: Tensor) -> Result:
        gamma = torch.ones_like(gamma) if ones else gamma
        if fixed or not how.train:
            return F.batch_norm(data, mean, var, gamma, beta, False, 0.0, eps)
        out, batch_mean, deviation = torch.native_batch_norm(data, gamma, beta, None, None, True, 0.0, eps)
        return out, batch_mean.detach(), deviation.detach() ** -2 - eps
    return run


def _dropout(name: str, attrs: Attributes) -> Run:
    scale = 1 / (1 - attrs.get("p", 0.5))
    return lambda how, data: data * how.masks[name] * scale if how.train and name in how.masks else data


def _pooling(_: str, attrs: Attributes) -> Run:
    largest = attrs["pool_type"] == "max"
    if attrs.get("global_pool"):
        return lambda _, data: data.amax((2, 3), True) if largest else data.mean((2, 3), True)
    size, stride, beside = attrs["kernel"], attrs.get("stride", (1, 1)), attrs.get("pad", (0, 0))
    up = attrs.get("pooling_convention", "valid") == "full"
    if largest:
        return lambda _, data: F.max_pool2d(data, size, stride, beside, ceil_mode=up)
    padding = attrs.get("count_include_pad", True)
    return lambda _, data: F.avg_pool2d(data, size, stride, beside, ceil_mode=up, count_include_pad=padding)


def _pad(_: str, attrs: Attributes) -> Run:
    width, value = attrs["pad_width"], attrs.get("constant_value", 0.0)
    pairs = [side for axis in reversed(range(len(width) // 2)) for side in width[2 * axis:2 * axis + 2]]
    return lambda _, data: F.pad(data, pairs, value=value)


def _reshape(_: str, attrs: Attributes) -> Run:
    return lambda _, data: data.reshape([data.shape[axis] if side == 0 else side
                                         for axis, side in enumerate(attrs["shape"])])


def _slice_axis(_: str, attrs: Attributes) -> Run:
    place = (slice(None),) * attrs["axis"] + (slice(attrs["begin"], attrs["end"]),)
    return lambda _, data: data[place]


def _where(_: str, __: Attributes) -> Run:
    """A condition of one number for each image chooses for all of it."""
    return lambda _, condition, x, y: torch.where(
        condition.reshape(condition.shape + (1,) * (x.dim() - condition.dim())) != 0, x, y)


def _softmax_output(_: str, attrs: Attributes) -> Run:
    def run(how: Pass, scores: Tensor, label: Optional[Tensor] = None) -> Tensor:
        if label is None or not how.train:
            return torch.softmax(scores.float(), 1)
        return _SoftmaxOutput.apply(scores, label, attrs)
    return run


def _sum(_: Pass, *parts: Tensor) -> Tensor:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _pick(_: Pass, data: Tensor, index: Tensor) -> Tensor:
    """The class that each cell's index, a float, names."""
    return data.gather(1, index.long().clamp(0, data.shape[1] - 1).unsqueeze(1)).squeeze(1)


def _plain(function: Run) -> Callable[[str, Attributes], Run]:
    """A rule without attributes."""
    return lambda _, __: function


RULES: Dict[str, Callable[[str, Attributes], Run]] = {
    "Activation": lambda name, attrs: {"relu": lambda _, data: F.relu(data)}[attrs["act_type"]],
    "BatchNorm": _batch_norm,
    "BlockGrad": _plain(lambda _, data: data.detach()),
    "Concat": lambda _, attrs: lambda _, *parts: torch.cat(parts, attrs.get("dim", 1)),
    "Convolution": _convolution,
    "Dropout": _dropout,
    "Flatten": _plain(lambda _, data: data.flatten(1)),
    "FullyConnected": _fully_connected,
    "Pad": _pad,
    "Pooling": _pooling,
    "Reshape": _reshape,
    "SoftmaxOutput": _softmax_output,
    "_contrib_BilinearResize2D": _plain(lambda _, data, like: F.interpolate(
        data, like.shape[2:], mode="bilinear", align_corners=True)),
    "_maximum": _plain(lambda _, one, other: torch.where(one >= other, one, other)),  # of equals the first's gradient
    "_mul_scalar": lambda _, attrs: lambda _, data: data * attrs["scalar"],
    "_not_equal_scalar": lambda _, attrs: lambda _, data: (data != attrs["scalar"]).to(data.dtype),
    "_ones": lambda _, attrs: lambda how: torch.ones(attrs["shape"], device=how.device),
    "add_n": _plain(_sum),
    "broadcast_lesser_equal": _plain(lambda _, one, other: (one <= other).to(one.dtype)),
    "elemwise_add": _plain(lambda _, one, other: one + other),
    "elemwise_mul": _plain(lambda _, one, other: one * other),
    "elemwise_sub": _plain(lambda _, one, other: one - other),
    "expand_dims": lambda _, attrs: lambda _, data: data.unsqueeze(attrs["axis"]),
    "ones_like": _plain(lambda _, data: torch.ones_like(data)),
    "pick": _plain(_pick),
    "relu": _plain(lambda _, data: F.relu(data)),
    "reshape_like": _plain(lambda _, data, like: data.reshape(like.shape)),
    "slice_axis": _slice_axis,
    "softmax": lambda _, attrs: lambda _, data: torch.softmax(data.float(), attrs.get("axis", -1)),
    "sort": lambda _, attrs: lambda _, data: torch.sort(data, attrs.get("axis", -1)).values,
    "squeeze": lambda _, attrs: lambda _, data: data.squeeze(attrs["axis"]),
    "topk": lambda _, attrs: lambda _, data: torch.topk(data, attrs["k"], attrs.get("axis", -1)).values,
    "where": _where,
    "zeros_like": _plain(lambda _, data: torch.zeros_like(data)),
}


def rule(operator: str, name: str, attrs: Attributes) -> Run:
    """What the node does; ValueError for an operator that has no rule."""
    if operator not in RULES:
        raise ValueError(f"node {name} has the operator {operator}, which the PyTorch engine cannot run; it knows "
                         f"{', '.join(sorted(RULES))}")
    try:
        return RULES[operator](name, attrs)
    except KeyError as error:
        raise ValueError(f"node {name} ({operator}) has no or another {error.args[0]} than the PyTorch engine can run: "
                         f"{attrs}") from None


def known(attrs: Dict[str, str]) -> Attributes:
    """Attributes as values, from MXNet's text."""
    return {key: _value(text) for key, text in attrs.items()}


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
