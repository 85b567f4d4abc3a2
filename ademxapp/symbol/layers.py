"""Layers with the parameter names of the original program.

Every layer takes a `Scope` first: what holds for the whole network that is being built.
"""
from dataclasses import dataclass, field
from functools import reduce
from types import ModuleType
from typing import Any, Dict, Optional, Sequence, Tuple, Union

from ademxapp.symbol.recorder import Symbol, calls

BN_EPS = 1.001e-5
BN_MOMENTUM = 0.9
ONEDNN_BLOCK = 16
MINUS_INFINITY = -1e30  # of dilated pooling's padding: finite, so that no NaN can come of it
RECOMPUTED = {"force_mirroring": "True"}  # attribute of a node whose output is not kept for the backward pass
LR_TYPES = ("torch", "alex", "fixed")
POOL_STYLES = (None, "caffe", "full")
Side = Union[int, Sequence[int]]  # of a square, or (rows, columns)


@dataclass(frozen=True)
class SymbolOptions:
    """What may differ between two builds of the same network: options that are not part of its label.

    Parameters
    ----------
    bn_use_global_stats : bool
        Normalise by the moving means and variances, and leave them as they are (testing; fine-tuning,
        paper section 5).
    lr_type : {"torch", "alex", "fixed"}
        Learning rates of the biases and betas: as of the weights; twice as high and without weight
        decay; or every parameter that is built so stays as it is.
    pool_top_infer_style : {None, "caffe", "full"}
        Pooling that halves: padding 1; padding 0 with sizes rounded down; padding 0, rounded up.
    recompute : bool
        Compute convolutions, BN and ReLUs again in the backward pass instead of keeping their outputs; what is kept
        are sums, concatenations and dropout.
    path_gates : bool
        Every residual unit has one more input, `gate<unit>`, (N,), that chooses for the backward pass alone where an
        image's gradient goes: 1, through the mapping only; 0, through the shortcut only (paper section 6.3).
    """

    bn_use_global_stats: bool = False
    lr_type: str = "torch"
    pool_top_infer_style: Optional[str] = None
    recompute: bool = False
    path_gates: bool = False

    def __post_init__(self) -> None:
        for name, known in (("lr_type", LR_TYPES), ("pool_top_infer_style", POOL_STYLES)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is {getattr(self, name)!r}; known are {', '.join(map(repr, known))}")


@dataclass(frozen=True)
class Scope:
    """Settings of one network under construction, and its variables.

    Two passes with the same `variables` share every parameter; `prefix` keeps the names of their nodes apart.
    `dropout` turns the paper's dropout on (fine-tuning). `sym` has the calls that build: `mx.sym`, or the recorder.
    """

    options: SymbolOptions = SymbolOptions()
    width: float = 1.0
    dropout: bool = False
    prefix: str = ""
    variables: Dict[str, Symbol] = field(default_factory=dict)
    sym: ModuleType = field(default_factory=calls)

    def channels(self, count: float) -> int:
        """A channel count (int) times the width, rounded, at least 1."""
        return max(1, int(round(count * self.width)))

    def variable(self, name: str) -> Symbol:
        """The variable of that name: the same node whenever it is asked for."""
        if name not in self.variables:
            self.variables[name] = self.sym.Variable(name, attr=self._multipliers(name))
        return self.variables[name]

    def _multipliers(self, name: str) -> Dict[str, str]:
        bias = name.endswith(("_bias", "_beta"))
        if self.options.lr_type == "alex" and bias:
            return {"__lr_mult__": "2.", "__wd_mult__": "0."}
        if self.options.lr_type == "fixed" and not name.endswith(("_moving_mean", "_moving_var")):
            return {"__lr_mult__": "0.", "__wd_mult__": "0."}
        return {}

    def node(self, name: str, recomputable: bool = False) -> Dict[str, Any]:
        """Name and attributes of an operator's node, as keyword arguments.

        A `recomputable` node's output is not kept for the backward pass where `SymbolOptions.recompute` asks for
        that; MXNet then runs the node again, from the nearest outputs that are kept.
        """
        recompute = recomputable and self.options.recompute
        return {"name": self.prefix + name, "attr": RECOMPUTED if recompute else None}


@dataclass
class Resolution:
    """How far the maps are halved on the way to an output stride, and the dilation beyond it.

    A halving past `stride` becomes dilation, of the layers after the one that would have halved (paper section 5,
    "Resolution").
    """

    stride: int
    reached: int = 1
    dilation: int = 1

    def halve(self) -> Tuple[int, int]:
        """Take the next halving: (stride, dilation) of the layer that does it; `dilation` is then of those after it."""
        step, growth, dilation = (2, 1, self.dilation) if self.reached < self.stride else (1, 2, self.dilation)
        self.reached *= step
        self.dilation *= growth
        return step, dilation


def conv(scope: Scope, data: Symbol, name: str, channels: int, kernel: Side = 3, stride: Side = 1, dilation: int = 1,
         bias: bool = False, pad: Optional[Side] = None) -> Symbol:
    """Convolution with "same" padding; `channels` counts as given. A 1x1 kernel has no dilation.

    `kernel` and `pad` are an int or a pair (rows, columns).
    """
    kernel = _pair(kernel)
    dilation = 1 if kernel == (1, 1) else dilation
    pad = tuple(dilation * (side - 1) // 2 for side in kernel) if pad is None else _pair(pad)
    inputs = {"weight": scope.variable(f"{name}_weight")}
    if bias:
        inputs["bias"] = scope.variable(f"{name}_bias")
    return scope.sym.Convolution(data, num_filter=channels, kernel=kernel, stride=_pair(stride), pad=pad,
                                 dilate=_pair(dilation), no_bias=not bias, **inputs,
                                 **scope.node(name, recomputable=True))


def bn(scope: Scope, data: Symbol, name: str, eps: float = BN_EPS) -> Symbol:
    """Batch normalisation with a trained gamma."""
    options = scope.options
    inputs = {part: scope.variable(f"{name}_{part}") for part in ("gamma", "beta", "moving_mean", "moving_var")}
    # cuDNN's BN updates the moving statistics in every forward pass, so in a recomputation once more. MXNet's own
    # (always used on the CPU) does so in the backward pass, which is run once.
    own = {"cudnn_off": True} if options.recompute and not options.bn_use_global_stats else {}
    return scope.sym.BatchNorm(data, eps=eps, momentum=BN_MOMENTUM, fix_gamma=False,
                               use_global_stats=options.bn_use_global_stats, **own, **inputs,
                               **scope.node(name, recomputable=True))


def relu(scope: Scope, data: Symbol, name: str) -> Symbol:
    """Rectified linear units."""
    return scope.sym.Activation(data, act_type="relu", **scope.node(name, recomputable=True))


def bn_relu(scope: Scope, data: Symbol, name: str) -> Symbol:
    """`bn<name>` and `relu<name>`, in that order."""
    return relu(scope, bn(scope, data, f"bn{name}"), f"relu{name}")


def fc(scope: Scope, data: Symbol, name: str, units: int) -> Symbol:
    """Fully connected layer with a bias, over the flattened input."""
    return scope.sym.FullyConnected(data, scope.variable(f"{name}_weight"), scope.variable(f"{name}_bias"),
                                    num_hidden=units, **scope.node(name))


def dropout(scope: Scope, data: Symbol, name: str, rate: float, always: bool = False) -> Symbol:
    """Dropout where the scope has it on, or `always`; else nothing. It is never recomputed: it would draw anew."""
    return scope.sym.Dropout(data, p=rate, **scope.node(name)) if (scope.dropout or always) and rate else data


def global_pool(scope: Scope, data: Symbol, name: str) -> Symbol:
    """Average over all cells: (N, C, H, W) to (N, C)."""
    pooled = scope.sym.Pooling(data, kernel=(7, 7), pool_type="avg", global_pool=True, **scope.node(name))
    return scope.sym.Flatten(pooled)


def pool(scope: Scope, data: Symbol, name: str, kind: str, kernel: Side = 3, stride: Side = 1, pad: Side = 0,
         convention: str = "valid", recomputable: bool = False) -> Symbol:
    """Pooling, `kind` "max" or "avg"; an average counts no padding."""
    return scope.sym.Pooling(data, pool_type=kind, kernel=_pair(kernel), stride=_pair(stride), pad=_pair(pad),
                             pooling_convention=convention, count_include_pad=False,
                             **scope.node(name, recomputable))


def max_pool(scope: Scope, data: Symbol, name: str, stride: int = 2, dilation: int = 1, kernel: int = 3) -> Symbol:
    """Max pooling; a 3x3 kernel is padded as `SymbolOptions.pool_top_infer_style` says, a 2x2 one is not.

    With stride 1 the maps keep their size, and at every second cell hold what the pooling of stride 2 has.
    """
    style = scope.options.pool_top_infer_style if kernel == 3 else "caffe"
    if stride == 1:
        return dilated_max_pool(scope, data, name, dilation, style is None, kernel)
    return pool(scope, data, name, "max", kernel, stride, pad=1 if style is None else 0,
                convention="full" if style == "full" else "valid", recomputable=kernel == 3)


def dilated_max_pool(scope: Scope, data: Symbol, name: str, dilation: int = 1, centred: bool = True,
                     kernel: int = 3) -> Symbol:
    """Max pooling of stride 1 over cells that lie `dilation` apart; (N, C, H, W) to the same.

    MXNet 1.9.1's Pooling knows no dilation, so the maximum is taken over shifted copies along the rows, then along
    the columns. Of several equal maxima the first in row order gets the gradient, as in Pooling. `centred=False`
    looks at cells to the right and below only (padding 0 of the original). The copies are cheap to make and large,
    so they are always made again for the backward pass.
    """
    reach = (kernel - 1) * dilation
    before = reach // 2 if centred else 0
    padded = scope.sym.Pad(data, mode="constant", constant_value=MINUS_INFINITY, name=f"{scope.prefix}{name}_pad",
                           pad_width=(0, 0, 0, 0, before, reach - before, before, reach - before), attr=RECOMPUTED)
    rows = _maximum_of_shifted(scope, padded, 3, kernel, dilation)
    return _maximum_of_shifted(scope, rows, 2, kernel, dilation)


def concat(scope: Scope, ends: Sequence[Symbol], name: str, aligned: bool = False) -> Symbol:
    """Several maps as one, along the channels; `aligned` says that each has a multiple of `ONEDNN_BLOCK` channels.

    Where a part starts within a block, oneDNN's gradient of a concatenation fails or ends the process (MXNet 1.9.1).
    Reshaping makes MXNet lay the gradient out without blocks.
    """
    out = scope.sym.concat(*ends, dim=1, name=scope.prefix + name)
    return out if aligned else scope.sym.squeeze(scope.sym.expand_dims(out, axis=4), axis=4)


def path_gates(scope: Scope, name: str, mapping: Symbol, shortcut: Symbol) -> Tuple[Symbol, Symbol]:
    """The two branches of the unit `name`, with equal values; behind gates where `SymbolOptions.path_gates` asks."""
    if not scope.options.path_gates:
        return mapping, shortcut
    gate, closed = scope.variable(f"gate{name}"), scope.sym.BlockGrad
    return scope.sym.where(gate, mapping, closed(mapping)), scope.sym.where(gate, closed(shortcut), shortcut)


def _maximum_of_shifted(scope: Scope, data: Symbol, axis: int, count: int, dilation: int) -> Symbol:
    ends = [(i + 1 - count) * dilation or None for i in range(count)]
    shifted = [scope.sym.slice_axis(data, axis=axis, begin=i * dilation, end=end, attr=RECOMPUTED)
               for i, end in enumerate(ends)]
    maximum = scope.sym._internal._maximum  # what `maximum` calls, which takes no attributes
    return reduce(lambda one, other: maximum(one, other, attr=RECOMPUTED), shifted)


def _pair(value: Side) -> Tuple[int, int]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value, value)
