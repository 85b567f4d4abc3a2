"""Layers with the parameter names of the original program.

Every layer takes a `Scope` first: what holds for the whole network that is being built.
"""
from dataclasses import dataclass, field
from functools import partial, reduce
from types import ModuleType
from typing import Any, Dict, Sequence, Tuple, Union

from ademxapp.symbol.options import SymbolOptions
from ademxapp.symbol.recorder import Symbol, calls

ONEDNN_BLOCK = 16
RECOMPUTED = {"force_mirroring": "True"}  # attribute of a node whose output is not kept for the backward pass


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
            attr = {}
            if self.options.lr_type == "alex" and name.endswith(("_bias", "_beta")):
                attr = {"__lr_mult__": "2.", "__wd_mult__": "0."}
            elif self.options.lr_type == "fixed" and not name.endswith(("_moving_mean", "_moving_var")):
                attr = {"__lr_mult__": "0.", "__wd_mult__": "0."}
            self.variables[name] = self.sym.Variable(name, attr=attr)
        return self.variables[name]

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


def conv(scope: Scope, data: Symbol, name: str, channels: int, kernel: Union[int, Tuple[int, int]] = 3, stride: int = 1,
         dilation: int = 1, bias: bool = False, padded: bool = True) -> Symbol:
    """Convolution, `padded` as for "same" maps or not at all; `channels` counts as given. A 1x1 kernel has no dilation.

    `kernel` is the side of a square, or (rows, columns).
    """
    kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
    dilation = 1 if kernel == (1, 1) else dilation
    inputs = {part: scope.variable(f"{name}_{part}") for part in ("weight", "bias")[:1 + bias]}
    return scope.sym.Convolution(data, num_filter=channels, kernel=kernel, stride=(stride, stride),
                                 pad=tuple(dilation * (side - 1) // 2 if padded else 0 for side in kernel),
                                 dilate=(dilation, dilation), no_bias=not bias, **inputs,
                                 **scope.node(name, recomputable=True))


def bn(scope: Scope, data: Symbol, name: str, eps: float = 1.001e-5) -> Symbol:
    """Batch normalisation with a trained gamma."""
    options = scope.options
    inputs = {part: scope.variable(f"{name}_{part}") for part in ("gamma", "beta", "moving_mean", "moving_var")}
    # cuDNN's BN updates the moving statistics in every forward pass, so in a recomputation once more. MXNet's own
    # (always used on the CPU) does so in the backward pass, which is run once.
    own = {"cudnn_off": True} if options.recompute and not options.bn_use_global_stats else {}
    return scope.sym.BatchNorm(data, eps=eps, momentum=0.9, fix_gamma=False, **own, **inputs,
                               use_global_stats=options.bn_use_global_stats, **scope.node(name, recomputable=True))


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


def pool(scope: Scope, data: Symbol, name: str, kind: str, kernel: int = 3, stride: int = 1, pad: int = 0,
         convention: str = "valid", recomputable: bool = False) -> Symbol:
    """Pooling, `kind` "max" or "avg"; an average counts no padding."""
    return scope.sym.Pooling(data, pool_type=kind, kernel=(kernel, kernel), stride=(stride, stride), pad=(pad, pad),
                             pooling_convention=convention, count_include_pad=False, **scope.node(name, recomputable))


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
    sym, reach = scope.sym, (kernel - 1) * dilation
    before = reach // 2 if centred else 0
    # The padding is finite, so that no NaN comes of it. `maximum` takes no attributes; what it calls, `_maximum`, does.
    out = sym.Pad(data, mode="constant", constant_value=-1e30, name=f"{scope.prefix}{name}_pad",
                  pad_width=(0, 0, 0, 0, before, reach - before, before, reach - before), attr=RECOMPUTED)
    for axis in (3, 2):
        shifted = [sym.slice_axis(out, axis=axis, begin=start, end=start - reach or None, attr=RECOMPUTED)
                   for start in range(0, reach + 1, dilation)]
        out = reduce(partial(sym._internal._maximum, attr=RECOMPUTED), shifted)
    return out


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
